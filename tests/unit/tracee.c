/* SPDX-License-Identifier: MIT */
/*
 * tracee.c - strings copied from a caller's memory, here the test's own, wherever they lie.
 */
#include "broker/tracee.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096

/* Two pages, and behind them one that nobody may read. */
static char *pages;

static int make_pages(void **state)
{
	pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return pages == MAP_FAILED ? -1 : mprotect(pages + 2 * PAGE, PAGE, PROT_NONE);
}

static int copy(const char *at, char *buf, size_t size)
{
	return tracee_string(getpid(), (uint64_t)(uintptr_t)at, buf, size);
}

static void every_length_is_copied_from_every_place(void **state)
{
	static const size_t lengths[] = {0, 1, 511, 512, 513, 1023, 1024, 2000, PATH_MAX - 1};
	static char buf[PATH_MAX];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (size_t from = 0; from + lengths[i] + 1 <= 2 * PAGE; from += 61) {
			memset(pages, 'x', 2 * PAGE);
			for (size_t j = 0; j < lengths[i]; j++)
				pages[from + j] = (char)('a' + j % 23);
			pages[from + lengths[i]] = '\0';
			assert_int_equal(copy(pages + from, buf, sizeof(buf)), lengths[i]);
			assert_string_equal(buf, pages + from);
		}
	}
}

static void what_ends_at_a_page_that_is_not_there_is_copied(void **state)
{
	char buf[PATH_MAX];

	memset(pages, 'y', 2 * PAGE);
	pages[2 * PAGE - 1] = '\0';
	for (size_t n = 0; n < 1200; n += 7)
		assert_int_equal(copy(pages + 2 * PAGE - 1 - n, buf, sizeof(buf)), n);
}

static void what_does_not_end_is_refused(void **state)
{
	char buf[PATH_MAX];

	memset(pages, 'z', 2 * PAGE);
	assert_int_equal(copy(pages, buf, sizeof(buf)), -ENAMETOOLONG);
	assert_int_equal(copy(pages + 1, buf, 256), -ENAMETOOLONG);
	assert_int_equal(copy(pages + 2 * PAGE - 600, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(copy(pages + 2 * PAGE, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(copy(NULL, buf, sizeof(buf)), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_is_copied_from_every_place),
		cmocka_unit_test(what_ends_at_a_page_that_is_not_there_is_copied),
		cmocka_unit_test(what_does_not_end_is_refused),
	};

	return cmocka_run_group_tests(tests, make_pages, NULL);
}
