/* SPDX-License-Identifier: MIT */
/*
 * exec_places.c - where a rule gives exec the worker opens files by itself: which ones.
 *
 * A thread changes the text of a path between /proc/self/status, whose open is answered with "go
 * on", and a secret, while the other opens it: the kernel reads the text again, so what Landlock
 * gives can be had without a record.  The control is a policy that gives the secret; the same with
 * a rule that keeps it back must not start, or the secret is never had.
 */
#include "tests/hostile/trap_inside.h"

#include <pthread.h>

#define OPENS      "4000"
#define PATIENCE   20 /* runs of the control until the race is won */
#define POLICY_MAX 4

/* ---- the worker's side ---------------------------------------------------------------------- */

static volatile bool over;
static char *text;
static const char *first, *second;

static void *flip(void *unused)
{
	size_t n = strlen(first) > strlen(second) ? strlen(first) : strlen(second);
	char one[PATH_MAX] = "", two[PATH_MAX] = "";

	snprintf(one, sizeof(one), "%s", first);
	snprintf(two, sizeof(two), "%s", second);
	for (unsigned i = 0; !over; i++) {
		memcpy(text, i & 1 ? two : one, n + 1);
		for (volatile int j = 0; j < 300; j++)
			;
	}
	return unused;
}

/* As many opens as are asked for, and more until both texts were met. */
static int race(const char *from, const char *to, long n)
{
	long other = 0, secret = 0, refused = 0;
	pthread_t thread;

	first = from;
	second = to;
	text = calloc(1, PATH_MAX);
	strcpy(text, from);
	if (pthread_create(&thread, NULL, flip, NULL) != 0)
		return 1;
	for (long i = 0; i < n || (i < 50 * n && !(other && secret + refused)); i++) {
		int fd = open(text, O_RDONLY);
		char c = 0;

		if (fd >= 0 && pread(fd, &c, 1, 0) == 1 && c == 's')
			secret++;
		else if (fd >= 0)
			other++;
		else
			refused++;
		if (fd >= 0)
			close(fd);
	}
	over = true;
	pthread_join(thread, NULL);
	printf("race secret=%ld other=%ld refused=%ld\n", secret, other, refused);
	return 0;
}

/* ---- the tester ------------------------------------------------------------------------------ */

static void copy_self(const char *name)
{
	const char *argv[] = {"cp", own_path(), in_top(name), NULL};
	static struct outcome o = OUTCOME_INIT;

	run_program(&o, argv);
	assert_int_equal(o.status, 0);
	assert_int_equal(chmod(in_top(name), 0755), 0);
}

static void places_make(void)
{
	static const char *const directories[] = {"rx", "x", "x/sub", "x/run"};
	static const char *const files[] = {"x/secret.txt", "x/.env", "x/sub/key"};

	make_directory(top, sizeof(top));
	for (size_t i = 0; i < sizeof(directories) / sizeof(*directories); i++)
		make_owned_directory(directories[i]);
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		make_owned(files[i], "secret\n");
	copy_self("rx/flip");
	copy_self("x/flip");
	copy_self("x/tool.bin");
	copy_self("x/run/flip");
}

/* The line of a policy, '@' being the directory of the test. */
static void spell(char *buf, size_t size, const char *line)
{
	size_t n = 0;

	for (; *line && n + strlen(top) + 2 < size; line++) {
		if (*line == '@')
			n += (size_t)snprintf(buf + n, size - n, "%s", top);
		else
			buf[n++] = *line;
	}
	buf[n] = '\0';
}

struct row {
	const char *policy[POLICY_MAX];
	const char *program, *secret;
	const char *error; /* a part of what the start fails with; NULL: it starts */
};

static void run_row(struct outcome *ret, const struct row *row, const char *root)
{
	static char lines[POLICY_MAX][4 * PATH_MAX], program[PATH_MAX], secret[PATH_MAX];
	const char *argv[40];
	size_t n = 0;

	unlink(in_top("ledger.jsonl"));
	argv[n++] = warder_path();
	argv[n++] = "run";
	argv[n++] = "-q";
	argv[n++] = "--ledger";
	argv[n++] = in_top("ledger.jsonl");
	argv[n++] = "--root";
	argv[n++] = root;
	if (!strcmp(root, "host") && geteuid() != 0) {
		argv[n++] = "--accept";
		argv[n++] = "missing uid";
	}
	for (size_t i = 0; i < POLICY_MAX && row->policy[i]; i++) {
		spell(lines[i], sizeof(lines[i]), row->policy[i]);
		argv[n++] = "-e";
		argv[n++] = lines[i];
	}
	spell(program, sizeof(program), row->program);
	spell(secret, sizeof(secret), row->secret);
	argv[n++] = "--";
	argv[n++] = program;
	argv[n++] = "--race";
	argv[n++] = "/proc/self/status";
	argv[n++] = secret;
	argv[n++] = OPENS;
	argv[n] = NULL;
	run_program(ret, argv);
}

/* How many grants of the secret are on record. */
static long on_record(const struct row *row)
{
	char secret[PATH_MAX], reached[PATH_MAX + 16];

	spell(secret, sizeof(secret), row->secret);
	snprintf(reached, sizeof(reached), "\"reached\":\"%s\"", secret);
	return records_with("\"event\":\"grant\"", reached);
}

static const char *const roots[] = {"view", "host"};

/* The kernel does read the text again: where the policy gives the secret it is had more often than
 * there are records. */
static const struct row given[] = {
	{{"allow exec @/rx/ @/x/"}, "@/rx/flip", "@/x/secret.txt", NULL},
	{{"allow rwx @/x/"}, "@/x/flip", "@/x/sub/key", NULL},
	/* It is left out of the one rule, and given by another. */
	{{"allow exec @/x/ except @/x/sub/", "allow read @/x/sub/"}, "@/x/flip", "@/x/sub/key",
		NULL},
};

static void control_what_is_given_is_had_without_a_record(void **state)
{
	static struct outcome o = OUTCOME_INIT;

	places_make();
	for (size_t i = 0; i < sizeof(given) / sizeof(*given); i++) {
		for (size_t k = 0; k < 2; k++) {
			bool won = false;

			for (int j = 0; j < PATIENCE && !won; j++) {
				run_row(&o, &given[i], roots[k]);
				if (o.status != 0)
					fail_msg("%s: %d\n%s", given[i].policy[0], o.status, o.out);
				won = number_of(&o, "race", "secret") > on_record(&given[i]);
			}
			if (!won)
				fail_msg("%s, root %s: the race was never won, so it shows nothing",
					given[i].policy[0], roots[k]);
		}
	}
	tree_remove();
}

/* What would give more than its words is no policy. */
static const struct row refused[] = {
	{{"allow exec @/rx/", "allow exec @/x/*.bin"}, "@/rx/flip", "@/x/secret.txt",
		"exec cannot be given by a wildcard"},
	{{"allow exec @/rx/", "allow exec @/x/**/*.bin"}, "@/rx/flip", "@/x/secret.txt",
		"exec cannot be given by a wildcard"},
	{{"allow rwx @/x/ except @/x/secret.txt"}, "@/x/flip", "@/x/secret.txt",
		"an \"except\" cannot keep this"},
	{{"allow rwx @/x/ except @/x/sub/"}, "@/x/flip", "@/x/sub/key",
		"an \"except\" cannot keep this"},
	{{"allow rwx @/x/ except **/.env"}, "@/x/flip", "@/x/.env",
		"an \"except\" cannot keep this"},
	{{"allow exec @/x/ except @/x/sub/", "allow read @/x/sub/ except @/x/sub/key"}, "@/x/flip",
		"@/x/sub/key", "an \"except\" cannot keep this"},
	{{"allow exec @/rx/ @/x/", "ask read @/x/secret.txt"}, "@/rx/flip", "@/x/secret.txt",
		"an ask of reading cannot hold"},
	{{"allow exec @/rx/ @/x/", "ask any **/.env"}, "@/rx/flip", "@/x/.env",
		"an ask of reading cannot hold"},
	{{"allow exec @/rx/", "allow rwx @/x/tool.bin"}, "@/rx/flip", "@/x/secret.txt",
		"exec of one file cannot stand beside create or delete"},
	{{"allow exec @/rx/", "allow exec,delete @/x/tool.bin"}, "@/rx/flip", "@/x/secret.txt",
		"exec of one file cannot stand beside create or delete"},
	{{"allow rwx @/x/flip", "deny any @/x/secret.txt"}, "@/x/flip", "@/x/secret.txt",
		"exec of one file cannot stand beside create or delete"},
	{{"allow rwx @/x/flip", "deny any **/.env"}, "@/x/flip", "@/x/.env",
		"exec of one file cannot stand beside create or delete"},
	{{"allow rwx @/x/flip", "deny read,write @/x/sub/"}, "@/x/flip", "@/x/sub/key",
		"exec of one file cannot stand beside create or delete"},
	{{"allow rwx @/x/", "deny any @/x/secret.txt"}, "@/x/flip", "@/x/secret.txt",
		"a deny of reading cannot hold"},
	{{"allow rwx @/x/", "deny any **/.env"}, "@/x/flip", "@/x/.env",
		"a deny of reading cannot hold"},
};

static void what_exec_would_give_beside_its_rule_is_an_error(void **state)
{
	static struct outcome o = OUTCOME_INIT;
	int bad = 0;

	places_make();
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
		for (size_t k = 0; k < 2; k++) {
			run_row(&o, &refused[i], roots[k]);
			if (o.status == 0 || !strstr(o.out, refused[i].error) ||
				strstr(o.out, "race ")) {
				print_error("%s ; %s: root %s: %d\n%s", refused[i].policy[0],
					refused[i].policy[1] ? refused[i].policy[1] : "", roots[k],
					o.status, o.out);
				bad++;
			}
		}
	}
	assert_int_equal(bad, 0);
	tree_remove();
}

/* What stands beside, and may: the secret is met and never had. */
static const struct row kept[] = {
	{{"allow exec @/rx/ @/x/tool.bin"}, "@/rx/flip", "@/x/secret.txt", NULL},
	{{"allow exec @/x/flip", "deny any **/.env"}, "@/x/flip", "@/x/.env", NULL},
	{{"allow exec,write @/x/flip", "deny any @/x/secret.txt"}, "@/x/flip", "@/x/secret.txt",
		NULL},
	{{"allow rwx @/x/run/", "deny any @/x/secret.txt"}, "@/x/run/flip", "@/x/secret.txt", NULL},
	{{"allow rwx @/x/run/", "allow read,write @/x/ except @/x/sub/"}, "@/x/run/flip",
		"@/x/sub/key", NULL},
	{{"allow exec @/rx/", "allow rw @/x/tool.bin"}, "@/rx/flip", "@/x/secret.txt", NULL},
	{{"allow exec @/rx/", "allow read @/x/*.bin"}, "@/rx/flip", "@/x/secret.txt", NULL},
	/* To ask is to refuse, and makes nothing the worker's own. */
	{{"allow exec @/rx/", "ask exec @/x/"}, "@/rx/flip", "@/x/secret.txt", NULL},
	{{"allow exec @/rx/", "ask rwx @/x/tool.bin"}, "@/rx/flip", "@/x/secret.txt", NULL},
};

static void what_stands_beside_exec_is_never_had(void **state)
{
	static struct outcome o = OUTCOME_INIT;
	int bad = 0;

	places_make();
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		for (size_t k = 0; k < 2; k++) {
			run_row(&o, &kept[i], roots[k]);
			if (o.status == 0 && number_of(&o, "race", "secret") == 0 &&
				number_of(&o, "race", "other") > 0 &&
				number_of(&o, "race", "refused") > 0 && on_record(&kept[i]) == 0)
				continue;
			print_error("%s ; %s: root %s: %d\n%s", kept[i].policy[0],
				kept[i].policy[1] ? kept[i].policy[1] : "", roots[k], o.status,
				o.out);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
	tree_remove();
}

/* The book is warder's own: in the view something empty stands over it, and without one a rule that
 * would give it is an error. */
static void the_book_is_hidden_where_files_are_loaded(void **state)
{
	static const struct row row = {{"allow rwx @/"}, "@/x/flip", "@/ledger.jsonl", NULL};
	static struct outcome o = OUTCOME_INIT;

	places_make();
	run_row(&o, &row, "view");
	if (o.status != 0 || number_of(&o, "race", "secret") != 0 ||
		number_of(&o, "race", "other") == 0 || number_of(&o, "race", "refused") == 0)
		fail_msg("root view: %d\n%s", o.status, o.out);
	assert_true(records_with("\"event\":\"deny\"", "self-protection") > 0);
	assert_int_equal(records_with("\"event\":\"end\"", ""), 1);
	run_row(&o, &row, "host");
	if (o.status == 0 || !strstr(o.out, "which is warder's own to read"))
		fail_msg("root host: %d\n%s", o.status, o.out);
	tree_remove();
}

int main(int argc, char **argv)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fds_before, fds_after)
	const struct CMUnitTest tests[] = {
		T(control_what_is_given_is_had_without_a_record),
		T(what_exec_would_give_beside_its_rule_is_an_error),
		T(what_stands_beside_exec_is_never_had),
		T(the_book_is_hidden_where_files_are_loaded),
	};

	if (argc > 4 && !strcmp(argv[1], "--race"))
		return race(argv[2], argv[3], atol(argv[4]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
