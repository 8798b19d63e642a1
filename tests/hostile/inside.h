/* SPDX-License-Identifier: MIT */
/*
 * inside.h - attacks that one program tries twice: in the open, where they work, and in a cell.
 *
 * A test binary is its own worker: called with --attack it runs the attacks named after it, each
 * in a child, and prints one line for each: its name, and 0 where it worked, the errno that stopped
 * it, or 1000 + the signal that killed it.  What works nowhere is no test, so every attack has a
 * control: it is run outside first.
 */
#ifndef WARDER_HOSTILE_INSIDE_H
#define WARDER_HOSTILE_INSIDE_H

#include "tests/descriptors.h"
#include "tests/own_path.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the control shows outside the cell. */
enum control {
	WORKS,         /* for everybody */
	WORKS_AS_ROOT, /* for root; refused to others by the kernel anyway */
	WORKS_NOWHERE, /* this kernel or machine lacks it; others do not */
};

struct attack {
	const char *name;
	int (*run)(void); /* 0: it worked; an errno: it was refused */
	enum control control;
};

#define KILLED 1000 /* added to the signal's number */

/* What a run of warder left behind. */
struct outcome {
	int status;      /* exit status as a shell gives it */
	char out[65536]; /* standard output and error together */
	json_t *ledger;  /* an array of records; NULL where there is no ledger */
};

#define OUTCOME_INIT \
	{ \
		.status = -1 \
	}

/* ---- the worker's side -------------------------------------------------------------------- */

static inline int attack_in_child(const struct attack *a)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int r = a->run();

		_exit(r < 0 || r > 250 ? 250 : r);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFSIGNALED(status) ? KILLED + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Runs all attacks of the table, in order. */
static inline int attack_main(const struct attack *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		printf("%s %d\n", table[i].name, attack_in_child(&table[i]));
		fflush(stdout);
	}
	return 0;
}

/* ---- the tester's side -------------------------------------------------------------------- */

static inline const char *warder_path(void)
{
	static char path[PATH_MAX];
	const char *build = getenv("BUILD");

	snprintf(path, sizeof(path), "%s/warder", build ? build : "build");
	return path;
}

/* The directory of this program's own file. */
static inline const char *own_directory(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", own_path());
	*strrchr(path, '/') = '\0';
	return path;
}

/* A new empty directory that everybody may enter, below TMPDIR; its name is the caller's buffer. */
static inline void make_directory(char *buf, size_t size)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(buf, size, "%s/hostile.XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(buf));
	assert_int_equal(chmod(buf, 0755), 0);
}

static inline void make_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Reads a stream to its end; nothing of it for ten minutes is none any more: a million tries of a
 * race take some. */
static inline void drain(int fd, char *buf, size_t size)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t got;

		assert_int_equal(poll(&p, 1, 600000), 1);
		got = read(fd, buf + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	buf[n] = '\0';
}

static inline json_t *ledger_load(const char *path)
{
	json_t *all = json_array();
	char *line = NULL;
	size_t size = 0;
	FILE *f = fopen(path, "re");

	while (f && getline(&line, &size, f) > 0) {
		json_error_t e;
		json_t *record = json_loads(line, 0, &e);

		if (!record)
			fail_msg("a line of the ledger is no JSON (%s): %s", e.text, line);
		json_array_append_new(all, record);
	}
	free(line);
	if (f)
		fclose(f);
	return all;
}

/* How many records have this event and, unless NULL, this value of `key`. */
static inline int ledger_count(
	json_t *ledger, const char *event, const char *key, const char *value)
{
	int n = 0;
	size_t i;
	json_t *r;

	json_array_foreach(ledger, i, r)
	{
		const char *e = json_string_value(json_object_get(r, "event"));
		const char *v = key ? json_string_value(json_object_get(r, key)) : NULL;

		n += e && !strcmp(e, event) && (!key || (v && !strcmp(v, value)));
	}
	return n;
}

static inline int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Runs argv with its output caught. */
static inline void run_program(struct outcome *ret, const char *const *argv)
{
	int out[2], status;
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(out[1], 1);
		dup2(out[1], 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(out[1]);
	drain(out[0], ret->out, sizeof(ret->out));
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ret->status = shell_status(status);
}

/*
 * Runs `command` in a cell: this program's own directory is its runtime, `options`
 * (NULL-terminated) are more options of warder run, the ledger stands in `dir` and is read
 * afterwards.
 */
static inline void run_inside(struct outcome *ret, const char *dir, const char *const *options,
	const char *const *command)
{
	char ledger[PATH_MAX + 16];
	const char *argv[64];
	size_t n = 0;

	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", dir);
	unlink(ledger);
	argv[n++] = warder_path();
	argv[n++] = "run";
	argv[n++] = "--runtime";
	argv[n++] = own_directory();
	argv[n++] = "--ledger";
	argv[n++] = ledger;
	for (; options && *options; options++)
		argv[n++] = *options;
	argv[n++] = "--";
	for (; *command; command++)
		argv[n++] = *command;
	argv[n] = NULL;
	run_program(ret, argv);
	ret->ledger = ledger_load(ledger);
}

static inline void outcome_free(struct outcome *o)
{
	json_decref(o->ledger);
	o->ledger = NULL;
}

/* The result of an attack; -1 where it was not run. */
static inline int result_of(const struct outcome *o, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = o->out; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, size) && line[size] == ' ')
			return atoi(line + size + 1);
	}
	return -1;
}

/* Every attack that works outside must be refused inside, and every one must have run. */
static inline void compare(const struct attack *table, size_t n, const struct outcome *outside,
	const struct outcome *inside)
{
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		const struct attack *a = &table[i];
		int out = result_of(outside, a->name), in = result_of(inside, a->name);
		bool must = a->control == WORKS || (a->control == WORKS_AS_ROOT && geteuid() == 0);

		if (must && out != 0) {
			print_error("%s: does not work outside (%d), so it shows nothing\n",
				a->name, out);
			bad++;
		}
		if (in <= 0) {
			print_error("%s: %s inside\n", a->name, in == 0 ? "WORKED" : "did not run");
			bad++;
		}
	}
	if (bad)
		fail_msg("%d of %zu attacks; inside, warder said:\n%s", bad, n, inside->out);
}

/* Setup and teardown of each test: no descriptor stays behind. */
static inline int fds_before(void **state)
{
	*state = (void *)(intptr_t)count_fds();
	return 0;
}

static inline int fds_after(void **state)
{
	return count_fds() == (int)(intptr_t)*state ? 0 : -1;
}

#endif
