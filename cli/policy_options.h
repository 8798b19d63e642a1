/* SPDX-License-Identifier: MIT */
/*
 * policy_options.h - the options that make a policy: -p, -e, --set, and every setting as a flag.
 * `run` and `serve` share them.
 */
#ifndef WARDER_POLICY_OPTIONS_H
#define WARDER_POLICY_OPTIONS_H

#include "broker/policy_load.h"
#include "cli/options.h"
#include "common/failure.h"

#include <limits.h>

#define POLICY_OPTION_ROWS \
	{"policy", 'p', "FILE|NAME|-", "the policy: a file, a preset's name, or standard input"}, \
		{NULL, 'e', "LINE", "one more line of policy; may be repeated"}, \
		{"allow", 0, "RULE", "the same as -e \"allow RULE\""}, \
		{"deny", 0, "RULE", "the same as -e \"deny RULE\""}, \
	{ \
		"set", 0, "N=V", "give $N of the policy the value V; wins over its `set` lines" \
	}

/* Settings of the policy as flags. */
#define SETTING_OPTION_ROWS \
	{"root", 0, "view|empty|host", "what the cell's root is"}, \
		{"runtime", 0, "PATH|none", "add a tree to the runtime, or start it empty"}, \
		{"user", 0, "NAME", "the worker's user, where root starts warder"}, \
		{"env", 0, "N[=V]", "pass a variable on, or set it"}, \
		{"home", 0, "PATH", "HOME, in place of a private directory"}, \
		{"tmp", 0, "SIZE", "size of the private /tmp"}, \
		{"memory", 0, "SIZE", "memory of a process"}, \
		{"tasks", 0, "N", "processes and threads"}, \
		{"files", 0, "N", "open files of a process"}, \
		{"cpu", 0, "TIME", "processor time of a process"}, \
		{"time", 0, "TIME", "time the whole cell may take"}, \
		{"limit", 0, "WHAT N", "\"requests N\" a second, or \"held N\" descriptors"}, \
	{ \
		"accept", 0, "MISSING", "\"missing LAYER\": start although the host lacks it" \
	}

/* Those of a service alone. */
#define SERVE_OPTION_ROWS \
	{"workers", 0, "N", "how many workers run, at most 64; 1 unless told"}, \
		{"clients", 0, "WHO", \
			"let a user in, or %GROUP, by name or number; may be repeated"}, \
	{ \
		"ledger", 0, "DIR", "keep the ledgers there; \"sync batch\": bring them to disk" \
	}

struct policy_options {
	struct policy_load_args args; /* its arrays are those below */
	const char **lines;
	const char **sets;
	struct policy_flag *flags;
	char **made; /* strings made here */
	size_t n_made;
	struct policy_protected protect;
	char state[PATH_MAX];
};

/* Room for what argc arguments can say, and two flags more.  0 or -ENOMEM. */
int policy_options_init(struct policy_options *p, int argc);
void policy_options_deinit(struct policy_options *p);

/* Takes one option if it is of those above: 1 taken; 0 not one of them; -EINVAL wrong (said). */
int policy_options_take(struct policy_options *p, const struct options *o,
	const struct option_row *row, const char *value);

/* A setting, as if its flag had been given. */
void policy_options_flag(struct policy_options *p, const char *name, const char *value);

/* That no rule gives anything of the directory where ledgers stand; where none can be told, a start
 * fails for it later.  *p stays where it is until the policy is loaded. */
void policy_options_protect(struct policy_options *p);

#endif
