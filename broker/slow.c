/* SPDX-License-Identifier: MIT */
/*
 * slow.c - opens that may block, each in a child of the broker's.
 *
 * Runs in: broker, caged.  Trusts: its children, which are forks of it.
 *
 * A child shares the broker's table of descriptors (CLONE_FILES), so that what it opens is at once
 * the broker's own; its number comes through a pipe.  The record is written when there is a
 * descriptor to hand over, not before.
 */
#include "broker/slow.h"
#include "broker/identity.h"
#include "broker/open_path.h"
#include "broker/trap.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* What a child says: less than PIPE_BUF, so that it comes whole (pipe(7)). */
struct report {
	pid_t pid;
	int result; /* the descriptor, or -errno */
};

/* A call that waits. */
struct waiting {
	pid_t pid; /* of the child; 0: the slot is free */
	struct notice notice;
	struct request q;
	bool cloexec;
	bool ended; /* the child has, and its report was not there yet */
};

struct slow {
	int report_fd[2];
	size_t n;
	struct waiting of[SLOW_MAX];
};

int slow_new(struct slow **ret)
{
	struct slow *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	if (pipe2(w->report_fd, O_CLOEXEC | O_NONBLOCK) < 0) {
		int r = -errno;

		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

static void release(struct slow *w, struct waiting *one)
{
	request_deinit(&one->q);
	one->pid = 0;
	w->n--;
}

struct slow *slow_free(struct slow *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < SLOW_MAX; i++) {
		if (w->of[i].pid == 0)
			continue;
		kill(w->of[i].pid, SIGKILL);
		spawn_reap(w->of[i].pid);
		release(w, &w->of[i]);
	}
	fd_close_many(w->report_fd, 2);
	free(w);
	return NULL;
}

int slow_fd(const struct slow *w)
{
	return w->report_fd[0];
}

size_t slow_waiting(const struct slow *w)
{
	return w->n;
}

/* The child's whole life. */
static void open_and_report(struct session *s, const struct request *q, int report_fd)
{
	struct report report = {.pid = getpid(), .result = -EPERM};
	unsigned as = q->answer.as;

	/* A change of the fsuid takes the signal of a dead parent back: prctl(2). */
	if (identity_take(s, as) == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
		report.result = open_waiting(s, q);
	/* Shorter than PIPE_BUF, into a pipe that has room for all that can wait. */
	if (write(report_fd, &report, sizeof(report)) != (ssize_t)sizeof(report))
		_exit(1);
	_exit(0);
}

int slow_open(struct session *s, const struct notice *notice, struct request *q, bool cloexec)
{
	struct slow *w = s->slow;
	struct waiting *one = w->of;
	pid_t pid;

	if (w->n == SLOW_MAX)
		return -EAGAIN;
	while (one->pid != 0)
		one++;
	pid = spawn_sharing_files();
	if (pid == 0)
		open_and_report(s, q, w->report_fd[1]);
	if (pid < 0)
		return (int)pid;
	one->pid = pid;
	one->notice = *notice;
	one->cloexec = cloexec;
	one->ended = false;
	one->q = *q;
	/* What the answer names lies in the request: it moved. */
	one->q.blamed = NULL;
	one->q.target.name = NULL;
	q->target.fd = q->target.given_fd = q->target2.fd = q->target2.given_fd = q->fd = -1;
	w->n++;
	return 0;
}

static struct waiting *find(struct slow *w, pid_t pid)
{
	for (size_t i = 0; i < SLOW_MAX; i++) {
		if (w->of[i].pid == pid)
			return &w->of[i];
	}
	return NULL;
}

int slow_serve(struct session *s, const char **ret_why)
{
	struct slow *w = s->slow;
	struct report report;
	int r = 0;

	while (r == 0 &&
		read(w->report_fd[0], &report, sizeof(report)) == (ssize_t)sizeof(report)) {
		autofd fd = report.result >= 0 ? report.result : -1;
		struct waiting *one = find(w, report.pid);

		if (!one) /* its caller was gone */
			continue;
		spawn_reap(one->pid);
		one->q.fd = fd_take(&fd);
		r = trap_answer(s, &one->notice, &one->q, one->cloexec,
			report.result >= 0 ? ANSWER_FD : report.result);
		release(w, one);
	}
	if (r == -EBADE)
		*ret_why = "a descriptor was half handed over";
	return r == -ENOENT ? 0 : r;
}

/* A child that ended without a word, killed by somebody: its report would be here by the next look.
 */
static bool is_silent(struct waiting *one)
{
	if (one->ended)
		return true;
	one->ended = spawn_has_ended(one->pid);
	return false;
}

void slow_check(struct session *s)
{
	struct slow *w = s->slow;

	for (size_t i = 0; i < SLOW_MAX; i++) {
		struct waiting *one = &w->of[i];

		if (one->pid == 0)
			continue;
		if (notify_valid(s->cell->notify, one->notice.id)) {
			if (!is_silent(one))
				continue;
			trap_answer(s, &one->notice, &one->q, one->cloexec, -EIO);
		}
		kill(one->pid, SIGKILL);
		spawn_reap(one->pid);
		release(w, one);
	}
}
