/* SPDX-License-Identifier: MIT */
/*
 * peer.c - the verdict for a socket without a path: host and port, or an abstract name.
 *
 * Runs in: broker.  Trusts: the policy; nothing in the address or the name.
 *
 * All endpoints of all rules stand in one hash table, by what they match exactly: a name, the name
 * above it, a network of so many bits, and the port where it is one.  So a verdict costs the labels
 * of the name and the lengths of networks that there are, not the number of rules.
 */
#include "policy/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ANY_PORT UINT32_MAX /* in a key: the endpoint has a range */

/* ---- the table ------------------------------------------------------------------------------- */

struct key {
	enum host_kind host;
	unsigned bits;
	uint32_t port;
	const void *bytes;
	size_t size;
};

static uint32_t hash_key(const struct key *k)
{
	const uint8_t *b = k->bytes;
	uint32_t h = 2166136261u; /* FNV-1a */

	h = (h ^ (uint32_t)k->host) * 16777619u;
	h = (h ^ k->bits) * 16777619u;
	h = (h ^ k->port) * 16777619u;
	h = (h ^ (k->port >> 8)) * 16777619u;
	for (size_t i = 0; i < k->size; i++)
		h = (h ^ b[i]) * 16777619u;
	return h ^ h >> 15;
}

static void mask_address(const uint8_t address[16], unsigned bits, uint8_t ret[16])
{
	memset(ret, 0, 16);
	memcpy(ret, address, (bits + 7) / 8);
	if (bits % 8)
		ret[bits / 8] &= (uint8_t)(0xff << (8 - bits % 8));
}

static struct key key_of(const struct endpoint *e)
{
	bool address = e->host == HOST_ADDRESS;

	return (struct key){
		.host = e->host,
		.bits = address ? e->bits : 0,
		.port = e->low == e->high ? e->low : ANY_PORT,
		.bytes = address ? (const void *)e->address : e->name,
		.size = address ? 16 : e->name_size,
	};
}

static bool same_key(const struct key *a, const struct key *b)
{
	return a->host == b->host && a->bits == b->bits && a->port == b->port &&
	       a->size == b->size && (a->size == 0 || memcmp(a->bytes, b->bytes, a->size) == 0);
}

int peers_build(struct policy *p)
{
	size_t size = 16;

	while (size < 2 * p->n_endpoints)
		size *= 2;
	free(p->peers.table);
	p->peers.table = calloc(size, sizeof(*p->peers.table));
	if (!p->peers.table)
		return -ENOMEM;
	p->peers.size = size;
	memset(p->peers.bits, 0, sizeof(p->peers.bits));
	/* Last first, so that of a chain the earliest rule comes first. */
	for (size_t i = p->n_endpoints; i-- > 0;) {
		struct endpoint *e = &p->endpoints[i];
		struct key k = key_of(e);
		uint32_t *slot;

		if (e->excepted)
			continue;
		slot = &p->peers.table[hash_key(&k) & (size - 1)];
		e->next = *slot;
		*slot = (uint32_t)i + 1;
		if (e->host == HOST_ADDRESS)
			p->peers.bits[e->bits / 64] |= 1ull << (e->bits % 64);
	}
	return 0;
}

void peers_free(struct policy *p)
{
	free(p->peers.table);
	p->peers.table = NULL;
}

/* ---- one endpoint ---------------------------------------------------------------------------- */

static bool has_port(const struct endpoint *e, const struct policy_socket *s)
{
	return s->protocol == PROTOCOL_ABSTRACT || (s->port >= e->low && s->port <= e->high);
}

/* `name` lies beneath e->name: "a.example.com" for "*.example.com". */
static bool lies_below(const struct endpoint *e, const char *name, size_t size)
{
	return size > e->name_size + 1 && name[size - e->name_size - 1] == '.' &&
	       memcmp(name + size - e->name_size, e->name, e->name_size) == 0;
}

/* Whether the host matches; what a name or `internet` may admit is not asked here. */
static bool has_host(const struct endpoint *e, const struct policy_socket *s)
{
	switch (e->host) {
	case HOST_NAME:
	case HOST_ABSTRACT:
		return s->name && s->name_size == e->name_size &&
		       memcmp(s->name, e->name, e->name_size) == 0;
	case HOST_BELOW:
		return s->name && lies_below(e, s->name, s->name_size);
	case HOST_ADDRESS:
		return s->address && address_within(s->address, e->address, e->bits);
	case HOST_INTERNET:
		return s->address ? address_is_public(s->address) : s->name != NULL;
	}
	return false;
}

static bool matches(const struct endpoint *e, const struct policy_socket *s)
{
	return e->bind == s->bind && e->protocol == s->protocol && has_port(e, s) && has_host(e, s);
}

/* A name gives no address that is nobody's; and a name alone is not denied for some address. */
static bool counts(const struct endpoint *e, enum verdict verdict, const struct policy_socket *s)
{
	bool by_name = e->host == HOST_NAME || e->host == HOST_BELOW;

	if (verdict == VERDICT_DENY)
		return s->address || e->host != HOST_INTERNET;
	return !by_name || !s->address || address_suits_name(s->address);
}

static bool is_excepted(const struct policy *p, const struct rule *r, const struct policy_socket *s)
{
	for (size_t i = r->first_endpoint; i < r->first_endpoint + r->n_endpoints; i++) {
		if (p->endpoints[i].excepted && matches(&p->endpoints[i], s))
			return true;
	}
	return false;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

struct peer_tally {
	const struct policy *p;
	const struct policy_socket *s;
	size_t deny, ask, allow; /* rule + 1; 0: none */
	unsigned as, types;
};

static void keep_first(size_t *claim, size_t rule)
{
	if (!*claim || rule + 1 < *claim)
		*claim = rule + 1;
}

static void claim(struct peer_tally *t, size_t rule)
{
	const struct rule *r = &t->p->rules[rule];

	if (r->n_excepts_sockets > 0 && is_excepted(t->p, r, t->s))
		return;
	if (r->verdict == VERDICT_DENY) {
		keep_first(&t->deny, rule);
	} else if (r->verdict == VERDICT_ASK) {
		keep_first(&t->ask, rule);
	} else if (!t->allow || r->as > t->as) {
		t->allow = rule + 1;
		t->as = r->as;
		t->types = r->types;
	} else if (r->as == t->as) {
		keep_first(&t->allow, rule);
		t->types |= r->types;
	}
}

static void meet_chain(struct peer_tally *t, const struct key *k)
{
	const struct policy *p = t->p;

	for (uint32_t i = p->peers.table[hash_key(k) & (p->peers.size - 1)]; i;
		i = p->endpoints[i - 1].next) {
		const struct endpoint *e = &p->endpoints[i - 1];
		struct key other = key_of(e);

		if (same_key(k, &other) && matches(e, t->s) &&
			counts(e, p->rules[e->rule].verdict, t->s))
			claim(t, e->rule);
	}
}

/* Those of this very port, and those with a range. */
static void meet(struct peer_tally *t, struct key k)
{
	k.port = t->s->port;
	meet_chain(t, &k);
	k.port = ANY_PORT;
	meet_chain(t, &k);
}

static void meet_names(struct peer_tally *t, const char *name, size_t size)
{
	meet(t, (struct key){.host = HOST_NAME, .bytes = name, .size = size});
	for (size_t i = 0; i + 1 < size; i++) {
		if (name[i] == '.')
			meet(t, (struct key){.host = HOST_BELOW,
					.bytes = name + i + 1,
					.size = size - i - 1});
	}
}

static void meet_addresses(struct peer_tally *t, const uint8_t address[16])
{
	uint8_t network[16];

	for (unsigned bits = 0; bits <= 128; bits++) {
		if (!(t->p->peers.bits[bits / 64] & 1ull << (bits % 64)))
			continue;
		mask_address(address, bits, network);
		meet(t, (struct key){
				.host = HOST_ADDRESS, .bits = bits, .bytes = network, .size = 16});
	}
}

static enum verdict settle(const struct peer_tally *t, struct policy_answer *ret)
{
	size_t rule = t->deny ? t->deny : t->ask ? t->ask : t->allow;

	*ret = (struct policy_answer){.verdict = VERDICT_DENY, .mode_max = 0777};
	if (!rule) {
		ret->missing = t->s->bind ? RIGHT_BIND : RIGHT_CONNECT;
		return VERDICT_DENY;
	}
	ret->rule = t->p->rules[rule - 1].name;
	if (t->deny)
		return VERDICT_DENY;
	ret->verdict = t->ask ? VERDICT_ASK : VERDICT_ALLOW;
	ret->timeout_ms = t->p->rules[rule - 1].timeout_ms;
	if (!t->ask) {
		ret->as = t->as;
		ret->types = t->types;
		ret->mode_max = t->p->rules[rule - 1].mode_max;
	}
	return ret->verdict;
}

enum verdict policy_check_socket(
	const struct policy *p, const struct policy_socket *s, struct policy_answer *ret)
{
	struct peer_tally t = {.p = p, .s = s};

	if (p->compiled && s->protocol == PROTOCOL_ABSTRACT) {
		if (s->name)
			meet_chain(&t, &(struct key){.host = HOST_ABSTRACT,
					       .bytes = s->name,
					       .size = s->name_size});
	} else if (p->compiled) {
		if (s->name)
			meet_names(&t, s->name, s->name_size);
		if (s->address)
			meet_addresses(&t, s->address);
		meet(&t, (struct key){.host = HOST_INTERNET});
	}
	return settle(&t, ret);
}

/* ---- what may be looked up ------------------------------------------------------------------- */

/* Names are few beside addresses, and are looked up seldom: all of them are looked at. */
enum verdict policy_check_name(
	const struct policy *p, const char *name, size_t size, struct policy_answer *ret)
{
	const struct policy_socket s = {.name = name, .name_size = size};
	struct peer_tally t = {.p = p, .s = &s};

	for (size_t i = 0; p->compiled && i < p->n_endpoints; i++) {
		const struct endpoint *e = &p->endpoints[i];
		enum verdict verdict = p->rules[e->rule].verdict;
		bool all_ports = e->low == 0 && e->high == 65535;

		if (e->bind || e->excepted || e->host == HOST_ADDRESS || e->host == HOST_ABSTRACT)
			continue;
		if (verdict == VERDICT_DENY && (!all_ports || e->host == HOST_INTERNET))
			continue;
		if (has_host(e, &s))
			claim(&t, e->rule);
	}
	return settle(&t, ret);
}

/* ---- what the rules can give ----------------------------------------------------------------- */

static unsigned use_of(const struct endpoint *e)
{
	unsigned use = e->host == HOST_ADDRESS || e->host == HOST_ABSTRACT ? 0 : USE_NAMES;

	switch (e->protocol) {
	case PROTOCOL_TCP:
		return use | (e->bind ? USE_BIND : USE_TCP);
	case PROTOCOL_UDP:
		return use | USE_UDP;
	case PROTOCOL_ABSTRACT:
		return USE_ABSTRACT;
	}
	return 0;
}

unsigned policy_socket_use(const struct policy *p)
{
	unsigned use = 0;

	for (size_t i = 0; i < p->n_endpoints; i++) {
		const struct endpoint *e = &p->endpoints[i];

		if (p->rules[e->rule].verdict == VERDICT_ALLOW && !e->excepted)
			use |= use_of(e);
	}
	for (size_t i = 0; i < p->n_trees; i++) {
		const struct policy_tree *t = &p->trees[i].pub;

		if (t->verdict != VERDICT_ALLOW)
			continue;
		use |= t->rights & RIGHT_CONNECT ? USE_PATH : 0;
		use |= t->rights & RIGHT_BIND ? USE_BIND_PATH : 0;
	}
	return use;
}

/* Adds a port to a sorted set.  False: it is full. */
static bool add_port(uint16_t *ports, size_t *n, uint16_t port)
{
	size_t at = 0;

	while (at < *n && ports[at] < port)
		at++;
	if (at < *n && ports[at] == port)
		return true;
	if (*n == POLICY_UDP_PORTS_MAX)
		return false;
	memmove(ports + at + 1, ports + at, (*n - at) * sizeof(*ports));
	ports[at] = port;
	(*n)++;
	return true;
}

/* The endpoint at which there were too many; NULL: there are not. */
static const struct endpoint *collect_ports(const struct policy *p, uint16_t *ports, size_t *ret_n)
{
	*ret_n = 0;
	for (size_t i = 0; i < p->n_endpoints; i++) {
		const struct endpoint *e = &p->endpoints[i];

		if (e->protocol != PROTOCOL_UDP || e->excepted ||
			p->rules[e->rule].verdict != VERDICT_ALLOW)
			continue;
		for (unsigned port = e->low; port <= e->high; port++) {
			if (!add_port(ports, ret_n, (uint16_t)port))
				return e;
		}
	}
	return NULL;
}

size_t policy_udp_ports(const struct policy *p, uint16_t ret[POLICY_UDP_PORTS_MAX])
{
	size_t n;

	collect_ports(p, ret, &n);
	return n;
}

int peers_check(struct policy *p)
{
	uint16_t ports[POLICY_UDP_PORTS_MAX];
	const struct endpoint *e;
	size_t n;

	e = collect_ports(p, ports, &n);
	if (!e)
		return 0;
	return diag_of_rule(p, e->rule, 0, false,
		"the rules name more than %d UDP ports, and each is relayed by a socket of its "
		"own; "
		"name the ports that are needed",
		POLICY_UDP_PORTS_MAX);
}
