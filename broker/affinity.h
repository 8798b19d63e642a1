/* SPDX-License-Identifier: MIT */
/*
 * affinity.h - where broker and worker run.
 *
 * A request costs two wake-ups, and a wake-up on another CPU costs several times the rest of it
 * (docs/limits.md).  While a single-threaded worker converses with its broker the two are kept on
 * one CPU; the moment it falls silent, gains a thread, or has talked for long, both are let go, so
 * that the scheduler can place them anew.  A worker with threads is never held.
 */
#ifndef WARDER_AFFINITY_H
#define WARDER_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AFFINITY_SILENCE_MS 10 /* without a request: let go */

struct affinity {
	pid_t worker;
	int timer_fd; /* ticks while the two are held: a timeout of every wait would cost more */
	int task_fd;  /* O_PATH of /proc/PID: its task/ has two links and one for each thread */
	cpu_set_t worker_set, broker_set; /* as the user gave them */
	bool usable, held;
	uint64_t last_ns; /* of the last request */
	uint32_t run;     /* requests that followed one another closely */
};

#define AFFINITY_INIT \
	{ \
		.timer_fd = -1, .task_fd = -1 \
	}

/* Makes the timer, before the cage.  0 or -errno. */
int affinity_prepare(struct affinity *a);
/* Looks at the two sets.  Where the broker may not move the worker (`root host` as root, where it
 * is no owner of a user namespace), every call below does nothing.  Call
 * affinity_tick() when timer_fd is readable. */
void affinity_init(struct affinity *a, pid_t worker);
void affinity_deinit(struct affinity *a);

/* A request came.  `now_ns` is CLOCK_MONOTONIC. */
void affinity_request(struct affinity *a, uint64_t now_ns);
/* Lets go after AFFINITY_SILENCE_MS without a request. */
void affinity_tick(struct affinity *a, uint64_t now_ns);
void affinity_release(struct affinity *a);

#endif
