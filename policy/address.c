/* SPDX-License-Identifier: MIT */
/*
 * address.c - whose an address is: anybody's on the internet, a private network's, or nobody's.
 *
 * Runs in: broker, command line.  Trusts: nothing.
 *
 * An IPv4 address is its IPv4-mapped IPv6 one (RFC 4291, 2.5.5.2), so that each has one spelling.
 * An address that carries another within (6to4, NAT64, Teredo) is judged by both.
 */
#include "policy/internal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* What may reach such an address, short of a rule by address. */
enum whose {
	PUBLIC,  /* `internet`, and names */
	PRIVATE, /* names: they are of the person's own network */
	NOBODY,  /* neither: this host, this link, many at once, or a cloud's secrets */
};

#define V4(a, b, c, d) 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d
#define V4_BITS(n)     (96 + (n))

/* The first that covers an address counts. */
static const struct range {
	uint8_t bytes[16];
	uint8_t bits;
	enum whose whose;
	const char *why;
} ranges[] = {
	{{V4(0, 0, 0, 0)}, V4_BITS(8), NOBODY, "this network: RFC 791"},
	{{V4(127, 0, 0, 0)}, V4_BITS(8), NOBODY, "loopback: RFC 1122"},
	{{V4(169, 254, 0, 0)}, V4_BITS(16), NOBODY, "link-local, cloud metadata: RFC 3927"},
	{{V4(224, 0, 0, 0)}, V4_BITS(4), NOBODY, "multicast: RFC 5771"},
	{{V4(240, 0, 0, 0)}, V4_BITS(4), NOBODY, "reserved, broadcast: RFC 1112, 919"},
	{{V4(192, 0, 0, 0)}, V4_BITS(24), NOBODY, "protocol assignments: RFC 6890"},
	{{V4(100, 100, 100, 200)}, V4_BITS(32), NOBODY, "Alibaba Cloud's metadata"},
	{{V4(168, 63, 129, 16)}, V4_BITS(32), NOBODY, "Azure's host agent"},
	{{V4(10, 0, 0, 0)}, V4_BITS(8), PRIVATE, "RFC 1918"},
	{{V4(172, 16, 0, 0)}, V4_BITS(12), PRIVATE, "RFC 1918"},
	{{V4(192, 168, 0, 0)}, V4_BITS(16), PRIVATE, "RFC 1918"},
	{{V4(100, 64, 0, 0)}, V4_BITS(10), PRIVATE, "shared by carriers: RFC 6598"},
	{{V4(192, 0, 2, 0)}, V4_BITS(24), PRIVATE, "documentation: RFC 5737"},
	{{V4(198, 51, 100, 0)}, V4_BITS(24), PRIVATE, "documentation: RFC 5737"},
	{{V4(203, 0, 113, 0)}, V4_BITS(24), PRIVATE, "documentation: RFC 5737"},
	{{V4(198, 18, 0, 0)}, V4_BITS(15), PRIVATE, "benchmarks: RFC 2544"},
	{{V4(192, 88, 99, 0)}, V4_BITS(24), PRIVATE, "6to4 relays: RFC 7526"},
	{{V4(0, 0, 0, 0)}, V4_BITS(0), PUBLIC, "IPv4 unicast"},
	{{0}, 96, NOBODY, "unspecified, loopback, IPv4-compatible: RFC 4291"},
	{{0xfe, 0x80}, 10, NOBODY, "link-local: RFC 4291"},
	{{0xff}, 8, NOBODY, "multicast: RFC 4291"},
	{{0xfd, 0x00, 0x0e, 0xc2}, 32, NOBODY, "Amazon's metadata"},
	{{0xfc}, 7, PRIVATE, "unique local: RFC 4193"},
	{{0xfe, 0xc0}, 10, PRIVATE, "site-local: RFC 3879"},
	{{0x20, 0x01, 0x0d, 0xb8}, 32, PRIVATE, "documentation: RFC 3849"},
	{{0x3f, 0xff}, 20, PRIVATE, "documentation: RFC 9637"},
	{{0x01}, 64, PRIVATE, "discard: RFC 6666"},
	{{0x20}, 3, PUBLIC, "IPv6 unicast: RFC 4291"},
	{{0x00, 0x64, 0xff, 0x9b}, 96, PUBLIC, "NAT64, judged by what it carries: RFC 6052"},
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, PRIVATE, "NAT64 of one's own: RFC 8215"},
	{{0}, 0, NOBODY, "not assigned"},
};

bool address_within(const uint8_t address[16], const uint8_t network[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(address, network, whole) != 0)
		return false;
	return rest == 0 || ((address[whole] ^ network[whole]) >> (8 - rest)) == 0;
}

static enum whose whose_is(const uint8_t address[16])
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		if (address_within(address, ranges[i].bytes, ranges[i].bits))
			return ranges[i].whose;
	}
	return NOBODY;
}

/* The IPv4 address that an IPv6 one leads to.  False: it carries none. */
static bool carried(const uint8_t a[16], uint8_t ret[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	static const uint8_t nat64[16] = {0x00, 0x64, 0xff, 0x9b};
	static const uint8_t sixtofour[16] = {0x20, 0x02}, teredo[16] = {0x20, 0x01};

	memcpy(ret, mapped, sizeof(mapped));
	if (address_within(a, nat64, 96))
		memcpy(ret + 12, a + 12, 4);
	else if (address_within(a, sixtofour, 16)) /* RFC 3056 */
		memcpy(ret + 12, a + 2, 4);
	else if (address_within(a, teredo, 32)) /* RFC 4380: its bits are turned over */
		for (int i = 0; i < 4; i++)
			ret[12 + i] = a[12 + i] ^ 0xff;
	else
		return false;
	return true;
}

static enum whose judge(const uint8_t address[16])
{
	enum whose whose = whose_is(address);
	uint8_t within[16];

	if (carried(address, within) && whose_is(within) > whose)
		return whose_is(within);
	return whose;
}

bool address_is_public(const uint8_t address[16])
{
	return judge(address) == PUBLIC;
}

bool address_suits_name(const uint8_t address[16])
{
	return judge(address) != NOBODY;
}

char *address_text(const uint8_t address[16], char *buf, size_t size)
{
	static const uint8_t four[16] = {V4(0, 0, 0, 0)};
	bool mapped = address_within(address, four, V4_BITS(0));
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? address + 12 : address, text, sizeof(text));
	snprintf(buf, size, "%s%s%s", mapped ? "" : "[", text, mapped ? "" : "]");
	return buf;
}
