/* SPDX-License-Identifier: MIT */
/*
 * open_make.c - opens that make files.
 *
 * Runs in: broker.  Trusts: as open_path.c, where each of its opens is made.
 *
 * A file is made within the O_PATH descriptor of its resolved parent, or in one walk without a
 * symlink, and never through a symlink at its name.
 */
#include "broker/open_make.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/kernel_fs.h"
#include "broker/open_flags.h"
#include "broker/open_steps.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "broker/roots.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CREATE_TRIES 4 /* a name that comes and goes between two looks */

static mode_t new_mode(const struct request *q)
{
	return q->mode & 0777 & q->answer.mode_max;
}

/*
 * open(2) reads what it makes, whatever the mode says of later opens.  What is opened twice (see
 * below) must let its owner read until then.
 */
static mode_t first_mode(const struct request *q)
{
	return new_mode(q) | (open_writes(q) ? 0 : S_IRUSR);
}

static int settle_mode(struct session *s, struct request *q, int fd)
{
	unsigned as = q->answer.as;
	int r;

	if (first_mode(q) == new_mode(q))
		return 0;
	r = identity_take(s, as);
	if (r < 0)
		return r;
	if (fchmod(fd, new_mode(q)) < 0)
		r = -errno;
	identity_drop(s, as);
	return r;
}

/*
 * What is only read leaves through the view: a descriptor from the writable twin could be opened
 * again for writing.
 */
static int made_to_view(struct session *s, struct request *q, int *fd)
{
	struct target *t = &q->target;
	dev_t dev = t->dev;
	ino_t ino = t->ino;
	autofd made = -1;
	int r;

	if (open_writes(q))
		return 0;
	made = fd_take(fd);
	r = resolve_inode(s, q, t, s->cell->view_fd, false);
	if (r == 0 && (t->dev != dev || t->ino != ino))
		r = -EAGAIN;
	if (r == 0)
		r = open_as(s, q, t->fd, NULL, FOLLOW_NONE, q->flags & OPEN_FLAGS_KEPT, 0, fd);
	if (r == 0)
		r = settle_mode(s, q, made);
	return r;
}

/*
 * Makes the file, as was decided.  -EEXIST: the name is taken.
 *
 * A name that appears is a change, so that it is in the book first, like mkdir(2)'s: where no line
 * can be written nothing is made.  (It could not be taken back: a domain that may create need not
 * hold the right to remove.)  The inode is known after that, and the descriptor's own line names
 * it.
 */
static int create_at(struct session *s, struct request *q, int dir_fd, const char *path,
	enum follow follow, dev_t dev)
{
	struct target *t = &q->target;
	uint64_t flags = (q->flags & OPEN_FLAGS_KEPT) | O_CREAT | O_EXCL | O_NOFOLLOW;
	autofd fd = -1;
	int r = charge(s, q, true);

	if (r == 0)
		r = kernel_fs_check(s, q, t, dev, dir_fd);
	if (r == 0)
		r = record_change(s, q);
	if (r == 0)
		r = open_as(s, q, dir_fd, path, follow, flags, first_mode(q), &fd);
	if (r == 0)
		r = open_note(t, fd);
	if (r == 0)
		r = made_to_view(s, q, &fd);
	if (r == 0)
		r = open_settle_flags(q, fd);
	if (r == 0) {
		q->fd = fd_take(&fd);
		q->grant = 0;
	}
	return r;
}

/* Where resolve_parent() came out.  The next file may be made beside it. */
static int create_here(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	struct statx parent;
	dev_t dev;
	int r;

	if (statx(t->fd, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT, STATX_TYPE | STATX_MNT_ID,
		    &parent) < 0)
		return -errno;
	dev = makedev(parent.stx_dev_major, parent.stx_dev_minor);
	r = create_at(s, q, t->fd, t->name, FOLLOW_NONE, dev);
	if (r == -EACCES)
		decide_explain(s, q, t);
	if (r == 0)
		roots_note_way(s, t, &parent, dev);
	return r;
}

/* What the kernel says where the way is not any more what it was. */
static bool is_off_the_way(int error)
{
	return error == ELOOP || error == EXDEV || error == ENOENT || error == ENOTDIR ||
	       error == EACCES;
}

/*
 * One file after the other in one directory: where the last one was made the making is the walk as
 * well.  Nothing is believed of that way: the kernel walks it anew, and follows no symlink and
 * leaves no mount, or makes nothing.  -ESTALE: nothing was made, the long way knows more.
 */
static int create_straight(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	const char *rest;
	int root_fd, r;
	dev_t dev;

	/* Of what leaves through the view an error may come after the making. */
	if (!open_writes(q) || t->raw_size > 0 ||
		!roots_on_way(s, t->asked, t->asked_size, &dev, &root_fd, &rest))
		return -ESTALE;
	memcpy(t->reached, t->asked, t->asked_size + 1);
	t->reached_size = t->asked_size;
	t->mode = 0;
	t->rights = open_rights_new(q);
	if (decide(s, q) != VERDICT_ALLOW)
		return -ESTALE;
	r = create_at(s, q, root_fd, rest, FOLLOW_WITHIN, dev);
	if (r == 0 || q->refused || !is_off_the_way(-r))
		return r;
	roots_forget_way(s);
	if (q->grant)
		r = record_undelivered(s, q->door, q->grant, -r, "the way there has changed");
	else
		r = 0;
	q->grant = 0;
	return r < 0 ? r : -ESTALE;
}

/* What stands at the name of a file to be made, as an error; 0: nothing. */
static int look_at_taken(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	int r = resolve_look(s, q, t);

	if (r < 0)
		return r;
	if ((q->flags & O_EXCL) && t->mode != 0)
		return -EEXIST;
	/* Where it leads is not what the worker named, and may not exist for a reason. */
	if (S_ISLNK(t->mode))
		return refuse(q, ELOOP, "a symlink that leads nowhere: nothing is made through it");
	return t->mode != 0 ? -ESTALE : 0;
}

/* Somebody was faster.  With O_EXCL that is all; else it is opened: -ESTALE. */
static int is_taken(struct session *s, struct request *q)
{
	int r;

	if (q->flags & O_EXCL)
		return -EEXIST;
	r = record_undelivered(s, q->door, q->grant, EEXIST, "the name is taken");
	q->grant = 0;
	return r < 0 ? r : -ESTALE;
}

/*
 * One try: opens what is there, or makes it.  -ESTALE: it changed, look again.  Whether the name is
 * free the making itself tells, so that it is looked at only where nothing may be made, and after a
 * try that failed.
 */
static int open_or_create_once(struct session *s, struct request *q, bool again)
{
	struct target *t = &q->target;
	bool exclusive = q->flags & O_EXCL; /* then what is there is never opened */
	bool allowed;
	int r = exclusive ? -ENOENT
			  : resolve_inode(s, q, t, open_root_of(s, q), !(q->flags & O_NOFOLLOW));

	if (r == 0)
		return S_ISDIR(t->mode) ? -EISDIR : open_reached(s, q);
	if (r == -ENOENT && !again) {
		r = create_straight(s, q);
		if (r != -ESTALE)
			return r == -EEXIST ? is_taken(s, q) : r;
		r = -ENOENT;
	}
	if (r == -ENOENT)
		r = resolve_parent(s, q, t, s->cell->twin_fd);
	if (r == -EACCES)
		decide_explain(s, q, t);
	if (r < 0)
		return r;
	t->rights = open_rights_new(q);
	allowed = decide(s, q) == VERDICT_ALLOW;
	if (again || !allowed)
		r = look_at_taken(s, q);
	if (r < 0)
		return r;
	if (!allowed)
		return decide_refuse(s, q);
	r = create_here(s, q);
	return r == -EEXIST ? is_taken(s, q) : r;
}

/* "name/", "." and "..": only what is on the way there can be said before "a directory". */
static int create_no_file(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	int r = resolve_name(s, q, t, s->cell->twin_fd);

	if (r < 0)
		return r;
	return !t->name && (q->flags & O_EXCL) ? -EEXIST : -EISDIR;
}

int open_make(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	int r = -ESTALE;

	/* Whoever may neither open nor make it learns nothing of what is there. */
	t->rights = open_rights_new(q);
	if (decide(s, q) != VERDICT_ALLOW && !decide_would_allow(s, t, open_rights_existing(q)))
		return decide_refuse(s, q);
	if (t->must_be_directory)
		return create_no_file(s, q);
	for (int i = 0; r == -ESTALE && i < CREATE_TRIES; i++)
		r = open_or_create_once(s, q, i > 0);
	return r == -ESTALE ? -EAGAIN : r;
}

int open_make_nameless(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	uint64_t flags = (q->flags & OPEN_FLAGS_KEPT) | O_TMPFILE;
	autofd fd = -1;
	int r;

	t->rights = open_rights_new(q);
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve_inode(s, q, t, s->cell->twin_fd, !(q->flags & O_NOFOLLOW));
	if (r < 0)
		return r;
	if (!S_ISDIR(t->mode))
		return -ENOTDIR;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = charge(s, q, true);
	if (r == 0)
		r = kernel_fs_check(s, q, t, t->dev, t->fd);
	if (r == 0)
		/* O_EXCL: it can never be given a name. */
		r = open_as(s, q, t->fd, NULL, FOLLOW_NONE, flags | O_EXCL, new_mode(q), &fd);
	if (r == -EACCES || r == -EPERM)
		decide_explain(s, q, t);
	if (r == 0)
		r = open_note(t, fd);
	if (r == 0)
		r = open_settle_flags(q, fd);
	if (r == 0)
		q->fd = fd_take(&fd);
	return r;
}
