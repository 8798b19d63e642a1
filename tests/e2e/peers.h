/* SPDX-License-Identifier: MIT */
/*
 * peers.h - sockets that stand outside of a cell, on this host's loopback and at paths and abstract
 * names ("@name"), and who connects to them.
 */
#ifndef WARDER_TEST_PEERS_H
#define WARDER_TEST_PEERS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define PEER_PATIENCE_MS 60000

static inline struct sockaddr_in port_address(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};
}

static inline socklen_t name_address(const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_in_range(strlen(name), 1, sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, name, strlen(name));
	if (*name != '@')
		return sizeof(*ret);
	ret->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
}

/* connect(2). */
static inline int connect_port(int fd, unsigned port)
{
	struct sockaddr_in in = port_address(port);

	return connect(fd, (struct sockaddr *)&in, sizeof(in));
}

static inline int connect_name(int fd, const char *name)
{
	struct sockaddr_un un;
	socklen_t size = name_address(name, &un);

	return connect(fd, (struct sockaddr *)&un, size);
}

/* One at a port that nobody has. */
static inline int listen_port(int backlog, uint16_t *ret_port)
{
	struct sockaddr_in in = port_address(0);
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	assert_int_equal(listen(fd, backlog), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* One that everybody may connect to. */
static inline int listen_name(const char *name, int type, int backlog)
{
	struct sockaddr_un un;
	socklen_t size = name_address(name, &un);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&un, size), 0);
	if (*name != '@')
		assert_int_equal(chmod(name, 0777), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* One whose queue is full: who connects, waits. */
static inline int listen_full_port(int *ret_fillers, int n, uint16_t *ret_port)
{
	int fd = listen_port(0, ret_port);

	for (int i = 0; i < n; i++) {
		ret_fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect_port(ret_fillers[i], *ret_port);
	}
	return fd;
}

static inline int accept_next(int listener)
{
	struct pollfd p = {listener, POLLIN};

	assert_int_equal(poll(&p, 1, PEER_PATIENCE_MS), 1);
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

#endif
