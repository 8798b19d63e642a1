/* SPDX-License-Identifier: MIT */
/*
 * path.c - the normal form of a path.
 */
#include "common/path.h"

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void paths_have_one_normal_form(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"/", "/"},
		{"//", "/"},
		{"/.", "/"},
		{"/..", "/"},
		{"/../..", "/"},
		{"/a", "/a"},
		{"/a/", "/a"},
		{"/a//b", "/a/b"},
		{"/a/./b/.", "/a/b"},
		{"/a/../b", "/b"},
		{"/a/b/..", "/a"},
		{"/a/..", "/"},
		{"/a/../../b", "/b"},
		{"/..a", "/..a"},
		{"/a..", "/a.."},
		{"/...", "/..."},
		{"/.a/..b/c.", "/.a/..b/c."},
		{"/a\n\x01\xff/b", "/a\n\x01\xff/b"},
		{"/a (deleted)", "/a (deleted)"},
	};
	char buf[PATH_MAX];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int n = path_normalise(cases[i].from, strlen(cases[i].from), buf, sizeof(buf));

		assert_int_equal(n, strlen(cases[i].to));
		assert_string_equal(buf, cases[i].to);
		/* A normal form is its own. */
		n = path_normalise(cases[i].to, strlen(cases[i].to), buf, sizeof(buf));
		assert_string_equal(buf, cases[i].to);
	}
}

static void what_is_no_absolute_path_is_refused(void **state)
{
	char buf[PATH_MAX], name[NAME_MAX + 3];

	assert_int_equal(path_normalise("", 0, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(path_normalise("a", 1, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(path_normalise("./a", 3, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(path_normalise("/a\0b", 4, buf, sizeof(buf)), -EINVAL);
	assert_int_equal(path_normalise("/abc", 4, buf, 4), -ENAMETOOLONG);
	assert_int_equal(path_normalise("/abc", 4, buf, 5), 4);
	memset(name, 'x', sizeof(name));
	name[0] = '/';
	assert_int_equal(path_normalise(name, NAME_MAX + 1, buf, sizeof(buf)), NAME_MAX + 1);
	assert_int_equal(path_normalise(name, NAME_MAX + 2, buf, sizeof(buf)), -ENAMETOOLONG);
}

/* Random paths of few letters against the plain definition: a stack of components. */
static void random_paths_agree_with_the_definition(void **state)
{
	/* Half of them with few dots, so that most of those are normal already. */
	static const char *const letters[] = {"//..ab", "/.abcdefghijkl"};
	unsigned seed = 11;

	for (int i = 0; i < 200000; i++) {
		const char *among = letters[i % 2];
		char path[48] = "/", buf[64], want[64] = "", copy[48];
		size_t n = 1 + (size_t)rand_r(&seed) % (i % 4 < 2 ? 22 : 45);

		for (size_t k = 1; k < n; k++)
			path[k] = among[(size_t)rand_r(&seed) % strlen(among)];
		path[n] = '\0';
		strcpy(copy, path);
		for (char *save, *c = strtok_r(copy, "/", &save); c;
			c = strtok_r(NULL, "/", &save)) {
			if (strcmp(c, "..") == 0) {
				char *slash = strrchr(want, '/');

				if (slash)
					*slash = '\0';
			} else if (strcmp(c, ".") != 0) {
				strcat(want, "/");
				strcat(want, c);
			}
		}
		if (!want[0])
			strcpy(want, "/");
		assert_int_equal(path_normalise(path, n, buf, sizeof(buf)), strlen(want));
		assert_string_equal(buf, want);
		assert_int_equal(path_is_normal(path, n), strcmp(path, want) == 0);
	}
	assert_false(path_is_normal("", 0));
	assert_false(path_is_normal("a/b", 3));
	assert_false(path_is_normal("abcdefgh/b", 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_have_one_normal_form),
		cmocka_unit_test(what_is_no_absolute_path_is_refused),
		cmocka_unit_test(random_paths_agree_with_the_definition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
