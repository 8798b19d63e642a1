/* SPDX-License-Identifier: MIT */
/*
 * lib_status.c - the lines of `warder run --status-fd`.
 *
 * Runs in: any program that starts a cell.  Trusts: warder, but reads no byte past its line.
 *
 * A flat object of strings, numbers and words needs no JSON library; whatever else the line holds
 * is "no such key".
 */
#include "sandbox/lib_status.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *p)
{
	while (*p == ' ' || *p == '\t')
		p++;
	return p;
}

/* Past the string that begins at p with its quote; NULL: it does not end. */
static const char *skip_string(const char *p)
{
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p == '"' ? p + 1 : NULL;
}

/* Past a value: a string, or what stands before the next comma or brace. */
static const char *skip_value(const char *p)
{
	return *p == '"' ? skip_string(p) : p + strcspn(p, ",{}[]\"");
}

/* Where the value of a key begins, or NULL. */
static const char *find(const char *line, const char *key)
{
	size_t size = strlen(key);
	const char *p = skip_space(line);

	if (*p != '{')
		return NULL;
	do {
		const char *name = skip_space(p + 1), *end;

		if (*name != '"' || !(end = skip_string(name)))
			return NULL;
		p = skip_space(end);
		if (*p != ':')
			return NULL;
		p = skip_space(p + 1);
		if ((size_t)(end - name) == size + 2 && memcmp(name + 1, key, size) == 0)
			return p;
		p = skip_value(p);
		p = p ? skip_space(p) : NULL;
	} while (p && *p == ',');
	return NULL;
}

static int hex(const char *p)
{
	char digits[5] = {0}, *end;
	long v;

	memcpy(digits, p, strnlen(p, 4));
	v = strtol(digits, &end, 16);
	return end == digits + 4 ? (int)v : -1;
}

/* One character of a string at *p; names that are not ASCII come as \u00NN, a byte each. */
static int get_char(const char **p)
{
	static const char plain[] = "\"\\/", named[] = "bfnrt";
	const char *at = *p;
	int v;

	if (*at != '\\') {
		*p = at + 1;
		return (unsigned char)*at;
	}
	if (at[1] == 'u') {
		v = hex(at + 2);
		*p = at + (v < 0 ? 2 : 6);
		return v < 0x20 || v > 0xff ? '?' : v;
	}
	*p = at + 2;
	if (strchr(plain, at[1]))
		return at[1];
	return strchr(named, at[1]) ? ' ' : '?';
}

bool status_string(const char *line, const char *key, char *buf, size_t size)
{
	const char *p = find(line, key), *end;
	size_t n = 0;

	if (!p || *p != '"' || !(end = skip_string(p)))
		return false;
	for (p++; p < end - 1 && n + 1 < size;)
		buf[n++] = (char)get_char(&p);
	buf[n] = '\0';
	return true;
}

bool status_number(const char *line, const char *key, uint64_t *ret)
{
	const char *p = find(line, key);
	unsigned long long v;
	char *end;

	if (!p || *p < '0' || *p > '9')
		return false;
	v = strtoull(p, &end, 10);
	p = skip_space(end);
	if (*p != ',' && *p != '}')
		return false;
	*ret = v;
	return true;
}

bool status_true(const char *line, const char *key)
{
	const char *p = find(line, key);

	return p && strncmp(p, "true", 4) == 0 && strchr(",} \t", p[4]) && p[4];
}
