/* SPDX-License-Identifier: MIT */
/*
 * own_path.h - the file of the test that runs, which starts itself again in a cell.
 */
#ifndef WARDER_TEST_OWN_PATH_H
#define WARDER_TEST_OWN_PATH_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <unistd.h>

static inline const char *own_path(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(n > 0);
	path[n] = '\0';
	return path;
}

#endif
