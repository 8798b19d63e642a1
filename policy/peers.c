/* SPDX-License-Identifier: MIT */
/*
 * peers.c - the verdict for a socket that has no path.
 *
 * Runs in: broker.  Trusts: the policy; nothing in the address, port and name.
 *
 * Rules are kept by host in one hash table: a host is a name, "*." and a name, a prefix of
 * addresses, `internet`, or an abstract name.  A socket is looked up once for each label of its
 * name and each length of prefix that some rule has, and then by its port among ranges that lie
 * apart.  So the cost does not grow with the number of rules.
 */
#include "policy/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE_MAX 253
#define LOOKUP        3 /* as a protocol: whether a name may be looked up at all */

/* ---- hosts ----------------------------------------------------------------------------------- */

/* What the table is keyed by. */
struct host {
	uint8_t tag, bits;
	const void *s;
	size_t n;
};

static struct host host_make(
	bool bind, unsigned protocol, enum host_kind kind, unsigned bits, const void *s, size_t n)
{
	return (struct host){(uint8_t)((unsigned)bind << 7 | protocol << 4 | (unsigned)kind),
		(uint8_t)bits, s, n};
}

static struct host host_of(const struct sock *s, unsigned protocol)
{
	if (s->kind == HOST_ADDRESS)
		return host_make(s->bind, protocol, s->kind, s->bits, s->address, 16);
	return host_make(s->bind, protocol, s->kind, 0, s->name, s->name_size);
}

static uint32_t host_hash(const struct host *h)
{
	const uint8_t *s = h->s;
	uint32_t v = ((2166136261u ^ h->tag) * 16777619u ^ h->bits) * 16777619u; /* FNV-1a */

	for (size_t i = 0; i < h->n; i++)
		v = (v ^ s[i]) * 16777619u;
	return v ^ v >> 15;
}

static int host_compare(const struct host *a, const struct host *b)
{
	if (a->tag != b->tag)
		return a->tag < b->tag ? -1 : 1;
	if (a->bits != b->bits)
		return a->bits < b->bits ? -1 : 1;
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	return a->n ? memcmp(a->s, b->s, a->n) : 0;
}

/* ---- build ----------------------------------------------------------------------------------- */

/* A socket of a rule on its way into the table. */
struct entry {
	struct host host;
	const struct rule *rule;
	uint32_t sock;
	uint16_t low, high;
};

static bool has_excepts(const struct rule *r)
{
	return r->n_sock_excepts > 0;
}

/* 0: what follows from the two rules is the same. */
static int terms_compare(const struct rule *a, const struct rule *b)
{
	const unsigned x[] = {a->verdict, a->as, a->types, a->timeout_ms};
	const unsigned y[] = {b->verdict, b->as, b->types, b->timeout_ms};

	for (size_t i = 0; i < sizeof(x) / sizeof(*x); i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	if ((has_excepts(a) || has_excepts(b)) && a != b)
		return a < b ? -1 : 1;
	return 0;
}

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = host_compare(&x->host, &y->host);

	if (r == 0)
		r = terms_compare(x->rule, y->rule);
	if (r == 0 && x->low != y->low)
		r = x->low < y->low ? -1 : 1;
	if (r == 0)
		r = x->sock < y->sock ? -1 : x->sock > y->sock;
	return r;
}

/* What a rule says of looking its host up: an allow of any port is enough, a deny must be of all.
 */
static bool says_lookup(const struct sock *s, const struct rule *r)
{
	if (s->bind || (s->kind != HOST_NAME && s->kind != HOST_SUFFIX && s->kind != HOST_INTERNET))
		return false;
	return r->verdict == VERDICT_ALLOW ||
	       (s->kind != HOST_INTERNET && s->low == 0 && s->high == UINT16_MAX);
}

static size_t make_entries(const struct policy *p, struct entry *e)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_socks; i++) {
		const struct sock *s = &p->socks[i];
		const struct rule *r = &p->rules[s->rule];

		e[n++] = (struct entry){host_of(s, s->protocol), r, (uint32_t)i, s->low, s->high};
		if (says_lookup(s, r))
			e[n++] = (struct entry){host_of(s, LOOKUP), r, (uint32_t)i, 0, 0};
	}
	qsort(e, n, sizeof(*e), entry_compare);
	return n;
}

static void put_host(struct peers *t, const struct host *h, uint32_t group)
{
	size_t mask = t->table_size - 1, i = host_hash(h) & mask;

	while (t->table[i])
		i = (i + 1) & mask;
	t->table[i] = group + 1;
}

/* The ranges of one group, cut where they overlap. */
static size_t put_ranges(struct range *to, const struct entry *e, size_t n)
{
	size_t made = 0;
	int end = -1;

	for (size_t i = 0; i < n; i++) {
		if (e[i].high <= end)
			continue;
		to[made++] = (struct range){
			e[i].low > end ? e[i].low : (uint16_t)(end + 1), e[i].high, e[i].sock};
		end = e[i].high;
	}
	return made;
}

static void put_groups(struct peers *t, const struct entry *e, size_t n)
{
	size_t groups = 0, ranges = 0;

	for (size_t i = 0, to; i < n; i = to) {
		bool first = i == 0 || host_compare(&e[i - 1].host, &e[i].host) != 0;
		size_t made;

		for (to = i + 1; to < n && host_compare(&e[i].host, &e[to].host) == 0 &&
				 terms_compare(e[i].rule, e[to].rule) == 0;)
			to++;
		made = put_ranges(t->ranges + ranges, e + i, to - i);
		t->groups[groups] = (struct group){(uint32_t)ranges, (uint32_t)made,
			(uint8_t)(e[i].host.tag >> 4 & 7),
			to == n || host_compare(&e[i].host, &e[to].host) != 0};
		ranges += made;
		if (first)
			put_host(t, &e[i].host, (uint32_t)groups);
		groups++;
	}
}

static void note_lengths(struct policy *p)
{
	bool has[129] = {false};

	for (size_t i = 0; i < p->n_socks; i++)
		if (p->socks[i].kind == HOST_ADDRESS)
			has[p->socks[i].bits] = true;
	for (unsigned bits = 129; bits-- > 0;)
		if (has[bits])
			p->peers.lengths[p->peers.n_lengths++] = (uint8_t)bits;
}

void peers_free(struct policy *p)
{
	free(p->peers.ranges);
	free(p->peers.groups);
	free(p->peers.table);
	p->peers = (struct peers){.ranges = NULL};
}

int peers_build(struct policy *p)
{
	struct peers *t = &p->peers;
	struct entry *entries = calloc(2 * p->n_socks + 1, sizeof(*entries));
	size_t n;

	peers_free(p);
	if (!entries)
		return -ENOMEM;
	n = make_entries(p, entries);
	for (t->table_size = 16; t->table_size < 2 * n;)
		t->table_size *= 2;
	t->ranges = calloc(n + 1, sizeof(*t->ranges));
	t->groups = calloc(n + 1, sizeof(*t->groups));
	t->table = calloc(t->table_size, sizeof(*t->table));
	if (t->ranges && t->groups && t->table) {
		put_groups(t, entries, n);
		note_lengths(p);
	}
	free(entries);
	return t->ranges && t->groups && t->table ? 0 : -ENOMEM;
}

/* ---- match ----------------------------------------------------------------------------------- */

/* A socket that is asked about, and what the rules met so far say of it. */
struct look {
	const struct policy *p;
	bool bind, lookup; /* lookup: of a name, whatever the port */
	enum policy_protocol protocol;
	const uint8_t *address;
	enum address_class class;
	uint16_t port;
	char name[NAME_SIZE_MAX + 1];
	size_t name_size;
	bool no_allow; /* pass over what allows */
	const struct sock *deny, *ask, *allow;
	unsigned as, types, timeout_ms;
};

static bool name_within(const struct look *l, const struct sock *s)
{
	size_t n = s->name_size;

	if (s->kind == HOST_NAME)
		return n == l->name_size && memcmp(l->name, s->name, n) == 0;
	return l->name_size > n + 1 && l->name[l->name_size - n - 1] == '.' &&
	       memcmp(l->name + l->name_size - n, s->name, n) == 0;
}

/* Whether an `except` takes the socket out. */
static bool excepted(const struct look *l, const struct rule *r)
{
	for (size_t i = 0; i < r->n_sock_excepts; i++) {
		const struct sock *s = &l->p->sock_excepts[r->first_sock_except + i];
		bool named = s->kind == HOST_NAME || s->kind == HOST_SUFFIX;

		if (s->kind == HOST_ABSTRACT) {
			if (l->protocol == PROTOCOL_ABSTRACT && s->name_size == l->name_size &&
				memcmp(s->name, l->name, l->name_size) == 0)
				return true;
			continue;
		}
		if (!l->lookup &&
			(s->protocol != l->protocol || l->port < s->low || l->port > s->high))
			continue;
		if (named && l->name_size > 0 && name_within(l, s) &&
			(!l->address || l->class != ADDRESS_NOBODY))
			return true;
		if (!named && l->address &&
			(s->kind == HOST_INTERNET
					? l->class == ADDRESS_PUBLIC
					: address_within(l->address, s->address, s->bits)))
			return true;
	}
	return false;
}

static void keep_first(const struct sock **claim, const struct sock *s)
{
	if (!*claim || s < *claim)
		*claim = s;
}

static void apply(struct look *l, const struct sock *s)
{
	const struct rule *r = &l->p->rules[s->rule];

	if ((l->no_allow && r->verdict == VERDICT_ALLOW) || (has_excepts(r) && excepted(l, r)))
		return;
	if (r->verdict == VERDICT_DENY) {
		keep_first(&l->deny, s);
	} else if (r->verdict == VERDICT_ASK) {
		keep_first(&l->ask, s);
	} else {
		keep_first(&l->allow, s);
		l->as = r->as > l->as ? r->as : l->as;
		l->types |= r->types;
	}
}

static const struct range *find_port(const struct peers *t, const struct group *g, uint16_t port)
{
	size_t low = g->first, high = g->first + g->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (t->ranges[middle].high < port)
			low = middle + 1;
		else
			high = middle;
	}
	return low < g->first + g->n && t->ranges[low].low <= port ? &t->ranges[low] : NULL;
}

static void meet(struct look *l, enum host_kind kind, unsigned bits, const void *s, size_t n)
{
	const struct peers *t = &l->p->peers;
	unsigned protocol = l->lookup ? LOOKUP : l->protocol;
	struct host host = host_make(l->bind, protocol, kind, bits, s, n);
	size_t mask = t->table_size - 1;

	for (size_t i = host_hash(&host) & mask; t->table[i]; i = (i + 1) & mask) {
		const struct group *g = &t->groups[t->table[i] - 1];
		struct host other = host_of(&l->p->socks[t->ranges[g->first].sock], g->protocol);

		if (host_compare(&host, &other) != 0)
			continue;
		for (;; g++) {
			const struct range *r = find_port(t, g, l->port);

			if (r)
				apply(l, &l->p->socks[r->sock]);
			if (g->last)
				return;
		}
	}
}

static void meet_address(struct look *l, const uint8_t address[16])
{
	const struct peers *t = &l->p->peers;

	for (size_t i = 0; i < t->n_lengths; i++) {
		uint8_t masked[16];

		/* A short prefix of IPv6 does not take IPv4 along. */
		if (t->lengths[i] < 96 && address_is_v4(address))
			break;
		memcpy(masked, address, sizeof(masked));
		address_mask(masked, t->lengths[i]);
		meet(l, HOST_ADDRESS, t->lengths[i], masked, sizeof(masked));
	}
}

static void meet_name(struct look *l)
{
	if (l->name_size == 0)
		return;
	l->no_allow = l->address && l->class == ADDRESS_NOBODY;
	meet(l, HOST_NAME, 0, l->name, l->name_size);
	for (size_t i = 0; i < l->name_size; i++)
		if (l->name[i] == '.')
			meet(l, HOST_SUFFIX, 0, l->name + i + 1, l->name_size - i - 1);
	l->no_allow = false;
}

/* Lower case, without a last dot.  A name that is none matches nothing. */
static void take_name(struct look *l, const char *name, size_t size)
{
	if (!name)
		return;
	if (size > 0 && name[size - 1] == '.')
		size--;
	if (size > NAME_SIZE_MAX)
		return;
	for (size_t i = 0; i < size; i++)
		l->name[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	l->name_size = size;
}

/* ---- verdict --------------------------------------------------------------------------------- */

static enum verdict decide(const struct look *l, struct policy_answer *a)
{
	const struct sock *by = l->deny ? l->deny : l->ask ? l->ask : l->allow;
	const struct rule *r;

	*a = (struct policy_answer){.verdict = VERDICT_DENY};
	if (!by) {
		a->missing = l->bind ? RIGHT_BIND : RIGHT_CONNECT;
		return VERDICT_DENY;
	}
	r = &l->p->rules[by->rule];
	a->rule = r->name;
	a->timeout_ms = r->timeout_ms;
	a->verdict = r->verdict;
	a->mode_max = 0777;
	if (r->verdict == VERDICT_ALLOW) {
		a->as = l->as;
		a->types = l->types;
	}
	return a->verdict;
}

/* Which address a name has is not known yet: what is said of `internet` is not said of it, but
 * where no other rule speaks. */
static void meet_internet(struct look *l)
{
	struct look all = *l;

	if (l->address && l->class == ADDRESS_PUBLIC) {
		meet(l, HOST_INTERNET, 0, NULL, 0);
		return;
	}
	if (l->address || l->name_size == 0 || l->deny || l->ask || l->allow)
		return;
	meet(&all, HOST_INTERNET, 0, NULL, 0);
	*l = all;
}

enum verdict policy_check_socket(
	const struct policy *p, const struct policy_socket *s, struct policy_answer *ret)
{
	struct look l = {.p = p, .bind = s->bind, .protocol = s->protocol, .port = s->port};
	uint8_t inner[16];

	if (!p->compiled || p->n_socks == 0 || (unsigned)s->protocol > PROTOCOL_ABSTRACT)
		return decide(&l, ret);
	if (s->protocol == PROTOCOL_ABSTRACT) {
		l.port = 0;
		if (!s->name || s->name_size >= sizeof(l.name))
			return decide(&l, ret);
		memcpy(l.name, s->name, s->name_size);
		l.name_size = s->name_size;
		meet(&l, HOST_ABSTRACT, 0, l.name, l.name_size);
		return decide(&l, ret);
	}
	l.address = s->address;
	if (!s->bind)
		take_name(&l, s->name, s->name_size);
	if (s->address) {
		l.class = address_class(s->address);
		meet_address(&l, s->address);
		/* A denied address is denied by every way that leads there. */
		l.no_allow = true;
		if (address_embedded(s->address, inner))
			meet_address(&l, inner);
		l.no_allow = false;
	}
	if (!s->bind) {
		meet_name(&l);
		meet_internet(&l);
	}
	return decide(&l, ret);
}

enum verdict policy_check_name(
	const struct policy *p, const char *name, size_t size, struct policy_answer *ret)
{
	struct look l = {.p = p, .lookup = true};

	take_name(&l, name, size);
	if (p->compiled && p->n_socks > 0 && l.name_size > 0) {
		meet_name(&l);
		meet(&l, HOST_INTERNET, 0, NULL, 0);
	}
	return decide(&l, ret);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static unsigned use_of_sock(const struct sock *s)
{
	unsigned use = s->kind == HOST_ADDRESS ? 0 : USE_NAMES;

	if (s->bind)
		return s->protocol == PROTOCOL_UDP ? USE_BIND_UDP : USE_BIND;
	if (s->kind == HOST_ABSTRACT)
		return USE_ABSTRACT;
	return use | (s->protocol == PROTOCOL_UDP ? USE_UDP : USE_TCP);
}

unsigned policy_socket_use(const struct policy *p)
{
	unsigned use = 0;

	for (size_t i = 0; i < p->n_socks; i++) {
		if (p->rules[p->socks[i].rule].verdict == VERDICT_ALLOW)
			use |= use_of_sock(&p->socks[i]);
	}
	for (size_t i = 0; i < p->n_trees; i++) {
		const struct policy_tree *t = &p->trees[i].pub;

		if (t->verdict != VERDICT_ALLOW || t->missing)
			continue;
		use |= t->rights & RIGHT_CONNECT ? USE_PATH : 0;
		use |= t->rights & RIGHT_BIND ? USE_BIND_PATH : 0;
		use |= t->types & TYPE_DATAGRAM ? USE_DATAGRAM : 0;
	}
	return use;
}

/* Adds the ports of a rule; false: there is no room. */
static bool add_ports(const struct sock *s, uint16_t ports[POLICY_UDP_PORTS_MAX], size_t *n)
{
	for (unsigned port = s->low; port <= s->high; port++) {
		size_t at = *n;

		while (at > 0 && ports[at - 1] > port)
			at--;
		if (at > 0 && ports[at - 1] == port)
			continue;
		if (*n == POLICY_UDP_PORTS_MAX)
			return false;
		memmove(ports + at + 1, ports + at, (*n - at) * sizeof(*ports));
		ports[at] = (uint16_t)port;
		++*n;
	}
	return true;
}

static bool gives_udp(const struct policy *p, const struct sock *s)
{
	return s->protocol == PROTOCOL_UDP && !s->bind &&
	       p->rules[s->rule].verdict == VERDICT_ALLOW;
}

size_t policy_udp_ports(const struct policy *p, uint16_t ret[POLICY_UDP_PORTS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_socks; i++)
		if (gives_udp(p, &p->socks[i]) && !add_ports(&p->socks[i], ret, &n))
			break;
	return n;
}

int peers_check_udp(struct policy *p)
{
	uint16_t ports[POLICY_UDP_PORTS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < p->n_socks; i++)
		if (gives_udp(p, &p->socks[i]) && !add_ports(&p->socks[i], ports, &n))
			return diag_of_rule(p, p->socks[i].rule, p->socks[i].column, false,
				"with this there are more than %d UDP ports in all, and a cell has "
				"no more, since each is listened on for it; name fewer",
				POLICY_UDP_PORTS_MAX);
	return 0;
}

int policy_suggest_socket(const struct policy_socket *s, char *buf, size_t size)
{
	struct sock t = {.protocol = s->protocol, .low = s->port, .high = s->port, .bits = 128};
	bool named = s->name_size > 0 && !s->bind &&
		     (!s->address || address_class(s->address) != ADDRESS_NOBODY);
	char text[4 * 128 + 8], name[128 + 1];
	int n;

	/* No rule gives these; and a rule cannot spell a NUL. */
	if ((!named && !s->address && s->protocol != PROTOCOL_ABSTRACT) ||
		(s->bind && s->protocol == PROTOCOL_UDP && s->address &&
			address_is_group(s->address)))
		return -EINVAL;
	if (s->protocol == PROTOCOL_ABSTRACT) {
		if (s->name_size == 0 || s->name_size >= sizeof(name) - 1 ||
			memchr(s->name, '\0', s->name_size))
			return -EINVAL;
		name[0] = '@';
		memcpy(name + 1, s->name, s->name_size);
		n = text_quote(name, NULL, s->name_size + 1, text, sizeof(text));
	} else {
		t.kind = named ? HOST_NAME : HOST_ADDRESS;
		t.name = s->name;
		t.name_size = s->name_size;
		if (!named)
			memcpy(t.address, s->address, sizeof(t.address));
		n = host_print(&t, text, sizeof(text));
	}
	if (n < 0)
		return n;
	n = snprintf(buf, size, "allow %s %s", s->bind ? "bind" : "connect", text);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : n;
}
