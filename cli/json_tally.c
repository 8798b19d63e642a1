/* SPDX-License-Identifier: MIT */
/*
 * json_tally.c - a ledger counted: what each rule gave, and how fast.
 *
 * Runs in: command line.  Trusts: nothing in the file.
 */
#include "cli/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What no rule decided still wants a row. */
static const char no_rule[] = "(no rule)";

static struct tally_row *find_row(struct tally_table *t, const char *rule)
{
	struct tally_row *rows;

	for (size_t i = 0; i < t->n_rows; i++)
		if (strcmp(t->rows[i].rule, rule) == 0)
			return &t->rows[i];
	if (t->n_rows == t->capacity) {
		t->capacity = t->capacity ? 2 * t->capacity : 16;
		rows = reallocarray(t->rows, t->capacity, sizeof(*rows));
		if (!rows)
			return NULL;
		t->rows = rows;
	}
	t->rows[t->n_rows] = (struct tally_row){.rule = strdup(rule)};
	if (!t->rows[t->n_rows].rule)
		return NULL;
	return &t->rows[t->n_rows++];
}

static int add_us(struct tally_row *row, uint64_t us)
{
	if (row->n_us == row->us_capacity) {
		size_t capacity = row->us_capacity ? 2 * row->us_capacity : 256;
		uint64_t *all = reallocarray(row->us, capacity, sizeof(*all));

		if (!all)
			return -ENOMEM;
		row->us = all;
		row->us_capacity = capacity;
	}
	row->us[row->n_us++] = us;
	return 0;
}

static int count(struct tally_row *row, const char *event, const json_t *us)
{
	if (strcmp(event, "deny") == 0)
		row->denied++;
	else if (strcmp(event, "fail") == 0)
		row->failed++;
	else
		row->granted++;
	if (strcmp(event, "grant") != 0 || !json_is_integer(us) || json_integer_value(us) < 0)
		return 0;
	return add_us(row, (uint64_t)json_integer_value(us));
}

int tally_add(struct tally_table *t, const json_t *record)
{
	const char *event = json_string_value(json_object_get(record, "event"));
	const json_t *us = json_object_get(record, "us");
	char rule[512];
	struct tally_row *row;

	json_show(record, "time", t->last, sizeof(t->last));
	if (!*t->first)
		memcpy(t->first, t->last, sizeof(t->first));
	if (!event || (strcmp(event, "grant") != 0 && strcmp(event, "deny") != 0 &&
			      strcmp(event, "fail") != 0))
		return 0;
	json_show(record, "rule", rule, sizeof(rule));
	row = find_row(t, *rule ? rule : no_rule);
	if (!row || count(row, event, us) < 0 || count(&t->all, event, us) < 0)
		return -ENOMEM;
	return 0;
}

static int compare_us(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int compare_rows(const void *a, const void *b)
{
	const struct tally_row *x = a, *y = b;
	uint64_t nx = x->granted + x->denied + x->failed, ny = y->granted + y->denied + y->failed;

	return nx > ny ? -1 : nx < ny ? 1 : strcmp(x->rule, y->rule);
}

/* Of nothing there is no array, and qsort(3) takes none that is NULL. */
static void sort_us(struct tally_row *row)
{
	if (row->n_us > 0)
		qsort(row->us, row->n_us, sizeof(uint64_t), compare_us);
}

static void sort(struct tally_table *t)
{
	sort_us(&t->all);
	for (size_t i = 0; i < t->n_rows; i++)
		sort_us(&t->rows[i]);
	if (t->n_rows > 0)
		qsort(t->rows, t->n_rows, sizeof(*t->rows), compare_rows);
}

/* The latency that `percent` of the grants keep within; they are sorted. */
static uint64_t at_percent(const struct tally_row *row, unsigned percent)
{
	return row->n_us ? row->us[(row->n_us - 1) * percent / 100] : 0;
}

static void print_row(const char *name, int width, const struct tally_row *row, FILE *out)
{
	fprintf(out, "%-*s %9" PRIu64 " %9" PRIu64 " %9" PRIu64, width, name, row->granted,
		row->denied, row->failed);
	if (row->n_us)
		fprintf(out, " %9" PRIu64 " %9" PRIu64, at_percent(row, 50), at_percent(row, 99));
	fputc('\n', out);
}

void tally_print(struct tally_table *t, FILE *out)
{
	int width = 10;

	sort(t);
	for (size_t i = 0; i < t->n_rows; i++)
		if ((int)strlen(t->rows[i].rule) > width)
			width = (int)strlen(t->rows[i].rule);
	if (*t->first)
		fprintf(out, "from %s to %s\n", t->first, t->last);
	fprintf(out, "%-*s %9s %9s %9s %9s %9s\n", width, "rule", "granted", "denied", "failed",
		"us (50%)", "us (99%)");
	for (size_t i = 0; i < t->n_rows; i++)
		print_row(t->rows[i].rule, width, &t->rows[i], out);
	print_row("all", width, &t->all, out);
}

static json_t *row_json(const char *name, const struct tally_row *row)
{
	return json_pack("{s:s*, s:I, s:I, s:I, s:I, s:I}", "rule", name, "granted",
		(json_int_t)row->granted, "denied", (json_int_t)row->denied, "failed",
		(json_int_t)row->failed, "us_50", (json_int_t)at_percent(row, 50), "us_99",
		(json_int_t)at_percent(row, 99));
}

void tally_print_json(struct tally_table *t, FILE *out)
{
	sort(t);
	for (size_t i = 0; i <= t->n_rows; i++) {
		json_t *row = i < t->n_rows ? row_json(t->rows[i].rule, &t->rows[i])
					    : row_json(NULL, &t->all);

		json_dumpf(row, out, JSON_COMPACT | JSON_ENSURE_ASCII);
		fputc('\n', out);
		json_decref(row);
	}
}

void tally_deinit(struct tally_table *t)
{
	for (size_t i = 0; i < t->n_rows; i++) {
		free(t->rows[i].rule);
		free(t->rows[i].us);
	}
	free(t->rows);
	free(t->all.us);
}
