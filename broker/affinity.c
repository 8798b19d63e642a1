/* SPDX-License-Identifier: MIT */
/*
 * affinity.c - where broker and worker run.
 *
 * Runs in: broker, caged.  Trusts: nothing; a wrong guess costs speed alone.
 */
#include "broker/affinity.h"
#include "broker/tracee.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define CLOSE_NS     2000000 /* two requests this near belong to one conversation */
#define RUN_BEGIN    256     /* so many of them, and the two are brought together */
#define RUN_CHECK    256     /* so often the threads are counted */
#define RUN_LONG     16384   /* so long, and the scheduler may choose again */
#define LOOKS_MAX    2       /* pieces of the list that are looked at at a tick */
#define CLEAN_ENOUGH 2       /* what was being forked at the first look stands in the second */

int affinity_prepare(struct affinity *a)
{
	a->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return a->timer_fd < 0 ? -errno : 0;
}

void affinity_init(struct affinity *a, const struct session *s)
{
	pid_t worker = s->cell->worker_pid;

	a->session = s;
	CPU_ZERO(&a->held_to);
	a->lists = s->root == ROOT_VIEW && tracee_number(s, 1) > 0;
	a->usable = sched_getaffinity(worker, sizeof(a->full_set), &a->full_set) == 0 &&
		    sched_getaffinity(0, sizeof(a->broker_set), &a->broker_set) == 0 &&
		    CPU_COUNT(&a->full_set) > 1;
}

void affinity_deinit(struct affinity *a)
{
	affinity_release(a);
	fd_close(&a->timer_fd);
}

/* One that runs is not set again: those that hold and let go in turns would never hear it. */
static void tick(struct affinity *a, bool on)
{
	const long ns = on ? AFFINITY_SILENCE_MS * 1000000 : 0;
	const struct itimerspec t = {{0, ns}, {0, ns}};

	if (a->ticks != on)
		timerfd_settime(a->timer_fd, 0, &t, NULL);
	a->ticks = on;
}

/* task/ has two links and one for each thread. */
static bool single_threaded(const struct affinity *a)
{
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "%d/task", (int)a->tid);
	return fstatat(a->session->cell->procs_fd, path, &st, 0) == 0 && st.st_nlink == 3;
}

static void hold(struct affinity *a)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	if (cpu < 0 || sched_getaffinity(a->tid, sizeof(a->asker_set), &a->asker_set) < 0 ||
		!CPU_ISSET(cpu, &a->asker_set) || !single_threaded(a))
		return;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CPU_SET(cpu, &a->held_to);
	if (sched_setaffinity(a->tid, sizeof(one), &one) < 0) {
		a->usable = errno != EPERM; /* sched_setaffinity(2): of another user */
		return;
	}
	sched_setaffinity(0, sizeof(one), &one);
	tick(a, true);
	a->held = a->was_held = true;
}

void affinity_release(struct affinity *a)
{
	a->run = 0;
	if (!a->held)
		return;
	sched_setaffinity(a->tid, sizeof(a->asker_set), &a->asker_set);
	sched_setaffinity(0, sizeof(a->broker_set), &a->broker_set);
	a->held = false;
	a->clean = 0;
}

/* ---- who has inherited the one CPU ----------------------------------------------------------- */

/* Whether the thread had to be given its CPUs back. */
static bool mend(const struct affinity *a, pid_t tid)
{
	cpu_set_t set, both;

	if (!a->was_held || sched_getaffinity(tid, sizeof(set), &set) < 0)
		return false;
	CPU_AND(&both, &set, &a->held_to);
	return CPU_COUNT(&set) == 1 && CPU_EQUAL(&set, &both) &&
	       sched_setaffinity(tid, sizeof(a->full_set), &a->full_set) == 0;
}

/* Those in a piece of the list of processes: a thread that was made after the fork has been let go
 * before.  The cell's init is none of them. */
static void mend_listed(struct affinity *a, const char *buf, long size)
{
	for (long i = 0; i < size;) {
		const struct dirent64 *d = (const void *)(buf + i);
		int number = atoi(d->d_name);
		pid_t tid = number > 1 ? tracee_number(a->session, number) : -1;

		i += d->d_reclen;
		a->looked_to = d->d_off;
		if (tid > 0 && !(a->held && tid == a->tid) && mend(a, tid))
			a->clean = 0;
	}
}

/* However many there are in the cell, a tick takes its time and no more. */
static void look(struct affinity *a)
{
	_Alignas(struct dirent64) char buf[4096];
	autofd fd = -1;
	long n = 0;

	if (tracee_processes(a->session, &fd) < 0 || lseek(fd, a->looked_to, SEEK_SET) < 0)
		return;
	for (int i = 0; i < LOOKS_MAX; i++) {
		n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
		if (n <= 0)
			break;
		mend_listed(a, buf, n);
	}
	if (n > 0)
		return;
	a->looked_to = 0;
	a->clean++;
}

void affinity_tick(struct affinity *a, uint64_t now_ns)
{
	uint64_t ticks;

	if (read(a->timer_fd, &ticks, sizeof(ticks)) < 0)
		return;
	if (now_ns - a->last_ns >= AFFINITY_SILENCE_MS * 1000000ull)
		affinity_release(a);
	if (a->lists)
		look(a);
	if (!a->held && (!a->lists || a->clean >= CLEAN_ENOUGH))
		tick(a, false);
}

/* Who has not asked before may be a child of who was held, with the one CPU for inheritance. */
static void welcome(struct affinity *a, pid_t tid)
{
	for (size_t i = 0; i < AFFINITY_SEEN; i++) {
		if (a->seen[i] == tid)
			return;
	}
	a->seen[a->next_seen++ % AFFINITY_SEEN] = tid;
	mend(a, tid);
}

/* ---- what is heard of threads ---------------------------------------------------------------- */

void affinity_chosen(struct affinity *a, pid_t tid)
{
	if (!a->usable)
		return;
	affinity_release(a);
	mend(a, tid);
	if (a->was_held && a->lists) {
		a->looked_to = 0;
		look(a);
	}
	tick(a, false);
	a->usable = false;
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
		if (a->run > 0 && a->run % RUN_BEGIN == 0)
			hold(a);
	} else if (a->run >= RUN_LONG || (a->run % RUN_CHECK == 0 && !single_threaded(a))) {
		affinity_release(a);
	}
}
