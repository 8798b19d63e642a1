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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/*
 * Whether no file of the host's can be open to change in this cell: no tree is written to, and what
 * the worker inherits is pipes, sockets and devices of others.  Only then may it change metadata,
 * in its /tmp and home: chmod(2) and its like follow /proc/self/fd/N to the mount of the
 * descriptor, where neither Landlock nor the read-only view stops them.
 */
static bool owns_files(const struct cell_spec *spec)
{
	struct stat st, tty = {0};

	if (spec->root == CELL_HOST)
		return false;
	for (size_t i = 0; i < spec->n_trees; i++) {
		if (spec->trees[i].access & (CELL_WRITE | CELL_APPEND | CELL_CREATE))
			return false;
	}
	if (spec->tty_fd >= 0 && fstat(spec->tty_fd, &tty) < 0)
		return false;
	for (size_t i = 0; i < spec->n_fds; i++) {
		if (fstat(spec->fds[i].from, &st) < 0)
			return false;
		if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
			continue;
		if (spec->fds[i].to <= 2 && S_ISDIR(st.st_mode)) /* becomes /dev/null */
			continue;
		if (S_ISCHR(st.st_mode) &&
			(st.st_uid != spec->uid ||
				(spec->tty_fd >= 0 && st.st_rdev == tty.st_rdev)))
			continue;
		return false;
	}
	return true;
}

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
	if (owns_files(spec))
		cell |= CELL_OWNS_FILES;
	cell |= appends ? CELL_APPENDS : CELL_NO_APPENDS;
	cell |= append_meets_write(spec) ? CELL_NO_TRUNCATE : CELL_MAY_TRUNCATE;
	return cell;
}

int filter_find(enum filter_table table, const struct cell_spec *spec, struct filter *ret,
	struct failure *f)
{
	unsigned cell = table == FILTER_WORKER ? filter_cell(spec) : 0;

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

int cell_load_filter(const struct filter *filter, struct failure *f)
{
	struct sock_fprog program = {(unsigned short)filter->n, (struct sock_filter *)filter->code};

	if (filter->n == 0) /* seccomp is missing, and that is accepted */
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return fail(f, -errno,
			"seccomp: cannot load the filter: %m; the kernel needs "
			"CONFIG_SECCOMP_FILTER");
	return 0;
}
