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
#define RUN_BEGIN 4       /* so many of them, and the two are brought together */
#define RUN_CHECK 256     /* so often the threads are counted */
#define RUN_LONG  16384   /* so long, and the scheduler may choose again */

int affinity_prepare(struct affinity *a)
{
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return a->timer_fd < 0 ? -errno : 0;
}

void affinity_init(struct affinity *a, pid_t worker)
{
	char path[32];

	a->worker = worker;
	/* O_PATH: Landlock does not ask about it (landlock(7)), and fstatat needs no more. */
	snprintf(path, sizeof(path), "/proc/%d", (int)worker);
	a->task_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	a->usable = a->task_fd >= 0 &&
		    sched_getaffinity(worker, sizeof(a->worker_set), &a->worker_set) == 0 &&
		    sched_getaffinity(0, sizeof(a->broker_set), &a->broker_set) == 0 &&
		    CPU_COUNT(&a->worker_set) > 1;
}

void affinity_deinit(struct affinity *a)
{
	affinity_release(a);
	fd_close(&a->task_fd);
	fd_close(&a->timer_fd);
}

static void set_timer(const struct affinity *a, long ms)
{
	const struct itimerspec t = {{0, ms * 1000000}, {0, ms * 1000000}};

	timerfd_settime(a->timer_fd, 0, &t, NULL);
}

static bool single_threaded(const struct affinity *a)
{
	struct stat st;

	return fstatat(a->task_fd, "task", &st, 0) == 0 && st.st_nlink == 3;
}

static void hold(struct affinity *a)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	if (cpu < 0 || !CPU_ISSET(cpu, &a->worker_set) || !single_threaded(a))
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(a->worker, sizeof(one), &one) < 0) {
		a->usable = false; /* sched_setaffinity(2): EPERM, of another user */
		return;
	}
	sched_setaffinity(0, sizeof(one), &one);
	set_timer(a, AFFINITY_SILENCE_MS);
	a->held = true;
}

void affinity_release(struct affinity *a)
{
	a->run = 0;
	if (!a->held)
		return;
	sched_setaffinity(a->worker, sizeof(a->worker_set), &a->worker_set);
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

void affinity_request(struct affinity *a, uint64_t now_ns)
{
	bool close_by = now_ns - a->last_ns < CLOSE_NS;

	a->last_ns = now_ns;
	if (!a->usable)
		return;
	a->run = close_by ? a->run + 1 : 0;
	if (!a->held) {
		if (a->run >= RUN_BEGIN)
			hold(a);
	} else if (a->run >= RUN_LONG || (a->run % RUN_CHECK == 0 && !single_threaded(a))) {
		affinity_release(a);
	}
}
