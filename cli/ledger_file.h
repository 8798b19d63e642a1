/* SPDX-License-Identifier: MIT */
/*
 * ledger_file.h - how a ledger is opened, and how many are kept.
 */
#ifndef WARDER_LEDGER_FILE_H
#define WARDER_LEDGER_FILE_H

#include "cli/state.h"
#include "policy/policy.h"

#include <limits.h>
#include <stddef.h>

#define LEDGERS_KEPT      50
#define LEDGER_BYTES_KEPT ((off_t)1 << 30)
#define POLICY_HASH_SIZE  65 /* 64 hex digits and NUL */

/* A ledger that was opened. */
struct ledger_file {
	int fd;     /* O_APPEND, locked while it is in use */
	int dir_fd; /* where the policy's text goes; -1: into the ledger itself ("fd:N") */
	char path[PATH_MAX];
};
#define LEDGER_FILE_INIT \
	{ \
		.fd = -1, .dir_fd = -1 \
	}
void ledger_file_close(struct ledger_file *l);

/* A new file in state_open(below), named by the time, with `tag` in its name; ledgers beyond
 * LEDGERS_KEPT and LEDGER_BYTES_KEPT are removed, oldest first, never one in use. */
int ledger_file_new(const char *below, const char *tag, struct ledger_file *ret, struct failure *f);

/* `--ledger FILE` (made 0600 if it is missing; appended to) or "fd:N" (duplicated).  Only a regular
 * file: a pipe that nobody reads would stop the broker, a device forgets. */
int ledger_file_named(const char *where, struct ledger_file *ret, struct failure *f);

/* Keeps the policy's text beside the ledger, in a file of mode 0400 named HASH.policy, and returns
 * the hash: BLAKE2b of 256 bits in hex.  Without a directory beside it there is the hash alone.
 * Where the policy says `ledger sync batch`, text and names are on disk afterwards. */
int ledger_keep_policy(const struct ledger_file *l, const struct policy *policy,
	char ret_hash[POLICY_HASH_SIZE], struct failure *f);

/* The sentence of a ledger that cannot be brought to disk any more (struct broker_args). */
void ledger_say_unsynced(int error);

#endif
