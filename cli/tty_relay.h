/* SPDX-License-Identifier: MIT */
/*
 * tty_relay.h - the relay's process, which tty.c starts.
 */
#ifndef WARDER_TTY_RELAY_H
#define WARDER_TTY_RELAY_H

#include "sandbox/confine.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whose input is relayed, and how raw the user's terminal becomes. */
enum relay_mode {
	RELAY_WHOLE,  /* 0 and 1 are terminals: every key goes to the worker's pty */
	RELAY_INPUT,  /* 1 is a pipe: keys that send signals stay with the whole pipeline */
	RELAY_OUTPUT, /* 0 is none: the terminal keeps its modes, nothing is read from it */
};

struct relay {
	enum relay_mode mode;
	int in_fd;            /* the user's terminal, read; -1 with RELAY_OUTPUT */
	int out_fd;           /* the user's terminal, written */
	int master_fd;        /* of the worker's pty */
	int alive_fd;         /* end-of-file: the broker has ended */
	pid_t controller;     /* the nearest ancestor of another process group: the shell */
	struct filter filter; /* its system calls */
};

/* Copies until the pty or the broker ends; restores the terminal; ends the process. */
_Noreturn void relay_main(const struct relay *spec);

#endif
