/* SPDX-License-Identifier: MIT */
/*
 * ops_socket_listen.c - servers and names through the ask door.
 */
#include "tests/unit/asking_world.h"

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

static int bind_abstract(const char *name, size_t size, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path + 1, name, size);
	assert_int_equal(bind(fd, (struct sockaddr *)&un,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + size)),
		0);
	return fd;
}

/* At another name, of another type, or one that listens already, it is none. */
static void a_server_at_an_abstract_name_is_the_one_that_was_allowed(void **state)
{
	struct fixture f;
	char rules[128], name[64], other[80];
	size_t n = (size_t)snprintf(name, sizeof(name), "@warder-listen-%d", (int)getpid());

	snprintf(rules, sizeof(rules), "allow bind %s\n", name);
	snprintf(other, sizeof(other), "%s-other", name);
	begin(&f, rules);
	for (int lie = 0; lie < 4; lie++) {
		int fd = lie == 1 ? bind_abstract(other + 1, n + 5, SOCK_STREAM)
				  : bind_abstract(name + 1, n - 1,
					    lie == 2 ? SOCK_SEQPACKET : SOCK_STREAM);

		if (lie == 3)
			assert_int_equal(listen(fd, 1), 0);
		send_one(&f, MSG_LISTEN, request(name, 7, 0));
		hear(&f, DIAL_NAMED);
		assert_string_equal(f.m.name, name + 1);
		assert_int_equal(f.m.type, SOCK_STREAM);
		done(&f, f.m.id, 0, fd);
		assert_int_equal(read_answer(&f, MSG_LISTEN), lie ? -EACCES : ANSWER_FD);
		if (lie)
			continue;
		assert_true(listens(f.w->fds[0]));
		assert_peer(&f, name, "test.policy:1");
		assert_last(f.w, "local", name);
		assert_last(f.w, "op", "listen");
		fd_close(&f.w->fds[0]);
	}
	assert_int_equal(count_events(f.w, "grant", true), 1);
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
		{"@name", 0, EACCES},
		{"@mine", 0600, EINVAL},
		{"/run/other", 0600, EACCES},
		{"/run/in/taken", 0600, EADDRINUSE},
		{"/run/in/link", 0600, EADDRINUSE},
		{"/run/in/no/s", 0600, ENOENT},
		{"/run/in/s/", 0600, EADDRINUSE},
		{"/run/in/s", 04600, EINVAL},
		{"/outside/s", 0600, ENOENT},
	};
	struct fixture f;

	begin(&f, "allow bind 127.0.0.1:0 @mine\nallow bind DIR/run/in/s DIR/run/in/taken "
		  "DIR/run/in/link "
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
		cmocka_unit_test(a_server_listens_once_it_is_signed_for),
		cmocka_unit_test(a_server_at_an_abstract_name_is_the_one_that_was_allowed),
		cmocka_unit_test(a_server_without_a_rule_or_a_place_is_refused),
		cmocka_unit_test(a_server_at_a_path_is_made_by_the_broker),
		cmocka_unit_test(a_name_is_looked_up_where_a_rule_is_by_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
