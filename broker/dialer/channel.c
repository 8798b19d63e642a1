/* SPDX-License-Identifier: MIT */
/*
 * channel.c - the dialer's end of the channel to its broker.
 *
 * Runs in: dialer.  Trusts: the broker, once a message is well formed.
 *
 * The buffers of the channel hold more than all answers and questions that can be on their way at
 * once (DIAL_WAITING_MAX, DIAL_ASKING_MAX); so a full one means a broker that does not read, and
 * the dialer ends rather than wait.
 */
#include "broker/dialer/dialer.h"
#include "common/chan.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct {
	struct watch w;
	bool started;
	uint32_t last_id; /* of the broker's */
	struct dial_message in, out;
	uint8_t buf[DIAL_SIZE_MAX];
} chan = {.w = {.fd = -1}};

static struct question {
	uint32_t id; /* 0: free */
	channel_answered *answered;
	void *ctx;
} questions[DIAL_ASKING_MAX];
static uint32_t last_question;

void give_up(const char *why, int r)
{
	if (r < 0)
		fprintf(stderr, "warder-dialer: %s: %s\n", why, strerror(-r));
	else
		fprintf(stderr, "warder-dialer: %s\n", why);
	_exit(1);
}

/* ---- sending --------------------------------------------------------------------------------- */

static int send_message(const struct dial_message *m, int *fd)
{
	long size = dial_encode(m, chan.buf, sizeof(chan.buf));
	int r;

	if (size < 0)
		give_up("cannot put a message together", (int)size);
	r = chan_try_send(chan.w.fd, chan.buf, (size_t)size, fd, *fd >= 0 ? 1 : 0);
	if (r == -EPIPE || r == -ECONNRESET)
		_exit(0);
	return r;
}

static void must_send(const struct dial_message *m)
{
	int none = -1;
	int r = send_message(m, &none);

	if (r < 0)
		give_up("the broker does not read", r);
}

void channel_done(uint32_t id, int result, unsigned which, int *fd)
{
	struct dial_message *m = &chan.out;
	int r;

	memset(m, 0, sizeof(*m));
	m->id = id;
	m->op = DIAL_DONE;
	m->result = result;
	m->which = (uint8_t)which;
	/* The worker may have it, and have closed it again, before ours is closed. */
	hurry_begin();
	r = send_message(m, fd);
	hurry_end();
	if (r == 0)
		return;
	/* Too many descriptors are on their way (unix(7)): this one does not go. */
	fd_close(fd);
	m->result = r == -ETOOMANYREFS ? -EMFILE : r;
	must_send(m);
}

void channel_show(uint32_t id, int fd)
{
	struct dial_message *m = &chan.out;
	long size;
	int r;

	memset(m, 0, sizeof(*m));
	m->id = id;
	m->op = DIAL_DONE;
	size = dial_encode(m, chan.buf, sizeof(chan.buf));
	r = size < 0 ? (int)size : chan_lend(chan.w.fd, chan.buf, (size_t)size, &fd, 1);
	if (r < 0)
		give_up("the broker does not read", r);
}

void channel_names(
	uint32_t id, int result, uint32_t ttl, const struct dial_address *addresses, size_t n)
{
	struct dial_message *m = &chan.out;

	memset(m, 0, sizeof(*m));
	m->id = id;
	m->op = DIAL_NAMES;
	m->result = result;
	m->ttl = ttl;
	m->n_addresses = (uint8_t)n;
	if (n > 0)
		memcpy(m->addresses, addresses, n * sizeof(*addresses));
	must_send(m);
}

uint32_t channel_ask(const struct dial_message *m, channel_answered *answered, void *ctx)
{
	struct question *q = questions;

	while (q < questions + DIAL_ASKING_MAX && q->id)
		q++;
	if (q == questions + DIAL_ASKING_MAX || last_question == UINT32_MAX)
		return 0;
	chan.out = *m;
	chan.out.id = q->id = ++last_question;
	q->answered = answered;
	q->ctx = ctx;
	must_send(&chan.out);
	return q->id;
}

/* At most DIAL_STANDINS_MAX are on their way: the broker has heard of one before its number is made
 * anew. */
void channel_gone(uint32_t standin)
{
	if (last_question == UINT32_MAX)
		give_up("out of numbers", 0);
	memset(&chan.out, 0, sizeof(chan.out));
	chan.out.op = DIAL_GONE;
	chan.out.id = ++last_question;
	chan.out.of = standin;
	must_send(&chan.out);
}

/* The slot stays taken: the broker's answer is still to come. */
void channel_forget(uint32_t question)
{
	for (size_t i = 0; question && i < DIAL_ASKING_MAX; i++) {
		if (questions[i].id == question)
			questions[i].answered = NULL;
	}
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void on_verdict(const struct dial_message *m)
{
	for (size_t i = 0; i < DIAL_ASKING_MAX; i++) {
		struct question q = questions[i];

		if (!q.id || q.id != m->id)
			continue;
		questions[i].id = 0;
		if (q.answered)
			q.answered(q.ctx, m->result);
		return;
	}
	give_up("a verdict on what was not asked", 0);
}

static struct resolving {
	uint32_t id, number;
} resolving[DIAL_WAITING_MAX];

static void on_resolved(void *ctx, const struct found *found)
{
	struct resolving *one = ctx;
	uint32_t id = one->id;

	one->id = 0;
	channel_names(id, found->result, found->ttl, found->addresses, found->n);
}

static void on_resolve(const struct dial_message *m)
{
	struct resolving *one = resolving;
	uint32_t number;

	while (one < resolving + DIAL_WAITING_MAX && one->id)
		one++;
	if (one == resolving + DIAL_WAITING_MAX) {
		channel_names(m->id, -EAGAIN, 0, NULL, 0);
		return;
	}
	one->id = m->id;
	number = resolve_begin(m->name, m->name_size, m->families, on_resolved, one);
	/* Where it is done already, the slot may be free, or somebody else's: neither matters. */
	one->number = number;
	if (number == 0 && one->id == m->id) {
		one->id = 0;
		channel_names(m->id, -EAGAIN, 0, NULL, 0);
	}
}

static void on_cancel(const struct dial_message *m)
{
	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		if (resolving[i].id && resolving[i].id == m->of) {
			resolve_forget(resolving[i].number);
			resolving[i].id = 0;
		}
	}
	dialer_cancel(m->of);
	relay_cancel(m->of);
	bound_cancel(m->of);
}

static void on_start(const struct dial_message *m, int *fds, size_t n)
{
	const uint8_t *of = m->cell;
	const int *udp = fds + of[DIAL_CELL_DNS_UDP] + of[DIAL_CELL_DNS_TCP];
	size_t sum = 0;
	int r;

	for (size_t i = 0; i < DIAL_CELL__COUNT; i++)
		sum += of[i];
	if (sum != n)
		give_up("other sockets of the cell than were announced", 0);
	r = names_start(
		fds, of[DIAL_CELL_DNS_UDP], fds + of[DIAL_CELL_DNS_UDP], of[DIAL_CELL_DNS_TCP]);
	if (r == 0)
		r = udp_start(udp, of[DIAL_CELL_UDP]);
	if (r < 0)
		give_up("cannot use the sockets of the cell", r);
	spares_start(udp + of[DIAL_CELL_UDP], of[DIAL_CELL_SPARE]);
	chan.started = true;
}

static void serve(const struct dial_message *m, int *fds, size_t n)
{
	if (n > dial_fds(m->op) || chan.started == (m->op == DIAL_START))
		give_up("a message out of turn", 0);
	if (m->op == DIAL_VERDICT) {
		on_verdict(m);
		return;
	}
	if (m->id <= chan.last_id)
		give_up("an id that does not grow", 0);
	chan.last_id = m->id;
	switch (m->op) {
	case DIAL_START:
		on_start(m, fds, n);
		return; /* they are owned */
	case DIAL_RESOLVE:
		on_resolve(m);
		return;
	case DIAL_CANCEL:
		on_cancel(m);
		return;
	case DIAL_RELEASE:
		dialer_release(m->of);
		return;
	case DIAL_UDP:
		bound_begin(m);
		return;
	case DIAL_HEAR:
		bound_hear(m->of);
		return;
	case DIAL_STANDIN:
		datagrams_standin(m);
		return;
	case DIAL_LEAD:
		if (n != 1)
			give_up("a lead that leads nowhere", 0);
		datagrams_lead(m, fds[0]);
		fd_close_many(fds, n);
		return;
	case DIAL_TCP:
	case DIAL_PATH:
	case DIAL_ABSTRACT:
	case DIAL_BIND:
	case DIAL_NAMED:
	case DIAL_SOCKET:
	case DIAL_RELAY:
		dialer_begin(m, fds, n);
		for (size_t i = 0; i < n; i++)
			fd_close_hurried(&fds[i]);
		return;
	default:
		give_up("a message of the dialer's own", 0);
	}
}

/* One message: where another waits, epoll says so, for less than a look in vain costs all the
 * others. */
static void on_channel(struct watch *w, uint32_t events)
{
	int fds[CHAN_FDS_MAX];
	size_t n = 0;
	long size = chan_recv(w->fd, chan.buf, sizeof(chan.buf), fds, CHAN_FDS_MAX, &n, false);

	if (size == -EAGAIN)
		return;
	if (size == 0 || size == -ECONNRESET) {
		datagrams_last();
		_exit(0);
	}
	if (size < 0)
		give_up("cannot read from the broker", (int)size);
	if (dial_decode(chan.buf, (size_t)size, &chan.in) < 0)
		give_up("the broker sent what is no message", 0);
	serve(&chan.in, fds, n);
}

int channel_init(int sock)
{
	chan.w = (struct watch){.fd = sock, .on = on_channel};
	return watch_set(&chan.w, EPOLLIN);
}
