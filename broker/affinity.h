/* SPDX-License-Identifier: MIT */
/*
 * affinity.h - where broker and worker run.
 *
 * A request costs two wake-ups, and a wake-up on another CPU costs several times the rest of it
 * (docs/limits.md).  While one single-threaded process converses with the broker the two are kept
 * on one CPU; the moment it falls silent, makes a thread or counts its CPUs, another process asks,
 * or they have talked for long, both are let go, so that the scheduler can place them anew.  What
 * was forked meanwhile has inherited the one CPU, and gets its own back at its first request: an
 * exec is one, a thread made and the CPUs counted too.
 */
#ifndef WARDER_AFFINITY_H
#define WARDER_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AFFINITY_SILENCE_MS 10 /* without a request: let go */

#define AFFINITY_SEEN 16 /* threads that asked last */

struct affinity {
	int procs_fd; /* borrowed: /proc */
	int timer_fd; /* ticks while the two are held: a timeout of every wait would cost more */
	pid_t tid;    /* who asked last; while held, who is held */
	pid_t seen[AFFINITY_SEEN];
	unsigned next_seen;
	cpu_set_t full_set, broker_set, one; /* as the user gave them; the CPU held last */
	cpu_set_t asker_set;                 /* of who is held, before that */
	bool usable, held, was_held;
	uint64_t last_ns; /* of the last request */
	uint32_t run;     /* requests of one asker that followed one another closely */
};

#define AFFINITY_INIT \
	{ \
		.procs_fd = -1, .timer_fd = -1 \
	}

/* Makes the timer, before the cage.  0 or -errno. */
int affinity_prepare(struct affinity *a);
/* Looks at the two sets.  Where the broker may not move the worker (`root host` as root, where it
 * is no owner of a user namespace), every call below does nothing.  Call
 * affinity_tick() when timer_fd is readable. */
void affinity_init(struct affinity *a, pid_t worker, int procs_fd);
void affinity_deinit(struct affinity *a);

/* A request of this thread came.  `now_ns` is CLOCK_MONOTONIC. */
void affinity_request(struct affinity *a, pid_t tid, uint64_t now_ns);
/* This thread has a call waiting that makes a thread or asks for its CPUs: it has all of them. */
void affinity_let_go(struct affinity *a, pid_t tid);
/* Lets go after AFFINITY_SILENCE_MS without a request. */
void affinity_tick(struct affinity *a, uint64_t now_ns);
void affinity_release(struct affinity *a);

#endif
