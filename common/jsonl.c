/* SPDX-License-Identifier: MIT */
/*
 * jsonl.c - writes one JSON object a line into a buffer.
 *
 * Runs in: broker, command line.  Trusts: its caller, but nothing in a string.
 *
 * Written by hand, since the broker writes a line for each descriptor and a line must cost well
 * under a microsecond.  Runs of harmless ASCII, which nearly every path is, are copied whole.
 */
#include "common/jsonl.h"

#include <errno.h>
#include <string.h>

#define UTF8_MAX 4 /* bytes of a character */

/* Room for n bytes, or NULL and the overrun that sticks. */
static char *take(struct jsonl *j, size_t n)
{
	char *at = j->at;

	if (j->overrun || (size_t)(j->end - at) < n) {
		j->overrun = true;
		return NULL;
	}
	j->at += n;
	return at;
}

static void put(struct jsonl *j, const void *p, size_t n)
{
	char *at = take(j, n);

	if (at)
		memcpy(at, p, n);
}

static void put_char(struct jsonl *j, char c)
{
	char *at = take(j, 1);

	if (at)
		*at = c;
}

static void put_escape(struct jsonl *j, unsigned unit)
{
	static const char hex[] = "0123456789abcdef";
	const char escape[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15],
		hex[unit >> 4 & 15], hex[unit & 15]};

	put(j, escape, sizeof(escape));
}

/* Printable ASCII that JSON takes as it is. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

#define EACH_BYTE(b) (0x0101010101010101ull * (b))

/*
 * Whether eight bytes are all plain.  In a byte below 0x80, adding 0x60 sets the high bit exactly
 * from 0x20 on; and a byte that is XORed with what it is looked for is zero, which adding 0x7f
 * leaves below 0x80.
 */
static bool are_plain(uint64_t v)
{
	const uint64_t high = EACH_BYTE(0x80), low = EACH_BYTE(0x7f);
	uint64_t good;

	if (v & high)
		return false;
	good = v + EACH_BYTE(0x60);
	good &= (v ^ EACH_BYTE('"')) + low;
	good &= (v ^ EACH_BYTE('\\')) + low;
	good &= (v ^ EACH_BYTE(0x7f)) + low;
	return (good & high) == high;
}

/* How many of the next bytes are plain. */
JSONL_INLINE size_t plain_run(const unsigned char *p, size_t size)
{
	uint64_t v;
	size_t n = 0;

	for (; size - n >= sizeof(v); n += sizeof(v)) {
		memcpy(&v, p + n, sizeof(v));
		if (!are_plain(v))
			break;
	}
	/* The last eight, some of them again, are quicker than the rest one by one. */
	if (n > 0 && size - n < sizeof(v)) {
		memcpy(&v, p + size - sizeof(v), sizeof(v));
		if (are_plain(v))
			return size;
	}
	while (n < size && is_plain(p[n]))
		n++;
	return n;
}

/*
 * The length of the UTF-8 character at p, and its code point; 0: it is none.  Overlong forms,
 * surrogates and what is beyond U+10FFFF are none (RFC 3629), or two spellings would be one name.
 */
static size_t utf8_character(const unsigned char *p, size_t left, unsigned *ret)
{
	static const unsigned least[UTF8_MAX + 1] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned c = p[0];
	size_t n;

	if (c < 0x80) {
		*ret = c;
		return 1;
	}
	n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (c < 0xc2 || c > 0xf4 || left < n)
		return 0;
	c &= 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return n;
}

/* Characters that a terminal obeys, that end a line, or that turn the direction of text. */
static bool must_hide(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x061c ||
	       (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
	       (c >= 0xe0000 && c <= 0xe0fff);
}

static void put_character(struct jsonl *j, const unsigned char *p, size_t n, unsigned c)
{
	if (c == '"' || c == '\\') {
		put(j, "\\", 1);
		put(j, p, n);
	} else if (must_hide(c) && c > 0xffff) {
		/* RFC 8259: beyond the basic plane an escape is a pair of surrogates. */
		put_escape(j, 0xd800 + ((c - 0x10000) >> 10));
		put_escape(j, 0xdc00 + (c & 0x3ff));
	} else if (must_hide(c)) {
		put_escape(j, c);
	} else {
		put(j, p, n);
	}
}

/* Writes the text; false: it is not UTF-8, and what was written is to be taken back.  Part of its
 * callers: one of them is called for each path of a line. */
JSONL_INLINE bool put_text(struct jsonl *j, const unsigned char *p, size_t size)
{
	size_t i = 0;

	while (i < size) {
		size_t run = plain_run(p + i, size - i);
		unsigned c;
		size_t n;

		put(j, p + i, run);
		i += run;
		if (i == size)
			break;
		n = utf8_character(p + i, size - i, &c);
		if (n == 0)
			return false;
		put_character(j, p + i, n, c);
		i += n;
	}
	return true;
}

static void put_latin1(struct jsonl *j, const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (is_plain(p[i]))
			put(j, &p[i], 1);
		else
			put_escape(j, p[i]);
	}
}

struct jsonl jsonl_begin(char *buf, size_t size)
{
	struct jsonl j = {.at = buf, .begin = buf, .end = buf + size, .first = true};

	put(&j, "{", 1);
	return j;
}

void jsonl_text(struct jsonl *j, const char *name, size_t name_size, const char *bytes, size_t size)
{
	char *start;

	put_char(j, '"');
	start = j->at;
	if (put_text(j, (const unsigned char *)bytes, size)) {
		put_char(j, '"');
		return;
	}
	j->at = start;
	put_latin1(j, (const unsigned char *)bytes, size);
	put(j, "\",\"", 3);
	put(j, name, name_size);
	put(j, "_bytes\":true", 12);
}

/* In one form; false: a text is not UTF-8, and what was written is to be taken back. */
static bool put_items(struct jsonl *j, const char *const *texts, bool bytes)
{
	for (size_t i = 0; texts[i]; i++) {
		const unsigned char *text = (const unsigned char *)texts[i];
		size_t size = strlen(texts[i]);

		put(j, ",\"", 2);
		if (bytes)
			put_latin1(j, text, size);
		else if (!put_text(j, text, size))
			return false;
		put_char(j, '"');
	}
	return true;
}

void jsonl_texts(struct jsonl *j, const char *name, const char *const *texts)
{
	char *start;
	bool plain;

	jsonl_field(j, name, 0);
	start = j->at;
	plain = put_items(j, texts, false);
	if (!plain) {
		j->at = start;
		put_items(j, texts, true);
	}
	/* The bracket takes the place of the first comma. */
	if (!texts[0])
		put_char(j, '[');
	else if (!j->overrun)
		*start = '[';
	put_char(j, ']');
	if (plain)
		return;
	put(j, ",\"", 2);
	put(j, name, strlen(name));
	put(j, "_bytes\":true", 12);
}

void jsonl_again(struct jsonl *j, const char *text, size_t size)
{
	put(j, text, size);
}

/* Two with each division. */
char *jsonl_digits(char *end, uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";

	for (; v >= 100; v /= 100) {
		end -= 2;
		memcpy(end, pairs + v % 100 * 2, 2);
	}
	if (v < 10) {
		*--end = (char)('0' + v);
	} else {
		end -= 2;
		memcpy(end, pairs + v * 2, 2);
	}
	return end;
}

void jsonl_open(struct jsonl *j, const char *name)
{
	char *at = jsonl_field(j, name, 1);

	if (at)
		*at = '{';
	j->first = true;
}

void jsonl_close(struct jsonl *j)
{
	put(j, "}", 1);
	j->first = false;
}

long jsonl_end(struct jsonl *j)
{
	put(j, "}\n", 2);
	return j->overrun ? -EMSGSIZE : j->at - j->begin;
}
