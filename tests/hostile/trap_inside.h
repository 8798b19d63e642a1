/* SPDX-License-Identifier: MIT */
/*
 * trap_inside.h - what the attacks on the trap door share: the files, a cell, a count of records.
 *
 * TOP/a/ may be read, TOP/b/ appended to but not read, TOP/w/ written; all stand in the view, so
 * that a refusal is the policy's doing and not a missing name's.
 */
#ifndef WARDER_HOSTILE_TRAP_INSIDE_H
#define WARDER_HOSTILE_TRAP_INSIDE_H

#include "tests/hostile/inside.h"

#define NOBODY 65534 /* the worker's user, where root starts it */

#define TRY(call) ((call) < 0 ? errno : 0)

static char top[PATH_MAX];

static inline bool in_cell(void)
{
	return getenv("WARDER_FD") != NULL;
}

/* A number from the environment, for longer runs by hand. */
static inline long amount(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? atol(text) : otherwise;
}

/* TOP/name, in one of a few buffers. */
static inline char *in_top(const char *name)
{
	static char paths[8][PATH_MAX + 64];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
	return path;
}

/* A place of the worker's own: its temporary directory, which is not /tmp where data lies in that;
 * outside the cell, a directory that stands for it. */
static inline char *in_own(const char *name)
{
	static char paths[8][PATH_MAX + 64];
	static unsigned next;
	char *path = paths[next++ % 8];

	if (in_cell())
		snprintf(path, sizeof(paths[0]), "%s/%s",
			getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", name);
	else
		snprintf(path, sizeof(paths[0]), "%s/own/%s", top, name);
	return path;
}

static inline void make_owned(const char *name, const char *text)
{
	make_file(in_top(name), text, 0666);
	if (geteuid() == 0)
		assert_int_equal(chown(in_top(name), NOBODY, NOBODY), 0);
}

static inline void make_owned_directory(const char *name)
{
	assert_int_equal(mkdir(in_top(name), 0755), 0);
	if (geteuid() == 0)
		assert_int_equal(chown(in_top(name), NOBODY, NOBODY), 0);
}

static inline void tree_make(void)
{
	make_directory(top, sizeof(top));
	make_owned_directory("a");
	make_owned_directory("b");
	make_owned_directory("w");
	make_owned_directory("own");
	make_owned("a/f", "data\n");
	make_owned("b/f", "secret\n");
	make_owned("w/f", "write\n");
	make_file(in_top("hidden"), "s hidden\n", 0666);
}

/* A program among the data. */
static inline void copy_true(void)
{
	const char *argv[] = {"cp", "/bin/true", in_top("a/true"), NULL};
	static struct outcome o = OUTCOME_INIT;

	run_program(&o, argv);
	assert_int_equal(chmod(in_top("a/true"), 0755), 0);
}

static inline void tree_remove(void)
{
	const char *argv[] = {"rm", "-rf", top, NULL};
	static struct outcome o = OUTCOME_INIT;

	run_program(&o, argv);
}

/* Lines of the ledger that hold both texts: a ledger of 100,000 records is not loaded. */
static inline long records_with(const char *one, const char *two)
{
	char line[16384];
	long n = 0;
	FILE *f = fopen(in_top("ledger.jsonl"), "re");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, one) && strstr(line, two);
	fclose(f);
	return n;
}

/* Runs this program in the cell of the files above, `what` being its first argument, with one more
 * option or NULL.  `limit` goes before warder, as prlimit's option, or is NULL. */
static inline void run_cell(
	struct outcome *ret, const char *limit, const char *option, const char *what)
{
	char a[PATH_MAX + 32], b[PATH_MAX + 32], w[PATH_MAX + 32];
	const char *argv[40];
	size_t n = 0;

	snprintf(a, sizeof(a), "allow read %s/a/", top);
	snprintf(b, sizeof(b), "allow append %s/b/", top);
	snprintf(w, sizeof(w), "allow rw %s/w/", top);
	unlink(in_top("ledger.jsonl"));
	if (limit) {
		argv[n++] = "prlimit";
		argv[n++] = limit;
	}
	argv[n++] = warder_path();
	argv[n++] = "run";
	argv[n++] = "-q";
	argv[n++] = "--runtime";
	argv[n++] = own_directory();
	argv[n++] = "--ledger";
	argv[n++] = in_top("ledger.jsonl");
	argv[n++] = "-e";
	argv[n++] = a;
	argv[n++] = "-e";
	argv[n++] = b;
	argv[n++] = "-e";
	argv[n++] = w;
	if (option) {
		argv[n++] = "-e";
		argv[n++] = option;
	}
	argv[n++] = "--";
	argv[n++] = own_path();
	argv[n++] = what;
	argv[n++] = top;
	argv[n] = NULL;
	run_program(ret, argv);
}

/* The control: the same without a cell, as the user that the worker is. */
static inline void run_outside(struct outcome *ret, const char *what)
{
	const char *user[] = {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
		own_path(), what, top, NULL};

	run_program(ret, geteuid() == 0 ? user : user + 6);
}

/* Makes the attacks outside, where they succeed, and in a cell, where none does: an attack that did
 * not get its first descriptor was not made. */
static inline void run_attacks(struct outcome *ret_inside, const struct attack *attacks, size_t n)
{
	static struct outcome outside = OUTCOME_INIT;

	run_outside(&outside, "--attack");
	run_cell(ret_inside, NULL, NULL, "--attack");
	compare(attacks, n, &outside, ret_inside);
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(result_of(ret_inside, attacks[i].name), EBADF);
	assert_int_equal(ret_inside->status, 0);
}

/* Of what may only be appended to, no record says that it was read. */
static inline void expect_appended_alone(void)
{
	char reached[PATH_MAX + 80];

	snprintf(reached, sizeof(reached), "\"reached\":\"%s\"", in_top("b/f"));
	assert_true(records_with("\"event\":\"deny\"", reached) > 0);
	assert_int_equal(records_with("\"event\":\"grant\"", reached),
		records_with("\"rights\":\"append\"", reached));
	assert_true(records_with("\"event\":\"grant\"", "\"door\":\"trap\"") > 0);
}

/* main() of those: the attacker, where it is told so, else the tests. */
#define ATTACK_MAIN(argc, argv, attacks, n, tests) \
	((argc) > 2 && !strcmp((argv)[1], "--attack") \
			? (snprintf(top, sizeof(top), "%s", (argv)[2]), attack_main(attacks, n)) \
			: cmocka_run_group_tests(tests, NULL, NULL))

/* The number after `key` in a line "name key=N ..."; -1 where there is none. */
static inline long number_of(const struct outcome *o, const char *name, const char *key)
{
	size_t size = strlen(name);
	char mark[64];

	snprintf(mark, sizeof(mark), " %s=", key);
	for (const char *line = o->out; line; line = strchr(line, '\n')) {
		const char *at, *end;

		line += *line == '\n';
		if (strncmp(line, name, size) != 0 || line[size] != ' ')
			continue;
		at = strstr(line, mark);
		end = strchr(line, '\n');
		return at && (!end || at < end) ? atol(at + strlen(mark)) : -1;
	}
	return -1;
}

#endif
