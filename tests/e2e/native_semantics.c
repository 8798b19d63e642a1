/* SPDX-License-Identifier: MIT */
/*
 * native_semantics.c - plain system calls of an unmodified program about files, in a cell as
 * without one.
 */
#include "tests/e2e/native.h"

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
	int start = open(".", O_RDONLY | O_DIRECTORY);

	say("chdir", chdir("d"));
	say_fd("b", open("b", O_RDONLY));
	say_fd("../a", open("../a", O_RDONLY));
	say("fchdir", fchdir(start));
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
	X(other_changes)

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

/* ---- the tests ------------------------------------------------------------------------------- */

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test_setup_teardown(test_##name, fds_before, fds_after),
		SCENARIOS
#undef X
			cmocka_unit_test_setup_teardown(
				missing_and_refused_are_told_apart, fds_before, fds_after),
	};

	if (argc > 2 && strcmp(argv[1], "--ask") == 0)
		return ask_for(argv + 2);
	if (argc > 3)
		return worker_main(argv, scenarios, sizeof(scenarios) / sizeof(*scenarios));
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
