/* SPDX-License-Identifier: MIT */
/*
 * open_flags.c - what an open asks for: its flags, and the rights that they need.
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 */
#include "broker/open_flags.h"
#include "broker/decide.h"

#include <errno.h>
#include <fcntl.h>

/* open(2) takes any bit silently; here each has its reason. */
#define FLAGS_ALLOWED \
	(O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_DIRECTORY | \
		O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME | \
		O_TMPFILE | O_LARGEFILE_KERNEL)

bool open_is_tmpfile(const struct request *q)
{
	return (q->flags & O_TMPFILE) == O_TMPFILE;
}

bool open_reads(const struct request *q)
{
	return (q->flags & O_ACCMODE) != O_WRONLY;
}

bool open_writes(const struct request *q)
{
	return (q->flags & O_ACCMODE) != O_RDONLY;
}

unsigned open_rights_existing(const struct request *q)
{
	/* Who can also read can map the file shared and write anywhere in it (mmap(2): O_APPEND is
	 * nothing to a mapping), so that only O_WRONLY is less than writing. */
	bool appends = (q->flags & O_ACCMODE) == O_WRONLY && (q->flags & O_APPEND) &&
		       !(q->flags & O_TRUNC);
	unsigned rights = open_reads(q) ? RIGHT_READ : 0;

	if (open_writes(q))
		rights |= appends ? RIGHT_APPEND : RIGHT_WRITE;
	return rights;
}

/* What one makes, one may fill. */
unsigned open_rights_new(const struct request *q)
{
	return RIGHT_CREATE | (open_reads(q) ? RIGHT_READ : 0);
}

unsigned open_rights(const struct request *q)
{
	return open_is_tmpfile(q) || (q->flags & O_CREAT) ? open_rights_new(q)
							  : open_rights_existing(q);
}

int open_flags(struct request *q)
{
	if (q->flags & O_PATH)
		return refuse(q, EINVAL, "O_PATH descriptors are not handed out");
	if (q->flags & ~(uint32_t)FLAGS_ALLOWED)
		return refuse(q, EINVAL, "unknown flags %#o", q->flags & ~(uint32_t)FLAGS_ALLOWED);
	if ((q->flags & O_ACCMODE) == O_ACCMODE)
		return refuse(q, EINVAL, "neither reading nor writing");
	/* It would truncate what the caller says he only reads. */
	if ((q->flags & O_TRUNC) && !open_writes(q))
		return refuse(q, EINVAL, "O_TRUNC without writing");
	/* The half of O_TMPFILE that is no flag of its own. */
	if ((q->flags & O_TMPFILE & ~O_DIRECTORY) && !open_is_tmpfile(q))
		return refuse(q, EINVAL, "O_TMPFILE without O_DIRECTORY");
	if (open_is_tmpfile(q) ? !open_writes(q) || (q->flags & O_CREAT)
			       : (q->flags & O_CREAT) && (q->flags & O_DIRECTORY))
		return refuse(q, EINVAL, "flags that contradict each other");
	return 0;
}
