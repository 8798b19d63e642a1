/* SPDX-License-Identifier: MIT */
/*
 * ask_dial.h - the ask door's way to the dialer and back.
 */
#ifndef WARDER_ASK_DIAL_H
#define WARDER_ASK_DIAL_H

#include "broker/ask.h"

/* An empty message of that row; the dialer waits for what comes of it. */
void ask_dial_message(struct dial_message *m, enum dial_op op);

/* What is left of the time: the shorter of what the worker and what the rule gave.  0: no limit.
 * 0 or -ETIMEDOUT. */
int ask_time_left(const struct request *q, uint32_t *ret_ms);

/*
 * Sends a record that is being served on its way, with borrowed descriptors; `admit`: to the
 * address in q->peer, which q->answer allows.  ANSWER_LATER, with the request taken over; or
 * -errno.
 */
int ask_dial(struct session *s, struct request *q, struct dial_message *m, const int *fds,
	size_t n_fds, later_came *came, bool admit);
/* The same of one that has come back and goes on; l says where to. */
int ask_dial_on(struct session *s, struct request *q, struct later *l, struct dial_message *m,
	const int *fds, size_t n_fds, later_came *came);

/* Whether q->fd is a Unix socket of the type that was asked for, of the outer network, which does
 * not listen.  0, or -EACCES, refused; so below. */
int ask_check_loose(const struct session *s, struct request *q);
/* Whether it is a TCP socket of the outer network whose other end, or its own, is where the policy
 * has admitted it: q->peer and q->answer then say where. */
int ask_check_address(const struct session *s, struct request *q, const struct later *l, bool own);
/* The same of a connected Unix socket, or of one that is bound to an abstract name. */
int ask_check_unix(const struct session *s, struct request *q, bool own);

/* Makes q->fd block, as a descriptor of libwarder's does, and says whose it is.  ANSWER_FD or
 * -errno. */
int ask_give_socket(struct later *l, struct request *q);

#endif
