/* SPDX-License-Identifier: MIT */
/*
 * differ.c - the same random requests natively and through each door: the same answers, the same
 * files afterwards, the same ledger.
 *
 * Where a door is meant to differ, differences[] of differ_run.h says so.  A difference is told
 * with the seed and the index that make it again:
 *
 *     DIFFER_SEED=7 DIFFER_REQUESTS=10000 build/tests/e2e/differ
 */
#include "tests/e2e/differ_job.h"

#define ROUND     500 /* requests to one tree, which they wear out */
#define SHOWN_MAX 12  /* differences that are printed in full */

/* The lines of a run, and those of what it left, as one text; to be freed. */
static char *answers(const struct job *job)
{
	char *said, *text = NULL;
	size_t size = 0;
	FILE *out;
	int fd;

	tree_anew(job->fifos);
	said = run_job(job);
	out = open_memstream(&text, &size);
	assert_non_null(out);
	fputs(said, out);
	free(said);
	/* The first to read what is closed to its owner opens it, so it is the last that is done.
	 */
	if (geteuid() != 0)
		assert_int_equal(chmod(above, 0700), 0);
	fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	tree_dump(out, fd, "");
	close(fd);
	assert_int_equal(fclose(out), 0);
	return text;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static size_t line_size(const char *line)
{
	return strcspn(line, "\n");
}

/* How many lines differ; the first few are told. */
static unsigned compare(
	const char *a_name, const char *a, const char *b_name, const char *b, uint64_t seed)
{
	unsigned bad = 0;

	while (*a || *b) {
		size_t a_size = line_size(a), b_size = line_size(b);

		if (a_size != b_size || memcmp(a, b, a_size) != 0) {
			if (bad++ < SHOWN_MAX)
				print_error("seed %llu\n  %6s: %.*s\n  %6s: %.*s\n",
					(unsigned long long)seed, a_name, (int)a_size, a, b_name,
					(int)b_size, b);
		}
		a += a_size + (a[a_size] != '\0');
		b += b_size + (b[b_size] != '\0');
	}
	return bad;
}

static void door_against_native(enum way door)
{
	uint64_t seed = number("DIFFER_SEED", 1), requests = number("DIFFER_REQUESTS", 10000);
	unsigned bad = 0, n = 0;

	print_message("DIFFER_SEED=%llu DIFFER_REQUESTS=%llu\n", (unsigned long long)seed,
		(unsigned long long)requests);
	for (unsigned first = 0; first < requests; first += ROUND, n++) {
		/* With `type fifo` no open goes the short way; so every second tree is without. */
		struct job job = {.way = NATIVE,
			.model = door,
			.seed = seed,
			.first = first,
			.n = ROUND,
			.fifos = n % 2};
		char *native, *other;

		policy_of_all(job.fifos);
		native = answers(&job);
		job.way = door;
		other = answers(&job);
		bad += compare("native", native, way_names[door], other, seed);
		free(native);
		free(other);
		if (bad > SHOWN_MAX)
			break;
	}
	if (bad)
		fail_msg("%u lines differ", bad);
}

static void ask_door_answers_as_the_kernel_does(void **state)
{
	door_against_native(ASK);
}

static void trap_door_answers_as_the_kernel_does(void **state)
{
	door_against_native(TRAP);
}

/* ---- under a policy that refuses ------------------------------------------------------------- */

static void put_rule(FILE *out, const char *verdict, const char *dir, const char *rest)
{
	fprintf(out, "%s %s/%s%s\n", verdict, root, dir, rest);
}

/*
 * Rights of the whole tree, and less of it by patterns; or rights of each directory by itself.  No
 * rule may lead across a directory that can be replaced, so the two are not mixed.
 */
static void random_policy(uint64_t seed)
{
	static const char *const rights[] = {"read", "read,write", "rw", "rw", "append",
		"read,create", "delete", "list", "create", "read,append,delete", "write",
		"list,create,delete"};
	static const char *const dirs[] = {"d/", "w/", "fixed/", "sticky/", "theirs/", "nolist/"};
	static const char *const patterns[] = {"deny write **/ro", "deny read **/x",
		"deny any **/e/**", "deny create **/n?", "deny delete **/run", "deny write **/w/**",
		"deny list **/d", "deny any **/hard", "deny read,write **/loop*",
		"deny append **/f", "deny create,delete **/d/*", "deny any **/absdir"};
	const size_t n_rights = sizeof(rights) / sizeof(*rights);
	uint64_t r = seed;
	char *text = NULL, verdict[64];
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	bool whole = chance(&r, 50);

	assert_non_null(out);
	if (whole)
		put_rule(out, chance(&r, 60) ? "allow rw" : "allow read,write", "", "");
	else if (chance(&r, 60))
		put_rule(out, chance(&r, 70) ? "allow read" : "allow list", "", "");
	else
		put_rule(out, "allow read", "p/", " optional");
	for (size_t i = 0; !whole && i < sizeof(dirs) / sizeof(*dirs); i++) {
		if (chance(&r, 25))
			continue;
		snprintf(verdict, sizeof(verdict), "%s %s",
			chance(&r, 75)   ? "allow"
			: chance(&r, 70) ? "deny"
					 : "ask",
			rights[pick(&r, (unsigned)n_rights)]);
		put_rule(out, verdict, dirs[i], "");
	}
	for (unsigned n = pick(&r, 4); n > 0; n--)
		fprintf(out, "%s\n", patterns[pick(&r, sizeof(patterns) / sizeof(*patterns))]);
	assert_int_equal(fclose(out), 0);
	policy_write(text);
	free(text);
}

/* Fields that differ between two sessions that do the same. */
static const char *const session_fields[] = {
	"seq", "time", "session", "pid", "door", "dev", "ino", "us", "of", "mac"};

/* What the ledger says of requests, a line each, without those; to be freed. */
static char *ledger_lines(void)
{
	FILE *in = fopen(ledger, "re"), *out;
	char *line = NULL, *text = NULL;
	size_t room = 0, size = 0;

	assert_non_null(in);
	out = open_memstream(&text, &size);
	while (getline(&line, &room, in) > 0) {
		json_t *record = json_loads(line, 0, NULL);
		const char *error = json_string_value(json_object_get(record, "error"));
		/* The empty path, which libwarder answers by itself. */
		bool alone =
			error && strcmp(error, "ENOENT") == 0 && !json_object_get(record, "asked");
		char *rest;

		assert_non_null(record);
		if (!alone && (json_object_get(record, "op") || json_object_get(record, "of"))) {
			for (size_t i = 0; i < sizeof(session_fields) / sizeof(*session_fields);
				i++)
				json_object_del(record, session_fields[i]);
			rest = json_dumps(record, JSON_SORT_KEYS | JSON_COMPACT);
			fprintf(out, "%s\n", rest);
			free(rest);
		}
		json_decref(record);
	}
	free(line);
	fclose(in);
	assert_int_equal(fclose(out), 0);
	return text;
}

static unsigned doors_under(uint64_t seed, unsigned first)
{
	struct job job = {.way = ASK,
		.model = ASK,
		.seed = seed,
		.first = first,
		.n = ROUND,
		.mediated = true};
	char *ask, *trap, *ask_ledger, *trap_ledger;
	unsigned bad;

	tree_anew(false);
	random_policy(seed + first);
	ask = answers(&job);
	ask_ledger = ledger_lines();
	/* The model stays: what only one door has a call for is left out of both. */
	job.way = TRAP;
	trap = answers(&job);
	trap_ledger = ledger_lines();
	bad = compare("ask", ask, "trap", trap, seed);
	bad += compare("ask", ask_ledger, "trap", trap_ledger, seed);
	if (bad)
		print_error("the policy was that of DIFFER_SEED=%llu at request %u\n",
			(unsigned long long)seed, first);
	free(ask);
	free(trap);
	free(ask_ledger);
	free(trap_ledger);
	return bad;
}

static void both_doors_give_the_same_verdicts_and_records(void **state)
{
	uint64_t seed = number("DIFFER_SEED", 1), requests = number("DIFFER_REQUESTS", 10000);
	unsigned bad = 0;

	for (unsigned first = 0; first < requests && bad <= SHOWN_MAX; first += ROUND)
		bad += doors_under(seed, first);
	if (bad)
		fail_msg("%u lines differ", bad);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ask_door_answers_as_the_kernel_does),
		cmocka_unit_test(trap_door_answers_as_the_kernel_does),
		cmocka_unit_test(both_doors_give_the_same_verdicts_and_records),
	};

	if (argc > 2)
		return worker_main(argv);
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
