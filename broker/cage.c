/* SPDX-License-Identifier: MIT */
/*
 * cage.c - the broker's own cage, put on once the cell runs.
 *
 * Runs in: broker.  Trusts: nothing afterwards.
 *
 * A broker of uid 0 keeps euid 0, which owns the cell's user namespace and so may signal and
 * inspect what is in it, but files are opened by the fsuid, which is the worker's.  With the
 * worker's uid as saved set-user-ID the fsuid may go back and forth without a capability
 * (setfsuid(2)).
 */
#include "broker/cage.h"

#include <errno.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int cage_groups(const struct cell_spec *spec, struct failure *f)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(spec->n_groups, spec->groups) == 0)
		return 0;
	/* Root of a user namespace in which groups cannot be set, and the worker is that root. */
	if (errno == EPERM && spec->uid == 0)
		return 0;
	if (errno == EPERM)
		return fail(f, -errno,
			"cannot take the groups of the worker's user: this root may not change "
			"groups (a "
			"user namespace?); say `user root`, or start warder as an ordinary user");
	return fail(f, -errno, "cannot take the groups of the worker's user: %m");
}

static int take_identity(const struct cell_spec *spec, struct failure *f)
{
	bool host = spec->root == CELL_HOST;

	if (geteuid() != 0)
		return 0;
	/* Without a namespace that it owns, the broker may signal the worker, and read the
	 * arguments of its calls (ptrace(2), "Ptrace access mode checking"), by its real ids. */
	if (setresgid(host ? spec->gid : 0, 0, spec->gid) < 0 ||
		setresuid(host ? spec->uid : 0, 0, spec->uid) < 0)
		return fail(f, -errno, "the broker's cage: cannot take on the worker's ids: %m");
	setfsgid(spec->gid);
	setfsuid(spec->uid);
	/* Neither call reports a failure; asking with an id that is none changes nothing. */
	if ((uid_t)setfsuid((uid_t)-1) != spec->uid || (gid_t)setfsgid((gid_t)-1) != spec->gid)
		return fail(f, -EPERM, "the broker's cage: cannot open files as uid %u",
			(unsigned)spec->uid);
	return 0;
}

int cage_broker(const struct cell_spec *spec, const struct cage_spec *cage, struct failure *f)
{
	const struct rlimit none = {0, 0};
	struct filter filter = {NULL, 0};
	int r = filter_find(FILTER_BROKER, spec, &filter, f);

	if (r == 0)
		r = take_identity(spec, f);
	if (r == 0)
		r = caps_broker(cage->as_broker, f);
	if (r == 0 && setrlimit(RLIMIT_CORE, &none) < 0)
		r = fail(f, -errno, "the broker's cage: cannot forbid core files: %m");
	/* After every change of id, which resets it. */
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = fail(f, -errno, "the broker's cage: cannot hide its memory: %m");
	if (r == 0)
		r = cell_load_filter(&filter, f);
	return r;
}
