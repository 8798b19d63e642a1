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

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void say(const char *fmt, ...)
{
	char line[2048] = "warder: ";
	size_t at = strlen(line);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line + at, sizeof(line) - at - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	at += (size_t)n < sizeof(line) - at - 1 ? (size_t)n : sizeof(line) - at - 2;
	line[at++] = '\n';
	fd_write_all(STDERR_FILENO, line, at);
}

bool say_colour(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (!no || !*no) && (!term || strcmp(term, "dumb") != 0) && isatty(fd);
}

/* Length of the harmless character at p, 0 if it has to be escaped. */
static size_t harmless(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0x20 || p[0] == 0x7f || p[0] == '\\' || p[0] > 0xf4 || len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, above U+10FFFF; and U+0080 to U+009F, which terminals may
	 * take for control characters. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ||
		(p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	/* U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069: they end lines or turn the direction
	 * of what follows, and with it what a name seems to be. */
	if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f))
		return 0;
	if (p[0] == 0xe2 && ((p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
				    (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9)))
		return 0;
	return len;
}

char *say_escape(char *buf, size_t size, const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t at = 0;

	while (n > 0) {
		size_t len = harmless(p, n);

		if (at + (len ? len : 4) + 4 > size) { /* room for "..." and NUL stays */
			snprintf(buf + at, size - at, "...");
			return buf;
		}
		if (len) {
			memcpy(buf + at, p, len);
			at += len;
		} else {
			at += (size_t)snprintf(buf + at, size - at, "\\x%02x", p[0]);
			len = 1;
		}
		p += len;
		n -= len;
	}
	buf[at] = '\0';
	return buf;
}
