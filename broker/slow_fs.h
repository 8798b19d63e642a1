/* SPDX-License-Identifier: MIT */
/*
 * slow_fs.h - which parts of the view, and of the host, are file systems that may let a look at a
 * name wait: those whose answers come from another process or machine.
 */
#ifndef WARDER_SLOW_FS_H
#define WARDER_SLOW_FS_H

#include "common/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct slow_fs;

/* Reads a mountinfo, proc_pid_mountinfo(5).  Owned by the caller; 0 or -errno. */
int slow_fs_read(int *mountinfo_fd, struct slow_fs **ret);
struct slow_fs *slow_fs_free(struct slow_fs *m);

/* Whether there is one at all.  NULL: none. */
bool slow_fs_any(const struct slow_fs *m);
/* Whether a path, absolute and normalised, lies on one or beneath. */
bool slow_fs_hold(const struct slow_fs *m, const char *path, size_t size);

/* The host's, as they are at each moment. */
struct slow_host;

/* Takes an open mountinfo.  Owned by the caller; 0 or -ENOMEM. */
int slow_host_new(int *mountinfo_fd, struct slow_host **ret);
struct slow_host *slow_host_free(struct slow_host *h);

/* Before the domain, in which no file of the host's /proc can be opened: the view's table, that of
 * `init` (0: of the caller), in *ret_view_fd for slow_fs_read(), and the host's as by
 * slow_host_new(). 0 or -errno with the sentence. */
int slow_fs_open(pid_t init, int *ret_view_fd, struct slow_host **ret, struct failure *f);

/* As slow_fs_any(), now, but for /proc; true too where it cannot be told.  NULL: none. */
bool slow_host_any(struct slow_host *h);
/* As slow_fs_hold(), now; true too where it cannot be told.  NULL: none.  Allocates nothing. */
bool slow_host_holds(struct slow_host *h, const char *path, size_t size);

#endif
