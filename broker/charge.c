/* SPDX-License-Identifier: MIT */
/*
 * charge.c - `limit requests` and `limit held`: taken before anything is opened.
 *
 * Runs in: broker.  Trusts: the kernel's count of what the worker holds.
 *
 * Requests are paid for from a bucket that fills with time and holds a second's worth, so that a
 * burst is no offence.  What is held is counted, not kept in a book of our own: the worker closes
 * descriptors without telling.
 */
#include "broker/charge.h"
#include "broker/ask.h"
#include "broker/decide.h"
#include "broker/slow.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000ull

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

/* How many descriptors the worker holds: the size of /proc/PID/fd, or before Linux 6.2, where that
 * is 0, its entries. */
static long held(int worker_files_fd)
{
	struct stat st;
	int r = fd_stat(worker_files_fd, &st);

	if (r < 0)
		return r;
	return st.st_size > 0 ? (long)st.st_size : count_entries(worker_files_fd);
}

void charge_refused(struct session *s, struct request *q)
{
	if (!q->charged && !q->by_limit && s->charge.per_second > 0)
		charge_pay(s, q->began_ns);
}

int charge(struct session *s, struct request *q, bool for_fd)
{
	struct charge *c = &s->charge;
	long n;

	if (!q->charged && c->per_second > 0 && !charge_pay(s, q->began_ns)) {
		q->by_limit = true;
		return refuse(q, EBUSY, "over \"limit requests %" PRIu64 "\"", c->per_second);
	}
	q->charged = true;
	if (!for_fd || c->held_max == 0)
		return 0;
	n = held(c->worker_files_fd);
	if (n < 0)
		return refuse(q, EMFILE, "cannot count what the worker holds");
	if ((uint64_t)n + ask_undelivered(s) >= c->held_max) {
		q->by_limit = true;
		return refuse(q, EMFILE, "over \"limit held %" PRIu64 "\"", c->held_max);
	}
	return 0;
}
