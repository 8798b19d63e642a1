/* SPDX-License-Identifier: MIT */
/*
 * interrupt.h - whether a signal ends a trapped call that waits, as it would natively.
 *
 * The kernel lets a call that the broker has taken in wait until it is answered or its process is
 * killed: any other signal stays pending.  So while calls wait, it is looked at what is pending for
 * their callers, and the call is answered.
 */
#ifndef WARDER_INTERRUPT_H
#define WARDER_INTERRUPT_H

#include "broker/notify.h"
#include "broker/request.h"

#define INTERRUPT_CHECK_MS 100 /* so often it is looked */

enum interrupt {
	INTERRUPT_NONE,    /* nothing that this thread would be woken for, or it cannot be told */
	INTERRUPT_EINTR,   /* the call ends, and its program sees that */
	INTERRUPT_RESTART, /* the kernel decides: EINTR, or the call is made again (SA_RESTART) */
	INTERRUPT_END,     /* the process is about to end: nobody sees the answer */
};

/*
 * What the signals say that are pending for a thread whose call waits.  It may be another thread's
 * by now: an answer by the call's id is then no one's.  INTERRUPT_NONE in `root empty`, whose cell
 * has no /proc, and before Linux 6.11.
 */
enum interrupt interrupt_of(const struct session *s, pid_t tid);
/* The same of the text of a /proc/PID/status; `leader`: of the process's first thread, where that
 * is another one, else NULL. */
enum interrupt interrupt_in(const char *status, const char *leader);

/* Whether INTERRUPT_CHECK_MS have passed since *looked_ns, which is now_ns then. */
bool interrupt_due(uint64_t *looked_ns, uint64_t now_ns);

/* Ends a request with that, with its reason: -EINTR, or -NOTIFY_RESTART. */
int interrupt_end(struct request *q, enum interrupt how);

#endif
