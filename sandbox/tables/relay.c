/* SPDX-License-Identifier: MIT */
/*
 * relay.c - every system call that the relay of a terminal may make, one row each.
 *
 * Runs in: relay.  Trusts: nothing.
 *
 * It holds the user's terminal and reads what the worker writes: taken over, it could type into the
 * shell (TIOCSTI, TIOCLINUX) or open files as the user.  What has no row is refused and not killed
 * for, since whoever ends the relay leaves the user's terminal raw.
 */
#include "sandbox/tables/table.h"

#include <asm/termbits.h>
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>

/* The relay's own numbers, cli/tty_relay.c. */
enum { IN = 0, OUT = 1, MASTER = 3, SIGNALS = 5 };

/* clang-format off */
static const struct table_row rows[] = {
	ALLOW_IF(read, IS(0, IN), "the user's keys"),
	ALLOW_IF(read, IS(0, MASTER), "the worker's output"),
	ALLOW_IF(read, IS(0, SIGNALS), "the size changed, stop, go on"),
	ALLOW_IF(write, IS(0, OUT), "the worker's output"),
	ALLOW_IF(write, IS(0, MASTER), "the user's keys"),
	ALLOW(poll, "waiting for them"),
	ALLOW(ppoll, "the same"),
	ALLOW(clock_gettime, "where the vDSO has none"),
	ALLOW(restart_syscall, "going on after a stop"),

	/* modes and size of both terminals */
	ALLOW_IF2(ioctl, IS(0, IN), IS(1, TCGETS), "the modes to restore"),
	ALLOW_IF2(ioctl, IS(0, IN), IS(1, TCSETSW), "raw, and as it was"),
	ALLOW_IF2(ioctl, IS(0, IN), IS(1, TCGETS2), "the same, glibc 2.42"),
	ALLOW_IF2(ioctl, IS(0, IN), IS(1, TCSETSW2), "the same, glibc 2.42"),
	ALLOW_IF2(ioctl, IS(0, IN), IS(1, TIOCGPGRP), "whether this group is in the foreground"),
	ALLOW_IF2(ioctl, IS(0, OUT), IS(1, TIOCGWINSZ), "the size"),
	ALLOW_IF2(ioctl, IS(0, MASTER), IS(1, TIOCSWINSZ), "the size, passed on"),
	ALLOW_IF2(ioctl, IS(0, MASTER), IS(1, TCGETS), "which key suspends"),
	ALLOW_IF2(ioctl, IS(0, MASTER), IS(1, TCGETS2), "which key suspends"),
	ALLOW_IF2(ioctl, IS(0, MASTER), IS(1, TIOCGPGRP), "whom the key is for"),
	ALLOW_IF2(ioctl, IS(0, MASTER), IS(1, TIOCGSID), "whom the key is for"),

	/* job control */
	ALLOW(getpgrp, "this group"),
	ALLOW(getpgid, "this group, and the shell's"),
	ALLOW(getsid, "whether somebody will continue what is stopped"),
	ALLOW_IF2(kill, IS(0, 0), IS(1, SIGTSTP), "the key that suspends, to this group"),
	ALLOW_IF(tgkill, IS(2, SIGSTOP), "stopping itself: raise(3)"),
	ALLOW(getpid, "raise(3)"),
	ALLOW(gettid, "raise(3)"),
	ALLOW(rt_sigprocmask, "raise(3)"),

	ALLOW(exit_group, "the end"),
	ALLOW(exit, "the end"),
#ifdef WARDER_SANITIZE
	ALLOW(mmap, "the sanitizers' own memory"),
	ALLOW(munmap, "the same"),
#endif
};
/* clang-format on */

const struct table table_relay = {
	.arch = TABLE_ARCH,
	.rows = rows,
	.n = sizeof(rows) / sizeof(*rows),
	.otherwise = SCMP_ACT_ERRNO(EPERM),
};
