/* SPDX-License-Identifier: MIT */
/*
 * differ.c - the same random requests natively and through each door: the same answers, the same
 * files afterwards, the same ledger.
 *
 * This program is its own worker: called with --run it makes requests and prints a line for each,
 * see differ_run.h.  The plain run is made by the worker's user in a plain directory; where a door
 * is meant to differ, differences[] says so.  A difference is told with the seed and the index
 * that make it again:
 *
 *     DIFFER_SEED=7 DIFFER_REQUESTS=10000 build/tests/e2e/differ
 *
 * DIFFER_COUNT is the number of requests whose grants are counted.
 */
#include "tests/e2e/differ_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <sys/wait.h>

#define NOBODY    65534 /* the worker's user, where root starts it */
#define ROUND     500   /* requests to one tree, which they wear out */
#define COUNTED   5000  /* requests to one tree where grants are only counted */
#define SHOWN_MAX 12    /* differences that are printed in full */

static const char *const way_names[] = {"native", "ask", "trap"};

static char top[PATH_MAX], above[PATH_MAX + 8], root[PATH_MAX + 16], policy[PATH_MAX + 16],
	ledger[PATH_MAX + 16];

/* ---- the worker ------------------------------------------------------------------------------ */

/* What a run is to do; as words it is the worker's arguments. */
struct job {
	enum way way, model;
	uint64_t seed;
	unsigned first, n;
	bool fifos;      /* the tree has them */
	bool mediated;   /* only what both doors ask the broker for */
	bool count_only; /* the number of recorded successes alone is printed */
};

/* Makes of a look an open, which both doors mediate. */
static void mediate(struct request *q)
{
	if (q->op >= OP_STAT && q->op <= OP_LIST)
		q->op = OP_OPEN;
	if (q->op == OP_ACCESS)
		q->flags |= W_OK;
	if (q->op == OP_OPEN)
		q->flags &= ~(q->flags & O_PATH);
	/* Which libwarder answers by itself. */
	if (q->op == OP_TRUNCATE && q->size < 0)
		q->size = 0;
}

static int work(const struct job *job, const char *where)
{
	static struct run run;
	static struct request q;

	run = (struct run){.way = job->way,
		.model = job->model,
		.root = where,
		.root_size = strlen(where),
		.mask = job->seed % 3 ? 022 : 077,
		.count_only = job->count_only};
	umask(run.mask);
	if (job->way == ASK && !(run.broker = warder_attach()))
		err(2, "warder_attach");
	run.out = job->count_only ? fopen("/dev/null", "w") : stdout;
	if (!run.out)
		err(2, "/dev/null");
	for (unsigned i = job->first; i < job->first + job->n; i++) {
		request_make(job->seed, i, where, job->fifos, &q);
		if (job->mediated)
			mediate(&q);
		run_one(&run, &q);
	}
	if (job->count_only)
		printf("%llu\n", (unsigned long long)run.grants);
	warder_detach(run.broker);
	return fflush(stdout) == 0 ? 0 : 2;
}

static int worker_main(char **argv)
{
	struct job job;

	job = (struct job){.way = (enum way)atoi(argv[3]),
		.model = (enum way)atoi(argv[4]),
		.seed = strtoull(argv[5], NULL, 10),
		.first = (unsigned)atoi(argv[6]),
		.n = (unsigned)atoi(argv[7]),
		.fifos = argv[8][0] == 'f',
		.mediated = argv[8][1] == 'm',
		.count_only = argv[8][2] == 'c'};
	return work(&job, argv[2]);
}

/* ---- running it ------------------------------------------------------------------------------ */

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static const char *own_path(void)
{
	static char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	assert_true(n > 0);
	path[n] = '\0';
	return path;
}

static uid_t worker_uid(void)
{
	return geteuid() == 0 ? NOBODY : geteuid();
}

static void become_worker(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(125);
}

/* All that comes out of a descriptor; to be freed. */
static char *slurp(int fd)
{
	size_t size = 0, room = 1 << 16;
	char *buf = malloc(room);
	ssize_t n;

	assert_non_null(buf);
	while ((n = read(fd, buf + size, room - size - 1)) > 0) {
		size += (size_t)n;
		if (room - size < 4096)
			buf = realloc(buf, room *= 2);
		assert_non_null(buf);
	}
	buf[size] = '\0';
	return buf;
}

/* Runs argv, in the open as the worker's user.  Its standard output; *ret_status as a shell's. */
static char *run_program(const char *const *argv, bool plain, int *ret_status)
{
	int out[2], status;
	char *text;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], 1);
		if (plain)
			become_worker();
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(out[1]);
	text = slurp(out[0]);
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return text;
}

/* The words that start `command` in a cell under the policy file. */
static void cell_words(const char **argv, const char *const *command)
{
	static char warder[PATH_MAX], directory[PATH_MAX];
	const char *build = getenv("BUILD");
	const char *const words[] = {warder, "run", "-q", "--runtime", directory, "--ledger",
		ledger, "-p", policy, "--"};
	size_t n = sizeof(words) / sizeof(*words);

	snprintf(warder, sizeof(warder), "%s/warder", build ? build : "build");
	snprintf(directory, sizeof(directory), "%s", own_path());
	*strrchr(directory, '/') = '\0';
	memcpy(argv, words, sizeof(words));
	while ((argv[n++] = *command++))
		;
}

static char *run_job(const struct job *job)
{
	char way[8], model[8], seed[24], first[16], n[16], kind[8];
	const char *const command[] = {
		own_path(), "--run", root, way, model, seed, first, n, kind, NULL};
	const char *argv[32];
	int status;
	char *text;

	snprintf(way, sizeof(way), "%d", job->way);
	snprintf(model, sizeof(model), "%d", job->model);
	snprintf(seed, sizeof(seed), "%llu", (unsigned long long)job->seed);
	snprintf(first, sizeof(first), "%u", job->first);
	snprintf(n, sizeof(n), "%u", job->n);
	snprintf(kind, sizeof(kind), "%c%c%c", job->fifos ? 'f' : '-', job->mediated ? 'm' : '-',
		job->count_only ? 'c' : '-');
	unlink(ledger);
	if (job->way == NATIVE)
		memcpy(argv, command, sizeof(command));
	else
		cell_words(argv, command);
	text = run_program(argv, job->way == NATIVE, &status);
	if (status != 0)
		fail_msg("%s, seed %s, first %s: exit %d after:\n%s", way_names[job->way], seed,
			first, status, strlen(text) > 400 ? text + strlen(text) - 400 : text);
	return text;
}

static void tree_anew(bool fifos)
{
	int top_fd = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_true(top_fd >= 0);
	tree_remove(top_fd, "u");
	assert_int_equal(mkdirat(top_fd, "u", 0755), 0);
	assert_int_equal(mkdirat(top_fd, "u/u", 0755), 0);
	assert_int_equal(mkdirat(top_fd, "u/u/u", 0755), 0);
	close(top_fd);
	tree_make(root, worker_uid(), fifos);
	for (size_t up = strlen(ABOVE); up > 0; up -= 2) {
		char path[PATH_MAX + 16];

		snprintf(path, sizeof(path), "%s%.*s", top, (int)up, ABOVE);
		assert_int_equal(chmod(path, 0555), 0);
	}
}

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

static void policy_write(const char *text)
{
	FILE *f = fopen(policy, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(policy, 0644), 0);
}

static void policy_of_all(bool fifos)
{
	char text[PATH_MAX + 64];

	snprintf(text, sizeof(text), "allow rwx %s/%s\n", above, fifos ? " type fifo" : "");
	policy_write(text);
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

/* ---- counting -------------------------------------------------------------------------------- */

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

/* ---- the tests ------------------------------------------------------------------------------- */

static int make_top(void **state)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(top, sizeof(top), "%s/differ.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(top) || chmod(top, 0755) < 0)
		return -1;
	snprintf(above, sizeof(above), "%.*s/u", PATH_MAX - 8, top);
	snprintf(root, sizeof(root), "%.*s" ABOVE "/t", PATH_MAX - 16, top);
	snprintf(policy, sizeof(policy), "%.*s/policy", PATH_MAX - 16, top);
	snprintf(ledger, sizeof(ledger), "%.*s/ledger.jsonl", PATH_MAX - 16, top);
	return 0;
}

static int remove_top(void **state)
{
	tree_remove(AT_FDCWD, top);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ask_door_answers_as_the_kernel_does),
		cmocka_unit_test(trap_door_answers_as_the_kernel_does),
		cmocka_unit_test(both_doors_give_the_same_verdicts_and_records),
		cmocka_unit_test(the_ledger_has_each_grant_of_the_ask_door),
		cmocka_unit_test(the_ledger_has_each_grant_of_the_trap_door),
	};

	if (argc > 2)
		return worker_main(argv);
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
