/* SPDX-License-Identifier: MIT */
/*
 * escape.c - a worker that tries to leave its cell by system calls alone.
 *
 * Every attack is run outside too, where it must work, or the cell's refusal would show nothing.
 * The filter's whole table is the cell's own test; here stands what each refusal is for.
 */
#include "tests/hostile/inside.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* 0 or errno of a call that returns -1 on failure. */
#define TRY(call) ((call) < 0 ? errno : 0)

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

/* Capabilities over an own user namespace, where that may be had; the attack then shows whether
 * the call itself is refused. */
static void own_namespaces(void)
{
	unshare(CLONE_NEWUSER | CLONE_NEWNS);
}

/* ---- the filter's edges ------------------------------------------------------------------- */

static int ia32_call(void)
{
#ifdef __x86_64__
	long r;

	/* getpid of the 32-bit table, past a filter that looks at numbers alone. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
	return r > 0 ? 0 : ENOSYS;
#else
	return ENOSYS;
#endif
}

static int x32_call(void)
{
#ifdef __x86_64__
	return TRY(syscall(0x40000000 | SYS_getpid));
#else
	return ENOSYS;
#endif
}

static int future_call(void)
{
	return TRY(syscall(600));
}

static int uring(void)
{
	struct io_uring_params p = {0};

	return TRY(syscall(SYS_io_uring_setup, 1, &p));
}

static int user_namespace_by_clone3(void)
{
	uint64_t args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
	long pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return TRY(pid);
}

static int user_namespace_by_clone(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return TRY(pid);
}

static int user_namespace_by_unshare(void)
{
	return TRY(unshare(CLONE_NEWUSER));
}

static int second_listener(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return TRY(syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog));
}

/* ---- mounts and roots --------------------------------------------------------------------- */

static int mount_tmpfs(void)
{
	own_namespaces();
	return TRY(mount("none", "/tmp", "tmpfs", 0, NULL));
}

static int remount_writable(void)
{
	own_namespaces();
	if (mount("/usr", "/usr", NULL, MS_BIND | MS_REC, NULL) < 0)
		return errno;
	return TRY(mount(NULL, "/usr", NULL, MS_BIND | MS_REMOUNT, NULL));
}

static int tree_of_mounts(void)
{
	own_namespaces();
	return TRY(syscall(SYS_open_tree, AT_FDCWD, "/usr", 1 /* OPEN_TREE_CLONE */));
}

static int new_file_system(void)
{
	own_namespaces();
	return TRY(syscall(SYS_fsopen, "tmpfs", 0));
}

static int change_root(void)
{
	own_namespaces();
	return TRY(chroot("/tmp"));
}

static int join_namespace(void)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	own_namespaces();
	unshare(CLONE_NEWUTS);
	close(fd);
	fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? errno : TRY(setns(fd, CLONE_NEWUTS));
}

/* Of a program that runs, open(2) says ETXTBSY before it looks at the mount; access(2) looks at the
 * mount first (EROFS).  Where that allows it, only this moment forbids to write. */
static int write_to_own_program(void)
{
	int r = TRY(access("/proc/self/exe", W_OK));

	if (r == 0)
		r = TRY(open("/proc/self/exe", O_WRONLY));
	return r == ETXTBSY ? 0 : r;
}

/* ---- other processes ---------------------------------------------------------------------- */

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static int trace_child(void)
{
	pid_t pid = sleeper();
	int r = TRY(ptrace(PTRACE_SEIZE, pid, 0, 0));

	kill(pid, SIGKILL);
	return r;
}

static int read_memory_of_child(void)
{
	static char there[8] = "secret";
	char here[8];
	struct iovec l = {here, 8}, r = {there, 8};
	pid_t pid = sleeper();
	int e = TRY(process_vm_readv(pid, &l, 1, &r, 1, 0));

	kill(pid, SIGKILL);
	return e;
}

static int steal_descriptor_of_child(void)
{
	pid_t pid = sleeper();
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int e = pidfd < 0 ? errno : TRY(syscall(SYS_pidfd_getfd, pidfd, 1, 0));

	kill(pid, SIGKILL);
	return e;
}

/* The one that runs the test: outside the cell it has a number, inside it must have none. */
static int signal_the_tester(void)
{
	return TRY(kill(atoi(env("TESTER_PID")), 0));
}

static int signal_a_thread_of_the_tester(void)
{
	int pid = atoi(env("TESTER_PID"));

	return TRY(syscall(SYS_tgkill, pid, pid, 0));
}

static int queue_a_signal_to_the_tester(void)
{
	const union sigval value = {0};

	return TRY(sigqueue(atoi(env("TESTER_PID")), 0, value));
}

static int signal_the_tester_by_descriptor(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, atoi(env("TESTER_PID")), 0);

	return pidfd < 0 ? errno : TRY(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
}

static int read_memory_of_tester(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/status", env("TESTER_PID"));
	return TRY(open(path, O_RDONLY));
}

static int priority_of_tester(void)
{
	return TRY(syscall(SYS_getpriority, 0, atoi(env("TESTER_PID"))));
}

/* ---- kernel surface ----------------------------------------------------------------------- */

static int load_bpf(void)
{
	union bpf_attr a = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};

	return TRY(syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a)));
}

static int perf(void)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(a),
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.exclude_kernel = 1};

	return TRY(syscall(SYS_perf_event_open, &a, 0, -1, -1, 0));
}

static int user_fault(void)
{
	return TRY(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

static int keyring(void)
{
	return TRY(syscall(SYS_add_key, "user", "warder-test", "x", 1, -2 /* process keyring */));
}

static int executable_data(void)
{
	return TRY(personality(READ_IMPLIES_EXEC));
}

static int handle_of_name(void)
{
	struct {
		struct file_handle h;
		char room[128];
	} handle = {.h = {.handle_bytes = 128}};
	int mount_id;

	return TRY(name_to_handle_at(AT_FDCWD, "/usr", &handle.h, &mount_id, 0));
}

static int quota(void)
{
	/* Any answer but "not permitted" and "no such call" shows that the call was made. */
	return syscall(SYS_quotactl, 0x800001 << 8, "/dev/null", 0, NULL) < 0 &&
			       (errno == EPERM || errno == ENOSYS || errno == EACCES)
		       ? errno
		       : 0;
}

static const struct attack attacks[] = {
	{"ia32_call", ia32_call, WORKS_NOWHERE},
	{"x32_call", x32_call, WORKS_NOWHERE},
	{"future_call", future_call, WORKS_NOWHERE},
	{"uring", uring, WORKS},
	{"user_namespace_by_clone3", user_namespace_by_clone3, WORKS},
	{"user_namespace_by_clone", user_namespace_by_clone, WORKS},
	{"user_namespace_by_unshare", user_namespace_by_unshare, WORKS},
	{"second_listener", second_listener, WORKS},
	{"mount_tmpfs", mount_tmpfs, WORKS},
	{"remount_writable", remount_writable, WORKS},
	{"tree_of_mounts", tree_of_mounts, WORKS},
	{"new_file_system", new_file_system, WORKS},
	{"change_root", change_root, WORKS},
	{"join_namespace", join_namespace, WORKS},
	{"write_to_own_program", write_to_own_program, WORKS_AS_ROOT},
	{"trace_child", trace_child, WORKS},
	{"read_memory_of_child", read_memory_of_child, WORKS},
	{"steal_descriptor_of_child", steal_descriptor_of_child, WORKS},
	{"signal_the_tester", signal_the_tester, WORKS},
	{"signal_a_thread_of_the_tester", signal_a_thread_of_the_tester, WORKS},
	{"queue_a_signal_to_the_tester", queue_a_signal_to_the_tester, WORKS},
	{"signal_the_tester_by_descriptor", signal_the_tester_by_descriptor, WORKS},
	{"read_memory_of_tester", read_memory_of_tester, WORKS},
	{"priority_of_tester", priority_of_tester, WORKS},
	{"load_bpf", load_bpf, WORKS_AS_ROOT},
	{"perf", perf, WORKS_NOWHERE},
	{"user_fault", user_fault, WORKS},
	{"keyring", keyring, WORKS},
	{"executable_data", executable_data, WORKS},
	{"handle_of_name", handle_of_name, WORKS},
	{"quota", quota, WORKS_NOWHERE},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* ---- the tester --------------------------------------------------------------------------- */

static void no_attack_that_works_outside_works_inside(void **state)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	const char *command[] = {own_path(), "--attack", NULL};
	const char *options[] = {"-q", "-e", "env TESTER_PID", NULL};
	char dir[PATH_MAX], pid[16];

	make_directory(dir, sizeof(dir));
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("TESTER_PID", pid, 1);
	run_program(&outside, command);
	run_inside(&inside, dir, options, command);
	compare(attacks, N_ATTACKS, &outside, &inside);
	assert_int_equal(inside.status, 0);
	assert_int_equal(ledger_count(inside.ledger, "grant", NULL, NULL), 0);
	assert_int_equal(ledger_count(inside.ledger, "session", NULL, NULL), 1);
	assert_int_equal(ledger_count(inside.ledger, "exit", NULL, NULL), 1);
	outcome_free(&inside);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_attack_that_works_outside_works_inside, fds_before, fds_after),
	};

	if (argc > 1 && !strcmp(argv[1], "--attack"))
		return attack_main(attacks, N_ATTACKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
