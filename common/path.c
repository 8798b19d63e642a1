/* SPDX-License-Identifier: MIT */
/*
 * path.c - paths as bytes: normal form and components.
 *
 * Runs in: broker, command line.  Trusts: nothing in the path.
 */
#include "common/path.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

#define EACH_BYTE(b) (0x0101010101010101ull * (b))

/* The high bit of each byte that is b; perhaps of some above such a byte too. */
static uint64_t bytes_that_are(uint64_t v, unsigned char b)
{
	v ^= EACH_BYTE(b);
	return (v - EACH_BYTE(1)) & ~v & EACH_BYTE(0x80);
}

/* Whether one of the eight bytes from `at` on may be a slash with a slash or a dot behind it. */
static inline bool may_be_odd(const char *at)
{
	uint64_t v, next;

	memcpy(&v, at, sizeof(v));
	memcpy(&next, at + 1, sizeof(next));
	return bytes_that_are(v, '/') & (bytes_that_are(next, '/') | bytes_that_are(next, '.'));
}

/* Whether no slash has a slash or a dot behind it: most paths are told so, nine bytes at a time,
 * the last nine of them perhaps again in part. */
static bool has_no_dots(const char *path, size_t size)
{
	const size_t step = sizeof(uint64_t);
	const char *last;

	if (size <= step)
		return false;
	last = path + size - step - 1;
	for (; path < last; path += step) {
		if (may_be_odd(path))
			return false;
	}
	return !may_be_odd(last);
}

/* Whether what comes behind a slash is a name, and none of "." and "..". */
static bool name_begins(const char *s, size_t left)
{
	if (left == 0 || s[0] == '/')
		return false;
	if (s[0] != '.')
		return true;
	if (left > 1 && s[1] == '.') {
		s++;
		left--;
	}
	return left > 1 && s[1] != '/';
}

bool path_is_normal(const char *path, size_t size)
{
	if (size <= 1)
		return size == 1 && path[0] == '/';
	if (path[0] != '/' || path[size - 1] == '/')
		return false;
	if (has_no_dots(path, size))
		return true;
	for (size_t i = 0; i < size; i++) {
		if (path[i] == '/' && !name_begins(path + i + 1, size - i - 1))
			return false;
	}
	return true;
}

bool path_holds(const char *dir, const char *path, size_t size)
{
	size_t n = strlen(dir);

	return n == 1 || (size >= n && memcmp(path, dir, n) == 0 && (size == n || path[n] == '/'));
}

const char *path_relative(const char *path)
{
	while (*path == '/')
		path++;
	return *path ? path : ".";
}

/* Takes the last component off buf[0..n). */
static size_t pop_component(const char *buf, size_t n)
{
	while (n > 0 && buf[n - 1] != '/')
		n--;
	return n > 0 ? n - 1 : 0;
}

int path_normalise(const char *path, size_t size, char *buf, size_t buf_size)
{
	const char *end = path + size;
	size_t n = 0;

	if (size == 0 || path[0] != '/' || memchr(path, '\0', size))
		return -EINVAL;
	/* As nearly every path is; and too short to hold a name that is too long. */
	if (size <= NAME_MAX && size < buf_size && path_is_normal(path, size)) {
		memcpy(buf, path, size);
		buf[size] = '\0';
		return (int)size;
	}
	while (path < end) {
		const char *next;
		size_t len;

		while (path < end && *path == '/')
			path++;
		next = memchr(path, '/', (size_t)(end - path));
		if (!next)
			next = end;
		len = (size_t)(next - path);
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			n = pop_component(buf, n);
		} else if (len > 0 && !(len == 1 && path[0] == '.')) {
			if (n + 1 + len + 1 > buf_size)
				return -ENAMETOOLONG;
			buf[n++] = '/';
			memcpy(buf + n, path, len);
			n += len;
		}
		path = next;
	}
	if (n == 0) {
		if (buf_size < 2)
			return -ENAMETOOLONG;
		buf[n++] = '/';
	}
	buf[n] = '\0';
	return (int)n;
}
