/* SPDX-License-Identifier: MIT */
/*
 * plain.c - which characters do no harm where a person reads them.
 *
 * Runs in: broker (at start), command line.  Trusts: nothing in the text.
 *
 * What is printed on a terminal and what a policy's line quotes is told apart here alone, so that
 * neither shows raw what the other escapes.
 */
#include "common/plain.h"

#include <stdbool.h>
#include <stdint.h>

/* Marks that turn the direction of what follows, and with it what a name seems to be, or end a
 * line: U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. */
static bool turns(const uint8_t *p, size_t len)
{
	if (len == 2)
		return p[0] == 0xd8 && p[1] == 0x9c;
	if (len != 3 || p[0] != 0xe2)
		return false;
	if (p[1] == 0x80)
		return p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae);
	return p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9;
}

size_t plain_size(const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (p[0] < 0x20 || p[0] == 0x7f || p[0] > 0xf4 || len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, above U+10FFFF; and U+0080 to U+009F, which terminals may
	 * take for control characters. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
		(p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ||
		(p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return turns(p, len) ? 0 : len;
}
