/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - warder_spawn() from an ordinary program, with the real warder.
 */
#include "sandbox/warder.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char warder[4096];

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Starts argv with what `s` says, its output in a pipe, and waits.  The output in buf. */
static void run(struct warder_spawn *s, char *const *argv, char *buf, size_t size)
{
	int out[2], pidfd = -1;
	struct warder_fd fds[] = {{-1, 1}};
	size_t n = 0;
	ssize_t got;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fds[0].from = out[1];
	s->program = warder;
	s->argv = argv;
	if (!s->fds) {
		s->fds = fds;
		s->n_fds = 1;
	}
	if (warder_spawn(s, &pidfd) < 0)
		fail_msg("%s", warder_strerror(s));
	assert_string_equal(warder_strerror(s), "");
	close(out[1]);
	while (n < size - 1 && (got = read(out[0], buf + n, size - 1 - n)) > 0)
		n += (size_t)got;
	buf[n] = '\0';
	close(out[0]);
	assert_int_equal(warder_wait(s->result, &pidfd), 0);
	assert_int_equal(pidfd, -1);
}

static void runs_a_command_and_tells_its_status(void **state)
{
	struct warder_result result;
	struct warder_spawn s = {.result = &result};
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"echo hello; exit 7", NULL};
	char buf[64];
	int fds = count_fds();

	run(&s, argv, buf, sizeof(buf));
	assert_string_equal(buf, "hello\n");
	assert_int_equal(result.status, 7);
	assert_int_equal(result.timed_out, 0);
	assert_int_equal(count_fds(), fds);
}

/* The listing's own descriptor is closed again when it is asked for; the channel is the warder's.
 */
static void the_cell_has_what_was_named_and_no_other_descriptor(void **state)
{
	struct warder_result result;
	int out[2], in = open("/dev/null", O_RDONLY), leak = open("/dev/null", O_RDONLY),
		    pidfd = -1;
	struct warder_fd map[] = {{-1, 1}, {in, 0}, {in, 7}, {-1, 2}};
	char *argv[] = {(char *)"sh", (char *)"-c",
		(char *)"for f in /proc/self/fd/*; do n=${f##*/}; "
			"[ -e /proc/self/fd/$n ] && [ $n != $WARDER_FD ] && echo $n; done",
		NULL};
	struct warder_spawn s = {
		.result = &result, .program = warder, .argv = argv, .fds = map, .n_fds = 4};
	char buf[256] = "";
	size_t n = 0;
	ssize_t got;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	map[0].from = map[3].from = out[1];
	if (warder_spawn(&s, &pidfd) < 0)
		fail_msg("%s", warder_strerror(&s));
	close(out[1]);
	while ((got = read(out[0], buf + n, sizeof(buf) - 1 - n)) > 0)
		n += (size_t)got;
	assert_int_equal(warder_wait(&result, &pidfd), 0);
	assert_string_equal(buf, "0\n1\n2\n7\n");
	close(out[0]);
	close(in);
	close(leak);
}

static void descriptors_may_change_places(void **state)
{
	struct warder_result result;
	int a[2], b[2], pidfd = -1;
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"echo one >&8; echo two >&9", NULL};
	char buf[8] = "";

	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	/* Sources and targets are the same numbers, crossed. */
	assert_int_equal(dup2(a[1], 8), 8);
	assert_int_equal(dup2(b[1], 9), 9);
	{
		struct warder_fd map[] = {{9, 8}, {8, 9}};
		struct warder_spawn s = {
			.result = &result, .program = warder, .argv = argv, .fds = map, .n_fds = 2};

		if (warder_spawn(&s, &pidfd) < 0)
			fail_msg("%s", warder_strerror(&s));
		assert_int_equal(warder_wait(&result, &pidfd), 0);
	}
	assert_int_equal(read(a[0], buf, 4), 4);
	assert_memory_equal(buf, "two\n", 4);
	assert_int_equal(read(b[0], buf, 4), 4);
	assert_memory_equal(buf, "one\n", 4);
	close(a[0]);
	close(b[0]);
	close(a[1]);
	close(b[1]);
	close(8);
	close(9);
}

static void a_policy_text_holds(void **state)
{
	struct warder_result result;
	struct warder_spawn s = {.result = &result, .policy_text = "env GREETING=hello\n"};
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"echo $GREETING", NULL};
	char buf[64];

	run(&s, argv, buf, sizeof(buf));
	assert_string_equal(buf, "hello\n");
	assert_int_equal(result.status, 0);
}

static void a_policy_with_an_error_starts_nothing(void **state)
{
	struct warder_result result;
	struct warder_spawn s = {
		.result = &result, .policy_text = "allow raed /tmp/\n", .program = warder};
	char *argv[] = {(char *)"true", NULL};
	int pidfd = -1, fds = count_fds();

	s.argv = argv;
	assert_int_equal(warder_spawn(&s, &pidfd), -1);
	assert_int_equal(errno, ECANCELED);
	assert_int_equal(pidfd, -1);
	assert_int_equal(result.status, 125);
	assert_non_null(strstr(warder_strerror(&s), "nothing was started"));
	assert_non_null(strstr(warder_strerror(&s), "policy_text:1:7: error: unknown right"));
	assert_non_null(
		strstr(warder_strerror(&s), ":1:7: error: unknown right \"raed\"; did you mean"));
	assert_int_equal(count_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
}

static void a_failed_start_says_why(void **state)
{
	static const struct {
		const char *command, *program;
		int error;
	} table[] = {
		{"no-such-command-anywhere", warder, ENOENT},
		{"/etc/passwd", warder, EACCES},
		{"true", "/no/such/warder", ENOENT},
		{"true", "/etc/passwd", EACCES},
		{"true", "false", ECANCELED}, /* ends without a report */
		{"true", "true", ECANCELED},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct warder_result result;
		char *argv[] = {(char *)table[i].command, NULL};
		struct warder_spawn s = {
			.result = &result, .program = table[i].program, .argv = argv};
		int pidfd = -1, fds = count_fds(), r = warder_spawn(&s, &pidfd), error = errno;

		if (r != -1 || error != table[i].error || strlen(warder_strerror(&s)) < 10)
			fail_msg("%s by %s: %d, errno %d, \"%s\"", table[i].command,
				table[i].program, r, error, warder_strerror(&s));
		assert_int_equal(count_fds(), fds);
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	}
}

static void wrong_arguments_are_einval(void **state)
{
	char *argv[] = {(char *)"true", NULL}, *none[] = {NULL};
	const struct warder_fd twice[] = {{0, 3}, {0, 3}}, high[] = {{0, 256}}, low[] = {{0, -1}},
			       closed[] = {{1000, 3}};
	const struct warder_spawn table[] = {
		{.argv = NULL},
		{.argv = none},
		{.argv = argv, .policy_file = "a", .policy_text = "b"},
		{.argv = argv, .fds = twice, .n_fds = 2},
		{.argv = argv, .fds = high, .n_fds = 1},
		{.argv = argv, .fds = low, .n_fds = 1},
		{.argv = argv, .fds = closed, .n_fds = 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct warder_spawn s = table[i];
		struct warder_result result;
		int pidfd = -1, fds = count_fds();

		s.result = &result;
		s.program = warder;
		assert_int_equal(warder_spawn(&s, &pidfd), -1);
		assert_int_equal(errno, s.fds == closed ? EBADF : EINVAL);
		assert_true(strlen(warder_strerror(&s)) > 10);
		assert_int_equal(count_fds(), fds);
	}
}

static void a_start_that_hangs_is_given_up(void **state)
{
	struct warder_result result;
	char *argv[] = {(char *)"x", NULL};
	char script[] = "hang.XXXXXX";
	int fd = mkstemp(script), pidfd = -1;
	static const char text[] = "#!/bin/sh\nexec sleep 1000\n";
	struct warder_spawn s = {.result = &result, .argv = argv, .start_ms = 200};
	char path[4200];
	long long began = now_ms();

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	fchmod(fd, 0700);
	close(fd);
	snprintf(path, sizeof(path), "./%s", script);
	s.program = path;
	assert_int_equal(warder_spawn(&s, &pidfd), -1);
	assert_int_equal(errno, ETIMEDOUT);
	assert_true(now_ms() - began < 5000);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	unlink(script);
}

static void a_time_limit_ends_the_cell(void **state)
{
	struct warder_result result;
	struct warder_spawn s = {.result = &result, .time_ms = 300};
	char *argv[] = {(char *)"sleep", (char *)"1000", NULL};
	char buf[8];

	run(&s, argv, buf, sizeof(buf));
	assert_int_equal(result.timed_out, 1);
	assert_true(result.status != 0);
}

static void killing_the_pidfd_ends_the_whole_cell(void **state)
{
	struct warder_result result;
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"sleep 1000 & sleep 1000", NULL};
	int out[2], pidfd = -1;
	struct warder_fd map[] = {{-1, 1}};
	struct warder_spawn s = {
		.result = &result, .program = warder, .argv = argv, .fds = map, .n_fds = 1};
	struct pollfd p;
	char byte;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	map[0].from = out[1];
	if (warder_spawn(&s, &pidfd) < 0)
		fail_msg("%s", warder_strerror(&s));
	close(out[1]);
	p = (struct pollfd){.fd = pidfd, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 50), 0); /* it runs */
	assert_int_equal(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0), 0);
	/* End-of-file: none of the cell holds the pipe any more. */
	assert_int_equal(read(out[0], &byte, 1), 0);
	assert_int_equal(warder_wait(&result, &pidfd), 0);
	assert_int_equal(result.status, 128 + SIGKILL);
	close(out[0]);
}

static void a_caller_with_odd_signals_and_few_descriptors_is_served(void **state)
{
	struct warder_result result;
	struct warder_spawn s = {.result = &result};
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)"kill -TERM $$; echo survived", NULL};
	struct rlimit old, low;
	sigset_t all, before;
	char buf[64];

	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &low);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	signal(SIGTERM, SIG_IGN);
	run(&s, argv, buf, sizeof(buf));
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_string_equal(buf, "");
	assert_int_equal(result.status, 128 + SIGTERM);
}

static void a_start_may_be_told_nothing(void **state)
{
	char *argv[] = {(char *)"true", NULL};
	struct warder_spawn s = {.program = warder, .argv = argv};
	int pidfd = -1, fds = count_fds();

	assert_int_equal(warder_spawn(&s, &pidfd), 0);
	assert_string_equal(warder_strerror(&s), "");
	assert_int_equal(warder_wait(NULL, &pidfd), 0);
	assert_int_equal(count_fds(), fds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_a_command_and_tells_its_status),
		cmocka_unit_test(the_cell_has_what_was_named_and_no_other_descriptor),
		cmocka_unit_test(descriptors_may_change_places),
		cmocka_unit_test(a_policy_text_holds),
		cmocka_unit_test(a_policy_with_an_error_starts_nothing),
		cmocka_unit_test(a_failed_start_says_why),
		cmocka_unit_test(wrong_arguments_are_einval),
		cmocka_unit_test(a_start_that_hangs_is_given_up),
		cmocka_unit_test(a_time_limit_ends_the_cell),
		cmocka_unit_test(killing_the_pidfd_ends_the_whole_cell),
		cmocka_unit_test(a_caller_with_odd_signals_and_few_descriptors_is_served),
		cmocka_unit_test(a_start_may_be_told_nothing),
	};
	const char *build = getenv("BUILD");

	snprintf(warder, sizeof(warder), "%s/warder", build ? build : "build");
	return cmocka_run_group_tests_name("spawn", tests, NULL, NULL);
}
