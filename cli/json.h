/* SPDX-License-Identifier: MIT */
/*
 * json.h - the commands that read JSON: their own program, so that no JSON parser is in warder.
 */
#ifndef WARDER_CLI_JSON_H
#define WARDER_CLI_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
	EXIT_YES = 0,
	EXIT_NO = 1,         /* refused; damaged */
	EXIT_CANNOT_TELL = 2 /* not reached; not read; wrong usage */
};

int json_call(int argc, char **argv);
int json_ledger(int argc, char **argv);

/*
 * A field of a ledger's record as bytes that do no harm on a terminal.  A field whose "_bytes" is
 * true holds a byte in each character.  Returns buf, "" where the record has no such field.
 */
char *json_show(const json_t *record, const char *field, char *buf, size_t size);

/* Counts by rule, and latencies, for the table's end. */
struct tally_row {
	char *rule;
	uint64_t granted, denied, failed;
	uint64_t *us; /* of grants */
	size_t n_us, us_capacity;
};
struct tally_table {
	struct tally_row *rows;
	size_t n_rows, capacity;
	struct tally_row all;
	/* The grants of this session that were counted, by number, for those that came to nothing.
	 */
	struct tally_grant {
		uint64_t seq;
		size_t row;
		bool counted;
	} * grants;
	size_t n_grants, grants_capacity;
	char first[40], last[40]; /* times */
};

/* Counts a record.  0 or -ENOMEM. */
int tally_add(struct tally_table *t, const json_t *record);
void tally_print(struct tally_table *t, FILE *out);
void tally_print_json(struct tally_table *t, FILE *out);
void tally_deinit(struct tally_table *t);

#endif
