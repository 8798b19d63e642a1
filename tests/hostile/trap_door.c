/* SPDX-License-Identifier: MIT */
/*
 * trap_door.c - a worker that looks for a way around the broker: the listener, and calls that would
 * not be noticed.
 *
 * Everything is opened by plain calls.  The same attacks run outside, where they work.
 */
#include "tests/hostile/trap_inside.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

/* ---- the listener ---------------------------------------------------------------------------- */

/* Whether a descriptor of this process is one through which calls are answered. */
static int hold_a_listener(void)
{
	char path[32], to[64];
	int seen = 0;

	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, to, sizeof(to) - 1);
		if (n < 0)
			continue;
		to[n] = '\0';
		seen++;
		if (strstr(to, "seccomp"))
			return 0;
	}
	return seen > 0 ? ENOENT : 0;
}

static int listener(unsigned flags)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return TRY(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | flags, &prog));
}

static int make_a_listener(void)
{
	return listener(0);
}

static int make_a_listener_for_all_threads(void)
{
	return listener(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH);
}

/* ---- calls that would not be noticed --------------------------------------------------------- */

/* mkdir of the 32-bit table; the path lies below 4 GiB. */
static int ia32_mkdir(void)
{
#ifdef __x86_64__
	char *path = mmap(
		NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long r;

	snprintf(path, 8192, "%s", in_top("a/ia32"));
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(39), "b"(path), "c"(0755) : "memory");
	return r < 0 ? (int)-r : 0;
#else
	return ENOSYS;
#endif
}

static int x32_open(void)
{
#ifdef __x86_64__
	return TRY(syscall(0x40000000 | SYS_open, in_top("b/f"), O_RDONLY));
#else
	return ENOSYS;
#endif
}

static int uring(void)
{
	char params[256] = {0};

	return TRY(syscall(SYS_io_uring_setup, 1, params));
}

static int clone3_in_namespaces(void)
{
	uint64_t args[8] = {CLONE_NEWUSER | CLONE_NEWNS, 0, 0, 0, SIGCHLD, 0, 0, 0};
	long pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return TRY(pid);
}

/* It ends by itself, and holds no stream that the tester reads to its end. */
static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		close(1);
		close(2);
		alarm(5);
		pause();
		_exit(0);
	}
	return pid;
}

static int trace(void)
{
	return TRY(ptrace(PTRACE_SEIZE, sleeper(), 0, 0));
}

static int memory_of(int nr)
{
	static char there[8] = "secret";
	char here[8];
	struct iovec l = {here, 8}, r = {there, 8};

	return TRY(syscall(nr, sleeper(), &l, 1, &r, 1, 0));
}

static int read_memory(void)
{
	return memory_of(SYS_process_vm_readv);
}

static int write_memory(void)
{
	return memory_of(SYS_process_vm_writev);
}

static int steal_descriptor(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, sleeper(), 0);

	return TRY(syscall(SYS_pidfd_getfd, pidfd, 0, 0));
}

/* Whoever reads its memory would wait for as long as it likes. */
static int stall_by_user_fault(void)
{
	return TRY(syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */));
}

struct handle {
	struct file_handle h;
	char room[128];
};

static int name_to_handle(void)
{
	struct handle handle = {.h = {.handle_bytes = 128}};
	int mount_id;

	return TRY(name_to_handle_at(AT_FDCWD, in_top("b/f"), &handle.h, &mount_id, 0));
}

static int open_by_handle(void)
{
	struct handle handle = {.h = {.handle_bytes = 8, .handle_type = 1}};
	int dir = open(in_top("a"), O_RDONLY | O_DIRECTORY);
	int r = TRY(open_by_handle_at(dir, &handle.h, O_RDONLY));

	return r == ESTALE ? 0 : r;
}

static int clone_a_tree(void)
{
	unshare(CLONE_NEWUSER | CLONE_NEWNS);
	return TRY(syscall(SYS_open_tree, AT_FDCWD, top, 1 /* OPEN_TREE_CLONE */));
}

/* Without the flag it is another O_PATH, but one that nobody is asked for. */
static int open_a_tree(void)
{
	return TRY(syscall(SYS_open_tree, AT_FDCWD, in_top("b/f"), 0));
}

static int mark_with_fanotify(void)
{
	int fd = (int)syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY);

	return fd < 0 ? errno
		      : TRY(syscall(SYS_fanotify_mark, fd, FAN_MARK_ADD, (uint64_t)FAN_MODIFY,
				AT_FDCWD, in_top("b")));
}

static int set_attributes_of_file(void)
{
	/* file_setattr(2), Linux 6.17: inode flags by name. */
	char attr[24] = {0};

	return TRY(syscall(469, AT_FDCWD, in_top("w/f"), attr, sizeof(attr), 0));
}

static int set_attribute_at(void)
{
	struct {
		uint64_t value;
		uint32_t size, flags;
	} args = {(uintptr_t) "x", 1, 0};

	/* setxattrat(2), Linux 6.13 */
	return TRY(syscall(463, AT_FDCWD, in_top("a/f"), 0, "user.warder", &args, sizeof(args)));
}

static int change_mode_at_2(void)
{
	/* fchmodat2(2), Linux 6.6 */
	return TRY(syscall(452, AT_FDCWD, in_top("a/f"), 0666, 0));
}

/* ---- /proc --------------------------------------------------------------------------------- */

static int write_memory_of_child(void)
{
	static char there[8];
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)sleeper());
	fd = open(path, O_RDWR);
	return fd < 0 ? errno : TRY(pwrite(fd, "R", 1, (off_t)(uintptr_t)there));
}

static int open_by(const char *root, const char *path)
{
	char name[2 * PATH_MAX];

	snprintf(name, sizeof(name), "%s%s", root, path);
	return TRY(open(name, O_RDONLY));
}

static int through_root_of_init(void)
{
	return open_by("/proc/1/root", in_top("b/f"));
}

static int through_root_of_self(void)
{
	return open_by("/proc/self/root", in_top("b/f"));
}

static int through_root_of_thread(void)
{
	return open_by("/proc/thread-self/root", in_top("b/f"));
}

static int through_root_of_child(void)
{
	char root[64];

	snprintf(root, sizeof(root), "/proc/%d/root", (int)sleeper());
	return open_by(root, in_top("b/f"));
}

static int through_hidden_root(void)
{
	return open_by("/proc/self/root", in_top("hidden"));
}

static int through_cwd_of_child(void)
{
	char cwd[64];

	if (chdir(in_top("b")) < 0)
		return errno;
	snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", (int)sleeper());
	return open_by(cwd, "/f");
}

/* ---- sockets --------------------------------------------------------------------------------- */

static int connect_socket_in_data(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM, 0);

	/* By a short name, whatever the directory's is. */
	if (chdir(in_top("a")) < 0)
		return errno;
	memcpy(a.sun_path, "s", 2);
	return TRY(connect(s, (struct sockaddr *)&a, sizeof(a)));
}

static const struct attack attacks[] = {
	{"hold_a_listener", hold_a_listener, WORKS_NOWHERE},
	{"make_a_listener", make_a_listener, WORKS},
	{"make_a_listener_for_all_threads", make_a_listener_for_all_threads, WORKS},
	{"ia32_mkdir", ia32_mkdir, WORKS_NOWHERE},
	{"x32_open", x32_open, WORKS_NOWHERE},
	{"uring", uring, WORKS},
	{"clone3_in_namespaces", clone3_in_namespaces, WORKS},
	{"trace", trace, WORKS},
	{"read_memory", read_memory, WORKS},
	{"write_memory", write_memory, WORKS},
	{"steal_descriptor", steal_descriptor, WORKS},
	{"stall_by_user_fault", stall_by_user_fault, WORKS},
	{"name_to_handle", name_to_handle, WORKS},
	{"open_by_handle", open_by_handle, WORKS_NOWHERE},
	{"clone_a_tree", clone_a_tree, WORKS},
	{"open_a_tree", open_a_tree, WORKS},
	{"mark_with_fanotify", mark_with_fanotify, WORKS},
	{"set_attributes_of_file", set_attributes_of_file, WORKS_NOWHERE},
	{"set_attribute_at", set_attribute_at, WORKS_NOWHERE},
	{"change_mode_at_2", change_mode_at_2, WORKS_NOWHERE},
	{"write_memory_of_child", write_memory_of_child, WORKS},
	{"through_root_of_init", through_root_of_init, WORKS_NOWHERE},
	{"through_root_of_self", through_root_of_self, WORKS},
	{"through_root_of_thread", through_root_of_thread, WORKS},
	{"through_root_of_child", through_root_of_child, WORKS},
	{"through_hidden_root", through_hidden_root, WORKS},
	{"through_cwd_of_child", through_cwd_of_child, WORKS},
	{"connect_socket_in_data", connect_socket_in_data, WORKS},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* ---- the tester ------------------------------------------------------------------------------ */

static int listen_in_data(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(chdir(in_top("a")), 0);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s, 16), 0);
	assert_int_equal(chmod("s", 0777), 0);
	assert_int_equal(fchdir(back), 0);
	close(back);
	return s;
}

static void no_way_leads_around_the_broker(void **state)
{
	static struct outcome inside = OUTCOME_INIT;
	int s;

	tree_make();
	copy_true();
	s = listen_in_data();
	run_attacks(&inside, attacks, N_ATTACKS);
	close(s);
	expect_appended_alone();
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_way_leads_around_the_broker, fds_before, fds_after),
	};

	return ATTACK_MAIN(argc, argv, attacks, N_ATTACKS, tests);
}
