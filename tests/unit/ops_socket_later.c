/* SPDX-License-Identifier: MIT */
/*
 * ops_socket_later.c - sockets through the ask door: answers that come later, or to nobody.
 *
 * RUN_ALONE: how many descriptors are in flight is counted for a user, not for a process.
 */
#include "tests/unit/asking_world.h"

/* ---- later ----------------------------------------------------------------------------------- */

static void answers_come_as_they_end_and_others_meanwhile(void **state)
{
	uint32_t ids[3], dials[3];
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\nallow read DIR/data/\n");
	for (int i = 0; i < 3; i++) {
		ids[i] = send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		dials[i] = f.m.id;
	}
	assert_int_equal(ask_open(f.w, on_host(&f, "/data/a"), O_RDONLY), 0);
	assert_int_equal(ask_undelivered(&f.w->s), 3);
	done(&f, dials[2], 0, dial_loopback(&f));
	done(&f, dials[0], -ECONNREFUSED, -1);
	done(&f, dials[1], 0, dial_loopback(&f));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_int_equal(f.id, ids[2]);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -ECONNREFUSED);
	assert_int_equal(f.id, ids[0]);
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_int_equal(f.id, ids[1]);
	assert_int_equal(ask_undelivered(&f.w->s), 0);
	end(&f);
}

static void more_than_may_wait_are_refused(void **state)
{
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < LATER_MAX; i++)
		send_connect(&f, here(&f));
	assert_false(answered(&f));
	assert_int_equal(refused(&f, MSG_CONNECT, request(here(&f), 0, 0)), -EAGAIN);
	hear(&f, DIAL_TCP);
	done(&f, f.m.id, -ECONNREFUSED, -1);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -ECONNREFUSED);
	send_connect(&f, here(&f));
	assert_false(answered(&f));
	end(&f);
}

static void a_worker_that_is_gone_calls_off_what_waits(void **state)
{
	struct fixture f;
	const char *why = NULL;
	uint32_t dial;
	int base;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	base = count_fds();
	send_connect(&f, here(&f));
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	dial = f.m.id;
	fd_close(&f.w->worker_fd);
	assert_int_equal(serve(f.w), 1);
	assert_true(ask_is_gone(&f.w->s));
	assert_int_equal(dial_check(&f.w->s, &why), 0);
	assert_int_equal(dial_waiting(f.w->s.dial), 0);
	hear(&f, DIAL_TCP);
	hear(&f, DIAL_CANCEL);
	assert_int_equal(f.m.of, dial);
	hear(&f, DIAL_CANCEL);
	/* What was on its way is closed. */
	done(&f, dial, 0, dial_loopback(&f));
	assert_int_equal(count_fds(), base - 1);
	assert_int_equal(count_events(f.w, "grant", false), 0);
	end(&f);
}

static void a_dial_that_ends_after_the_worker_hands_nothing_over(void **state)
{
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	fd_close(&f.w->worker_fd);
	/* Before the broker has seen it. */
	done(&f, f.m.id, 0, dial_loopback(&f));
	assert_int_equal(serve(f.w), 1);
	end(&f);
}

static void answers_wait_until_the_worker_reads(void **state)
{
	enum { N = 40 };
	uint32_t dials[N];
	int small = 1, before;
	struct fixture f;
	size_t came = 0;
	uint32_t first = 0;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < N; i++) {
		uint32_t id = send_connect(&f, here(&f));

		first = i == 0 ? id : first;
		hear(&f, DIAL_TCP);
		dials[i] = f.m.id;
	}
	setsockopt(f.w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < N; i++)
		done(&f, dials[i], 0, dial_loopback(&f));
	assert_true(ask_waits(&f.w->s));
	before = count_fds();
	for (int i = 0; i < 5; i++)
		assert_int_equal(serve(f.w), -EAGAIN);
	assert_int_equal(count_fds(), before);
	assert_int_equal(count_events(f.w, "grant", true), N);
	while (came < N) {
		if (!answered(&f)) {
			int r = serve(f.w);

			assert_true(r == 0 || r == -EAGAIN);
			continue;
		}
		assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
		assert_int_equal(f.id, first + came++);
	}
	assert_false(ask_waits(&f.w->s));
	end(&f);
}

static void answers_that_wait_are_closed_with_the_session(void **state)
{
	uint32_t dials[20];
	int small = 1;
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < 20; i++) {
		send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		dials[i] = f.m.id;
	}
	setsockopt(f.w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 20; i++)
		done(&f, dials[i], 0, dial_loopback(&f));
	assert_true(ask_waits(&f.w->s));
	end(&f); /* counts descriptors */
}

static void what_cannot_be_signed_for_is_not_handed_over(void **state)
{
	struct fixture f;
	int full, real, before;

	begin(&f, "allow connect 127.0.0.1:PORT\nallow bind 127.0.0.1:0\n");
	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	before = count_fds();
	real = f.w->ledger->fd;
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	f.w->ledger->fd = full;
	done(&f, f.m.id, 0, dial_loopback(&f));
	f.w->ledger->fd = real;
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EIO);
	assert_int_equal(f.w->answers[0].data_size, 0);
	assert_int_equal(count_fds(), before);
	assert_int_equal(f.w->s.tally.granted, 0);
	assert_int_equal(f.w->s.tally.denied, 1);
	assert_int_equal(count_events(f.w, "grant", false), 0);
	close(full);
	end(&f);
}

/* The dialer, whose descriptors count too, is let send; the broker is not. */
static void done_with_few(struct fixture *f, const struct rlimit *few)
{
	const struct rlimit many = {few->rlim_max, few->rlim_max};
	struct dial_message m = {.id = f->m.id, .op = DIAL_DONE};
	uint8_t buf[DIAL_SIZE_MAX];
	int fd = dial_loopback(f);
	long size = dial_encode(&m, buf, sizeof(buf));

	setrlimit(RLIMIT_NOFILE, &many);
	if (chan_send(f->dialer_fd, buf, (size_t)size, &fd, 1, false) < 0)
		_exit(3);
	setrlimit(RLIMIT_NOFILE, few);
	if (serve_dialer(f) < 0)
		_exit(4);
}

/* unix(7) ETOOMANYREFS, for a process without CAP_SYS_RESOURCE and CAP_SYS_ADMIN. */
static void too_many_in_flight_are_a_busy_answer_without_data(void **state)
{
	enum { N = 60 };
	size_t came = 0, busy = 0;
	struct fixture f;
	int status;
	pid_t pid;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	pid = fork();
	if (pid == 0) {
		const struct rlimit few = {40, 400};
		int big = 1 << 20;

		/* A uid of its own, so that nothing else counts. */
		if (geteuid() == 0 && (setgid(54322) < 0 || setuid(54322) < 0))
			_exit(2);
		setsockopt(f.w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
		setrlimit(RLIMIT_NOFILE, &few);
		for (int i = 0; i < N; i++) {
			send_connect(&f, here(&f));
			hear(&f, DIAL_TCP);
			done_with_few(&f, &few);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (int i = 0; i < N; i++) {
		int r = read_answer(&f, MSG_CONNECT);

		assert_true(r == ANSWER_FD || r == -EBUSY);
		assert_true(r == ANSWER_FD || f.w->answers[0].data_size == 0);
		came += r == ANSWER_FD;
		busy += r == -EBUSY;
	}
	assert_true(came > 0 && busy > 0);
	assert_int_equal(count_events(f.w, "grant", true), N);
	assert_int_equal(count_events(f.w, "fail", false), busy);
	end(&f);
}

static void connections_on_their_way_are_held_ones(void **state)
{
	struct fixture f;
	char rules[128];
	int base = count_fds();

	/* This process is worker, broker and dialer: what they hold counts too. */
	snprintf(rules, sizeof(rules), "limit held %d\nallow connect 127.0.0.1:PORT\n", base + 16);
	begin(&f, rules);
	for (int i = 0; i < 64; i++) {
		send_connect(&f, here(&f));
		if (answered(&f))
			break;
	}
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EMFILE);
	assert_true(ask_undelivered(&f.w->s) < 16);
	assert_int_equal(f.w->s.tally.limited, 1);
	end(&f);
	begin(&f, "limit requests 5\nallow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < 64; i++) {
		send_connect(&f, here(&f));
		if (answered(&f))
			break;
	}
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EBUSY);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_as_they_end_and_others_meanwhile),
		cmocka_unit_test(more_than_may_wait_are_refused),
		cmocka_unit_test(a_worker_that_is_gone_calls_off_what_waits),
		cmocka_unit_test(a_dial_that_ends_after_the_worker_hands_nothing_over),
		cmocka_unit_test(answers_wait_until_the_worker_reads),
		cmocka_unit_test(answers_that_wait_are_closed_with_the_session),
		cmocka_unit_test(what_cannot_be_signed_for_is_not_handed_over),
		cmocka_unit_test(too_many_in_flight_are_a_busy_answer_without_data),
		cmocka_unit_test(connections_on_their_way_are_held_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
