/* SPDX-License-Identifier: MIT */
/*
 * broker.c - every system call that the broker may make once the cell runs, one row each.
 *
 * Runs in: broker.  Trusts: nothing; it is what holds when the broker is taken over.
 *
 * No socket of its own, no mount, no exec, no code from memory.  A call without a row kills the
 * process, and with it the cell: the broker's calls are known, so a strange one is an attack or a
 * bug.
 */
#include "sandbox/abi.h"
#include "sandbox/tables/table.h"

#include <linux/kcmp.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>

#define NOTIF_SET_FLAGS_       SECCOMP_IOW(4, __u64) /* seccomp_unotify(2); Linux 6.6 */
#define NS_GET_PID_FROM_PIDNS_ _IOR(0xb7, 0x6, int)  /* ioctl_nsfs(2); Linux 6.11 */
#define NS_GET_PID_IN_PIDNS_   _IOR(0xb7, 0x8, int)  /* the same */

/* clang-format off */
static const struct table_row rows[] = {
	/* the loop */
	ALLOW(epoll_wait, "waiting, the one place"),
	ALLOW(epoll_pwait, "waiting, the one place"),
	ALLOW(epoll_ctl, "waiting, the one place"),
	ALLOW(ppoll, "waiting, the one place"),
	ALLOW(poll, "waiting, the one place"),
	ALLOW(read, "signalfd, timerfd"),
	ALLOW(readv, "signalfd, timerfd"),
	ALLOW(recvmsg, "channels"),
	ALLOW(sendmsg, "channels"),
	ALLOW(recvfrom, "channels"),
	ALLOW(sendto, "channels"),
	ALLOW(write, "ledger, status, messages to the person"),
	ALLOW(writev, "ledger, status, messages to the person"),
	ALLOW(pwrite64, "ledger, status, messages to the person"),
	ALLOW_IN(CELL_SYNC, fdatasync, "`ledger sync batch`: what is granted is on disk before it leaves"),
	ALLOW_IF(setitimer, IS(0, ITIMER_REAL), "no close of a worker's socket lasts: hurry.c"),
	ALLOW(timerfd_settime, "deadlines"),
	ALLOW(timerfd_gettime, "deadlines"),
	ALLOW(clock_gettime, "where the vDSO has none"),
	ALLOW(gettimeofday, "where the vDSO has none"),
	ALLOW(clock_nanosleep, "where the vDSO has none"),
	ALLOW(getrandom, "names of temporary files; malloc's tag"),
	ALLOW(restart_syscall, "signals"),
	ALLOW(rt_sigreturn, "signals"),
	ALLOW(rt_sigprocmask, "signals"),
	ALLOW(rt_sigaction, "signals"),
	ALLOW(sigaltstack, "signals"),
	ALLOW(rt_sigtimedwait, "signals"),
	ALLOW(getpid, "the ledger's records"),
	ALLOW(gettid, "the ledger's records"),
	ALLOW(getppid, "the ledger's records"),
	ALLOW(getuid, "the ledger's records"),
	ALLOW(geteuid, "the ledger's records"),
	ALLOW(getgid, "the ledger's records"),
	ALLOW(getegid, "the ledger's records"),

	/* the pipeline */
	ALLOW(openat2, "resolve and open, under the view or the twin"),
	ALLOW(openat, "reopening /proc/self/fd/N; opendir(3)"),
	ALLOW(open, "reopening /proc/self/fd/N; opendir(3)"),
	ALLOW(newfstatat, "what was reached"),
	ALLOW(fstat, "what was reached"),
	ALLOW(statx, "what was reached"),
	ALLOW(lstat, "what was reached"),
	ALLOW(stat, "what was reached"),
	ALLOW(statfs, "what was reached"),
	ALLOW(fstatfs, "what was reached"),
	ALLOW(readlinkat, "where a link, or a descriptor, leads"),
	ALLOW(readlink, "where a link, or a descriptor, leads"),
	ALLOW(faccessat, "op access"),
	ALLOW(faccessat2, "op access"),
	ALLOW(access, "op access"),
	ALLOW(getdents64, "op list"),
	ALLOW(mkdirat, "ops mkdir, rmdir, unlink, symlink, link"),
	ALLOW(unlinkat, "ops mkdir, rmdir, unlink, symlink, link"),
	ALLOW(symlinkat, "ops mkdir, rmdir, unlink, symlink, link"),
	ALLOW(linkat, "ops mkdir, rmdir, unlink, symlink, link"),
	ALLOW_IF(renameat2, ONLY(4, 1 | 2), "op rename; RENAME_WHITEOUT makes a device node"),
	ALLOW(renameat, "the same by the C library; the ledger's retention"),
	ALLOW(rename, "the same by the C library; the ledger's retention"),
	ALLOW(unlink, "the same by the C library; the ledger's retention"),
	ALLOW(mkdir, "the same by the C library; the ledger's retention"),
	ALLOW(ftruncate, "op truncate, O_TRUNC"),
	ALLOW(fchmodat, "op chmod"),
	ALLOW_IF(fchmod, NONE(1, S_ISUID | S_ISGID), "op chmod, modes of what is created"),
	ALLOW(fchown, "`as broker`: a new file gets its directory's owner"),
	ALLOW(fchownat, "`as broker`: a new file gets its directory's owner"),
	ALLOW(utimensat, "op utimes"),
	ALLOW(inotify_init1, "op watch"),
	ALLOW(inotify_add_watch, "op watch"),
	ALLOW(lseek, "ledger, list"),
	ALLOW(umask, "modes of what is created"),
	ALLOW(setfsuid, "as the worker, as broker"),
	ALLOW(setfsgid, "as the worker, as broker"),
	ALLOW_IF(setresuid, IS(2, -1), "a Unix peer is told the effective ids: the worker's for one connect, or a child's for good; without CAP_SETUID no way to another's"),
	ALLOW_IF(setresgid, IS(2, -1), "the same"),
	ALLOW_IF(fcntl, IS(1, F_DUPFD_CLOEXEC), "descriptors"),
	ALLOW_IF(fcntl, IS(1, F_GETFD), "descriptors"),
	ALLOW_IF(fcntl, IS(1, F_SETFD), "descriptors"),
	ALLOW_IF(fcntl, IS(1, F_GETFL), "descriptors"),
	ALLOW_IF(fcntl, IS(1, F_SETFL), "descriptors"),
	ALLOW_IF(fcntl, IS(1, F_DUPFD), "descriptors"),
	ALLOW_IF(fcntl, IS(1, F_SETLK), "the lock on its own ledger's directory"),
	ALLOW_IF(fcntl, IS(1, F_OFD_SETLK), "the lock on its own ledger's directory"),
	ALLOW_IF(fcntl, IS(1, F_GETLK), "the lock on its own ledger's directory"),
	ALLOW(flock, "the same"),
	ALLOW(close, "descriptors"),
	ALLOW(close_range, "descriptors"),
	ALLOW(dup, "descriptors"),
	ALLOW(dup3, "descriptors"),
	ALLOW(pipe2, "descriptors"),
	/* the worker's sockets by their copies, and those that the dialer made; with no row for
	 * socket(2) it has none of its own */
	ALLOW(connect, "inside the cell; Unix sockets `as broker`"),
	ALLOW(bind, "inside the cell; a Unix socket's path under the twin; op listen"),
	ALLOW(fchdir, "a Unix socket's name, bound from within its directory"),
	ALLOW(listen, "a socket bound by a rule or inside the cell; op listen"),
	ALLOW(getsockname, "what a socket is bound to"),
	ALLOW(getpeername, "what the dialer connected; it is checked"),
	ALLOW(setsockopt, "SO_PASSRIGHTS, SO_PEERCRED on its own channels"),
	ALLOW(getsockopt, "SO_PASSRIGHTS, SO_PEERCRED on its own channels"),
	ALLOW(shutdown, "channels"),

	/* the trap door */
	ALLOW_IF(ioctl, IS(1, SECCOMP_IOCTL_NOTIF_RECV), "a worker's call that waits"),
	ALLOW_IF(ioctl, IS(1, SECCOMP_IOCTL_NOTIF_SEND), "its answer"),
	ALLOW_IF(ioctl, IS(1, SECCOMP_IOCTL_NOTIF_ID_VALID), "whether it still waits"),
	ALLOW_IF(ioctl, IS(1, SECCOMP_IOCTL_NOTIF_ADDFD), "its answer, a descriptor"),
	ALLOW_IF(ioctl, IS(1, NOTIF_SET_FLAGS_), "once, when the listener comes in"),
	ALLOW_IF(ioctl, IS(1, NS_GET_PID_IN_PIDNS_), "the umask, in the cell's /proc"),
	ALLOW_IF(ioctl, IS(1, NS_GET_PID_FROM_PIDNS_), "who in the cell's /proc is to have his CPUs back"),
	ALLOW(process_vm_readv, "paths, once; Landlock: of processes in its own domain"),
	ALLOW_IF(kcmp, IS(2, KCMP_FILES), "limit held: threads that share their descriptors"),
	ALLOW(pidfd_open, "inotify_add_watch, /dev/stdin: whose descriptor it is"),
	ALLOW(pidfd_getfd, "the same; Landlock: of processes in its own domain"),
	ALLOW_IF(mknodat, IS_BUT(2, 07777, S_IFREG), "op mknod"),
	ALLOW_IF(mknodat, IS_BUT(2, 07777, S_IFIFO), "op mknod, in the cell's own places"),
	ALLOW(setxattr, "op setxattr, by /proc/self/fd/N"),
	ALLOW(removexattr, "op removexattr, by /proc/self/fd/N"),

	/* the cell and its children */
	ALLOW(wait4, "reaping"),
	ALLOW(waitid, "reaping"),
	ALLOW(pidfd_send_signal, "the worker, by the domain's scope; abort(3)"),
	ALLOW(kill, "the worker, by the domain's scope; abort(3)"),
	ALLOW(tgkill, "the worker, by the domain's scope; abort(3)"),
	ALLOW_IF(clone, NONE(0, CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET), "a call that may have to wait is a child's, in this same cage"),
	ALLOW(set_robust_list, "what fork(3) does in the child"),
	ALLOW(rseq, "what fork(3) does in the child"),
	ALLOW(set_tid_address, "what fork(3) does in the child"),
	ALLOW(sched_setaffinity, "where broker and worker run"),
	ALLOW(sched_getaffinity, "where broker and worker run"),
	ALLOW(sched_yield, "where broker and worker run"),
	ALLOW(prlimit64, "sizes"),
	ALLOW(getrlimit, "sizes"),

	/* memory, and the end */
	ALLOW(brk, "malloc"),
	ALLOW(munmap, "malloc"),
	ALLOW(mremap, "malloc"),
	ALLOW(madvise, "malloc"),
	ALLOW(futex, "malloc"),
	ALLOW_IF(mmap, NONE(2, PROT_EXEC), "malloc; no code"),
	ALLOW_IF(mprotect, NONE(2, PROT_EXEC), "malloc; no code"),
	ALLOW(exit, "the end"),
	ALLOW(exit_group, "the end"),
	ALLOW_IF(ioctl, IS(1, TCGETS), "isatty(3) of standard error"),
	ALLOW_IF(ioctl, IS(1, TIOCGWINSZ), "the width of the summary"),
	ALLOW_IF(ioctl, IS(1, FIONREAD), "how much waits"),
	ALLOW_IF(ioctl, IS(1, TIOCOUTQ), "SIOCOUTQ: `limit held` counts what the worker has not read"),
	ALLOW_IF2(prctl, IS(0, PR_SET_DUMPABLE), IS(1, 0), "as broker: a change of the fsuid undoes it"),
	ALLOW_IF(prctl, IS(0, PR_SET_NAME), "what ps(1) shows"),
	ALLOW_IF(prctl, IS(0, PR_SET_PDEATHSIG), "a child's"),
	ALLOW(sysinfo, "qsort(3) asks for the memory there is"),
	ALLOW(uname, "qsort(3) asks for the memory there is"),

#ifdef WARDER_SANITIZE
	/* what the sanitizers' own reports and allocators do */
	ALLOW(mmap, "shadow memory"),
	ALLOW(mprotect, "shadow memory"),
	ALLOW(prctl, "naming memory, dumpable"),
	ALLOW(ptrace, "the leak check"),
	ALLOW(process_vm_readv, "the leak check"),
	ALLOW(getcwd, "reports"),
	ALLOW(socket, "reports"),
	ALLOW(connect, "reports"),
	ALLOW(pipe, "reports"),
	ALLOW(execve, "the symboliser"),
#endif
};
/* clang-format on */

const struct table table_broker = {
	.arch = TABLE_ARCH,
	.rows = rows,
	.n = sizeof(rows) / sizeof(*rows),
	.otherwise = SCMP_ACT_KILL_PROCESS,
};
