/* SPDX-License-Identifier: MIT */
/*
 * policy_find.c - where policies are, how they are read, and where a rule's path leads.
 *
 * Runs in: broker (at start, before its cage), command line.  Trusts: the user who starts warder
 * and root; no other owner of a file.
 */
#include "broker/policy_find.h"

#include "common/fd.h"
#include "common/nearest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SUFFIX    ".policy"
#define LINKS_MAX 40 /* as the kernel's, path_resolution(7) */

/* ---- presets --------------------------------------------------------------------------------- */

static void set_dir(char *dir, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set_dir(char *dir, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dir, PATH_MAX, fmt, ap);
	va_end(ap);
	if (n < 0 || n >= PATH_MAX)
		dir[0] = '\0';
}

/* A warder that was built but not installed uses the presets of its source: build/warder,
 * build/tests/unit/policy. */
static void find_source_dir(char *dir)
{
	char exe[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n <= 0)
		return;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	if (!slash)
		return;
	*slash = '\0';
	if (strcmp(exe, WARDER_BINDIR) == 0)
		return;
	for (int up = 0; up < 3; up++) {
		slash = strrchr(exe, '/');
		if (!slash)
			break;
		*slash = '\0';
		set_dir(dir, "%s/policy/presets", exe);
		if (access(dir, X_OK) == 0)
			return;
	}
	dir[0] = '\0';
}

void finder_init(struct finder *f, const char *home)
{
	memset(f, 0, sizeof(*f));
	if (home && home[0] == '/')
		set_dir(f->dirs[0], "%s/.config/warder", home);
	set_dir(f->dirs[1], "%s/warder", WARDER_SYSCONFDIR);
	set_dir(f->dirs[2], "%s/warder", WARDER_DATADIR);
	find_source_dir(f->dirs[3]);
}

void finder_deinit(struct finder *f)
{
	for (size_t i = 0; f->names[i]; i++)
		free((char *)f->names[i]);
	f->names[0] = NULL;
}

static void list_names(struct finder *f)
{
	size_t n = 0;

	if (f->listed)
		return;
	f->listed = true;
	for (size_t i = 0; i < FINDER_DIRS; i++) {
		DIR *dir = f->dirs[i][0] ? opendir(f->dirs[i]) : NULL;
		const struct dirent *e;

		while (dir && n < FINDER_NAMES && (e = readdir(dir))) {
			size_t length = strlen(e->d_name), suffix = strlen(SUFFIX);
			char *name;

			if (length <= suffix || strcmp(e->d_name + length - suffix, SUFFIX) != 0)
				continue;
			name = strndup(e->d_name, length - suffix);
			if (name)
				f->names[n++] = name;
		}
		if (dir)
			closedir(dir);
	}
}

int finder_preset(struct finder *f, const char *name, char *buf, size_t size)
{
	for (size_t i = 0; i < FINDER_DIRS; i++) {
		int n;

		if (!f->dirs[i][0])
			continue;
		n = snprintf(buf, size, "%s/%s%s", f->dirs[i], name, SUFFIX);
		if (n < 0 || (size_t)n >= size)
			return -ENAMETOOLONG;
		/* Whatever else is wrong with it, a file that is there is the one that is meant. */
		if (faccessat(AT_FDCWD, buf, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno == EACCES)
			return 0;
	}
	list_names(f);
	return -ENOENT;
}

const char *finder_nearest(struct finder *f, const char *name)
{
	list_names(f);
	return nearest_word(name, strlen(name), f->names);
}

const char *finder_shown(const char *file, char *buf, size_t size)
{
	static const char memory[] = "/memfd:", end[] = " (deleted)";
	const size_t before = sizeof(memory) - 1, after = sizeof(end) - 1;
	ssize_t n = strncmp(file, "/dev/fd/", 8) == 0 ? readlink(file, buf, size) : -1;

	if (n <= (ssize_t)(before + after) || (size_t)n >= size ||
		memcmp(buf, memory, before) != 0 || memcmp(buf + n - after, end, after) != 0)
		return file;
	buf[(size_t)n - after] = '\0';
	return buf + before;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int refuse(char **ret_why, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int refuse(char **ret_why, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(ret_why, fmt, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
	return r;
}

static int read_whole(int fd, const char *name, char **ret_text, size_t *ret_size, char **ret_why)
{
	autofree char *text = malloc(POLICY_SIZE_MAX + 1);
	long n;
	char *fit;

	if (!text)
		return -ENOMEM;
	n = fd_read_all(fd, text, POLICY_SIZE_MAX + 1);
	if (n < 0)
		return refuse(ret_why, (int)n, "cannot read %s: %s", name, strerror((int)-n));
	if (n > POLICY_SIZE_MAX)
		return refuse(ret_why, -EFBIG, "%s is longer than 1 MiB, which no policy is", name);
	fit = realloc(text, (size_t)n + 1);
	*ret_text = fit ? fit : text;
	*ret_size = (size_t)n;
	text = NULL;
	return 0;
}

/* Whether nobody but its owner is in a group: it has the owner's name, as groups for one user have
 * (useradd(8)), no member, and is no one else's own. */
static bool is_private_group(uid_t uid, gid_t gid)
{
	const struct passwd *pw = getpwuid(uid);
	autofree char *owner = pw && pw->pw_gid == gid ? strdup(pw->pw_name) : NULL;
	const struct group *gr = owner ? getgrgid(gid) : NULL;
	bool only = gr && strcmp(gr->gr_name, owner) == 0;

	for (char **member = only ? gr->gr_mem : NULL; only && *member; member++)
		only = strcmp(*member, owner) == 0;
	if (!only)
		return false;
	setpwent();
	while (only && (pw = getpwent()))
		only = pw->pw_gid != gid || pw->pw_uid == uid;
	endpwent();
	return only;
}

/* Where umask(2) is 002 all files can be written by their group, which is then the owner's alone.
 * Those that an access control list names stand in the group's bits as well: acl(5). */
static bool others_can_write(int fd, const struct stat *st)
{
	if (!(st->st_mode & 022))
		return false;
	if ((st->st_mode & 002) || !is_private_group(st->st_uid, st->st_gid))
		return true;
	return fgetxattr(fd, "system.posix_acl_access", NULL, 0) >= 0 ||
	       (errno != ENODATA && errno != EOPNOTSUPP);
}

static int check_file(int fd, const char *path, char **ret_why)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return refuse(ret_why, -errno, "cannot read %s: %m", path);
	if (!S_ISREG(st.st_mode))
		return refuse(ret_why, -EPERM, "%s is not a regular file%s", path,
			S_ISDIR(st.st_mode) ? " but a directory" : "");
	if (st.st_uid != 0 && st.st_uid != geteuid() && st.st_uid != getuid())
		return refuse(ret_why, -EPERM,
			"%s belongs to uid %u, who could change it at any time; it must belong to "
			"root or to you",
			path, (unsigned)st.st_uid);
	if (others_can_write(fd, &st))
		return refuse(ret_why, -EPERM,
			"%s can be written by others than its owner (mode %04o); chmod go-w %s",
			path, (unsigned)st.st_mode & 07777, path);
	if (st.st_size > POLICY_SIZE_MAX)
		return refuse(ret_why, -EFBIG, "%s is longer than 1 MiB, which no policy is", path);
	return 0;
}

int finder_read(const char *path, char **ret_text, size_t *ret_size, char **ret_why)
{
	/* O_NONBLOCK: the open of a FIFO would wait for its writer, open(2). */
	autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	*ret_why = NULL;
	if (fd < 0)
		return refuse(ret_why, -errno, "cannot read %s: %m", path);
	r = check_file(fd, path, ret_why);
	return r < 0 ? r : read_whole(fd, path, ret_text, ret_size, ret_why);
}

int finder_read_stdin(char **ret_text, size_t *ret_size, char **ret_why)
{
	*ret_why = NULL;
	return read_whole(STDIN_FILENO, "standard input", ret_text, ret_size, ret_why);
}

/* ---- where a path leads ---------------------------------------------------------------------- */

/* Without a symlink on the way the path is what it says. */
static int find_direct(const char *path, struct found *ret)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
	autofd fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	ret->is_directory = S_ISDIR(st.st_mode);
	strcpy(ret->path, path);
	return 0;
}

/* A walk: what is reached, and what is still ahead. */
struct walk {
	struct found *found;
	int dir_fd;
	size_t n; /* of found->path; 0 is "/" */
	unsigned n_followed;
	char ahead[2 * PATH_MAX]; /* components, no slash at the begin */
};

static int add_link(struct found *f, const char *dir, const char *name, size_t n)
{
	char **grown = reallocarray(f->links, f->n_links + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	f->links = grown;
	if (asprintf(&f->links[f->n_links], "%s/%.*s", dir, (int)n, name) < 0)
		return -ENOMEM;
	f->n_links++;
	return 0;
}

static int walk_push(struct walk *w, const char *name, size_t n)
{
	if (w->n + 1 + n + 1 > sizeof(w->found->path))
		return -ENAMETOOLONG;
	w->found->path[w->n++] = '/';
	memcpy(w->found->path + w->n, name, n);
	w->n += n;
	w->found->path[w->n] = '\0';
	return 0;
}

static int walk_root(struct walk *w)
{
	int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fd_close(&w->dir_fd);
	w->dir_fd = fd;
	w->n = 0;
	w->found->path[0] = '\0';
	return 0;
}

/* Puts the text of a symlink before what is ahead. */
static int walk_follow(struct walk *w, int link_fd, const char *rest)
{
	char text[PATH_MAX];
	size_t rest_size = strlen(rest);
	ssize_t n = readlinkat(link_fd, "", text, sizeof(text));

	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	if ((size_t)n + 1 + rest_size + 1 > sizeof(w->ahead))
		return -ENAMETOOLONG;
	memmove(w->ahead + n + 1, rest, rest_size + 1); /* rest is a part of ahead */
	memcpy(w->ahead, text, (size_t)n);
	w->ahead[n] = '/';
	return text[0] == '/' ? walk_root(w) : 0;
}

/* Who replaces the directory that is left says where its ".." leads, as with a link. */
static int walk_up(struct walk *w)
{
	int fd, r = w->n > 0 ? add_link(w->found, "", w->found->path + 1, w->n - 1) : 0;

	if (r < 0)
		return r;
	fd = openat(w->dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fd_close(&w->dir_fd);
	w->dir_fd = fd;
	while (w->n > 0 && w->found->path[--w->n] != '/')
		;
	w->found->path[w->n] = '\0';
	return 0;
}

/* Takes the next component; 1: nothing is ahead. */
static int walk_step(struct walk *w)
{
	const char *name = w->ahead + strspn(w->ahead, "/");
	size_t n = strcspn(name, "/");
	const char *rest = name + n + strspn(name + n, "/");
	char one[NAME_MAX + 1];
	autofd fd = -1;
	struct stat st;
	int r;

	if (n == 0)
		return 1;
	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(one, name, n);
	one[n] = '\0';
	if (strcmp(one, "..") == 0 || strcmp(one, ".") == 0) {
		r = one[1] ? walk_up(w) : 0;
		memmove(w->ahead, rest, strlen(rest) + 1);
		return r;
	}
	fd = openat(w->dir_fd, one, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		r = add_link(w->found, w->found->path, one, n);
		if (r == 0 && ++w->n_followed > LINKS_MAX)
			r = -ELOOP;
		if (r == 0 && !*rest)
			w->found->last_is_link = true;
		return r < 0 ? r : walk_follow(w, fd, rest);
	}
	r = walk_push(w, one, n);
	memmove(w->ahead, rest, strlen(rest) + 1);
	w->found->is_directory = S_ISDIR(st.st_mode);
	fd_close(&w->dir_fd);
	w->dir_fd = fd_take(&fd);
	return r;
}

/* What cannot be looked up stands as it is written. */
static void walk_append(struct walk *w)
{
	for (const char *at = w->ahead; *at;) {
		size_t n = strcspn(at, "/");

		if (n > 0) {
			walk_push(w, at, n);
			w->found->n_missing++;
		}
		at += n;
		at += strspn(at, "/");
	}
}

int find_path(const char *path, struct found *ret)
{
	struct walk w = {.found = ret, .dir_fd = -1};
	int r;

	memset(ret, 0, sizeof(*ret));
	if (find_direct(path, ret) == 0)
		return 0;
	if (strlen(path) >= sizeof(w.ahead))
		return -ENAMETOOLONG;
	strcpy(w.ahead, path);
	r = walk_root(&w);
	ret->is_directory = true;
	while (r == 0)
		r = walk_step(&w);
	fd_close(&w.dir_fd);
	if (r < 0 && r != -ENOMEM)
		walk_append(&w);
	if (w.n == 0)
		strcpy(ret->path, "/");
	return r == 1 ? 0 : r;
}

void found_deinit(struct found *f)
{
	for (size_t i = 0; i < f->n_links; i++)
		free(f->links[i]);
	free(f->links);
	f->links = NULL;
	f->n_links = 0;
}
