/* SPDX-License-Identifier: MIT */
/*
 * confine.c - what a program in a cell cannot do, each beside the same attempt outside, where it
 * works.
 *
 * The attempts are this program itself, run in the cell with the attempt's name: its directory is
 * an exec tree there.
 */
#include "tests/cell/cell.h"

#include <libgen.h>
#include <limits.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static char exe[PATH_MAX], exe_dir[PATH_MAX];
static char data[PATH_MAX + 8]; /* a data tree: readable and writable by the worker's user */
static char data_file[PATH_MAX + 16], outside[PATH_MAX + 16];

static int result(long r)
{
	return r < 0 ? errno : 0;
}

/* ---- attempts: errno, or 0 where it worked --------------------------------------------------- */

static int a_read(const char *path)
{
	return result(open(path, O_RDONLY | O_CLOEXEC));
}
static int a_write(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int r = result(fd);

	close(fd); /* or running it would be ETXTBSY */
	return r;
}
static int a_list(const char *path)
{
	return result(open(dirname(strdup(path)), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}
static int a_create(const char *path)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s.new", path);
	return result(open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}
static int a_truncate(const char *path)
{
	return result(truncate(path, 0));
}
static int a_rename(const char *path)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s.moved", path);
	return result(rename(path, name)) || result(rename(name, path)) ? errno : 0;
}
static int a_chmod(const char *path)
{
	return result(chmod(path, 0755));
}
static int a_stat(const char *path)
{
	struct stat st;

	return result(stat(path, &st));
}
static int a_reread(const char *path) /* through a descriptor that may only be looked at */
{
	char name[64];
	int fd = open(path, O_PATH | O_CLOEXEC);

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return result(open(name, O_RDONLY | O_CLOEXEC));
}
static int a_exec(const char *path)
{
	char *const argv[] = {(char *)path, NULL};
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execv(path, argv);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}
static int a_watch(const char *path)
{
	return result(inotify_add_watch(inotify_init1(IN_CLOEXEC), path, IN_ACCESS));
}
static int a_trace(const char *path) /* not ATTACH, which would stop the test */
{
	return result(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL));
}
static int a_connect(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return result(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}
/* Moved where a tree lies below /tmp. */
static const char *own_tmp(void)
{
	const char *dir = getenv("TMPDIR");

	return dir ? dir : "/tmp";
}
static int a_own(const char *path) /* the worker's own directories work as elsewhere */
{
	char x[PATH_MAX], y[PATH_MAX];
	int fd;

	snprintf(x, sizeof(x), "%s/x", own_tmp());
	snprintf(y, sizeof(y), "%s/y", own_tmp());
	fd = open(x, O_RDWR | O_CREAT | O_CLOEXEC, 0700);
	if (fd < 0 || write(fd, "#!/bin/true\n", 12) != 12 || close(fd) < 0)
		return errno;
	if (rename(x, y) < 0 || mkdir("/home/worker/d", 0700) < 0)
		return errno;
	return a_exec(y);
}
static int a_parent_of_root(const char *path)
{
	struct stat a, b;

	if (stat("/", &a) < 0 || stat("/../../..", &b) < 0)
		return errno;
	return a.st_ino == b.st_ino && a.st_dev == b.st_dev ? 0 : EXDEV;
}
static int a_sysctl(const char *path)
{
	return result(open("/proc/sys/kernel/domainname", O_WRONLY | O_CLOEXEC));
}
static int a_memory_of_init(const char *path)
{
	return result(open("/proc/1/environ", O_RDONLY | O_CLOEXEC));
}
static int a_abstract(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0warder-test"};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return result(connect(fd, (struct sockaddr *)&a, sizeof(sa_family_t) + 12));
}
static int a_fifo_device(const char *path)
{
	char name[PATH_MAX];

	snprintf(name, sizeof(name), "%s/device", own_tmp());
	return result(mknod(name, S_IFCHR | 0600, 0x103));
}

static const struct attempt {
	const char *name;
	int (*run)(const char *path);
	const char *path;
	int outside; /* errno without a cell: the control */
	int view;    /* in `root view` */
	int host;    /* in `root host`; -1: not tried */
} attempts[] = {
	{"stat of data", a_stat, data_file, 0, 0, 0},
	{"reading data", a_read, data_file, 0, EACCES, EACCES},
	{"writing data", a_write, data_file, 0, EROFS, EACCES},
	{"listing data", a_list, data_file, 0, EACCES, EACCES},
	{"making a file in data", a_create, data_file, 0, EROFS, EACCES},
	{"running data", a_exec, data_file, 0, EACCES, EACCES},
	{"truncating data", a_truncate, data_file, 0, EROFS, EACCES},
	{"renaming data", a_rename, data_file, 0, EROFS, EACCES},
	{"chmod of data", a_chmod, data_file, 0, EPERM, EPERM},
	{"reading data by /proc/self/fd", a_reread, data_file, 0, EACCES, EACCES},
	{"watching data", a_watch, data_file, 0, EACCES, EACCES},
	{"seeing what no rule names", a_stat, outside, 0, ENOENT, 0},
	{"reading what no rule names", a_read, outside, 0, ENOENT, EACCES},
	{"the runtime", a_read, "/usr/bin/env", 0, 0, 0},
	{"writing the runtime's directory", a_create, "/usr/bin/x", -1, EROFS, EACCES},
	{"tracing", a_trace, NULL, -1, EPERM, EPERM},
	{"a Unix socket of the host", a_connect, "/no/such/socket", ENOENT, EACCES, EACCES},
	{"an abstract socket", a_abstract, NULL, ECONNREFUSED, EACCES, EACCES},
	{"its own /tmp and home", a_own, NULL, -1, 0, -1},
	{"above the root", a_parent_of_root, NULL, 0, 0, 0},
	{"a sysctl", a_sysctl, NULL, -1, EACCES, EACCES},
	{"init's environment", a_memory_of_init, NULL, -1, EACCES, EACCES},
	{"a device of its own", a_fifo_device, NULL, -1, EACCES, -1},
};
#define ATTEMPTS (sizeof(attempts) / sizeof(*attempts))

/* The child's main function: DATA OUTSIDE, then all attempts, one result a line. */
static int attempt_all(char **argv)
{
	snprintf(data_file, sizeof(data_file), "%s", argv[2]);
	snprintf(outside, sizeof(outside), "%s", argv[3]);
	for (size_t i = 0; i < ATTEMPTS; i++) {
		errno = 0;
		printf("%s: %d\n", attempts[i].name, attempts[i].run(attempts[i].path));
		fflush(stdout);
	}
	return 0;
}

/* ---- the comparison -------------------------------------------------------------------------- */

static int line_of(const char *out, const char *name)
{
	const char *at = strstr(out, name);

	return at ? atoi(at + strlen(name) + 2) : -2;
}

static void compare(const struct cell_run *run, bool host)
{
	int bad = 0;

	for (size_t i = 0; i < ATTEMPTS; i++) {
		int want = host ? attempts[i].host : attempts[i].view;
		int got = line_of(run->out, attempts[i].name);

		if (want < 0 || got == want)
			continue;
		print_error("%s: %d (%s) instead of %d (%s)\n", attempts[i].name, got,
			strerror(got), want, strerror(want));
		bad++;
	}
	if (bad)
		flunk("%d of %zu differ; %s", bad, ATTEMPTS, run->failure);
}

static void attempts_in(enum cell_root root)
{
	const char *argv[] = {exe, "--attempt", data_file, outside, NULL};
	struct cell_run run;

	cell_run_init(&run, argv);
	run.spec.root = root;
	run.spec.accept = CELL_LAYER_UID;
	cell_run_tree(&run, exe_dir, CELL_READ | CELL_EXEC, false);
	cell_run_tree(&run, data, CELL_READ | CELL_WRITE | CELL_CREATE | CELL_DELETE, false);
	if (strcmp(exe_dir, data) > 0) { /* parents first, so sorted */
		struct cell_tree first = run.trees[0];

		run.trees[0] = run.trees[1];
		run.trees[1] = first;
	}
	cell_run(&run);
	compare(&run, root == CELL_HOST);
}

static void in_a_view(void **state)
{
	attempts_in(CELL_VIEW);
}

static void in_the_hosts_root(void **state)
{
	attempts_in(CELL_HOST);
}

/* A file that any user may read and run, empty again after some tests. */
static int fill(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	int r = fd < 0 || write(fd, "#!/bin/true\n", 12) != 12 ? -1 : 0;

	return close(fd) < 0 ? -1 : r;
}

static void outside_each_attempt_works(void **state)
{
	char out[8192];
	int fds[2], bad = 0;
	pid_t pid;
	long n;

	assert_int_equal(fill(data_file), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], 1);
		if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
			_exit(1);
		execl(exe, exe, "--attempt", data_file, outside, NULL);
		_exit(1);
	}
	close(fds[1]);
	n = fd_read_all(fds[0], out, sizeof(out) - 1);
	close(fds[0]);
	waitpid(pid, NULL, 0);
	out[n > 0 ? n : 0] = '\0';
	for (size_t i = 0; i < ATTEMPTS; i++) {
		int got = line_of(out, attempts[i].name);

		if (attempts[i].outside < 0 || got == attempts[i].outside)
			continue;
		print_error("%s: %d (%s) instead of %d\n", attempts[i].name, got, strerror(got),
			attempts[i].outside);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* ---- the mounts ------------------------------------------------------------------------------ */

/* Every mount point of the cell with its options. */
static void every_mount_is_read_only_but_the_workers_own(void **state)
{
	RUN_SH(run, "while read -r a b c d point options rest; do echo \"$point $options\"; done "
		    "</proc/self/mountinfo");
	char *line, *at = run.out;
	int mounts = 0;

	cell_run_tree(&run, data, CELL_READ | CELL_WRITE, false);
	cell_run(&run);
	while ((line = strsep(&at, "\n")) && *line) {
		char *options = strchr(line, ' ');
		bool own, device;

		assert_non_null(options);
		*options++ = '\0';
		own = strcmp(line, "/tmp") == 0 || strcmp(line, CELL_HOME) == 0 ||
		      strcmp(line, "/dev/shm") == 0 || strcmp(line, "/var/tmp") == 0;
		device = strncmp(line, "/dev/", 5) == 0 && strcmp(line, "/dev/shm") != 0;
		if ((strncmp(options, "rw", 2) == 0) != own)
			flunk("%s is %s", line, options);
		if (!device && (!strstr(options, "nosuid") || !strstr(options, "nodev")))
			flunk("%s is %s", line, options);
		if (strcmp(line, data) == 0 && !strstr(options, "noexec"))
			flunk("%s is %s", line, options);
		mounts++;
	}
	assert_true(mounts > 5);
}

/* The broker's two ways to one file. */
static int write_through(const struct cell *cell, void *ctx)
{
	const char *name = (const char *)ctx + 1;
	int by_view = result(openat(cell->view_fd, name, O_WRONLY | O_CLOEXEC));
	int fd = openat(cell->twin_fd, name, O_RDWR | O_CLOEXEC);

	if (by_view != EROFS)
		return 1;
	return fd < 0 ? errno : 0;
}

static void the_broker_writes_through_the_twin_alone(void **state)
{
	RUN_SH(run, "true");
	const enum cell_root with_twin[] = {CELL_VIEW, CELL_EMPTY};

	cell_run_tree(&run, data, CELL_READ | CELL_WRITE, false);
	run.in_broker = write_through;
	run.ctx = data_file;
	for (int i = 0; i < 2; i++) {
		run.spec.root = with_twin[i];
		run.spec.n_fds = 0;
		cell_run(&run);
		assert_string_equal(run.out, "BROKER 0\n");
	}
}

/* 1: two descriptors of one mount, through which nothing can be written. */
static int has_no_twin(const struct cell *cell, void *ctx)
{
	const char *name = (const char *)ctx + 1;
	struct statx view, twin;

	if (statx(cell->view_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &view) < 0 ||
		statx(cell->twin_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &twin) < 0)
		return -errno;
	return view.stx_mnt_id == twin.stx_mnt_id &&
	       result(openat(cell->twin_fd, name, O_WRONLY | O_CLOEXEC)) == EROFS;
}

static void a_cell_that_changes_no_tree_has_no_twin(void **state)
{
	RUN_SH(run, "true");
	static const struct {
		unsigned access;
		const char *out;
	} rows[] = {
		{CELL_READ | CELL_EXEC, "BROKER 1\n"},
		{CELL_READ | CELL_WRITE, "BROKER 0\n"},
		{CELL_APPEND, "BROKER 0\n"},
		{CELL_CREATE, "BROKER 0\n"},
		{CELL_DELETE, "BROKER 0\n"},
	};

	cell_run_tree(&run, data, CELL_READ, false);
	run.in_broker = has_no_twin;
	run.ctx = data_file;
	for (int i = 0; i < 10; i++) {
		run.spec.root = i % 2 ? CELL_EMPTY : CELL_VIEW;
		run.spec.n_fds = 0;
		run.trees[0].access = rows[i / 2].access;
		cell_run(&run);
		assert_string_equal(run.out, rows[i / 2].out);
	}
}

/* A broker that is taken over, and a tree that it only reads beside one that it changes: both ways
 * in, by flag and by call.  1: every try met the mount. */
static int cut_what_is_read(const struct cell *cell, void *ctx)
{
	const char *name = (const char *)ctx + 1;
	const int roots[] = {cell->view_fd, cell->twin_fd};

	for (size_t i = 0; i < 2; i++) {
		int fd = openat(roots[i], name, O_RDONLY | O_TRUNC | O_CLOEXEC);

		if (fd >= 0 || errno != EROFS)
			return -errno;
		fd = openat(roots[i], name, O_WRONLY | O_CLOEXEC);
		if (fd >= 0 || errno != EROFS)
			return -errno;
		fd = openat(roots[i], name, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || ftruncate(fd, 0) == 0 || errno != EINVAL)
			return -errno;
		close(fd);
	}
	return 1;
}

static int cut_what_is_written(const struct cell *cell, void *ctx)
{
	int fd = openat(cell->twin_fd, (const char *)ctx + 1, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? 1 : result(ftruncate(fd, 8));
}

static void a_tree_that_is_only_read_cannot_be_cut_by_the_broker(void **state)
{
	RUN_SH(run, "true");
	char changed[PATH_MAX];

	snprintf(changed, sizeof(changed), "%s/changed", getenv("HOME"));
	assert_int_equal(mkdir(changed, 0755), 0);
	cell_run_tree(&run, changed, CELL_READ | CELL_WRITE, false);
	cell_run_tree(&run, data, CELL_READ, false);
	run.ctx = data_file;
	run.in_broker = cut_what_is_read;
	cell_run(&run);
	assert_string_equal(run.out, "BROKER 1\n");
	run.trees[1].access = CELL_READ | CELL_WRITE;
	run.in_broker = cut_what_is_written;
	run.spec.n_fds = 0;
	cell_run(&run);
	assert_string_equal(run.out, "BROKER 0\n");
	rmdir(changed);
}

static int truncate_append_grant(const struct cell *cell, void *ctx)
{
	int fd = openat(cell->twin_fd, (const char *)ctx + 1, O_WRONLY | O_APPEND | O_CLOEXEC);

	return fd < 0 ? 1 : result(ftruncate(fd, 0));
}

/* The rule on the tree above must not reach it. */
static void an_append_grant_beneath_a_tree_that_is_read_neither(void **state)
{
	RUN_SH(run, "true");
	char home[PATH_MAX];

	assert_non_null(realpath(getenv("HOME"), home));
	cell_run_tree(&run, home, CELL_READ, false);
	cell_run_tree(&run, data, CELL_APPEND, false);
	run.in_broker = truncate_append_grant;
	run.ctx = data_file;
	cell_run(&run);
	snprintf(home, sizeof(home), "BROKER %d\n", EACCES);
	assert_string_equal(run.out, home);
}

static void an_append_grant_cannot_be_truncated(void **state)
{
	RUN_SH(run, "true");

	run.in_broker = truncate_append_grant;
	run.ctx = data_file;
	cell_run_tree(&run, data, CELL_WRITE, false);
	cell_run(&run);
	assert_string_equal(run.out, "BROKER 0\n"); /* the control */
	run.spec.n_fds = 0;
	run.trees[0].access = CELL_APPEND;
	cell_run(&run);
	assert_string_equal(run.out, "BROKER 13\n"); /* EACCES */
}

static void root_empty_shows_no_tree(void **state)
{
	const char *argv[] = {"/bin/sh", "-c",
		"test -e \"$0\" && echo seen; test -e /trees && echo seen; "
		"test -e /usr/bin/env || echo missing",
		data, NULL};
	struct cell_run run;

	cell_run_init(&run, argv);
	run.spec.root = CELL_EMPTY;
	cell_run_tree(&run, data, CELL_READ, false);
	cell_run(&run);
	assert_string_equal(run.out, "");
}

static void a_tree_under_tmp_or_home_moves_the_private_one(void **state)
{
	RUN_SH(run, "cd \"$TMPDIR\" && echo x >file && cat file && cat \"$OLDPWD\"/*");

	cell_run_tree(&run, data, CELL_READ, false);
	run.spec.cwd = data;
	cell_run(&run);
	/* The private directory works, and a tree below /tmp stays closed. */
	if (strncmp(data, "/tmp/", 5) == 0)
		assert_int_equal(strncmp(run.out, "x\n", 2), 0);
	assert_null(strstr(run.out, "#!"));
}

static int group_setup(void **state)
{
	alarm(120);
	const char *home = getenv("HOME");
	char resolved[PATH_MAX];

	if (!home || !realpath(home, resolved) ||
		readlink("/proc/self/exe", exe, sizeof(exe) - 1) <= 0)
		return -1;
	snprintf(exe_dir, sizeof(exe_dir), "%s", exe);
	snprintf(exe_dir, sizeof(exe_dir), "%s", dirname(strdup(exe)));
	snprintf(data, sizeof(data), "%s/data", resolved);
	snprintf(data_file, sizeof(data_file), "%s/file", data);
	snprintf(outside, sizeof(outside), "%s/outside", resolved);
	for (int i = 0; i < 2; i++) {
		const char *path = i ? outside : data_file;

		if (i == 0 && mkdir(data, 0755) < 0)
			return -1;
		if (fill(path) < 0)
			return -1;
		if (geteuid() == 0 && chown(path, 65534, 65534) < 0)
			return -1;
	}
	if (geteuid() == 0 && (chown(data, 65534, 65534) < 0 || chmod(resolved, 0755) < 0))
		return -1;
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_view), cmocka_unit_test(in_the_hosts_root),
		cmocka_unit_test(every_mount_is_read_only_but_the_workers_own),
		cmocka_unit_test(the_broker_writes_through_the_twin_alone),
		cmocka_unit_test(a_cell_that_changes_no_tree_has_no_twin),
		cmocka_unit_test(a_tree_that_is_only_read_cannot_be_cut_by_the_broker),
		cmocka_unit_test(an_append_grant_cannot_be_truncated),
		cmocka_unit_test(an_append_grant_beneath_a_tree_that_is_read_neither),
		cmocka_unit_test(root_empty_shows_no_tree),
		cmocka_unit_test(a_tree_under_tmp_or_home_moves_the_private_one),
		cmocka_unit_test(outside_each_attempt_works), /* last: it changes the data */
	};

	if (argc == 4 && strcmp(argv[1], "--attempt") == 0)
		return attempt_all(argv);
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
