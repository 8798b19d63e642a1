/* SPDX-License-Identifier: MIT */
/*
 * ask.h - the ask door: messages of the channel in, answers and descriptors out.
 */
#ifndef WARDER_ASK_H
#define WARDER_ASK_H

#include "broker/dial.h"
#include "broker/request.h"

/* Makes the buffers of the ask door: the one allocation of a session, before it serves.  Call it
 * when the other fields of s are filled in.  0 or -errno. */
int ask_init(struct session *s);
/* Writes what was only counted so far, closes what was not delivered, frees.  Safe without init. */
void ask_deinit(struct session *s);

/*
 * Serves what waits on the channel, at most a few messages, so that the loop stays fair.
 * 0: go on; 1: the worker closed its end; -EAGAIN: the worker does not read its answers: call
 * again when the channel can be written; else negative: the session ends, -EBADMSG for a lie of
 * the worker's (*ret_why says which, for the record), else our own failure.
 */
int ask_serve(struct session *s, const char **ret_why);

/* Descriptors opened for the worker, or on their way, that it does not hold yet, at most. */
size_t ask_undelivered(struct session *s);

/* ---- records that are answered later --------------------------------------------------------- */

#define LATER_MAX      DIAL_WAITING_MAX
#define LATER_DATA_MAX (MSG_PATH_MAX + 1024)

struct later;
/* Looks at what the dialer has said of the record (d->result) and brought (d->q.fd).  As a handler:
 * 0, with l->data; ANSWER_FD; ANSWER_LATER: it is on its way again; or -errno. */
typedef int later_came(struct session *s, struct dialled *d, struct later *l);

/* In a child of slow.h's: serves the record from its beginning, with the socket in q->fd that the
 * dialer made for it.  As a handler, with l->data. */
typedef int later_serve(struct session *s, struct request *q, struct later *l);

/* A record of the ask door that waits for the network or for a file system, and what its handler
 * must remember. */
struct later {
	uint32_t id; /* of its message; 0: free */
	unsigned op;
	uint16_t count; /* records of it that are answered together */
	later_came *came;
	/* Where the dialer was sent, each by the answer that admits it. */
	size_t n;
	struct dial_address addresses[DIAL_ADDRESSES_MAX];
	struct policy_answer answers[DIAL_ADDRESSES_MAX];
	/* What came of it, until the worker reads. */
	int result;
	int fd; /* owned; -1 */
	uint64_t grant;
	size_t data_size;
	uint8_t data[LATER_DATA_MAX];
};

/* Takes a place for the record that is being served.  NULL: too many wait. */
struct later *ask_defer(struct session *s, const struct request *q);
/* Gives it back: the record is answered at once after all. */
void ask_undefer(struct later *l);
/* Whom a message's id belongs to; NULL: nobody waits for it. */
struct later *ask_waiter(struct session *s, uint32_t id);

/*
 * The record's answer, with l->data: records it, sends it or lets it wait until the worker reads.
 * `result` is as a handler's.  Takes q->fd.  0, or negative: the session ends.
 */
int ask_finish(struct session *s, struct later *l, struct request *q, int result);

/* Gives a deferred record to a child, which answers it.  ANSWER_LATER; or -errno, refused, with
 * nothing taken. */
int ask_go_slowly(struct session *s, struct request *q, struct later *l, later_serve *serve);
/* The child has answered, with so many descriptors. */
void ask_slowly_done(struct session *s, struct later *l, size_t n_fds);
/* Nobody answers it but the broker: each of its records came to that errno.  0, or negative: the
 * session ends. */
int ask_fail(struct session *s, struct later *l, int result);

/* Whether an answer waits for the channel to be writable. */
bool ask_waits(const struct session *s);
/* Whether the worker has closed its end: nobody waits for any answer. */
bool ask_is_gone(const struct session *s);

#endif
