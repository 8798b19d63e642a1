/* SPDX-License-Identifier: MIT */
/*
 * view_runtime.c - the view's runtime: programs and libraries, a listed /etc, a minimal /dev.
 *
 * Runs in: init.  Trusts: the host's /usr, /etc and /dev.
 *
 * A symlink of the root directory (/bin -> usr/bin) stays one.  Of /etc come only the entries of
 * common/runtime.c that any user may read, small files as copies; what would name the host or its
 * users is made instead.
 * Everything here may be read and run by the worker itself, without the broker.
 */
#include "common/fd.h"
#include "common/runtime.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define PATTERNS_MAX 16
#define CLONE_TREE   (OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE)

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
#define DEVICES (sizeof(devices) / sizeof(*devices))

/* Whether the worker may have a rule on the directory `path` as a whole: only where no data tree
 * lies below, which the rule would reach too. */
static bool whole(const struct view *v, const char *path)
{
	return !view_meets_tree(v->spec, path);
}

/* Where one part of the runtime is put together: a directory of the host's and the view's own. */
struct corner {
	const char *path; /* of both, each below its root */
	int host_fd, view_fd;
	unsigned use; /* rule of each entry; 0: one on the directory covers them */
	bool named;   /* by the policy: it must be there, and its own permissions decide */
};

/* A place to mount upon.  0, or 1: something is there already. */
static int entry_place(const struct corner *c, const char *name, bool is_dir)
{
	int r = is_dir ? mkdirat(c->view_fd, name, 0755)
		       : mknodat(c->view_fd, name, S_IFREG | 0444, 0);

	return r == 0 ? 0 : errno == EEXIST ? 1 : -errno;
}

/* Without a descriptor of the mount, for which there is no rule to make: one call instead of
 * three. */
static int bind_entry(struct view *v, const struct corner *c, const char *name, bool is_dir)
{
	int made = entry_place(c, name, is_dir);
	int r;

	snprintf(v->text, sizeof(v->text), "%s/%s", c->path, name);
	if (made < 0)
		return made;
	if (fchdir(c->view_fd) == 0 && mount(v->text, name, NULL, MS_BIND | MS_REC, NULL) == 0)
		return 0;
	r = -errno;
	if (made == 0)
		unlinkat(c->view_fd, name, is_dir ? AT_REMOVEDIR : 0);
	return r;
}

/* Mounts a clone of the host's entry `name`. */
static int mount_entry(struct view *v, const struct corner *c, const char *name, bool is_dir)
{
	autofd fd = -1;
	int r;

	if (!c->use)
		return bind_entry(v, c, name, is_dir);
	fd = abi_open_tree(c->host_fd, name, CLONE_TREE);
	if (fd < 0)
		return -errno;
	r = entry_place(c, name, is_dir);
	if (r < 0)
		return r;
	if (abi_move_mount(fd, c->view_fd, name) < 0)
		return -errno;
	return rules_worker(&v->rules, fd, is_dir, c->use);
}

/* A mount costs what the copy of a file of some kilobytes does, whatever the file's size. */
#define COPY_MAX VIEW_TEXT_SIZE

static int copy_entry(struct view *v, const struct corner *c, const char *name, size_t size)
{
	autofd from_fd = openat(c->host_fd, name, O_RDONLY | O_CLOEXEC);
	autofd fd = -1;
	autofd path_fd = -1;
	long n;
	int r;

	if (from_fd < 0)
		return -errno;
	n = fd_read_all(from_fd, v->text, size);
	if (n < 0)
		return (int)n;
	fd = openat(c->view_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, v->text, (size_t)n);
	if (r < 0 || !c->use)
		return r;
	path_fd = openat(c->view_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return path_fd < 0 ? -errno : rules_worker(&v->rules, path_fd, false, c->use);
}

/* A link that leads to where the view has something too may stay; another is followed.  `depth` is
 * that of the link's directory below the root. */
static bool link_holds(const char *target, int depth)
{
	if (target[0] == '/')
		return runtime_find(target, strlen(target)) != NULL;
	return depth == 0 || (depth == 1 && strncmp(target, "../usr/", 7) == 0);
}

/* 1: the link is to be followed. */
static int place_link(struct view *v, const struct corner *c, const char *name, int depth)
{
	ssize_t n = readlinkat(c->host_fd, name, v->text, sizeof(v->text) - 1);

	v->text[n > 0 ? n : 0] = '\0';
	if (n <= 0 || !link_holds(v->text, depth))
		return 1;
	return symlinkat(v->text, c->view_fd, name) < 0 && errno != EEXIST ? -errno : 0;
}

static int place_entry(struct view *v, const struct corner *c, const char *name, int depth)
{
	struct stat st;
	int r;

	if (fstatat(c->host_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return c->named ? -errno : 0;
	if (S_ISLNK(st.st_mode)) {
		r = place_link(v, c, name, depth);
		if (r <= 0)
			return r;
		if (fstatat(c->host_fd, name, &st, 0) < 0)
			return c->named ? -errno : 0;
	}
	if (c->named && (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
		return mount_entry(v, c, name, S_ISDIR(st.st_mode));
	if (c->named)
		return -EINVAL;
	if (S_ISDIR(st.st_mode) && (st.st_mode & 0005))
		return mount_entry(v, c, name, true);
	if (!S_ISREG(st.st_mode) || !(st.st_mode & 0004))
		return 0;
	if (depth > 0 && st.st_size <= COPY_MAX)
		return copy_entry(v, c, name, (size_t)st.st_size);
	return mount_entry(v, c, name, false);
}

/* What is in neither of the directories at hand, the root and /etc: its own is opened. */
static int far_entry(struct view *v, const struct corner *near, const char *path, bool named,
	int depth, struct failure *f)
{
	const char *slash = strrchr(path, '/');
	const size_t above = near ? strlen(near->path) : 0;
	char parent[PATH_MAX];
	autofd host_fd = -1, view_fd = -1;
	struct corner far = {parent, -1, -1, near ? near->use : RULES_READ | RULES_RUN, named};
	int r;

	snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	host_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (host_fd < 0)
		return named ? fail(f, -errno, "the cell's runtime: cannot open %s: %m", parent)
			     : 0;
	r = view_place(near ? near->view_fd : v->root_fd, parent + above, true, &view_fd);
	far.host_fd = host_fd;
	far.view_fd = view_fd;
	return r < 0 ? r : place_entry(v, &far, slash + 1, depth);
}

/* One entry of the runtime, a path, in /etc where there is something `near`.  What this host lacks,
 * or what not everyone may read, is passed over; what the policy names is brought in, and its
 * absence stops the start. */
static int runtime_entry(
	struct view *v, const struct corner *near, const char *path, bool named, struct failure *f)
{
	const struct corner root = {"", v->host_fd, v->root_fd, RULES_READ | RULES_RUN, named};
	const char *first = near ? path + strlen(near->path) + 1 : path + 1;
	int depth = 0, r;

	for (const char *p = path + 1; *p; p++)
		depth += *p == '/';
	if (strchr(first, '/'))
		r = far_entry(v, near, path, named, depth, f);
	else
		r = place_entry(v, near ? near : &root, first, depth);
	return r < 0 ? fail(f, r, "the cell's runtime: cannot bring in %s: %m", path) : 0;
}

/* Whether a name with '*' stands for an entry of /etc, as all of them do. */
static bool matches(const char *pattern, const char *name)
{
	pattern += sizeof("/etc/") - 1;
	while (*pattern == *name && *name) {
		pattern++;
		name++;
	}
	return *pattern == '*';
}

static int pattern_entry(struct view *v, const struct corner *c, const char *const *patterns,
	size_t n, const char *name, struct failure *f)
{
	char path[sizeof("/etc/") + NAME_MAX];
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		if (!matches(patterns[i], name))
			continue;
		snprintf(path, sizeof(path), "/etc/%s", name);
		r = runtime_entry(v, c, path, false, f);
	}
	return r;
}

/* The entries that names with '*' stand for. */
static int runtime_patterns(struct view *v, const struct corner *c, struct failure *f)
{
	_Alignas(struct dirent64) char buf[8192];
	const char *patterns[PATTERNS_MAX];
	autofd fd = openat(c->host_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;
	long size;
	int r = 0;

	for (size_t i = 0; runtime_etc[i]; i++) {
		if (strchr(runtime_etc[i], '*') && n == PATTERNS_MAX)
			r = fail(f, -E2BIG, "the cell's /etc: too many names with '*'");
		else if (strchr(runtime_etc[i], '*'))
			patterns[n++] = runtime_etc[i];
	}
	while (fd >= 0 && r == 0 && (size = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long i = 0; i < size && r == 0;) {
			const struct dirent64 *d = (const void *)(buf + i);

			i += d->d_reclen;
			r = pattern_entry(v, c, patterns, n, d->d_name, f);
		}
	}
	return r;
}

static int runtime_etc_entries(struct view *v, struct failure *f)
{
	autofd host_fd = open("/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autofd view_fd = -1;
	struct corner c = {
		"/etc", host_fd, -1, whole(v, "/etc") ? 0 : RULES_READ | RULES_RUN, false};
	int r;

	if (host_fd < 0)
		return 0;
	r = view_place(v->root_fd, "/etc", true, &view_fd);
	if (r < 0)
		return fail(f, r, "the cell's /etc: cannot make it: %m");
	c.view_fd = view_fd;
	for (size_t i = 0; r == 0 && runtime_etc[i]; i++) {
		if (!strchr(runtime_etc[i], '*'))
			r = runtime_entry(v, &c, runtime_etc[i], false, f);
	}
	return r < 0 ? r : runtime_patterns(v, &c, f);
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
	int r = 0;

	v->host_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (v->host_fd < 0)
		return fail(f, -errno, "the cell's runtime: cannot open /: %m");
	if (!v->spec->runtime_none) {
		for (size_t i = 0; r == 0 && runtime_trees[i]; i++)
			r = runtime_entry(v, NULL, runtime_trees[i], false, f);
		if (r == 0 && !is_in_tree(v, "/etc"))
			r = runtime_etc_entries(v, f);
	}
	for (size_t i = 0; r == 0 && i < v->spec->n_runtime; i++)
		r = runtime_entry(v, NULL, v->spec->runtime[i], true, f);
	fd_close(&v->host_fd);
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
static void passwd_text(const struct view *v, char *buf, size_t size)
{
	const struct cell_spec *s = v->spec;
	int n = s->uid == 0 ? 0 : snprintf(buf, size, "root:x:0:0:root:/root:/bin/sh\n");

	n += snprintf(buf + n, size - (size_t)n, "%s:x:%u:%u::%s:/bin/sh\n",
		s->user_name ? s->user_name : "worker", (unsigned)s->uid, (unsigned)s->gid,
		home_name(v));
	if (s->uid != 65534 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n,
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
}

static void group_text(const struct cell_spec *s, char *buf, size_t size)
{
	const char *name = s->user_name ? s->user_name : "worker";
	int n = s->gid == 0 ? 0 : snprintf(buf, size, "root:x:0:\n");

	n += snprintf(buf + n, size - (size_t)n, "%s:x:%u:\n", s->gid == 65534 ? "nogroup" : name,
		(unsigned)s->gid);
	if (s->gid != 65534 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n, "nogroup:x:65534:\n");
}

int view_etc_made(struct view *v, struct failure *f)
{
	char passwd[2 * PATH_MAX], group[PATH_MAX], id[40];
	bool names = v->spec->sockets & CELL_SOCKETS_NAMES;
	const struct {
		const char *name, *text;
	} files[] = {
		{"passwd", passwd},
		{"group", group},
		{"hosts", "127.0.0.1 localhost cell\n::1 localhost\n"},
		{"resolv.conf", names ? "nameserver 127.0.0.1\noptions edns0\n"
				      : "# No name server is reachable from this cell.\n"},
		{"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
		{"machine-id", id},
	};
	bool all = whole(v, "/etc");
	autofd etc_fd = -1;
	int r;

	if (v->spec->runtime_none || is_in_tree(v, "/etc"))
		return 0;
	passwd_text(v, passwd, sizeof(passwd));
	group_text(v->spec, group, sizeof(group));
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

/* The relayed pty stands in the host's /dev/pts: with this rule /dev/stdout is a terminal too. */
static int tty_rule(const struct cell_spec *spec, const struct rules *rules)
{
	return spec->tty_fd < 0 ? 0 : rules_worker(rules, spec->tty_fd, false, RULES_CHAR);
}

int view_dev(struct view *v, struct failure *f)
{
	bool all = whole(v, "/dev");
	autofd host_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
	autofd dev_fd = -1;
	struct corner c = {"/dev", host_fd, -1, all ? 0 : RULES_CHAR, false};
	int r;

	if (is_in_tree(v, "/dev"))
		return 0;
	r = view_place(v->root_fd, "/dev", true, &dev_fd);
	c.view_fd = dev_fd;
	if (r == 0)
		r = dev_links(dev_fd, v->spec->root == CELL_VIEW);
	for (size_t i = 0; r == 0 && i < DEVICES; i++) {
		r = mount_entry(v, &c, devices[i], false);
		if (r == -ENOENT) /* a host without /dev/full has none to give */
			r = 0;
		if (r < 0)
			return fail(f, r, "the cell's /dev: cannot mount /dev/%s: %m", devices[i]);
	}
	if (r == 0 && all)
		r = rules_worker(&v->rules, dev_fd, true, RULES_READ | RULES_CHAR);
	if (r == 0)
		r = tty_rule(v->spec, &v->rules);
	return r < 0 ? fail(f, r, "the cell's /dev: cannot make it: %m") : 0;
}

/* ---- root host: the same, in place ----------------------------------------------------------- */

static int host_rule(const struct rules *rules, const char *path, unsigned use)
{
	autofd fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT || errno == EACCES ? 0 : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!(use & RULES_CHAR) && !(st.st_mode & 0004))
		return 0;
	return rules_worker(rules, fd, S_ISDIR(st.st_mode), use);
}

/* What the policy added. */
static int host_named(const struct rules *rules, const char *path, unsigned use, struct failure *f)
{
	autofd fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(f, -errno, "the cell's runtime: cannot bring in %s: %m", path);
	return rules_worker(rules, fd, S_ISDIR(st.st_mode), use);
}

static int host_patterns(const struct rules *rules, unsigned use)
{
	char path[PATH_MAX];
	struct dirent *e;
	int r = 0;
	DIR *dir = opendir("/etc");

	while (dir && r == 0 && (e = readdir(dir))) {
		snprintf(path, sizeof(path), "/etc/%s", e->d_name);
		for (size_t i = 0; r == 0 && runtime_etc[i]; i++) {
			if (strchr(runtime_etc[i], '*') &&
				runtime_holds(runtime_etc[i], path, strlen(path)))
				r = host_rule(rules, path, use);
		}
	}
	if (dir)
		closedir(dir);
	return r;
}

int host_rules(const struct cell_spec *spec, const struct rules *rules, struct failure *f)
{
	const unsigned use = RULES_READ | RULES_RUN;
	char path[64];
	int r = 0;

	for (size_t i = 0; r == 0 && !spec->runtime_none && runtime_trees[i]; i++)
		r = host_rule(rules, runtime_trees[i], use);
	for (size_t i = 0; r == 0 && !spec->runtime_none && runtime_etc[i]; i++)
		r = strchr(runtime_etc[i], '*') ? 0 : host_rule(rules, runtime_etc[i], use);
	if (r == 0 && !spec->runtime_none)
		r = host_patterns(rules, use);
	for (size_t i = 0; r == 0 && i < spec->n_runtime; i++)
		r = host_named(rules, spec->runtime[i], use, f);
	for (size_t i = 0; r == 0 && i < DEVICES; i++) {
		snprintf(path, sizeof(path), "/dev/%s", devices[i]);
		r = host_rule(rules, path, RULES_CHAR);
	}
	if (r == 0)
		r = host_rule(rules, "/proc", RULES_READ);
	if (r == 0)
		r = tty_rule(spec, rules);
	return r < 0 ? fail(f, r, "Landlock: cannot make the runtime's rules: %m") : 0;
}
