/* SPDX-License-Identifier: MIT */
/*
 * filter_shrink.c - the filters' programs, made shorter, answer as libseccomp's do; and who
 * compares them would see it if they did not.
 */
#include "common/fd.h"
#include "sandbox/tables/table.h"

#include <errno.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))
#define ARG(n)   ((uint32_t)(offsetof(struct seccomp_data, args) + 8 * (n)))

struct program {
	struct sock_filter *code;
	size_t n;
};

static const struct table *const tables[] = {
	&table_worker, &table_broker, &table_init, &table_relay, &table_dialer};

static struct program libseccomps(const struct table *table)
{
	unsigned cell = CELL_HAS_VIEW | CELL_APPENDS | CELL_MAY_TRUNCATE | CELL_DATAGRAMS;
	struct program p = {NULL, 0};

	if (table != &table_worker)
		cell = CELL_DATAGRAMS;
	assert_int_equal(table_compile(table, cell, &p.code, &p.n), 0);
	return p;
}

static struct program shorter(const struct program *p)
{
	struct program s = {calloc(p->n, sizeof(*s.code)), p->n};

	assert_non_null(s.code);
	memcpy(s.code, p->code, p->n * sizeof(*s.code));
	assert_int_equal(program_shrink(s.code, &s.n), 0);
	return s;
}

static int same(const struct program *a, const struct program *b, const struct table *table)
{
	return program_same(
		&(struct filter){a->code, a->n}, &(struct filter){b->code, b->n}, table->arch);
}

static void every_table_gets_shorter_and_answers_the_same(void **state)
{
	for (size_t i = 0; i < COUNT(tables); i++) {
		struct program a = libseccomps(tables[i]), b = shorter(&a);

		assert_true(b.n < a.n);
		assert_int_equal(same(&a, &b, tables[i]), 0);
		free(a.code);
		free(b.code);
	}
}

/* What would be another program; false: perhaps not.  A bound may lie anywhere between the values
 * that it parts. */
static bool spoil(struct sock_filter *i, unsigned how)
{
	struct sock_filter was = *i;

	if (i->code == (BPF_JMP | BPF_JA))
		return false;
	if (how == 0 && BPF_CLASS(i->code) != BPF_JMP)
		return false;
	if (how == 0) {
		i->jt = was.jf;
		i->jf = was.jt;
	} else if (BPF_CLASS(i->code) == BPF_LD) {
		i->k = was.k == 0 ? 4 : 0;
	} else if (i->code != (BPF_JMP | BPF_JGE | BPF_K)) {
		i->k ^= 0x40;
	} else {
		return false;
	}
	return true;
}

static void one_instruction_that_is_another_is_seen(void **state)
{
	for (size_t t = 0; t < COUNT(tables); t++) {
		struct program a = libseccomps(tables[t]), b = shorter(&a);

		for (size_t i = 0; i < 2 * b.n; i++) {
			struct sock_filter was = b.code[i / 2];

			if (spoil(&b.code[i / 2], i % 2))
				assert_int_equal(same(&a, &b, tables[t]), -EBADMSG);
			b.code[i / 2] = was;
		}
		assert_int_equal(same(&a, &b, tables[t]), 0);
		free(a.code);
		free(b.code);
	}
}

static void what_has_one_answer_is_not_asked(void **state)
{
	struct sock_filter code[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, ARG(0) + 4},
		{BPF_ALU | BPF_AND | BPF_K, 0, 0, 0},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0},
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, ARG(1)},
		{BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 7},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 8},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_KILL_PROCESS},
	};
	size_t n = COUNT(code);

	assert_int_equal(program_shrink(code, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(code[0].code, BPF_RET | BPF_K);
	assert_int_equal(code[0].k, SECCOMP_RET_ALLOW);
}

/* Numbers from 10 on, each compared with: more than a jump can pass over. */
static void neighbours_become_a_range_and_far_jumps_are_made_in_steps(void **state)
{
	enum { N = 600 };
	struct sock_filter code[2 * N + 2] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}};
	struct program a = {code, 1};
	struct program b;

	for (uint32_t i = 0; i < N; i++) {
		code[a.n++] = (struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 10 + i};
		/* Runs of ten, of which the kernel would say 60 different things. */
		code[a.n++] = (struct sock_filter){
			BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (1 + i / 10)};
	}
	code[a.n++] = (struct sock_filter){BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
	b = shorter(&a);
	assert_true(b.n < 200);
	assert_int_equal(same(&a, &b, &table_worker), 0);
	free(b.code);

	/* With an answer for each there is nothing to gather. */
	for (uint32_t i = 0; i < N; i++)
		code[2 + 2 * i].k = SECCOMP_RET_ERRNO | (1 + i);
	b = shorter(&a);
	assert_true(b.n > N);
	assert_int_equal(same(&a, &b, &table_worker), 0);
	free(b.code);
}

static void an_instruction_that_no_table_leads_to_is_refused(void **state)
{
	struct sock_filter sets_bits[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
		{BPF_ALU | BPF_OR | BPF_K, 0, 0, 1},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
	};
	struct sock_filter tests_bits[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
		{BPF_JMP | BPF_JSET | BPF_K, 0, 0, 1},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
	};
	struct sock_filter has_no_end[] = {
		{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
		{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 1},
		{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
	};
	size_t n = 3;

	assert_int_equal(program_shrink(sets_bits, &n), -EINVAL);
	assert_int_equal(program_shrink(tests_bits, &n), -EINVAL);
	assert_int_equal(program_shrink(has_no_end, &n), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_table_gets_shorter_and_answers_the_same),
		cmocka_unit_test(one_instruction_that_is_another_is_seen),
		cmocka_unit_test(what_has_one_answer_is_not_asked),
		cmocka_unit_test(neighbours_become_a_range_and_far_jumps_are_made_in_steps),
		cmocka_unit_test(an_instruction_that_no_table_leads_to_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
