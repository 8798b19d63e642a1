/* SPDX-License-Identifier: MIT */
/*
 * socket_place.h - an outer socket in the place of the worker's: its number, its flags, its other
 * numbers in the same process, and its registrations with epoll.
 */
#ifndef WARDER_SOCKET_PLACE_H
#define WARDER_SOCKET_PLACE_H

#include "broker/notify.h"
#include "broker/sock.h"

/* Whether another process of the cell holds the socket, which one in its place would leave behind.
 * Where that cannot be told, in a cell without /proc or a pid namespace, no. */
bool socket_is_shared(const struct session *s, pid_t tid, const struct sock *k);

/*
 * Puts `fd` (borrowed) where the caller holds the socket `k`: at `number`, and at every other
 * number of the caller's table.  Its O_NONBLOCK becomes the old one's, each number keeps its
 * close-on-exec flag.  The call still waits. 0; -ENOENT: the caller is gone; or -errno: nothing
 * stands at `number`.
 */
int socket_place(
	struct session *s, const struct notice *notice, const struct sock *k, int number, int fd);

#endif
