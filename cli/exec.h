/* SPDX-License-Identifier: MIT */
/*
 * exec.h - warder's other programs, and the processes that the command line starts.
 */
#ifndef WARDER_EXEC_H
#define WARDER_EXEC_H

#include "policy/policy.h"

#include <stddef.h>
#include <sys/types.h>

/* Where a program of warder's own stands ("warder-json"): WARDER_LIBEXECDIR/warder, or, while this
 * binary is not the installed one, beside it.  0 or -errno. */
int exec_find(const char *name, char *buf, size_t size);

/* Where the dialer stands, if the policy names sockets: buf.  NULL: it does not, or it was not
 * found, which the broker says. */
const char *exec_dialer(const struct policy *p, char *buf, size_t size);

/* `call` and `ledger` read JSON, which the broker's binary must not: runs warder-json in place of
 * this process.  Returns only to say why it could not: 2. */
int exec_json(int argc, char **argv);

/*
 * Starts a slot of `serve`: a child in its own process group, which gets SIGTERM when this process
 * dies.  Returns as fork(2), or -errno.
 */
pid_t exec_slot(void);

#endif
