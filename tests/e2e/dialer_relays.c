/* SPDX-License-Identifier: MIT */
/*
 * dialer_relays.c - what the dialer carries for a cell: its relays and UDP, by the real binary.
 */
#include "tests/e2e/dialer.h"

#define RELAY_ADDRESSES 16 /* at which the dialer listens at once; SPARES_MAX of its relay.c */

/* ---- relays ---------------------------------------------------------------------------------- */

/* Through a relay to the listener outside: the worker's end; *ret_peer is the server's. */
static int relayed_by(struct dial_message *m, int listener, const char *host, int *ret_peer)
{
	struct sockaddr_storage at;
	socklen_t size = address(host, port_of(listener), &at);
	int own = inside(at.ss_family, SOCK_STREAM), none = -1;

	m->op = DIAL_RELAY;
	/* Without one there is nothing at that address in the cell. */
	assert_int_equal(connect(own, (struct sockaddr *)&at, size), -1);
	close(own);
	own = inside(at.ss_family, SOCK_STREAM);
	ask(m, NULL, 0);
	assert_int_equal(answer(&none).result, 0);
	assert_int_equal(none, -1);
	*ret_peer = accept_one(listener);
	assert_return_code(connect(own, (struct sockaddr *)&at, size), errno);
	return own;
}

static int relayed(int listener, const char *host, int *ret_peer)
{
	struct dial_message m = tcp_to(host, port_of(listener));

	return relayed_by(&m, listener, host, ret_peer);
}

static void a_relay_carries_both_ways_and_keeps_half_closes(void **state)
{
	NEEDS_NETWORKS();
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), peer;
	int own = relayed(listener, OUTSIDE, &peer);

	assert_int_equal(send(own, "ping", 4, 0), 4);
	expect_bytes(peer, "ping");
	shutdown(own, SHUT_WR);
	expect_bytes(peer, "");
	assert_int_equal(send(peer, "late", 4, 0), 4);
	expect_bytes(own, "late");
	close(peer);
	expect_bytes(own, "");
	close(own);
	close(listener);
}

static void a_relays_listener_is_used_again(void **state)
{
	NEEDS_NETWORKS();
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 8), peer, own;

	for (int i = 0; i < 5; i++) {
		own = relayed(listener, OUTSIDE, &peer);
		assert_int_equal(send(peer, "hello", 5, 0), 5);
		expect_bytes(own, "hello");
		close(own);
		expect_bytes(peer, "");
		close(peer);
	}
	close(listener);
}

/* The first one carries all the while: its listener is gone by then. */
static void relays_to_any_number_of_addresses_come_one_after_another(void **state)
{
	NEEDS_NETWORKS();
	int first = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 8), first_peer;
	int first_own = relayed(first, OUTSIDE, &first_peer);

	for (int i = 0; i < 3 * RELAY_ADDRESSES; i++) {
		const char *host = i % 2 ? OUTSIDE : OUTSIDE6;
		int listener = server(outer_ns, host, 0, SOCK_STREAM, 4), peer;
		int own = relayed(listener, host, &peer);

		assert_int_equal(send(peer, "hello", 5, 0), 5);
		expect_bytes(own, "hello");
		close(own);
		expect_bytes(peer, "");
		close(peer);
		close(listener);
	}
	assert_int_equal(send(first_own, "still", 5, 0), 5);
	expect_bytes(first_peer, "still");
	close(first_own);
	close(first_peer);
	first_own = relayed(first, OUTSIDE, &first_peer);
	close(first_own);
	close(first_peer);
	close(first);
}

static void one_more_than_may_be_awaited_is_refused_until_one_is_not(void **state)
{
	NEEDS_NETWORKS();
	int servers[RELAY_ADDRESSES + 1], none = -1;
	struct dial_message cancel = {.op = DIAL_CANCEL}, m;
	uint32_t id;

	for (int i = 0; i <= RELAY_ADDRESSES; i++) {
		servers[i] = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4);
		m = tcp_to(OUTSIDE, port_of(servers[i]));
		m.op = DIAL_RELAY;
		id = ask(&m, NULL, 0);
		cancel.of = i == 0 ? id : cancel.of;
		assert_int_equal(answer(&none).result, i < RELAY_ADDRESSES ? 0 : -ENOBUFS);
	}
	ask(&cancel, NULL, 0);
	ask(&m, NULL, 0);
	assert_int_equal(answer(&none).result, 0);
	fd_close_many(servers, RELAY_ADDRESSES + 1);
}

/* The option is for the worker's close, not for the dialer's: which serves others meanwhile, and
 * whose end throws nothing away that the worker ended well. */
static void linger_keeps_no_relay_waiting_and_no_data_back(int seconds)
{
	enum { SIZE = 128 << 10 };
	const struct linger linger = {1, seconds};
	const int small = 4096;
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), peer, own;
	static uint8_t buf[SIZE];
	struct dial_message m = tcp_to(OUTSIDE, port_of(listener));
	struct dial_option *o = &m.options[m.n_options++];
	size_t got = 0;
	ssize_t n;

	*o = (struct dial_option){SOL_SOCKET, SO_LINGER, sizeof(linger), {0}};
	memcpy(o->value, &linger, sizeof(linger));
	/* The peer takes little, and the dialer's end all that the worker sends. */
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	set_option(&m, SOL_SOCKET, SO_SNDBUF, SIZE);
	own = relayed_by(&m, listener, OUTSIDE, &peer);
	assert_int_equal(fd_write_all(own, buf, SIZE), 0);
	shutdown(peer, SHUT_WR);
	expect_bytes(own, "");
	shutdown(own, SHUT_WR);
	m = tcp_to(OUTSIDE, port_of(listener));
	for (int i = 0; i < 3; i++) {
		int fd = -1;

		ask(&m, NULL, 0);
		assert_int_equal(answer(&fd).result, 0);
		close(fd);
		close(accept_one(listener));
	}
	while ((n = recv(peer, buf, SIZE, 0)) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, SIZE);
	close(own);
	close(peer);
	close(listener);
}

static void a_relay_that_ends_lingers_not_and_loses_nothing(void **state)
{
	NEEDS_NETWORKS();
	linger_keeps_no_relay_waiting_and_no_data_back(30000);
	linger_keeps_no_relay_waiting_and_no_data_back(0);
}

static void a_reset_goes_through_a_relay(void **state)
{
	NEEDS_NETWORKS();
	const struct linger hard = {1, 0};
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), peer;
	int own = relayed(listener, OUTSIDE, &peer);
	char c;

	assert_int_equal(send(own, "x", 1, 0), 1);
	expect_bytes(peer, "x");
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(peer);
	assert_true(readable(own, PATIENCE_MS));
	assert_int_equal(recv(own, &c, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(own);
	close(listener);
}

static void a_relay_carries_megabytes_past_a_slow_reader(void **state)
{
	NEEDS_NETWORKS();
	enum { SIZE = 8 << 20, PIECE = 65536 };
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), peer;
	int own = relayed(listener, OUTSIDE, &peer);
	static uint8_t buf[PIECE];
	uint32_t sent = 0, got = 0;
	pid_t writer = fork();

	if (writer == 0) {
		uint8_t out[PIECE];

		for (; sent < SIZE; sent += PIECE) {
			for (uint32_t i = 0; i < PIECE; i++)
				out[i] = (uint8_t)((sent + i) * 2654435761u >> 24);
			if (fd_write_all(own, out, PIECE) < 0)
				_exit(1);
		}
		_exit(0);
	}
	close(own);
	while (got < SIZE) {
		ssize_t n = recv(peer, buf, sizeof(buf), 0);

		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++, got++) {
			if (buf[i] != (uint8_t)(got * 2654435761u >> 24))
				fail_msg("byte %u is another", got);
		}
	}
	expect_bytes(peer, "");
	waitpid(writer, NULL, 0);
	close(peer);
	close(listener);
}

/* ---- UDP ------------------------------------------------------------------------------------- */

static void flow_works(int family, const char *host)
{
	int peer = server(outer_ns, host, UDP_PORT, SOCK_DGRAM, 0),
	    own = inside(family, SOCK_DGRAM);
	struct sockaddr_storage to, from;
	socklen_t size = address(host, UDP_PORT, &to), from_size = sizeof(from);
	char buf[16];

	assert_return_code(connect(own, (struct sockaddr *)&to, size), errno);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(send(own, "ping", 4, 0), 4);
		assert_true(serve_until(peer, PATIENCE_MS));
		assert_int_equal(
			recvfrom(peer, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_size),
			4);
		/* The socket is connected: only the peer's own address is heard. */
		assert_int_equal(
			sendto(peer, "pong", 4, 0, (struct sockaddr *)&from, from_size), 4);
		expect_bytes(own, "pong");
	}
	assert_int_equal(broker.n_flows, 1);
	assert_int_equal(broker.last_flow.addresses[1].port, UDP_PORT);
	struct dial_address expected = dial_to(host, UDP_PORT);
	assert_memory_equal(broker.last_flow.addresses[1].bytes, expected.bytes, 16);
	close(peer);
	close(own);
}

static void udp_is_carried_and_asked_about_once(void **state)
{
	NEEDS_NETWORKS();
	flow_works(AF_INET, OUTSIDE);
}

static void udp_over_ipv6_is_carried(void **state)
{
	NEEDS_NETWORKS();
	flow_works(AF_INET6, OUTSIDE6);
}

static void without_ipv6_it_carries_as_well(void **state)
{
	NEEDS_NETWORKS();
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), peer, own, none = -1;
	struct dial_message six = tcp_to(OUTSIDE6, 80);

	close(broker.sock);
	assert_true(ends_with(0));
	without_ipv6 = true;
	start_dialer();
	start_cell(CELL_SPARES);
	without_ipv6 = false;
	flow_works(AF_INET, OUTSIDE);
	own = relayed(listener, OUTSIDE, &peer);
	assert_int_equal(send(own, "ping", 4, 0), 4);
	expect_bytes(peer, "ping");
	close(own);
	close(peer);
	close(listener);
	listener = server(outer_ns, OUTSIDE6, 0, SOCK_STREAM, 4);
	six.op = DIAL_RELAY;
	six.addresses[0].port = (uint16_t)port_of(listener);
	ask(&six, NULL, 0);
	assert_int_equal(answer(&none).result, -EAFNOSUPPORT);
	close(listener);
}

static void a_stranger_outside_is_not_heard(void **state)
{
	NEEDS_NETWORKS();
	int peer = server(outer_ns, OUTSIDE, UDP_PORT, SOCK_DGRAM, 0);
	int stranger = server(outer_ns, "127.0.0.1", UDP_PORT, SOCK_DGRAM, 0);
	int own = inside(AF_INET, SOCK_DGRAM);
	struct sockaddr_storage to, from;
	socklen_t size = address(OUTSIDE, UDP_PORT, &to), from_size = sizeof(from);
	char buf[16];

	sendto(own, "ping", 4, 0, (struct sockaddr *)&to, size);
	assert_true(serve_until(peer, PATIENCE_MS));
	recvfrom(peer, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_size);
	sendto(stranger, "evil", 4, 0, (struct sockaddr *)&from, from_size);
	/* Positive control: the peer is. */
	sendto(peer, "pong", 4, 0, (struct sockaddr *)&from, from_size);
	expect_bytes(own, "pong");
	assert_false(readable(own, 0));
	close(own);
	close(stranger);
	close(peer);
}

static void refused_udp_goes_nowhere_and_a_flood_asks_once(void **state)
{
	NEEDS_NETWORKS();
	int peer = server(outer_ns, OUTSIDE, UDP_PORT, SOCK_DGRAM, 0),
	    own = inside(AF_INET, SOCK_DGRAM);
	struct sockaddr_storage to;
	socklen_t size = address(OUTSIDE, UDP_PORT, &to);

	broker.flows = -EACCES;
	for (int i = 0; i < 200; i++) {
		sendto(own, "x", 1, 0, (struct sockaddr *)&to, size);
		if (i == 0)
			assert_false(serve_until(peer, 200));
	}
	assert_false(serve_until(peer, 200));
	assert_int_equal(broker.n_flows, 1);
	/* Positive control: the same, allowed, a second later. */
	broker.flows = 0;
	poll(NULL, 0, 1100);
	sendto(own, "x", 1, 0, (struct sockaddr *)&to, size);
	assert_true(serve_until(peer, PATIENCE_MS));
	close(peer);
	close(own);
}

static void more_flows_than_fit_push_the_oldest_out(void **state)
{
	NEEDS_NETWORKS();
	int peer = server(outer_ns, OUTSIDE, UDP_PORT, SOCK_DGRAM, 0);
	struct sockaddr_storage to;
	socklen_t size = address(OUTSIDE, UDP_PORT, &to);
	char c;

	for (int i = 0; i < 600; i++) {
		int own = server(cell_ns, "127.0.0.1", 20000 + (unsigned)i, SOCK_DGRAM, 0);

		sendto(own, "x", 1, 0, (struct sockaddr *)&to, size);
		assert_true(serve_until(peer, PATIENCE_MS));
		recv(peer, &c, 1, 0);
		close(own);
	}
	assert_int_equal(broker.n_flows, 600);
	close(peer);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_relay_carries_both_ways_and_keeps_half_closes),
		TEST(a_relays_listener_is_used_again),
		TEST(relays_to_any_number_of_addresses_come_one_after_another),
		TEST(one_more_than_may_be_awaited_is_refused_until_one_is_not),
		TEST(a_relay_that_ends_lingers_not_and_loses_nothing),
		TEST(a_reset_goes_through_a_relay),
		TEST(a_relay_carries_megabytes_past_a_slow_reader),
		TEST(udp_is_carried_and_asked_about_once),
		TEST(udp_over_ipv6_is_carried),
		TEST(without_ipv6_it_carries_as_well),
		TEST(a_stranger_outside_is_not_heard),
		TEST(refused_udp_goes_nowhere_and_a_flood_asks_once),
		TEST(more_flows_than_fit_push_the_oldest_out),
	};

	make_networks();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
