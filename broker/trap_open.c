/* SPDX-License-Identifier: MIT */
/*
 * trap_open.c - opens by the trap door that no rule grants and that are granted nevertheless: what
 * the caller has already, and names on the way to trees.
 *
 * Runs in: broker.  Trusts: nothing the worker passes.
 */
#include "broker/trap_open.h"
#include "broker/mounts.h"
#include "broker/own.h"
#include "broker/tracee.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- what was handed in ---------------------------------------------------------------------- */

/* A copy of the caller's own descriptor, if that may do what it asks for. */
static int copy_held(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int wanted = q->flags & O_ACCMODE, may;
	autofd_hurried fd = -1; /* anything, if the number was given to another meanwhile */
	struct stat st;
	int r = tracee_take_fd(t->notice.tid, t->held_fd, &fd);

	if (r == 0 && !notify_valid(s->cell->notify, t->notice.id))
		r = -ESRCH;
	may = r == 0 ? fcntl(fd, F_GETFL) : -1;
	if (may < 0 || fstat(fd, &st) < 0)
		return -EACCES;
	if ((may & O_PATH) || !S_ISREG(st.st_mode) || (q->flags & (O_DIRECTORY | O_EXCL)) ||
		((q->flags & O_TRUNC) && wanted == O_RDONLY) ||
		((may & O_ACCMODE) != O_RDWR && (may & O_ACCMODE) != wanted))
		return -EACCES;
	q->fd = fd_take(&fd);
	return ANSWER_FD;
}

/* Whether the descriptor has the name of the cell's own, and is of another file system: the host's
 * /tmp/x, handed in.  The kernel, let go on, would refuse it. */
static bool is_namesake(const struct session *s, const struct trap *t)
{
	const struct target *target = &t->q.target;
	struct stat held;
	char name[40];

	snprintf(name, sizeof(name), "%d/fd/%d", (int)t->notice.tid, t->held_fd);
	return owner_of(s, target->asked, target->asked_size) == OWNER_WORKER &&
	       tracee_stat(s, name, &held) == 0 && !mounts_are_own(s, held.st_dev);
}

/*
 * A file that was handed in, on standard input perhaps, and is outside of all rules: no open of it
 * is granted.  Whoever opens it by /dev/stdin gets what dup(2) would give, which needs no rule and
 * no record; as on systems where that is what /dev/fd does.  O_TRUNC is passed over, as there.
 */
int open_held(struct session *s, struct trap *t, int result)
{
	struct request *q = &t->q;

	if (t->held_fd < 0 || (result < 0 && (!q->refused || q->by_limit)) ||
		(result >= 0 && (result != GO_ON || !is_namesake(s, t))) ||
		copy_held(s, t) != ANSWER_FD)
		return result;
	q->refused = q->truncate = false;
	q->own = true;
	return ANSWER_FD;
}
