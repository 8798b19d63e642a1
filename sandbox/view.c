/* SPDX-License-Identifier: MIT */
/*
 * view.c - the view: the worker's root, its writable twin, and the way into it.
 *
 * Runs in: init, with the capabilities of its user namespace.  Trusts: the cell's description, not
 * what lies in the trees: a co-user may swap a link there at any time, so every place to mount upon
 * is reached without following one.
 *
 * The order is the design:
 *
 *     runtime, /etc, /dev      read-only, nosuid, nodev
 *     /tmp, home               the worker's own
 *     trees                    nosuid, nodev, noexec unless exec; writable where a rule changes it
 *     twin                     a detached recursive clone, for the broker's writing
 *     seal                     the whole view read-only; /tmp, home and /dev/shm excepted
 *     devpts, /proc            not in the twin
 *     pivot_root               and the old root goes
 *
 * Attributes are set with mount_setattr(AT_RECURSIVE): a bind remounted read-only leaves what is
 * mounted below it writable.  Every mount is private, or a later mount of the host would appear in
 * the view without these attributes.
 */
#include "common/fd.h"
#include "common/path.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TREES "trees"
#define QUIET (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

bool view_covers(const char *dir, const char *path)
{
	return path_holds(dir, path, strlen(path));
}

bool view_meets_tree(const struct cell_spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->n_trees; i++) {
		if (view_covers(spec->trees[i].path, path) ||
			view_covers(path, spec->trees[i].path))
			return true;
	}
	return false;
}

/* Whether a private directory at `path` would hide a runtime that was asked for. */
static bool hides_runtime(const struct cell_spec *spec, const char *path)
{
	for (size_t i = 0; i < spec->n_runtime; i++) {
		if (view_covers(path, spec->runtime[i]))
			return true;
	}
	return false;
}

static const char *first_free(const struct cell_spec *spec, const char *const *places)
{
	for (; *places; places++) {
		if (!view_meets_tree(spec, *places) && !hides_runtime(spec, *places))
			return *places;
	}
	return NULL;
}

const char *view_home(const struct cell_spec *spec)
{
	static const char *const places[] = {CELL_HOME, "/run/worker", NULL};

	if (spec->home || spec->root != CELL_VIEW)
		return NULL;
	return first_free(spec, places);
}

const char *view_tmp(const struct cell_spec *spec)
{
	static const char *const places[] = {"/tmp", "/var/tmp", "/run/tmp", NULL};

	return spec->root == CELL_VIEW ? first_free(spec, places) : NULL;
}

static bool has_shm(const struct cell_spec *spec)
{
	return spec->root == CELL_VIEW && !view_meets_tree(spec, "/dev");
}

size_t cell_own_places(const struct cell_spec *spec, const char *ret[CELL_OWN_MAX])
{
	const char *const all[] = {
		view_tmp(spec), view_home(spec), has_shm(spec) ? "/dev/shm" : NULL};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (all[i])
			ret[n++] = all[i];
	}
	return n;
}

/* ---- places to mount upon ------------------------------------------------------------------ */

#define STEP (RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)

/* Opens the component `name` of `at_fd`, making it if it is missing, which it mostly is.  -EXDEV: a
 * tree is mounted there. */
static int place_step(int at_fd, const char *name, bool is_dir, int *ret_fd)
{
	int fd = is_dir ? mkdirat(at_fd, name, 0755) : mknodat(at_fd, name, S_IFREG | 0444, 0);

	if (fd == 0 || errno == EEXIST)
		fd = abi_openat2(at_fd, name, O_PATH | O_CLOEXEC, STEP | RESOLVE_NO_XDEV);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int view_place(int root_fd, const char *path, bool is_dir, int *ret_fd)
{
	autofd at_fd = -1;
	const char *name = path + 1;

	/* Most places are there already, or their parents are. */
	at_fd = abi_openat2(root_fd, name, O_PATH | O_CLOEXEC, STEP);
	if (at_fd >= 0) {
		*ret_fd = fd_take(&at_fd);
		return 0;
	}
	while (true) {
		const char *end = strchrnul(name, '/');
		char component[NAME_MAX + 1];
		int fd = -1;
		int r;

		if ((size_t)(end - name) >= sizeof(component))
			return -ENAMETOOLONG;
		snprintf(component, sizeof(component), "%.*s", (int)(end - name), name);
		r = place_step(at_fd >= 0 ? at_fd : root_fd, component, is_dir || *end, &fd);
		if (r == -EXDEV) {
			/* Inside a mounted tree nothing is made: it is the host's. */
			fd = abi_openat2(
				at_fd >= 0 ? at_fd : root_fd, name, O_PATH | O_CLOEXEC, STEP);
			if (fd < 0)
				return -errno;
			*ret_fd = fd;
			return 0;
		}
		if (r < 0)
			return r;
		fd_close(&at_fd);
		at_fd = fd;
		if (!*end)
			break;
		name = end + 1;
	}
	*ret_fd = fd_take(&at_fd);
	return 0;
}

int view_new_mount(const char *type, const char *const *options, unsigned attributes, int *ret_fd)
{
	autofd fs_fd = abi_fsopen(type);
	int fd;

	if (fs_fd < 0)
		return -errno;
	for (; options && *options; options += 2) {
		if (abi_fsconfig(fs_fd, FSCONFIG_SET_STRING, options[0], options[1]) < 0)
			return -errno;
	}
	if (abi_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return -errno;
	fd = abi_fsmount(fs_fd, attributes);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* ---- the steps ----------------------------------------------------------------------------- */

/* Attaches a new tmpfs on `to`, "/" being the old root, where nothing looks. */
static int new_root(int to_dir_fd, const char *to, int *ret_fd, struct failure *f)
{
	static const char *const options[] = {"mode", "0755", NULL};
	autofd fd = -1;
	int r = view_new_mount("tmpfs", options, QUIET, &fd);

	if (r == 0 && abi_move_mount(fd, to_dir_fd, to) < 0)
		r = -errno;
	if (r < 0) {
		fail(f, r, "the cell's mounts: cannot make its root: %m");
		return cell_explain_userns(r, f);
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

/* `root empty`: the trees get a root of their own, attached while clones of it are made. */
static int new_trees_root(struct view *v, struct failure *f)
{
	if (v->spec->root != CELL_EMPTY) {
		v->trees_fd = v->root_fd;
		return 0;
	}
	if (mkdirat(v->root_fd, TREES, 0755) < 0)
		return fail(f, -errno, "the cell's mounts: cannot make the trees' root: %m");
	return new_root(v->root_fd, TREES, &v->trees_fd, f);
}

static int drop_trees_root(struct view *v, struct failure *f)
{
	if (v->trees_fd == v->root_fd)
		return 0;
	if (fchdir(v->trees_fd) < 0 || umount2(".", MNT_DETACH) < 0 || fchdir(v->root_fd) < 0 ||
		unlinkat(v->root_fd, TREES, AT_REMOVEDIR) < 0)
		return fail(f, -errno, "the cell's mounts: cannot take the trees away again: %m");
	return 0;
}

/* Mounts an own tmpfs at `path` and lets the worker use it. */
static int own_directory(struct view *v, const char *path, const char *mode, uint64_t size,
	unsigned attributes, int *ret_fd, struct failure *f)
{
	char bytes[24];
	const char *options[] = {"mode", mode, size ? "size" : NULL, bytes, NULL};
	autofd place_fd = -1;
	autofd fd = -1;
	int r;

	if (!path)
		return 0;
	snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
	r = view_new_mount("tmpfs", options, attributes, &fd);
	if (r == 0)
		r = view_place(v->root_fd, path, true, &place_fd);
	if (r == 0 && abi_move_mount(fd, place_fd, "") < 0)
		r = -errno;
	if (r == 0)
		r = rules_worker(&v->rules, fd, true, RULES_WRITE);
	if (r < 0)
		return fail(f, r, "the cell's mounts: cannot make its private %s: %m", path);
	*ret_fd = fd_take(&fd);
	return 0;
}

static int own_directories(struct view *v, struct failure *f)
{
	int r;

	if (v->spec->root != CELL_VIEW)
		return 0;
	v->tmp = view_tmp(v->spec);
	v->home = view_home(v->spec);
	r = own_directory(v, v->tmp, "01777", v->spec->tmp_size, QUIET, &v->tmp_fd, f);
	if (r == 0)
		r = own_directory(v, v->home, "0700", v->spec->tmp_size, QUIET, &v->home_fd, f);
	if (r == 0 && has_shm(v->spec))
		r = own_directory(v, "/dev/shm", "01777", v->spec->tmp_size,
			QUIET | MOUNT_ATTR_NOEXEC, &v->shm_fd, f);
	return r;
}

#define CLONE (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH)

/* What the broker opens through to read. */
static int make_broker_view(struct view *v, struct cell_parts *parts, struct failure *f)
{
	if (v->trees_fd == v->root_fd) {
		parts->view_fd = fcntl(v->root_fd, F_DUPFD_CLOEXEC, 3);
		return parts->view_fd < 0 ? fail(f, -errno, "the cell's mounts: no view: %m") : 0;
	}
	parts->view_fd = abi_open_tree(v->trees_fd, "", CLONE);
	if (parts->view_fd < 0 ||
		abi_mount_setattr(parts->view_fd, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return fail(f, -errno, "the cell's mounts: cannot make the broker's view: %m");
	return 0;
}

static bool changes_trees(const struct cell_spec *spec)
{
	for (size_t i = 0; i < spec->n_trees; i++) {
		if (spec->trees[i].access & CELL_CHANGES)
			return true;
	}
	return false;
}

/*
 * What the broker changes trees through, taken while they are still writable.  Where no rule could
 * change anything it is the view: a clone of every mount would stand for nothing.
 */
static int make_twin(struct view *v, struct cell_parts *parts, struct failure *f)
{
	if (!changes_trees(v->spec)) {
		parts->twin_fd = fcntl(parts->view_fd, F_DUPFD_CLOEXEC, 3);
		return parts->twin_fd < 0 ? fail(f, -errno, "the cell's mounts: no view: %m") : 0;
	}
	parts->twin_fd = abi_open_tree(v->trees_fd, "", CLONE);
	if (parts->twin_fd < 0 || abi_mount_setattr(parts->twin_fd, 0, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return fail(f, -errno, "the cell's mounts: cannot make the writable twin: %m");
	return 0;
}

static int seal(struct view *v, struct failure *f)
{
	const int own[] = {v->tmp_fd, v->home_fd, v->shm_fd};

	if (abi_mount_setattr(v->root_fd, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		return fail(f, -errno, "the cell's mounts: cannot make the view read-only: %m");
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
		if (own[i] >= 0 && abi_mount_setattr(own[i], 0, 0, MOUNT_ATTR_RDONLY, 0) < 0)
			return fail(f, -errno,
				"the cell's mounts: cannot make /tmp writable again: %m");
	}
	return 0;
}

static int mount_devpts(struct view *v, struct failure *f)
{
	static const char *const options[] = {"ptmxmode", "0666", "mode", "0620", NULL};
	autofd place_fd = -1;
	autofd fd = -1;
	int r;

	if (v->spec->root != CELL_VIEW || view_meets_tree(v->spec, "/dev"))
		return 0;
	r = view_new_mount("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, &fd);
	if (r == 0)
		r = view_place(v->root_fd, "/dev/pts", true, &place_fd);
	if (r == 0 && abi_move_mount(fd, place_fd, "") < 0)
		r = -errno;
	if (r == 0)
		r = rules_worker(&v->rules, fd, true, RULES_READ | RULES_CHAR);
	return r < 0 ? fail(f, r, "the cell's mounts: cannot mount /dev/pts: %m") : 0;
}

/* A user namespace within the cell would hand its maker capabilities over new namespaces, and with
 * them much of the kernel to attack.  The filter refuses the calls; this refuses the thing. */
static int no_nested_userns(int proc_fd)
{
	autofd fd = openat(proc_fd, "sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_write_all(fd, "0", 1);
}

/*
 * /proc shows the cell's processes alone.  It is read-only, so that a worker which keeps root's
 * name finds no switch of the kernel's there.  fsmount(2) is where the kernel refuses it with
 * EPERM: a container's /proc has parts covered, and a new one would show them.
 */
static int mount_proc(struct view *v, struct failure *f)
{
	const unsigned attributes = QUIET | MOUNT_ATTR_NOEXEC;
	autofd place_fd = -1;
	autofd fd = -1;
	int r;

	if (v->spec->root != CELL_VIEW)
		return 0;
	r = view_new_mount("proc", NULL, attributes, &fd);
	if (r == -EPERM)
		r = view_new_mount("proc", NULL, attributes | MOUNT_ATTR_RDONLY, &fd);
	if (r == -EPERM)
		return fail(f, r,
			"the cell's /proc: the kernel refuses a new one (%m), as it does in a "
			"container whose /proc is partly covered; use `root host` (--root host), "
			"or give the container an uncovered /proc "
			"(systempaths=unconfined)");
	if (r == 0 && v->prep->userns)
		no_nested_userns(fd); /* the filter is the layer; this is the second line */
	if (r == 0 && abi_mount_setattr(fd, 0, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = view_place(v->root_fd, "/proc", true, &place_fd);
	if (r == 0 && abi_move_mount(fd, place_fd, "") < 0)
		r = -errno;
	if (r == 0)
		r = rules_worker(&v->rules, fd, true, RULES_READ);
	return r < 0 ? fail(f, r, "the cell's /proc: cannot mount it: %m") : 0;
}

/*
 * pivot_root(2): with both arguments "." the old root ends on top of the new one, and is then the
 * one that umount2(".") takes away.  Whether it did is proved: ".." of the root is where something
 * left on top would show.
 */
static int enter(struct view *v, struct failure *f)
{
	struct stat ours, top;

	if (fchdir(v->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
		umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail(f, -errno, "the cell's mounts: cannot enter the view: %m");
	if (fstat(v->root_fd, &ours) < 0 || stat("/..", &top) < 0 || ours.st_dev != top.st_dev ||
		ours.st_ino != top.st_ino)
		return fail(f, -EXDEV, "the cell's mounts: the host's root is still there");
	return 0;
}

/* Without a user namespace of its own the new mount namespace shares the host's mount events. */
static int detach_propagation(const struct cell_prep *prep, struct failure *f)
{
	if (prep->userns)
		return 0;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(f, -errno, "the cell's mounts: cannot part from the host's: %m");
	return 0;
}

static int build(struct view *v, struct cell_parts *parts, struct failure *f)
{
	int r = detach_propagation(v->prep, f);

	if (r == 0)
		r = new_root(AT_FDCWD, "/", &v->root_fd, f);
	if (r < 0)
		return r;
	r = view_runtime(v, f);
	if (r == 0 && (abi_mount_setattr(v->root_fd, AT_RECURSIVE, QUIET | MOUNT_ATTR_RDONLY, 0,
			       MS_PRIVATE) < 0 ||
			      abi_mount_setattr(v->root_fd, 0, 0, MOUNT_ATTR_RDONLY, 0) < 0))
		r = fail(f, -errno, "the cell's mounts: cannot make the runtime read-only: %m");
	if (r == 0)
		r = new_trees_root(v, f);
	if (r == 0)
		r = view_etc_made(v, f);
	if (r == 0)
		r = view_dev(v, f);
	if (r == 0 && abi_mount_setattr(v->root_fd, AT_RECURSIVE, 0, 0, MS_PRIVATE) < 0)
		r = fail(f, -errno, "the cell's /dev: cannot part it from the host's: %m");
	if (r == 0)
		r = own_directories(v, f);
	if (r == 0)
		r = view_trees(v, f);
	if (r == 0 && v->spec->root == CELL_VIEW && rules_names(&v->rules, v->root_fd) < 0)
		r = fail(f, -errno, "Landlock: cannot let the broker list the view: %m");
	if (r == 0)
		r = make_broker_view(v, parts, f);
	if (r == 0)
		r = make_twin(v, parts, f);
	if (r == 0)
		r = drop_trees_root(v, f);
	if (r == 0)
		r = mount_devpts(v, f);
	if (r == 0)
		r = mount_proc(v, f);
	if (r == 0)
		r = seal(v, f);
	return r < 0 ? r : enter(v, f);
}

int view_build(const struct cell_spec *spec, const struct cell_prep *prep, struct cell_parts *parts,
	struct failure *f)
{
	struct view v = {
		.spec = spec,
		.prep = prep,
		.host_fd = -1,
		.root_fd = -1,
		.trees_fd = -1,
		.tmp_fd = -1,
		.home_fd = -1,
		.shm_fd = -1,
	};
	int r = rules_init(&v.rules, prep->landlock_abi, f);

	if (r == 0)
		r = build(&v, parts, f);
	parts->broker_rules_fd = v.rules.broker_fd;
	parts->worker_rules_fd = v.rules.worker_fd;
	if (v.trees_fd != v.root_fd)
		fd_close(&v.trees_fd);
	fd_close(&v.root_fd);
	fd_close(&v.tmp_fd);
	fd_close(&v.home_fd);
	fd_close(&v.shm_fd);
	return r;
}
