/* SPDX-License-Identifier: MIT */
/*
 * nearest.h - "did you mean": the known word that a mistyped one is nearest to.
 */
#ifndef WARDER_NEAREST_H
#define WARDER_NEAREST_H

#include <stddef.h>

/*
 * The word of the NULL-terminated list that the fewest letters added, left out, changed or swapped
 * with a neighbour make out of `word` (`size` bytes); the first of equals.  NULL where more than
 * two would change, or of at most three more than one: then a suggestion is a guess.
 */
const char *nearest_word(const char *word, size_t size, const char *const *words);

#endif
