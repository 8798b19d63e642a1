/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - names to addresses, by c-ares and the host's own resolv.conf and hosts.
 *
 * Runs in: dialer.  Trusts: the name servers of the host, for what a name's address is; nothing in
 * how they say it.
 *
 * No search list: a name is asked as it stands.  c-ares binds an answer to its query by server,
 * port, id and question, and follows aliases; what it brings is cut here to the families that were
 * asked.
 */
#include "broker/dialer/dialer.h"

#include <ares.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/time.h>

#define QUERIES_MAX \
	160              /* DIAL_WAITING_MAX of the broker's, the cell's, and some forgotten ones \
			  */
#define SOCKETS_MAX 64   /* of c-ares: one for each server, TCP besides */
#define TIMEOUT_MS  1500 /* doubled at the second try; libc in the cell gives up after 5 s */
#define TRIES       2
#define TTL_HOSTS   10   /* for what has none: hosts(5), or a server that says 0 */
#define EDNS_SIZE   1232 /* is not fragmented on the way */
#define LOCAL       "localhost"

static ares_channel channel;
static struct watch sockets[SOCKETS_MAX];

static struct query {
	uint32_t number; /* 0: free */
	unsigned families;
	resolve_fn *done; /* NULL: forgotten */
	void *ctx;
} queries[QUERIES_MAX];
static uint32_t last_number;

/* ---- c-ares's sockets ------------------------------------------------------------------------ */

static void on_socket(struct watch *w, uint32_t events)
{
	bool in = events & (EPOLLIN | EPOLLHUP | EPOLLERR);
	bool out = events & (EPOLLOUT | EPOLLHUP | EPOLLERR);

	ares_process_fd(channel, in ? w->fd : ARES_SOCKET_BAD, out ? w->fd : ARES_SOCKET_BAD);
}

/* Both false: it is about to be closed. */
static void on_state(void *ctx, ares_socket_t fd, int in, int out)
{
	struct watch *w = NULL;

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (sockets[i].events && sockets[i].fd == fd)
			w = &sockets[i];
	}
	for (size_t i = 0; !w && (in || out) && i < SOCKETS_MAX; i++) {
		if (sockets[i].events)
			continue;
		w = &sockets[i];
		*w = (struct watch){.fd = fd, .on = on_socket};
	}
	/* Where none is free its queries run into their time. */
	if (w)
		watch_set(w, (in ? EPOLLIN : 0u) | (out ? EPOLLOUT : 0u));
}

int resolve_init(void)
{
	char lookups[] = "fb";
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.ednspsz = EDNS_SIZE,
		/* None: ares_getaddrinfo() of 1.18 does not heed NOSEARCH. */
		.ndomains = 0,
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.lookups = lookups,
		.sock_state_cb = on_state,
	};
	int r = ares_library_init(ARES_LIB_INIT_ALL);

	if (r == ARES_SUCCESS)
		r = ares_init_options(&channel, &options,
			ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
				ARES_OPT_EDNSPSZ | ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB);
	return r == ARES_SUCCESS ? 0 : r == ARES_ENOMEM ? -ENOMEM : -EIO;
}

uint64_t resolve_due(void)
{
	struct timeval t, *until = ares_timeout(channel, NULL, &t);

	if (!until)
		return NEVER;
	if (until->tv_sec == 0 && until->tv_usec == 0)
		return 0;
	return clock_ns() + (uint64_t)until->tv_sec * 1000000000u +
	       (uint64_t)until->tv_usec * 1000u;
}

void resolve_tick(uint64_t now_ns)
{
	ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* ---- answers --------------------------------------------------------------------------------- */

static int result_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_EBADNAME:
		return -ENOENT;
	case ARES_ENODATA:
		return -ENODATA;
	case ARES_ETIMEOUT:
	case ARES_ESERVFAIL:
	case ARES_ECONNREFUSED:
	case ARES_EREFUSED:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static void add_address(
	struct found *found, const struct ares_addrinfo_node *node, unsigned families)
{
	struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
	struct dial_address a;
	size_t size = node->ai_family == AF_INET ? sizeof(struct sockaddr_in)
						 : sizeof(struct sockaddr_in6);

	if (found->n == DIAL_ADDRESSES_MAX || !node->ai_addr || node->ai_addrlen < size)
		return;
	memcpy(&from, node->ai_addr, size);
	if (!address_get(&from, &a))
		return;
	/* One of IPv6 that means one of IPv4 would be neither. */
	if (node->ai_family == AF_INET6 && address_is_v4(&a))
		return;
	if (!(families & (node->ai_family == AF_INET ? 1u : 2u)))
		return;
	a.port = 0;
	for (size_t i = 0; i < found->n; i++) {
		if (address_same(&found->addresses[i], &a))
			return;
	}
	found->addresses[found->n++] = a;
	if (node->ai_ttl > 0 && (uint32_t)node->ai_ttl < found->ttl)
		found->ttl = (uint32_t)node->ai_ttl;
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct query q = *(struct query *)arg;
	struct found found = {.result = result_of(status), .ttl = UINT32_MAX};

	((struct query *)arg)->number = 0;
	for (struct ares_addrinfo_node *n = info ? info->nodes : NULL; n; n = n->ai_next)
		add_address(&found, n, q.families);
	for (struct ares_addrinfo_cname *c = info ? info->cnames : NULL; c; c = c->next) {
		if (c->ttl > 0 && (uint32_t)c->ttl < found.ttl)
			found.ttl = (uint32_t)c->ttl;
	}
	if (info)
		ares_freeaddrinfo(info);
	if (found.result == 0 && found.n == 0)
		found.result = -ENODATA;
	if (found.result < 0)
		found.n = 0;
	if (found.ttl == UINT32_MAX)
		found.ttl = found.n ? TTL_HOSTS : 0;
	if (q.done)
		q.done(q.ctx, &found);
}

bool resolve_is_local(const char *name, size_t size)
{
	size_t n = sizeof(LOCAL) - 1;

	if (size < n || memcmp(name + size - n, LOCAL, n) != 0)
		return false;
	return size == n || name[size - n - 1] == '.';
}

static void local(unsigned families, resolve_fn *done, void *ctx)
{
	const uint8_t four[4] = {127, 0, 0, 1};
	struct found found = {.ttl = TTL_HOSTS};

	if (families & 1)
		address_from_v4(&found.addresses[found.n++], four, 0);
	if (families & 2)
		found.addresses[found.n++].bytes[15] = 1;
	done(ctx, &found);
}

uint32_t resolve_begin(
	const char *name, size_t size, unsigned families, resolve_fn *done, void *ctx)
{
	struct ares_addrinfo_hints hints = {
		.ai_flags = ARES_AI_NOSORT,
		.ai_family = families == 1   ? AF_INET
			     : families == 2 ? AF_INET6
					     : AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
	};
	struct query *q = queries;
	char text[DIAL_NAME_MAX + 1];
	uint32_t number;

	while (q < queries + QUERIES_MAX && q->number)
		q++;
	if (q == queries + QUERIES_MAX || size > DIAL_NAME_MAX || last_number == UINT32_MAX)
		return 0;
	number = ++last_number;
	if (resolve_is_local(name, size)) {
		local(families, done, ctx);
		return number;
	}
	memcpy(text, name, size);
	text[size] = '\0';
	*q = (struct query){number, families, done, ctx};
	ares_getaddrinfo(channel, text, NULL, &hints, on_answer, q);
	return number;
}

/* c-ares ends a query by itself, at its time at the latest. */
void resolve_forget(uint32_t number)
{
	for (size_t i = 0; number && i < QUERIES_MAX; i++) {
		if (queries[i].number == number)
			queries[i].done = NULL;
	}
}
