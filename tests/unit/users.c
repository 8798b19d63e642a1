/* SPDX-License-Identifier: MIT */
/*
 * users.c - the host's users, as getpwuid(3) has them.
 */
#include "broker/users.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define USERS_MAX 200

static void every_user_of_the_file_is_the_one_of_the_database(void **state)
{
	uid_t uids[USERS_MAX];
	size_t n = 0;
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *pw;

	assert_non_null(file);
	while (n < USERS_MAX && (pw = fgetpwent(file)))
		uids[n++] = pw->pw_uid;
	fclose(file);
	assert_true(n > 0);
	for (size_t i = 0; i < n; i++) {
		char *name, *home;

		pw = getpwuid(uids[i]);
		if (!pw) /* a line for NIS */
			continue;
		name = strdup(pw->pw_name);
		home = strdup(pw->pw_dir);
		pw = user_by_uid(uids[i]);
		assert_non_null(pw);
		assert_int_equal(pw->pw_uid, uids[i]);
		assert_string_equal(pw->pw_name, name);
		assert_string_equal(pw->pw_dir, home);
		free(name);
		free(home);
	}
}

static void a_number_of_nobody_finds_nobody(void **state)
{
	uid_t uid = 4000000000u;

	while (getpwuid(uid))
		uid++;
	assert_null(user_by_uid(uid));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_user_of_the_file_is_the_one_of_the_database),
		cmocka_unit_test(a_number_of_nobody_finds_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
