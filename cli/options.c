/* SPDX-License-Identifier: MIT */
/*
 * options.c - a command's options, one table each.
 *
 * Runs in: command line.  Trusts: the user who calls.
 *
 * getopt_long(3) is not used: it accepts abbreviations, which a later option makes ambiguous in
 * somebody's script, permutes what belongs to COMMAND, and has no nearest word.
 */
#include "cli/options.h"
#include "cli/say.h"
#include "common/nearest.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 64

void options_init(struct options *o, const char *usage, const struct option_row *rows,
	size_t n_rows, int argc, char **argv)
{
	*o = (struct options){.usage = usage,
		.rows = rows,
		.n_rows = n_rows,
		.argc = argc,
		.argv = argv,
		.at = 1};
}

void options_wrong(const struct options *o, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	say("%s", text);
	say("usage: %s", o->usage);
}

static int unknown(const struct options *o, const char *name)
{
	const char *words[ROWS_MAX + 1], *nearest;
	char shown[128];
	size_t n = 0;

	for (size_t i = 0; i < o->n_rows && n < ROWS_MAX; i++)
		if (o->rows[i].name)
			words[n++] = o->rows[i].name;
	words[n] = NULL;
	nearest = nearest_word(name, strlen(name), words);
	say_escape(shown, sizeof(shown), name, strlen(name));
	if (nearest)
		options_wrong(o, "unknown option --%s; did you mean --%s?", shown, nearest);
	else
		options_wrong(o, "unknown option --%s", shown);
	return OPTIONS_BAD;
}

/* The value of row i, which stands after "=" or in the next argument. */
static int take_value(
	struct options *o, size_t i, const char *name, const char *inside, const char **ret_value)
{
	if (inside) {
		*ret_value = inside;
		return (int)i;
	}
	if (o->at >= o->argc) {
		options_wrong(o, "%s needs a value: %s %s", name, name, o->rows[i].value);
		return OPTIONS_BAD;
	}
	*ret_value = o->argv[o->at++];
	return (int)i;
}

static int next_long(struct options *o, const char *arg, const char **ret_value)
{
	const char *equals = strchr(arg, '=');
	size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
	char name[80];

	snprintf(name, sizeof(name), "--%.*s", (int)n, arg);
	for (size_t i = 0; i < o->n_rows; i++) {
		const struct option_row *row = &o->rows[i];

		if (!row->name || strlen(row->name) != n || memcmp(row->name, arg, n) != 0)
			continue;
		if (row->value)
			return take_value(o, i, name, equals ? equals + 1 : NULL, ret_value);
		if (equals) {
			options_wrong(o, "%s takes no value", name);
			return OPTIONS_BAD;
		}
		return (int)i;
	}
	return unknown(o, name + 2);
}

static int next_letter(struct options *o, const char **ret_value)
{
	char letter = *o->cluster++;
	char name[3] = {'-', letter, '\0'};
	char shown[16];
	const char *rest = *o->cluster ? o->cluster : NULL;

	for (size_t i = 0; i < o->n_rows; i++) {
		if (o->rows[i].letter != letter)
			continue;
		if (!o->rows[i].value) {
			o->cluster = rest;
			return (int)i;
		}
		o->cluster = NULL;
		return take_value(o, i, name, rest, ret_value);
	}
	for (size_t i = 0; i < o->n_rows; i++) {
		if (o->rows[i].name && strcmp(o->rows[i].name, o->cluster - 1) == 0) {
			options_wrong(o, "unknown option -%s; did you mean --%s?", o->rows[i].name,
				o->rows[i].name);
			return OPTIONS_BAD;
		}
	}
	options_wrong(o, "unknown option -%s", say_escape(shown, sizeof(shown), &letter, 1));
	return OPTIONS_BAD;
}

int options_next(struct options *o, const char **ret_value)
{
	const char *arg;

	*ret_value = NULL;
	if (o->cluster)
		return next_letter(o, ret_value);
	if (o->at >= o->argc || o->over)
		return OPTIONS_END;
	arg = o->argv[o->at];
	if (arg[0] != '-' || arg[1] == '\0')
		return OPTIONS_END;
	o->at++;
	if (strcmp(arg, "--") == 0) {
		o->over = true;
		return OPTIONS_END;
	}
	if (arg[1] == '-')
		return next_long(o, arg + 2, ret_value);
	o->cluster = arg + 1;
	return next_letter(o, ret_value);
}

const char *options_operand(struct options *o)
{
	return o->at < o->argc ? o->argv[o->at++] : NULL;
}

/* "-p, --policy FILE" */
static void row_head(const struct option_row *row, char *buf, size_t size)
{
	int n = row->letter ? snprintf(buf, size, "-%c%s", row->letter, row->name ? ", " : "")
			    : snprintf(buf, size, "    ");

	if (row->name)
		n += snprintf(buf + n, size - (size_t)n, "--%s", row->name);
	if (row->value)
		snprintf(buf + n, size - (size_t)n, " %s", row->value);
}

void options_help(const struct options *o, const char *what, const char *more)
{
	printf("usage: %s\n\n%s\n\n", o->usage, what);
	for (size_t i = 0; i < o->n_rows; i++) {
		char head[80];

		row_head(&o->rows[i], head, sizeof(head));
		if (strlen(head) > 24)
			printf("  %s\n  %-24s  %s\n", head, "", o->rows[i].help);
		else
			printf("  %-24s  %s\n", head, o->rows[i].help);
	}
	if (more)
		printf("\n%s\n", more);
}

int option_number(const char *text, unsigned long max, unsigned long *ret)
{
	unsigned long n;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || n > max)
		return -EINVAL;
	*ret = n;
	return 0;
}
