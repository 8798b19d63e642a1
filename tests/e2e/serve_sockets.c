/* SPDX-License-Identifier: MIT */
/*
 * serve_sockets.c - warder serve with rules on sockets: every slot has a dialer of its own, which
 * comes and goes with it.
 *
 * This program is its own worker: called with --serve it does for its clients what their frames
 * say, one a frame, and tells what came of it.  The servers that it meets stand in the test.
 */
#include "tests/e2e/peers.h"
#include "tests/e2e/processes.h"
#include "tests/e2e/slots.h"

#include "sandbox/warder.h"

/* ---- the worker ------------------------------------------------------------------------------ */

static struct warder *asked;
static int listening = -1;

static int say(struct warder_reply *reply, const char *text)
{
	return warder_reply(reply, text, strlen(text));
}

static int say_errno(struct warder_reply *reply)
{
	return say(reply, strerrorname_np(errno));
}

static int do_connect(const char *socket, struct warder_reply *reply)
{
	struct warder_peer peer = {"", ""};
	char text[600], got[8] = "";
	int fd = warder_connect(asked, socket, 0, 60000, &peer);

	if (fd < 0)
		return say_errno(reply);
	if (recv(fd, got, 4, MSG_WAITALL) != 4 || strcmp(got, "pong") != 0)
		snprintf(got, sizeof(got), "silent");
	close(fd);
	snprintf(text, sizeof(text), "%s %s by %s", got, peer.text, peer.rule);
	return say(reply, text);
}

static int do_listen(const char *socket, struct warder_reply *reply)
{
	struct warder_peer own = {"", ""};

	fd_close(&listening);
	listening = warder_listen(asked, socket, 8, *socket == '/' ? 0777 : 0, &own);
	return listening < 0 ? say_errno(reply) : say(reply, own.text);
}

/* Whoever is in the queue: the client connects before it sends this frame. */
static int do_accept(struct warder_reply *reply)
{
	autofd fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0 || send(fd, "pong", 4, MSG_NOSIGNAL) != 4)
		return say_errno(reply);
	return say(reply, "served");
}

static int do_resolve(const char *name, struct warder_reply *reply)
{
	struct warder_address a[4];
	char text[64] = "";
	int n = warder_resolve(asked, name, AF_INET, a, 4);

	if (n < 0)
		return say_errno(reply);
	inet_ntop(AF_INET, a[0].bytes, text, sizeof(text));
	return say(reply, text);
}

static int handle(void *ctx, const struct warder_client *client, const void *frame, size_t size,
	struct warder_reply *reply)
{
	char word[400];

	if (size >= sizeof(word))
		return -1;
	memcpy(word, frame, size);
	word[size] = '\0';
	if (strncmp(word, "connect ", 8) == 0)
		return do_connect(word + 8, reply);
	if (strncmp(word, "listen ", 7) == 0)
		return do_listen(word + 7, reply);
	if (strncmp(word, "resolve ", 8) == 0)
		return do_resolve(word + 8, reply);
	return strcmp(word, "accept") == 0 ? do_accept(reply) : -1;
}

static int serve_main(void)
{
	const struct warder_serve serve = {.handle = handle};

	asked = warder_attach();
	if (!asked || warder_lockdown() < 0)
		return 3;
	return warder_serve(&serve) < 0 ? 4 : 0;
}

/* ---- peers that stand outside ---------------------------------------------------------------- */

/* Says pong to whoever comes, while the test lives. */
static pid_t answer_all(int fd)
{
	pid_t pid = fork();

	if (pid == 0) {
		alarm(120);
		for (;;) {
			int client = accept(fd, NULL, NULL);

			send(client, "pong", 4, MSG_NOSIGNAL);
			close(client);
		}
	}
	return pid;
}

static int to_path(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect_name(fd, path), 0);
	return fd;
}

static int to_port(unsigned port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect_port(fd, port), 0);
	return fd;
}

/* ---- the world of a test --------------------------------------------------------------------- */

#define N_DIALERS 8

static struct world {
	struct server server;
	char dir[128]; /* the Unix sockets; the server's own directory is made with it */
	uint16_t port, other_port, slow_port;
	int tcp, other, local, slow, slow_local;
	int filler[6];
	pid_t answers[3];
	char rules[6][300];
} w;

static int set_up(void **state)
{
	char path[200];

	*state = (void *)(intptr_t)count_fds();
	memset(&w, 0, sizeof(w));
	w.server.status_fd = -1;
	snprintf(w.dir, sizeof(w.dir), "%s/sock.XXXXXX",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(chmod(w.dir, 0777), 0);
	w.tcp = listen_port(16, &w.port);
	w.other = listen_port(16, &w.other_port);
	snprintf(path, sizeof(path), "%s/s", w.dir);
	w.local = listen_name(path, SOCK_STREAM, 16);
	/* Two that take nobody in: their queues are full. */
	w.slow = listen_full_port(w.filler, 5, &w.slow_port);
	snprintf(path, sizeof(path), "%s/slow", w.dir);
	w.slow_local = listen_name(path, SOCK_STREAM, 0);
	w.filler[5] = to_path(path);
	w.answers[0] = answer_all(w.tcp);
	w.answers[1] = answer_all(w.other);
	w.answers[2] = answer_all(w.local);
	return 0;
}

static int tear_down(void **state)
{
	char command[200];

	if (w.server.dir[0])
		server_clean(&w.server);
	for (int i = 0; i < 3; i++) {
		kill(w.answers[i], SIGKILL);
		waitpid(w.answers[i], NULL, 0);
	}
	fd_close_many(w.filler, 6);
	fd_close_many((int[]){w.tcp, w.other, w.local, w.slow, w.slow_local}, 5);
	snprintf(command, sizeof(command), "rm -rf '%s'", w.dir);
	assert_int_equal(system(command), 0);
	return count_fds() == (int)(intptr_t)*state ? 0 : -1;
}

/* The service with all the rules; `workers` as a number. */
static void start(const char *workers)
{
	const char *arguments[24];
	int n = 0;

	snprintf(w.rules[0], sizeof(w.rules[0]), "connect 127.0.0.1:%u", (unsigned)w.port);
	snprintf(w.rules[1], sizeof(w.rules[1]), "connect localhost:%u", (unsigned)w.port);
	snprintf(w.rules[2], sizeof(w.rules[2]), "connect %s/s %s/slow", w.dir, w.dir);
	snprintf(w.rules[3], sizeof(w.rules[3]), "connect 127.0.0.1:%u", (unsigned)w.slow_port);
	snprintf(w.rules[4], sizeof(w.rules[4]), "bind 127.0.0.1:0 %s/own", w.dir);
	arguments[n++] = "--workers";
	arguments[n++] = workers;
	arguments[n++] = "--runtime";
	arguments[n++] = own_directory();
	for (int i = 0; i < 5; i++) {
		arguments[n++] = "--allow";
		arguments[n++] = w.rules[i];
	}
	arguments[n++] = "--";
	arguments[n++] = own_path();
	arguments[n++] = "--serve";
	arguments[n] = NULL;
	server_start(&w.server, arguments);
}

static int client(void)
{
	int fd = dial(&w.server);

	assert_return_code(fd, errno);
	return fd;
}

static void send_frame(int fd, const char *text)
{
	uint32_t size = htonl((uint32_t)strlen(text));

	assert_int_equal(send(fd, &size, 4, MSG_NOSIGNAL), 4);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A whole frame, in `ret`.  False: end-of-file, or a reset. */
static bool recv_frame(int fd, char ret[600])
{
	struct pollfd p = {fd, POLLIN};
	uint32_t size;

	if (poll(&p, 1, WAIT_MS) != 1)
		fail_msg("a client waited for %d ms", WAIT_MS);
	if (recv(fd, &size, 4, MSG_WAITALL) != 4)
		return false;
	size = ntohl(size);
	assert_in_range(size, 1, 599);
	assert_int_equal(recv(fd, ret, size, MSG_WAITALL), (ssize_t)size);
	ret[size] = '\0';
	return true;
}

/* The end of the connection, after whatever the worker could still say. */
static void expect_end(int fd)
{
	struct pollfd p = {fd, POLLIN};
	char buf[600];

	do
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	while (recv(fd, buf, sizeof(buf), 0) > 0);
	close(fd);
}

static void expect_reply(int fd, const char *question, const char *wanted)
{
	char reply[600];

	send_frame(fd, question);
	assert_true(recv_frame(fd, reply));
	assert_string_equal(reply, wanted);
}

/* The question that each slot can answer, and the answer. */
static void expect_dialed(int fd)
{
	char question[64], wanted[96];

	snprintf(question, sizeof(question), "connect 127.0.0.1:%u", (unsigned)w.port);
	snprintf(wanted, sizeof(wanted), "pong 127.0.0.1:%u by -e 2", (unsigned)w.port);
	expect_reply(fd, question, wanted);
}

/* The same of a service where a worker has just died: until the new one is there clients are sent
 * away. */
static void expect_dialed_again(void)
{
	char question[64], reply[600];
	long began = now_ms();
	bool came = false;

	snprintf(question, sizeof(question), "connect 127.0.0.1:%u", (unsigned)w.port);
	while (!came && now_ms() - began < WAIT_MS) {
		uint32_t size = htonl((uint32_t)strlen(question));
		int fd = client();

		came = send(fd, &size, 4, MSG_NOSIGNAL) == 4 &&
		       send(fd, question, strlen(question), MSG_NOSIGNAL) > 0 &&
		       recv_frame(fd, reply);
		close(fd);
	}
	assert_true(came);
	assert_memory_equal(reply, "pong ", 5);
}

/* ---- processes ------------------------------------------------------------------------------- */

static int dialers(pid_t ret[N_DIALERS])
{
	return processes_of(w.server.pid, 2, is_dialer, ret, N_DIALERS);
}

static void expect_gone(const pid_t *pids, int n)
{
	long began = now_ms();

	for (int i = 0; i < n; i++) {
		while (is_running(pids[i]) && now_ms() - began < WAIT_MS)
			usleep(10000);
		if (is_running(pids[i]))
			fail_msg("process %d is left over", (int)pids[i]);
	}
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void a_worker_reaches_for_its_clients_what_the_policy_names(void **state)
{
	char question[300], wanted[300], peer[32];
	int fd;

	start("1");
	fd = client();
	expect_dialed(fd);
	snprintf(question, sizeof(question), "connect localhost:%u", (unsigned)w.port);
	snprintf(wanted, sizeof(wanted), "pong 127.0.0.1:%u by -e 2", (unsigned)w.port);
	expect_reply(fd, question, wanted);
	snprintf(question, sizeof(question), "connect %s/s", w.dir);
	snprintf(wanted, sizeof(wanted), "pong %s/s by -e 4", w.dir);
	expect_reply(fd, question, wanted);
	expect_reply(fd, "resolve localhost", "127.0.0.1");
	expect_reply(fd, "resolve other.example", "EACCES");
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)w.other_port);
	snprintf(question, sizeof(question), "connect %s", peer);
	expect_reply(fd, question, "EACCES");
	assert_int_equal(slot_count(&w.server, 1, "deny", "peer", peer), 1);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)w.port);
	assert_int_equal(slot_count(&w.server, 1, "grant", "peer", peer), 2);
	snprintf(question, sizeof(question), "%s/s", w.dir);
	assert_int_equal(slot_count(&w.server, 1, "grant", "asked", question), 1);
	assert_int_equal(slot_count(&w.server, 1, "grant", "op", "resolve"), 1);
	assert_int_equal(slot_count(&w.server, 1, "deny", "name", "other.example"), 1);
	close(fd);
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
}

static void expect_served(int fd, int visitor)
{
	char got[8] = "";

	expect_reply(fd, "accept", "served");
	assert_int_equal(recv(visitor, got, 4, MSG_WAITALL), 4);
	assert_string_equal(got, "pong");
	close(visitor);
}

static void a_worker_listens_for_its_clients(void **state)
{
	char own[600], path[200], question[220];
	int fd;

	start("1");
	fd = client();
	send_frame(fd, "listen 127.0.0.1:0");
	assert_true(recv_frame(fd, own));
	assert_memory_equal(own, "127.0.0.1:", 10);
	expect_served(fd, to_port((unsigned)atoi(own + 10)));
	assert_int_equal(slot_count(&w.server, 1, "grant", "local", own), 1);
	snprintf(path, sizeof(path), "%s/own", w.dir);
	snprintf(question, sizeof(question), "listen %s", path);
	expect_reply(fd, question, path);
	expect_served(fd, to_path(path));
	assert_int_equal(slot_count(&w.server, 1, "grant", "asked", path), 1);
	snprintf(question, sizeof(question), "listen 127.0.0.1:%u", (unsigned)w.other_port);
	expect_reply(fd, question, "EACCES");
	close(fd);
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
}

static void each_slot_has_a_dialer_and_a_book_of_its_own(void **state)
{
	pid_t found[N_DIALERS], brokers[3];
	char peer[32];
	int fds[3];

	start("3");
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)w.port);
	for (int i = 0; i < 3; i++) {
		fds[i] = client();
		for (int k = 0; k <= i; k++)
			expect_dialed(fds[i]);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(slot_count(&w.server, i + 1, "grant", "peer", peer), i + 1);
	assert_int_equal(dialers(found), 3);
	for (int i = 0; i < 3; i++) {
		brokers[i] = parent_of(found[i]);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(brokers[i], brokers[k]);
	}
	/* One without its dialer says so, and the others have theirs. */
	assert_int_equal(kill(found[0], SIGKILL), 0);
	expect_gone(found, 1);
	for (int i = 0, down = 0; i < 3; i++) {
		char question[64], reply[600];

		snprintf(question, sizeof(question), "connect %s", peer);
		send_frame(fds[i], question);
		assert_true(recv_frame(fds[i], reply));
		down += strcmp(reply, "ENETDOWN") == 0;
		if (strcmp(reply, "ENETDOWN") != 0)
			assert_memory_equal(reply, "pong ", 5);
		assert_int_equal(down <= 1 && (i < 2 || down == 1), 1);
		close(fds[i]);
	}
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
	expect_gone(found, 3);
}

static void who_comes_after_a_killed_worker_can_dial(void **state)
{
	pid_t before[N_DIALERS], after[N_DIALERS];
	int fd;

	start("1");
	fd = client();
	expect_dialed(fd);
	assert_int_equal(dialers(before), 1);
	assert_int_equal(kill(slot_worker(&w.server, 1), SIGKILL), 0);
	expect_end(fd);
	expect_dialed_again();
	expect_gone(before, 1);
	assert_int_equal(dialers(after), 1);
	assert_int_not_equal(after[0], before[0]);
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
	expect_gone(after, 1);
}

/* Not its last will, but the ends of its pipe and channel end what hung on it. */
static void a_killed_broker_takes_its_dialer_along_and_is_replaced(void **state)
{
	pid_t before[N_DIALERS], after[N_DIALERS], worker;
	char question[64];
	int fd;

	start("1");
	fd = client();
	expect_dialed(fd);
	worker = slot_worker(&w.server, 1);
	assert_int_equal(dialers(before), 1);
	/* In the midst of a connect. */
	snprintf(question, sizeof(question), "connect 127.0.0.1:%u", (unsigned)w.slow_port);
	send_frame(fd, question);
	assert_int_equal(kill(parent_of(before[0]), SIGKILL), 0);
	expect_end(fd);
	expect_gone(before, 1);
	expect_gone(&worker, 1);
	expect_dialed_again();
	assert_int_equal(dialers(after), 1);
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
	expect_gone(after, 1);
}

static void a_stopped_dialer_is_not_left_behind(void **state)
{
	pid_t found[N_DIALERS];
	int fd;

	start("1");
	fd = client();
	expect_dialed(fd);
	close(fd);
	assert_int_equal(dialers(found), 1);
	assert_int_equal(kill(found[0], SIGSTOP), 0);
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
	expect_gone(found, 1);
}

/* Whether the dial is on its way: what was let in before it, by the order of the channel, has been
 * served. */
static void expect_pending(int fd, int slot, const char *question)
{
	struct pollfd p = {fd, POLLIN};

	expect_dialed(fd);
	send_frame(fd, question);
	assert_int_equal(poll(&p, 1, 300), 0);
	assert_int_equal(slot_count(&w.server, slot, "fail", NULL, NULL), 0);
}

static void the_drain_waits_for_a_connection_that_is_being_made(void **state)
{
	char question[200], wanted[220], reply[600];
	pid_t found[N_DIALERS];
	int fd, late;

	start("2");
	fd = client();
	snprintf(question, sizeof(question), "connect %s/slow", w.dir);
	expect_pending(fd, 1, question);
	assert_int_equal(dialers(found), 2);
	assert_int_equal(kill(w.server.pid, SIGTERM), 0);
	for (long began = now_ms(); (late = dial(&w.server)) >= 0 && now_ms() - began < WAIT_MS;)
		close(late);
	assert_int_equal(late, -1);
	/* Now there is room for one. */
	close(accept(w.slow_local, NULL, NULL));
	late = accept(w.slow_local, NULL, NULL);
	assert_int_equal(send(late, "pong", 4, MSG_NOSIGNAL), 4);
	close(late);
	snprintf(wanted, sizeof(wanted), "pong %s/slow by -e 4", w.dir);
	assert_true(recv_frame(fd, reply));
	assert_string_equal(reply, wanted);
	expect_end(fd);
	assert_int_equal(server_stop(&w.server, SIGURG), 0);
	snprintf(question, sizeof(question), "%s/slow", w.dir);
	assert_int_equal(slot_count(&w.server, 1, "grant", "asked", question), 1);
	expect_gone(found, 2);
}

static void the_drain_does_not_wait_for_one_that_never_comes(void **state)
{
	pid_t found[N_DIALERS], worker;
	char question[64];
	int fd;

	start("2");
	fd = client();
	snprintf(question, sizeof(question), "connect 127.0.0.1:%u", (unsigned)w.slow_port);
	expect_pending(fd, 1, question);
	worker = slot_worker(&w.server, 1);
	assert_int_equal(dialers(found), 2);
	/* In that order of magnitude: the worker was asked to wait for a minute. */
	assert_int_equal(server_stop(&w.server, SIGTERM), 0);
	expect_end(fd);
	snprintf(question, sizeof(question), "127.0.0.1:%u", (unsigned)w.slow_port);
	assert_int_equal(slot_count(&w.server, 1, "grant", "peer", question), 0);
	assert_int_equal(slot_count(&w.server, 1, "end", NULL, NULL), 1);
	expect_gone(found, 2);
	expect_gone(&worker, 1);
}

static void a_killed_service_leaves_no_dialer(void **state)
{
	pid_t found[N_DIALERS], worker;
	char question[64];
	int fd;

	start("3");
	fd = client();
	snprintf(question, sizeof(question), "connect 127.0.0.1:%u", (unsigned)w.slow_port);
	expect_pending(fd, 1, question);
	worker = slot_worker(&w.server, 1);
	assert_int_equal(dialers(found), 3);
	assert_int_equal(server_stop(&w.server, SIGKILL), 137);
	expect_gone(found, 3);
	expect_gone(&worker, 1);
	expect_end(fd);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(a_worker_reaches_for_its_clients_what_the_policy_names),
		T(a_worker_listens_for_its_clients),
		T(each_slot_has_a_dialer_and_a_book_of_its_own),
		T(who_comes_after_a_killed_worker_can_dial),
		T(a_killed_broker_takes_its_dialer_along_and_is_replaced),
		T(a_stopped_dialer_is_not_left_behind),
		T(the_drain_waits_for_a_connection_that_is_being_made),
		T(the_drain_does_not_wait_for_one_that_never_comes),
		T(a_killed_service_leaves_no_dialer),
	};

	if (argc > 1 && strcmp(argv[1], "--serve") == 0)
		return serve_main();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
