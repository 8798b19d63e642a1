/* SPDX-License-Identifier: MIT */
/*
 * policy_inquiry.h - what the verbs of `warder policy` share.
 */
#ifndef WARDER_POLICY_INQUIRY_H
#define WARDER_POLICY_INQUIRY_H

#include "cli/policy_options.h"
#include "common/jsonl.h"

#include <limits.h>
#include <stdbool.h>

/* Exit statuses. */
enum { YES = 0, NO = 1, CANNOT_TELL = 2 };

/* What the command line said. */
struct inquiry {
	struct policy_options policy;
	char start[PATH_MAX];
	bool json;
	const char *operands[5]; /* FILE connect udp HOST:PORT ADDRESS; borrowed from argv */
	int n_operands;
};

/* Reads options and `want` operands.  0; 1: help was shown; -EINVAL: said. */
int inquiry_parse(
	struct inquiry *q, struct options *o, int want, const char *what, const char *more);
/* Loads the policy, to be freed, and says what is wrong with it; `check`: warnings and what does
 * not hold of its `expect` lines too.  The exit status: YES; NO (check alone); CANNOT_TELL, where
 * *ret may be NULL. */
int inquiry_load(struct inquiry *q, struct policy **ret, bool check);
/* Whether the right is one of sockets. */
bool inquiry_is_socket(const char *right);
/* Ends the object and prints it as a line; `buf` is what it was begun with. */
void inquiry_put_json(struct jsonl *j, const char *buf);

/* warder policy explain; the exit status. */
int policy_explain(struct inquiry *q, struct options *o);

/* Warns of each setting of the policy that this host could not start it with: a user, a runtime, a
 * ledger's directory or descriptor that is not here. */
void policy_warn_host(struct policy *p);

#endif
