/* SPDX-License-Identifier: MIT */
/*
 * tracee.c - strings copied from a caller's memory, here the test's own, wherever they lie; and
 * where its descriptors lead, by links that are held open.
 */
#include "broker/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096

/* Two pages, and behind them one that nobody may read. */
static char *pages;

static int make_pages(void **state)
{
	pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return pages == MAP_FAILED ? -1 : mprotect(pages + 2 * PAGE, PAGE, PROT_NONE);
}

static int copy(const char *at, char *buf, size_t size)
{
	return tracee_string(getpid(), (uint64_t)(uintptr_t)at, buf, size);
}

static void every_length_is_copied_from_every_place(void **state)
{
	static const size_t lengths[] = {0, 1, 511, 512, 513, 1023, 1024, 2000, PATH_MAX - 1};
	static char buf[PATH_MAX];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		for (size_t from = 0; from + lengths[i] + 1 <= 2 * PAGE; from += 61) {
			memset(pages, 'x', 2 * PAGE);
			for (size_t j = 0; j < lengths[i]; j++)
				pages[from + j] = (char)('a' + j % 23);
			pages[from + lengths[i]] = '\0';
			assert_int_equal(copy(pages + from, buf, sizeof(buf)), lengths[i]);
			assert_string_equal(buf, pages + from);
		}
	}
}

static void what_ends_at_a_page_that_is_not_there_is_copied(void **state)
{
	char buf[PATH_MAX];

	memset(pages, 'y', 2 * PAGE);
	pages[2 * PAGE - 1] = '\0';
	for (size_t n = 0; n < 1200; n += 7)
		assert_int_equal(copy(pages + 2 * PAGE - 1 - n, buf, sizeof(buf)), n);
}

static void what_does_not_end_is_refused(void **state)
{
	char buf[PATH_MAX];

	memset(pages, 'z', 2 * PAGE);
	assert_int_equal(copy(pages, buf, sizeof(buf)), -ENAMETOOLONG);
	assert_int_equal(copy(pages + 1, buf, 256), -ENAMETOOLONG);
	assert_int_equal(copy(pages + 2 * PAGE - 600, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(copy(pages + 2 * PAGE, buf, sizeof(buf)), -EFAULT);
	assert_int_equal(copy(NULL, buf, sizeof(buf)), -EFAULT);
}

/* ---- links that are held --------------------------------------------------------------------- */

static struct cell cell = CELL_INIT;
static struct session session = {.cell = &cell};

static int hold_links(void **state)
{
	cell.procs_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cell.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return cell.procs_fd < 0 || cell.proc_fd < 0 ? -1 : tracee_links_new(&session.links);
}

static int let_links_go(void **state)
{
	session.links = tracee_links_free(session.links);
	close(cell.procs_fd);
	close(cell.proc_fd);
	return 0;
}

static void assert_leads(pid_t tid, const char *name, const char *to)
{
	char buf[PATH_MAX];

	for (int i = 0; i < 4; i++) {
		assert_true(tracee_link(&session, tid, name, buf) > 0);
		assert_string_equal(buf, to);
	}
}

static void assert_leads_nowhere(pid_t tid, const char *name)
{
	char buf[PATH_MAX];

	for (int i = 0; i < 4; i++)
		assert_true(tracee_link(&session, tid, name, buf) < 0);
}

static void a_link_that_is_held_says_what_is_there_now(void **state)
{
	int usr = open("/usr", O_PATH | O_CLOEXEC), etc = open("/etc", O_PATH | O_CLOEXEC);
	int fd = dup(usr), held;
	char name[24], buf[PATH_MAX];

	snprintf(name, sizeof(name), "fd/%d", fd);
	assert_leads(getpid(), name, "/usr");
	held = session.links->caller.fd;
	assert_true(held >= 0);
	assert_int_equal(dup2(etc, fd), fd);
	assert_leads(getpid(), name, "/etc");
	assert_int_equal(session.links->caller.fd, held);
	close(fd);
	assert_leads_nowhere(getpid(), name);
	assert_int_equal(dup2(usr, fd), fd);
	assert_leads(getpid(), name, "/usr");
	for (int i = 0; i < 4; i++) {
		assert_int_equal(dup2(i % 2 ? usr : etc, fd), fd);
		assert_int_equal(tracee_own_text(&session, fd, buf, sizeof(buf)), 4);
		assert_string_equal(buf, i % 2 ? "/usr" : "/etc");
	}
	close(fd);
	assert_int_equal(tracee_own_text(&session, fd, buf, sizeof(buf)), -ENOENT);
	close(usr);
	close(etc);
}

static pid_t stay_in(const char *dir)
{
	int told[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		if (chdir(dir) < 0 || write(told[1], "", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(told[0], &byte, 1), 1);
	close(told[0]);
	close(told[1]);
	return pid;
}

static void the_link_of_a_process_that_is_gone_says_nothing(void **state)
{
	pid_t one = stay_in("/usr"), other = stay_in("/etc");

	assert_leads(one, "cwd", "/usr");
	assert_true(session.links->caller.fd >= 0);
	assert_leads(other, "cwd", "/etc");
	assert_leads(one, "cwd", "/usr");
	kill(one, SIGKILL);
	assert_int_equal(waitpid(one, NULL, 0), one);
	assert_leads_nowhere(one, "cwd");
	assert_leads(other, "cwd", "/etc");
	kill(other, SIGKILL);
	assert_int_equal(waitpid(other, NULL, 0), other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_is_copied_from_every_place),
		cmocka_unit_test(what_ends_at_a_page_that_is_not_there_is_copied),
		cmocka_unit_test(what_does_not_end_is_refused),
		cmocka_unit_test_setup_teardown(
			a_link_that_is_held_says_what_is_there_now, hold_links, let_links_go),
		cmocka_unit_test_setup_teardown(
			the_link_of_a_process_that_is_gone_says_nothing, hold_links, let_links_go),
	};

	return cmocka_run_group_tests(tests, make_pages, NULL);
}
