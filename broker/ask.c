/* SPDX-License-Identifier: MIT */
/*
 * ask.c - the ask door: messages of the channel in, answers and descriptors out.
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 *
 * A message is checked whole before its first request has any effect.  A lie (size, id, op, count,
 * phase, a descriptor attached) ends the session without an answer.  A refusal is an answer.
 *
 * A record that has to wait for the network is answered when that has told; other messages are
 * served meanwhile.  Its answer, once made, waits like any other, in the order in which they ended.
 * A message that may have to wait for a file system is served by a child: ask_slow.c.
 */
#include "broker/ask_state.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "broker/roots.h"
#include "broker/slow.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MESSAGES_MAX 8  /* of one call, so that other descriptors of the loop get their turn */
#define LAZY_CALLS   32 /* calls that look for one message only, after a look in vain */

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
	for (size_t i = 0; i < a->served; i++)
		n += a->outcomes[i].fd >= 0;
	if (a->unread > 0 && ioctl(s->channel_fd, SIOCOUTQ, &unread) == 0 && unread == 0)
		a->unread = 0;
	return n + a->unread + slow_promised(s->slow);
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

/* What a child may serve from the beginning.  Of sockets the handlers say so themselves. */
static int handle(struct session *s, enum msg_op op, uint8_t *data)
{
	struct request *q = &s->ask->request;
	int r;

	s->begin_slowly = false;
	s->may_begin_slowly = op != MSG_HELLO && !s->in_child;
	if (s->may_begin_slowly && op < MSG_CONNECT && slow_may_be(s, q))
		r = ANSWER_SLOWLY;
	else
		r = handlers[op](s, q, data);
	s->may_begin_slowly = false;
	/* A path that led there was given up before anything came of it. */
	return s->begin_slowly && q->grant == 0 && q->fd < 0 ? ANSWER_SLOWLY : r;
}

/* One request, from its record to what comes of it.  `again`: it was given up, for a child. */
static int serve_request(
	struct session *s, enum msg_op op, const struct msg_request *m, uint8_t *data, bool again)
{
	struct request *q = &s->ask->request;
	int r = 0;

	if (again) {
		request_rewind(q);
	} else {
		request_init(q, DOOR_ASK, op, s->cell->worker_pid);
		r = request_fill(s, q, m);
	}
	return r < 0 ? r : handle(s, op, data);
}

/* And its line in the ledger.  0 or -errno, the ledger's. */
static int settle_request(struct session *s, int result)
{
	struct request *q = &s->ask->request;
	int r;

	q->result = result;
	if (result < 0) {
		fd_close(&q->fd);
		charge_refused(s, q);
	}
	/* hello asks for nothing that a rule could grant. */
	r = q->op == MSG_HELLO || result == ANSWER_LATER ? 0 : record(s, q);
	target_deinit(&q->target);
	target_deinit(&q->target2);
	return r;
}

static void note_outcome(struct ask *a)
{
	a->outcomes[a->served++] = (struct outcome){
		.result = a->request.result,
		.fd = fd_take(&a->request.fd),
		.truncate = a->request.truncate,
		.grant = a->request.grant,
	};
}

int ask_serve_records(struct session *s, const struct msg_header *h, size_t from, int recorded)
{
	struct ask *a = s->ask;
	int r;

	for (size_t i = from; i < h->count; i++) {
		r = serve_request(s, (enum msg_op)h->op, &a->asked[i], a->data + i * MSG_STAT_SIZE,
			s->in_child && i == from);
		if (r == ANSWER_SLOWLY) {
			r = ask_begin_slowly(s, h, i, &recorded);
			if (r == 0)
				return 1;
			r = refuse(&a->request, EAGAIN, "too many calls wait already");
		}
		r = settle_request(s, r);
		if (recorded == 0)
			recorded = r;
		note_outcome(a);
	}
	return recorded;
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
	struct msg_header h;
	int recorded;
	int r = check_message(s, size, &h, ret_why);

	if (r < 0)
		return r;
	s->last_id = h.id;
	a->lost = s->ledger->lost;
	a->served = 0;
	recorded = ask_serve_records(s, &h, 0, 0);
	if (recorded == 1 || a->outcomes[0].result == ANSWER_LATER) {
		a->served = 0;
		return 0;
	}
	/* A change of this message that could not be written took the lines before it along. */
	if (s->ledger->lost != a->lost)
		recorded = -EIO;
	r = ask_make(s, &h, recorded);
	return r < 0 ? r : ask_send(s);
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
	int r = ask_send_waiting(s);

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
