/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - the sockets of the outer network: every one is made here, with its options.
 *
 * Runs in: dialer.  Trusts: the broker, that the policy admits what it names.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"

#include <errno.h>
#include <stdio.h>

static bool is_refused(const struct dial_option *o)
{
	/* Would let others of the same user share the port. */
	return o->level == SOL_SOCKET && o->option == SO_REUSEPORT;
}

void sockets_set(int fd, const struct dial_message *m)
{
	for (size_t i = 0; i < m->n_options; i++) {
		const struct dial_option *o = &m->options[i];

		if (!is_refused(o))
			setsockopt(fd, o->level, o->option, o->value, o->size);
	}
}

int sockets_family(const struct dial_message *m, const struct dial_address *a)
{
	if (!address_is_v4(a))
		return AF_INET6;
	for (size_t i = 0; i < m->n_options; i++) {
		if (m->options[i].level == IPPROTO_IPV6)
			return AF_INET6;
	}
	return AF_INET;
}

int sockets_tcp(const struct dial_message *m, int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	sockets_set(fd, m);
	return fd;
}

int sockets_unix(unsigned type)
{
	int fd;

	if (type != SOCK_STREAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	fd = socket(AF_UNIX, (int)type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? -errno : fd;
}

int sockets_udp(const struct dial_address *peer)
{
	const int family = address_is_v4(peer) ? AF_INET : AF_INET6;
	const int dont_fragment = IP_PMTUDISC_DO; /* IPV6_PMTUDISC_DO is the same number */
	struct sockaddr_storage to;
	socklen_t size = address_put(peer, family, &to);
	autofd fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &dont_fragment, sizeof(dont_fragment));
	else
		setsockopt(
			fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &dont_fragment, sizeof(dont_fragment));
	if (connect(fd, (struct sockaddr *)&to, size) < 0)
		return -errno;
	return fd_take(&fd);
}

/* What only an IPv6 socket has fails on others, and the other way round. */
static void set_int(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/* EACCES: a network's broadcast, which nobody is given; ip(7), SO_BROADCAST. */
static int check_unicast(int family, const struct sockaddr_storage *at, socklen_t size)
{
	autofd fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	return connect(fd, (const struct sockaddr *)at, size) < 0 && errno == EACCES ? -EACCES : 0;
}

int sockets_udp_bound(const struct dial_message *m)
{
	const struct dial_address *a = &m->addresses[0];
	int family = sockets_family(m, a);
	struct sockaddr_storage at;
	socklen_t size = address_put(a, family, &at);
	autofd fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -errno : address_is_group(a) ? -EADDRNOTAVAIL : 0;

	if (r == 0 && address_is_v4(a) && !address_is_any(a))
		r = check_unicast(family, &at, size);
	if (r < 0)
		return r;
	sockets_set(fd, m);
	/* Of an IPv6 socket too, for what comes to it by IPv4: ip(7). */
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
	set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
	set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
	set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
	set_int(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		family == AF_INET ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
	if (bind(fd, (struct sockaddr *)&at, size) < 0)
		return -errno;
	return fd_take(&fd);
}

int sockets_udp_new(void)
{
	const int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = socket(AF_INET6, type, 0);

	if (fd < 0)
		fd = socket(AF_INET, type, 0);
	if (fd >= 0)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	return fd < 0 ? -errno : fd;
}

int sockets_pair(int ret[2])
{
	const int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

	return socketpair(AF_UNIX, type, 0, ret) < 0 ? -errno : 0;
}

struct sockaddr_un sockets_inode(int inode)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	snprintf(to.sun_path, sizeof(to.sun_path), "%d", inode);
	return to;
}

int sockets_datagram(int inode)
{
	const struct sockaddr_un to = sockets_inode(inode);
	autofd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	return fd_take(&fd);
}
