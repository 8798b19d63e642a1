/* SPDX-License-Identifier: MIT */
/*
 * ask_answer.c - the ask door's answers: from what came of a message's records to the channel.
 *
 * Runs in: broker, and children of slow.h's.  Trusts: nothing the worker sent.
 *
 * All records of a message are written before its answer leaves; if they cannot be, every
 * descriptor is closed and every grant becomes EIO.
 *
 * At most one answer waits for a worker that does not read, and while it waits no request is read,
 * so that neither memory nor descriptors pile up and the broker never sleeps in sendmsg(2).
 */
#include "broker/ask_state.h"
#include "broker/record.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- from the outcomes to the answer --------------------------------------------------------- */

/* What was written stands; what was promised by it does not come. */
static void drop_grants(struct session *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct outcome *o = &s->ask->outcomes[i];

		fd_close(&o->fd);
		if (o->result < 0)
			continue;
		o->result = -EIO;
		s->tally.granted--;
		s->tally.denied++;
	}
}

/* O_TRUNC, now that it is written down.  A file system's no is the worker's answer. */
static void truncate_granted(struct session *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct outcome *o = &s->ask->outcomes[i];

		if (o->fd < 0 || !o->truncate || ftruncate(o->fd, 0) == 0)
			continue;
		o->result = -errno;
		fd_close(&o->fd);
		s->tally.granted--;
		record_undelivered(
			s, DOOR_ASK, o->grant, -o->result, "the file could not be cut to size 0");
		ledger_commit(s->ledger);
	}
}

static int encode_answer(struct session *s, const struct msg_header *h)
{
	struct ask *a = s->ask;
	struct enc e = enc_init(a->out, sizeof(a->out));

	msg_begin(&e, h->op, h->id, h->count);
	for (size_t i = 0; i < h->count; i++) {
		struct outcome *o = &a->outcomes[i];
		bool data = o->result >= 0 && h->count == 1;

		/* Rows whose answers carry more than a stat are of one record. */
		if (o->result == 0 && h->op == MSG_STAT)
			msg_put_answer(&e, 0, a->data + i * MSG_STAT_SIZE, MSG_STAT_SIZE);
		else
			msg_put_answer(&e, o->result, data ? a->data : NULL,
				data ? (uint32_t)a->request.data_size : 0);
		if (o->fd < 0)
			continue;
		a->grants[a->n_fds] = o->grant;
		a->fds[a->n_fds++] = fd_take(&o->fd);
	}
	return msg_end(&e, &a->out_size);
}

int ask_make_ended(struct session *s, struct later *l)
{
	struct ask *a = s->ask;
	struct enc e = enc_init(a->out, sizeof(a->out));

	msg_begin(&e, (uint16_t)l->op, l->id, l->count);
	for (size_t i = 0; i < l->count; i++)
		msg_put_answer(&e, l->result, l->data, l->result >= 0 ? (uint32_t)l->data_size : 0);
	if (l->fd >= 0) {
		a->grants[a->n_fds] = l->grant;
		a->fds[a->n_fds++] = fd_take(&l->fd);
		a->sockets = true;
	}
	l->id = 0;
	return msg_end(&e, &a->out_size);
}

/* A child of slow.h's waits for a worker that does not read. */
static int send_out(struct session *s)
{
	struct ask *a = s->ask;

	if (s->in_child)
		return chan_send(s->channel_fd, a->out, a->out_size, a->fds, a->n_fds, true);
	return chan_try_send(s->channel_fd, a->out, a->out_size, a->fds, a->n_fds);
}

/* The kernel has too many descriptors in flight for this user: the worker is told EBUSY. */
static int send_without(struct session *s, const char *reason)
{
	struct ask *a = s->ask;
	struct enc e;

	for (size_t i = 0; i < a->n_fds; i++)
		record_undelivered(s, DOOR_ASK, a->grants[i], EBUSY, reason);
	ledger_commit(s->ledger);
	s->tally.granted -= a->n_fds;
	s->tally.denied += a->n_fds;
	fd_close_many(a->fds, a->n_fds);
	a->n_fds = 0;
	/* Only results that are ANSWER_FD change; a record of such a row has no data, or is the
	 * only one. */
	for (size_t at = MSG_HEADER_SIZE; at + MSG_ANSWER_SIZE <= a->out_size;) {
		struct dec d = dec_init(a->out + at, a->out_size - at);
		struct msg_answer answer;

		if (msg_get_answer(&d, &answer) < 0)
			return -EBADMSG;
		e = enc_init(a->out + at, MSG_ANSWER_SIZE);
		if (answer.result == ANSWER_FD) {
			msg_put_answer(&e, -EBUSY, NULL, 0);
			a->out_size -= answer.data_size;
			answer.data_size = 0;
		}
		at += MSG_ANSWER_SIZE + answer.data_size;
	}
	e = enc_init(a->out, sizeof(uint32_t));
	enc_u32(&e, (uint32_t)a->out_size);
	return send_out(s);
}

int ask_send(struct session *s)
{
	struct ask *a = s->ask;
	size_t n = a->n_fds;
	bool sockets = a->sockets && !s->in_child;
	int r;

	/* The worker may have a socket, and have closed it again, before ours is closed. */
	if (sockets)
		hurry_begin();
	r = send_out(s);
	if (sockets)
		hurry_end();
	if (r == -ETOOMANYREFS) {
		n = 0;
		r = send_without(s, "not delivered: too many descriptors are in flight");
	}
	if (r == -EAGAIN)
		return r;
	if (r == 0)
		a->unread += n;
	/* Sent or not, the descriptors are closed. */
	a->n_fds = 0;
	a->out_size = 0;
	a->sockets = false;
	return r;
}

int ask_send_waiting(struct session *s)
{
	struct ask *a = s->ask;
	int r = a->out_size > 0 ? ask_send(s) : 0;

	while (r == 0 && a->n_ended > 0) {
		r = ask_make_ended(s, a->ended[0]);
		a->n_ended--;
		memmove(&a->ended[0], &a->ended[1], a->n_ended * sizeof(a->ended[0]));
		if (r == 0)
			r = ask_send(s);
	}
	return r;
}

int ask_make(struct session *s, const struct msg_header *h, int recorded)
{
	int r = recorded;

	if (r == 0)
		r = ledger_commit(s->ledger);
	if (r < 0)
		drop_grants(s, h->count);
	else
		truncate_granted(s, h->count);
	s->ask->served = 0;
	return encode_answer(s, h);
}

/* ---- records that are answered later --------------------------------------------------------- */

struct later *ask_defer(struct session *s, const struct request *q)
{
	struct later *l = ask_waiter(s, 0);

	if (!l)
		return NULL;
	l->id = s->last_id;
	l->op = q->op;
	l->count = 1;
	l->n = 0;
	l->fd = -1;
	l->grant = 0;
	l->data_size = 0;
	return l;
}

void ask_undefer(struct later *l)
{
	l->id = 0;
}

struct later *ask_waiter(struct session *s, uint32_t id)
{
	for (size_t i = 0; i < LATER_MAX; i++) {
		if (s->ask->later[i].id == id)
			return &s->ask->later[i];
	}
	return NULL;
}

/* Writes the record; what cannot be written is not handed over. */
static void sign(struct session *s, struct request *q)
{
	int r = record(s, q);

	if (r == 0)
		r = ledger_commit(s->ledger);
	if (r == 0 || q->result < 0)
		return;
	fd_close(&q->fd);
	q->result = -EIO;
	s->tally.granted--;
	s->tally.denied++;
}

void ask_sign(struct session *s, struct later *l, struct request *q, int result)
{
	if (result < 0)
		fd_close(&q->fd);
	q->result = result;
	sign(s, q);
	l->result = q->result;
	l->fd = fd_take(&q->fd);
	l->grant = q->grant;
}

/* Its answer leaves when those before it have left. */
static int queue(struct session *s, struct later *l)
{
	struct ask *a = s->ask;
	int r;

	if (a->gone) {
		l->id = 0;
		return 0;
	}
	a->ended[a->n_ended++] = l;
	r = ask_send_waiting(s);
	/* A worker that is gone needs no answer; its end-of-file comes next. */
	return r == -EAGAIN || r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

int ask_finish(struct session *s, struct later *l, struct request *q, int result)
{
	if (result >= 0 && s->ask->gone) {
		snprintf(q->reason, sizeof(q->reason), "the worker has closed its channel");
		result = -ECANCELED;
	}
	ask_sign(s, l, q, result);
	return queue(s, l);
}

int ask_fail(struct session *s, struct later *l, int result)
{
	l->result = result;
	return queue(s, l);
}

bool ask_waits(const struct session *s)
{
	return s->ask->out_size > 0;
}

bool ask_is_gone(const struct session *s)
{
	return s->ask->gone;
}
