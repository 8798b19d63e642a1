/* SPDX-License-Identifier: MIT */
/*
 * match.c - the verdict: the one place that makes it.
 *
 * Runs in: broker.  Trusts: the policy; nothing in the path.
 *
 * A path is walked once, with the set of nodes that its components so far reach, so the cost is its
 * depth times the wildcards that really overlap, and a hostile path cannot make it explode as
 * backtracking would.  Each node is at most once in a set: two arrays of that size, allocated with
 * the trie, are all the memory a check needs.
 */
#include "policy/trie.h"

#include "common/path.h"

#include <errno.h>

/* ---- walk ------------------------------------------------------------------------------------ */

/* What the marks met so far say of the rights that are wanted. */
struct tally {
	const struct policy *p;
	unsigned wanted;
	size_t longest; /* grants whose prefix is not shorter are passed over; SIZE_MAX: none */
	unsigned protected;
	bool excepted;
	size_t n_pending;
	struct claim {
		uint32_t deny, ask, allow; /* tree + 1; 0: none */
		unsigned as, types;
		mode_t mode_max;
	} of[MARKS_COUNT];
};

static void keep_first(uint32_t *claim, uint32_t tree)
{
	if (!*claim || tree + 1 < *claim)
		*claim = tree + 1;
}

/* Of several allows the one that grants with more authority counts, whole; equals add up. */
static void claim_allow(struct claim *c, const struct rule *r, uint32_t tree)
{
	if (!c->allow || r->as > c->as) {
		*c = (struct claim){c->deny, c->ask, tree + 1, r->as, r->types, r->mode_max};
	} else if (r->as == c->as) {
		keep_first(&c->allow, tree);
		c->types |= r->types;
		c->mode_max |= r->mode_max;
	}
}

static void apply_mark(struct tally *t, const struct mark *mark)
{
	const struct rule *r = &t->p->rules[t->p->trees[mark->tree].pub.rule];
	unsigned rights = mark->rights & t->wanted;

	for (; rights; rights &= rights - 1) {
		struct claim *c = &t->of[__builtin_ctz(rights)];

		if (r->verdict == VERDICT_DENY)
			keep_first(&c->deny, mark->tree);
		else if (r->verdict == VERDICT_ASK)
			keep_first(&c->ask, mark->tree);
		else
			claim_allow(c, r, mark->tree);
	}
}

static void meet_marks(struct tally *t, uint32_t first)
{
	const struct matcher *m = &t->p->matcher;

	for (uint32_t i = first; i; i = m->marks[i].next) {
		struct mark *mark = &m->marks[i];
		const struct policy_tree *tree;

		if (!(mark->rights & t->wanted))
			continue;
		if (mark->tree == MARK_EXCEPT) {
			t->excepted = true;
		} else if (mark->tree == MARK_PROTECT) {
			t->protected |= mark->rights & t->wanted;
		} else {
			tree = &t->p->trees[mark->tree].pub;
			/* Nor does what asks about "**" give anything to put in a place. */
			if (tree->verdict != VERDICT_DENY && t->longest != SIZE_MAX &&
				(mark->prefix_size >= t->longest ||
					!policy_tree_is_place(t->p, mark->tree)))
				continue;
			if (!t->p->rules[tree->rule].except_root)
				apply_mark(t, mark);
			else if (!mark->seen) {
				mark->seen = 1;
				m->scratch->pending[t->n_pending++] = i;
			}
		}
	}
}

/* Adds a node, and the "**" beneath it, which may stand for nothing, to the set. */
static size_t enter(struct tally *t, uint32_t *set, size_t n, uint32_t node)
{
	const struct matcher *m = &t->p->matcher;

	for (; node && m->nodes[node].seen != m->scratch->stamp; node = m->nodes[node].deep) {
		m->nodes[node].seen = m->scratch->stamp;
		set[n++] = node;
		if (m->nodes[node].below)
			meet_marks(t, m->nodes[node].below);
	}
	return n;
}

/* The wildcards of one group. */
static size_t enter_group(
	struct tally *t, uint32_t group, uint32_t *to, size_t n_to, const char *s, size_t n)
{
	const struct node *nodes = t->p->matcher.nodes;

	for (uint32_t g = nodes[group].globs; g; g = nodes[g].next_in_group)
		if (component_match(nodes[g].glob, s, n))
			n_to = enter(t, to, n_to, g);
	return n_to;
}

/* The groups that a name may belong to: one for each length of a prefix or suffix there is. */
static size_t step_globs(
	struct tally *t, const struct affix *a, uint32_t *to, size_t n_to, const char *s, size_t n)
{
	const struct matcher *m = &t->p->matcher;

	for (size_t word = 0; word < 4; word++) {
		for (uint64_t left = a->prefix_lengths[word]; left; left &= left - 1) {
			size_t length = word * 64 + (size_t)__builtin_ctzll(left);

			if (length > n)
				break;
			n_to = enter_group(t,
				trie_find(m, a->prefixes, trie_hash(s, length), s, length), to,
				n_to, s, n);
		}
		for (uint64_t left = a->suffix_lengths[word]; left; left &= left - 1) {
			size_t length = word * 64 + (size_t)__builtin_ctzll(left);
			const char *end = s + n - length;

			if (length > n)
				break;
			n_to = enter_group(t,
				trie_find(m, a->suffixes, trie_hash(end, length), end, length), to,
				n_to, s, n);
		}
	}
	return enter_group(t, a->rest, to, n_to, s, n);
}

/* One component for the nodes of `from`.  Returns the size of the set `to`. */
static size_t step(
	struct tally *t, const uint32_t *from, size_t n_from, uint32_t *to, const char *s, size_t n)
{
	const struct matcher *m = &t->p->matcher;
	uint32_t name_hash = 0;
	bool hashed = false;
	size_t n_to = 0;

	trie_next_stamp(m);
	for (size_t i = 0; i < n_from; i++) {
		const struct node *node = &m->nodes[from[i]];

		if (node->has_literals) {
			if (!hashed)
				name_hash = trie_hash(s, n);
			hashed = true;
			n_to = enter(t, to, n_to, trie_find(m, from[i], name_hash, s, n));
		}
		if (node->affix)
			n_to = step_globs(t, &m->affixes[node->affix], to, n_to, s, n);
		if (node->is_deep)
			n_to = enter(t, to, n_to, from[i]);
	}
	return n_to;
}

static void walk(struct tally *t, uint32_t root, const char *path, size_t size)
{
	const struct matcher *m = &t->p->matcher;
	const char *end = path + size;
	uint32_t *set = m->scratch->active[0], *other = m->scratch->active[1];
	size_t n;

	trie_next_stamp(m);
	n = enter(t, set, 0, root);
	for (path++; path < end && n > 0;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		const char *to = slash ? slash : end;
		uint32_t *swap = set;

		n = step(t, set, n, other, path, (size_t)(to - path));
		set = other;
		other = swap;
		path = to + 1;
	}
	for (size_t i = 0; i < n; i++)
		if (m->nodes[set[i]].self)
			meet_marks(t, m->nodes[set[i]].self);
}

/* The marks whose rule has an `except` count only where none of it matches. */
static void settle_pending(struct tally *t, const char *path, size_t size)
{
	const struct policy *p = t->p;
	size_t n = t->n_pending;

	for (size_t i = 0; i < n; i++) {
		struct mark *mark = &p->matcher.marks[p->matcher.scratch->pending[i]];
		const struct rule *r = &p->rules[p->trees[mark->tree].pub.rule];
		struct tally inner = {.p = p, .wanted = t->wanted, .longest = SIZE_MAX};

		mark->seen = 0;
		walk(&inner, r->except_root, path, size);
		if (!inner.excepted)
			apply_mark(t, mark);
	}
}

/* ---- verdict --------------------------------------------------------------------------------- */

static const struct rule *rule_of(const struct policy *p, uint32_t claim)
{
	return &p->rules[p->trees[claim - 1].pub.rule];
}

static void answer_rule(struct policy_answer *a, enum verdict v, const struct rule *r)
{
	a->verdict = v;
	a->rule = r->name;
	a->timeout_ms = r->timeout_ms;
}

/* Deny beats ask beats allow, for each right; the worst right is the verdict. */
static void decide(const struct tally *t, struct policy_answer *a)
{
	uint32_t deny = 0, ask = 0, allow = 0;

	*a = (struct policy_answer){.as = AS_BROKER, .types = ~0u, .mode_max = 0777};
	for (unsigned left = t->wanted; left; left &= left - 1) {
		const struct claim *c = &t->of[__builtin_ctz(left)];

		if (c->deny) {
			keep_first(&deny, c->deny - 1);
		} else if (c->ask) {
			keep_first(&ask, c->ask - 1);
		} else if (c->allow) {
			allow = allow ? allow : c->allow;
			a->as = c->as < a->as ? c->as : a->as;
			a->types &= c->types;
			a->mode_max &= c->mode_max;
		} else {
			a->missing |= left & -left;
		}
	}
	if (t->protected)
		*a = (struct policy_answer){.verdict = VERDICT_DENY, .rule = POLICY_SELF};
	else if (deny) {
		*a = (struct policy_answer){.verdict = VERDICT_DENY};
		answer_rule(a, VERDICT_DENY, rule_of(t->p, deny));
	} else if (a->missing)
		*a = (struct policy_answer){.verdict = VERDICT_DENY, .missing = a->missing};
	else if (ask) {
		*a = (struct policy_answer){.mode_max = 0777};
		answer_rule(a, VERDICT_ASK, rule_of(t->p, ask));
	} else {
		answer_rule(a, VERDICT_ALLOW, rule_of(t->p, allow));
	}
}

enum verdict policy_check(const struct policy *p, const char *path, size_t size, unsigned rights,
	struct policy_answer *ret_answer)
{
	struct tally t = {.p = p, .wanted = rights & MARKS_ALL, .longest = SIZE_MAX};

	if (!p->compiled || !t.wanted || t.wanted != rights || !path_is_normal(path, size)) {
		*ret_answer = (struct policy_answer){.verdict = VERDICT_DENY, .missing = rights};
		return VERDICT_DENY;
	}
	walk(&t, TRIE_ROOT, path, size);
	settle_pending(&t, path, size);
	decide(&t, ret_answer);
	return ret_answer->verdict;
}

const char *match_replaceable(const struct policy *p, const char *path)
{
	size_t size = strlen(path);

	for (unsigned right = RIGHT_CREATE; right <= RIGHT_DELETE; right <<= 1) {
		struct tally t = {.p = p, .wanted = right, .longest = size};
		struct policy_answer a;

		walk(&t, TRIE_ROOT, path, size);
		settle_pending(&t, path, size);
		decide(&t, &a);
		if (a.verdict != VERDICT_DENY)
			return a.rule;
	}
	return NULL;
}

size_t policy_fixed(const struct policy *p, const char *path)
{
	size_t size = strlen(path), fixed = 0;
	char at[PATH_MAX];

	if (!p->compiled || !path_is_normal(path, size) || size >= sizeof(at))
		return size;
	for (size_t i = 1; i <= size; i++) {
		if (i < size && path[i] != '/')
			continue;
		memcpy(at, path, i);
		at[i] = '\0';
		if (match_replaceable(p, at))
			return fixed;
		fixed = i;
	}
	return size;
}

bool policy_names(const struct policy *p, const char *path, size_t size)
{
	const struct matcher *m = &p->matcher;
	const char *end = path + size;
	uint32_t node = TRIE_ROOT;

	if (!p->compiled || !path_is_normal(path, size))
		return false;
	for (path++; path < end && node && !m->nodes[node].inside;) {
		const char *slash = memchr(path, '/', (size_t)(end - path));
		size_t n = (size_t)((slash ? slash : end) - path);

		node = trie_find(m, node, trie_hash(path, n), path, n);
		path += n + 1;
	}
	return m->nodes[node].on_way;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int policy_compile(struct policy *p)
{
	int r = relate_runtime(p);

	if (r == 0)
		r = trie_build(p);
	if (r == 0)
		r = relate_crossings(p);
	if (r == 1)
		r = trie_build(p);
	if (r >= 0)
		r = relate_exec(p);
	if (r >= 0)
		r = peers_build(p);
	if (r < 0)
		return r;
	if (p->n_errors > 0)
		return -EINVAL;
	p->compiled = true;
	relate_sockets(p);
	parse_unknown_flags(p);
	return store_result(p);
}
