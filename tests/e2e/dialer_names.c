/* SPDX-License-Identifier: MIT */
/*
 * dialer_names.c - names by the dialer: what the broker asks, and the cell's name server, with a
 * name server outside that counts what reaches it.
 */
#include "tests/e2e/dialer.h"

#include <sys/resource.h>

/* ---- resolve --------------------------------------------------------------------------------- */

static struct dial_message resolve(const char *name, unsigned families)
{
	struct dial_message m = {.op = DIAL_RESOLVE,
		.families = (uint8_t)families,
		.name_size = (uint8_t)strlen(name)};
	struct dial_message a;
	uint32_t id;

	memcpy(m.name, name, strlen(name));
	id = ask(&m, NULL, 0);
	a = answer(NULL);
	assert_int_equal(a.op, DIAL_NAMES);
	assert_int_equal(a.id, id);
	return a;
}

static void expect_address(const struct dial_message *m, unsigned i, const char *host)
{
	struct dial_address expected = dial_to(host, 0);

	assert_true(i < m->n_addresses);
	assert_memory_equal(m->addresses[i].bytes, expected.bytes, 16);
	assert_int_equal(m->addresses[i].port, 0);
}

static void a_name_has_its_addresses_and_their_time(void **state)
{
	NEEDS_NETWORKS();
	struct dial_message m = resolve("good.test", 1);

	assert_int_equal(m.result, 0);
	assert_int_equal(m.ttl, 30);
	assert_int_equal(m.n_addresses, 1);
	expect_address(&m, 0, "127.0.0.5");
	m = resolve("good.test", 2);
	assert_int_equal(m.n_addresses, 1);
	expect_address(&m, 0, "2001:db8::7");
	assert_int_equal(resolve("good.test", 3).n_addresses, 2);
	m = resolve("alias.test", 1);
	expect_address(&m, 0, "127.0.0.5");
	assert_int_equal(resolve("many.test", 1).n_addresses, DIAL_ADDRESSES_MAX);
}

static void each_failure_has_its_number(void **state)
{
	NEEDS_NETWORKS();
	assert_int_equal(resolve("nx.test", 1).result, -ENOENT);
	assert_int_equal(resolve("empty.test", 3).result, -ENODATA);
	assert_int_equal(resolve("silent.test", 1).result, -EAGAIN);
	assert_int_equal(resolve("broken.test", 1).result, -EAGAIN);
}

static void hosts_comes_before_the_servers(void **state)
{
	NEEDS_NETWORKS();
	unsigned before = queries();
	struct dial_message m = resolve("fromhosts.test", 1);

	expect_address(&m, 0, "127.0.0.9");
	m = resolve("localhost", 3);
	assert_int_equal(m.n_addresses, 2);
	assert_int_equal(queries(), before);
}

static void only_addresses_of_the_name_that_was_asked_count(void **state)
{
	NEEDS_NETWORKS();
	assert_int_equal(resolve("liar.test", 1).n_addresses, 0);
	/* The wrong id is passed over; it never gets a right one. */
	assert_int_equal(resolve("forged.test", 1).result, -EAGAIN);
	/* Positive control. */
	assert_int_equal(resolve("good.test", 1).n_addresses, 1);
}

/* ---- the cell's name server ------------------------------------------------------------------ */

/* getaddrinfo(3) in the cell: its result, as a child's exit status; the address in `ret`. */
static int cell_getaddrinfo(const char *name, char ret[64])
{
	int pipe_fds[2], status, code = -1;
	pid_t pid;

	assert_return_code(pipe2(pipe_fds, O_CLOEXEC), errno);
	pid = fork();
	if (pid == 0) {
		struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *info;

		setns(cell_ns, CLONE_NEWNET);
		code = getaddrinfo(name, NULL, &hints, &info);
		if (code == 0) {
			inet_ntop(
				AF_INET, &((struct sockaddr_in *)info->ai_addr)->sin_addr, ret, 64);
			if (write(pipe_fds[1], ret, strlen(ret)) < 0)
				_exit(99);
		}
		_exit(-code);
	}
	close(pipe_fds[1]);
	/* End-of-file: it is done. */
	assert_true(serve_until(pipe_fds[0], PATIENCE_MS));
	memset(ret, 0, 64);
	assert_true(read(pipe_fds[0], ret, 63) >= 0);
	close(pipe_fds[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -99;
}

static void the_cell_gets_what_the_broker_was_told_first(void **state)
{
	NEEDS_NETWORKS();
	char host[64];

	assert_int_equal(cell_getaddrinfo("GOOD.test", host), 0);
	assert_string_equal(host, "127.0.0.5");
	assert_int_equal(broker.n_lookups, 1);
	assert_int_equal(broker.n_founds, 1);
	assert_string_equal(broker.last_found.name, "good.test");
	expect_address(&broker.last_found, 0, "127.0.0.5");
	assert_int_equal(broker.last_found.ttl, 30);
}

static void a_refused_name_does_not_exist_and_no_query_leaves(void **state)
{
	NEEDS_NETWORKS();
	unsigned before = queries();
	struct timespec t0, t1;
	char host[64];

	broker.names = -EACCES;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	assert_int_equal(cell_getaddrinfo("good.test", host), EAI_NONAME);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	assert_int_equal(queries(), before);
	assert_int_equal(broker.n_founds, 0);
	/* The name, and the name with the search list's end: no second try of either. */
	assert_true(broker.n_lookups <= 2);
	/* Positive control: one query, where it is allowed. */
	broker.names = 0;
	assert_int_equal(cell_getaddrinfo("good.test", host), 0);
	assert_int_equal(queries(), before + 1);
}

static void localhost_and_addresses_are_asked_of_nobody(void **state)
{
	NEEDS_NETWORKS();
	unsigned before = queries();
	char host[64];

	broker.names = -EACCES;
	assert_int_equal(cell_getaddrinfo("db.localhost", host), 0);
	assert_string_equal(host, "127.0.0.1");
	assert_int_equal(broker.n_lookups, 0);
	assert_int_equal(queries(), before);
}

static size_t make_query(uint8_t *buf, uint16_t id, const char *name, unsigned type)
{
	uint8_t *p = buf;

	put16be(&p, id);
	put16be(&p, 0x0100);
	put16be(&p, 1);
	memset(p, 0, 6);
	p += 6;
	put_name(&p, name);
	put16be(&p, type);
	put16be(&p, 1);
	return (size_t)(p - buf);
}

/* A query over UDP: the answer's code, or -1; *ret_n is how many records it has. */
static int query_udp(int fd, const char *name, unsigned type, unsigned *ret_n)
{
	uint8_t buf[2048];
	size_t n = make_query(buf, 0x1234, name, type);

	assert_int_equal(send(fd, buf, n, 0), (ssize_t)n);
	assert_true(serve_until(fd, PATIENCE_MS));
	assert_true(recv(fd, buf, sizeof(buf), 0) >= 12);
	assert_int_equal(buf[0] << 8 | buf[1], 0x1234);
	assert_true(buf[2] & 0x80);
	*ret_n = (unsigned)(buf[6] << 8 | buf[7]);
	return buf[3] & 15;
}

static int client_of_names(const char *host, int type)
{
	struct sockaddr_storage at;
	socklen_t size = address(host, 53, &at);
	int fd = inside(at.ss_family, type);

	assert_return_code(connect(fd, (struct sockaddr *)&at, size), errno);
	return fd;
}

static void other_types_are_empty_and_pointers_do_not_exist(void **state)
{
	NEEDS_NETWORKS();
	int fd = client_of_names("::1", SOCK_DGRAM);
	unsigned n, before = queries();

	assert_int_equal(query_udp(fd, "good.test", 15, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(broker.n_lookups, 1);
	assert_int_equal(query_udp(fd, "1.0.0.127.in-addr.arpa", 12, &n), 3);
	assert_int_equal(query_udp(fd, "1.2.3.4", 1, &n), 3);
	assert_int_equal(broker.n_lookups, 1);
	assert_int_equal(queries(), before);
	broker.names = -EACCES;
	assert_int_equal(query_udp(fd, "good.test", 15, &n), 3);
	assert_int_equal(query_udp(fd, "localhost", 28, &n), 0);
	assert_int_equal(n, 1);
	close(fd);
}

static void what_fails_outside_fails_inside(void **state)
{
	NEEDS_NETWORKS();
	int fd = client_of_names("127.0.0.1", SOCK_DGRAM);
	unsigned n;

	assert_int_equal(query_udp(fd, "nx.test", 1, &n), 3);
	assert_int_equal(query_udp(fd, "empty.test", 1, &n), 0);
	assert_int_equal(query_udp(fd, "broken.test", 1, &n), 2);
	assert_int_equal(query_udp(fd, "liar.test", 1, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(broker.n_founds, 0);
	assert_int_equal(query_udp(fd, "many.test", 1, &n), 0);
	assert_int_equal(n, DIAL_ADDRESSES_MAX);
	close(fd);
}

static void several_queries_come_over_one_connection(void **state)
{
	NEEDS_NETWORKS();
	int fd = client_of_names("127.0.0.1", SOCK_STREAM);
	uint8_t buf[2048];
	size_t at = 0;

	for (uint16_t id = 1; id <= 5; id++) {
		size_t n = make_query(buf + at + 2, id, id == 3 ? "nx.test" : "good.test", 1);

		buf[at] = (uint8_t)(n >> 8);
		buf[at + 1] = (uint8_t)n;
		at += 2 + n;
	}
	/* Cut where it hurts most. */
	for (size_t i = 0; i < at; i += 7)
		assert_true(send(fd, buf + i, at - i < 7 ? at - i : 7, 0) > 0);
	for (uint16_t id = 1; id <= 5; id++) {
		size_t n;

		assert_true(serve_until(fd, PATIENCE_MS));
		assert_int_equal(recv(fd, buf, 2, MSG_WAITALL), 2);
		n = (size_t)(buf[0] << 8 | buf[1]);
		assert_int_equal(recv(fd, buf, n, MSG_WAITALL), (ssize_t)n);
		assert_int_equal(buf[0] << 8 | buf[1], id);
		assert_int_equal(buf[3] & 15, id == 3 ? 3 : 0);
	}
	close(fd);
}

static void rubbish_hurts_nobody(void **state)
{
	NEEDS_NETWORKS();
	int udp = client_of_names("127.0.0.1", SOCK_DGRAM), tcp;
	uint8_t buf[2048];
	unsigned n, seed = 1;

	for (int i = 0; i < 2000; i++) {
		size_t size = make_query(buf, 7, "good.test", 1) + 8;

		for (int k = 0; k < 1 + i % 20; k++) {
			seed = seed * 1103515245u + 12345u;
			buf[(seed >> 8) % size] = (uint8_t)(seed >> 16);
		}
		send(udp, buf, (seed >> 4) % size, MSG_DONTWAIT);
		while (recv(udp, buf, sizeof(buf), MSG_DONTWAIT) > 0)
			;
		while (readable(broker.sock, 0)) {
			struct dial_message m;

			hear(0, &m, NULL);
		}
	}
	for (int i = 0; i < 40; i++) {
		tcp = client_of_names("127.0.0.1", SOCK_STREAM);
		memset(buf, i * 13, sizeof(buf));
		send(tcp, buf, sizeof(buf), MSG_NOSIGNAL | MSG_DONTWAIT);
		close(tcp);
	}
	close(udp);
	udp = client_of_names("127.0.0.1", SOCK_DGRAM);
	assert_int_equal(query_udp(udp, "good.test", 1, &n), 0);
	assert_int_equal(n, 1);
	close(udp);
}

static void clients_that_hold_every_place_stop_nobody_on_udp(void **state)
{
	NEEDS_NETWORKS();
	int held[40], udp = client_of_names("127.0.0.1", SOCK_DGRAM), closed = 0;
	unsigned n;
	char c;

	for (int i = 0; i < 40; i++)
		held[i] = client_of_names("127.0.0.1", SOCK_STREAM);
	assert_int_equal(query_udp(udp, "good.test", 1, &n), 0);
	/* All but 16 were let go at once. */
	for (int i = 0; i < 40; i++)
		closed += recv(held[i], &c, 1, MSG_DONTWAIT) == 0;
	assert_int_equal(closed, 40 - 16);
	fd_close_many(held, 40);
	close(udp);
}

static void more_lookups_than_fit_fail_and_the_next_does_not(void **state)
{
	NEEDS_NETWORKS();
	int fd = client_of_names("127.0.0.1", SOCK_DGRAM), failed = 0;
	struct dial_message m = {.op = DIAL_VERDICT};
	unsigned n;
	uint8_t buf[2048];

	/* The broker says nothing for the moment. */
	for (uint16_t id = 0; id < 100; id++) {
		size_t size = make_query(buf, id, "good.test", 1);

		assert_int_equal(send(fd, buf, size, 0), (ssize_t)size);
	}
	while (readable(fd, 300)) {
		assert_true(recv(fd, buf, sizeof(buf), 0) >= 12);
		assert_int_equal(buf[3] & 15, 2);
		failed++;
	}
	assert_int_equal(failed, 100 - 64);
	broker.names = -EACCES;
	for (int i = 0; i < 64; i++)
		assert_false(hear(PATIENCE_MS, &m, NULL));
	for (int i = 0; i < 64; i++) {
		assert_true(serve_until(fd, PATIENCE_MS));
		recv(fd, buf, sizeof(buf), 0);
		assert_int_equal(buf[3] & 15, 3);
	}
	broker.names = 0;
	assert_int_equal(query_udp(fd, "good.test", 1, &n), 0);
	close(fd);
}

/* In ticks, of which a second of nothing but work has some hundred. */
static unsigned long worked(pid_t pid)
{
	unsigned long user = 0, system = 0;
	char path[40], text[400] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_int_equal(
		sscanf(strrchr(text, ')'), ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			&user, &system),
		2);
	return user + system;
}

static rlim_t first_free(pid_t pid)
{
	char path[40], text[8];

	for (rlim_t fd = 0;; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)pid, (unsigned)fd);
		if (readlink(path, text, sizeof(text)) < 0) {
			assert_int_equal(errno, ENOENT);
			return fd;
		}
	}
}

static void without_a_descriptor_left_it_rests(void **state)
{
	NEEDS_NETWORKS();
	struct rlimit before, none = {0};
	unsigned long begun;
	uint8_t buf[512];
	size_t n;
	int fd, udp = client_of_names("127.0.0.1", SOCK_DGRAM);
	unsigned found;

	/* It is up. */
	assert_int_equal(query_udp(udp, "good.test", 1, &found), 0);
	close(udp);
	assert_int_equal(prlimit(broker.pid, RLIMIT_NOFILE, NULL, &before), 0);
	none.rlim_max = before.rlim_max;
	none.rlim_cur = first_free(broker.pid);
	assert_int_equal(prlimit(broker.pid, RLIMIT_NOFILE, &none, NULL), 0);
	fd = client_of_names("127.0.0.1", SOCK_STREAM);
	n = make_query(buf + 2, 1, "good.test", 1);
	buf[0] = (uint8_t)(n >> 8);
	buf[1] = (uint8_t)n;
	assert_int_equal(send(fd, buf, n + 2, 0), (ssize_t)n + 2);
	begun = worked(broker.pid);
	assert_false(readable(fd, 1000));
	assert_true(worked(broker.pid) - begun < 30);
	assert_int_equal(prlimit(broker.pid, RLIMIT_NOFILE, &before, NULL), 0);
	assert_true(serve_until(fd, PATIENCE_MS));
	assert_int_equal(recv(fd, buf, 2, MSG_WAITALL), 2);
	close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_name_has_its_addresses_and_their_time),
		TEST(each_failure_has_its_number),
		TEST(hosts_comes_before_the_servers),
		TEST(only_addresses_of_the_name_that_was_asked_count),
		TEST(the_cell_gets_what_the_broker_was_told_first),
		TEST(a_refused_name_does_not_exist_and_no_query_leaves),
		TEST(localhost_and_addresses_are_asked_of_nobody),
		TEST(other_types_are_empty_and_pointers_do_not_exist),
		TEST(what_fails_outside_fails_inside),
		TEST(several_queries_come_over_one_connection),
		TEST(rubbish_hurts_nobody),
		TEST(clients_that_hold_every_place_stop_nobody_on_udp),
		TEST(more_lookups_than_fit_fail_and_the_next_does_not),
		TEST(without_a_descriptor_left_it_rests),
	};
	int r;

	make_networks();
	if (!missing)
		start_name_server();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	if (name_server > 0) {
		kill(name_server, SIGKILL);
		waitpid(name_server, NULL, 0);
	}
	return r;
}
