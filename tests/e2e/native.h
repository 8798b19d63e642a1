/* SPDX-License-Identifier: MIT */
/*
 * native.h - what a program does by plain system calls, in a cell as without one.
 *
 * Each scenario is run twice by the test's own program, called with --run: in a plain directory by
 * the worker's user, and in a cell whose policy allows all of that directory.  It says what it
 * sees; both must say the same, and leave the same files.
 */
#ifndef WARDER_E2E_NATIVE_H
#define WARDER_E2E_NATIVE_H

#include "tests/hostile/inside.h"
#include "tests/e2e/differ_tree.h"

#include <grp.h>

#define NOBODY 65534 /* the worker's user, where root starts it */
#define OUT_FD 200   /* where a scenario speaks; it closes what it likes */

/* ---- what a scenario says -------------------------------------------------------------------- */

/* A result: 0 and above is good, else the name of errno. */
static inline void say(const char *what, long r)
{
	if (r < 0)
		dprintf(OUT_FD, "%s: %s\n", what, strerrorname_np(errno));
	else
		dprintf(OUT_FD, "%s: good\n", what);
}

static inline void say_number(const char *what, long n)
{
	dprintf(OUT_FD, "%s: %ld\n", what, n);
}

/* What an open gives: content, mode and flags.  Closes it. */
static inline void say_fd(const char *what, int fd)
{
	char buf[64] = "";
	struct stat st;
	ssize_t n;

	if (fd < 0) {
		say(what, fd);
		return;
	}
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	if (fstat(fd, &st) < 0)
		err(2, "%s", what);
	dprintf(OUT_FD, "%s: mode %o flags %o offset %ld, %zd bytes \"%s\"\n", what, st.st_mode,
		fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK),
		(long)lseek(fd, 0, SEEK_CUR), n, buf);
	close(fd);
}

static inline void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		say(path, -1);
	close(fd);
}

static inline void wait_for(const char *what, pid_t pid)
{
	int status = -1;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		say(what, -1);
	else
		say_number(what, status);
}

struct scenario {
	const char *name;
	void (*run)(void);
};

/* argv: --run NAME DIRECTORY. */
static inline int worker_main(char **argv, const struct scenario *scenarios, size_t n)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
		err(2, "uid %d", NOBODY);
	umask(022);
	if (dup2(1, OUT_FD) < 0 || chdir(argv[3]) < 0)
		err(2, "%s", argv[3]);
	for (size_t i = 0; i < n; i++) {
		if (strcmp(scenarios[i].name, argv[2]) == 0) {
			scenarios[i].run();
			return 0;
		}
	}
	errx(2, "no scenario %s", argv[2]);
}

/* ---- the tester ------------------------------------------------------------------------------ */

static char top[PATH_MAX - 64], tree[PATH_MAX];

static inline void name_in_tree(char buf[PATH_MAX + 16], const char *name)
{
	snprintf(buf, PATH_MAX + 16, "%s/%s", tree, name);
}

static inline void files_make(void)
{
	static const char *const links[][2] = {
		{"a", "link"}, {"d", "dlink"}, {"none", "dangling"}, {"loop", "loop"}};
	uid_t uid = geteuid() == 0 ? NOBODY : geteuid();
	char path[PATH_MAX + 16];

	tree_remove(AT_FDCWD, tree);
	assert_int_equal(mkdir(tree, 0755), 0);
	name_in_tree(path, "d");
	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(lchown(path, uid, uid), 0);
	assert_int_equal(lchown(tree, uid, uid), 0);
	for (size_t i = 0; i < 2; i++) {
		name_in_tree(path, i ? "d/b" : "a");
		make_file(path, i ? "this is b" : "this is a", 0644);
		assert_int_equal(lchown(path, uid, uid), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		name_in_tree(path, links[i][1]);
		assert_int_equal(symlink(links[i][0], path), 0);
		assert_int_equal(lchown(path, uid, uid), 0);
	}
}

static inline void dump(char *buf, size_t size)
{
	FILE *out = fmemopen(buf, size, "w");
	int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_non_null(out);
	assert_true(fd >= 0);
	tree_dump(out, fd, "");
	close(fd);
	fclose(out);
}

static inline void run_cell(struct outcome *ret, const char *rule, const char *const *command)
{
	const char *options[] = {"-q", "-e", rule, NULL};

	run_inside(ret, top, options, command);
	outcome_free(ret);
}

static inline void compare_scenario(const char *name)
{
	static struct outcome native, within;
	static char left_native[16384], left_within[16384];
	const char *command[] = {own_path(), "--run", name, tree, NULL};
	char rule[PATH_MAX + 32];

	files_make();
	run_program(&native, command);
	dump(left_native, sizeof(left_native));
	files_make();
	snprintf(rule, sizeof(rule), "allow rw %s/", tree);
	run_cell(&within, rule, command);
	dump(left_within, sizeof(left_within));
	assert_int_equal(native.status, 0);
	if (within.status != 0 || strcmp(native.out, within.out) != 0)
		fail_msg("exit %d, natively:\n%s\nin the cell:\n%s", within.status, native.out,
			within.out);
	assert_string_equal(left_native, left_within);
}

static inline int make_top(void **state)
{
	make_directory(top, sizeof(top));
	snprintf(tree, sizeof(tree), "%s/t", top);
	return 0;
}

static inline int remove_top(void **state)
{
	tree_remove(AT_FDCWD, top);
	return 0;
}

#endif
