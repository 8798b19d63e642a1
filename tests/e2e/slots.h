/* SPDX-License-Identifier: MIT */
/*
 * slots.h - the ledgers of a service's slots.
 */
#ifndef WARDER_TEST_SLOTS_H
#define WARDER_TEST_SLOTS_H

#include "tests/e2e/server.h"
#include "tests/hostile/inside.h"

#include <glob.h>

/* All records of one slot, of each worker that it has had. */
static inline json_t *slot_ledger(const struct server *s, int slot)
{
	char pattern[400];
	json_t *all = json_array();
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/warder/serve/t/*slot%d-*.jsonl", s->dir, slot);
	if (glob(pattern, 0, NULL, &found) != 0)
		fail_msg("no ledger %s", pattern);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		json_t *one = ledger_load(found.gl_pathv[i]);

		json_array_extend(all, one);
		json_decref(one);
	}
	globfree(&found);
	return all;
}

static inline int slot_count(
	const struct server *s, int slot, const char *event, const char *key, const char *value)
{
	json_t *all = slot_ledger(s, slot);
	int n = ledger_count(all, event, key, value);

	json_decref(all);
	return n;
}

/* The process that was started last. */
static inline pid_t slot_worker(const struct server *s, int slot)
{
	json_t *all = slot_ledger(s, slot);
	pid_t pid = 0;
	json_t *r;
	size_t i;

	json_array_foreach(all, i, r)
	{
		if (strcmp(json_string_value(json_object_get(r, "event")), "spawn") == 0)
			pid = (pid_t)json_integer_value(json_object_get(r, "pid"));
	}
	json_decref(all);
	assert_true(pid > 1);
	return pid;
}

#endif
