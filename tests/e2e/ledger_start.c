/* SPDX-License-Identifier: MIT */
/*
 * ledger_start.c - what a worker has without a grant stands in the ledger before it runs: each
 * descriptor of its start, its runtime, and each connection that it is handed.
 *
 * This program is its own worker: called with --fds it prints a line for each descriptor that it
 * has, with --clients it tells each client what the connection is.
 */
#include "broker/open_flags.h" /* before cmocka.h, which has a macro named fail */
#include "tests/e2e/peers.h"
#include "tests/e2e/server.h"
#include "tests/hostile/inside.h"

#include "common/chan.h"
#include "common/msg.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Names of files that would forge a line, or steer who reads it. */
#define HOSTILE "in\n{\"seq\":9,\"event\":\"grant\"}\033[2J\xe2\x80\xae\xff"

/* ---- the worker ------------------------------------------------------------------------------ */

/* A descriptor, as who has it sees it. */
struct seen {
	int number;
	unsigned long long dev, ino;
	unsigned mode, flags;
};

static struct seen look(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		exit(3);
	return (struct seen){fd, st.st_dev, st.st_ino, st.st_mode, (unsigned)flags};
}

static int fds_main(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;

	if (!dir)
		return 2;
	while ((e = readdir(dir))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] != '.' && fd != dirfd(dir)) {
			struct seen s = look(fd);

			printf("fd %d %llu %llu %o %x\n", s.number, s.dev, s.ino, s.mode, s.flags);
		}
	}
	closedir(dir);
	return 0;
}

static int clients_main(void)
{
	int channel = atoi(getenv("WARDER_CLIENTS_FD"));
	uint8_t message[256];
	char line[128];

	for (;;) {
		int fd = -1;
		size_t n = 0;
		long size = chan_recv(channel, message, sizeof(message), &fd, 1, &n, true);
		struct seen s;

		if (size <= 0 || n != 1)
			return 0;
		s = look(fd);
		snprintf(line, sizeof(line), "fd %d %llu %llu %o %x\n", 0, s.dev, s.ino, s.mode,
			s.flags);
		if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
			return 2;
		close(fd);
	}
}

/* ---- the book -------------------------------------------------------------------------------- */

static const char *text_of(const json_t *record, const char *key)
{
	const char *v = json_string_value(json_object_get(record, key));

	return v ? v : "";
}

static long long number_of(const json_t *record, const char *key)
{
	const json_t *v = json_object_get(record, key);

	return json_is_integer(v) ? json_integer_value(v) : -1;
}

/* A name's bytes, from either form; ends in NUL. */
static void bytes_of(const json_t *record, const char *key, char *buf, size_t size)
{
	const unsigned char *s = (const unsigned char *)text_of(record, key);
	char flag[64];
	size_t n = 0;

	snprintf(flag, sizeof(flag), "%s_bytes", key);
	if (!json_is_true(json_object_get(record, flag))) {
		snprintf(buf, size, "%s", (const char *)s);
		return;
	}
	for (; *s && n + 1 < size; s += *s < 0x80 ? 1 : 2)
		buf[n++] = (char)(*s < 0x80 ? *s : (s[0] & 3) << 6 | (s[1] & 0x3f));
	buf[n] = '\0';
}

/* The names of flags back to their bits. */
static unsigned flags_of(const json_t *record)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {{"O_RDONLY", O_RDONLY}, {"O_WRONLY", O_WRONLY}, {"O_RDWR", O_RDWR},
		{"O_APPEND", O_APPEND}, {"O_NONBLOCK", O_NONBLOCK}, {"O_NOFOLLOW", O_NOFOLLOW}};
	char text[256];
	unsigned flags = 0;

	snprintf(text, sizeof(text), "%s", text_of(record, "flags"));
	for (char *save, *word = strtok_r(text, "|", &save); word;
		word = strtok_r(NULL, "|", &save)) {
		size_t i = 0;

		while (i < sizeof(names) / sizeof(*names) && strcmp(names[i].name, word) != 0)
			i++;
		if (i == sizeof(names) / sizeof(*names))
			fail_msg("flag %s", word);
		flags |= names[i].bit;
	}
	return flags;
}

/* The one record of class "start" with this number; NULL: none. */
static json_t *start_of(json_t *ledger, int number)
{
	json_t *found = NULL, *r;
	size_t i;

	json_array_foreach(ledger, i, r)
	{
		if (strcmp(text_of(r, "event"), "start") != 0 ||
			strcmp(text_of(r, "class"), "start") != 0 ||
			number_of(r, "number") != number)
			continue;
		assert_null(found);
		found = r;
	}
	return found;
}

static void assert_same(const json_t *r, const struct seen *s)
{
	if (!r)
		fail_msg("the worker has descriptor %d, of which the ledger has no record",
			s->number);
	assert_int_equal(number_of(r, "dev"), s->dev);
	assert_int_equal(number_of(r, "ino"), s->ino);
	assert_int_equal(flags_of(r), s->flags & ~(unsigned)O_LARGEFILE_KERNEL);
	assert_null(json_object_get(r, "fd")); /* or it would count as a grant's */
}

/* What the worker has, and nothing else, is in the book.  Returns how many that is. */
static int assert_told(const struct outcome *o)
{
	const char *at = o->out;
	struct seen s;
	int n = 0;

	for (; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
		if (sscanf(at, "fd %d %llu %llu %o %x", &s.number, &s.dev, &s.ino, &s.mode,
			    &s.flags) != 5)
			fail_msg("warder said: %s", at);
		assert_same(start_of(o->ledger, s.number), &s);
		n++;
	}
	assert_int_equal(n, ledger_count(o->ledger, "start", "class", "start"));
	return n;
}

/* ---- files, pipes, sockets ------------------------------------------------------------------- */

static char dir[PATH_MAX];

static void remove_directory(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	assert_int_equal(system(command), 0);
}

static int open_in(const char *name, int flags)
{
	char path[PATH_MAX + 128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CREAT, 0600);
}

static int open_hostile(void)
{
	return open_in(HOSTILE, O_RDONLY);
}

static int open_append(void)
{
	return open_in("log", O_WRONLY | O_APPEND);
}

static int open_zero(void)
{
	return open("/dev/zero", O_RDWR | O_NONBLOCK);
}

static int open_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	close(ends[1]);
	return ends[0];
}

static int open_event(void)
{
	return eventfd(0, 0);
}

static int open_memory(void)
{
	return memfd_create("m\n", 0);
}

static int open_pair(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	close(ends[1]);
	return ends[0];
}

static int open_abstract(void)
{
	char name[64];
	int listener, fd;

	snprintf(name, sizeof(name), "@warder-start\033%d", (int)getpid());
	listener = listen_name(name, SOCK_SEQPACKET, 4);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(connect_name(fd, name), 0);
	close(listener);
	return fd;
}

static int open_listener(void)
{
	uint16_t port;

	return listen_port(4, &port);
}

static int open_connection(void)
{
	uint16_t port;
	int listener = listen_port(4, &port), fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect_port(fd, port), 0);
	/* Accepted, or the listener's end would be the connection's. */
	close(accept_next(listener));
	close(listener);
	return fd;
}

static int open_udp(void)
{
	return socket(AF_INET6, SOCK_DGRAM, 0);
}

static int open_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static const struct {
	int (*open)(void);
	const char *type, *domain, *socket, *local, *peer;
} kinds[] = {
	{open_hostile, "file", "", "", "", ""},
	{open_append, "file", "", "", "", ""},
	{open_zero, "char", "", "", "", ""},
	{open_pipe, "fifo", "", "", "", ""},
	{open_event, "anonymous", "", "", "", ""},
	{open_memory, "file", "", "", "", ""},
	{open_pair, "unix", "unix", "stream", "", ""},
	{open_abstract, "unix", "unix", "seqpacket", "", "@warder-start"},
	{open_listener, "tcp", "ipv4", "stream", "127.0.0.1:", ""},
	{open_connection, "tcp", "ipv4", "stream", "127.0.0.1:", "127.0.0.1:"},
	{open_udp, "udp", "ipv6", "dgram", "", ""},
	{open_netlink, "socket", "netlink", "raw", "", ""},
};
#define KINDS ((int)(sizeof(kinds) / sizeof(*kinds)))
#define FIRST 20 /* their numbers, above all others */

static void assert_begins(const json_t *r, const char *key, const char *begin)
{
	if (strncmp(text_of(r, key), begin, strlen(begin)) != 0 ||
		(!*begin && json_object_get(r, key)))
		fail_msg("%s is \"%s\", not \"%s...\"", key, text_of(r, key), begin);
}

static void each_descriptor_of_the_start_is_told_with_what_it_is(void **state)
{
	char numbers[KINDS][8], is[PATH_MAX], told[PATH_MAX], link[64];
	const char *options[2 * KINDS + 1] = {NULL};
	const char *command[] = {own_path(), "--fds", NULL};
	struct outcome o = OUTCOME_INIT;

	make_directory(dir, sizeof(dir));
	for (int i = 0; i < KINDS; i++) {
		int fd = kinds[i].open();

		assert_true(fd >= 0);
		assert_int_equal(dup2(fd, FIRST + i), FIRST + i);
		close(fd);
		snprintf(numbers[i], sizeof(numbers[i]), "%d", FIRST + i);
		options[2 * i] = "--fd";
		options[2 * i + 1] = numbers[i];
	}
	run_inside(&o, dir, options, command);
	assert_int_equal(o.status, 0);
	/* Standard input, output and error, and the channel. */
	assert_int_equal(assert_told(&o), KINDS + 4);
	for (int i = 0; i < KINDS; i++) {
		const json_t *r = start_of(o.ledger, FIRST + i);
		ssize_t n;

		assert_string_equal(text_of(r, "type"), kinds[i].type);
		assert_string_equal(text_of(r, "domain"), kinds[i].domain);
		assert_string_equal(text_of(r, "socket"), kinds[i].socket);
		assert_begins(r, "local", kinds[i].local);
		assert_begins(r, "peer", kinds[i].peer);
		snprintf(link, sizeof(link), "/proc/self/fd/%d", FIRST + i);
		n = readlink(link, is, sizeof(is) - 1);
		assert_true(n > 0);
		is[n] = '\0';
		bytes_of(r, "name", told, sizeof(told));
		assert_string_equal(told, is);
		close(FIRST + i);
	}
	/* None of them was asked for. */
	assert_int_equal(ledger_count(o.ledger, "grant", NULL, NULL), 0);
	outcome_free(&o);
	remove_directory();
}

/* Runs with `fd` as standard input, in a view or in the host's root. */
static void run_with_input(struct outcome *o, int fd, bool host)
{
	const char *options[] = {"--root", host ? "host" : "view",
		host && geteuid() != 0 ? "--accept" : NULL, "missing uid", NULL};
	const char *command[] = {own_path(), "--fds", NULL};
	int before = fcntl(0, F_DUPFD_CLOEXEC, FIRST);

	assert_int_equal(dup2(fd, 0), 0);
	run_inside(o, dir, options, command);
	assert_int_equal(dup2(before, 0), 0);
	close(before);
}

static void what_stands_in_place_of_a_way_out_is_what_is_told(void **state)
{
	static const struct {
		int flags;
		const char *reason;
	} ways[] = {{O_RDONLY | O_DIRECTORY, "directory"}, {O_PATH, "O_PATH"}};
	struct stat st;

	make_directory(dir, sizeof(dir));
	assert_int_equal(stat("/dev/null", &st), 0);
	for (size_t i = 0; i < 4; i++) {
		struct outcome o = OUTCOME_INIT;
		int fd = open("/etc", ways[i % 2].flags | O_CLOEXEC);
		const json_t *r;

		run_with_input(&o, fd, i / 2);
		close(fd);
		assert_int_equal(o.status, 0);
		assert_int_equal(assert_told(&o), 4);
		r = start_of(o.ledger, 0);
		assert_string_equal(text_of(r, "name"), "/dev/null");
		assert_string_equal(text_of(r, "type"), "char");
		assert_int_equal(number_of(r, "ino"), st.st_ino);
		assert_non_null(strstr(text_of(r, "reason"), ways[i % 2].reason));
		outcome_free(&o);
	}
	remove_directory();
}

static void the_start_stands_before_the_worker_in_one_write(void **state)
{
	static const char *const order[] = {
		"session", "start", "start", "start", "start", "start", "spawn", "exit", "end"};
	const char *command[] = {own_path(), "--fds", NULL};
	struct outcome o = OUTCOME_INIT;
	const json_t *session;

	make_directory(dir, sizeof(dir));
	run_inside(&o, dir, NULL, command);
	assert_int_equal(json_array_size(o.ledger), sizeof(order) / sizeof(*order));
	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		const json_t *r = json_array_get(o.ledger, i);

		assert_string_equal(text_of(r, "event"), order[i]);
		assert_int_equal(number_of(r, "seq"), (long long)i + 1);
	}
	session = json_array_get(o.ledger, 0);
	assert_int_equal(number_of(session, "generation"), 1);
	assert_int_equal(strlen(text_of(session, "policy")), 64);
	assert_string_equal(text_of(start_of(o.ledger, 3), "text"), "WARDER_FD");
	outcome_free(&o);
	remove_directory();
}

/* The one record of class "runtime"; its trees. */
static const json_t *runtime_of(json_t *ledger)
{
	const json_t *found = NULL;
	json_t *r;
	size_t i;

	assert_int_equal(ledger_count(ledger, "start", "class", "runtime"), 1);
	json_array_foreach(ledger, i, r) if (strcmp(text_of(r, "class"), "runtime") == 0) found =
		json_object_get(r, "runtime");
	assert_true(json_is_array(found));
	return found;
}

static bool has_tree(const json_t *trees, const char *path)
{
	for (size_t i = 0; i < json_array_size(trees); i++)
		if (strcmp(json_string_value(json_array_get(trees, i)), path) == 0)
			return true;
	return false;
}

static void the_runtime_is_told_once_as_it_was_given(void **state)
{
	const char *added[] = {"--runtime", "/opt", NULL}, *command[] = {"true", NULL};
	const char *none[] = {"--runtime", "none", "--runtime", "/usr", NULL};
	struct outcome o = OUTCOME_INIT;

	make_directory(dir, sizeof(dir));
	run_inside(&o, dir, added, command);
	assert_true(has_tree(runtime_of(o.ledger), "/usr"));
	assert_true(has_tree(runtime_of(o.ledger), "/etc/ssl/certs"));
	assert_true(has_tree(runtime_of(o.ledger), "/opt"));
	assert_true(has_tree(runtime_of(o.ledger), own_directory()));
	assert_false(has_tree(runtime_of(o.ledger), "/etc"));
	outcome_free(&o);
	run_inside(&o, dir, none, command);
	assert_int_equal(json_array_size(runtime_of(o.ledger)), 2);
	assert_true(has_tree(runtime_of(o.ledger), own_directory()));
	outcome_free(&o);
	remove_directory();
}

/* ---- what cannot be written ------------------------------------------------------------------ */

/* As a shell's `ulimit -f` sets it: bytes that a file may grow to. */
static void run_with_room(struct outcome *o, rlim_t bytes)
{
	const char *command[] = {own_path(), "--fds", NULL};
	struct rlimit before, limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){bytes, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	run_inside(o, dir, NULL, command);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void a_start_that_cannot_be_signed_for_is_none(void **state)
{
	struct outcome o = OUTCOME_INIT;

	make_directory(dir, sizeof(dir));
	run_with_room(&o, 1 << 20);
	assert_int_equal(o.status, 0); /* the control */
	assert_non_null(strstr(o.out, "fd 0 "));
	outcome_free(&o);
	/* The session's record would fit. */
	run_with_room(&o, 1000);
	assert_int_equal(o.status, 125);
	assert_null(strstr(o.out, "fd 0 "));
	assert_non_null(strstr(o.out, "cannot write the ledger's first records"));
	assert_int_equal(ledger_count(o.ledger, "spawn", NULL, NULL), 0);
	outcome_free(&o);
	remove_directory();
}

/* ---- clients --------------------------------------------------------------------------------- */

/* The newest ledger of a slot. */
static json_t *slot_ledger(const struct server *s)
{
	char command[512], path[PATH_MAX] = "";
	FILE *f;

	snprintf(command, sizeof(command), "ls '%s'/warder/serve/t/*slot1*.jsonl", s->dir);
	f = popen(command, "re");
	assert_non_null(f);
	assert_non_null(fgets(path, sizeof(path), f));
	pclose(f);
	path[strcspn(path, "\n")] = '\0';
	return ledger_load(path);
}

static struct server server;

static int stop_server(void **state)
{
	server_clean(&server);
	return fds_after(state);
}

static void a_connection_that_is_handed_over_is_told_with_its_inode(void **state)
{
	const char *options[] = {"--runtime", own_directory(), "--", own_path(), "--clients", NULL};
	char line[128] = "";
	struct seen s;
	json_t *ledger;
	const json_t *client = NULL, *r;
	size_t i;
	int fd;

	server_start(&server, options);
	fd = dial(&server);
	assert_true(fd >= 0);
	assert_true(recv(fd, line, sizeof(line) - 1, 0) > 0);
	close(fd);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
	assert_int_equal(
		sscanf(line, "fd %d %llu %llu %o %x", &s.number, &s.dev, &s.ino, &s.mode, &s.flags),
		5);
	ledger = slot_ledger(&server);
	json_array_foreach(ledger, i, r) if (strcmp(text_of(r, "event"), "client") == 0) client = r;
	assert_non_null(client);
	assert_string_equal(text_of(client, "class"), "accepted");
	assert_string_equal(text_of(client, "type"), "unix");
	assert_string_equal(text_of(client, "socket"), "stream");
	assert_true(json_is_true(json_object_get(client, "fd")));
	assert_int_equal(number_of(client, "dev"), s.dev);
	assert_int_equal(number_of(client, "ino"), s.ino);
	assert_non_null(strstr(text_of(client, "local"), "/warder/t.sock"));
	assert_int_equal(number_of(json_object_get(client, "client"), "uid"), geteuid());
	/* Its two channels are told apart. */
	assert_int_equal(ledger_count(ledger, "start", "text", "WARDER_FD"), 1);
	assert_int_equal(ledger_count(ledger, "start", "text", "WARDER_CLIENTS_FD"), 1);
	json_decref(ledger);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fds_before, fds_after)
		T(each_descriptor_of_the_start_is_told_with_what_it_is),
		T(what_stands_in_place_of_a_way_out_is_what_is_told),
		T(the_start_stands_before_the_worker_in_one_write),
		T(the_runtime_is_told_once_as_it_was_given),
		T(a_start_that_cannot_be_signed_for_is_none),
		cmocka_unit_test_setup_teardown(
			a_connection_that_is_handed_over_is_told_with_its_inode, fds_before,
			stop_server),
	};

	if (argc > 1 && strcmp(argv[1], "--fds") == 0)
		return fds_main();
	if (argc > 1 && strcmp(argv[1], "--clients") == 0)
		return clients_main();
	/* Or the ledger's writer would be ended by it, before it can say why. */
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
