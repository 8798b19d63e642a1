/* SPDX-License-Identifier: MIT */
/*
 * serve_peer.c - who may be a client: the server's user and root.  RUN_ONCE: it takes two users.
 */
#include "tests/e2e/server.h"

#include <grp.h>

#define STRANGER_UID 12345

static struct server server = {.status_fd = -1};

static int clean(void **state)
{
	server_clean(&server);
	return 0;
}

/* What a client of that uid meets: 'S' served, 'E' end-of-file, 'C' cannot connect. */
static int meet_as(uid_t uid)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd;

		if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 ||
			setresuid(uid, uid, uid) < 0)
			_exit('?');
		fd = dial(&server);
		_exit(fd < 0 ? 'C' : ask(fd) ? 'S' : 'E');
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void only_its_user_and_root_are_let_in(void **state)
{
	const char *none[] = {NULL};
	char path[300];

	if (geteuid() != 0) {
		print_message("SKIP: only root can play two users\n");
		skip();
	}
	server_start(&server, none);
	assert_int_equal(meet_as(0), 'S');
	/* The directory alone stops strangers. */
	assert_int_equal(meet_as(STRANGER_UID), 'C');
	/* Were it open, the kernel's word on who they are would. */
	snprintf(path, sizeof(path), "%s/warder", server.dir);
	assert_int_equal(chmod(path, 0711), 0);
	snprintf(path, sizeof(path), "%s/warder/t.sock", server.dir);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(meet_as(STRANGER_UID), 'E');
	assert_int_equal(meet_as(65534), 'E');
	assert_int_equal(meet_as(0), 'S');
	assert_int_equal(log_count(&server, "a client of uid 12345"), 1);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(only_its_user_and_root_are_let_in, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
