/* SPDX-License-Identifier: MIT */
/*
 * slow.h - requests that may have to wait, each in a child of the broker's: the open of a FIFO
 * whose other end is not there yet, of a file that another holds a lease on, and whatever leads to
 * a file system whose answers come from another process or machine.
 *
 * The broker never waits.  Such a request is served by a short-lived child in the same cage, while
 * others are served; who asks waits, as natively, until that is done, or, of a trapped call, it is
 * killed, or a signal ends its wait for a FIFO, a lease or a connection (interrupt.h).  The ledger
 * stays the broker's: a child asks it to write, and goes on when that is done.
 */
#ifndef WARDER_SLOW_H
#define WARDER_SLOW_H

#include "broker/trap.h"

struct later;

#define SLOW_MAX      64  /* at once; one more is EAGAIN */
#define SLOW_CHECK_MS 100 /* so often it is looked whether the callers still wait */

struct slow;

/* Makes the socket on which children report, before the cage.  0 or -errno. */
int slow_new(struct slow **ret);
/* Ends the children that still wait, and frees s->slow.  One that hangs in the kernel is left to
 * end by itself: it holds nothing that anyone waits for. */
void slow_free(struct session *s);
/* Readable when a child says something. */
int slow_fd(const struct slow *w);
/* How many children there are. */
size_t slow_waiting(const struct slow *w);

/* Descriptors that children have opened for messages, or are about to send. */
size_t slow_promised(const struct slow *w);

/* Whether some part of the view may let a look at a name wait. */
bool slow_any(const struct session *s);
/* Whether a path of the view, absolute and normalised, lies on such a part. */
bool slow_holds(const struct session *s, const char *path, size_t size);

/* Whether a child could serve it. */
bool slow_serves(const struct request *q);
/* Whether a request may have to wait for a file system before it is even decided. */
bool slow_may_be(const struct session *s, const struct request *q);

#define SLOW_KEEP_MAX (MSG_COUNT_MAX + 1)

/* What a child is to do. */
struct slow_job {
	const struct notice *notice;                /* the call that it answers; or NULL and */
	struct later *later;                        /* the message */
	const struct request *q;                    /* whose descriptors it keeps */
	int (*serve)(struct session *s, void *ctx); /* in the child; 0, or as trap_serve() */
	void *ctx;
	int keep[SLOW_KEEP_MAX]; /* borrowed: what else it keeps; -1 is none */
	size_t n_keep;
	uint64_t grants[MSG_COUNT_MAX]; /* of a message: records that promise what it keeps */
	size_t n_grants;
};

/* Gives a request to a child, which answers it.  0; -EAGAIN: too many wait already; or -errno: no
 * child could be made. */
int slow_start(struct session *s, const struct slow_job *job);

/* Does what children ask for.  0, or negative: the session ends, *ret_why says why. */
int slow_serve(struct session *s, const char **ret_why);
/* Reaps those that have ended; one that did so without a word is an error to its caller. */
int slow_reap(struct session *s, const char **ret_why);
/* Ends the children of callers that are gone, and interrupts the opens that wait of those that have
 * a signal to take. */
void slow_check(struct session *s);

/* In a child: one call that may wait.  -EINTR: a signal has come. */
typedef int slow_call(struct session *s, struct request *q, void *ctx);
/* In a child: the call, until a signal of the caller's ends it, as interrupt_end() says (`restarts`
 * false: with -EINTR alone), or until_ns (CLOCK_MONOTONIC; 0: never) has come: -ETIMEDOUT. */
int slow_wait(struct session *s, struct request *q, slow_call *call, void *ctx, uint64_t until_ns,
	bool restarts);
/* The same of open_waiting(). */
int slow_open(struct session *s, struct request *q);

/* In a child: getsockname(2) tells this of the socket that it has bound; goes with slow_record().
 */
void slow_tell(struct session *s, const char *path);
/* In a child that serves a message: it is about to send the answer; ends the child if nobody waits
 * for that any more. */
void slow_answers(struct session *s);
/* And has sent so many descriptors. */
void slow_sent(struct session *s, size_t n_fds);

/* In a child: what the broker does for it.  As record(), record_change() and record_undelivered()
 * with what follows them, and as paying for one request. */
int slow_record(struct session *s, struct request *q);
int slow_record_change(struct session *s, struct request *q);
int slow_record_undelivered(struct session *s, uint64_t grant, int error, const char *reason);
bool slow_pay(struct session *s);
/* In a child: ask_undelivered(), but for what is asked for now. */
size_t slow_undelivered(struct session *s);

#endif
