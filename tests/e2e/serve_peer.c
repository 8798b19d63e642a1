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

/* B19: who a client is was said when it connected; whom it gives its connection to is that. */
static int meet_by_anothers_connection(uid_t owner, uid_t user)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int fd;

		if (setgroups(0, NULL) < 0 || setresuid(owner, owner, 0) < 0)
			_exit('?');
		fd = dial(&server);
		if (fd < 0 || setresuid(0, 0, 0) < 0 || setresuid(user, user, user) < 0)
			_exit('C');
		_exit(ask(fd) ? 'S' : 'E');
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void those_whom_the_policy_names_are_let_in(void **state)
{
	const char *named[] = {"--clients", "12345", "--clients", "%4321", NULL};

	if (geteuid() != 0) {
		print_message("SKIP: only root can play two users\n");
		skip();
	}
	server_start(&server, named);
	assert_int_equal(meet_as(0), 'S');
	assert_int_equal(meet_as(STRANGER_UID), 'S');
	assert_int_equal(meet_as(4321), 'S'); /* its group is 4321 too */
	assert_int_equal(meet_as(STRANGER_UID + 1), 'E');
	assert_int_equal(meet_as(65534), 'E');
	assert_int_equal(meet_by_anothers_connection(STRANGER_UID, STRANGER_UID + 1), 'S');
	assert_int_equal(meet_by_anothers_connection(STRANGER_UID + 1, STRANGER_UID), 'E');
	assert_int_equal(log_count(&server, "was sent away"), 3);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
}

/* A stranger's connections are closed as they come, and those who may come in are served between.
 */
static void a_flood_of_strangers_holds_up_nobody(void **state)
{
	enum { N = 2000 };
	const char *named[] = {"--clients", "12345", NULL};
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("SKIP: only root can play two users\n");
		skip();
	}
	server_start(&server, named);
	pid = fork();
	if (pid == 0) {
		int closed = 0;

		if (setgroups(0, NULL) < 0 || setresuid(20000, 20000, 20000) < 0)
			_exit(1);
		for (int i = 0; i < N; i++) {
			int fd = dial(&server);

			closed += fd >= 0 && hung_up(fd, WAIT_MS);
			fd_close(&fd);
		}
		_exit(closed == N ? 0 : 2);
	}
	for (int i = 0; i < 20; i++)
		assert_int_equal(meet_as(STRANGER_UID), 'S');
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(meet_as(STRANGER_UID), 'S');
	assert_int_equal(server_stop(&server, SIGTERM), 0);
	/* Nor do they fill the log. */
	assert_true(log_count(&server, "a client of uid 20000") < N);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(only_its_user_and_root_are_let_in, clean),
		cmocka_unit_test_teardown(those_whom_the_policy_names_are_let_in, clean),
		cmocka_unit_test_teardown(a_flood_of_strangers_holds_up_nobody, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
