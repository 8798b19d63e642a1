/* SPDX-License-Identifier: MIT */
/*
 * path.c - paths as bytes: normal form and components.
 *
 * Runs in: broker, command line.  Trusts: nothing in the path.
 */
#include "common/path.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

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
