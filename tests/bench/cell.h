/* SPDX-License-Identifier: MIT */
/*
 * cell.h - files to open, and a worker inside a cell that opens them when told to.
 */
#ifndef WARDER_BENCH_CELL_H
#define WARDER_BENCH_CELL_H

#include "tests/bench/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct worker {
	pid_t pid;
	int in, out;
};

static char dir[40] = "/tmp/warder-bench.XXXXXX";
static char file[64], scratch[64], ledger[64];

static inline void put_file(char *path, const char *name, size_t size)
{
	char block[4096] = "x";
	int fd;

	snprintf(path, sizeof(file), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, block, size) != (ssize_t)size || fchmod(fd, 0666) < 0)
		err(2, "%s", path);
	close(fd);
}

/* Four components to each file, readable and writable for whoever the worker is. */
static inline void make_files(void)
{
	static const char *const dirs[] = {"data", "scratch"};
	char path[64];

	if (!mkdtemp(dir) || chmod(dir, 0755) < 0)
		err(2, "%s", dir);
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		if (mkdir(path, 0755) < 0 || chmod(path, 0777) < 0)
			err(2, "%s", path);
	}
	put_file(file, "data/one", 4096);
	put_file(scratch, "scratch/two", 4096);
	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", dir);
}

/* The tree is small and of known shape, but for the policy's copies beside the ledger. */
static inline void remove_files(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static inline struct worker start(const char *const *argv, int keep)
{
	int in[2], out[2];
	struct worker w;

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0 || (w.pid = fork()) < 0)
		err(2, "start");
	if (w.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		if (keep < 0)
			close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	w.in = in[1];
	w.out = out[0];
	return w;
}

#define EXTRA_MAX 16 /* words of a program that a worker is to run */

/* A worker in a cell with policy and ledger on; `extra`, if not NULL, is what follows its files. */
static inline struct worker start_cell(char *warder, char *program, const char *const *extra)
{
	char read_rule[96], write_rule[96], where[PATH_MAX], *slash;
	const char *argv[18 + EXTRA_MAX] = {warder, "run", "-q", "--env", "BENCH_TIMES",
		"--runtime", where, "-e", read_rule, "-e", write_rule, "--ledger", ledger, "--",
		program, file, scratch};
	size_t n = 17;

	for (size_t i = 0; extra && extra[i] && i < EXTRA_MAX; i++)
		argv[n++] = extra[i];
	snprintf(read_rule, sizeof(read_rule), "allow read %s/data/", dir);
	snprintf(write_rule, sizeof(write_rule), "allow rw %s/scratch/", dir);
	snprintf(where, sizeof(where), "%s", program);
	slash = strrchr(where, '/');
	if (slash)
		*slash = '\0';
	return start(argv, -1);
}

static inline struct worker start_inside(char *warder, char *program)
{
	return start_cell(warder, program, NULL);
}

static inline double ask(const struct worker *w, char command)
{
	double answer;

	if (write(w->in, &command, 1) != 1 ||
		read(w->out, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		errx(2, "the worker stopped at '%c'", command);
	return answer;
}

static inline void stop(struct worker *w)
{
	close(w->in);
	close(w->out);
	waitpid(w->pid, NULL, 0);
}

/* Everything on one CPU first, then where the kernel puts it. */
static inline void bench_phases(char *program, char *worker, size_t *ret_rounds,
	void (*phase)(char *program, char *worker, bool one_cpu))
{
	cpu_set_t all;

	*ret_rounds = bench_rounds();
	signal(SIGPIPE, SIG_IGN);
	sched_getaffinity(0, sizeof(all), &all);
	make_files();
	atexit(remove_files);
	bench_one_cpu();
	phase(program, worker, true);
	sched_setaffinity(0, sizeof(all), &all);
	phase(program, worker, false);
}

#endif
