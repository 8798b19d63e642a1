/* SPDX-License-Identifier: MIT */
/*
 * open.c - what one open through the ask door costs, beside a minimal broker and a bare openat.
 *
 * Two workers of the same program (worker.c) run in turns, one inside a cell with policy and
 * ledger on, one outside with a broker that does the least there is to do: receive a path, openat,
 * answer with SCM_RIGHTS.  Then beside one that does what the design asks of any (owed.h).  All on
 * one CPU first, then where the kernel puts them.
 *
 *     usage: open WARDER WORKER       BENCH_ROUNDS=31  BENCH_TIMES=2000
 */
#include "tests/bench/cell.h"
#include "tests/bench/minimal.h"
#include "tests/bench/owed.h"

#include <poll.h>

static size_t rounds;

/* The reference. */
static int minimal_open(const char *path)
{
	return openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

/* The same, as the design has it: of several descriptors it waits for whichever comes. */
static int start_owed(void)
{
	char path[PATH_MAX];
	int pair[2], quiet[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || pipe(quiet) < 0 ||
		(pid = fork()) < 0)
		err(2, "caged broker");
	if (pid > 0) {
		close(pair[1]);
		close(quiet[0]);
		close(quiet[1]);
		return pair[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pair[0]);
	snprintf(path, sizeof(path), "%s/owed", dir);
	owed_begin(path);
	owed_domain(dir);
	owed_filter();
	for (;;) {
		struct pollfd p[] = {{.fd = pair[1], .events = POLLIN},
			{.fd = quiet[0], .events = POLLIN}, {.fd = quiet[0], .events = POLLIN}};
		int fd;

		if (poll(p, 3, -1) < 0 || recv(pair[1], path, sizeof(path), 0) <= 0)
			_exit(0);
		fd = owed_open(path, O_RDONLY);
		minimal_answer(pair[1], fd);
		if (fd >= 0)
			close(fd);
	}
}

/* `open caged PROGRAM ARG ...`: the program, with a session and a filter of its own. */
static int caged(char **argv)
{
	setsid();
	owed_filter();
	execv(argv[0], argv);
	return 127;
}

static struct worker start_outside(char *program, int minimal)
{
	char number[16];
	const char *argv[] = {program, file, scratch, number, NULL};

	snprintf(number, sizeof(number), "%d", minimal);
	return start(argv, minimal);
}

/* Runs both in turns; medians in ns. */
static void turns(const struct worker *a, char a_command, const struct worker *b, char b_command,
	double *ret_a, double *ret_b)
{
	static double x[ROUNDS_MAX], y[ROUNDS_MAX];

	ask(a, a_command);
	ask(b, b_command);
	for (size_t i = 0; i < rounds; i++) {
		x[i] = ask(a, a_command);
		y[i] = ask(b, b_command);
	}
	*ret_a = bench_median(x, rounds);
	*ret_b = bench_median(y, rounds);
}

static void measure(const struct worker *in, const struct worker *out, bool pinned)
{
	double a, b;

	turns(in, 'o', out, 'o', &a, &b);
	if (pinned)
		bench_ratio("ask door, one open", a / 1e3, "us", "minimal SEQPACKET broker",
			b / 1e3, 1.2);
	else
		bench_note("ask door, one open, not pinned", a / 1e3, "us",
			"minimal SEQPACKET broker", b / 1e3);
	turns(in, 't', out, 't', &a, &b);
	bench_note(pinned ? "ask door, four threads, one channel"
			  : "ask door, four threads, not pinned",
		a / 1e3, "us", "minimal SEQPACKET broker", b / 1e3);
	turns(in, 'm', out, 'b', &a, &b);
	if (pinned)
		bench_ratio("ask door, 32 a message, each", a / 1e3, "us", "bare openat+close",
			b / 1e3, 1.6);
	else
		bench_note("ask door, 32 a message, not pinned", a / 1e3, "us", "bare openat+close",
			b / 1e3);
	if (!pinned)
		return;
	turns(in, 's', out, 's', &a, &b);
	bench_ratio("stat in the cell", a / 1e3, "us", "bare stat", b / 1e3, 1.1);
	turns(in, 'r', out, 'r', &a, &b);
	bench_ratio("read of 4 KiB in the cell", a / 1e3, "us", "bare pread", b / 1e3, 1.1);
	turns(in, 'w', out, 'w', &a, &b);
	bench_ratio("write of 4 KiB in the cell", a / 1e3, "us", "bare pwrite", b / 1e3, 1.1);
}

static void beside_owed(const struct worker *in, char *program)
{
	int broker = start_owed();
	char number[16];
	const char *argv[] = {"/proc/self/exe", "caged", program, file, scratch, number, NULL};
	struct worker out;
	double a, b;

	snprintf(number, sizeof(number), "%d", broker);
	out = start(argv, broker);
	close(broker);
	turns(in, 'o', &out, 'o', &a, &b);
	bench_note("ask door, one open", a / 1e3, "us", "minimal, caged, with record", b / 1e3);
	stop(&out);
}

static void phase(char *warder, char *program, bool pinned)
{
	int minimal = minimal_start(minimal_open);
	struct worker out = start_outside(program, minimal);
	struct worker in = start_inside(warder, program);

	close(minimal);
	measure(&in, &out, pinned);
	if (pinned)
		beside_owed(&in, program);
	stop(&in);
	stop(&out);
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "caged") == 0)
		return caged(argv + 2);
	if (argc != 3)
		errx(2, "usage: open WARDER WORKER");
	bench_phases(argv[1], argv[2], &rounds, phase);
	return 0;
}
