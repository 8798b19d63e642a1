/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what every measuring program shares: clock, medians, one line a figure.
 *
 * A figure is a ratio: what is measured and its reference run in turns within one program, so that
 * a busy machine troubles both.  A line names the goal and whether it was met; no test fails by it.
 */
#ifndef WARDER_BENCH_H
#define WARDER_BENCH_H

#include <err.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t bench_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the samples and returns their median. */
static inline double bench_median(double *samples, size_t n)
{
	qsort(samples, n, sizeof(*samples), bench_compare);
	return n % 2 ? samples[n / 2] : (samples[n / 2 - 1] + samples[n / 2]) / 2;
}

/* Binds the process, and what it starts, to one CPU: the first it may use. */
static inline void bench_one_cpu(void)
{
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		err(2, "sched_getaffinity");
	CPU_ZERO(&one);
	for (int i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &one);
			break;
		}
	}
	if (sched_setaffinity(0, sizeof(one), &one) < 0)
		err(2, "sched_setaffinity");
}

/* A whole number from the environment (BENCH_ROUNDS=5), or what stands here. */
static inline size_t bench_count(const char *name, size_t otherwise)
{
	const char *v = getenv(name);
	long n = v ? strtol(v, NULL, 10) : 0;

	return n > 0 ? (size_t)n : otherwise;
}

#define ROUNDS_MAX 1001

/* How often everything is measured. */
static inline size_t bench_rounds(void)
{
	size_t n = bench_count("BENCH_ROUNDS", 31);

	return n > ROUNDS_MAX ? ROUNDS_MAX : n;
}

/* One figure: `value` and `reference` in the same unit, at most `goal` times the reference. */
static inline void bench_ratio(const char *what, double value, const char *unit,
	const char *reference_name, double reference, double goal)
{
	double ratio = value / reference;

	printf("%-42s %10.2f %-4s %6.2f x %-26s (%.2f) goal <= %.2f x  %s\n", what, value, unit,
		ratio, reference_name, reference, goal, ratio <= goal ? "met" : "MISSED");
	fflush(stdout);
}

/* The same where more is better: at least `goal` times the reference. */
static inline void bench_at_least(const char *what, double value, const char *unit,
	const char *reference_name, double reference, double goal)
{
	double ratio = value / reference;

	printf("%-42s %10.2f %-4s %6.2f x %-26s (%.2f) goal >= %.2f x  %s\n", what, value, unit,
		ratio, reference_name, reference, goal, ratio >= goal ? "met" : "MISSED");
	fflush(stdout);
}

/* A figure with a plain limit. */
static inline void bench_limit(const char *what, double value, const char *unit, double goal)
{
	printf("%-42s %10.2f %-4s %37s goal <= %g %s  %s\n", what, value, unit, "", goal, unit,
		value <= goal ? "met" : "MISSED");
	fflush(stdout);
}

/* A figure without a goal, to compare by. */
static inline void bench_note(const char *what, double value, const char *unit,
	const char *reference_name, double reference)
{
	printf("%-42s %10.2f %-4s %6.2f x %-26s (%.2f)\n", what, value, unit, value / reference,
		reference_name, reference);
	fflush(stdout);
}

#endif
