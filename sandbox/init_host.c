/* SPDX-License-Identifier: MIT */
/*
 * init_host.c - the init of `root host`: starts the worker and holds the cell's life.
 *
 * Runs in: init, the broker's child, within the broker's Landlock domain, as the worker's user.
 * Trusts: the broker, whose fork it is.
 *
 * No pid namespace ends the cell when init does, so init does it: it is a subreaper (prctl(2)), so
 * that whatever the worker leaves behind becomes its child; and it stands in a Landlock domain of
 * its own that scopes signals, with the worker's domain nested in it.  kill(-1, SIGKILL) therefore
 * reaches the whole cell and nothing else, in one step that no fork(2) escapes: the kernel walks
 * all processes under the lock that fork takes to add one.  Without that scope (ABI 6) the children
 * are killed one by one until none is left.
 */
#include "common/chan.h"
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

struct host {
	int sock;
	int signal_fd;
	int children_fd; /* /proc/self/task/TID/children, where signals are not scoped */
	bool scoped;
	pid_t worker;
};

static int lock_in(const struct cell_spec *spec, const struct cell_prep *prep, struct host *h,
	struct failure *f)
{
	sigset_t child;
	int r;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	h->signal_fd = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	h->children_fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
	if (h->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return fail(f, -errno, "init: cannot become the cell's reaper: %m");
	r = rules_scope_signals(prep->landlock_abi, f);
	if (r < 0)
		return r;
	h->scoped = r == 1;
	if (!h->scoped && h->children_fd < 0)
		return fail(f, -ENOSYS,
			"init: neither Landlock's signal scope nor /proc/self/children is there, "
			"so "
			"the cell could not be ended");
	r = caps_lock(f);
	if (r == 0)
		r = user_take(spec, f);
	if (r == 0)
		r = caps_none(f);
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = fail(f, -errno, "init: cannot lock itself in: %m");
	return r;
}

static int start_worker(const struct cell_spec *spec, const struct cell_prep *prep, int rules_fd,
	const struct filter *filter, int status_fd, struct host *h, int *ret_pidfd,
	struct failure *f)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)ret_pidfd,
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0)
		worker_main(spec, prep, rules_fd, filter, status_fd);
	if (pid < 0)
		return fail(f, -errno, "cannot start the worker: %m");
	h->worker = (pid_t)pid;
	return 0;
}

/* Reaps whatever ended, and tells how the worker did. */
static void reap(struct host *h)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(h->signal_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == h->worker)
			chan_send(h->sock, &status, sizeof(status), NULL, 0, false);
	}
}

static void wait_for_end(struct host *h)
{
	struct pollfd polls[] = {
		{.fd = h->sock, .events = POLLIN},
		{.fd = h->signal_fd, .events = POLLIN},
	};
	char byte;

	while (true) {
		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			return;
		if (polls[1].revents)
			reap(h);
		if (polls[0].revents && read(h->sock, &byte, 1) <= 0)
			return;
	}
}

static void kill_children(int children_fd)
{
	char text[8192];
	char *at = text;
	long n;

	if (lseek(children_fd, 0, SEEK_SET) < 0)
		return;
	n = read(children_fd, text, sizeof(text) - 1);
	/* The last number of a longer list may be half of one: its turn is the next round's. */
	if (n == (long)sizeof(text) - 1)
		while (n > 0 && text[n - 1] != ' ')
			n--;
	text[n > 0 ? n : 0] = '\0';
	while (*at) {
		long pid = strtol(at, &at, 10);

		if (pid > 1)
			kill((pid_t)pid, SIGKILL);
		while (*at == ' ')
			at++;
	}
}

static void end_all(struct host *h)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	pid_t pid;

	while (true) {
		if (h->scoped)
			kill(-1, SIGKILL);
		else
			kill_children(h->children_fd);
		do
			pid = waitpid(-1, NULL, h->scoped ? 0 : WNOHANG);
		while (pid > 0 || (pid < 0 && errno == EINTR));
		if (pid < 0)
			return;
		nanosleep(&pause, NULL);
	}
}

/* Moves its own descriptors to 0, 1 and 2 and closes all others: the broker's stdio, and the status
 * pipe above all. */
static void keep_own(struct host *h)
{
	dup2(h->sock, 0);
	dup2(h->signal_fd, 1);
	if (h->children_fd < 0 || dup2(h->children_fd, 2) < 0)
		close(2);
	abi_close_range(3, ~0U);
	h->sock = 0;
	h->signal_fd = 1;
	h->children_fd = 2;
}

void cell_init_host(const struct cell_spec *spec, const struct cell_prep *prep, int sock,
	int rules_fd, const struct filter *filter, int status_fd)
{
	struct host h = {.sock = sock, .signal_fd = -1, .children_fd = -1};
	struct cell_host_report report = {0, FAILURE_INIT};
	struct filter own;
	sigset_t all;
	int pidfd = -1;
	int r;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_DFL); /* ignored, the kernel would take the worker's status */
	r = filter_find(FILTER_INIT, spec, &own, &report.failure);
	if (r == 0)
		r = lock_in(spec, prep, &h, &report.failure);
	if (r == 0)
		r = start_worker(
			spec, prep, rules_fd, filter, status_fd, &h, &pidfd, &report.failure);
	/* Before the report, without which no exec is let go on: await_exec() takes it as the last.
	 */
	fd_close(&status_fd);
	report.worker = h.worker;
	if (chan_send(sock, &report, sizeof(report), &pidfd, r == 0 ? 1 : 0, true) < 0 || r < 0) {
		if (h.worker > 0)
			end_all(&h);
		_exit(1);
	}
	keep_own(&h);
	if (cell_load_filter(&own, &report.failure) == 0)
		wait_for_end(&h);
	end_all(&h);
	_exit(0);
}
