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

void address_order(const struct dial_address *addresses, unsigned n, uint8_t *ret)
{
	bool turn = address_is_v4(&addresses[0]);
	uint8_t taken[DIAL_ADDRESSES_MAX] = {0};

	for (unsigned at = 0; at < n; at++) {
		unsigned pick = 0;
		bool found = false;

		for (unsigned i = 0; i < n; i++) {
			if (taken[i])
				continue;
			if (!found)
				pick = i;
			found = true;
			if (address_is_v4(&addresses[i]) == turn) {
				pick = i;
				break;
			}
		}
		taken[pick] = 1;
		ret[at] = (uint8_t)pick;
		turn = !turn;
	}
}

bool address_is_group(const struct dial_address *a)
{
	if (!address_is_v4(a))
		return a->bytes[0] == 0xff;
	return (a->bytes[12] & 0xf0) == 0xe0 || memcmp(a->bytes + 12, "\xff\xff\xff\xff", 4) == 0;
}

bool address_is_any(const struct dial_address *a)
{
	static const uint8_t none[16];

	return memcmp(a->bytes, none, 16) == 0 ||
	       (address_is_v4(a) && memcmp(a->bytes + 12, none, 4) == 0);
}

bool address_told(struct msghdr *msg, struct dial_address *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct in6_pktinfo six;
		struct in_pktinfo four;

		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
			c->cmsg_len == CMSG_LEN(sizeof(six))) {
			memcpy(&six, CMSG_DATA(c), sizeof(six));
			memcpy(ret->bytes, &six.ipi6_addr, sizeof(ret->bytes));
			return true;
		}
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
			c->cmsg_len == CMSG_LEN(sizeof(four))) {
			memcpy(&four, CMSG_DATA(c), sizeof(four));
			address_from_v4(ret, &four.ipi_addr, ret->port);
			return true;
		}
	}
	return false;
}

void address_tell(struct msghdr *msg, union address_control *control, int family,
	const struct dial_address *from)
{
	bool is_four = family == AF_INET;
	struct in6_pktinfo six = {.ipi6_ifindex = 0};
	struct in_pktinfo four = {.ipi_ifindex = 0};
	size_t n = is_four ? sizeof(four) : sizeof(six);
	struct cmsghdr *c;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control->buf;
	msg->msg_controllen = CMSG_SPACE(n);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = is_four ? IPPROTO_IP : IPPROTO_IPV6;
	c->cmsg_type = is_four ? IP_PKTINFO : IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(n);
	memcpy(&six.ipi6_addr, from->bytes, sizeof(from->bytes));
	memcpy(&four.ipi_spec_dst, from->bytes + 12, sizeof(four.ipi_spec_dst));
	memcpy(CMSG_DATA(c), is_four ? (void *)&four : (void *)&six, n);
}
