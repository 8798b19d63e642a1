/* SPDX-License-Identifier: MIT */
/*
 * lib_serve.c - the event loop over the client connections that the warder hands in.
 *
 * Runs in: worker.  Trusts: nothing that clients send.
 *
 * Each turn reads a client once into one buffer that all share, hands its whole frames to the
 * handler, and sends what came of them with one send().  A client costs an epoll_ctl when it comes
 * and none while it reads its replies; one that does not read is waited for (EPOLLOUT), and no
 * longer read from when pending_max bytes are unsent.  Nothing is allocated for what a client only
 * announced.  Deadlines are kept as the earliest of all, on a timerfd that is set when that one
 * moves forward: a time-out of epoll_wait() would program the processor's timer at each turn, which
 * in a virtual machine costs more than a reply.
 */
#include "sandbox/lib_client.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "sandbox/lib.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS       64
#define CLIENTS_TURN 16 /* connections taken in one turn of the loop */
#define DRAIN_TURNS  16 /* reads of a client that may go on sending while the worker ends */
#define SPARE_FDS    16 /* of RLIMIT_NOFILE, kept for the handler */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void want_wake(struct serve *s, uint64_t at)
{
	if (at < s->wake_ms)
		s->wake_ms = at;
}

/* Tells epoll what to wait for, if that has changed.  EPOLLHUP always comes. */
static void watch(struct serve *s, struct client *c)
{
	uint32_t events = 0;
	struct epoll_event ev = {.data.ptr = c};

	if (!c->eof && !client_is_full(s, c))
		events |= EPOLLIN;
	if (client_pending(c) > 0 && c->retry_ms == 0)
		events |= EPOLLOUT;
	if (events == c->events)
		return;
	ev.events = events;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) == 0)
		c->events = events;
	else
		c->why = "lost by epoll";
}

static uint64_t deadline(const struct serve *s, const struct client *c)
{
	uint64_t at = c->active_ms + s->idle_ms;

	if (c->frame_ms && c->frame_ms + s->frame_ms < at)
		at = c->frame_ms + s->frame_ms;
	if (client_pending(c) > 0 && c->sent_ms + s->frame_ms < at)
		at = c->sent_ms + s->frame_ms;
	if (c->retry_ms && c->retry_ms < at)
		at = c->retry_ms;
	return at;
}

static void drop(struct serve *s, struct client *c)
{
	struct client *last = s->clients[s->n_clients - 1];

	s->clients[c->index] = last;
	last->index = c->index;
	s->n_clients--;
	/* Closing alone would leave it in the epoll set (epoll(7)): whoever handed it over may hold
	 * a copy for a moment longer. */
	epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
	chan_hang_up(&c->fd);
	if (s->api->closed)
		s->api->closed(s->api->ctx, &c->who, c->why);
	client_free(c);
}

/* After each contact with a client: what is to become of it. */
static void settle(struct serve *s, struct client *c)
{
	if (!c->why && c->eof && client_pending(c) == 0)
		c->why = c->in.size > 0 ? "end in the middle of a frame" : "closed by the client";
	if (!c->why && s->draining && client_pending(c) == 0 && c->in.size == 0)
		c->why = "the worker ends";
	if (!c->why)
		watch(s, c);
	if (c->why)
		drop(s, c);
	else
		want_wake(s, deadline(s, c));
}

/* ---- the channel of clients ------------------------------------------------------------------ */

static int add_client(struct serve *s, const struct msg_client *m, int *fd)
{
	struct client *c = client_new(m, fd);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

	if (!c)
		return -ENOMEM;
	c->active_ms = s->now_ms;
	c->events = EPOLLIN;
	c->index = s->n_clients;
	/* The kernel then refuses what the client attaches; before Linux 6.16 it is dropped, since
	 * recv() has no room for it. */
	chan_refuse_fds(c->fd);
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) < 0) {
		int r = -errno;

		client_free(c);
		return r;
	}
	s->clients[s->n_clients++] = c;
	want_wake(s, deadline(s, c));
	return 0;
}

/* One message of the channel.  0, -EAGAIN, 1: end of the channel, or -EPROTO. */
static int take_client(struct serve *s)
{
	uint8_t buf[MSG_HEADER_SIZE + MSG_CLIENT_SIZE];
	struct msg_header h;
	struct msg_client m;
	struct dec d;
	autofd fd = -1;
	size_t n = 0;
	long got = chan_recv(s->clients_fd, buf, sizeof(buf), &fd, 1, &n, false);

	if (got == -EMFILE)
		return 0; /* that connection is closed, the others go on */
	if (got == 0 || got == -ECONNRESET)
		return 1;
	if (got < 0)
		return got == -EAGAIN ? -EAGAIN : -EPROTO;
	d = dec_init(buf, (size_t)got);
	if (msg_header(&d, &h) < 0 || h.op != MSG_CLIENT || h.count != 1 || n != 1 ||
		msg_get_client(&d, &m) < 0 || dec_end(&d) < 0)
		return -EPROTO;
	/* No memory: this client is turned away, which is all that can be done for it. */
	add_client(s, &m, &fd);
	return 0;
}

/* While there is no room the channel is out of the set: its connections wait with the warder. */
static int watch_channel(struct serve *s)
{
	bool want = !s->draining && s->n_clients < s->clients_max;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &s->clients_fd};

	if (want == s->channel_watched)
		return 0;
	if (epoll_ctl(s->epoll_fd, want ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->clients_fd, &ev) < 0)
		return -errno;
	s->channel_watched = want;
	return 0;
}

static int serve_channel(struct serve *s)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < CLIENTS_TURN && s->n_clients < s->clients_max; i++)
		r = take_client(s);
	if (r == 1)
		s->draining = true;
	return r == 1 || r == -EAGAIN ? 0 : r;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void serve_client(struct serve *s, struct client *c, uint32_t events)
{
	if ((events & EPOLLOUT) && !c->why)
		client_flush(s, c);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->why && !c->eof)
		client_read(s, c);
	/* Whoever closed both ways and cannot be read any further would wake us for ever. */
	if ((events & (EPOLLHUP | EPOLLERR)) && !c->why && (c->eof || client_is_full(s, c)))
		c->why = "closed by the client";
	settle(s, c);
}

static void check_deadline(struct serve *s, struct client *c)
{
	if (c->retry_ms && c->retry_ms <= s->now_ms) {
		c->retry_ms = 0;
		client_flush(s, c);
	}
	if (!c->why && deadline(s, c) <= s->now_ms) {
		c->why = client_pending(c) > 0 ? "does not read its replies"
			 : c->frame_ms         ? "a frame took too long"
					       : "idle";
	}
	settle(s, c);
}

static void check_deadlines(struct serve *s)
{
	if (s->now_ms < s->wake_ms)
		return;
	s->wake_ms = s->draining ? s->drain_ms : UINT64_MAX;
	/* From the end, since dropping one moves the last into its place. */
	for (unsigned i = s->n_clients; i-- > 0;)
		check_deadline(s, s->clients[i]);
}

/* What had arrived when the channel ended is in flight, too. */
static void begin_drain(struct serve *s)
{
	s->drain_ms = s->now_ms + s->frame_ms;
	want_wake(s, s->drain_ms);
	for (unsigned i = s->n_clients; i-- > 0;) {
		struct client *c = s->clients[i];

		for (int n = 0; n < DRAIN_TURNS && !c->eof && !client_is_full(s, c); n++)
			if (!client_read(s, c))
				break;
		settle(s, c);
	}
}

static void end_drain(struct serve *s)
{
	for (unsigned i = s->n_clients; i-- > 0;) {
		s->clients[i]->why = "the worker ends";
		drop(s, s->clients[i]);
	}
}

/* Sets the timer if a deadline came up that is nearer than what it is set to. */
static int arm(struct serve *s)
{
	struct itimerspec at = {.it_value = {
					.tv_sec = (time_t)(s->wake_ms / 1000),
					.tv_nsec = (long)(s->wake_ms % 1000) * 1000000,
				}};

	if (s->wake_ms >= s->armed_ms)
		return 0;
	if (timerfd_settime(s->timer_fd, TFD_TIMER_ABSTIME, &at, NULL) < 0)
		return -errno;
	s->armed_ms = s->wake_ms;
	return 0;
}

static void disarm(struct serve *s)
{
	uint64_t expirations;

	if (read(s->timer_fd, &expirations, sizeof(expirations)) > 0)
		s->armed_ms = UINT64_MAX;
}

static int turn(struct serve *s)
{
	struct epoll_event events[EVENTS];
	bool was_draining = s->draining;
	int n, r = watch_channel(s);

	if (r == 0)
		r = arm(s);
	if (r < 0)
		return r;
	n = epoll_wait(s->epoll_fd, events, EVENTS, -1);
	if (n < 0 && errno != EINTR)
		return -errno;
	s->now_ms = now_ms();
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &s->timer_fd)
			disarm(s);
		else if (events[i].data.ptr == &s->clients_fd)
			r = serve_channel(s);
		else
			serve_client(s, events[i].data.ptr, events[i].events);
	}
	if (r < 0)
		return r;
	if (s->draining && !was_draining)
		begin_drain(s);
	check_deadlines(s);
	if (s->draining && s->now_ms >= s->drain_ms)
		end_drain(s);
	return 0;
}

static unsigned limit_clients(unsigned asked)
{
	struct rlimit limit;
	unsigned max = asked ? asked : 1024;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < (rlim_t)max + SPARE_FDS)
		max = limit.rlim_cur > SPARE_FDS ? (unsigned)limit.rlim_cur - SPARE_FDS : 1;
	return max;
}

static int serve_descriptors(struct serve *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &s->timer_fd};

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->timer_fd < 0)
		return -errno;
	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->timer_fd, &ev) < 0 ? -errno : 0;
}

static int serve_init(struct serve *s, const struct warder_serve *api, int *clients_fd)
{
	s->api = api;
	s->clients_fd = fd_take(clients_fd);
	s->epoll_fd = s->timer_fd = -1;
	s->wake_ms = s->armed_ms = UINT64_MAX;
	s->frame_max = api->frame_max ? api->frame_max : FRAME_SIZE_MAX;
	s->pending_max = api->pending_max ? api->pending_max : FRAME_SIZE_MAX;
	s->idle_ms = api->idle_ms ? api->idle_ms : 5 * 60 * 1000;
	s->frame_ms = api->frame_ms ? api->frame_ms : 10 * 1000;
	s->clients_max = limit_clients(api->clients_max);
	s->now_ms = now_ms();
	if (!api->handle || s->frame_max > INT32_MAX || s->pending_max > INT32_MAX)
		return -EINVAL;
	if (lib_check_seqpacket(s->clients_fd) < 0)
		return -EINVAL;
	fd_cloexec(s->clients_fd, true);
	s->clients = calloc(s->clients_max, sizeof(struct client *));
	if (!s->clients)
		return -ENOMEM;
	return serve_descriptors(s);
}

static void serve_deinit(struct serve *s)
{
	end_drain(s);
	buffer_free(&s->out);
	free(s->clients);
	fd_close(&s->timer_fd);
	fd_close(&s->epoll_fd);
	fd_close(&s->clients_fd);
}

int warder_serve_fd(const struct warder_serve *api, int *clients_fd)
{
	struct serve *s = calloc(1, sizeof(*s));
	int r = s ? serve_init(s, api, clients_fd) : -ENOMEM;

	if (!s)
		fd_close(clients_fd);
	while (r == 0 && !(s->draining && s->n_clients == 0))
		r = turn(s);
	if (s)
		serve_deinit(s);
	free(s);
	return lib_errno(r);
}

int warder_serve(const struct warder_serve *api)
{
	int fd = lib_env_socket("WARDER_CLIENTS_FD");

	return fd < 0 ? lib_errno(fd) : warder_serve_fd(api, &fd);
}
