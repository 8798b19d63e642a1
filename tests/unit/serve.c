/* SPDX-License-Identifier: MIT */
/*
 * serve.c - warder_serve(), its ordinary clients and its channel.
 */
#include "tests/unit/serve_world.h"

/* ---- ordinary clients ------------------------------------------------------------------------ */

static void answers_frames_in_order(void **state)
{
	struct server s;
	char text[16];
	int c;

	start(&s);
	c = client(&s);
	expect_echo(c, "hello");
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "frame %d", i);
		assert_int_equal(frame_send(c, text, strlen(text)), 0);
	}
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "frame %d", i);
		expect_answer(c, text, strlen(text));
	}
	close(c);
	stop(&s);
}

static void tells_who_the_client_is(void **state)
{
	struct server s;
	int a, b;

	start(&s);
	a = client(&s);
	b = client(&s);
	assert_int_equal(frame_send(b, "!who", 4), 0);
	expect_answer(b, "2 1234", 6);
	assert_int_equal(frame_send(a, "!who", 4), 0);
	expect_answer(a, "1 1234", 6);
	close(a);
	close(b);
	stop(&s);
}

static void a_reply_may_be_none(void **state)
{
	struct server s;
	int c;

	start(&s);
	c = client(&s);
	assert_int_equal(frame_send(c, "!none", 5), 0);
	expect_echo(c, "next");
	close(c);
	stop(&s);
}

static void a_handler_may_end_a_connection_with_a_last_word(void **state)
{
	struct server s;
	int c;

	start(&s);
	c = client(&s);
	assert_int_equal(frame_send(c, "!end", 4), 0);
	expect_answer(c, "bye", 3);
	expect_closed(c);
	close(c);
	stop(&s);
}

static void a_reply_over_frame_max_is_refused_to_the_handler(void **state)
{
	struct server s;
	int c;

	start(&s);
	c = client(&s);
	assert_int_equal(frame_send(c, "!big 2000000", 12), 0);
	expect_answer(c, "too big", 7);
	close(c);
	stop(&s);
}

static void descriptors_come_with_their_replies_in_order(void **state)
{
	struct server s;
	int c;

	start(&s);
	c = client(&s);
	/* More than wait for a client at once, with plain frames between. */
	for (int i = 0; i < 50; i++) {
		assert_int_equal(frame_send(c, "plain", 5), 0);
		assert_int_equal(frame_send(c, "!fd", 3), 0);
	}
	for (int i = 0; i < 50; i++) {
		char *data = NULL;
		size_t size;
		int fd = -1;

		expect_answer(c, "plain", 5);
		assert_int_equal(frame_recv(c, FRAME_SIZE_MAX, &data, &size, &fd), 0);
		assert_int_equal(size, 3);
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
		close(fd);
		free(data);
	}
	close(c);
	stop(&s);
}

static void largest_frame_goes_both_ways(void **state)
{
	char *frame = malloc(FRAME_SIZE_MAX), *data = NULL;
	struct server s;
	size_t size;
	int c, fd = -1;
	pid_t writer;

	memset(frame, 'x', FRAME_SIZE_MAX);
	start(&s);
	c = client(&s);
	writer = fork();
	if (writer == 0)
		_exit(frame_send(c, frame, FRAME_SIZE_MAX) == 0 ? 0 : 1);
	assert_int_equal(frame_recv(c, FRAME_SIZE_MAX, &data, &size, &fd), 0);
	assert_int_equal(size, FRAME_SIZE_MAX);
	assert_memory_equal(frame, data, size);
	waitpid(writer, NULL, 0);
	free(data);
	free(frame);
	close(c);
	stop(&s);
}

/* Who handed a connection in may close its own copy later than the worker does. */
static void a_connection_whose_copy_is_still_open_elsewhere_ends_all_the_same(void **state)
{
	struct server s;
	int copies[50], n = 0;

	start(&s);
	for (int i = 0; i < 50; i++) {
		uint8_t buf[64];
		struct enc e = enc_init(buf, sizeof(buf));
		const struct msg_client m = {.number = (uint64_t)i + 1};
		int pair[2];
		size_t size;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		copies[n++] = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
		msg_begin(&e, MSG_CLIENT, 1, 1);
		msg_put_client(&e, &m);
		assert_int_equal(msg_end(&e, &size), 0);
		assert_int_equal(chan_send(s.channel, buf, size, &pair[1], 1, true), 0);
		expect_echo(pair[0], "short");
		close(pair[0]);
	}
	for (int i = 0; i < 50; i++) {
		int c = client(&s);

		expect_echo(c, "next");
		fd_close(&copies[--n]);
		expect_echo(c, "and next");
		close(c);
	}
	stop(&s);
}

static void end_of_the_channel_finishes_what_is_in_flight(void **state)
{
	struct server s;
	int a, b, status;

	start(&s);
	a = client(&s);
	b = client(&s);
	expect_echo(a, "before");
	for (int i = 0; i < 100; i++)
		assert_int_equal(frame_send(b, "in flight", 9), 0);
	fd_close(&s.channel);
	for (int i = 0; i < 100; i++)
		expect_answer(b, "in flight", 9);
	expect_closed(a);
	expect_closed(b);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_int_equal(status, 0);
	close(a);
	close(b);
	assert_int_equal(count_fds(), s.fds);
}

static void half_close_is_answered_before_the_end(void **state)
{
	struct server s;
	int c;

	start(&s);
	c = client(&s);
	for (int i = 0; i < 100; i++)
		assert_int_equal(frame_send(c, "last", 4), 0);
	shutdown(c, SHUT_WR);
	for (int i = 0; i < 100; i++)
		expect_answer(c, "last", 4);
	expect_closed(c);
	close(c);
	stop(&s);
}

/* ---- the channel of clients ------------------------------------------------------------------ */

static void expect_protocol_end(struct server *s)
{
	int status;

	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	fd_close(&s->channel);
	assert_int_equal(count_fds(), s->fds);
}

/* A3, A5, A14 */
static void a_channel_that_carries_something_else_ends_the_server(void **state)
{
	struct server s;
	uint8_t buf[128] = {0};

	for (int kind = 0; kind < 4; kind++) {
		const struct msg_client m = {.number = 1};
		struct enc e = enc_init(buf, sizeof(buf));
		int fds[2] = {-1, -1};
		size_t size;

		start(&s);
		msg_begin(&e, kind == 1 ? MSG_OPEN : MSG_CLIENT, 1, 1);
		msg_put_client(&e, &m);
		if (kind == 2)
			enc_u8(&e, 0);
		assert_int_equal(msg_end(&e, &size), 0);
		if (kind != 0)
			fds[0] = dup(0);
		if (kind == 3)
			fds[1] = dup(0);
		assert_int_equal(chan_send(s.channel, buf, size, fds,
					 (size_t)(kind == 0   ? 0
						  : kind == 3 ? 2
							      : 1),
					 true),
			0);
		expect_protocol_end(&s);
	}
}

static void serve_takes_nothing_but_its_channel(void **state)
{
	int fds = count_fds(), fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_int_equal(warder_serve_fd(&plain, &fd), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(fd, -1);
	unsetenv("WARDER_CLIENTS_FD");
	assert_int_equal(warder_serve(&plain), -1);
	assert_int_equal(errno, ENXIO);
	assert_int_equal(count_fds(), fds);
}

#ifndef WARDER_SANITIZE /* the sanitizers' own calls are not in the table */
static void lock_down(void)
{
	if (warder_lockdown() < 0 || warder_lockdown() < 0)
		_exit(77);
}

static int echo_only(void *ctx, const struct warder_client *client, const void *frame, size_t size,
	struct warder_reply *reply)
{
	char *copy = malloc(size + 300000); /* from brk and from mmap: both must work locked down */
	int r;

	if (!copy || open("/dev/null", O_RDONLY) >= 0)
		return -1;
	memcpy(copy, frame, size);
	r = warder_reply(reply, copy, size);
	free(copy);
	return r;
}

static void serves_under_lockdown(void **state)
{
	const struct warder_serve api = {.handle = echo_only};
	struct server s;
	int c, status;

	start_with(&s, &api, lock_down);
	c = client(&s);
	for (int i = 0; i < 100; i++)
		expect_echo(c, "locked down");
	close(c);
	fd_close(&s.channel);
	assert_int_equal(waitpid(s.pid, &status, 0), s.pid);
	assert_int_equal(status, 0);
	assert_int_equal(count_fds(), s.fds);
}

#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_frames_in_order),
		cmocka_unit_test(tells_who_the_client_is),
		cmocka_unit_test(a_reply_may_be_none),
		cmocka_unit_test(a_handler_may_end_a_connection_with_a_last_word),
		cmocka_unit_test(a_reply_over_frame_max_is_refused_to_the_handler),
		cmocka_unit_test(descriptors_come_with_their_replies_in_order),
		cmocka_unit_test(largest_frame_goes_both_ways),
		cmocka_unit_test(a_connection_whose_copy_is_still_open_elsewhere_ends_all_the_same),
		cmocka_unit_test(end_of_the_channel_finishes_what_is_in_flight),
		cmocka_unit_test(half_close_is_answered_before_the_end),
		cmocka_unit_test(a_channel_that_carries_something_else_ends_the_server),
		cmocka_unit_test(serve_takes_nothing_but_its_channel),
#ifndef WARDER_SANITIZE
		cmocka_unit_test(serves_under_lockdown),
#endif
	};

	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
