/* SPDX-License-Identifier: MIT */
/*
 * differ_job.h - runs of random requests, natively and through each door.
 *
 * The test's program is its own worker: called with --run it makes requests and prints a line for
 * each, see differ_run.h.  The plain run is made by the worker's user in a plain directory.
 */
#ifndef WARDER_E2E_DIFFER_JOB_H
#define WARDER_E2E_DIFFER_JOB_H

#include "tests/e2e/differ_run.h"
#include "tests/own_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <grp.h>
#include <jansson.h>
#include <poll.h>
#include <sys/wait.h>

#define NOBODY 65534 /* the worker's user, where root starts it */

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
static inline void mediate(struct request *q)
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

static inline int work(const struct job *job, const char *where)
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

static inline int worker_main(char **argv)
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

static inline uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static inline uid_t worker_uid(void)
{
	return geteuid() == 0 ? NOBODY : geteuid();
}

static inline void become_worker(void)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
		_exit(125);
}

/* All that comes out of a descriptor; to be freed. */
static inline char *slurp(int fd)
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
static inline char *run_program(const char *const *argv, bool plain, int *ret_status)
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
static inline void cell_words(const char **argv, const char *const *command)
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

static inline char *run_job(const struct job *job)
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

static inline void tree_anew(bool fifos)
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

static inline void policy_write(const char *text)
{
	FILE *f = fopen(policy, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(policy, 0644), 0);
}

static inline void policy_of_all(bool fifos)
{
	char text[PATH_MAX + 64];

	snprintf(text, sizeof(text), "allow rwx %s/%s\n", above, fifos ? " type fifo" : "");
	policy_write(text);
}

static inline int make_top(void **state)
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

static inline int remove_top(void **state)
{
	tree_remove(AT_FDCWD, top);
	return 0;
}

#endif
