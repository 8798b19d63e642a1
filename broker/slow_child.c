/* SPDX-License-Identifier: MIT */
/*
 * slow_child.c - what a child of slow.c's does: its table, what it asks of the broker, and the
 * calls in which it waits.
 *
 * Runs in: a child of the broker, in the same cage.  Trusts: the broker, which it is a fork of.
 *
 * A child has a table of descriptors of its own: what it opens goes from there into the caller's,
 * and with a child that is killed all of it goes.  It keeps of the broker's what its call needs,
 * and nothing whose closing anyone waits for: the cell's life, the book, the standard streams.
 */
#include "broker/slow_words.h"
#include "broker/charge.h"
#include "broker/interrupt.h"
#include "broker/open_path.h"
#include "common/chan.h"
#include "common/hurry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define SECOND_NS      1000000000ull
#define ALARM_AGAIN_US 100000

/* ---- what it says ---------------------------------------------------------------------------- */

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

size_t slow_undelivered(struct session *s)
{
	struct reply reply;

	return (size_t)ask(s, WORD_HELD, &reply);
}

void slow_answers(struct session *s)
{
	struct reply reply;

	if (ask(s, WORD_ANSWER, &reply) < 0)
		_exit(1);
}

void slow_sent(struct session *s, size_t n_fds)
{
	s->slow->word.n_fds = n_fds;
}

void slow_tell(struct session *s, const char *path)
{
	char *told = s->slow->word.told;

	told[0] = '\0';
	strncat(told, path, TOLD_SIZE - 1);
}

/* ---- where it waits -------------------------------------------------------------------------- */

static void on_signal(int sig)
{
}

/* From now on so long, and again if that came before the call waited; never: 0. */
static void set_alarm(uint64_t left_ns)
{
	const time_t s = (time_t)(left_ns / SECOND_NS);
	const struct itimerval t = {
		.it_value = {s, (suseconds_t)(left_ns % SECOND_NS / 1000)},
		.it_interval = {0, left_ns > 0 ? ALARM_AGAIN_US : 0},
	};

	setitimer(ITIMER_REAL, &t, NULL);
}

/* The signals are let in for the call alone: notify.c says what they would break.  One that comes
 * before it waits is lost, and the next comes soon. */
static int call_once(struct session *s, struct request *q, slow_call *call, void *ctx,
	const sigset_t *let_in, uint64_t until_ns)
{
	uint64_t now_ns = clock_ns();
	int r;

	if (until_ns > 0 && now_ns >= until_ns)
		return -ETIMEDOUT;
	hurry_stop(); /* there is one such timer */
	sigprocmask(SIG_UNBLOCK, let_in, NULL);
	if (until_ns > 0)
		set_alarm(until_ns - now_ns);
	r = call(s, q, ctx);
	if (until_ns > 0)
		set_alarm(0);
	sigprocmask(SIG_BLOCK, let_in, NULL);
	return r;
}

int slow_wait(struct session *s, struct request *q, slow_call *call, void *ctx, uint64_t until_ns,
	bool restarts)
{
	const struct sigaction action = {.sa_handler = on_signal};
	enum interrupt how = INTERRUPT_NONE;
	sigset_t let_in;
	int r;

	sigemptyset(&let_in);
	sigaddset(&let_in, SLOW_INTERRUPT);
	if (until_ns > 0)
		sigaddset(&let_in, SIGALRM);
	if (sigaction(SLOW_INTERRUPT, &action, NULL) < 0 || sigaction(SIGALRM, &action, NULL) < 0)
		return -errno;
	do {
		r = call_once(s, q, call, ctx, &let_in, until_ns);
		if (r == -EINTR && q->door == DOOR_TRAP)
			how = interrupt_of(s, q->pid);
	} while (r == -EINTR && how == INTERRUPT_NONE);
	if (r == -EINTR && !restarts)
		how = INTERRUPT_EINTR;
	return r == -EINTR ? interrupt_end(q, how) : r;
}

static int open_again_and_wait(struct session *s, struct request *q, void *ctx)
{
	return open_waiting(s, q);
}

int slow_open(struct session *s, struct request *q)
{
	return slow_wait(s, q, open_again_and_wait, NULL, 0, true);
}

/* ---- its life -------------------------------------------------------------------------------- */

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

#define KEPT_OWN 12 /* beside those of the job */

_Noreturn void slow_be_child(struct session *s, const struct slow_job *job, int hear_fd)
{
	struct cell *c = s->cell;
	const struct request *q = job->q;
	const int own[KEPT_OWN] = {c->view_fd, c->twin_fd, c->procs_fd, c->pid_ns_fd,
		c->worker_files_fd, notify_fd(c->notify), s->slow->fd[1], hear_fd, q->target.fd,
		q->target.given_fd, q->target2.fd, q->target2.given_fd};
	int keep[KEPT_OWN + SLOW_KEEP_MAX];
	struct word *word = &s->slow->word;

	memcpy(keep, own, sizeof(own));
	memcpy(keep + KEPT_OWN, job->keep, job->n_keep * sizeof(*keep));
	close_others(keep, KEPT_OWN + job->n_keep);
	s->in_child = true;
	s->may_begin_slowly = false;
	s->roots = NULL; /* closed: paths are walked from the view's root */
	s->links = NULL; /* the same, and `own` is the parent's */
	s->tally = (struct tally){0};
	s->ledger->used = 0; /* the broker writes it */
	s->slow->hear_fd = hear_fd;
	word->told[0] = '\0';
	word->n_fds = 0;
	if (spawn_child_proc(c) < 0)
		_exit(1);
	word->result = job->serve(s, job->ctx);
	word->tally = s->tally;
	_exit(say(s, WORD_DONE) < 0);
}
