/* SPDX-License-Identifier: MIT */
/*
 * spares.c - new TCP sockets of the cell's network, in which the dialer can make none.
 *
 * Runs in: dialer.  Trusts: nothing in the cell, whose processes may connect to anything there.
 *
 * The broker gives two.  One listens, the other connects to it; what accept4(2) brings is a socket
 * of that network, and is a new one once it is disconnected: connect(2), AF_UNSPEC.  A socket that
 * was bound to a port by bind(2) is never let go of it, which such a one was not.  So is the other,
 * and both can do it again.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_MS 100 /* at most, for what the loopback does at once */

static int listener_fd = -1, caller_fd = -1;

static void disconnect(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};

	connect(fd, &none, sizeof(none));
}

/* These two wait, and not for long. */
static int take(int *to, int fd)
{
	const struct timeval soon = {.tv_usec = PATIENCE_MS * 1000};
	int r;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon)) < 0)
		return -errno;
	r = fd_status_flags(fd, 0, O_NONBLOCK);
	if (r == 0)
		*to = fd;
	return r;
}

void spares_start(const int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i > 1 || take(i ? &caller_fd : &listener_fd, fds[i]) < 0)
			close(fds[i]);
	}
}

/* Connects the caller to the listener, which listens at any address.  0 or -errno. */
static int call(void)
{
	struct sockaddr_storage at;
	struct sockaddr_in *in = (struct sockaddr_in *)&at;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&at;
	socklen_t size = sizeof(at);

	if (getsockname(listener_fd, (struct sockaddr *)&at, &size) < 0)
		return -errno;
	if (at.ss_family == AF_INET)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		in6->sin6_addr = in6addr_loopback;
	return connect(caller_fd, (struct sockaddr *)&at, size) < 0 ? -errno : 0;
}

int spares_new(void)
{
	int fd = -1, r;

	if (listener_fd < 0 || caller_fd < 0)
		return -ENOBUFS;
	if (listen(listener_fd, 1) < 0)
		return -errno;
	/* Somebody else's connection is as good: of that nothing is left. */
	r = call();
	if (r == 0)
		fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (r == 0 && fd < 0)
		r = -errno;
	shutdown(listener_fd, SHUT_RDWR);
	if (fd >= 0)
		disconnect(fd);
	disconnect(caller_fd);
	/* Too late: perhaps the next time. */
	return r == -EINPROGRESS ? -EAGAIN : r < 0 ? r : fd;
}
