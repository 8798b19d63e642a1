/* SPDX-License-Identifier: MIT */
/*
 * sock.c - addresses from their bytes to a peer and to text, and back; and what came of a
 * connection.
 */
#include "broker/sock.h"
#include "broker/socket_inside.h"
#include "broker/socket_outer.h"
#include "common/fd.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

static const struct sock tcp4 = {
	.fd = -1, .domain = AF_INET, .type = SOCK_STREAM, .protocol = IPPROTO_TCP};
static const struct sock tcp6 = {
	.fd = -1, .domain = AF_INET6, .type = SOCK_STREAM, .protocol = IPPROTO_TCP};
static const struct sock udp6 = {
	.fd = -1, .domain = AF_INET6, .type = SOCK_DGRAM, .protocol = IPPROTO_UDP};
static const struct sock local = {.fd = -1, .domain = AF_UNIX, .type = SOCK_STREAM};

/* An address of text, as a system call has it.  Its size. */
static socklen_t put(struct sockaddr_storage *ret, int family, const char *host, uint16_t port)
{
	struct sockaddr_in *in = (void *)ret;
	struct sockaddr_in6 *in6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	ret->ss_family = (sa_family_t)family;
	in->sin_port = htons(port);
	assert_int_equal(
		inet_pton(family, host,
			family == AF_INET ? (void *)&in->sin_addr : (void *)&in6->sin6_addr),
		1);
	return family == AF_INET ? sizeof(*in) : sizeof(*in6);
}

static int peer_of(
	const struct sock *k, const struct sockaddr_storage *a, socklen_t size, struct peer *ret)
{
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	*ret = (struct peer){.kind = PEER_NONE};
	return sock_peer(k, a, size, ret, path, &path_size);
}

static void an_address_is_told_as_a_policy_writes_it_and_comes_back(void **state)
{
	static const struct {
		const struct sock *k;
		int family;
		const char *host, *text;
	} rows[] = {
		{&tcp4, AF_INET, "93.184.215.14", "93.184.215.14:443"},
		{&tcp4, AF_INET, "0.0.0.0", "0.0.0.0:443"},
		{&tcp6, AF_INET6, "2001:db8::5", "[2001:db8::5]:443"},
		{&tcp6, AF_INET6, "::", "[::]:443"},
		{&tcp6, AF_INET6, "::1", "[::1]:443"},
		/* One address, however it is written. */
		{&tcp6, AF_INET6, "::ffff:127.0.0.1", "127.0.0.1:443"},
		{&udp6, AF_INET6, "2001:db8::5", "udp [2001:db8::5]:443"},
		{&udp6, AF_INET, "127.0.0.1", "udp 127.0.0.1:443"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct sockaddr_storage a, back;
		socklen_t size = put(&a, rows[i].family, rows[i].host, 443);
		char text[PEER_TEXT_SIZE];
		struct peer peer, again;

		assert_int_equal(peer_of(rows[i].k, &a, size, &peer), 0);
		assert_string_equal(peer_text(&peer, text), rows[i].text);
		size = sock_address(rows[i].k, &peer, &back);
		assert_int_equal(back.ss_family, rows[i].k->domain);
		assert_int_equal(peer_of(rows[i].k, &back, size, &again), 0);
		assert_memory_equal(again.address, peer.address, 16);
		assert_int_equal(again.port, 443);
		assert_int_equal(peer_parse(text, strlen(text), &again), 0);
		assert_memory_equal(again.address, peer.address, 16);
		assert_int_equal(again.kind, peer.kind);
	}
}

static void an_address_that_is_too_short_or_another_familys_is_refused(void **state)
{
	struct sockaddr_storage a;
	struct peer peer;

	put(&a, AF_INET, "127.0.0.1", 1);
	for (socklen_t size = 0; size < sizeof(struct sockaddr_in); size++)
		assert_int_equal(peer_of(&tcp4, &a, size, &peer), -EINVAL);
	assert_int_equal(peer_of(&tcp4, &a, sizeof(a) + 1, &peer), -EINVAL);
	assert_int_equal(peer_of(&tcp6, &a, sizeof(a), &peer), -EAFNOSUPPORT);
	put(&a, AF_INET6, "::1", 1);
	for (socklen_t size = 0; size < 24; size++)
		assert_int_equal(peer_of(&tcp6, &a, size, &peer), -EINVAL);
	assert_int_equal(peer_of(&tcp6, &a, 24, &peer), 0);
	assert_int_equal(peer_of(&tcp4, &a, sizeof(a), &peer), -EAFNOSUPPORT);
	assert_int_equal(peer_of(&local, &a, sizeof(a), &peer), -EINVAL);
}

static void a_path_ends_at_its_nul_or_at_the_addresses_end(void **state)
{
	struct sockaddr_storage a = {.ss_family = AF_UNIX};
	struct sockaddr_un *un = (void *)&a;
	struct peer peer = {.bind = false};
	char path[SOCK_PATH_SIZE];
	size_t size;

	memset(un->sun_path, 'x', sizeof(un->sun_path));
	/* 108 bytes and no NUL. */
	assert_int_equal(sock_peer(&local, &a, sizeof(*un), &peer, path, &size), 0);
	assert_int_equal(size, 108);
	assert_int_equal(strlen(path), 108);
	assert_int_equal(sock_peer(&local, &a, sizeof(*un) - 1, &peer, path, &size), 0);
	assert_int_equal(peer.kind, PEER_PATH);
	assert_int_equal(size, 107);
	assert_int_equal(strlen(path), 107);
	assert_int_equal(sock_peer(&local, &a, sizeof(*un) + 1, &peer, path, &size), -EINVAL);
	un->sun_path[3] = '\0';
	assert_int_equal(sock_peer(&local, &a, sizeof(*un), &peer, path, &size), 0);
	assert_string_equal(path, "xxx");
	/* No path at all. */
	assert_int_equal(sock_peer(&local, &a, 2, &peer, path, &size), -EINVAL);
	/* An abstract name: all of its bytes. */
	un->sun_path[0] = '\0';
	assert_int_equal(sock_peer(&local, &a, 2 + 5, &peer, path, &size), 0);
	assert_int_equal(peer.kind, PEER_ABSTRACT);
	assert_int_equal(peer.name_size, 4);
	assert_memory_equal(peer.name, "xx\0x", 4);
	assert_int_equal(sock_address(&local, &peer, &a), 2 + 5);
}

static void what_is_loopback_here_is_told_by_its_bytes(void **state)
{
	static const char *const yes[] = {"127.0.0.1:1", "127.255.255.254:1", "0.0.0.0:1", "[::]:1",
		"[::1]:1", "[::ffff:127.9.9.9]:1", "192.0.2.1:1", "[2001:db8::1]:1"};
	static const char *const no[] = {"128.0.0.1:1", "126.255.255.255:1", "0.0.0.1:1", "[::2]:1",
		"[::127.0.0.1]:1", "169.254.169.254:1", "[64:ff9b::7f00:1]:1", "192.0.2.2:1",
		"localhost:1"};
	struct peer peer;

	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++) {
		assert_int_equal(peer_parse(yes[i], strlen(yes[i]), &peer), 0);
		assert_true(peer_is_loopback(&peer));
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++) {
		assert_int_equal(peer_parse(no[i], strlen(no[i]), &peer), 0);
		assert_false(peer_is_loopback(&peer));
	}
}

static void text_that_is_no_peer_is_refused(void **state)
{
	static const char *const bad[] = {"", "x", ":1", "x:", "x:65536", "x:-1", "x:+1", "x: 1",
		"1.2.3:1", "1.2.3.4.5:1", "2130706433:1", "0x7f.1:1", "[::1:1", "::1:1", "[x]:1",
		"[]:1", "a..b:1", ".a:1", "a b:1", "@", "udp  x:1", "x\n:1"};
	char text[PEER_TEXT_SIZE];
	struct peer peer;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (peer_parse(bad[i], strlen(bad[i]), &peer) != -EINVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_int_equal(peer_parse("Api.Example.COM.:443", 20, &peer), 0);
	assert_string_equal(peer_text(&peer, text), "api.example.com:443");
	assert_int_equal(peer_parse("@a b", 4, &peer), 0);
	assert_string_equal(peer_text(&peer, text), "@a b");
	assert_int_equal(peer_parse("/run/x", 6, &peer), 0);
	assert_int_equal(peer.kind, PEER_PATH);
}

/* Another thread of the worker's can do to a socket what it likes, between two looks at it. */
static void to_ask_what_came_of_a_connection_begins_none(void **state)
{
	static const int domains[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_in6 in = {.sin6_family = (sa_family_t)domains[i]};
		socklen_t size = domains[i] == AF_INET ? sizeof(struct sockaddr_in) : sizeof(in);
		autofd listener = socket(domains[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
		autofd fd = socket(domains[i], SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		assert_int_equal(inside_come_about(fd, domains[i]), -EINVAL);
		assert_int_equal(socket_tcp_state(fd), STATE_CLOSE);
		assert_int_equal(bind(listener, (void *)&in, size), 0);
		assert_int_equal(listen(listener, 1), 0);
		assert_int_equal(getsockname(listener, (void *)&in, &size), 0);
		assert_int_equal(inside_come_about(listener, domains[i]), -EISCONN);
		/* One that was begun is told once. */
		assert_true(connect(fd, (void *)&in, size) == 0 || errno == EINPROGRESS);
		poll(&(struct pollfd){fd, POLLOUT, 0}, 1, -1);
		assert_int_equal(inside_come_about(fd, domains[i]), 0);
		assert_int_equal(inside_come_about(fd, domains[i]), -EISCONN);
		/* One that listens no more is where it began. */
		assert_int_equal(shutdown(listener, SHUT_RDWR), 0);
		assert_int_equal(inside_come_about(listener, domains[i]), -EINVAL);
		assert_int_equal(socket_tcp_state(listener), STATE_CLOSE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_told_as_a_policy_writes_it_and_comes_back),
		cmocka_unit_test(an_address_that_is_too_short_or_another_familys_is_refused),
		cmocka_unit_test(a_path_ends_at_its_nul_or_at_the_addresses_end),
		cmocka_unit_test(what_is_loopback_here_is_told_by_its_bytes),
		cmocka_unit_test(text_that_is_no_peer_is_refused),
		cmocka_unit_test(to_ask_what_came_of_a_connection_begins_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
