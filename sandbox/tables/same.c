/* SPDX-License-Identifier: MIT */
/*
 * same.c - whether two programs answer the same.
 *
 * Runs in: the build, and tests.  Trusts: nothing.
 *
 * Every number is tried, and for each all the ways that either program can go: where a way asks
 * about an argument, the argument that lies just on the other side of the question makes another.
 */
#include "sandbox/tables/table.h"

#include <errno.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <stddef.h>
#include <string.h>

#define WORDS   (sizeof(struct seccomp_data) / sizeof(uint32_t))
#define ASK_MAX 1024 /* questions on one way */

_Static_assert(offsetof(struct seccomp_data, nr) == 0 && offsetof(struct seccomp_data, arch) == 4,
	"the first two words");

struct question {
	size_t word;
	uint32_t mask, k;
	unsigned op;
	bool yes;
};

/* One way through a program. */
struct way {
	struct question asked[ASK_MAX];
	unsigned n;
};

struct both {
	const struct filter *of[2];
};

static bool is_yes(unsigned op, uint32_t value, uint32_t k)
{
	return op == BPF_JEQ ? value == k : op == BPF_JGT ? value > k : value >= k;
}

/* -EINVAL: an instruction that it does not know, or no end. */
static int64_t go(const struct filter *p, const uint32_t *data, struct way *way)
{
	struct question q = {.mask = 0};
	uint32_t a = 0;

	for (size_t pc = 0; pc < p->n; pc++) {
		const struct sock_filter *i = &p->code[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			q.word = i->k / sizeof(*data);
			q.mask = ~0U;
			if (i->k % sizeof(*data) || q.word >= WORDS)
				return -EINVAL;
			a = data[q.word];
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			q.mask &= i->k;
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
			q.op = BPF_OP(i->code);
			q.k = i->k;
			q.yes = is_yes(q.op, a, q.k);
			pc += q.yes ? i->jt : i->jf;
			break;
		default:
			return -EINVAL;
		}
		if (way && way->n == ASK_MAX)
			return -E2BIG;
		if (way)
			way->asked[way->n++] = q;
	}
	return -EINVAL;
}

/* The nearest value that gets the other answer, where the bits that are asked about have one. */
static bool turn(const struct question *q, uint32_t *value)
{
	uint32_t bits = q->k;

	/* What is not asked about carries over. */
	if ((q->op == BPF_JEQ && q->yes) || (q->op == BPF_JGT && !q->yes))
		bits = (q->k | ~q->mask) + 1;
	else if (q->op == BPF_JGE && q->yes)
		bits = q->k - 1;
	bits &= q->mask;
	*value = (*value & ~q->mask) | bits;
	return is_yes(q->op, bits, q->k) != q->yes;
}

static bool agree(const struct both *b, int which, const uint32_t *data, struct way *way)
{
	int64_t answer = go(b->of[which], data, way);

	return answer >= 0 && answer == go(b->of[!which], data, NULL);
}

/* Each bit of a value that was asked for, whether the question was about it or not. */
static bool try_bits(const struct both *b, int which, const uint32_t *data, size_t word)
{
	bool same = true;

	for (unsigned bit = 0; same && bit < 32; bit++) {
		uint32_t turned[WORDS];

		memcpy(turned, data, sizeof(turned));
		turned[word] ^= 1U << bit;
		same = agree(b, which, turned, NULL);
	}
	return same;
}

/* All ways of `which` that part from this one at question `from` or later. */
static bool try_ways(const struct both *b, int which, const uint32_t *data, unsigned from)
{
	struct way way = {.n = 0};
	bool same = agree(b, which, data, &way);

	for (unsigned i = from; same && i < way.n; i++) {
		const struct question *q = &way.asked[i];
		uint32_t turned[WORDS];

		memcpy(turned, data, sizeof(turned));
		if (q->word == 0)
			continue;
		if (turn(q, &turned[q->word]))
			same = try_ways(b, which, turned, i + 1);
		if (same && q->op == BPF_JEQ)
			same = try_bits(b, which, q->yes ? data : turned, q->word);
	}
	return same;
}

int program_same(const struct filter *a, const struct filter *b, uint32_t arch)
{
	static const uint32_t beyond[] = {
		0x3fffffff, 0x40000000, 0x40000001, 0xfffffffe, 0xffffffff};
	const uint32_t n_beyond = sizeof(beyond) / sizeof(*beyond);
	const struct both both = {{a, b}};

	for (uint32_t i = 0; i < n_beyond + 2 * TABLE_LAST_KNOWN; i++) {
		uint32_t data[WORDS] = {i < n_beyond ? beyond[i] : i - n_beyond, arch};

		if (!try_ways(&both, 0, data, 0) || !try_ways(&both, 1, data, 0))
			return -EBADMSG;
	}
	return 0;
}
