/* SPDX-License-Identifier: MIT */
/*
 * interrupt.c - which pending signals end a call that waits, from the text of proc_pid_status(5).
 */
#include "broker/interrupt.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BIT(sig) (1ull << ((sig)-1))

/* What the kernel says of a thread. */
struct thread {
	int threads;
	uint64_t own, shared, blocked, ignored, caught;
	char state;
};

static const char *status(const struct thread *t, char buf[1024])
{
	snprintf(buf, 1024,
		"Name:\tx\nUmask:\t0022\nState:\t%c (x)\nTgid:\t7\nNgid:\t0\nPid:\t8\nPPid:\t1\n"
		"Groups:\t1 2 3 \nThreads:\t%d\nSigQ:\t0/100\nSigPnd:\t%016llx\n"
		"ShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n"
		"CapInh:\tffffffffffffffff\n",
		t->state ? t->state : 'D', t->threads ? t->threads : 1, (long long)t->own,
		(long long)t->shared, (long long)t->blocked, (long long)t->ignored,
		(long long)t->caught);
	return buf;
}

static void a_signal_ends_a_call_as_the_kernel_would(void **state)
{
	const uint64_t alarm = BIT(SIGALRM), term = BIT(SIGTERM), stop = BIT(SIGTSTP);
	static const struct thread takes = {0};
	const struct thread blocks = {.blocked = alarm | term}, ended = {.state = 'Z'};
	const struct {
		struct thread thread;
		const struct thread *leader;
		enum interrupt wanted;
	} rows[] = {
		{{0}, NULL, INTERRUPT_NONE},
		{{.caught = alarm}, NULL, INTERRUPT_NONE},
		/* Handled. */
		{{.shared = alarm, .caught = alarm}, NULL, INTERRUPT_RESTART},
		{{.own = alarm, .caught = alarm}, NULL, INTERRUPT_RESTART},
		{{.shared = BIT(SIGCHLD), .caught = BIT(SIGCHLD)}, NULL, INTERRUPT_RESTART},
		{{.shared = BIT(64), .caught = BIT(64)}, NULL, INTERRUPT_RESTART},
		/* Not taken. */
		{{.shared = alarm, .caught = alarm, .blocked = alarm}, NULL, INTERRUPT_NONE},
		{{.own = alarm, .caught = alarm, .blocked = alarm}, NULL, INTERRUPT_NONE},
		{{.shared = alarm, .ignored = alarm}, NULL, INTERRUPT_NONE},
		{{.shared = BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT)}, NULL,
			INTERRUPT_NONE},
		/* The end; after one that is handled too. */
		{{.shared = term}, NULL, INTERRUPT_END},
		{{.own = BIT(SIGSEGV)}, NULL, INTERRUPT_END},
		{{.shared = BIT(34)}, NULL, INTERRUPT_END},
		{{.shared = term | alarm, .caught = alarm}, NULL, INTERRUPT_END},
		{{.shared = term | alarm, .caught = alarm, .blocked = term}, NULL,
			INTERRUPT_RESTART},
		/* A stop: the call is made again. */
		{{.shared = stop}, NULL, INTERRUPT_RESTART},
		{{.shared = BIT(SIGSTOP)}, NULL, INTERRUPT_RESTART},
		/* Of several threads, one of which the signal is for. */
		{{.threads = 2, .own = alarm, .caught = alarm}, NULL, INTERRUPT_RESTART},
		{{.threads = 2, .own = alarm, .caught = alarm}, &takes, INTERRUPT_RESTART},
		{{.threads = 2, .own = stop}, &takes, INTERRUPT_RESTART},
		/* Of several, for the process: no one knows whom the kernel has marked. */
		{{.threads = 2, .shared = alarm, .caught = alarm}, NULL, INTERRUPT_EINTR},
		{{.threads = 2, .shared = term}, NULL, INTERRUPT_END},
		{{.threads = 2, .shared = stop}, NULL, INTERRUPT_NONE},
		{{.threads = 2, .shared = stop, .caught = stop}, NULL, INTERRUPT_EINTR},
		{{.threads = 2, .shared = alarm, .caught = alarm}, &takes, INTERRUPT_NONE},
		{{.threads = 2, .shared = term}, &takes, INTERRUPT_NONE},
		{{.threads = 2, .shared = alarm, .caught = alarm}, &blocks, INTERRUPT_EINTR},
		{{.threads = 2, .shared = alarm, .caught = alarm}, &ended, INTERRUPT_EINTR},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char thread[1024], leader[1024];
		enum interrupt how = interrupt_in(status(&rows[i].thread, thread),
			rows[i].leader ? status(rows[i].leader, leader) : NULL);

		if (how != rows[i].wanted)
			fail_msg("row %zu: %d, not %d", i, how, rows[i].wanted);
	}
}

static void half_a_text_interrupts_nothing(void **state)
{
	const struct thread t = {.shared = BIT(SIGALRM), .caught = BIT(SIGALRM)};
	char text[1024];

	assert_int_equal(interrupt_in(status(&t, text), NULL), INTERRUPT_RESTART);
	for (char *end = strstr(text, "SigCgt"); end > text; end--) {
		*end = '\0';
		assert_int_equal(interrupt_in(text, NULL), INTERRUPT_NONE);
	}
}

static void the_answer_says_why(void **state)
{
	static struct request q;

	assert_int_equal(interrupt_end(&q, INTERRUPT_EINTR), -EINTR);
	assert_int_equal(interrupt_end(&q, INTERRUPT_END), -EINTR);
	assert_int_equal(interrupt_end(&q, INTERRUPT_NONE), -EINTR);
	assert_int_equal(interrupt_end(&q, INTERRUPT_RESTART), -NOTIFY_RESTART);
	assert_string_equal(q.reason, "interrupted by a signal");
	assert_false(q.refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_ends_a_call_as_the_kernel_would),
		cmocka_unit_test(half_a_text_interrupts_nothing),
		cmocka_unit_test(the_answer_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
