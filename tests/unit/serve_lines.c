/* SPDX-License-Identifier: MIT */
/*
 * serve_lines.c - what workers print.
 */
#include "cli/serve_lines.h"
#include "tests/unit/cli_lib.h"

struct pipes {
	int worker_fd, reader_fd, out_fd;
	struct lines lines;
};

static struct pipes make_pipes(void)
{
	struct pipes p;
	int from[2], to[2];

	assert_int_equal(pipe2(from, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(pipe2(to, O_CLOEXEC), 0);
	assert_int_equal(fd_status_flags(to[0], O_NONBLOCK, 0), 0);
	p.worker_fd = from[1];
	p.reader_fd = to[0];
	p.out_fd = to[1];
	p.lines = (struct lines){.from_fd = from[0], .to_fd = to[1], .slot = 2};
	return p;
}

static void close_pipes(struct pipes *p)
{
	lines_end(&p->lines);
	fd_close(&p->worker_fd);
	fd_close(&p->out_fd);
	fd_close(&p->reader_fd);
}

static void print(struct pipes *p, const char *text)
{
	assert_int_equal(fd_write_all(p->worker_fd, text, strlen(text)), 0);
}

static void expect(struct pipes *p, const char *wanted)
{
	char got[8192];
	ssize_t n = read(p->reader_fd, got, sizeof(got) - 1);

	got[n < 0 ? 0 : n] = '\0';
	assert_string_equal(got, wanted);
}

static void each_line_gets_its_slot(void **state)
{
	struct pipes p = make_pipes();

	print(&p, "one\ntwo\n\nthr");
	assert_true(lines_pass(&p.lines));
	expect(&p, "[2] one\n[2] two\n[2] \n");
	print(&p, "ee\n");
	assert_true(lines_pass(&p.lines));
	expect(&p, "[2] three\n");
	close_pipes(&p);
}

static void what_is_left_comes_at_the_end(void **state)
{
	struct pipes p = make_pipes();

	print(&p, "no newline");
	fd_close(&p.worker_fd);
	lines_end(&p.lines);
	expect(&p, "[2] no newline\n");
	assert_int_equal(p.lines.from_fd, -1);
	close_pipes(&p);
}

static void control_characters_are_escaped_but_tabs(void **state)
{
	struct pipes p = make_pipes();

	print(&p, "a\tb\033]0;title\007\\x09\n");
	assert_true(lines_pass(&p.lines));
	expect(&p, "[2] a\tb\\x1b]0;title\\x07\\x5cx09\n");
	close_pipes(&p);
}

static void long_lines_are_cut(void **state)
{
	struct pipes p = make_pipes();
	char line[2 * LINE_MAX_BYTES + 2], got[8192];
	ssize_t n;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	print(&p, line);
	for (int i = 0; i < 8; i++)
		lines_pass(&p.lines);
	n = read(p.reader_fd, got, sizeof(got));
	/* Twice the most, and the newline that is left. */
	assert_int_equal(n, 2 * (LINE_MAX_BYTES + 5) + 5);
	close_pipes(&p);
}

static void a_slow_reader_stops_the_worker_and_loses_nothing(void **state)
{
	struct pipes p = make_pipes();
	char got[1 << 16];
	int sent = 0, lines = 0;
	ssize_t n;

	/* Until the reader's pipe is full. */
	for (;;) {
		print(&p, "0123456789012345678901234567890123456789\n");
		sent++;
		if (!lines_pass(&p.lines))
			break;
		assert_true(sent < 100000);
	}
	while ((n = read(p.reader_fd, got, sizeof(got))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += got[i] == '\n';
		while (lines_pass(&p.lines) && p.lines.n > 0)
			;
	}
	assert_int_equal(lines, sent);
	close_pipes(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_line_gets_its_slot),
		TEST(what_is_left_comes_at_the_end),
		TEST(control_characters_are_escaped_but_tabs),
		TEST(long_lines_are_cut),
		TEST(a_slow_reader_stops_the_worker_and_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
