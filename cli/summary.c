/* SPDX-License-Identifier: MIT */
/*
 * summary.c - what `warder run` tells a person at the end.
 *
 * Runs in: broker after its end, still in its cage.  Trusts: nothing the worker asked for; its
 * paths are escaped.
 */
#include "cli/summary.h"
#include "cli/say.h"
#include "cli/suggest.h"
#include "common/fd.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SHOWN 1200

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* One denial: at most three lines, one write(2). */
static void print_denial(const struct broker_denial *d, bool colour)
{
	char text[4096], path[PATH_SHOWN], rights[96], line[2 * PATH_SHOWN], times[40] = "";
	int n;

	say_escape(path, sizeof(path), d->path, strlen(d->path));
	policy_rights_name(d->rights, rights, sizeof(rights));
	if (d->count > 1)
		snprintf(times, sizeof(times), " (%llu times)", (unsigned long long)d->count);
	n = snprintf(text, sizeof(text), "  %sdenied%s %s%s%s%s: %s%s%s\n",
		colour ? "\033[31m" : "", colour ? "\033[0m" : "", rights, rights[0] ? " " : "",
		path, times, d->reason[0] ? d->reason : "no rule allows it", d->rule[0] ? ", " : "",
		d->rule);
	/* A deny rule is there on purpose: what lifts it stands in its own file. */
	if (!d->rule[0] && suggest(d->rights, d->path, line, sizeof(line)) == 0)
		n += snprintf(
			text + n, sizeof(text) - (size_t)n, "         to allow it: %s\n", line);
	if (n > 0)
		fd_write_all(STDERR_FILENO, text, strlen(text));
}

void summary_print(const struct broker_result *result, const char *ledger, bool colour)
{
	uint64_t shown = 0;

	say("%llu request%s granted, %llu denied%s; ledger %s", (unsigned long long)result->granted,
		plural(result->granted), (unsigned long long)result->denied,
		result->timed_out ? "; its time was up" : "", ledger);
	if (result->oom_killed > 0)
		say("the cell's limit of memory ended %llu of its processes",
			(unsigned long long)result->oom_killed);
	if (result->limited > 0)
		say("%llu request%s met a limit", (unsigned long long)result->limited,
			plural(result->limited));
	for (size_t i = 0; i < result->n_denials; i++) {
		print_denial(&result->denials[i], colour);
		shown += result->denials[i].count;
	}
	if (result->denied > shown)
		say("%llu more denials stand in the ledger",
			(unsigned long long)(result->denied - shown));
}
