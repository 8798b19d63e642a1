/* SPDX-License-Identifier: MIT */
/*
 * slow_fs.c - which lines of a mountinfo name a file system that may wait for its server.
 */
#include "broker/slow_fs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct slow_fs *read_text(const char *text)
{
	struct slow_fs *m = NULL;
	int fd = memfd_create("mountinfo", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(slow_fs_read(&fd, &m), 0);
	assert_int_equal(fd, -1);
	return m;
}

static bool hold(const struct slow_fs *m, const char *path)
{
	return slow_fs_hold(m, path, strlen(path));
}

static void types_are_told_and_paths_by_components(void **state)
{
	struct slow_fs *m =
		read_text("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
			  "30 22 0:50 / /srv/net ro - nfs4 host:/ - fuse rw,addr=::1\n"
			  "31 22 0:51 / /home/u/a\\040b\\134c rw master:2 propagate_from:3 - "
			  "fuse.sshfs u@host:/ rw\n"
			  "32 22 0:52 / /fuse rw - tmpfs fuse rw\n"
			  "33 22 0:53 / /fused rw - fusectl none rw\n"
			  "34 22 0:54 / /auto rw - autofs systemd-1 rw\n");

	assert_true(slow_fs_any(m));
	assert_true(hold(m, "/srv/net"));
	assert_true(hold(m, "/srv/net/a/b"));
	assert_false(hold(m, "/srv/network"));
	assert_false(hold(m, "/srv"));
	assert_true(hold(m, "/home/u/a b\\c/d"));
	assert_false(hold(m, "/home/u/a"));
	assert_false(hold(m, "/fuse/x"));
	assert_false(hold(m, "/fused/x"));
	assert_true(hold(m, "/auto/x"));
	assert_null(slow_fs_free(m));
}

static void a_root_that_may_wait_holds_all(void **state)
{
	struct slow_fs *m = read_text("22 1 0:1 / / rw,relatime - virtiofs root rw\n");

	assert_true(hold(m, "/"));
	assert_true(hold(m, "/usr/bin"));
	slow_fs_free(m);
}

static void without_any_nothing_waits(void **state)
{
	struct slow_fs *m =
		read_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\nno mount\n1 2 - nfs\n"
			  "30 22 0:30 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw\n");

	assert_false(slow_fs_any(m));
	assert_false(hold(m, "/"));
	slow_fs_free(m);
	assert_false(slow_fs_any(NULL));
	assert_false(hold(NULL, "/a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_told_and_paths_by_components),
		cmocka_unit_test(a_root_that_may_wait_holds_all),
		cmocka_unit_test(without_any_nothing_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
