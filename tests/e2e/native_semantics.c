/* SPDX-License-Identifier: MIT */
/*
 * native_semantics.c - plain system calls of an unmodified program, in a cell as without one.
 *
 * Each scenario is run twice by this same program, called with --run: in a plain directory by the
 * worker's user, and in a cell whose policy allows all of that directory.  It says what it sees;
 * both must say the same, and leave the same files.
 */
#include "tests/hostile/inside.h"
#include "tests/e2e/differ_tree.h"

#include <grp.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define NOBODY 65534 /* the worker's user, where root starts it */
#define OUT_FD 200   /* where a scenario speaks; it closes what it likes */

extern char **environ;

/* ---- what a scenario says -------------------------------------------------------------------- */

/* A result: 0 and above is good, else the name of errno. */
static void say(const char *what, long r)
{
	if (r < 0)
		dprintf(OUT_FD, "%s: %s\n", what, strerrorname_np(errno));
	else
		dprintf(OUT_FD, "%s: good\n", what);
}

static void say_number(const char *what, long n)
{
	dprintf(OUT_FD, "%s: %ld\n", what, n);
}

/* What an open gives: content, mode and flags.  Closes it. */
static void say_fd(const char *what, int fd)
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

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		say(path, -1);
	close(fd);
}

static void wait_for(const char *what, pid_t pid)
{
	int status = -1;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		say(what, -1);
	else
		say_number(what, status);
}

/* ---- the scenarios; the working directory is the one that is granted ------------------------- */

static void relative_paths(void)
{
	say_fd("a", open("a", O_RDONLY));
	say_fd("./a", open("./a", O_RDONLY));
	say_fd("d/../a", open("d/../a", O_RDONLY));
	say_fd("d/b", open("d/b", O_RDWR));
	say("empty", open("", O_RDONLY));
	say("mkdir", mkdir("m", 0755));
	say("rename", rename("a", "m/a2"));
	say("unlink", unlink("m/a2"));
	say("rmdir", rmdir("m"));
}

static void beneath_a_descriptor(void)
{
	int d = open("d", O_RDONLY | O_DIRECTORY), p = open("d", O_PATH | O_DIRECTORY);
	int a = open("a", O_RDONLY);

	say_fd("beneath", openat(d, "b", O_RDONLY));
	say_fd("beneath O_PATH", openat(p, "b", O_RDONLY));
	say_fd("above", openat(d, "../a", O_RDONLY));
	say("made", mkdirat(d, "made", 0700));
	say("linked", linkat(d, "b", p, "b2", 0));
	say("renamed", renameat(d, "b2", p, "made/b3"));
	say("symlink", symlinkat("b", p, "link"));
	say_fd("through it", openat(d, "link", O_RDONLY));
	say("removed", unlinkat(p, "made/b3", 0));
	say("closed", openat(199, "b", O_RDONLY));
	say("a file", openat(a, "b", O_RDONLY));
	/* The descriptor goes with the directory, not with its name. */
	say("moved away", rename("d", "e"));
	say_fd("still", openat(d, "b", O_RDONLY));
	say("removed", unlinkat(d, "made", AT_REMOVEDIR));
}

static void cwd_after_chdir(void)
{
	int top = open(".", O_RDONLY | O_DIRECTORY);

	say("chdir", chdir("d"));
	say_fd("b", open("b", O_RDONLY));
	say_fd("../a", open("../a", O_RDONLY));
	say("fchdir", fchdir(top));
	say_fd("a", open("a", O_RDONLY));
	say("in a directory", mkdir("gone", 0755) < 0 ? -1 : chdir("gone"));
	say("that is removed", rmdir("../gone"));
	say("made there", open("x", O_WRONLY | O_CREAT, 0644)); /* ".." there: docs/limits.md */
}

static void creating_with_umask_and_mode(void)
{
	static const mode_t masks[] = {0, 022, 077, 0777};
	char name[16];

	for (size_t i = 0; i < 4; i++) {
		umask(masks[i]);
		snprintf(name, sizeof(name), "f%zu", i);
		say_fd(name, open(name, O_RDWR | O_CREAT, 0666));
		snprintf(name, sizeof(name), "c%zu", i);
		say("creat", creat(name, 0755));
		snprintf(name, sizeof(name), "d%zu", i);
		say(name, mkdir(name, 0777));
	}
	/* The mode binds later opens alone. */
	umask(022);
	say_fd("write only for others", open("later", O_RDWR | O_CREAT, 0002));
	say("opened again", open("later", O_RDWR));
}

static void exclusive_creation(void)
{
	say_fd("new", open("new", O_RDWR | O_CREAT | O_EXCL, 0644));
	say("again", open("new", O_RDWR | O_CREAT | O_EXCL, 0644));
	say("a directory", open("d", O_RDONLY | O_CREAT | O_EXCL, 0644));
	say("a symlink", open("link", O_RDWR | O_CREAT | O_EXCL, 0644));
	say("a dangling one", open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
}

static void unnamed_files(void)
{
	int fd = open("d", O_TMPFILE | O_RDWR, 0640);
	struct stat st;

	say("made", fd);
	if (fd >= 0 && fstat(fd, &st) == 0)
		say_number("names", (long)st.st_nlink);
	say("written", write(fd, "unnamed", 7));
	say_fd("read", fd);
	say("read only", open("d", O_TMPFILE | O_RDONLY, 0640));
	say("in a file", open("a", O_TMPFILE | O_RDWR, 0640));
	say("nowhere", open("none", O_TMPFILE | O_RDWR, 0640));
}

static void not_following(void)
{
	say_fd("a file", open("a", O_RDONLY | O_NOFOLLOW));
	say("a symlink", open("link", O_RDONLY | O_NOFOLLOW));
	say_fd("on the way", open("dlink/b", O_RDONLY | O_NOFOLLOW));
	say("with O_DIRECTORY", open("dlink", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
	say("with a slash", open("dlink/", O_RDONLY | O_NOFOLLOW));
	say("to create", open("dangling", O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
	say("a loop", open("loop", O_RDONLY));
}

static void directories_only(void)
{
	say("a directory", open("d", O_RDONLY | O_DIRECTORY));
	say("a file", open("a", O_RDONLY | O_DIRECTORY));
	say("a link to one", open("dlink", O_RDONLY | O_DIRECTORY));
	say("for writing", open("d", O_RDWR));
	say("to create", open("d", O_RDONLY | O_CREAT, 0755));
	say("none", open("none", O_RDONLY | O_DIRECTORY));
}

static void appending(void)
{
	int fd = open("a", O_RDWR | O_APPEND);

	say("written", write(fd, "more", 4));
	say_number("offset", (long)lseek(fd, 0, SEEK_CUR));
	lseek(fd, 0, SEEK_SET);
	say("written", write(fd, "and more", 8));
	say_fd("in all", fd);
}

static void truncating(void)
{
	say_fd("before", open("a", O_RDONLY));
	say_fd("cut", open("a", O_RDWR | O_TRUNC));
	put("a", "a longer text");
	say("by name", truncate("a", 4));
	say_fd("four", open("a", O_RDONLY));
	say("longer", truncate("a", 10));
	say_fd("ten", open("a", O_RDONLY));
	say("less than nothing", truncate("a", -1));
	say("a directory", truncate("d", 0));
	say_fd("made anew", open("new", O_RDWR | O_CREAT | O_TRUNC, 0600));
}

static void slashes_at_the_end(void)
{
	say("a file", open("a/", O_RDONLY));
	say("a directory", open("d/", O_RDONLY));
	say("to create", open("new/", O_WRONLY | O_CREAT, 0644));
	say("mkdir", mkdir("made/", 0755));
	say("rename", rename("made/", "moved/"));
	say("rename of a file", rename("a/", "b"));
	say("rename to one", rename("a", "b/"));
	say("unlink", unlink("a/"));
	say("unlink of a directory", unlink("moved/"));
	say("rmdir", rmdir("moved/"));
	say("rmdir of a link", rmdir("dlink/"));
	say("symlink", symlink("a", "new/"));
	say("link", link("a", "new/"));
	say("dots", rmdir("d/."));
	say("two dots", rmdir("d/.."));
}

static void other_changes(void)
{
	struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};

	say("chmod", chmod("a", 0640));
	say("utimes", utimensat(AT_FDCWD, "a", times, 0));
	say("chown to oneself", chown("a", geteuid(), getegid()));
	say("symlink", symlink("anything", "s"));
	say("times of it", utimensat(AT_FDCWD, "s", times, AT_SYMLINK_NOFOLLOW));
	say("link", link("a", "a2"));
	say("exchange", renameat2(AT_FDCWD, "a", AT_FDCWD, "d/b", 2));
	say("may write", access("a", W_OK));
	say("may write a directory", access("d", W_OK));
	say("may write none", access("none", W_OK));
	say_fd("exchanged", open("a", O_RDONLY));
}

static void after_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		say_fd("child", open("a", O_RDONLY));
		put("of the child", "child");
		_exit(3);
	}
	wait_for("ended", pid);
	say_fd("parent", open("of the child", O_RDONLY));
}

static void after_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		int fd = open("of the child", O_WRONLY | O_CREAT, 0600);

		_exit(fd >= 0 && write(fd, "vfork", 5) == 5 ? 3 : 4);
	}
	wait_for("ended", pid);
	say_fd("parent", open("of the child", O_RDONLY));
}

static void *thread_opens(void *number)
{
	char name[32];
	long good = 0;

	for (int i = 0; i < 40; i++) {
		int fd;

		snprintf(name, sizeof(name), "t%ld-%d", (long)(intptr_t)number, i);
		fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
		good += fd >= 0 && close(fd) == 0 && unlink(name) == 0;
	}
	return (void *)(intptr_t)good;
}

static void in_threads(void)
{
	pthread_t threads[4];
	void *good;

	for (intptr_t i = 0; i < 4; i++) {
		if (pthread_create(&threads[i], NULL, thread_opens, (void *)i))
			errx(2, "pthread_create");
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], &good);
		say_number("made and removed", (long)(intptr_t)good);
	}
}

static void by_posix_spawn(void)
{
	char cat[] = "cat", a[] = "a", *argv[] = {cat, a, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT, 0644);
	errno = posix_spawnp(&pid, cat, &actions, NULL, argv, environ);
	wait_for("cat", errno ? -1 : pid);
	say_fd("out", open("out", O_RDONLY));
	posix_spawn_file_actions_destroy(&actions);
}

static void in_another_program(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		dup2(OUT_FD, 1);
		execlp("sh", "sh", "-c",
			"cat <a && echo made >made && mkdir x && mv made x/ && ls -1 . x && rm -r "
			"x && "
			"cat none 2>/dev/null || echo missing",
			(char *)NULL);
		_exit(127);
	}
	wait_for("sh", pid);
}

static void *outlives(void *arg)
{
	pid_t leader = getpid();
	char path[64], line[256];
	const char *state = NULL;
	FILE *f;

	/* Until the thread that began the process is a zombie. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)leader);
	do {
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f))
			state = strrchr(line, ')');
		if (f)
			fclose(f);
	} while (!state || state[2] != 'Z');
	say_fd("relative", open("a", O_RDONLY));
	say_fd("made", open("made", O_RDWR | O_CREAT, 0644));
	say("mkdir", mkdir("made.d", 0755));
	_exit(5);
}

static void with_a_dead_leader(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid == 0) {
		if (pthread_create(&thread, NULL, outlives, NULL))
			_exit(6);
		syscall(SYS_exit, 0);
	}
	wait_for("ended", pid);
}

static void with_standard_descriptors_closed(void)
{
	close(0);
	close(1);
	close(2);
	say_number("first", open("a", O_RDONLY));
	say_number("second", open("new", O_WRONLY | O_CREAT, 0644));
	say_number("third", open("d", O_RDONLY | O_DIRECTORY));
	close(1);
	say_number("the gap", open("a", O_RDONLY));
}

static void with_no_descriptor_left(void)
{
	const struct rlimit limit = {64, 64};
	int last = -1, fd;

	say("limit", setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = dup(0)) >= 0)
		last = fd;
	say("open", open("a", O_RDONLY));
	say("mkdir needs none", mkdir("made", 0755));
	close(last);
	say_number("the last", open("a", O_RDONLY) - last);
	close(last); /* to create with none left: docs/limits.md */
}

/* A file that never had a name is the worker's own: to open again, and to run. */
static void files_in_memory(void)
{
	static char name[] = "true";
	char *argv[] = {name, NULL}, path[64], buf[4096];
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC), status = -1;
	int fd = (int)syscall(SYS_memfd_create, "own", 0);
	ssize_t n;
	pid_t pid;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if (write(fd, buf, (size_t)n) != n)
			say("write", -1);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	say_number("opened again", open(path, O_RDONLY) >= 0);
	close(from);
	for (int i = 0; i < 2; i++) {
		pid = fork();
		if (pid == 0 && i == 0)
			execv(path, argv);
		if (pid == 0)
			syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		if (pid == 0)
			_exit(errno);
		waitpid(pid, &status, 0);
		say_number("run", status);
	}
}

struct scenario {
	const char *name;
	void (*run)(void);
};

#define SCENARIOS \
	X(relative_paths) \
	X(beneath_a_descriptor) \
	X(cwd_after_chdir) \
	X(creating_with_umask_and_mode) \
	X(exclusive_creation) \
	X(unnamed_files) \
	X(not_following) \
	X(directories_only) \
	X(appending) \
	X(truncating) \
	X(slashes_at_the_end) \
	X(other_changes) \
	X(after_fork) \
	X(after_vfork) \
	X(in_threads) \
	X(by_posix_spawn) \
	X(in_another_program) \
	X(with_a_dead_leader) \
	X(with_standard_descriptors_closed) \
	X(with_no_descriptor_left) \
	X(files_in_memory)

static const struct scenario scenarios[] = {
#define X(name) {#name, name},
	SCENARIOS
#undef X
};

/* Opens each path as each letter before it says, and says what came of it: no scenario. */
static int ask_for(char **words)
{
	for (; *words; words += 2) {
		int flags = words[0][0] == 'r'   ? O_RDONLY
			    : words[0][0] == 'w' ? O_WRONLY
						 : O_WRONLY | O_CREAT;
		int fd = open(words[1], flags | O_CLOEXEC, 0644);

		printf("%s ", fd < 0 ? strerrorname_np(errno) : "good");
		if (fd >= 0)
			close(fd);
	}
	return fflush(stdout);
}

static int worker_main(char **argv)
{
	if (strcmp(argv[1], "--ask") == 0)
		return ask_for(argv + 2);
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
		err(2, "uid %d", NOBODY);
	umask(022);
	if (dup2(1, OUT_FD) < 0 || chdir(argv[3]) < 0)
		err(2, "%s", argv[3]);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (strcmp(scenarios[i].name, argv[2]) == 0) {
			scenarios[i].run();
			return 0;
		}
	}
	errx(2, "no scenario %s", argv[2]);
}

/* ---- the tester ------------------------------------------------------------------------------ */

static char top[PATH_MAX - 64], tree[PATH_MAX];

static void name_in_tree(char buf[PATH_MAX + 16], const char *name)
{
	snprintf(buf, PATH_MAX + 16, "%s/%s", tree, name);
}

static void files_make(void)
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

static void dump(char *buf, size_t size)
{
	FILE *out = fmemopen(buf, size, "w");
	int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_non_null(out);
	assert_true(fd >= 0);
	tree_dump(out, fd, "");
	close(fd);
	fclose(out);
}

static void run_cell(struct outcome *ret, const char *rule, const char *const *command)
{
	const char *options[] = {"-q", "-e", rule, NULL};

	run_inside(ret, top, options, command);
	outcome_free(ret);
}

static void compare_scenario(const char *name)
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

#define X(name) \
	static void test_##name(void **state) \
	{ \
		compare_scenario(#name); \
	}
SCENARIOS
#undef X

/* POLICY: outside every tree a name does not exist; inside one it is missing, or may not be had. */
static void missing_and_refused_are_told_apart(void **state)
{
	static struct outcome o;
	char rule[PATH_MAX + 32], a[PATH_MAX + 16], none[PATH_MAX + 16], outside[PATH_MAX + 16];
	const char *command[] = {own_path(), "--ask", "r", a, "r", none, "w", a, "w", none, "c",
		none, "r", outside, "c", outside, NULL};

	files_make();
	name_in_tree(a, "a");
	name_in_tree(none, "none");
	snprintf(outside, sizeof(outside), "%s/ledger.jsonl", top);
	snprintf(rule, sizeof(rule), "allow read %s/", tree);
	run_cell(&o, rule, command);
	assert_string_equal(o.out, "good ENOENT EACCES ENOENT EACCES ENOENT ENOENT ");
}

static int make_top(void **state)
{
	make_directory(top, sizeof(top));
	snprintf(tree, sizeof(tree), "%s/t", top);
	return 0;
}

static int remove_top(void **state)
{
	tree_remove(AT_FDCWD, top);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test_setup_teardown(test_##name, fds_before, fds_after),
		SCENARIOS
#undef X
			cmocka_unit_test_setup_teardown(
				missing_and_refused_are_told_apart, fds_before, fds_after),
	};

	if (argc > 2)
		return worker_main(argv);
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
