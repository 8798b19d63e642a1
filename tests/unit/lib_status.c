/* SPDX-License-Identifier: MIT */
/*
 * lib_status.c - the lines of --status-fd, whole and broken.
 */
#include "sandbox/lib_status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reads_what_warder_writes(void **state)
{
	static const char start[] =
		"{\"event\":\"start\",\"status\":\"failed\",\"error\":\"cannot: "
		"\\\"x\\\", \\\\ \\u00e9\\u000a!\",\"code\":126}";
	static const char end[] =
		"{ \"event\" : \"end\" , \"status\" : 7 , \"granted\":18446744073709551615,"
		"\"denied\":0,\"limited\":3,\"timed_out\":true}";
	char text[64];
	uint64_t n;

	assert_true(status_string(start, "event", text, sizeof(text)));
	assert_string_equal(text, "start");
	assert_true(status_string(start, "error", text, sizeof(text)));
	assert_string_equal(text, "cannot: \"x\", \\ \xe9?!");
	assert_true(status_number(start, "code", &n));
	assert_int_equal(n, 126);
	assert_true(status_number(end, "status", &n));
	assert_int_equal(n, 7);
	assert_true(status_number(end, "granted", &n));
	assert_true(n == UINT64_MAX);
	assert_true(status_true(end, "timed_out"));
	assert_false(status_true(end, "denied"));
}

static void a_key_inside_a_string_is_no_key(void **state)
{
	static const char line[] = "{\"error\":\"\\\",\\\"code\\\":1\",\"code\":125}";
	uint64_t n;

	assert_true(status_number(line, "code", &n));
	assert_int_equal(n, 125);
	assert_false(status_number("{\"error\":\"code\"}", "code", &n));
	assert_false(status_number("{\"encode\":1}", "code", &n));
	assert_false(status_number("{\"code\":\"1\"}", "code", &n));
	assert_false(status_number("{\"code\":-1}", "code", &n));
	assert_false(status_number("{\"a\":{\"code\":1}}", "code", &n));
	assert_false(status_number("{\"a\":[1,2],\"code\":1}", "code", &n));
}

static void a_long_text_is_cut(void **state)
{
	char text[6];

	assert_true(status_string("{\"error\":\"abcdefghij\"}", "error", text, sizeof(text)));
	assert_string_equal(text, "abcde");
}

/* Every beginning of a line, in memory that ends with it. */
static void no_broken_line_is_read_beyond_its_end(void **state)
{
	static const char line[] =
		"{\"a\\\"\":\"\\u00e9\\\\\",\"error\":\"\\u12\\n\\\"x\",\"n\":12,\"t\":true}";

	for (size_t size = 0; size < sizeof(line); size++) {
		char *part = malloc(size + 1), text[32];
		uint64_t n;

		memcpy(part, line, size);
		part[size] = '\0';
		status_string(part, "error", text, sizeof(text));
		status_number(part, "n", &n);
		status_true(part, "t");
		for (size_t i = 0; i < size; i++) {
			char kept = part[i];

			part[i] = "\\\"{}:,u"[i % 7];
			status_string(part, "error", text, sizeof(text));
			status_number(part, "n", &n);
			status_true(part, "t");
			part[i] = kept;
		}
		free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_warder_writes),
		cmocka_unit_test(a_key_inside_a_string_is_no_key),
		cmocka_unit_test(a_long_text_is_cut),
		cmocka_unit_test(no_broken_line_is_read_beyond_its_end),
	};

	return cmocka_run_group_tests_name("lib_status", tests, NULL, NULL);
}
