/* SPDX-License-Identifier: MIT */
/*
 * chan.c - tests of the channel: whatever a peer attaches, what is not expected is closed.
 *
 * RUN_ALONE: how many descriptors are in flight is counted for a user, not for a process.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/chan.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int here = -1, there = -1; /* we receive here; the peer sends there */
static size_t at_start;

static size_t count_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int setup(void **state)
{
	at_start = count_open_fds();
	return chan_pair(&here, &there);
}

static int teardown(void **state)
{
	fd_close(&here);
	fd_close(&there);
	return count_open_fds() == at_start ? 0 : -1;
}

/* One control message of `n` copies of standard input, as a hostile peer builds it. */
struct attached {
	int level, type;
	size_t n;
	int spoil; /* added to cmsg_len */
};

/* Sends one datagram with these control messages, past chan_send().  0 or -errno. */
static int send_raw(const char *text, const struct attached *parts, size_t n_parts)
{
	union {
		char buf[4096];
		struct cmsghdr align;
	} control = {.buf = {0}};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf};
	char *at = control.buf;

	for (size_t i = 0; i < n_parts; i++) {
		struct cmsghdr *c = (struct cmsghdr *)(void *)at;
		const int fd = 0;

		c->cmsg_level = parts[i].level;
		c->cmsg_type = parts[i].type;
		c->cmsg_len = CMSG_LEN(parts[i].n * sizeof(int)) + (size_t)parts[i].spoil;
		for (size_t k = 0; k < parts[i].n; k++)
			memcpy(CMSG_DATA(c) + k * sizeof(int), &fd, sizeof(int));
		at += CMSG_SPACE(parts[i].n * sizeof(int));
	}
	msg.msg_controllen = (size_t)(at - control.buf);
	return sendmsg(there, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static long receive(size_t n_max, size_t *ret_n)
{
	int fds[CHAN_FDS_MAX];
	char buf[64];
	long got = chan_recv(here, buf, sizeof(buf), fds, n_max, ret_n, false);

	if (got >= 0)
		fd_close_many(fds, *ret_n);
	return got;
}

/* After whatever came before, an honest message still comes through. */
static void assert_serves(void)
{
	size_t n = 0;

	assert_int_equal(send_raw("honest", NULL, 0), 0);
	assert_int_equal(receive(0, &n), 6);
	assert_int_equal(n, 0);
}

static void what_is_sent_arrives_close_on_exec(void **state)
{
	int out = dup(0), in[2] = {-1, -1};
	size_t n = 0;
	char buf[8];

	assert_int_equal(chan_send(there, "ab", 2, &out, 1, true), 0);
	assert_int_equal(out, -1);
	assert_int_equal(chan_recv(here, buf, sizeof(buf), in, 2, &n, true), 2);
	assert_int_equal(n, 1);
	assert_int_equal(fcntl(in[0], F_GETFD), FD_CLOEXEC);
	fd_close(&in[0]);
}

static void what_is_lent_stays(void **state)
{
	const int lent[] = {dup(0), dup(1)};
	int in[2] = {-1, -1}, r = 0;
	size_t n = 0;
	char buf[8];

	assert_int_equal(chan_lend(there, "ab", 2, lent, 2), 0);
	assert_int_equal(chan_recv(here, buf, sizeof(buf), in, 2, &n, true), 2);
	assert_int_equal(n, 2);
	fd_close_many(in, 2);
	/* Nor does it go with what cannot be sent. */
	for (int i = 0; r == 0 && i < 100000; i++)
		r = chan_lend(there, "ab", 2, NULL, 0);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(chan_lend(there, "ab", 2, lent, 2), -EAGAIN);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(close(lent[i]), 0);
}

static void refused_descriptors_fail_in_the_peer(void **state)
{
	const struct attached one = {SOL_SOCKET, SCM_RIGHTS, 1, 0};
	size_t n = 0;
	int r;

	chan_refuse_fds(here);
	r = send_raw("x", &one, 1);
	if (r == 0) /* before Linux 6.16: it arrives, and is closed */
		assert_int_equal(receive(0, &n), -EBADMSG);
	else
		assert_int_equal(r, -EPERM);
	assert_serves();
}

static void descriptors_nobody_asked_for_are_closed(void **state)
{
	for (size_t sent = 1; sent <= 253; sent += 84) {
		const struct attached many = {SOL_SOCKET, SCM_RIGHTS, sent, 0};
		size_t before = count_open_fds(), n = 0;

		assert_int_equal(send_raw("x", &many, 1), 0);
		assert_int_equal(receive(0, &n), -EBADMSG);
		assert_int_equal(count_open_fds(), before);
	}
	assert_serves();
}

/* CMSG_SPACE pads, so that more may land than were counted on. */
static void more_descriptors_than_expected_are_all_closed(void **state)
{
	for (size_t expected = 1; expected <= 4; expected++) {
		const struct attached more = {SOL_SOCKET, SCM_RIGHTS, expected + 3, 0};
		size_t before = count_open_fds(), n = 0;

		assert_int_equal(send_raw("x", &more, 1), 0);
		assert_int_equal(receive(expected, &n), -EBADMSG);
		assert_int_equal(count_open_fds(), before);
	}
	assert_serves();
}

/* The kernel joins what one message carries, or refuses it; either way nothing stays. */
static void several_control_messages_leave_nothing_behind(void **state)
{
	const struct attached parts[] = {
		{SOL_SOCKET, SCM_RIGHTS, 2, 0}, {SOL_SOCKET, SCM_RIGHTS, 2, 0}};
	size_t before = count_open_fds(), n = 0;

	if (send_raw("x", parts, 2) == 0)
		assert_int_equal(receive(1, &n), -EBADMSG);
	assert_int_equal(count_open_fds(), before);
	assert_serves();
}

static void forged_control_messages_leave_nothing_behind(void **state)
{
	static const struct attached forged[] = {
		{SOL_SOCKET, SCM_RIGHTS, 1, -1},
		{SOL_SOCKET, SCM_RIGHTS, 1, 1},
		{SOL_SOCKET, SCM_RIGHTS, 1, 4096},
		{SOL_SOCKET, SCM_CREDENTIALS, 3, 0},
		{SOL_SOCKET, 0x7f, 1, 0},
		{SOL_SOCKET, SCM_RIGHTS, 0, 0},
	};

	for (size_t i = 0; i < sizeof(forged) / sizeof(*forged); i++) {
		size_t before = count_open_fds(), n = 0;

		if (send_raw("x", &forged[i], 1) == 0) {
			long got = receive(0, &n);

			assert_true(got == -EBADMSG || got == 1);
			assert_int_equal(n, 0);
		}
		assert_int_equal(count_open_fds(), before);
	}
	assert_serves();
}

/* Credentials were not asked for, and their sender pays for them. */
static void unasked_credentials_end_the_session(void **state)
{
	const int on = 1;
	size_t n = 0;

	assert_int_equal(setsockopt(here, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	assert_int_equal(send_raw("x", NULL, 0), 0);
	assert_int_equal(receive(1, &n), -EBADMSG);
}

static void a_message_too_long_is_refused_with_its_descriptors(void **state)
{
	char text[100];
	const struct attached one = {SOL_SOCKET, SCM_RIGHTS, 1, 0};
	size_t before = count_open_fds(), n = 0;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(send_raw(text, &one, 1), 0);
	assert_int_equal(receive(1, &n), -EBADMSG);
	assert_int_equal(count_open_fds(), before);
	assert_serves();
}

static int fill_table(int *fds, size_t max)
{
	size_t n = 0;

	while (n < max && (fds[n] = dup(0)) >= 0)
		n++;
	return (int)n;
}

/* recvmsg(2) then gives the bytes with MSG_CTRUNC and no descriptor, or fails: in no case is a
 * number used that is not a descriptor, and the message is spent. */
static void a_full_table_is_noticed(void **state)
{
	const struct attached one = {SOL_SOCKET, SCM_RIGHTS, 1, 0};
	struct rlimit old, small;
	int fds[64], filled;
	long got;
	size_t n = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	small = (struct rlimit){.rlim_cur = 40, .rlim_max = old.rlim_max};
	assert_int_equal(send_raw("x", &one, 1), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	filled = fill_table(fds, 64);
	got = receive(1, &n);
	fd_close_many(fds, (size_t)filled);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_true(got == -EBADMSG || got == -EMFILE);
	assert_serves();
}

static void a_flood_of_descriptors_leaves_room_for_an_honest_message(void **state)
{
	const struct attached many = {SOL_SOCKET, SCM_RIGHTS, 64, 0};
	size_t before = count_open_fds();

	for (int i = 0; i < 200; i++) {
		size_t n = 0;

		assert_int_equal(send_raw("x", &many, 1), 0);
		assert_int_equal(receive(1, &n), -EBADMSG);
	}
	assert_int_equal(count_open_fds(), before);
	assert_serves();
}

/* Descriptors in flight are the peer's to receive; when its end is closed they are gone. */
static void unread_descriptors_end_with_the_socket(void **state)
{
	int pipe_fds[2], r;
	char c;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(chan_send(there, "x", 1, &pipe_fds[1], 1, false), 0);
	fd_close(&here);
	fd_close(&there);
	r = (int)read(pipe_fds[0], &c, 1); /* end-of-file: no writer is left */
	close(pipe_fds[0]);
	assert_int_equal(r, 0);
}

static void a_peer_that_does_not_read_is_an_error_not_a_wait(void **state)
{
	int r, sent = 0;

	do {
		int fd = dup(0);

		r = chan_send(there, "x", 1, &fd, 1, false);
		assert_int_equal(fd, -1);
	} while (r == 0 && ++sent < 1000000);
	assert_true(r == -EAGAIN || r == -ETOOMANYREFS);
	assert_true(sent > 0);
}

static void a_peer_that_is_gone_is_an_error_not_a_signal(void **state)
{
	int fd = dup(0), r;

	fd_close(&here);
	r = chan_send(there, "x", 1, &fd, 1, true);
	assert_true(r == -EPIPE || r == -ECONNRESET);
	assert_int_equal(fd, -1);
}

/* The control: close(2) alone resets who was not read. */
static void whoever_is_left_meets_end_of_file(void **state)
{
	for (int polite = 0; polite < 2; polite++) {
		int ends[2], held;
		char byte;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		held = dup(0);
		assert_int_equal(chan_send_stream(ends[0], "unread", 6, held, false), 6);
		close(held);
		if (polite)
			chan_hang_up(&ends[1]);
		else
			fd_close(&ends[1]);
		assert_int_equal(ends[1], -1);
		assert_int_equal(recv(ends[0], &byte, 1, 0), polite ? 0 : -1);
		assert_true(polite || errno == ECONNRESET);
		assert_int_equal(send(ends[0], "x", 1, MSG_NOSIGNAL), -1);
		close(ends[0]);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_is_sent_arrives_close_on_exec),
		T(what_is_lent_stays),
		T(refused_descriptors_fail_in_the_peer),
		T(descriptors_nobody_asked_for_are_closed),
		T(more_descriptors_than_expected_are_all_closed),
		T(several_control_messages_leave_nothing_behind),
		T(forged_control_messages_leave_nothing_behind),
		T(unasked_credentials_end_the_session),
		T(a_message_too_long_is_refused_with_its_descriptors),
		T(a_full_table_is_noticed),
		T(a_flood_of_descriptors_leaves_room_for_an_honest_message),
		T(unread_descriptors_end_with_the_socket),
		T(a_peer_that_does_not_read_is_an_error_not_a_wait),
		T(a_peer_that_is_gone_is_an_error_not_a_signal),
		T(whoever_is_left_meets_end_of_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
