/* SPDX-License-Identifier: MIT */
/*
 * trap.c - the trap door: an unmodified program's own system calls, answered like messages.
 *
 * Runs in: broker.  Trusts: nothing the worker passes.
 *
 * One call at a time: its arguments are copied, the copy goes the way of request.h, the answer is
 * written down, and then given: a descriptor is put into the caller's table by the same ioctl that
 * lets its call return.  Whatever cannot be done is a refusal; nothing that fails is let go on.
 */
#include "broker/trap.h"
#include "broker/affinity.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/mounts.h"
#include "broker/open_flags.h"
#include "broker/open_path.h"
#include "broker/ops.h"
#include "broker/own.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "broker/slow.h"
#include "broker/socket_outer.h"
#include "broker/standin.h"
#include "broker/tracee.h"
#include "broker/trap_open.h"
#include "broker/trap_socket.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROWS 512 /* more than any system call's number */

/* By number. */
static const struct row {
	const char *name; /* NULL: no row */
	trap_taker *take;
	const char *goes_on; /* why it may; NULL: never */
} rows[ROWS] = {
#define X(call, why) [SYS_##call] = {#call, take_##call, why},
	TRAP_CALLS(X)
#ifdef __x86_64__
		TRAP_CALLS_OLD(X)
#endif
#undef X
};

static const struct row *find_row(int nr)
{
	if (nr < 0 || nr >= ROWS || !rows[nr].name)
		return NULL;
	return &rows[nr];
}

const char *trap_name(int nr, bool *ret_may_go_on)
{
	const struct row *row = find_row(nr);

	*ret_may_go_on = row && row->goes_on;
	return row ? row->name : NULL;
}

int trap_init(struct session *s)
{
	s->trap = calloc(1, sizeof(*s->trap));
	return s->trap ? tracee_links_new(&s->links) : -ENOMEM;
}

void trap_deinit(struct session *s)
{
	free(s->trap);
	s->trap = NULL;
	s->links = tracee_links_free(s->links);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The pipeline from its beginning: what was looked at before does not count. */
static int open_by_policy(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	int r;

	fd_close(&t->fd);
	t->reached_size = 0;
	t->mode = 0;
	r = open_path(s, q);
	return r < 0 ? r : ANSWER_FD;
}

/* A directory that only leads to others: its names can be seen, and no rule is about it. */
static int refuse_between(struct request *q)
{
	return refuse(q, EACCES, "no rule is about this directory, which only leads to others");
}

/* What the cell has for itself: the worker opens it natively, unless it leads to a data tree. */
static int open_own(struct session *s, struct trap *t, enum owner owner)
{
	struct request *q = &t->q;
	struct target *target = &q->target;
	bool follow = !(q->flags & O_NOFOLLOW) && !((q->flags & O_CREAT) && (q->flags & O_EXCL));
	int r = 0;

	/* The runtime of `root empty` stands in no view of the broker's. */
	if (s->root == ROOT_EMPTY)
		return owner == OWNER_NONE ? open_by_policy(s, q) : GO_ON;
	if (owner == OWNER_RUNTIME)
		r = mounts_lead_to_runtime(s, target, follow);
	if (r != 0)
		return GO_ON;
	r = resolve_inode(s, q, target, s->cell->view_fd, follow);
	if (r < 0)
		return owner == OWNER_NONE ? open_by_policy(s, q) : GO_ON;
	switch (owner_of(s, target->reached, target->reached_size)) {
	case OWNER_POLICY:
		return open_by_policy(s, q);
	case OWNER_NONE:
		return s->root == ROOT_HOST ? open_by_policy(s, q) : open_between(s, q);
	case OWNER_RUNTIME:
		mounts_note(s, target);
		return GO_ON;
	default:
		return GO_ON;
	}
}

static int open_by_path(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	struct target *target = &q->target;
	enum owner owner = owner_of(s, target->asked, target->asked_size);

	/* Names are visible, and O_PATH opens no more than a name: what is behind it is asked for
	 * again.  Landlock does not ask about O_PATH, and about all else it does. */
	if (q->flags & O_PATH)
		return GO_ON;
	/* A rule about a part of the runtime wants its record. */
	if (owner == OWNER_POLICY || decide_by_rule(s, target, open_rights(q)))
		return open_by_policy(s, q);
	return open_own(s, t, owner);
}

static int serve_open(struct session *s, struct trap *t)
{
	return open_held(s, t, open_by_path(s, t));
}

/* ---- running --------------------------------------------------------------------------------- */

/* In the book, as a grant that hands nothing over; then the kernel runs what Landlock lets run. */
static int exec_by_policy(struct session *s, struct request *q)
{
	int r = charge(s, q, false);

	if (r == 0)
		r = record_change(s, q);
	return r < 0 ? r : GO_ON;
}

static int serve_exec(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	struct target *target = &q->target;
	enum owner owner = owner_of(s, target->asked, target->asked_size);
	bool natively = owner != OWNER_POLICY && owner != OWNER_NONE;
	int r;

	if (s->root == ROOT_EMPTY && natively)
		return GO_ON;
	target->rights = RIGHT_EXEC;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve_inode(s, q, target, s->cell->view_fd, !(q->flags & AT_SYMLINK_NOFOLLOW));
	if (r < 0)
		return natively ? GO_ON : r;
	owner = owner_of(s, target->reached, target->reached_size);
	if (owner == OWNER_NONE)
		return refuse_between(q);
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	return q->own ? GO_ON : exec_by_policy(s, q);
}

/* ---- watching -------------------------------------------------------------------------------- */

static bool is_inotify(const struct session *s, int fd)
{
	static const char name[] = "anon_inode:inotify";
	char path[16], text[sizeof(name)];
	ssize_t n;

	snprintf(path, sizeof(path), "%d", fd);
	n = readlinkat(s->cell->proc_fd, path, text, sizeof(text));
	return n == (ssize_t)sizeof(name) - 1 && memcmp(text, name, (size_t)n) == 0;
}

static int serve_watch(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	struct target *target = &q->target;
	char path[32];
	autofd_hurried fd = -1; /* anything, before it is looked at */
	int r;

	target->rights = RIGHT_READ;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve_inode(s, q, target, s->cell->view_fd, !(q->flags & IN_DONT_FOLLOW));
	if (r < 0)
		return r;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = charge(s, q, false);
	if (r == 0)
		r = tracee_take_fd(t->notice.tid, t->watch_fd, &fd);
	if (r == 0 && !is_inotify(s, fd))
		r = -EINVAL;
	if (r == 0 && !notify_valid(s->cell->notify, t->notice.id))
		r = -ESRCH;
	if (r == 0)
		r = change_begin(s, q);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", target->fd);
	t->value = inotify_add_watch(fd, path, q->flags & ~(uint32_t)IN_DONT_FOLLOW);
	return change_end(s, q, t->value, target);
}

/* ---- the dispatch ---------------------------------------------------------------------------- */

static int serve_umask(struct session *s, struct trap *t)
{
	t->umask_tid = 0;
	return GO_ON;
}

static int serve_handler(struct session *s, struct trap *t)
{
	static op_handler *const handlers[OP__COUNT] = {
		[MSG_ACCESS] = handle_access,
		[MSG_MKDIR] = handle_mkdir,
		[MSG_RMDIR] = handle_rmdir,
		[MSG_UNLINK] = handle_unlink,
		[MSG_RENAME] = handle_rename,
		[MSG_LINK] = handle_link,
		[MSG_SYMLINK] = handle_symlink,
		[MSG_TRUNCATE] = handle_truncate,
		[MSG_CHMOD] = handle_chmod,
		[MSG_UTIMES] = handle_utimes,
		[OP_CHOWN] = handle_chown,
		[OP_SETXATTR] = handle_setxattr,
		[OP_REMOVEXATTR] = handle_removexattr,
		[OP_MKNOD] = handle_mknod,
	};

	if (!handlers[t->q.op])
		return refuse(&t->q, ENOSYS, "not served");
	return handlers[t->q.op](s, &t->q, NULL);
}

static int serve(struct session *s, struct trap *t)
{
	switch (t->q.op) {
	case MSG_OPEN:
		return serve_open(s, t);
	case OP_EXEC:
		return serve_exec(s, t);
	case MSG_WATCH:
		return serve_watch(s, t);
	case OP_UMASK:
		return serve_umask(s, t);
	case OP_PLACE:
		return GO_ON;
	case OP_SOCKET:
		return serve_socket(s, t);
	case OP_CONNECT:
		return serve_connect(s, t);
	case OP_BIND:
		return serve_bind(s, t);
	case OP_LISTEN:
		return serve_listen(s, t);
	default:
		return serve_handler(s, t);
	}
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* The record stands; the descriptor did not arrive. */
static int undelivered(struct session *s, struct request *q, int error, const char *reason)
{
	record_undelivered(s, DOOR_TRAP, q->grant, error, reason);
	ledger_commit(s->ledger);
	s->tally.granted--;
	return -error;
}

static int hand_over(
	struct session *s, const struct notice *notice, struct request *q, bool cloexec)
{
	struct notify *n = s->cell->notify;
	int r;

	if (q->truncate && ftruncate(q->fd, 0) < 0)
		return notify_refuse(n, notice->id,
			-undelivered(s, q, errno, "the file could not be cut to size 0"));
	r = notify_hand_over(n, notice->id, q->fd, cloexec);
	return r == 0 ? 0 : trap_undelivered(s, notice, q, r);
}

int trap_undelivered(struct session *s, const struct notice *notice, struct request *q, int r)
{
	undelivered(s, q, -r,
		r == -ENOENT ? "the caller was gone"
			     : "the descriptor could not be put into the caller's table");
	if (r == -ENOENT)
		return r;
	/* See notify.c: of these the caller may have got a result without a descriptor. */
	if (r == -EINTR || r == -EINPROGRESS)
		return -EBADE;
	return notify_refuse(s->cell->notify, notice->id, r == -EMFILE ? EMFILE : EIO);
}

int trap_record(struct session *s, struct request *q, int result)
{
	int r;

	q->result = result;
	if (result < 0)
		charge_refused(s, q);
	r = record(s, q);
	if (r == 0)
		r = ledger_commit(s->ledger);
	if (r == 0 || result < 0)
		return 0;
	s->tally.granted--;
	s->tally.denied++;
	return -EIO;
}

/* Writes the record down, then answers.  What cannot be written is not granted. */
static int answer(struct session *s, const struct notice *notice, struct request *q, bool cloexec,
	int result, int value)
{
	struct notify *n = s->cell->notify;
	int r;

	if (result < 0)
		fd_close(&q->fd);
	r = trap_record(s, q, result == -NOTIFY_RESTART ? -EINTR : result);
	if (r < 0)
		result = r;
	if (result < 0)
		return notify_refuse(n, notice->id, -result);
	if (result == ANSWER_FD)
		return hand_over(s, notice, q, cloexec);
	return notify_return(n, notice->id, value);
}

int trap_answer(
	struct session *s, const struct notice *notice, struct request *q, bool cloexec, int result)
{
	return answer(s, notice, q, cloexec, result, 0);
}

static int go_on(struct session *s, struct trap *t)
{
	struct request *q = &t->q;

	if (!t->may_go_on)
		return answer(s, &t->notice, q, false, refuse(q, EPERM, "not served"), 0);
	s->tally.granted += q->grant != 0;
	return notify_continue(s->cell->notify, t->notice.id);
}

static int settle(struct session *s, struct trap *t, int result);

/* In a child of slow.h's: serves and answers, from the beginning, or with the open that waits once
 * all is decided, charged and resolved. */
static int serve_waiting(struct session *s, struct trap *t, bool whole)
{
	struct request *q = &t->q;
	int r = OPEN_WAITS;

	if (whole) {
		request_rewind(q);
		r = serve(s, t);
	}
	if (r == OPEN_WAITS)
		r = slow_open(s, q);
	return settle(s, t, r);
}

static int serve_whole(struct session *s, void *ctx)
{
	return serve_waiting(s, ctx, true);
}

static int serve_open_alone(struct session *s, void *ctx)
{
	return serve_waiting(s, ctx, false);
}

static int serve_slowly(struct session *s, struct trap *t, bool whole)
{
	const struct slow_job job = {
		.notice = &t->notice,
		.q = &t->q,
		.serve = whole ? serve_whole : serve_open_alone,
		.ctx = t,
		.keep = {t->sock.fd},
		.n_keep = 1,
	};

	return slow_start(s, &job);
}

/* What came of a call: the answer now, or later. */
static int settle(struct session *s, struct trap *t, int result)
{
	if (result == GO_ON)
		return go_on(s, t);
	if (result == SOCKET_LATER)
		return 0;
	if (result == OPEN_WAITS || result == BEGIN_SLOWLY) {
		result = serve_slowly(s, t, result == BEGIN_SLOWLY);
		if (result == 0)
			return 0;
		refuse(&t->q, EAGAIN, "too many calls wait already");
	}
	return answer(s, &t->notice, &t->q, t->cloexec, result, t->value);
}

/* What may wait for a file system's server is a child's from the beginning. */
static int serve_or_begin_slowly(struct session *s, struct trap *t)
{
	int r;

	s->begin_slowly = false;
	s->may_begin_slowly = slow_serves(&t->q);
	if (s->may_begin_slowly && slow_may_be(s, &t->q))
		return BEGIN_SLOWLY;
	r = serve(s, t);
	s->may_begin_slowly = false;
	/* A path that led there was given up before anything came of it. */
	return s->begin_slowly && t->q.grant == 0 && t->q.fd < 0 ? BEGIN_SLOWLY : r;
}

/* Before the answer: who still waits is moved at little cost, and cannot make a thread meanwhile.
 */
static void place(struct session *s, const struct trap *t)
{
	if (!s->affinity)
		return;
	if (t->notice.nr == SYS_sched_setaffinity)
		affinity_chosen(s->affinity, t->notice.tid);
	else if (t->q.op == OP_PLACE)
		affinity_let_go(s->affinity, t->notice.tid);
	else
		affinity_request(s->affinity, t->notice.tid, t->q.began_ns);
}

static int serve_notice(struct session *s, struct trap *t)
{
	const struct row *row = find_row(t->notice.nr);
	struct request *q = &t->q;
	int r;

	request_init(q, DOOR_TRAP, MSG_OPEN, t->notice.tid);
	t->sock.fd = -1;
	t->may_go_on = row && row->goes_on;
	t->held_fd = -1;
	t->value = 0;
	r = row ? row->take(s, t) : refuse(q, ENOSYS, "a system call without a row");
	if (r == -ENAMETOOLONG && !q->refused) /* in the ask door's words: ask.c */
		r = refuse(q, ENAMETOOLONG, "a path or a name in it is too long");
	place(s, t);
	/* What was read may have been another's: then nobody waits, and nobody is answered.  Where
	 * that cannot be found out, who does wait is refused. */
	if (!notify_valid(s->cell->notify, t->notice.id)) {
		r = notify_refuse(s->cell->notify, t->notice.id, EIO);
		request_deinit(q);
		sock_close(&t->sock);
		return r;
	}
	if (r == 0)
		r = serve_or_begin_slowly(s, t);
	r = settle(s, t, r);
	request_deinit(q);
	sock_close(&t->sock);
	return r;
}

int trap_serve(struct session *s, const char **ret_why)
{
	int r = notify_receive(s->cell->notify, &s->trap->notice);

	if (r == 0)
		r = serve_notice(s, s->trap);
	/* A caller that died is no failure of anyone's. */
	if (r == -ENOENT || r == -EINTR)
		return 0;
	if (r == -EBADE)
		*ret_why = "a descriptor was half handed over";
	return r;
}
