/* SPDX-License-Identifier: MIT */
/*
 * own.h - whose a path is: a data tree's, or the cell's own.
 *
 * The worker's Landlock domain holds the cell's own places and nothing of a data tree, so that a
 * call which is let go on there can reach nothing else.
 */
#ifndef WARDER_OWN_H
#define WARDER_OWN_H

#include "broker/request.h"

enum owner {
	OWNER_NONE,    /* outside of all: in a view, a directory that only leads somewhere */
	OWNER_POLICY,  /* in, or on the way to, a tree of the policy */
	OWNER_RUNTIME, /* programs and libraries, the listed part of /etc: read and run */
	OWNER_SYSTEM,  /* the cell's /proc and /dev */
	OWNER_WORKER,  /* its private /tmp, home and /dev/shm */
};

/* `path` is normalised and absolute. */
enum owner owner_of(const struct session *s, const char *path, size_t size);

#endif
