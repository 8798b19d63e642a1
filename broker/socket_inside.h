/* SPDX-License-Identifier: MIT */
/*
 * socket_inside.h - what is done to the worker's own socket, by the broker's copy of it: connected
 * within the cell, or to a Unix socket that has been resolved; and the calls that wait for that.
 *
 * The broker never waits: it connects with O_NONBLOCK, and what natively would block its caller
 * waits here, in a table of a fixed size.
 */
#ifndef WARDER_SOCKET_INSIDE_H
#define WARDER_SOCKET_INSIDE_H

#include "broker/notify.h"
#include "broker/sock.h"

#define INSIDE_MAX      64 /* at once; one more is EAGAIN */
#define INSIDE_RETRY_MS 15 /* so often a full backlog is tried again */

/* Where to, and as whom. */
struct inside {
	struct sockaddr_storage address; /* AF_UNIX with a path: not used */
	socklen_t size;
	int path_fd;    /* O_PATH: the inode of a Unix socket; -1: `address`; owned */
	unsigned as;    /* enum policy_as: of a Unix socket, whom the other end sees */
	uint64_t grant; /* number of the record that stands; 0: none */
};
#define INSIDE_INIT \
	{ \
		.path_fd = -1 \
	}

/* Before the cage.  0 or -errno. */
int inside_new(struct socket_waits **ret);
struct socket_waits *inside_free(struct socket_waits *w);
/* Readable when one that waits may have come to an end. */
int inside_fd(const struct socket_waits *w);
size_t inside_waiting(const struct socket_waits *w);

/*
 * Of a TCP socket whose connection somebody has begun, and that waits for its end no more: what
 * connect(2) would say of it.  0: it has come about, which is said once; -EISCONN: it was said
 * before; or -errno, the connection's.  It begins nothing, whatever becomes of the socket
 * meanwhile.
 */
int inside_come_about(int fd, int domain);

/* Connects without waiting, as a call that blocks would: one that came about at once is over, and
 * the next is EISCONN.  0; -EINPROGRESS; -EAGAIN: a full backlog; or as connect(2). */
int inside_connect(struct session *s, const struct sock *k, const struct inside *to);

/* In a child of slow.h's: connects a Unix socket to an inode, to the end, whatever waits: as the
 * socket blocks, until its SO_SNDTIMEO or until_ns (CLOCK_MONOTONIC; 0: never) has passed or a
 * signal of the caller's has ended it.  A child of uid 0 is wholly the worker's user afterwards,
 * where it is to be seen as that.  0 or -errno. */
int inside_connect_waiting(struct session *s, struct request *q, const struct sock *k,
	const struct inside *to, uint64_t until_ns);

/* Takes over a call of a blocking socket that came to `result`: -EINPROGRESS, -EALREADY (it is
 * being connected) or -EAGAIN, with the socket and `to`.  That is also what it comes to in the end,
 * if SO_SNDTIMEO runs out.  0, or -EAGAIN: too many wait. */
int inside_wait(struct session *s, const struct notice *notice, struct sock *k, struct inside *to,
	int result);

/* The ends of those that are connected now.  0, or negative: the session ends. */
int inside_serve(struct session *s);
/* Every INSIDE_RETRY_MS while some wait: full backlogs, callers that are gone or have a signal to
 * take, SO_SNDTIMEO. */
int inside_check(struct session *s);

/* listen(2): of a Unix socket as the worker, since whoever asks such a socket for its peer is told
 * who called it (unix(7), SO_PEERCRED).  0 or -errno. */
int inside_listen(struct session *s, int fd, bool is_unix, int backlog);

#endif
