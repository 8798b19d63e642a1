/* SPDX-License-Identifier: MIT */
/*
 * door_world.h - the ask door with something to read and something to write behind it.
 */
#ifndef WARDER_TESTS_DOOR_WORLD_H
#define WARDER_TESTS_DOOR_WORLD_H

#include "tests/unit/world.h"

static const char *const rules = "allow read /data/\nallow rw /work/\n";

static inline struct world *fill(struct world *w)
{
	put_dir(w, "/data");
	put_dir(w, "/work");
	put_dir(w, "/outside");
	put_file(w, "/data/a", "alpha");
	put_file(w, "/work/w", "work");
	put_file(w, "/outside/x", "outside");
	return w;
}

static inline int setup(void **state)
{
	*state = world_ready(fill(world_new()), rules);
	return 0;
}

static inline int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static inline struct world *with_policy(const char *text)
{
	return world_ready(fill(world_new()), text);
}

/* A sound message of one open, which a test then bends. */
static inline size_t sound_message(struct world *w, uint8_t *buf, size_t size, uint16_t count)
{
	struct enc e = enc_init(buf, size);
	struct msg_request q = request("/data/a", O_RDONLY, 0);
	size_t n;

	msg_begin(&e, MSG_OPEN, w->id + 1, count);
	for (uint16_t i = 0; i < count; i++)
		msg_put_request(&e, &q);
	assert_int_equal(msg_end(&e, &n), 0);
	return n;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
