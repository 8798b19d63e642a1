/* SPDX-License-Identifier: MIT */
/*
 * sock.h - a worker's socket, by the broker's own copy of it: what it is, whose network it is in,
 * and addresses from their bytes to a peer and to text.
 *
 * The copy is the same open socket (pidfd_getfd(2)), so that what is done to it is done to the
 * worker's, whatever its descriptor number names by then.
 */
#ifndef WARDER_SOCK_H
#define WARDER_SOCK_H

#include "broker/request.h"

#include <sys/socket.h>

struct sock {
	int fd;       /* the copy; owned */
	int domain;   /* SO_DOMAIN */
	int type;     /* SO_TYPE */
	int protocol; /* SO_PROTOCOL */
	bool inner;   /* of the cell's own network (SO_NETNS_COOKIE) */
	bool nonblock;
};
#define SOCK_INIT \
	{ \
		.fd = -1 \
	}

/* Takes the thread's descriptor.  0; -EBADF; -ENOTSOCK; or -errno. */
int sock_take(const struct session *s, pid_t tid, int fd, struct sock *ret);
void sock_close(struct sock *k);

/* An option of SOL_SOCKET that is an int, none of them negative; or -errno. */
int sock_int(int fd, int option);
/* How long a call on it that blocks may wait (SO_SNDTIMEO), in ns; 0: as long as it takes. */
uint64_t sock_patience_ns(int fd);
/* Whether it is known to be of another network than the cell's. */
bool sock_is_outer(const struct session *s, int fd);

/* A path that fills the structure has no NUL in it: unix(7), "Pathname sockets". */
#define SOCK_PATH_SIZE 109

/* From an address as a system call has it, of `size` bytes, to a peer: kind, address, port; for
 * AF_UNIX with a path the path, of *ret_path_size bytes and a NUL in `path` (PEER_PATH).
 * 0; -EINVAL: too short, too long; -EAFNOSUPPORT. */
int sock_peer(const struct sock *k, const struct sockaddr_storage *address, socklen_t size,
	struct peer *ret, char path[SOCK_PATH_SIZE], size_t *ret_path_size);

/* And back, of the socket's own family.  The size. */
socklen_t sock_address(const struct sock *k, const struct peer *peer, struct sockaddr_storage *ret);

/* "tcp 93.184.215.14:443", as a policy writes it; without "tcp " where `plain`.  Returns buf. */
char *peer_text(const struct peer *peer, char buf[PEER_TEXT_SIZE]);
/* From such text ("api.example.com:443", "udp [::1]:53", "@name"), for the ask door: a path is
 * PEER_PATH.  0 or -EINVAL. */
int peer_parse(const char *text, size_t size, struct peer *ret);

/* Whether an address is the cell's own when no rule says else: loopback, unspecified, and what
 * cell_network() gave to lo. */
bool peer_is_loopback(const struct peer *peer);

#endif
