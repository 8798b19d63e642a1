/* SPDX-License-Identifier: MIT */
/*
 * slow.c - requests that may have to wait, each in a child of the broker's: the broker's side.
 *
 * Runs in: broker, caged.  Trusts: its children, which are forks of it; slow_child.c.
 */
#include "broker/slow_words.h"
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

static void release(struct slow *w, struct waiting *one)
{
	fd_close(&one->reply_fd);
	one->pid = 0;
	w->n--;
}

static bool reap_done(struct slow *w)
{
	for (size_t i = 0; w->n > 0 && i < SLOW_MAX; i++) {
		if (w->of[i].pid != 0 && spawn_reap_ended(w->of[i].pid))
			release(w, &w->of[i]);
	}
	return w->n == 0;
}

struct slow *slow_free(struct slow *w)
{
	const struct timespec wait = {.tv_nsec = END_WAIT_NS};

	if (!w)
		return NULL;
	for (size_t i = 0; w->n > 0 && i < SLOW_MAX; i++) {
		if (w->of[i].pid != 0 && !w->of[i].answers)
			kill(w->of[i].pid, SIGKILL);
	}
	for (int i = 0; i < END_TRIES && !reap_done(w); i++)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &wait, NULL);
	for (size_t i = 0; w->n > 0 && i < SLOW_MAX; i++) {
		if (w->of[i].pid != 0)
			release(w, &w->of[i]);
	}
	fd_close_many(w->fd, 2);
	free(w);
	return NULL;
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

/* ---- the broker --------------------------------------------------------------------------------
 */

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
	one->notice = *job->notice;
	one->answers = one->done = false;
	adopt(&one->q, job->q, &job->q->target);
	w->n++;
	return 0;
}

static int write_down(struct session *s, struct request *q, bool has_fd)
{
	int r;

	/* No descriptor of this process: that there is one is part of the record. */
	q->fd = has_fd ? STDIN_FILENO : -1;
	if (has_fd)
		charge_granted(s);
	r = record(s, q);
	q->fd = -1;
	return r;
}

static int do_for(struct session *s, struct waiting *one, const struct word *word)
{
	struct request *q = &one->q;
	int r;

	switch (word->kind) {
	case WORD_RECORD:
		adopt(q, &word->q, word->first);
		r = write_down(s, q, word->has_fd);
		one->answers = true;
		if (r == 0 && word->told[0])
			trap_note_told(s->trap, word->told, &q->target);
		break;
	case WORD_CHANGE:
		adopt(q, &word->q, word->first);
		/* After it the child changes something, for a caller that must still be there. */
		return notify_valid(s->cell->notify, one->notice.id) ? record_change(s, q) : -ESRCH;
	case WORD_UNDELIVERED:
		r = record_undelivered(s, q->door, word->grant, word->result, word->reason);
		break;
	case WORD_PAY:
		return charge_pay(s, clock_ns()) ? 0 : -EBUSY;
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
		if (r == 0 && !one->done && one->answers) {
			*ret_why = "a descriptor was half handed over";
			r = -EBADE;
		}
		if (r == 0 && !one->done && notify_valid(s->cell->notify, one->notice.id))
			r = trap_answer(s, &one->notice, &one->q, false, -EIO);
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
		if (!notify_valid(s->cell->notify, one->notice.id)) {
			kill(one->pid, SIGKILL);
			one->done = true;
		} else if (looks && interrupt_of(s, one->notice.tid) != INTERRUPT_NONE) {
			kill(one->pid, SLOW_INTERRUPT);
		}
	}
}
