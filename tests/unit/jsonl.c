/* SPDX-License-Identifier: MIT */
/*
 * jsonl.c - whatever bytes a string holds: the line parses, and the bytes come back.
 */
#include "common/jsonl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#define BYTES_MAX 64

/* One UTF-8 string of characters up to U+00FF back to bytes. */
static size_t latin1(const char *s, size_t n, unsigned char *ret)
{
	size_t k = 0;

	for (size_t i = 0; i < n; k++) {
		unsigned char c = (unsigned char)s[i++];

		if (c >= 0x80) {
			assert_true(c == 0xc2 || c == 0xc3);
			c = (unsigned char)((c & 3) << 6 | ((unsigned char)s[i++] & 0x3f));
		}
		ret[k] = c;
	}
	return k;
}

/* Writes a line of the bytes, checks it, and returns whether it used the second form. */
static bool round_trip(const void *bytes, size_t size)
{
	char line[BYTES_MAX * 6 + 64];
	unsigned char back[BYTES_MAX * 6];
	struct jsonl j = jsonl_begin(line, sizeof(line));
	json_error_t error;
	json_t *o, *s;
	size_t n;
	long len;
	bool second;

	jsonl_bytes(&j, "x", bytes, size);
	len = jsonl_end(&j);
	assert_true(len > 0);
	assert_int_equal(line[len - 1], '\n');
	for (long i = 0; i < len - 1; i++)
		assert_true((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
	o = json_loadb(line, (size_t)len, JSON_ALLOW_NUL, &error);
	if (!o)
		fail_msg("%s: %.*s", error.text, (int)len, line);
	s = json_object_get(o, "x");
	second = json_is_true(json_object_get(o, "x_bytes"));
	n = json_string_length(s);
	if (second)
		n = latin1(json_string_value(s), n, back);
	else
		memcpy(back, json_string_value(s), n);
	assert_int_equal(n, size);
	assert_memory_equal(back, bytes, size);
	json_decref(o);
	return second;
}

static void every_byte_and_every_pair_comes_back(void **state)
{
	unsigned char b[2];

	for (unsigned i = 0; i < 65536; i++) {
		b[0] = (unsigned char)i;
		b[1] = (unsigned char)(i >> 8);
		round_trip(b, 2);
		if (i < 256)
			round_trip(b, 1);
	}
}

static void random_bytes_come_back(void **state)
{
	unsigned char b[BYTES_MAX];
	unsigned seed = 1;

	for (int i = 0; i < 50000; i++) {
		size_t n = (size_t)rand_r(&seed) % sizeof(b);

		for (size_t k = 0; k < n; k++)
			b[k] = (unsigned char)(rand_r(&seed) >> 4);
		round_trip(b, n);
	}
}

static void utf8_stays_text_and_the_rest_is_bytes(void **state)
{
	static const struct {
		const char *s;
		bool bytes;
	} cases[] = {
		{"/srv/caf\xc3\xa9", false},
		{"\xe2\x82\xac \xf0\x9f\x94\x92", false},
		{"\xf4\x8f\xbf\xbf", false}, /* U+10FFFF */
		{"\xf3\xa0\x81\x81", false}, /* a tag character: escaped as a pair */
		{"\xe2\x80\xae"
		 "txt.exe",
			false},     /* right-to-left override */
		{"\xc0\xaf", true}, /* an overlong slash */
		{"\xe0\x80\xaf", true},
		{"\xf0\x80\x80\xaf", true},
		{"\xed\xa0\x80", true},     /* a surrogate */
		{"\xf4\x90\x80\x80", true}, /* beyond U+10FFFF */
		{"\xf5\x80\x80\x80", true},
		{"\xe2\x82", true}, /* cut short */
		{"\x80", true},
		{"\xff\xfe", true},
		{"caf\xe9", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (round_trip(cases[i].s, strlen(cases[i].s)) != cases[i].bytes)
			fail_msg("case %zu", i);
}

static void what_steers_a_terminal_is_escaped(void **state)
{
	static const char *const hostile[] = {"\x1b[31m", "a\nb", "a\rb", "\x7f",
		("\xc2\x9b"
		 "31m"),
		"\xe2\x80\xa8", "\xe2\x80\xae", "\xef\xbb\xbf", "\xe2\x81\xa6"};
	char line[256];

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		struct jsonl j = jsonl_begin(line, sizeof(line));
		long n;

		jsonl_string(&j, "x", hostile[i]);
		n = jsonl_end(&j);
		assert_true(n > 0);
		line[n - 1] = '\0';
		assert_null(strstr(line, hostile[i]));
		assert_non_null(strstr(line, "\\u"));
	}
}

static void numbers_are_exact(void **state)
{
	char line[512];
	struct jsonl j = jsonl_begin(line, sizeof(line));

	jsonl_u64(&j, "a", 0);
	jsonl_u64(&j, "b", UINT64_MAX);
	jsonl_i64(&j, "c", INT64_MIN);
	jsonl_i64(&j, "d", -1);
	jsonl_open(&j, "e");
	jsonl_bool(&j, "f", true);
	jsonl_close(&j);
	jsonl_bool(&j, "g", false);
	jsonl_string(&j, "none", NULL);
	assert_int_equal(jsonl_end(&j), strlen("{\"a\":0,\"b\":18446744073709551615,"
					       "\"c\":-9223372036854775808,\"d\":-1,"
					       "\"e\":{\"f\":true},\"g\":false}\n"));
	assert_memory_equal(line,
		"{\"a\":0,\"b\":18446744073709551615,\"c\":-9223372036854775808,\"d\":-1,"
		"\"e\":{\"f\":true},\"g\":false}\n",
		(size_t)(j.at - j.begin));
}

static void numbers_of_every_length_are_exact(void **state)
{
	for (uint64_t power = 1;; power *= 10) {
		const uint64_t near[] = {power - 1, power, power + 1, power * 2 - 1};

		for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
			char line[64], wanted[64];
			struct jsonl j = jsonl_begin(line, sizeof(line));
			int n = snprintf(wanted, sizeof(wanted), "{\"n\":%" PRIu64 "}\n", near[i]);

			jsonl_u64(&j, "n", near[i]);
			assert_int_equal(jsonl_end(&j), n);
			assert_memory_equal(line, wanted, (size_t)n);
		}
		if (power > UINT64_MAX / 10)
			return;
	}
}

static void a_line_that_does_not_fit_is_never_cut(void **state)
{
	char whole[256], line[256];
	struct jsonl j = jsonl_begin(whole, sizeof(whole));
	long n;

	jsonl_bytes(&j, "x", "\xff\n\"abc", 6);
	jsonl_u64(&j, "y", 1234567890);
	n = jsonl_end(&j);
	for (size_t room = 1; room < (size_t)n; room++) {
		char *exact = malloc(room);

		j = jsonl_begin(exact, room);
		jsonl_bytes(&j, "x", "\xff\n\"abc", 6);
		jsonl_u64(&j, "y", 1234567890);
		assert_int_equal(jsonl_end(&j), -EMSGSIZE);
		free(exact);
	}
	j = jsonl_begin(line, (size_t)n);
	jsonl_bytes(&j, "x", "\xff\n\"abc", 6);
	jsonl_u64(&j, "y", 1234567890);
	assert_int_equal(jsonl_end(&j), n);
}

/* The line of a field `x` of these texts; -EMSGSIZE. */
static long put_texts(char *line, size_t room, const char *const *texts)
{
	struct jsonl j = jsonl_begin(line, room);

	jsonl_texts(&j, "x", texts);
	jsonl_u64(&j, "y", 1);
	return jsonl_end(&j);
}

static void an_array_has_one_form_for_all_its_texts(void **state)
{
	static const char *const none[] = {NULL}, *const one[] = {"/usr", NULL},
				 *const text[] = {"/caf\xc3\xa9", "a\n\"b", "", NULL},
				 *const bytes[] = {"/caf\xc3\xa9", "\xff\033", NULL};
	static const struct {
		const char *const *texts;
		const char *line;
	} cases[] = {
		{none, "{\"x\":[],\"y\":1}\n"},
		{one, "{\"x\":[\"/usr\"],\"y\":1}\n"},
		{text, "{\"x\":[\"/caf\xc3\xa9\",\"a\\u000a\\\"b\",\"\"],\"y\":1}\n"},
		{bytes, "{\"x\":[\"/caf\\u00c3\\u00a9\",\"\\u00ff\\u001b\"],\"x_bytes\":true,"
			"\"y\":1}\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].line);
		char line[256];

		assert_int_equal(put_texts(line, sizeof(line), cases[i].texts), (long)n);
		assert_memory_equal(line, cases[i].line, n);
		for (size_t room = 1; room < n; room++) {
			char *exact = malloc(room);

			assert_int_equal(put_texts(exact, room, cases[i].texts), -EMSGSIZE);
			free(exact);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_and_every_pair_comes_back),
		cmocka_unit_test(random_bytes_come_back),
		cmocka_unit_test(utf8_stays_text_and_the_rest_is_bytes),
		cmocka_unit_test(what_steers_a_terminal_is_escaped),
		cmocka_unit_test(numbers_are_exact),
		cmocka_unit_test(numbers_of_every_length_are_exact),
		cmocka_unit_test(a_line_that_does_not_fit_is_never_cut),
		cmocka_unit_test(an_array_has_one_form_for_all_its_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
