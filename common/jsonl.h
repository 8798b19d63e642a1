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
 * more, so their lengths are known when the caller is compiled.
 */
void jsonl_bytes_n(
	struct jsonl *j, const char *name, size_t name_size, const char *bytes, size_t size);
void jsonl_own_n(
	struct jsonl *j, const char *name, size_t name_size, const char *text, size_t size);
void jsonl_u64_n(struct jsonl *j, const char *name, size_t name_size, uint64_t v);
void jsonl_i64_n(struct jsonl *j, const char *name, size_t name_size, int64_t v);

static inline void jsonl_bytes(struct jsonl *j, const char *name, const char *bytes, size_t size)
{
	jsonl_bytes_n(j, name, strlen(name), bytes, size);
}

static inline void jsonl_string(struct jsonl *j, const char *name, const char *text)
{
	if (text) /* NULL: no field */
		jsonl_bytes_n(j, name, strlen(name), text, strlen(text));
}

/* The same for a text that is the program's own too, and goes unread. */
static inline void jsonl_own(struct jsonl *j, const char *name, const char *text, size_t size)
{
	jsonl_own_n(j, name, strlen(name), text, size);
}

static inline void jsonl_u64(struct jsonl *j, const char *name, uint64_t v)
{
	jsonl_u64_n(j, name, strlen(name), v);
}

static inline void jsonl_i64(struct jsonl *j, const char *name, int64_t v)
{
	jsonl_i64_n(j, name, strlen(name), v);
}

void jsonl_bool(struct jsonl *j, const char *name, bool v);
/* An object as a field's value; ended by jsonl_close(). */
void jsonl_open(struct jsonl *j, const char *name);
void jsonl_close(struct jsonl *j);
/* Ends the object and the line.  Its size with the newline; -EMSGSIZE: it did not fit. */
long jsonl_end(struct jsonl *j);

#endif
