/* SPDX-License-Identifier: MIT */
/*
 * filter.c - the seccomp layer: which program a cell gets, and its loading.
 *
 * Runs in: broker (the choice), worker and broker (the loading).  Trusts: the tables.
 *
 * The programs are made at build time by libseccomp (sandbox/tables/): making one takes 5 ms, more
 * than the whole start of a cell.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"
#include "sandbox/filter.h"

#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

/* Whether a tree that is appended to is also written to, by a rule of its own or of a tree above
 * or below. */
static bool append_meets_write(const struct cell_spec *spec)
{
	for (size_t i = 0; i < spec->n_trees; i++) {
		const struct cell_tree *a = &spec->trees[i];

		for (size_t j = 0; (a->access & CELL_APPEND) && j < spec->n_trees; j++) {
			const struct cell_tree *w = &spec->trees[j];

			if ((w->access & CELL_WRITE) &&
				(view_covers(w->path, a->path) || view_covers(a->path, w->path)))
				return true;
		}
	}
	return false;
}

unsigned filter_cell(const struct cell_spec *spec)
{
	unsigned cell = spec->root == CELL_HOST ? CELL_IS_HOST : CELL_HAS_VIEW;
	bool appends = false;

	for (size_t i = 0; i < spec->n_trees; i++)
		appends |= (spec->trees[i].access & CELL_APPEND) != 0;
	cell |= appends ? CELL_APPENDS : CELL_NO_APPENDS;
	cell |= append_meets_write(spec) ? CELL_NO_TRUNCATE : CELL_MAY_TRUNCATE;
	cell |= spec->sockets & CELL_SOCKETS_DATAGRAM ? CELL_DATAGRAMS : 0;
	return cell;
}

int filter_find(enum filter_table table, const struct cell_spec *spec, struct filter *ret,
	struct failure *f)
{
	unsigned cell = 0;

	if (table == FILTER_WORKER)
		cell = filter_cell(spec);
	else if (table == FILTER_BROKER && spec->ledger_sync)
		cell = CELL_SYNC;
	*ret = (struct filter){NULL, 0};
	for (size_t i = 0; i < filter_programs_count; i++) {
		const struct filter_program *p = &filter_programs[i];

		if (p->table == table && p->cell == cell) {
			*ret = (struct filter){p->code, p->n};
			return 0;
		}
	}
	return fail(f, -ENOENT, "seccomp: this build has no filter for such a cell (%#x)", cell);
}

static long load(const struct filter *filter, unsigned flags)
{
	struct sock_fprog program = {(unsigned short)filter->n, (struct sock_filter *)filter->code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int cell_load_filter(const struct filter *filter, struct failure *f)
{
	if (load(filter, 0) < 0)
		return fail(f, -errno,
			"seccomp: cannot load the filter: %m; the kernel needs "
			"CONFIG_SECCOMP_FILTER");
	return 0;
}

int cell_load_trap(const struct filter *filter, int *ret_listener_fd, struct failure *f)
{
	/* WAIT_KILLABLE_RECV (Linux 5.19): a signal does not take a call back that is being served,
	 * which would then be made twice. */
	long fd = load(filter, SECCOMP_FILTER_FLAG_NEW_LISTENER | ABI_SECCOMP_WAIT_KILLABLE_RECV);

	if (fd < 0)
		return fail(f, -errno,
			"seccomp: cannot load the filter with a listener: %m; use Linux 5.19 or "
			"newer, and start warder in no sandbox that has a listener of its own "
			"(EBUSY)");
	*ret_listener_fd = (int)fd;
	return 0;
}
