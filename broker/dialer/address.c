/* SPDX-License-Identifier: MIT */
/*
 * address.c - the channel's addresses and the kernel's.
 *
 * Runs in: dialer.  Trusts: the kernel's sockaddr.
 */
#include "broker/dialer/dialer.h"

#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool address_is_v4(const struct dial_address *a)
{
	return memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

void address_from_v4(struct dial_address *a, const void *four, uint16_t port)
{
	memcpy(a->bytes, mapped, sizeof(mapped));
	memcpy(a->bytes + sizeof(mapped), four, 4);
	a->port = port;
}

socklen_t address_put(const struct dial_address *a, int family, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		memcpy(&in->sin_addr, a->bytes + sizeof(mapped), 4);
		in->sin_port = htons(a->port);
		return sizeof(*in);
	}
	memcpy(&in6->sin6_addr, a->bytes, sizeof(a->bytes));
	in6->sin6_port = htons(a->port);
	return sizeof(*in6);
}

bool address_get(const struct sockaddr_storage *from, struct dial_address *ret)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *in = (const struct sockaddr_in *)from;

	memset(ret, 0, sizeof(*ret));
	if (from->ss_family == AF_INET) {
		address_from_v4(ret, &in->sin_addr, ntohs(in->sin_port));
		return true;
	}
	if (from->ss_family != AF_INET6)
		return false;
	memcpy(ret->bytes, &in6->sin6_addr, sizeof(ret->bytes));
	ret->port = ntohs(in6->sin6_port);
	return true;
}

bool address_same(const struct dial_address *a, const struct dial_address *b)
{
	return a->port == b->port && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
