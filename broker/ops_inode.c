/* SPDX-License-Identifier: MIT */
/*
 * ops_inode.c - the operations that change what an inode holds: handle_<op>() answers
 * warder_<op>().
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 *
 * All go through the twin, to the one inode that was decided on, held by an O_PATH descriptor; the
 * change is in the book before it is made.  The trap door can also name the inode by a descriptor
 * that the worker holds: then its path must still lead to that very inode.
 */
#include "broker/ops.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/mounts.h"
#include "broker/open_path.h"
#include "broker/own.h"
#include "broker/resolve.h"
#include "broker/roots.h"
#include "broker/tracee.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The very file that the descriptor is open on. */
static int take_given(struct target *t, uint64_t *ret_mount)
{
	struct statx stx;

	if (statx(t->given_fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT,
		    STATX_BASIC_STATS | STATX_MNT_ID, &stx) < 0)
		return -errno;
	*ret_mount = stx.stx_mask & STATX_MNT_ID ? stx.stx_mnt_id : 0; /* Linux 5.8 */
	t->dev = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	t->ino = stx.stx_ino;
	t->mode = stx.stx_mode;
	t->uid = stx.stx_uid;
	t->gid = stx.stx_gid;
	return 0;
}

static void reach_given(struct target *t)
{
	fd_close(&t->fd);
	t->fd = fd_take(&t->given_fd);
	memcpy(t->reached, t->asked, t->asked_size + 1);
	t->reached_size = t->asked_size;
}

/*
 * Whether the file's path, which the kernel has just told of this very descriptor, needs no walk to
 * prove it: in the mount of its tree in the twin nothing can stand before it, no mount and no link,
 * and only the two texts of tracee_may_lie() may be untrue.  A file that was handed in, or that was
 * granted for reading, is of another mount.
 */
static bool is_at_its_name(const struct session *s, const struct target *t, uint64_t mount)
{
	return mount && t->raw_size == 0 && !tracee_may_lie(t->asked, t->asked_size) &&
	       roots_in_twin(s, t->asked, t->asked_size, mount);
}

/* What the path now leads to must be the very file that the descriptor is open on. */
static int prove_given(struct session *s, struct request *q, struct target *t)
{
	dev_t dev = t->dev;
	ino_t ino = t->ino;
	int r = resolve_inode(s, q, t, s->cell->twin_fd, false);

	if (r == -ENOENT)
		return refuse(q, EACCES, "the descriptor's file has no name any more");
	if (r == 0 && (dev != t->dev || ino != t->ino))
		return refuse(q, EACCES, "the descriptor's file is not at its name any more");
	return r;
}

static int resolve(struct session *s, struct request *q, struct target *t, bool follow)
{
	uint64_t mount;
	int r;

	if (t->given_fd < 0)
		return resolve_inode(s, q, t, s->cell->twin_fd, follow);
	r = take_given(t, &mount);
	if (r < 0)
		return r;
	/* A file of the worker's own needs no name: it may be unlinked.  So its name is no proof
	 * that it is the worker's own. */
	if (q->own && !mounts_are_own(s, t->dev))
		return refuse(q, EACCES,
			"a file that was handed in, whose name is that of a place of the cell's "
			"own; no rule is about it");
	if (!q->own && !is_at_its_name(s, t, mount))
		return prove_given(s, q, t);
	reach_given(t);
	return 0;
}

static int reach_inode(struct session *s, struct request *q, bool follow)
{
	struct target *t = &q->target;
	int r;

	t->rights = RIGHT_WRITE;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve(s, q, t, follow);
	if (r < 0)
		return r;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	return charge(s, q, false);
}

int handle_truncate(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	autofd fd = -1;
	int r;

	if (q->offset > INT64_MAX)
		return refuse(q, EINVAL, "a size that no file can have");
	r = reach_inode(s, q, true);
	if (r < 0)
		return r;
	if (!S_ISREG(t->mode))
		return S_ISDIR(t->mode) ? -EISDIR : -EINVAL;
	r = decide_inode(s, q, t, t->fd);
	if (r == 0)
		r = identity_take(s, q->answer.as);
	if (r < 0)
		return r;
	r = open_again(s, t->fd, O_WRONLY, 0, &fd);
	identity_drop(s, q->answer.as);
	if (r == -EACCES)
		decide_explain(s, q, t);
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	return change_end(s, q, ftruncate(fd, (off_t)q->offset), t);
}

int handle_chmod(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	char name[16];
	int r;

	if (q->mode & ~(mode_t)01777)
		return refuse(q, EPERM, "mode %#o: neither setuid nor setgid is given",
			(unsigned)q->mode);
	r = reach_inode(s, q, true);
	if (r == 0)
		r = decide_inode(s, q, t, t->fd);
	/* Sticky takes away who may remove what is in a directory: no rule has to give it. */
	if (r == 0 && !q->own && (q->mode & ~(q->answer.mode_max | S_ISVTX)))
		r = refuse(q, EPERM, "mode %#o is more than %s has with \"mode %#o\"",
			(unsigned)q->mode, q->answer.rule, (unsigned)q->answer.mode_max);
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	/* fchmod(2) takes no O_PATH descriptor; its name in /proc leads to the inode itself. */
	snprintf(name, sizeof(name), "%d", t->fd);
	return change_end(s, q, fchmodat(s->cell->proc_fd, name, q->mode, 0), t);
}

static bool is_time(const struct timespec *t)
{
	return (t->tv_nsec >= 0 && t->tv_nsec < 1000000000) || t->tv_nsec == UTIME_NOW ||
	       t->tv_nsec == UTIME_OMIT;
}

int handle_utimes(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	int r;

	if (q->flags & ~(uint32_t)AT_SYMLINK_NOFOLLOW)
		return refuse(q, EINVAL, "unknown flags %#x", q->flags);
	r = reach_inode(s, q, !(q->flags & AT_SYMLINK_NOFOLLOW));
	if (r == 0 && (!is_time(&q->times[0]) || !is_time(&q->times[1])))
		r = refuse(q, EINVAL, "a time that is none");
	/* A symlink has times of its own and nothing else that could be had by them. */
	if (r == 0 && !S_ISLNK(t->mode))
		r = decide_inode(s, q, t, t->fd);
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	/* utimensat(2): AT_EMPTY_PATH takes an O_PATH descriptor since Linux 5.8. */
	return change_end(s, q, utimensat(t->fd, "", q->times, AT_EMPTY_PATH), t);
}

/* ---- what the trap door alone brings --------------------------------------------------------- */

/*
 * As whom the worker is, the kernel decides.  `as broker` has more authority than any worker should
 * give away by it: then only what changes nothing.
 */
int handle_chown(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	int r = reach_inode(s, q, !(q->flags & AT_SYMLINK_NOFOLLOW));

	if (r == 0 && !S_ISLNK(t->mode))
		r = decide_inode(s, q, t, t->fd);
	if (r == 0 && q->answer.as == AS_BROKER &&
		((q->owner != (uid_t)-1 && q->owner != t->uid) ||
			(q->group != (gid_t)-1 && q->group != t->gid)))
		r = refuse(q, EPERM, "a file is not given away");
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	return change_end(s, q, fchownat(t->fd, "", q->owner, q->group, AT_EMPTY_PATH), t);
}

/* xattr(7): attributes of a user's hold data, all others decide on access.  Each cp -p sets a list
 * and goes on where the file system has none, so a data tree is like one: no denial. */
static int check_xattr(struct session *s, struct request *q)
{
	if (strncmp(q->xattr, "system.", strlen("system.")) == 0) {
		if (q->own && mounts_are_own(s, q->target.dev))
			return 0;
		snprintf(q->reason, sizeof(q->reason), "access control lists are not changed");
		return -EOPNOTSUPP;
	}
	if (strncmp(q->xattr, "user.", strlen("user.")) != 0)
		return refuse(q, EPERM, "only attributes of user.* are changed");
	return 0;
}

static int reach_xattr(struct session *s, struct request *q, char *name, size_t size)
{
	struct target *t = &q->target;
	int r = reach_inode(s, q, !(q->mode & AT_SYMLINK_NOFOLLOW));

	if (r == 0 && S_ISLNK(t->mode))
		r = -EPERM;
	if (r == 0)
		r = decide_inode(s, q, t, t->fd);
	if (r == 0)
		r = check_xattr(s, q);
	/* setxattr(2) takes no O_PATH descriptor; its name in /proc leads to the inode itself. */
	snprintf(name, size, "/proc/self/fd/%d", t->fd);
	return r < 0 ? r : change_begin(s, q);
}

int handle_setxattr(struct session *s, struct request *q, uint8_t *data)
{
	char name[32];
	int r = reach_xattr(s, q, name, sizeof(name));

	if (r < 0)
		return r;
	return change_end(
		s, q, setxattr(name, q->xattr, q->value, q->value_size, (int)q->flags), &q->target);
}

int handle_removexattr(struct session *s, struct request *q, uint8_t *data)
{
	char name[32];
	int r = reach_xattr(s, q, name, sizeof(name));

	if (r < 0)
		return r;
	return change_end(s, q, removexattr(name, q->xattr), &q->target);
}
