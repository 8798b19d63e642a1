/* SPDX-License-Identifier: MIT */
/*
 * summary.c - what `warder run` tells a person at the end.
 *
 * Runs in: broker after its end, still in its cage.  Trusts: nothing the worker asked for; its
 * paths are escaped.
 */
#include "cli/summary.h"
#include "cli/noise.h"
#include "cli/say.h"
#include "cli/suggest.h"
#include "common/fd.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SHOWN  1200
#define DENIALS_MAX 16 /* that are listed */

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

/* What a line for this path has to give, as it stands there now: it was denied, so that mostly it
 * stands as it did. */
static unsigned rights_to_add(const struct broker_denial *d)
{
	unsigned rights = d->rights;

	if (d->absent == 0)
		rights = (d->rights & ~d->rights_new) | d->rights_there;
	else if (d->absent != ENOENT && d->absent != ENOTDIR)
		rights |= d->rights_there;
	return rights ? rights : d->rights;
}

/* What lifts it, in one line; "" where nothing does. */
static void remedy(const struct broker_denial *d, const char *rule, char *buf, size_t size)
{
	const struct suggest_place place = {d->absent, d->mode, d->link};
	char line[4 * PATH_SHOWN] = "";
	int r = -EINVAL;

	buf[0] = '\0';
	if (d->remedy == REMEDY_ALLOW || d->remedy == REMEDY_AS_BROKER)
		r = suggest(rights_to_add(d), d->path, d->fixed, &place, line, sizeof(line));
	else if (d->remedy == REMEDY_EXCEPT && d->path[0] == '/')
		r = suggest_except(d->rule, d->path, d->makes_dir, &place, line, sizeof(line));
	switch (d->remedy) {
	case REMEDY_ALLOW:
	case REMEDY_AS_BROKER:
		if (d->remedy == REMEDY_AS_BROKER && d->rule[0])
			snprintf(buf, size, "         to allow it, end %s with: as broker\n", rule);
		else if (r == 0)
			snprintf(buf, size, "         to allow it: %s%s\n", line,
				d->remedy == REMEDY_AS_BROKER ? " as broker" : "");
		return;
	case REMEDY_EXCEPT:
		if (r == 0)
			snprintf(buf, size, "         no allow lifts a deny; to except it, %s\n",
				line);
		return;
	case REMEDY_ANSWER:
		snprintf(buf, size, "         to allow it, write \"allow\" in %s\n", rule);
		return;
	case REMEDY_NONE:
		return;
	}
}

/* One denial: at most three lines, one write(2). */
static void print_denial(const struct broker_denial *d, bool colour)
{
	char text[12288], path[PATH_SHOWN], rights[96], times[40] = "", more[4 * PATH_SHOWN + 256];
	char reason[4 * sizeof(d->reason)], rule[4 * sizeof(d->rule)];
	/* Mostly the reason names its rule. */
	bool names_rule = !d->failed && d->rule[0] && !strstr(d->reason, d->rule);

	say_escape(path, sizeof(path), d->path, strlen(d->path));
	say_escape(reason, sizeof(reason), d->reason, strlen(d->reason));
	say_escape(rule, sizeof(rule), d->rule, strlen(d->rule));
	policy_rights_name(d->rights, rights, sizeof(rights));
	if (d->count > 1)
		snprintf(times, sizeof(times), " (%llu times)", (unsigned long long)d->count);
	remedy(d, rule, more, sizeof(more));
	snprintf(text, sizeof(text), "  %s%s%s %s%s%s%s: %s%s%s\n%s", colour ? "\033[31m" : "",
		d->failed ? "failed" : "denied", colour ? "\033[0m" : "", rights,
		rights[0] ? " " : "", path, times,
		reason[0] ? reason
		: d->also ? "no rule allows it either"
			  : "no rule allows it",
		names_rule ? ", " : "", names_rule ? rule : "", more);
	fd_write_all(STDERR_FILENO, text, strlen(text));
}

void summary_print(
	const struct broker_result *result, const char *ledger, const char *search, bool colour)
{
	char book[PATH_SHOWN];
	uint64_t shown = 0, noise = 0;
	size_t listed = 0;

	say_escape(book, sizeof(book), ledger, strlen(ledger));
	say("%llu request%s granted, %llu denied%s; ledger %s", (unsigned long long)result->granted,
		plural(result->granted), (unsigned long long)result->denied,
		result->timed_out   ? "; its time was up"
		: result->cpu_ended ? "; its processor time was up"
				    : "",
		book);
	if (result->closed > 0)
		say("%llu request%s failed where \"as broker\" would have opened",
			(unsigned long long)result->closed, plural(result->closed));
	if (result->oom_killed > 0)
		say("the cell's limit of memory ended %llu of its processes",
			(unsigned long long)result->oom_killed);
	if (result->limited > 0)
		say("%llu request%s met a limit", (unsigned long long)result->limited,
			plural(result->limited));
	for (size_t i = 0; i < result->n_denials; i++) {
		const struct broker_denial *d = &result->denials[i];

		if (denial_is_noise(d, search)) {
			noise += d->count;
			continue;
		}
		if (listed++ >= DENIALS_MAX)
			continue;
		print_denial(d, colour);
		if (!d->failed && !d->also)
			shown += d->count;
	}
	if (noise > 0)
		say("%llu denial%s of what is missing on the host too, or done without, stand%s in "
		    "the ledger",
			(unsigned long long)noise, plural(noise), noise == 1 ? "s" : "");
	if (result->denied > shown + noise)
		say("%llu more denials stand in the ledger",
			(unsigned long long)(result->denied - shown - noise));
}
