/* SPDX-License-Identifier: MIT */
/*
 * compiler.c - what the compiler must not make of checks, as all of warder is compiled.
 *
 * gcc 12.2 -O2 drops the first half of the check below: a result that is neither an answer nor an
 * error would be told from one that is an answer no more.
 */
#include "common/msg.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int asked(void)
{
	return ANSWER_FD;
}

static bool held;

static void hold(bool check)
{
	held = check;
}

static int (*volatile ask_it)(void) = asked;
static void (*volatile check_it)(bool) = hold;

static inline int answer(void)
{
	int r = ask_it();

	check_it(r == ANSWER_FD || r < 0);
	return r == ANSWER_FD ? 0 : r;
}

static void both_halves_of_a_check_are_kept(void **state)
{
	int again = 0;

	for (int i = 0; i < 3; i++)
		again += answer() == -EAGAIN;
	assert_true(held);
	assert_int_equal(again, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_halves_of_a_check_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
