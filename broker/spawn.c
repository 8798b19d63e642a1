/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - the order of start: init, namespaces, domains, worker; and the end.
 *
 * Runs in: broker, before its cage (the start) and in it (the end).  Trusts: the cell's
 * description; init, which is a fork of it; nothing of the worker's.
 *
 *     1  clone3 init into all namespaces; map its uid; it builds the view and sends descriptors
 *     2  open init's namespaces
 *     3  take the Landlock domain
 *     4  a helper enters the namespaces and makes the worker, this process's child
 *     5  cage_broker(): capabilities, filter; the worker's listener comes in, its exec is answered
 *
 * 3 comes after 1 because a domain forbids mounts, and before 4 because the worker must inherit it;
 * 2 comes before 3 because a process in a domain may no longer inspect one outside.
 */
#include "broker/spawn.h"
#include "broker/spawn_failure.h"
#include "broker/cage.h"
#include "broker/spawn_dialer.h"
#include "common/chan.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that a start holds until it has succeeded. */
struct spawn {
	const struct cell_spec *spec;
	const struct cage_spec *cage;
	struct cell_prep prep;
	struct cell_parts parts;
	struct cell_ns ns;
	struct cell_net net;
	struct dialer_start dialer;
	struct filter filter; /* the worker's */
	struct cell_cgroup cgroup;
	struct cell *cell;
	int status_fd[2]; /* the worker's report: its end closes on exec */
	int mounts_fd;    /* the view's mountinfo, until it is read */
};

static int wait_pid(pid_t pid, int *ret_status)
{
	pid_t r;

	do
		r = waitpid(pid, ret_status, 0);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* ---- 1 and 2: init ------------------------------------------------------------------------- */

static int fork_init(struct spawn *s, uint64_t namespaces, struct failure *f)
{
	struct clone_args args = {.flags = namespaces, .exit_signal = SIGCHLD};
	autofd ours = -1, theirs = -1;
	long pid;
	int r = chan_pair(&ours, &theirs);

	if (r < 0)
		return fail(f, r, "cannot make init's socket: %m");
	if (s->cgroup.dir_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)s->cgroup.dir_fd;
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		fd_close(&ours);
		if (s->spec->root == CELL_HOST)
			cell_init_host(s->spec, &s->prep, theirs, s->parts.worker_rules_fd,
				&s->filter, s->status_fd[1]);
		/* Or the exec that closes the worker's would be no end-of-file yet. */
		fd_close_many(s->status_fd, 2);
		cell_init(s->spec, &s->prep, theirs);
	}
	if (pid < 0) {
		r = fail(f, -errno, "cannot make the cell's namespaces: %m");
		return cell_explain_userns(r, f);
	}
	s->cell->init_pid = (pid_t)pid;
	s->cell->init_fd = fd_take(&ours);
	return 0;
}

static int start_init(struct spawn *s, struct failure *f)
{
	int r = fork_init(s, cell_namespaces(s->spec, &s->prep), f);

	if (r == 0)
		r = cell_adopt(s->spec, &s->prep, s->cell->init_pid, &s->ns, f);
	if (r < 0)
		return r;
	r = chan_send(s->cell->init_fd, "g", 1, NULL, 0, true);
	return r < 0 ? fail(f, r, "cannot start the cell's init: %m") : 0;
}

/* Init sends its failure, or none and the descriptors. */
static int await_init(struct spawn *s, struct failure *f)
{
	int *const all[] = {&s->parts.view_fd, &s->parts.twin_fd, &s->parts.broker_rules_fd,
		&s->parts.worker_rules_fd};
	struct failure told = FAILURE_INIT;
	int fds[4] = {-1, -1, -1, -1};
	size_t n = 0;
	long size = chan_recv(s->cell->init_fd, &told, sizeof(told), fds, 4, &n, true);

	for (size_t i = 0; size > 0 && i < n; i++)
		*all[i] = fds[i];
	if (size != (long)sizeof(told))
		return fail(f, size < 0 ? (int)size : -ECHILD,
			"the cell's init ended before the cell was built; the kernel's log may "
			"say why");
	told.text[sizeof(told.text) - 1] = '\0';
	if (told.error)
		return fail(f, told.error, "%s", told.text);
	if (n != (s->prep.landlock_abi ? 4 : 2))
		return fail(f, -EPROTO, "the cell's init sent %zu descriptors", n);
	return 0;
}

/* ---- helpers -------------------------------------------------------------------------------- */

/* A short-lived child that enters namespaces, which this process could not leave again.  It shares
 * memory and waits for nothing, and this process waits for it: what it writes is seen. */
struct helper {
	struct spawn *s;
	struct failure *f;
	int (*run)(struct spawn *s, struct failure *f);
	int result;
};

static int helper_main(void *p)
{
	struct helper *h = p;

	h->result = h->run(h->s, h->f);
	return 0;
}

#define HELPER_STACK (256 * 1024) /* the worker's last steps run on a copy of it */

static int run_helper(struct spawn *s, int flags, int (*run)(struct spawn *s, struct failure *f),
	struct failure *f)
{
	struct helper h = {.s = s, .f = f, .run = run, .result = -EAGAIN};
	char *stack = mmap(NULL, HELPER_STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	int status, r;
	pid_t pid;

	if (stack == MAP_FAILED)
		return fail(f, -errno, "cannot start a helper: %m");
	pid = clone(
		helper_main, stack + HELPER_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD | flags, &h);
	r = pid < 0 ? -errno : wait_pid(pid, &status);
	munmap(stack, HELPER_STACK);
	if (r < 0)
		return fail(f, r, "cannot start a helper: %m");
	return h.result < 0 ? fail(f, h.result, "a helper failed: %m") : h.result;
}

/* ---- 2: the network, while init builds the view ---------------------------------------------- */

static int network_main(struct spawn *s, struct failure *f)
{
	return cell_network(s->spec, &s->prep, &s->ns, &s->net, f);
}

static int start_dialer(struct spawn *s, struct failure *f)
{
	s->cell->net_cookie = s->net.cookie;
	if (!(s->spec->sockets & CELL_SOCKETS_OUT))
		return 0;
	/* The last of them: a spare, on which nothing is set. */
	if (s->net.n_of[DIAL_CELL_SPARE] > 0)
		socket_options_learn(&s->cell->defaults, s->net.fds[s->net.n_fds - 1]);
	return dialer_start(&s->dialer, s->spec, &s->ns, &s->net, f);
}

/* It has had the time of the rest of the start. */
static int take_dialer(struct spawn *s, struct failure *f)
{
	int r = s->dialer.pid > 0 ? dialer_await(&s->dialer, s->spec, f) : 0;

	if (r == 0) {
		s->cell->dialer_pid = s->dialer.pid;
		s->cell->dialer_fd = fd_take(&s->dialer.channel_fd);
		s->cell->dialer_life_fd = fd_take(&s->dialer.life_fd);
	}
	return r;
}

/* ---- 4: the worker -------------------------------------------------------------------------- */

static int worker_main(struct spawn *s, struct failure *f)
{
	int r = cell_cgroup_enter(&s->cgroup, f);

	return r < 0 ? r
		     : cell_enter(s->spec, &s->prep, &s->ns, s->parts.worker_rules_fd, &s->filter,
			       s->status_fd[1], f);
}

static int start_worker(struct spawn *s, struct failure *f)
{
	int pid = run_helper(s, 0, worker_main, f);

	if (pid < 0)
		return pid;
	s->cell->worker_pid = (pid_t)pid;
	fd_close(&s->status_fd[1]);
	return 0;
}

/* The listener of the worker's filter: until it is here, and the worker without it, no instruction
 * of the program runs. */
static int await_listener(struct spawn *s, int *ret_exec, struct failure *f)
{
	struct worker_report report;
	autofd fd = -1;
	size_t n = 0;
	long size = chan_recv(s->status_fd[0], &report, sizeof(report), &fd, 1, &n, true);
	int r;

	if (size == (long)sizeof(report) && n == 0)
		return spawn_failure(s->spec, &report, ret_exec, f);
	if (size != 1 || n != 1)
		return fail(f, size < 0 ? (int)size : -EPROTO,
			"the worker ended before its filter was loaded");
	r = notify_attach(s->cell->notify, &fd);
	return r < 0 ? fail(f, r, "cannot take the trap door's listener: %m") : 0;
}

/* The calls of our own last steps: execve along PATH.  Nothing of the program's has run yet, so
 * that all may go on; Landlock says what is runnable. */
static int answer_exec(struct spawn *s, struct failure *f)
{
	struct notice notice;
	int r = notify_receive(s->cell->notify, &notice);

	if (r == 0 && notice.nr == SYS_execve)
		r = notify_continue(s->cell->notify, notice.id);
	else if (r == 0)
		r = notify_refuse(s->cell->notify, notice.id, EPERM);
	return r < 0 && r != -ENOENT ? fail(f, r, "cannot let the worker start: %m") : 0;
}

/* End-of-file: the program runs.  It comes before any call of the program's, since the exec that
 * closes the socket does. */
static int await_exec(struct spawn *s, int *ret_exec, struct failure *f)
{
	struct pollfd polls[] = {
		{.fd = s->status_fd[0], .events = POLLIN},
		{.fd = notify_fd(s->cell->notify), .events = POLLIN},
	};
	struct worker_report report;
	size_t n = 0;
	long size;
	int r;

	while (true) {
		r = poll(polls, 2, -1);
		/* Looked at in turn: the exec may have come between the two looks, and the call
		 * that waits be the program's own.  So the socket is looked at after the listener.
		 */
		if (r >= 0 && !polls[0].revents)
			r = poll(polls, 1, 0);
		/* Then it has not said what there is: what it said before is over. */
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return fail(f, -errno, "cannot wait for the worker's start: %m");
		if (polls[0].revents)
			break;
		r = polls[1].revents & POLLIN ? answer_exec(s, f) : 0;
		if (r < 0)
			return r;
		if (polls[1].revents & POLLHUP)
			polls[1].fd = -1;
	}
	size = chan_recv(s->status_fd[0], &report, sizeof(report), NULL, 0, &n, true);
	if (size == 0)
		return 0;
	if (size != (long)sizeof(report))
		return fail(f, size < 0 ? (int)size : -EPROTO,
			"the worker ended before its program ran");
	return spawn_failure(s->spec, &report, ret_exec, f);
}

static int find_worker(struct cell *c, struct failure *f)
{
	char path[40];

	if (c->worker_pidfd < 0)
		c->worker_pidfd = (int)syscall(SYS_pidfd_open, c->worker_pid, 0);
	if (c->worker_pidfd < 0)
		return fail(f, -errno, "cannot hold on to the worker: %m");
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->worker_pid);
	/* Enough for fstat(2), whose st_size is the number of descriptors (Linux 6.2). */
	c->worker_files_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (c->worker_files_fd < 0 && errno != ENOENT && errno != ESRCH)
		return fail(f, -errno, "cannot find the worker in /proc: %m");
	return 0;
}

/* ---- the order ------------------------------------------------------------------------------- */

/* The kernel asks about each mount anew, and the worker need not wait for that. */
static int read_mounts(struct spawn *s, struct failure *f)
{
	int r = slow_fs_read(&s->mounts_fd, &s->cell->slow);

	return r < 0 ? fail(f, r, "cannot read the cell's mountinfo: %m") : 0;
}

static int start_cell(struct spawn *s, struct failure *f)
{
	int r = start_init(s, f);

	/* CLONE_FILES: the descriptor it opens is to stay here. */
	if (r == 0)
		r = run_helper(s, CLONE_FILES, network_main, f);
	if (r == 0)
		r = start_dialer(s, f);
	if (r == 0)
		r = await_init(s, f);
	if (r == 0)
		r = slow_fs_open(s->cell->init_pid, &s->mounts_fd, &s->cell->slow_host, f);
	if (r == 0)
		r = cell_restrict(s->parts.broker_rules_fd, f);
	return r < 0 ? r : start_worker(s, f);
}

/* `root host`: no mount to make, so that init itself is within the domain, and starts the worker.
 */
static int start_host(struct spawn *s, struct failure *f)
{
	struct cell_host_report report;
	size_t n = 0;
	long size;
	int r = cell_host_parts(s->spec, &s->prep, &s->parts, f);

	s->cell->is_host = true;
	if (r == 0)
		r = slow_fs_open(s->cell->init_pid, &s->mounts_fd, &s->cell->slow_host, f);
	if (r == 0)
		r = start_dialer(s, f);
	if (r == 0)
		r = cell_restrict(s->parts.broker_rules_fd, f);
	if (r == 0)
		r = fork_init(s, 0, f);
	if (r < 0)
		return r;
	fd_close(&s->status_fd[1]);
	size = chan_recv(
		s->cell->init_fd, &report, sizeof(report), &s->cell->worker_pidfd, 1, &n, true);
	if (size != (long)sizeof(report))
		return fail(
			f, size < 0 ? (int)size : -ECHILD, "the cell's init ended at its start");
	report.failure.text[sizeof(report.failure.text) - 1] = '\0';
	if (report.failure.error || n != 1)
		return fail(f, report.failure.error ? report.failure.error : -EPROTO, "%s",
			report.failure.text);
	s->cell->worker_pid = report.worker;
	return 0;
}

static int start(struct spawn *s, int *ret_exec, struct failure *f)
{
	int r = cage_groups(s->spec, f);

	if (r == 0)
		r = cell_prepare(s->spec, &s->prep, f);
	if (r == 0)
		r = filter_find(FILTER_WORKER, s->spec, &s->filter, f);
	if (r == 0)
		r = cell_cgroup(&s->spec->limits, &s->cgroup, f);
	if (r < 0)
		return r;
	s->cell->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	s->cell->procs_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->cell->proc_fd < 0 || s->cell->procs_fd < 0)
		return fail(f, -errno, "cannot open /proc/self/fd: %m; warder needs /proc");
	r = notify_new(&s->cell->notify);
	if (r < 0)
		return fail(f, r, "seccomp: no user notification (%m); use Linux 5.19 or newer");
	r = chan_pair(&s->status_fd[0], &s->status_fd[1]);
	if (r < 0)
		return fail(f, r, "cannot make the worker's status socket: %m");
	r = s->spec->root == CELL_HOST ? start_host(s, f) : start_cell(s, f);
	if (r == 0)
		r = find_worker(s->cell, f);
	s->cell->view_fd = fd_take(&s->parts.view_fd);
	s->cell->twin_fd = fd_take(&s->parts.twin_fd);
	s->cell->pid_ns_fd = fd_take(&s->ns.fds[CELL_NS_PID]);
	s->cell->oom_fd = fd_take(&s->cgroup.events_fd);
	/* While the worker goes its last steps. */
	if (r == 0)
		r = read_mounts(s, f);
	if (r == 0)
		r = cage_broker(s->spec, s->cage, f);
	if (r == 0 && s->cage->caged)
		r = s->cage->caged(s->cage->ctx, f);
	if (r == 0)
		r = take_dialer(s, f);
	if (r == 0)
		r = await_listener(s, ret_exec, f);
	return r < 0 ? r : await_exec(s, ret_exec, f);
}

int spawn_cell(const struct cell_spec *spec, const struct cage_spec *cage, struct cell *ret,
	int *ret_exec, struct failure *f)
{
	struct spawn s = {
		.spec = spec,
		.cage = cage,
		.prep = CELL_PREP_INIT,
		.parts = CELL_PARTS_INIT,
		.ns = CELL_NS_INIT,
		.net = CELL_NET_INIT,
		.dialer = DIALER_START_INIT,
		.cgroup = CELL_CGROUP_INIT,
		.cell = ret,
		.status_fd = {-1, -1},
		.mounts_fd = -1,
	};
	int r;

	*ret = (struct cell)CELL_INIT;
	r = start(&s, ret_exec, f);
	if (r < 0)
		cell_end(ret);
	cell_prep_free(spec, &s.prep);
	fd_close_many(s.ns.fds, CELL_NAMESPACES);
	fd_close_many(s.net.fds, s.net.n_fds);
	dialer_start_deinit(&s.dialer);
	fd_close(&s.cgroup.dir_fd);
	fd_close(&s.cgroup.procs_fd);
	fd_close(&s.cgroup.events_fd);
	fd_close_many(s.status_fd, 2);
	fd_close(&s.mounts_fd);
	fd_close(&s.parts.view_fd);
	fd_close(&s.parts.twin_fd);
	fd_close(&s.parts.broker_rules_fd);
	fd_close(&s.parts.worker_rules_fd);
	return r;
}

/* ---- a child of the caged broker ------------------------------------------------------------- */

pid_t spawn_copying_files(void)
{
	/* Not fork(3), which does more than the cage allows; clone(2): without a stack of its own,
	 * and without CLONE_VM, the child goes on here on a copy. */
	long pid = syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		hurry_forked();
	}
	return pid < 0 ? -errno : (pid_t)pid;
}

int spawn_child_proc(struct cell *cell)
{
	cell->proc_fd = openat(cell->procs_fd, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return cell->proc_fd < 0 ? -errno : 0;
}

int spawn_reap(pid_t pid)
{
	int status = 0;
	int r = wait_pid(pid, &status);

	if (r < 0)
		return r;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

bool spawn_reap_ended(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WNOHANG) != 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static uint64_t ms_of(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000 + (uint64_t)t->tv_usec / 1000;
}

static int wait_worker(struct cell *cell, int *ret_status)
{
	struct rusage used;
	pid_t r;

	do
		r = wait4(cell->worker_pid, ret_status, 0, &used);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	cell->cpu_ms = ms_of(&used.ru_utime) + ms_of(&used.ru_stime);
	return 0;
}

int cell_wait(struct cell *cell)
{
	int status = 0;
	size_t n;
	int r;

	if (cell->worker_pid <= 0)
		return -ECHILD;
	if (cell->is_host)
		r = chan_recv(cell->init_fd, &status, sizeof(status), NULL, 0, &n, true) ==
				    (long)sizeof(status)
			    ? 0
			    : -ECHILD;
	else
		r = wait_worker(cell, &status);
	cell->worker_pid = 0;
	return r < 0 ? r : shell_status(status);
}

/* Init meets end-of-file and exits; the kernel kills what is left in the cell, and init itself is
 * done only when each of them has been reaped: the worker by us. */
void cell_end_begin(struct cell *cell)
{
	fd_close(&cell->init_fd);
}

void cell_end(struct cell *cell)
{
	int status;

	cell_end_begin(cell);
	/* The twin's mounts go here while the view's go there. */
	fd_close(&cell->twin_fd);
	fd_close(&cell->view_fd);
	fd_close(&cell->proc_fd);
	fd_close(&cell->procs_fd);
	fd_close(&cell->pid_ns_fd);
	cell->slow = slow_fs_free(cell->slow);
	cell->slow_host = slow_host_free(cell->slow_host);
	fd_close(&cell->worker_pidfd);
	fd_close(&cell->worker_files_fd);
	fd_close(&cell->oom_fd);
	if (cell->worker_pid > 0 && !cell->is_host)
		wait_pid(cell->worker_pid, &status);
	cell->worker_pid = 0;
	if (cell->init_pid > 0)
		wait_pid(cell->init_pid, &status);
	cell->init_pid = 0;
	/* Not before, since what still ran would tell the user of ENOSYS and lost connections. */
	cell->notify = notify_free(cell->notify);
	fd_close(&cell->dialer_fd);
	dialer_reap(cell->dialer_pid, &cell->dialer_life_fd);
	cell->dialer_pid = 0;
}
