/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - from the path that was asked to the inode that it reaches.
 *
 * Runs in: broker.  Trusts: the kernel's walk; no name, which may change between two calls.
 *
 * Without a symlink on the way, what is reached is what was asked, and RESOLVE_NO_SYMLINKS proves
 * it.  Else the kernel follows and /proc/self/fd/N says where it came out.  That text lies: a file
 * moved out of its tree reads as "/", an unlinked one gains " (deleted)", and a live name may end
 * so.  So the text is resolved again without symlinks, and must come out at the same device, inode
 * and mount.
 */
#include "broker/resolve.h"
#include "broker/identity.h"
#include "broker/open_path.h"
#include "broker/roots.h"
#include "broker/slow.h"
#include "broker/tracee.h"
#include "common/fd.h"
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#define PROOFS_MAX 4 /* tries to see a path hold still */

void target_init(struct target *t)
{
	t->asked_size = t->raw_size = t->reached_size = 0;
	t->rights = t->decided_for = 0;
	t->fd = -1;
	t->name = NULL;
	t->dev = 0;
	t->ino = 0;
	t->mode = 0;
	t->must_be_directory = t->ends_in_dots = t->trapped = t->no_symlinks = false;
	t->given_fd = -1;
}

void target_deinit(struct target *t)
{
	fd_close(&t->fd);
	fd_close(&t->given_fd);
}

/* Whether ".." is a component of the path. */
static bool has_dotdot(const char *path, size_t size)
{
	const char *end = path + size;

	for (const char *p = path; (p = memchr(p, '.', (size_t)(end - p))); p++) {
		if (p + 1 < end && p[1] == '.' && (p + 2 == end || p[2] == '/') &&
			(p == path || p[-1] == '/'))
			return true;
	}
	return false;
}

static bool ends_with(const char *path, size_t size, const char *tail)
{
	size_t n = strlen(tail);

	return size >= n && memcmp(path + size - n, tail, n) == 0;
}

int target_ask(struct target *t, const char *path, size_t size)
{
	int n = path_normalise(path, size, t->asked, sizeof(t->asked));

	if (n < 0)
		return n;
	t->asked_size = (size_t)n;
	t->decided_for = 0;
	t->must_be_directory = path[size - 1] == '/';
	if ((size_t)n == size) /* nothing was taken away: it was normal */
		return 0;
	while (size > 1 && path[size - 1] == '/')
		size--;
	t->ends_in_dots = ends_with(path, size, "/.") || ends_with(path, size, "/..");
	if (t->ends_in_dots)
		t->must_be_directory = true;
	/* "/." at the end asks for leave to search what the normal form ends with. */
	if (!t->ends_in_dots && !has_dotdot(path, size))
		return 0;
	memcpy(t->raw, path, size);
	t->raw[size] = '\0';
	t->raw_size = size;
	return 0;
}

static void note_inode(struct target *t, const struct stat *st)
{
	t->dev = st->st_dev;
	t->ino = st->st_ino;
	t->mode = st->st_mode;
	t->uid = st->st_uid;
	t->gid = st->st_gid;
}

static void set_reached(struct target *t, const char *path, size_t size)
{
	memmove(t->reached, path, size);
	t->reached[size] = '\0';
	t->reached_size = size;
}

/*
 * Where fd came out, as a path beneath root_fd.  The kernel writes paths of a detached mount, and
 * of another mount namespace, from that one's own root; of a plain directory from ours.
 */
static int text_beneath(struct session *s, int root_fd, int fd, char buf[PATH_MAX])
{
	char root[PATH_MAX];
	int n = tracee_own_text(s, fd, buf, PATH_MAX);
	int r = n < 0 ? n : tracee_own_text(s, root_fd, root, sizeof(root));
	size_t skip;

	if (r < 0)
		return r;
	skip = r == 1 ? 0 : (size_t)r; /* "/" is no prefix to take away */
	if ((size_t)n < skip || memcmp(buf, root, skip) != 0)
		return -ENOENT;
	memmove(buf, buf + skip, (size_t)n - skip + 1);
	n -= (int)skip;
	if (n > 0)
		return buf[0] == '/' ? n : -ENOENT;
	memcpy(buf, "/", 2);
	return 1;
}

static bool same_place(const struct statx *a, const struct statx *b)
{
	return a->stx_dev_major == b->stx_dev_major && a->stx_dev_minor == b->stx_dev_minor &&
	       a->stx_ino == b->stx_ino && a->stx_mnt_id == b->stx_mnt_id &&
	       (a->stx_mask & b->stx_mask & STATX_MNT_ID); /* Linux 5.8 */
}

static int place(int fd, struct statx *ret)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT,
		       STATX_BASIC_STATS | STATX_MNT_ID, ret) < 0
		       ? -errno
		       : 0;
}

/* Follows once and proves where that came out.  -ESTALE: something moved meanwhile. */
static int follow_once(struct session *s, struct target *t, int root_fd, const char *path,
	uint64_t flags, int *ret_fd)
{
	/* A link may lead to where the walk waits for a server.  As far as the kernel knows the way
	 * by heart it waits for nobody. */
	bool may_wait = s->may_begin_slowly && slow_any(s);
	autofd followed = -1, proven = -1;
	struct statx a, b;
	char text[PATH_MAX];
	int r, n = 0;

	r = open_beneath(root_fd, path, flags, 0, may_wait ? FOLLOW_CACHED : FOLLOW_ALL, &followed);
	if (r == 0)
		r = n = text_beneath(s, root_fd, followed, text);
	if (may_wait && (r == -EAGAIN || (r >= 0 && slow_holds(s, text, (size_t)n)))) {
		s->begin_slowly = true;
		return -EAGAIN;
	}
	if (r < 0)
		return r == -ENOENT && followed >= 0 ? -ESTALE : r;
	r = open_beneath(
		root_fd, path_relative(text), O_PATH | O_NOFOLLOW, 0, FOLLOW_NONE, &proven);
	if (r < 0)
		return r == -ENOENT || r == -ENOTDIR || r == -ELOOP ? -ESTALE : r;
	r = place(followed, &a);
	if (r == 0)
		r = place(proven, &b);
	if (r < 0)
		return r;
	if (!same_place(&a, &b))
		return -ESTALE;
	set_reached(t, text, (size_t)n);
	*ret_fd = fd_take(&proven);
	return 0;
}

static int follow_path(struct session *s, struct target *t, int root_fd, const char *path,
	uint64_t flags, int *ret_fd)
{
	int r = -ESTALE;

	for (int i = 0; r == -ESTALE && i < PROOFS_MAX; i++)
		r = follow_once(s, t, root_fd, path, flags, ret_fd);
	return r == -ESTALE ? -EAGAIN : r;
}

/* Resolves `asked`, or `raw` where the kernel must take ".." away, to an O_PATH descriptor. */
static int resolve_path(struct session *s, struct target *t, int root_fd, const char *asked,
	const char *raw, uint64_t flags, int *ret_fd)
{
	int r = -ELOOP;
	const char *rest;

	if (!raw) {
		int from_fd =
			roots_find(s, root_fd == s->cell->twin_fd, asked, strlen(asked), &rest);

		r = open_beneath(from_fd, rest, flags, 0, FOLLOW_NONE, ret_fd);
	} else if (t->no_symlinks) {
		r = open_beneath(root_fd, path_relative(raw), flags, 0, FOLLOW_NONE, ret_fd);
	}
	if (r == 0)
		set_reached(t, asked, strlen(asked));
	else if (r == -ELOOP && !t->no_symlinks)
		r = follow_path(s, t, root_fd, path_relative(raw ? raw : asked), flags, ret_fd);
	return r;
}

/* As whom to walk: with the authority of the rule that allowed what was asked, if one has yet. */
static unsigned walk_as(const struct request *q)
{
	return q->answer.verdict == VERDICT_ALLOW ? q->answer.as : AS_WORKER;
}

static int inode_as_we_are(struct session *s, struct target *t, int root_fd, bool follow)
{
	uint64_t flags = O_PATH;
	autofd fd = -1;
	struct stat st;
	int r;

	/* path_resolution(7): a slash at the end follows a symlink and demands a directory. */
	if (t->must_be_directory)
		flags |= O_DIRECTORY;
	else if (!follow)
		flags |= O_NOFOLLOW;
	r = resolve_path(s, t, root_fd, t->asked, t->raw_size > 0 ? t->raw : NULL, flags, &fd);
	if (r < 0)
		return r;
	r = fd_stat(fd, &st);
	if (r < 0)
		return r;
	note_inode(t, &st);
	fd_close(&t->fd);
	t->fd = fd_take(&fd);
	t->name = NULL;
	return 0;
}

int resolve_inode(
	struct session *s, const struct request *q, struct target *t, int root_fd, bool follow)
{
	unsigned as = walk_as(q);
	int r = identity_take(s, as);

	if (r < 0)
		return r;
	r = inode_as_we_are(s, t, root_fd, follow);
	identity_drop(s, as);
	return r;
}

/* Where the last component of an absolute path begins. */
static size_t name_at(const char *path, size_t size)
{
	return (size_t)((const char *)memrchr(path, '/', size) - path) + 1;
}

static int append_name(struct target *t, const char *name, size_t size)
{
	if (t->reached_size == 1)
		t->reached_size = 0;
	if (t->reached_size + 1 + size >= sizeof(t->reached))
		return -ENAMETOOLONG;
	t->reached[t->reached_size++] = '/';
	memcpy(t->reached + t->reached_size, name, size + 1);
	t->reached_size += size;
	return 0;
}

static int name_as_we_are(struct session *s, struct target *t, int root_fd)
{
	bool raw = t->raw_size > 0;
	const char *path = raw ? t->raw : t->asked, *parent = "/";
	size_t name, n;
	autofd fd = -1;
	int r;

	/* Such a path is walked whole, and leads to a directory. */
	if (t->ends_in_dots || t->asked_size == 1)
		return inode_as_we_are(s, t, root_fd, true);
	name = name_at(t->asked, t->asked_size);
	/* `reached` holds the parent's path until it is known what that reaches. */
	t->reached_size = 0;
	n = name_at(path, raw ? t->raw_size : t->asked_size) - 1;
	if (n > 0) {
		memcpy(t->reached, path, n);
		t->reached[n] = '\0';
		parent = t->reached;
	}
	r = resolve_path(s, t, root_fd, parent, raw ? parent : NULL, O_PATH | O_DIRECTORY, &fd);
	if (r == 0)
		r = append_name(t, t->asked + name, t->asked_size - name);
	if (r < 0)
		return r;
	fd_close(&t->fd);
	t->fd = fd_take(&fd);
	t->name = t->asked + name;
	note_inode(t, &(struct stat){0});
	return 0;
}

int resolve_parent(struct session *s, const struct request *q, struct target *t, int root_fd)
{
	unsigned as = walk_as(q);
	int r = identity_take(s, as);

	if (r < 0)
		return r;
	r = name_as_we_are(s, t, root_fd);
	identity_drop(s, as);
	return r;
}

int resolve_look(struct session *s, const struct request *q, struct target *t)
{
	unsigned as = walk_as(q);
	struct stat st = {0};
	int r = t->name ? identity_take(s, as) : 0;

	if (r < 0 || !t->name)
		return r;
	if (fstatat(t->fd, t->name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
		r = -errno;
	else
		note_inode(t, &st);
	identity_drop(s, as);
	return r;
}

int resolve_name(struct session *s, const struct request *q, struct target *t, int root_fd)
{
	int r = resolve_parent(s, q, t, root_fd);

	return r < 0 ? r : resolve_look(s, q, t);
}
