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

/* A field's number; `otherwise` where there is none. */
static uint64_t number(const json_t *record, const char *field, uint64_t otherwise)
{
	const json_t *n = json_object_get(record, field);

	return json_is_integer(n) && json_integer_value(n) >= 0 ? (uint64_t)json_integer_value(n)
								: otherwise;
}

/* The line of a file that is about to be made: what is granted is its descriptor, on a line of its
 * own. */
static bool announces(const json_t *record)
{
	const char *op = json_string_value(json_object_get(record, "op"));
	const char *flags = json_string_value(json_object_get(record, "flags"));

	return op && strcmp(op, "open") == 0 && flags && strstr(flags, "O_CREAT") &&
	       !json_is_true(json_object_get(record, "fd"));
}

/* Numbers grow, or nothing is kept of them: a damaged ledger is told elsewhere. */
static int keep_grant(struct tally_table *t, uint64_t seq, size_t row, bool counted)
{
	struct tally_grant *grown;

	if (t->n_grants > 0 && seq <= t->grants[t->n_grants - 1].seq)
		return 0;
	if (t->n_grants == t->grants_capacity) {
		t->grants_capacity = t->grants_capacity ? 2 * t->grants_capacity : 256;
		grown = reallocarray(t->grants, t->grants_capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		t->grants = grown;
	}
	t->grants[t->n_grants++] = (struct tally_grant){seq, row, counted};
	return 0;
}

static int compare_grants(const void *a, const void *b)
{
	const struct tally_grant *x = a, *y = b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static struct tally_grant *find_grant(const struct tally_table *t, uint64_t seq)
{
	const struct tally_grant key = {.seq = seq};

	return t->n_grants ? bsearch(&key, t->grants, t->n_grants, sizeof(key), compare_grants)
			   : NULL;
}

static int add_grant(struct tally_table *t, struct tally_row *row, const json_t *record)
{
	bool counts = !announces(record);
	uint64_t us = number(record, "us", UINT64_MAX);
	int r = keep_grant(t, number(record, "seq", 0), (size_t)(row - t->rows), counts);

	if (r < 0 || !counts)
		return r;
	row->granted++;
	t->all.granted++;
	if (us == UINT64_MAX)
		return 0;
	r = add_us(row, us);
	return r < 0 ? r : add_us(&t->all, us);
}

/* What came to nothing; a grant that it names is one no more. */
static void add_failure(struct tally_table *t, struct tally_row *row, const json_t *record)
{
	struct tally_grant *grant = find_grant(t, number(record, "of", UINT64_MAX));

	if (grant) {
		row = &t->rows[grant->row];
		if (grant->counted) {
			row->granted--;
			t->all.granted--;
		}
		grant->counted = false;
	}
	row->failed++;
	t->all.failed++;
}

static void add_denial(struct tally_table *t, struct tally_row *row, const json_t *record)
{
	uint64_t n = number(record, "count", 1);

	row->denied += n;
	t->all.denied += n;
}

/* The row of what a record rests on: a failure's is that of the grant that it names. */
static struct tally_row *row_of(struct tally_table *t, const json_t *record)
{
	const struct tally_grant *grant = find_grant(t, number(record, "of", UINT64_MAX));
	char rule[512];

	if (grant)
		return &t->rows[grant->row];
	json_show(record, "rule", rule, sizeof(rule));
	return find_row(t, *rule ? rule : no_rule);
}

int tally_add(struct tally_table *t, const json_t *record)
{
	const char *event = json_string_value(json_object_get(record, "event"));
	struct tally_row *row;

	json_show(record, "time", t->last, sizeof(t->last));
	if (!*t->first)
		memcpy(t->first, t->last, sizeof(t->first));
	if (event && strcmp(event, "session") == 0)
		t->n_grants = 0;
	if (!event || (strcmp(event, "grant") != 0 && strcmp(event, "deny") != 0 &&
			      strcmp(event, "fail") != 0))
		return 0;
	row = row_of(t, record);
	if (!row)
		return -ENOMEM;
	if (strcmp(event, "grant") == 0)
		return add_grant(t, row, record);
	if (strcmp(event, "deny") == 0)
		add_denial(t, row, record);
	else
		add_failure(t, row, record);
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
	free(t->grants);
	free(t->all.us);
}
