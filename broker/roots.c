/* SPDX-License-Identifier: MIT */
/*
 * roots.c - the roots of the policy's trees, held open.
 *
 * Runs in: broker.  Trusts: the policy's trees, as they were resolved at load.
 *
 * Only a tree that is a mount of its own in the view is held: there its path leads to the same
 * directory as long as the cell lives, whatever the host renames.  And only one that lies in no
 * other tree: the directories above it are then the view's own, which anyone may search, so that
 * leaving them out skips no permission.
 */
#include "broker/roots.h"
#include "broker/open_path.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOTS_MAX 16

struct roots {
	size_t way_size; /* 0: none */
	dev_t way_dev;
	char way[PATH_MAX];
	size_t n;
	struct root {
		const char *path; /* belongs to the policy */
		size_t size;
		int view_fd, twin_fd;
		uint64_t twin_mount;
	} of[ROOTS_MAX];
};

static bool is_beneath(const char *path, size_t size, const char *dir, size_t dir_size)
{
	return size >= dir_size && memcmp(path, dir, dir_size) == 0 &&
	       (size == dir_size || path[dir_size] == '/');
}

/* Whether another tree lies above this one, or is the root of all. */
static bool is_nested(const struct policy *p, const char *path)
{
	for (size_t i = 0; i < policy_tree_count(p); i++) {
		const struct policy_tree *t = policy_tree(p, i);
		size_t size = strlen(t->resolved);

		if (t->verdict == VERDICT_DENY || t->missing || !(t->rights & RIGHTS_FILES) ||
			!policy_tree_is_place(p, i) || strcmp(t->resolved, path) == 0)
			continue;
		if (size == 1 || is_beneath(path, strlen(path), t->resolved, size))
			return true;
	}
	return false;
}

/* O_PATH of the tree's directory, if a mount begins there. */
static int open_root(int at_fd, const char *path, uint64_t *ret_mount)
{
	autofd fd = -1;
	struct statx stx;

	if (open_beneath(at_fd, path + 1, O_PATH | O_DIRECTORY, 0, FOLLOW_NONE, &fd) < 0)
		return -1;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &stx) < 0 ||
		!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return -1;
	*ret_mount = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : 0;
	return fd_take(&fd);
}

static void hold(struct session *s, const char *path)
{
	struct roots *roots = s->roots;
	struct root *root = &roots->of[roots->n];

	for (size_t i = 0; i < roots->n; i++) {
		if (strcmp(roots->of[i].path, path) == 0)
			return;
	}
	*root = (struct root){.path = path, .size = strlen(path), .view_fd = -1, .twin_fd = -1};
	root->view_fd = open_root(s->cell->view_fd, path, &root->twin_mount);
	root->twin_fd = open_root(s->cell->twin_fd, path, &root->twin_mount);
	if (root->view_fd >= 0 && root->twin_fd >= 0) {
		roots->n++;
		return;
	}
	fd_close(&root->view_fd);
	fd_close(&root->twin_fd);
}

int roots_init(struct session *s)
{
	s->roots = calloc(1, sizeof(*s->roots));
	if (!s->roots)
		return -ENOMEM;
	/* In `root host` nothing is mounted for the cell. */
	for (size_t i = 0; s->root != ROOT_HOST && i < policy_tree_count(s->policy); i++) {
		const struct policy_tree *t = policy_tree(s->policy, i);

		if (s->roots->n == ROOTS_MAX)
			break;
		if (t->verdict != VERDICT_DENY && !t->missing && (t->rights & RIGHTS_FILES) &&
			strlen(t->resolved) > 1 && !is_nested(s->policy, t->resolved))
			hold(s, t->resolved);
	}
	return 0;
}

void roots_deinit(struct session *s)
{
	for (size_t i = 0; s->roots && i < s->roots->n; i++) {
		fd_close(&s->roots->of[i].view_fd);
		fd_close(&s->roots->of[i].twin_fd);
	}
	free(s->roots);
	s->roots = NULL;
}

static const struct root *find(const struct session *s, const char *path, size_t size)
{
	for (size_t i = 0; s->roots && i < s->roots->n; i++) {
		const struct root *root = &s->roots->of[i];

		if (is_beneath(path, size, root->path, root->size))
			return root;
	}
	return NULL;
}

bool roots_in_twin(const struct session *s, const char *path, size_t size, uint64_t mount)
{
	const struct root *root = find(s, path, size);

	return root && root->twin_mount == mount;
}

int roots_find(
	const struct session *s, bool write, const char *path, size_t size, const char **ret_rest)
{
	const struct root *root = find(s, path, size);

	if (root) {
		*ret_rest = size > root->size + 1 ? path + root->size + 1 : ".";
		return write ? root->twin_fd : root->view_fd;
	}
	*ret_rest = size > 1 ? path + 1 : ".";
	return write ? s->cell->twin_fd : s->cell->view_fd;
}

void roots_note_way(
	struct session *s, const struct target *made, const struct statx *parent, dev_t dev)
{
	struct roots *roots = s->roots;
	const char *name = memrchr(made->asked, '/', made->asked_size);
	size_t size = (size_t)(name - made->asked);

	if (!roots || size == 0 || made->raw_size > 0 || made->reached_size != made->asked_size ||
		memcmp(made->reached, made->asked, made->asked_size) != 0 ||
		!(parent->stx_mask & STATX_MNT_ID) ||
		!roots_in_twin(s, made->asked, size, parent->stx_mnt_id))
		return;
	memcpy(roots->way, made->asked, size);
	roots->way_size = size;
	roots->way_dev = dev;
}

void roots_forget_way(struct session *s)
{
	if (s->roots)
		s->roots->way_size = 0;
}

bool roots_on_way(const struct session *s, const char *path, size_t size, dev_t *ret_dev,
	int *ret_root_fd, const char **ret_rest)
{
	size_t n = s->roots ? s->roots->way_size : 0;

	if (n == 0 || size <= n + 1 || path[n] != '/' || memcmp(path, s->roots->way, n) != 0 ||
		memchr(path + n + 1, '/', size - n - 1))
		return false;
	*ret_dev = s->roots->way_dev;
	*ret_root_fd = roots_find(s, true, path, size, ret_rest);
	return true;
}
