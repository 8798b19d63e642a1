/* SPDX-License-Identifier: MIT */
/*
 * affinity.h - where broker and worker run.
 *
 * A request costs two wake-ups, and a wake-up on another CPU costs several times the rest of it
 * (docs/performance.md).  While one single-threaded process converses with the broker the two are
 * kept on one CPU; the moment it falls silent, makes a thread or counts its CPUs, another process
 * asks, or they have talked for long, both are let go, so that the scheduler can place them anew.
 *
 * What was forked meanwhile has inherited the one CPU.  It gets its own back at its first request
 * (an exec is one, a thread made and the CPUs counted too), or when the cell's processes are looked
 * through, which is done at each tick until none of them has one CPU alone: two ticks after the
 * end.  Nobody in the cell has chosen to have one: who chooses his CPUs ends all this for the
 * session, so that every choice is kept, and inherited.
 */
#ifndef WARDER_AFFINITY_H
#define WARDER_AFFINITY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define AFFINITY_SILENCE_MS 10 /* without a request: let go; and a tick */

#define AFFINITY_SEEN 16 /* threads that asked last */

struct session;

struct affinity {
	const struct session *session; /* borrowed */
	int timer_fd; /* ticks while the two are held: a timeout of every wait would cost more */
	bool ticks;
	pid_t tid; /* who asked last; while held, who is held */
	pid_t seen[AFFINITY_SEEN];
	unsigned next_seen;
	cpu_set_t full_set, broker_set; /* as the user gave them */
	cpu_set_t asker_set;            /* of who is held, before that */
	cpu_set_t held_to;              /* where anyone was held */
	bool usable, held, was_held;
	bool lists;       /* the cell's processes can be looked through */
	long looked_to;   /* where in their list the last look ended; 0: at its end */
	unsigned clean;   /* times that all were looked at and none had to be mended */
	uint64_t last_ns; /* of the last request */
	uint32_t run;     /* requests of one asker that followed one another closely */
};

#define AFFINITY_INIT \
	{ \
		.timer_fd = -1 \
	}

/* Makes the timer, before the cage.  0 or -errno. */
int affinity_prepare(struct affinity *a);
/* Looks at the two sets; the session must outlive it.  Where the broker may not move the worker
 * (`root host` as root, where it is no owner of a user namespace), every call below does nothing.
 * Where the cell's processes cannot be listed (`root host`, `root empty`, before Linux 6.11) what
 * was forked has the one CPU until its first request.  Call affinity_tick() when timer_fd is
 * readable. */
void affinity_init(struct affinity *a, const struct session *s);
void affinity_deinit(struct affinity *a);

/* A request of this thread came.  `now_ns` is CLOCK_MONOTONIC. */
void affinity_request(struct affinity *a, pid_t tid, uint64_t now_ns);
/* This thread has a call waiting that makes a thread or asks for its CPUs: it has all of them. */
void affinity_let_go(struct affinity *a, pid_t tid);
/* This thread has a call waiting that chooses CPUs, its own or another's: from now on nobody is
 * held. */
void affinity_chosen(struct affinity *a, pid_t tid);
/* Lets go after AFFINITY_SILENCE_MS without a request, and looks for who has inherited one CPU: at
 * some hundred processes at most, the next time at the next ones. */
void affinity_tick(struct affinity *a, uint64_t now_ns);
void affinity_release(struct affinity *a);

#endif
