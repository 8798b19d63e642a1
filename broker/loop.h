/* SPDX-License-Identifier: MIT */
/*
 * loop.h - the broker's event loop.
 */
#ifndef WARDER_LOOP_H
#define WARDER_LOOP_H

#include "broker/affinity.h"
#include "broker/broker.h"
#include "broker/request.h"

#include <poll.h>

/* What the loop waits for.  Both doors and the dialer stand beside the rest, not in it: see
 * loop.c. */
enum { WAIT_TRAP, WAIT_CHANNEL, WAIT_DIALER, WAIT_REST, WAIT__COUNT };

struct loop {
	const struct broker_args *args;
	struct pollfd waits[WAIT__COUNT];
	int epoll_fd; /* the rest: what seldom comes */
	int signal_fd;
	int timer_fd;          /* `time`, and the end of a drain; -1: neither */
	int clients_fd;        /* the broker's end of the clients channel; -1: none, or drained */
	int control_fd;        /* borrowed; -1: none, or the supervisor closed it */
	bool waits_to_write;   /* the worker does not read: requests wait until it does */
	uint64_t check_ns;     /* when those that wait are looked at next */
	unsigned asked_to_end; /* signals that ask for the end, so far */
	bool waits_for_worker; /* it has not read its clients: none is taken in until it does */
	bool drains;           /* the timer is that of the drain */
	bool timed_out;
	bool over;
	int status; /* for the shell */
	struct failure failure;
	struct affinity affinity;
};

#define LOOP_INIT \
	{ \
		.epoll_fd = -1, .signal_fd = -1, .timer_fd = -1, .clients_fd = -1, \
		.control_fd = -1, .affinity = AFFINITY_INIT \
	}

/* Makes the loop's descriptors, before the cage; `time_ms` runs from loop_run() on.
 * 0 or -errno. */
int loop_init(struct loop *l, const struct broker_args *a, uint64_t time_ms);
/* Once it has run: lets go of the CPUs and closes what it waited with.  The channel of clients
 * stays open, since who is still in the cell would see it end. */
void loop_stop(struct loop *l);
/* Closes all that is left. */
void loop_deinit(struct loop *l);

/* Serves until the worker has ended, or the session must.  Returns why, for the last record; what
 * came of it stands in l->status, timed_out and failure. */
const char *loop_run(struct loop *l, struct session *s);

#endif
