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
#include "broker/socket_options.h"
#include "broker/socket_place.h"
#include "common/fd.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

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

static bool is_inet(int fd, int type, int protocol)
{
	int domain = sock_int(fd, SO_DOMAIN);

	return (domain == AF_INET || domain == AF_INET6) && sock_int(fd, SO_TYPE) == type &&
	       sock_int(fd, SO_PROTOCOL) == protocol && sock_int(fd, SO_ACCEPTCONN) == 0;
}

static bool is_tcp(int fd)
{
	return is_inet(fd, SOCK_STREAM, IPPROTO_TCP);
}

/* Whether an address is the one that was asked for; any port where none was. */
static bool is_that(
	int fd, const struct sockaddr_storage *address, socklen_t size, const struct peer *asked)
{
	struct sock k = {.fd = fd,
		.domain = address->ss_family,
		.type = asked->kind == PEER_UDP ? SOCK_DGRAM : SOCK_STREAM,
		.protocol = asked->kind == PEER_UDP ? IPPROTO_UDP : IPPROTO_TCP};
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

/* At its own end, or the other. */
static int check_abstract(const struct session *s, const struct dialled *d, bool own)
{
	const struct peer *asked = &d->q.peer;
	const size_t head = offsetof(struct sockaddr_un, sun_path) + 1;
	struct sockaddr_un un;
	socklen_t size = sizeof(un);
	int fd = d->q.fd;

	if (!sock_is_outer(s, fd) || sock_int(fd, SO_DOMAIN) != AF_UNIX ||
		sock_int(fd, SO_TYPE) != asked->type || sock_int(fd, SO_ACCEPTCONN) != 0)
		return -EBADMSG;
	if ((own ? getsockname : getpeername)(fd, (void *)&un, &size) < 0)
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
	if (socket_tcp_state(d->q.fd) != STATE_SYN_SENT) {
		/* Of one that was not to be waited for the dialer has not asked what came of it. */
		if (d->released)
			inside_come_about(d->q.fd, d->waiter.sock.domain);
		return put_in_place(s, d, 0);
	}
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
	int r = d->result < 0 ? d->result : check_abstract(s, d, false);

	if (r == -EBADMSG && d->result == 0)
		return refuse_lie(s, d, ret_why);
	return r < 0 ? settle(s, d, r) : put_in_place(s, d, 0);
}

static int finish_named(struct session *s, struct dialled *d, const char **ret_why)
{
	if (d->result < 0)
		return settle(s, d, d->result);
	return check_abstract(s, d, true) < 0 ? refuse_lie(s, d, ret_why) : put_in_place(s, d, 0);
}

/* The dialer keeps the socket; the port that the kernel has chosen for it counts inside too. */
static int check_udp(const struct session *s, struct dialled *d)
{
	struct sockaddr_storage address = {0};
	struct peer *peer = &d->q.peer;
	socklen_t size = sizeof(address);
	int fd = d->q.fd;

	if (!sock_is_outer(s, fd) || !is_inet(fd, SOCK_DGRAM, IPPROTO_UDP) ||
		getsockname(fd, (void *)&address, &size) < 0 || !is_that(fd, &address, size, peer))
		return -EBADMSG;
	peer->port =
		ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
						    : ((struct sockaddr_in *)&address)->sin_port);
	return 0;
}

/* Every address is the cell's, but of IPv6 only one that a device has is bound without this;
 * ipv6(7).
 */
static int bind_anywhere(int fd, const struct sockaddr_storage *address, socklen_t size)
{
	int on = 1, r;

	setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	r = bind(fd, (const void *)address, size) < 0 ? -errno : 0;
	on = 0;
	setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	return r;
}

/* Its record, then its place inside; without that nobody is there for what the dialer holds. */
static int finish_udp(struct session *s, struct dialled *d, const char **ret_why)
{
	const struct dial_waiter *w = &d->waiter;
	struct sockaddr_storage address;
	socklen_t size;
	int r = d->result;

	if (r == 0 && check_udp(s, d) < 0)
		return refuse_lie(s, d, ret_why);
	fd_close(&d->q.fd);
	if (r == 0)
		r = record_change(s, &d->q);
	if (r == 0) {
		size = sock_address(&w->sock, &d->q.peer, &address);
		r = bind_anywhere(w->sock.fd, &address, size);
	}
	if (d->result == 0)
		dial_follow(s, d, r == 0 ? DIAL_HEAR : DIAL_CANCEL);
	return settle(s, d, r);
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

/* No other process is reached: it would keep the worker's old socket, which is another one. */
static int refuse_shared(struct request *q)
{
	return refuse(
		q, EACCES, "another process holds the socket too, and would be left without it");
}

int outer_tcp(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_TCP, .wait = !t->sock.nonblock};
	struct request *q = &t->q;
	bool shared = socket_is_shared(s, t->notice.tid, &t->sock);
	int r;

	/* What is outside already cannot be led to the relay, which is inside. */
	if (shared && !t->sock.inner)
		return refuse_shared(q);
	r = charge(s, q, false);
	if (r < 0)
		return r;
	put_address(&m, &q->peer);
	socket_options_read(&t->sock, &s->cell->defaults, &m);
	if (!shared)
		return ask(s, t, &m, NULL, 0, finish_tcp);
	m.op = DIAL_RELAY;
	m.wait = true;
	return ask(s, t, &m, NULL, 0, finish_relay);
}

int outer_bind(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_BIND};
	int r;

	if (socket_is_shared(s, t->notice.tid, &t->sock))
		return refuse_shared(&t->q);
	r = charge(s, &t->q, false);
	if (r < 0)
		return r;
	put_address(&m, &t->q.peer);
	socket_options_read(&t->sock, &s->cell->defaults, &m);
	return ask(s, t, &m, NULL, 0, finish_bind);
}

/* An abstract name: the dialer makes a socket outside, with the options of the worker's. */
static int ask_by_name(
	struct session *s, struct trap *t, struct dial_message *m, dial_finish *finish)
{
	const struct peer *peer = &t->q.peer;
	int r;

	if (socket_is_shared(s, t->notice.tid, &t->sock))
		return refuse_shared(&t->q);
	r = charge(s, &t->q, false);
	if (r < 0)
		return r;
	m->type = (uint16_t)t->sock.type;
	m->name_size = (uint8_t)peer->name_size;
	memcpy(m->name, peer->name, peer->name_size);
	socket_options_read(&t->sock, &s->cell->defaults, m);
	return ask(s, t, m, NULL, 0, finish);
}

int outer_abstract(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_ABSTRACT, .wait = !t->sock.nonblock};

	return ask_by_name(s, t, &m, finish_abstract);
}

int outer_named(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_NAMED};

	return ask_by_name(s, t, &m, finish_named);
}

int outer_udp(struct session *s, struct trap *t)
{
	struct dial_message m = {.op = DIAL_UDP};
	struct dial_option *o = &m.options[0];
	socklen_t size = sizeof(int);
	int r = charge(s, &t->q, false);

	if (r < 0)
		return r;
	put_address(&m, &t->q.peer);
	/* It says the family too.  No other: SO_REUSEADDR would share the port with anyone. */
	*o = (struct dial_option){IPPROTO_IPV6, IPV6_V6ONLY, sizeof(int), {0}};
	if (t->sock.domain == AF_INET6 &&
		getsockopt(t->sock.fd, o->level, o->option, o->value, &size) == 0)
		m.n_options = 1;
	return ask(s, t, &m, NULL, 0, finish_udp);
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
