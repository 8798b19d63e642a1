/* SPDX-License-Identifier: MIT */
/*
 * ask_slow.c - messages that may have to wait for a file system: a child serves them, and answers.
 *
 * Runs in: broker, and children of slow.h's.  Trusts: nothing the worker sent.
 *
 * A child goes on where the broker has stopped, with what was opened until then: the records of a
 * message stay in their order.  It sends the answer itself, so that no descriptor of such a file is
 * ever in the broker, whose closing alone may wait; each is in the book before, by the broker.
 */
#include "broker/ask_state.h"
#include "broker/decide.h"
#include "broker/slow.h"
#include "common/fd.h"

#include <errno.h>

/* ---- in a child ------------------------------------------------------------------------------ */

/* What waits to be sent, or has ended, is the broker's. */
static void forget_answers(struct ask *a)
{
	a->out_size = a->n_fds = a->n_ended = 0;
	a->sockets = false;
	a->unread = 0;
}

/* From now on the broker leaves the answer to this child. */
static int send_answer(struct session *s)
{
	int r;

	slow_answers(s);
	r = ask_send(s);
	slow_sent(s, s->ask->unread);
	/* A worker that is gone needs no answer. */
	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

static int serve_rest(struct session *s, void *ctx)
{
	const struct slowly *w = ctx;
	int r;

	forget_answers(s->ask);
	r = ask_serve_records(s, &w->h, w->from, w->recorded);
	r = ask_make(s, &w->h, r);
	return r < 0 ? r : send_answer(s);
}

static int serve_deferred(struct session *s, void *ctx)
{
	const struct slowly *w = ctx;
	int r;

	forget_answers(s->ask);
	r = w->serve(s, w->q, w->later);
	ask_sign(s, w->later, w->q, r);
	r = ask_make_ended(s, w->later);
	return r < 0 ? r : send_answer(s);
}

/* ---- in the broker --------------------------------------------------------------------------- */

static int start(struct session *s, struct slow_job *job)
{
	struct slowly *w = &s->ask->slowly;

	job->later = w->later;
	job->q = w->q;
	job->ctx = w;
	job->keep[job->n_keep++] = s->channel_fd;
	return slow_start(s, job);
}

int ask_begin_slowly(struct session *s, const struct msg_header *h, size_t from, int *recorded)
{
	struct ask *a = s->ask;
	struct slow_job job = {.serve = serve_rest};
	struct later *l = ask_defer(s, &a->request);
	int r;

	if (!l)
		return -EAGAIN;
	l->count = h->count;
	/* The child's share of the book is the broker's to write, and is written at once. */
	r = ledger_commit(s->ledger);
	if (*recorded == 0)
		*recorded = r;
	if (s->ledger->lost != a->lost)
		*recorded = -EIO;
	a->slowly = (struct slowly){
		.later = l, .h = *h, .from = from, .recorded = *recorded, .q = &a->request};
	for (size_t i = 0; i < from; i++) {
		job.keep[job.n_keep++] = a->outcomes[i].fd;
		/* What could not be written is no promise. */
		if (a->outcomes[i].fd >= 0 && *recorded == 0)
			job.grants[job.n_grants++] = a->outcomes[i].grant;
	}
	r = start(s, &job);
	if (r < 0) {
		ask_undefer(l);
		return r;
	}
	for (size_t i = 0; i < from; i++)
		fd_close(&a->outcomes[i].fd);
	request_deinit(&a->request);
	return 0;
}

int ask_go_slowly(struct session *s, struct request *q, struct later *l, later_serve *serve)
{
	struct slow_job job = {.serve = serve_deferred, .keep = {q->fd}, .n_keep = 1};
	int r;

	s->ask->slowly = (struct slowly){.later = l, .q = q, .serve = serve};
	r = start(s, &job);
	return r < 0 ? refuse(q, EAGAIN, "too many calls wait already") : ANSWER_LATER;
}

void ask_slowly_done(struct session *s, struct later *l, size_t n_fds)
{
	s->ask->unread += n_fds;
	ask_undefer(l);
}
