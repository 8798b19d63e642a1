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

static void host_runs(void **state)
{
	RUN_SH(run, "cat /proc/self/status | grep -E 'Cap|Uid|NoNew|Secc'; id; cat /etc/passwd; ls /etc; ls -l /proc/self/fd; touch /tmp/x; kill -0 1; (sleep 1000 & ) ; exit 5");

	run.spec.root = CELL_HOST;
	run.spec.accept = CELL_LAYER_UID;
	cell_run(&run);
	printf("%d %s\n", run.status, run.out);
}

static void empty_runs(void **state)
{
	RUN_SH(run, "stat /dev; ls -l /dev/null; echo x > /dev/null; ls /dev; ls /etc; cat /etc/passwd; exit 5");

	run.spec.root = CELL_EMPTY;
	cell_run_tree(&run, "/var", CELL_READ, false);
	cell_run(&run);
	printf("%d %s\n", run.status, run.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(true_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(host_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(status_shows_every_layer, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
