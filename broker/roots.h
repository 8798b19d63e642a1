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

/* Whether the path lies in a held tree, and this is the mount that begins there in the twin. */
bool roots_in_twin(const struct session *s, const char *path, size_t size, uint64_t mount);

/*
 * The directory in which a file was made last, if the way there from its tree's root had no symlink
 * and left no mount: where the next one may be made.  A guess, and nothing to rely on.
 * `made` is the file as resolve_parent() left it, `parent` its directory's statx(2) with the mount.
 */
void roots_note_way(
	struct session *s, const struct target *made, const struct statx *parent, dev_t dev);
void roots_forget_way(struct session *s);
/* Whether the path is one of that directory's own names; then its device number, and what the walk
 * begins with, as above. */
bool roots_on_way(const struct session *s, const char *path, size_t size, dev_t *ret_dev,
	int *ret_root_fd, const char **ret_rest);

#endif
