/* SPDX-License-Identifier: MIT */
/*
 * host.c - hosts, addresses and ports: their syntax, and whose an address is.
 *
 * Runs in: broker, command line.  Trusts: the text's author; nothing in the address that is judged.
 *
 * Addresses are 16 bytes everywhere, IPv4 as ::ffff:a.b.c.d, so that one address has one form
 * however it was spelled.
 */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- whose an address is --------------------------------------------------------------------- */

/* The longest prefix that holds an address tells whose it is.  NOBODY takes a rule by address;
 * PRIVATE is also admitted by a name, since the names of one's own network lead there. */
#define V4(a, b, c, d) \
	{ \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d \
	}
#define V6_1(a) \
	{ \
		(a) >> 8, (a)&0xff \
	}
#define V6_2(a, b) \
	{ \
		(a) >> 8, (a)&0xff, (b) >> 8, (b)&0xff \
	}

static const struct block {
	uint8_t base[16];
	unsigned bits;
	enum address_class class;
} blocks[] = {
	{V4(0, 0, 0, 0), 96, ADDRESS_PUBLIC},          /* IPv4 but for what follows */
	{V4(0, 0, 0, 0), 104, ADDRESS_NOBODY},         /* "this host"; RFC 1122 */
	{V4(10, 0, 0, 0), 104, ADDRESS_PRIVATE},       /* RFC 1918 */
	{V4(100, 64, 0, 0), 106, ADDRESS_PRIVATE},     /* a provider's own; RFC 6598 */
	{V4(100, 100, 100, 200), 128, ADDRESS_NOBODY}, /* metadata of a cloud's machines */
	{V4(168, 63, 129, 16), 128, ADDRESS_NOBODY},   /* a cloud's agent on the host */
	{V4(127, 0, 0, 0), 104, ADDRESS_NOBODY},       /* loopback; RFC 1122 */
	{V4(169, 254, 0, 0), 112, ADDRESS_NOBODY},     /* link-local, metadata; RFC 3927 */
	{V4(172, 16, 0, 0), 108, ADDRESS_PRIVATE},     /* RFC 1918 */
	{V4(192, 0, 0, 0), 120, ADDRESS_NOBODY},       /* protocols, metadata; RFC 6890 */
	{V4(192, 0, 2, 0), 120, ADDRESS_PRIVATE},      /* documentation; RFC 5737 */
	{V4(192, 88, 99, 0), 120, ADDRESS_PRIVATE},    /* 6to4 relays, gone; RFC 7526 */
	{V4(192, 168, 0, 0), 112, ADDRESS_PRIVATE},    /* RFC 1918 */
	{V4(198, 18, 0, 0), 111, ADDRESS_PRIVATE},     /* benchmarks; RFC 2544 */
	{V4(198, 51, 100, 0), 120, ADDRESS_PRIVATE},   /* documentation; RFC 5737 */
	{V4(203, 0, 113, 0), 120, ADDRESS_PRIVATE},    /* documentation; RFC 5737 */
	{V4(224, 0, 0, 0), 100, ADDRESS_NOBODY},       /* multicast; RFC 5771 */
	{V4(240, 0, 0, 0), 100, ADDRESS_NOBODY},       /* reserved, broadcast; RFC 1112, RFC 919 */
	/* IPv6: unspecified, loopback, IPv4-compatible and whatever is not given out; RFC 4291 */
	{{0}, 0, ADDRESS_NOBODY}, {V6_1(0x2000), 3, ADDRESS_PUBLIC}, /* global unicast; RFC 4291 */
	{V6_1(0x2001), 23, ADDRESS_NOBODY},                          /* protocols; RFC 2928 */
	{V6_2(0x2001, 0xdb8), 32, ADDRESS_PRIVATE},                  /* documentation; RFC 3849 */
	{V6_1(0x3fff), 20, ADDRESS_PRIVATE},                         /* documentation; RFC 9637 */
	{V6_1(0xfc00), 7, ADDRESS_PRIVATE},                          /* unique local; RFC 4193 */
	{{0xfd, 0, 0x0e, 0xc2}, 32, ADDRESS_NOBODY},                 /* metadata */
	{{0xfd, 0x20, 0, 0xce, [14] = 0x02, [15] = 0x54}, 128, ADDRESS_NOBODY}, /* metadata */
};

/* Where an IPv4 address stands in an IPv6 address that is translated or tunnelled to it: judged as
 * that one. */
static const struct transition {
	uint8_t base[16];
	unsigned bits, at;
	uint8_t flip;
} transitions[] = {
	{V6_2(0x64, 0xff9b), 96, 12, 0}, /* NAT64; RFC 6052 */
	{V6_1(0x2002), 16, 2, 0},        /* 6to4; RFC 3056 */
	{V6_2(0x2001, 0), 32, 12, 0xff}, /* Teredo, the client's, inverted; RFC 4380 */
};

bool address_within(const uint8_t address[16], const uint8_t base[16], unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	/* A short prefix of IPv6 does not take IPv4 along. */
	if (bits < 96 && address_is_v4(address))
		return false;
	return memcmp(address, base, bytes) == 0 &&
	       (rest == 0 || (address[bytes] ^ base[bytes]) >> (8 - rest) == 0);
}

void address_mask(uint8_t address[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = bits > i * 8 ? bits - i * 8 : 0;

		if (keep < 8)
			address[i] &= (uint8_t)(0xff00u >> keep);
	}
}

bool address_is_v4(const uint8_t address[16])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

bool address_embedded(const uint8_t address[16], uint8_t ret[16])
{
	for (size_t i = 0; i < sizeof(transitions) / sizeof(*transitions); i++) {
		const struct transition *t = &transitions[i];

		if (!address_within(address, t->base, t->bits))
			continue;
		memcpy(ret, mapped, sizeof(mapped));
		for (unsigned k = 0; k < 4; k++)
			ret[12 + k] = address[t->at + k] ^ t->flip;
		return true;
	}
	return false;
}

enum address_class address_class(const uint8_t address[16])
{
	enum address_class class = ADDRESS_NOBODY;
	unsigned longest = 0;
	uint8_t inner[16];

	if (address_embedded(address, inner))
		address = inner;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
		if (blocks[i].bits < longest ||
			!address_within(address, blocks[i].base, blocks[i].bits))
			continue;
		longest = blocks[i].bits;
		class = blocks[i].class;
	}
	return class;
}

bool address_is_group(const uint8_t address[16])
{
	static const uint8_t four[16] = V4(224, 0, 0, 0), six[16] = {0xff},
			     all[16] = V4(255, 255, 255, 255);

	return address_within(address, four, 100) || address_within(address, six, 8) ||
	       address_within(address, all, 128);
}

/* ---- syntax ---------------------------------------------------------------------------------- */

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
static int parse_ports(struct policy *p, const struct word *w, size_t at, struct sock *ret)
{
	const char *s = w->s + at;
	size_t n = w->n - at;
	const char *dash = memchr(s, '-', n);
	size_t first = dash ? (size_t)(dash - s) : n;
	unsigned low, high;

	if (n == 1 && word_magic(w, at, '*')) {
		ret->low = 0;
		ret->high = UINT16_MAX;
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

/* An IPv4 or, in brackets, IPv6 address with perhaps "/BITS".  1: it is none. */
static int parse_address(struct policy *p, const struct word *w, size_t n, struct sock *ret)
{
	char text[INET6_ADDRSTRLEN + 1];
	const char *s = w->s, *slash = memchr(s, '/', n);
	size_t length = slash ? (size_t)(slash - s) : n;
	bool v6 = length > 0 && s[0] == '[';
	unsigned bits = v6 ? 128 : 32;

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
	memcpy(ret->address, mapped, sizeof(mapped));
	if (inet_pton(v6 ? AF_INET6 : AF_INET, text, ret->address + (v6 ? 0 : 12)) != 1)
		return v6 ? error_at(p, w->column, "\"%s\" holds no IPv6 address", w->s) : 1;
	if (slash && parse_number(slash + 1, n - (size_t)(slash + 1 - w->s), bits, &bits) < 0)
		return error_at(p, w->column,
			"\"%s\": after \"/\" stands a number of bits, 0 to %d", w->s,
			v6 ? 128 : 32);
	ret->kind = HOST_ADDRESS;
	ret->bits = bits + (v6 ? 0 : 96);
	address_mask(ret->address, ret->bits);
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Whether the last label is a number: resolvers take such a name for an address, 0x7f.1 for one. */
static bool ends_in_number(const char *s, size_t n)
{
	size_t at = n, digits;

	while (at > 0 && s[at - 1] != '.')
		at--;
	for (digits = at; digits < n && is_digit(s[digits]); digits++)
		;
	if (digits == n)
		return true;
	if (n - at < 2 || s[at] != '0' || (s[at + 1] | 0x20) != 'x')
		return false;
	for (digits = at + 2;
		digits < n &&
		(is_digit(s[digits]) || ((s[digits] | 0x20) >= 'a' && (s[digits] | 0x20) <= 'f'));
		digits++)
		;
	return digits == n;
}

/* A host's name; perhaps with "*." before it. */
static int parse_name(struct policy *p, const struct word *w, size_t n, struct sock *ret)
{
	bool any = word_magic(w, 0, '*') && n > 2 && w->s[1] == '.';
	size_t at = any ? 2 : 0, label = 0;
	char *name;

	if (n == 0 || n > 253 + at)
		return error_at(p, w->column, "\"%s\": a host is missing before the port", w->s);
	for (size_t i = at; i <= n; i++) {
		char c = i < n ? w->s[i] : '.';
		bool alnum = is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (c == '.' && (label > 0 || (i == n && i > at + 1)) && label <= 63)
			label = 0;
		else if (alnum || c == '_' || (c == '-' && label > 0))
			label++;
		else
			return error_at(p, w->column,
				"\"%.*s\" is neither a host's name nor an address", (int)n, w->s);
	}
	n -= w->s[n - 1] == '.';
	if (ends_in_number(w->s + at, n - at))
		return error_at(p, w->column, "\"%.*s\" is neither a host's name nor an address",
			(int)n, w->s);
	name = store_copy(p, w->s + at, n - at);
	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < n - at; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] |= 0x20;
	ret->kind = !any && strcmp(name, "internet") == 0 ? HOST_INTERNET
		    : any                                 ? HOST_SUFFIX
							  : HOST_NAME;
	if (ret->kind != HOST_INTERNET) {
		ret->name = name;
		ret->name_size = n - at;
	}
	return 0;
}

int host_parse(struct policy *p, const struct word *w, struct sock *ret)
{
	const char *colon = strrchr(w->s, ':');
	size_t n;
	int r;

	if (!colon)
		return error_at(p, w->column,
			"\"%s\" is no socket: write HOST:PORT, a path, or \"@\" and an abstract "
			"name",
			w->s);
	n = (size_t)(colon - w->s);
	if (strstr(w->s, "://"))
		return error_at(p, w->column,
			"\"%s\": a rule is about sockets, not URLs; write HOST:PORT, such as "
			"example.com:443",
			w->s);
	if (w->s[0] == '[' && w->s[w->n - 1] == ']')
		return error_at(p, w->column, "\"%s\": a port is missing, as in [::1]:80", w->s);
	if (n > 0 && w->s[0] != '[' && memchr(w->s, ':', n))
		return error_at(
			p, w->column, "\"%s\": write an IPv6 address in brackets, [::1]:80", w->s);
	r = parse_address(p, w, n, ret);
	if (r == 1)
		r = parse_name(p, w, n, ret);
	return r < 0 ? r : parse_ports(p, w, n + 1, ret);
}

/* ---- print ----------------------------------------------------------------------------------- */

static void print_address(const struct sock *s, char *buf, size_t size)
{
	bool v4 = s->bits >= 96 && address_is_v4(s->address);
	unsigned all = v4 ? 32 : 128, bits = v4 ? s->bits - 96 : s->bits;
	char text[INET6_ADDRSTRLEN] = "", length[8] = "";

	inet_ntop(v4 ? AF_INET : AF_INET6, s->address + (v4 ? 12 : 0), text, sizeof(text));
	if (bits < all)
		snprintf(length, sizeof(length), "/%u", bits);
	snprintf(buf, size, "%s%s%s%s", v4 ? "" : "[", text, v4 ? "" : "]", length);
}

int host_print(const struct sock *s, char *buf, size_t size)
{
	char host[300], ports[16] = "*";
	int n;

	if (s->kind == HOST_ADDRESS)
		print_address(s, host, sizeof(host));
	else
		snprintf(host, sizeof(host), "%s%.*s", s->kind == HOST_SUFFIX ? "*." : "",
			s->kind == HOST_INTERNET ? 8 : (int)s->name_size,
			s->kind == HOST_INTERNET ? "internet" : s->name);
	if (s->low == s->high)
		snprintf(ports, sizeof(ports), "%u", s->low);
	else if (s->low > 0 || s->high < UINT16_MAX)
		snprintf(ports, sizeof(ports), "%u-%u", s->low, s->high);
	n = snprintf(buf, size, "%s%s:%s", s->protocol == PROTOCOL_UDP ? "udp " : "", host, ports);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : n;
}
