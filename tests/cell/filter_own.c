/* SPDX-License-Identifier: MIT */
/*
 * filter_own.c - the filters of warder's own processes, the terminal's relay and the broker, tried
 * from inside.
 */
#include "tests/cell/cell.h"
#include "sandbox/filter.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int relay_pipe[2]; /* its ends stand as 0 and 1, as the terminals do */

static int relay_copies(void)
{
	char byte;

	return write(1, "x", 1) == 1 && read(0, &byte, 1) == 1 ? 0 : errno;
}
static int relay_writes_elsewhere(void)
{
	return result(write(relay_pipe[1], "x", 1));
}
static int relay_opens(void)
{
	return result(open("/dev/null", O_RDONLY | O_CLOEXEC));
}
static int relay_types(void)
{
	return result(ioctl(1, TIOCSTI, "x")) == ENOTTY ? 0 : errno;
}
static int relay_types_high(void)
{
	return result(syscall(SYS_ioctl, 1, TIOCSTI | (1UL << 32), "x")) == ENOTTY ? 0 : errno;
}
static int relay_asks_for_modes(void)
{
	return result(ioctl(0, TCGETS, &(char[256]){0})) == ENOTTY ? 0 : errno;
}
static int relay_signals(void)
{
	return result(kill(getppid(), 0));
}
static int relay_runs(void)
{
	execl("/bin/true", "true", NULL);
	return errno;
}
static int relay_dials(void)
{
	return result(socket(AF_UNIX, SOCK_STREAM, 0));
}

static void the_relay_copies_and_does_nothing_else(void **state)
{
	static const struct {
		const char *name;
		int (*attempt)(void);
		int want;
	} relay[] = {
		{"copying", relay_copies, 0},
		{"asking for the modes", relay_asks_for_modes, 0},
		{"writing elsewhere", relay_writes_elsewhere, EPERM},
		{"opening a file", relay_opens, EPERM},
		{"typing into the terminal", relay_types, EPERM},
		{"typing, with high bits", relay_types_high, EPERM},
		{"a signal to the parent", relay_signals, EPERM},
		{"running a program", relay_runs, EPERM},
		{"a socket", relay_dials, EPERM},
	};

	assert_int_equal(pipe2(relay_pipe, O_CLOEXEC), 0);
	for (size_t i = 0; i < 2 * sizeof(relay) / sizeof(*relay); i++) {
		bool filtered = i % 2;
		struct failure f = FAILURE_INIT;
		struct filter filter;
		int status;
		pid_t pid;

		assert_int_equal(filter_find(FILTER_RELAY, NULL, &filter, &f), 0);
		pid = fork();
		if (pid == 0) {
			if (dup2(relay_pipe[0], 0) < 0 || dup2(relay_pipe[1], 1) < 0 ||
				(filtered && cell_load_filter(&filter, &f) < 0))
				_exit(99);
			_exit(relay[i / 2].attempt() & 0xff);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != (filtered ? relay[i / 2].want : 0))
			flunk("%s, %s the filter: %#x", relay[i / 2].name,
				filtered ? "with" : "without", status);
	}
	close(relay_pipe[0]);
	close(relay_pipe[1]);
}

/* Each row of the broker's is there for something: what `ledger sync batch` needs only with it. */
static void the_broker_syncs_only_where_its_policy_says(void **state)
{
	for (int sync = 0; sync < 2; sync++) {
		const struct cell_spec spec = {.tty_fd = -1, .ledger_sync = sync};
		struct failure f = FAILURE_INIT;
		struct filter filter;
		int status;
		pid_t pid;

		assert_int_equal(filter_find(FILTER_BROKER, &spec, &filter, &f), 0);
		pid = fork();
		if (pid == 0) {
			if (cell_load_filter(&filter, &f) < 0)
				_exit(99);
			_exit(fdatasync(-1) < 0 && errno == EBADF ? 7 : 8);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (sync)
			assert_int_equal(status, 7 << 8);
		else
			assert_int_equal(status & 0x7f, SIGSYS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_relay_copies_and_does_nothing_else),
		cmocka_unit_test(the_broker_syncs_only_where_its_policy_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
