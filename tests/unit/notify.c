/* SPDX-License-Identifier: MIT */
/*
 * notify.c - trapped calls of a child, taken in and answered, by structures of other sizes than
 * those compiled in.
 *
 * A child traps its own getppid(2) and sends the listener; this process answers.
 */
#include "broker/notify.h"
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CALLS 3

/* What the child gets from its calls is its exit status. */
static void child(int sock)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
	long sum = 0;
	int fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(101);
	fd = (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (fd < 0 || chan_send(sock, "l", 1, &fd, 1, true) < 0)
		_exit(102);
	for (int i = 0; i < CALLS; i++)
		sum += syscall(SYS_getppid);
	_exit((int)sum);
}

/* Answers 10, then an error (-1 to the child), then 20. */
static void serve(struct notify *n)
{
	for (int i = 0; i < CALLS; i++) {
		struct pollfd p = {notify_fd(n), POLLIN, 0};
		struct notice notice;

		assert_int_equal(poll(&p, 1, 10000), 1);
		assert_int_equal(notify_receive(n, &notice), 0);
		assert_int_equal(notice.nr, SYS_getppid);
		assert_true(notify_valid(n, notice.id));
		if (i == 1)
			assert_int_equal(notify_refuse(n, notice.id, EACCES), 0);
		else
			assert_int_equal(notify_return(n, notice.id, i == 0 ? 10 : 20), 0);
		assert_false(notify_valid(n, notice.id));
	}
}

static void converse(size_t request_size, size_t response_size)
{
	autofd ours = -1, theirs = -1;
	struct notify *n = NULL;
	int listener_fd = -1, status;
	size_t n_fds = 0;
	char byte;
	pid_t pid;

	assert_int_equal(notify_new_sized(request_size, response_size, &n), 0);
	assert_int_equal(chan_pair(&ours, &theirs), 0);
	pid = fork();
	if (pid == 0)
		child(theirs);
	assert_true(pid > 0);
	fd_close(&theirs);
	assert_int_equal(chan_recv(ours, &byte, 1, &listener_fd, 1, &n_fds, true), 1);
	assert_int_equal(n_fds, 1);
	assert_int_equal(notify_attach(n, &listener_fd), 0);
	serve(n);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 29);
	assert_null(notify_free(n));
}

static void structures_of_a_newer_kernel_are_taken(void **state)
{
	converse(sizeof(struct seccomp_notif) + 64, sizeof(struct seccomp_notif_resp) + 64);
	converse(4096, 4096);
}

static void structures_of_an_older_kernel_get_what_is_compiled_in(void **state)
{
	converse(8, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(structures_of_a_newer_kernel_are_taken),
		cmocka_unit_test(structures_of_an_older_kernel_get_what_is_compiled_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
