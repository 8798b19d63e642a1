/* SPDX-License-Identifier: MIT */
/*
 * charge.h - `limit requests` and `limit held`: taken before anything is opened.
 */
#ifndef WARDER_CHARGE_H
#define WARDER_CHARGE_H

#include "broker/request.h"

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_ns(void);

/*
 * Charges one request, once; `for_fd` where it is to end in a descriptor.  0; refused with -EBUSY
 * (`limit requests`: ask again later), -EMFILE (`limit held`: close some first), or -errno where
 * what is held cannot be counted.
 */
int charge(struct session *s, struct request *q, bool for_fd);

/* Before the first request: how what is held can be counted in this cell. */
void charge_init(struct session *s);

/* A descriptor was granted that another process charged: slow.h's child. */
void charge_granted(struct session *s);

/* Takes one request out of `limit requests`; whether there was one. */
bool charge_pay(struct session *s, uint64_t now_ns);

/* Charges a request that was refused before it came to that: it counts as well. */
void charge_refused(struct session *s, struct request *q);

#endif
