/* SPDX-License-Identifier: MIT */
/*
 * limits.c - the resource limits of the worker's processes.
 *
 * Runs in: worker, before exec.  Trusts: the cell's description.
 *
 * A limit that the caller's own hard limit lies below stays the caller's.
 */
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <sys/resource.h>

static int lower(int resource, const char *what, uint64_t value, struct failure *f)
{
	struct rlimit limit;

	if (getrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return fail(f, -errno, "limits: cannot read %s: %m", what);
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > value)
		limit.rlim_max = value;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &limit) < 0)
		return fail(f, -errno, "limits: cannot set %s to %llu: %m", what,
			(unsigned long long)value);
	return 0;
}

int limits_apply(const struct cell_spec *spec, struct failure *f)
{
	const struct cell_limits *l = &spec->limits;
	unsigned ours = spec->sockets & CELL_SOCKETS_BIND_UDP ? 2 : 1;
	int r = lower(RLIMIT_CORE, "the size of core files", 0, f);

	if (r == 0 && l->memory)
		r = lower(RLIMIT_AS, "memory", l->memory, f);
	/* Counted for the uid within its user namespace (Linux 5.14), where init is one, and
	 * the dialer's maker. */
	if (r == 0 && l->tasks)
		r = lower(RLIMIT_NPROC, "tasks", l->tasks + ours, f);
	if (r == 0 && l->files)
		r = lower(RLIMIT_NOFILE, "files", l->files, f);
	if (r == 0 && l->cpu_ms)
		r = lower(RLIMIT_CPU, "cpu", (l->cpu_ms + 999) / 1000, f);
	return r;
}
