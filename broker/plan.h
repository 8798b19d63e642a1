/* SPDX-License-Identifier: MIT */
/*
 * plan.h - from a policy and a command to the description of a cell.
 */
#ifndef WARDER_PLAN_H
#define WARDER_PLAN_H

#include "broker/broker.h"
#include "sandbox/confine.h"

/* A cell_spec and what it points to. */
struct plan {
	struct cell_spec spec;
	bool as_broker;  /* some rule opens with the broker's authority */
	bool privileged; /* uid 0: the worker is another user */
	struct cell_tree *trees;
	const char **hidden;
	struct cell_fd *fds;
	char **envp;
	gid_t *groups;
	uint16_t udp_ports[POLICY_UDP_PORTS_MAX]; /* what spec borrows */
	char **strings;                           /* what the above borrow */
	size_t n_strings;
};

/*
 * Fills in everything but the descriptors of the channels, which plan_add_fd() adds.  Looks the
 * user up (getpwnam(3)) and whether a tree is a file (stat(2)); nothing is opened.
 * 0, or -errno with the sentence.  plan_deinit() in either case.
 */
int plan_init(struct plan *p, const struct broker_args *a, struct failure *f);
void plan_deinit(struct plan *p);

/* Gives the worker the descriptor `from` (borrowed) under the lowest free number from 3 on and
 * tells it by an environment variable.  0 or -ENOMEM. */
int plan_add_fd(struct plan *p, int from, const char *variable);

#endif
