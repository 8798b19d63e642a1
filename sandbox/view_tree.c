/* SPDX-License-Identifier: MIT */
/*
 * view_tree.c - the data trees: what the policy names, mounted at the same place in the view.
 *
 * Runs in: broker before the first fork (where it is privileged), else init.  Trusts: the paths of
 * the cell's description, which are resolved, but not that nobody swaps a link there meanwhile.
 *
 * A detached mount made by one process may be attached by another in a mount namespace of its own;
 * so a broker of uid 0 opens the trees, and init, which is the worker's user by then, attaches
 * them.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One path may stand there twice, under two aliases: its mount serves both. */
static bool is_repeated(const struct cell_spec *spec, size_t i)
{
	return i > 0 && strcmp(spec->trees[i].path, spec->trees[i - 1].path) == 0;
}

/* What the rules on one path come to, whatever its aliases. */
static unsigned all_access(const struct cell_spec *spec, size_t i)
{
	unsigned access = spec->trees[i].access;

	for (size_t j = i; j > 0 && is_repeated(spec, j); j--)
		access |= spec->trees[j - 1].access;
	while (++i < spec->n_trees && is_repeated(spec, i))
		access |= spec->trees[i].access;
	return access;
}

#define CHANGES (CELL_WRITE | CELL_APPEND | CELL_CREATE | CELL_DELETE)

/* A tree in which no rule changes anything is read-only in the twin too. */
static uint64_t attributes(const struct cell_spec *spec, size_t i)
{
	unsigned access = all_access(spec, i);
	uint64_t set = MOUNT_ATTR_NOSUID;

	if (!(access & CHANGES))
		set |= MOUNT_ATTR_RDONLY;
	if (!(access & CELL_DEVICE))
		set |= MOUNT_ATTR_NODEV;
	if (!(access & CELL_EXEC))
		set |= MOUNT_ATTR_NOEXEC;
	return set;
}

/*
 * Whether TRUNCATE may stand on this tree's rule.  A rule belongs to inodes, and reaches what is
 * mounted beneath; the host may show a part of this tree inside another, too.  So no tree of the
 * cell may be writable and yet keep its files from being cut.
 */
static bool is_constant(const struct cell_spec *spec, size_t i)
{
	if (all_access(spec, i) & CHANGES)
		return false;
	for (size_t j = 0; j < spec->n_trees; j++) {
		unsigned access = all_access(spec, j);

		if ((access & CHANGES) && !(access & CELL_WRITE))
			return false;
	}
	return true;
}

/* Makes a detached mount of the tree, with its attributes, in *ret_fd. */
static int tree_open(const struct cell_spec *spec, size_t i, int *ret_fd)
{
	autofd path_fd = abi_openat2(AT_FDCWD, spec->trees[i].path, O_PATH | O_CLOEXEC,
		RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
	autofd fd = -1;

	if (path_fd < 0)
		return -errno;
	fd = abi_open_tree(
		path_fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
	if (fd < 0 || abi_mount_setattr(fd, AT_RECURSIVE, attributes(spec, i), 0, MS_PRIVATE) < 0)
		return -errno;
	*ret_fd = fd_take(&fd);
	return 0;
}

/* Without namespaces a worker of the broker's own uid is kept from it by Landlock and the filter
 * alone. */
static int check_user(const struct cell_spec *spec, struct failure *f)
{
	if (spec->root != CELL_HOST || spec->uid != geteuid() || (spec->accept & CELL_LAYER_UID))
		return 0;
	return fail(f, -EPERM,
		"`root host` needs a worker of another user than warder's own (both are uid %u): "
		"start warder as root and name one in `user`, or say `accept missing uid`",
		(unsigned)spec->uid);
}

int cell_prepare(const struct cell_spec *spec, struct cell_prep *prep, struct failure *f)
{
	bool privileged = geteuid() == 0;
	int r = landlock_check(spec, &prep->landlock_abi, f);

	if (r == 0)
		r = check_user(spec, f);
	for (size_t i = 0; r == 0 && spec->root != CELL_HOST && i < spec->n_trees; i++) {
		if (strcmp(spec->trees[i].path, "/") == 0)
			r = fail(f, -EINVAL,
				"the policy names / as a whole, which no view can hold beside the "
				"cell's own /proc, /dev and /tmp; name the directories that are "
				"needed, or use `root host`");
	}
	if (r < 0)
		return r;
	prep->userns = spec->root != CELL_HOST;
	prep->tree_fds = calloc(spec->n_trees + 1, sizeof(*prep->tree_fds));
	if (!prep->tree_fds)
		return fail(f, -ENOMEM, "cannot prepare the cell: %m");
	for (size_t i = 0; i < spec->n_trees; i++)
		prep->tree_fds[i] = -1;
	for (size_t i = 0; privileged && spec->root != CELL_HOST && i < spec->n_trees; i++) {
		r = tree_open(spec, i, &prep->tree_fds[i]);
		/* Root without CAP_SYS_ADMIN, in a container: init tries. */
		if (r < 0 && r != -EPERM)
			return fail(f, r, "cannot open %s, which the policy names: %m",
				spec->trees[i].path);
	}
	return 0;
}

void cell_prep_free(const struct cell_spec *spec, struct cell_prep *prep)
{
	if (prep->tree_fds)
		fd_close_many(prep->tree_fds, spec->n_trees);
	free(prep->tree_fds);
	prep->tree_fds = NULL;
}

/* The rule's own spelling, where it differs: a link in the view, unless a tree or the runtime holds
 * that place already, with the link in it. */
static int make_alias(const struct view *v, const struct cell_tree *t)
{
	const char *slash = strrchr(t->alias, '/');
	autofd parent_fd = -1;
	char parent[PATH_MAX];
	struct stat st, root;
	int r;

	if (slash == t->alias)
		return symlinkat(t->path, v->trees_fd, slash + 1) < 0 && errno != EEXIST ? -errno
											 : 0;
	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - t->alias), t->alias);
	r = view_place(v->trees_fd, parent, true, &parent_fd);
	if (r == -ELOOP || r == -ENOENT || r == -ENOTDIR)
		return 0;
	if (r < 0)
		return r;
	if (fstat(parent_fd, &st) < 0 || fstat(v->trees_fd, &root) < 0)
		return -errno;
	if (st.st_dev != root.st_dev) /* inside a tree: the host's own, never written to */
		return 0;
	return symlinkat(t->path, parent_fd, slash + 1) < 0 && errno != EEXIST ? -errno : 0;
}

static int attach(struct view *v, size_t i, struct failure *f)
{
	const struct cell_tree *t = &v->spec->trees[i];
	autofd place_fd = -1;
	autofd own_fd = -1;
	int fd = v->prep->tree_fds[i];
	bool repeated = is_repeated(v->spec, i);
	int r = 0;

	if (fd < 0) {
		r = tree_open(v->spec, i, &own_fd);
		fd = own_fd;
	}
	if (r == 0 && !repeated)
		r = view_place(v->trees_fd, t->path, !t->is_file, &place_fd);
	if (r == 0 && !repeated && abi_move_mount(fd, place_fd, "") < 0)
		r = -errno;
	if (r == 0)
		r = rules_tree(&v->rules, fd, t, is_constant(v->spec, i));
	if (r == 0 && t->alias)
		r = make_alias(v, t);
	return r < 0 ? fail(f, r, "the cell's mounts: cannot bring %s into the view: %m", t->path)
		     : 0;
}

/* ---- what is hidden in them ---------------------------------------------------------------- */

#define EMPTY ".empty" /* in the view's root, while it is cloned */

/* An empty file that nobody may open; its name goes once it is mounted (a mount of what has none
 * already cannot be attached). */
static int new_empty_file(struct view *v, int *ret_fd)
{
	autofd fd = -1;

	if (mknodat(v->trees_fd, EMPTY, S_IFREG, 0) < 0)
		return -errno;
	fd = abi_openat2(v->trees_fd, EMPTY, O_PATH | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return -errno;
	*ret_fd = abi_open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	return *ret_fd < 0 ? -errno : 0;
}

static int new_empty_directory(int *ret_fd)
{
	static const char *const options[] = {"mode", "0", NULL};

	return view_new_mount(
		"tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, ret_fd);
}

/* Where the worker loads files from a tree by itself no verdict keeps one of them from it: so it is
 * not there.  A spelling with a link in it leads to one without, which is hidden as well. */
static int hide(struct view *v, const char *path, struct failure *f)
{
	autofd place_fd = abi_openat2(v->trees_fd, path + 1, O_PATH | O_CLOEXEC,
		RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH);
	autofd fd = -1;
	struct stat st;
	int r = 0;

	if (place_fd < 0 && errno == ELOOP)
		return 0;
	if (place_fd < 0 || fstat(place_fd, &st) < 0)
		r = -errno;
	if (r == 0)
		r = S_ISDIR(st.st_mode) ? new_empty_directory(&fd) : new_empty_file(v, &fd);
	if (r == 0 && abi_move_mount(fd, place_fd, "") < 0)
		r = -errno;
	if (r == 0 && !S_ISDIR(st.st_mode) && unlinkat(v->trees_fd, EMPTY, 0) < 0)
		r = -errno;
	return r < 0 ? fail(f, r,
			       "the cell's mounts: cannot hide %s, which is warder's own, in a "
			       "tree "
			       "that is given for exec: %m",
			       path)
		     : 0;
}

int view_trees(struct view *v, struct failure *f)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < v->spec->n_trees; i++)
		r = attach(v, i, f);
	for (size_t i = 0; r == 0 && i < v->spec->n_hidden; i++)
		r = hide(v, v->spec->hidden[i], f);
	return r;
}

int cell_host_parts(const struct cell_spec *spec, const struct cell_prep *prep,
	struct cell_parts *parts, struct failure *f)
{
	struct rules rules = RULES_INIT;
	int r = rules_init(&rules, prep->landlock_abi, f);

	parts->broker_rules_fd = rules.broker_fd;
	parts->worker_rules_fd = rules.worker_fd;
	parts->view_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	parts->twin_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r == 0 && (parts->view_fd < 0 || parts->twin_fd < 0))
		r = fail(f, -errno, "cannot open /: %m");
	if (r == 0)
		r = host_rules(spec, &rules, f);
	for (size_t i = 0; r == 0 && i < spec->n_trees; i++) {
		autofd fd = abi_openat2(AT_FDCWD, spec->trees[i].path, O_PATH | O_CLOEXEC,
			RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

		r = fd < 0 ? -errno : rules_tree(&rules, fd, &spec->trees[i], false);
		if (r < 0)
			fail(f, r, "cannot open %s, which the policy names: %m",
				spec->trees[i].path);
	}
	return r;
}
