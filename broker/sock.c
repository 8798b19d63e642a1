/* SPDX-License-Identifier: MIT */
/*
 * sock.c - a worker's socket, by the broker's own copy of it; addresses from their bytes to a peer
 * and to text.
 *
 * Runs in: broker.  Trusts: the kernel's word on the copy; nothing in an address.
 *
 * No name is resolved here, and no odd spelling of a number is taken: what inet_pton(3) does not
 * read is a name, and a name has a letter in its last label.
 */
#include "broker/sock.h"
#include "broker/tracee.h"
#include "common/hurry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

#define SIZE_IN6_OLD 24 /* without the scope; RFC 2133 has none, and the kernel takes it */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- the copy -------------------------------------------------------------------------------- */

int sock_int(int fd, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &size) < 0 ? -errno : value;
}

uint64_t sock_patience_ns(int fd)
{
	struct timeval t = {0};
	socklen_t size = sizeof(t);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, &size) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_usec * 1000;
}

static int network_of(int fd, uint64_t *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &size) < 0 ? -errno : 0;
}

static bool is_inner(const struct session *s, int fd)
{
	uint64_t cookie;

	return s->cell->net_cookie != 0 && network_of(fd, &cookie) == 0 &&
	       cookie == s->cell->net_cookie;
}

bool sock_is_outer(const struct session *s, int fd)
{
	uint64_t cookie;

	return network_of(fd, &cookie) == 0 && cookie != s->cell->net_cookie;
}

static int describe(const struct session *s, struct sock *k)
{
	int flags;

	k->domain = sock_int(k->fd, SO_DOMAIN);
	if (k->domain < 0)
		return k->domain;
	k->type = sock_int(k->fd, SO_TYPE);
	if (k->type < 0)
		return k->type;
	k->protocol = sock_int(k->fd, SO_PROTOCOL);
	if (k->protocol < 0)
		return k->protocol;
	flags = fcntl(k->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	k->nonblock = flags & O_NONBLOCK;
	k->inner = is_inner(s, k->fd);
	return 0;
}

int sock_take(const struct session *s, pid_t tid, int fd, struct sock *ret)
{
	struct sock k = SOCK_INIT;
	int r = fd < 0 ? -EBADF : tracee_take_fd(tid, fd, &k.fd);

	if (r == 0)
		r = describe(s, &k);
	if (r < 0) {
		sock_close(&k);
		return r;
	}
	*ret = k;
	return 0;
}

/* Ours may be the last: another thread closes the worker's while its call is served. */
void sock_close(struct sock *k)
{
	fd_close_hurried(&k->fd);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void put_ipv4(struct peer *peer, const struct in_addr *address)
{
	memcpy(peer->address, mapped, sizeof(mapped));
	memcpy(peer->address + sizeof(mapped), address, 4);
}

static bool is_ipv4(const uint8_t address[16])
{
	return memcmp(address, mapped, sizeof(mapped)) == 0;
}

/* The kinds of sockets of the internet that have rules. */
static enum peer_kind inet_kind(const struct sock *k)
{
	if (k->type == SOCK_STREAM && k->protocol == IPPROTO_TCP)
		return PEER_TCP;
	return k->type == SOCK_DGRAM && k->protocol == IPPROTO_UDP ? PEER_UDP : PEER_NONE;
}

static int inet_peer(const struct sock *k, const struct sockaddr_storage *address, socklen_t size,
	struct peer *ret)
{
	const struct sockaddr_in *in = (const void *)address;
	const struct sockaddr_in6 *in6 = (const void *)address;
	sa_family_t family = address->ss_family;

	ret->kind = inet_kind(k);
	if (ret->kind == PEER_NONE)
		return -EAFNOSUPPORT;
	/* Of a UDP socket for IPv6 the peer may be written as an IPv4 one: ip6_datagram_connect. */
	if (family == AF_INET && (k->domain == AF_INET || ret->kind == PEER_UDP)) {
		if (size < sizeof(*in))
			return -EINVAL;
		put_ipv4(ret, &in->sin_addr);
		ret->port = ntohs(in->sin_port);
	} else if (family == AF_INET6 && k->domain == AF_INET6) {
		if (size < SIZE_IN6_OLD)
			return -EINVAL;
		memcpy(ret->address, &in6->sin6_addr, 16);
		ret->port = ntohs(in6->sin6_port);
	} else {
		return size < sizeof(*in) ? -EINVAL : -EAFNOSUPPORT;
	}
	ret->has_address = true;
	return 0;
}

/* unix(7), "Three types of address are distinguished". */
static int unix_peer(const struct sockaddr_storage *address, socklen_t size, struct peer *ret,
	char path[SOCK_PATH_SIZE], size_t *ret_path_size)
{
	const struct sockaddr_un *un = (const void *)address;
	const size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t n;

	if (size <= head || size > sizeof(*un) || address->ss_family != AF_UNIX)
		return -EINVAL;
	n = size - head;
	if (un->sun_path[0] == '\0') {
		ret->kind = PEER_ABSTRACT;
		ret->name_size = n - 1;
		memcpy(ret->name, un->sun_path + 1, n - 1);
		ret->name[n - 1] = '\0';
		return 0;
	}
	n = strnlen(un->sun_path, n);
	memcpy(path, un->sun_path, n);
	path[n] = '\0';
	*ret_path_size = n;
	ret->kind = PEER_PATH;
	return 0;
}

int sock_peer(const struct sock *k, const struct sockaddr_storage *address, socklen_t size,
	struct peer *ret, char path[SOCK_PATH_SIZE], size_t *ret_path_size)
{
	bool bind = ret->bind;

	memset(ret, 0, sizeof(*ret));
	ret->bind = bind;
	ret->type = (uint16_t)k->type;
	*ret_path_size = 0;
	if (size < sizeof(sa_family_t) || size > sizeof(*address))
		return -EINVAL;
	switch (k->domain) {
	case AF_INET:
	case AF_INET6:
		return inet_peer(k, address, size, ret);
	case AF_UNIX:
		return unix_peer(address, size, ret, path, ret_path_size);
	default:
		return -EAFNOSUPPORT;
	}
}

socklen_t sock_address(const struct sock *k, const struct peer *peer, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in = (void *)ret;
	struct sockaddr_in6 *in6 = (void *)ret;
	struct sockaddr_un *un = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (k->domain == AF_UNIX) {
		size_t n = peer->name_size < sizeof(un->sun_path) ? peer->name_size
								  : sizeof(un->sun_path) - 1;

		un->sun_family = AF_UNIX;
		memcpy(un->sun_path + 1, peer->name, n);
		return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
	}
	if (k->domain == AF_INET) {
		in->sin_family = AF_INET;
		in->sin_port = htons(peer->port);
		memcpy(&in->sin_addr, peer->address + sizeof(mapped), 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(peer->port);
	memcpy(&in6->sin6_addr, peer->address, 16);
	return sizeof(*in6);
}

/* sandbox/net.c gives the last two to lo, for getaddrinfo(3) with AI_ADDRCONFIG. */
bool peer_is_loopback(const struct peer *peer)
{
	static const uint8_t ones[][16] = {
		{[15] = 0},
		{[15] = 1},
		{[10] = 0xff, [11] = 0xff},
		{[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 1},
		{0x20, 0x01, 0x0d, 0xb8, [15] = 1},
	};

	if (!peer->has_address)
		return false;
	if (is_ipv4(peer->address) && peer->address[12] == 127)
		return true;
	for (size_t i = 0; i < sizeof(ones) / sizeof(*ones); i++) {
		if (memcmp(peer->address, ones[i], 16) == 0)
			return true;
	}
	return false;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void host_text(const struct peer *peer, char host[PEER_NAME_SIZE + 2])
{
	char text[INET6_ADDRSTRLEN];

	if (!peer->has_address) {
		snprintf(host, PEER_NAME_SIZE + 2, "%.*s", (int)peer->name_size, peer->name);
	} else if (is_ipv4(peer->address)) {
		inet_ntop(AF_INET, peer->address + sizeof(mapped), text, sizeof(text));
		snprintf(host, PEER_NAME_SIZE + 2, "%s", text);
	} else {
		inet_ntop(AF_INET6, peer->address, text, sizeof(text));
		snprintf(host, PEER_NAME_SIZE + 2, "[%s]", text);
	}
}

/* An abstract name of any bytes; a NUL within would end it too early for its reader. */
static void abstract_text(const struct peer *peer, char buf[PEER_TEXT_SIZE])
{
	size_t n = peer->name_size;

	buf[0] = '@';
	memcpy(buf + 1, peer->name, n);
	for (size_t i = 1; i <= n; i++) {
		if (buf[i] == '\0')
			buf[i] = '@';
	}
	buf[n + 1] = '\0';
}

char *peer_text(const struct peer *peer, char buf[PEER_TEXT_SIZE])
{
	char host[PEER_NAME_SIZE + 2];

	switch (peer->kind) {
	case PEER_TCP:
	case PEER_UDP:
		host_text(peer, host);
		snprintf(buf, PEER_TEXT_SIZE, "%s%s:%u", peer->kind == PEER_UDP ? "udp " : "", host,
			(unsigned)peer->port);
		break;
	case PEER_ABSTRACT:
		abstract_text(peer, buf);
		break;
	default:
		buf[0] = '\0';
	}
	return buf;
}

/* RFC 1123, 2.1, and the underscore that some have; small letters, and no dot at the end. */
static int parse_name(const char *text, size_t size, struct peer *ret)
{
	size_t label = 0;
	bool letter = false;

	if (size > 0 && text[size - 1] == '.')
		size--;
	if (size == 0 || size >= PEER_NAME_SIZE)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (c == '.') {
			if (label == 0)
				return -EINVAL;
			label = 0;
			letter = false;
		} else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
			   c == '_') {
			letter |= c > '9';
			if (++label > 63)
				return -EINVAL;
		} else {
			return -EINVAL;
		}
		ret->name[i] = c;
	}
	ret->name[size] = '\0';
	ret->name_size = size;
	return letter ? 0 : -EINVAL;
}

static int parse_host(const char *text, size_t size, struct peer *ret)
{
	char host[INET6_ADDRSTRLEN];
	struct in_addr in;
	bool bracket = size > 2 && text[0] == '[';

	if (bracket && text[size - 1] != ']')
		return -EINVAL;
	text += bracket;
	size -= bracket ? 2 : 0;
	if (size < sizeof(host)) {
		memcpy(host, text, size);
		host[size] = '\0';
		ret->has_address = true;
		if (bracket)
			return inet_pton(AF_INET6, host, ret->address) == 1 ? 0 : -EINVAL;
		if (inet_pton(AF_INET, host, &in) == 1) {
			put_ipv4(ret, &in);
			return 0;
		}
		ret->has_address = false;
	}
	return bracket ? -EINVAL : parse_name(text, size, ret);
}

static int parse_port(const char *text, size_t size, uint16_t *ret)
{
	unsigned port = 0;

	if (size == 0 || size > 5)
		return -EINVAL;
	for (size_t i = 0; i < size; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	*ret = (uint16_t)port;
	return port <= UINT16_MAX ? 0 : -EINVAL;
}

static bool has_word(const char **text, size_t *size, const char *word)
{
	size_t n = strlen(word);

	if (*size < n || memcmp(*text, word, n) != 0)
		return false;
	*text += n;
	*size -= n;
	return true;
}

int peer_parse(const char *text, size_t size, struct peer *ret)
{
	const char *colon;
	int r;

	memset(ret, 0, sizeof(*ret));
	ret->type = SOCK_STREAM;
	if (size == 0 || memchr(text, '\0', size))
		return -EINVAL;
	if (text[0] == '/') {
		ret->kind = PEER_PATH;
		return 0;
	}
	if (text[0] == '@') {
		ret->kind = PEER_ABSTRACT;
		ret->name_size = size - 1;
		if (size < 2 || size > sizeof(((struct sockaddr_un *)0)->sun_path))
			return -EINVAL;
		memcpy(ret->name, text + 1, size - 1);
		return 0;
	}
	ret->kind = PEER_TCP;
	if (has_word(&text, &size, "udp ")) {
		ret->kind = PEER_UDP;
		ret->type = SOCK_DGRAM;
	} else {
		has_word(&text, &size, "tcp ");
	}
	colon = memrchr(text, ':', size);
	if (!colon)
		return -EINVAL;
	r = parse_port(colon + 1, size - (size_t)(colon - text) - 1, &ret->port);
	return r < 0 ? r : parse_host(text, (size_t)(colon - text), ret);
}
