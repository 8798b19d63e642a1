/* SPDX-License-Identifier: MIT */
/*
 * held.c - what a descriptor is that the worker has without a grant, for its record.
 *
 * Runs in: broker.  Trusts: the kernel; nothing in a name or an address, which the ledger escapes.
 */
#include "broker/held.h"
#include "broker/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Its own address or the other end's, as a policy writes it or, of a Unix socket, its path; NULL:
 * it has none. */
static const char *address_text(const struct sock *k, bool own, char text[PEER_TEXT_SIZE])
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	struct peer peer = {.bind = own};
	socklen_t size = sizeof(address);
	char path[SOCK_PATH_SIZE];
	size_t path_size;
	int r = own ? getsockname(k->fd, (struct sockaddr *)&address, &size)
		    : getpeername(k->fd, (struct sockaddr *)&address, &size);

	if (r < 0 || sock_peer(k, &address, size, &peer, path, &path_size) < 0)
		return NULL;
	if (peer.kind == PEER_PATH)
		return strcpy(text, path);
	if (peer.has_address && peer.port == 0) /* not bound yet */
		return NULL;
	return peer_text(&peer, text);
}

static const char *socket_type(const struct sock *k)
{
	if (k->domain == AF_UNIX)
		return "unix";
	if (k->domain != AF_INET && k->domain != AF_INET6)
		return "socket";
	if (k->type == SOCK_STREAM && k->protocol == IPPROTO_TCP)
		return "tcp";
	return k->type == SOCK_DGRAM && k->protocol == IPPROTO_UDP ? "udp" : "socket";
}

static int describe_socket(int fd, struct held *h, struct record *r)
{
	const struct sock k = {
		.fd = fd,
		.domain = sock_int(fd, SO_DOMAIN),
		.type = sock_int(fd, SO_TYPE),
		.protocol = sock_int(fd, SO_PROTOCOL),
	};

	if (k.domain < 0 || k.type < 0 || k.protocol < 0)
		return k.domain < 0 ? k.domain : k.type < 0 ? k.type : k.protocol;
	r->type = socket_type(&k);
	r->socket = words_socket(k.type);
	r->domain = words_domain(k.domain);
	if (!r->domain) {
		snprintf(h->domain, sizeof(h->domain), "%d", k.domain);
		r->domain = h->domain;
	}
	r->local = address_text(&k, true, h->local);
	r->peer = address_text(&k, false, h->peer);
	return 0;
}

int held_describe(int fd, struct held *h, struct record *r)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	r->has_inode = true;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	r->type = words_type(st.st_mode);
	r->flags = words_held((uint32_t)flags, h->flags);
	if (!r->type) /* eventfd(2), epoll(7) and their like; its name says which */
		r->type = "anonymous";
	/* Of a socket's name in a directory, held by O_PATH, nothing more can be asked. */
	return S_ISSOCK(st.st_mode) && !(flags & O_PATH) ? describe_socket(fd, h, r) : 0;
}

int held_name(int fd, struct held *h, struct record *r)
{
	char path[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, h->name, sizeof(h->name));
	/* A path of more than a page; proc(5).  The inode tells what it is. */
	if (n < 0 && errno == ENAMETOOLONG)
		return 0;
	if (n < 0)
		return -errno;
	r->name = h->name;
	r->name_size = (size_t)n;
	return 0;
}
