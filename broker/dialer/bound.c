/* SPDX-License-Identifier: MIT */
/*
 * bound.c - UDP servers of the cell's: who writes to one is answered, and nobody else is written
 * to.
 *
 * Runs in: dialer.  Trusts: nothing that either end sends.
 *
 * A server's own socket is bound inside the cell, and never leaves it.  The dialer holds one
 * outside at the same address.  Whoever writes to that becomes a peer: a socket inside the cell,
 * bound to the peer's own address and port, since every address is local there.  From it the server
 * hears the peer, and what it answers to that address arrives there and goes out, to that peer
 * alone.  To anyone else nobody is there.  One who writes to several servers is one peer, answered
 * by each of those.
 *
 * Strangers may write as much as they like: where there is no room, who has been silent longest
 * gives way, after a tenth of a second, and who has written again after an answer after ten, and
 * last. Where nobody does, the newcomer's datagram is lost.  A peer that has given way comes in
 * again by its next datagram, and nothing but what the server has sent meanwhile is lost.
 *
 * Where nobody is bound inside any more, the next datagram is refused there (ICMP), and the socket
 * outside is closed; so it is where another server needs its place.  The broker says when a server
 * has been bound, since it asks before.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define BOUND_MAX   32
#define PEERS_MAX   256
#define IDLE_MS     60000
#define TALKS_MS    10000
#define STRANGER_MS 100
#define BEHIND_MS   1000
#define AT_ONCE     16
#define DATAGRAM    65536

static struct bound {
	struct watch outer; /* fd is owned; -1: free */
	int family;
	bool only_six, any;
	bool heard;         /* somebody was bound inside */
	unsigned n_awaited; /* messages that the broker has not followed up */
	struct dial_address at;
} bound[BOUND_MAX];

_Static_assert(BOUND_MAX == 32, "a bit for each");

static struct awaited {
	uint32_t id; /* 0: free */
	struct bound *of;
} awaited[DIAL_WAITING_MAX];

static struct peer {
	uint32_t wrote;                   /* to which servers, a bit for each of `bound`; 0: free */
	struct watch inner;               /* fd is owned */
	int family;                       /* of that */
	struct dial_address address, own; /* the peer's, and where it has written to last */
	uint32_t scope;
	bool answered;
	bool talks; /* has written after that: its address is no other's */
	uint64_t used_ns;
} peers[PEERS_MAX];

static void on_maker(struct watch *w, uint32_t events);

static struct watch maker = {.fd = -1, .on = on_maker}; /* fd is borrowed */
static uint64_t patience_ns; /* until when it is waited for; 0: it is not behind */
static uint8_t datagram[DATAGRAM];

/* ---- the kernel's side ----------------------------------------------------------------------- */

static uint32_t scope_of(const struct sockaddr_storage *name)
{
	return name->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)name)->sin6_scope_id : 0;
}

/* One datagram; `told`: where it was sent to, or NULL.  Its size; -EBADMSG: one that cannot be
 * used; or -errno. */
static ssize_t receive(int fd, int flags, struct sockaddr_storage *name, struct dial_address *told)
{
	struct iovec iov = {.iov_base = datagram, .iov_len = sizeof(datagram)};
	union address_control control;
	struct msghdr msg = {
		.msg_name = name,
		.msg_namelen = sizeof(*name),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = told ? control.buf : NULL,
		.msg_controllen = told ? sizeof(control.buf) : 0,
	};
	ssize_t n;

	memset(name, 0, sizeof(*name));
	n = recvmsg(fd, &msg, MSG_DONTWAIT | flags);
	if (n < 0)
		return -errno;
	if ((msg.msg_flags & MSG_TRUNC) || (told && !address_told(&msg, told)))
		return -EBADMSG;
	return n;
}

/* ---- who is there ---------------------------------------------------------------------------- */

/* Whether a server has that place inside. */
static bool has_place(const struct bound *b, const struct dial_address *a)
{
	if (a->port != b->at.port)
		return false;
	if (!b->any)
		return address_same(a, &b->at);
	return address_is_v4(a) ? !b->only_six : b->family == AF_INET6;
}

static bool is_any_servers(const struct dial_address *a)
{
	for (size_t i = 0; i < BOUND_MAX; i++) {
		if (bound[i].outer.on && has_place(&bound[i], a))
			return true;
	}
	return false;
}

static uint32_t bit_of(const struct bound *b)
{
	return (uint32_t)1 << (b - bound);
}

static void peer_end(struct peer *p)
{
	watch_set(&p->inner, 0);
	fd_close(&p->inner.fd);
	p->wrote = 0;
}

static void peer_leave(struct peer *p, const struct bound *b)
{
	bool last = p->wrote == bit_of(b);

	p->wrote &= ~bit_of(b);
	if (last)
		peer_end(p);
}

static void bound_end(struct bound *b)
{
	for (size_t i = 0; i < PEERS_MAX; i++)
		peer_leave(&peers[i], b);
	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		if (awaited[i].of == b)
			awaited[i] = (struct awaited){.id = 0};
	}
	watch_set(&b->outer, 0);
	fd_close(&b->outer.fd);
	b->outer.on = NULL;
}

/* Whether nobody is bound there any more shows where that can be had. */
static bool is_left(const struct bound *b)
{
	int family;
	autofd fd = b->n_awaited > 0 ? -EBUSY : inside_bind(&b->at, &family);

	return fd >= 0;
}

/* One of the servers that a peer has written to. */
static struct bound *server_at(const struct peer *p, const struct sockaddr_storage *name)
{
	struct dial_address a;

	if (!address_get(name, &a))
		return NULL;
	for (size_t i = 0; i < BOUND_MAX; i++) {
		if ((p->wrote & bit_of(&bound[i])) && has_place(&bound[i], &a))
			return &bound[i];
	}
	return NULL;
}

/* Nobody has taken a datagram: who was to is told, where the errors wait; ip(7), IP_RECVERR.
 * Whether any waited. */
static bool take_errors(struct peer *p)
{
	bool any = false;

	while (p->wrote) {
		struct sockaddr_storage name;
		ssize_t n = receive(p->inner.fd, MSG_ERRQUEUE, &name, NULL);
		struct bound *b = n < 0 ? NULL : server_at(p, &name);

		if (n < 0 && n != -EBADMSG)
			break;
		any = true;
		if (!b)
			continue;
		peer_leave(p, b);
		if (is_left(b))
			bound_end(b);
	}
	return any;
}

/* ---- from the server to a peer --------------------------------------------------------------- */

static void answer(struct peer *p, const struct bound *b, size_t size)
{
	struct sockaddr_storage to;
	struct iovec iov = {.iov_base = datagram, .iov_len = size};
	union address_control control;
	struct msghdr msg = {
		.msg_name = &to,
		.msg_namelen = address_put(&p->address, b->family, &to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};

	if (b->family == AF_INET6)
		((struct sockaddr_in6 *)&to)->sin6_scope_id = p->scope;
	if (b->any)
		address_tell(&msg, &control, b->family, &p->own);
	sendmsg(b->outer.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	p->answered = true;
	p->used_ns = clock_ns();
}

/* What others of the cell's sockets write to a peer's address goes nowhere. */
static void on_inner(struct watch *w, uint32_t events)
{
	struct peer *p = w->of;

	/* What is no error of that kind would be told again and again. */
	if ((events & EPOLLERR) && !take_errors(p))
		peer_end(p);
	for (int i = 0; i < AT_ONCE && p->wrote; i++) {
		struct sockaddr_storage name;
		ssize_t n = receive(w->fd, 0, &name, NULL);
		const struct bound *b = n < 0 ? NULL : server_at(p, &name);

		if (n == -EAGAIN)
			return;
		if (n == -ECONNREFUSED)
			take_errors(p);
		else if (n < 0 && n != -EBADMSG)
			peer_end(p);
		else if (b)
			answer(p, b, (size_t)n);
	}
}

/* ---- from a peer to the server --------------------------------------------------------------- */

static struct peer *find(const struct dial_address *address, uint32_t scope)
{
	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &peers[i];

		if (p->wrote && p->scope == scope && address_same(&p->address, address))
			return p;
	}
	return NULL;
}

static bool gives_way(const struct peer *p, uint64_t now_ns)
{
	return p->used_ns + (p->talks ? TALKS_MS : STRANGER_MS) * MS_NS <= now_ns;
}

/* A free one; else, of those that give way, one that does not talk and was not used for longest. */
static struct peer *room_for_one(uint64_t now_ns)
{
	struct peer *least = NULL;

	for (size_t i = 0; i < PEERS_MAX; i++) {
		struct peer *p = &peers[i];

		if (!p->wrote)
			return p;
		if (!gives_way(p, now_ns))
			continue;
		if (!least || (least->talks && !p->talks) ||
			(least->talks == p->talks && p->used_ns < least->used_ns))
			least = p;
	}
	if (least)
		peer_end(least);
	return least;
}

/* NULL: there is no room, or its address and port are somebody's inside. */
static struct peer *peer_new(const struct dial_address *address, uint32_t scope, uint64_t now_ns)
{
	int family = AF_UNSPEC;
	autofd fd = -1;
	struct peer *p = NULL;

	/* Also where that is still to be bound: no stranger keeps it from its place. */
	if (!is_any_servers(address) && inside_have(false) == 0)
		p = room_for_one(now_ns);
	if (!p)
		return NULL;
	fd = inside_bind(address, &family);
	if (fd < 0)
		return NULL;
	*p = (struct peer){.family = family, .address = *address, .scope = scope};
	p->inner = (struct watch){.fd = fd, .on = on_inner, .of = p};
	if (watch_set(&p->inner, EPOLLIN) < 0)
		return NULL;
	fd = -1;
	return p;
}

static void carry(struct bound *b, const struct sockaddr_storage *name,
	const struct dial_address *own, size_t size)
{
	uint64_t now_ns = clock_ns();
	struct dial_address from;
	struct sockaddr_storage to;
	struct peer *p;
	socklen_t to_size;

	if (!address_get(name, &from) || from.port == 0 || address_is_group(own))
		return;
	p = find(&from, scope_of(name));
	if (!p)
		p = peer_new(&from, scope_of(name), now_ns);
	if (!p)
		return;
	p->wrote |= bit_of(b);
	p->talks |= p->answered;
	p->used_ns = now_ns;
	p->own = *own;
	p->own.port = b->at.port;
	to_size = inside_put(&p->own, p->family, &to);
	/* An error is of one before, perhaps to another server. */
	for (int i = 0; i < 2 && (p->wrote & bit_of(b)); i++) {
		if (sendto(p->inner.fd, datagram, size, MSG_DONTWAIT | MSG_NOSIGNAL,
			    (struct sockaddr *)&to, to_size) >= 0 ||
			errno != ECONNREFUSED)
			return;
		take_errors(p);
	}
}

/* A datagram stays in its queue until there is a socket for who has sent it, who may be a new one.
 */
static void hear_all(bool hear)
{
	for (size_t i = 0; i < BOUND_MAX; i++) {
		struct bound *b = &bound[i];

		if (b->outer.on && b->heard && watch_set(&b->outer, hear ? EPOLLIN : 0) < 0)
			bound_end(b);
	}
}

static void on_maker(struct watch *w, uint32_t events)
{
	watch_set(w, 0);
	hear_all(true);
}

/* For a moment: a maker that cannot go on keeps newcomers out, and nobody who is known; unix(7),
 * ETOOMANYREFS, may be another worker's doing. */
static bool must_wait(void)
{
	uint64_t now_ns;

	if (inside_have(false) != -EAGAIN) {
		patience_ns = 0;
		return false;
	}
	now_ns = clock_ns();
	if (patience_ns == 0)
		patience_ns = now_ns + BEHIND_MS * MS_NS;
	return now_ns < patience_ns && watch_set(&maker, EPOLLIN) == 0;
}

static void on_outer(struct watch *w, uint32_t events)
{
	struct bound *b = w->of;

	for (int i = 0; i < AT_ONCE && w->fd >= 0; i++) {
		struct sockaddr_storage name;
		struct dial_address own = {.port = 0};
		ssize_t n;

		if (must_wait()) {
			hear_all(false);
			return;
		}
		n = receive(w->fd, 0, &name, &own);
		if (n == -EAGAIN)
			return;
		if (n >= 0)
			carry(b, &name, &own, (size_t)n);
	}
}

/* ---- the messages ---------------------------------------------------------------------------- */

static bool is_only_six(const struct dial_message *m)
{
	int value = 0;

	for (size_t i = 0; i < m->n_options; i++) {
		const struct dial_option *o = &m->options[i];

		if (o->level == IPPROTO_IPV6 && o->option == IPV6_V6ONLY &&
			o->size == sizeof(value))
			memcpy(&value, o->value, sizeof(value));
	}
	return value;
}

/* One that stands already: whether two may share it is the cell's kernel's to say. */
static struct bound *find_bound(const struct dial_message *m)
{
	for (size_t i = 0; i < BOUND_MAX; i++) {
		struct bound *b = &bound[i];

		if (b->outer.on && b->at.port != 0 && address_same(&b->at, &m->addresses[0]) &&
			b->only_six == is_only_six(m))
			return b;
	}
	return NULL;
}

/* A free one; else one whose server is gone, to which nobody has written since.  NULL: none. */
static struct bound *room_for_server(void)
{
	for (size_t i = 0; i < BOUND_MAX; i++) {
		if (!bound[i].outer.on)
			return &bound[i];
	}
	/* The one time that the dialer waits for anything but events: for a process of its own, and
	 * for one socket. */
	inside_have(true);
	for (size_t i = 0; i < BOUND_MAX; i++) {
		if (is_left(&bound[i])) {
			bound_end(&bound[i]);
			return &bound[i];
		}
	}
	return NULL;
}

static int bound_new(const struct dial_message *m, struct bound **ret)
{
	struct bound *b = room_for_server();
	struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
	socklen_t size = sizeof(own);
	autofd fd = -1;

	if (!b)
		return -ENOBUFS;
	fd = sockets_udp_bound(m);
	if (fd < 0)
		return fd;
	*b = (struct bound){.any = address_is_any(&m->addresses[0]), .only_six = is_only_six(m)};
	if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
		return -errno;
	b->family = own.ss_family;
	if (!address_get(&own, &b->at))
		return -EAFNOSUPPORT;
	b->outer = (struct watch){.fd = fd_take(&fd), .on = on_outer, .of = b};
	*ret = b;
	return 0;
}

/* Peers of others may have its port. */
static void make_place(const struct bound *b)
{
	for (size_t i = 0; i < PEERS_MAX; i++) {
		if (peers[i].wrote && has_place(b, &peers[i].address))
			peer_end(&peers[i]);
	}
}

void bound_begin(const struct dial_message *m)
{
	struct bound *b = find_bound(m);
	struct awaited *one = awaited;
	int none = -1, r = 0;

	while (one < awaited + DIAL_WAITING_MAX && one->id)
		one++;
	if (one == awaited + DIAL_WAITING_MAX)
		r = -EAGAIN;
	else if (!b)
		r = bound_new(m, &b);
	if (r < 0) {
		channel_done(m->id, r, 0, &none);
		return;
	}
	make_place(b);
	*one = (struct awaited){.id = m->id, .of = b};
	b->n_awaited++;
	channel_show(m->id, b->outer.fd);
}

/* NULL: the number of none, or of one whose server is gone meanwhile. */
static struct bound *follow(uint32_t id)
{
	for (size_t i = 0; id && i < DIAL_WAITING_MAX; i++) {
		struct bound *b = awaited[i].of;

		if (awaited[i].id != id)
			continue;
		awaited[i] = (struct awaited){.id = 0};
		b->n_awaited--;
		return b;
	}
	return NULL;
}

void bound_hear(uint32_t id)
{
	struct bound *b = follow(id);

	if (!b)
		return;
	b->heard = true;
	if (watch_set(&b->outer, EPOLLIN) < 0)
		bound_end(b);
}

void bound_cancel(uint32_t id)
{
	struct bound *b = follow(id);

	if (b && !b->heard && b->n_awaited == 0)
		bound_end(b);
}

/* ---- the part -------------------------------------------------------------------------------- */

void bound_start(int fd)
{
	maker.fd = fd;
	inside_start(fd);
}

uint64_t bound_due(void)
{
	uint64_t due_ns = maker.events ? patience_ns : NEVER;

	for (size_t i = 0; i < PEERS_MAX; i++) {
		if (peers[i].wrote)
			due_ns = sooner(due_ns, peers[i].used_ns + IDLE_MS * MS_NS);
	}
	return due_ns;
}

void bound_tick(uint64_t now_ns)
{
	if (maker.events && patience_ns <= now_ns)
		on_maker(&maker, 0);
	for (size_t i = 0; i < PEERS_MAX; i++) {
		if (peers[i].wrote && peers[i].used_ns + IDLE_MS * MS_NS <= now_ns)
			peer_end(&peers[i]);
	}
}
