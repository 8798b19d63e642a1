/* SPDX-License-Identifier: MIT */
/*
 * make.c - writes the filters' programs as C, for the build.
 *
 * Runs in: the build, on the machine it builds for.  Trusts: the tables.
 */
#include "sandbox/tables/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every kind of cell there can be: filter_cell() yields no other. */
static const struct {
	enum filter_table id;
	const char *name;
	const struct table *table;
	unsigned cell;
} programs[] = {
#define WORKER(bits) \
	{FILTER_WORKER, "FILTER_WORKER", &table_worker, bits}, \
	{ \
		FILTER_WORKER, "FILTER_WORKER", &table_worker, (bits) | CELL_DATAGRAMS \
	}
	WORKER(CELL_HAS_VIEW | CELL_NO_APPENDS | CELL_MAY_TRUNCATE),
	WORKER(CELL_HAS_VIEW | CELL_APPENDS | CELL_MAY_TRUNCATE),
	WORKER(CELL_HAS_VIEW | CELL_APPENDS | CELL_NO_TRUNCATE),
	WORKER(CELL_IS_HOST | CELL_NO_APPENDS | CELL_MAY_TRUNCATE),
	WORKER(CELL_IS_HOST | CELL_APPENDS | CELL_MAY_TRUNCATE),
	WORKER(CELL_IS_HOST | CELL_APPENDS | CELL_NO_TRUNCATE),
	{FILTER_BROKER, "FILTER_BROKER", &table_broker, 0},
	{FILTER_BROKER, "FILTER_BROKER", &table_broker, CELL_SYNC},
	{FILTER_INIT, "FILTER_INIT", &table_init, 0},
	{FILTER_RELAY, "FILTER_RELAY", &table_relay, 0},
	{FILTER_DIALER, "FILTER_DIALER", &table_dialer, 0},
	{FILTER_DIALER, "FILTER_DIALER", &table_dialer, CELL_DATAGRAMS},
};
#define PROGRAMS (sizeof(programs) / sizeof(*programs))

/* The program, made shorter; one that then answered otherwise would end the build. */
static int make_code(size_t number, struct sock_filter **ret_code, size_t *ret_n)
{
	const struct table *table = programs[number].table;
	struct sock_filter *made = NULL, *code = NULL;
	size_t n = 0;
	int r = table_compile(table, programs[number].cell, &made, &n);

	*ret_n = n;
	if (r == 0) {
		code = calloc(n, sizeof(*code));
		r = code ? 0 : -ENOMEM;
	}
	if (r == 0) {
		memcpy(code, made, n * sizeof(*code));
		r = program_shrink(code, ret_n);
	}
	if (r == 0)
		r = program_same(
			&(struct filter){made, n}, &(struct filter){code, *ret_n}, table->arch);
	free(made);
	if (r < 0)
		free(code);
	else
		*ret_code = code;
	return r;
}

static int write_code(size_t number, size_t *ret_n)
{
	struct sock_filter *code = NULL;
	int r = make_code(number, &code, ret_n);

	if (r < 0) {
		fprintf(stderr, "make the filter %s, %#x: %s\n", programs[number].name,
			programs[number].cell, strerror(-r));
		return r;
	}
	printf("static const struct sock_filter code_%zu[] = {\n", number);
	for (size_t i = 0; i < *ret_n; i++)
		printf("\t{%#x, %u, %u, %#x},\n", code[i].code, code[i].jt, code[i].jf, code[i].k);
	printf("};\n\n");
	free(code);
	return 0;
}

int main(void)
{
	size_t n[PROGRAMS];

	printf("/* Made by sandbox/tables/make.c. */\n#include \"sandbox/filter.h\"\n\n");
	for (size_t i = 0; i < PROGRAMS; i++) {
		if (write_code(i, &n[i]) < 0)
			return 1;
	}
	printf("const struct filter_program filter_programs[] = {\n");
	for (size_t i = 0; i < PROGRAMS; i++)
		printf("\t{%s, %#x, code_%zu, %zu},\n", programs[i].name, programs[i].cell, i,
			n[i]);
	printf("};\nconst size_t filter_programs_count = %zu;\n", PROGRAMS);
	return fflush(stdout) == 0 ? 0 : 1;
}
