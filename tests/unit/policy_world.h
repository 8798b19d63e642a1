/* SPDX-License-Identifier: MIT */
/*
 * policy_world.h - policies of real files: a directory for each test, and presets of known modes.
 */
#ifndef WARDER_TESTS_POLICY_WORLD_H
#define WARDER_TESTS_POLICY_WORLD_H

#include "broker/policy_load.h"
#include "tests/descriptors.h"

#include "tests/unit/policy_lib.h" /* cmocka's fail() comes after ours */

#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[PATH_MAX];
static int at_start;

static inline const char *in_top(const char *name)
{
	static char paths[8][PATH_MAX + 256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", top, name);
	return path;
}

static inline void write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_top(name), "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(in_top(name), 0644), 0);
}

static inline void make_link(const char *text, const char *name)
{
	assert_int_equal(symlink(text, in_top(name)), 0);
}

static inline void make_dir(const char *name)
{
	assert_int_equal(mkdir(in_top(name), 0755), 0);
}

static inline int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	at_start = count_fds();
	snprintf(path, sizeof(path), "%s/policy.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(path) || !realpath(path, top))
		return -1;
	/* Neither has a say in where presets are. */
	setenv("XDG_CONFIG_HOME", in_top("config"), 1);
	setenv("HOME", in_top("config"), 1);
	make_dir("config");
	make_dir("config/warder");
	make_dir("config/.config");
	make_dir("config/.config/warder");
	make_dir(".config");
	make_dir(".config/warder");
	return 0;
}

static inline int teardown(void **state)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", top);
	if (system(command) != 0)
		return -1;
	return count_fds() == at_start ? 0 : -1;
}

/* Loads a file of the directory, with ./ and ~ there.  Returns the result, and what was printed. */
static inline int load(const char *file, struct policy **ret, char *said, size_t size)
{
	struct policy_load_args a = {.file = file, .start = top, .home = top, .warnings = true};
	struct failure first = FAILURE_INIT;
	FILE *f = tmpfile();
	size_t n;
	int r;

	assert_non_null(f);
	*ret = NULL;
	r = policy_load(&a, ret, f, &first);
	rewind(f);
	n = fread(said, 1, size - 1, f);
	said[n] = '\0';
	fclose(f);
	/* The first error, for who does not see standard error. */
	assert_int_equal(first.error, r);
	assert_true(r == 0 || (strstr(said, first.text) && strstr(first.text, ": error: ")));
	return r;
}

static inline struct policy *load_text(const char *text, int want, const char *part)
{
	struct policy *p;
	char said[8192];
	int r;

	write_file("t.policy", text);
	r = load(in_top("t.policy"), &p, said, sizeof(said));
	if (r != want || !strstr(said, part))
		fail_msg("%s\nwanted %s\ngot %d: %s", text, part, r, said);
	return p;
}

static inline enum verdict check(
	struct policy *p, unsigned rights, const char *name, struct policy_answer *a)
{
	const char *path = name[0] == '/' ? name : in_top(name);

	return policy_check(p, path, strlen(path), rights, a);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/*
 * A copy of this program in a tree of its own, whose presets have known modes: those of a clone are
 * as the umask of who made it.  Runs it there, as build/tests/unit/NAME.
 */
static inline int run_in_a_tree(void)
{
	const char *tmp = getenv("TMPDIR");
	char tree[PATH_MAX], command[8 * PATH_MAX];
	int status;

	snprintf(tree, sizeof(tree), "%s/policy.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(tree))
		return 1;
	snprintf(command, sizeof(command),
		"umask 022; self=$(readlink /proc/%d/exe) && d='%s' && "
		"mkdir -p $d/build/tests/unit $d/policy/presets && "
		"cp \"${self%%/*/*/*/*}\"/policy/presets/*.policy $d/policy/presets && "
		"chmod 644 $d/policy/presets/* && cp \"$self\" $d/build/tests/unit/ && "
		"IN_A_TREE=1 \"$d/build/tests/unit/${self##*/}\"",
		getpid(), tree);
	status = system(command);
	snprintf(command, sizeof(command), "rm -rf '%s'", tree);
	if (system(command) != 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

#endif
