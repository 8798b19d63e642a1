/* SPDX-License-Identifier: MIT */
/*
 * trap_open.c - a descriptor that a caller has is copied for that caller's call alone.
 *
 * A child traps its own getppid(2), sends the listener and waits in that call; another process
 * stands in for whoever has its number once it is gone.
 */
#include "broker/trap_open.h"
#include "broker/request.h"
#include "broker/spawn.h"
#include "common/chan.h"
#include "common/fd.h"
#include "tests/unit/getppid.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HELD 40 /* the number of the descriptor in question, in either */

struct process {
	pid_t pid;
	int fd; /* the other end of what it waits at */
};

/* One that holds a file of this text; `traps`: and waits in a trapped call, of which *ret_listener
 * tells. */
static struct process begin(const char *text, bool traps, int *ret_listener)
{
	struct process p;
	autofd theirs = -1;
	size_t n = 0;
	char byte;

	assert_int_equal(chan_pair(&p.fd, &theirs), 0);
	p.pid = fork();
	if (p.pid == 0) {
		int fd = memfd_create("held", 0);

		if (fd < 0 || write(fd, text, strlen(text)) < 0 || dup2(fd, HELD) < 0)
			_exit(100);
		if (traps)
			trap_getppid(theirs, 0);
		else if (chan_send(theirs, "r", 1, NULL, 0, true) < 0)
			_exit(102);
		syscall(SYS_getppid);
		if (!traps)
			pause();
		_exit(0);
	}
	assert_true(p.pid > 0);
	assert_int_equal(
		chan_recv(p.fd, &byte, 1, traps ? ret_listener : NULL, traps, &n, true), 1);
	assert_int_equal(n, traps);
	return p;
}

static void end(struct process *p)
{
	assert_int_equal(kill(p->pid, SIGKILL), 0);
	assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
	fd_close(&p->fd);
}

/* What comes of an open that no rule grants, of what a process holds. */
static int open_of(struct session *s, struct trap *t, pid_t pid)
{
	t->notice.tid = pid;
	t->held_fd = HELD;
	request_init(&t->q, DOOR_TRAP, MSG_OPEN, pid);
	t->q.flags = O_RDONLY;
	t->q.refused = true;
	return open_held(s, t, -EACCES);
}

static void assert_copied(struct session *s, struct trap *t, pid_t pid, const char *text)
{
	char buf[16] = "";

	assert_int_equal(open_of(s, t, pid), ANSWER_FD);
	assert_false(t->q.refused);
	assert_int_equal(pread(t->q.fd, buf, sizeof(buf) - 1, 0), strlen(text));
	assert_string_equal(buf, text);
	fd_close(&t->q.fd);
}

static void what_a_caller_holds_is_copied_while_it_waits_and_never_later(void **state)
{
	static struct trap t;
	struct cell cell = CELL_INIT;
	struct session s = {.cell = &cell};
	struct process caller, other;
	struct pollfd p = {.events = POLLIN};
	int listener_fd = -1;

	assert_int_equal(notify_new(&cell.notify), 0);
	caller = begin("its own", true, &listener_fd);
	other = begin("another's", false, NULL);
	assert_int_equal(notify_attach(cell.notify, &listener_fd), 0);
	p.fd = notify_fd(cell.notify);
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(notify_receive(cell.notify, &t.notice), 0);
	assert_copied(&s, &t, caller.pid, "its own");
	/* Nothing but the call keeps another's out. */
	assert_copied(&s, &t, other.pid, "another's");
	end(&caller);
	assert_int_equal(open_of(&s, &t, other.pid), -EACCES);
	assert_true(t.q.refused);
	assert_int_equal(t.q.fd, -1);
	end(&other);
	assert_null(notify_free(cell.notify));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_caller_holds_is_copied_while_it_waits_and_never_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
