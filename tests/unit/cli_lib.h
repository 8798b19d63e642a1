/* SPDX-License-Identifier: MIT */
/*
 * cli_lib.h - what the command line's unit tests share: a directory of the test's own, and the
 * count of open descriptors, which must be the same afterwards.
 */
#ifndef TESTS_UNIT_CLI_LIB_H
#define TESTS_UNIT_CLI_LIB_H

#include "common/fd.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char test_dir[256];
static int test_fds;

static inline int test_begin(void **state)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(test_dir, sizeof(test_dir), "%s/unit.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(test_dir) || chdir(test_dir) < 0)
		return -1;
	setenv("XDG_STATE_HOME", test_dir, 1);
	setenv("XDG_RUNTIME_DIR", test_dir, 1);
	test_fds = count_fds();
	return 0;
}

static inline int test_end(void **state)
{
	char command[300];
	int now = count_fds();

	snprintf(command, sizeof(command), "rm -rf '%s'", test_dir);
	if (chdir("/") < 0 || system(command) != 0)
		return -1;
	if (now != test_fds)
		print_error("%d descriptors are open, not %d\n", now, test_fds);
	return now == test_fds ? 0 : -1;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)

/* What was written to a pipe, with a NUL. */
static inline void read_pipe(int fd, char *buf, size_t size)
{
	long n = fd_read_all(fd, buf, size - 1);

	assert_true(n >= 0);
	buf[n] = '\0';
}

#endif
