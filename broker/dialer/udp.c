/* SPDX-License-Identifier: MIT */
/*
 * udp.c - UDP between the cell and its allowed peers: datagrams are carried, flow by flow.
 *
 * Runs in: dialer.  Trusts: nothing that either end sends.
 *
 * A flow is one socket of the cell's and one peer.  The broker is asked at its first datagram,
 * which waits; what is refused is remembered for a second, whoever sends, so that a flood asks
 * little.  A flow has a socket of its own outside, connected: from any other sender nothing comes
 * in.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#define SOCKS_MAX  32
#define FLOWS_MAX  256
#define ASKED_MAX  32 /* first datagrams that wait for a verdict; others are dropped */
#define IDLE_MS    60000
#define REFUSED_MS 1000
#define AT_ONCE    16
#define DATAGRAM   65536

enum state { FREE, ASKED, OPEN, REFUSED };

static struct sock {
	struct watch w;
	int family;
	uint16_t port;
} socks[SOCKS_MAX];

static struct waiting {
	bool used;
	size_t size;
	uint8_t bytes[DATAGRAM];
} waiting[ASKED_MAX];

static struct flow {
	enum state state;
	struct sock *sock; /* the cell's, that its peer's answers come from */
	struct dial_address from, to;
	uint64_t used_ns; /* last */
	uint64_t end_ns;
	struct waiting *first; /* ASKED */
	struct watch outer;    /* OPEN: fd is owned */
} flows[FLOWS_MAX];

static uint8_t datagram[DATAGRAM];

/* ---- the cell's side ------------------------------------------------------------------------- */

/* One datagram of the cell's.  Its size, or negative: none, or one that cannot be used. */
static ssize_t receive(const struct sock *s, struct dial_address *from, struct dial_address *to)
{
	struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
	struct iovec iov = {.iov_base = datagram, .iov_len = sizeof(datagram)};
	union address_control control;
	struct msghdr msg = {
		.msg_name = &name,
		.msg_namelen = sizeof(name),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n = recvmsg(s->w.fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	to->port = s->port;
	if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || !address_get(&name, from) ||
		!address_told(&msg, to))
		return -EBADMSG;
	return n;
}

/* Sends to the cell, in the peer's name. */
static void answer(const struct flow *f, const uint8_t *p, size_t size)
{
	const struct sock *s = f->sock;
	struct sockaddr_storage to;
	struct iovec iov = {.iov_base = (void *)p, .iov_len = size};
	union address_control control;
	struct msghdr msg = {.msg_name = &to, .msg_iov = &iov, .msg_iovlen = 1};

	msg.msg_namelen = address_put(&f->from, s->family, &to);
	address_tell(&msg, &control, s->family, &f->to);
	sendmsg(s->w.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ---- flows ----------------------------------------------------------------------------------- */

static void flow_end(struct flow *f)
{
	if (f->state == OPEN) {
		watch_set(&f->outer, 0);
		fd_close(&f->outer.fd);
	}
	if (f->first)
		f->first->used = false;
	f->first = NULL;
	f->state = FREE;
}

static void touch(struct flow *f, uint64_t now_ns)
{
	f->used_ns = now_ns;
	f->end_ns = now_ns + IDLE_MS * MS_NS;
}

static struct flow *find(
	const struct dial_address *from, const struct dial_address *to, uint64_t now_ns)
{
	for (size_t i = 0; i < FLOWS_MAX; i++) {
		struct flow *f = &flows[i];

		if (f->state == FREE || !address_same(&f->to, to))
			continue;
		if (f->state == REFUSED ? f->end_ns > now_ns : address_same(&f->from, from))
			return f;
	}
	return NULL;
}

/* A free one, else a refused one, else the one that was not used for longest. */
static struct flow *flow_new(void)
{
	struct flow *least = NULL;

	for (size_t i = 0; i < FLOWS_MAX; i++) {
		struct flow *f = &flows[i];

		if (f->state == FREE)
			return f;
		if (f->state == ASKED)
			continue;
		if (!least || (f->state == REFUSED && least->state == OPEN) ||
			(f->state == least->state && f->used_ns < least->used_ns))
			least = f;
	}
	if (least)
		flow_end(least);
	return least;
}

static void on_outer(struct watch *w, uint32_t events)
{
	struct flow *f = w->of;

	for (int i = 0; i < AT_ONCE; i++) {
		ssize_t n = recv(w->fd, datagram, sizeof(datagram), MSG_DONTWAIT | MSG_TRUNC);

		/* An error of the peer's (nobody there, too large) is taken off, and no more. */
		if (n < 0)
			return;
		touch(f, clock_ns());
		if ((size_t)n <= sizeof(datagram))
			answer(f, datagram, (size_t)n);
	}
}

static int flow_open(struct flow *f)
{
	int fd = sockets_udp(&f->to);
	int r;

	if (fd < 0)
		return fd;
	f->outer = (struct watch){.fd = fd, .on = on_outer, .of = f};
	r = watch_set(&f->outer, EPOLLIN);
	if (r < 0)
		fd_close(&f->outer.fd);
	else
		f->state = OPEN;
	return r;
}

static void on_verdict(void *ctx, int result)
{
	struct flow *f = ctx;
	struct waiting *first = f->first;
	uint64_t now_ns = clock_ns();

	if (result == 0)
		result = flow_open(f);
	touch(f, now_ns);
	if (result == 0) {
		send(f->outer.fd, first->bytes, first->size, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		f->state = REFUSED;
		f->end_ns = now_ns + REFUSED_MS * MS_NS;
	}
	first->used = false;
	f->first = NULL;
}

/* Asks for a new flow; its first datagram waits.  Where anything is full it is lost. */
static void ask(struct sock *s, const struct dial_address *from, const struct dial_address *to,
	size_t size, uint64_t now_ns)
{
	struct dial_message m = {.op = DIAL_FLOW, .n_addresses = 2, .addresses = {*from, *to}};
	struct waiting *first = waiting;
	struct flow *f;

	while (first < waiting + ASKED_MAX && first->used)
		first++;
	if (first == waiting + ASKED_MAX)
		return;
	f = flow_new();
	if (!f || channel_ask(&m, on_verdict, f) == 0)
		return;
	*f = (struct flow){.state = ASKED, .sock = s, .from = *from, .to = *to, .first = first};
	f->used_ns = now_ns;
	f->end_ns = NEVER;
	first->used = true;
	first->size = size;
	memcpy(first->bytes, datagram, size);
}

static void on_cell(struct watch *w, uint32_t events)
{
	struct sock *s = w->of;

	for (int i = 0; i < AT_ONCE; i++) {
		struct dial_address from, to;
		ssize_t n = receive(s, &from, &to);
		uint64_t now_ns = clock_ns();
		struct flow *f;

		if (n == -EAGAIN)
			return;
		if (n < 0)
			continue;
		f = find(&from, &to, now_ns);
		if (!f) {
			ask(s, &from, &to, (size_t)n, now_ns);
		} else if (f->state == OPEN) {
			touch(f, now_ns);
			send(f->outer.fd, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	}
}

/* ---- the part -------------------------------------------------------------------------------- */

/* Who made the socket may have done this: it answers in the name of any address. */
static int prepare(int fd, int family)
{
	const int on = 1;

	if (family == AF_INET &&
		(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
			setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0))
		return -errno;
	if (family == AF_INET6 &&
		(setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0 ||
			setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0))
		return -errno;
	return fd_status_flags(fd, O_NONBLOCK, 0);
}

int udp_start(const int *fds, size_t n)
{
	int r = n > SOCKS_MAX ? -E2BIG : 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
		socklen_t size = sizeof(own);
		struct dial_address at;

		if (getsockname(fds[i], (struct sockaddr *)&own, &size) < 0)
			return -errno;
		if (!address_get(&own, &at))
			return -EAFNOSUPPORT;
		socks[i].w = (struct watch){.fd = fds[i], .on = on_cell, .of = &socks[i]};
		socks[i].family = own.ss_family;
		socks[i].port = at.port;
		r = prepare(fds[i], own.ss_family);
		if (r == 0)
			r = watch_set(&socks[i].w, EPOLLIN);
	}
	return r;
}

uint64_t udp_due(void)
{
	uint64_t due_ns = NEVER;

	for (size_t i = 0; i < FLOWS_MAX; i++) {
		if (flows[i].state != FREE)
			due_ns = sooner(due_ns, flows[i].end_ns);
	}
	return due_ns;
}

void udp_tick(uint64_t now_ns)
{
	for (size_t i = 0; i < FLOWS_MAX; i++) {
		if (flows[i].state != FREE && flows[i].end_ns <= now_ns)
			flow_end(&flows[i]);
	}
}
