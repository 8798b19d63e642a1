/* SPDX-License-Identifier: MIT */
/*
 * dialer_cage.c - what a process in the dialer's cage cannot do, each shown to work without it.
 */
#include "sandbox/confine.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLED 1000 /* by the filter */

static int result(long r)
{
	return r < 0 ? errno : 0;
}

static int read_passwd(void)
{
	return result(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int list_root(void)
{
	return result(open("/", O_RDONLY));
}

static int read_resolv_conf(void)
{
	return result(open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC));
}

static int write_tmp(void)
{
	return result(open("dialer-cage", O_WRONLY | O_CREAT, 0600));
}

static int fork_one(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int exec_true(void)
{
	return result(execl("/bin/true", "true", NULL));
}

static int code_from_memory(void)
{
	return result(
		(long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int netlink(void)
{
	return result(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int unix_datagram(void)
{
	return result(socket(AF_UNIX, SOCK_DGRAM, 0));
}

static int unix_datagram_pair(void)
{
	int fds[2];

	return result(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
}

static int unix_pair(void)
{
	int fds[2];

	return result(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds));
}

static int tcp(void)
{
	return result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

static int signal_parent(void)
{
	return result(syscall(SYS_kill, getppid(), 0));
}

/* What the sanitizers do themselves is in their build's table: the second value is that one's. */
#ifdef WARDER_SANITIZE
#define CAGED(plain, sanitized) sanitized
#else
#define CAGED(plain, sanitized) plain
#endif

static const struct {
	const char *name;
	int (*attempt)(void);
	int caged; /* 0: it works; an errno; KILLED */
} attempts[] = {
	{"read /etc/passwd", read_passwd, EACCES},
	{"list /", list_root, EACCES},
	{"read /etc/resolv.conf", read_resolv_conf, 0},
	{"make a file", write_tmp, CAGED(KILLED, EACCES)},
	{"fork", fork_one, CAGED(KILLED, 0)},
	{"exec", exec_true, KILLED},
	{"code from memory", code_from_memory, CAGED(KILLED, 0)},
	{"a netlink socket", netlink, KILLED},
	{"a Unix datagram socket", unix_datagram, KILLED},
	{"a pair of Unix datagram sockets", unix_datagram_pair, KILLED},
	{"a pair of Unix sockets", unix_pair, KILLED},
	{"a TCP socket", tcp, 0},
	{"kill(2)", signal_parent, KILLED},
};

/* Where a rule says `type dgram`, these are had, and no more. */
static bool is_for_datagrams(int (*attempt)(void))
{
	return attempt == unix_datagram || attempt == unix_pair;
}

static int try_in_child(int (*attempt)(void), bool caged, bool datagrams)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct failure f = FAILURE_INIT;

		if (caged && cell_cage_dialer(datagrams, &f) < 0) {
			fprintf(stderr, "%s\n", f.text);
			_exit(255);
		}
		_exit(attempt());
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? KILLED : -1;
	return WEXITSTATUS(status);
}

static void the_cage_holds_what_works_without_it(void **state)
{
	for (size_t i = 0; i < sizeof(attempts) / sizeof(*attempts); i++) {
		int without = try_in_child(attempts[i].attempt, false, false);
		int within = try_in_child(attempts[i].attempt, true, false);
		int with = try_in_child(attempts[i].attempt, true, true);

		if (with != (is_for_datagrams(attempts[i].attempt) ? 0 : attempts[i].caged))
			fail_msg("%s: %d with datagrams", attempts[i].name, with);
		if (without != 0 || within != attempts[i].caged)
			fail_msg("%s: %d without, %d within, expected %d", attempts[i].name,
				without, within, attempts[i].caged);
	}
	unlink("dialer-cage");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_cage_holds_what_works_without_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
