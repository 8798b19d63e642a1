/* SPDX-License-Identifier: MIT */
/*
 * datagrams.c - Unix datagrams: from a stand-in that the worker holds to where a rule lets it send.
 *
 * Runs in: dialer.  Trusts: nothing that the worker sends.
 *
 * A datagram socket sends to any name that it is given, and no filter sees that name.  So the
 * worker's is one end of a pair of SOCK_SEQPACKET sockets, of which the kernel ignores the name
 * (unix_seqpacket_sendmsg()); here is the other end, and a socket that is connected to the peer.
 *
 * A datagram is looked at, sent, and only then taken off: one that the peer's queue has no room for
 * stays where it is, and the worker's end fills up, as its peer's queue natively would. Descriptors
 * that ride on one are refused at its sender by the kernel (SO_PASSRIGHTS, Linux 6.16), and before
 * that dropped by it, since nothing here takes them in.
 *
 * Nothing comes back: the socket outside has no name that anyone could send to.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <sys/epoll.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define AT_ONCE    16
#define DATAGRAM   212992 /* net.core.wmem_default: a socket's buffer holds no larger one */
#define REFUSED_MS 1000

static struct standin {
	uint32_t id; /* 0: free */
	uint32_t question;
	uint64_t refused_ns;       /* until then nobody is asked again */
	struct watch inner, outer; /* fds are owned; outer -1: it leads nowhere */
	size_t size;               /* of the one that waits here; 0: none does */
	bool hurried;              /* the worker can attach descriptors: hurry.h */
} standins[DIAL_STANDINS_MAX];

/* Of each, the one that waits: beside its table, so that a page is only had once it was needed. */
static uint8_t waiting[DIAL_STANDINS_MAX][DATAGRAM];

static uint8_t *bytes_of(const struct standin *s)
{
	return waiting[s - standins];
}

static void standin_end(struct standin *s)
{
	uint32_t id = s->id;

	channel_forget(s->question);
	watch_set(&s->inner, 0);
	watch_set(&s->outer, 0);
	fd_close_hurried(&s->inner.fd);
	fd_close(&s->outer.fd);
	s->id = 0;
	channel_gone(id);
}

/* ---- carrying -------------------------------------------------------------------------------- */

static bool is_dead(int error)
{
	return error == ECONNREFUSED || error == ECONNRESET || error == ENOTCONN || error == EPIPE;
}

/* Sends the one that waits.  0: it is gone; 1: there is no room; -errno: the peer has ended. */
static int send_on(struct standin *s)
{
	if (send(s->outer.fd, bytes_of(s), s->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN)
			return 1;
		if (is_dead(errno))
			return -errno;
		/* One that does not go, too large or for want of memory, is lost. */
	}
	s->size = 0;
	return 0;
}

static void on_verdict(void *ctx, int result);

/* No lead yet: the broker is asked, and meanwhile it waits.  0: it is lost; 1: it waits. */
static int ask_where(struct standin *s)
{
	const struct dial_message m = {.op = DIAL_FIRST, .of = s->id};

	if (clock_ns() >= s->refused_ns)
		s->question = channel_ask(&m, on_verdict, s);
	if (s->question)
		return 1;
	s->size = 0;
	return 0;
}

/* Takes one in.  0: none is left now; 1: one waits; -errno: the worker's end is closed. */
static int receive(struct standin *s, uint32_t events)
{
	ssize_t n;

	if (s->hurried)
		hurry_begin();
	n = recv(s->inner.fd, bytes_of(s), DATAGRAM, MSG_TRUNC | MSG_DONTWAIT);
	if (s->hurried)
		hurry_end();
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	/* The end; or an empty one, which looks the same, and is not carried. */
	if (n == 0)
		return events & (EPOLLHUP | EPOLLRDHUP) ? -EPIPE : 0;
	s->size = n <= DATAGRAM ? (size_t)n : 0;
	return 1;
}

/* What waits in the stand-in.  0: all, or enough for now; 1: one waits; -errno: it has ended. */
static int carry(struct standin *s, uint32_t events)
{
	for (int i = 0; i < AT_ONCE; i++) {
		int r = s->size > 0 ? 1 : receive(s, events);

		if (r <= 0)
			return r;
		if (s->size == 0)
			continue;
		r = s->outer.fd >= 0 ? send_on(s) : ask_where(s);
		if (r != 0)
			return r;
	}
	return 0;
}

/* Waits for the worker; for room outside; or, while a question is open, for the broker alone. */
static int wait_on(struct standin *s)
{
	bool full = s->size > 0;
	int r = watch_set(&s->inner, full ? 0 : EPOLLIN | EPOLLRDHUP);

	if (r == 0 && s->outer.fd >= 0)
		r = watch_set(&s->outer, full && !s->question ? EPOLLOUT : 0);
	return r;
}

static void go_on(struct standin *s, uint32_t events)
{
	int r = carry(s, events);

	if (r >= 0)
		r = wait_on(s);
	if (r < 0)
		standin_end(s);
}

static void on_inner(struct watch *w, uint32_t events)
{
	go_on(w->of, events);
}

static void on_outer(struct watch *w, uint32_t events)
{
	go_on(w->of, 0);
}

static void on_verdict(void *ctx, int result)
{
	struct standin *s = ctx;

	s->question = 0;
	if (s->outer.fd < 0) {
		s->refused_ns = clock_ns() + REFUSED_MS * MS_NS;
		s->size = 0;
	}
	go_on(s, 0);
}

/* ---- the part -------------------------------------------------------------------------------- */

static struct standin *find(uint32_t id)
{
	for (size_t i = 0; i < DIAL_STANDINS_MAX; i++) {
		if (standins[i].id == id)
			return &standins[i];
	}
	return NULL;
}

void datagrams_standin(const struct dial_message *m)
{
	const int off = 0;
	struct standin *s = find(0);
	int fds[2] = {-1, -1};
	int r = s ? sockets_pair(fds) : -EMFILE;

	if (r == 0) {
		bool refuses =
			setsockopt(fds[1], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) == 0;

		*s = (struct standin){
			.inner = {.fd = fds[1], .on = on_inner, .of = s},
			.outer = {.fd = -1, .on = on_outer, .of = s},
			.hurried = !refuses,
		};
		r = wait_on(s);
		if (r < 0) {
			fd_close(&s->inner.fd);
			fd_close(&fds[0]);
		} else {
			s->id = m->id;
		}
	}
	channel_done(m->id, r, 0, &fds[0]);
}

/* A second one takes the place of the first: connect(2) of a datagram socket. */
void datagrams_lead(const struct dial_message *m, int inode)
{
	struct standin *s = m->of ? find(m->of) : NULL;
	autofd fd = s ? sockets_datagram(inode) : -EPIPE;
	int none = -1, r = fd < 0 ? fd : 0;

	if (r == 0) {
		watch_set(&s->outer, 0);
		fd_close(&s->outer.fd);
		s->outer.fd = fd_take(&fd);
		r = wait_on(s);
	}
	channel_done(m->id, r, 0, &none);
}

void datagrams_last(void)
{
	for (size_t i = 0; i < DIAL_STANDINS_MAX; i++) {
		if (standins[i].id && standins[i].outer.fd >= 0)
			carry(&standins[i], EPOLLHUP);
	}
}
