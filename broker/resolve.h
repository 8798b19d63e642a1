/* SPDX-License-Identifier: MIT */
/*
 * resolve.h - from the path that was asked to the inode that it reaches.
 */
#ifndef WARDER_RESOLVE_H
#define WARDER_RESOLVE_H

#include "broker/request.h"

void target_init(struct target *t);
/* Closes its descriptor. */
void target_deinit(struct target *t);

/*
 * Takes a path as it came: its normal form in t->asked, what must be kept of the rest beside it.
 * 0; -EINVAL: not absolute, or a NUL inside; -ENAMETOOLONG.
 */
int target_ask(struct target *t, const char *path, size_t size);

/*
 * Resolves t under root_fd to an O_PATH descriptor, proves what it reached, and fills in `reached`,
 * dev, ino, mode and the owner.  Symlinks on the way are followed; at the end only if `follow`.
 * The walk has the authority of the rule that allows what was asked (q->answer), else the worker's.
 * 0; -ENOENT, -ENOTDIR, -ELOOP, -EACCES as open(2); -EAGAIN: the way kept changing; or -errno.
 */
int resolve_inode(
	struct session *s, const struct request *q, struct target *t, int root_fd, bool follow);

/*
 * Resolves the directory that holds t's last component, which may exist or not: t->fd is the
 * parent, t->name the component, `reached` the parent's with the name.  dev, ino and mode are 0.
 * Where the last component is no name (the root itself, "." or ".."), t->fd is the inode and
 * t->name is NULL.
 * 0, or as above.
 */
int resolve_parent(struct session *s, const struct request *q, struct target *t, int root_fd);
/* Then looks at that name: dev, ino and mode are the named inode's, 0 where there is none; a
 * symlink is not followed.  0 or -errno. */
int resolve_look(struct session *s, const struct request *q, struct target *t);
/* Both. */
int resolve_name(struct session *s, const struct request *q, struct target *t, int root_fd);

#endif
