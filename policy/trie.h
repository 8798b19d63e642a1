/* SPDX-License-Identifier: MIT */
/*
 * trie.h - the trie of components, as match.c and move.c walk it.
 */
#ifndef WARDER_POLICY_TRIE_H
#define WARDER_POLICY_TRIE_H

#include "policy/internal.h"

#include <string.h>

#define TRIE_ROOT 1u

static inline uint32_t trie_hash(const char *s, size_t n)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return h;
}

static inline uint32_t trie_key(uint32_t parent, uint32_t name_hash)
{
	uint64_t h = (name_hash ^ (uint64_t)parent << 32) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(h >> 32);
}

static inline uint32_t trie_find(
	const struct matcher *m, uint32_t parent, uint32_t name_hash, const char *s, size_t n)
{
	uint32_t h = trie_key(parent, name_hash);
	size_t mask = m->table_size - 1;

	if (!m->nodes[parent].has_literals)
		return 0;
	for (size_t i = h & mask; m->table[i].node; i = (i + 1) & mask) {
		const struct node *node = &m->nodes[m->table[i].node];

		if (m->table[i].hash == h && node->parent == parent && node->name_size == n &&
			memcmp(node->name, s, n) == 0)
			return m->table[i].node;
	}
	return 0;
}

/* A new `scratch->stamp`, which no node's `seen` has. */
static inline void trie_next_stamp(const struct matcher *m)
{
	if (++m->scratch->stamp != 0)
		return;
	for (size_t i = 0; i < m->n_nodes; i++)
		m->nodes[i].seen = 0;
	m->scratch->stamp = 1;
}

#endif
