/* SPDX-License-Identifier: MIT */
/*
 * json.h - writes one JSON object a line (JSON Lines) into a buffer.
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
#ifndef WARDER_JSON_H
#define WARDER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* After the first overrun every call does nothing, and json_end() says so. */
struct json {
	char *at, *begin, *end;
	bool overrun;
	bool first; /* no field yet: no comma */
};

/* Begins an object in the caller's buffer. */
struct json json_begin(char *buf, size_t size);
/* A field's name is the program's own: plain ASCII that needs no escape. */
void json_string(struct json *j, const char *name, const char *text); /* NULL: no field */
void json_bytes(struct json *j, const char *name, const char *bytes, size_t size);
void json_u64(struct json *j, const char *name, uint64_t v);
void json_i64(struct json *j, const char *name, int64_t v);
void json_bool(struct json *j, const char *name, bool v);
/* An object as a field's value; ended by json_close(). */
void json_open(struct json *j, const char *name);
void json_close(struct json *j);
/* Ends the object and the line.  Its size with the newline; -EMSGSIZE: it did not fit. */
long json_end(struct json *j);

#endif
