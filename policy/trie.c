/* SPDX-License-Identifier: MIT */
/*
 * trie.c - builds the trie of the rules.
 *
 * Runs in: broker (at start), command line.  Trusts: the policy.
 *
 * A node stands for the components that lead to it.  A literal component is found in one hash table
 * keyed by parent and name; wildcard components are kept apart from those, in groups by the literal
 * bytes they begin or end with; "**" is a child that stays active for all that follows.  At a node
 * hang the marks of the rules whose pattern ends there.  Each rule with an `except` has a small
 * trie of its own for that.
 */
#include "policy/trie.h"

#include "common/path.h"

#include <errno.h>
#include <stdlib.h>

static void table_put(struct matcher *m, uint32_t hash, uint32_t node)
{
	size_t mask = m->table_size - 1, i = hash & mask;

	while (m->table[i].node)
		i = (i + 1) & mask;
	m->table[i] = (struct slot){hash, node};
}

/* Keeps the table at most half full. */
static int table_grow(struct matcher *m)
{
	struct slot *old = m->table;
	size_t old_size = m->table_size;

	if (m->n_literals * 2 < m->table_size)
		return 0;
	m->table_size = old_size ? old_size * 2 : 64;
	m->table = calloc(m->table_size, sizeof(*m->table));
	if (!m->table) {
		m->table = old;
		m->table_size = old_size;
		return -ENOMEM;
	}
	for (size_t i = 0; i < old_size; i++)
		if (old[i].node)
			table_put(m, old[i].hash, old[i].node);
	free(old);
	return 0;
}

/* 0: no memory. */
static uint32_t add_node(struct policy *p, uint32_t parent)
{
	struct matcher *m = &p->matcher;

	if (m->n_nodes >= UINT32_MAX - 1 ||
		!store_grow(p, &m->nodes, m->n_nodes, &m->nodes_room, sizeof(*m->nodes)))
		return 0;
	m->nodes[m->n_nodes] = (struct node){.parent = parent};
	return (uint32_t)m->n_nodes++;
}

static uint32_t child_literal(struct policy *p, uint32_t parent, const char *s, size_t n)
{
	struct matcher *m = &p->matcher;
	uint32_t name_hash = trie_hash(s, n), node;

	node = trie_find(m, parent, name_hash, s, n);
	if (node)
		return node;
	node = add_node(p, parent);
	if (!node || table_grow(m) < 0)
		return 0;
	m->nodes[node].name = s;
	m->nodes[node].name_size = (uint32_t)n;
	m->nodes[parent].has_literals = true;
	m->n_literals++;
	table_put(m, trie_key(parent, name_hash), node);
	return node;
}

static bool same_component(const struct component *a, const struct component *b)
{
	return a->n == b->n && memcmp(a->s, b->s, a->n) == 0 &&
	       memcmp(a->magic, b->magic, a->n) == 0;
}

static bool add_affix(struct policy *p, uint32_t node)
{
	struct matcher *m = &p->matcher;
	struct affix a = {.prefixes = add_node(p, 0)};

	a.suffixes = add_node(p, 0);
	a.rest = add_node(p, 0);
	if (!a.prefixes || !a.suffixes || !a.rest ||
		!store_grow(p, &m->affixes, m->n_affixes, &m->affixes_room, sizeof(*m->affixes)))
		return false;
	m->nodes[node].affix = (uint32_t)m->n_affixes;
	m->affixes[m->n_affixes++] = a;
	return true;
}

/* The group of the node's wildcard children that this one belongs to. */
static uint32_t find_group(struct policy *p, uint32_t node, const struct component *c)
{
	struct matcher *m = &p->matcher;
	size_t before = component_prefix(c), after = component_suffix(c);
	struct affix *a;

	if (!m->nodes[node].affix && !add_affix(p, node))
		return 0;
	a = &m->affixes[m->nodes[node].affix];
	if (before > 0 && before <= NAME_MAX) {
		a->prefix_lengths[before / 64] |= 1ull << before % 64;
		return child_literal(p, a->prefixes, c->s, before);
	}
	if (before == 0 && after > 0 && after <= NAME_MAX) {
		a->suffix_lengths[after / 64] |= 1ull << after % 64;
		return child_literal(p, a->suffixes, c->s + c->n - after, after);
	}
	return a->rest;
}

static uint32_t child_glob(struct policy *p, uint32_t parent, const struct component *c)
{
	struct matcher *m = &p->matcher;
	uint32_t group = find_group(p, parent, c), node;

	for (node = m->nodes[group].globs; node; node = m->nodes[node].next_in_group)
		if (same_component(m->nodes[node].glob, c))
			return node;
	node = group ? add_node(p, parent) : 0;
	if (!node)
		return 0;
	m->nodes[node].glob = c;
	m->nodes[node].next_in_group = m->nodes[group].globs;
	m->nodes[group].globs = node;
	m->nodes[node].next_glob = m->nodes[parent].globs;
	m->nodes[parent].globs = node;
	return node;
}

static uint32_t child_deep(struct policy *p, uint32_t parent)
{
	struct matcher *m = &p->matcher;
	uint32_t node = m->nodes[parent].deep;

	if (node)
		return node;
	node = add_node(p, parent);
	if (!node)
		return 0;
	m->nodes[node].is_deep = true;
	m->nodes[parent].deep = node;
	return node;
}

/* Goes down a literal path; `gives`: marks the way for policy_names(). */
static uint32_t add_path(struct policy *p, uint32_t node, const char *path, bool gives)
{
	const char *at = path;

	while (node && *at) {
		size_t n;

		p->matcher.nodes[node].on_way |= gives;
		at += strspn(at, "/");
		n = strcspn(at, "/");
		if (n > 0)
			node = child_literal(p, node, at, n);
		at += n;
	}
	if (node) {
		p->matcher.nodes[node].on_way |= gives;
		p->matcher.nodes[node].inside |= gives;
	}
	return node;
}

static bool same_terms(const struct policy *p, uint32_t a, uint32_t b)
{
	const struct rule *x, *y;

	if (a >= MARK_EXCEPT || b >= MARK_EXCEPT)
		return a == b;
	x = &p->rules[p->trees[a].pub.rule];
	y = &p->rules[p->trees[b].pub.rule];
	return x->verdict == y->verdict && x->as == y->as && x->types == y->types &&
	       x->mode_max == y->mode_max && x->timeout_ms == y->timeout_ms && x->n_excepts == 0 &&
	       y->n_excepts == 0;
}

/* A mark that an earlier one of the same terms covers says nothing new: so the marks of a node are
 * few, however often a policy repeats itself. */
static int add_mark(struct policy *p, uint32_t node, bool below, uint32_t tree, unsigned rights,
	size_t prefix_size)
{
	struct matcher *m = &p->matcher;
	uint32_t *link = below ? &m->nodes[node].below : &m->nodes[node].self;

	for (; *link; link = &m->marks[*link].next)
		if ((rights & ~(unsigned)m->marks[*link].rights) == 0 &&
			same_terms(p, m->marks[*link].tree, tree))
			return 0;
	if (m->n_marks >= UINT32_MAX - 1)
		return -ENOMEM;
	if (m->n_marks == m->marks_room) {
		/* The link may point into the array that moves. */
		if (!store_grow(p, &m->marks, m->n_marks, &m->marks_room, sizeof(*m->marks)))
			return -ENOMEM;
		return add_mark(p, node, below, tree, rights, prefix_size);
	}
	m->marks[m->n_marks] = (struct mark){
		.tree = tree, .rights = (uint16_t)rights, .prefix_size = (uint16_t)prefix_size};
	*link = (uint32_t)m->n_marks++;
	return 0;
}

/* One pattern under one spelling of its prefix. */
static int add_pattern(struct policy *p, uint32_t root, const char *prefix, const struct pattern *t,
	uint32_t tree, unsigned rights, bool gives)
{
	uint32_t node = add_path(p, root, prefix, gives);

	for (size_t i = 0; node && i < t->n_rest; i++) {
		const struct component *c = &t->rest[i];

		if (c->any_depth)
			node = child_deep(p, node);
		else if (c->magic)
			node = child_glob(p, node, c);
		else
			node = child_literal(p, node, c->s, c->n);
	}
	return node ? add_mark(p, node, t->subtree, tree, rights, strlen(prefix)) : -ENOMEM;
}

static int add_tree_marks(struct policy *p, size_t i)
{
	const struct tree *t = &p->trees[i];
	/* What is only connected to is in no view: there its names are not seen. */
	bool gives = t->pub.verdict != VERDICT_DENY && policy_tree_is_place(p, i) &&
		     (t->pub.rights & ~(unsigned)RIGHT_CONNECT);
	int r;

	if (t->pub.missing && t->pub.verdict != VERDICT_DENY)
		return 0;
	r = add_pattern(
		p, TRIE_ROOT, t->pub.prefix, &t->pattern, (uint32_t)i, t->pub.rights, gives);
	if (r == 0 && strcmp(t->pub.prefix, t->pub.resolved) != 0)
		r = add_pattern(p, TRIE_ROOT, t->pub.resolved, &t->pattern, (uint32_t)i,
			t->pub.rights, gives);
	return r;
}

static int add_excepts(struct policy *p, struct rule *rule)
{
	struct matcher *m = &p->matcher;

	rule->except_root = 0;
	if (rule->n_excepts == 0)
		return 0;
	rule->except_root = add_node(p, 0);
	if (!rule->except_root || !store_grow(p, &m->excepting, m->n_excepting, &m->excepting_room,
					  sizeof(*m->excepting)))
		return -ENOMEM;
	m->excepting[m->n_excepting++] = rule->except_root;
	for (size_t i = rule->first_except; i < rule->first_except + rule->n_excepts; i++) {
		const struct except *e = &p->excepts[i];
		int r = add_pattern(p, rule->except_root, e->pattern.prefix, &e->pattern,
			MARK_EXCEPT, MARKS_ALL, false);

		if (r == 0 && strcmp(e->pattern.prefix, e->resolved) != 0)
			r = add_pattern(p, rule->except_root, e->resolved, &e->pattern, MARK_EXCEPT,
				MARKS_ALL, false);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The path and all beneath, or what is so called in it; and no directory above may be renamed away
 * or put in its place. */
static int add_protected(struct policy *p, const struct protected_path *q)
{
	unsigned names = q->rights & (RIGHT_CREATE | RIGHT_DELETE);
	uint32_t node = TRIE_ROOT;
	const char *at = q->path + strspn(q->path, "/");
	int r = 0;

	while (node && r == 0 && (*at || q->names)) {
		size_t n = strcspn(at, "/");

		if (names)
			r = add_mark(p, node, false, MARK_PROTECT, names, 0);
		if (n == 0) {
			node = child_glob(p, node, q->names);
			break;
		}
		node = child_literal(p, node, at, n);
		at += n;
		at += strspn(at, "/");
	}
	if (!node || r < 0)
		return r < 0 ? r : -ENOMEM;
	return add_mark(p, node, !q->name_only, MARK_PROTECT, q->rights, 0);
}

void trie_free(struct policy *p)
{
	struct matcher *m = &p->matcher;

	free(m->nodes);
	free(m->marks);
	free(m->table);
	free(m->affixes);
	free(m->excepting);
	if (m->scratch) {
		for (size_t i = 0; i < 3; i++)
			free(m->scratch->active[i]);
		free(m->scratch->pending);
	}
	free(m->scratch);
	*m = (struct matcher){.nodes = NULL};
}

static int make_scratch(struct policy *p)
{
	struct matcher *m = &p->matcher;
	struct scratch *s = m->scratch = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < 3; i++)
		s->active[i] = calloc(m->n_nodes, sizeof(uint32_t));
	s->pending = calloc(m->n_marks, sizeof(uint32_t));
	return s->active[0] && s->active[1] && s->active[2] && s->pending ? 0 : -ENOMEM;
}

int trie_build(struct policy *p)
{
	struct matcher *m = &p->matcher;
	int r = 0;

	trie_free(p);
	add_node(p, 0);
	add_node(p, 0);
	if (!store_grow(p, &m->marks, m->n_marks, &m->marks_room, sizeof(*m->marks)) ||
		m->n_nodes != 2 || table_grow(m) < 0)
		return -ENOMEM;
	if (!store_grow(p, &m->affixes, m->n_affixes, &m->affixes_room, sizeof(*m->affixes)))
		return -ENOMEM;
	m->n_marks = m->n_affixes = 1;
	for (size_t i = 0; r == 0 && i < p->n_trees; i++)
		r = add_tree_marks(p, i);
	for (size_t i = 0; r == 0 && i < p->n_rules; i++)
		r = add_excepts(p, &p->rules[i]);
	for (size_t i = 0; r == 0 && i < p->n_protected; i++)
		r = add_protected(p, &p->protected[i]);
	return r < 0 ? r : make_scratch(p);
}

static int protect(struct policy *p, const char *path, struct protected_path q)
{
	char normal[PATH_MAX];
	int r = path_normalise(path, strlen(path), normal, sizeof(normal));

	if (r < 0)
		return -EINVAL;
	q.path = store_copy(p, normal, (size_t)r);
	if (!q.path || !store_grow(p, &p->protected, p->n_protected, &p->protected_room,
			       sizeof(*p->protected)))
		return -ENOMEM;
	p->protected[p->n_protected++] = q;
	return 0;
}

int policy_protect(struct policy *p, const char *path, unsigned rights)
{
	return protect(p, path, (struct protected_path){.rights = rights & RIGHTS_ALL});
}

int policy_protect_name(struct policy *p, const char *path)
{
	return protect(p, path,
		(struct protected_path){.rights = RIGHT_CREATE | RIGHT_DELETE, .name_only = true});
}

int policy_protect_names(struct policy *p, const char *dir, const char *names, unsigned rights)
{
	size_t n = strlen(names);
	struct component *c = store_alloc(p, sizeof(*c));
	unsigned char *magic = store_alloc(p, n + 1);
	const char *copy = store_copy(p, names, n);

	if (!c || !magic || !copy)
		return -ENOMEM;
	memset(magic, 1, n);
	*c = (struct component){.s = copy, .magic = magic, .n = n};
	return protect(p, dir, (struct protected_path){.names = c, .rights = rights & RIGHTS_ALL});
}
