/* SPDX-License-Identifier: MIT */
/*
 * hurry.c - what waits is interrupted between hurry_begin() and hurry_end(), and nowhere else.
 */
#include "broker/loop.h"
#include "common/hurry.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define FOREVER_MS 30000 /* for who is interrupted within some milliseconds, on any machine */

/* Waits for nothing.  True: a signal ended that. */
static bool is_interrupted(void)
{
	struct pollfd p = {-1, 0, 0};

	return poll(&p, 1, FOREVER_MS) < 0 && errno == EINTR;
}

static bool is_pending(void)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, SIGALRM) == 1;
}

static void wait_until_pending(void)
{
	while (!is_pending())
		usleep(1000);
}

static void what_waits_is_interrupted_again_and_again(void **state)
{
	hurry_begin();
	hurry_begin();
	assert_true(is_interrupted());
	assert_true(is_interrupted());
	hurry_end();
	assert_true(is_interrupted());
	hurry_end();
}

static void the_next_alarm_comes_after_one_that_nobody_took(void **state)
{
	hurry_begin();
	hurry_end();
	wait_until_pending();
	hurry_begin();
	assert_true(is_interrupted());
	assert_true(is_interrupted());
	hurry_end();
}

/* An alarm that comes then stays where it is, and is the last. */
static void nothing_is_interrupted_elsewhere(void **state)
{
	struct itimerval left;

	hurry_begin();
	hurry_end();
	wait_until_pending();
	assert_false(poll(NULL, 0, 1) < 0);
	assert_true(is_pending());
	assert_int_equal(getitimer(ITIMER_REAL, &left), 0);
	assert_int_equal(left.it_value.tv_sec, 0);
	assert_int_equal(left.it_value.tv_usec, 0);
}

/* Taken there, each would start the next, and wake an idle broker again and again. */
static void the_broker_s_loop_takes_no_alarm(void **state)
{
	const struct broker_args args = {.control_fd = -1};
	struct signalfd_siginfo info;
	struct loop l = LOOP_INIT;

	hurry_begin();
	hurry_end();
	assert_int_equal(loop_init(&l, &args, 0), 0);
	wait_until_pending();
	assert_int_equal(read(l.signal_fd, &info, sizeof(info)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(is_pending());
	loop_deinit(&l);
}

static void a_child_has_a_timer_of_its_own(void **state)
{
	int status;
	pid_t pid;

	hurry_begin();
	hurry_end();
	pid = fork();
	if (pid == 0) {
		hurry_forked();
		hurry_begin();
		_exit(is_interrupted() ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void no_alarm_comes_once_it_is_stopped(void **state)
{
	struct itimerval left;

	hurry_begin();
	hurry_end();
	hurry_stop();
	assert_int_equal(getitimer(ITIMER_REAL, &left), 0);
	assert_int_equal(left.it_interval.tv_usec, 0);
	hurry_begin();
	assert_true(is_interrupted());
	hurry_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_waits_is_interrupted_again_and_again),
		cmocka_unit_test(the_next_alarm_comes_after_one_that_nobody_took),
		cmocka_unit_test(nothing_is_interrupted_elsewhere),
		cmocka_unit_test(the_broker_s_loop_takes_no_alarm),
		cmocka_unit_test(a_child_has_a_timer_of_its_own),
		cmocka_unit_test(no_alarm_comes_once_it_is_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
