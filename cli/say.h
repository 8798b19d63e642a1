/* SPDX-License-Identifier: MIT */
/*
 * say.h - sentences to people, on standard error.
 */
#ifndef WARDER_SAY_H
#define WARDER_SAY_H

#include <stdbool.h>
#include <stddef.h>

/* Prints "warder: ", the sentence and a newline with one write(2).  What would do harm on a
 * terminal becomes \xNN, whoever it came from. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Writes out what stands in the buffer of standard output.  Returns `status`; where something could
 * not be written, says so once and returns `otherwise`. */
int say_written(int status, int otherwise);

/* Whether a descriptor is a terminal on which colours are welcome (NO_COLOR unset or empty, TERM
 * not "dumb"). */
bool say_colour(int fd);

/*
 * Writes the bytes of text[0..n) to buf so that they do no harm on a terminal: what is not
 * plain (common/plain.h) and the backslash become \xNN.  What does not fit is cut and
 * ends in "...".  Returns buf.
 */
char *say_escape(char *buf, size_t size, const char *text, size_t n);

#endif
