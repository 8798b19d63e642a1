/* SPDX-License-Identifier: MIT */
/*
 * serve_door.h - who comes in to a service, and the book of who came.
 */
#ifndef WARDER_SERVE_DOOR_H
#define WARDER_SERVE_DOOR_H

#include "broker/ledger.h"
#include "common/failure.h"
#include "common/msg.h"
#include "policy/policy.h"

#include <limits.h>
#include <stdbool.h>

struct serve_door {
	const struct policy *policy;      /* NULL until door_open() */
	struct ledger *ledger;            /* NULL: the policy has no `clients` */
	bool users_mapped, groups_mapped; /* all of them, in this user namespace */
	long second;                      /* in which `told` were sent away, by slot_clock_ms() */
	unsigned told;
	uint64_t untold; /* sent away since, and not told one by one */
	bool lost;       /* the ledger could not be written, which was said */
	gid_t groups[NGROUPS_MAX + 1];
};

/*
 * Where the policy names clients: checks that they can come as far as `socket_path`, and opens the
 * door's own ledger in `below` (see ledger_file_new()).  Says it where only some of them can,
 * unless `quiet`.  Else the door is for root and the caller alone, and has no ledger.  0, or -errno
 * with the sentence.
 */
int door_open(struct serve_door *d, const struct policy *policy, const char *socket_path,
	const char *below, bool quiet, struct failure *f);
/* Ends the ledger.  Nothing, of a door that is not open. */
void door_close(struct serve_door *d);

/* Whether others than root and the caller may come in. */
bool door_has_others(const struct serve_door *d);

/*
 * Whether the client at the other end of `fd` comes in, by what the kernel says of it; recorded.
 * False also where the record cannot be written.  The caller closes the connection.
 */
bool door_lets_in(struct serve_door *d, int fd, const struct msg_client *who);

#endif
