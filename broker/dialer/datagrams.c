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

#include <errno.h>
#include <sys/epoll.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define AT_ONCE    16
#define DATAGRAM   (256 * 1024) /* more than a socket's buffer holds: net.core.wmem_default */
#define REFUSED_MS 1000

static struct standin {
	uint32_t id; /* 0: free */
	uint32_t question;
	uint64_t refused_ns;       /* until then nobody is asked again */
	struct watch inner, outer; /* fds are owned; outer -1: it leads nowhere */
} standins[DIAL_STANDINS_MAX];

static uint8_t datagram[DATAGRAM];

static void standin_end(struct standin *s)
{
	uint32_t id = s->id;

	channel_forget(s->question);
	watch_set(&s->inner, 0);
	watch_set(&s->outer, 0);
	fd_close(&s->inner.fd);
	fd_close(&s->outer.fd);
	s->id = 0;
	channel_gone(id);
}

/* ---- carrying -------------------------------------------------------------------------------- */

/* Takes the first one off.  Where none is left, nothing happens. */
static void drop(struct standin *s)
{
	recv(s->inner.fd, datagram, 0, MSG_DONTWAIT);
}

static bool is_dead(int error)
{
	return error == ECONNREFUSED || error == ECONNRESET || error == ENOTCONN || error == EPIPE;
}

/* 0: the next one; 1: no more now; -errno: it has ended. */
static int carry_one(struct standin *s, ssize_t size)
{
	if ((size_t)size <= sizeof(datagram) &&
		send(s->outer.fd, datagram, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		if (errno == EAGAIN)
			return 1;
		if (is_dead(errno))
			return -errno;
		/* One that does not go, too large or for want of memory, is lost. */
	}
	drop(s);
	return 0;
}

static void on_verdict(void *ctx, int result);

/* No lead yet: the broker is asked, and meanwhile it waits. */
static int ask_where(struct standin *s)
{
	const struct dial_message m = {.op = DIAL_FIRST, .of = s->id};

	if (clock_ns() >= s->refused_ns)
		s->question = channel_ask(&m, on_verdict, s);
	if (s->question)
		return 1;
	drop(s);
	return 0;
}

/* What waits in the stand-in.  As carry_one(). */
static int carry(struct standin *s, uint32_t events)
{
	int r = 0;

	for (int i = 0; r == 0 && i < AT_ONCE; i++) {
		ssize_t n = recv(s->inner.fd, datagram, sizeof(datagram),
			MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n > 0) {
			r = s->outer.fd >= 0 ? carry_one(s, n) : ask_where(s);
			continue;
		}
		/* The end; or an empty one, which looks the same, and is not carried. */
		if (events & (EPOLLHUP | EPOLLRDHUP))
			return -EPIPE;
		drop(s);
		return 0;
	}
	return r;
}

/* Waits for the worker; for room outside; or, while a question is open, for the broker alone. */
static int wait_on(struct standin *s, int carried)
{
	uint32_t in = s->question || carried > 0 ? 0 : EPOLLIN | EPOLLRDHUP;
	int r = watch_set(&s->inner, in);

	if (r == 0 && s->outer.fd >= 0)
		r = watch_set(&s->outer, carried > 0 && !s->question ? EPOLLOUT : 0);
	return r;
}

static void go_on(struct standin *s, uint32_t events)
{
	int r = carry(s, events);

	if (r >= 0)
		r = wait_on(s, r);
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
		drop(s);
	}
	if (wait_on(s, 0) < 0)
		standin_end(s);
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
	int r = s ? dialer_pair(fds) : -EMFILE;

	if (r == 0) {
		setsockopt(fds[1], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
		*s = (struct standin){
			.inner = {.fd = fds[1], .on = on_inner, .of = s},
			.outer = {.fd = -1, .on = on_outer, .of = s},
		};
		r = wait_on(s, 0);
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
	autofd fd = s ? dialer_datagram(inode) : -EPIPE;
	int none = -1, r = fd < 0 ? fd : 0;

	if (r == 0) {
		watch_set(&s->outer, 0);
		fd_close(&s->outer.fd);
		s->outer.fd = fd_take(&fd);
		r = wait_on(s, 0);
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
