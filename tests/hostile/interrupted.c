/* SPDX-License-Identifier: MIT */
/*
 * interrupted.c - a service whose waiting calls are interrupted, one use in three, in supervisor,
 * brokers and workers: its clients notice nothing.
 *
 * strace says EINTR in the place of the call, which is not made.  What the broker alone does with
 * each of its calls: fault_walk.c.
 */
#include "tests/hostile/clients.h"

#define CALLS "(p?poll|epoll_p?wait|recvfrom|sendto|recvmsg|sendmsg|accept4|wait4|waitid)"

static char trace[PATH_MAX + 16];

static bool may_trace(void)
{
	static struct outcome o = OUTCOME_INIT;
	const char *argv[] = {"strace", "-o", "/dev/null", "-e", "trace=none", "true", NULL};

	run_program(&o, argv);
	return o.status == 0;
}

/* By how many processes a call was met so, at least once. */
static int interrupted(const char *call)
{
	char line[8192], pids[64][16], start[32];
	int n = 0;
	FILE *f = fopen(trace, "re");

	assert_non_null(f);
	snprintf(start, sizeof(start), " %s(", call);
	while (fgets(line, sizeof(line), f)) {
		char pid[16];
		int i = 0;

		if (!strstr(line, start) || !strstr(line, "INJECTED") ||
			sscanf(line, "%15s", pid) != 1)
			continue;
		while (i < n && strcmp(pids[i], pid) != 0)
			i++;
		if (i == n && n < 64)
			strcpy(pids[n++], pid);
	}
	fclose(f);
	return n;
}

static void clients_of_a_service_that_is_interrupted_notice_nothing(void **state)
{
	enum { CLIENTS = 20, ASKED = 10 };
	static const char *const strace[] = {"strace", "-f", "-qq", "-o", trace, "-e",
		"trace=/^" CALLS "$", "-e",
		"inject=/^" CALLS "$:error=EINTR:syscall=getpid:when=1+3", NULL};

	if (!may_trace()) {
		print_message("strace is missing, or may not trace here\n");
		skip();
	}
	assert_int_equal(make_places(), 0);
	snprintf(trace, sizeof(trace), "%s/trace", top);
	assert_int_equal(start_under(strace), 0);
	for (int i = 0; i < CLIENTS; i++) {
		int s = dial();

		assert_true(s >= 0);
		for (int id = 1; id <= ASKED; id++)
			assert_int_equal(ask(s, id), 0);
		for (int id = 1; id <= ASKED; id++)
			assert_int_equal(answered(s), id);
		close(s);
	}
	assert_int_equal(end(state), 0);
	assert_int_equal(count_records("session"), 1);
	assert_int_equal(count_records("client"), CLIENTS);
	assert_int_equal(count_records("grant"), CLIENTS * ASKED);
	/* Supervisor and broker wait in poll(2), the worker in epoll_wait(2) for its clients. */
	assert_true(interrupted("poll") + interrupted("ppoll") >= 2);
	assert_true(interrupted("epoll_wait") + interrupted("epoll_pwait") >= 1);
	assert_true(interrupted("recvfrom") >= 1);
	assert_true(interrupted("accept4") >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			clients_of_a_service_that_is_interrupted_notice_nothing, fds_before,
			fds_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
