/* SPDX-License-Identifier: MIT */
/*
 * socket_edges.c - connections as the broker, and as many as may wait and one more.
 */
#include "tests/e2e/socket_cell.h"

#define WAITING_MAX 64 /* DIAL_WAITING_MAX */

/* ---- the worker ------------------------------------------------------------------------------ */

/* What the server says of its peer, by a system call and by a message. */
static int peer_main(char **args)
{
	struct warder *warder = warder_attach();
	char text[64] = "";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 2; i++) {
		if (i == 1)
			fd = warder_connect(warder, args[0], 0, 5000, NULL);
		if (fd < 0 || (i == 0 && connect_name(fd, args[0]) < 0)) {
			say(error_of(-1));
			continue;
		}
		memset(text, 0, sizeof(text));
		if (recv(fd, text, sizeof(text) - 1, MSG_WAITALL) <= 0)
			snprintf(text, sizeof(text), "nothing");
		say(text);
		close(fd);
	}
	warder_detach(warder);
	return 0;
}

/* As many children as told connect, and one more by a message; each tells how it went. */
static int many_main(char **args)
{
	struct warder *warder = warder_attach();
	int n = atoi(args[1]), fd;

	say_ready();
	for (int i = 0; i < n; i++) {
		if (fork() == 0) {
			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			say(error_of(connect_name(fd, args[0])));
			_exit(0);
		}
	}
	await_go();
	/* Others go on: what is asked for, and what is inside. */
	fd = warder_open(warder, args[2], O_RDONLY, 0);
	say(fd < 0 ? "no file" : "a file");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	say(connect_port(fd, 9) < 0 && errno == ECONNREFUSED ? "inside" : "not inside");
	fd = warder_connect(warder, args[0], 0, 5000, NULL);
	say(fd < 0 && errno == EAGAIN ? "a message too" : error_of(fd));
	while (wait(NULL) > 0)
		;
	return end_worker();
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void tell_uid(int listener)
{
	int fd = accept_next(listener);
	struct ucred peer;
	socklen_t size = sizeof(peer);
	char text[32];

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size), 0);
	snprintf(text, sizeof(text), "uid %u", (unsigned)peer.uid);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
	close(fd);
}

/* A socket that only the broker's user may connect to. */
static void as_broker_connects_as_the_broker_by_both_doors(void **state)
{
	char path[PATH_MAX + 8], rule[2 * PATH_MAX], uid[32];
	int listener;

	snprintf(path, sizeof(path), "%s/own", w.dir);
	listener = listen_name(path, SOCK_STREAM, 4);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(rule, sizeof(rule), "allow connect %s as broker", path);
	snprintf(uid, sizeof(uid), "uid %u", (unsigned)geteuid());
	start(rule, "--peer", path, NULL, NULL);
	tell_uid(listener);
	expect_line(uid);
	tell_uid(listener);
	expect_line(uid);
	expect_end();
	assert_int_equal(records_of("grant", "trap", "asked", path), 1);
	assert_int_equal(records_of("grant", "ask", "asked", path), 1);
	close(listener);
}

/* An ordinary user's worker is that user. */
static void without_it_neither_door_does_but_for_the_workers_own(void **state)
{
	char path[PATH_MAX + 8], rule[2 * PATH_MAX], uid[32];
	int listener;

	snprintf(path, sizeof(path), "%s/own", w.dir);
	listener = listen_name(path, SOCK_STREAM, 4);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(rule, sizeof(rule), "allow connect %s", path);
	snprintf(uid, sizeof(uid), "uid %u", (unsigned)geteuid());
	start(rule, "--peer", path, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		if (geteuid() != 0)
			tell_uid(listener);
		expect_line(geteuid() == 0 ? "EACCES" : uid);
	}
	expect_end();
	close(listener);
}

static void one_more_than_may_wait_is_refused_and_all_others_come(void **state)
{
	char rule[128], line[64];
	int listener = listen_name(own_name(), SOCK_STREAM, 0), filler, connected = 0, others = 0;

	filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect_name(filler, own_name()), 0);
	snprintf(rule, sizeof(rule), "allow connect %s", own_name());
	start(rule, "--many", own_name(), "65", w.file);
	expect_ready();
	expect_line("EAGAIN");
	go();
	expect_line("a file");
	expect_line("inside");
	expect_line("a message too");
	for (int i = 0; i < WAITING_MAX + 1; i++)
		close(accept_next(listener));
	for (int i = 0; i < WAITING_MAX; i++) {
		hear(line);
		connected += strcmp(line, "connected") == 0;
		others += strcmp(line, "connected") != 0;
	}
	assert_int_equal(connected, WAITING_MAX);
	assert_int_equal(others, 0);
	expect_nothing_left();
	expect_end();
	assert_int_equal(records_of("grant", "trap", "peer", own_name()), WAITING_MAX);
	assert_int_equal(
		records_of("deny", "trap", "reason", "too many connections wait already"), 1);
	assert_int_equal(
		records_of("deny", "ask", "reason", "too many connections wait already"), 1);
	close(filler);
	close(listener);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **args);
	} modes[] = {{"--peer", peer_main}, {"--many", many_main}};
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(as_broker_connects_as_the_broker_by_both_doors),
		T(without_it_neither_door_does_but_for_the_workers_own),
		T(one_more_than_may_wait_is_refused_and_all_others_come),
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argv + 2);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
