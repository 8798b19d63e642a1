/* SPDX-License-Identifier: MIT */
/*
 * socket_outer.c - a trapped call that leads out of the cell: asked of the dialer, looked at again,
 * recorded, put in place.
 *
 * Runs in: broker.  Trusts: the kernel's word on what the dialer brought, not the dialer's.
 *
 * A socket that is not what was asked is never handed over, and ends the dialer.  The record is
 * written before the socket is put in place; what could not be put in place is refused, and the
 * record says that it did not arrive.
 */
#include "broker/socket_outer.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/dial.h"
#include "broker/interrupt.h"
#include "broker/record.h"
#include "broker/socket_inside.h"
#include "broker/socket_place.h"
#include "common/fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.15 */
#endif

/* ---- what the outer socket has of the worker's own ------------------------------------------- */

enum carried {
	ALL = 0,
	TCP = 1,
	IPV4 = 2,
	IPV6 = 4,
	SEND_BUFFER = 8,
	RECEIVE_BUFFER = 16,
	ZERO_TOO = 32, /* else what is 0, as in a new socket, is left out */
};

/* X(level, option, bytes of its value, of which sockets or when).  Not SO_REUSEPORT: it would share
 * the port of another process of this user's.  IPV6_V6ONLY always, since it says that the socket is
 * one of AF_INET6, whatever the address. */
#define OPTIONS(X) \
	X(SOL_SOCKET, SO_REUSEADDR, 4, ALL) \
	X(SOL_SOCKET, SO_KEEPALIVE, 4, ALL) \
	X(SOL_SOCKET, SO_LINGER, 8, ALL) \
	X(SOL_SOCKET, SO_OOBINLINE, 4, ALL) \
	X(SOL_SOCKET, SO_SNDBUF, 4, SEND_BUFFER) \
	X(SOL_SOCKET, SO_RCVBUF, 4, RECEIVE_BUFFER) \
	X(SOL_SOCKET, SO_RCVLOWAT, 4, ALL) \
	X(SOL_SOCKET, SO_RCVTIMEO, 16, ALL) \
	X(SOL_SOCKET, SO_SNDTIMEO, 16, ALL) \
	X(SOL_SOCKET, SO_PASSCRED, 4, ALL) \
	X(IPPROTO_TCP, TCP_NODELAY, 4, TCP) \
	X(IPPROTO_TCP, TCP_CORK, 4, TCP) \
	X(IPPROTO_TCP, TCP_KEEPIDLE, 4, TCP) \
	X(IPPROTO_TCP, TCP_KEEPINTVL, 4, TCP) \
	X(IPPROTO_TCP, TCP_KEEPCNT, 4, TCP) \
	X(IPPROTO_TCP, TCP_USER_TIMEOUT, 4, TCP) \
	X(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4, TCP) \
	X(IPPROTO_IP, IP_TOS, 4, IPV4) \
	X(IPPROTO_IPV6, IPV6_TCLASS, 4, IPV6) \
	X(IPPROTO_IPV6, IPV6_V6ONLY, 4, IPV6 | ZERO_TOO)

static const struct option_row {
	uint16_t level, option;
	uint8_t size;
	uint8_t when;
} option_rows[] = {
#define X(level, option, size, when) {level, option, size, when},
	OPTIONS(X)
#undef X
};
_Static_assert(sizeof(option_rows) / sizeof(*option_rows) <= DIAL_OPTIONS_MAX, "one message");

/* Which rows a socket has.  A buffer's size is carried over only where the worker has set it: one
 * that is set grows no more by itself; tcp(7). */
static unsigned has_rows(const struct sock *k)
{
	unsigned has = ALL | ZERO_TOO;
	int locks = 0;
	socklen_t size = sizeof(locks);

	if (k->domain == AF_INET || k->domain == AF_INET6)
		has |= TCP | (k->domain == AF_INET ? IPV4 : IPV6);
	if (getsockopt(k->fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &size) == 0)
		has |= (locks & 1 ? SEND_BUFFER : 0u) | (locks & 2 ? RECEIVE_BUFFER : 0u);
	return has;
}

/* setsockopt(2) doubles what it is given for its own use, and getsockopt(2) says the double. */
static void halve(uint8_t value[DIAL_VALUE_MAX])
{
	int size;

	memcpy(&size, value, sizeof(size));
	size /= 2;
	memcpy(value, &size, sizeof(size));
}

static bool is_zero(const uint8_t *value, size_t size)
{
	while (size > 0 && value[size - 1] == 0)
		size--;
	return size == 0;
}

static void read_options(const struct sock *k, struct dial_message *m)
{
	unsigned has = has_rows(k);

	for (size_t i = 0; i < sizeof(option_rows) / sizeof(*option_rows); i++) {
		const struct option_row *row = &option_rows[i];
		struct dial_option *o = &m->options[m->n_options];
		socklen_t size = row->size;

		if ((row->when & has) != row->when ||
			getsockopt(k->fd, row->level, row->option, o->value, &size) < 0 ||
			size != row->size || (!(row->when & ZERO_TOO) && is_zero(o->value, size)))
			continue;
		if (row->when & (SEND_BUFFER | RECEIVE_BUFFER))
			halve(o->value);
		o->level = row->level;
		o->option = row->option;
		o->size = row->size;
		m->n_options++;
	}
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void put_address(struct dial_message *m, const struct peer *peer)
{
	memcpy(m->addresses[0].bytes, peer->address, sizeof(peer->address));
	m->addresses[0].port = peer->port;
	m->n_addresses = 1;
}

static int ask(struct session *s, struct trap *t, struct dial_message *m, const int *fds,
	size_t n_fds, dial_finish *finish)
{
	struct request *q = &t->q;
	struct dial_waiter waiter = {
		.notice = t->notice,
		.worker_fd = t->number,
		.sock = t->sock,
	};
	int r;

	m->timeout_ms = q->answer.timeout_ms;
	r = dial_begin(s, q, &waiter, m, fds, n_fds, finish);
	t->sock.fd = waiter.sock.fd;
	if (r == 0)
		return SOCKET_LATER;
	if (r == -EAGAIN)
		return refuse(q, EAGAIN, "too many connections wait already");
	if (r == -ENETDOWN)
		return refuse(q, ENETDOWN, "the dialer, which makes connections, has ended");
	return refuse(q, EIO, "the dialer cannot be asked: %s", strerrordesc_np(-r));
}

/* ---- looking again --------------------------------------------------------------------------- */

int socket_tcp_state(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 ? -errno : info.tcpi_state;
}

static bool is_tcp(int fd)
{
	int domain = sock_int(fd, SO_DOMAIN);

	return (domain == AF_INET || domain == AF_INET6) && sock_int(fd, SO_TYPE) == SOCK_STREAM &&
	       sock_int(fd, SO_PROTOCOL) == IPPROTO_TCP && sock_int(fd, SO_ACCEPTCONN) == 0;
}

/* Whether an address is the one that was asked for; any port where none was. */
static bool is_that(
	int fd, const struct sockaddr_storage *address, socklen_t size, const struct peer *asked)
{
	struct sock k = {.fd = fd,
		.domain = address->ss_family,
		.type = SOCK_STREAM,
		.protocol = IPPROTO_TCP};
	struct peer is = {.bind = asked->bind};
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	return sock_peer(&k, address, size, &is, path, &path_size) == 0 &&
	       memcmp(is.address, asked->address, sizeof(is.address)) == 0 &&
	       (is.port == asked->port || (asked->bind && asked->port == 0 && is.port != 0));
}

/* 0; -errno: the connection's own failure, meanwhile; -EBADMSG: it is not what was asked. */
static int check_tcp(const struct session *s, const struct dialled *d)
{
	struct sockaddr_storage address;
	int fd = d->q.fd;
	/* More than there is, it does not fill; less, it cuts. */
	socklen_t size = sock_int(fd, SO_DOMAIN) == AF_INET ? sizeof(struct sockaddr_in)
							    : sizeof(struct sockaddr_in6);
	int state, error;

	if (!sock_is_outer(s, fd) || !is_tcp(fd))
		return -EBADMSG;
	state = socket_tcp_state(fd);
	error = state == STATE_CLOSE ? sock_int(fd, SO_ERROR) : 0;
	if (state == STATE_CLOSE)
		return error > 0 ? -error : -ECONNABORTED;
	/* Not getpeername(2), which knows no peer before it has answered. */
	if (getsockopt(fd, SOL_SOCKET, SO_PEERNAME, &address, &size) < 0)
		return errno == ENOTCONN ? -ECONNRESET : -errno;
	return is_that(fd, &address, size, &d->q.peer) ? 0 : -EBADMSG;
}

static int check_bound(const struct session *s, const struct dialled *d)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int fd = d->q.fd;

	if (!sock_is_outer(s, fd) || !is_tcp(fd) || socket_tcp_state(fd) != STATE_CLOSE ||
		getsockname(fd, (void *)&address, &size) < 0)
		return -EBADMSG;
	return is_that(fd, &address, size, &d->q.peer) ? 0 : -EBADMSG;
}

static int check_abstract(const struct session *s, const struct dialled *d)
{
	const struct peer *asked = &d->q.peer;
	const size_t head = offsetof(struct sockaddr_un, sun_path) + 1;
	struct sockaddr_un un;
	socklen_t size = sizeof(un);
	int fd = d->q.fd;

	if (!sock_is_outer(s, fd) || sock_int(fd, SO_DOMAIN) != AF_UNIX ||
		sock_int(fd, SO_TYPE) != asked->type || sock_int(fd, SO_ACCEPTCONN) != 0)
		return -EBADMSG;
	if (getpeername(fd, (void *)&un, &size) < 0)
		return errno == ENOTCONN ? -ECONNRESET : -errno;
	return size == head + asked->name_size && un.sun_path[0] == '\0' &&
			       memcmp(un.sun_path + 1, asked->name, asked->name_size) == 0
		       ? 0
		       : -EBADMSG;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* What a signal that was seen while the call waited makes of it; it may be another thread's by now.
 * Natively who has set a time is told, and no call is made again: sock_intr_errno(). */
static int interrupted(const struct session *s, struct dialled *d)
{
	enum interrupt how = interrupt_of(s, d->waiter.notice.tid);

	return interrupt_end(&d->q, sock_patience_ns(d->waiter.sock.fd) ? INTERRUPT_EINTR : how);
}

static int settle(struct session *s, struct dialled *d, int result)
{
	if (result == -EINTR && !d->q.refused)
		result = interrupted(s, d);
	return trap_answer(s, &d->waiter.notice, &d->q, false, result);
}

/* The record, the place, the answer: `value` is 0, or -errno of a connection that goes on. */
static int put_in_place(struct session *s, struct dialled *d, int value)
{
	const struct dial_waiter *w = &d->waiter;
	struct notify *n = s->cell->notify;
	struct request *q = &d->q;
	int r = trap_record(s, q, 0);

	if (r < 0)
		return notify_refuse(n, w->notice.id, EIO);
	r = socket_place(s, &w->notice, &w->sock, w->worker_fd, q->fd);
	if (r < 0)
		return trap_undelivered(s, &w->notice, q, r);
	return value < 0 ? notify_refuse(n, w->notice.id, -value)
			 : notify_return(n, w->notice.id, 0);
}

/* A liar brings nothing more. */
static int refuse_lie(struct session *s, struct dialled *d, const char **ret_why)
{
	int r = settle(
		s, d, refuse(&d->q, EACCES, "what the dialer brought is not what was asked"));
	int ended = dial_end(s, "the dialer brought what was not asked", ret_why);

	return r < 0 ? r : ended;
}

static int finish_tcp(struct session *s, struct dialled *d, const char **ret_why)
{
	int r = d->result < 0 ? d->result : check_tcp(s, d);

	if (r == -EBADMSG && d->result == 0)
		return refuse_lie(s, d, ret_why);
	if (r < 0)
		return settle(s, d, r);
	if (socket_tcp_state(d->q.fd) != STATE_SYN_SENT)
		return put_in_place(s, d, 0);
	return put_in_place(s, d, d->released ? interrupted(s, d) : -EINPROGRESS);
}

static int finish_bind(struct session *s, struct dialled *d, const char **ret_why)
{
	if (d->result < 0)
		return settle(s, d, d->result);
	return check_bound(s, d) < 0 ? refuse_lie(s, d, ret_why) : put_in_place(s, d, 0);
}

static int finish_abstract(struct session *s, struct dialled *d, const char **ret_why)
{
	int r = d->result < 0 ? d->result : check_abstract(s, d);

	if (r == -EBADMSG && d->result == 0)
		return refuse_lie(s, d, ret_why);
	return r < 0 ? settle(s, d, r) : put_in_place(s, d, 0);
}

/* The worker's own socket is connected; its record stands since before. */
static int finish_path(struct session *s, struct dialled *d, const char **ret_why)
{
	return settle(s, d, d->result);
}

/* The dialer listens inside, at that address: the worker's own socket goes there. */
static int finish_relay(struct session *s, struct dialled *d, const char **ret_why)
{
	struct dial_waiter *w = &d->waiter;
	struct inside to = INSIDE_INIT;
	int r = d->result;

	if (r == 0) {
		r = record_change(s, &d->q);
		to.size = sock_address(&w->sock, &d->q.peer, &to.address);
		to.grant = d->q.grant;
	}
	if (r == 0)
		r = inside_connect(s, &w->sock, &to);
	if (r == -EINPROGRESS && !w->sock.nonblock) {
		s->tally.granted++;
		r = inside_wait(s, &w->notice, &w->sock, &to, r);
		if (r == 0)
			return 0;
		s->tally.granted--;
	}
	if (r != -EINPROGRESS)
		return settle(s, d, r);
	s->tally.granted++;
	return notify_refuse(s->cell->notify, w->notice.id, EINPROGRESS);
}

/* ---- each of them --------------------------------------------------------------------------- */

int outer_tcp(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_TCP, .wait = !t->sock.nonblock};
	struct request *q = &t->q;
	int r = charge(s, q, false);

	if (r < 0)
		return r;
	put_address(&m, &q->peer);
	read_options(&t->sock, &m);
	if (!t->sock.inner || !socket_is_shared(s, t->notice.tid, &t->sock))
		return ask(s, t, &m, NULL, 0, finish_tcp);
	m.op = DIAL_RELAY;
	m.wait = true;
	return ask(s, t, &m, NULL, 0, finish_relay);
}

int outer_bind(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_BIND};
	int r = charge(s, &t->q, false);

	if (r < 0)
		return r;
	put_address(&m, &t->q.peer);
	read_options(&t->sock, &m);
	return ask(s, t, &m, NULL, 0, finish_bind);
}

int outer_abstract(struct session *s, struct trap *t)
{
	struct dial_message m = {
		.op = DIAL_ABSTRACT,
		.wait = !t->sock.nonblock,
		.type = (uint16_t)t->sock.type,
		.name_size = (uint8_t)t->q.peer.name_size,
	};
	int r = charge(s, &t->q, false);

	if (r < 0)
		return r;
	memcpy(m.name, t->q.peer.name, t->q.peer.name_size);
	read_options(&t->sock, &m);
	return ask(s, t, &m, NULL, 0, finish_abstract);
}

int outer_path(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_PATH, .wait = !t->sock.nonblock};
	const int fds[] = {t->sock.fd, t->q.target.fd};
	int r = record_change(s, &t->q);

	return r < 0 ? r : ask(s, t, &m, fds, 2, finish_path);
}

int outer_standin(struct session *s, struct trap *t, dial_finish *finish)
{
	struct dial_message m = {.op = DIAL_STANDIN};

	return ask(s, t, &m, NULL, 0, finish);
}

/* Its record stands since before. */
int outer_lead(struct session *s, struct trap *t, uint32_t of, uint32_t timeout_ms)
{
	struct dial_message m = {.op = DIAL_LEAD, .of = of};

	if (t->q.answer.timeout_ms == 0)
		t->q.answer.timeout_ms = timeout_ms;
	return ask(s, t, &m, &t->q.target.fd, 1, finish_path);
}
