/* SPDX-License-Identifier: MIT */
/*
 * clients.c - hostile clients of `warder serve` with the built-in worker.
 *
 * Those that are many, or slow, or more than there is room for: crowds.c.
 */
#include "tests/hostile/clients.h"

#include <arpa/inet.h>

/* ---- frames ------------------------------------------------------------------------------- */

/* A frame of any text, and behind it more requests than the worker reads at once. */
static void send_much(int s, const char *first)
{
	static char text[2 * 65536 + 2 * PATH_MAX];
	char *at = text;

	frame_put_head((uint8_t *)at, (uint32_t)strlen(first));
	at = stpcpy(at + FRAME_HEAD_SIZE, first);
	while (at < text + sizeof(text) - 2 * PATH_MAX) {
		int n = snprintf(at + FRAME_HEAD_SIZE, PATH_MAX + 128, request_text, 2, data);

		frame_put_head((uint8_t *)at, (uint32_t)n);
		at += FRAME_HEAD_SIZE + n;
	}
	assert_true(send(s, text, (size_t)(at - text), MSG_NOSIGNAL) > 65536);
}

static void every_bad_length_closes_its_connection_alone(void **state)
{
	static const uint32_t lengths[] = {
		0, 0x100001, 0x7fffffff, 0x80000000, 0xffffffff, 0x00ffffff, 0x7b226a73};

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		uint32_t length = htonl(lengths[i]);
		int s = dial();

		assert_int_equal(send(s, &length, 4, 0), 4);
		if (!closed_within(s, 3000))
			fail_msg("a frame of %#x bytes was not refused", lengths[i]);
		close(s);
	}
	assert_serves();
	assert_recorded((int)(sizeof(lengths) / sizeof(*lengths)) + 1, 1);
}

/* What is a frame but no request is answered with an error, or ends its connection; the largest
 * frame is read. */
static void frames_of_rubbish_harm_nobody(void **state)
{
	static const char *const texts[] = {"{", "[]", "null", "\"x\"", "{\"jsonrpc\":\"2.0\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}",
		"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"hash\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hash\",\"params\":[1]}",
		("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hash\",\"params\":{\"path\":"
		 "\"a\\u0000b\"}}"),
		"\xff\xfe\xfd", "1e999999", "[[[[[[[[[[[[[[[["};
	static char large[1024 * 1024];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		int s = dial();

		assert_int_equal(frame_send(s, texts[i], strlen(texts[i])), 0);
		shutdown(s, SHUT_WR);
		assert_true(answered(s) < 0);
		close(s);
	}
	memset(large, '[', sizeof(large));
	for (size_t size = sizeof(large) - 1; size <= sizeof(large); size++) {
		int s = dial();

		assert_int_equal(frame_send(s, large, size), 0);
		assert_true(answered(s) < 0);
		close(s);
	}
	assert_serves();
	assert_recorded((int)(sizeof(texts) / sizeof(*texts)) + 3, 1);
}

/* Who sends what is no JSON-RPC gets the error and then end-of-file, not ECONNRESET, although
 * requests of its own are left unread; nothing after the error is done. */
static void a_frame_that_is_no_request_ends_its_connection_alone(void **state)
{
	static const char *const bad[] = {"{", "nonsense", "[]", "{\"jsonrpc\":\"1.0\"}", "[1]"};
	static const char *const fair[] = {"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"shutdown\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hash\",\"params\":{\"path\":7}}"};
	int other = dial();

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		autofree char *text = NULL;
		int s = dial(), fd;
		size_t size;
		char byte;

		assert_int_equal(frame_send(s, bad[i], strlen(bad[i])), 0);
		assert_int_equal(frame_recv(s, FRAME_SIZE_MAX, &text, &size, &fd), 0);
		assert_non_null(strstr(text, "\"code\":-32"));
		ask(s, 1);
		assert_int_equal(recv(s, &byte, 1, 0), 0);
		close(s);
		s = dial();
		send_much(s, bad[i]);
		assert_true(answered(s) < 0);
		assert_int_equal(recv(s, &byte, 1, 0), 0);
		close(s);
	}
	for (size_t i = 0; i < sizeof(fair) / sizeof(*fair); i++) {
		assert_int_equal(frame_send(other, fair[i], strlen(fair[i])), 0);
		assert_true(answered(other) < 0);
	}
	assert_int_equal(ask(other, 3), 0);
	assert_int_equal(answered(other), 3);
	close(other);
	assert_serves();
	/* What follows what is no request is not done; two were fair. */
	assert_recorded(2 * (int)(sizeof(bad) / sizeof(*bad)) + 2, 2);
}

static void many_requests_at_once_are_answered_in_order(void **state)
{
	enum { N = 2000 };
	int s = dial();
	pid_t writer;

	assert_true(s >= 0);
	writer = fork();
	if (writer == 0) {
		for (int i = 1; i <= N; i++)
			if (ask(s, i) < 0)
				_exit(1);
		_exit(0);
	}
	for (int i = 1; i <= N; i++)
		assert_int_equal(answered(s), i);
	waitpid(writer, NULL, 0);
	close(s);
	assert_serves();
	assert_recorded(2, N + 1);
}

static void out_of_band_bytes_harm_nobody(void **state)
{
	int s = dial();

	for (int i = 0; i < 100; i++)
		send(s, "x", 1, MSG_OOB | MSG_NOSIGNAL | MSG_DONTWAIT);
	close(s);
	assert_serves();
	assert_recorded(2, 1);
}

/* ---- time --------------------------------------------------------------------------------- */

static void a_client_that_never_reads_holds_up_nobody(void **state)
{
	char text[PATH_MAX + 128];
	int s = dial(), sent = 0;

	fcntl(s, F_SETFL, O_NONBLOCK);
	snprintf(text, sizeof(text), request_text, 1, data);
	while (sent < 100000 && frame_send(s, text, strlen(text)) == 0)
		sent++;
	assert_true(sent > 10);
	assert_serves();
	close(s);
	assert_serves();
}

static void a_client_that_leaves_early_harms_nobody(void **state)
{
	for (int i = 0; i < 200; i++) {
		const struct linger hard = {1, 0};
		int s = dial();

		assert_true(s >= 0);
		ask(s, i);
		if (i % 2)
			setsockopt(s, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(s);
	}
	assert_serves();
	assert_int_equal(count_records("client") - clients_before, 201);
}

/* ---- descriptors -------------------------------------------------------------------------- */

static ssize_t attach_and_send(int s, const void *bytes, size_t size, int n)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control = {.buf = {0}};
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	const int fd = s;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
	for (int i = 0; i < n; i++)
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &fd, sizeof(int));
	return sendmsg(s, &msg, MSG_NOSIGNAL);
}

/* By the book. */
static pid_t worker_pid(void)
{
	return number_of("sed -n 's/.*\"event\":\"spawn\".*\"pid\":\\([0-9]*\\).*/\\1/p'");
}

/* The control: what the kernel is not asked to refuse arrives, and lies there till it is read. */
static void descriptors_arrive_elsewhere(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(attach_and_send(pair[0], "\0\0", 2, 253), 2);
	close(pair[0]);
	close(pair[1]);
}

/* A2, G6: each connection passes itself, in a circle, 1 to 253 times, with whatever it says: part
 * of a head, a bad one, a request, what is none.  Since Linux 6.16 it cannot; before, they are
 * dropped. The worker holds no more than before, as far as this user is told: -1. */
static void descriptors_of_clients_are_dropped(void **state)
{
	static const char *const says[] = {"\0\0", "\0\0\0\2{}", "\xff\xff\xff\xff", "\0\0\0\1"};
	static const size_t sizes[] = {2, 6, 4, 4};
	pid_t worker = worker_pid();
	int before, dials = 0;
	bool refused = false;

	descriptors_arrive_elsewhere();
	assert_serves();
	before = count_fds_of(worker);
	assert_true(before > 3 || geteuid() != 0);
	for (int n = 1; n <= 253; n += n < 16 ? 1 : 79) {
		for (size_t i = 0; i < 4; i++) {
			int s = dial();
			ssize_t sent;

			assert_true(s >= 0);
			dials++;
			sent = attach_and_send(s, says[i], sizes[i], n);
			refused |= sent < 0;
			assert_true(sent < 0 ? errno == EPERM : !refused);
			/* What was not sent with them is sent without. */
			if (sent < 0)
				assert_int_equal(
					send(s, says[i], sizes[i], MSG_NOSIGNAL), sizes[i]);
			close(s);
		}
	}
	assert_serves();
	assert_recorded(dials + 2, 2);
	/* It may not have seen the last of them off yet. */
	for (int i = 0; i < 400 && count_fds_of(worker) > before; i++)
		usleep(50000);
	assert_true(count_fds_of(worker) <= before);
}

/* ---- who ---------------------------------------------------------------------------------- */

static void socket_and_directory_are_their_owners_alone(void **state)
{
	char path[PATH_MAX + 16];
	struct stat st;

	snprintf(path, sizeof(path), "%s/run/warder", top);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(stat(socket_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* Even with the modes out of the way the peer's uid decides.  Root alone can be somebody else. */
static void another_user_cannot_connect(void **state)
{
	char path[PATH_MAX + 16];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/run", top);
	assert_int_equal(chmod(path, 0755), 0);
	strcat(path, "/warder");
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(socket_path, 0666), 0);
	pid = fork();
	if (pid == 0) {
		int s;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(3);
		s = dial();
		if (s < 0)
			_exit(2);
		ask(s, 1);
		_exit(closed_within(s, 3000) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	chmod(socket_path, 0600);
	chmod(path, 0700);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_serves();
	/* Who was sent away is in no session. */
	assert_recorded(1, 1);
}

static void a_second_service_of_the_name_does_not_start(void **state)
{
	static struct outcome o = OUTCOME_INIT;
	const char *argv[] = {warder_path(), "serve", "-p", policy, "-n", "hostile", NULL};

	run_program(&o, argv);
	assert_int_not_equal(o.status, 0);
	assert_serves();
	assert_recorded(1, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, fds_after)
	const struct CMUnitTest tests[] = {
		T(every_bad_length_closes_its_connection_alone),
		T(frames_of_rubbish_harm_nobody),
		T(a_frame_that_is_no_request_ends_its_connection_alone),
		T(many_requests_at_once_are_answered_in_order),
		T(out_of_band_bytes_harm_nobody),
		T(a_client_that_never_reads_holds_up_nobody),
		T(a_client_that_leaves_early_harms_nobody),
		T(descriptors_of_clients_are_dropped),
		T(socket_and_directory_are_their_owners_alone),
		T(a_second_service_of_the_name_does_not_start),
		T(another_user_cannot_connect),
	};

	return _cmocka_run_group_tests(
		"clients", tests, sizeof(tests) / sizeof(tests[0]) - (geteuid() != 0), start, end);
}
