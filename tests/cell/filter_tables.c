/* SPDX-License-Identifier: MIT */
/*
 * filter_tables.c - the worker's filter for each machine, read and not run.
 *
 * The table is compiled for that machine, wherever this runs, and its program interpreted for every
 * number from 0 to 600.  Of the machine that this runs on filter.c has the kernel do the same: both
 * must say what the file says.  A machine without the old calls (open, fork) cannot read the table
 * of one that has them.
 */
#include "tests/cell/golden.h"
#include "broker/trap.h"
#include "sandbox/tables/table.h"

#include <linux/audit.h>
#include <linux/seccomp.h>

/* What a program says to a call without arguments; the instructions that libseccomp uses. */
static uint32_t interpret(const struct sock_filter *code, size_t n, const struct seccomp_data *call)
{
	uint32_t a = 0;

	for (size_t at = 0; at < n; at++) {
		const struct sock_filter *i = &code[at];
		bool jump;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_in_range(i->k, 0, sizeof(*call) - sizeof(a));
			memcpy(&a, (const char *)call + i->k, sizeof(a));
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_JMP | BPF_JA:
			at += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			jump = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			jump = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			jump = a >= i->k;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			flunk("instruction %zu is %#x", at, i->code);
			return 0;
		}
		at += jump ? i->jt : i->jf;
	}
	flunk("a program without an end");
	return 0;
}

static const char *trapped(uint32_t arch, int nr)
{
	char *name = seccomp_syscall_resolve_num_arch(arch, nr);
	bool goes_on = false;

	if (!name || !trap_name(seccomp_syscall_resolve_name(name), &goes_on))
		flunk("%s is trapped, and the broker does not know it", name ? name : "?");
	free(name);
	return goes_on ? "trap, may go on" : "trap";
}

static const char *verdict(uint32_t arch, int nr, const struct sock_filter *code, size_t n)
{
	const struct seccomp_data call = {.nr = nr, .arch = arch};
	uint32_t said;

	if (golden_is_kernel_only(arch, nr))
		return "kernel";
	said = interpret(code, n, &call);
	switch (said & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
		return "allow";
	case SECCOMP_RET_USER_NOTIF:
		return trapped(arch, nr);
	case SECCOMP_RET_ERRNO:
		return golden_error((int)(said & SECCOMP_RET_DATA));
	default:
		return "?";
	}
}

/* Calls that the machine lacks have no number on it. */
static size_t rows_of(uint32_t arch, struct table_row *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < table_worker.n; i++) {
		if (seccomp_syscall_resolve_name_arch(arch, table_worker.rows[i].name) >= 0)
			ret[n++] = table_worker.rows[i];
	}
	return n;
}

static void compile_for(uint32_t arch, enum kind kind, struct sock_filter **ret_code, size_t *ret_n)
{
	struct table table = table_worker;
	struct table_row *rows = calloc(table_worker.n, sizeof(*rows));
	struct cell_spec spec;
	struct cell_tree tree;

	kind_spec(kind, &spec, &tree);
	table.arch = arch;
	table.n = rows_of(arch, rows);
	table.rows = rows;
	assert_int_equal(table_compile(&table, filter_cell(&spec), ret_code, ret_n), 0);
	free(rows);
}

static void compare_with_file(uint32_t arch)
{
	static const char *verdicts[NUMBERS][KINDS];

	for (int kind = 0; kind < KINDS; kind++) {
		struct sock_filter *code = NULL;
		size_t n = 0;

		compile_for(arch, (enum kind)kind, &code, &n);
		for (int nr = 0; nr < NUMBERS; nr++)
			verdicts[nr][kind] = verdict(arch, nr, code, n);
		free(code);
	}
	golden_compare(arch, verdicts);
}

static void the_table_of_this_machine_is_as_its_golden_file_says(void **state)
{
	compare_with_file(seccomp_arch_native());
}

static void the_table_of_arm64_is_as_its_golden_file_says(void **state)
{
	compare_with_file(SCMP_ARCH_AARCH64);
}

/* Whatever it asks for. */
static void a_call_of_another_machine_kills(void **state)
{
	static const uint32_t others[] = {AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_S390X};
	struct sock_filter *code = NULL;
	size_t n = 0;

	for (int kind = 0; kind < KINDS; kind++) {
		compile_for(seccomp_arch_native(), (enum kind)kind, &code, &n);
		for (size_t i = 0; i < 3 * TABLE_LAST_KNOWN; i++) {
			const struct seccomp_data call = {
				.nr = (int)(i / 3), .arch = others[i % 3]};

			assert_int_equal(interpret(code, n, &call), SECCOMP_RET_KILL_PROCESS);
		}
		free(code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_of_this_machine_is_as_its_golden_file_says),
		cmocka_unit_test(the_table_of_arm64_is_as_its_golden_file_says),
		cmocka_unit_test(a_call_of_another_machine_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
