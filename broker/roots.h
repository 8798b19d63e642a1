/* SPDX-License-Identifier: MIT */
/*
 * roots.h - the roots of the policy's trees, held open, so that the short way of an open walks the
 * path below its tree alone.
 */
#ifndef WARDER_ROOTS_H
#define WARDER_ROOTS_H

#include "broker/request.h"

/* Looks the trees up in the view and the twin; before the session serves.  A tree that cannot be
 * held is reached from the root, as are all beyond ROOTS_MAX.  0 or -ENOMEM. */
int roots_init(struct session *s);
void roots_deinit(struct session *s);

/*
 * Where the walk to a path begins: a descriptor (borrowed) and the rest of the path, relative and
 * never empty.  `size` bytes of `path`, absolute and normalised, with a NUL behind.
 */
int roots_find(
	const struct session *s, bool write, const char *path, size_t size, const char **ret_rest);

#endif
