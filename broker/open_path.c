/* SPDX-License-Identifier: MIT */
/*
 * open_path.c - the one place where a requested path is opened.
 *
 * Runs in: broker.  Trusts: the policy's verdict; no name, which may change between two calls.
 *
 * The short way: without a symlink on the path, what is reached is what was asked.  So the verdict
 * comes first, and one openat2(2) with RESOLVE_NO_SYMLINKS and the wanted flags leaves nothing to
 * swap; fstat then decides on the type.  It is taken where an open has no effect on what it opens:
 * the mounts are nodev, and nothing is created.  The long way resolves to O_PATH, decides on what
 * was reached, and opens that very inode by /proc/self/fd/N.
 *
 * No open ever waits: O_NONBLOCK is set (a FIFO, a lease) and taken back before the worker gets the
 * descriptor.  O_TRUNC is never given to the kernel: the file is cut once the record is written.
 */
#include "broker/open_path.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/open_flags.h"
#include "broker/open_make.h"
#include "broker/open_steps.h"
#include "broker/resolve.h"
#include "broker/roots.h"
#include "common/fd.h"
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* openat2(2): EAGAIN when a rename anywhere on the host raced with "..": tries, some 60 us each
 * where the way has as many links with ".." as the kernel follows. */
#define DISTURBED_MAX   1000
#define RESOLVE_CACHED_ 0x20 /* Linux 5.12 */

/* Those that F_SETFL would clear if they were not named again; fcntl(2). */
#define FLAGS_SETFL (O_APPEND | O_DIRECT | O_NOATIME)

int open_beneath(
	int root_fd, const char *path, uint64_t flags, mode_t mode, enum follow follow, int *ret_fd)
{
	const struct open_how how = {
		.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY),
		.mode = mode,
		/* IN_ROOT: an absolute symlink and ".." end at our root, not the host's.
		 * NO_MAGICLINKS: /proc/PID/root and fd/N would leave it. */
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
			   (follow == FOLLOW_NONE || follow == FOLLOW_WITHIN ? RESOLVE_NO_SYMLINKS
									     : 0) |
			   (follow == FOLLOW_WITHIN ? RESOLVE_NO_XDEV : 0) |
			   (follow == FOLLOW_CACHED ? RESOLVE_CACHED_ : 0),
	};
	const int tries = follow == FOLLOW_CACHED ? 1 : DISTURBED_MAX;
	long fd = -1;

	for (int i = 0; i < tries; i++) {
		fd = syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	if (fd < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	*ret_fd = (int)fd;
	return 0;
}

int open_again(struct session *s, int path_fd, uint64_t flags, mode_t mode, int *ret_fd)
{
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "%d", path_fd);
	fd = openat(s->cell->proc_fd, name, (int)flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, mode);
	if (fd < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	*ret_fd = fd;
	return 0;
}

int open_root_of(const struct session *s, const struct request *q)
{
	return open_writes(q) ? s->cell->twin_fd : s->cell->view_fd;
}

int open_settle_flags(struct request *q, int fd)
{
	if ((q->flags & O_NONBLOCK) || fcntl(fd, F_SETFL, q->flags & FLAGS_SETFL) == 0)
		return 0;
	return -errno;
}

int open_note(struct target *t, int fd)
{
	struct stat st;
	int r = fd_stat(fd, &st);

	if (r < 0)
		return r;
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	t->mode = st.st_mode;
	t->uid = st.st_uid;
	t->gid = st.st_gid;
	return 0;
}

static void hand_over(struct request *q, int *fd)
{
	/* A descriptor of another type has no size to cut; open(2) ignores O_TRUNC there. */
	q->truncate = (q->flags & O_TRUNC) && S_ISREG(q->target.mode);
	q->fd = fd_take(fd);
}

int open_as(struct session *s, struct request *q, int dir_fd, const char *path, enum follow follow,
	uint64_t flags, mode_t mode, int *ret_fd)
{
	unsigned as = q->answer.as;
	int r = identity_take(s, as);

	if (r < 0)
		return refuse(q, EPERM, "%s: that identity cannot be had in this session",
			q->answer.rule);
	r = path ? open_beneath(dir_fd, path, flags | O_NONBLOCK, mode, follow, ret_fd)
		 : open_again(s, dir_fd, flags, mode, ret_fd);
	identity_drop(s, as);
	return r;
}

/* A FIFO waits for its other end, a leased file for the lease; fcntl(2), "Leases". */
static bool has_to_wait(const struct request *q)
{
	return q->door == DOOR_TRAP && !(q->flags & O_NONBLOCK);
}

int open_waiting(struct session *s, struct request *q)
{
	unsigned as = q->answer.as;
	char name[16];
	int r = identity_take(s, as);

	if (r < 0)
		return r;
	snprintf(name, sizeof(name), "%d", q->target.fd);
	q->fd = openat(
		s->cell->proc_fd, name, (int)(q->flags & OPEN_FLAGS_KEPT) | O_NOCTTY | O_CLOEXEC);
	r = q->fd < 0 ? -errno : ANSWER_FD;
	identity_drop(s, as);
	return r;
}

/* ---- the short way --------------------------------------------------------------------------- */

static bool may_go_short(const struct session *s, const struct request *q)
{
	return s->root != ROOT_HOST && !s->devices && q->answer.types == 0 && !q->own &&
	       q->target.raw_size == 0;
}

/* -ELOOP, -ENXIO, -EACCES: the long way knows more. */
static int open_short(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	uint64_t flags = q->flags & OPEN_FLAGS_KEPT;
	const char *path;
	int root_fd = roots_find(s, open_writes(q), t->asked, t->asked_size, &path);
	autofd fd = -1;
	int r;

	if (t->must_be_directory)
		flags |= O_DIRECTORY;
	r = open_as(s, q, root_fd, path, FOLLOW_NONE, flags, 0, &fd);
	if (r == 0)
		r = open_note(t, fd);
	if (r < 0)
		return r;
	memcpy(t->reached, t->asked, t->asked_size + 1);
	t->reached_size = t->asked_size;
	r = decide_inode(s, q, t, fd);
	if (r == 0)
		r = open_settle_flags(q, fd);
	if (r == 0)
		hand_over(q, &fd);
	return r;
}

/* ---- the long way ---------------------------------------------------------------------------- */

int open_reached(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	autofd fd = -1;
	int r;

	if (S_ISLNK(t->mode))
		return q->flags & O_DIRECTORY ? -ENOTDIR : -ELOOP;
	t->rights = open_rights_existing(q);
	if (S_ISDIR(t->mode) && !open_writes(q))
		t->rights = RIGHT_LIST;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = charge(s, q, true);
	if (r == 0)
		r = decide_inode(s, q, t, t->fd);
	/* fifo(7): a writer that finds a reader need not wait, nor does who is both. */
	if (r == 0 && S_ISFIFO(t->mode) && !open_writes(q) && has_to_wait(q))
		return OPEN_WAITS;
	if (r == 0)
		r = open_as(s, q, t->fd, NULL, FOLLOW_NONE, q->flags & OPEN_FLAGS_KEPT, 0, &fd);
	if ((r == -EAGAIN || (r == -ENXIO && S_ISFIFO(t->mode))) && !q->refused && has_to_wait(q)) {
		q->truncate = (q->flags & O_TRUNC) && S_ISREG(t->mode);
		return OPEN_WAITS;
	}
	if (r == -EACCES || r == -EPERM)
		decide_explain(s, q, t);
	if (r == 0)
		r = open_settle_flags(q, fd);
	if (r == 0)
		hand_over(q, &fd);
	return r;
}

static int open_existing(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	int r;

	t->rights = open_rights_existing(q);
	if (decide(s, q) == VERDICT_ALLOW) {
		if (may_go_short(s, q)) {
			r = charge(s, q, true);
			if (r == 0)
				r = open_short(s, q);
			if (q->refused || (r != -ELOOP && r != -ENXIO && r != -EACCES &&
						  !(r == -EAGAIN && has_to_wait(q))))
				return r;
		}
	} else if (open_writes(q) || !decide_would_allow(s, t, RIGHT_LIST)) {
		return decide_refuse(s, q);
	}
	r = resolve_inode(s, q, t, open_root_of(s, q), !(q->flags & O_NOFOLLOW));
	if (r == -EACCES) {
		t->mode = 0; /* of what is behind that, nothing is known */
		decide_explain(s, q, t);
	}
	return r < 0 ? r : open_reached(s, q);
}

/* ---- names on the way ------------------------------------------------------------------------ */

int open_between(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	autofd fd = -1;
	int r;

	if (!S_ISDIR(t->mode) || open_writes(q) || (q->flags & O_CREAT))
		return refuse(
			q, EACCES, "no rule is about this directory, which only leads to others");
	t->rights = RIGHT_LIST;
	/* A deny that is written down holds here too. */
	if (decide(s, q) != VERDICT_ALLOW && q->answer.rule && !q->answer.missing)
		return refuse(q, EACCES, "%s denies list", q->answer.rule);
	q->answer = (struct policy_answer){.verdict = VERDICT_ALLOW};
	r = open_flags(q);
	if (r == 0)
		r = charge(s, q, true);
	if (r == 0)
		r = open_as(s, q, t->fd, NULL, FOLLOW_NONE, q->flags & OPEN_FLAGS_KEPT, 0, &fd);
	if (r == 0)
		r = open_settle_flags(q, fd);
	if (r < 0)
		return r;
	hand_over(q, &fd);
	return ANSWER_FD;
}

/* Whether a path leads to trees and is in none. */
static bool is_between(const struct session *s, const struct target *t)
{
	for (size_t i = 0; i < policy_tree_count(s->policy); i++) {
		const struct policy_tree *tree = policy_tree(s->policy, i);

		if (policy_tree_is_place(s->policy, i) &&
			(path_holds(tree->prefix, t->asked, t->asked_size) ||
				(tree->resolved &&
					path_holds(tree->resolved, t->asked, t->asked_size))))
			return false;
	}
	return policy_names(s->policy, t->asked, t->asked_size);
}

/*
 * "/" and its like: a directory of the view's own file system, with the names that lead to trees,
 * and no rule that says yes or no.  It may be listed.
 */
static int list_between(struct session *s, struct request *q, int refusal)
{
	struct target *t = &q->target;
	struct stat root;
	int r;

	if (s->root != ROOT_VIEW || refusal != -EACCES || !q->refused || q->by_limit ||
		open_writes(q) || (q->answer.rule && !q->answer.missing) || !is_between(s, t))
		return refusal;
	request_rewind(q);
	r = resolve_inode(s, q, t, s->cell->view_fd, !(q->flags & O_NOFOLLOW));
	if (r < 0 || fstat(s->cell->view_fd, &root) < 0 || t->dev != root.st_dev)
		return open_existing(s, q); /* the same refusal again */
	r = open_between(s, q);
	return r < 0 ? r : 0;
}

int open_path(struct session *s, struct request *q)
{
	int r = open_flags(q);

	if (r < 0)
		return r;
	if (open_is_tmpfile(q))
		return open_make_nameless(s, q);
	if (q->flags & O_CREAT)
		return open_make(s, q);
	r = open_existing(s, q);
	return r < 0 ? list_between(s, q, r) : r;
}

int open_name_on_host(int dir_fd, const char *name, bool cached, int *ret_fd)
{
	const struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   (cached ? RESOLVE_CACHED_ | RESOLVE_NO_XDEV : 0),
	};
	int fd = (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int open_on_host(struct session *s, struct request *q, const char *path)
{
	const struct open_how how = {
		/* With O_NOFOLLOW a symlink at the end would be opened itself: openat2(2). */
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	struct target *t = &q->target;
	int r = identity_take(s, q->answer.as);
	int fd;

	if (r < 0)
		return r;
	fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	r = fd < 0 ? -errno : 0;
	identity_drop(s, q->answer.as);
	if (r < 0)
		return r;
	fd_close(&t->fd);
	t->fd = fd;
	t->name = NULL;
	return open_note(t, fd);
}
