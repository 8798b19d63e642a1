/* SPDX-License-Identifier: MIT */
/*
 * serve_slot.h - a slot of `warder serve`: one broker with its worker, replaced when it dies.
 */
#ifndef WARDER_SERVE_SLOT_H
#define WARDER_SERVE_SLOT_H

#include "cli/serve_lines.h"
#include "common/failure.h"
#include "common/msg.h"
#include "policy/policy.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#define SLOTS_MAX       POLICY_WORKERS_MAX
#define BACK_OFF_MIN_MS 100
#define BACK_OFF_MAX_MS 10000
#define STEADY_MS       10000 /* a worker that lived so long starts the back-off anew */

/* What all slots share; plain data, made before the first. */
struct slot_plan {
	struct policy *policy;
	char **argv;        /* WORKER ARGS */
	const char *ledger; /* directory, as ledger_file_new() takes it */
	sigset_t signals;   /* the mask to start with */
};

struct slot {
	unsigned number; /* from 1 */
	pid_t pid;       /* 0: none runs */
	int control_fd;  /* to its broker: connections go there */
	int ready_fd;    /* readable once: the worker runs */
	bool ready;
	struct lines out, err;
	long started_ms;  /* CLOCK_MONOTONIC */
	long next_ms;     /* when a new one is due, while none runs */
	unsigned wait_ms; /* the next back-off */
	uint64_t clients; /* handed over, of this worker */
};

/* Of CLOCK_MONOTONIC, as every time here. */
long slot_clock_ms(void);

/* An empty slot, due now. */
void slot_init(struct slot *s, unsigned number);
/* Starts a broker.  0 or -errno. */
int slot_start(struct slot *s, const struct slot_plan *plan);
/* The worker runs: ready_fd was readable. */
void slot_ready(struct slot *s);
/* Its process was reaped with this wait status: closes everything and sets when it is due again.
 * Returns the exit status as a shell would show it. */
int slot_ended(struct slot *s, int wait_status);
/* No more clients: its broker tells the worker, which ends when it has served those it has. */
void slot_drain(struct slot *s);

/* Hands a connection over (moved).  0; -EAGAIN: it has no room now; or -errno: then the connection
 * stays the caller's. */
int slot_hand_over(struct slot *s, int *fd, const struct msg_client *who);

#endif
