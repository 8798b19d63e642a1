/* SPDX-License-Identifier: MIT */
/*
 * open_world.h - trees with each of the rights, to be opened through the ask door.
 */
#ifndef WARDER_TESTS_OPEN_WORLD_H
#define WARDER_TESTS_OPEN_WORLD_H

#include "tests/unit/world.h"

static const char *const rules = "allow read /data/\n"
				 "allow rw /work/\n"
				 "allow append /logs/\n"
				 "allow read,append /both/\n"
				 "allow write /only/\n"
				 "allow create /drop/\n"
				 "allow list /names/\n"
				 "allow read /data2/ type fifo\n"
				 "allow rw /masked/ mode 0640\n"
				 "deny any /data/secret/\n";

static inline int setup(void **state)
{
	static const char *const dirs[] = {"/data", "/data/sub", "/data/secret", "/work", "/logs",
		"/both", "/only", "/drop", "/names", "/data2", "/masked", "/outside", "/datax"};
	struct world *w = world_new();

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		put_dir(w, dirs[i]);
	put_file(w, "/data/a", "alpha");
	put_file(w, "/data/sub/b", "beta");
	put_file(w, "/data/secret/key", "key");
	put_file(w, "/outside/x", "outside");
	put_file(w, "/datax/a", "near miss");
	put_file(w, "/work/w", "work");
	put_file(w, "/logs/log", "line\n");
	put_file(w, "/both/log", "line\n");
	put_file(w, "/only/o", "only");
	put_file(w, "/names/n", "n");
	*state = world_ready(w, rules);
	return 0;
}

static inline int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static inline bool reads(struct world *w, const char *text)
{
	char buf[64] = "";

	return read(w->fds[0], buf, sizeof(buf)) == (ssize_t)strlen(text) &&
	       memcmp(buf, text, strlen(text)) == 0;
}

struct open_case {
	const char *path;
	int flags;
	int result;
};

static inline void run_cases(struct world *w, const struct open_case *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = ask_open(w, c[i].path, c[i].flags);

		if (r != c[i].result)
			fail_msg("case %zu, %s flags %#o: %d, not %d", i, c[i].path, c[i].flags, r,
				c[i].result);
	}
	world_close_answer(w);
	assert_int_equal(count_events(w, "grant", true), w->s.tally.granted);
}

#define RUN(w, cases) run_cases(w, cases, sizeof(cases) / sizeof((cases)[0]))

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
