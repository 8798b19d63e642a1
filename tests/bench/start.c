/* SPDX-License-Identifier: MIT */
/*
 * start.c - how long /bin/true takes in the whole cell, beside bubblewrap with an equal view.
 *
 *     usage: start WARDER             BENCH_ROUNDS=101
 */
#include "sandbox/warder.h"
#include "tests/bench/cell.h"

#include <spawn.h>

#define ROUNDS_MAX 1001
#define ARGS_MAX   48

/* The same system directories that warder's default runtime shows, links kept as links. */
static void bwrap_args(const char **argv)
{
	static const char *const dirs[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
	static char target[6][64];
	static const char *const begin[] = {"bwrap", "--unshare-all", "--die-with-parent",
		"--new-session", "--ro-bind", "/usr", "/usr"};
	static const char *const end[] = {"--ro-bind", "/etc/alternatives", "/etc/alternatives",
		"--ro-bind", "/etc/ld.so.cache", "/etc/ld.so.cache", "--proc", "/proc", "--dev",
		"/dev", "--tmpfs", "/tmp", "--tmpfs", "/home", "/bin/true", NULL};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(begin) / sizeof(*begin); i++)
		argv[n++] = begin[i];
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		ssize_t size = readlink(dirs[i], target[i], sizeof(target[i]) - 1);
		struct stat st;

		if (size < 0 && stat(dirs[i], &st) < 0)
			continue;
		argv[n++] = size < 0 ? "--ro-bind" : "--symlink";
		argv[n++] = size < 0 ? dirs[i] : target[i];
		argv[n++] = dirs[i];
	}
	for (size_t i = 0; i < sizeof(end) / sizeof(*end); i++)
		argv[n++] = end[i];
}

/* Milliseconds from the start of argv to its end, or negative where it did not return 0. */
static double run(const char *const *argv)
{
	uint64_t begin = bench_ns();
	int status;
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv, environ) != 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0 ? (double)(bench_ns() - begin) / 1e6 : -1;
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

static double must(double ms, const char *what)
{
	if (ms < 0)
		errx(2, "%s /bin/true did not run", what);
	return ms;
}

int main(int argc, char **argv)
{
	static double bare[ROUNDS_MAX], bwrap[ROUNDS_MAX], warder[ROUNDS_MAX], spawn[ROUNDS_MAX];
	size_t rounds = bench_count("BENCH_ROUNDS", 101);
	const char *bare_argv[] = {"/bin/true", NULL}, *bwrap_argv[ARGS_MAX];
	const char *warder_argv[] = {
		argv[1], "run", "-q", "--ledger", ledger, "--", "/bin/true", NULL};
	bool have_bwrap;

	if (argc != 2)
		errx(2, "usage: start WARDER");
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	make_files();
	atexit(remove_files);
	bwrap_args(bwrap_argv);
	bench_one_cpu();
	have_bwrap = run(bwrap_argv) >= 0;
	must(run(warder_argv), "warder run:");
	for (size_t i = 0; i < rounds; i++) {
		bare[i] = must(run(bare_argv), "bare:");
		if (have_bwrap)
			bwrap[i] = must(run(bwrap_argv), "bwrap:");
		warder[i] = must(run(warder_argv), "warder run:");
		spawn[i] = must(run_spawn(argv[1]), "warder_spawn:");
	}
	bench_note("start of /bin/true in the whole cell", bench_median(warder, rounds), "ms",
		"bare start", bench_median(bare, rounds));
	if (have_bwrap)
		bench_ratio("start of /bin/true in the whole cell", bench_median(warder, rounds),
			"ms", "bwrap --unshare-all", bench_median(bwrap, rounds), 0.8);
	else
		puts("start beside bwrap: not measured, bubblewrap is missing or may not run here");
	bench_limit("start of /bin/true by warder_spawn", bench_median(spawn, rounds), "ms", 10);
	return 0;
}
