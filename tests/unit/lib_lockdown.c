/* SPDX-License-Identifier: MIT */
/*
 * lib_lockdown.c - what the strict table leaves, and what it takes.
 *
 * Each case runs in a forked child, first without the table (it must work there, or the test proves
 * nothing), then with it.
 */
#include "sandbox/warder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int prepared_fd = -1; /* a regular file */
static int prepared_pair[2];
static int prepared_listener = -1; /* with one connection that waits */
static int prepared_client = -1;   /* its other end */
static int prepared_loose = -1;    /* a socket that is neither bound nor connected */
static struct sockaddr_un prepared_name = {.sun_family = AF_UNIX};
static socklen_t prepared_name_size = sizeof(prepared_name);
static void *prepared_page;

/* Each returns 0, or the errno. */
typedef int attempt_fn(void);

static int result_of(long r)
{
	return r < 0 ? errno : 0;
}

static int run(attempt_fn *attempt, bool locked)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (locked && warder_lockdown() < 0)
			_exit(250);
		_exit(attempt());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int lock_twice(void)
{
	return result_of(warder_lockdown());
}

static void a_second_call_does_nothing(void **state)
{
	assert_int_equal(run(lock_twice, true), 0);
}

#ifndef WARDER_SANITIZE /* the sanitizers' own calls are not in the table */
/* ---- what goes on ---------------------------------------------------------------------------- */

static int use_memory(void)
{
	char *small = malloc(100), *large = malloc(10 << 20);

	if (!small || !large)
		return 1;
	memset(large, 1, 10 << 20);
	large = realloc(large, 20 << 20);
	free(small);
	free(large);
	return large ? 0 : 2;
}

static int use_file(void)
{
	char buf[4];

	if (pwrite(prepared_fd, "abcd", 4, 0) != 4 || pread(prepared_fd, buf, 4, 0) != 4)
		return 1;
	if (lseek(prepared_fd, 0, SEEK_SET) != 0 || read(prepared_fd, buf, 4) != 4)
		return 2;
	return ftruncate(prepared_fd, 2) == 0 && fsync(prepared_fd) == 0 ? 0 : 3;
}

static int use_sockets(void)
{
	char buf[4];

	if (send(prepared_pair[0], "abcd", 4, MSG_NOSIGNAL) != 4)
		return 1;
	return recv(prepared_pair[1], buf, 4, MSG_DONTWAIT) == 4 ? 0 : 2;
}

static int use_listener(void)
{
	int fd = accept4(prepared_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int error = -1;
	socklen_t size = sizeof(error);
	char buf[4];

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 || error != 0)
		return 1;
	if (write(prepared_client, "abcd", 4) != 4 || read(fd, buf, 4) != 4)
		return 2;
	if (shutdown(fd, SHUT_WR) < 0 || read(prepared_client, buf, 1) != 0)
		return 3;
	/* Another way to the same call: there is nobody more. */
	fd = accept(prepared_listener, NULL, NULL);
	return fd < 0 && errno == EAGAIN ? 0 : 4;
}

static int use_waiting(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC), event = eventfd(1, EFD_CLOEXEC);

	if (epoll < 0 || event < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, event, &ev) < 0)
		return 1;
	if (epoll_wait(epoll, &ev, 1, 0) != 1)
		return 2;
	return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC) < 0 ? 3 : 0;
}

static volatile sig_atomic_t signalled;

static void on_signal(int number)
{
	signalled = number;
}

static int use_signals(void)
{
	signal(SIGUSR1, on_signal);
	raise(SIGUSR1);
	return signalled == SIGUSR1 ? 0 : 1;
}

static int use_clock_and_random(void)
{
	struct timespec t = {0, 1000};
	char buf[8];

	return clock_gettime(CLOCK_REALTIME, &t) == 0 && getrandom(buf, 8, 0) == 8 &&
			       nanosleep(&(struct timespec){0, 1000}, NULL) == 0
		       ? 0
		       : 1;
}

static int use_stdio(void)
{
	return fprintf(stderr, "%s", "") == 0 ? 0 : 1;
}

static void a_loaded_worker_can_do_its_work(void **state)
{
	static attempt_fn *const all[] = {use_memory, use_file, use_sockets, use_listener,
		use_waiting, use_signals, use_clock_and_random, use_stdio};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_int_equal(run(all[i], true), 0);
}

static int abort_now(void)
{
	abort();
}

static void an_abort_still_says_so(void **state)
{
	assert_int_equal(run(abort_now, true), 128 + SIGABRT);
}

/* ---- what is gone ---------------------------------------------------------------------------- */

static int try_open(void)
{
	return result_of(open("/", O_RDONLY));
}

static int try_open_path(void)
{
	return result_of(open("/", O_PATH));
}

static int try_stat(void)
{
	struct stat st;

	return result_of(stat("/", &st));
}

static int try_access(void)
{
	return result_of(access("/", R_OK));
}

static int try_readlink(void)
{
	char buf[8];

	return result_of(readlink("/proc/self/exe", buf, sizeof(buf)));
}

static int try_chdir(void)
{
	return result_of(chdir("/"));
}

static int try_getcwd(void)
{
	char buf[4096];

	return getcwd(buf, sizeof(buf)) ? 0 : errno;
}

static int try_mkdir(void)
{
	return mkdir("lockdown.dir", 0700) == 0 || errno == EEXIST ? 0 : errno;
}

static int try_fchmod(void)
{
	return result_of(fchmod(prepared_fd, 0600));
}

static int try_socket_unix(void)
{
	return result_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_socket_inet(void)
{
	return result_of(socket(AF_INET, SOCK_DGRAM, 0));
}

static int try_socketpair(void)
{
	int pair[2];

	return result_of(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
}

static int try_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static void *nothing(void *arg)
{
	return arg;
}

static int try_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, nothing, NULL);
}

static int try_exec(void)
{
	char *argv[] = {(char *)"true", NULL};

	execv("/bin/true", argv);
	return errno;
}

static int try_exec_fd(void)
{
	char *argv[] = {(char *)"true", NULL};

	syscall(SYS_execveat, prepared_pair[0], "/bin/true", argv, argv + 1, 0);
	return errno;
}

static int try_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? errno
		       : 0;
}

static int try_turn_to_code(void)
{
	return result_of(mprotect(prepared_page, 4096, PROT_READ | PROT_EXEC));
}

static int try_append_off(void)
{
	return result_of(fcntl(prepared_fd, F_SETFL, 0));
}

/* The kernel takes 32 bits of the command; a filter that compares 64 would let it pass. */
static int try_append_off_high(void)
{
	return result_of(syscall(SYS_fcntl, prepared_fd, (1UL << 32) | F_SETFL, 0));
}

static int try_lock_file(void)
{
	struct flock lock = {.l_type = F_WRLCK};

	return result_of(fcntl(prepared_fd, F_SETLK, &lock));
}

static int try_ioctl(void)
{
	int n;

	return result_of(ioctl(prepared_pair[0], 0x541B /* FIONREAD */, &n));
}

static int try_kill_self(void)
{
	return result_of(kill(getpid(), 0));
}

static int try_kill_parent(void)
{
	return result_of(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int try_urgent_byte(void)
{
	char byte;
	long r = recv(prepared_pair[0], &byte, 1, MSG_OOB | MSG_DONTWAIT);

	/* Without the table the kernel reads it and finds none. */
	return r < 0 && (errno == EINVAL || errno == EOPNOTSUPP || errno == EAGAIN) ? 0
										    : result_of(r);
}

static int try_name_a_peer(void)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX, .sun_path = "lockdown.sock"};
	long r = sendto(prepared_pair[0], "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));

	return r < 0 && errno == EISCONN ? 0 : result_of(r);
}

static int try_prctl(void)
{
	return result_of(prctl(PR_SET_NAME, "x"));
}

static int try_memfd(void)
{
	return result_of(memfd_create("x", 0));
}

static int try_namespace(void)
{
	return result_of(unshare(CLONE_FILES));
}

static int try_socket_option(void)
{
	int on = 1;

	return result_of(setsockopt(prepared_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
}

static int try_connect(void)
{
	return result_of(connect(
		prepared_loose, (const struct sockaddr *)&prepared_name, prepared_name_size));
}

static int try_bind(void)
{
	const struct sockaddr_un name = {.sun_family = AF_UNIX};

	return result_of(bind(prepared_loose, (const struct sockaddr *)&name, sizeof(sa_family_t)));
}

static int try_listen(void)
{
	return result_of(listen(prepared_listener, 5));
}

static int try_getpeername(void)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);

	return result_of(getpeername(prepared_client, (struct sockaddr *)&name, &size));
}

static void each_way_out_is_shut(void **state)
{
	static const struct {
		const char *name;
		attempt_fn *attempt;
	} all[] = {
		{"open", try_open},
		{"open O_PATH", try_open_path},
		{"stat", try_stat},
		{"access", try_access},
		{"readlink", try_readlink},
		{"chdir", try_chdir},
		{"getcwd", try_getcwd},
		{"mkdir", try_mkdir},
		{"fchmod", try_fchmod},
		{"socket unix", try_socket_unix},
		{"socket inet", try_socket_inet},
		{"socketpair", try_socketpair},
		{"fork", try_fork},
		{"thread", try_thread},
		{"execve", try_exec},
		{"execveat", try_exec_fd},
		{"mmap exec", try_code},
		{"mprotect exec", try_turn_to_code},
		{"F_SETFL", try_append_off},
		{"F_SETFL, high bit", try_append_off_high},
		{"F_SETLK", try_lock_file},
		{"ioctl", try_ioctl},
		{"kill", try_kill_self},
		{"tgkill of another", try_kill_parent},
		{"MSG_OOB", try_urgent_byte},
		{"sendto with a name", try_name_a_peer},
		{"prctl", try_prctl},
		{"memfd_create", try_memfd},
		{"unshare", try_namespace},
		{"setsockopt", try_socket_option},
		{"connect", try_connect},
		{"bind", try_bind},
		{"listen", try_listen},
		{"getpeername", try_getpeername},
	};
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int open = run(all[i].attempt, false), locked = run(all[i].attempt, true);

		if (open == 0 && locked > 0 && locked < 134)
			continue;
		print_error("%s: %d without the table, %d with it\n", all[i].name, open, locked);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* A thread that was there before is under the table, too. */
static int thread_result = -1;
static int thread_gate;

static void *open_later(void *arg)
{
	char byte;

	if (read(thread_gate, &byte, 1) != 1)
		return NULL;
	thread_result = open("/", O_RDONLY) < 0 ? errno : 0;
	return NULL;
}

static int old_thread(void)
{
	pthread_t thread;
	int gate[2];

	if (pipe(gate) < 0)
		return 200;
	thread_gate = gate[0];
	if (pthread_create(&thread, NULL, open_later, NULL) != 0)
		return 201;
	if (warder_lockdown() < 0)
		return 202;
	if (write(gate[1], "x", 1) != 1)
		return 203;
	pthread_join(thread, NULL);
	return thread_result;
}

static void threads_that_run_already_are_locked_down_too(void **state)
{
	assert_int_equal(run(old_thread, false), EPERM);
}

static int call_foreign_table(void)
{
#ifdef __x86_64__
	return (int)syscall(0x40000000 | SYS_getpid) > 0 ? 0 : errno;
#else
	return 128 + SIGSYS;
#endif
}

static void the_other_tables_of_the_processor_kill(void **state)
{
	assert_int_equal(run(call_foreign_table, true), 128 + SIGSYS);
}

#endif

/* An abstract name of the kernel's choice. */
static int prepare_sockets(void)
{
	prepared_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	prepared_client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	prepared_loose = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(prepared_listener, (const struct sockaddr *)&prepared_name, sizeof(sa_family_t)) <
			0 ||
		listen(prepared_listener, 64) < 0 ||
		getsockname(prepared_listener, (struct sockaddr *)&prepared_name,
			&prepared_name_size) < 0)
		return -1;
	/* The rest of the structure is NUL, and would be part of the name. */
	return connect(
		prepared_client, (const struct sockaddr *)&prepared_name, prepared_name_size);
}

static int prepare(void **state)
{
	char name[] = "lockdown.XXXXXX";

	prepared_fd = mkstemp(name);
	unlink(name);
	rmdir("lockdown.dir");
	prepared_page =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return prepared_fd < 0 || prepared_page == MAP_FAILED ||
	       socketpair(AF_UNIX, SOCK_STREAM, 0, prepared_pair) || prepare_sockets();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_call_does_nothing),
#ifndef WARDER_SANITIZE
		cmocka_unit_test(a_loaded_worker_can_do_its_work),
		cmocka_unit_test(an_abort_still_says_so),
		cmocka_unit_test(each_way_out_is_shut),
		cmocka_unit_test(threads_that_run_already_are_locked_down_too),
		cmocka_unit_test(the_other_tables_of_the_processor_kill),
#endif
	};

	return cmocka_run_group_tests_name("lib_lockdown", tests, prepare, NULL);
}
