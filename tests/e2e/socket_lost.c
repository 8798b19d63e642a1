/* SPDX-License-Identifier: MIT */
/*
 * socket_lost.c - sockets that find no place: what was connected meanwhile is closed, and said.
 */
#include "tests/e2e/socket_cell.h"

#include <pthread.h>
#include <sys/resource.h>

/* ---- the worker ------------------------------------------------------------------------------ */

static void limit_fds(rlim_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = n;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The number is above what this process may have, so nothing can be put there. */
static int high_main(char **args)
{
	struct warder *warder = warder_attach();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	r = dup2(fd, 200);
	close(fd);
	if (r != 200)
		return 7;
	say_ready();
	limit_fds(100);
	r = connect_name(200, args[0]);
	limit_fds(300);
	say(error_of(r));
	/* And by a message, where there is no number at all. */
	limit_fds(3);
	fd = warder_connect(warder, args[0], 0, 5000, NULL);
	limit_fds(300);
	say(error_of(fd));
	fd = warder_connect(warder, args[0], 0, 5000, NULL);
	say(error_of(fd));
	close(fd);
	close(200);
	return end_worker();
}

static struct {
	int fd;
	const char *port, *said;
} slow;

static void *connect_slowly(void *unused)
{
	slow.said = error_of(connect_port(slow.fd, (unsigned)atoi(slow.port)));
	return NULL;
}

/* Another thread closes the number while the connection is being made, and opens a file, which gets
 * it; told so, the socket has a second number. */
static int closed_main(char **args)
{
	pthread_t thread;
	struct stat st;
	int file, second = -1, error = -1;

	say_ready();
	slow.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	slow.port = args[0];
	if (strcmp(args[1], "twice") == 0)
		second = dup(slow.fd);
	if (pthread_create(&thread, NULL, connect_slowly, NULL) != 0)
		return 7;
	await_go();
	close(slow.fd);
	file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	say(file == slow.fd ? "closed" : "another number");
	pthread_join(thread, NULL);
	say(slow.said);
	say(fstat(file, &st) == 0 && S_ISREG(st.st_mode) ? "a file" : "no file");
	if (second >= 0)
		error = getpeername(second, (struct sockaddr *)&(struct sockaddr_in){0},
			&(socklen_t){sizeof(struct sockaddr_in)});
	say(error < 0 ? "no connection" : "a connection");
	close(file);
	close(second);
	return end_worker();
}

/* One that is killed meanwhile. */
static int killed_main(char **args)
{
	pid_t pid;

	say_ready();
	pid = fork();
	if (pid == 0) {
		connect_port(
			socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), (unsigned)atoi(args[0]));
		_exit(0);
	}
	await_go();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	say("killed");
	await_go();
	return end_worker();
}

/* ---- peers that stand outside ---------------------------------------------------------------- */

/* How many sockets of a user connect to that port and have no answer: proc_net(5). */
static int connecting(unsigned port, uid_t uid)
{
	char line[512];
	unsigned to, state, of;
	FILE *f = fopen("/proc/net/tcp", "re");
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*d: %*x:%*x %*x:%x %x %*x:%*x %*x:%*x %*x %u", &to, &state,
			    &of) == 3)
			n += to == port && state == 2 && of == uid;
	}
	fclose(f);
	return n;
}

static void await_connecting(unsigned port, int n)
{
	uid_t worker = geteuid() == 0 ? 65534 : geteuid();
	int seen = connecting(port, worker);

	/* A list that changes while it is read may tell a line twice. */
	for (int i = 0; i < PATIENCE_MS / 10 && seen != n; i++) {
		usleep(10000);
		seen = connecting(port, worker);
	}
	assert_int_equal(seen, n);
}

/* The end of a connection that somebody has accepted. */
static void expect_closed(int fd)
{
	struct pollfd p = {fd, POLLIN};
	char c;

	assert_return_code(fd, errno);
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(recv(fd, &c, 1, 0), 0);
	close(fd);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void what_finds_no_number_is_closed_and_said(void **state)
{
	char rule[128];
	int listener = listen_name(own_name(), SOCK_STREAM, 4);

	snprintf(rule, sizeof(rule), "allow connect %s", own_name());
	start(rule, "--high", own_name(), NULL, NULL);
	expect_ready();
	expect_line("EIO");
	expect_closed(accept_next(listener));
	expect_line("EMFILE");
	expect_closed(accept_next(listener));
	expect_line("connected");
	expect_closed(accept_next(listener));
	expect_nothing_left();
	expect_end();
	assert_int_equal(records_of("grant", "trap", "peer", own_name()), 1);
	assert_int_equal(records_of("fail", "trap", "reason", "could not be put into"), 1);
	assert_int_equal(records_of("grant", "ask", "peer", own_name()), 2);
	close(listener);
}

static void close_the_number(bool twice)
{
	char rule[128], word[16];
	uint16_t port;
	int fillers[4], listener = listen_full_port(fillers, 4, &port);
	int before = connecting(port, geteuid() == 0 ? 65534 : geteuid());

	snprintf(word, sizeof(word), "%u", (unsigned)port);
	snprintf(rule, sizeof(rule), "allow connect 127.0.0.1:%s", word);
	start(rule, "--closed", word, twice ? "twice" : "once", NULL);
	expect_ready();
	await_connecting(port, before + 1);
	go();
	expect_line("closed");
	/* Room, for it and for those before it. */
	assert_int_equal(listen(listener, 64), 0);
	expect_line(twice ? "connected" : "EIO");
	expect_line("a file");
	expect_line(twice ? "a connection" : "no connection");
	expect_nothing_left();
	expect_end();
	assert_int_equal(
		records_of("fail", "trap", "reason", "could not be put into"), twice ? 0 : 1);
	fd_close_many(fillers, 4);
	close(listener);
}

static void a_number_that_is_closed_meanwhile_stays_what_it_has_become(void **state)
{
	close_the_number(false);
}

static void the_others_of_the_socket_are_connected_all_the_same(void **state)
{
	close_the_number(true);
}

static void one_that_is_killed_meanwhile_leaves_nothing_behind(void **state)
{
	char rule[128], word[16];
	uint16_t port;
	int fillers[4], listener = listen_full_port(fillers, 4, &port);
	int before;

	before = connecting(port, geteuid() == 0 ? 65534 : geteuid());
	snprintf(word, sizeof(word), "%u", (unsigned)port);
	snprintf(rule, sizeof(rule), "allow connect 127.0.0.1:%s", word);
	start(rule, "--killed", word, NULL, NULL);
	expect_ready();
	await_connecting(port, before + 1);
	go();
	expect_line("killed");
	/* It is called off, not waited for. */
	await_connecting(port, before);
	go();
	expect_nothing_left();
	expect_end();
	assert_int_equal(records_of("grant", "trap", "peer", word), 0);
	fd_close_many(fillers, 4);
	close(listener);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(char **args);
	} modes[] = {{"--high", high_main}, {"--closed", closed_main}, {"--killed", killed_main}};
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(what_finds_no_number_is_closed_and_said),
		T(a_number_that_is_closed_meanwhile_stays_what_it_has_become),
		T(the_others_of_the_socket_are_connected_all_the_same),
		T(one_that_is_killed_meanwhile_leaves_nothing_behind),
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(*modes); i++) {
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argv + 2);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
