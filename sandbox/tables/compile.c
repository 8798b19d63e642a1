/* SPDX-License-Identifier: MIT */
/*
 * compile.c - from a table to a program.
 *
 * Runs in: the build, and tests.  Trusts: the tables.
 *
 * libseccomp makes the program, with an arch check in front: 32-bit calls kill.  Before it stand
 * three instructions of our own: a number above all that libseccomp lists is a call newer than the
 * table (or an x32 one, which start at 2^30), and answers ENOSYS, so that programs fall back as on
 * an older kernel; the rest of the calls without a row answer EPERM.  All jumps are relative, so
 * the program may be moved.
 *
 * A table may be for another machine than the one that runs this: libseccomp takes a call by its
 * number here and finds the same call's there by the name.
 */
#include "common/fd.h"
#include "sandbox/tables/table.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t action_of(const struct table_row *row)
{
	if (row->error == TABLE_TRAP)
		return SCMP_ACT_NOTIFY;
	return row->error ? SCMP_ACT_ERRNO((uint32_t)row->error) : SCMP_ACT_ALLOW;
}

static int add_row(scmp_filter_ctx ctx, const struct table_row *row, uint32_t otherwise)
{
	uint32_t action = action_of(row);
	int nr, r;

	if (row->nr < 0 ||
		action == otherwise) /* libseccomp refuses a rule that says the default */
		return 0;
	nr = seccomp_syscall_resolve_name(row->name);
	if (nr == __NR_SCMP_ERROR)
		return -ENOSYS;
	r = seccomp_rule_add_array(ctx, action, nr, row->n_args, row->args);
	/* Two rows that say the same, or one that another includes. */
	return r == -EEXIST ? 0 : r;
}

/* libseccomp writes its program to a descriptor. */
static int take_program(scmp_filter_ctx ctx, const struct table *table,
	struct sock_filter **ret_code, size_t *ret_n)
{
	const struct sock_filter head[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
		{BPF_JMP | BPF_JGT | BPF_K, 0, 1, TABLE_LAST_KNOWN},
		{BPF_RET | BPF_K, 0, 0,
			SECCOMP_RET_ERRNO | ((uint32_t)table->newer & SECCOMP_RET_DATA)},
	};
	size_t n_head = table->newer ? sizeof(head) / sizeof(*head) : 0;
	autofd fd = memfd_create("filter", MFD_CLOEXEC);
	autofree struct sock_filter *code = NULL;
	struct stat st;
	size_t n;
	int r;

	if (fd < 0)
		return -errno;
	r = seccomp_export_bpf(ctx, fd);
	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0)
		return -errno;
	n = n_head + (size_t)st.st_size / sizeof(*code);
	code = calloc(n, sizeof(*code));
	if (!code)
		return -ENOMEM;
	memcpy(code, head, n_head * sizeof(*head));
	if (pread(fd, code + n_head, (size_t)st.st_size, 0) != st.st_size)
		return -EIO;
	if (n > BPF_MAXINSNS)
		return -E2BIG;
	*ret_code = code;
	*ret_n = n;
	code = NULL;
	return 0;
}

/* What libseccomp 2.5 knows, whatever the kernel of the machine that builds has. */
#define API_LEVEL 6

static int use_arch(scmp_filter_ctx ctx, uint32_t arch)
{
	int r;

	if (arch == seccomp_arch_native())
		return 0;
	r = seccomp_arch_add(ctx, arch);
	return r < 0 ? r : seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE);
}

int table_compile(
	const struct table *table, unsigned cell, struct sock_filter **ret_code, size_t *ret_n)
{
	int r = seccomp_api_set(API_LEVEL);
	scmp_filter_ctx ctx = r == 0 ? seccomp_init(table->otherwise) : NULL;

	if (r == 0 && !ctx)
		r = -ENOMEM;
	if (r == 0)
		r = use_arch(ctx, table->arch);
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
		r = take_program(ctx, table, ret_code, ret_n);
	if (ctx)
		seccomp_release(ctx);
	return r;
}
