/* SPDX-License-Identifier: MIT */
/*
 * relay.c - TCP for a worker's socket that cannot be replaced: bytes are carried.
 *
 * Runs in: dialer.  Trusts: nothing that either end sends.
 *
 * A spare socket of the cell's network is bound to the very address that the worker asked for,
 * which is local there, and stays bound: the next relay to the same address listens on it again.
 * It listens only while somebody is awaited.  Of those at which nobody is, the one that has been
 * for longest makes way for another address.
 *
 * Each direction has one buffer: who does not read stops the other end, as TCP does.  An end of
 * data goes on as one; a reset goes on as a reset.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"

#include <errno.h>
#include <sys/epoll.h>

#define SPARES_MAX  16 /* addresses at which somebody is awaited, at once */
#define RELAYS_MAX  64
#define BUFFER      (16 * 1024)
#define PATIENCE_MS 5000 /* for the worker's own socket to come */

static struct spare {
	int fd; /* owned; 0: none yet, since the numbers below are others' */
	bool bound;
	uint64_t order; /* of its last relay */
	struct dial_address at;
	struct watch w;
} spares[SPARES_MAX];

enum { IN, OUT }; /* ends: in the cell, outside */

struct flow {        /* from the end of its number to the other */
	bool ended;  /* nothing more is read */
	bool closed; /* and the other end knows */
	size_t at, n;
	uint8_t buf[BUFFER];
};

static struct relay {
	bool used;
	uint32_t id;          /* as the broker knows it */
	uint64_t deadline_ns; /* NEVER: it carries */
	uint64_t order;       /* who waits longest is served first */
	struct spare *spare;  /* it waits there; NULL: it carries */
	struct watch ends[2]; /* fds are owned */
	struct flow from[2];
} relays[RELAYS_MAX];
static uint64_t last_order;

/* ---- carrying -------------------------------------------------------------------------------- */

static void relay_end(struct relay *r, bool reset)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};

	for (int i = 0; i < 2; i++) {
		if (r->ends[i].fd < 0)
			continue;
		if (reset)
			setsockopt(r->ends[i].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		watch_set(&r->ends[i], 0);
		fd_close(&r->ends[i].fd);
	}
	r->used = false;
}

/* Reads from one end.  0 or -errno. */
static int fill(struct relay *r, int end)
{
	struct flow *f = &r->from[end];
	ssize_t n;

	if (f->ended || f->n > 0)
		return 0;
	n = recv(r->ends[end].fd, f->buf, sizeof(f->buf), MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	f->ended = n == 0;
	f->at = 0;
	f->n = (size_t)n;
	return 0;
}

/* Writes what came from one end to the other. */
static int drain(struct relay *r, int end)
{
	struct flow *f = &r->from[end];
	int to = r->ends[!end].fd;

	while (f->n > 0) {
		ssize_t n = send(to, f->buf + f->at, f->n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		f->at += (size_t)n;
		f->n -= (size_t)n;
	}
	if (f->ended && !f->closed) {
		shutdown(to, SHUT_WR);
		f->closed = true;
	}
	return 0;
}

static void carry(struct relay *r)
{
	for (int end = 0; end < 2; end++) {
		if (fill(r, end) < 0 || drain(r, end) < 0) {
			relay_end(r, true);
			return;
		}
	}
	if (r->from[IN].closed && r->from[OUT].closed) {
		relay_end(r, false);
		return;
	}
	for (int end = 0; end < 2; end++) {
		uint32_t events = r->from[end].ended || r->from[end].n > 0 ? 0 : EPOLLIN;

		events |= r->from[!end].n > 0 ? EPOLLOUT : 0;
		if (watch_set(&r->ends[end], events) < 0) {
			relay_end(r, true);
			return;
		}
	}
}

static void on_end(struct watch *w, uint32_t events)
{
	carry(w->of);
}

/* ---- listening ------------------------------------------------------------------------------- */

static struct relay *longest_waiting(const struct spare *s)
{
	struct relay *longest = NULL;

	for (size_t i = 0; i < RELAYS_MAX; i++) {
		struct relay *r = &relays[i];

		if (r->used && r->spare == s && (!longest || r->order < longest->order))
			longest = r;
	}
	return longest;
}

/* A listener that nobody waits at stops, and stays bound: shutdown(2) of a listening socket. */
static void rest(struct spare *s)
{
	if (longest_waiting(s))
		return;
	watch_set(&s->w, 0);
	shutdown(s->fd, SHUT_RDWR);
}

static void on_listener(struct watch *w, uint32_t events)
{
	struct spare *s = w->of;
	struct relay *r = longest_waiting(s);
	autofd fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR))
		return;
	if (!r) {
		rest(s);
		return;
	}
	r->spare = NULL;
	r->deadline_ns = NEVER;
	rest(s);
	if (fd < 0) {
		relay_end(r, true);
		return;
	}
	r->ends[IN].fd = fd_take(&fd);
	carry(r);
}

static int bind_spare(struct spare *s, const struct dial_address *at)
{
	const int on = 1;
	struct sockaddr_storage own = {.ss_family = AF_UNSPEC}, to;
	socklen_t size = sizeof(own);

	if (getsockname(s->fd, (struct sockaddr *)&own, &size) < 0)
		return -errno;
	if (own.ss_family == AF_INET && !address_is_v4(at))
		return -EAFNOSUPPORT;
	/* Connections that ended keep no address from us; and no interface has it by name. */
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(s->fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	setsockopt(s->fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	size = address_put(at, own.ss_family, &to);
	if (bind(s->fd, (struct sockaddr *)&to, size) < 0)
		return -errno;
	s->bound = true;
	s->at = *at;
	return 0;
}

/* One that no relay waits at, and of these one that is not bound, or else has not been used for
 * longest; NULL: none. */
static struct spare *least_needed(void)
{
	struct spare *least = NULL;

	for (struct spare *s = spares; s < spares + SPARES_MAX; s++) {
		if (!s->bound)
			return s;
		if (!longest_waiting(s) && (!least || s->order < least->order))
			least = s;
	}
	return least;
}

static int find_spare(const struct dial_address *at, struct spare **ret)
{
	struct spare *s = spares;

	while (s < spares + SPARES_MAX && !(s->bound && address_same(&s->at, at)))
		s++;
	if (s < spares + SPARES_MAX) {
		*ret = s;
		return 0;
	}
	s = least_needed();
	if (!s)
		return -ENOBUFS;
	if (s->bound) {
		fd_close(&s->fd);
		s->bound = false;
	}
	if (s->fd <= 0)
		s->fd = spares_new();
	s->w = (struct watch){.fd = s->fd, .on = on_listener, .of = s};
	*ret = s;
	return s->fd < 0 ? s->fd : bind_spare(s, at);
}

/* ---- the part -------------------------------------------------------------------------------- */

int relay_begin(uint32_t id, const struct dial_address *at, int *outer_fd)
{
	struct relay *r = relays;
	struct spare *s = NULL;
	const struct linger off = {.l_onoff = 0};
	int result, none = -1;

	while (r < relays + RELAYS_MAX && r->used)
		r++;
	if (r == relays + RELAYS_MAX)
		return -ENOBUFS;
	result = find_spare(at, &s);
	if (result == 0 && listen(s->fd, 1) < 0)
		result = -errno;
	if (result == 0)
		result = watch_set(&s->w, EPOLLIN);
	if (result < 0)
		return result;
	r->used = true;
	r->id = id;
	r->order = s->order = ++last_order;
	r->deadline_ns = clock_ns() + PATIENCE_MS * MS_NS;
	r->spare = s;
	for (int end = 0; end < 2; end++) {
		r->ends[end] = (struct watch){.fd = -1, .on = on_end, .of = r};
		r->from[end].ended = r->from[end].closed = false;
		r->from[end].at = r->from[end].n = 0;
	}
	/* The worker's own socket has SO_LINGER, and what that does arrives here: as a reset where
	 * its time is 0.  This one is the dialer's alone, whose close may neither wait until the
	 * peer has all nor throw away what the worker has sent and ended well. */
	setsockopt(*outer_fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	r->ends[OUT].fd = fd_take(outer_fd);
	channel_done(id, 0, 0, &none);
	return 0;
}

/* One that carries has been answered for long and goes on. */
void relay_cancel(uint32_t id)
{
	for (size_t i = 0; i < RELAYS_MAX; i++) {
		struct relay *r = &relays[i];
		struct spare *s = r->spare;

		if (!r->used || r->id != id || !s)
			continue;
		r->spare = NULL;
		relay_end(r, false);
		rest(s);
	}
}

uint64_t relay_due(void)
{
	uint64_t due_ns = NEVER;

	for (size_t i = 0; i < RELAYS_MAX; i++) {
		if (relays[i].used)
			due_ns = sooner(due_ns, relays[i].deadline_ns);
	}
	return due_ns;
}

void relay_tick(uint64_t now_ns)
{
	for (size_t i = 0; i < RELAYS_MAX; i++) {
		struct relay *r = &relays[i];
		struct spare *s = r->spare;

		if (!r->used || r->deadline_ns > now_ns)
			continue;
		r->spare = NULL;
		relay_end(r, false);
		rest(s);
	}
}
