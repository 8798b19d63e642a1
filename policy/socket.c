/* SPDX-License-Identifier: MIT */
/*
 * socket.c - the syntax of sockets: hosts, addresses, ports, paths, abstract names.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 *
 * Checks only: no rule of this version gives a socket, but what it will say is read whole.
 */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PATH_MAX 107 /* sun_path less its NUL, unix(7) */

static int parse_number(const char *s, size_t n, unsigned max, unsigned *ret)
{
	unsigned v = 0;

	if (n == 0 || n > 5)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EINVAL;
		v = v * 10 + (unsigned)(s[i] - '0');
	}
	if (v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

/* NUMBER, NUMBER-NUMBER or "*", from byte `at` to the end of the word. */
static int check_ports(struct policy *p, const struct word *w, size_t at)
{
	const char *s = w->s + at;
	size_t n = w->n - at;
	const char *dash = memchr(s, '-', n);
	size_t first = dash ? (size_t)(dash - s) : n;
	unsigned low, high;

	if (n == 1 && word_magic(w, at, '*'))
		return 0;
	if (parse_number(s, first, 65535, &low) < 0 ||
		(dash && parse_number(dash + 1, n - first - 1, 65535, &high) < 0))
		return error_at(p, w->column,
			"\"%s\": after the last \":\" stands a port from 0 to 65535, a range such "
			"as 8000-8080, or \"*\"",
			w->s);
	if (dash && high < low)
		return error_at(p, w->column, "\"%s\": the range of ports runs backwards", w->s);
	return 0;
}

/* An IPv4 or, in brackets, IPv6 address with perhaps "/BITS".  1: it is none. */
static int check_address(struct policy *p, const struct word *w, size_t n)
{
	char text[INET6_ADDRSTRLEN + 1];
	const char *s = w->s, *slash = memchr(s, '/', n);
	size_t length = slash ? (size_t)(slash - s) : n;
	bool v6 = length > 0 && s[0] == '[';
	unsigned char address[16];
	unsigned bits;

	if (v6 && s[length - 1] != ']')
		return error_at(p, w->column, "\"%s\": a \"[\" without its \"]\"", w->s);
	if (v6) {
		s++;
		length -= 2;
	}
	if (length >= sizeof(text))
		return 1;
	memcpy(text, s, length);
	text[length] = '\0';
	if (inet_pton(v6 ? AF_INET6 : AF_INET, text, address) != 1)
		return v6 ? error_at(p, w->column, "\"%s\" holds no IPv6 address", w->s) : 1;
	if (slash &&
		parse_number(slash + 1, n - (size_t)(slash + 1 - w->s), v6 ? 128 : 32, &bits) < 0)
		return error_at(p, w->column,
			"\"%s\": after \"/\" stands a number of bits, 0 to %d", w->s,
			v6 ? 128 : 32);
	return 0;
}

/* A host's name; perhaps with "*." before it. */
static int check_name(struct policy *p, const struct word *w, size_t n)
{
	size_t at = word_magic(w, 0, '*') && n > 2 && w->s[1] == '.' ? 2 : 0;
	size_t label = 0;
	bool letter = false;

	if (n == 0 || n > 253)
		return error_at(p, w->column, "\"%s\": a host is missing before the port", w->s);
	for (size_t i = at; i <= n; i++) {
		char c = i < n ? w->s[i] : '.';
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		letter |= alnum && (c < '0' || c > '9');
		if (c == '.' && (label > 0 || i == n) && label <= 63)
			label = 0;
		else if (alnum || c == '_' || (c == '-' && label > 0))
			label++;
		else
			return error_at(p, w->column,
				"\"%.*s\" is neither a host's name nor an address", (int)n, w->s);
	}
	if (!letter)
		return error_at(p, w->column, "\"%.*s\" is neither a host's name nor an address",
			(int)n, w->s);
	return 0;
}

static int check_internet(struct policy *p, const struct word *w)
{
	const char *colon = strrchr(w->s, ':');
	size_t n;
	int r;

	if (!colon || colon == w->s + w->n)
		return error_at(p, w->column,
			"\"%s\" is no socket: write HOST:PORT, a path, or \"@\" and an abstract "
			"name",
			w->s);
	n = (size_t)(colon - w->s);
	if (n > 0 && w->s[0] != '[' && memchr(w->s, ':', n))
		return error_at(
			p, w->column, "\"%s\": write an IPv6 address in brackets, [::1]:80", w->s);
	r = check_address(p, w, n);
	if (r == 1)
		r = check_name(p, w, n);
	return r < 0 ? r : check_ports(p, w, n + 1);
}

static int check_unix(struct policy *p, const struct word *w)
{
	const char *path;
	bool slash;
	int r;

	if (w->s[0] == '@') {
		if (w->n < 2 || w->n - 1 > UNIX_PATH_MAX)
			return error_at(p, w->column,
				"\"%s\": an abstract name has 1 to %d bytes after \"@\"", w->s,
				UNIX_PATH_MAX);
		return 0;
	}
	r = target_path(p, w, false, &path, &slash);
	if (r == 0 && slash)
		return error_at(p, w->column, "\"%s\": a socket is no directory", w->s);
	return r;
}

int socket_parse(struct policy *p, const struct word *words, int n, int at, bool bind)
{
	const struct word *w = &words[at];
	int protocol = word_is(w, "tcp") || word_is(w, "udp"), r;

	if (protocol && at + 1 >= n)
		return error_at(
			p, w->column + (unsigned)w->n, "a socket is missing after \"%s\"", w->s);
	w += protocol;
	if (w->n == 0)
		return error_at(p, w->column, "an empty socket");
	if (strchr("/@~", w->s[0]) || strncmp(w->s, "./", 2) == 0) {
		if (protocol)
			return error_at(
				p, w->column, "\"%s\": a Unix socket is neither tcp nor udp", w->s);
		r = check_unix(p, w);
	} else {
		r = check_internet(p, w);
	}
	if (r == 0 && bind && w->s[0] == '*' && w->n > 1 && w->s[1] == '.')
		r = error_at(p, w->column, "\"%s\": bind takes an address or a name", w->s);
	return r < 0 ? r : 1 + protocol;
}
