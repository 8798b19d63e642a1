/* SPDX-License-Identifier: MIT */
/*
 * view_runtime.c - the view's runtime: programs and libraries, a listed /etc, a minimal /dev.
 *
 * Runs in: init.  Trusts: the host's /usr, /etc and /dev.
 *
 * A symlink of the root directory (/bin -> usr/bin) stays one.  Of /etc come only the entries of
 * common/runtime.c that any user may read; what would name the host or its users is made instead.
 * Everything here may be read and run by the worker itself, without the broker.
 */
#include "common/fd.h"
#include "common/runtime.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define CLONE_TREE (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)

/* Whether the worker may have a rule on the directory `path` as a whole: only where no data tree
 * lies below, which the rule would reach too. */
static bool whole(const struct view *v, const char *path)
{
	return !view_meets_tree(v->spec, path);
}

/* Mounts a clone of the host's `path` at the same place. */
static int bind(struct view *v, const char *path, bool is_dir, unsigned use)
{
	autofd place_fd = -1;
	autofd fd = abi_open_tree(AT_FDCWD, path, CLONE_TREE);
	int r;

	if (fd < 0)
		return -errno;
	r = view_place(v->root_fd, path, is_dir, &place_fd);
	if (r == 0 && abi_move_mount(fd, place_fd, "") < 0)
		r = -errno;
	return r == 0 && use ? rules_worker(&v->rules, fd, is_dir, use) : r;
}

static int keep_link(struct view *v, const char *path, const char *target)
{
	const char *slash = strrchr(path, '/');
	autofd parent_fd = -1;
	char parent[PATH_MAX];
	int r = 0;

	if (slash != path) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
		r = view_place(v->root_fd, parent, true, &parent_fd);
	}
	if (r == 0 && symlinkat(target, slash != path ? parent_fd : v->root_fd, slash + 1) < 0)
		r = errno == EEXIST ? 0 : -errno;
	return r;
}

/* A link that leads to where the view has something too may stay; another is followed. */
static bool link_holds(const char *path, const char *target)
{
	if (target[0] == '/')
		return runtime_find(target, strlen(target)) != NULL;
	return strrchr(path, '/') == path || strncmp(target, "../usr/", 7) == 0;
}

/* One entry of the runtime.  What this host lacks, or what not everyone may read, is passed over.
 * `use` 0: a rule on a directory above covers it. */
static int runtime_entry(struct view *v, const char *path, unsigned use, struct failure *f)
{
	char target[PATH_MAX];
	struct stat st;
	int r;

	if (fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		if (n > 0) {
			target[n] = '\0';
			if (link_holds(path, target)) {
				r = keep_link(v, path, target);
				return r < 0 ? fail(f, r, "the cell's runtime: cannot link %s: %m",
						       path)
					     : 0;
			}
		}
		if (stat(path, &st) < 0)
			return 0;
	}
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return 0;
	if ((st.st_mode & (S_ISDIR(st.st_mode) ? 0005u : 0004u)) == 0)
		return 0;
	r = bind(v, path, S_ISDIR(st.st_mode), use);
	return r < 0 ? fail(f, r, "the cell's runtime: cannot mount %s: %m", path) : 0;
}

/* The entries of a directory that a name with '*' stands for. */
static int runtime_pattern(struct view *v, const char *pattern, unsigned use, struct failure *f)
{
	char path[PATH_MAX];
	struct dirent *e;
	int r = 0;
	DIR *dir = opendir("/etc"); /* all names with '*' are of /etc */

	while (dir && r == 0 && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/etc/%s", e->d_name);
		if (fnmatch(pattern, path, FNM_PATHNAME) == 0)
			r = runtime_entry(v, path, use, f);
	}
	if (dir)
		closedir(dir);
	return r;
}

static int runtime_etc_entries(struct view *v, unsigned use, struct failure *f)
{
	int r = 0;

	for (size_t i = 0; r == 0 && runtime_etc[i]; i++) {
		if (strchr(runtime_etc[i], '*'))
			r = runtime_pattern(v, runtime_etc[i], use, f);
		else
			r = runtime_entry(v, runtime_etc[i], use, f);
	}
	return r;
}

/* Whether a data tree takes the place of `path`, or holds it. */
static bool is_in_tree(const struct view *v, const char *path)
{
	for (size_t i = 0; i < v->spec->n_trees; i++) {
		if (!v->spec->trees[i].is_file && view_covers(v->spec->trees[i].path, path))
			return v->spec->root == CELL_VIEW;
	}
	return false;
}

int view_runtime(struct view *v, struct failure *f)
{
	const unsigned use = RULES_READ | RULES_RUN;
	int r = 0;

	if (!v->spec->runtime_none) {
		for (size_t i = 0; r == 0 && runtime_trees[i]; i++)
			r = runtime_entry(v, runtime_trees[i], use, f);
		if (r == 0 && !is_in_tree(v, "/etc"))
			r = runtime_etc_entries(v, whole(v, "/etc") ? 0 : use, f);
	}
	for (size_t i = 0; r == 0 && i < v->spec->n_runtime; i++)
		r = runtime_entry(v, v->spec->runtime[i], use, f);
	return r;
}

/* ---- what is made for the cell --------------------------------------------------------------- */

static int make_file(struct view *v, int etc_fd, const char *name, const char *text, bool rule)
{
	autofd fd =
		openat(etc_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	autofd path_fd = -1;
	int r;

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	r = fd_write_all(fd, text, strlen(text));
	if (r < 0 || !rule)
		return r;
	path_fd = openat(etc_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return path_fd < 0 ? -errno : rules_worker(&v->rules, path_fd, false, RULES_READ);
}

/* Another id for each cell: programs want one, and none may recognise the host by it. */
static void machine_id(char *buf, size_t size)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		memset(bytes, 1, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(buf + 2 * i, size - 2 * i, "%02x", bytes[i]);
	snprintf(buf + 32, size - 32, "\n");
}

static const char *home_name(const struct view *v)
{
	const char *home = v->spec->home ? v->spec->home : view_home(v->spec);

	return home ? home : "/nonexistent";
}

/* The worker's user, root and nobody: programs look these up, and no other is there. */
static void passwd_texts(const struct view *v, char *passwd, char *group, size_t size)
{
	const struct cell_spec *s = v->spec;
	const char *name = s->user_name ? s->user_name : "worker";
	int n = 0, m = 0;

	if (s->uid != 0)
		n = snprintf(passwd, size, "root:x:0:0:root:/root:/bin/sh\n");
	if (s->gid != 0)
		m = snprintf(group, size, "root:x:0:\n");
	n += snprintf(passwd + n, size - (size_t)n, "%s:x:%u:%u::%s:/bin/sh\n", name,
		(unsigned)s->uid, (unsigned)s->gid, home_name(v));
	m += snprintf(group + m, size - (size_t)m, "%s:x:%u:\n", s->gid == 65534 ? "nogroup" : name,
		(unsigned)s->gid);
	if (s->uid != 65534 && (size_t)n < size)
		snprintf(passwd + n, size - (size_t)n,
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
	if (s->gid != 65534 && (size_t)m < size)
		snprintf(group + m, size - (size_t)m, "nogroup:x:65534:\n");
}

int view_etc_made(struct view *v, struct failure *f)
{
	char passwd[2 * PATH_MAX], group[PATH_MAX], id[40];
	const struct {
		const char *name, *text;
	} files[] = {
		{"passwd", passwd},
		{"group", group},
		{"hosts", "127.0.0.1 localhost\n::1 localhost\n"},
		{"resolv.conf", "# No name server is reachable from this cell.\n"},
		{"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
		{"machine-id", id},
	};
	bool all = whole(v, "/etc");
	autofd etc_fd = -1;
	int r;

	if (v->spec->runtime_none || is_in_tree(v, "/etc"))
		return 0;
	passwd_texts(v, passwd, group, sizeof(group));
	machine_id(id, sizeof(id));
	r = view_place(v->root_fd, "/etc", true, &etc_fd);
	for (size_t i = 0; r == 0 && i < sizeof(files) / sizeof(*files); i++)
		r = make_file(v, etc_fd, files[i].name, files[i].text, !all);
	if (r == 0 && all)
		r = rules_worker(&v->rules, etc_fd, true, RULES_READ | RULES_RUN);
	return r < 0 ? fail(f, r, "the cell's /etc: cannot make its files: %m") : 0;
}

/* ---- /dev ------------------------------------------------------------------------------------ */

static int dev_links(int dev_fd, bool with_proc)
{
	static const char *const links[][2] = {
		{"/proc/self/fd", "fd"},
		{"/proc/self/fd/0", "stdin"},
		{"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"},
		{"pts/ptmx", "ptmx"},
	};

	for (size_t i = 0; with_proc && i < sizeof(links) / sizeof(*links); i++) {
		if (symlinkat(links[i][0], dev_fd, links[i][1]) < 0)
			return -errno;
	}
	return 0;
}

int view_dev(struct view *v, struct failure *f)
{
	static const char *const devices[] = {
		"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
	bool all = whole(v, "/dev");
	autofd dev_fd = -1;
	int r;

	if (is_in_tree(v, "/dev"))
		return 0;
	r = view_place(v->root_fd, "/dev", true, &dev_fd);
	if (r == 0)
		r = dev_links(dev_fd, v->spec->root == CELL_VIEW);
	for (size_t i = 0; r == 0 && i < sizeof(devices) / sizeof(*devices); i++) {
		r = bind(v, devices[i], false, all ? 0 : RULES_CHAR);
		if (r == -ENOENT) /* a host without /dev/full has none to give */
			r = 0;
		if (r < 0)
			return fail(f, r, "the cell's /dev: cannot mount %s: %m", devices[i]);
	}
	if (r == 0 && all)
		r = rules_worker(&v->rules, dev_fd, true, RULES_READ | RULES_CHAR);
	return r < 0 ? fail(f, r, "the cell's /dev: cannot make it: %m") : 0;
}
