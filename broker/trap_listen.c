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
#include <stddef.h>
#include <sys/un.h>

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

/* Where the cell has the host's network.  A path that a Unix socket has was bound by the broker,
 * with its record.  An abstract name was not: connect(2) gives one of the kernel's choice to a
 * socket with SO_PASSCRED, also where it fails; unix(7), "Autobind feature".  Who has a path keeps
 * it, and who has no name does not come as far as listen(2). */
static int check_name(struct trap *t)
{
	struct sockaddr_storage address = {0};
	socklen_t size = sizeof(address);
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	/* It was given so to the worker, which comes to none by itself. */
	if (sock_int(t->sock.fd, SO_ACCEPTCONN) == 1)
		return 0;
	if (getsockname(t->sock.fd, (void *)&address, &size) < 0)
		return -errno;
	if (size <= offsetof(struct sockaddr_un, sun_path))
		return -EINVAL;
	if (((const struct sockaddr_un *)&address)->sun_path[0] != '\0')
		return 0;
	t->q.peer.bind = true;
	sock_peer(&t->sock, &address, size, &t->q.peer, path, &path_size);
	return refuse(&t->q, EACCES, "an abstract name of the host's, which no rule gave it");
}

int serve_listen(struct session *s, struct trap *t)
{
	bool is_unix = t->sock.domain == AF_UNIX;
	bool is_hosts = is_unix && s->cell->net_cookie == 0;
	int r = is_hosts ? check_name(t) : 0;

	if (r < 0)
		return r;
	if (t->sock.inner || is_hosts) {
		t->q.own = true;
		return inside_listen(s, t->sock.fd, is_unix, t->backlog);
	}
	if (!is_inet(&t->sock))
		return refuse(&t->q, EACCES, "a socket from outside of the cell");
	return listen_outer(s, t);
}
