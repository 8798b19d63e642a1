/* SPDX-License-Identifier: MIT */
/*
 * paths.c - no call that takes a path is forgotten.
 *
 * calls.h classifies every call of both machines.  A call that the headers of the build or
 * libseccomp have and it lacks fails here, and so does one that takes a path and has no row in the
 * worker's table.  Then each such call is made raw: outside, where it works, and in a cell, on a
 * tree that stands beside what the policy grants.
 */
#include "sandbox/tables/table.h"

#include "tests/hostile/inside.h"

#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

enum class { CLASS_NONE, CLASS_SOCKET, CLASS_PATH };

#define NOT_FOR_ALL WORKS_NOWHERE /* privileged, or a file system's own matter */

static const struct call {
	const char *name;
	int newer; /* its number, on both machines; 0: libseccomp knows it */
	enum class class;
	const char *arguments;
	enum control control;
} calls[] = {
#define PATH(call, arguments, control) {#call, 0, CLASS_PATH, arguments, control},
#define SOCKET(call)                   {#call, 0, CLASS_SOCKET, NULL, WORKS},
#define OTHER(call)                    {#call, 0, CLASS_NONE, NULL, WORKS},
#define NEWER_PATH(call, number, arguments, control) \
	{#call, number, CLASS_PATH, arguments, control},
#define NEWER_OTHER(call, number) {#call, number, CLASS_NONE, NULL, WORKS},
#include "tests/cell/calls.h"
};
#define N_CALLS (sizeof(calls) / sizeof(*calls))

/* What <asm/unistd.h> has, by name: made by mk/lib.mk. */
static const char *const of_the_headers[] = {
#include "header_calls.h"
};
#define N_OF_THE_HEADERS (sizeof(of_the_headers) / sizeof(*of_the_headers))

static bool is_classified(const char *name)
{
	for (size_t i = 0; i < N_CALLS; i++) {
		if (strcmp(calls[i].name, name) == 0)
			return true;
	}
	print_error("%s stands in tests/cell/calls.h nowhere\n", name);
	return false;
}

static void every_call_of_the_headers_is_classified(void **state)
{
	int missing = 0;

	assert_true(N_OF_THE_HEADERS > 250);
	for (size_t i = 0; i < N_OF_THE_HEADERS; i++)
		missing += !is_classified(of_the_headers[i]);
	assert_int_equal(missing, 0);
}

static void every_call_of_both_machines_is_classified(void **state)
{
	const uint32_t machines[] = {SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64};
	int missing = 0;

	for (size_t i = 0; i < 2; i++) {
		int known = 0;

		for (int nr = 0; nr <= TABLE_LAST_KNOWN; nr++) {
			char *name = seccomp_syscall_resolve_num_arch(machines[i], nr);

			known += name != NULL;
			missing += name && !is_classified(name);
			free(name);
		}
		assert_true(known > 250);
	}
	assert_int_equal(missing, 0);
}

static bool has_row(const char *name)
{
	for (size_t i = 0; i < table_worker.n; i++) {
		if (strcmp(table_worker.rows[i].name, name) == 0)
			return true;
	}
	return false;
}

/* One without a number here is newer than the table, which answers ENOSYS for its number. */
static void each_call_with_a_path_has_a_row(void **state)
{
	int missing = 0;

	assert_int_equal(table_worker.newer, ENOSYS);
	for (size_t i = 0; i < N_CALLS; i++) {
		const struct call *c = &calls[i];

		if (c->class != CLASS_PATH || has_row(c->name) || c->newer > TABLE_LAST_KNOWN)
			continue;
		print_error("%s takes a path and has no row in sandbox/tables/worker.c\n", c->name);
		missing++;
	}
	assert_int_equal(missing, 0);
}

/* ---- each of them, raw ----------------------------------------------------------------------- */

static char secret[PATH_MAX / 2];
static const struct call *current;

static const char *in_secret(const char *name)
{
	static char buf[8][PATH_MAX];
	static unsigned next;
	char *path = buf[next++ % 8];

	snprintf(path, PATH_MAX, "%s/%s", secret, name);
	return path;
}

static long address(const void *p)
{
	return (long)(uintptr_t)p;
}

/* A letter of calls.h's arguments. */
static long argument(char letter)
{
	static char zeros[4096], handle[4 + 4 + 128];
	static const char *program[2];

	switch (letter) {
	case 'p':
		return address(in_secret("file"));
	case 'q':
		return address(in_secret("new"));
	case 'l':
		return address(in_secret("link"));
	case 'E':
		return address(in_secret("empty"));
	case 'x':
		return address(in_secret("program"));
	case 'D':
		return address(secret);
	case 'd':
		return AT_FDCWD;
	case 'b':
		return address(zeros);
	case 't':
		return address("user.x");
	case 'v':
		program[0] = in_secret("program");
		return address(program);
	case 'H': /* struct file_handle, with room for the largest there is */
		memcpy(handle, &(unsigned){128}, sizeof(unsigned));
		return address(handle);
	case 'i':
		return inotify_init1(IN_CLOEXEC);
	case 'a':
		return IN_ALL_EVENTS;
	case 'm':
		return STATX_BASIC_STATS;
	case 'h':
		return sizeof(struct open_how);
	case 'M':
		return sizeof(struct mount_attr);
	case 'F': /* struct file_attr of Linux 6.17 */
		return 24;
	case 's':
		return sizeof(zeros);
	case '6':
		return 0644;
	case '7':
		return 0755;
	case '-':
		return -1;
	default:
		return letter - '0';
	}
}

static int number(const struct call *c)
{
	return c->newer ? c->newer : seccomp_syscall_resolve_name(c->name);
}

static int make_current(void)
{
	long a[6] = {0};

	for (size_t i = 0; current->arguments[i]; i++)
		a[i] = argument(current->arguments[i]);
	errno = 0;
	return syscall(number(current), a[0], a[1], a[2], a[3], a[4], a[5]) >= 0 ? 0 : errno;
}

static bool is_made(const struct call *c, bool outside)
{
	return c->class == CLASS_PATH && number(c) >= 0 && (!outside || c->control == WORKS);
}

/* The tree, as the next call wants it. */
static void lay_out(void)
{
	const char *const names[] = {"file", "new", "link", "program"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (unlink(in_secret(names[i])) < 0)
			rmdir(in_secret(names[i]));
	}
	rmdir(in_secret("empty"));
	make_file(in_secret("file"), "secret", 0644);
	make_file(in_secret("program"), "#!/bin/sh\nexit 0\n", 0755);
	assert_int_equal(symlink("file", in_secret("link")), 0);
	assert_int_equal(mkdir(in_secret("empty"), 0755), 0);
}

/* Makes each call, in a child; outside on a fresh tree, those alone that do no harm there. */
static int make_all(bool outside)
{
	for (size_t i = 0; i < N_CALLS; i++) {
		const struct attack attack = {calls[i].name, make_current, calls[i].control};

		if (!is_made(&calls[i], outside))
			continue;
		if (outside)
			lay_out();
		current = &calls[i];
		printf("%s %d\n", attack.name, attack_in_child(&attack));
		fflush(stdout);
	}
	return 0;
}

static int report(const struct outcome *outside, const struct outcome *inside)
{
	int bad = 0;

	for (size_t i = 0; i < N_CALLS; i++) {
		const struct call *c = &calls[i];
		int result = result_of(inside, c->name);

		/* The kernel may be older than the call. */
		if (is_made(c, true) && result_of(outside, c->name) != 0 &&
			!(c->newer && result_of(outside, c->name) == ENOSYS)) {
			print_error("%s: does not work outside (%d), so it shows nothing\n",
				c->name, result_of(outside, c->name));
			bad++;
		}
		if (!is_made(c, false) ||
			(result > 0 && (c->newer <= TABLE_LAST_KNOWN || result == ENOSYS)))
			continue;
		print_error("%s: %d inside\n", c->name, result);
		bad++;
	}
	return bad;
}

static void no_call_with_a_path_reaches_what_is_not_granted(void **state)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	char dir[PATH_MAX / 4], granted[PATH_MAX / 2], rule[PATH_MAX], command_line[PATH_MAX];
	const char *options[] = {"-q", "-e", rule, NULL};
	const char *control[] = {own_path(), "--outside", secret, NULL};
	const char *command[] = {own_path(), "--inside", secret, NULL};

	make_directory(dir, sizeof(dir));
	snprintf(secret, sizeof(secret), "%s/secret", dir);
	snprintf(granted, sizeof(granted), "%s/granted", dir);
	assert_int_equal(mkdir(secret, 0755), 0);
	assert_int_equal(mkdir(granted, 0755), 0);
	snprintf(rule, sizeof(rule), "allow rw %s/", granted);
	run_program(&outside, control);
	lay_out();
	/* What is not granted would be the worker's to change, if names were all there is. */
	assert_int_equal(chmod(secret, 0777), 0);
	assert_int_equal(chmod(in_secret("file"), 0666), 0);
	run_inside(&inside, dir, options, command);
	if (inside.status != 0 || report(&outside, &inside) > 0)
		fail_msg("exit status %d; inside, warder said:\n%s", inside.status, inside.out);
	assert_int_equal(access(in_secret("file"), F_OK), 0);
	assert_int_equal(access(in_secret("new"), F_OK), -1);
	assert_int_equal(ledger_count(inside.ledger, "grant", NULL, NULL), 0);
	outcome_free(&inside);
	outcome_free(&outside);
	snprintf(command_line, sizeof(command_line), "rm -rf '%s'", dir);
	assert_int_equal(system(command_line), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_of_the_headers_is_classified),
		cmocka_unit_test(every_call_of_both_machines_is_classified),
		cmocka_unit_test(each_call_with_a_path_has_a_row),
		cmocka_unit_test_setup_teardown(
			no_call_with_a_path_reaches_what_is_not_granted, fds_before, fds_after),
	};

	if (argc == 3) {
		snprintf(secret, sizeof(secret), "%s", argv[2]);
		return make_all(strcmp(argv[1], "--outside") == 0);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
