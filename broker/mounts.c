/* SPDX-License-Identifier: MIT */
/*
 * mounts.c - the mounts of the cell's runtime, by which it is told that a path leads there.
 *
 * Runs in: broker.  Trusts: the kernel's number of a mount.
 *
 * Nearly every program opens its libraries through a symlink of the root directory, /lib, and to
 * prove a path that was followed (resolve.c) costs four times the walk.  Where only the tree
 * matters there is less to ask: what is in a mount that begins at /usr lies beneath /usr, whatever
 * its path is.  The mounts of a view are made before the worker is there, private, and nobody in
 * the cell can make, move or take away one; in `root host` others can, so that nothing is known
 * there.
 */
#include "broker/mounts.h"
#include "broker/open_path.h"
#include "broker/slow.h"
#include "common/fd.h"
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define NO_MOUNT       UINT64_MAX /* none begins at that tree */
#define NOT_LOOKED_FOR (UINT64_MAX - 1)

static int look(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, ret) < 0)
		return -errno;
	return ret->stx_mask & STATX_MNT_ID ? 0 : -EOPNOTSUPP; /* Linux 5.8 */
}

/* What is noted of the tree of the runtime that a path lies in; NULL: it lies in none, or there is
 * no more room. */
static struct runtime_tree *tree_of(struct session *s, const char *path, size_t size)
{
	struct runtime_trees *trees = &s->runtime_trees;
	const char *name = policy_runtime(s->policy, path, size);

	for (size_t i = 0; i < trees->n; i++) {
		if (trees->of[i].path == name)
			return &trees->of[i];
	}
	if (!name || trees->n == RUNTIME_TREES_MAX)
		return NULL;
	trees->of[trees->n] = (struct runtime_tree){.path = name, .mount = NOT_LOOKED_FOR};
	return &trees->of[trees->n++];
}

/* The mount that begins at a tree. */
static uint64_t mount_at(const struct session *s, const char *tree)
{
	struct statx stx;
	autofd fd = -1;

	if (open_beneath(s->cell->view_fd, path_relative(tree), O_PATH, 0, FOLLOW_NONE, &fd) < 0 ||
		look(fd, &stx) < 0 || !(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return NO_MOUNT;
	return stx.stx_mnt_id;
}

void mounts_note(struct session *s, const struct target *t)
{
	struct runtime_tree *asked, *reached;

	if (s->root != ROOT_VIEW || (t->reached_size == t->asked_size &&
					    memcmp(t->reached, t->asked, t->asked_size) == 0))
		return;
	asked = tree_of(s, t->asked, t->asked_size);
	reached = tree_of(s, t->reached, t->reached_size);
	if (asked)
		asked->has_links = true;
	if (reached && reached->mount == NOT_LOOKED_FOR)
		reached->mount = mount_at(s, reached->path);
}

static bool is_noted(const struct runtime_trees *trees, uint64_t mount)
{
	for (size_t i = 0; i < trees->n; i++) {
		if (trees->of[i].mount == mount)
			return true;
	}
	return false;
}

int mounts_lead_to_runtime(struct session *s, const struct target *t, bool follow)
{
	const char *path = t->raw_size > 0 ? t->raw : t->asked;
	const struct runtime_tree *tree = tree_of(s, t->asked, t->asked_size);
	uint64_t flags = O_PATH;
	struct statx stx;
	autofd fd = -1;
	bool may_wait; /* where a link may lead; resolve.c */
	int r;

	/* Without a link on the way resolving costs no more. */
	if (!tree || !tree->has_links)
		return 0;
	/* path_resolution(7): a slash at the end follows a symlink and demands a directory. */
	if (t->must_be_directory)
		flags |= O_DIRECTORY;
	else if (!follow)
		flags |= O_NOFOLLOW;
	may_wait = s->may_begin_slowly && slow_any(s);
	r = open_beneath(s->cell->view_fd, path_relative(path), flags, 0,
		may_wait ? FOLLOW_CACHED : FOLLOW_ALL, &fd);
	if (r == -EAGAIN && may_wait)
		s->begin_slowly = true;
	if (r < 0)
		return r;
	return look(fd, &stx) == 0 && is_noted(&s->runtime_trees, stx.stx_mnt_id);
}

bool mounts_are_own(const struct session *s, dev_t dev)
{
	struct stat st;

	for (size_t i = 0; i < s->n_own; i++) {
		if (fstatat(s->cell->view_fd, path_relative(s->own[i]), &st, AT_SYMLINK_NOFOLLOW) ==
				0 &&
			st.st_dev == dev)
			return true;
	}
	return false;
}
