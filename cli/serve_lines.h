/* SPDX-License-Identifier: MIT */
/*
 * serve_lines.h - what workers print comes out line by line, with the slot's number.
 */
#ifndef WARDER_SERVE_LINES_H
#define WARDER_SERVE_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_MAX_BYTES 960 /* four times that, and the prefix, is below PIPE_BUF */

/* One pipe from a worker. */
struct lines {
	int from_fd; /* non-blocking; -1 once at its end */
	int to_fd;   /* standard output or error of the supervisor; borrowed */
	unsigned slot;
	size_t n;
	char buf[LINE_MAX_BYTES];
};

/* Passes lines on while there are some and the reader takes them.  False: the reader is slow; call
 * again when `to_fd` can be written. */
bool lines_pass(struct lines *l);
/* At the worker's end: what is left, also without a newline, as far as the reader takes it; closes
 * the pipe. */
void lines_end(struct lines *l);

#endif
