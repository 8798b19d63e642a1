/* SPDX-License-Identifier: MIT */
/*
 * serve_socket.h - the socket that clients dial: where it stands, and that nobody else can put one
 * there.  Who comes in is said by serve_door.h.
 */
#ifndef WARDER_SERVE_SOCKET_H
#define WARDER_SERVE_SOCKET_H

#include "common/failure.h"
#include "common/msg.h"

#include <limits.h>
#include <stdbool.h>

struct serve_socket {
	int dir_fd;     /* the directory, 0700; 0711 once a service let others in */
	int lock_fd;    /* NAME.pid, locked: one instance runs */
	int listen_fd;  /* -1 until it listens, and again while it drains */
	int reserve_fd; /* given up for a moment when descriptors run out */
	char name[80];  /* NAME.sock */
	char lock_name[80];
	char path[PATH_MAX];
};

#define SERVE_SOCKET_INIT \
	{ \
		.dir_fd = -1, .lock_fd = -1, .listen_fd = -1, .reserve_fd = -1 \
	}

/* Makes and checks the directory, and takes the lock.  0; -EWOULDBLOCK: another instance runs;
 * -errno; always with the sentence. */
int serve_socket_claim(const char *name, struct serve_socket *ret, struct failure *f);
/* Binds and listens; what a dead instance left there is removed, under the lock.  With `others`
 * anybody can connect: the socket has mode 0666 from its first moment on, and its directory 0711;
 * else 0600, and the directory is left as it is. */
int serve_socket_listen(struct serve_socket *s, bool others, struct failure *f);
/* Stops listening and removes the socket. */
void serve_socket_shut(struct serve_socket *s);
/* The same, and gives up the lock. */
void serve_socket_close(struct serve_socket *s);

/*
 * The next client: its connection and who it was when it connected.  0; -EAGAIN: none waits;
 * -EMFILE: out of descriptors, and the one that waited was sent away; or -errno.
 */
int serve_socket_accept(struct serve_socket *s, int *ret_fd, struct msg_client *ret_who);

#endif
