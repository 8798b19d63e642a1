/* SPDX-License-Identifier: MIT */
/*
 * spawn_dialer.c - the start and the end of the dialer, the process that holds all network code.
 *
 * Runs in: broker, before its cage (the start) and in it (the end); the dialer, up to its exec.
 * Trusts: the cell's description.
 */
#include "broker/spawn_dialer.h"
#include "common/chan.h"
#include "common/dial.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL_NUMBER 3 /* where the dialer finds its channel */
#define LIFE_NUMBER    4 /* and the pipe that it lives by */
#define PLACES_MAX     3 /* these, and the channel of its maker */

_Static_assert((int)CELL_NET_FDS_MAX <= CHAN_FDS_MAX, "the sockets ride on one message");

/* ---- up to its exec -------------------------------------------------------------------------- */

/* The worker's user: a Unix peer sees this process's uid.  The groups were taken by the broker. */
static int take_user(const struct cell_spec *spec)
{
	if (geteuid() != 0)
		return 0;
	if (setresgid(spec->gid, spec->gid, spec->gid) < 0 ||
		setresuid(spec->uid, spec->uid, spec->uid) < 0)
		return -errno;
	return 0;
}

/* Nothing inherited but these, from CHANNEL_NUMBER on, and standard error. */
static int place_descriptors(const int *fds, int n, int *report_fd)
{
	autofd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int moved[PLACES_MAX], report;

	if (null_fd < 0)
		return -errno;
	/* Out of the way of the numbers below. */
	report = fcntl(*report_fd, F_DUPFD_CLOEXEC, CHANNEL_NUMBER + n);
	if (report < 0)
		return -errno;
	*report_fd = report;
	for (int i = 0; i < n; i++) {
		moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, CHANNEL_NUMBER + n);
		if (moved[i] < 0)
			return -errno;
	}
	for (int i = 0; i < n; i++) {
		if (dup2(moved[i], CHANNEL_NUMBER + i) < 0)
			return -errno;
	}
	if (dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0)
		return -errno;
	/* Whatever else there is, with or without close-on-exec. */
	if (report > CHANNEL_NUMBER + n)
		close_range((unsigned)(CHANNEL_NUMBER + n), (unsigned)report - 1, 0);
	close_range((unsigned)report + 1, ~0U, 0);
	return 0;
}

/* The kernel kills it when the last writer of that pipe is gone, which the broker is: one that
 * hangs or was stopped too.  The signal is sent with the identity that set this, its own (fcntl(2),
 * F_SETOWN), so neither uids nor the broker's domain are in its way. */
static int live_by_pipe(void)
{
	if (fcntl(LIFE_NUMBER, F_SETOWN, getpid()) < 0 ||
		fcntl(LIFE_NUMBER, F_SETSIG, SIGKILL) < 0 ||
		fcntl(LIFE_NUMBER, F_SETFL, O_ASYNC) < 0)
		return -errno;
	return 0;
}

/* Does not return. */
static void execute(const struct cell_spec *spec, char **argv, int r, int report_fd)
{
	char *envp[] = {NULL};
	sigset_t none;

	sigemptyset(&none);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (r == 0) {
		execve(spec->dialer, argv, envp);
		r = -errno;
	}
	if (write(report_fd, &r, sizeof(r)) < 0)
		_exit(1);
	_exit(1);
}

/* The same program in the cell's network, where it makes sockets for the dialer: maker.c there.
 * It ends when the other end of its channel is closed. */
static void run_maker(
	const struct cell_spec *spec, const struct cell_ns *ns, int channel_fd, int report_fd)
{
	char *argv[] = {(char *)"warder-dialer", (char *)"3", (char *)"maker", NULL};
	int r = 0;

	/* As the cell's init: with uid 0 unmapped, leaving it costs no capability there. */
	if (setns(ns->fds[CELL_NS_USER], CLONE_NEWUSER) < 0 ||
		setns(ns->fds[CELL_NS_NET], CLONE_NEWNET) < 0 ||
		setresgid(spec->gid, spec->gid, spec->gid) < 0 ||
		setresuid(spec->uid, spec->uid, spec->uid) < 0)
		r = -errno;
	if (r == 0)
		r = place_descriptors(&channel_fd, 1, &report_fd);
	setsid();
	execute(spec, argv, r, report_fd);
}

/* A child of the dialer's, which the kernel reaps: nobody waits for it. */
static int start_maker(
	const struct cell_spec *spec, const struct cell_ns *ns, int report_fd, int *ret_fd)
{
	autofd ours = -1, theirs = -1;
	int r = chan_pair(&ours, &theirs);
	pid_t pid;

	if (r < 0)
		return r;
	signal(SIGCHLD, SIG_IGN);
	pid = fork();
	if (pid == 0)
		run_maker(spec, ns, theirs, report_fd);
	if (pid < 0)
		return -errno;
	*ret_fd = fd_take(&ours);
	return 0;
}

static void run(const struct cell_spec *spec, const struct cell_ns *ns, int channel_fd, int life_fd,
	int report_fd)
{
	char *argv[] = {(char *)"warder-dialer", (char *)"3", NULL, NULL, NULL};
	int fds[PLACES_MAX] = {channel_fd, life_fd, -1};
	struct failure f = FAILURE_INIT;
	int words = 2, n = 2, r = 0;

	if (spec->sockets & CELL_SOCKETS_DATAGRAM)
		argv[words++] = (char *)"datagrams";
	if (spec->sockets & CELL_SOCKETS_BIND_UDP) {
		argv[words++] = (char *)"udp";
		r = start_maker(spec, ns, report_fd, &fds[n++]);
	}
	if (r == 0)
		r = place_descriptors(fds, n, &report_fd);
	if (r == 0) {
		setsid();
		r = take_user(spec);
	}
	if (r == 0)
		r = caps_broker(false, &f);
	if (r == 0)
		r = live_by_pipe();
	execute(spec, argv, r, report_fd);
}

/* ---- the start ------------------------------------------------------------------------------- */

static int send_sockets(int channel_fd, struct cell_net *net)
{
	struct dial_message m = {.id = DIAL_START_ID, .op = DIAL_START};
	uint8_t buf[DIAL_SIZE_MAX];
	long size;

	memcpy(m.cell, net->n_of, sizeof(m.cell));
	size = dial_encode(&m, buf, sizeof(buf));
	if (size < 0)
		return (int)size;
	return chan_send(channel_fd, buf, (size_t)size, net->fds, net->n_fds, false);
}

static int make_pipe(int *ret_read_fd, int *ret_write_fd)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	*ret_read_fd = fds[0];
	*ret_write_fd = fds[1];
	return 0;
}

int dialer_start(struct dialer_start *d, const struct cell_spec *spec, const struct cell_ns *ns,
	struct cell_net *net, struct failure *f)
{
	autofd theirs = -1, report_fd = -1, life_fd = -1;
	int r = chan_pair(&d->channel_fd, &theirs);

	if (r == 0)
		r = make_pipe(&d->report_fd, &report_fd);
	if (r == 0)
		r = make_pipe(&life_fd, &d->life_fd);
	if (r < 0)
		return fail(f, r, "cannot make the dialer's channel: %m");
	d->pid = fork();
	if (d->pid == 0)
		run(spec, ns, theirs, life_fd, report_fd);
	if (d->pid < 0) {
		r = -errno;
		d->pid = 0;
		return fail(f, r, "cannot start the dialer: %m");
	}
	r = send_sockets(d->channel_fd, net);
	net->n_fds = 0;
	return r < 0 ? fail(f, r, "cannot hand the dialer its sockets: %m") : 0;
}

int dialer_await(struct dialer_start *d, const struct cell_spec *spec, struct failure *f)
{
	int error = 0;
	ssize_t n;

	do
		n = read(d->report_fd, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	fd_close(&d->report_fd);
	if (n == 0)
		return 0;
	return fail(f, n == (ssize_t)sizeof(error) ? error : -EPROTO,
		"cannot run the dialer %s, which reaches sockets for the worker: %m; is warder "
		"installed completely?",
		spec->dialer);
}

void dialer_start_deinit(struct dialer_start *d)
{
	fd_close(&d->report_fd);
	if (d->channel_fd >= 0) {
		fd_close(&d->channel_fd);
		dialer_reap(d->pid, &d->life_fd);
	}
	fd_close(&d->life_fd);
	d->pid = 0;
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool has_ended(pid_t pid)
{
	const struct timespec pause = {.tv_nsec = 2000000};

	for (int i = 0; i < 500; i++) {
		siginfo_t info = {.si_pid = 0};

		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) < 0 || info.si_pid == pid)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

void dialer_reap(pid_t pid, int *life_fd)
{
	bool ended = pid <= 0 || has_ended(pid);

	fd_close(life_fd);
	if (!ended)
		has_ended(pid);
}
