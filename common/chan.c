/* SPDX-License-Identifier: MIT */
/*
 * chan.c - datagrams with descriptors over a SOCK_SEQPACKET socketpair.
 *
 * Runs in: broker and worker.  Trusts: nothing that is received.
 *
 * The seven rules of descriptor passing, in one place: SOCK_SEQPACKET, so that bytes and
 * descriptors cannot part; MSG_CMSG_CLOEXEC; an aligned control buffer; MSG_TRUNC and MSG_CTRUNC
 * checked; level, type and exact length checked; every control message walked; on any failure all
 * that was received is closed.
 */
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define CHAN_BUFFER (256 * 1024) /* two messages of 64 KiB and their bookkeeping, each way */

union control {
	char buf[CMSG_SPACE(sizeof(int) * CHAN_FDS_MAX)];
	struct cmsghdr align;
};

int chan_pair(int *ret_a, int *ret_b)
{
	const int size = CHAN_BUFFER;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	/* Cut by net.core.wmem_max, which is no error: the size is comfort, not correctness. */
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	*ret_a = pair[0];
	*ret_b = pair[1];
	return 0;
}

bool chan_refuse_fds(int sock)
{
	const int off = 0;

	return setsockopt(sock, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) == 0;
}

static void put_fds(struct msghdr *msg, union control *control, const int *fds, size_t n)
{
	struct cmsghdr *c;

	msg->msg_control = control->buf;
	msg->msg_controllen = CMSG_SPACE(sizeof(int) * n);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
}

static long send_once(int sock, const void *buf, size_t size, const int *fds, size_t n, int flags)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = size};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t sent;

	if (n > 0)
		put_fds(&msg, &control, fds, n);
	do
		sent = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

/* One datagram: whole, or not at all. */
static int send_whole(
	int sock, const void *buf, size_t size, const int *fds, size_t n_fds, int flags)
{
	long sent;

	if (n_fds > CHAN_FDS_MAX)
		return -EMSGSIZE;
	sent = send_once(sock, buf, size, fds, n_fds, flags);
	if (sent < 0)
		return (int)sent;
	return (size_t)sent == size ? 0 : -EMSGSIZE;
}

int chan_send(int sock, const void *buf, size_t size, int *fds, size_t n_fds, bool wait)
{
	int r = send_whole(sock, buf, size, fds, n_fds, wait ? 0 : MSG_DONTWAIT);

	fd_close_many(fds, n_fds);
	return r;
}

int chan_try_send(int sock, const void *buf, size_t size, int *fds, size_t n_fds)
{
	int r = send_whole(sock, buf, size, fds, n_fds, MSG_DONTWAIT);

	if (r != -EAGAIN && r != -ETOOMANYREFS)
		fd_close_many(fds, n_fds);
	return r;
}

int chan_lend(int sock, const void *buf, size_t size, const int *fds, size_t n_fds)
{
	return send_whole(sock, buf, size, fds, n_fds, MSG_DONTWAIT);
}

/* Collects the descriptors of one control message.  False: it is not one we take. */
static bool take_fds(struct cmsghdr *c, int *fds, size_t n_max, size_t *n)
{
	size_t bytes = c->cmsg_len - CMSG_LEN(0);
	size_t count = bytes / sizeof(int);
	bool fits = bytes % sizeof(int) == 0;

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (*n < n_max) {
			fds[(*n)++] = fd;
		} else {
			close(fd);
			fits = false;
		}
	}
	return fits;
}

/* Walks every control message, since the kernel has already installed what they carry. */
static bool take_control(struct msghdr *msg, int *fds, size_t n_max, size_t *n)
{
	bool sound = true;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
			c->cmsg_len < CMSG_LEN(0))
			sound = false;
		else if (!take_fds(c, fds, n_max, n))
			sound = false;
	}
	return sound;
}

static long recv_once(
	int sock, void *buf, size_t size, int *fds, size_t n_max, size_t *ret_n, int flags)
{
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	union control control;
	/* Without room for control data the kernel installs no descriptor at all. */
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = n_max > 0 ? control.buf : NULL,
		.msg_controllen = n_max > 0 ? CMSG_SPACE(sizeof(int) * n_max) : 0,
	};
	size_t n = 0;
	bool sound;
	ssize_t got;

	do
		got = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	sound = take_control(&msg, fds, n_max, &n);
	/*
	 * There was room for more than came and yet some are missing: the table was full
	 * (RLIMIT_NOFILE; recvmsg(2) then installs what fits and says nothing else), or an LSM
	 * refused one.  That is our own trouble and no lie of the peer's.
	 */
	if (sound && (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC && n < n_max) {
		fd_close_many(fds, n);
		return -EMFILE;
	}
	if (!sound || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		fd_close_many(fds, n);
		return -EBADMSG;
	}
	*ret_n = n;
	return got;
}

long chan_recv(int sock, void *buf, size_t size, int *fds, size_t n_max, size_t *ret_n, bool wait)
{
	if (n_max > CHAN_FDS_MAX)
		n_max = CHAN_FDS_MAX;
	return recv_once(sock, buf, size, fds, n_max, ret_n, wait ? 0 : MSG_DONTWAIT);
}

long chan_send_stream(int sock, const void *buf, size_t size, int fd, bool wait)
{
	return send_once(sock, buf, size, &fd, fd >= 0 ? 1 : 0, wait ? 0 : MSG_DONTWAIT);
}

long chan_recv_stream(int sock, void *buf, size_t size, int *ret_fd)
{
	int fd = -1;
	size_t n = 0;
	long got = recv_once(sock, buf, size, &fd, 1, &n, 0);

	if (got >= 0)
		*ret_fd = fd;
	return got;
}

void chan_hang_up(int *sock)
{
	char waste[4096];

	if (*sock < 0)
		return;
	/* From here on nothing more can come in, and the peer knows. */
	shutdown(*sock, SHUT_RDWR);
	while (recv(*sock, waste, sizeof(waste), MSG_DONTWAIT) > 0)
		;
	fd_close(sock);
}
