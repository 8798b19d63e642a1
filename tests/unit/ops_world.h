/* SPDX-License-Identifier: MIT */
/*
 * ops_world.h - trees to be looked at and changed through the ask door.
 */
#ifndef WARDER_TESTS_OPS_WORLD_H
#define WARDER_TESTS_OPS_WORLD_H

#include "tests/unit/world.h"

static const char *const rules = "allow rw /work/\n"
				 "allow read /data/\n"
				 "allow rwx /run/\n"
				 "allow create /drop/\n"
				 "allow delete /trash/\n"
				 "allow list /names/\n"
				 "allow rw /masked/ mode 0640\n"
				 "deny any /work/secret/\n";

static inline int setup(void **state)
{
	static const char *const dirs[] = {"/work", "/work/sub", "/work/secret", "/data",
		"/data/sub", "/run", "/drop", "/trash", "/names", "/outside", "/masked"};
	struct world *w = world_new();

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		put_dir(w, dirs[i]);
	put_file(w, "/work/f", "work");
	put_file(w, "/work/g", "other");
	put_file(w, "/work/sub/s", "s");
	put_file(w, "/work/secret/key", "key");
	put_file(w, "/data/a", "alpha");
	put_file(w, "/run/r", "run");
	put_file(w, "/drop/there", "there");
	put_file(w, "/trash/t", "t");
	put_file(w, "/names/n", "n");
	put_file(w, "/outside/x", "outside");
	put_file(w, "/masked/m", "m");
	put_link(w, "/outside", "/work/out");
	put_link(w, "f", "/work/link");
	*state = world_ready(w, rules);
	return 0;
}

static inline int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static inline int ask_path(struct world *w, enum msg_op op, const char *path)
{
	return ask(w, op, request(path, 0, 0));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
