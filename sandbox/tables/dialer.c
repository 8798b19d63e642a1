/* SPDX-License-Identifier: MIT */
/*
 * dialer.c - every system call that the dialer may make once it is caged, one row each.
 *
 * Runs in: dialer.  Trusts: nothing; it is what holds when what comes from the network takes the
 * dialer over.
 *
 * Sockets and nothing else: no exec, no process, no code from memory, no raw or netlink socket, no
 * descriptor of another process.  A call without a row kills it.
 */
#include "sandbox/tables/table.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>

#define TYPE_FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* clang-format off */
static const struct table_row rows[] = {
	/* the loop */
	ALLOW(epoll_wait, "waiting, the one place"),
	ALLOW(epoll_pwait, "waiting, the one place"),
	ALLOW(epoll_ctl, "waiting, the one place"),
	ALLOW(clock_gettime, "where the vDSO has none"),
	ALLOW(gettimeofday, "where the vDSO has none; c-ares"),
	ALLOW(restart_syscall, "going on after a stop"),
	ALLOW_IF(setitimer, IS(0, ITIMER_REAL), "no connect to a Unix socket lasts, nor a close: hurry.c"),
	ALLOW(rt_sigreturn, "that timer's signal"),
	ALLOW(getpid, "abort(3)"),
	ALLOW(gettid, "abort(3)"),
	ALLOW_IF(tgkill, IS(2, 6), "abort(3)"),
	ALLOW(rt_sigprocmask, "that timer's signal; abort(3)"),

	/* sockets */
	ALLOW_IF2(socket, IS(0, AF_INET), IS_BUT(1, TYPE_FLAGS, SOCK_STREAM), "TCP"),
	ALLOW_IF2(socket, IS(0, AF_INET6), IS_BUT(1, TYPE_FLAGS, SOCK_STREAM), "TCP"),
	ALLOW_IF2(socket, IS(0, AF_INET), IS_BUT(1, TYPE_FLAGS, SOCK_DGRAM), "UDP; queries"),
	ALLOW_IF2(socket, IS(0, AF_INET6), IS_BUT(1, TYPE_FLAGS, SOCK_DGRAM), "UDP; queries"),
	ALLOW_IF2(socket, IS(0, AF_UNIX), IS_BUT(1, TYPE_FLAGS, SOCK_STREAM), "Unix peers"),
	ALLOW_IF2(socket, IS(0, AF_UNIX), IS_BUT(1, TYPE_FLAGS, SOCK_SEQPACKET), "Unix peers"),
	ALLOW_IF2_IN(CELL_DATAGRAMS, socket, IS(0, AF_UNIX), IS_BUT(1, TYPE_FLAGS, SOCK_DGRAM), "Unix datagram peers"),
	ALLOW_IF2_IN(CELL_DATAGRAMS, socketpair, IS(0, AF_UNIX), IS_BUT(1, TYPE_FLAGS, SOCK_SEQPACKET), "a worker's datagram socket"),
	ALLOW(connect, "what it is for"),
	ALLOW(bind, "op bind; a relay's address inside the cell"),
	ALLOW(listen, "a relay inside the cell; another socket there: spares.c"),
	ALLOW(accept4, "a relay inside the cell, and another socket there; the name server's TCP"),
	ALLOW(shutdown, "half-closes of a relay"),
	ALLOW(setsockopt, "the options of the worker's own socket"),
	ALLOW(getsockopt, "SO_ERROR: how a connect went"),
	ALLOW(getsockname, "the ports of the cell's sockets"),
	ALLOW(getpeername, "c-ares: whether an answer is the server's"),
	ALLOW(recvmsg, "the channel, datagrams"),
	ALLOW(sendmsg, "the channel, datagrams"),
	ALLOW(recvfrom, "names, relays"),
	ALLOW(sendto, "names, relays"),
	ALLOW(read, "relays; resolv.conf, hosts"),
	ALLOW(write, "relays; the last word on standard error"),
	ALLOW(writev, "c-ares, over TCP"),
	ALLOW_IF(ioctl, IS(1, FIONBIO), "c-ares"),
	ALLOW_IF(fcntl, IS(1, F_GETFL), "blocking or not"),
	ALLOW_IF(fcntl, IS(1, F_SETFL), "blocking or not"),
	ALLOW_IF(fcntl, IS(1, F_GETFD), "c-ares"),
	ALLOW_IF(fcntl, IS(1, F_SETFD), "c-ares"),
	ALLOW(close, "descriptors"),

	/* resolv.conf and hosts; Landlock has no rule for any other file */
	ALLOW_IF(open, ONLY(1, O_CLOEXEC | O_LARGEFILE), "to read"),
	ALLOW_IF(openat, ONLY(2, O_CLOEXEC | O_LARGEFILE), "to read"),
	ALLOW(fstat, "stdio"),
	ALLOW(newfstatat, "stdio"),
	ALLOW(lseek, "stdio"),
	ALLOW(uname, "gethostname(3), c-ares"),
	ALLOW(getrandom, "ids of queries; malloc's tag"),

	/* memory, and the end */
	ALLOW(brk, "malloc, of c-ares"),
	ALLOW(munmap, "malloc, of c-ares"),
	ALLOW(mremap, "malloc, of c-ares"),
	ALLOW(madvise, "malloc, of c-ares"),
	ALLOW(futex, "malloc, of c-ares"),
	ALLOW_IF(mmap, NONE(2, PROT_EXEC), "malloc; no code"),
	ALLOW_IF(mprotect, NONE(2, PROT_EXEC), "malloc; no code"),
	ALLOW(exit, "the end"),
	ALLOW(exit_group, "the end"),

#ifdef WARDER_SANITIZE
	/* what the sanitizers' own reports and allocators do */
	ALLOW(mmap, "shadow memory"),
	ALLOW(mprotect, "shadow memory"),
	ALLOW(prctl, "naming memory, dumpable"),
	ALLOW(ptrace, "the leak check"),
	ALLOW(getcwd, "reports"),
	ALLOW(readlink, "reports"),
	ALLOW(sigaltstack, "reports"),
	ALLOW(rt_sigaction, "reports"),
	ALLOW(clone, "the leak check"),
	ALLOW(wait4, "the leak check"),
	ALLOW(prlimit64, "the leak check"),
	ALLOW(sched_yield, "the leak check"),
	ALLOW(open, "reports"),
	ALLOW(openat, "reports"),
	ALLOW(stat, "reports"),
	ALLOW(getdents64, "the leak check"),
#endif
};
/* clang-format on */

const struct table table_dialer = {
	.arch = TABLE_ARCH,
	.rows = rows,
	.n = sizeof(rows) / sizeof(*rows),
	.otherwise = SCMP_ACT_KILL_PROCESS,
};
