/* SPDX-License-Identifier: MIT */
/*
 * jsonl.h - writes one JSON object a line (JSON Lines) into a buffer.
 *
 * Names and paths are bytes, JSON is Unicode, so a string field has two forms:
 *
 *     "asked":"/srv/caf\u00e9"                        valid UTF-8: the text itself
 *     "asked":"/srv/caf\u00e9","asked_bytes":true     not UTF-8: each character is one byte
 *
 * In the second form all characters are at most U+00FF: encoded as Latin-1 they are the bytes that
 * were given.  Control characters, and those that steer a terminal or turn the direction of text,
 * are escaped in both forms, so that a line is safe to show; no form loses a byte.
 */
#ifndef WARDER_JSONL_H
#define WARDER_JSONL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* After the first overrun every call does nothing, and jsonl_end() says so. */
struct jsonl {
	char *at, *begin, *end;
	bool overrun;
	bool first; /* no field yet: no comma */
};

/* Begins an object in the caller's buffer. */
struct jsonl jsonl_begin(char *buf, size_t size);

/*
 * A field's name is the program's own: plain ASCII that needs no escape.  A line holds a dozen and
 * more, so that each is put by code of its own, in which the name's length is a constant.
 */
#define JSONL_INLINE static inline __attribute__((always_inline))

/* ,"name": and room for `size` bytes of its value, which it returns; NULL: an overrun. */
JSONL_INLINE char *jsonl_field(struct jsonl *j, const char *name, size_t size)
{
	size_t comma = j->first ? 0 : 1, n = strlen(name);
	char *at = j->at;

	if (j->overrun || (size_t)(j->end - at) < comma + n + 3 + size) {
		j->overrun = true;
		return NULL;
	}
	*at = ','; /* the quote takes its place in the first field */
	at += comma;
	*at++ = '"';
	memcpy(at, name, n);
	at[n] = '"';
	at[n + 1] = ':';
	at += n + 2;
	j->first = false;
	j->at = at + size;
	return at;
}

/* The value of a field whose name was put. */
void jsonl_text(
	struct jsonl *j, const char *name, size_t name_size, const char *bytes, size_t size);
/* The digits of v before `end`, from which they begin. */
char *jsonl_digits(char *end, uint64_t v);

JSONL_INLINE void jsonl_bytes(struct jsonl *j, const char *name, const char *bytes, size_t size)
{
	jsonl_field(j, name, 0);
	jsonl_text(j, name, strlen(name), bytes, size);
}

JSONL_INLINE void jsonl_string(struct jsonl *j, const char *name, const char *text)
{
	if (text) /* NULL: no field */
		jsonl_bytes(j, name, text, strlen(text));
}

/* The same for a text that is the program's own too, and goes unread. */
JSONL_INLINE void jsonl_own(struct jsonl *j, const char *name, const char *text, size_t size)
{
	char *at = jsonl_field(j, name, size + 2);

	if (!at)
		return;
	at[0] = '"';
	memcpy(at + 1, text, size);
	at[size + 1] = '"';
}

JSONL_INLINE void jsonl_u64(struct jsonl *j, const char *name, uint64_t v)
{
	char digits[20], *end = digits + sizeof(digits), *from = jsonl_digits(end, v);
	char *at = jsonl_field(j, name, (size_t)(end - from));

	if (at)
		memcpy(at, from, (size_t)(end - from));
}

JSONL_INLINE void jsonl_i64(struct jsonl *j, const char *name, int64_t v)
{
	char digits[21], *end = digits + sizeof(digits);
	char *from = jsonl_digits(end, v < 0 ? -(uint64_t)v : (uint64_t)v), *at;

	if (v < 0)
		*--from = '-';
	at = jsonl_field(j, name, (size_t)(end - from));
	if (at)
		memcpy(at, from, (size_t)(end - from));
}

JSONL_INLINE void jsonl_bool(struct jsonl *j, const char *name, bool v)
{
	char *at = jsonl_field(j, name, v ? 4 : 5);

	if (at)
		memcpy(at, v ? "true" : "false", v ? 4 : 5);
}

/* An array of texts, up to a NULL.  Where one of them is not UTF-8, NAME_bytes is said of all. */
void jsonl_texts(struct jsonl *j, const char *name, const char *const *texts);
/* Whole fields as they stand in another line, of which they were not the first. */
void jsonl_again(struct jsonl *j, const char *text, size_t size);
/* An object as a field's value; ended by jsonl_close(). */
void jsonl_open(struct jsonl *j, const char *name);
void jsonl_close(struct jsonl *j);
/* Ends the object and the line.  Its size with the newline; -EMSGSIZE: it did not fit. */
long jsonl_end(struct jsonl *j);

#endif
