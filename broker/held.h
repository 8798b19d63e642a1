/* SPDX-License-Identifier: MIT */
/*
 * held.h - what a descriptor is that the worker has without a grant, for its record.
 */
#ifndef WARDER_HELD_H
#define WARDER_HELD_H

#include "broker/ledger.h"
#include "broker/request.h"
#include "broker/words.h"

#include <limits.h>

/* The texts that a record borrows. */
struct held {
	char name[PATH_MAX];
	char flags[WORDS_FLAGS_SIZE];
	char domain[16];
	char local[PEER_TEXT_SIZE], peer[PEER_TEXT_SIZE];
};

/* Fills in inode, type and flags and, of a socket, domain, type and addresses.  Asks the kernel of
 * `fd` (borrowed) and opens nothing.  0 or -errno. */
int held_describe(int fd, struct held *h, struct record *r);
/* And its name, as /proc/self/fd tells it, where it has one that fits into a path.  0 or -errno. */
int held_name(int fd, struct held *h, struct record *r);

#endif
