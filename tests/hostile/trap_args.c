/* SPDX-License-Identifier: MIT */
/*
 * trap_args.c - arguments that are wrong, at an edge, or nowhere in memory.
 *
 * Each call is made outside and in a cell that allows all of the directory; both must give the same
 * errno, or one of those that are written down here.
 */
#include "tests/hostile/trap_inside.h"

#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define PAGE 4096

/* ---- the worker's side ----------------------------------------------------------------------- */

static char *edge; /* the end of mapped memory */

static void say(const char *name, long n, long r)
{
	int error = r < 0 ? errno : 0;

	printf("%s/%ld %d\n", name, n, error);
	errno = 0;
}

static void say_fd(const char *name, long n, long fd)
{
	say(name, n, fd);
	/* A descriptor that stands for a standard one is none that was handed over. */
	if (fd >= 0 && fd < 3)
		printf("%s/%ld standard\n", name, n);
	if (fd >= 0)
		close((int)fd);
}

/* The text, ending with or without its NUL where memory ends. */
static char *at_edge(const char *text, bool terminated)
{
	size_t n = strlen(text) + terminated;

	memcpy(edge - n, text, n);
	return edge - n;
}

/* A path of n bytes to ./f: "./././f". */
static char *long_path(char *buf, size_t n)
{
	size_t i = n % 2 ? 1 : 0;

	memset(buf, '/', n);
	if (i == 0) /* "." and two slashes */
		memcpy(buf, ".//", 3), i = 3;
	else
		buf[0] = '.';
	for (; i + 1 < n; i += 2)
		memcpy(buf + i, "/.", 2);
	buf[n - 2] = '/';
	buf[n - 1] = 'f';
	buf[n] = '\0';
	return buf;
}

static void paths(void)
{
	static const uint64_t nowhere[] = {0, 1, PAGE - 1, 0x7fffffffffffULL, 0x800000000000ULL,
		0xffff800000000000ULL, 0xffffffff81000000ULL, 0xffffffffff600000ULL, ~0ULL};
	static const size_t sizes[] = {
		2, 3, 255, 256, 511, 512, PAGE - 2, PAGE - 1, PAGE, PAGE + 1};
	char *room =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++) {
		long n = (long)i;

		say_fd("open_nowhere", n, syscall(SYS_openat, AT_FDCWD, nowhere[i], O_RDONLY, 0));
		say("mkdir_nowhere", n, syscall(SYS_mkdirat, AT_FDCWD, nowhere[i], 0755));
		say("rename_nowhere", n,
			syscall(SYS_renameat, AT_FDCWD, "f", AT_FDCWD, nowhere[i]));
		say("unlink_nowhere", n, syscall(SYS_unlinkat, AT_FDCWD, nowhere[i], 0));
		say("truncate_nowhere", n, syscall(SYS_truncate, nowhere[i], 1L));
		say("chmod_nowhere", n, syscall(SYS_fchmodat, AT_FDCWD, nowhere[i], 0644));
		say("setxattr_nowhere", n, syscall(SYS_setxattr, "f", "user.a", nowhere[i], 1L, 0));
		say("xattr_name_nowhere", n, syscall(SYS_setxattr, "f", nowhere[i], "x", 1L, 0));
		say("execve_nowhere", n, syscall(SYS_execve, nowhere[i], NULL, NULL));
		say("symlink_nowhere", n, syscall(SYS_symlinkat, nowhere[i], AT_FDCWD, "made"));
		if (nowhere[i]) /* NULL says "now" */
			say("times_nowhere", n,
				syscall(SYS_utimensat, AT_FDCWD, "f", nowhere[i], 0));
		say_fd("how_nowhere", n, syscall(SYS_openat2, AT_FDCWD, "f", nowhere[i], 24L));
	}
	say_fd("edge_terminated", 0, open(at_edge("f", true), O_RDONLY));
	say_fd("edge_unterminated", 0, open(at_edge("f", false), O_RDONLY));
	say("edge_mkdir", 0, mkdir(at_edge("made", false), 0755));
	say_fd("empty", 0, open("", O_RDONLY));
	say_fd("empty_at_edge", 0, open(at_edge("", true), O_RDONLY));
	say_fd("at_the_edge", 0, open(edge, O_RDONLY));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		/* Each size ending one before, at and after a page's end. */
		for (long off = -1; off <= 1; off++) {
			char *at = room + 2 * PAGE - sizes[i] % PAGE + off;

			if (sizes[i] > 2 * PAGE - 8)
				continue;
			say_fd("sized", (long)sizes[i] * 10 + off,
				open(long_path(at - PAGE, sizes[i]), O_RDONLY));
		}
	}
	memset(room, 'x', 300);
	room[255] = '\0';
	say_fd("name_max", 0, open(room, O_RDONLY));
	room[255] = 'x';
	room[256] = '\0';
	say_fd("name_max", 1, open(room, O_RDONLY));
}

static void flags(void)
{
	/* The run outside has left it. */
	(void)!syscall(SYS_removexattr, "f", "user.b");
	for (int bit = 0; bit < 32; bit++) {
		long f = 1L << bit;

		say_fd("flag", bit, syscall(SYS_openat, AT_FDCWD, "f", f, 0));
		say_fd("flag_writing", bit, syscall(SYS_openat, AT_FDCWD, "f", f | O_RDWR, 0));
		say("unlink_flag", bit, syscall(SYS_unlinkat, AT_FDCWD, "none", f));
		say("access_flag", bit, syscall(SYS_faccessat2, AT_FDCWD, "f", W_OK, f));
		say("access_mode", bit, syscall(SYS_faccessat, AT_FDCWD, "f", W_OK | f));
		say("times_flag", bit, syscall(SYS_utimensat, AT_FDCWD, "f", NULL, f));
		say("chown_flag", bit, syscall(SYS_fchownat, AT_FDCWD, "f", -1, -1, f));
		say("link_flag", bit, syscall(SYS_linkat, AT_FDCWD, "none", AT_FDCWD, "new", f));
		say("rename_flag", bit,
			syscall(SYS_renameat2, AT_FDCWD, "none", AT_FDCWD, "new", f));
		say("xattr_flag", bit, syscall(SYS_setxattr, "f", "user.b", "x", 1L, f));
	}
	for (int bit = 0; bit < 64; bit++) {
		struct open_how how = {.flags = 1ULL << bit};

		say_fd("how_flag", bit, syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how)));
		how = (struct open_how){.mode = 1ULL << bit};
		say_fd("how_mode", bit, syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how)));
		how = (struct open_how){.resolve = 1ULL << bit};
		say_fd("how_resolve", bit, syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof(how)));
	}
	for (long size = 0; size <= 64; size++) {
		struct open_how how[3] = {{0}};

		say_fd("how_size", size, syscall(SYS_openat2, AT_FDCWD, "f", how, size));
		memset(edge - 64, 0, 64);
		say_fd("how_size_at_edge", size,
			syscall(SYS_openat2, AT_FDCWD, "f", edge - 24, size));
	}
}

static void descriptors(void)
{
	int pair[2], closed = dup(1), file = open("f", O_RDONLY);
	int fds[8];

	if (pipe(pair) < 0)
		return;
	close(closed);
	fds[0] = -1;
	fds[1] = INT_MAX;
	fds[2] = closed;
	fds[3] = pair[0];
	fds[4] = file;
	fds[5] = -101;
	fds[6] = INT_MIN;
	fds[7] = 1 << 20;
	for (int i = 0; i < 8; i++) {
		int fd = fds[i];

		say_fd("dirfd_open", i, openat(fd, "f", O_RDONLY));
		say_fd("dirfd_absolute", i, openat(fd, in_top("w/f"), O_RDONLY));
		say("dirfd_mkdir", i, mkdirat(fd, "made", 0755));
		say("dirfd_unlink", i, unlinkat(fd, "f", 0));
		/* Whose a pipe is, and its mode, are not for a cell to change. */
		if (fd != pair[0]) {
			say("dirfd_empty", i, syscall(SYS_fchownat, fd, "", -1, -1, AT_EMPTY_PATH));
			say("fchmod", i, fchmod(fd, 0644));
			say("fchown", i, fchown(fd, (uid_t)-1, (gid_t)-1));
			say("fsetxattr", i, (int)syscall(SYS_fsetxattr, fd, "user.c", "x", 1L, 0));
			say("futimens", i, (int)syscall(SYS_utimensat, fd, NULL, NULL, 0));
		}
		say("watch", i, inotify_add_watch(fd, "f", IN_MODIFY));
	}
	/* The high half of a register is no part of an int. */
	say_fd("dirfd_high", 0,
		syscall(SYS_openat, 0xffffffff00000000UL | (uint32_t)AT_FDCWD, "f", 0));
	say_fd("flags_high", 0, syscall(SYS_openat, AT_FDCWD, "f", 0xdead00000000UL));
}

static void values(void)
{
	static const long sizes[] = {0, 1, 255, 256, 65535, 65536, 65537, LONG_MAX, -1};
	static const long odd[] = {-1, 1000000000, UTIME_NOW, UTIME_OMIT, UTIME_OMIT + 1, 999999999,
		LONG_MIN, LONG_MAX};
	char *room =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char name[300];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		say("xattr_size", (long)i, syscall(SYS_setxattr, "f", "user.d", room, sizes[i], 0));
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	for (size_t i = 254; i <= 257; i++) {
		name[i] = '\0';
		say("xattr_name", (long)i, syscall(SYS_setxattr, "f", name, "x", 1L, 0));
		say("xattr_remove", (long)i, syscall(SYS_removexattr, "f", name));
		name[i] = 'n';
	}
	say("xattr_name", 0, syscall(SYS_setxattr, "f", "", "x", 1L, 0));
	for (size_t i = 0; i < 8; i++) {
		for (size_t j = 0; j < 8; j++) {
			struct timespec t[2] = {{1, odd[i]}, {2, odd[j]}};
			struct timeval v[2] = {{1, odd[i]}, {2, odd[j]}};

			say("times", (long)(i * 8 + j), utimensat(AT_FDCWD, "f", t, 0));
#ifdef __x86_64__
			say("timeval", (long)(i * 8 + j), syscall(SYS_utimes, "f", v));
#else
			(void)v;
#endif
		}
		say("truncate", (long)i, truncate("f", odd[i] > 1000000 ? -2 : odd[i]));
	}
}

static int arguments(void)
{
	struct rlimit none = {0, 0};
	char *map =
		mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	setrlimit(RLIMIT_CORE, &none);
	munmap(map + 2 * PAGE, PAGE);
	edge = map + 2 * PAGE;
	if (chdir(in_top("w")) < 0)
		return 1;
	paths();
	flags();
	descriptors();
	values();
	return 0;
}

/* ---- the tester ------------------------------------------------------------------------------ */

/* Where the cell says otherwise than the kernel, and why. */
static const struct {
	const char *name; /* as far as it is given, or all */
	int inside;
} otherwise[] = {
	/* With the working directory before it, it is longer than a path may be. */
	{"sized/409", ENAMETOOLONG},
	/* Neither reading nor writing; cutting what is only read. */
	{"flag_writing/0 ", EINVAL},
	{"flag/9 ", EINVAL},
	{"how_flag/9 ", EINVAL},
	/* O_ASYNC: signals on readiness. */
	{"how_flag/13 ", EINVAL},
	/* RENAME_WHITEOUT makes a device. */
	{"rename_flag/2 ", EINVAL},
	/* Ways of resolving that are not served. */
	{"how_resolve/0 ", ENOSYS},
	{"how_resolve/2 ", ENOSYS},
	{"how_resolve/3 ", ENOSYS},
	{"how_resolve/4 ", ENOSYS},
	{NULL, 0},
};

static bool may_differ(const char *name, int inside)
{
	for (size_t i = 0; otherwise[i].name; i++) {
		size_t n = strlen(otherwise[i].name);

		if (!strncmp(name, otherwise[i].name, n) && inside == otherwise[i].inside)
			return true;
	}
	return false;
}

static void wrong_arguments_give_what_the_kernel_gives(void **state)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	char *a, *b, *save_a, *save_b;
	int bad = 0, lines = 0;

	tree_make();
	run_outside(&outside, "--arguments");
	assert_int_equal(chmod(in_top("w/f"), 0666), 0);
	run_cell(&inside, NULL, NULL, "--arguments");
	assert_int_equal(inside.status, 0);
	assert_int_equal(outside.status, 0);
	a = strtok_r(outside.out, "\n", &save_a);
	b = strtok_r(inside.out, "\n", &save_b);
	for (; a && b; a = strtok_r(NULL, "\n", &save_a), b = strtok_r(NULL, "\n", &save_b)) {
		lines++;
		assert_null(strstr(b, "standard"));
		if (strcmp(a, b) != 0 && !may_differ(b, atoi(strchr(b, ' ') + 1))) {
			print_error("outside \"%s\", inside \"%s\"\n", a, b);
			bad++;
		}
	}
	assert_true(!a && !b && lines > 900);
	assert_int_equal(bad, 0);
	/* And of all this, nothing reached further than what is allowed. */
	assert_int_equal(records_with("\"event\":\"grant\"", "\"rule\":\"-e 3\""),
		records_with("\"event\":\"grant\"", "\"door\":\"trap\""));
	assert_true(records_with("\"event\":\"deny\"", "\"door\":\"trap\"") > 0);
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			wrong_arguments_give_what_the_kernel_gives, fds_before, fds_after),
	};

	if (argc > 2 && !strcmp(argv[1], "--arguments")) {
		snprintf(top, sizeof(top), "%s", argv[2]);
		return arguments();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
