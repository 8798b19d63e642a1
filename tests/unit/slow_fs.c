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

/* Whatever a read(2) gives, and however long the table is. */
static void the_last_of_many_mounts_is_found(void **state)
{
	static const char line[] = "22 1 8:1 / /mnt rw,relatime shared:1 - ext4 /dev/sda1 rw\n";
	static const char last[] = "30 22 0:50 / /srv/net ro - nfs4 host:/ rw,addr=::1\n";
	static char text[100000];
	struct slow_fs *m;
	size_t n = 0;

	while (n + sizeof(line) + sizeof(last) < sizeof(text)) {
		memcpy(text + n, line, sizeof(line) - 1);
		n += sizeof(line) - 1;
	}
	m = read_text(text);
	assert_false(slow_fs_any(m));
	slow_fs_free(m);
	memcpy(text + n, last, sizeof(last));
	m = read_text(text);
	assert_true(hold(m, "/srv/net/a"));
	assert_false(hold(m, "/mnt/a"));
	slow_fs_free(m);
}

static struct slow_host *host_of(const char *text, size_t size)
{
	struct slow_host *h = NULL;
	int fd = memfd_create("mountinfo", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, size), (ssize_t)size);
	assert_int_equal(slow_host_new(&fd, &h), 0);
	assert_int_equal(fd, -1);
	return h;
}

static bool holds(struct slow_host *h, const char *path)
{
	return slow_host_holds(h, path, strlen(path));
}

static void the_hosts_are_told_alike(void **state)
{
	static const char text[] = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
				   "30 22 0:50 / /srv/net ro - nfs4 host:/ rw,addr=::1\n"
				   "31 22 0:51 / /proc/sys/fs/x rw - autofs systemd-1 rw\n";
	struct slow_host *h = host_of(text, sizeof(text) - 1);

	assert_true(holds(h, "/srv/net/a"));
	assert_true(holds(h, "/proc/sys/fs/x"));
	assert_false(holds(h, "/srv/network"));
	assert_false(holds(h, "/srv"));
	assert_true(slow_host_any(h));
	assert_null(slow_host_free(h));
	assert_false(holds(NULL, "/srv"));
	assert_false(slow_host_any(NULL));
	assert_null(slow_host_free(NULL));
}

/* Or no session on a host with systemd's automount there would be quick. */
static void what_lies_below_proc_counts_for_nothing(void **state)
{
	static const char text[] = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
				   "31 22 0:51 / /proc/sys/fs/x rw - autofs systemd-1 rw\n";
	struct slow_host *h = host_of(text, sizeof(text) - 1);

	assert_false(slow_host_any(h));
	assert_true(holds(h, "/proc/sys/fs/x"));
	assert_null(slow_host_free(h));
}

/* A line that does not fit, more paths than fit, one that is cut short: anything may be one. */
static void what_cannot_be_told_may_wait(void **state)
{
	static const char line[] = "30 22 0:50 / /srv/a-path-of-some-length ro - nfs4 host:/ rw\n";
	static char text[64 * 1024];
	struct slow_host *h;

	memset(text, 'x', sizeof(text));
	h = host_of(text, sizeof(text));
	assert_true(slow_host_any(h));
	assert_true(holds(h, "/none"));
	assert_null(slow_host_free(h));
	for (size_t i = 0; i + sizeof(line) <= sizeof(text); i += sizeof(line) - 1)
		memcpy(text + i, line, sizeof(line) - 1);
	h = host_of(text, 100 * (sizeof(line) - 1));
	assert_false(holds(h, "/none"));
	assert_null(slow_host_free(h));
	h = host_of(text, 1000 * (sizeof(line) - 1));
	assert_true(holds(h, "/none"));
	assert_null(slow_host_free(h));
	h = host_of(text, sizeof(line) - 5);
	assert_true(holds(h, "/none"));
	assert_null(slow_host_free(h));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_are_told_and_paths_by_components),
		cmocka_unit_test(the_hosts_are_told_alike),
		cmocka_unit_test(what_lies_below_proc_counts_for_nothing),
		cmocka_unit_test(what_cannot_be_told_may_wait),
		cmocka_unit_test(a_root_that_may_wait_holds_all),
		cmocka_unit_test(without_any_nothing_waits),
		cmocka_unit_test(the_last_of_many_mounts_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
