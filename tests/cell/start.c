/* SPDX-License-Identifier: MIT */
/* start.c - a cell starts with every layer, fails with a sentence, and ends whole. */
#include "tests/cell/cell.h"

#include <grp.h>
#include <sys/prctl.h>
#include <time.h>

static int fds_before;

static int setup(void **state)
{
	fds_before = open_fds();
	alarm(60);
	return 0;
}

static int teardown(void **state)
{
	alarm(0);
	return open_fds() == fds_before ? 0 : -1;
}

static const enum cell_root roots[] = {CELL_VIEW, CELL_EMPTY, CELL_HOST};
static const char *const root_names[] = {"view", "empty", "host"};
#define ROOTS 3

/* `root host` as an ordinary user: broker and worker share a uid. */
static void use_root(struct cell_run *run, enum cell_root root)
{
	run->spec.root = root;
	if (root == CELL_HOST && geteuid() != 0)
		run->spec.accept |= CELL_LAYER_UID;
}

/* ---- the start ------------------------------------------------------------------------------- */

static void exit_status_of_the_program_comes_back(void **state)
{
	RUN_SH(run, "exit 7");

	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		cell_run(&run);
		assert_string_equal(run.out, "");
		assert_int_equal(run.status, 7);
		run.spec.n_fds = 0;
	}
}

static void signal_of_the_program_comes_back(void **state)
{
	RUN_SH(run, "kill -SEGV $$");

	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		cell_run(&run);
		assert_int_equal(run.status, 128 + SIGSEGV);
		run.spec.n_fds = 0;
	}
}

static void has(const struct cell_run *run, const char *line)
{
	if (!strstr(run->out, line))
		flunk("no \"%s\" in:\n%s", line, run->out);
}

static void status_shows_no_capability_and_a_filter(void **state)
{
	RUN_SH(run, "while read -r l; do echo \"$l\"; done </proc/self/status");

	for (int i = 0; i < ROOTS; i++) {
		if (roots[i] == CELL_EMPTY) /* has no /proc */
			continue;
		use_root(&run, roots[i]);
		cell_run(&run);
		has(&run, "CapInh:\t0000000000000000");
		has(&run, "CapPrm:\t0000000000000000");
		has(&run, "CapEff:\t0000000000000000");
		has(&run, "CapAmb:\t0000000000000000");
		/* One who never was privileged cannot shrink it, and no_new_privs stands for it. */
		if (roots[i] != CELL_HOST || geteuid() == 0)
			has(&run, "CapBnd:\t0000000000000000");
		has(&run, "NoNewPrivs:\t1");
		has(&run, "Seccomp:\t2");
		has(&run, "SigBlk:\t0000000000000000");
		has(&run, "SigIgn:\t0000000000000000");
		run.spec.n_fds = 0;
	}
}

/* Copied or mounted, by size. */
#define SUMS \
	"cd /etc; for f in ld.so.cache ld.so.conf services profile os-release; do " \
	"[ -e $f ] && cksum $f; done"

static void etc_holds_what_the_hosts_does(void **state)
{
	RUN_SH(run,
		SUMS "; for f in ld.so.cache profile; do (echo >>$f) 2>/dev/null || echo no; done");
	char host[4096] = "";
	FILE *sums = popen(SUMS, "r");
	size_t n;

	assert_non_null(sums);
	n = fread(host, 1, sizeof(host) - 8, sums);
	pclose(sums);
	assert_true(n > 0);
	snprintf(host + n, sizeof(host) - n, "no\nno\n");
	cell_run(&run);
	assert_string_equal(run.out, host);
}

static void only_the_given_descriptors_are_open(void **state)
{
	RUN_SH(run, "ls /proc/self/fd");
	int extra = open("/dev/null", O_RDONLY);

	cell_run(&run);
	assert_string_equal(run.out, "0\n1\n2\n3\n"); /* 3: the directory that ls reads */
	close(extra);
}

static void descriptors_land_on_their_numbers(void **state)
{
	RUN_SH(run, "readlink /proc/self/fd/7; readlink /proc/self/fd/9; ls /proc/self/fd");
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC),
	    full = open("/dev/full", O_RDONLY | O_CLOEXEC);
	int out[2];
	char text[256];
	long n;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run.fds[0] = (struct cell_fd){zero, 0};
	run.fds[1] = (struct cell_fd){out[1], 1};
	run.fds[2] = (struct cell_fd){out[1], 2};
	run.fds[3] = (struct cell_fd){full, 7};
	run.fds[4] = (struct cell_fd){zero, 9};
	run.spec.n_fds = 5;
	pid = fork();
	if (pid == 0)
		cell_run_broker(&run, 2);
	close(out[1]);
	n = fd_read_all(out[0], text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, "/dev/full\n/dev/zero\n0\n1\n2\n3\n7\n9\n");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(out[0]);
	close(zero);
	close(full);
}

static void standard_input_that_is_a_directory_becomes_null(void **state)
{
	RUN_SH(run, "readlink /proc/self/fd/0; readlink /proc/self/fd/2; cat");
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    path = open("/etc", O_PATH | O_CLOEXEC);
	char text[256];
	int out[2];
	long n;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run.fds[0] = (struct cell_fd){dir, 0};
	run.fds[1] = (struct cell_fd){out[1], 1};
	run.fds[2] = (struct cell_fd){path, 2};
	run.spec.n_fds = 3;
	pid = fork();
	if (pid == 0)
		cell_run_broker(&run, 2);
	close(out[1]);
	n = fd_read_all(out[0], text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, "/dev/null\n/dev/null\n");
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(out[0]);
	close(dir);
	close(path);
}

static void a_directory_given_by_number_stops_the_start(void **state)
{
	RUN_SH(run, "true");
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i < 3; i++)
		run.fds[i] = (struct cell_fd){null, i};
	run.fds[3] = (struct cell_fd){dir, 5};
	run.spec.n_fds = 4;
	cell_run(&run);
	assert_int_equal(run.status, 125);
	has(&run, "--fd 5 is a directory");
	close(dir);
	close(null);
}

/* ---- what cannot be executed ----------------------------------------------------------------- */

static void a_program_that_is_nowhere_is_127(void **state)
{
	static const char *const argv[] = {"no-such-program-here", NULL};
	struct cell_run run;

	cell_run_init(&run, argv);
	cell_run(&run);
	assert_int_equal(run.status, 127);
	has(&run, "neither in the cell nor on this host");
}

static void a_program_of_the_host_alone_is_127_with_the_line_to_add(void **state)
{
	char path[512];
	const char *argv[] = {path, NULL};
	struct cell_run run;
	FILE *script;

	snprintf(path, sizeof(path), "%s/tool.sh", getenv("HOME"));
	script = fopen(path, "we");
	assert_non_null(script);
	fprintf(script, "#!/bin/sh\n");
	fclose(script);
	assert_int_equal(chmod(path, 0755), 0);
	cell_run_init(&run, argv);
	cell_run(&run);
	assert_int_equal(run.status, 127);
	has(&run, "add the line `runtime /");
	has(&run, "/tool.sh` to the policy");
	argv[0] = "./tool.sh";
	cell_run_init(&run, argv);
	run.spec.cwd = getenv("HOME");
	cell_run(&run);
	assert_int_equal(run.status, 127);
	has(&run, "./tool.sh is on this host (/");
	has(&run, "/tool.sh` to the policy");
	unlink(path);
}

static void what_the_policy_adds_to_the_runtime_runs_or_stops_the_start(void **state)
{
	char path[512];
	const char *argv[] = {path, NULL};
	const char *const added[] = {path}, *const missing[] = {"/no/such/runtime"};
	struct cell_run run;
	FILE *script;

	/* In /tmp, where the cell has a directory of its own, and small: no copy of it is made. */
	snprintf(path, sizeof(path), "%s/tool.sh", getenv("HOME"));
	script = fopen(path, "we");
	assert_non_null(script);
	fprintf(script, "#!/bin/sh\necho it ran\n");
	fclose(script);
	assert_int_equal(chmod(path, 0755), 0);
	cell_run_init(&run, argv);
	run.spec.n_runtime = 1;
	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		run.spec.runtime = added;
		cell_run(&run);
		if (run.status != 0 || strcmp(run.out, "it ran\n") != 0)
			flunk("root %s: %d %s%s", root_names[i], run.status, run.out, run.failure);
		run.spec.runtime = missing;
		cell_run(&run);
		if (run.status != 125)
			flunk("root %s: %d %s", root_names[i], run.status, run.out);
		has(&run, "/no/such");
		run.spec.n_fds = 0;
	}
	unlink(path);
}

static void a_program_without_permission_is_126(void **state)
{
	static const char *const argv[] = {"/etc/passwd", NULL};
	struct cell_run run;

	cell_run_init(&run, argv);
	cell_run(&run);
	assert_int_equal(run.status, 126);
	has(&run, "cannot execute /etc/passwd");
}

/* ---- failures -------------------------------------------------------------------------------- */

static void a_missing_tree_stops_the_start_by_name(void **state)
{
	RUN_SH(run, "true");

	cell_run_tree(&run, "/no/such/tree", CELL_READ, false);
	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		cell_run(&run);
		if (run.status != 125)
			flunk("root %s: %d %s", root_names[i], run.status, run.out);
		has(&run, "/no/such/tree");
		run.spec.n_fds = 0;
	}
}

static void the_whole_root_as_a_tree_stops_the_start(void **state)
{
	RUN_SH(run, "true");

	cell_run_tree(&run, "/", CELL_READ, false);
	cell_run(&run);
	assert_int_equal(run.status, 125);
	has(&run, "names / as a whole");
}

static void a_host_cell_with_one_uid_stops_unless_accepted(void **state)
{
	RUN_SH(run, "true");

	run.spec.root = CELL_HOST;
	run.spec.uid = geteuid();
	run.spec.gid = getegid();
	cell_run(&run);
	assert_int_equal(run.status, 125);
	has(&run, "accept missing uid");
	run.spec.n_fds = 0;
	run.spec.accept = CELL_LAYER_UID;
	cell_run(&run);
	assert_int_equal(run.status, 0);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Whatever holds the output pipe lives: end-of-file is the end of the whole cell. */
#define LEAVE_BEHIND \
	"(setsid sleep 1000 &) ; (setsid sh -c 'sleep 1000 & sleep 1000' &) ; sleep 1000 & "

static int die(const struct cell *cell, void *ctx)
{
	struct timespec t = {.tv_nsec = 200 * 1000 * 1000};

	clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL); /* until the shell has started them */
	return kill(getpid(), SIGKILL);
}

static void a_killed_broker_takes_the_whole_cell_along(void **state)
{
	RUN_SH(run, LEAVE_BEHIND "wait");

	run.in_broker = die;
	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		cell_run(&run);
		if (run.status != 1000 + SIGKILL)
			flunk("root %s: %d %s", root_names[i], run.status, run.out);
		run.spec.n_fds = 0;
	}
}

static void the_end_of_the_worker_ends_what_it_left_behind(void **state)
{
	RUN_SH(run, LEAVE_BEHIND "exit 3");

	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		cell_run(&run);
		assert_int_equal(run.status, 3);
		run.spec.n_fds = 0;
	}
}

static int no_child_is_left(const struct cell *cell, void *ctx)
{
	struct cell copy = *cell;
	int left;

	/* Ended while the worker runs: reaps both. */
	cell_end(&copy);
	left = waitpid(-1, NULL, WNOHANG);
	_exit(left == -1 && errno == ECHILD ? 42 : 43);
}

static void ending_a_cell_leaves_no_child(void **state)
{
	RUN_SH(run, LEAVE_BEHIND "wait");

	run.in_broker = no_child_is_left;
	for (int i = 0; i < ROOTS; i++) {
		use_root(&run, roots[i]);
		cell_run(&run);
		if (run.status != 42)
			flunk("root %s: %d %s", root_names[i], run.status, run.out);
		run.spec.n_fds = 0;
	}
}

/* ---- the broker's cage ----------------------------------------------------------------------- */

static int try_to_open_outside(const struct cell *cell, void *ctx)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0 ? errno : 0;
}

static void the_broker_can_open_nothing_but_the_trees(void **state)
{
	RUN_SH(run, "true");

	run.in_broker = try_to_open_outside;
	for (int i = 0; i < ROOTS; i++) {
		char want[32];

		use_root(&run, roots[i]);
		cell_run(&run);
		snprintf(want, sizeof(want), "BROKER %d\n", EACCES);
		assert_string_equal(run.out, want);
		run.spec.n_fds = 0;
	}
}

#ifndef WARDER_SANITIZE /* the sanitizers' reports need more than the broker does */
static int try_socket(const struct cell *cell, void *ctx)
{
	return syscall(SYS_socket, 2, 1, 0) < 0 ? errno : 0;
}

static void the_broker_is_killed_for_a_socket(void **state)
{
	RUN_SH(run, "true");

	run.in_broker = try_socket;
	cell_run(&run);
	assert_int_equal(run.status, 1000 + SIGSYS);
}
#endif

static int proc_fds_show(const struct cell *cell, void *ctx)
{
	struct stat st;

	return fstat(cell->worker_files_fd, &st) == 0 ? (int)st.st_size : -1;
}

static void the_workers_descriptors_can_be_counted(void **state)
{
	RUN_SH(run, "read x; true");
	int hold[2];
	pid_t pid;
	int out[2], status;
	char text[64];
	long n;

	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	run.in_broker = proc_fds_show;
	run.fds[0] = (struct cell_fd){hold[0], 0};
	run.fds[1] = (struct cell_fd){hold[0], 1};
	run.fds[2] = (struct cell_fd){hold[0], 2};
	run.spec.n_fds = 3;
	pid = fork();
	if (pid == 0) {
		close(hold[1]);
		cell_run_broker(&run, out[1]);
	}
	close(out[1]);
	close(hold[0]);
	n = read(out[0], text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, "BROKER 3\n");
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(exit_status_of_the_program_comes_back),
		T(signal_of_the_program_comes_back),
		T(status_shows_no_capability_and_a_filter),
		T(etc_holds_what_the_hosts_does),
		T(only_the_given_descriptors_are_open),
		T(descriptors_land_on_their_numbers),
		T(standard_input_that_is_a_directory_becomes_null),
		T(a_directory_given_by_number_stops_the_start),
		T(a_program_that_is_nowhere_is_127),
		T(a_program_of_the_host_alone_is_127_with_the_line_to_add),
		T(what_the_policy_adds_to_the_runtime_runs_or_stops_the_start),
		T(a_program_without_permission_is_126),
		T(a_missing_tree_stops_the_start_by_name),
		T(the_whole_root_as_a_tree_stops_the_start),
		T(a_host_cell_with_one_uid_stops_unless_accepted),
		T(a_killed_broker_takes_the_whole_cell_along),
		T(the_end_of_the_worker_ends_what_it_left_behind),
		T(ending_a_cell_leaves_no_child),
		T(the_broker_can_open_nothing_but_the_trees),
#ifndef WARDER_SANITIZE
		T(the_broker_is_killed_for_a_socket),
#endif
		T(the_workers_descriptors_can_be_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
