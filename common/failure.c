/* SPDX-License-Identifier: MIT */
/*
 * failure.c - a negative errno with the sentence that a person needs.
 *
 * Runs in: broker, cell before exec, command line.  Trusts: its caller.
 */
#include "common/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A full table has one remedy, whatever the step that met it advises otherwise. */
static void name_full_table(char *text, size_t size)
{
	const char *why = strerror(EMFILE);
	char cause[256];

	snprintf(cause, sizeof(cause), "%.*s", (int)strcspn(text, ";"), text);
	snprintf(text, size, "%s%s%s; raise `ulimit -n`, to 64 at least", cause,
		strstr(cause, why) ? "" : ": ", strstr(cause, why) ? "" : why);
}

/* A sentence that has no room loses its middle: a path is long, and what to do stands last. */
static void put_whole(struct failure *f, const char *whole)
{
	const int half = sizeof(f->text) / 2 - sizeof("...");
	size_t n = strlen(whole);

	if (n < sizeof(f->text))
		memcpy(f->text, whole, n + 1);
	else
		snprintf(f->text, sizeof(f->text), "%.*s...%s", half, whole, whole + n - half);
}

int fail(struct failure *f, int r, const char *fmt, ...)
{
	char whole[16384];
	va_list ap;

	if (f->error != 0)
		return r;
	f->error = r;
	errno = -r; /* for %m */
	va_start(ap, fmt);
	vsnprintf(whole, sizeof(whole), fmt, ap);
	va_end(ap);
	put_whole(f, whole);
	if (r == -EMFILE)
		name_full_table(f->text, sizeof(f->text));
	return r;
}
