/* SPDX-License-Identifier: MIT */
/*
 * filter.c - the worker's filter, tried from inside.
 *
 * Every number from 0 to 600 is called under the loaded program.  A second filter, loaded first,
 * hands whatever the first would allow to this test, which answers instead of the kernel: nothing
 * is carried out.  The result is compared with a file that stands beside this one (golden.h).
 */
#include "tests/cell/golden.h"
#include "broker/trap.h"
#include "sandbox/filter.h"

#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define ALLOWED 4242 /* an answer that no call gives for zeros */
#define THE_END 0x77

static int load(enum kind kind)
{
	struct failure f = FAILURE_INIT;
	struct cell_spec spec;
	struct cell_tree tree;
	struct filter filter;

	kind_spec(kind, &spec, &tree);
	if (filter_find(FILTER_WORKER, &spec, &filter, &f) < 0)
		return -1;
	return cell_load_filter(&filter, &f);
}

/* ---- every number ---------------------------------------------------------------------------- */

struct shared {
	int listener;
	int armed;
	int result[NUMBERS]; /* 0 refused with errno, ALLOWED */
	int error[NUMBERS];
};

static void try_all(struct shared *s, enum kind kind)
{
	const struct sock_filter notify[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF}};
	struct sock_fprog program = {1, (struct sock_filter *)notify};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	__atomic_store_n(&s->listener,
		(int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			&program),
		__ATOMIC_SEQ_CST);
	if (load(kind) < 0)
		syscall(SYS_exit_group, 1);
	__atomic_store_n(&s->armed, 1, __ATOMIC_SEQ_CST);
	for (int nr = 0; nr < NUMBERS; nr++) {
		if (golden_is_kernel_only(seccomp_arch_native(), nr))
			continue;
		s->result[nr] = (int)syscall(nr, 0, 0, 0, 0, 0, 0);
		s->error[nr] = errno;
	}
	syscall(SYS_exit_group, THE_END, 0, 0, 0, 0, 0);
}

static void answer(int listener, struct shared *s, pid_t pid)
{
	struct seccomp_notif request;
	struct seccomp_notif_resp response;
	bool over = false;

	while (!over) {
		bool armed;

		memset(&request, 0, sizeof(request));
		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) < 0)
			return;
		armed = __atomic_load_n(&s->armed, __ATOMIC_SEQ_CST);
		over = armed && request.data.nr == SYS_exit_group &&
		       request.data.args[0] == THE_END;
		response = (struct seccomp_notif_resp){.id = request.id, .val = ALLOWED};
		if (!armed || over) {
			response.val = 0;
			response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		}
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
	}
}

static void try_kind(enum kind kind, struct shared *s)
{
	autofd pidfd = -1;
	autofd listener = -1;
	int status;
	pid_t pid;

	memset(s, 0, sizeof(*s));
	s->listener = -1;
	pid = fork();
	if (pid == 0)
		try_all(s, kind);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (__atomic_load_n(&s->listener, __ATOMIC_SEQ_CST) < 0)
		usleep(1000);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, s->listener, 0);
	assert_true(listener >= 0);
	answer(listener, s, pid);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != THE_END)
		flunk("%s: wait status %#x", kind_names[kind], status);
}

static const char *verdict(const struct shared *s, int nr)
{
	bool goes_on;

	if (golden_is_kernel_only(seccomp_arch_native(), nr))
		return "kernel";
	if (s->result[nr] == ALLOWED)
		return "allow";
	if (s->result[nr] != -1)
		return "?";
	/* No broker holds a listener here: seccomp_unotify(2). */
	if (s->error[nr] == ENOSYS && trap_name(nr, &goes_on))
		return goes_on ? "trap, may go on" : "trap";
	return golden_error(s->error[nr]);
}

static void every_number_answers_as_the_golden_file_says(void **state)
{
	static const char *verdicts[NUMBERS][KINDS];
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(s, MAP_FAILED);
	for (int kind = 0; kind < KINDS; kind++) {
		try_kind((enum kind)kind, s);
		for (int nr = 0; nr < NUMBERS; nr++)
			verdicts[nr][kind] = verdict(s, nr);
	}
	munmap(s, sizeof(*s));
	golden_compare(seccomp_arch_native(), verdicts);
}

/* ---- rows with conditions: each attempt works without the filter ----------------------------- */

static int in_child(bool filtered, enum kind kind, int (*attempt)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (filtered && load(kind) < 0)
			_exit(99);
		_exit(attempt() & 0xff);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int scratch(int flags)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/scratch.XXXXXX", getenv("HOME"));
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && write(fd, "old", 3) == 3) {
		int again = open(path, flags | O_CLOEXEC);

		unlink(path);
		close(fd);
		return again;
	}
	return -1;
}

static int scratch_append_fd = -1, scratch_write_fd = -1;

static int clear_append(void)
{
	return result(fcntl(scratch_append_fd, F_SETFL, 0));
}
static int keep_append(void)
{
	return result(fcntl(scratch_append_fd, F_SETFL, O_APPEND | O_NONBLOCK));
}
static int write_past_append(void)
{
	struct iovec v = {(char[]){"new"}, 3};

	return result(syscall(SYS_pwritev2, scratch_append_fd, &v, 1, 0, 0, 0x20));
}
static int punch_hole(void)
{
	return result(syscall(SYS_fallocate, scratch_append_fd, 3, 0L, 3L));
}
static int write_zeros(void)
{
	return result(syscall(SYS_fallocate, scratch_append_fd, 0x11, 0L, 3L));
}
static int make_setuid(void)
{
	return result(fchmod(scratch_write_fd, 04755));
}
static int make_executable(void)
{
	return result(fchmod(scratch_write_fd, 0755));
}
static int set_times(void)
{
	return result(syscall(SYS_utimensat, scratch_write_fd, NULL, NULL, 0));
}
static int set_xattr(void)
{
	return result(syscall(SYS_fsetxattr, scratch_write_fd, "user.x", "1", 1L, 0));
}
static int chmod_by_proc(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", scratch_write_fd);
	return result(chmod(path, 0777));
}
static int new_userns(void)
{
	return result(unshare(CLONE_NEWUSER));
}
static int clone_userns(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}
static int listener(void)
{
	const struct sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
	struct sock_fprog program = {1, (struct sock_filter *)allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return result(syscall(SYS_seccomp, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}
static int stricter_filter(void)
{
	const struct sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
	struct sock_fprog program = {1, (struct sock_filter *)allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return result(syscall(SYS_seccomp, 1, 0, &program)) ||
	       result(prctl(PR_SET_SECCOMP, 2, &program));
}
static int tcp_socket(void)
{
	return result(socket(AF_INET, SOCK_STREAM, 0)) ?: result(socket(AF_INET, SOCK_STREAM, 6));
}
static int udp_socket(void)
{
	return result(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0))
		       ?: result(socket(AF_INET, SOCK_DGRAM, 17));
}
static int route_socket(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0))
		       ?: result(socket(AF_NETLINK, SOCK_DGRAM, 0));
}
static int diag_socket(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW, 4));
}
/* To any name, too: unix(7), "SOCK_RAW is a datagram". */
static int unix_raw(void)
{
	return result(socket(AF_UNIX, SOCK_RAW, 0));
}
static int unix_datagram(void)
{
	return result(socket(AF_UNIX, SOCK_DGRAM, 0));
}
static int tcp_high_protocol(void)
{
	return result(syscall(SYS_socket, AF_INET, SOCK_STREAM, 6 | (1L << 32)));
}
static int listen_at_once(void)
{
	return result(listen(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), 1));
}
static int bind_any(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};

	return result(bind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (void *)&a, sizeof(a)));
}
static int dissolve(void)
{
	struct sockaddr a = {.sa_family = AF_UNSPEC};

	return result(connect(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &a, sizeof(a)));
}
static int set_option(int level, int option)
{
	const int one = 1;

	return result(setsockopt(
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), level, option, &one, sizeof(one)));
}
static int fast_open_option(void)
{
	return set_option(IPPROTO_TCP, TCP_FASTOPEN_CONNECT);
}
static int free_bind(void)
{
	return set_option(IPPROTO_IP, IP_FREEBIND);
}
static int no_delay(void)
{
	return set_option(IPPROTO_TCP, TCP_NODELAY);
}
static int unix_datagrams(void)
{
	int pair[2];

	return result(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
}
static int unix_datagrams_high(void)
{
	int pair[2];

	return result(syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM | (1L << 32), 0L, pair));
}
static int unix_stream(void)
{
	int pair[2];

	return result(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}
static int set_owner(void)
{
	return result(fcntl(scratch_write_fd, F_SETOWN, getpid()));
}
static int take_lease(void)
{
	return result(fcntl(scratch_write_fd, F_SETLEASE, F_UNLCK)) == EAGAIN ? 0 : errno;
}
static int stay_unrandomised(void)
{
	return result(syscall(SYS_personality, 0x0040000));
}
static int ask_personality(void)
{
	return result(syscall(SYS_personality, 0xffffffff));
}
static int child_of_the_parent(void)
{
	long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return result(pid);
}
/* The kernel takes an int, so the high half must not hide the number. */
static int inject_high(void)
{
	/* No terminal: ENOTTY is the kernel's own answer, so the call has reached it. */
	return result(syscall(SYS_ioctl, scratch_write_fd, TIOCSTI | (1UL << 32), "x")) == ENOTTY
		       ? 0
		       : errno;
}

static const struct {
	const char *name;
	int (*attempt)(void);
	int want[KINDS]; /* errno under the filter */
} attempts[] = {
	{"clearing O_APPEND", clear_append, {0, EPERM, 0}},
	{"keeping O_APPEND", keep_append, {0, 0, 0}},
	{"pwritev2 past O_APPEND", write_past_append, {EPERM, EPERM, EPERM}},
	{"punching a hole", punch_hole, {0, EOPNOTSUPP, 0}},
	{"zeros in the midst", write_zeros, {0, EOPNOTSUPP, 0}},
	{"fchmod 04755", make_setuid, {ENOSYS, ENOSYS, ENOSYS}},
	{"fchmod 0755", make_executable, {ENOSYS, ENOSYS, ENOSYS}},
	{"futimens", set_times, {ENOSYS, ENOSYS, ENOSYS}},
	{"fsetxattr", set_xattr, {ENOSYS, ENOSYS, ENOSYS}},
	{"chmod by /proc/self/fd", chmod_by_proc, {ENOSYS, ENOSYS, ENOSYS}},
	{"unshare user", new_userns, {EPERM, EPERM, EPERM}},
	{"clone user", clone_userns, {EPERM, EPERM, EPERM}},
	{"clone with CLONE_PARENT", child_of_the_parent, {EPERM, EPERM, EPERM}},
	{"seccomp listener", listener, {EPERM, EPERM, EPERM}},
	{"a stricter filter", stricter_filter, {0, 0, 0}},
	{"a TCP socket", tcp_socket, {0, 0, 0}},
	{"a UDP socket", udp_socket, {0, 0, EPERM}},
	{"a route socket", route_socket, {0, 0, EPERM}},
	{"a socket of sock_diag", diag_socket, {EPERM, EPERM, EPERM}},
	{"a raw Unix socket", unix_raw, {EPERM, EPERM, EPERM}},
	{"a Unix datagram socket", unix_datagram, {EPERM, EPERM, EPERM}},
	{"TCP, high bits", tcp_high_protocol, {0, 0, 0}},
	{"listen without bind", listen_at_once, {ENOSYS, ENOSYS, ENOSYS}},
	{"bind", bind_any, {ENOSYS, ENOSYS, ENOSYS}},
	{"dissolving a connection", dissolve, {ENOSYS, ENOSYS, ENOSYS}},
	{"TCP_FASTOPEN_CONNECT", fast_open_option, {ENOPROTOOPT, ENOPROTOOPT, ENOPROTOOPT}},
	{"IP_FREEBIND", free_bind, {ENOPROTOOPT, ENOPROTOOPT, ENOPROTOOPT}},
	{"TCP_NODELAY", no_delay, {0, 0, 0}},
	{"Unix datagrams", unix_datagrams, {EPERM, EPERM, EPERM}},
	{"Unix datagrams, high bits", unix_datagrams_high, {EPERM, EPERM, EPERM}},
	{"Unix stream pair", unix_stream, {0, 0, 0}},
	{"F_SETOWN", set_owner, {EPERM, EPERM, EPERM}},
	{"F_SETLEASE", take_lease, {EPERM, EPERM, EPERM}},
	{"no randomisation", stay_unrandomised, {EPERM, EPERM, EPERM}},
	{"asking the personality", ask_personality, {0, 0, 0}},
	{"TIOCSTI with high bits", inject_high, {EPERM, EPERM, EPERM}},
};

static void each_attempt_works_without_the_filter_and_not_with_it(void **state)
{
	int bad = 0;

	scratch_append_fd = scratch(O_WRONLY | O_APPEND);
	scratch_write_fd = scratch(O_RDWR);
	assert_true(scratch_append_fd >= 0 && scratch_write_fd >= 0);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		int control = in_child(false, 0, attempts[i].attempt);

		if (control != 0 && control != EOPNOTSUPP) { /* a file system without xattr */
			print_error("%s: not even without the filter: %s\n", attempts[i].name,
				strerror(control));
			bad++;
		}
		for (int kind = 0; kind < KINDS; kind++) {
			int got = in_child(true, (enum kind)kind, attempts[i].attempt);

			if (got == attempts[i].want[kind] || (got == control && got == EOPNOTSUPP))
				continue;
			print_error("%s, %s: %d (%s) instead of %d\n", attempts[i].name,
				kind_names[kind], got, strerror(got), attempts[i].want[kind]);
			bad++;
		}
	}
	close(scratch_append_fd);
	close(scratch_write_fd);
	assert_int_equal(bad, 0);
}

/* ---- calls of other machines than the one it is built for ------------------------------------ */

#ifdef __x86_64__
static int call_32_bit(void)
{
	long r;

	/* int 0x80, number 20: getpid of the 32-bit table. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
	return r > 0 ? 0 : (int)-r;
}
static int call_x32(void)
{
	return result(syscall(0x40000000 | SYS_getpid)) == ENOSYS ? ENOSYS : 0;
}

static void foreign_tables_are_shut(void **state)
{
	int control = in_child(false, VIEW, call_32_bit);

	if (control == 0)
		assert_int_equal(in_child(true, VIEW, call_32_bit), 1000 + SIGSYS);
	else
		print_message("this kernel has no 32-bit calls\n");
	assert_int_equal(in_child(true, VIEW, call_x32), ENOSYS);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_answers_as_the_golden_file_says),
		cmocka_unit_test(each_attempt_works_without_the_filter_and_not_with_it),
#ifdef __x86_64__
		cmocka_unit_test(foreign_tables_are_shut),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
