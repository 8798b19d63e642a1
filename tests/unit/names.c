/* SPDX-License-Identifier: MIT */
/*
 * names.c - which names an address has, and for how long.
 */
#include "broker/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000000ull

struct found {
	unsigned n;
	char last[256];
	const char *until; /* stop at this one */
};

static bool note(void *ctx, const char *name, size_t size)
{
	struct found *f = ctx;

	f->n++;
	memcpy(f->last, name, size);
	f->last[size] = '\0';
	return f->until && strcmp(f->until, f->last) == 0;
}

static unsigned count(const struct names *n, const uint8_t address[16], uint64_t now_ns)
{
	struct found f = {.n = 0};

	names_of(n, address, now_ns, note, &f);
	return f.n;
}

static void pin(
	struct names *n, const char *name, const uint8_t address[16], uint32_t ttl, uint64_t now_ns)
{
	names_pin(n, name, strlen(name), address, ttl, now_ns);
}

static const uint8_t a[16] = {[15] = 1}, b[16] = {[15] = 2};

static void an_address_has_the_names_that_were_found_for_their_time(void **state)
{
	struct names *n = names_new();
	struct found f = {.until = "two.example"};

	pin(n, "one.example", a, 60, SECOND);
	pin(n, "two.example", a, 120, SECOND);
	assert_int_equal(count(n, a, SECOND), 2);
	assert_int_equal(count(n, b, SECOND), 0);
	assert_true(names_of(n, a, SECOND, note, &f));
	assert_int_equal(count(n, a, 60 * SECOND), 2);
	assert_int_equal(count(n, a, 61 * SECOND), 1);
	assert_int_equal(count(n, a, 121 * SECOND), 0);
	names_free(n);
}

static void no_time_is_shorter_than_ten_seconds_or_longer_than_an_hour(void **state)
{
	struct names *n = names_new();

	pin(n, "one.example", a, 0, SECOND);
	pin(n, "two.example", b, UINT32_MAX, SECOND);
	assert_int_equal(count(n, a, 10 * SECOND), 1);
	assert_int_equal(count(n, a, 11 * SECOND), 0);
	assert_int_equal(count(n, b, 3600 * SECOND), 1);
	assert_int_equal(count(n, b, 3601 * SECOND), 0);
	names_free(n);
}

static void the_same_found_again_lives_for_the_longer_of_both(void **state)
{
	struct names *n = names_new();

	for (int i = 0; i < 3000; i++)
		pin(n, "one.example", a, 600, SECOND);
	pin(n, "one.example", a, 20, SECOND);
	assert_int_equal(count(n, a, 2 * SECOND), 1);
	assert_int_equal(count(n, a, 600 * SECOND), 1);
	names_free(n);
}

static void a_full_table_forgets_what_would_end_first(void **state)
{
	struct names *n = names_new();
	char name[32];

	pin(n, "first.example", b, 20, SECOND);
	for (int i = 0; i < NAMES_MAX_PINNED; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		pin(n, name, a, 600, SECOND);
	}
	assert_int_equal(count(n, b, 2 * SECOND), 0);
	assert_int_equal(count(n, a, 2 * SECOND), NAMES_MAX_PINNED);
	/* What has ended makes room. */
	pin(n, "later.example", b, 600, 700 * SECOND);
	assert_int_equal(count(n, b, 700 * SECOND), 1);
	names_free(n);
}

static void a_name_that_is_none_is_not_pinned(void **state)
{
	struct names *n = names_new();
	char name[300];

	memset(name, 'x', sizeof(name));
	names_pin(n, name, 0, a, 60, SECOND);
	names_pin(n, name, 254, a, 60, SECOND);
	names_pin(n, name, 300, a, 60, SECOND);
	assert_int_equal(count(n, a, SECOND), 0);
	names_pin(n, name, 253, a, 60, SECOND);
	assert_int_equal(count(n, a, SECOND), 1);
	names_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_has_the_names_that_were_found_for_their_time),
		cmocka_unit_test(no_time_is_shorter_than_ten_seconds_or_longer_than_an_hour),
		cmocka_unit_test(the_same_found_again_lives_for_the_longer_of_both),
		cmocka_unit_test(a_full_table_forgets_what_would_end_first),
		cmocka_unit_test(a_name_that_is_none_is_not_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
