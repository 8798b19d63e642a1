/* SPDX-License-Identifier: MIT */
/*
 * init.c - the cell's init: builds the view, then holds the cell's life.
 *
 * Runs in: init, pid 1 of the cell.  Trusts: the broker, whose fork it is.
 *
 * Once the descriptors are sent it needs four system calls, and seccomp's strict mode has just
 * those (seccomp(2)): read, write, _exit, sigreturn.  It waits for end-of-file on its socket, which
 * comes when the broker closes its end or dies by whatever cause; it then exits, and the kernel
 * kills all that is left in its pid namespace.  Orphans need no wait(2): a parent that ignores
 * SIGCHLD has its children reaped by the kernel.
 */
#include "common/chan.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>

#define HOSTNAME "cell"

static int prepare(
	const struct cell_spec *spec, const struct cell_prep *prep, int sock, struct failure *f)
{
	char go;
	size_t n;
	int r;

	/* The broker maps the uid meanwhile. */
	if (chan_recv(sock, &go, 1, NULL, 0, &n, true) != 1)
		_exit(1);
	if (prep->userns) {
		r = user_take(spec, f);
		if (r < 0)
			return r;
	}
	if (sethostname(HOSTNAME, sizeof(HOSTNAME) - 1) < 0) {
		r = fail(f, -errno, "namespaces: cannot name the cell: %m");
		return cell_explain_userns(r, f);
	}
	return 0;
}

/* Everything of the broker's but the socket: its stdio above all, whose reader would wait for init
 * too. */
static void close_others(int sock)
{
	abi_close_range(0, (unsigned)sock - 1);
	abi_close_range((unsigned)sock + 1, ~0U);
}

/* It never executes anything, so that what limits execve(2) (the bounding set) needs no call. */
static int cage(const struct cell_spec *spec, const struct cell_prep *prep, struct failure *f)
{
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = fail(f, -errno, "init: cannot lock itself in: %m");
	if (r == 0 && !prep->userns)
		r = user_take(spec, f);
	return r < 0 ? r : caps_empty(f);
}

void cell_init(const struct cell_spec *spec, const struct cell_prep *prep, int sock)
{
	struct cell_parts parts = CELL_PARTS_INIT;
	struct failure f = FAILURE_INIT;
	int fds[4];
	size_t n = 0;
	sigset_t all;
	char byte;
	int r;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGCHLD, SIG_IGN);
	r = prepare(spec, prep, sock, &f);
	if (r == 0)
		r = view_build(spec, prep, &parts, &f);
	if (r == 0)
		r = cage(spec, prep, &f);
	if (r == 0) {
		fds[n++] = parts.view_fd;
		fds[n++] = parts.twin_fd;
		if (parts.broker_rules_fd >= 0) {
			fds[n++] = parts.broker_rules_fd;
			fds[n++] = parts.worker_rules_fd;
		}
	}
	if (chan_send(sock, &f, sizeof(f), fds, n, true) < 0 || r < 0)
		_exit(1);
	close_others(sock);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) < 0)
		_exit(1);
	while (read(sock, &byte, 1) > 0)
		;
	syscall(SYS_exit, 0); /* _exit(3) would call exit_group(2), which strict mode kills */
	__builtin_unreachable();
}
