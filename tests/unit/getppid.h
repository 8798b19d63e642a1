/* SPDX-License-Identifier: MIT */
/*
 * getppid.h - a filter that traps getppid(2) alone, in a child that sends its listener.
 */
#ifndef WARDER_TEST_GETPPID_H
#define WARDER_TEST_GETPPID_H

#include "common/chan.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* flags: SECCOMP_FILTER_FLAG_... besides that of a listener. */
static inline void trap_getppid(int sock, unsigned long flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(101);
	fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &program);
	if (fd < 0 || chan_send(sock, "l", 1, &fd, 1, true) < 0)
		_exit(102);
}

#endif
