/* SPDX-License-Identifier: MIT */
/*
 * filter.c - the seccomp layer: from a table to a program, and its loading.
 *
 * Runs in: broker (the making), worker and broker (the loading).  Trusts: the tables.
 *
 * libseccomp makes the program, with an arch check in front: 32-bit calls kill.  Before it stand
 * three instructions of our own: a number above all that libseccomp lists is a call newer than the
 * table (or an x32 one, which start at 2^30), and answers ENOSYS, so that programs fall back as on
 * an older kernel; the rest of the calls without a row answer EPERM.  All jumps are relative, so
 * the program may be moved.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"
#include "sandbox/table.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* set_mempolicy_home_node (Linux 5.17) is the last one in libseccomp 2.5.4, on both machines. */
#define LAST_KNOWN 450

#define MIXED_WITH_WRITE(a) (((a)&CELL_APPEND) && ((a)&CELL_WRITE))

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

unsigned table_cell(const struct cell_spec *spec)
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

static int add_row(scmp_filter_ctx ctx, const struct table_row *row, uint32_t otherwise)
{
	uint32_t action = row->error ? SCMP_ACT_ERRNO((uint32_t)row->error) : SCMP_ACT_ALLOW;
	int r;

	if (row->nr < 0 ||
		action == otherwise) /* libseccomp refuses a rule that says the default */
		return 0;
	r = seccomp_rule_add_array(ctx, action, row->nr, row->n_args, row->args);
	/* Two rows that say the same, or one that another includes. */
	return r == -EEXIST ? 0 : r;
}

/* libseccomp writes its program to a descriptor. */
static int export(scmp_filter_ctx ctx, struct filter *ret, bool newer, int error)
{
	const struct sock_filter head[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
		{BPF_JMP | BPF_JGT | BPF_K, 0, 1, LAST_KNOWN},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ((uint32_t)error & SECCOMP_RET_DATA)},
	};
	size_t n_head = newer ? sizeof(head) / sizeof(*head) : 0;
	autofd fd = memfd_create("filter", MFD_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	ret->n = n_head + (size_t)st.st_size / sizeof(*ret->code);
	ret->code = calloc(ret->n, sizeof(*ret->code));
	if (!ret->code)
		return -ENOMEM;
	memcpy(ret->code, head, n_head * sizeof(*head));
	if (pread(fd, ret->code + n_head, (size_t)st.st_size, 0) != st.st_size)
		return -EIO;
	return ret->n <= BPF_MAXINSNS ? 0 : -E2BIG;
}

static int compile(const struct table *table, unsigned cell, struct filter *ret)
{
	scmp_filter_ctx ctx = seccomp_init(table->otherwise);
	int r = ctx ? 0 : -ENOMEM;

	/* A binary tree instead of a chain of compares. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; r == 0 && i < table->n; i++) {
		if ((table->rows[i].need & ~cell) == 0)
			r = add_row(ctx, &table->rows[i], table->otherwise);
	}
	if (r == 0)
		r = export(ctx, ret, table->newer != 0, table->newer);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

int filter_build(enum filter_table which, const struct cell_spec *spec, struct filter *ret,
	struct failure *f)
{
	static const struct table *const tables[] = {
		[FILTER_WORKER] = &table_worker,
		[FILTER_BROKER] = &table_broker,
		[FILTER_INIT] = &table_init,
	};
	int r;

	*ret = (struct filter){NULL, 0};
	r = compile(tables[which], table_cell(spec), ret);
	if (r < 0) {
		filter_free(ret);
		return fail(f, r, "seccomp: libseccomp cannot make the filter: %m");
	}
	return 0;
}

void filter_free(struct filter *filter)
{
	free(filter->code);
	*filter = (struct filter){NULL, 0};
}

int cell_load_filter(const struct filter *filter, struct failure *f)
{
	struct sock_fprog program = {(unsigned short)filter->n, filter->code};

	if (filter->n == 0) /* seccomp is missing, and that is accepted */
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
		return fail(f, -errno,
			"seccomp: cannot load the filter: %m; the kernel needs "
			"CONFIG_SECCOMP_FILTER");
	return 0;
}
