/* SPDX-License-Identifier: MIT */
/*
 * serve_lines.c - what workers print comes out line by line, with the slot's number.
 *
 * Runs in: supervisor.  Trusts: nothing that a worker prints: control characters are escaped, since
 * the reader may be a terminal, and a worker that prints without end, or a reader that does not
 * read, stops that worker's output and nothing else.
 */
#include "cli/serve_lines.h"
#include "cli/say.h"
#include "common/fd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pipe that poll(2) reports writable takes PIPE_BUF bytes without waiting (pipe(7)). */
static bool takes_a_line(int fd)
{
	struct pollfd p = {fd, POLLOUT};

	return poll(&p, 1, 0) > 0;
}

static void put_line(const struct lines *l, const char *text, size_t size)
{
	char line[32 + 4 * LINE_MAX_BYTES + 8];
	size_t at = (size_t)snprintf(line, sizeof(line), "[%u] ", l->slot);
	char *tab;

	say_escape(line + at, sizeof(line) - at - 1, text, size);
	/* A tab does no harm. */
	while ((tab = strstr(line + at, "\\x09"))) {
		*tab = '\t';
		memmove(tab + 1, tab + 4, strlen(tab + 4) + 1);
	}
	strcat(line, "\n");
	/* A reader that has gone must not end the service: the line is lost. */
	fd_write_all(l->to_fd, line, strlen(line));
}

/* Puts out what is whole.  False: the reader is slow. */
static bool put_whole(struct lines *l)
{
	char *end;

	while ((end = memchr(l->buf, '\n', l->n)) || l->n == sizeof(l->buf)) {
		size_t size = end ? (size_t)(end - l->buf) : l->n;
		size_t taken = end ? size + 1 : size;

		if (!takes_a_line(l->to_fd))
			return false;
		put_line(l, l->buf, size);
		memmove(l->buf, l->buf + taken, l->n - taken);
		l->n -= taken;
	}
	return true;
}

bool lines_pass(struct lines *l)
{
	while (l->from_fd >= 0) {
		ssize_t n;

		if (!put_whole(l))
			return false;
		n = read(l->from_fd, l->buf + l->n, sizeof(l->buf) - l->n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			fd_close(&l->from_fd);
			break;
		}
		l->n += (size_t)n;
		/* One buffer a turn: other slots and clients wait. */
		return put_whole(l);
	}
	return true;
}

void lines_end(struct lines *l)
{
	/* A pipe holds 64 KiB. */
	for (int i = 0; i < 128 && l->from_fd >= 0 && lines_pass(l); i++)
		;
	if (l->n > 0 && takes_a_line(l->to_fd))
		put_line(l, l->buf, l->n);
	l->n = 0;
	fd_close(&l->from_fd);
}
