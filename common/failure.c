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

int fail(struct failure *f, int r, const char *fmt, ...)
{
	va_list ap;

	if (f->error != 0)
		return r;
	f->error = r;
	errno = -r; /* for %m */
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return r;
}
