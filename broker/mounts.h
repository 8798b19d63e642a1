/* SPDX-License-Identifier: MIT */
/*
 * mounts.h - which parts of the view are file systems that may let a look at a name wait: those
 * whose answers come from another process or machine.
 */
#ifndef WARDER_MOUNTS_H
#define WARDER_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

struct mounts;

/* Reads a mountinfo, proc_pid_mountinfo(5).  Owned by the caller; 0 or -errno. */
int mounts_read(int *mountinfo_fd, struct mounts **ret);
struct mounts *mounts_free(struct mounts *m);

/* Whether there is one at all.  NULL: none. */
bool mounts_any(const struct mounts *m);
/* Whether a path, absolute and normalised, lies on one or beneath. */
bool mounts_hold(const struct mounts *m, const char *path, size_t size);

#endif
