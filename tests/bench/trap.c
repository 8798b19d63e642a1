/* SPDX-License-Identifier: MIT */
/*
 * trap.c - what one plain openat through the trap door costs, beside a minimal supervisor.
 *
 * Two workers of the same program (worker.c) run in turns, one inside a cell with policy and
 * ledger on, one under a supervisor that does the least there is to do: receive the notice, read
 * the path, openat, put the descriptor there.  Then beside one that does what the design asks of
 * any (owed.h), and beside strace and proot, where they are installed.  All on one CPU first, then
 * where the kernel puts them.
 *
 *     usage: trap WARDER WORKER       BENCH_ROUNDS=31  BENCH_TIMES=2000
 */
#include "tests/bench/owed.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define SET_FLAGS     SECCOMP_IOW(4, __u64) /* Linux 6.6, as the next */
#define SYNC_WAKE_UP_ (1ULL << 0)

static size_t rounds;

/* ---- the minimal supervisor: `trap minimal PROGRAM ARG ...`, `trap caged DIR PROGRAM ARG ...` --
 */

static int filter_openat(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* Of several descriptors the design's broker waits for whichever comes. */
static void wait_for(int listener)
{
	static int quiet[2] = {-1, -1};
	struct pollfd p[] = {{.fd = listener, .events = POLLIN}, {.fd = quiet[0], .events = POLLIN},
		{.fd = quiet[0], .events = POLLIN}};

	if (quiet[0] < 0 && pipe(quiet) < 0)
		err(2, "pipe");
	p[1].fd = p[2].fd = quiet[0];
	poll(p, 3, -1);
}

/* No policy, no check, and a record only where it is owed; a path of at most 255 bytes. */
static void minimal_serve(int listener, pid_t worker, bool owed)
{
	for (;;) {
		struct seccomp_notif n = {0};
		struct seccomp_notif_addfd add = {.flags = SECCOMP_ADDFD_FLAG_SEND};
		char path[256];
		struct iovec to = {path, sizeof(path)}, from = {NULL, sizeof(path)};
		int fd, flags;

		if (owed)
			wait_for(listener);
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0) {
			/* Who asked is gone; so is the worker, if it was that. */
			if (waitpid(worker, NULL, WNOHANG) != 0)
				return;
			continue;
		}
		from.iov_base = (void *)(uintptr_t)n.data.args[1];
		if (process_vm_readv((pid_t)n.pid, &to, 1, &from, 1, 0) <= 0)
			err(2, "process_vm_readv");
		if (owed && ioctl(listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n.id) < 0)
			continue;
		flags = (int)n.data.args[2];
		fd = owed ? owed_open(path, flags) : openat(AT_FDCWD, path, flags);
		if (fd < 0) {
			struct seccomp_notif_resp no = {.id = n.id, .error = -errno};

			ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &no);
			continue;
		}
		add.id = n.id;
		add.srcfd = (uint32_t)fd;
		add.newfd_flags = O_CLOEXEC;
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0 && errno != ENOENT)
			err(2, "SECCOMP_IOCTL_NOTIF_ADDFD");
		close(fd);
	}
}

static void send_listener(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	if (sendmsg(sock, &msg, 0) < 0)
		_exit(126);
}

static int receive_listener(int sock)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0 || !CMSG_FIRSTHDR(&msg))
		errx(2, "no listener");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

/* `tree`: as the design has it, of files below there; NULL: the least. */
static int minimal(const char *tree, char **argv)
{
	int pair[2], listener;
	char path[PATH_MAX];
	pid_t pid;

	if (tree) {
		snprintf(path, sizeof(path), "%s/owed", tree);
		owed_begin(path);
		owed_domain(tree); /* the worker's is to be nested in it */
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || (pid = fork()) < 0)
		err(2, "minimal supervisor");
	if (pid == 0) {
		if (tree) {
			setsid();
			owed_filter();
		}
		listener = filter_openat();
		if (listener < 0)
			_exit(126);
		send_listener(pair[1], listener);
		close(listener);
		execv(argv[0], argv);
		_exit(127);
	}
	close(pair[1]);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	listener = receive_listener(pair[0]);
	ioctl(listener, SET_FLAGS, SYNC_WAKE_UP_);
	if (tree)
		owed_filter();
	minimal_serve(listener, pid, tree != NULL);
	return 0;
}

/* ---- the measure ----------------------------------------------------------------------------- */

static struct worker start_under(const char *const *before, char *program)
{
	const char *argv[16] = {NULL};
	size_t n = 0;

	while (before[n]) {
		argv[n] = before[n];
		n++;
	}
	argv[n++] = program;
	argv[n++] = file;
	argv[n++] = scratch;
	argv[n] = "-1";
	return start(argv, -1);
}

/* Runs both in turns; medians in ns. */
static void turns(
	const struct worker *a, const struct worker *b, char command, double *ret_a, double *ret_b)
{
	static double x[ROUNDS_MAX], y[ROUNDS_MAX];

	ask(a, command);
	ask(b, command);
	for (size_t i = 0; i < rounds; i++) {
		x[i] = ask(a, command);
		y[i] = ask(b, command);
	}
	*ret_a = bench_median(x, rounds) / 1e3;
	*ret_b = bench_median(y, rounds) / 1e3;
}

static void beside(const struct worker *in, const char *const *before, char *program,
	const char *name, bool pinned, double goal)
{
	const char *what = pinned ? "trap door, one open" : "trap door, one open, not pinned";
	struct worker other;
	double a, b;

	if (access(before[0], X_OK) < 0) {
		printf("%-42s not measured: no %s\n", what, before[0]);
		return;
	}
	other = start_under(before, program);
	turns(in, &other, 'b', &a, &b);
	if (pinned)
		bench_ratio(what, a, "us", name, b, goal);
	else
		bench_note(what, a, "us", name, b);
	stop(&other);
}

static void phase(char *warder, char *program, bool pinned)
{
	const char *const owed[] = {"/proc/self/exe", "caged", dir, NULL};
	static const char *const references[][8] = {
		{"/proc/self/exe", "minimal"},
		{"/usr/bin/strace", "--seccomp-bpf", "-f", "-e", "trace=openat", "-o", "/dev/null"},
		{"/usr/bin/proot", "-r", "/"},
		{"/usr/bin/env"},
	};
	struct worker in = start_inside(warder, program);
	struct worker bare;
	double a, b;

	beside(&in, references[0], program, "minimal notify supervisor", pinned, 1.2);
	beside(&in, references[1], program, "strace --seccomp-bpf", pinned, 0.65);
	beside(&in, references[2], program, "proot -r /", pinned, 0.3);
	if (pinned) {
		bare = start_under(owed, program);
		turns(&in, &bare, 'b', &a, &b);
		bench_note("trap door, one open", a, "us", "minimal, caged, with record", b);
		stop(&bare);
	}
	bare = start_under(references[3], program);
	turns(&in, &bare, 'b', &a, &b);
	bench_note(pinned ? "trap door, one open" : "trap door, one open, not pinned", a, "us",
		"bare openat+close", b);
	turns(&in, &bare, 'c', &a, &b);
	bench_note(pinned ? "trap door, let go on" : "trap door, let go on, not pinned", a, "us",
		"bare openat+close", b);
	stop(&bare);
	stop(&in);
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "minimal") == 0)
		return minimal(NULL, argv + 2);
	if (argc > 3 && strcmp(argv[1], "caged") == 0)
		return minimal(argv[2], argv + 3);
	if (argc != 3)
		errx(2, "usage: trap WARDER WORKER");
	bench_phases(argv[1], argv[2], &rounds, phase);
	return 0;
}
