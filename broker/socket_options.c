/* SPDX-License-Identifier: MIT */
/*
 * socket_options.c - what an outer socket has of the options of the worker's that it stands in for.
 *
 * Runs in: broker.  Trusts: the kernel's word on the broker's copy of the worker's socket.
 *
 * Nothing tells which options a program has set, so each is read, and left out where it is what a
 * new socket of the cell's network has: the outer one may have another default (ip-sysctl).
 */
#include "broker/socket_options.h"
#include "broker/sock.h"

#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.15 */
#endif

enum when {
	ALL = 0,
	TCP = 1,
	IPV6 = 2,
	SEND_BUFFER = 4,
	RECEIVE_BUFFER = 8,
	AFTER_TOS = 16, /* IP_TOS sets it too: where that is carried over it is, whatever it is */
	NOT_ZERO = 32,  /* a new socket never has 0 */
	IF_KNOWN = 64,  /* left out where it is not known what a new socket has */
	ALWAYS = 128,
};

/* CARRY(level, option, bytes of its value, when), in the order in which they are set.
 * IPV6_V6ONLY always, since it says that the socket is one of AF_INET6, whatever the address.
 * A new socket says 536 for TCP_MAXSEG, and one that is given 536 never has more. */
#define OPTIONS(CARRY, LEAVE) \
	CARRY(SOL_SOCKET, SO_REUSEADDR, 4, ALL) \
	CARRY(SOL_SOCKET, SO_KEEPALIVE, 4, ALL) \
	CARRY(SOL_SOCKET, SO_LINGER, 8, ALL) \
	CARRY(SOL_SOCKET, SO_OOBINLINE, 4, ALL) \
	CARRY(SOL_SOCKET, SO_BROADCAST, 4, ALL) \
	CARRY(SOL_SOCKET, SO_SNDBUF, 4, SEND_BUFFER) \
	CARRY(SOL_SOCKET, SO_RCVBUF, 4, RECEIVE_BUFFER) \
	CARRY(SOL_SOCKET, SO_RCVLOWAT, 4, ALL) \
	CARRY(SOL_SOCKET, SO_RCVTIMEO, 16, ALL) \
	CARRY(SOL_SOCKET, SO_SNDTIMEO, 16, ALL) \
	CARRY(SOL_SOCKET, SO_PASSCRED, 4, ALL) \
	CARRY(SOL_SOCKET, SO_PASSSEC, 4, ALL) \
	CARRY(SOL_SOCKET, SO_TIMESTAMP, 4, ALL) \
	CARRY(SOL_SOCKET, SO_TIMESTAMPNS, 4, ALL) \
	CARRY(IPPROTO_TCP, TCP_NODELAY, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_CORK, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_KEEPIDLE, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_KEEPINTVL, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_KEEPCNT, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_QUICKACK, 4, TCP | NOT_ZERO) \
	CARRY(IPPROTO_TCP, TCP_USER_TIMEOUT, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_LINGER2, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_SYNCNT, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_MAXSEG, 4, TCP | IF_KNOWN) \
	CARRY(IPPROTO_TCP, TCP_DEFER_ACCEPT, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_WINDOW_CLAMP, 4, TCP) \
	CARRY(IPPROTO_TCP, TCP_CONGESTION, 16, TCP) \
	CARRY(IPPROTO_IP, IP_TOS, 4, TCP) \
	CARRY(IPPROTO_IP, IP_TTL, 4, TCP) \
	CARRY(IPPROTO_IP, IP_MTU_DISCOVER, 4, TCP | NOT_ZERO) \
	CARRY(IPPROTO_IP, IP_RECVERR, 4, TCP) \
	CARRY(IPPROTO_IP, IP_PKTINFO, 4, TCP) \
	CARRY(IPPROTO_IP, IP_RECVTOS, 4, TCP) \
	CARRY(IPPROTO_IP, IP_RECVTTL, 4, TCP) \
	CARRY(IPPROTO_IPV6, IPV6_V6ONLY, 4, IPV6 | ALWAYS) \
	CARRY(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 4, IPV6) \
	CARRY(IPPROTO_IPV6, IPV6_TCLASS, 4, IPV6) \
	CARRY(IPPROTO_IPV6, IPV6_MTU_DISCOVER, 4, IPV6 | NOT_ZERO) \
	CARRY(IPPROTO_IPV6, IPV6_RECVERR, 4, IPV6) \
	CARRY(IPPROTO_IPV6, IPV6_RECVPKTINFO, 4, IPV6) \
	CARRY(IPPROTO_IPV6, IPV6_RECVTCLASS, 4, IPV6) \
	CARRY(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 4, IPV6) \
	CARRY(SOL_SOCKET, SO_PRIORITY, 4, AFTER_TOS) \
	LEAVE(SOL_SOCKET, SO_REUSEPORT, "would share the port of another process of this user's") \
	LEAVE(SOL_SOCKET, SO_SNDLOWAT, "Linux sets none: socket(7)") \
	LEAVE(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "a rule admits a port, not one to come") \
	LEAVE(SOL_NETLINK, NETLINK_CAP_ACK, "no such socket leads out") \
	LEAVE(SOL_NETLINK, NETLINK_EXT_ACK, "no such socket leads out") \
	LEAVE(SOL_NETLINK, NETLINK_GET_STRICT_CHK, "no such socket leads out")

static const struct socket_option rows[] = {
#define CARRY(level, option, size, when) {level, option, size, when, NULL},
#define LEAVE(level, option, why)        {level, option, 0, 0, why},
	OPTIONS(CARRY, LEAVE)
#undef CARRY
#undef LEAVE
};

enum {
#define CARRY(level, option, size, when) CARRIED_##option,
#define LEAVE(level, option, why)
	OPTIONS(CARRY, LEAVE)
#undef CARRY
#undef LEAVE
		CARRIED__COUNT, /* they come first */
};
_Static_assert(CARRIED__COUNT <= DIAL_OPTIONS_MAX, "one message");
_Static_assert(CARRIED__COUNT <= SOCKET_OPTIONS_MAX, "a default for each");

const struct socket_option *socket_options(size_t *ret_n)
{
	*ret_n = sizeof(rows) / sizeof(*rows);
	return rows;
}

void socket_options_learn(struct socket_defaults *ret, int fd)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < CARRIED__COUNT; i++) {
		socklen_t size = rows[i].size;

		getsockopt(fd, rows[i].level, rows[i].option, ret->of[i], &size);
	}
	ret->known = true;
}

/* Which rows a socket has.  A buffer's size is carried over only where the worker has set it: one
 * that is set grows no more by itself; tcp(7). */
static unsigned has_rows(const struct sock *k)
{
	unsigned has = AFTER_TOS | NOT_ZERO | IF_KNOWN | ALWAYS;
	int locks = 0;
	socklen_t size = sizeof(locks);

	if (k->domain == AF_INET || k->domain == AF_INET6)
		has |= TCP | (k->domain == AF_INET6 ? IPV6 : 0);
	if (getsockopt(k->fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &size) == 0)
		has |= (locks & 1 ? SEND_BUFFER : 0u) | (locks & 2 ? RECEIVE_BUFFER : 0u);
	return has;
}

/* setsockopt(2) doubles what it is given for its own use, and getsockopt(2) says the double. */
static void halve(uint8_t value[DIAL_VALUE_MAX])
{
	int size;

	memcpy(&size, value, sizeof(size));
	size /= 2;
	memcpy(value, &size, sizeof(size));
}

/* Whether it is what a new socket has.  Where that is not known, 0 is. */
static bool is_default(const struct socket_defaults *defaults, size_t i, const uint8_t *value)
{
	static const uint8_t none[DIAL_VALUE_MAX];
	unsigned when = rows[i].when;

	/* Read only where it is set. */
	if (when & (ALWAYS | SEND_BUFFER | RECEIVE_BUFFER))
		return false;
	if (defaults->known)
		return memcmp(value, defaults->of[i], rows[i].size) == 0;
	return (when & IF_KNOWN) || (!(when & NOT_ZERO) && memcmp(value, none, rows[i].size) == 0);
}

void socket_options_read(
	const struct sock *k, const struct socket_defaults *defaults, struct dial_message *m)
{
	unsigned has = has_rows(k);
	bool has_tos = false;

	for (size_t i = 0; i < CARRIED__COUNT; i++) {
		const struct socket_option *row = &rows[i];
		struct dial_option *o = &m->options[m->n_options];
		socklen_t size = row->size;

		if ((row->when & has) != row->when ||
			getsockopt(k->fd, row->level, row->option, o->value, &size) < 0 ||
			size != row->size)
			continue;
		if (is_default(defaults, i, o->value) && !(has_tos && (row->when & AFTER_TOS)))
			continue;
		if (row->when & (SEND_BUFFER | RECEIVE_BUFFER))
			halve(o->value);
		has_tos |= i == CARRIED_IP_TOS;
		o->level = row->level;
		o->option = row->option;
		o->size = row->size;
		m->n_options++;
	}
}
