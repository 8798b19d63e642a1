/* SPDX-License-Identifier: MIT */
/*
 * fd.c - closing many descriptors: these, and no others.
 */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define BASE  100 /* above whatever the test itself has open */
#define COUNT 16

/* Opens BASE to BASE + COUNT - 1. */
static void open_all(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0 && fd < BASE);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(dup3(fd, BASE + i, O_CLOEXEC), BASE + i);
	close(fd);
}

/* Which of them are open, one bit each. */
static unsigned opened(void)
{
	unsigned bits = 0;

	for (int i = 0; i < COUNT; i++)
		bits |= (fcntl(BASE + i, F_GETFD) >= 0 ? 1u : 0u) << i;
	return bits;
}

static const struct {
	int n;
	int fds[COUNT]; /* less BASE; -1: none */
	unsigned left;
} rows[] = {
	{0, {0}, 0xffff},
	{1, {3}, 0xfff7},
	{5, {2, 3, 4, 5, 6}, 0xff83},
	{5, {6, 5, 4, 3, 2}, 0xff83},
	{8, {0, 1, 2, 3, 12, 13, 14, 15}, 0x0ff0},
	{8, {0, 1, 2, -1, 4, 5, 6, 7}, 0xff08},
	{6, {0, 2, 4, 6, 8, 10}, 0xfaaa},
	{7, {4, 5, 6, 6, 7, 8, 9}, 0xfc0f}, /* one twice */
	{4, {-1, -1, -1, -1}, 0xffff},
};

static void those_and_no_others_are_closed(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fds[COUNT];

		open_all();
		for (int j = 0; j < rows[i].n; j++)
			fds[j] = rows[i].fds[j] < 0 ? -1 : BASE + rows[i].fds[j];
		errno = E2BIG;
		fd_close_many(fds, (size_t)rows[i].n);
		assert_int_equal(errno, E2BIG);
		assert_int_equal(opened(), rows[i].left);
		for (int j = 0; j < rows[i].n; j++)
			assert_int_equal(fds[j], -1);
	}
	assert_int_equal(close_range(BASE, BASE + COUNT - 1, 0), 0);
}

/* A child in which close(2) or close_range(2) fails; what is open after. */
static unsigned closed_without(int call)
{
	int fds[COUNT], status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);

		for (int i = 0; i < COUNT; i++)
			fds[i] = BASE + i;
		if (!ctx || seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), call, 0) < 0 ||
			seccomp_load(ctx) < 0)
			_exit(99);
		fd_close_many(fds, COUNT);
		_exit(opened() == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (unsigned)WEXITSTATUS(status);
}

static void a_row_of_them_is_one_call_where_that_is_allowed(void **state)
{
	open_all();
	assert_int_equal(closed_without(SCMP_SYS(close)), 0);
	assert_int_equal(closed_without(SCMP_SYS(close_range)), 0);
	assert_int_equal(close_range(BASE, BASE + COUNT - 1, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(those_and_no_others_are_closed),
		cmocka_unit_test(a_row_of_them_is_one_call_where_that_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
