/* SPDX-License-Identifier: MIT */
/*
 * spawn_dialer.h - the start and the end of the dialer, the process that holds all network code.
 */
#ifndef WARDER_SPAWN_DIALER_H
#define WARDER_SPAWN_DIALER_H

#include "sandbox/confine.h"

#include <sys/types.h>

/* A dialer that is being started. */
struct dialer_start {
	pid_t pid;
	int channel_fd; /* ours; owned */
	int report_fd;  /* an errno where its program could not be executed; owned */
	int life_fd;    /* a pipe's end: when it is closed the kernel kills the dialer; owned */
};
#define DIALER_START_INIT \
	{ \
		.pid = 0, .channel_fd = -1, .report_fd = -1, .life_fd = -1 \
	}

/*
 * Forks it and hands it the sockets of the cell's network (net's descriptors are moved).  Before
 * the broker's Landlock domain, which would forbid it the host's abstract sockets.  It runs as the
 * worker's user without a capability, in the outer network, with nothing of ours but standard
 * error; its end is the channel's.  Where UDP servers are allowed it gets a maker, which stands in
 * the network of `ns` and ends with it.
 * 0 or -errno with the sentence.  dialer_start_deinit() in either case.
 */
int dialer_start(struct dialer_start *d, const struct cell_spec *spec, const struct cell_ns *ns,
	struct cell_net *net, struct failure *f);

/* Waits until its program runs.  0 or -errno with the sentence. */
int dialer_await(struct dialer_start *d, const struct cell_spec *spec, struct failure *f);

/* Closes what was not taken.  The process ends with its channel. */
void dialer_start_deinit(struct dialer_start *d);

/* After its channel was closed: waits for its end, and after a second has it killed by closing
 * *life_fd, which it always closes.  By kill(2) the broker cannot: its Landlock domain scopes
 * signals. */
void dialer_reap(pid_t pid, int *life_fd);

#endif
