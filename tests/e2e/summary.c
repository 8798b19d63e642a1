/* SPDX-License-Identifier: MIT */
/*
 * summary.c - what warder run tells a person about denials.
 *
 * This program is its own worker: called with --ask it asks for each path that follows.
 */
#include "sandbox/warder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char self[4096], warder[4096];
static char told[65536];

static int ask_main(int argc, char **argv)
{
	struct warder *w = warder_attach();

	if (!w)
		return 1;
	for (int i = 0; i < argc; i++) {
		const char *host = strncmp(argv[i], "host:", 5) == 0 ? argv[i] + 5 : NULL;
		int fd = host ? warder_connect(w, host, 0, 1000, NULL)
			      : warder_open(w, argv[i], O_RDONLY, 0);

		if (fd >= 0)
			close(fd);
	}
	warder_detach(w);
	return 0;
}

/* Runs it with options, and leaves what was told on standard error in told[]. */
static void run(const char *const *arguments)
{
	const char *argv[64] = {warder, "run", "-v", "--runtime", self, "--env", "ASAN_OPTIONS"};
	int n = 7, status, err[2];
	size_t size = 0;
	ssize_t r;
	pid_t pid;

	while (*arguments)
		argv[n++] = *arguments++;
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		dup2(err[1], 2);
		execv(warder, (char *const *)(uintptr_t)argv);
		_exit(99);
	}
	close(err[1]);
	while ((r = read(err[0], told + size, sizeof(told) - 1 - size)) > 0)
		size += (size_t)r;
	told[size] = '\0';
	close(err[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) != 0)
		fail_msg("exit status %d: %s", WEXITSTATUS(status), told);
}

static void expect(const char *text)
{
	if (!strstr(told, text))
		fail_msg("no \"%s\" in:\n%s", text, told);
}

static void expect_not(const char *text)
{
	if (strstr(told, text))
		fail_msg("\"%s\" in:\n%s", text, told);
}

static void counts_grants_and_denials(void **state)
{
	const char *arguments[] = {"--allow", "read /usr/share/", "--", self, "--ask", "/usr/share",
		"/usr/share/doc", "/etc/shadow", NULL};

	run(arguments);
	expect("warder: 2 requests granted, 1 denied; ledger ");
}

static void each_denial_has_its_path_and_the_line_to_add(void **state)
{
	const char *arguments[] = {"--", self, "--ask", "/etc/shadow", "/srv/x y", "/srv", NULL};

	run(arguments);
	expect("denied read /etc/shadow: ");
	expect("to allow it: allow read /etc/shadow\n");
	/* Lines that the next start takes: the one is missing, the other a directory. */
	expect("to allow it: allow read \"/srv/x y\" optional\n");
	expect("to allow it: allow read /srv/\n");
}

static void a_denial_met_again_is_one_line(void **state)
{
	const char *arguments[] = {
		"--", self, "--ask", "/etc/shadow", "/etc/shadow", "/etc/shadow", NULL};

	run(arguments);
	expect("/etc/shadow (3 times): ");
	assert_null(strstr(strstr(told, "denied read /etc/shadow") + 1, "denied read /etc/shadow"));
}

static void a_deny_rule_is_named_and_no_line_is_offered(void **state)
{
	const char *arguments[] = {"--allow", "read /var/", "--deny", "read /var/lib/", "--", self,
		"--ask", "/var/lib/x", NULL};

	run(arguments);
	expect("denied read /var/lib/x: ");
	expect("-e 2");
	expect_not("to allow it");
}

static void hostile_names_are_escaped(void **state)
{
	const char *arguments[] = {"--", self, "--ask", "/tmp/a\nwarder: 9 granted", "/tmp/\033[2J",
		"/tmp/\xff\xc2\x9b", NULL};

	run(arguments);
	expect("/tmp/a\\x0awarder: 9 granted: ");
	expect("/tmp/\\x1b[2J: ");
	expect("/tmp/\\xff\\xc2\\x9b: ");
	expect_not("\nwarder: 9 granted");
	expect_not("\033");
}

/* So is what a reason quotes of them, and the line to add. */
static void hostile_names_are_escaped_throughout(void **state)
{
	const char *arguments[] = {"--allow", "read /usr/share/", "--allow", "connect internet:443",
		"--", self, "--ask", "host:\033]0;T\007\033[2J\nfake",
		"/srv/\xc2\x9b"
		"2J",
		"/srv/\xe2\x80\xae"
		"dwp",
		"/srv/\xff", NULL};

	run(arguments);
	expect("fake");
	expect("to allow it: allow read \"/srv/\\xc2\\x9b2J\" optional\n");
	expect("to allow it: allow read \"/srv/\\xe2\\x80\\xaedwp\" optional\n");
	expect("to allow it: allow read \"/srv/\\xff\" optional\n");
	expect_not("\nfake");
	expect_not("\033");
	expect_not("\007");
	expect_not("\xc2\x9b");
	expect_not("\xe2\x80\xae");
	expect_not("\xff");
}

static void what_does_not_fit_is_counted(void **state)
{
	static char paths[40][32];
	const char *arguments[64] = {"--", self, "--ask"};

	for (int i = 0; i < 40; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/etc/no-%d", i);
		arguments[3 + i] = paths[i];
	}
	run(arguments);
	expect(", 40 denied");
	expect("24 more denials stand in the ledger");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_grants_and_denials),
		cmocka_unit_test(each_denial_has_its_path_and_the_line_to_add),
		cmocka_unit_test(a_denial_met_again_is_one_line),
		cmocka_unit_test(a_deny_rule_is_named_and_no_line_is_offered),
		cmocka_unit_test(hostile_names_are_escaped),
		cmocka_unit_test(hostile_names_are_escaped_throughout),
		cmocka_unit_test(what_does_not_fit_is_counted),
	};
	const char *build = getenv("BUILD");

	if (argc > 1 && strcmp(argv[1], "--ask") == 0)
		return ask_main(argc - 2, argv + 2);
	if (!realpath(argv[0], self))
		return 2;
	snprintf(warder, sizeof(warder), "%s/warder", build ? build : "build");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
