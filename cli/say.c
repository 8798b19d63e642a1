/* SPDX-License-Identifier: MIT */
/*
 * say.c - sentences to people, on standard error.
 *
 * Runs in: command line, broker after its end.  Trusts: its caller; not the bytes it escapes.
 *
 * Nothing here allocates or uses stdio's buffers: a broker in its cage says its last words too, and
 * one write(2) a sentence keeps two processes from mixing theirs.
 */
#include "cli/say.h"
#include "common/fd.h"
#include "common/plain.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Text with \xNN for what is not plain, and for the byte `also`; "..." where it is cut.  Returns
 * its size. */
static size_t put_plain(char *buf, size_t size, const char *text, size_t n, char also)
{
	size_t at = 0;

	while (n > 0) {
		size_t len = *text == also ? 0 : plain_size(text, n);

		if (at + (len ? len : 4) + 4 > size) /* room for "..." and NUL stays */
			return at + (size_t)snprintf(buf + at, size - at, "...");
		if (len) {
			memcpy(buf + at, text, len);
			at += len;
		} else {
			at += (size_t)snprintf(
				buf + at, size - at, "\\x%02x", (unsigned char)*text);
			len = 1;
		}
		text += len;
		n -= len;
	}
	buf[at] = '\0';
	return at;
}

void say(const char *fmt, ...)
{
	char text[2048], line[2048] = "warder: ";
	size_t at = strlen(line);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	/* A backslash stays: it may be of what was escaped before. */
	at += put_plain(line + at, sizeof(line) - at - 1, text, strlen(text), '\0');
	line[at++] = '\n';
	fd_write_all(STDERR_FILENO, line, at);
}

int say_written(int status, int otherwise)
{
	static bool said;
	int r = fflush(stdout) != 0 ? -errno : 0;

	if (said || (r == 0 && !ferror(stdout)))
		return status;
	said = true;
	errno = -r;
	say(r < 0 ? "cannot write to standard output: %m" : "cannot write to standard output");
	return otherwise;
}

bool say_colour(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (!no || !*no) && (!term || strcmp(term, "dumb") != 0) && isatty(fd);
}

char *say_escape(char *buf, size_t size, const char *text, size_t n)
{
	put_plain(buf, size, text, n, '\\');
	return buf;
}
