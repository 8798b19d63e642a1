/* SPDX-License-Identifier: MIT */
/*
 * renamer.c - one worker renames without end, and another, of the same tree, is served as ever.
 *
 * Any rename of the machine's disturbs the kernel where it goes through "..": who tries once is
 * told EAGAIN, which is the control.  The renamer goes on until the other has seen it go on.
 */
#include "tests/hostile/trap_inside.h"

#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define A_TICK 50 /* renames */

/* ---- the workers ----------------------------------------------------------------------------- */

static long ticks(void)
{
	struct stat st;

	return stat(in_top("w/ticks"), &st) == 0 ? st.st_size : 0;
}

/* A byte for every so many renames; ends when it is told to. */
static int rename_on(void)
{
	int fd = open(in_top("w/ticks"), O_WRONLY | O_APPEND);
	long n = 0;

	while (access(in_top("w/stop"), F_OK) < 0) {
		if (rename(in_top("w/x"), in_top("w/y")) < 0 ||
			rename(in_top("w/y"), in_top("w/x")) < 0)
			return 1;
		n += 2;
		if (n % A_TICK == 0 && write(fd, ".", 1) != 1)
			return 2;
	}
	printf("renamer renames=%ld\n", n);
	return 0;
}

/* Opens what keeps its name, for as long as it takes the other to go on for a while. */
static int open_on(void)
{
	long opens = 0, given = 0, begin = ticks();
	int fd;

	while (opens < amount("OPENS", 500) || ticks() < begin + 10) {
		fd = open(in_top("w/still/f"), O_RDONLY);
		opens++;
		given += fd >= 0;
		close(fd);
	}
	printf("other opens=%ld given=%ld ticks=%ld\n", opens, given, ticks() - begin);
	return 0;
}

/* ---- the tester ------------------------------------------------------------------------------ */

static pid_t start_renamer(void)
{
	char w[PATH_MAX + 32];
	const char *argv[] = {warder_path(), "run", "-q", "--runtime", own_directory(), "--ledger",
		in_top("renamer.jsonl"), "-e", w, "--", own_path(), "--rename", top, NULL};
	pid_t pid;

	snprintf(w, sizeof(w), "allow rw %s/w/", top);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

/* The control. */
static void who_tries_once_is_disturbed(void)
{
	const struct open_how how = {.flags = O_PATH, .resolve = RESOLVE_BENEATH};
	int dir_fd = open(in_top("w"), O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
	char path[4000] = "still", *end = path + strlen(path);
	bool disturbed = false;

	while (end < path + sizeof(path) - 16)
		end = stpcpy(end, "/../still");
	stpcpy(end, "/f");
	for (long i = 0; !disturbed && i < 10000000; i++) {
		fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		disturbed = fd < 0 && errno == EAGAIN;
		close(fd);
	}
	close(dir_fd);
	assert_true(disturbed);
}

static void one_renames_without_end_and_another_is_served(void **state)
{
	static struct outcome other = OUTCOME_INIT;
	char grants[PATH_MAX + 80];
	int status;
	pid_t pid;

	tree_make();
	make_owned_directory("w/x");
	make_owned_directory("w/still");
	make_owned("w/still/f", "still\n");
	make_owned("w/ticks", "");
	pid = start_renamer();
	while (ticks() == 0 && waitpid(pid, &status, WNOHANG) == 0)
		usleep(10000);
	who_tries_once_is_disturbed();
	run_cell(&other, NULL, "env OPENS", "--open");
	make_file(in_top("w/stop"), "", 0666);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (other.status != 0)
		fail_msg("%s", other.out);
	assert_true(number_of(&other, "other", "ticks") >= 10);
	assert_int_equal(number_of(&other, "other", "given"), number_of(&other, "other", "opens"));
	snprintf(grants, sizeof(grants), "\"reached\":\"%s\"", in_top("w/still/f"));
	assert_int_equal(
		records_with("\"event\":\"grant\"", grants), number_of(&other, "other", "given"));
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			one_renames_without_end_and_another_is_served, fds_before, fds_after),
	};

	if (argc > 2)
		snprintf(top, sizeof(top), "%s", argv[2]);
	if (argc > 2 && !strcmp(argv[1], "--rename"))
		return rename_on();
	if (argc > 2 && !strcmp(argv[1], "--open"))
		return open_on();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
