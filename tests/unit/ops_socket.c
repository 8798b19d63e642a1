/* SPDX-License-Identifier: MIT */
/*
 * ops_socket.c - sockets through the ask door: what the dialer is asked for, what is believed of
 * what it brings, and answers that come later.
 *
 * The dialer is this test, at the other end of its channel: it hears what it is asked, and tells
 * the truth or lies.
 */
#include "tests/unit/world.h"

#include "broker/dial.h"
#include "broker/names.h"
#include "common/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

struct fixture {
	struct world *w;
	int dialer_fd; /* the dialer's end */
	int listener;  /* a TCP server of this host */
	uint16_t port;
	/* The last message heard. */
	struct dial_message m;
	int fds[2];
	size_t n_fds;
	/* The last answer read. */
	uint32_t id;
};

static const uint8_t loopback[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};

static int listen_loopback(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 100), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* A path of the world's, as this host knows it: there Unix sockets are resolved. */
static const char *on_host(const struct fixture *f, const char *path)
{
	static char buf[8][512];
	static unsigned next;
	char *p = buf[next++ % 8];

	snprintf(p, 512, "%s%s", f->w->dir, path);
	return p;
}

static int listen_path(const char *path, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (type != SOCK_DGRAM)
		assert_int_equal(listen(fd, 100), 0);
	return fd;
}

/* "PORT" in the rules is the listener's, "DIR" the world's directory.  View and twin are the host's
 * root. */
static void begin(struct fixture *f, const char *rules)
{
	char text[2048], *to = text;

	*f = (struct fixture){.w = world_new(), .dialer_fd = -1, .fds = {-1, -1}};
	f->w->root[0] = '\0';
	put_dir(f->w, on_host(f, "/data"));
	put_file(f->w, on_host(f, "/data/a"), "alpha");
	put_dir(f->w, on_host(f, "/run"));
	put_dir(f->w, on_host(f, "/run/in"));
	f->listener = listen_loopback(&f->port);
	for (const char *from = rules; *from;) {
		if (strncmp(from, "PORT", 4) == 0) {
			to += sprintf(to, "%u", (unsigned)f->port);
			from += 4;
		} else if (strncmp(from, "DIR", 3) == 0) {
			to += sprintf(to, "%s", f->w->dir);
			from += 3;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	world_start(f->w, text);
	assert_int_equal(dial_new(&f->w->s.dial), 0);
	f->w->s.names = names_new();
	assert_int_equal(chan_pair(&f->w->cell.dialer_fd, &f->dialer_fd), 0);
	hello(f->w);
}

static void end(struct fixture *f)
{
	f->w->s.dial = dial_free(f->w->s.dial);
	f->w->s.names = names_free(f->w->s.names);
	fd_close_many(f->fds, 2);
	fd_close(&f->w->cell.dialer_fd);
	fd_close(&f->dialer_fd);
	fd_close(&f->listener);
	world_free(f->w);
}

/* ---- the dialer ------------------------------------------------------------------------------ */

static bool hear_any(struct fixture *f)
{
	uint8_t buf[DIAL_SIZE_MAX];
	long got;

	fd_close_many(f->fds, 2);
	got = chan_recv(f->dialer_fd, buf, sizeof(buf), f->fds, 2, &f->n_fds, false);
	if (got == -EAGAIN || got == 0)
		return false;
	assert_true(got > 0);
	assert_int_equal(dial_decode(buf, (size_t)got, &f->m), 0);
	return true;
}

static void hear(struct fixture *f, enum dial_op op)
{
	assert_true(hear_any(f));
	assert_int_equal(f->m.op, op);
}

static int serve_dialer(struct fixture *f)
{
	const char *why = NULL;

	return dial_serve(&f->w->s, &why);
}

static void say(struct fixture *f, struct dial_message *m, int *fd)
{
	uint8_t buf[DIAL_SIZE_MAX];
	long size = dial_encode(m, buf, sizeof(buf));

	assert_true(size > 0);
	assert_int_equal(chan_send(f->dialer_fd, buf, (size_t)size, fd, fd ? 1 : 0, false), 0);
	assert_int_equal(serve_dialer(f), 0);
}

/* Answers the message `id`; fd (moved) may be -1. */
static void done(struct fixture *f, uint32_t id, int result, int fd)
{
	struct dial_message m = {.id = id, .op = DIAL_DONE, .result = result};

	say(f, &m, fd >= 0 ? &fd : NULL);
}

static int tcp_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A socket connected to the test's listener, as the dialer makes it. */
static int dial_loopback(const struct fixture *f)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(f->port)};
	int fd = tcp_socket();

	connect(fd, (struct sockaddr *)&in, sizeof(in));
	return fd;
}

static int dial_inode(int inode, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d", inode);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* ---- the worker ------------------------------------------------------------------------------ */

static const char *here(const struct fixture *f)
{
	static char text[32];

	snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)f->port);
	return text;
}

/* Asks for one and does not read.  Its id. */
static uint32_t send_one(struct fixture *f, enum msg_op op, struct msg_request q)
{
	assert_int_equal(send_requests(f->w, op, &q, 1), 0);
	return f->w->id;
}

static uint32_t send_connect(struct fixture *f, const char *socket)
{
	return send_one(f, MSG_CONNECT, request(socket, 0, 0));
}

static bool answered(struct fixture *f)
{
	char byte;

	return recv(f->w->worker_fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

/* The next answer: its result. */
static int read_answer(struct fixture *f, enum msg_op op)
{
	struct dec d;

	receive(f->w, op, 1);
	d = dec_init(f->w->in, MSG_HEADER_SIZE);
	dec_u32(&d);
	f->id = dec_u32(&d);
	return f->w->answers[0].result;
}

static int refused(struct fixture *f, enum msg_op op, struct msg_request q)
{
	int r;

	send_one(f, op, q);
	r = read_answer(f, op);
	assert_true(r < 0);
	assert_int_equal(f->w->answers[0].data_size, 0);
	return r;
}

static void assert_peer(struct fixture *f, const char *text, const char *rule)
{
	struct dec d = dec_init(f->w->answers[0].data, f->w->answers[0].data_size);
	struct msg_peer p;

	assert_int_equal(msg_get_peer(&d, &p), 0);
	assert_int_equal(dec_end(&d), 0);
	assert_int_equal(p.text_size, strlen(text));
	assert_memory_equal(p.text, text, p.text_size);
	assert_int_equal(p.rule_size, strlen(rule));
	assert_memory_equal(p.rule, rule, p.rule_size);
}

static void assert_carries(struct fixture *f)
{
	int server = accept(f->listener, NULL, NULL);
	char buf[4];

	assert_true(server >= 0);
	assert_int_equal(write(f->w->fds[0], "abcd", 4), 4);
	assert_int_equal(read(server, buf, 4), 4);
	close(server);
}

/* ---- connect --------------------------------------------------------------------------------- */

static void a_connection_is_the_dialers_signed_for_and_blocking(void **state)
{
	struct msg_request q;
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	q = request(here(&f), 0, 0);
	q.offset = 1500;
	send_one(&f, MSG_CONNECT, q);
	hear(&f, DIAL_TCP);
	assert_int_equal(f.m.n_addresses, 1);
	assert_memory_equal(f.m.addresses[0].bytes, loopback, 16);
	assert_int_equal(f.m.addresses[0].port, f.port);
	assert_true(f.m.wait);
	assert_in_range(f.m.timeout_ms, 1000, 1500);
	assert_false(answered(&f));
	assert_int_equal(count_events(f.w, "grant", false), 0);
	done(&f, f.m.id, 0, dial_loopback(&f));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_int_equal(f.id, f.w->id);
	assert_peer(&f, here(&f), "test.policy:1");
	assert_int_equal(fcntl(f.w->fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_carries(&f);
	assert_int_equal(count_events(f.w, "grant", true), 1);
	assert_last(f.w, "op", "connect");
	assert_last(f.w, "door", "ask");
	assert_last(f.w, "peer", here(&f));
	assert_last(f.w, "rule", "test.policy:1");
	assert_int_equal(f.w->s.tally.granted, 1);
	end(&f);
}

static void what_no_rule_allows_is_not_dialled(void **state)
{
	static const struct {
		const char *socket;
		uint32_t flags;
		int error;
	} all[] = {
		{"127.0.0.1:1", 0, EACCES},
		{"[::1]:1", 0, EACCES},
		{"other.example:443", 0, EACCES},
		{"denied.example:443", 0, EACCES},
		{"@name", 0, EACCES},
		{"@name", SOCK_DGRAM, EPROTONOSUPPORT},
		{"/run/none", 0, ENOENT},
		{"/run/in", 0, EACCES},
		{"/outside/x", 0, ENOENT},
		{"udp 127.0.0.1:53", 0, EPROTONOSUPPORT},
		{"h.example:443", SOCK_SEQPACKET, EINVAL},
		{"h.example:443", 77, EINVAL},
		{"h.example", 0, EINVAL},
		{"h.example:", 0, EINVAL},
		{"h.example:65536", 0, EINVAL},
		{"::1:80", 0, EINVAL},
		{"*.example:80", 0, EINVAL},
		{"internet:80", 0, EACCES},
		{"@", 0, EINVAL},
		{"relative/x", 0, EINVAL},
	};
	struct fixture f;

	begin(&f, "allow connect h.example:443\ndeny connect denied.example:443\nallow list "
		  "DIR/run/\n");
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int r = refused(&f, MSG_CONNECT,
			request(all[i].socket[0] == '/' ? on_host(&f, all[i].socket)
							: all[i].socket,
				all[i].flags, 0));

		if (r != -all[i].error)
			fail_msg("%s: %d", all[i].socket, r);
		assert_last(f.w, "event", "deny");
		assert_false(hear_any(&f));
	}
	assert_int_equal(f.w->s.tally.denied, sizeof(all) / sizeof(all[0]));
	end(&f);
}

static void of_a_name_only_admitted_addresses_are_dialled(void **state)
{
	struct dial_message names = {.op = DIAL_NAMES, .ttl = 60, .n_addresses = 4};
	static const uint8_t public4[16] = {[10] = 0xff, [11] = 0xff, 93, 184, 215, 14};
	static const uint8_t nobodys[16] = {[10] = 0xff, [11] = 0xff, 169, 254, 169, 254};
	static const uint8_t public6[16] = {0x26, 0x06, 0x28, 0x00, [15] = 1};
	struct fixture f;

	begin(&f, "allow connect h.example:PORT\nallow connect 127.0.0.1:PORT\n");
	{
		char text[32];

		snprintf(text, sizeof(text), "H.Example.:%u", (unsigned)f.port);
		send_connect(&f, text);
	}
	hear(&f, DIAL_RESOLVE);
	assert_string_equal(f.m.name, "h.example");
	assert_int_equal(f.m.families, 3);
	names.id = f.m.id;
	memcpy(names.addresses[0].bytes, nobodys, 16);
	memcpy(names.addresses[1].bytes, public6, 16);
	memcpy(names.addresses[2].bytes, public4, 16);
	memcpy(names.addresses[3].bytes, loopback, 16);
	say(&f, &names, NULL);
	hear(&f, DIAL_TCP);
	assert_int_equal(f.m.n_addresses, 3);
	assert_memory_equal(f.m.addresses[0].bytes, public6, 16);
	assert_memory_equal(f.m.addresses[1].bytes, public4, 16);
	assert_memory_equal(f.m.addresses[2].bytes, loopback, 16);
	assert_int_equal(f.m.addresses[1].port, f.port);
	done(&f, f.m.id, 0, dial_loopback(&f));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_peer(&f, here(&f), "test.policy:2"); /* no name admits a loopback address */
	assert_last(f.w, "name", "h.example");
	assert_last(f.w, "peer", here(&f));
	end(&f);
}

static void a_name_without_an_admitted_address_is_refused(void **state)
{
	struct dial_message names = {.op = DIAL_NAMES, .ttl = 60, .n_addresses = 1};
	struct fixture f;

	begin(&f, "allow connect h.example:443\n");
	send_connect(&f, "h.example:443");
	hear(&f, DIAL_RESOLVE);
	names.id = f.m.id;
	memcpy(names.addresses[0].bytes, loopback, 16);
	say(&f, &names, NULL);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EACCES);
	assert_false(hear_any(&f));
	assert_last(f.w, "event", "deny");
	/* And one that nobody has. */
	send_connect(&f, "h.example:443");
	hear(&f, DIAL_RESOLVE);
	names = (struct dial_message){.id = f.m.id, .op = DIAL_NAMES, .result = -ENOENT};
	say(&f, &names, NULL);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -ENOENT);
	assert_last(f.w, "event", "fail");
	assert_last(f.w, "error", "ENOENT");
	end(&f);
}

static void a_name_that_nobody_tells_ends_with_its_time(void **state)
{
	struct msg_request q = request("h.example:443", 0, 0);
	const char *why = NULL;
	struct fixture f;

	begin(&f, "allow connect h.example:443\n");
	q.offset = 60;
	send_one(&f, MSG_CONNECT, q);
	hear(&f, DIAL_RESOLVE);
	assert_int_equal(dial_check(&f.w->s, &why), 0);
	assert_false(answered(&f));
	usleep(80000);
	assert_int_equal(dial_check(&f.w->s, &why), 0);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -ETIMEDOUT);
	hear(&f, DIAL_CANCEL);
	end(&f);
}

static void what_the_network_says_is_the_workers_answer(void **state)
{
	static const int errors[] = {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH};
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (size_t i = 0; i < 4; i++) {
		send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		done(&f, f.m.id, -errors[i], -1);
		assert_int_equal(read_answer(&f, MSG_CONNECT), -errors[i]);
		assert_last(f.w, "event", "fail");
		assert_last(f.w, "rule", "test.policy:1");
	}
	assert_int_equal(count_events(f.w, "grant", false), 0);
	end(&f);
}

static void a_unix_socket_is_reached_by_its_inode(void **state)
{
	struct stat inode, wanted;
	struct fixture f;
	int server, type;

	begin(&f, "allow connect DIR/run/in/s DIR/run/in/link DIR/run/in/none "
		  "DIR/run/in/plain\n");
	server = listen_path(on_host(&f, "/run/in/s"), SOCK_SEQPACKET);
	put_link(f.w, "s", on_host(&f, "/run/in/link"));
	send_one(&f, MSG_CONNECT, request(on_host(&f, "/run/in/s"), SOCK_SEQPACKET, 0));
	hear(&f, DIAL_PATH);
	assert_int_equal(f.n_fds, 1);
	assert_int_equal(f.m.type, SOCK_SEQPACKET);
	assert_int_equal(fstat(f.fds[0], &inode), 0);
	assert_int_equal(stat(on_host(&f, "/run/in/s"), &wanted), 0);
	assert_int_equal(inode.st_ino, wanted.st_ino);
	done(&f, f.m.id, 0, dial_inode(f.fds[0], SOCK_SEQPACKET));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_peer(&f, on_host(&f, "/run/in/s"), "test.policy:1");
	type = 0;
	assert_int_equal(
		getsockopt(f.w->fds[0], SOL_SOCKET, SO_TYPE, &type, &(socklen_t){sizeof(type)}), 0);
	assert_int_equal(type, SOCK_SEQPACKET);
	assert_int_equal(fcntl(f.w->fds[0], F_GETFL) & O_NONBLOCK, 0);
	assert_last(f.w, "event", "grant");
	assert_last(f.w, "asked", on_host(&f, "/run/in/s"));
	assert_last(f.w, "reached", on_host(&f, "/run/in/s"));
	/* A symlink that was not there at load leads nowhere, and a file is no socket. */
	assert_int_equal(
		refused(&f, MSG_CONNECT, request(on_host(&f, "/run/in/link"), 0, 0)), -ELOOP);
	assert_int_equal(
		refused(&f, MSG_CONNECT, request(on_host(&f, "/run/in/none"), 0, 0)), -ENOENT);
	assert_int_equal(
		refused(&f, MSG_CONNECT, request(on_host(&f, "/run/in/s/"), 0, 0)), -ENOTDIR);
	assert_int_equal(refused(&f, MSG_CONNECT, request(on_host(&f, "/run/in/s"), SOCK_DGRAM, 0)),
		-EPROTONOSUPPORT);
	put_file(f.w, on_host(&f, "/run/in/plain"), "");
	assert_int_equal(refused(&f, MSG_CONNECT, request(on_host(&f, "/run/in/plain"), 0, 0)),
		-ECONNREFUSED);
	assert_false(hear_any(&f));
	close(server);
	end(&f);
}

static void an_abstract_name_is_reached_by_its_name_alone(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct fixture f;
	socklen_t size;
	int server, fd;
	char rules[128], name[64];

	snprintf(name, sizeof(name), "@warder-test-%d", (int)getpid());
	snprintf(rules, sizeof(rules), "allow connect %s\n", name);
	begin(&f, rules);
	memcpy(un.sun_path + 1, name + 1, strlen(name) - 1);
	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server, (struct sockaddr *)&un, size), 0);
	assert_int_equal(listen(server, 5), 0);
	for (int truth = 0; truth < 2; truth++) {
		send_connect(&f, name);
		hear(&f, DIAL_ABSTRACT);
		assert_string_equal(f.m.name, name + 1);
		assert_int_equal(f.m.type, SOCK_STREAM);
		if (truth) {
			fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			assert_int_equal(connect(fd, (struct sockaddr *)&un, size), 0);
		} else {
			int pair[2];

			assert_int_equal(
				socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
			close(pair[1]);
			fd = pair[0];
		}
		done(&f, f.m.id, 0, fd);
		assert_int_equal(read_answer(&f, MSG_CONNECT), truth ? ANSWER_FD : -EACCES);
	}
	assert_peer(&f, name, "test.policy:1");
	close(server);
	end(&f);
}

/* ---- lies of the dialer ---------------------------------------------------------------------- */

static int not_connected(const struct fixture *f)
{
	return tcp_socket();
}

static int elsewhere(const struct fixture *f)
{
	uint16_t port;
	int other = listen_loopback(&port);
	struct fixture g = {.port = port};
	int fd = dial_loopback(&g);

	close(other);
	return fd;
}

static int a_listener(const struct fixture *f)
{
	uint16_t port;

	return listen_loopback(&port);
}

static int udp(const struct fixture *f)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(f->port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	connect(fd, (struct sockaddr *)&in, sizeof(in));
	return fd;
}

static int a_unix_pair(const struct fixture *f)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[1]);
	return pair[0];
}

static int a_file(const struct fixture *f)
{
	return open("/proc/self/status", O_RDONLY | O_CLOEXEC);
}

static int a_directory(const struct fixture *f)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void another_socket_than_was_asked_for_is_not_handed_over(void **state)
{
	static int (*const lies[])(const struct fixture *) = {
		not_connected, elsewhere, a_listener, udp, a_unix_pair, a_file, a_directory};
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		int before = count_fds();

		send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		done(&f, f.m.id, 0, lies[i](&f));
		if (read_answer(&f, MSG_CONNECT) != -EACCES)
			fail_msg("lie %zu", i);
		assert_int_equal(count_fds(), before);
		assert_last(f.w, "event", "deny");
	}
	assert_int_equal(count_events(f.w, "grant", false), 0);
	/* The control. */
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	done(&f, f.m.id, 0, dial_loopback(&f));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	end(&f);
}

static int a_loose_unix(const struct fixture *f)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int a_unix_listener(const struct fixture *f)
{
	int fd = listen_path(on_host(f, "/run/in/other"), SOCK_STREAM);

	assert_int_equal(unlink(on_host(f, "/run/in/other")), 0);
	return fd;
}

static int a_pair_of(int type)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	close(pair[1]);
	return pair[0];
}

static int unix_datagrams(const struct fixture *f)
{
	return a_pair_of(SOCK_DGRAM);
}

static int another_type(const struct fixture *f)
{
	return a_pair_of(SOCK_SEQPACKET);
}

static void a_path_is_not_reached_by_another_socket(void **state)
{
	static int (*const lies[])(const struct fixture *) = {dial_loopback, not_connected,
		a_listener, udp, a_loose_unix, a_unix_listener, unix_datagrams, another_type,
		a_file, a_directory, a_unix_pair};
	const size_t of_the_cell = sizeof(lies) / sizeof(lies[0]) - 1;
	struct fixture f;
	int server;

	begin(&f, "allow connect DIR/run/in/s\n");
	server = listen_path(on_host(&f, "/run/in/s"), SOCK_STREAM);
	for (size_t i = 0; i <= of_the_cell; i++) {
		int before = count_fds(), fd;

		send_connect(&f, on_host(&f, "/run/in/s"));
		hear(&f, DIAL_PATH);
		fd_close_many(f.fds, 2);
		fd = lies[i](&f);
		/* The last one is right, but of the network that is the cell's. */
		if (i == of_the_cell)
			assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE,
						 &f.w->cell.net_cookie, &(socklen_t){8}),
				0);
		done(&f, f.m.id, 0, fd);
		if (read_answer(&f, MSG_CONNECT) != -EACCES)
			fail_msg("lie %zu", i);
		assert_int_equal(count_fds(), before);
		assert_last(f.w, "event", "deny");
	}
	f.w->cell.net_cookie = 0;
	assert_int_equal(count_events(f.w, "grant", false), 0);
	/* The control; how its server has named itself says nothing. */
	send_connect(&f, on_host(&f, "/run/in/s"));
	hear(&f, DIAL_PATH);
	done(&f, f.m.id, 0, a_unix_pair(&f));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	close(server);
	end(&f);
}

static void a_dialer_that_lies_or_goes_is_given_up_and_the_session_goes_on(void **state)
{
	for (int how = 0; how < 3; how++) {
		struct fixture f;
		uint32_t first;

		begin(&f, "allow connect 127.0.0.1:PORT\nallow read DIR/data/\n");
		first = send_connect(&f, here(&f));
		send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		if (how == 0) {
			fd_close(&f.dialer_fd);
			assert_int_equal(serve_dialer(&f), 0);
		} else if (how == 1) { /* says that it brings one, and does not */
			done(&f, f.m.id, 0, -1);
		} else { /* what nobody asked */
			done(&f, 4711, -ENOENT, -1);
		}
		assert_int_equal(read_answer(&f, MSG_CONNECT), -ECONNABORTED);
		assert_int_equal(f.id, first);
		assert_int_equal(read_answer(&f, MSG_CONNECT), -ECONNABORTED);
		assert_int_equal(refused(&f, MSG_CONNECT, request(here(&f), 0, 0)), -ENETDOWN);
		assert_int_equal(ask_open(f.w, on_host(&f, "/data/a"), O_RDONLY), 0);
		end(&f);
	}
}

/* ---- later ----------------------------------------------------------------------------------- */

static void answers_come_as_they_end_and_others_meanwhile(void **state)
{
	uint32_t ids[3], dials[3];
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\nallow read DIR/data/\n");
	for (int i = 0; i < 3; i++) {
		ids[i] = send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		dials[i] = f.m.id;
	}
	assert_int_equal(ask_open(f.w, on_host(&f, "/data/a"), O_RDONLY), 0);
	assert_int_equal(ask_undelivered(&f.w->s), 3);
	done(&f, dials[2], 0, dial_loopback(&f));
	done(&f, dials[0], -ECONNREFUSED, -1);
	done(&f, dials[1], 0, dial_loopback(&f));
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_int_equal(f.id, ids[2]);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -ECONNREFUSED);
	assert_int_equal(f.id, ids[0]);
	assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
	assert_int_equal(f.id, ids[1]);
	assert_int_equal(ask_undelivered(&f.w->s), 0);
	end(&f);
}

static void more_than_may_wait_are_refused(void **state)
{
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < LATER_MAX; i++)
		send_connect(&f, here(&f));
	assert_false(answered(&f));
	assert_int_equal(refused(&f, MSG_CONNECT, request(here(&f), 0, 0)), -EAGAIN);
	hear(&f, DIAL_TCP);
	done(&f, f.m.id, -ECONNREFUSED, -1);
	assert_int_equal(read_answer(&f, MSG_CONNECT), -ECONNREFUSED);
	send_connect(&f, here(&f));
	assert_false(answered(&f));
	end(&f);
}

static void a_worker_that_is_gone_calls_off_what_waits(void **state)
{
	struct fixture f;
	const char *why = NULL;
	uint32_t dial;
	int base;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	base = count_fds();
	send_connect(&f, here(&f));
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	dial = f.m.id;
	fd_close(&f.w->worker_fd);
	assert_int_equal(serve(f.w), 1);
	assert_true(ask_is_gone(&f.w->s));
	assert_int_equal(dial_check(&f.w->s, &why), 0);
	assert_int_equal(dial_waiting(f.w->s.dial), 0);
	hear(&f, DIAL_TCP);
	hear(&f, DIAL_CANCEL);
	assert_int_equal(f.m.of, dial);
	hear(&f, DIAL_CANCEL);
	/* What was on its way is closed. */
	done(&f, dial, 0, dial_loopback(&f));
	assert_int_equal(count_fds(), base - 1);
	assert_int_equal(count_events(f.w, "grant", false), 0);
	end(&f);
}

static void a_dial_that_ends_after_the_worker_hands_nothing_over(void **state)
{
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	fd_close(&f.w->worker_fd);
	/* Before the broker has seen it. */
	done(&f, f.m.id, 0, dial_loopback(&f));
	assert_int_equal(serve(f.w), 1);
	end(&f);
}

static void answers_wait_until_the_worker_reads(void **state)
{
	enum { N = 40 };
	uint32_t dials[N];
	int small = 1, before;
	struct fixture f;
	size_t came = 0;
	uint32_t first = 0;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < N; i++) {
		uint32_t id = send_connect(&f, here(&f));

		first = i == 0 ? id : first;
		hear(&f, DIAL_TCP);
		dials[i] = f.m.id;
	}
	setsockopt(f.w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < N; i++)
		done(&f, dials[i], 0, dial_loopback(&f));
	assert_true(ask_waits(&f.w->s));
	before = count_fds();
	for (int i = 0; i < 5; i++)
		assert_int_equal(serve(f.w), -EAGAIN);
	assert_int_equal(count_fds(), before);
	assert_int_equal(count_events(f.w, "grant", true), N);
	while (came < N) {
		if (!answered(&f)) {
			int r = serve(f.w);

			assert_true(r == 0 || r == -EAGAIN);
			continue;
		}
		assert_int_equal(read_answer(&f, MSG_CONNECT), ANSWER_FD);
		assert_int_equal(f.id, first + came++);
	}
	assert_false(ask_waits(&f.w->s));
	end(&f);
}

static void answers_that_wait_are_closed_with_the_session(void **state)
{
	uint32_t dials[20];
	int small = 1;
	struct fixture f;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < 20; i++) {
		send_connect(&f, here(&f));
		hear(&f, DIAL_TCP);
		dials[i] = f.m.id;
	}
	setsockopt(f.w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 20; i++)
		done(&f, dials[i], 0, dial_loopback(&f));
	assert_true(ask_waits(&f.w->s));
	end(&f); /* counts descriptors */
}

static void what_cannot_be_signed_for_is_not_handed_over(void **state)
{
	struct fixture f;
	int full, real, before;

	begin(&f, "allow connect 127.0.0.1:PORT\nallow bind 127.0.0.1:0\n");
	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	before = count_fds();
	real = f.w->ledger->fd;
	send_connect(&f, here(&f));
	hear(&f, DIAL_TCP);
	f.w->ledger->fd = full;
	done(&f, f.m.id, 0, dial_loopback(&f));
	f.w->ledger->fd = real;
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EIO);
	assert_int_equal(f.w->answers[0].data_size, 0);
	assert_int_equal(count_fds(), before);
	assert_int_equal(f.w->s.tally.granted, 0);
	assert_int_equal(f.w->s.tally.denied, 1);
	assert_int_equal(count_events(f.w, "grant", false), 0);
	close(full);
	end(&f);
}

/* The dialer, whose descriptors count too, is let send; the broker is not. */
static void done_with_few(struct fixture *f, const struct rlimit *few)
{
	const struct rlimit many = {few->rlim_max, few->rlim_max};
	struct dial_message m = {.id = f->m.id, .op = DIAL_DONE};
	uint8_t buf[DIAL_SIZE_MAX];
	int fd = dial_loopback(f);
	long size = dial_encode(&m, buf, sizeof(buf));

	setrlimit(RLIMIT_NOFILE, &many);
	if (chan_send(f->dialer_fd, buf, (size_t)size, &fd, 1, false) < 0)
		_exit(3);
	setrlimit(RLIMIT_NOFILE, few);
	if (serve_dialer(f) < 0)
		_exit(4);
}

/* unix(7) ETOOMANYREFS, for a process without CAP_SYS_RESOURCE and CAP_SYS_ADMIN. */
static void too_many_in_flight_are_a_busy_answer_without_data(void **state)
{
	enum { N = 60 };
	size_t came = 0, busy = 0;
	struct fixture f;
	int status;
	pid_t pid;

	begin(&f, "allow connect 127.0.0.1:PORT\n");
	pid = fork();
	if (pid == 0) {
		const struct rlimit few = {40, 400};
		int big = 1 << 20;

		/* A uid of its own, so that nothing else counts. */
		if (geteuid() == 0 && (setgid(54322) < 0 || setuid(54322) < 0))
			_exit(2);
		setsockopt(f.w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
		setrlimit(RLIMIT_NOFILE, &few);
		for (int i = 0; i < N; i++) {
			send_connect(&f, here(&f));
			hear(&f, DIAL_TCP);
			done_with_few(&f, &few);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	for (int i = 0; i < N; i++) {
		int r = read_answer(&f, MSG_CONNECT);

		assert_true(r == ANSWER_FD || r == -EBUSY);
		assert_true(r == ANSWER_FD || f.w->answers[0].data_size == 0);
		came += r == ANSWER_FD;
		busy += r == -EBUSY;
	}
	assert_true(came > 0 && busy > 0);
	assert_int_equal(count_events(f.w, "grant", true), N);
	assert_int_equal(count_events(f.w, "fail", false), busy);
	end(&f);
}

static void connections_on_their_way_are_held_ones(void **state)
{
	struct fixture f;
	char rules[128];
	int base = count_fds();

	/* This process is worker, broker and dialer: what they hold counts too. */
	snprintf(rules, sizeof(rules), "limit held %d\nallow connect 127.0.0.1:PORT\n", base + 16);
	begin(&f, rules);
	for (int i = 0; i < 64; i++) {
		send_connect(&f, here(&f));
		if (answered(&f))
			break;
	}
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EMFILE);
	assert_true(ask_undelivered(&f.w->s) < 16);
	assert_int_equal(f.w->s.tally.limited, 1);
	end(&f);
	begin(&f, "limit requests 5\nallow connect 127.0.0.1:PORT\n");
	for (int i = 0; i < 64; i++) {
		send_connect(&f, here(&f));
		if (answered(&f))
			break;
	}
	assert_int_equal(read_answer(&f, MSG_CONNECT), -EBUSY);
	end(&f);
}

/* ---- listen ---------------------------------------------------------------------------------- */

static bool listens(int fd)
{
	int v = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &v, &(socklen_t){sizeof(v)}) == 0 && v;
}

static int bind_loopback(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = tcp_socket();

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

static void a_server_listens_once_it_is_signed_for(void **state)
{
	struct fixture f;
	char text[32];
	uint16_t port;
	int full, real;

	begin(&f, "allow bind 127.0.0.1:0\n");
	send_one(&f, MSG_LISTEN, request("127.0.0.1:0", 7, 0));
	hear(&f, DIAL_BIND);
	assert_int_equal(f.m.n_addresses, 1);
	assert_memory_equal(f.m.addresses[0].bytes, loopback, 16);
	assert_int_equal(f.m.n_options, 1);
	assert_int_equal(f.m.options[0].option, SO_REUSEADDR);
	done(&f, f.m.id, 0, bind_loopback(&port));
	assert_int_equal(read_answer(&f, MSG_LISTEN), ANSWER_FD);
	assert_true(listens(f.w->fds[0]));
	snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)port);
	assert_peer(&f, text, "test.policy:1");
	assert_int_equal(count_events(f.w, "grant", true), 1);
	assert_last(f.w, "local", text);
	assert_last(f.w, "op", "listen");
	/* Without its record it is none. */
	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	real = f.w->ledger->fd;
	send_one(&f, MSG_LISTEN, request("127.0.0.1:0", 7, 0));
	hear(&f, DIAL_BIND);
	{
		int mine = bind_loopback(&port);
		int theirs = fcntl(mine, F_DUPFD_CLOEXEC, 3);

		f.w->ledger->fd = full;
		done(&f, f.m.id, 0, theirs);
		f.w->ledger->fd = real;
		assert_int_equal(read_answer(&f, MSG_LISTEN), -EIO);
		assert_false(listens(mine));
		close(mine);
	}
	close(full);
	assert_int_equal(count_events(f.w, "grant", true), 1);
	/* Another address than was allowed, and the network's own no. */
	send_one(&f, MSG_LISTEN, request("127.0.0.1:0", 7, 0));
	hear(&f, DIAL_BIND);
	done(&f, f.m.id, 0, tcp_socket());
	assert_int_equal(read_answer(&f, MSG_LISTEN), -EACCES);
	send_one(&f, MSG_LISTEN, request("127.0.0.1:0", 7, 0));
	hear(&f, DIAL_BIND);
	done(&f, f.m.id, -EADDRINUSE, -1);
	assert_int_equal(read_answer(&f, MSG_LISTEN), -EADDRINUSE);
	end(&f);
}

static void a_server_without_a_rule_or_a_place_is_refused(void **state)
{
	static const struct {
		const char *socket;
		uint32_t mode;
		int error;
	} all[] = {
		{"127.0.0.1:1", 0, EACCES},
		{"0.0.0.0:0", 0, EACCES},
		{"127.0.0.1:0", 0600, EINVAL},
		{"localhost:0", 0, EINVAL},
		{"udp 127.0.0.1:0", 0, EPROTONOSUPPORT},
		{"@name", 0, EPROTONOSUPPORT},
		{"/run/other", 0600, EACCES},
		{"/run/in/taken", 0600, EADDRINUSE},
		{"/run/in/link", 0600, EADDRINUSE},
		{"/run/in/no/s", 0600, ENOENT},
		{"/run/in/s/", 0600, EADDRINUSE},
		{"/run/in/s", 04600, EINVAL},
		{"/outside/s", 0600, ENOENT},
	};
	struct fixture f;

	begin(&f,
		"allow bind 127.0.0.1:0\nallow bind DIR/run/in/s DIR/run/in/taken DIR/run/in/link "
		"DIR/run/in/no/s\nallow list DIR/run/\n");
	put_file(f.w, on_host(&f, "/run/in/taken"), "");
	put_link(f.w, "/run/other", on_host(&f, "/run/in/link"));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		int r = refused(&f, MSG_LISTEN,
			request(all[i].socket[0] == '/' ? on_host(&f, all[i].socket)
							: all[i].socket,
				1, all[i].mode));

		if (r != -all[i].error)
			fail_msg("%s: %d", all[i].socket, r);
		assert_false(hear_any(&f));
	}
	end(&f);
}

static void a_server_at_a_path_is_made_by_the_broker(void **state)
{
	struct fixture f;
	struct stat st;
	int client, inode;

	begin(&f, "allow bind DIR/run/in/s DIR/run/in/t DIR/run/in/u\n");
	f.w->s.umask = 002;
	send_one(&f, MSG_LISTEN, request(on_host(&f, "/run/in/s"), 7, 0672));
	hear(&f, DIAL_SOCKET);
	assert_int_equal(f.m.type, SOCK_STREAM);
	assert_false(there(f.w, on_host(&f, "/run/in/s")));
	done(&f, f.m.id, 0, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	assert_int_equal(read_answer(&f, MSG_LISTEN), ANSWER_FD);
	assert_true(listens(f.w->fds[0]));
	assert_peer(&f, on_host(&f, "/run/in/s"), "test.policy:1");
	assert_int_equal(stat(on_host(&f, "/run/in/s"), &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0670);
	assert_int_equal(count_events(f.w, "grant", true), 1);
	assert_last(f.w, "asked", on_host(&f, "/run/in/s"));
	inode = open(on_host(&f, "/run/in/s"), O_PATH | O_CLOEXEC);
	client = dial_inode(inode, SOCK_STREAM);
	close(client);
	close(inode);
	/* Taken meanwhile: the grant that stands came to nothing. */
	send_one(&f, MSG_LISTEN, request(on_host(&f, "/run/in/t"), 7, 0600));
	hear(&f, DIAL_SOCKET);
	put_file(f.w, on_host(&f, "/run/in/t"), "x");
	done(&f, f.m.id, 0, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	assert_int_equal(read_answer(&f, MSG_LISTEN), -EADDRINUSE);
	assert_last(f.w, "event", "fail");
	assert_true(holds(f.w, on_host(&f, "/run/in/t"), "x"));
	/* What is no loose Unix socket is not bound. */
	send_one(&f, MSG_LISTEN, request(on_host(&f, "/run/in/u"), 7, 0600));
	hear(&f, DIAL_SOCKET);
	done(&f, f.m.id, 0, tcp_socket());
	assert_int_equal(read_answer(&f, MSG_LISTEN), -EACCES);
	assert_false(there(f.w, on_host(&f, "/run/in/u")));
	end(&f);
}

/* ---- resolve --------------------------------------------------------------------------------- */

static void a_name_is_looked_up_where_a_rule_is_by_it(void **state)
{
	struct dial_message names = {.op = DIAL_NAMES, .ttl = 300, .n_addresses = 2};
	static const uint8_t other[16] = {0x26, 0x06, 0x28, 0x00, [15] = 1};
	static const char *const wrong[] = {
		"h.example:80", "127.0.0.1", "[::1]", "", "a b", "udp h"};
	struct fixture f;
	struct dec d;

	begin(&f, "allow connect h.example:443\n");
	send_one(&f, MSG_RESOLVE, request("H.example", MSG_IPV4 | MSG_IPV6, 0));
	hear(&f, DIAL_RESOLVE);
	assert_string_equal(f.m.name, "h.example");
	assert_int_equal(f.m.families, 3);
	names.id = f.m.id;
	memcpy(names.addresses[0].bytes, loopback, 16);
	memcpy(names.addresses[1].bytes, other, 16);
	say(&f, &names, NULL);
	assert_int_equal(read_answer(&f, MSG_RESOLVE), 0);
	d = dec_init(f.w->answers[0].data, f.w->answers[0].data_size);
	assert_int_equal(dec_u32(&d), 300);
	assert_int_equal(dec_u16(&d), 2);
	assert_memory_equal(dec_bytes(&d, 16), loopback, 16);
	assert_memory_equal(dec_bytes(&d, 16), other, 16);
	assert_int_equal(dec_end(&d), 0);
	assert_last(f.w, "event", "grant");
	assert_last(f.w, "op", "resolve");
	assert_last(f.w, "name", "h.example");
	/* Its address is admitted now. */
	send_connect(&f, "[2606:2800::1]:443");
	hear(&f, DIAL_TCP);
	assert_int_equal(refused(&f, MSG_RESOLVE, request("other.example", 3, 0)), -EACCES);
	assert_int_equal(refused(&f, MSG_RESOLVE, request("h.example", 0, 0)), -EINVAL);
	assert_int_equal(refused(&f, MSG_RESOLVE, request("h.example", 4, 0)), -EINVAL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (*wrong[i])
			assert_int_equal(
				refused(&f, MSG_RESOLVE, request(wrong[i], 3, 0)), -EINVAL);
	}
	assert_false(hear_any(&f));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_is_the_dialers_signed_for_and_blocking),
		cmocka_unit_test(what_no_rule_allows_is_not_dialled),
		cmocka_unit_test(of_a_name_only_admitted_addresses_are_dialled),
		cmocka_unit_test(a_name_without_an_admitted_address_is_refused),
		cmocka_unit_test(a_name_that_nobody_tells_ends_with_its_time),
		cmocka_unit_test(what_the_network_says_is_the_workers_answer),
		cmocka_unit_test(a_unix_socket_is_reached_by_its_inode),
		cmocka_unit_test(an_abstract_name_is_reached_by_its_name_alone),
		cmocka_unit_test(another_socket_than_was_asked_for_is_not_handed_over),
		cmocka_unit_test(a_path_is_not_reached_by_another_socket),
		cmocka_unit_test(a_dialer_that_lies_or_goes_is_given_up_and_the_session_goes_on),
		cmocka_unit_test(answers_come_as_they_end_and_others_meanwhile),
		cmocka_unit_test(more_than_may_wait_are_refused),
		cmocka_unit_test(a_worker_that_is_gone_calls_off_what_waits),
		cmocka_unit_test(a_dial_that_ends_after_the_worker_hands_nothing_over),
		cmocka_unit_test(answers_wait_until_the_worker_reads),
		cmocka_unit_test(answers_that_wait_are_closed_with_the_session),
		cmocka_unit_test(what_cannot_be_signed_for_is_not_handed_over),
		cmocka_unit_test(too_many_in_flight_are_a_busy_answer_without_data),
		cmocka_unit_test(connections_on_their_way_are_held_ones),
		cmocka_unit_test(a_server_listens_once_it_is_signed_for),
		cmocka_unit_test(a_server_without_a_rule_or_a_place_is_refused),
		cmocka_unit_test(a_server_at_a_path_is_made_by_the_broker),
		cmocka_unit_test(a_name_is_looked_up_where_a_rule_is_by_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
