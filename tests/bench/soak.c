/* SPDX-License-Identifier: MIT */
/*
 * soak.c - a waiting broker's memory, and whether a million grants leave anything behind: first
 * through the ask door, then as many plain opens through the trap door.
 *
 * Counts the broker's descriptors and resident memory before, in tenths, and after.
 *
 *     usage: soak WARDER WORKER GRANTS
 */
#include "tests/bench/cell.h"

#include "tests/descriptors.h"

/* A row of smaps_rollup in KiB; negative where it may not be read. */
static long memory_kib(pid_t pid, const char *row)
{
	char path[64], line[256];
	long kib = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, row, strlen(row)))
			kib = strtol(line + strlen(row), NULL, 10);
	}
	fclose(f);
	return kib;
}

/* The worker may have an answer before the broker has closed its own copies of what is in it. */
static int settled_fds(pid_t pid, int wanted)
{
	int n = count_fds_of(pid);

	for (int i = 0; n > wanted && i < 1000; i++) {
		usleep(1000);
		n = count_fds_of(pid);
	}
	return n;
}

/* `grants` opens by the commands given, each of which does `each` of them in all. */
static void soak(
	const struct worker *w, const char *door, const char *commands, size_t each, size_t grants)
{
	int fds = count_fds_of(w->pid), fds_most = 0;
	long before = memory_kib(w->pid, "Rss:"), after, most = 0;
	int left;

	for (size_t done = 0, i = 0; done < grants; done += each, i++) {
		for (const char *c = commands; *c; c++)
			ask(w, *c);
		if (i % (grants / each / 10 + 1) == 0) {
			int n = count_fds_of(w->pid);
			long kib = memory_kib(w->pid, "Rss:");

			fds_most = n > fds_most ? n : fds_most;
			most = kib > most ? kib : most;
		}
	}
	left = settled_fds(w->pid, fds);
	after = memory_kib(w->pid, "Rss:");
	printf("%s, %zu grants: descriptors of the broker %d before, %d at most, %d after; "
	       "RSS %ld KiB before, %ld at most, %ld after\n",
		door, grants, fds, fds_most, left, before, most, after);
	bench_limit("descriptors left behind", left - fds, "", 0);
	bench_limit("memory left behind", (double)(after - before), "KiB", 256);
}

int main(int argc, char **argv)
{
	size_t grants = argc == 4 ? (size_t)strtoul(argv[3], NULL, 10) : 0;
	struct worker w;

	if (grants < 1000)
		errx(2, "usage: soak WARDER WORKER GRANTS, at least 1000");
	setenv("BENCH_TIMES", "100", 1);
	make_files();
	atexit(remove_files);
	w = start_inside(argv[1], argv[2]);
	ask(&w, 'o');
	if (count_fds_of(w.pid) < 0 || memory_kib(w.pid, "Rss:") < 0) {
		puts("soak: not measured, /proc of the broker may be read by root alone");
		stop(&w);
		return 0;
	}
	bench_limit("a waiting broker's memory, PSS", (double)memory_kib(w.pid, "Pss:") / 1024,
		"MiB", 2);
	/* 100 single opens and a little over 100 in batches of 32 each time. */
	soak(&w, "ask door", "om", 228, grants);
	ask(&w, 'b');
	soak(&w, "trap door", "b", 100, grants);
	stop(&w);
	return 0;
}
