/* SPDX-License-Identifier: MIT */
/*
 * lib_lockdown.c - the strict table: what a loaded worker still needs, and nothing else.
 *
 * Runs in: worker.  Trusts: nothing that runs after it.
 *
 * Stacked on the filter of the cell; the kernel takes the stricter answer of the two (seccomp(2)).
 * Each system call is one row with its reason.  What no row allows fails with EPERM where it is in
 * the table of refusals below, else with ENOSYS, which makes libraries fall back.
 * Arguments that the kernel reads as 32 bits are compared as 32 bits: a filter sees 64, and a
 * number with a high bit set would slip by.
 */
#include "sandbox/lib.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

#define INT_BITS 0xffffffffU
#define OWN_PID  (~(uint64_t)0) /* in a value: the pid of this process */

/* An operation no kernel knows.  Under the strict table its answer is EALREADY, by which a second
 * warder_lockdown() knows that there is nothing left to do. */
#define PROBE_OP 0x77617264U

/* One argument: (arg & mask) == value.  mask 0: any. */
struct test {
	unsigned arg;
	uint64_t mask, value;
};

struct row {
	const char *name;
	struct test test, test2;
};

#define ANY
#define ARG(n, mask_, value_) \
	{ \
		.arg = (n), .mask = (mask_), .value = (value_) \
	}

/* clang-format off */
static const struct row allowed[] = {
	{"read", ANY},              /* granted descriptors, eventfd, timerfd, inotify */
	{"readv", ANY},
	{"pread64", ANY},
	{"preadv", ANY},
	{"write", ANY},
	{"writev", ANY},
	{"pwrite64", ANY},
	{"pwritev", ANY},
	{"lseek", ANY},
	{"fstat", ANY},             /* by descriptor; newfstatat takes a path and is refused */
	{"ftruncate", ANY},         /* needs a descriptor granted for writing */
	{"fsync", ANY},
	{"fdatasync", ANY},
	{"getdents64", ANY},        /* needs a directory that was granted */
	{"close", ANY},
	{"close_range", ANY},
	{"dup", ANY},
	{"fcntl", ARG(1, INT_BITS, F_GETFD)},
	{"fcntl", ARG(1, INT_BITS, F_SETFD)},
	{"fcntl", ARG(1, INT_BITS, F_GETFL)}, /* never F_SETFL (append, async), F_SETOWN, locks */
	{"fcntl", ARG(1, INT_BITS, F_DUPFD_CLOEXEC)},

	{"recvfrom", ARG(3, MSG_OOB, 0)},     /* no out-of-band byte: kernel code nobody needs */
	{"recvmsg", ARG(2, MSG_OOB, 0)},      /* the channel, with the descriptors it brings */
	{"sendmsg", ARG(2, MSG_OOB | MSG_FASTOPEN, 0)},
	{"sendto", ARG(3, MSG_OOB | MSG_FASTOPEN, 0), ARG(4, ~(uint64_t)0, 0)}, /* names no peer */
	{"shutdown", ANY},
	{"accept", ANY},            /* of a listening socket that it was given */
	{"accept4", ANY},
	{"setsockopt", ARG(1, INT_BITS, SOL_SOCKET), ARG(2, INT_BITS, SO_PASSRIGHTS)}, /* serve */
	{"getsockopt", ARG(1, INT_BITS, SOL_SOCKET), ARG(2, INT_BITS, SO_DOMAIN)},     /* attach */
	{"getsockopt", ARG(1, INT_BITS, SOL_SOCKET), ARG(2, INT_BITS, SO_TYPE)},
	{"getsockopt", ARG(1, INT_BITS, SOL_SOCKET), ARG(2, INT_BITS, SO_ERROR)}, /* what ended it */

	{"epoll_create1", ANY},     /* waiting */
	{"epoll_ctl", ANY},
	{"epoll_wait", ANY},
	{"epoll_pwait", ANY},
	{"epoll_pwait2", ANY},
	{"poll", ANY},
	{"ppoll", ANY},
	{"select", ANY},
	{"pselect6", ANY},
	{"eventfd2", ANY},
	{"timerfd_create", ANY},
	{"timerfd_settime", ANY},
	{"timerfd_gettime", ANY},

	{"mmap", ARG(2, PROT_EXEC, 0)},       /* memory that is no code */
	{"mprotect", ARG(2, PROT_EXEC, 0)},
	{"mremap", ANY},
	{"munmap", ANY},
	{"madvise", ANY},
	{"brk", ANY},

	{"futex", ANY},             /* locks of libc and of threads there already */
	{"sched_yield", ANY},
	{"rseq", ANY},            /* a thread made before the call and begun after it */
	{"set_robust_list", ANY},
	{"clock_gettime", ANY},     /* where the vDSO cannot answer */
	{"clock_getres", ANY},
	{"clock_nanosleep", ANY},
	{"nanosleep", ANY},
	{"gettimeofday", ANY},
	{"time", ANY},
	{"getrandom", ANY},

	{"getpid", ANY},            /* tell a process what it is */
	{"gettid", ANY},
	{"getppid", ANY},
	{"getuid", ANY},
	{"geteuid", ANY},
	{"getgid", ANY},
	{"getegid", ANY},

	{"prlimit64", ARG(0, INT_BITS, 0), ARG(2, ~(uint64_t)0, 0)}, /* reads its own limits */

	{"rt_sigaction", ANY},      /* handlers, and the way back from them */
	{"rt_sigprocmask", ANY},
	{"rt_sigreturn", ANY},
	{"sigaltstack", ANY},
	{"restart_syscall", ANY},   /* the kernel's own after a stop */
	{"tgkill", ARG(0, INT_BITS, OWN_PID)}, /* abort(3) and raise(3): itself alone */
	{"exit", ANY},
	{"exit_group", ANY},
};

/* Known and refused: EPERM says "not allowed" where ENOSYS would say "no such thing". */
static const char *const refused[] = {
	"open", "openat", "openat2", "creat", "open_by_handle_at", "name_to_handle_at",
	"stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2",
	"readlink", "readlinkat", "getcwd", "chdir", "fchdir", "chroot",
	"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2",
	"link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "truncate",
	"chmod", "fchmod", "fchmodat", "chown", "lchown", "fchown", "fchownat",
	"utime", "utimes", "futimesat", "utimensat",
	"setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr",
	"inotify_add_watch", "fanotify_init", "fanotify_mark", "mount", "umount2", "pivot_root",
	"socket", "socketpair", "connect", "bind", "listen", "sendmmsg",
	"execve", "execveat", "fork", "vfork", "clone", "unshare", "setns",
	"kill", "tkill", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open",
	"pidfd_getfd", "pidfd_send_signal", "memfd_create", "ioctl", "prctl", "personality",
	"bpf", "perf_event_open", "keyctl", "add_key", "request_key", "shmget", "shmat",
};
/* clang-format on */

static struct scmp_arg_cmp compare(const struct test *t)
{
	uint64_t value = t->value == OWN_PID ? (uint64_t)getpid() : t->value;

	return SCMP_CMP64(t->arg, SCMP_CMP_MASKED_EQ, t->mask, value);
}

static int allow(scmp_filter_ctx ctx, const struct row *row)
{
	struct scmp_arg_cmp tests[2];
	unsigned n = 0;
	int nr = seccomp_syscall_resolve_name(row->name);

	if (nr < 0)
		return 0; /* not of this architecture, or newer than libseccomp: stays refused */
	if (row->test.mask)
		tests[n++] = compare(&row->test);
	if (row->test2.mask)
		tests[n++] = compare(&row->test2);
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, n, tests);
}

static int refuse(scmp_filter_ctx ctx, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	return nr < 0 ? 0 : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);
}

/* Where a loader or a compiler at run time would meet the table: an honest word for it. */
static int refuse_code(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp exec = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC);
	int r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1, &exec);

	if (r < 0)
		return r;
	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), 1, &exec);
}

static int build(scmp_filter_ctx ctx)
{
	int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	/* Every thread: one that kept its old table would hand what it opens to the others. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; r == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		r = allow(ctx, &allowed[i]);
	for (size_t i = 0; r == 0 && i < sizeof(refused) / sizeof(refused[0]); i++)
		r = refuse(ctx, refused[i]);
	if (r == 0)
		r = refuse_code(ctx);
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EALREADY), SCMP_SYS(seccomp), 1,
			SCMP_A0_64(SCMP_CMP_MASKED_EQ, INT_BITS, PROBE_OP));
	return r == 0 ? seccomp_load(ctx) : r;
}

int warder_lockdown(void)
{
	scmp_filter_ctx ctx;
	int r;

	if (syscall(SYS_seccomp, PROBE_OP, 0, NULL) < 0 && errno == EALREADY)
		return 0;
	ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!ctx)
		return lib_errno(-ENOMEM);
	r = build(ctx);
	seccomp_release(ctx);
	return lib_errno(r);
}
