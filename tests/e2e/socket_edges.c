/* SPDX-License-Identifier: MIT */
/*
 * socket_edges.c - connections as the broker, as many as may wait and one more, and sockets that
 * find no place: with the real broker and its dialer.
 *
 * This program is its own worker.  Of what must leave nothing behind the test counts the
 * descriptors of broker and dialer before and after, where it may look into them, as root; and
 * whoever listens sees the end of a connection that nobody has.
 */
#include "tests/e2e/peers.h"
#include "tests/e2e/processes.h"
#include "tests/hostile/inside.h"

#include "sandbox/warder.h"

#include <pthread.h>
#include <sys/resource.h>

#define WAITING_MAX 64 /* DIAL_WAITING_MAX */
#define PATIENCE_MS 60000

/* ---- the worker ------------------------------------------------------------------------------ */

/* In one piece: others say something too. */
static void say(const char *text)
{
	char line[64];
	int size = snprintf(line, sizeof(line), "%s\n", text);

	if (write(1, line, (size_t)size) != size)
		_exit(9);
}

static void await_go(void)
{
	char c;

	if (read(0, &c, 1) != 1)
		_exit(8);
}

static int end_worker(void)
{
	say("over");
	await_go();
	return 0;
}

static const char *error_of(int r)
{
	return r < 0 ? strerrorname_np(errno) : "connected";
}

/* Says that it is ready once the dialer is, which has all its sockets by then: it has dialled. */
static void say_ready(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	connect_port(fd, 1);
	close(fd);
	say("ready");
	await_go();
}

/* What the server says of its peer, by a system call and by a message. */
static int peer_main(char **args)
{
	struct warder *w = warder_attach();
	char text[64] = "";
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	for (int i = 0; i < 2; i++) {
		if (i == 1)
			fd = warder_connect(w, args[0], 0, 5000, NULL);
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
	warder_detach(w);
	return 0;
}

/* As many children as told connect, and one more by a message; each tells how it went. */
static int many_main(char **args)
{
	struct warder *w = warder_attach();
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
	fd = warder_open(w, args[2], O_RDONLY, 0);
	say(fd < 0 ? "no file" : "a file");
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	say(connect_port(fd, 9) < 0 && errno == ECONNREFUSED ? "inside" : "not inside");
	fd = warder_connect(w, args[0], 0, 5000, NULL);
	say(fd < 0 && errno == EAGAIN ? "a message too" : error_of(fd));
	while (wait(NULL) > 0)
		;
	return end_worker();
}

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
	struct warder *w = warder_attach();
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
	fd = warder_connect(w, args[0], 0, 5000, NULL);
	limit_fds(300);
	say(error_of(fd));
	fd = warder_connect(w, args[0], 0, 5000, NULL);
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

/* ---- a cell that runs beside the test -------------------------------------------------------- */

static struct world {
	char dir[PATH_MAX], ledger[PATH_MAX + 16], file[PATH_MAX + 8];
	pid_t broker, dialer;
	int in, out; /* the worker's */
	int n_broker, n_dialer;
	json_t *records;
} w;

static int set_up(void **state)
{
	*state = (void *)(intptr_t)count_fds();
	memset(&w, 0, sizeof(w));
	w.in = w.out = -1;
	make_directory(w.dir, sizeof(w.dir));
	snprintf(w.ledger, sizeof(w.ledger), "%s/ledger.jsonl", w.dir);
	snprintf(w.file, sizeof(w.file), "%s/file", w.dir);
	make_file(w.file, "text", 0644);
	return 0;
}

static int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	fd_close(&w.in);
	fd_close(&w.out);
	if (w.broker > 0) {
		kill(w.broker, SIGKILL);
		waitpid(w.broker, NULL, 0);
	}
	json_decref(w.records);
	snprintf(command, sizeof(command), "rm -rf '%s'", w.dir);
	assert_int_equal(system(command), 0);
	return count_fds() == (int)(intptr_t)*state ? 0 : -1;
}

static void start(const char *rule, const char *mode, const char *a, const char *b, const char *c)
{
	char file_rule[PATH_MAX + 32];
	const char *argv[] = {warder_path(), "run", "-q", "--runtime", own_directory(), "--ledger",
		w.ledger, "-e", rule, "-e", file_rule, "-e", "allow connect 127.0.0.1:1", "--time",
		"120s", "--", own_path(), mode, a, b, c, NULL};
	int in[2], out[2];

	snprintf(file_rule, sizeof(file_rule), "allow read %s", w.file);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w.broker = fork();
	if (w.broker == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	w.in = in[1];
	w.out = out[0];
}

static void hear(char ret[64])
{
	struct pollfd p = {w.out, POLLIN};
	size_t n = 0;

	for (;;) {
		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("the worker says nothing");
		assert_int_equal(read(w.out, ret + n, 1), 1);
		if (ret[n] == '\n')
			break;
		assert_in_range(++n, 0, 62);
	}
	ret[n] = '\0';
}

static void expect_line(const char *line)
{
	char said[64];

	hear(said);
	assert_string_equal(said, line);
}

static void go(void)
{
	assert_int_equal(write(w.in, "g", 1), 1);
}

static void expect_ready(void)
{
	expect_line("ready");
	assert_int_equal(processes_of(w.broker, 1, is_dialer, &w.dialer, 1), 1);
	w.n_broker = count_fds_of(w.broker);
	w.n_dialer = count_fds_of(w.dialer);
	assert_true(geteuid() == 0 ? w.n_broker > 0 && w.n_dialer > 0 : w.n_broker < 0);
	go();
}

/* At first the broker may still be closing what it had for the last answer. */
static bool something_is_left(void)
{
	return count_fds_of(w.broker) > w.n_broker || count_fds_of(w.dialer) > w.n_dialer;
}

/* After the worker has said its last word. */
static void expect_nothing_left(void)
{
	expect_line("over");
	for (int i = 0; i < PATIENCE_MS / 10 && something_is_left(); i++)
		usleep(10000);
	assert_false(something_is_left());
	go();
}

static void expect_end(void)
{
	int status;

	assert_int_equal(waitpid(w.broker, &status, 0), w.broker);
	w.broker = 0;
	assert_int_equal(shell_status(status), 0);
	w.records = ledger_load(w.ledger);
}

/* ---- peers that stand outside ---------------------------------------------------------------- */

/* A name that is this process's own: abstract ones are the whole network's. */
static const char *own_name(void)
{
	static char name[64];

	snprintf(name, sizeof(name), "@warder-test/edges-%d", (int)getpid());
	return name;
}

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

static int records_of(const char *event, const char *door, const char *key, const char *value)
{
	json_t *r;
	size_t i;
	int n = 0;

	json_array_foreach(w.records, i, r)
	{
		const char *e = json_string_value(json_object_get(r, "event"));
		const char *d = json_string_value(json_object_get(r, "door"));
		const char *v = json_string_value(json_object_get(r, key));

		n += e && strcmp(e, event) == 0 && d && strcmp(d, door) == 0 && v &&
		     strstr(v, value);
	}
	return n;
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
	} modes[] = {{"--peer", peer_main}, {"--many", many_main}, {"--high", high_main},
		{"--closed", closed_main}, {"--killed", killed_main}};
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(as_broker_connects_as_the_broker_by_both_doors),
		T(without_it_neither_door_does_but_for_the_workers_own),
		T(one_more_than_may_wait_is_refused_and_all_others_come),
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
