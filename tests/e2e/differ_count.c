/* SPDX-License-Identifier: MIT */
/*
 * differ_count.c - random requests through each door: for each that is granted the ledger has its
 * line, and no other.
 *
 *     DIFFER_SEED=7 DIFFER_COUNT=100000 build/tests/e2e/differ_count
 */
#include "tests/e2e/differ_job.h"

#define COUNTED 5000 /* requests to one tree */

/* The number behind `name` in a line; 0: it has none. */
static uint64_t field(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/*
 * Grants in the ledger less those that the same ledger takes back: a change is written down before
 * it is made, and one that fails has a second line that names the first ("of").  An open counts
 * where a descriptor leaves; what it makes has a line of its own before.
 */
static uint64_t ledger_grants(const char *door)
{
	FILE *in = fopen(ledger, "re");
	char *line = NULL, want[32];
	size_t room = 0;
	uint64_t n = 0, made = 0;

	assert_non_null(in);
	snprintf(want, sizeof(want), "\"door\":\"%s\"", door);
	/* No text within a line can hold these words: its quotes would be escaped. */
	while (getline(&line, &room, in) > 0) {
		bool grant = strstr(line, "\"event\":\"grant\"");
		bool open = strstr(line, "\"op\":\"open\"");
		bool fd = strstr(line, "\"fd\":true");
		uint64_t of = field(line, "\"of\":");

		/* Denials that are only counted may come between any two lines. */
		if (!strstr(line, want) || strstr(line, "\"count\":"))
			continue;
		/* What was made is handed over next, or taken back. */
		assert_true(made == 0 || of == made || (grant && open && fd));
		if (grant && (!open || fd))
			n++;
		else if (of && of != made)
			n--;
		made = grant && open && !fd ? field(line, "\"seq\":") : 0;
	}
	assert_int_equal(made, 0);
	free(line);
	fclose(in);
	return n;
}

static void grants_are_counted(enum way door)
{
	uint64_t seed = number("DIFFER_SEED", 1), n = number("DIFFER_COUNT", 100000), counted;
	struct job job = {
		.way = door, .model = door, .seed = seed, .n = COUNTED, .count_only = true};
	uint64_t all = 0;
	char *text;

	policy_of_all(false);
	for (; job.first < n; job.first += COUNTED) {
		tree_anew(false);
		text = run_job(&job);
		counted = strtoull(text, NULL, 10);
		free(text);
		assert_true(counted > 0);
		assert_int_equal(ledger_grants(way_names[door]), counted);
		all += counted;
	}
	print_message("%llu of %llu requests were granted\n", (unsigned long long)all,
		(unsigned long long)n);
}

static void the_ledger_has_each_grant_of_the_ask_door(void **state)
{
	grants_are_counted(ASK);
}

static void the_ledger_has_each_grant_of_the_trap_door(void **state)
{
	grants_are_counted(TRAP);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_ledger_has_each_grant_of_the_ask_door),
		cmocka_unit_test(the_ledger_has_each_grant_of_the_trap_door),
	};

	if (argc > 2)
		return worker_main(argv);
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
