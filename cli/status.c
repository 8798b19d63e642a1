/* SPDX-License-Identifier: MIT */
/*
 * status.c - what --status-fd says, in JSON Lines.
 *
 * Runs in: broker, in its cage too: no memory is allocated, one write(2) a line.
 * Trusts: its caller.
 */
#include "cli/status.h"
#include "cli/options.h"
#include "cli/say.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

int status_open(const char *number, int *ret_fd, struct failure *f)
{
	unsigned long fd;
	int flags;

	if (option_number(number, INT_MAX, &fd) < 0)
		return fail(f, -EINVAL, "--status-fd %s: that is no descriptor's number", number);
	flags = fcntl((int)fd, F_GETFL);
	if (flags < 0)
		return fail(f, -errno, "--status-fd %s: the descriptor is not open", number);
	if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH))
		return fail(f, -EBADF, "--status-fd %s: the descriptor is not open for writing",
			number);
	if (fd > 2)
		fd_cloexec((int)fd, true);
	*ret_fd = (int)fd;
	return 0;
}

/* A pipe without a reader must not kill who reports to it: SIGPIPE is blocked meanwhile, and taken
 * back where it came.  What else keeps a line from being written is said, once. */
static void put_line(int fd, const char *line, size_t size)
{
	static bool said;
	const struct timespec now = {0, 0};
	sigset_t pipe_only, before;
	int r;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_only, &before);
	r = fd_write_all(fd, line, size);
	if (r == -EPIPE && !sigismember(&before, SIGPIPE))
		sigtimedwait(&pipe_only, NULL, &now);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (r < 0 && r != -EPIPE && !said) {
		said = true;
		errno = -r;
		say("cannot write to the descriptor of --status-fd: %m");
	}
}

void status_started(int fd, pid_t pid)
{
	char line[96];
	int n;

	if (fd < 0)
		return;
	n = snprintf(
		line, sizeof(line), "{\"event\":\"start\",\"status\":\"ok\",\"pid\":%d}\n", pid);
	put_line(fd, line, (size_t)n);
}

/* The inside of a JSON string.  Sentences are ASCII but for the names in them; a byte above is
 * escaped as the character of that number, so that every line parses. */
static size_t put_string(char *buf, size_t size, const char *text)
{
	size_t at = 0;

	for (; *text && at + 7 < size; text++) {
		uint8_t c = (uint8_t)*text;

		if (c == '"' || c == '\\')
			at += (size_t)snprintf(buf + at, size - at, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			at += (size_t)snprintf(buf + at, size - at, "\\u%04x", c);
		else
			buf[at++] = (char)c;
	}
	buf[at] = '\0';
	return at;
}

void status_failed(int fd, int code, const char *error, const char *more)
{
	char whole[1024], text[1400], line[1500];
	int n;

	if (fd < 0)
		return;
	snprintf(whole, sizeof(whole), "%s%s%s", error, *more ? ": " : "", more);
	put_string(text, sizeof(text), whole);
	n = snprintf(line, sizeof(line),
		"{\"event\":\"start\",\"status\":\"failed\",\"error\":\"%s\",\"code\":%d}\n", text,
		code);
	put_line(fd, line, (size_t)n);
}

void status_ended(int fd, const struct broker_result *result)
{
	char line[256];
	int n;

	if (fd < 0)
		return;
	n = snprintf(line, sizeof(line),
		"{\"event\":\"end\",\"status\":%d,\"granted\":%llu,\"denied\":%llu,\"limited\":%"
		"llu,"
		"\"closed\":%llu,\"timed_out\":%s,\"cpu_ended\":%s,\"oom_killed\":%llu}\n",
		result->status, (unsigned long long)result->granted,
		(unsigned long long)result->denied, (unsigned long long)result->limited,
		(unsigned long long)result->closed, result->timed_out ? "true" : "false",
		result->cpu_ended ? "true" : "false", (unsigned long long)result->oom_killed);
	put_line(fd, line, (size_t)n);
}

void status_served(int fd, int status)
{
	char line[64];
	int n;

	if (fd < 0)
		return;
	n = snprintf(line, sizeof(line), "{\"event\":\"end\",\"status\":%d}\n", status);
	put_line(fd, line, (size_t)n);
}
