/* SPDX-License-Identifier: MIT */
/*
 * notify.c - trapped calls of a child, taken in and answered, by structures of other sizes than
 * those compiled in.
 *
 * A child traps its own getppid(2) and sends the listener; this process answers.
 */
#include "broker/notify.h"
#include "common/chan.h"
#include "common/fd.h"
#include "tests/unit/getppid.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* Linux 5.19 */
#endif

#define CALLS 3

/* Its calls and what it gets from them, which is its exit status. */
static int sum_of_calls(void)
{
	long sum = 0;

	for (int i = 0; i < CALLS; i++)
		sum += syscall(SYS_getppid);
	return (int)sum;
}

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	handled++;
}

/* A call that a signal comes to: 0 or the error, and 1000 for each that was handled. */
static int error_of_call(int flags)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};
	long r;

	sigaction(SIGALRM, &a, NULL);
	r = syscall(SYS_getppid);
	return (r < 0 ? errno : 0) + 1000 * handled;
}

static int error_once(void)
{
	return error_of_call(0);
}

static int error_restarted(void)
{
	return error_of_call(SA_RESTART);
}

static void child(int sock, int (*calls)(void))
{
	int result;

	trap_getppid(sock, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
	result = calls();
	if (write(sock, &result, sizeof(result)) != sizeof(result))
		_exit(103);
	_exit(0);
}

/* Takes the next call in. */
static struct notice next(struct notify *n)
{
	struct pollfd p = {notify_fd(n), POLLIN, 0};
	struct notice notice;

	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(notify_receive(n, &notice), 0);
	assert_int_equal(notice.nr, SYS_getppid);
	assert_true(notify_valid(n, notice.id));
	return notice;
}

/* Answers 10, then an error (-1 to the child), then 20. */
static void serve(struct notify *n)
{
	for (int i = 0; i < CALLS; i++) {
		struct notice notice = next(n);

		if (i == 1)
			assert_int_equal(notify_refuse(n, notice.id, EACCES), 0);
		else
			assert_int_equal(notify_return(n, notice.id, i == 0 ? 10 : 20), 0);
		assert_false(notify_valid(n, notice.id));
	}
}

/* What the child says in the end. */
static int converse_sized(size_t request_size, size_t response_size, int (*calls)(void),
	void (*serves)(struct notify *n))
{
	autofd ours = -1, theirs = -1;
	struct notify *n = NULL;
	int listener_fd = -1, status, result = -1;
	size_t n_fds = 0;
	char byte;
	pid_t pid;

	assert_int_equal(notify_new_sized(request_size, response_size, &n), 0);
	assert_int_equal(chan_pair(&ours, &theirs), 0);
	pid = fork();
	if (pid == 0)
		child(theirs, calls);
	assert_true(pid > 0);
	fd_close(&theirs);
	assert_int_equal(chan_recv(ours, &byte, 1, &listener_fd, 1, &n_fds, true), 1);
	assert_int_equal(n_fds, 1);
	assert_int_equal(notify_attach(n, &listener_fd), 0);
	serves(n);
	assert_int_equal(read(ours, &result, sizeof(result)), sizeof(result));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_null(notify_free(n));
	return result;
}

static void converse(size_t request_size, size_t response_size)
{
	assert_int_equal(converse_sized(request_size, response_size, sum_of_calls, serve), 29);
}

static void structures_of_a_newer_kernel_are_taken(void **state)
{
	converse(sizeof(struct seccomp_notif) + 64, sizeof(struct seccomp_notif_resp) + 64);
	converse(4096, 4096);
}

static void structures_of_an_older_kernel_get_what_is_compiled_in(void **state)
{
	converse(8, 8);
}

static void restart(struct notify *n)
{
	struct notice notice = next(n);

	assert_int_equal(kill(notice.tid, SIGALRM), 0);
	assert_int_equal(notify_refuse(n, notice.id, NOTIFY_RESTART), 0);
}

static void restart_and_return(struct notify *n)
{
	struct notice notice;

	restart(n);
	notice = next(n);
	assert_int_equal(notify_return(n, notice.id, 0), 0);
}

static void restart_without_a_signal(struct notify *n)
{
	struct notice notice = next(n);

	assert_int_equal(notify_refuse(n, notice.id, NOTIFY_RESTART), 0);
}

/* The last is why interrupt.h is so careful: without a signal the number is the program's. */
static void the_kernel_makes_of_a_restart_what_its_signal_says(void **state)
{
	const size_t size = sizeof(struct seccomp_notif);
	const size_t response = sizeof(struct seccomp_notif_resp);

	assert_int_equal(converse_sized(size, response, error_once, restart), 1000 + EINTR);
	assert_int_equal(converse_sized(size, response, error_restarted, restart_and_return), 1000);
	assert_int_equal(converse_sized(size, response, error_once, restart_without_a_signal),
		NOTIFY_RESTART);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structures_of_a_newer_kernel_are_taken),
		cmocka_unit_test(structures_of_an_older_kernel_get_what_is_compiled_in),
		cmocka_unit_test(the_kernel_makes_of_a_restart_what_its_signal_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
