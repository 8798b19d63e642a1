/* SPDX-License-Identifier: MIT */
/*
 * mounts.c - the mounts of the cell's runtime, by which it is told that a path leads there.
 *
 * Runs in: broker.  Trusts: the kernel's number of a mount.
 *
 * Nearly every program opens its libraries through a symlink of the root directory, /lib, and to
 * prove a path that was followed (resolve.c) costs three times the walk.  Where only the tree
 * matters there is less to ask: what is in a mount that begins at /usr lies beneath /usr, whatever
 * its path is.  The mounts of a view are made before the worker is there, private, and nobody in
 * the cell can make, move or take away one; in `root host` others can, so that nothing is known
 * there.
 */
#include "broker/mounts.h"
#include "broker/open_path.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define NO_MOUNT UINT64_MAX /* none begins at that tree */

/* The path for a walk beneath a root: relative, and "." for the root itself. */
static const char *relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

static int look(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, ret) < 0)
		return -errno;
	return ret->stx_mask & STATX_MNT_ID ? 0 : -EOPNOTSUPP; /* Linux 5.8 */
}

void mounts_note(struct session *s, const char *path, size_t size)
{
	struct runtime_mounts *m = &s->runtime_mounts;
	const char *tree = policy_runtime(s->policy, path, size);
	struct statx stx;
	autofd fd = -1;

	if (s->root != ROOT_VIEW || !tree || m->n == RUNTIME_MOUNTS_MAX)
		return;
	for (size_t i = 0; i < m->n; i++) {
		if (m->of[i].tree == tree)
			return;
	}
	m->of[m->n] = (struct runtime_mount){.tree = tree, .id = NO_MOUNT};
	if (open_beneath(s->cell->view_fd, relative(tree), O_PATH, 0, FOLLOW_NONE, &fd) == 0 &&
		look(fd, &stx) == 0 && (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		m->of[m->n].id = stx.stx_mnt_id;
	m->n++;
}

static bool is_noted(const struct runtime_mounts *m, uint64_t id)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->of[i].id == id)
			return true;
	}
	return false;
}

int mounts_lead_to_runtime(struct session *s, const struct target *t, bool follow)
{
	const char *path = t->raw_size > 0 ? t->raw : t->asked;
	uint64_t flags = O_PATH;
	struct statx stx;
	autofd fd = -1;
	bool may_wait; /* where a link may lead; resolve.c */
	int r;

	if (s->runtime_mounts.n == 0)
		return 0;
	/* path_resolution(7): a slash at the end follows a symlink and demands a directory. */
	if (t->must_be_directory)
		flags |= O_DIRECTORY;
	else if (!follow)
		flags |= O_NOFOLLOW;
	may_wait = s->may_begin_slowly && slow_fs_any(s->cell->slow);
	r = open_beneath(s->cell->view_fd, relative(path), flags, 0,
		may_wait ? FOLLOW_CACHED : FOLLOW_ALL, &fd);
	if (r == -EAGAIN && may_wait)
		s->begin_slowly = true;
	if (r < 0)
		return r;
	return look(fd, &stx) == 0 && is_noted(&s->runtime_mounts, stx.stx_mnt_id);
}
