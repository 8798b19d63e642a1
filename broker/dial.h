/* SPDX-License-Identifier: MIT */
/*
 * dial.h - the broker's side of the dialer: what it was asked, and whom its answers are for.
 *
 * The broker never waits: a request that needs the dialer is taken over, as slow.h takes over an
 * open, and finished when the dialer has answered, its deadline has passed, or its caller is gone.
 * At most DIAL_WAITING_MAX wait; one more is refused.
 */
#ifndef WARDER_DIAL_BROKER_H
#define WARDER_DIAL_BROKER_H

#include "broker/notify.h"
#include "broker/request.h"
#include "broker/sock.h"
#include "common/dial.h"

/* Who waits for a dial, by its door. */
struct dial_waiter {
	struct notice notice; /* trap: the call */
	int worker_fd;        /* trap: the number of its socket */
	struct sock sock;     /* trap: the copy of its socket; owned */
	uint32_t id;          /* ask: the message */
};

/* A dial that has ended; valid during finish(). */
struct dialled {
	struct request q; /* decided and charged; q.fd is the socket, where one came */
	struct dial_waiter waiter;
	int result;                        /* 0 or -errno */
	bool released;                     /* the caller had a signal to take: interrupt.h */
	const struct dial_message *answer; /* done or names; NULL: cut short */
};

/* Answers the one who waits: records, hands over.  0, or negative: the session ends, *ret_why says
 * why.  What it does not take (q, waiter) is released afterwards. */
typedef int dial_finish(struct session *s, struct dialled *d, const char **ret_why);

/* Before the cage.  0 or -ENOMEM. */
int dial_new(struct dial **ret);
struct dial *dial_free(struct dial *d);
/* How many wait. */
size_t dial_waiting(const struct dial *d);

/*
 * Sends m (its id is filled in) with the descriptors (borrowed) and takes over the request and the
 * waiter's socket.  0: finish() will be called, later; else nothing was taken over: -EAGAIN: too
 * many wait; -ENETDOWN: there is no dialer, or it is gone; or -errno.
 */
int dial_begin(struct session *s, struct request *q, struct dial_waiter *waiter,
	struct dial_message *m, const int *fds, size_t n_fds, dial_finish *finish);

/* The channel is readable: serves one message.  0, or negative as above. */
int dial_serve(struct session *s, const char **ret_why);
/* Every DIAL_CHECK_MS while some wait: callers that are gone or have a signal to take, deadlines.
 */
int dial_check(struct session *s, const char **ret_why);
#define DIAL_CHECK_MS 100

/* Records what came of a request that no door brought.  `result`, or -EIO where it cannot be. */
int dial_settle(struct session *s, struct request *q, int result);

/* Says of a `udp` that has been answered what came of it: DIAL_HEAR or DIAL_CANCEL.  0 or -errno.
 */
int dial_follow(struct session *s, const struct dialled *d, enum dial_op op);

/* Ends a dialer that lies: who waits for it is refused.  0, or negative as above.  From a finish()
 * too. */
int dial_end(struct session *s, const char *reason, const char **ret_why);

/*
 * Whether the policy allows q->peer: the address, and each name that it is known to have
 * (names.h).  Fills in q->answer and q->peer.name as decide() does; a refusal is made with
 * dial_refuse().
 */
enum verdict dial_decide(struct session *s, struct request *q);
/* The same of looking up the name in q->peer. */
enum verdict dial_decide_name(struct session *s, struct request *q);
int dial_refuse(struct session *s, struct request *q);

#endif
