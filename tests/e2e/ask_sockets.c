/* SPDX-License-Identifier: MIT */
/*
 * ask_sockets.c - a worker that asks for sockets, with the real warder and its dialer.
 *
 * This program is its own worker: called with --ask it takes the words that follow one by one, and
 * prints a line for each.  The servers stand in the test, on this host's loopback.
 */
#include "tests/e2e/peers.h"
#include "tests/hostile/inside.h"

#include "sandbox/warder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- the worker ------------------------------------------------------------------------------ */

/* Has it carried across? */
static const char *talk(int fd)
{
	char buf[8] = "";

	if (send(fd, "ping", 4, MSG_NOSIGNAL) != 4)
		return "cannot send";
	return recv(fd, buf, 4, MSG_WAITALL) == 4 && strcmp(buf, "pong") == 0 ? "carries"
									      : "carries nothing";
}

static void tell(const char *word, const char *what)
{
	printf("%s %s\n", word, what);
	fflush(stdout);
}

static int connect_word(struct warder *w, const char *word)
{
	int type = strncmp(word, "seqpacket:", 10) == 0 ? SOCK_SEQPACKET : 0;
	const char *socket = strchr(word, ':') + 1;
	struct warder_peer peer = {"", ""};
	char line[600];
	int fd = warder_connect(w, socket, type, 5000, &peer);

	if (fd < 0) {
		tell(word, strerrorname_np(errno));
		return -1;
	}
	snprintf(line, sizeof(line), "%s, %s, by %s", talk(fd), peer.text, peer.rule);
	tell(word, line);
	close(fd);
	return 0;
}

/* A client is the test, which reads the address from the line. */
static void listen_word(struct warder *w, const char *word)
{
	struct warder_peer own = {"", ""};
	int fd = warder_listen(w, strchr(word, ':') + 1, 8, word[7] == '/' ? 0777 : 0, &own),
	    client;

	if (fd < 0) {
		tell(word, strerrorname_np(errno));
		return;
	}
	tell("listening", own.text);
	client = accept(fd, NULL, NULL);
	if (send(client, "pong", 4, MSG_NOSIGNAL) != 4)
		tell(word, "cannot send");
	close(client);
	close(fd);
}

static void resolve_word(struct warder *w, const char *word)
{
	struct warder_address a[4];
	int n = warder_resolve(w, strchr(word, ':') + 1, AF_UNSPEC, a, 4);

	tell(word, n < 0 ? strerrorname_np(errno) : "resolved");
}

static int ask_main(char **words)
{
	struct warder *w = warder_attach();
	bool locked = false;

	if (!w)
		return 1;
	for (; *words; words++) {
		if (strcmp(*words, "lockdown") == 0)
			locked = warder_lockdown() == 0;
		else if (strncmp(*words, "listen:", 7) == 0)
			listen_word(w, *words);
		else if (strncmp(*words, "resolve:", 8) == 0)
			resolve_word(w, *words);
		else
			connect_word(w, *words);
	}
	warder_detach(w);
	return locked ? 0 : 3;
}

/* ---- servers --------------------------------------------------------------------------------- */

struct server {
	int fd;
	pid_t pid;
};

/* Answers every connection's ping, as long as the test lives. */
static struct server serve(int fd)
{
	struct server s = {fd, fork()};

	if (s.pid == 0) {
		alarm(120);
		for (;;) {
			int client = accept(fd, NULL, NULL);
			char buf[4];

			if (recv(client, buf, 4, MSG_WAITALL) == 4)
				send(client, "pong", 4, MSG_NOSIGNAL);
			close(client);
		}
	}
	return s;
}

static void end(struct server *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
	close(s->fd);
}

static struct server serve_loopback(uint16_t *ret_port)
{
	return serve(listen_port(16, ret_port));
}

static struct server serve_path(const char *path, int type)
{
	return serve(listen_name(path, type, 16));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static char dir[PATH_MAX];

static void remove_directory(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

static void expect_line(const struct outcome *o, const char *line)
{
	const char *at = strstr(o->out, line);

	if (!at || at[strlen(line)] != '\n')
		fail_msg("no line \"%s\" in:\n%s", line, o->out);
}

static const char *text_of(const json_t *record, const char *key)
{
	const char *v = json_string_value(json_object_get(record, key));

	return v ? v : "";
}

/* The record of one kind and one peer or path; there is exactly one. */
static const json_t *find(
	const struct outcome *o, const char *event, const char *key, const char *value)
{
	const json_t *found = NULL;
	json_t *r;
	size_t i;

	json_array_foreach(o->ledger, i, r)
	{
		if (strcmp(text_of(r, "event"), event) == 0 &&
			strcmp(text_of(r, key), value) == 0) {
			assert_null(found);
			found = r;
		}
	}
	if (!found)
		fail_msg("no %s with %s %s", event, key, value);
	return found;
}

static void a_worker_connects_where_a_rule_says_and_nowhere_else(void **state)
{
	char by_rule[64], no_rule[64], allow[64], line[256], peer[32], other[32];
	struct outcome o = OUTCOME_INIT;
	struct server allowed, forbidden;
	uint16_t port, other_port;

	make_directory(dir, sizeof(dir));
	allowed = serve_loopback(&port);
	forbidden = serve_loopback(&other_port);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)port);
	snprintf(other, sizeof(other), "127.0.0.1:%u", (unsigned)other_port);
	snprintf(by_rule, sizeof(by_rule), "connect:%s", peer);
	snprintf(no_rule, sizeof(no_rule), "connect:%s", other);
	snprintf(allow, sizeof(allow), "allow connect %s", peer);
	{
		const char *options[] = {"-e", allow, NULL};
		const char *command[] = {own_path(), "--ask", by_rule, no_rule,
			"connect:udp [::1]:53", "lockdown", by_rule, NULL};

		run_inside(&o, dir, options, command);
	}
	assert_int_equal(o.status, 0);
	snprintf(line, sizeof(line), "%s carries, %s, by -e 1", by_rule, peer);
	expect_line(&o, line);
	/* Under the strict table too. */
	assert_non_null(strstr(strstr(o.out, line) + 1, line));
	snprintf(line, sizeof(line), "%s EACCES", no_rule);
	expect_line(&o, line);
	expect_line(&o, "connect:udp [::1]:53 EPROTONOSUPPORT");
	assert_int_equal(ledger_count(o.ledger, "grant", "peer", peer), 2);
	assert_int_equal(ledger_count(o.ledger, "grant", "peer", other), 0);
	assert_string_equal(text_of(find(&o, "deny", "peer", other), "error"), "EACCES");
	outcome_free(&o);
	end(&allowed);
	end(&forbidden);
	remove_directory();
}

static void nobody_there_is_told_and_recorded(void **state)
{
	char word[64], allow[64], line[128], peer[32];
	struct outcome o = OUTCOME_INIT;
	struct server gone;
	uint16_t port;

	make_directory(dir, sizeof(dir));
	gone = serve_loopback(&port);
	end(&gone);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)port);
	snprintf(word, sizeof(word), "connect:%s", peer);
	snprintf(allow, sizeof(allow), "allow connect %s", peer);
	{
		const char *options[] = {"-e", allow, NULL};
		const char *command[] = {own_path(), "--ask", word, "lockdown", NULL};

		run_inside(&o, dir, options, command);
	}
	snprintf(line, sizeof(line), "%s ECONNREFUSED", word);
	expect_line(&o, line);
	assert_string_equal(text_of(find(&o, "fail", "peer", peer), "error"), "ECONNREFUSED");
	assert_string_equal(text_of(find(&o, "fail", "peer", peer), "rule"), "-e 1");
	outcome_free(&o);
	remove_directory();
}

static void a_worker_reaches_the_unix_sockets_that_it_may(void **state)
{
	char allow[4 * PATH_MAX], path[PATH_MAX + 8], other[PATH_MAX + 8];
	char stream[PATH_MAX + 32], link[PATH_MAX + 32], packet[PATH_MAX + 32],
		no_rule[PATH_MAX + 32], line[4 * PATH_MAX];
	struct outcome o = OUTCOME_INIT;
	struct server a, b, c;

	make_directory(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(other, sizeof(other), "%s/q", dir);
	snprintf(allow, sizeof(allow), "allow connect %s %s %s/link", path, other, dir);
	snprintf(stream, sizeof(stream), "connect:%s", path);
	snprintf(packet, sizeof(packet), "seqpacket:%s", other);
	snprintf(no_rule, sizeof(no_rule), "connect:%s/no", dir);
	snprintf(link, sizeof(link), "connect:%s/link", dir);
	assert_int_equal(symlink("s", link + 8), 0);
	a = serve_path(path, SOCK_STREAM);
	b = serve_path(other, SOCK_SEQPACKET);
	c = serve_path(no_rule + 8, SOCK_STREAM);
	{
		const char *options[] = {"-e", allow, NULL};
		const char *command[] = {
			own_path(), "--ask", stream, packet, link, no_rule, "lockdown", NULL};

		run_inside(&o, dir, options, command);
	}
	snprintf(line, sizeof(line), "%s carries, %s, by -e 1", stream, path);
	expect_line(&o, line);
	snprintf(line, sizeof(line), "%s carries, %s, by -e 1", packet, other);
	expect_line(&o, line);
	/* A symlink that stood there at the start leads where it led then. */
	snprintf(line, sizeof(line), "%s carries, %s, by -e 1", link, path);
	expect_line(&o, line);
	if (strstr(o.out, no_rule) == NULL || strstr(strstr(o.out, no_rule), "carries"))
		fail_msg("%s", o.out);
	assert_int_equal(ledger_count(o.ledger, "grant", "reached", path), 2);
	assert_string_equal(text_of(find(&o, "grant", "asked", link + 8), "reached"), path);
	assert_true(json_is_true(json_object_get(find(&o, "grant", "reached", other), "fd")));
	assert_string_equal(text_of(find(&o, "deny", "asked", no_rule + 8), "op"), "connect");
	outcome_free(&o);
	end(&a);
	end(&b);
	end(&c);
	remove_directory();
}

/* /etc/hosts has the name.  A name never admits a loopback address, a rule by address does. */
static void a_name_is_resolved_and_its_addresses_are_judged(void **state)
{
	char word[64], by_name[64], by_address[64], line[160], peer[32];
	struct outcome o = OUTCOME_INIT;
	struct server server;
	uint16_t port;

	make_directory(dir, sizeof(dir));
	server = serve_loopback(&port);
	snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)port);
	snprintf(word, sizeof(word), "connect:localhost:%u", (unsigned)port);
	snprintf(by_name, sizeof(by_name), "allow connect localhost:%u", (unsigned)port);
	snprintf(by_address, sizeof(by_address), "allow connect %s", peer);
	for (int both = 0; both < 2; both++) {
		const char *options[] = {"-e", by_name, both ? "-e" : NULL, by_address, NULL};
		const char *command[] = {own_path(), "--ask", "resolve:localhost", word,
			"resolve:other.example", "lockdown", NULL};

		run_inside(&o, dir, options, command);
		expect_line(&o, "resolve:localhost resolved");
		expect_line(&o, "resolve:other.example EACCES");
		snprintf(line, sizeof(line), "%s EACCES", word);
		if (both)
			snprintf(line, sizeof(line), "%s carries, %s, by -e 2", word, peer);
		expect_line(&o, line);
		assert_int_equal(ledger_count(o.ledger, "grant", "peer", peer), both);
		assert_int_equal(ledger_count(o.ledger, "grant", "op", "resolve"), 1);
		assert_string_equal(
			text_of(find(&o, "deny", "op", "resolve"), "name"), "other.example");
		outcome_free(&o);
	}
	end(&server);
	remove_directory();
}

static bool pong(int fd, const struct sockaddr *address, socklen_t size)
{
	char buf[8] = "";
	bool came = connect(fd, address, size) == 0 && recv(fd, buf, 4, MSG_WAITALL) == 4 &&
		    strcmp(buf, "pong") == 0;

	if (!came)
		print_error("a client got \"%s\": %s\n", buf, strerrorname_np(errno));
	close(fd);
	return came;
}

/* Starts a worker that listens, connects to it, and ends it.  What it said where it listens. */
static void meet_server(const char *allow, const char *word, int family, char *said, size_t size)
{
	char ledger[PATH_MAX + 16];
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int out[2], status;
	size_t n = 0;
	pid_t pid;

	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", dir);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		const char *argv[] = {warder_path(), "run", "--runtime", own_directory(),
			"--ledger", ledger, "-e", allow, "--", own_path(), "--ask", word,
			"lockdown", NULL};

		dup2(out[1], 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(out[1]);
	while (n < size - 1 && read(out[0], said + n, 1) == 1 && said[n] != '\n')
		n++;
	said[n] = '\0';
	if (strncmp(said, "listening ", 10) != 0)
		fail_msg("the worker said \"%s\"", said);
	if (family == AF_INET) {
		in.sin_port = htons((uint16_t)atoi(strrchr(said, ':') + 1));
		assert_true(pong(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
			(struct sockaddr *)&in, sizeof(in)));
	} else {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", said + 10);
		assert_true(pong(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0),
			(struct sockaddr *)&un, sizeof(un)));
	}
	close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(shell_status(status), 0);
}

static void a_worker_listens_at_an_address_of_the_host(void **state)
{
	struct outcome o = OUTCOME_INIT;
	char said[256], ledger[PATH_MAX + 16];

	make_directory(dir, sizeof(dir));
	meet_server("allow bind 127.0.0.1:0", "listen:127.0.0.1:0", AF_INET, said, sizeof(said));
	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", dir);
	o.ledger = ledger_load(ledger);
	assert_string_equal(text_of(find(&o, "grant", "local", said + 10), "op"), "listen");
	outcome_free(&o);
	remove_directory();
}

static void a_worker_listens_at_a_path_of_the_host(void **state)
{
	char said[PATH_MAX], ledger[PATH_MAX + 16], allow[PATH_MAX + 32], word[PATH_MAX + 32];
	struct outcome o = OUTCOME_INIT;
	struct stat st;

	make_directory(dir, sizeof(dir));
	/* Whoever the worker is makes it: of root's, uid 65534. */
	assert_int_equal(chmod(dir, 0777), 0);
	snprintf(allow, sizeof(allow), "allow bind %s/own", dir);
	snprintf(word, sizeof(word), "listen:%s/own", dir);
	meet_server(allow, word, AF_UNIX, said, sizeof(said));
	assert_int_equal(stat(said + 10, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_uid, geteuid() == 0 ? 65534 : geteuid());
	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", dir);
	o.ledger = ledger_load(ledger);
	assert_string_equal(text_of(find(&o, "grant", "asked", word + 7), "op"), "listen");
	outcome_free(&o);
	remove_directory();
}

static void without_a_rule_that_leads_out_there_is_no_dialer(void **state)
{
	struct outcome o = OUTCOME_INIT;

	make_directory(dir, sizeof(dir));
	{
		const char *command[] = {own_path(), "--ask", "connect:127.0.0.1:1",
			"resolve:h.example", "listen:127.0.0.1:0", "connect:@x", "lockdown", NULL};

		run_inside(&o, dir, NULL, command);
	}
	expect_line(&o, "connect:127.0.0.1:1 EACCES");
	expect_line(&o, "resolve:h.example EACCES");
	expect_line(&o, "listen:127.0.0.1:0 EACCES");
	expect_line(&o, "connect:@x EACCES");
	assert_int_equal(ledger_count(o.ledger, "deny", NULL, NULL), 4);
	outcome_free(&o);
	remove_directory();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fds_before, fds_after)
		T(a_worker_connects_where_a_rule_says_and_nowhere_else),
		T(nobody_there_is_told_and_recorded),
		T(a_worker_reaches_the_unix_sockets_that_it_may),
		T(a_name_is_resolved_and_its_addresses_are_judged),
		T(a_worker_listens_at_an_address_of_the_host),
		T(a_worker_listens_at_a_path_of_the_host),
		T(without_a_rule_that_leads_out_there_is_no_dialer),
	};

	if (argc > 1 && strcmp(argv[1], "--ask") == 0)
		return ask_main(argv + 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
