/* SPDX-License-Identifier: MIT */
/*
 * names.c - the cell's name server.
 *
 * Runs in: dialer.  Trusts: nothing that the cell asks.
 *
 * The broker is asked whether a name may be looked up before anything leaves, and is told what was
 * found before the cell is.  What it refuses does not exist for the cell (NXDOMAIN): a REFUSED
 * would make getaddrinfo(3) try again and then say that the failure is a passing one.
 *
 * A client on TCP has one query in work at a time; what it sends meanwhile waits in the kernel.
 */
#include "broker/dialer/dialer.h"
#include "broker/dialer/dns.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#define SOCKS_MAX   4  /* of each kind */
#define CLIENTS_MAX 16 /* on TCP */
#define LOOKUPS_MAX 64
#define IDLE_MS     10000 /* a client that neither asks nor reads */
#define PATIENCE_MS 15000 /* for a lookup, the broker's answers included */
#define TTL_MAX     300   /* told to the cell; the broker pins for no shorter */
#define AT_ONCE     16
#define REST_MS     100 /* of who listens, where no descriptor is left to accept with */
#define LENGTH_SIZE 2   /* before each message on TCP: RFC 1035, 4.2.2 */

static struct watch udp_socks[SOCKS_MAX], tcp_socks[SOCKS_MAX];
static uint64_t rest_end_ns = NEVER; /* when all of TCP is listened to again */

static struct client {
	struct watch w; /* w.fd is owned; -1: free */
	uint64_t deadline_ns;
	bool busy; /* a lookup is in work */
	size_t in, out, sent;
	uint8_t in_buf[LENGTH_SIZE + DNS_QUERY_MAX];
	uint8_t out_buf[LENGTH_SIZE + DNS_ANSWER_MAX];
} clients[CLIENTS_MAX];

static struct lookup {
	bool used;
	uint64_t deadline_ns;
	uint32_t question; /* of the broker; 0: none */
	uint32_t number;   /* of the resolver; 0: none */
	struct dns_query q;
	struct found found;
	int udp_fd;            /* borrowed; -1: on TCP */
	struct client *client; /* NULL: it is gone */
	struct sockaddr_storage to;
	socklen_t to_size;
} lookups[LOOKUPS_MAX];

static void client_answer(struct client *c, const struct dns_query *q, const struct dns_answer *a);

/* ---- lookups --------------------------------------------------------------------------------- */

static void udp_answer(int fd, const struct sockaddr_storage *to, socklen_t size,
	const struct dns_query *q, const struct dns_answer *a)
{
	uint8_t buf[DNS_ANSWER_MAX];
	size_t n = dns_compose(q, a, false, buf);

	sendto(fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to, size);
}

static void lookup_end(struct lookup *l, const struct dns_answer *a)
{
	channel_forget(l->question);
	resolve_forget(l->number);
	l->used = false;
	if (l->udp_fd >= 0)
		udp_answer(l->udp_fd, &l->to, l->to_size, &l->q, a);
	else if (l->client)
		client_answer(l->client, &l->q, a);
}

static void lookup_code(struct lookup *l, enum dns_code code)
{
	const struct dns_answer a = {.code = code};

	lookup_end(l, &a);
}

static void on_told(void *ctx, int result)
{
	struct lookup *l = ctx;
	struct dns_answer a = {
		.code = DNS_OK,
		.ttl = l->found.ttl < TTL_MAX ? l->found.ttl : TTL_MAX,
		.n = l->found.n,
		.addresses = l->found.addresses,
	};

	l->question = 0;
	if (result < 0)
		lookup_code(l, DNS_NO_NAME);
	else
		lookup_end(l, &a);
}

static void message_name(struct dial_message *m, enum dial_op op, const struct dns_query *q)
{
	memset(m, 0, sizeof(*m));
	m->op = op;
	m->name_size = q->name_size;
	memcpy(m->name, q->name, q->name_size);
}

static void on_found(void *ctx, const struct found *found)
{
	struct lookup *l = ctx;
	struct dial_message m;

	l->number = 0;
	if (found->result == -ENOENT || found->result == -ENODATA) {
		lookup_code(l, found->result == -ENOENT ? DNS_NO_NAME : DNS_OK);
		return;
	}
	if (found->result < 0) {
		lookup_code(l, DNS_FAILURE);
		return;
	}
	l->found = *found;
	message_name(&m, DIAL_FOUND, &l->q);
	m.ttl = found->ttl;
	m.n_addresses = found->n;
	memcpy(m.addresses, found->addresses, found->n * sizeof(*found->addresses));
	l->question = channel_ask(&m, on_told, l);
	if (l->question == 0)
		lookup_code(l, DNS_FAILURE);
}

static void on_allowed(void *ctx, int result)
{
	struct lookup *l = ctx;
	uint32_t number;

	l->question = 0;
	if (result < 0) {
		lookup_code(l, DNS_NO_NAME);
		return;
	}
	/* What is neither is not told: services and mail lead to other names. */
	if (l->q.type != DNS_TYPE_A && l->q.type != DNS_TYPE_AAAA) {
		lookup_code(l, DNS_OK);
		return;
	}
	number = resolve_begin(
		l->q.name, l->q.name_size, l->q.type == DNS_TYPE_A ? 1 : 2, on_found, l);
	if (number == 0)
		lookup_code(l, DNS_FAILURE);
	else if (l->used && l->question == 0)
		l->number = number;
}

/* What needs no lookup is answered in *ret. */
static bool answer_at_once(const struct dns_query *q, struct found *local, struct dns_answer *ret)
{
	static const uint8_t four[4] = {127, 0, 0, 1};
	const char *last = q->name + q->name_size;

	*ret = (struct dns_answer){.code = DNS_NO_NAME};
	while (last > q->name && last[-1] != '.')
		last--;
	/* Addresses are no names, and names of addresses are nobody's business here. */
	if (!q->is_name || q->type == DNS_TYPE_PTR || (*last >= '0' && *last <= '9'))
		return true;
	if (!resolve_is_local(q->name, q->name_size))
		return false;
	memset(local, 0, sizeof(*local));
	if (q->type == DNS_TYPE_A)
		address_from_v4(&local->addresses[local->n++], four, 0);
	if (q->type == DNS_TYPE_AAAA)
		local->addresses[local->n++].bytes[15] = 1;
	*ret = (struct dns_answer){DNS_OK, TTL_MAX, local->n, local->addresses};
	return true;
}

static struct lookup *lookup_new(const struct dns_query *q)
{
	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		struct lookup *l = &lookups[i];

		if (l->used)
			continue;
		l->used = true;
		l->q = *q;
		l->deadline_ns = clock_ns() + PATIENCE_MS * MS_NS;
		l->question = l->number = 0;
		l->udp_fd = -1;
		l->client = NULL;
		return l;
	}
	return NULL;
}

static void lookup_begin(struct lookup *l)
{
	struct dial_message m;

	message_name(&m, DIAL_LOOKUP, &l->q);
	m.type = l->q.type;
	l->question = channel_ask(&m, on_allowed, l);
	if (l->question == 0)
		lookup_code(l, DNS_FAILURE);
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static void udp_query(int fd, const uint8_t *p, size_t size, const struct sockaddr_storage *from,
	socklen_t from_size)
{
	struct dns_query q;
	struct dns_answer a;
	struct found local;
	struct lookup *l;
	int r = dns_parse(p, size, &q);

	if (r < 0)
		return;
	a = (struct dns_answer){.code = (enum dns_code)r};
	if (r == DNS_OK && !answer_at_once(&q, &local, &a)) {
		l = lookup_new(&q);
		if (l) {
			l->udp_fd = fd;
			l->to = *from;
			l->to_size = from_size;
			lookup_begin(l);
			return;
		}
		a = (struct dns_answer){.code = DNS_FAILURE};
	}
	udp_answer(fd, from, from_size, &q, &a);
}

static void on_udp(struct watch *w, uint32_t events)
{
	for (int i = 0; i < AT_ONCE; i++) {
		uint8_t buf[DNS_QUERY_MAX];
		struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
		socklen_t from_size = sizeof(from);
		/* MSG_TRUNC: the size that it had; what did not fit is no query. */
		ssize_t n = recvfrom(w->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC,
			(struct sockaddr *)&from, &from_size);

		if (n < 0)
			return;
		if ((size_t)n <= sizeof(buf))
			udp_query(w->fd, buf, (size_t)n, &from, from_size);
	}
}

/* ---- TCP ------------------------------------------------------------------------------------- */

static void client_close(struct client *c)
{
	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		if (lookups[i].used && lookups[i].client == c) {
			lookups[i].client = NULL;
			lookup_code(&lookups[i], DNS_FAILURE);
		}
	}
	watch_set(&c->w, 0);
	fd_close(&c->w.fd);
}

static void client_wait(struct client *c)
{
	uint32_t events = c->out > c->sent ? EPOLLOUT : c->busy ? 0 : EPOLLIN;

	c->deadline_ns = c->busy ? NEVER : clock_ns() + IDLE_MS * MS_NS;
	if (watch_set(&c->w, events) < 0)
		client_close(c);
}

/* False: it is gone. */
static bool client_flush(struct client *c)
{
	while (c->sent < c->out) {
		ssize_t n = send(c->w.fd, c->out_buf + c->sent, c->out - c->sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			client_close(c);
			return false;
		}
		c->sent += (size_t)n;
	}
	return true;
}

static void client_answer(struct client *c, const struct dns_query *q, const struct dns_answer *a)
{
	size_t n = dns_compose(q, a, true, c->out_buf + LENGTH_SIZE);

	c->out_buf[0] = (uint8_t)(n >> 8);
	c->out_buf[1] = (uint8_t)n;
	c->out = LENGTH_SIZE + n;
	c->sent = 0;
	c->busy = false;
	if (client_flush(c))
		client_wait(c);
}

static void client_query(struct client *c, const uint8_t *p, size_t size)
{
	struct dns_query q;
	struct dns_answer a;
	struct found local;
	struct lookup *l;
	int r = dns_parse(p, size, &q);

	if (r < 0) {
		client_close(c);
		return;
	}
	a = (struct dns_answer){.code = (enum dns_code)r};
	if (r == DNS_OK && !answer_at_once(&q, &local, &a)) {
		l = lookup_new(&q);
		if (l) {
			l->client = c;
			c->busy = true;
			client_wait(c);
			if (c->w.fd >= 0)
				lookup_begin(l);
			return;
		}
		a = (struct dns_answer){.code = DNS_FAILURE};
	}
	client_answer(c, &q, &a);
}

/* Reads no further than the end of one query: the rest stays in the kernel. */
static void on_client(struct watch *w, uint32_t events)
{
	struct client *c = w->of;
	size_t want = LENGTH_SIZE;
	ssize_t n;

	if (c->sent < c->out) {
		if (client_flush(c))
			client_wait(c);
		return;
	}
	if (c->in >= LENGTH_SIZE)
		want += (size_t)c->in_buf[0] << 8 | c->in_buf[1];
	if (want > sizeof(c->in_buf) || (c->in >= LENGTH_SIZE && want == LENGTH_SIZE)) {
		client_close(c);
		return;
	}
	n = recv(w->fd, c->in_buf + c->in, want - c->in, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		client_close(c);
		return;
	}
	c->in += (size_t)n;
	if (c->in < want || want == LENGTH_SIZE)
		return;
	c->in = 0;
	client_query(c, c->in_buf + LENGTH_SIZE, want - LENGTH_SIZE);
}

/* A connection that cannot be accepted stays, and would wake the loop again at once. */
static void on_tcp(struct watch *w, uint32_t events)
{
	struct client *c = clients;
	autofd fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			watch_set(w, 0);
			rest_end_ns = clock_ns() + REST_MS * MS_NS;
		}
		return;
	}
	while (c < clients + CLIENTS_MAX && c->w.fd >= 0)
		c++;
	if (c == clients + CLIENTS_MAX)
		return;
	c->w = (struct watch){.fd = fd_take(&fd), .on = on_client, .of = c};
	c->busy = false;
	c->in = c->out = c->sent = 0;
	client_wait(c);
}

/* ---- the part -------------------------------------------------------------------------------- */

static int start(struct watch *socks, const int *fds, size_t n, watch_fn *on)
{
	int r = n > SOCKS_MAX ? -E2BIG : 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		socks[i] = (struct watch){.fd = fds[i], .on = on};
		r = fd_status_flags(fds[i], O_NONBLOCK, 0);
		if (r == 0)
			r = watch_set(&socks[i], EPOLLIN);
	}
	return r;
}

int names_start(const int *udp, size_t n_udp, const int *tcp, size_t n_tcp)
{
	int r;

	for (size_t i = 0; i < CLIENTS_MAX; i++)
		clients[i].w.fd = -1;
	r = start(udp_socks, udp, n_udp, on_udp);
	return r < 0 ? r : start(tcp_socks, tcp, n_tcp, on_tcp);
}

uint64_t names_due(void)
{
	uint64_t due_ns = rest_end_ns;

	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		if (lookups[i].used)
			due_ns = sooner(due_ns, lookups[i].deadline_ns);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (clients[i].w.events)
			due_ns = sooner(due_ns, clients[i].deadline_ns);
	}
	return due_ns;
}

void names_tick(uint64_t now_ns)
{
	if (rest_end_ns <= now_ns) {
		rest_end_ns = NEVER;
		for (size_t i = 0; i < SOCKS_MAX && tcp_socks[i].on; i++) {
			/* Who could not be watched again for the moment is tried again. */
			if (watch_set(&tcp_socks[i], EPOLLIN) < 0)
				rest_end_ns = now_ns + REST_MS * MS_NS;
		}
	}
	for (size_t i = 0; i < LOOKUPS_MAX; i++) {
		if (lookups[i].used && lookups[i].deadline_ns <= now_ns)
			lookup_code(&lookups[i], DNS_FAILURE);
	}
	for (size_t i = 0; i < CLIENTS_MAX; i++) {
		if (clients[i].w.events && clients[i].deadline_ns <= now_ns)
			client_close(&clients[i]);
	}
}
