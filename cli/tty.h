/* SPDX-License-Identifier: MIT */
/*
 * tty.h - a terminal of the worker's own, relayed to the user's.
 *
 * A worker that held the user's terminal could type into it (TIOCSTI, TIOCLINUX), read what is
 * typed there, and change its modes for good.  It gets the slave of a new pty; a relay, a process
 * of its own so that the terminal is restored whatever becomes of the broker, copies both ways.
 */
#ifndef WARDER_TTY_H
#define WARDER_TTY_H

#include "common/failure.h"

#include <sys/types.h>

struct tty {
	int slave_fd;    /* of the pty, to become the worker's controlling terminal; -1: no pty */
	int alive_fd;    /* the relay ends when this is closed */
	pid_t relay_pid; /* 0: none */
};

#define TTY_INIT \
	{ \
		.slave_fd = -1, .alive_fd = -1 \
	}

/*
 * Where one of 0, 1, 2 is a terminal: makes the pty, starts the relay, and puts the slave into
 * stdio[] in place of each that is one.  Pipes and files stay.  Nothing is done where none is.
 * 0 or -errno with the sentence; the terminal is as it was.
 */
int tty_start(struct tty *tty, int stdio[3], struct failure *f);

/* Closes the pty here and waits until the relay has written out what was left and restored the
 * terminal.  Nothing is done where there is no relay. */
void tty_end(struct tty *tty);

#endif
