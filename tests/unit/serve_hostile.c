/* SPDX-License-Identifier: MIT */
/*
 * serve_hostile.c - warder_serve() and clients that mean it harm (ADVERSARY, chapter G).
 */
#include "tests/unit/serve_world.h"

static long rss_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmData: %ld kB", &kib) == 1)
			break;
	fclose(f);
	return kib;
}

/* G1, G11 */
static void a_bad_length_closes_that_connection_alone_and_allocates_nothing(void **state)
{
	static const uint32_t bad[] = {0, FRAME_SIZE_MAX + 1, 0x7fffffff, 0x80000000, 0xffffffff};
	struct server s;
	int good;
	long before;

	start(&s);
	good = client(&s);
	expect_echo(good, "before");
	before = rss_kib(s.pid);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint8_t head[FRAME_HEAD_SIZE];
		int c = client(&s);

		frame_put_head(head, bad[i]);
		expect_echo(c, "fine so far");
		assert_int_equal(send(c, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
		expect_closed(c);
		close(c);
	}
	/* Lengths that may be are waited for, without their memory. */
	for (int i = 0; i < 20; i++) {
		uint8_t head[FRAME_HEAD_SIZE + 1] = {0};
		int c = client(&s);

		frame_put_head(head, FRAME_SIZE_MAX);
		assert_int_equal(send(c, head, sizeof(head), MSG_NOSIGNAL), sizeof(head));
		expect_echo(good, "between");
		close(c);
	}
	assert_true(rss_kib(s.pid) < before + 1024);
	expect_echo(good, "after");
	close(good);
	stop(&s);
}

static void lengths_at_the_bounds_are_served(void **state)
{
	struct warder_serve api = plain;
	struct server s;
	char frame[100];
	int c;

	memset(frame, 'y', sizeof(frame));
	api.frame_max = 100;
	start_with(&s, &api, NULL);
	c = client(&s);
	assert_int_equal(frame_send(c, frame, 1), 0);
	expect_answer(c, frame, 1);
	assert_int_equal(frame_send(c, frame, 100), 0);
	expect_answer(c, frame, 100);
	assert_int_equal(frame_send(c, "before", 6), 0);
	assert_int_equal(send(c, "\0\0\0\x65", 4, MSG_NOSIGNAL), 4);
	expect_answer(c, "before", 6); /* what came before the fault was still answered */
	expect_closed(c);
	close(c);
	stop(&s);
}

/* G2 */
static void a_slow_frame_meets_its_deadline_and_others_do_not_wait(void **state)
{
	struct warder_serve api = plain;
	struct server s;
	enum { SLOTHS = 500 };
	int slow[SLOTHS], good;

	api.frame_ms = 400 * SLOW;
	start_with(&s, &api, NULL);
	good = client(&s);
	for (int i = 0; i < SLOTHS; i++) {
		slow[i] = client(&s);
		assert_int_equal(
			send(slow[i], i % 2 ? "\0\0" : "\0\0\0\x50z", i % 2 ? 2 : 5, MSG_NOSIGNAL),
			i % 2 ? 2 : 5);
	}
	/* One byte now and then does not help. */
	for (int i = 0; i < 12 * SLOW; i++) {
		expect_echo(good, "quick");
		send(slow[0], "z", 1, MSG_NOSIGNAL);
		usleep(50000);
	}
	for (int i = 0; i < SLOTHS; i++) {
		expect_closed(slow[i]);
		close(slow[i]);
	}
	expect_echo(good, "still here");
	close(good);
	stop(&s);
}

/* G3 */
static void an_idle_client_is_closed(void **state)
{
	struct warder_serve api = plain;
	struct server s;
	int c;

	api.idle_ms = 200 * SLOW;
	start_with(&s, &api, NULL);
	c = client(&s);
	expect_closed(c);
	close(c);
	stop(&s);
}

/* G3, G5: it never reads; the server stops reading it, keeps little, and serves the others. */
static void a_client_that_never_reads_is_bounded_then_closed(void **state)
{
	struct warder_serve api = plain;
	struct server s;
	int hog, good;
	char frame[1000];
	size_t sent = 0;
	long before;

	memset(frame, 'h', sizeof(frame));
	frame_put_head((uint8_t *)frame, sizeof(frame) - FRAME_HEAD_SIZE);
	api.frame_ms = 1000 * SLOW;
	api.pending_max = 256 * 1024;
	start_with(&s, &api, NULL);
	good = client(&s);
	expect_echo(good, "before");
	before = rss_kib(s.pid);
	hog = client(&s);
	while (sent < 64U << 20) {
		ssize_t n = send(hog, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = hog, .events = POLLOUT};

			if (poll(&p, 1, 200) == 0)
				break;
			continue;
		}
		assert_int_equal(n, sizeof(frame));
		sent += sizeof(frame);
	}
	assert_true(sent < 8U << 20); /* it was stopped, not swallowed */
	assert_true(rss_kib(s.pid) < before + 4096);
	expect_echo(good, "others are served");
	usleep(1300000 * SLOW);
	assert_true(send(hog, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT) < 0);
	assert_int_equal(errno, EPIPE);
	expect_echo(good, "after");
	close(hog);
	close(good);
	stop(&s);
}

/* G5 */
static void a_hundred_thousand_pipelined_requests_are_answered_in_order(void **state)
{
	enum { N = 100000 };
	struct server s;
	pid_t writer;
	int c;

	start(&s);
	c = client(&s);
	writer = fork();
	if (writer == 0) {
		for (uint32_t i = 0; i < N; i++)
			if (frame_send(c, &i, sizeof(i)) < 0)
				_exit(1);
		shutdown(c, SHUT_WR);
		_exit(0);
	}
	for (uint32_t i = 0; i < N; i++) {
		uint8_t buf[FRAME_HEAD_SIZE + sizeof(i)];

		assert_int_equal(recv(c, buf, sizeof(buf), MSG_WAITALL), sizeof(buf));
		assert_memory_equal(buf + FRAME_HEAD_SIZE, &i, sizeof(i));
	}
	expect_closed(c);
	waitpid(writer, NULL, 0);
	close(c);
	stop(&s);
}

/* G4: more connections than there is room for. */
static void low_files(void)
{
	const struct rlimit limit = {40, 40};

	setrlimit(RLIMIT_NOFILE, &limit);
}

static long cpu_ms(pid_t pid)
{
	unsigned long user = 0, sys = 0;
	char path[64], text[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		&sys);
	return (long)((user + sys) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK));
}

static void a_flood_of_connections_waits_its_turn_without_a_busy_loop(void **state)
{
	enum { N = 120 };
	struct server s;
	int c[N];
	long before;

	start_with(&s, &plain, low_files);
	for (int i = 0; i < N; i++)
		c[i] = client(&s);
	expect_echo(c[0], "first");
	before = cpu_ms(s.pid);
	usleep(500000);
	assert_true(cpu_ms(s.pid) - before < 100);
	/* Those that waited are served as others leave. */
	for (int i = 0; i < N; i++) {
		expect_echo(c[i], "in turn");
		close(c[i]);
	}
	stop(&s);
}

#define SO_PASSRIGHTS_ 83 /* Linux 6.16 */

static ssize_t send_fds(int sock, const void *buf, size_t size, int n)
{
	int fds[253];
	union {
		char buf[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

	for (int i = 0; i < n; i++)
		fds[i] = STDIN_FILENO;
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
	memcpy(CMSG_DATA(h), fds, sizeof(int) * (size_t)n);
	return sendmsg(sock, &msg, MSG_NOSIGNAL);
}

/* The control: whoever has room for them gets them all. */
static void descriptors_land_where_there_is_room(const char *frame)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * 253)];
		struct cmsghdr align;
	} control;
	char in[8];
	struct iovec iov = {in, sizeof(in)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	int pair[2], before, fd;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	before = count_fds();
	assert_int_equal(send_fds(pair[0], frame, 8, 253), 8);
	assert_int_equal(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC), 8);
	assert_int_equal(count_fds(), before + 253);
	for (int i = 0; i < 253; i++) {
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)) + (size_t)i * sizeof(int), sizeof(int));
		close(fd);
	}
	close(pair[0]);
	close(pair[1]);
}

/* G6, A2: the kernel refuses to send them (Linux 6.16), and where it does not, as before that and
 * in the second turn here, they are dropped at recv(). */
static void descriptors_of_clients_never_land(void **state)
{
	static const char frame[] = "\0\0\0\4abcd";
	const int on = 1;
	struct server s;
	int c, copy, before;
	bool refuses;

	descriptors_land_where_there_is_room(frame);
	start(&s);
	for (int turn = 0; turn < 2; turn++) {
		c = client_and_copy(&s, &copy);
		expect_echo(c, "before");
		if (turn > 0)
			setsockopt(copy, SOL_SOCKET, SO_PASSRIGHTS_, &on, sizeof(on));
		refuses = setsockopt(c, SOL_SOCKET, SO_PASSRIGHTS_, &on, sizeof(on)) == 0;
		before = count_fds_of(s.pid);
		for (int n = 1; n <= 253; n++) {
			ssize_t sent = send_fds(c, frame, 8, n);

			assert_int_equal(sent, turn == 0 && refuses ? -1 : 8);
			assert_true(sent == 8 || errno == EPERM);
			if (sent == 8)
				expect_answer(c, "abcd", 4);
		}
		/* On part of a frame they are no better. */
		assert_true(send_fds(c, frame, 2, 253) == 2 || (turn == 0 && errno == EPERM));
		if (turn > 0) {
			assert_int_equal(send(c, frame + 2, 6, 0), 6);
			expect_answer(c, "abcd", 4);
		}
		assert_int_equal(count_fds_of(s.pid), before);
		expect_echo(c, "after");
		close(copy);
		close(c);
	}
	stop(&s);
}

/* G7 */
static void clients_that_vanish_in_mid_reply_do_no_harm(void **state)
{
	struct server s;
	int good;

	start(&s);
	good = client(&s);
	for (int i = 0; i < 100; i++) {
		int c = client(&s);

		assert_int_equal(frame_send(c, "!big 900000", 11), 0);
		if (i % 2)
			recv(c, (char[100]){0}, 100, 0);
		close(c);
		expect_echo(good, "good");
	}
	close(good);
	stop(&s);
}

/* G10 */
static void an_urgent_byte_is_no_data(void **state)
{
	struct server s;
	int c;

	start(&s);
	c = client(&s);
	expect_echo(c, "before");
	assert_int_equal(send(c, "\0\0\0\5a", 5, MSG_NOSIGNAL), 5);
	/* Unix sockets take MSG_OOB since Linux 5.15 if it was configured. */
	if (send(c, "!", 1, MSG_OOB | MSG_NOSIGNAL) < 0)
		assert_int_equal(errno, EOPNOTSUPP);
	assert_int_equal(send(c, "bcde", 4, MSG_NOSIGNAL), 4);
	expect_answer(c, "abcde", 5);
	close(c);
	stop(&s);
}

static void a_descriptor_hog_leaves_the_others_theirs(void **state)
{
	struct warder_serve api = plain;
	struct server s;
	int hog, good;
	char *data = NULL;
	size_t size;
	int fd = -1;

	api.frame_ms = 500 * SLOW;
	start_with(&s, &api, NULL);
	hog = client(&s);
	good = client(&s);
	for (int i = 0; i < 2000; i++)
		if (send(hog, "\0\0\0\3!fd", 7, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	assert_int_equal(frame_send(good, "!fd", 3), 0);
	assert_int_equal(frame_recv(good, FRAME_SIZE_MAX, &data, &size, &fd), 0);
	assert_true(fd >= 0);
	close(fd);
	free(data);
	/* By now no more of its replies are taken, and what it still sends waits: its end must not
	 * make that be read, which would want a place for one more descriptor. */
	for (int i = 0; i < 2000; i++)
		if (send(hog, "\0\0\0\3!fd", 7, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	shutdown(hog, SHUT_RDWR);
	expect_echo(good, "still here");
	close(hog);
	expect_echo(good, "still here");
	close(good);
	stop(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_length_closes_that_connection_alone_and_allocates_nothing),
		cmocka_unit_test(lengths_at_the_bounds_are_served),
		cmocka_unit_test(a_slow_frame_meets_its_deadline_and_others_do_not_wait),
		cmocka_unit_test(an_idle_client_is_closed),
		cmocka_unit_test(a_client_that_never_reads_is_bounded_then_closed),
		cmocka_unit_test(a_hundred_thousand_pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_flood_of_connections_waits_its_turn_without_a_busy_loop),
		cmocka_unit_test(descriptors_of_clients_never_land),
		cmocka_unit_test(clients_that_vanish_in_mid_reply_do_no_harm),
		cmocka_unit_test(an_urgent_byte_is_no_data),
		cmocka_unit_test(a_descriptor_hog_leaves_the_others_theirs),
	};

	return cmocka_run_group_tests_name("serve_hostile", tests, NULL, NULL);
}
