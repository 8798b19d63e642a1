/* SPDX-License-Identifier: MIT */
/*
 * options.h - a command's options, one table each: what is parsed, what --help prints, and what the
 * man page must name.
 */
#ifndef WARDER_OPTIONS_H
#define WARDER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct option_row {
	const char *name;  /* without its dashes; NULL: only the letter exists */
	char letter;       /* 0: none */
	const char *value; /* what --help calls its value; NULL: a switch */
	const char *help;
};

struct options {
	const char *usage; /* "warder run [OPTION]... [--] COMMAND [ARG]..." */
	const struct option_row *rows;
	size_t n_rows;
	int argc;
	char **argv;
	int at;              /* next argument; after OPTIONS_END the first operand */
	bool over;           /* "--" was met: only operands follow */
	const char *cluster; /* rest of "-qv" */
};

enum { OPTIONS_END = -1, OPTIONS_BAD = -2 };

/* argv[0] is the command's name. */
void options_init(struct options *o, const char *usage, const struct option_row *rows,
	size_t n_rows, int argc, char **argv);

/*
 * The next option: its row's index, with *ret_value its value (NULL for a switch).
 * OPTIONS_END at the first operand or after "--".  OPTIONS_BAD where the sentence has been said:
 * an unknown option with the nearest one, a missing value, a value for a switch.
 */
int options_next(struct options *o, const char **ret_value);

/*
 * The next operand among options, for commands of which nothing belongs to another program: asked
 * for where options_next() returned OPTIONS_END, which then goes on.  NULL: there is none left.
 */
const char *options_operand(struct options *o);

/* The whole help of a command, to standard output: usage, the sentence on what it does, options,
 * and what else is worth saying (may be NULL). */
void options_help(const struct options *o, const char *what, const char *more);

/* Says what is wrong with the usage and where help is. */
void options_wrong(const struct options *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A decimal number of at most `max`, nothing else.  0 or -EINVAL. */
int option_number(const char *text, unsigned long max, unsigned long *ret);

#endif
