/* SPDX-License-Identifier: MIT */
/*
 * mounts.h - the mounts of the cell's runtime, by which it is told that a path leads there.
 */
#ifndef WARDER_MOUNTS_H
#define WARDER_MOUNTS_H

#include "broker/request.h"

/* Notes the mount that begins at the tree of the runtime that `path`, which was reached, lies in:
 * once for each tree, and for the first so many. */
void mounts_note(struct session *s, const char *path, size_t size);

/*
 * Whether what t asks for leads, by whatever symlinks, into a tree of the runtime.  1: it does;
 * 0: that is not known; -ENOENT, -ENOTDIR, -ELOOP, -EACCES as open(2), or -errno.
 */
int mounts_lead_to_runtime(struct session *s, const struct target *t, bool follow);

#endif
