/* SPDX-License-Identifier: MIT */
/*
 * shrink.c - from libseccomp's program to a shorter one that answers the same.
 *
 * Runs in: the build, and tests.  Trusts: nothing; program_same() looks at what came out.
 *
 * The kernel translates a program each time it is loaded, instruction by instruction, and both the
 * worker's and the broker's are loaded at each start of a cell.  libseccomp compares with one value
 * after the other, numbers four to a branch of its tree, and compares the upper half of each
 * argument under a mask of zeros.  Here the program becomes a graph of questions: what has one
 * answer is not asked, and neighbouring values with the same future become one range, found by
 * halving.  Then the graph is written down again.
 */
#include "common/fd.h"
#include "sandbox/tables/table.h"

#include <errno.h>
#include <linux/bpf_common.h>
#include <stdlib.h>
#include <string.h>

#define NODES_MAX 8192
#define FAR       250 /* a jump's offset has eight bits; a few are kept for what is put between */
#define CHAIN_MAX 4   /* single values that are asked for one after the other */
#define ALL_BITS  0xffffffffu

struct node {
	unsigned op;           /* BPF_RET, or the comparison: BPF_JEQ, BPF_JGT, BPF_JGE */
	uint32_t offset, mask; /* which word of seccomp_data, and which of its bits */
	uint32_t k;            /* what they are compared with; BPF_RET: the answer */
	int yes, no;
};

/* Where a jump of the program led, with what in the accumulator. */
struct visit {
	size_t pc;
	uint32_t offset, mask;
	int node;
};

struct graph {
	const struct sock_filter *code;
	size_t n_code;
	struct node nodes[NODES_MAX];
	int n;
	struct visit visits[NODES_MAX];
	int n_visits;
	int arranged[NODES_MAX]; /* arrange() of each, -1: not yet */
};

/* ---- the graph ------------------------------------------------------------------------------- */

static int intern(struct graph *g, const struct node *node)
{
	for (int i = 0; i < g->n; i++) {
		const struct node *o = &g->nodes[i];

		if (o->op == node->op && o->offset == node->offset && o->mask == node->mask &&
			o->k == node->k && o->yes == node->yes && o->no == node->no)
			return i;
	}
	if (g->n == NODES_MAX)
		return -E2BIG;
	g->nodes[g->n] = *node;
	g->arranged[g->n] = -1;
	return g->n++;
}

static bool holds(unsigned op, uint32_t value, uint32_t k)
{
	return op == BPF_JEQ ? value == k : op == BPF_JGT ? value > k : value >= k;
}

/* A question, unless its answer does not matter or is known. */
static int ask(struct graph *g, const struct node *node)
{
	if (node->yes < 0 || node->no < 0)
		return node->yes < 0 ? node->yes : node->no;
	if (node->yes == node->no)
		return node->yes;
	if (node->mask == 0)
		return holds(node->op, 0, node->k) ? node->yes : node->no;
	return intern(g, node);
}

static int read_at(struct graph *g, size_t pc, uint32_t offset, uint32_t mask);

static int read_jump(struct graph *g, size_t pc, uint32_t offset, uint32_t mask)
{
	const struct sock_filter *i = &g->code[pc];
	struct node node = {BPF_OP(i->code), offset, mask, i->k, 0, 0};
	int r;

	for (int v = 0; v < g->n_visits; v++) {
		if (g->visits[v].pc == pc && g->visits[v].offset == offset &&
			g->visits[v].mask == mask)
			return g->visits[v].node;
	}
	if (node.op != BPF_JEQ && node.op != BPF_JGT && node.op != BPF_JGE)
		return -EINVAL;
	node.yes = read_at(g, pc + 1 + i->jt, offset, mask);
	node.no = read_at(g, pc + 1 + i->jf, offset, mask);
	r = ask(g, &node);
	if (r >= 0 && g->n_visits == NODES_MAX)
		return -E2BIG;
	if (r >= 0)
		g->visits[g->n_visits++] = (struct visit){pc, offset, mask, r};
	return r;
}

/* The node that the program is at from `pc` on; all its jumps lead forward. */
static int read_at(struct graph *g, size_t pc, uint32_t offset, uint32_t mask)
{
	while (pc < g->n_code) {
		const struct sock_filter *i = &g->code[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			offset = i->k;
			mask = ALL_BITS;
			pc++;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			mask &= i->k;
			pc++;
			break;
		case BPF_JMP | BPF_JA:
			pc += 1 + (size_t)i->k;
			break;
		case BPF_RET | BPF_K:
			return intern(g, &(struct node){BPF_RET, 0, 0, i->k, 0, 0});
		default:
			if (BPF_CLASS(i->code) != BPF_JMP || BPF_SRC(i->code) != BPF_K)
				return -EINVAL;
			return read_jump(g, pc, offset, mask);
		}
	}
	return -EINVAL;
}

/* ---- ranges of values ------------------------------------------------------------------------ */

/* What questions about the same bits, one after the other, come to. */
struct ranges {
	struct node first;        /* of which bits */
	uint32_t from[NODES_MAX]; /* ascending; a range ends where the next begins */
	int to[NODES_MAX];
	int n;
	bool seen[NODES_MAX];
};

static bool asks_same(const struct graph *g, int node, const struct node *first)
{
	const struct node *o = &g->nodes[node];

	return o->op != BPF_RET && o->offset == first->offset && o->mask == first->mask;
}

static int compare_values(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Where the future may change. */
static void collect(const struct graph *g, int node, struct ranges *r)
{
	const struct node *o = &g->nodes[node];

	if (!asks_same(g, node, &r->first) || r->seen[node] || r->n + 2 > NODES_MAX)
		return;
	r->seen[node] = true;
	if (o->op != BPF_JGT)
		r->from[r->n++] = o->k;
	if (o->op != BPF_JGE && o->k != ALL_BITS)
		r->from[r->n++] = o->k + 1;
	collect(g, o->yes, r);
	collect(g, o->no, r);
}

static int follow(const struct graph *g, int node, const struct node *first, uint32_t value)
{
	while (asks_same(g, node, first)) {
		const struct node *o = &g->nodes[node];

		node = holds(o->op, value, o->k) ? o->yes : o->no;
	}
	return node;
}

static int put_question(
	struct graph *g, const struct ranges *r, unsigned op, uint32_t k, int yes, int no)
{
	struct node node = r->first;

	node.op = op;
	node.k = k;
	node.yes = yes;
	node.no = no;
	return ask(g, &node);
}

static bool is_single(const struct ranges *r, int i)
{
	return i + 1 < r->n && r->from[i + 1] == r->from[i] + 1;
}

/* Single values amid one range: each is asked for by itself.  -ENOENT: it is not like that. */
static int chain(struct graph *g, const struct ranges *r, int lo, int hi)
{
	int rest = -1, n = 0, node;

	for (int i = lo; i <= hi; i++) {
		if (is_single(r, i))
			continue;
		if (rest >= 0 && rest != r->to[i])
			return -ENOENT;
		rest = r->to[i];
	}
	for (int i = lo; i <= hi; i++)
		n += r->to[i] != rest;
	if (rest < 0 || n > CHAIN_MAX)
		return -ENOENT;
	node = rest;
	for (int i = hi; i >= lo && node >= 0; i--) {
		if (r->to[i] != rest)
			node = put_question(g, r, BPF_JEQ, r->from[i], r->to[i], node);
	}
	return node;
}

static int tree(struct graph *g, const struct ranges *r, int lo, int hi)
{
	int middle = lo + (hi - lo + 1) / 2;
	int node, yes;

	if (lo == hi)
		return r->to[lo];
	node = chain(g, r, lo, hi);
	if (node != -ENOENT)
		return node;
	yes = tree(g, r, middle, hi);
	return put_question(g, r, BPF_JGE, r->from[middle], yes, tree(g, r, lo, middle - 1));
}

static uint32_t range_end(const struct ranges *r, int i)
{
	return i + 1 < r->n ? r->from[i + 1] - 1 : ALL_BITS;
}

/* Whether all values from `lo` to `hi` get one answer. */
static bool is_known(const struct node *o, uint32_t lo, uint32_t hi)
{
	if (o->op == BPF_JEQ)
		return lo == hi || o->k < lo || o->k > hi;
	return holds(o->op, lo, o->k) == holds(o->op, hi, o->k);
}

/* The graph from `node` on for range i: what is known by then is not asked again, further on, after
 * questions about other bits.  `memo` has what became of each node. */
static int narrow(struct graph *g, const struct ranges *r, int i, int node, int *memo)
{
	struct node o = g->nodes[node];
	uint32_t lo = r->from[i], hi = range_end(r, i);

	if (o.op == BPF_RET)
		return node;
	if (memo[node] != 0)
		return memo[node] - 1;
	if (asks_same(g, node, &r->first) && is_known(&o, lo, hi))
		o.no = o.yes = holds(o.op, lo, o.k) ? o.yes : o.no;
	o.yes = narrow(g, r, i, o.yes, memo);
	o.no = o.yes < 0 ? o.yes : narrow(g, r, i, o.no, memo);
	o.no = ask(g, &o);
	if (o.no >= 0)
		memo[node] = o.no + 1;
	return o.no;
}

static int arrange(struct graph *g, int node);

static int arrange_range(struct graph *g, const struct ranges *r, int i, int node)
{
	autofree int *memo = calloc(NODES_MAX, sizeof(*memo));
	int to = memo ? narrow(g, r, i, follow(g, node, &r->first, r->from[i]), memo) : -ENOMEM;

	return to < 0 ? to : arrange(g, to);
}

/* The same graph from `node` on, with all questions made anew. */
static int arrange(struct graph *g, int node)
{
	autofree struct ranges *r = NULL;
	int n = 0;

	if (g->nodes[node].op == BPF_RET || g->arranged[node] >= 0)
		return g->nodes[node].op == BPF_RET ? node : g->arranged[node];
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->first = g->nodes[node];
	r->from[r->n++] = 0;
	collect(g, node, r);
	qsort(r->from, (size_t)r->n, sizeof(*r->from), compare_values);
	for (int i = 0; i < r->n; i++) {
		int to;

		if (i + 1 < r->n && r->from[i] == r->from[i + 1])
			continue;
		to = arrange_range(g, r, i, node);
		if (to < 0)
			return to;
		if (n > 0 && r->to[n - 1] == to)
			continue;
		r->from[n] = r->from[i];
		r->to[n++] = to;
	}
	r->n = n;
	n = tree(g, r, 0, n - 1);
	if (n >= 0)
		g->arranged[node] = n;
	return n;
}

/* ---- written down, from the end to the beginning --------------------------------------------- */

struct out {
	const struct graph *g;
	struct sock_filter code[NODES_MAX]; /* the last instruction first */
	int n;
	bool loads[NODES_MAX]; /* it is met with another word in the accumulator */
	bool counted[NODES_MAX];
	/* The nearest place of each, with its word in the accumulator or not; -1: none yet. */
	int at[2][NODES_MAX];
};

/* Whether `to` finds its word in the accumulator when it comes after `from`. */
static bool is_loaded(const struct graph *g, int from, int to)
{
	const struct node *a = &g->nodes[from], *b = &g->nodes[to];

	return b->op == BPF_RET || (a->offset == b->offset && a->mask == b->mask);
}

static void count_loads(struct out *o, int node)
{
	const struct node *q = &o->g->nodes[node];

	if (q->op == BPF_RET || o->counted[node])
		return;
	o->counted[node] = true;
	o->loads[q->yes] |= !is_loaded(o->g, node, q->yes);
	o->loads[q->no] |= !is_loaded(o->g, node, q->no);
	count_loads(o, q->yes);
	count_loads(o, q->no);
}

static int put(struct out *o, unsigned code, unsigned jt, unsigned jf, uint32_t k)
{
	if (o->n == NODES_MAX)
		return -E2BIG;
	o->code[o->n] = (struct sock_filter){(uint16_t)code, (uint8_t)jt, (uint8_t)jf, k};
	return o->n++;
}

/* Where a jump from here may lead: the place itself, or a step on the way to it. */
static int nearby(struct out *o, int node, bool loaded)
{
	int *at = &o->at[loaded][node];

	if (o->n - *at <= FAR)
		return 0;
	*at = o->g->nodes[node].op == BPF_RET
		      ? put(o, BPF_RET | BPF_K, 0, 0, o->g->nodes[node].k)
		      : put(o, BPF_JMP | BPF_JA, 0, 0, (uint32_t)(o->n - *at - 1));
	return *at < 0 ? *at : 0;
}

static int write_node(struct out *o, int node);

static int write_question(struct out *o, int node)
{
	const struct node *q = &o->g->nodes[node];
	bool yes = is_loaded(o->g, node, q->yes), no = is_loaded(o->g, node, q->no);
	int r = write_node(o, q->yes);

	if (r == 0)
		r = write_node(o, q->no);
	if (r == 0)
		r = nearby(o, q->yes, yes);
	if (r == 0)
		r = nearby(o, q->no, no);
	if (r < 0)
		return r;
	r = put(o, BPF_JMP | q->op | BPF_K, (unsigned)(o->n - o->at[yes][q->yes] - 1),
		(unsigned)(o->n - o->at[no][q->no] - 1), q->k);
	o->at[true][node] = r;
	if (r >= 0 && o->loads[node] && q->mask != ALL_BITS)
		r = put(o, BPF_ALU | BPF_AND | BPF_K, 0, 0, q->mask);
	if (r >= 0 && o->loads[node])
		r = o->at[false][node] = put(o, BPF_LD | BPF_W | BPF_ABS, 0, 0, q->offset);
	return r < 0 ? r : 0;
}

static int write_node(struct out *o, int node)
{
	const struct node *q = &o->g->nodes[node];

	if (o->at[true][node] >= 0)
		return 0;
	if (q->op != BPF_RET)
		return write_question(o, node);
	o->at[true][node] = put(o, BPF_RET | BPF_K, 0, 0, q->k);
	return o->at[true][node] < 0 ? o->at[true][node] : 0;
}

static int write_all(const struct graph *g, int root, struct sock_filter *code, size_t *n)
{
	autofree struct out *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return -ENOMEM;
	o->g = g;
	memset(o->at, -1, sizeof(o->at));
	o->loads[root] = true;
	count_loads(o, root);
	r = write_node(o, root);
	if (r < 0)
		return r;
	if ((size_t)o->n > *n) /* as it was, then */
		return 0;
	for (int i = 0; i < o->n; i++)
		code[i] = o->code[o->n - 1 - i];
	*n = (size_t)o->n;
	return 0;
}

int program_shrink(struct sock_filter *code, size_t *n)
{
	autofree struct graph *g = calloc(1, sizeof(*g));
	int root;

	if (!g)
		return -ENOMEM;
	g->code = code;
	g->n_code = *n;
	root = read_at(g, 0, ALL_BITS, 0); /* the accumulator begins as zero */
	if (root >= 0)
		root = arrange(g, root);
	return root < 0 ? root : write_all(g, root, code, n);
}
