/* SPDX-License-Identifier: MIT */
/*
 * move.c - whether a directory may change its name without the rules beneath it changing.
 *
 * Runs in: broker.  Trusts: the policy; nothing in the paths.
 *
 * A rename moves all that lies beneath a directory, and rules go by names: `deny write **
 * /.git/hooks/` would not hold for .git/hooks while .git is called something else.  What the rules
 * say beneath a path is decided by two things: the marks that hold for all beneath, and the nodes
 * of the trie from which patterns go on.  If the nodes are the same under both names, so is all
 * that follows; the marks are then asked about with a child of each that no pattern names.  What
 * an `except` takes out is a trie of its own, of which the same is asked.
 */
#include "policy/trie.h"

#define CHILD "/\x01" /* a name that no rule spells out */

static size_t enter(const struct matcher *m, uint32_t *set, size_t n, uint32_t node)
{
	for (; node && m->nodes[node].seen != m->scratch->stamp; node = m->nodes[node].deep) {
		m->nodes[node].seen = m->scratch->stamp;
		set[n++] = node;
	}
	return n;
}

static size_t step(const struct matcher *m, const uint32_t *from, size_t n_from, uint32_t *to,
	const char *s, size_t n)
{
	uint32_t name_hash = trie_hash(s, n);
	size_t n_to = 0;

	trie_next_stamp(m);
	for (size_t i = 0; i < n_from; i++) {
		const struct node *node = &m->nodes[from[i]];

		n_to = enter(m, to, n_to, trie_find(m, from[i], name_hash, s, n));
		for (uint32_t g = node->globs; g; g = m->nodes[g].next_glob)
			if (component_match(m->nodes[g].glob, s, n))
				n_to = enter(m, to, n_to, g);
		if (node->is_deep)
			n_to = enter(m, to, n_to, from[i]);
	}
	return n_to;
}

/* Whether a pattern goes on from here. */
static bool goes_on(const struct node *node)
{
	return node->has_literals || node->globs || node->deep || node->is_deep;
}

/* The nodes from which patterns go on beneath a path, in active[0]. */
static size_t nodes_beneath(const struct matcher *m, uint32_t root, const char *path, size_t size)
{
	const char *end = path + size;
	uint32_t *set = m->scratch->active[0], *other = m->scratch->active[1];
	size_t n, kept = 0;

	trie_next_stamp(m);
	n = enter(m, set, 0, root);
	for (path++; path < end && n > 0;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		const char *to = slash ? slash : end;
		uint32_t *swap = set;

		n = step(m, set, n, other, path, (size_t)(to - path));
		set = other;
		other = swap;
		path = to + 1;
	}
	for (size_t i = 0; i < n; i++)
		if (goes_on(&m->nodes[set[i]]))
			set[kept++] = set[i];
	if (set != m->scratch->active[0])
		memcpy(m->scratch->active[0], set, kept * sizeof(*set));
	return kept;
}

/* Whether two sets without doubles hold the same nodes. */
static bool same_nodes(const struct matcher *m, const uint32_t *a, const uint32_t *b, size_t n)
{
	trie_next_stamp(m);
	for (size_t i = 0; i < n; i++)
		m->nodes[a[i]].seen = m->scratch->stamp;
	for (size_t i = 0; i < n; i++)
		if (m->nodes[b[i]].seen != m->scratch->stamp)
			return false;
	return true;
}

/* What is allowed of a child that no pattern names. */
static bool allowed_beneath(const struct policy *p, const char *path, size_t size, unsigned right,
	struct policy_answer *ret)
{
	char child[PATH_MAX + sizeof(CHILD)];

	if (size == 1)
		size = 0;
	memcpy(child, path, size);
	memcpy(child + size, CHILD, sizeof(CHILD));
	return policy_check(p, child, size + sizeof(CHILD) - 1, right, ret) == VERDICT_ALLOW;
}

static bool gains_beneath(const struct policy *p, const char *from, size_t from_size,
	const char *to, size_t to_size, unsigned right)
{
	struct policy_answer was, is;

	return allowed_beneath(p, to, to_size, right, &is) &&
	       (!allowed_beneath(p, from, from_size, right, &was) || policy_gives_more(&was, &is));
}

bool policy_gives_more(const struct policy_answer *than, const struct policy_answer *a)
{
	return a->as > than->as || (a->types & ~than->types);
}

/* Whether the patterns of one trie go on in the same way beneath both. */
static bool same_patterns(const struct matcher *m, uint32_t root, const char *from,
	size_t from_size, const char *to, size_t to_size)
{
	size_t n = nodes_beneath(m, root, from, from_size);

	memcpy(m->scratch->active[2], m->scratch->active[0], n * sizeof(uint32_t));
	return nodes_beneath(m, root, to, to_size) == n &&
	       same_nodes(m, m->scratch->active[2], m->scratch->active[0], n);
}

bool policy_may_move(const struct policy *p, const char *from, size_t from_size, const char *to,
	size_t to_size, unsigned rights)
{
	const struct matcher *m = &p->matcher;

	if (!p->compiled || from_size == 0 || to_size == 0 || from_size >= PATH_MAX ||
		to_size >= PATH_MAX)
		return false;
	if (!same_patterns(m, TRIE_ROOT, from, from_size, to, to_size))
		return false;
	for (size_t i = 0; i < m->n_excepting; i++)
		if (!same_patterns(m, m->excepting[i], from, from_size, to, to_size))
			return false;
	/* A socket beneath is reached by its name, whatever the mover asked for. */
	rights |= RIGHTS_SOCK;
	for (unsigned right = 1; right <= RIGHT_BIND; right <<= 1)
		if ((rights & right) && gains_beneath(p, from, from_size, to, to_size, right))
			return false;
	return true;
}
