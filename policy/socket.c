/* SPDX-License-Identifier: MIT */
/*
 * socket.c - the syntax of sockets without a path: hosts, addresses, ports, abstract names.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIX_NAME_MAX 107 /* sun_path less its first NUL, unix(7) */

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

/* As a policy has to write it: what is special in a path is not in a host. */
static const char *socket_text(struct policy *p, const struct word *w)
{
	return w->s[0] == '@' ? text_word(p, w->s, w->magic, w->n) : w->s;
}

/* NUMBER, NUMBER-NUMBER or "*", from byte `at` to the end of the word. */
static int parse_ports(struct policy *p, const struct word *w, size_t at, struct endpoint *ret)
{
	const char *s = w->s + at;
	size_t n = w->n - at;
	const char *dash = memchr(s, '-', n);
	size_t first = dash ? (size_t)(dash - s) : n;
	unsigned low = 0, high = 65535;

	if (n == 1 && word_magic(w, at, '*')) {
		ret->high = 65535;
		return 0;
	}
	if (parse_number(s, first, 65535, &low) < 0 ||
		(dash && parse_number(dash + 1, n - first - 1, 65535, &high) < 0))
		return error_at(p, w->column,
			"\"%s\": after the last \":\" stands a port from 0 to 65535, a range such "
			"as 8000-8080, or \"*\"",
			w->s);
	if (dash && high < low)
		return error_at(p, w->column, "\"%s\": the range of ports runs backwards", w->s);
	ret->low = (uint16_t)low;
	ret->high = (uint16_t)(dash ? high : low);
	return 0;
}

/* Bytes of an address of either family, and how many bits of the 16 count. */
static void take_address(struct endpoint *ret, const uint8_t *bytes, bool v6, unsigned bits)
{
	ret->host = HOST_ADDRESS;
	ret->bits = bits + (v6 ? 0 : 96);
	memset(ret->address, 0, sizeof(ret->address));
	if (!v6)
		memset(ret->address + 10, 0xff, 2);
	memcpy(ret->address + (v6 ? 0 : 12), bytes, v6 ? 16 : 4);
}

static bool has_host_bits(const struct endpoint *e)
{
	uint8_t masked[16] = {0};

	memcpy(masked, e->address, (e->bits + 7) / 8);
	if (e->bits % 8)
		masked[e->bits / 8] &= (uint8_t)(0xff << (8 - e->bits % 8));
	return memcmp(masked, e->address, 16) != 0;
}

/* An IPv4 or, in brackets, IPv6 address with perhaps "/BITS".  1: it is none. */
static int parse_address(struct policy *p, const struct word *w, size_t n, struct endpoint *ret)
{
	char text[INET6_ADDRSTRLEN + 1];
	const char *s = w->s, *slash = memchr(s, '/', n);
	size_t length = slash ? (size_t)(slash - s) : n;
	bool v6 = length > 0 && s[0] == '[';
	unsigned bits = v6 ? 128 : 32;
	uint8_t address[16];

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
	take_address(ret, address, v6, bits);
	if (has_host_bits(ret))
		return error_at(p, w->column,
			"\"%s\": the address has bits beyond the %u of its network; write the "
			"network's own address, or all %d bits",
			w->s, bits, v6 ? 128 : 32);
	return 0;
}

static const char *lower_copy(struct policy *p, const char *s, size_t n)
{
	char *copy = store_copy(p, s, n);

	for (size_t i = 0; copy && i < n; i++) {
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] - 'A' + 'a');
	}
	return copy;
}

/* Whether w->s[at..n) is a host's name: labels of at most 63, and not all digits. */
static bool is_name(const struct word *w, size_t at, size_t n)
{
	size_t label = 0;
	bool letter = false;

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
			return false;
	}
	return letter;
}

/* "internet", a host's name, or "*." and one; a last dot is the root's, and goes. */
static int parse_name(struct policy *p, const struct word *w, size_t n, struct endpoint *ret)
{
	size_t at = word_magic(w, 0, '*') && n > 2 && w->s[1] == '.' ? 2 : 0;

	if (n == 0)
		return error_at(p, w->column, "\"%s\": a host is missing before the port", w->s);
	if (!is_name(w, at, n) || n > 253)
		return error_at(p, w->column, "\"%.*s\" is neither a host's name nor an address",
			(int)n, w->s);
	if (n == strlen("internet") && memcmp(w->s, "internet", n) == 0) {
		ret->host = HOST_INTERNET;
		return 0;
	}
	if (w->s[n - 1] == '.')
		n--;
	ret->host = at ? HOST_BELOW : HOST_NAME;
	ret->name = lower_copy(p, w->s + at, n - at);
	ret->name_size = n - at;
	return ret->name ? 0 : -ENOMEM;
}

static int parse_internet(struct policy *p, const struct word *w, struct endpoint *ret)
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
	r = parse_address(p, w, n, ret);
	if (r == 1)
		r = parse_name(p, w, n, ret);
	return r < 0 ? r : parse_ports(p, w, n + 1, ret);
}

static int parse_abstract(struct policy *p, const struct word *w, struct endpoint *ret)
{
	if (w->n < 2 || w->n - 1 > UNIX_NAME_MAX)
		return error_at(p, w->column,
			"\"%s\": an abstract name has 1 to %d bytes after \"@\"", w->s,
			UNIX_NAME_MAX);
	ret->protocol = PROTOCOL_ABSTRACT;
	ret->host = HOST_ABSTRACT;
	ret->name = store_copy(p, w->s + 1, w->n - 1);
	ret->name_size = w->n - 1;
	return ret->name ? 0 : -ENOMEM;
}

/* What is bound is this host's, so it has an address; and UDP has no way out but the relay. */
static int check_bind(struct policy *p, const struct word *w, const struct endpoint *e)
{
	if (e->protocol == PROTOCOL_UDP)
		return error_at(p, w->column,
			"\"bind\" takes tcp: a UDP socket of the outer network could send to any "
			"address");
	if (e->protocol == PROTOCOL_ABSTRACT)
		return error_at(p, w->column,
			"\"%s\": abstract names that are bound stay in the cell, and need no rule; "
			"bind a path to be reached from outside",
			w->s);
	if (e->host != HOST_ADDRESS)
		return error_at(p, w->column,
			"\"%s\": bind takes an address, such as 127.0.0.1:8080, or 0.0.0.0:8080 "
			"for all of this host's",
			w->s);
	return 0;
}

bool socket_is_path(const struct word *w)
{
	return w->n > 0 && (strchr("/~", w->s[0]) || strncmp(w->s, "./", 2) == 0 ||
				   (word_magic(w, 0, '*') && word_magic(w, 1, '*')));
}

int socket_parse(
	struct policy *p, const struct word *words, int n, int at, bool bind, struct endpoint *ret)
{
	const struct word *w = &words[at];
	int protocol = word_is(w, "tcp") || word_is(w, "udp"), r;

	*ret = (struct endpoint){.bind = bind};
	if (protocol && at + 1 >= n)
		return error_at(
			p, w->column + (unsigned)w->n, "a socket is missing after \"%s\"", w->s);
	ret->protocol = word_is(w, "udp") ? PROTOCOL_UDP : PROTOCOL_TCP;
	w += protocol;
	if (w->n == 0)
		return error_at(p, w->column, "an empty socket");
	if (protocol && (w->s[0] == '@' || socket_is_path(w)))
		return error_at(p, w->column, "\"%s\": a Unix socket is neither tcp nor udp", w->s);
	r = w->s[0] == '@' ? parse_abstract(p, w, ret) : parse_internet(p, w, ret);
	if (r == 0 && bind)
		r = check_bind(p, w, ret);
	if (r < 0)
		return r;
	ret->text = store_printf(
		p, "%s%s", ret->protocol == PROTOCOL_UDP ? "udp " : "", socket_text(p, w));
	return ret->text ? 1 + protocol : -ENOMEM;
}
