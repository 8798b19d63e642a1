/* SPDX-License-Identifier: MIT */
/*
 * serve.c - warder_serve() and its clients, hostile ones among them.
 *
 * The server is a forked child with a real clients channel; the test plays supervisor and clients.
 */
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "common/frame.h"
#include "sandbox/warder.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef WARDER_SANITIZE
#define SLOW 4
#else
#define SLOW 1
#endif

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- the server ------------------------------------------------------------------------------ */

/* Echoes; "!fd" adds a descriptor of /dev/null, "!big N" answers N bytes, "!none" says nothing,
 * "!end" ends the connection, "!who" tells the client's number and uid. */
static int echo(void *ctx, const struct warder_client *client, const void *frame, size_t size,
	struct warder_reply *reply)
{
	static char zeros[8192];
	char text[64];
	int fd;

	snprintf(text, sizeof(text), "%.*s", (int)(size < 63 ? size : 63), (const char *)frame);
	if (strcmp(text, "!fd") == 0) {
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (warder_reply_fd(reply, &fd) < 0)
			return -1;
	} else if (strncmp(text, "!big ", 5) == 0) {
		for (long n = atol(text + 5); n > 0; n -= (long)sizeof(zeros))
			if (warder_reply(reply, zeros,
				    n < (long)sizeof(zeros) ? (size_t)n : sizeof(zeros)) < 0) {
				warder_reply_clear(reply);
				return warder_reply(reply, "too big", 7);
			}
		return 0;
	} else if (strcmp(text, "!none") == 0) {
		return 0;
	} else if (strcmp(text, "!end") == 0) {
		warder_reply(reply, "bye", 3);
		return 1;
	} else if (strcmp(text, "!who") == 0) {
		snprintf(text, sizeof(text), "%llu %u", (unsigned long long)client->number,
			(unsigned)client->uid);
		return warder_reply(reply, text, strlen(text));
	}
	return warder_reply(reply, frame, size);
}

struct server {
	pid_t pid;
	int channel;
	uint64_t number;
	int fds, base; /* open here before; open there when idle */
};

static void start_with(struct server *s, const struct warder_serve *api, void (*before)(void))
{
	int theirs;

	memset(s, 0, sizeof(*s));
	s->fds = count_fds();
	assert_int_equal(chan_pair(&s->channel, &theirs), 0);
	s->pid = fork();
	if (s->pid == 0) {
		close(s->channel);
		if (before)
			before();
		_exit(warder_serve_fd(api, &theirs) == 0 ? 0 : 1);
	}
	close(theirs);
}

static const struct warder_serve plain = {.handle = echo};

static void start(struct server *s)
{
	start_with(s, &plain, NULL);
}

/* Hands in one end of a pair and returns the other, with a time limit for every read. */
static int client(struct server *s)
{
	uint8_t buf[64];
	struct enc e = enc_init(buf, sizeof(buf));
	const struct msg_client m = {.number = ++s->number, .uid = 1234, .gid = 5, .pid = 6};
	const struct timeval limit = {.tv_sec = 20};
	int pair[2];
	size_t size;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	msg_begin(&e, MSG_CLIENT, (uint32_t)s->number, 1);
	msg_put_client(&e, &m);
	assert_int_equal(msg_end(&e, &size), 0);
	assert_int_equal(chan_send(s->channel, buf, size, &pair[1], 1, true), 0);
	return pair[0];
}

static void expect_answer(int sock, const char *text, size_t size)
{
	char *data = NULL;
	size_t got = 0;
	int fd = -1;

	assert_int_equal(frame_recv(sock, FRAME_SIZE_MAX, &data, &got, &fd), 0);
	assert_int_equal(fd, -1);
	assert_int_equal(got, size);
	assert_memory_equal(data, text, size);
	free(data);
}

static void expect_echo(int sock, const char *text)
{
	assert_int_equal(frame_send(sock, text, strlen(text)), 0);
	expect_answer(sock, text, strlen(text));
}

/* End-of-file, or a reset where bytes of ours were left unread. */
static void expect_closed(int sock)
{
	char byte;
	ssize_t n = recv(sock, &byte, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static void stop(struct server *s)
{
	int status;

	fd_close(&s->channel);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_int_equal(status, 0);
	assert_int_equal(count_fds(), s->fds);
}

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

/* ---- hostile clients (ADVERSARY, chapter G) ---------------------------------------------------
 */

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
	enum { SLOTHS = 50 };
	int slow[SLOTHS], good;
	long long began;

	api.frame_ms = 400 * SLOW;
	start_with(&s, &api, NULL);
	good = client(&s);
	for (int i = 0; i < SLOTHS; i++) {
		slow[i] = client(&s);
		assert_int_equal(
			send(slow[i], i % 2 ? "\0\0" : "\0\0\0\x50z", i % 2 ? 2 : 5, MSG_NOSIGNAL),
			i % 2 ? 2 : 5);
	}
	began = now_ms();
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
	assert_true(now_ms() - began < 5000 * SLOW);
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

static ssize_t send_fds(int sock, const void *buf, size_t size, int n)
{
	int fds[16];
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

/* G6, A2 */
static void descriptors_of_clients_never_land(void **state)
{
	static const char frame[] = "\0\0\0\4abcd";
	struct server s;
	int c, before;

	start(&s);
	c = client(&s);
	expect_echo(c, "before");
	before = count_fds_of(s.pid);
	for (int i = 0; i < 200; i++) {
		ssize_t n = send_fds(c, frame, 8, 1 + i % 16);

		/* Linux 6.16 tells the client; before, the kernel drops them at recv(). */
		if (n < 0) {
			assert_int_equal(errno, EPERM);
			continue;
		}
		expect_answer(c, "abcd", 4);
	}
	assert_int_equal(count_fds_of(s.pid), before);
	expect_echo(c, "after");
	close(c);
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

/* ---- the channel of clients -------------------------------------------------------------------
 */

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
		cmocka_unit_test(a_channel_that_carries_something_else_ends_the_server),
		cmocka_unit_test(serve_takes_nothing_but_its_channel),
#ifndef WARDER_SANITIZE
		cmocka_unit_test(serves_under_lockdown),
#endif
	};

	return cmocka_run_group_tests_name("serve", tests, NULL, NULL);
}
