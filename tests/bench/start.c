/* SPDX-License-Identifier: MIT */
/*
 * start.c - how long /bin/true takes in the whole cell, beside bubblewrap with an equal view.
 *
 * As the kernel places the processes, which is how people start them, then all on one CPU.  A run
 * ends when its command returns.  What it leaves behind then, as bubblewrap does its sandbox's
 * first process, is waited for before the next begins, which would have it in its time.
 *
 *     usage: start WARDER             BENCH_ROUNDS=101
 */
#include "common/runtime.h"
#include "sandbox/warder.h"
#include "tests/bench/cell.h"

#include <glob.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define ARGS_MAX  256
#define FILES_MAX 32

static int copied[FILES_MAX]; /* files that bwrap reads from inherited descriptors */
static size_t n_copied;

/* The arguments for one entry of /etc; returns how many. */
static size_t bwrap_entry(const char **argv, const char *path)
{
	static char number[FILES_MAX][12];
	struct stat st;
	int fd;

	if (stat(path, &st) < 0)
		return 0;
	argv[0] = "--ro-bind";
	argv[1] = path;
	argv[2] = path;
	if (!S_ISREG(st.st_mode) || n_copied == FILES_MAX)
		return 3;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	snprintf(number[n_copied], sizeof(number[0]), "%d", fd);
	argv[0] = "--file";
	argv[1] = number[n_copied];
	copied[n_copied++] = fd;
	return 3;
}

/* bwrap inherits them, from their beginning; nobody else does. */
static void lend_copied(bool lend)
{
	for (size_t i = 0; i < n_copied; i++) {
		lseek(copied[i], 0, SEEK_SET);
		fcntl(copied[i], F_SETFD, lend ? 0 : FD_CLOEXEC);
	}
}

/* What warder's default runtime shows: links of the root directory kept as links, and the listed
 * part of /etc, directories mounted and files copied, as warder does. */
static void bwrap_args(const char **argv)
{
	static const char *const begin[] = {
		"bwrap", "--unshare-all", "--die-with-parent", "--new-session"};
	static const char *const end[] = {"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
		"--tmpfs", "/home", "/bin/true", NULL};
	static char target[16][64];
	static glob_t found;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(begin) / sizeof(*begin); i++)
		argv[n++] = begin[i];
	for (size_t i = 0; runtime_trees[i] && i < 16; i++) {
		ssize_t size = readlink(runtime_trees[i], target[i], sizeof(target[i]) - 1);
		struct stat st;

		if (size < 0 && stat(runtime_trees[i], &st) < 0)
			continue;
		argv[n++] = size < 0 ? "--ro-bind" : "--symlink";
		argv[n++] = size < 0 ? runtime_trees[i] : target[i];
		argv[n++] = runtime_trees[i];
	}
	for (size_t i = 0; runtime_etc[i]; i++)
		glob(runtime_etc[i], i ? GLOB_APPEND : 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc && n + 20 < ARGS_MAX; i++)
		n += bwrap_entry(argv + n, found.gl_pathv[i]);
	for (size_t i = 0; i < sizeof(end) / sizeof(*end); i++)
		argv[n++] = end[i];
}

/* Of all processes that were waited for, in milliseconds. */
static double cpu_ms(void)
{
	struct rusage u = {0};

	getrusage(RUSAGE_CHILDREN, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* Milliseconds from the start of argv to its end, or negative where it did not return 0; *ret_cpu:
 * what was used for it. */
static double run(const char *const *argv, double *ret_cpu)
{
	double cpu = cpu_ms();
	uint64_t begin = bench_ns();
	int status;
	double ms;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) != 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ms = (double)(bench_ns() - begin) / 1e6;
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) /* what was left to this process */
		;
	*ret_cpu = cpu_ms() - cpu;
	return status == 0 ? ms : -1;
}

/* The same through the library, from a program that holds nothing of warder's. */
static double run_spawn(const char *warder)
{
	const char *argv[] = {"/bin/true", NULL}, *options[] = {"-q", "--ledger", ledger, NULL};
	struct warder_result result = {0};
	struct warder_spawn s = {.argv = (char *const *)argv,
		.options = options,
		.program = warder,
		.result = &result};
	uint64_t begin = bench_ns();
	int pidfd;

	if (warder_spawn(&s, &pidfd) < 0)
		errx(2, "warder_spawn: %s", warder_strerror(&s));
	if (warder_wait(&result, &pidfd) < 0 || result.status != 0)
		return -1;
	return (double)(bench_ns() - begin) / 1e6;
}

static double run_bwrap(const char *const *argv, double *ret_cpu)
{
	double ms;

	lend_copied(true);
	ms = run(argv, ret_cpu);
	lend_copied(false);
	return ms;
}

static double must(double ms, const char *what)
{
	if (ms < 0)
		errx(2, "%s /bin/true did not run", what);
	return ms;
}

static void turns(char *warder, size_t rounds, const char *where)
{
	static double bare[ROUNDS_MAX], bwrap[ROUNDS_MAX], cell[ROUNDS_MAX], spawn[ROUNDS_MAX];
	static double bwrap_cpu[ROUNDS_MAX], cell_cpu[ROUNDS_MAX];
	const char *bare_argv[] = {"/bin/true", NULL};
	static const char *bwrap_argv[ARGS_MAX];
	const char *warder_argv[] = {
		warder, "run", "-q", "--ledger", ledger, "--", "/bin/true", NULL};
	char what[64];
	bool have_bwrap;
	double ignored;

	if (!bwrap_argv[0])
		bwrap_args(bwrap_argv);
	have_bwrap = run_bwrap(bwrap_argv, &ignored) >= 0;
	must(run(warder_argv, &ignored), "warder run:");
	for (size_t i = 0; i < rounds; i++) {
		bare[i] = must(run(bare_argv, &ignored), "bare:");
		if (have_bwrap)
			bwrap[i] = must(run_bwrap(bwrap_argv, &bwrap_cpu[i]), "bwrap:");
		cell[i] = must(run(warder_argv, &cell_cpu[i]), "warder run:");
		spawn[i] = must(run_spawn(warder), "warder_spawn:");
	}
	snprintf(what, sizeof(what), "start of /bin/true in the cell%s", where);
	bench_note(
		what, bench_median(cell, rounds), "ms", "bare start", bench_median(bare, rounds));
	if (have_bwrap)
		bench_ratio(what, bench_median(cell, rounds), "ms", "bwrap --unshare-all",
			bench_median(bwrap, rounds), 0.8);
	else
		puts("start beside bwrap: not measured, bubblewrap is missing or may not run here");
	snprintf(what, sizeof(what), "its CPU time%s", where);
	if (have_bwrap)
		bench_note(what, bench_median(cell_cpu, rounds), "ms", "bwrap --unshare-all",
			bench_median(bwrap_cpu, rounds));
	snprintf(what, sizeof(what), "the same by warder_spawn%s", where);
	bench_limit(what, bench_median(spawn, rounds), "ms", 10);
}

int main(int argc, char **argv)
{
	size_t rounds = bench_count("BENCH_ROUNDS", 101);

	if (argc != 2)
		errx(2, "usage: start WARDER");
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		err(2, "cannot wait for what others leave behind");
	make_files();
	atexit(remove_files);
	turns(argv[1], rounds, "");
	bench_one_cpu();
	turns(argv[1], rounds, ", one CPU");
	return 0;
}
