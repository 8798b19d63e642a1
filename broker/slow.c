/* SPDX-License-Identifier: MIT */
/*
 * slow.c - requests that may have to wait, each in a child of the broker's: the broker's side.
 *
 * Runs in: broker, caged.  Trusts: its children, which are forks of it; slow_child.c.
 */
#include "broker/slow_words.h"
#include "broker/ask.h"
#include "broker/charge.h"
#include "broker/interrupt.h"
#include "broker/record.h"
#include "broker/trap_socket.h"
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define END_TRIES   50 /* looks at children that were killed, before they are left */
#define END_WAIT_NS 2000000

static const char channel_closed[] = "the worker has closed its channel";

int slow_new(struct slow **ret)
{
	struct slow *w = calloc(1, sizeof(*w));
	int r = w ? chan_pair(&w->fd[0], &w->fd[1]) : -ENOMEM;

	if (r < 0) {
		free(w);
		return r;
	}
	chan_refuse_fds(w->fd[0]);
	*ret = w;
	return 0;
}

int slow_fd(const struct slow *w)
{
	return w->fd[0];
}

size_t slow_waiting(const struct slow *w)
{
	return w->n;
}

size_t slow_promised(const struct slow *w)
{
	size_t n = 0;

	for (size_t i = 0; w && w->n > 0 && i < SLOW_MAX; i++)
		n += w->of[i].pid != 0 && !w->of[i].done ? w->of[i].n_grants : 0;
	return n;
}

static void release(struct slow *w, struct waiting *one)
{
	fd_close(&one->reply_fd);
	one->pid = 0;
	w->n--;
}

/* ---- which requests -------------------------------------------------------------------------- */

bool slow_any(const struct session *s)
{
	if (s->root == ROOT_HOST)
		return slow_host_any(s->cell->slow_host);
	return slow_fs_any(s->cell->slow);
}

bool slow_holds(const struct session *s, const char *path, size_t size)
{
	if (s->root == ROOT_HOST)
		return slow_host_holds(s->cell->slow_host, path, size);
	return slow_fs_hold(s->cell->slow, path, size);
}

static bool lies_there(const struct session *s, const struct target *t)
{
	/* Where ".." leads, after a symlink perhaps, the text does not say. */
	return t->asked_size > 0 && (t->raw_size > 0 || slow_holds(s, t->asked, t->asked_size));
}

bool slow_serves(const struct request *q)
{
	/* Of other sockets than those with a path the broker keeps what it waits for.  With O_PATH
	 * an open goes on: the caller alone waits. */
	switch (q->op) {
	case OP_CONNECT:
	case OP_BIND:
		return q->peer.kind == PEER_PATH;
	case OP_UMASK:
	case OP_LISTEN:
	case OP_SOCKET:
		return false;
	default:
		return !(q->op == MSG_OPEN && (q->flags & O_PATH));
	}
}

bool slow_may_be(const struct session *s, const struct request *q)
{
	/* What is connected to lies on the host: socket_path.c looks for itself. */
	if (q->op == OP_CONNECT || q->op == MSG_CONNECT || !slow_any(s))
		return false;
	return lies_there(s, &q->target) || lies_there(s, &q->target2);
}

/* ---- the broker ------------------------------------------------------------------------------ */

/* What of a request stays here: no descriptor, and nothing that points into the child's. */
static void adopt(struct request *to, const struct request *q, const struct target *first)
{
	*to = *q;
	if (q->blamed)
		to->blamed = q->blamed == first ? &to->target : &to->target2;
	to->target.name = to->target2.name = NULL;
	to->value = NULL;
	to->target.fd = to->target.given_fd = to->target2.fd = to->target2.given_fd = to->fd = -1;
}

int slow_start(struct session *s, const struct slow_job *job)
{
	struct slow *w = s->slow;
	struct waiting *one = w->of;
	autofd hear_fd = -1;
	int pipe_fd[2];
	pid_t pid;

	if (w->n == SLOW_MAX)
		return -EAGAIN;
	while (one->pid != 0)
		one++;
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return -errno;
	hear_fd = pipe_fd[0];
	pid = spawn_copying_files();
	if (pid == 0)
		slow_be_child(s, job, hear_fd);
	if (pid < 0) {
		fd_close(&pipe_fd[1]);
		return (int)pid;
	}
	one->pid = pid;
	one->reply_fd = pipe_fd[1];
	one->later = job->later;
	if (job->notice)
		one->notice = *job->notice;
	one->answers = one->done = false;
	memcpy(one->grants, job->grants, job->n_grants * sizeof(job->grants[0]));
	one->n_grants = job->n_grants;
	adopt(&one->q, job->q, &job->q->target);
	w->n++;
	return 0;
}

/* Of a message: what a record promises, until that has been sent. */
static void promise(struct waiting *one, const struct request *q)
{
	if (one->later && one->n_grants < MSG_COUNT_MAX &&
		(one->n_grants == 0 || one->grants[one->n_grants - 1] != q->grant))
		one->grants[one->n_grants++] = q->grant;
}

static void unpromise(struct waiting *one, uint64_t grant)
{
	for (size_t i = 0; i < one->n_grants; i++) {
		if (one->grants[i] == grant)
			one->grants[i] = one->grants[--one->n_grants];
	}
}

/* Nobody gets what was promised. */
static void break_promises(struct session *s, struct waiting *one, int error, const char *reason)
{
	for (size_t i = 0; i < one->n_grants; i++)
		record_undelivered(s, DOOR_ASK, one->grants[i], error, reason);
	s->tally.granted -= one->n_grants;
	if (one->n_grants > 0)
		ledger_commit(s->ledger);
	one->n_grants = 0;
}

static bool is_gone(const struct session *s, const struct waiting *one)
{
	return one->later ? ask_is_gone(s) : !notify_valid(s->cell->notify, one->notice.id);
}

/* Nobody waits for it any more. */
static void give_up(struct session *s, struct waiting *one, const char *reason)
{
	one->done = true;
	if (!one->later)
		return;
	break_promises(s, one, ECANCELED, reason);
	ask_undefer(one->later);
}

static int write_down(struct session *s, struct waiting *one, const struct word *word)
{
	struct request *q = &one->q;
	int r;

	adopt(q, &word->q, word->first);
	/* No descriptor of this process: that there is one is part of the record. */
	q->fd = word->has_fd ? STDIN_FILENO : -1;
	if (word->kind == WORD_CHANGE) {
		r = record_change(s, q);
	} else {
		if (word->has_fd)
			charge_granted(s);
		r = record(s, q);
		one->answers = !one->later;
	}
	q->fd = -1;
	if (q->result < 0 && word->kind == WORD_RECORD)
		unpromise(one, q->grant);
	else if (r == 0 && word->has_fd)
		promise(one, q);
	return r;
}

static int do_for(struct session *s, struct waiting *one, const struct word *word)
{
	int r;

	switch (word->kind) {
	case WORD_RECORD:
		r = write_down(s, one, word);
		if (r == 0 && word->told[0])
			trap_note_told(s->trap, word->told, &one->q.target);
		break;
	case WORD_CHANGE:
		/* After it the child changes something, for a caller that must still be there. */
		return is_gone(s, one) ? -ESRCH : write_down(s, one, word);
	case WORD_UNDELIVERED:
		unpromise(one, word->grant);
		r = record_undelivered(s, one->q.door, word->grant, word->result, word->reason);
		break;
	case WORD_PAY:
		return charge_pay(s, clock_ns()) ? 0 : -EBUSY;
	case WORD_HELD:
		return (int)ask_undelivered(s) - (one->later ? 1 : 0);
	case WORD_ANSWER:
		one->answers = !is_gone(s, one);
		return one->answers ? 0 : -ECANCELED;
	default:
		return -EBADMSG;
	}
	return r < 0 ? r : ledger_commit(s->ledger);
}

static void tally_up(struct tally *to, const struct tally *more)
{
	to->granted += more->granted;
	to->denied += more->denied;
	to->limited += more->limited;
}

static struct waiting *find(struct slow *w, pid_t pid)
{
	for (size_t i = 0; i < SLOW_MAX; i++) {
		if (w->of[i].pid == pid && !w->of[i].done)
			return &w->of[i];
	}
	return NULL;
}

int slow_serve(struct session *s, const char **ret_why)
{
	struct slow *w = s->slow;
	struct reply reply;
	size_t n;

	while (chan_recv(w->fd[0], &w->word, sizeof(w->word), NULL, 0, &n, false) ==
		(long)sizeof(w->word)) {
		struct waiting *one = find(w, w->word.pid);

		if (!one) /* its caller was gone */
			continue;
		if (w->word.kind == WORD_DONE) {
			one->done = true;
			tally_up(&s->tally, &w->word.tally);
			if (one->later)
				ask_slowly_done(s, one->later, w->word.n_fds);
			if (w->word.result == -EBADE)
				*ret_why = "a descriptor was half handed over";
			if (w->word.result < 0 && w->word.result != -ENOENT)
				return w->word.result;
			continue;
		}
		reply.result = do_for(s, one, &w->word);
		reply.grant = one->q.grant;
		/* Into an empty pipe; a child that was killed meanwhile is seen when it is reaped.
		 */
		if (write(one->reply_fd, &reply, sizeof(reply)) != (ssize_t)sizeof(reply))
			kill(one->pid, SIGKILL);
	}
	return 0;
}

/* It has ended without a word. */
static int ended_early(struct session *s, struct waiting *one, const char **ret_why)
{
	if (one->answers) {
		*ret_why = one->later ? "a message was half answered"
				      : "a descriptor was half handed over";
		return -EBADE;
	}
	if (is_gone(s, one)) {
		give_up(s, one, channel_closed);
		return 0;
	}
	if (!one->later)
		return trap_answer(s, &one->notice, &one->q, false, -EIO);
	break_promises(s, one, EIO, "the process that was to send it has ended");
	return ask_fail(s, one->later, -EIO);
}

int slow_reap(struct session *s, const char **ret_why)
{
	struct slow *w = s->slow;
	int r = 0;

	for (size_t i = 0; r == 0 && w->n > 0 && i < SLOW_MAX; i++) {
		struct waiting *one = &w->of[i];

		if (one->pid == 0 || !spawn_reap_ended(one->pid))
			continue;
		/* All that it said is here by now. */
		r = slow_serve(s, ret_why);
		if (r == 0 && !one->done)
			r = ended_early(s, one, ret_why);
		release(w, one);
		r = r == -ENOENT ? 0 : r;
	}
	return r;
}

void slow_check(struct session *s)
{
	struct slow *w = s->slow;
	bool looks = interrupt_due(&w->looked_ns, clock_ns());

	for (size_t i = 0; i < SLOW_MAX; i++) {
		struct waiting *one = &w->of[i];

		/* One that answers is never killed: a call that is being answered is not valid any
		 * more, and to interrupt that would let it return without its descriptor; notify.c.
		 */
		if (one->pid == 0 || one->done || one->answers)
			continue;
		if (is_gone(s, one)) {
			kill(one->pid, SIGKILL);
			give_up(s, one, channel_closed);
		} else if (looks && !one->later &&
			   interrupt_of(s, one->notice.tid) != INTERRUPT_NONE) {
			kill(one->pid, SLOW_INTERRUPT);
		}
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

static bool reap_done(struct slow *w)
{
	for (size_t i = 0; w->n > 0 && i < SLOW_MAX; i++) {
		if (w->of[i].pid != 0 && spawn_reap_ended(w->of[i].pid))
			release(w, &w->of[i]);
	}
	return w->n == 0;
}

void slow_free(struct session *s)
{
	const struct timespec wait = {.tv_nsec = END_WAIT_NS};
	struct slow *w = s->slow;
	const char *why;

	if (!w)
		return;
	if (w->n > 0)
		slow_serve(s, &why);
	for (size_t i = 0; w->n > 0 && i < SLOW_MAX; i++) {
		struct waiting *one = &w->of[i];

		if (one->pid == 0 || one->answers)
			continue;
		kill(one->pid, SIGKILL);
		if (!one->done)
			give_up(s, one, "the session has ended");
	}
	for (int i = 0; i < END_TRIES && !reap_done(w); i++)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
	for (size_t i = 0; w->n > 0 && i < SLOW_MAX; i++) {
		if (w->of[i].pid != 0)
			release(w, &w->of[i]);
	}
	fd_close_many(w->fd, 2);
	free(w);
	s->slow = NULL;
}
