/* SPDX-License-Identifier: MIT */
/*
 * options.c - how a command line is read.
 */
#include "cli/options.h"
#include "tests/unit/cli_lib.h"

static const struct option_row rows[] = {
	{"policy", 'p', "FILE", "a value"},
	{NULL, 'e', "LINE", "a letter alone"},
	{"quiet", 'q', NULL, "a switch"},
	{"verbose", 'v', NULL, "another"},
	{"memory", 0, "SIZE", "a word alone"},
};

/* Reads a command line and writes what it means: "policy=x quiet | operands". */
static void read_line(char *const *argv, char *buf, size_t size)
{
	struct options o;
	const char *value;
	int argc = 0, i;
	size_t n = 0;

	while (argv[argc])
		argc++;
	options_init(&o, "test", rows, sizeof(rows) / sizeof(rows[0]), argc, (char **)argv);
	buf[0] = '\0';
	while ((i = options_next(&o, &value)) >= 0)
		n += (size_t)snprintf(buf + n, size - n, "%s%s%s ",
			rows[i].name ? rows[i].name : "e", value ? "=" : "", value ? value : "");
	n += (size_t)snprintf(buf + n, size - n, "%s", i == OPTIONS_END ? "|" : "bad");
	for (int at = o.at; i == OPTIONS_END && at < argc; at++)
		n += (size_t)snprintf(buf + n, size - n, " %s", argv[at]);
}

static void command_lines_mean_what_they_should(void **state)
{
	static const struct {
		const char *argv[8], *wanted;
	} table[] = {
		{{"run"}, "|"},
		{{"run", "cmd", "-q"}, "| cmd -q"},
		{{"run", "--", "-q"}, "| -q"},
		{{"run", "-p", "x", "cmd"}, "policy=x | cmd"},
		{{"run", "-px", "cmd"}, "policy=x | cmd"},
		{{"run", "--policy", "x", "cmd"}, "policy=x | cmd"},
		{{"run", "--policy=x", "cmd"}, "policy=x | cmd"},
		{{"run", "--policy=", "cmd"}, "policy= | cmd"},
		{{"run", "-p", "--", "cmd"}, "policy=-- | cmd"},
		{{"run", "-qv", "cmd"}, "quiet verbose | cmd"},
		{{"run", "-qpx", "cmd"}, "quiet policy=x | cmd"},
		{{"run", "-qe", "allow read /", "cmd"}, "quiet e=allow read / | cmd"},
		{{"run", "--memory=1=2", "cmd"}, "memory=1=2 | cmd"},
		{{"run", "-", "cmd"}, "| - cmd"},
		{{"run", "-p"}, "bad"},
		{{"run", "--policy"}, "bad"},
		{{"run", "--polic", "x"}, "bad"},
		{{"run", "--quiet=1"}, "bad"},
		{{"run", "-x"}, "bad"},
		{{"run", "-qx"}, "quiet bad"},
		{{"run", "---"}, "bad"},
		{{"run", "--=x"}, "bad"},
	};
	char got[256];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		read_line((char *const *)(uintptr_t)table[i].argv, got, sizeof(got));
		assert_string_equal(got, table[i].wanted);
	}
}

static void operands_may_stand_between_options_until_the_end_of_options(void **state)
{
	const char *argv[] = {"call", "a", "-q", "b", "--", "-v", "c", NULL};
	struct options o;
	const char *value;
	char got[128] = "";
	int i;

	options_init(&o, "test", rows, sizeof(rows) / sizeof(rows[0]), 7, (char **)(uintptr_t)argv);
	while ((i = options_next(&o, &value)) >= 0 ||
		(i == OPTIONS_END && (value = options_operand(&o)))) {
		strcat(got, i == OPTIONS_END ? value : rows[i].name);
		strcat(got, " ");
	}
	assert_int_equal(i, OPTIONS_END);
	assert_string_equal(got, "a quiet b -v c ");
}

static void numbers_are_decimal_and_whole(void **state)
{
	static const char *const bad[] = {
		"", " 1", "1 ", "+1", "-1", "0x1", "1a", "101", "99999999999999999999"};
	unsigned long n = 7;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(option_number(bad[i], 100, &n), -EINVAL);
	assert_int_equal(n, 7);
	assert_int_equal(option_number("100", 100, &n), 0);
	assert_int_equal(n, 100);
	assert_int_equal(option_number("0", 100, &n), 0);
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(command_lines_mean_what_they_should),
		TEST(operands_may_stand_between_options_until_the_end_of_options),
		TEST(numbers_are_decimal_and_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
