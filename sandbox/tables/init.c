/* SPDX-License-Identifier: MIT */
/*
 * init.c - every system call that the init of `root host` may make, one row each.
 *
 * Runs in: init of `root host`.  Trusts: nothing.  Where init has a pid namespace of its own,
 * seccomp's strict mode is enough for it.
 */
#include "sandbox/tables/table.h"

/* clang-format off */
static const struct table_row rows[] = {
	ALLOW(read, "end-of-file of the broker's socket"),
	ALLOW(ppoll, "waiting for it, and for signals"),
	ALLOW(poll, "the same"),
	ALLOW(wait4, "reaping"),
	ALLOW(waitid, "reaping"),
	ALLOW(kill, "ending all that its domain holds"),
	ALLOW(sendmsg, "how the worker ended"),
	ALLOW(sendto, "the same"),
	ALLOW(openat, "the list of its children, where signals cannot be scoped"),
	ALLOW(close, "the same"),
	ALLOW(lseek, "the same"),
	ALLOW(rt_sigreturn, "signals"),
	ALLOW(restart_syscall, "signals"),
	ALLOW(clock_nanosleep, "between two rounds of killing"),
	ALLOW(exit_group, "the end"),
	ALLOW(exit, "the end"),
};
/* clang-format on */

const struct table table_init = {
	.arch = TABLE_ARCH,
	.rows = rows,
	.n = sizeof(rows) / sizeof(*rows),
	.otherwise = SCMP_ACT_KILL_PROCESS,
};
