/* SPDX-License-Identifier: MIT */
/*
 * trap_listen.c - the trapped call listen(2).
 *
 * Runs in: broker.  Trusts: the kernel's word on the name that a socket has.
 *
 * A socket of the cell's own network is heard by nobody else.  Any other listens only where a rule
 * let it be bound: a socket may have got a name or a port in other ways, by a connect that failed.
 */
#include "broker/trap_socket.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/dial.h"
#include "broker/record.h"
#include "broker/socket_inside.h"
#include "broker/socket_outer.h"

#include <errno.h>

static bool is_inet(const struct sock *k)
{
	return k->domain == AF_INET || k->domain == AF_INET6;
}

static int local_peer(const struct trap *t, struct peer *ret)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	ret->bind = true;
	if (getsockname(t->sock.fd, (void *)&address, &size) < 0)
		return -errno;
	return sock_peer(&t->sock, &address, size, ret, path, &path_size);
}

/* A port of the kernel's choice rests on a rule for port 0. */
static bool may_listen(struct session *s, struct request *q)
{
	uint16_t port = q->peer.port;
	bool allowed = port != 0 && dial_decide(s, q) == VERDICT_ALLOW;

	if (allowed || port == 0 || is_ruled_out(&q->answer))
		return allowed;
	q->peer.port = 0;
	allowed = dial_decide(s, q) == VERDICT_ALLOW;
	q->peer.port = port;
	return allowed;
}

/* A connection that failed would listen as well, anywhere: only what a rule let be bound may, and
 * only there.  Looked at before and after, since listen(2) finds a port for who has none. */
static int listen_outer(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int state = socket_tcp_state(t->sock.fd);
	struct peer after = {.bind = true};
	int r;

	if (state == STATE_LISTEN)
		return listen(t->sock.fd, t->backlog) < 0 ? -errno : 0;
	if (state != STATE_CLOSE)
		return state < 0 ? refuse(q, EACCES, "not a socket that may listen") : -EINVAL;
	r = local_peer(t, &q->peer);
	if (r < 0)
		return r;
	if (!may_listen(s, q))
		return dial_refuse(s, q);
	r = charge(s, q, false);
	if (r == 0)
		r = record_change(s, q);
	if (r < 0)
		return r;
	if (listen(t->sock.fd, t->backlog) < 0)
		return -errno;
	if (local_peer(t, &after) == 0 && after.port == q->peer.port)
		return 0;
	shutdown(t->sock.fd, SHUT_RDWR);
	return refuse(q, EACCES, "the socket was not bound by a rule");
}

/* A Unix socket of the host's network.  A path that it has was bound by the broker, with its
 * record; an abstract name by the dialer, or it is one of the kernel's choice, which connect(2)
 * gives to a socket with SO_PASSCRED, also where it fails; unix(7), "Autobind feature".  So a name
 * is decided on anew.  Who has none does not come as far as listen(2). */
static int listen_unix(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int r = local_peer(t, &q->peer);
	bool named = r == 0 && q->peer.kind == PEER_ABSTRACT;

	/* Where the cell has a network of its own, it binds a path to a socket of that. */
	if (s->cell->net_cookie != 0 && !named)
		return refuse(q, EACCES, "a socket from outside of the cell");
	/* One that listens was given so to the worker, or has been here before. */
	if (sock_int(t->sock.fd, SO_ACCEPTCONN) == 1 || (r == 0 && !named)) {
		q->own = true;
		return inside_listen(s, t->sock.fd, true, t->backlog);
	}
	if (r < 0)
		return r;
	if (dial_decide(s, q) != VERDICT_ALLOW)
		return refuse(q, EACCES, "an abstract name of the host's, which no rule gave it");
	r = charge(s, q, false);
	if (r == 0)
		r = record_change(s, q);
	return r < 0 ? r : inside_listen(s, t->sock.fd, true, t->backlog);
}

int serve_listen(struct session *s, struct trap *t)
{
	bool is_unix = t->sock.domain == AF_UNIX;

	if (t->sock.inner) {
		t->q.own = true;
		return inside_listen(s, t->sock.fd, is_unix, t->backlog);
	}
	if (is_unix)
		return listen_unix(s, t);
	if (!is_inet(&t->sock))
		return refuse(&t->q, EACCES, "a socket from outside of the cell");
	return listen_outer(s, t);
}
