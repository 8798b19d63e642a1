/* SPDX-License-Identifier: MIT */
/*
 * serve_world.h - a server of warder_serve(), and its clients.
 *
 * The server is a forked child with a real clients channel; the test plays supervisor and clients.
 */
#ifndef WARDER_TEST_SERVE_WORLD_H
#define WARDER_TEST_SERVE_WORLD_H

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

static inline long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- the server ------------------------------------------------------------------------------ */

/* Echoes; "!fd" adds a descriptor of /dev/null, "!big N" answers N bytes, "!none" says nothing,
 * "!end" ends the connection, "!who" tells the client's number and uid. */
static inline int echo(void *ctx, const struct warder_client *client, const void *frame,
	size_t size, struct warder_reply *reply)
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

static inline void start_with(
	struct server *s, const struct warder_serve *api, void (*before)(void))
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

static inline void start(struct server *s)
{
	start_with(s, &plain, NULL);
}

/* Hands in one end of a pair and returns the other, with a time limit for every read.  `ret_copy`
 * gets a copy of what was handed in, unless it is NULL. */
static inline int client_and_copy(struct server *s, int *ret_copy)
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
	if (ret_copy)
		*ret_copy = fcntl(pair[1], F_DUPFD_CLOEXEC, 3);
	assert_int_equal(chan_send(s->channel, buf, size, &pair[1], 1, true), 0);
	return pair[0];
}

static inline int client(struct server *s)
{
	return client_and_copy(s, NULL);
}

static inline void expect_answer(int sock, const char *text, size_t size)
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

static inline void expect_echo(int sock, const char *text)
{
	assert_int_equal(frame_send(sock, text, strlen(text)), 0);
	expect_answer(sock, text, strlen(text));
}

/* End-of-file, or a reset where bytes of ours were left unread. */
static inline void expect_closed(int sock)
{
	char byte;
	ssize_t n = recv(sock, &byte, 1, 0);

	assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

static inline void stop(struct server *s)
{
	int status;

	fd_close(&s->channel);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_int_equal(status, 0);
	assert_int_equal(count_fds(), s->fds);
}

#endif
