/* SPDX-License-Identifier: MIT */
/*
 * enter.c - the helper: enters the cell's namespaces and makes the worker its sibling.
 *
 * Runs in: helper, a child of the broker that shares its memory until it ends, within the broker's
 * Landlock domain.  Trusts: the descriptors of the namespaces, which the broker opened.
 *
 * The worker must inherit the broker's domain and be the broker's child, and only a child is born
 * into a pid namespace entered by setns(2): hence a helper, and CLONE_PARENT.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <linux/sched.h>

pid_t cell_enter(const struct cell_spec *spec, const struct cell_prep *prep,
	const struct cell_ns *ns, int rules_fd, const struct filter *filter, int status_fd,
	struct failure *f)
{
	/* CLONE_PARENT takes over the helper's own exit signal. */
	struct clone_args args = {.flags = CLONE_PARENT};
	long pid;

	for (size_t i = 0; i < CELL_NAMESPACES; i++) {
		if (ns->fds[i] >= 0 && setns(ns->fds[i], 0) < 0)
			return fail(f, -errno, "namespaces: cannot enter the cell: %m");
	}
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		worker_main(spec, prep, rules_fd, filter, status_fd);
	if (pid < 0)
		return fail(f, -errno, "cannot start the worker in the cell: %m");
	return (pid_t)pid;
}
