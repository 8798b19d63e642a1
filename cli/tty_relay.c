/* SPDX-License-Identifier: MIT */
/*
 * tty_relay.c - copies between the user's terminal and the worker's pty.
 *
 * Runs in: a child of the broker, without capabilities, holding the two terminals and a pipe, with
 * the system calls of sandbox/tables/relay.c alone.
 * Trusts: the user's keys; of the worker's bytes it reads none.
 *
 * It stands in the process group that the shell knows, so job control is the shell's as usual.  The
 * worker is leader of a session of its own, and its group there is orphaned: the kernel would not
 * stop it.  So the key that suspends is met here, where the worker's pty says that it means that
 * (ISIG set, and the session's leader in the foreground: a shell in the cell keeps its own job
 * control): the terminal is restored and this whole process group gets SIGTSTP, at which the broker
 * stops the worker, and then itself.
 */
#include "cli/tty_relay.h"
#include "common/fd.h"
#include "sandbox/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define BUFFER        4096
#define BACKGROUND_MS 300 /* how often a relay in the background looks whether it still is */
#define DRAIN_MS      500 /* how long a killed broker's cell may take to let go of the pty */

enum { IN = 0, OUT = 1, MASTER = 3, ALIVE = 4, SIGNALS = 5 };

struct state {
	const struct relay *spec;
	struct termios saved; /* the user's terminal as it was */
	bool raw;
	bool has_input;     /* IN is a terminal that was not hung up */
	char typed[BUFFER]; /* read from the user, not yet taken by the pty */
	size_t at, n;       /* typed[at..n) */
	bool broker_is_gone;
	struct timespec gone; /* when */
};

/* The user's terminal is this process group's to read and to set.  One that is not our controlling
 * terminal has no job control. */
static bool in_foreground(void)
{
	pid_t group = tcgetpgrp(IN);

	return group < 0 || group == getpgrp();
}

static void enter_raw(struct state *s)
{
	struct termios raw;

	if (s->raw || !s->has_input || !in_foreground() || tcgetattr(IN, &s->saved) < 0)
		return;
	raw = s->saved;
	cfmakeraw(&raw);
	if (s->spec->mode == RELAY_INPUT) {
		raw.c_lflag |= s->saved.c_lflag & ISIG;
		raw.c_oflag = s->saved.c_oflag;
	}
	s->raw = tcsetattr(IN, TCSADRAIN, &raw) == 0;
}

static void leave_raw(struct state *s)
{
	/* In the background the modes are the shell's, which has set its own. */
	if (s->raw && in_foreground())
		tcsetattr(IN, TCSADRAIN, &s->saved);
	s->raw = false;
}

static _Noreturn void end(struct state *s)
{
	leave_raw(s);
	_exit(0);
}

/* The kernel tells the pty's foreground group with SIGWINCH. */
static void pass_size(void)
{
	struct winsize size;

	if (ioctl(OUT, TIOCGWINSZ, &size) == 0)
		ioctl(MASTER, TIOCSWINSZ, &size);
}

static void stop(struct state *s)
{
	leave_raw(s);
	raise(SIGSTOP);
	enter_raw(s);
	pass_size();
}

/* Somebody will continue what is stopped: the rule of setpgid(2) for groups that are not
 * orphaned. */
static bool can_stop(const struct state *s)
{
	pid_t pid = s->spec->controller;

	return pid > 0 && getsid(pid) == getsid(0) && getpgid(pid) != getpgrp();
}

/* Index of the key in buf[0..n) that suspends, n if there is none. */
static size_t find_suspend(const struct state *s, const char *buf, size_t n)
{
	struct termios modes;
	pid_t foreground, session;
	const char *key;

	/* On a master these ask for the slave's, ioctl_tty(2). */
	if (tcgetattr(MASTER, &modes) < 0 || !(modes.c_lflag & ISIG) ||
		modes.c_cc[VSUSP] == _POSIX_VDISABLE)
		return n;
	key = memchr(buf, modes.c_cc[VSUSP], n);
	if (!key || ioctl(MASTER, TIOCGPGRP, &foreground) < 0 ||
		ioctl(MASTER, TIOCGSID, &session) < 0 || foreground != session || !can_stop(s))
		return n;
	return (size_t)(key - buf);
}

/* Gives the pty what was typed, as far as it takes it. */
static void pass_typed(struct state *s)
{
	while (s->at < s->n) {
		size_t whole = s->n - s->at;
		size_t size = find_suspend(s, s->typed + s->at, whole);
		ssize_t done = size ? write(MASTER, s->typed + s->at, size) : 0;

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && errno == EAGAIN)
			return;
		if (done < 0)
			end(s);
		s->at += (size_t)done;
		if ((size_t)done == size && size < whole) {
			s->at++; /* the key itself */
			leave_raw(s);
			kill(0, SIGTSTP); /* this process takes it from its signalfd */
			return;
		}
	}
	s->at = s->n = 0;
}

static void read_typed(struct state *s)
{
	ssize_t n = read(IN, s->typed, sizeof(s->typed));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	/* Hung up: the pty is closed with this process, and the worker gets SIGHUP as it would have
	 * on the terminal itself. */
	if (n <= 0)
		end(s);
	s->at = 0;
	s->n = (size_t)n;
	pass_typed(s);
}

/* Passes on one buffer of output.  False: there is none now. */
static bool pass_output(struct state *s)
{
	char buf[BUFFER];
	ssize_t n = read(MASTER, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	/* EIO: the last slave was closed, and all that was written is read. */
	if (n <= 0 || fd_write_all(OUT, buf, (size_t)n) < 0)
		end(s);
	return true;
}

static void take_signals(struct state *s)
{
	struct signalfd_siginfo info;

	while (read(SIGNALS, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGWINCH)
			pass_size();
		else if (info.ssi_signo == SIGTSTP)
			stop(s);
		else
			enter_raw(s); /* SIGCONT */
	}
}

/* ms left to wait for the pty after the broker's end. */
static int drain_left(const struct state *s)
{
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - s->gone.tv_sec) * 1000 + (now.tv_nsec - s->gone.tv_nsec) / 1000000;
	return ms >= DRAIN_MS ? 0 : (int)(DRAIN_MS - ms);
}

static void turn(struct state *s)
{
	bool typing = s->has_input && s->n == 0 && (s->raw || in_foreground());
	struct pollfd p[] = {
		{MASTER, (short)(POLLIN | (s->n > 0 ? POLLOUT : 0))},
		{typing ? IN : -1, POLLIN},
		{SIGNALS, POLLIN},
		{s->broker_is_gone ? -1 : ALIVE, POLLIN},
	};
	int wait_ms = s->broker_is_gone         ? drain_left(s)
		      : s->has_input && !s->raw ? BACKGROUND_MS
						: -1;

	if (s->broker_is_gone && wait_ms == 0)
		end(s);
	if (poll(p, sizeof(p) / sizeof(p[0]), wait_ms) < 0)
		return;
	if (p[2].revents)
		take_signals(s);
	enter_raw(s); /* `fg` of a running job sends no signal */
	if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
		pass_output(s);
	if (p[0].revents & POLLOUT)
		pass_typed(s);
	if (p[1].revents)
		read_typed(s);
	if (p[3].revents && !s->broker_is_gone) {
		s->broker_is_gone = true;
		clock_gettime(CLOCK_MONOTONIC, &s->gone);
	}
}

/* Keeps the terminals and the pipe, under the numbers above, and nothing else. */
static int keep_only(const struct relay *spec)
{
	const int from[] = {
		spec->in_fd, spec->out_fd, spec->out_fd, spec->master_fd, spec->alive_fd};
	int high[5];

	for (int i = 0; i < 5; i++) {
		high[i] = from[i] < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC)
				      : fcntl(from[i], F_DUPFD_CLOEXEC, 10);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 5; i++)
		if (dup2(high[i], i) < 0)
			return -errno;
	return close_range(5, UINT_MAX, 0) < 0 ? -errno : 0;
}

/* It needs no capability: the signals it sends go to processes of its own user. */
static int drop_capabilities(void)
{
	struct failure f = FAILURE_INIT;
	int r = caps_empty(&f);

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r;
}

void relay_main(const struct relay *spec)
{
	struct state s = {.spec = spec, .has_input = spec->in_fd >= 0};
	struct failure nobody_reads = FAILURE_INIT;
	sigset_t signals;

	if (keep_only(spec) < 0 || drop_capabilities() < 0)
		_exit(1);
	/* All signals are blocked: those that end other processes do not end this one, which ends
	 * with the pty; SIGTTOU, being blocked, lets the modes be set from the background. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGWINCH);
	sigaddset(&signals, SIGTSTP);
	sigaddset(&signals, SIGCONT);
	if (signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK) != SIGNALS ||
		fd_status_flags(MASTER, O_NONBLOCK, 0) < 0 ||
		cell_load_filter(&spec->filter, &nobody_reads) < 0)
		_exit(1);
	enter_raw(&s);
	for (;;)
		turn(&s);
}
