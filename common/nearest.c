/* SPDX-License-Identifier: MIT */
/*
 * nearest.c - "did you mean": the known word that a mistyped one is nearest to.
 *
 * Runs in: broker (at start), command line.  Trusts: nothing in the word.
 */
#include "common/nearest.h"

#include <string.h>

#define WORD_MAX 48

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits between a and b, both at most WORD_MAX bytes; a swap of neighbours is one. */
static unsigned distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	unsigned row[3][WORD_MAX + 1]; /* the last two rows and the present one */

	for (size_t j = 0; j <= n_b; j++)
		row[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *two_up = row[(i + 1) % 3];

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned change = up[j - 1] + (a[i - 1] != b[j - 1]);

			now[j] = min3(up[j] + 1, now[j - 1] + 1, change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				two_up[j - 2] + 1 < now[j])
				now[j] = two_up[j - 2] + 1;
		}
	}
	return row[n_a % 3][n_b];
}

const char *nearest_word(const char *word, size_t size, const char *const *words)
{
	const char *best = NULL;
	unsigned limit = size > 3 ? 2 : 1;
	unsigned best_edits = limit + 1;

	if (size == 0 || size > WORD_MAX)
		return NULL;
	for (; words && *words; words++) {
		size_t n = strlen(*words);
		unsigned edits;

		if (n > WORD_MAX)
			continue;
		edits = distance(word, size, *words, n);
		if (edits < best_edits && edits < n) {
			best = *words;
			best_edits = edits;
		}
	}
	return best;
}
