/* SPDX-License-Identifier: MIT */
/*
 * affinity.c - where broker and worker run.
 *
 * Runs in: broker, caged.  Trusts: nothing; a wrong guess costs speed alone.
 */
#include "broker/affinity.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CLOSE_NS  2000000 /* two requests this near belong to one conversation */
#define RUN_BEGIN 256     /* so many of them, and the two are brought together; see affinity.h */
#define RUN_CHECK 256     /* so often the threads are counted */
#define RUN_LONG  16384   /* so long, and the scheduler may choose again */

int affinity_prepare(struct affinity *a)
{
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return a->timer_fd < 0 ? -errno : 0;
}

void affinity_init(struct affinity *a, pid_t worker, int procs_fd)
{
	a->procs_fd = procs_fd;
	CPU_ZERO(&a->one);
	a->usable = sched_getaffinity(worker, sizeof(a->full_set), &a->full_set) == 0 &&
		    sched_getaffinity(0, sizeof(a->broker_set), &a->broker_set) == 0 &&
		    CPU_COUNT(&a->full_set) > 1;
}

void affinity_deinit(struct affinity *a)
{
	affinity_release(a);
	fd_close(&a->timer_fd);
}

static void set_timer(const struct affinity *a, long ms)
{
	const struct itimerspec t = {{0, ms * 1000000}, {0, ms * 1000000}};

	timerfd_settime(a->timer_fd, 0, &t, NULL);
}

/* task/ has two links and one for each thread. */
static bool single_threaded(const struct affinity *a)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "%d/task", (int)a->tid);
	return fstatat(a->procs_fd, path, &st, 0) == 0 && st.st_nlink == 3;
}

static void hold(struct affinity *a)
{
	int cpu = sched_getcpu();

	if (cpu < 0 || sched_getaffinity(a->tid, sizeof(a->asker_set), &a->asker_set) < 0 ||
		!CPU_ISSET(cpu, &a->asker_set) || !single_threaded(a))
		return;
	CPU_ZERO(&a->one);
	CPU_SET(cpu, &a->one);
	if (sched_setaffinity(a->tid, sizeof(a->one), &a->one) < 0) {
		a->usable = errno != EPERM; /* sched_setaffinity(2): of another user */
		return;
	}
	sched_setaffinity(0, sizeof(a->one), &a->one);
	set_timer(a, AFFINITY_SILENCE_MS);
	a->held = a->was_held = true;
}

void affinity_release(struct affinity *a)
{
	a->run = 0;
	if (!a->held)
		return;
	sched_setaffinity(a->tid, sizeof(a->asker_set), &a->asker_set);
	sched_setaffinity(0, sizeof(a->broker_set), &a->broker_set);
	set_timer(a, 0);
	a->held = false;
}

void affinity_tick(struct affinity *a, uint64_t now_ns)
{
	uint64_t ticks;

	if (read(a->timer_fd, &ticks, sizeof(ticks)) < 0)
		return;
	if (now_ns - a->last_ns >= AFFINITY_SILENCE_MS * 1000000ull)
		affinity_release(a);
}

/* Who has not asked before may be a child of who was held, with the one CPU for inheritance. */
static void welcome(struct affinity *a, pid_t tid)
{
	cpu_set_t set;

	for (size_t i = 0; i < AFFINITY_SEEN; i++) {
		if (a->seen[i] == tid)
			return;
	}
	a->seen[a->next_seen++ % AFFINITY_SEEN] = tid;
	if (a->was_held && sched_getaffinity(tid, sizeof(set), &set) == 0 &&
		CPU_EQUAL(&set, &a->one))
		sched_setaffinity(tid, sizeof(a->full_set), &a->full_set);
}

void affinity_let_go(struct affinity *a, pid_t tid)
{
	if (!a->usable)
		return;
	if (tid == a->tid)
		affinity_release(a);
	else
		welcome(a, tid);
}

void affinity_request(struct affinity *a, pid_t tid, uint64_t now_ns)
{
	uint64_t gap = now_ns - a->last_ns;

	a->last_ns = now_ns;
	if (!a->usable)
		return;
	if (tid != a->tid) {
		affinity_release(a);
		welcome(a, tid);
		a->tid = tid;
	}
	/* Between the two lies what a busy machine adds to any request: it ends no conversation. */
	if (gap < CLOSE_NS)
		a->run++;
	else if (gap >= AFFINITY_SILENCE_MS * 1000000ull)
		a->run = 0;
	if (!a->held) {
		if (a->run >= RUN_BEGIN)
			hold(a);
	} else if (a->run >= RUN_LONG || (a->run % RUN_CHECK == 0 && !single_threaded(a))) {
		affinity_release(a);
	}
}
