/* SPDX-License-Identifier: MIT */
/*
 * mounts.h - the mounts of the cell's runtime, by which it is told that a path leads there.
 */
#ifndef WARDER_MOUNTS_H
#define WARDER_MOUNTS_H

#include "broker/request.h"

/* Notes of t, which was resolved and leads into the runtime, what the next of its kind is told by:
 * whether there are links on the way, and the mount that it came out in. */
void mounts_note(struct session *s, const struct target *t);

/*
 * Whether what t asks for leads, by whatever symlinks, into a tree of the runtime.  1: it does;
 * 0: that is not known; -ENOENT, -ENOTDIR, -ELOOP, -EACCES as open(2), or -errno.
 */
int mounts_lead_to_runtime(struct session *s, const struct target *t, bool follow);

/*
 * Whether a file system is that of one of the cell's private directories, which are mounted for it
 * alone.  A name does not say so: a descriptor that was handed in has the name that its file has on
 * the host, "/tmp/x" perhaps.
 */
bool mounts_are_own(const struct session *s, dev_t dev);

#endif
