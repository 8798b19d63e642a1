/* SPDX-License-Identifier: MIT */
/*
 * ops_socket.c - connections through the ask door: what the dialer is asked for, and what is
 * believed of what it brings.
 */
#include "tests/unit/asking_world.h"

/* ---- connect --------------------------------------------------------------------------------- */

static const char *own_address(int fd)
{
	static char text[32];
	struct sockaddr_in in;
	socklen_t size = sizeof(in);

	assert_int_equal(getsockname(fd, (void *)&in, &size), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
	return text;
}

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
	assert_last(f.w, "local", own_address(f.w->fds[0]));
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
	assert_last(f.w, "type", "socket");
	assert_last(f.w, "socket", "seqpacket");
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
