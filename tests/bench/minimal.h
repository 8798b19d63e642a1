/* SPDX-License-Identifier: MIT */
/*
 * minimal.h - the broker that does the least there is to do: receive a path, make a descriptor of
 * it, answer with SCM_RIGHTS.  No policy, no check, no record.
 */
#ifndef WARDER_BENCH_MINIMAL_H
#define WARDER_BENCH_MINIMAL_H

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

union minimal_control {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* A descriptor, or without one the error. */
static inline void minimal_answer(int sock, int fd)
{
	union minimal_control control;
	int result = fd < 0 ? -errno : 0;
	struct iovec iov = {.iov_base = &result, .iov_len = sizeof(result)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct cmsghdr *c;

	if (fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		_exit(1);
}

/* Starts one: `make` gives a descriptor for a path, or -1 and errno.  The client's end. */
static inline int minimal_start(int (*make)(const char *path))
{
	char path[PATH_MAX];
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || (pid = fork()) < 0)
		err(2, "minimal broker");
	if (pid > 0) {
		close(pair[1]);
		return pair[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pair[0]);
	while (recv(pair[1], path, sizeof(path), 0) > 0) {
		int fd = make(path);

		minimal_answer(pair[1], fd);
		if (fd >= 0)
			close(fd);
	}
	_exit(0);
}

#endif
