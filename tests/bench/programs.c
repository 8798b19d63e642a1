/* SPDX-License-Identifier: MIT */
/*
 * programs.c - what the trap door costs whole programs that know nothing of it.
 *
 * Two workers of the same program (worker.c) run in turns, one inside a cell with policy and
 * ledger on, one outside without anything; each forks and runs the program as often as told, so
 * that the start of the cell is in no figure.  On a tmpfs, and where the kernel puts them.
 *
 *     usage: programs WARDER WORKER       BENCH_ROUNDS=21
 */
#include "tests/bench/cell.h"

#define TAR_FILES "5000"

static size_t rounds;
static char data[64], made[64];

/* Runs a shell line on the host, in the data tree: what prepares a measure. */
static void prepare(const char *line)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (chdir(data) < 0)
			_exit(126);
		execl("/bin/sh", "sh", "-ec", line, made, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		errx(2, "cannot prepare: %s", line);
}

static double turn(const struct worker *w, bool undo)
{
	double ns = ask(w, 'x');

	if (undo)
		ask(w, 'y');
	return ns / 1e6;
}

/* argv is the program, then "--" and what undoes it, if it is to be undone. */
static void program(
	char *warder, char *worker, const char *what, const char *const *argv, double goal)
{
	static double x[ROUNDS_MAX], y[ROUNDS_MAX];
	const char *words[EXTRA_MAX + 1] = {"-1"},
				      *outside[EXTRA_MAX + 4] = {worker, file, scratch};
	struct worker in, out;
	bool undo = false;

	if (access(argv[0], X_OK) < 0) {
		printf("%-42s not measured: no %s\n", what, argv[0]);
		return;
	}
	for (size_t i = 0; argv[i]; i++) {
		words[i + 1] = argv[i];
		undo = undo || strcmp(argv[i], "--") == 0;
	}
	memcpy(outside + 3, words, sizeof(words));
	in = start_cell(warder, worker, words);
	out = start(outside, -1);
	turn(&in, undo);
	turn(&out, undo);
	for (size_t i = 0; i < rounds; i++) {
		x[i] = turn(&in, undo);
		y[i] = turn(&out, undo);
	}
	bench_ratio(what, bench_median(x, rounds), "ms", "bare", bench_median(y, rounds), goal);
	stop(&in);
	stop(&out);
}

/*
 * An index that holds good for both.  git reads a file again whose owner, inode or times are not
 * the index's, so the files are the worker's user's: of another's owner a cell knows no number.
 * And it reads again each file that is not older than the index, until it can write a newer one,
 * which it cannot where the tree is only read.
 */
static const char repository[] =
	"git init -q repo && cd repo && "
	"for d in $(seq %d); do mkdir $d && for i in $(seq 100); do echo $i >$d/$i; done; done && "
	"touch -d 2020-01-01 */* && if [ $(id -u) = 0 ]; then chown -R 65534:65534 .; fi && "
	"export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' && "
	"git add . && "
	"git -c user.name=bench -c user.email=bench@localhost commit -q -m files";

/* hundreds: of files, one directory each. */
static void status(char *warder, char *worker, int hundreds)
{
	char repo[80], line[sizeof(repository) + 8], what[40];
	const char *const git[] = {
		"/usr/bin/git", "-c", "safe.directory=*", "-C", repo, "status", "--short", NULL};

	snprintf(repo, sizeof(repo), "%s/repo", data);
	snprintf(line, sizeof(line), repository, hundreds);
	snprintf(what, sizeof(what), "git status, %d files", 100 * hundreds);
	if (access(git[0], X_OK) == 0)
		prepare(line);
	program(warder, worker, what, git, 1.4);
	prepare("rm -rf repo");
}

static void measure(char *warder, char *worker)
{
	static const char imports[] =
		"import json, re, subprocess, argparse, email, urllib.request";
	char c[80], o[80], tar[80], packed[80], to[80];
	const char *const python[] = {"/usr/bin/python3", "-B", "-c", imports, NULL};
	const char *const gcc[] = {"/usr/bin/gcc", "-c", "-o", o, c, NULL};
	const char *const pack[] = {"/bin/tar", "-c", "-f", packed, "-C", data, "tree", NULL};
	const char *const untar[] = {
		"/bin/tar", "-x", "-f", tar, "-C", made, "--", "/bin/rm", "-rf", "--", to, NULL};

	snprintf(c, sizeof(c), "%s/hello.c", data);
	snprintf(o, sizeof(o), "%s/hello.o", made);
	snprintf(packed, sizeof(packed), "%s/packed.tar", made);
	snprintf(tar, sizeof(tar), "%s/tree.tar", data);
	snprintf(to, sizeof(to), "%s/tree", made);
	program(warder, worker, "python3 -c 'import json, re, ...'", python, 1.2);
	prepare("printf '#include <stdio.h>\\nint main(void) { return puts(\"hello\") < 0; }\\n' "
		">hello.c");
	program(warder, worker, "gcc -c hello.c", gcc, 1.2);
	status(warder, worker, 2);
	status(warder, worker, 70);
	prepare("mkdir tree && for i in $(seq " TAR_FILES "); do echo $i >tree/$i; done && "
		"tar -c -f tree.tar tree");
	program(warder, worker, "tar -c of " TAR_FILES " files", pack, 2.3);
	program(warder, worker, "tar -x of " TAR_FILES " files", untar, 2.3);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		errx(2, "usage: programs WARDER WORKER");
	rounds = bench_count("BENCH_ROUNDS", 21);
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (access("/dev/shm", W_OK) == 0)
		strcpy(dir, "/dev/shm/warder-bench.XXXXXX");
	make_files();
	atexit(remove_files);
	snprintf(data, sizeof(data), "%s/data", dir);
	snprintf(made, sizeof(made), "%s/scratch", dir);
	measure(argv[1], argv[2]);
	return 0;
}
