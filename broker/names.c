/* SPDX-License-Identifier: MIT */
/*
 * names.c - which names an address has for this worker: what the dialer has found, for its time.
 *
 * Runs in: broker.  Trusts: nothing; that a name has an address is the dialer's word, which is why
 * a name never admits an address that is nobody's on the internet (policy.h).
 */
#include "broker/names.h"

#include <stdlib.h>
#include <string.h>

#define NAME_SIZE    254
#define SECOND_NS    1000000000ull
#define SHORTEST_TTL 10
#define LONGEST_TTL  3600

struct pinned {
	uint64_t until_ns; /* 0: free */
	uint8_t address[16];
	uint8_t size;
	char name[NAME_SIZE];
};

struct names {
	size_t n; /* used ones lie in front of it */
	struct pinned of[NAMES_MAX_PINNED];
};

struct names *names_new(void)
{
	return calloc(1, sizeof(struct names));
}

struct names *names_free(struct names *n)
{
	free(n);
	return NULL;
}

static bool is(const struct pinned *p, const char *name, size_t size, const uint8_t address[16])
{
	return p->until_ns && p->size == size && memcmp(p->address, address, 16) == 0 &&
	       memcmp(p->name, name, size) == 0;
}

/* The entry for a name and its address: its own, a free one, or the one that ends first. */
static struct pinned *find(
	struct names *n, const char *name, size_t size, const uint8_t address[16], uint64_t now_ns)
{
	struct pinned *first = NULL;

	for (size_t i = 0; i < n->n; i++) {
		struct pinned *p = &n->of[i];

		if (is(p, name, size, address))
			return p;
		if (p->until_ns <= now_ns)
			p->until_ns = 0;
		if (!first || p->until_ns < first->until_ns)
			first = p;
	}
	if ((!first || first->until_ns) && n->n < NAMES_MAX_PINNED)
		first = &n->of[n->n++];
	first->until_ns = 0;
	return first;
}

void names_pin(struct names *n, const char *name, size_t size, const uint8_t address[16],
	uint32_t ttl, uint64_t now_ns)
{
	uint64_t until_ns;
	struct pinned *p;

	if (size == 0 || size >= NAME_SIZE)
		return;
	if (ttl < SHORTEST_TTL)
		ttl = SHORTEST_TTL;
	if (ttl > LONGEST_TTL)
		ttl = LONGEST_TTL;
	until_ns = now_ns + ttl * SECOND_NS;
	p = find(n, name, size, address, now_ns);
	if (p->until_ns < until_ns)
		p->until_ns = until_ns;
	memcpy(p->address, address, 16);
	memcpy(p->name, name, size);
	p->name[size] = '\0';
	p->size = (uint8_t)size;
}

bool names_of(const struct names *n, const uint8_t address[16], uint64_t now_ns,
	bool (*each)(void *ctx, const char *name, size_t size), void *ctx)
{
	for (size_t i = 0; i < n->n; i++) {
		const struct pinned *p = &n->of[i];

		if (p->until_ns > now_ns && memcmp(p->address, address, 16) == 0 &&
			each(ctx, p->name, p->size))
			return true;
	}
	return false;
}
