/* SPDX-License-Identifier: MIT */
/*
 * serve_socket.h - the socket that clients dial: where it stands, that nobody else can put one
 * there, and who may come in.
 */
#ifndef WARDER_SERVE_SOCKET_H
#define WARDER_SERVE_SOCKET_H

#include "common/failure.h"
#include "common/msg.h"

#include <limits.h>
#include <stdbool.h>

struct serve_socket {
	int dir_fd;     /* the directory, 0700 */
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
/* Binds and listens; what a dead instance left there is removed, under the lock. */
int serve_socket_listen(struct serve_socket *s, struct failure *f);
/* Stops listening and removes the socket. */
void serve_socket_shut(struct serve_socket *s);
/* The same, and gives up the lock. */
void serve_socket_close(struct serve_socket *s);

/*
 * The next client: its connection and who it is.  0; -EAGAIN: none waits; -EACCES: one came and was
 * sent away (*ret_who says who); -EMFILE: out of descriptors, and the one that waited was sent
 * away; or -errno.
 */
int serve_socket_accept(struct serve_socket *s, int *ret_fd, struct msg_client *ret_who);

#endif
