/* SPDX-License-Identifier: MIT */
/*
 * inside.c - UDP sockets of the cell's network, of which one is in hand.
 *
 * Runs in: dialer.  Trusts: the maker, which sends them; maker.c.
 */
#include "broker/dialer/dialer.h"
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <sys/time.h>

#define LOOPBACK 1 /* the first device of a namespace: the scope of link-local addresses inside */

static int maker_fd = -1; /* borrowed */
static struct spare {
	int fd; /* owned; -1: none */
	int family;
} spare = {-1, AF_UNSPEC};

void inside_start(int fd)
{
	const struct timeval patience = {.tv_sec = INSIDE_WAIT_S};

	maker_fd = fd;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static bool is_link_local(const struct dial_address *a)
{
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

socklen_t inside_put(const struct dial_address *a, int family, struct sockaddr_storage *ret)
{
	socklen_t size = address_put(a, family, ret);

	if (is_link_local(a))
		((struct sockaddr_in6 *)ret)->sin6_scope_id = LOOPBACK;
	return size;
}

static void prepare(int fd)
{
	const int on = 1;

	/* Of an IPv6 socket both hold, each for its packets.  The errors: somebody is there or not.
	 */
	setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
}

int inside_have(bool wait)
{
	struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
	socklen_t size = sizeof(own);
	autofd fd = -1;
	size_t n = 0;
	char byte;
	long r;

	if (spare.fd >= 0)
		return 0;
	r = maker_fd < 0 ? -ENOTCONN : chan_recv(maker_fd, &byte, sizeof(byte), &fd, 1, &n, wait);
	if (r <= 0 || n != 1)
		return r < 0 ? (int)r : -ENOTCONN;
	if (getsockname(fd, (struct sockaddr *)&own, &size) < 0)
		return -errno;
	prepare(fd);
	spare.family = own.ss_family;
	spare.fd = fd_take(&fd);
	return 0;
}

int inside_bind(const struct dial_address *a, int *ret_family)
{
	struct sockaddr_storage at;
	socklen_t size;
	int r = inside_have(false);

	if (r < 0)
		return r;
	if (spare.family == AF_INET && !address_is_v4(a) && !address_is_any(a))
		return -EAFNOSUPPORT;
	size = inside_put(a, spare.family, &at);
	if (bind(spare.fd, (struct sockaddr *)&at, size) < 0)
		return -errno;
	*ret_family = spare.family;
	return fd_take(&spare.fd);
}
