/* SPDX-License-Identifier: MIT */
/*
 * ask.c - the ask door: messages of the channel in, answers and descriptors out.
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 *
 * A message is checked whole before its first request has any effect.  A lie (size, id, op, count,
 * phase, a descriptor attached) ends the session without an answer.  A refusal is an answer.  All
 * records of a message are written before its answer leaves; if they cannot be, every descriptor is
 * closed and every grant becomes EIO.
 *
 * At most one answer waits for a worker that does not read, and while it waits no request is read,
 * so that neither memory nor descriptors pile up and the broker never sleeps in sendmsg(2).
 *
 * A record that has to wait for the network is answered when that has told; other messages are
 * served meanwhile.  Its answer, once made, waits like any other, in the order in which they ended.
 */
#include "broker/ask.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/ops.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "broker/roots.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MESSAGES_MAX 8  /* of one call, so that other descriptors of the loop get their turn */
#define LAZY_CALLS   32 /* calls that look for one message only, after a look in vain */

/* What came of a record of the message, until it is answered. */
struct outcome {
	int result;
	int fd;
	bool truncate;
	uint64_t grant;
};

struct ask {
	uint8_t in[MSG_SIZE_MAX];
	uint8_t out[MSG_SIZE_MAX];
	uint8_t data[OPS_DATA_MAX];
	struct msg_request asked[MSG_COUNT_MAX]; /* what `in` holds; paths lie there */
	struct request request;
	struct repeat repeat;
	struct outcome outcomes[MSG_COUNT_MAX];
	/* The answer that waits to be sent, or is being made. */
	size_t out_size; /* 0: none waits */
	int fds[MSG_COUNT_MAX];
	uint64_t grants[MSG_COUNT_MAX]; /* of those descriptors */
	size_t n_fds;
	bool sockets;    /* what waits is a socket, which its worker may make linger */
	uint64_t unread; /* descriptors sent since the worker was last seen to have read all */
	unsigned lazy;   /* calls for which no second message is looked for */
	bool gone;       /* the worker has closed its end */
	/* Records that are answered later; those that have ended wait in `ended`, oldest first. */
	struct later later[LATER_MAX];
	struct later *ended[LATER_MAX];
	size_t n_ended;
};

static op_handler *const handlers[MSG__COUNT] = {
#define X(name, NAME, fields, most, phase) [MSG_##NAME] = handle_##name,
	MSG_TABLE(X)
#undef X
};

/* Whether some rule names devices: then not every mount of the view is nodev. */
static bool names_devices(const struct policy *p)
{
	for (size_t i = 0; i < policy_tree_count(p); i++) {
		if (policy_tree(p, i)->types & (TYPE_CHAR | TYPE_BLOCK))
			return true;
	}
	return false;
}

int ask_init(struct session *s)
{
	int r = identity_init(s);

	if (r < 0)
		return r;
	/* Pages that no message needs are never touched. */
	s->ask = calloc(1, sizeof(*s->ask));
	if (!s->ask)
		return -ENOMEM;
	s->repeat = &s->ask->repeat;
	s->devices = names_devices(s->policy);
	s->n_fs = 0;
	return roots_init(s);
}

void ask_deinit(struct session *s)
{
	if (!s->ask)
		return;
	if (record_flush(s) == 0)
		ledger_commit(s->ledger);
	fd_close_many(s->ask->fds, s->ask->n_fds);
	for (size_t i = 0; i < s->ask->n_ended; i++)
		fd_close(&s->ask->ended[i]->fd);
	roots_deinit(s);
	free(s->ask);
	s->ask = NULL;
}

size_t ask_undelivered(struct session *s)
{
	struct ask *a = s->ask;
	size_t n = a->n_fds;
	int unread = 1;

	for (size_t i = 0; i < LATER_MAX && !a->gone; i++)
		n += a->later[i].id != 0;

	if (a->unread > 0 && ioctl(s->channel_fd, SIOCOUTQ, &unread) == 0 && unread == 0)
		a->unread = 0;
	return n + a->unread;
}

/* ---- from the message to the request --------------------------------------------------------- */

static int take_path(struct request *q, struct target *t, const char *path, size_t size)
{
	int r = target_ask(t, path, size);

	if (r == -EINVAL)
		return refuse(q, EINVAL, "a path must be absolute");
	if (r < 0)
		return refuse(q, -r, "a path or a name in it is too long");
	return 0;
}

static int request_fill(const struct session *s, struct request *q, const struct msg_request *m)
{
	int r = 0;

	q->flags = m->flags;
	q->mode = m->mode;
	if (q->op == MSG_OPEN || q->op == MSG_MKDIR || q->op == MSG_LISTEN)
		q->mode &= ~s->umask;
	q->offset = m->offset;
	q->times[0] = (struct timespec){.tv_sec = m->atime, .tv_nsec = m->atime_ns};
	q->times[1] = (struct timespec){.tv_sec = m->mtime, .tv_nsec = m->mtime_ns};
	if (q->op == MSG_SYMLINK) {
		memcpy(q->link_text, m->path, m->path_size);
		q->link_text[m->path_size] = '\0';
		q->link_size = m->path_size;
	} else if (q->op >= MSG_CONNECT) {
		r = socket_ask(q, m->path, m->path_size);
	} else if (m->path_size > 0) {
		r = take_path(q, &q->target, m->path, m->path_size);
	}
	if (r == 0 && m->path2_size > 0)
		r = take_path(q, &q->target2, m->path2, m->path2_size);
	return r;
}

/* One request, from its record to its outcome and its line in the ledger. */
static int serve_request(
	struct session *s, enum msg_op op, const struct msg_request *m, uint8_t *data)
{
	struct request *q = &s->ask->request;
	int r;

	request_init(q, DOOR_ASK, op, s->cell->worker_pid);
	r = request_fill(s, q, m);
	if (r == 0)
		r = handlers[op](s, q, data);
	q->result = r;
	if (r < 0) {
		fd_close(&q->fd);
		charge_refused(s, q);
	}
	/* hello asks for nothing that a rule could grant. */
	r = op == MSG_HELLO || r == ANSWER_LATER ? 0 : record(s, q);
	target_deinit(&q->target);
	target_deinit(&q->target2);
	return r;
}

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

/* The same of a record that has ended, whose place is free afterwards. */
static int encode_ended(struct session *s, struct later *l)
{
	struct ask *a = s->ask;
	struct enc e = enc_init(a->out, sizeof(a->out));

	msg_begin(&e, (uint16_t)l->op, l->id, 1);
	msg_put_answer(&e, l->result, l->data, l->result >= 0 ? (uint32_t)l->data_size : 0);
	if (l->fd >= 0) {
		a->grants[a->n_fds] = l->grant;
		a->fds[a->n_fds++] = fd_take(&l->fd);
		a->sockets = true;
	}
	l->id = 0;
	return msg_end(&e, &a->out_size);
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
	return chan_try_send(s->channel_fd, a->out, a->out_size, NULL, 0);
}

/* Sends the answer that waits.  0: gone; -EAGAIN: the worker does not read; or -errno. */
static int send_answer(struct session *s)
{
	struct ask *a = s->ask;
	size_t n = a->n_fds;
	bool sockets = a->sockets;
	int r;

	/* The worker may have a socket, and have closed it again, before ours is closed. */
	if (sockets)
		hurry_begin();
	r = chan_try_send(s->channel_fd, a->out, a->out_size, a->fds, n);
	if (sockets)
		hurry_end();
	if (r == -ETOOMANYREFS)
		r = send_without(s, "not delivered: too many descriptors are in flight");
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

/* Sends what waits, as far as the worker reads.  0: all of it; or as above. */
static int send_waiting(struct session *s)
{
	struct ask *a = s->ask;
	int r = a->out_size > 0 ? send_answer(s) : 0;

	while (r == 0 && a->n_ended > 0) {
		r = encode_ended(s, a->ended[0]);
		a->n_ended--;
		memmove(&a->ended[0], &a->ended[1], a->n_ended * sizeof(a->ended[0]));
		if (r == 0)
			r = send_answer(s);
	}
	return r;
}

static int answer(struct session *s, const struct msg_header *h, int recorded)
{
	int r = recorded;

	if (r == 0)
		r = ledger_commit(s->ledger);
	if (r < 0)
		drop_grants(s, h->count);
	else
		truncate_granted(s, h->count);
	r = encode_answer(s, h);
	return r < 0 ? r : send_answer(s);
}

/* ---- messages -------------------------------------------------------------------------------- */

static int lie(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EBADMSG;
}

/* Whether the message may be served: everything that can be told without doing any of it. */
static int check_message(
	struct session *s, size_t size, struct msg_header *ret, const char **ret_why)
{
	struct ask *a = s->ask;
	struct dec d = dec_init(a->in, size);

	if (msg_header(&d, ret) < 0)
		return lie(ret_why, "a message whose size is not what it says");
	if (ret->op >= MSG__COUNT)
		return lie(ret_why, "an unknown operation");
	if (msg_rows[ret->op].phase != s->phase)
		return lie(ret_why, "a message out of turn");
	if (ret->id <= s->last_id)
		return lie(ret_why, "a message whose id did not grow");
	if (ret->count == 0 || ret->count > msg_rows[ret->op].most)
		return lie(ret_why, "a message with no request, or too many");
	for (size_t i = 0; i < ret->count; i++) {
		if (msg_get_request(&d, (enum msg_op)ret->op, &a->asked[i]) < 0)
			return lie(
				ret_why, "a request that is cut short, or holds what it may not");
	}
	if (dec_end(&d) < 0)
		return lie(ret_why, "bytes after the last request");
	return 0;
}

static int serve_message(struct session *s, size_t size, const char **ret_why)
{
	struct ask *a = s->ask;
	uint64_t lost = s->ledger->lost;
	struct msg_header h;
	int recorded = 0;
	int r = check_message(s, size, &h, ret_why);

	if (r < 0)
		return r;
	s->last_id = h.id;
	for (size_t i = 0; i < h.count; i++) {
		struct outcome *o = &a->outcomes[i];

		r = serve_request(s, (enum msg_op)h.op, &a->asked[i], a->data + i * MSG_STAT_SIZE);
		if (recorded == 0)
			recorded = r;
		*o = (struct outcome){
			.result = a->request.result,
			.fd = fd_take(&a->request.fd),
			.truncate = a->request.truncate,
			.grant = a->request.grant,
		};
	}
	if (a->outcomes[0].result == ANSWER_LATER)
		return 0;
	/* A change of this message that could not be written took the lines before it along. */
	if (s->ledger->lost != lost)
		recorded = -EIO;
	return answer(s, &h, recorded);
}

/* Receives and serves one message.  1: end-of-file. */
static int serve_one(struct session *s, const char **ret_why)
{
	size_t n_fds = 0;
	long got;

	if (s->hurried)
		hurry_begin();
	got = chan_recv(s->channel_fd, s->ask->in, sizeof(s->ask->in), NULL, 0, &n_fds, false);
	if (s->hurried)
		hurry_end();
	if (got == 0 || got == -ECONNRESET)
		return 1;
	if (got == -EBADMSG)
		return lie(ret_why, "a message that is too long, or brings descriptors");
	if (got < 0)
		return (int)got;
	return serve_message(s, (size_t)got, ret_why);
}

int ask_serve(struct session *s, const char **ret_why)
{
	struct ask *a = s->ask;
	int limit = a->lazy > 0 ? 1 : MESSAGES_MAX;
	int r = send_waiting(s);

	for (int i = 0; r == 0 && i < limit; i++) {
		r = serve_one(s, ret_why);
		if (r == -EAGAIN && a->out_size == 0) {
			/* Nothing waits: a worker that asks one by one is not looked at twice. */
			a->lazy = i == 1 ? LAZY_CALLS : a->lazy;
			r = 0;
			break;
		}
	}
	if (a->lazy > 0)
		a->lazy--;
	/* A worker that is gone needs no answer; its end-of-file comes next. */
	if (r == -EPIPE || r == -ECONNRESET)
		r = 1;
	a->gone |= r == 1;
	return r;
}

/* ---- records that are answered later --------------------------------------------------------- */

struct later *ask_defer(struct session *s, const struct request *q)
{
	struct later *l = ask_waiter(s, 0);

	if (!l)
		return NULL;
	l->id = s->last_id;
	l->op = q->op;
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

int ask_finish(struct session *s, struct later *l, struct request *q, int result)
{
	struct ask *a = s->ask;
	int r;

	if (result >= 0 && a->gone) {
		snprintf(q->reason, sizeof(q->reason), "the worker has closed its channel");
		result = -ECANCELED;
	}
	if (result < 0)
		fd_close(&q->fd);
	q->result = result;
	sign(s, q);
	l->result = q->result;
	l->fd = fd_take(&q->fd);
	l->grant = q->grant;
	if (a->gone) {
		l->id = 0;
		return 0;
	}
	a->ended[a->n_ended++] = l;
	r = send_waiting(s);
	/* A worker that is gone needs no answer; its end-of-file comes next. */
	return r == -EAGAIN || r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

bool ask_waits(const struct session *s)
{
	return s->ask->out_size > 0;
}

bool ask_is_gone(const struct session *s)
{
	return s->ask->gone;
}
