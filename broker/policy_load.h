/* SPDX-License-Identifier: MIT */
/*
 * policy_load.h - the policy's I/O half: finds and reads the files, looks every prefix up once.
 */
#ifndef WARDER_POLICY_LOAD_H
#define WARDER_POLICY_LOAD_H

#include "common/failure.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stdio.h>

/* A setting given as a flag: {"memory", "1G"}. */
struct policy_flag {
	const char *name;
	const char *value;
};

/* A path of warder's own (key, state) that no rule may grant; see policy_protect(). */
struct policy_protected {
	const char *path; /* absolute */
	unsigned rights;
};

/* What the policy is read for. */
enum policy_use {
	POLICY_TO_LOOK, /* no service and no cell comes of it */
	POLICY_TO_RUN,  /* what is for a service alone is an error */
	POLICY_TO_SERVE,
};

/* What the command line said.  All is borrowed for the call alone. */
struct policy_load_args {
	const char *file;         /* -p: a path, "-" (stdin) or a preset's NAME; NULL: none */
	const char *const *lines; /* -e, in order */
	size_t n_lines;
	const char *const *sets; /* --set: "NAME=VALUE" */
	size_t n_sets;
	const struct policy_flag *flags;
	size_t n_flags;
	const struct policy_protected *protect;
	size_t n_protect;
	const char *ledger; /* an absolute path: no rule may grant it, nor changes of the policies'
			     * texts beside it; NULL: none but one that the policy names */
	const char *start; /* ./ : the worker's start directory, absolute; NULL: an error (serve) */
	const char *home;  /* ~/ : NULL: the home of the user who starts warder */
	bool warnings;     /* print warnings too */
	enum policy_use use;
};

/*
 * Builds the whole policy, ready for policy_check(); an `expect` that does not hold is an error of
 * it.  Prints the diagnostics to err, with colour
 * only if that is a terminal and NO_COLOR is unset; everything that fails has been said there.
 * Whoever reads no standard error finds the first error in `first`, as "PLACE: error: TEXT".
 * Returns 0; -EINVAL: the policy has errors; -ENOMEM; or what reading the file failed with.
 */
int policy_load(const struct policy_load_args *a, struct policy **ret_policy, FILE *err,
	struct failure *first);

/*
 * The same for who shows the diagnostics himself: prints nothing, leaves policy_expect() to him,
 * and sets *ret_policy (to be freed) on failure too, unless that was -ENOMEM.  After a failure it
 * serves for diagnostics alone.
 */
int policy_load_quiet(const struct policy_load_args *a, struct policy **ret_policy);

/* Looks up who `clients` names; one whom the host does not have is an error, or a warning.  0,
 * -EINVAL or -ENOMEM. */
int policy_find_clients(struct policy *p, bool warning);

/* The home of the user who starts warder, by the password database; "" if there is none. */
const char *policy_home(void);

/* Prints the diagnostics from number `first` on, with the line and a caret. */
void policy_print_diags(const struct policy *p, size_t first, bool warnings, FILE *err);

#endif
