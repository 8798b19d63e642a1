/* SPDX-License-Identifier: MIT */
/*
 * notify.c - the kernel's side of the trap door: seccomp_unotify(2), nothing of what is asked.
 *
 * Runs in: broker.  Trusts: the kernel.
 *
 * Every signal is blocked in this process: an ADDFD that a signal interrupts lets the caller's
 * open return 0 without a descriptor (Linux 6.18), so that EINTR from it is a broken session, not
 * a thing to try again.
 */
#include "broker/notify.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Debian 12's headers lack these two (Linux 6.6). */
#define NOTIF_SET_FLAGS  SECCOMP_IOW(4, __u64)
#define SYNC_WAKE_UP     (1ULL << 0)
#define ROOM(size, type) ((size) > sizeof(type) ? (size) : sizeof(type))

/* The kernel's structures may be larger than those compiled in; it says how large. */
struct notify {
	int fd;
	struct seccomp_notif *request;
	size_t request_size;
	struct seccomp_notif_resp *response;
	size_t response_size;
};

int notify_new(struct notify **ret)
{
	struct seccomp_notif_sizes sizes;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return -errno;
	return notify_new_sized(sizes.seccomp_notif, sizes.seccomp_notif_resp, ret);
}

int notify_new_sized(size_t request_size, size_t response_size, struct notify **ret)
{
	struct notify *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->fd = -1;
	n->request_size = ROOM(request_size, struct seccomp_notif);
	n->response_size = ROOM(response_size, struct seccomp_notif_resp);
	n->request = calloc(1, n->request_size);
	n->response = calloc(1, n->response_size);
	if (!n->request || !n->response) {
		notify_free(n);
		return -ENOMEM;
	}
	*ret = n;
	return 0;
}

struct notify *notify_free(struct notify *n)
{
	if (!n)
		return NULL;
	fd_close(&n->fd);
	free(n->request);
	free(n->response);
	free(n);
	return NULL;
}

int notify_attach(struct notify *n, int *listener_fd)
{
	uint64_t flags = SYNC_WAKE_UP;

	fd_close(&n->fd);
	n->fd = fd_take(listener_fd);
	/* Only speed, and only of SEND: who is answered runs here next.  Linux 6.6. */
	if (ioctl(n->fd, NOTIF_SET_FLAGS, flags) < 0 && errno != EINVAL && errno != ENOTTY)
		return -errno;
	return 0;
}

int notify_fd(const struct notify *n)
{
	return n->fd;
}

int notify_receive(struct notify *n, struct notice *ret)
{
	/* The kernel refuses a structure that is not zero. */
	memset(n->request, 0, n->request_size);
	if (ioctl(n->fd, SECCOMP_IOCTL_NOTIF_RECV, n->request) < 0)
		return -errno;
	ret->id = n->request->id;
	ret->tid = (pid_t)n->request->pid;
	ret->nr = n->request->data.nr;
	memcpy(ret->args, n->request->data.args, sizeof(ret->args));
	return 0;
}

bool notify_valid(const struct notify *n, uint64_t id)
{
	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static int answer(struct notify *n, uint64_t id, int64_t value, int error, unsigned flags)
{
	int r;

	memset(n->response, 0, n->response_size);
	n->response->id = id;
	n->response->val = value;
	n->response->error = -error;
	n->response->flags = flags;
	/* A signal interrupts the wait for the filter's lock alone, before anything is answered;
	 * the caller would wait for ever.  Unlike ADDFD: see above. */
	do
		r = ioctl(n->fd, SECCOMP_IOCTL_NOTIF_SEND, n->response) < 0 ? -errno : 0;
	while (r == -EINTR);
	return r;
}

int notify_return(struct notify *n, uint64_t id, int64_t value)
{
	return answer(n, id, value, 0, 0);
}

int notify_refuse(struct notify *n, uint64_t id, int error)
{
	return answer(n, id, 0, error, 0);
}

int notify_continue(struct notify *n, uint64_t id)
{
	return answer(n, id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

int notify_hand_over(struct notify *n, uint64_t id, int fd, bool cloexec)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SEND,
		.srcfd = (uint32_t)fd,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};

	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? -errno : 0;
}

int notify_place(struct notify *n, uint64_t id, int fd, int number, bool cloexec)
{
	struct seccomp_notif_addfd add = {
		.id = id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (uint32_t)fd,
		.newfd = (uint32_t)number,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};

	return ioctl(n->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 ? -errno : 0;
}
