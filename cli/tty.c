/* SPDX-License-Identifier: MIT */
/*
 * tty.c - a terminal of the worker's own: the pty, and the start and end of its relay.
 *
 * Runs in: broker, before and after its cage.  Trusts: the user's terminal.
 */
#include "cli/tty.h"
#include "cli/tty_relay.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* A shell edits its lines with modes of its own, which it puts back before a job is in the
 * foreground. What starts in the background finds those, and is to have the others when it gets
 * there. */
static void undo_editing(int fd, struct termios *modes)
{
	pid_t group = tcgetpgrp(fd);

	if (group < 0 || group == getpgrp())
		return;
	modes->c_iflag |= ICRNL | IXON;
	modes->c_oflag |= OPOST | ONLCR;
	modes->c_lflag |= ICANON | ECHO | ECHOE | ECHOK | ISIG | IEXTEN;
}

/* The pty, with the modes and the size of the user's terminal. */
static int make_pty(const struct relay *relay, int *ret_master_fd, int *ret_slave_fd)
{
	autofd master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	autofd slave_fd = -1;
	struct termios modes;
	struct winsize size;

	if (master_fd < 0 || grantpt(master_fd) < 0 || unlockpt(master_fd) < 0)
		return -errno;
	/* ioctl_tty(2), Linux 4.13: no path, so no /dev/pts of another mount namespace. */
	slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave_fd < 0 || tcgetattr(relay->out_fd, &modes) < 0)
		return -errno;
	undo_editing(relay->out_fd, &modes);
	/* Where the user's terminal keeps its modes it turns "\n" into "\r\n" itself. */
	if (relay->mode == RELAY_OUTPUT)
		modes.c_oflag &= ~(tcflag_t)OPOST;
	if (tcsetattr(slave_fd, TCSANOW, &modes) < 0)
		return -errno;
	if (ioctl(relay->out_fd, TIOCGWINSZ, &size) == 0)
		ioctl(slave_fd, TIOCSWINSZ, &size);
	*ret_master_fd = fd_take(&master_fd);
	*ret_slave_fd = fd_take(&slave_fd);
	return 0;
}

static pid_t parent_of(pid_t pid)
{
	char path[32], text[512], *after;
	autofd fd = -1;
	long n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	after = strrchr(text, ')'); /* proc(5): the name before it may hold anything */
	return after && strlen(after) > 4 ? (pid_t)atoi(after + 4) : 0;
}

/* Who continues this process group after a stop: the first ancestor outside it. */
static pid_t find_controller(void)
{
	pid_t pid = getppid(), group = getpgrp();

	for (int depth = 0; depth < 64 && pid > 1 && getpgid(pid) == group; depth++)
		pid = parent_of(pid);
	return pid;
}

static int start_relay(struct relay *relay, struct tty *tty)
{
	sigset_t all, before;
	int alive[2], r = 0;
	pid_t pid;

	if (pipe2(alive, O_CLOEXEC) < 0)
		return -errno;
	relay->alive_fd = alive[0];
	/* No handler and no default action of the caller's may run in the relay. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		relay_main(relay);
	if (pid < 0)
		r = -errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	fd_close(&alive[0]);
	if (r < 0) {
		fd_close(&alive[1]);
		return r;
	}
	tty->alive_fd = alive[1];
	tty->relay_pid = pid;
	return 0;
}

int tty_start(struct tty *tty, int stdio[3], struct failure *f)
{
	bool is[3] = {isatty(0), isatty(1), isatty(2)};
	struct relay relay = {.in_fd = is[0] ? 0 : -1, .master_fd = -1, .alive_fd = -1};
	autofd slave_fd = -1;
	int r;

	if (!is[0] && !is[1] && !is[2])
		return 0;
	relay.out_fd = is[1] ? 1 : is[2] ? 2 : 0;
	relay.mode = !is[0] ? RELAY_OUTPUT : is[1] ? RELAY_WHOLE : RELAY_INPUT;
	relay.controller = find_controller();
	r = filter_find(FILTER_RELAY, NULL, &relay.filter, f);
	if (r < 0)
		return r;
	r = make_pty(&relay, &relay.master_fd, &slave_fd);
	if (r < 0)
		return fail(f, r,
			"cannot make a terminal for the worker: %m; is /dev/pts mounted? "
			"(with standard input, output and error redirected none is needed)");
	r = start_relay(&relay, tty);
	fd_close(&relay.master_fd);
	if (r < 0)
		return fail(f, r, "cannot start the relay of the worker's terminal: %m");
	for (int i = 0; i < 3; i++)
		if (is[i])
			stdio[i] = slave_fd;
	tty->slave_fd = fd_take(&slave_fd);
	return 0;
}

void tty_end(struct tty *tty)
{
	fd_close(&tty->slave_fd);
	fd_close(&tty->alive_fd);
	/* What the relay still has to write is bounded by the pty's buffer. */
	while (tty->relay_pid > 0 && waitpid(tty->relay_pid, NULL, 0) < 0 && errno == EINTR)
		;
	tty->relay_pid = 0;
}
