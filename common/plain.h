/* SPDX-License-Identifier: MIT */
/*
 * plain.h - which characters do no harm where a person reads them.
 */
#ifndef WARDER_PLAIN_H
#define WARDER_PLAIN_H

#include <stddef.h>

/*
 * How many bytes the character at text[0..n) has, n > 0; 0 where its first byte has to be escaped:
 * a control character, one of C1 in UTF-8 too, one that ends a line or turns the direction of what
 * follows, and what is no UTF-8.
 */
size_t plain_size(const char *text, size_t n);

#endif
