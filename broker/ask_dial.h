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
	size_t n_fds, dial_finish *finish, bool admit);
/* The same of one that has come back and goes on; l says where to. */
int ask_dial_on(struct session *s, struct request *q, struct later *l, struct dial_message *m,
	const int *fds, size_t n_fds, dial_finish *finish);

/* Whether q->fd is of the kind that was asked for; ret->fd is borrowed from it.  Makes it block.
 * 0, or -EACCES, refused. */
int ask_check_kind(const struct session *s, struct request *q, struct sock *ret);
/* The same, and that its other end, or its own, is where the policy has admitted it: q->peer and
 * q->answer then say where. */
int ask_check_address(const struct session *s, struct request *q, const struct later *l,
	struct sock *ret, bool own);
/* The same of a connected Unix socket. */
int ask_check_unix(const struct session *s, struct request *q, struct sock *ret);

/* Ends a record whose socket is q->fd where r is 0.  As ask_finish(). */
int ask_finish_socket(struct session *s, struct later *l, struct request *q, int r);

#endif
