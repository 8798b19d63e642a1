/* SPDX-License-Identifier: MIT */
/*
 * slow.h - opens that may block, each in a child of the broker's: a FIFO whose other end is not
 * there yet, a file that another holds a lease on.
 *
 * The broker never waits.  What the policy has allowed and the kernel would not open at once is
 * opened by a short-lived child in the same cage, while others are served; the caller waits, as it
 * would natively, until the open returns or it is killed.
 */
#ifndef WARDER_SLOW_H
#define WARDER_SLOW_H

#include "broker/request.h"

#define SLOW_MAX      64  /* at once; one more is EAGAIN */
#define SLOW_CHECK_MS 100 /* so often it is looked whether the callers still wait */

struct slow;

/* Makes the pipe on which children report, before the cage.  0 or -errno. */
int slow_new(struct slow **ret);
/* Ends the children that still wait. */
struct slow *slow_free(struct slow *w);
/* Readable when a child has reported. */
int slow_fd(const struct slow *w);
/* How many callers wait. */
size_t slow_waiting(const struct slow *w);

/*
 * Takes over a call whose request is decided, charged and resolved (q->target.fd): it will be
 * answered later.  0; -EAGAIN: too many wait already; or -errno: no child could be made.
 */
int slow_open(struct session *s, const struct notice *notice, struct request *q, bool cloexec);

/* Answers what children have reported.  0, or negative: the session ends, *ret_why says why. */
int slow_serve(struct session *s, const char **ret_why);
/* Ends the children of callers that are gone. */
void slow_check(struct session *s);

#endif
