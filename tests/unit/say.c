/* SPDX-License-Identifier: MIT */
/*
 * say.c - what people are told, and that no byte in it does harm.
 */
#include "cli/say.h"
#include "common/failure.h"
#include "tests/unit/cli_lib.h"

static void escapes(const char *text, size_t n, const char *wanted)
{
	char buf[256];

	assert_string_equal(say_escape(buf, sizeof(buf), text, n), wanted);
}

static void harmful_bytes_are_escaped(void **state)
{
	static const struct {
		const char *text, *wanted;
	} rows[] = {
		{"plain text", "plain text"},
		{"two\nlines\r", "two\\x0alines\\x0d"},
		{"\033[31m", "\\x1b[31m"},
		{"back\\slash", "back\\x5cslash"},
		{"\x7f", "\\x7f"},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
		{"\xc2\x9b", "\\xc2\\x9b"},                   /* U+009B starts a control sequence */
		{"\xc0\xaf", "\\xc0\\xaf"},                   /* overlong */
		{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},          /* overlong */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},          /* a surrogate */
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
		{"\xe2\x82", "\\xe2\\x82"},                   /* cut */
		{"\xff", "\\xff"},
		{"\xd8\x9c", "\\xd8\\x9c"}, /* U+061C turns the direction, as do these */
		{"\xe2\x80\xae", "\\xe2\\x80\\xae"},
		{"\xe2\x81\xa9", "\\xe2\\x81\\xa9"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		escapes(rows[i].text, strlen(rows[i].text), rows[i].wanted);
	escapes("a\0b", 3, "a\\x00b");
	escapes("", 0, "");
}

static void what_does_not_fit_is_cut(void **state)
{
	char buf[12];

	assert_string_equal(say_escape(buf, sizeof(buf), "abcdefghijklmnop", 16), "abcdefgh...");
	assert_string_equal(say_escape(buf, sizeof(buf), "\n\n\n\n", 4), "\\x0a\\x0a...");
	for (size_t size = 5; size < 40; size++) {
		char any[40];

		memset(any, 'X', sizeof(any));
		say_escape(any, size, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10);
		assert_true(strlen(any) < size);
	}
}

static void every_byte_gives_printable_text(void **state)
{
	unsigned seed = 1;
	char in[64], out[300];

	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < sizeof(in); i++)
			in[i] = (char)rand_r(&seed);
		say_escape(out, sizeof(out), in, sizeof(in));
		for (const char *p = out; *p; p++)
			assert_false((unsigned char)*p < 0x20 || *p == 0x7f);
	}
}

/* What say() writes of `text`. */
static void said(const char *text, char *buf, size_t size)
{
	int old = dup(STDERR_FILENO), fds[2];
	ssize_t n;

	assert_return_code(pipe(fds), errno);
	dup2(fds[1], STDERR_FILENO);
	say("%s", text);
	dup2(old, STDERR_FILENO);
	n = read(fds[0], buf, size - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	close(old);
	close(fds[0]);
	close(fds[1]);
}

static void a_sentence_does_no_harm_and_is_not_escaped_twice(void **state)
{
	char buf[4096], text[3000];

	said("a\033[31m\nb\\x1b \xc3\xa4", buf, sizeof(buf));
	assert_string_equal(buf, "warder: a\\x1b[31m\\x0ab\\x1b \xc3\xa4\n");
	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	said(text, buf, sizeof(buf));
	assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
}

static void a_failure_without_room_keeps_both_ends(void **state)
{
	struct failure f = FAILURE_INIT;
	char path[4000];

	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal((fail)(&f, -ENOENT, "cannot read %s: %m; make it", path), -ENOENT);
	assert_memory_equal(f.text, "cannot read aaa", 15);
	assert_non_null(strstr(f.text, "a...a"));
	assert_non_null(strstr(f.text, "a: No such file or directory; make it"));
}

static void a_full_table_has_one_remedy(void **state)
{
	struct failure f = FAILURE_INIT, g = FAILURE_INIT;

	(fail)(&f, -EMFILE, "cannot load the filter: %m; use Linux 5.19");
	assert_string_equal(f.text,
		"cannot load the filter: Too many open files; raise `ulimit -n`, to 64 at least");
	(fail)(&g, -EMFILE, "init has ended");
	assert_string_equal(
		g.text, "init has ended: Too many open files; raise `ulimit -n`, to 64 at least");
}

static void no_colour_off_a_terminal(void **state)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	assert_false(say_colour(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(harmful_bytes_are_escaped),
		TEST(what_does_not_fit_is_cut),
		TEST(every_byte_gives_printable_text),
		TEST(a_sentence_does_no_harm_and_is_not_escaped_twice),
		TEST(a_failure_without_room_keeps_both_ends),
		TEST(a_full_table_has_one_remedy),
		TEST(no_colour_off_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
