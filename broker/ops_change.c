/* SPDX-License-Identifier: MIT */
/*
 * ops_change.c - the operations that make, move or remove names: handle_<op>() answers
 * warder_<op>().
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 *
 * All go through the twin.  A name is made, moved or removed within the O_PATH descriptor of its
 * resolved parent, so that no symlink can come between; the change is in the book before it is
 * made.  A move or a link that would give an inode more rights under its new name than it had is
 * EXDEV: tools then copy, which takes the rights that copying takes.
 */
#include "broker/ops.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/kernel_fs.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#endif

/* Rights on what an inode holds, as opposed to its name. */
#define RIGHTS_CONTENT \
	(RIGHT_READ | RIGHT_LIST | RIGHT_WRITE | RIGHT_APPEND | RIGHT_EXEC | RIGHT_CONNECT)

/* ---- the way to a name ----------------------------------------------------------------------- */

static int check_parent(struct session *s, struct request *q, const struct target *t)
{
	struct stat st;
	int r = fd_stat(t->fd, &st);

	if (r < 0)
		return r;
	return kernel_fs_check(s, q, t, st.st_dev, t->fd);
}

/* link(2) looks for what is linked before it looks where the link is to stand. */
static int reach_linked(struct session *s, struct request *q, struct target *t)
{
	/* A slash at the end follows, and what it leads to is a directory. */
	if (t->must_be_directory)
		return resolve_inode(s, q, t, s->cell->twin_fd, true);
	return t->mode == 0 ? -ENOENT : 0;
}

#define NO_NAME 1

/*
 * Decides on each name, resolves its parent, decides on what that reached, charges.  NO_NAME: one
 * of them is none; then its `name` is NULL.
 */
static int reach_names(struct session *s, struct request *q, struct target *a, struct target *b)
{
	int r;

	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve_name(s, q, a, s->cell->twin_fd);
	if (r == 0 && q->op == MSG_LINK)
		r = reach_linked(s, q, a);
	if (r == 0 && b)
		r = resolve_name(s, q, b, s->cell->twin_fd);
	if (r == -EACCES)
		decide_explain(s, q, a);
	if (r < 0)
		return r;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	if ((!a->name && q->op != MSG_LINK) || (b && !b->name))
		return NO_NAME;
	r = charge(s, q, false);
	if (r == 0)
		r = check_parent(s, q, a);
	if (r == 0 && b)
		r = check_parent(s, q, b);
	return r;
}

int change_begin(struct session *s, struct request *q)
{
	int r = record_change(s, q);

	return r < 0 ? r : identity_take(s, q->answer.as);
}

int change_end(struct session *s, struct request *q, long made, const struct target *t)
{
	int r = made < 0 ? -errno : 0;

	identity_drop(s, q->answer.as);
	if (r == -EACCES || r == -EPERM)
		decide_explain(s, q, t);
	return r;
}

/* mkdir(2) and its like say of a name that is taken that it is, whoever asks: names are no secret
 * in a view. */
static int refuse_new(struct session *s, struct request *q, struct target *t, int r)
{
	if (!q->refused || s->root == ROOT_EMPTY || !decide_visible(s, t) ||
		resolve_inode(s, q, t, s->cell->view_fd, false) < 0)
		return r;
	q->refused = false;
	q->reason[0] = '\0';
	return -EEXIST;
}

/* Where something is to be made: 0 with the name's parent in t->fd; -EEXIST; or as reach_names().
 */
static int reach_new(struct session *s, struct request *q, struct target *t)
{
	int r;

	t->rights = RIGHT_CREATE;
	r = reach_names(s, q, t, NULL);
	if (r == NO_NAME) /* "/", "." and ".." are there */
		return -EEXIST;
	if (r < 0)
		return refuse_new(s, q, t, r);
	return t->mode != 0 ? -EEXIST : 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

int handle_mkdir(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	mode_t mode_max;
	int r = reach_new(s, q, t);

	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	mode_max = (q->own ? 0777 : q->answer.mode_max & 0777) | S_ISVTX;
	return change_end(s, q, mkdirat(t->fd, t->name, q->mode & mode_max), t);
}

/* A file as open(2) would make it; a FIFO where no rule has a say.  No right gives a device, and a
 * socket comes by bind(2). */
int handle_mknod(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	mode_t type = q->mode & S_IFMT ? q->mode & S_IFMT : S_IFREG;
	int r = reach_new(s, q, t);

	if (r == 0 && t->must_be_directory)
		r = -ENOENT;
	if (r == 0 && type != S_IFREG && !(type == S_IFIFO && q->own))
		r = refuse(q, EPERM, "a special file: no right gives one");
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	return change_end(
		s, q, mknodat(t->fd, t->name, type | (q->mode & 0777 & q->answer.mode_max), 0), t);
}

/* What rmdir(2) says of a path that ends in no name. */
static int rmdir_no_name(const struct target *t)
{
	if (!t->ends_in_dots)
		return -EBUSY;
	return t->raw[t->raw_size - 2] == '.' ? -ENOTEMPTY : -EINVAL;
}

/* Whether a name is of the wrong type is the kernel's to say: after who may remove it at all. */
static int remove_name(struct session *s, struct request *q, int flags)
{
	struct target *t = &q->target;
	int r;

	t->rights = RIGHT_DELETE;
	r = reach_names(s, q, t, NULL);
	if (r == NO_NAME)
		return flags & AT_REMOVEDIR ? rmdir_no_name(t) : -EISDIR;
	if (r < 0)
		return r;
	if (t->mode == 0)
		return -ENOENT;
	/* unlink(2) of "name/" is none of a name. */
	if (!(flags & AT_REMOVEDIR) && t->must_be_directory)
		return S_ISDIR(t->mode) ? -EISDIR : -ENOTDIR;
	r = change_begin(s, q);
	if (r < 0)
		return r;
	return change_end(s, q, unlinkat(t->fd, t->name, flags), t);
}

int handle_rmdir(struct session *s, struct request *q, uint8_t *data)
{
	return remove_name(s, q, AT_REMOVEDIR);
}

int handle_unlink(struct session *s, struct request *q, uint8_t *data)
{
	return remove_name(s, q, 0);
}

int handle_symlink(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target2;
	int r = reach_new(s, q, t);

	if (r == 0 && t->must_be_directory)
		r = -ENOENT;
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	return change_end(s, q, symlinkat(q->link_text, t->fd, t->name), t);
}

/* ---- moves and links: one inode, two names --------------------------------------------------- */

/* Between the cell's own /tmp and a tree of the policy, for one: there the kernel says EXDEV
 * whatever the rules are, and no rule is to blame. */
static bool on_two_mounts(const struct target *from, const struct target *to)
{
	struct stat a, b;

	return fd_stat(from->fd, &a) == 0 && fd_stat(to->fd, &b) == 0 && a.st_dev != b.st_dev;
}

/* Whether the inode at `from` may stand at `to` without gaining a right there. */
static int check_widening(
	struct session *s, struct request *q, const struct target *from, const struct target *to)
{
	unsigned more = decide_gained(s, from, to, RIGHTS_CONTENT);
	char rights[64];

	if (!more)
		return 0;
	if (on_two_mounts(from, to))
		return -EXDEV;
	policy_rights_name(more, rights, sizeof(rights));
	if (more & ~decide_rights(s, from, RIGHTS_CONTENT))
		return refuse(q, EXDEV, "the new name would give %s on it; copy instead", rights);
	return refuse(q, EXDEV,
		"the new name would give %s on it by a rule with more authority or types; "
		"copy instead",
		rights);
}

/*
 * The same for a rename, and for what lies beneath.  That is asked whatever was seen at the name:
 * what stands there may be exchanged for a directory before the call, by another session or by the
 * host, and rename(2) has no way to say that it is to move none.
 */
static int check_move(
	struct session *s, struct request *q, const struct target *from, const struct target *to)
{
	int r = check_widening(s, q, from, to);

	if (r == 0 && !decide_may_move(s, from, to, RIGHTS_CONTENT))
		return on_two_mounts(from, to)
			       ? -EXDEV
			       : refuse(q, EXDEV,
					 "rules beneath the two names differ; copy instead");
	return r;
}

static int rename_rights(struct session *s, struct request *q)
{
	bool exchange = q->flags & RENAME_EXCHANGE;

	/* RENAME_WHITEOUT makes a device node, which no rule grants. */
	if (q->flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
		q->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return refuse(q, EINVAL, "flags of a rename that cannot be: %#x", q->flags);
	q->target.rights = RIGHT_DELETE | (exchange ? RIGHT_CREATE : 0);
	q->target2.rights = RIGHT_CREATE | (exchange ? RIGHT_DELETE : 0);
	return 0;
}

/*
 * What stands at the new name is lost by a rename, so that needs `delete` there.  Without it the
 * kernel is told not to replace, whatever comes between this look and the call.
 */
static int check_replace(struct session *s, struct request *q, unsigned *ret_flags)
{
	struct target *to = &q->target2;

	*ret_flags = q->flags;
	if (q->flags || decide_would_allow(s, to, RIGHT_DELETE))
		return 0;
	*ret_flags = RENAME_NOREPLACE;
	if (to->mode == 0)
		return 0;
	to->rights = RIGHT_CREATE | RIGHT_DELETE;
	decide(s, q);
	return decide_refuse(s, q);
}

static int check_ends(struct request *q)
{
	const struct target *from = &q->target, *to = &q->target2;

	bool exchange = q->flags & RENAME_EXCHANGE;

	/* In the order of renameat2(2). */
	if (from->mode == 0)
		return -ENOENT;
	if ((q->flags & RENAME_NOREPLACE) && to->mode != 0)
		return -EEXIST;
	if (exchange && to->mode == 0)
		return -ENOENT;
	if (exchange && to->must_be_directory && !S_ISDIR(to->mode))
		return -ENOTDIR;
	if ((from->must_be_directory || (to->must_be_directory && !exchange)) &&
		!S_ISDIR(from->mode))
		return -ENOTDIR;
	return 0;
}

/*
 * In the book stands what was at the name when it was looked at.  Where something else has moved, a
 * second line says what.
 */
static int note_moved(struct session *s, struct request *q)
{
	struct target *from = &q->target;
	const struct target *to = &q->target2;
	struct stat st;

	if (q->own || fstatat(to->fd, to->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		(st.st_ino == from->ino && st.st_dev == from->dev))
		return 0;
	from->dev = st.st_dev;
	from->ino = st.st_ino;
	from->mode = st.st_mode;
	return record_change(s, q);
}

int handle_rename(struct session *s, struct request *q, uint8_t *data)
{
	struct target *from = &q->target, *to = &q->target2;
	unsigned flags = 0;
	int r = rename_rights(s, q);

	if (r == 0)
		r = reach_names(s, q, from, to);
	if (r == NO_NAME)
		r = from->name && (q->flags & RENAME_NOREPLACE) ? -EEXIST : -EBUSY;
	if (r == 0)
		r = check_ends(q);
	if (r == 0)
		r = check_replace(s, q, &flags);
	if (r == 0)
		r = check_move(s, q, from, to);
	if (r == 0 && (q->flags & RENAME_EXCHANGE))
		r = check_move(s, q, to, from);
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	r = change_end(
		s, q, syscall(SYS_renameat2, from->fd, from->name, to->fd, to->name, flags), to);
	return r < 0 ? r : note_moved(s, q);
}

/*
 * What may be linked: a file, and as fs.protected_hardlinks has it a symlink of the worker's user's
 * alone.  The way that a link leads is not gone here, nor is a file linked that has no name.
 */
static int check_linked(const struct session *s, struct request *q, const struct target *from)
{
	if (S_ISREG(from->mode))
		return 0;
	if (!S_ISLNK(from->mode))
		return refuse(q, EPERM, "only files and symlinks are linked");
	if (q->flags & AT_SYMLINK_FOLLOW)
		return refuse(q, EPERM, "a symlink is not followed to what is to be linked");
	return from->uid == s->uid ? 0 : refuse(q, EPERM, "somebody else's symlink is not linked");
}

int handle_link(struct session *s, struct request *q, uint8_t *data)
{
	struct target *from = &q->target, *to = &q->target2;
	int r;

	/* As fs.protected_hardlinks has it, whatever this host's sysctl says: who links a file pins
	 * it, so he must be one who could write it as well. */
	from->rights = RIGHT_READ | RIGHT_WRITE;
	to->rights = RIGHT_CREATE;
	r = reach_names(s, q, from, to);
	if (r == NO_NAME)
		return -EEXIST;
	if (r < 0)
		return r;
	if (to->mode != 0)
		return -EEXIST;
	if (to->must_be_directory)
		return -ENOENT;
	r = check_linked(s, q, from);
	if (r == 0)
		r = check_widening(s, q, from, to);
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	return change_end(s, q, linkat(from->fd, from->name, to->fd, to->name, 0), to);
}
