/* SPDX-License-Identifier: MIT */
/*
 * failure.h - a negative errno with the sentence that a person needs.
 *
 * A start has forty ways to fail in four processes.  Whoever meets the failure writes the sentence
 * (what was attempted, on what, why, what to do), the errno goes up unchanged, and the one who
 * gives up prints it.
 */
#ifndef WARDER_FAILURE_H
#define WARDER_FAILURE_H

#include <stddef.h>

struct failure {
	int error;      /* -errno; 0: nothing failed */
	char text[480]; /* sentences, no newline at the end; of a longer one both ends */
};

#define FAILURE_INIT \
	{ \
		0, "" \
	}

/* Notes the failure r (a negative errno) unless one was noted before, and returns r.  The text of
 * the errno is not added: write "%m" with errno set, or name the cause.  Of -EMFILE what stands
 * after the first ";" gives way to what helps against it. */
int fail(struct failure *f, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
