/* SPDX-License-Identifier: MIT */
/*
 * ask_dial.c - the ask door's way to the dialer and back: what it is sent for, and what is believed
 * of what it brings.
 *
 * Runs in: broker.  Trusts: nothing the dialer brings.
 */
#include "broker/ask_dial.h"
#include "broker/ops.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "common/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>

/* ---- to the dialer --------------------------------------------------------------------------- */

void ask_dial_message(struct dial_message *m, enum dial_op op)
{
	memset(m, 0, sizeof(*m));
	m->op = op;
	m->wait = true;
}

/* What is left of the time: the shorter of what the worker and what the rule gave.  0: no limit. */
int ask_time_left(const struct request *q, uint32_t *ret_ms)
{
	uint64_t ms = q->offset, past;

	if (q->answer.timeout_ms > 0 && (ms == 0 || q->answer.timeout_ms < ms))
		ms = q->answer.timeout_ms;
	*ret_ms = 0;
	if (ms == 0)
		return 0;
	past = (clock_ns() - q->began_ns) / 1000000;
	if (past >= ms)
		return -ETIMEDOUT;
	*ret_ms = ms - past > UINT32_MAX ? UINT32_MAX : (uint32_t)(ms - past);
	return 0;
}

/* Answers the record's worker with what came of it, unless that goes on. */
static int finish(struct session *s, struct dialled *d, const char **ret_why)
{
	struct later *l = ask_waiter(s, d->waiter.id);
	int r;

	if (!l)
		return 0;
	r = l->came(s, d, l);
	return r == ANSWER_LATER ? 0 : ask_finish(s, l, &d->q, r);
}

/* Sends the request on its way.  ANSWER_LATER, or -errno with nothing taken. */
int ask_dial_on(struct session *s, struct request *q, struct later *l, struct dial_message *m,
	const int *fds, size_t n_fds, later_came *came)
{
	struct dial_waiter waiter = {.sock = SOCK_INIT, .id = l->id};
	int r = dial_begin(s, q, &waiter, m, fds, n_fds, finish);

	l->came = came;
	if (r == -ENETDOWN)
		return refuse(q, ENETDOWN, "there is no dialer: no socket leads out");
	if (r == -EAGAIN)
		return refuse(q, EAGAIN, "too many connections wait already");
	return r < 0 ? r : ANSWER_LATER;
}

/* The same of a record that is being served; `admit`: where it goes is in q->peer. */
int ask_dial(struct session *s, struct request *q, struct dial_message *m, const int *fds,
	size_t n_fds, later_came *came, bool admit)
{
	struct later *l = ask_defer(s, q);
	int r;

	if (!l)
		return refuse(q, EAGAIN, "too many connections wait already");
	if (admit) {
		memcpy(m->addresses[0].bytes, q->peer.address, sizeof(q->peer.address));
		m->addresses[0].port = q->peer.port;
		m->n_addresses = 1;
		l->addresses[0] = m->addresses[0];
		l->answers[0] = q->answer;
		l->n = 1;
	}
	r = ask_dial_on(s, q, l, m, fds, n_fds, came);
	if (r < 0)
		ask_undefer(l);
	return r;
}

/* ---- what it brought ------------------------------------------------------------------------- */

static int refuse_kind(struct request *q)
{
	return refuse(q, EACCES, "the dialer brought another socket than it was asked for");
}

static bool is_local(const struct request *q)
{
	return q->peer.kind == PEER_PATH || q->peer.kind == PEER_ABSTRACT;
}

/* What no address tells: the type and the protocol that were asked for, and the outer network.  A
 * Unix socket has one protocol. */
static bool is_of_kind(const struct session *s, const struct request *q)
{
	return sock_int(q->fd, SO_TYPE) == q->peer.type &&
	       (is_local(q) || sock_int(q->fd, SO_PROTOCOL) == IPPROTO_TCP) &&
	       sock_is_outer(s, q->fd);
}

int ask_check_loose(const struct session *s, struct request *q)
{
	if (sock_int(q->fd, SO_DOMAIN) != AF_UNIX || sock_int(q->fd, SO_ACCEPTCONN) != 0 ||
		!is_of_kind(s, q))
		return refuse_kind(q);
	return 0;
}

/* The address at one end of it, whose family is the socket's own; PEER_NONE: that end has none.
 * 0, or -EACCES, refused. */
static int end_of(struct request *q, bool own, struct peer *ret)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	struct sock k = {.type = q->peer.type, .protocol = IPPROTO_TCP};
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	if ((own ? getsockname : getpeername)(q->fd, (struct sockaddr *)&address, &size) < 0)
		return refuse(q, EACCES, "the dialer brought a socket that is not connected");
	if (is_local(q) != (address.ss_family == AF_UNIX))
		return refuse_kind(q);
	k.domain = address.ss_family;
	if (sock_peer(&k, &address, size, ret, path, &path_size) < 0)
		ret->kind = PEER_NONE;
	return 0;
}

/* One that listens has no peer: getpeername(2) tells it from one that is connected. */
int ask_check_address(const struct session *s, struct request *q, const struct later *l, bool own)
{
	struct peer end = {.kind = PEER_NONE};
	int r;

	if (!is_of_kind(s, q) || (own && sock_int(q->fd, SO_ACCEPTCONN) != 0))
		return refuse_kind(q);
	r = end_of(q, own, &end);
	if (r < 0)
		return r;
	for (size_t i = 0; end.has_address && i < l->n; i++) {
		const struct dial_address *a = &l->addresses[i];

		if (memcmp(a->bytes, end.address, sizeof(end.address)) != 0 ||
			(a->port != end.port && !(own && a->port == 0)))
			continue;
		memcpy(q->peer.address, end.address, sizeof(end.address));
		q->peer.has_address = true;
		q->peer.port = end.port;
		q->answer = l->answers[i];
		return 0;
	}
	return refuse(q, EACCES, "the dialer brought a socket of another address than was allowed");
}

/* Of a Unix socket with a path there is no more to see: its server has named it as it liked. */
int ask_check_unix(const struct session *s, struct request *q, bool own)
{
	struct peer end = {.kind = PEER_NONE};
	int r;

	if (!is_of_kind(s, q) || (own && sock_int(q->fd, SO_ACCEPTCONN) != 0))
		return refuse_kind(q);
	r = end_of(q, own, &end);
	if (r < 0)
		return r;
	if (q->peer.kind == PEER_ABSTRACT &&
		(end.kind != PEER_ABSTRACT || end.name_size != q->peer.name_size ||
			memcmp(end.name, q->peer.name, end.name_size) != 0))
		return refuse(
			q, EACCES, "the dialer brought a socket of another name than was allowed");
	return 0;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void put_peer(struct later *l, const struct request *q)
{
	struct enc e = enc_init(l->data, sizeof(l->data));
	const char *rule = q->answer.rule ? q->answer.rule : "";
	char text[PEER_TEXT_SIZE];
	struct msg_peer p = {.text = text, .rule = rule};

	if (q->peer.kind == PEER_PATH) {
		p.text = q->target.reached;
		p.text_size = (uint16_t)q->target.reached_size;
	} else {
		p.text_size = (uint16_t)strlen(peer_text(&q->peer, text));
	}
	p.rule_size = (uint16_t)strnlen(rule, sizeof(l->data) - MSG_PATH_MAX - 4);
	msg_put_peer(&e, &p);
	l->data_size = enc_size(&e);
}

int ask_give_socket(struct later *l, struct request *q)
{
	/* The dialer's do not block; of all that F_SETFL sets, a new socket has nothing. */
	if (fcntl(q->fd, F_SETFL, 0) < 0)
		return -errno;
	put_peer(l, q);
	return ANSWER_FD;
}
