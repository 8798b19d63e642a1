/* SPDX-License-Identifier: MIT */
/* start.c - a program runs in a cell and sees what it should. */
#include "tests/cell/cell.h"

static int fds_before;

static int setup(void **state)
{
	fds_before = open_fds();
	return 0;
}

static int teardown(void **state)
{
	return open_fds() == fds_before ? 0 : -1;
}

static void true_runs(void **state)
{
	RUN_SH(run, "exit 7");

	cell_run(&run);
	assert_string_equal(run.out, "");
	assert_int_equal(run.status, 7);
}

static void status_shows_every_layer(void **state)
{
	RUN_SH(run, "cat /proc/self/status; cat /proc/self/mountinfo; ls -la / /dev /etc; id; "
		    "pwd; ls -l /proc/self/fd; env; hostname; cat /proc/net/dev; touch /tmp/x ~/y; "
		    "ls /tmp ~; echo > /x");

	cell_run(&run);
	printf("%s\n", run.out);
	assert_non_null(strstr(run.out, "NoNewPrivs:\t1"));
	assert_non_null(strstr(run.out, "Seccomp:\t2"));
	assert_non_null(strstr(run.out, "CapBnd:\t0000000000000000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(true_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(status_shows_every_layer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
