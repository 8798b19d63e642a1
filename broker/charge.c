/* SPDX-License-Identifier: MIT */
/*
 * charge.c - `limit requests` and `limit held`: taken before anything is opened.
 *
 * Runs in: broker.  Trusts: the kernel's count of what the cell holds.
 *
 * Requests are paid for from a bucket that fills with time and holds a second's worth, so that a
 * burst is no offence.  What is held is counted, not kept in a book of our own: the worker closes
 * descriptors without telling.  All processes of the cell are counted together: a fork is no way
 * round a limit.
 */
#include "broker/charge.h"
#include "broker/ask.h"
#include "broker/decide.h"
#include "broker/slow.h"
#include "broker/tracee.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull
#define LOOKS_MAX 512 /* processes and threads of the cell; more count as over the limit */

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

bool charge_pay(struct session *s, uint64_t now_ns)
{
	struct charge *c = &s->charge;
	uint64_t price = SECOND_NS / c->per_second;

	if (s->in_child)
		return slow_pay(s);
	if (c->last_ns == 0) {
		c->credit_ns = SECOND_NS;
	} else if (now_ns > c->last_ns) {
		c->credit_ns += now_ns - c->last_ns;
		if (c->credit_ns > SECOND_NS)
			c->credit_ns = SECOND_NS;
	}
	c->last_ns = now_ns;
	if (c->credit_ns < price)
		return false;
	c->credit_ns -= price;
	return true;
}

/* ---- what is held ---------------------------------------------------------------------------- */

/* Counts the entries of an open directory.  The count or -errno. */
static long count_entries(int fd)
{
	_Alignas(struct dirent64) char buf[4096];
	long count = 0;
	long n;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n; count++)
			at += ((struct dirent64 *)(buf + at))->d_reclen;
	}
	return n < 0 ? -errno : count - 2; /* "." and ".." */
}

/* How many descriptors the first process holds: the size of /proc/PID/fd, or before Linux 6.2,
 * where that is 0, its entries. */
static long held_by_first(int worker_files_fd)
{
	struct stat st;
	int r = fd_stat(worker_files_fd, &st);

	if (r < 0)
		return r;
	return st.st_size > 0 ? (long)st.st_size : count_entries(worker_files_fd);
}

/* A walk over the cell's /proc. */
struct count {
	const struct session *s;
	int proc_fd;
	uint64_t held;
	unsigned looks;   /* processes and threads looked at */
	pid_t first_here; /* of a process's threads, the first that has a table */
};

/* Size of the table of a process or a thread, "2" or "2/task/3"; 0 where it has ended. */
static uint64_t table_size(const struct count *c, const char *who)
{
	struct stat st;
	char path[48];

	snprintf(path, sizeof(path), "%s/fd", who);
	return fstatat(c->proc_fd, path, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

/* A thread may leave the table that it was made with: unshare(2).  One that cannot be compared
 * counts as such. */
static void count_thread(struct count *c, int process, int thread)
{
	pid_t here = tracee_number(c->s, thread);
	uint64_t size;
	char who[40];

	snprintf(who, sizeof(who), "%d/task/%d", process, thread);
	size = table_size(c, who);
	if (size == 0 || (c->first_here > 0 && here > 0 &&
				 syscall(SYS_kcmp, c->first_here, here, KCMP_FILES, 0, 0) == 0))
		return;
	c->held += size;
	if (c->first_here == 0)
		c->first_here = here;
}

static int count_process(struct count *c, int process);

/* Of the processes of the cell (0), or of the threads of one of them. */
static int count_listed(struct count *c, int dir_fd, int process)
{
	_Alignas(struct dirent64) char buf[2048];
	long n;
	int r = 0;

	while (r == 0 && (n = syscall(SYS_getdents64, dir_fd, buf, sizeof(buf))) != 0) {
		if (n < 0)
			return -errno;
		for (long at = 0; r == 0 && at < n;) {
			const struct dirent64 *d = (const void *)(buf + at);
			int number = atoi(d->d_name);

			at += d->d_reclen;
			/* 1 is the cell's init, which is warder's. */
			if (number <= 1)
				continue;
			if (++c->looks > LOOKS_MAX)
				return -E2BIG;
			if (process == 0)
				r = count_process(c, number);
			else
				count_thread(c, process, number);
		}
	}
	return r;
}

static int count_process(struct count *c, int process)
{
	autofd task_fd = -1;
	struct stat st;
	char path[24];
	int r;

	snprintf(path, sizeof(path), "%d/task", process);
	if (fstatat(c->proc_fd, path, &st, 0) < 0)
		return 0; /* it has ended */
	/* Two links and one for each thread. */
	if (st.st_nlink <= 3) {
		snprintf(path, sizeof(path), "%d", process);
		c->held += table_size(c, path);
		return 0;
	}
	r = tracee_threads(c->s, process, &task_fd);
	c->first_here = 0;
	if (r == 0)
		r = count_listed(c, task_fd, process);
	/* One that ends meanwhile holds nothing any more. */
	return r == -ENOENT || r == -ESRCH ? 0 : r;
}

/* -E2BIG: of too many to be looked at. */
static int held_by_cell(const struct session *s, uint64_t *ret)
{
	struct count c = {.s = s};
	autofd proc_fd = -1;
	int r = tracee_processes(s, &proc_fd);

	if (r < 0)
		return r;
	c.proc_fd = proc_fd;
	r = count_listed(&c, proc_fd, 0);
	*ret = c.held;
	return r;
}

static int over_held(struct request *q, uint64_t max, const char *why)
{
	q->by_limit = true;
	return refuse(q, EMFILE, "over \"limit held %" PRIu64 "\"%s", max, why);
}

/*
 * What is held is counted where as many have been granted as there was room for at the last count:
 * between two counts nothing can bring the files that the warder gave to more than the limit.  A
 * child of slow.h's knows of no other grants than its own and counts each time.
 */
static int charge_held(struct session *s, struct request *q)
{
	struct charge *c = &s->charge;
	uint64_t n = 0;
	long r;

	if (c->room > 0 && !s->in_child) {
		c->room--;
		return 0;
	}
	if (c->lists) {
		r = held_by_cell(s, &n);
	} else {
		r = held_by_first(c->worker_files_fd);
		n = r < 0 ? 0 : (uint64_t)r;
	}
	if (r == -E2BIG)
		return over_held(q, c->held_max, ": too many processes to be counted");
	if (r < 0)
		return refuse(q, EMFILE, "cannot count what the worker holds");
	n += s->in_child ? slow_undelivered(s) : ask_undelivered(s);
	if (n >= c->held_max)
		return over_held(q, c->held_max, "");
	/* Elsewhere it costs one call, and is exact each time. */
	c->room = c->lists ? c->held_max - n - 1 : 0;
	return 0;
}

void charge_init(struct session *s)
{
	s->charge.lists = s->charge.held_max > 0 && s->root == ROOT_VIEW && tracee_number(s, 1) > 0;
}

void charge_granted(struct session *s)
{
	if (s->charge.room > 0)
		s->charge.room--;
}

void charge_refused(struct session *s, struct request *q)
{
	if (!q->charged && !q->by_limit && s->charge.per_second > 0)
		charge_pay(s, q->began_ns);
}

int charge(struct session *s, struct request *q, bool for_fd)
{
	struct charge *c = &s->charge;

	if (!q->charged && c->per_second > 0 && !charge_pay(s, q->began_ns)) {
		q->by_limit = true;
		return refuse(q, EBUSY, "over \"limit requests %" PRIu64 "\"", c->per_second);
	}
	q->charged = true;
	return for_fd && c->held_max > 0 ? charge_held(s, q) : 0;
}
