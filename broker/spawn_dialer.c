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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHANNEL_NUMBER 3 /* where the dialer finds its channel */
#define LIFE_NUMBER    4 /* and the pipe that it lives by */

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

/* Nothing inherited but the channel and standard error. */
static int place_descriptors(int channel_fd, int life_fd, int *report_fd)
{
	autofd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int report = -1, life = -1;

	if (null_fd < 0)
		return -errno;
	/* Out of the way of the numbers below. */
	report = fcntl(*report_fd, F_DUPFD_CLOEXEC, LIFE_NUMBER + 1);
	life = fcntl(life_fd, F_DUPFD_CLOEXEC, LIFE_NUMBER + 1);
	if (report < 0 || life < 0)
		return -errno;
	*report_fd = report;
	if (channel_fd != CHANNEL_NUMBER && dup2(channel_fd, CHANNEL_NUMBER) < 0)
		return -errno;
	if (channel_fd == CHANNEL_NUMBER && fd_cloexec(CHANNEL_NUMBER, false) < 0)
		return -errno;
	if (dup2(life, LIFE_NUMBER) < 0 || dup2(null_fd, 0) < 0 || dup2(null_fd, 1) < 0)
		return -errno;
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

/* Whatever else there is, with or without close-on-exec. */
static void close_others(int report_fd)
{
	if (report_fd > LIFE_NUMBER + 1)
		close_range(LIFE_NUMBER + 1, (unsigned)report_fd - 1, 0);
	close_range((unsigned)report_fd + 1, ~0U, 0);
}

static void run(const struct cell_spec *spec, int channel_fd, int life_fd, int report_fd)
{
	bool datagrams = spec->sockets & CELL_SOCKETS_DATAGRAM;
	char *argv[] = {
		(char *)"warder-dialer", (char *)"3", datagrams ? (char *)"datagrams" : NULL, NULL};
	char *envp[] = {NULL};
	struct failure f = FAILURE_INIT;
	sigset_t none;
	int r;

	sigemptyset(&none);
	r = place_descriptors(channel_fd, life_fd, &report_fd);
	if (r == 0) {
		close_others(report_fd);
		setsid();
		r = take_user(spec);
	}
	if (r == 0)
		r = caps_broker(false, &f);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = live_by_pipe();
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (r == 0) {
		execve(spec->dialer, argv, envp);
		r = -errno;
	}
	if (write(report_fd, &r, sizeof(r)) < 0)
		_exit(1);
	_exit(1);
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

int dialer_start(struct dialer_start *d, const struct cell_spec *spec, struct cell_net *net,
	struct failure *f)
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
		run(spec, theirs, life_fd, report_fd);
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
