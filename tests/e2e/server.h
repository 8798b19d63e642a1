/* SPDX-License-Identifier: MIT */
/*
 * server.h - a `warder serve` for tests, and clients that speak to it byte by byte.
 */
#ifndef TESTS_E2E_SERVER_H
#define TESTS_E2E_SERVER_H

#include "common/fd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 60000

struct server {
	pid_t pid;
	int status_fd;
	char dir[256]; /* everything of the test's; the socket stands in dir/warder */
	char log[300]; /* its standard error */
};

static inline long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Starts it with `arguments` (NULL-terminated) after the options that all have, and waits until
 * clients can connect. */
static inline void server_start(struct server *s, const char *const *arguments)
{
	const char *argv[32], *build = getenv("BUILD");
	char warder[4096], line[512] = "";
	struct pollfd p;
	int status[2], n = 0;

	snprintf(s->dir, sizeof(s->dir), "%s/e2e.XXXXXX",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(s->dir));
	assert_int_equal(chmod(s->dir, 0711), 0);
	snprintf(s->log, sizeof(s->log), "%s/log", s->dir);
	setenv("XDG_RUNTIME_DIR", s->dir, 1);
	setenv("XDG_STATE_HOME", s->dir, 1);
	snprintf(warder, sizeof(warder), "%s/warder", build ? build : "build");
	argv[n++] = warder;
	argv[n++] = "serve";
	argv[n++] = "-n";
	argv[n++] = "t";
	argv[n++] = "--allow";
	argv[n++] = "read /usr/share/";
	argv[n++] = "--status-fd";
	argv[n++] = "9";
	while (*arguments)
		argv[n++] = *arguments++;
	argv[n] = NULL;
	assert_int_equal(pipe2(status, O_CLOEXEC), 0);
	s->pid = fork();
	if (s->pid == 0) {
		int log_fd = open(s->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

		dup2(status[1], 9);
		dup2(log_fd, 1);
		dup2(log_fd, 2);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(99);
	}
	close(status[1]);
	s->status_fd = status[0];
	p = (struct pollfd){status[0], POLLIN};
	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_true(read(status[0], line, sizeof(line) - 1) > 0);
	assert_non_null(strstr(line, "\"status\":\"ok\""));
}

/* Sends a signal and returns the exit status, -1 if it did not end in time. */
static inline int server_stop(struct server *s, int sig)
{
	long end = now_ms() + WAIT_MS;
	int status = -1;

	if (s->pid <= 0)
		return -1;
	kill(s->pid, sig);
	while (now_ms() < end) {
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			fd_close(&s->status_fd);
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		usleep(5000);
	}
	return -1;
}

/* Removes what is left, also after a test that failed. */
static inline void server_clean(struct server *s)
{
	char command[400];

	if (s->pid > 0)
		server_stop(s, SIGKILL);
	fd_close(&s->status_fd);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	assert_int_equal(system(command), 0);
}

static inline int dial(const struct server *s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/warder/t.sock", s->dir);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fd_close(&fd);
	return fd;
}

/* Asks for the state of /usr/share.  True: an answer came; false: end-of-file. */
static inline bool ask(int fd)
{
	static const char question[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stat\","
				       "\"params\":{\"path\":\"/usr/share\"}}";
	uint32_t size = htonl(sizeof(question) - 1);
	struct pollfd p = {fd, POLLIN};
	char answer[4096];
	ssize_t n;

	if (send(fd, &size, 4, MSG_NOSIGNAL) != 4 ||
		send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
		return false;
	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("a client waited for %d ms", WAIT_MS);
	n = recv(fd, answer, sizeof(answer), 0);
	return n > 4 && memmem(answer, (size_t)n, "\"result\"", 8) != NULL;
}

/* Whether the other end was closed, within the time. */
static inline bool hung_up(int fd, int wait_ms)
{
	struct pollfd p = {fd, POLLIN};
	char byte;

	return poll(&p, 1, wait_ms) == 1 && recv(fd, &byte, 1, 0) <= 0;
}

/* Counts a text in the server's log. */
static inline int log_count(const struct server *s, const char *text)
{
	static char log[1 << 16];
	autofd fd = open(s->log, O_RDONLY | O_CLOEXEC);
	long n = fd_read_all(fd, log, sizeof(log) - 1);
	int count = 0;

	log[n < 0 ? 0 : n] = '\0';
	for (const char *at = log; (at = strstr(at, text)); at++)
		count++;
	return count;
}

#endif
