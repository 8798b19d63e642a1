/* SPDX-License-Identifier: MIT */
/*
 * ops.h - what each row of the message table does: handle_<op>() answers warder_<op>().
 *
 * A handler takes a request whose paths are known, goes the way of request.h up to the effect, and
 * returns the result: 0, ANSWER_FD with q->fd, ANSWER_LATER, or -errno.  Data of the answer goes to
 * `data`.
 */
#ifndef WARDER_OPS_H
#define WARDER_OPS_H

#include "broker/request.h"

/* What a handler returns beside the results of msg.h: it has taken the request over with
 * ask_defer(), and the answer is made with ask_finish() when the network has told. */
#define ANSWER_LATER 2
/* And what none returns: a child of slow.h's is to serve the request; ask.c. */
#define ANSWER_SLOWLY 3

/* Data of an answer: what the largest message leaves. */
#define OPS_DATA_MAX (MSG_SIZE_MAX - MSG_HEADER_SIZE - MSG_ANSWER_SIZE)

typedef int op_handler(struct session *s, struct request *q, uint8_t *data);

#define X(name, NAME, fields, most, phase) op_handler handle_##name;
MSG_TABLE(X)
#undef X
/* Through the trap door alone. */
op_handler handle_chown, handle_setxattr, handle_removexattr, handle_mknod;

/* A socket's words (connect, listen) or a host's name (resolve) into q->peer and q->target.
 * 0 or -errno, refused. */
int socket_ask(struct request *q, const char *text, size_t size);

/* The way to a Unix socket with a path, of either door: decided, and q->target resolved: to the
 * inode on the host; or to the parent of a name that is free, and charged. */
int reach_socket(struct session *s, struct request *q);
int reach_new_socket(struct session *s, struct request *q, bool for_fd);
/* Then makes that name of the socket `fd`, recorded before.  `given`: the name as the program wrote
 * it, which getsockname(2) tells it if it is one of its working directory; or NULL.  0 or -errno.
 */
int bind_new_socket(struct session *s, struct request *q, int fd, mode_t mode, const char *given);

/* Between these two a change is made: written down, and with the authority of the rule.  `made` is
 * what the system call returned, with its errno. */
int change_begin(struct session *s, struct request *q);
int change_end(struct session *s, struct request *q, long made, const struct target *t);

#endif
