/* SPDX-License-Identifier: MIT */
/*
 * slow.c - trapped calls that may have to wait, each in a child of the broker's.
 *
 * Runs in: broker, caged.  Trusts: its children, which are forks of it.
 *
 * A child has a table of descriptors of its own: what it opens goes from there into the caller's,
 * and with a child that is killed all of it goes.  It keeps of the broker's what its call needs,
 * and nothing whose closing anyone waits for: the cell's life, the channels, the book, the standard
 * streams.
 */
#include "broker/slow.h"
#include "broker/charge.h"
#include "broker/interrupt.h"
#include "broker/open_path.h"
#include "broker/record.h"
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERRUPT   SIGUSR1 /* to a child: its caller has a signal to take */
#define END_TRIES   50      /* looks at children that were killed, before they are left */
#define END_WAIT_NS 2000000

enum word_kind {
	WORD_RECORD,      /* a request is finished: write it down */
	WORD_CHANGE,      /* something is about to be changed */
	WORD_UNDELIVERED, /* what a record promised has not arrived */
	WORD_PAY,         /* one request, of `limit requests` */
	WORD_DONE,        /* the call is answered */
};

/* What a child says, in one datagram. */
struct word {
	enum word_kind kind;
	pid_t pid;
	int result; /* DONE: of the session; UNDELIVERED: the errno */
	uint64_t grant;
	char reason[REASON_MAX];
	struct tally tally;         /* DONE: what is to be added */
	bool has_fd;                /* RECORD, CHANGE: the request has its descriptor */
	const struct target *first; /* where the child's request has its targets */
	struct request q;           /* RECORD, CHANGE */
};

/* What it hears, but after DONE. */
struct reply {
	int result;
	uint64_t grant;
};

/* A call that waits. */
struct waiting {
	pid_t pid; /* of the child; 0: the slot is free */
	int reply_fd;
	struct notice notice;
	struct request q; /* without descriptors */
	bool answers;     /* its result is in the book, and on its way to the caller */
	bool done;        /* it is answered, or nobody waits for it: to be reaped */
};

struct slow {
	int fd[2];   /* the broker's, the children's */
	int hear_fd; /* in a child: replies */
	size_t n;    /* 0: nobody looks through the slots, whose memory nothing has touched yet */
	uint64_t looked_ns; /* when it was looked for signals last */
	struct word word;
	struct waiting of[SLOW_MAX];
};

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

/* ---- which calls -------------------------------------------------------------------------------
 */

static bool lies_there(const struct session *s, const struct target *t)
{
	/* Where ".." leads, after a symlink perhaps, the text does not say. */
	return t->asked_size > 0 &&
	       (t->raw_size > 0 || slow_fs_hold(s->cell->slow, t->asked, t->asked_size));
}

bool slow_serves(const struct request *q)
{
	/* Of sockets the broker keeps what it waits for.  With O_PATH an open goes on: the caller
	 * alone waits. */
	return q->op != OP_UMASK && q->op != OP_CONNECT && q->op != OP_BIND && q->op != OP_LISTEN &&
	       q->op != OP_SOCKET && !(q->op == MSG_OPEN && (q->flags & O_PATH));
}

bool slow_may_be(const struct session *s, const struct trap *t)
{
	const struct request *q = &t->q;

	if (!slow_fs_any(s->cell->slow))
		return false;
	return lies_there(s, &q->target) || lies_there(s, &q->target2);
}

/* ---- a child -----------------------------------------------------------------------------------
 */

static int say(struct session *s, enum word_kind kind)
{
	struct word *word = &s->slow->word;

	word->kind = kind;
	word->pid = getpid();
	return chan_send(s->slow->fd[1], word, sizeof(*word), NULL, 0, true);
}

static int ask(struct session *s, enum word_kind kind, struct reply *reply)
{
	int r = say(s, kind);

	/* Shorter than PIPE_BUF: it comes whole, pipe(7). */
	if (r == 0 && read(s->slow->hear_fd, reply, sizeof(*reply)) != (ssize_t)sizeof(*reply))
		r = -EPIPE;
	/* The broker is gone, or this call's caller: nobody wants more. */
	if (r < 0)
		_exit(1);
	return reply->result;
}

static int ask_about(struct session *s, enum word_kind kind, struct request *q)
{
	struct word *word = &s->slow->word;
	struct reply reply;
	int r;

	word->q = *q;
	word->has_fd = q->fd >= 0;
	word->first = &q->target;
	r = ask(s, kind, &reply);
	q->grant = reply.grant;
	return r;
}

int slow_record(struct session *s, struct request *q)
{
	return ask_about(s, WORD_RECORD, q);
}

int slow_record_change(struct session *s, struct request *q)
{
	return ask_about(s, WORD_CHANGE, q);
}

int slow_record_undelivered(struct session *s, uint64_t grant, int error, const char *reason)
{
	struct word *word = &s->slow->word;
	struct reply reply;

	word->grant = grant;
	word->result = error;
	word->reason[0] = '\0';
	strncat(word->reason, reason, sizeof(word->reason) - 1);
	return ask(s, WORD_UNDELIVERED, &reply);
}

bool slow_pay(struct session *s)
{
	struct reply reply;

	return ask(s, WORD_PAY, &reply) == 0;
}

static void on_interrupt(int sig)
{
}

/* The signal is let in for the open alone: notify.c says what it would break.  One that comes
 * before the open waits is lost, and the next comes soon. */
int slow_open(struct session *s, struct request *q)
{
	const struct sigaction action = {.sa_handler = on_interrupt};
	enum interrupt how = INTERRUPT_NONE;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, INTERRUPT);
	if (sigaction(INTERRUPT, &action, NULL) < 0)
		return -errno;
	do {
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		r = open_waiting(s, q);
		sigprocmask(SIG_BLOCK, &set, NULL);
		if (r == -EINTR)
			how = interrupt_of(s, q->pid);
	} while (r == -EINTR && how == INTERRUPT_NONE);
	return r == -EINTR ? interrupt_end(q, how) : r;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void close_others(int *keep, size_t n)
{
	unsigned from = 0;

	qsort(keep, n, sizeof(*keep), compare);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < 0)
			continue;
		if ((unsigned)keep[i] > from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0u, 0);
}

/* The child's whole life. */
_Noreturn static void be_child(struct session *s, struct trap *t, bool whole, int hear_fd)
{
	struct cell *c = s->cell;
	const struct request *q = &t->q;
	int keep[] = {c->view_fd, c->twin_fd, c->procs_fd, c->pid_ns_fd, c->worker_files_fd,
		notify_fd(c->notify), s->slow->fd[1], hear_fd, q->target.fd, q->target.given_fd,
		q->target2.fd, q->target2.given_fd};
	struct word *word = &s->slow->word;

	close_others(keep, sizeof(keep) / sizeof(*keep));
	s->in_child = true;
	s->may_begin_slowly = false;
	s->roots = NULL; /* closed: paths are walked from the view's root */
	s->links = NULL; /* the same, and `own` is the parent's */
	s->tally = (struct tally){0};
	s->slow->hear_fd = hear_fd;
	if (spawn_child_proc(c) < 0)
		_exit(1);
	word->result = trap_serve_waiting(s, t, whole);
	word->tally = s->tally;
	_exit(say(s, WORD_DONE) < 0);
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

int slow_start(struct session *s, struct trap *t, bool whole)
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
		be_child(s, t, whole, hear_fd);
	if (pid < 0) {
		fd_close(&pipe_fd[1]);
		return (int)pid;
	}
	one->pid = pid;
	one->reply_fd = pipe_fd[1];
	one->notice = t->notice;
	one->answers = one->done = false;
	adopt(&one->q, &t->q, &t->q.target);
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
			kill(one->pid, INTERRUPT);
		}
	}
}
