/* SPDX-License-Identifier: MIT */
/*
 * socket_options.c - what a program has set on its socket is there after connect, and after bind
 * and listen, though the socket is another one by then.
 *
 * This program is its own worker.  It sets each option that is carried over (broker's table) on a
 * socket of its own, and says what getsockopt(2) tells in the end; without a cell it says the same.
 */
#include "tests/e2e/peers.h"
#include "tests/hostile/inside.h"

#include "broker/socket_options.h"

#include <netinet/tcp.h>

#define LISTENERS 2

/* What is set, where it is not 1: nothing that a new socket has. */
static const struct {
	uint16_t level, option;
	int value[2]; /* the second of a struct linger or timeval */
} values[] = {
	{SOL_SOCKET, SO_LINGER, {1, 5}},
	{SOL_SOCKET, SO_SNDBUF, {40000}},
	{SOL_SOCKET, SO_RCVBUF, {40000}},
	{SOL_SOCKET, SO_RCVLOWAT, {7}},
	{SOL_SOCKET, SO_RCVTIMEO, {30}},
	{SOL_SOCKET, SO_SNDTIMEO, {30}},
	{SOL_SOCKET, SO_PRIORITY, {3}},
	{IPPROTO_TCP, TCP_KEEPIDLE, {77}},
	{IPPROTO_TCP, TCP_KEEPINTVL, {7}},
	{IPPROTO_TCP, TCP_KEEPCNT, {3}},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, {5000}},
	{IPPROTO_TCP, TCP_LINGER2, {17}},
	{IPPROTO_TCP, TCP_SYNCNT, {2}},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, {4000}},
	{IPPROTO_TCP, TCP_MAXSEG, {700}},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT, {3}},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, {5000}},
	{IPPROTO_IP, IP_TOS, {16}},
	{IPPROTO_IP, IP_TTL, {33}},
	{IPPROTO_IP, IP_MTU_DISCOVER, {0}},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS, {33}},
	{IPPROTO_IPV6, IPV6_TCLASS, {16}},
	{IPPROTO_IPV6, IPV6_MTU_DISCOVER, {0}},
};

/* ---- the worker ------------------------------------------------------------------------------ */

static int set(int fd, const struct socket_option *o)
{
	uint8_t value[DIAL_VALUE_MAX] = {0};
	int one = 1, second;

	memcpy(value, &one, sizeof(one));
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		if (values[i].level != o->level || values[i].option != o->option)
			continue;
		memcpy(value, &values[i].value[0], sizeof(int));
		second = values[i].value[1];
		if (o->size == 8)
			memcpy(value + sizeof(int), &second, sizeof(int));
	}
	if (o->level == IPPROTO_TCP && o->option == TCP_CONGESTION)
		memcpy(value, "reno", sizeof("reno"));
	return setsockopt(fd, o->level, o->option, value, o->size);
}

static void say(const char *how, int family, int fd, const struct socket_option *o)
{
	uint8_t value[DIAL_VALUE_MAX] = {0};
	socklen_t size = o->size;

	printf("%s %s %u/%u:", how, family == AF_INET ? "inet" : "inet6", o->level, o->option);
	if (getsockopt(fd, o->level, o->option, value, &size) < 0)
		printf(" %s", strerrorname_np(errno));
	for (size_t i = 0; i < size; i++)
		printf(" %02x", value[i]);
	printf("\n");
}

static socklen_t loopback(int family, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in in = port_address(port);
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
		.sin6_port = htons(port)};

	if (family == AF_INET)
		memcpy(ret, &in, sizeof(in));
	else
		memcpy(ret, &in6, sizeof(in6));
	return family == AF_INET ? sizeof(in) : sizeof(in6);
}

/* One option on one socket; port 0: it is bound instead.  Without an option: for the control. */
static void try(int family, uint16_t port, const struct socket_option *o, bool sets)
{
	struct sockaddr_storage to;
	socklen_t size = loopback(family, port, &to);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (sets && set(fd, o) < 0)
		printf("set: %s\n", strerrorname_np(errno));
	r = (port ? connect : bind)(fd, (struct sockaddr *)&to, size);
	if (r < 0)
		printf("%s: %s\n", port ? "connect" : "bind", strerrorname_np(errno));
	say(port ? "connect" : "bind", family, fd, o);
	if (r == 0 && port == 0) {
		printf("%s\n", listen(fd, 1) < 0 ? strerrorname_np(errno) : "listens");
		say("listen", family, fd, o);
	}
	close(fd);
}

/* Not TCP_QUICKACK: the kernel changes it as it likes; tcp(7). */
static bool is_tried(const struct socket_option *o, int family)
{
	return !o->why_not && !(o->level == IPPROTO_TCP && o->option == TCP_QUICKACK) &&
	       !(o->level == IPPROTO_IPV6 && family == AF_INET);
}

static int worker_main(char **args)
{
	static const int families[LISTENERS] = {AF_INET, AF_INET6};
	size_t n;
	const struct socket_option *all = socket_options(&n);
	bool sets = strcmp(args[0], "set") == 0;

	for (size_t i = 0; i < LISTENERS; i++) {
		uint16_t port = (uint16_t)atoi(args[1 + i]);

		for (size_t k = 0; port && k < n; k++) {
			if (!is_tried(&all[k], families[i]))
				continue;
			try(families[i], port, &all[k], sets);
			try(families[i], 0, &all[k], sets);
		}
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- the tester ------------------------------------------------------------------------------ */

/* A listener at [::1] with a queue for all; -1: the host has no IPv6. */
static int listen_six(uint16_t *ret_port)
{
	struct sockaddr_storage at;
	socklen_t size = loopback(AF_INET6, 0, &at);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*ret_port = 0;
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, size) < 0) {
		close(fd);
		print_message("no IPv6 on this host: its sockets' options are not tried\n");
		return -1;
	}
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	assert_int_equal(listen(fd, 1000), 0);
	*ret_port = ntohs(((struct sockaddr_in6 *)&at)->sin6_port);
	return fd;
}

/* Each line of one that the other does not have: how many; the first is told. */
static size_t differ(char *a, const char *b, const char *what)
{
	size_t n = 0;
	char *save = NULL;

	for (char *line = strtok_r(a, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strstr(b, line))
			continue;
		if (what)
			print_error("%s: %s\n", what, line);
		n++;
	}
	return n;
}

static void what_is_set_before_connect_and_bind_is_there_afterwards(void **state)
{
	static struct outcome unset, native, within;
	char top[PATH_MAX], ledger[PATH_MAX + 16], rules[4][64], ports[LISTENERS][8];
	const char *command[] = {own_path(), "unset", ports[0], ports[1], NULL};
	const char *options[] = {
		"-q", "-e", rules[0], "-e", rules[1], "-e", rules[2], "-e", rules[3], NULL};
	uint16_t port, port_six;
	int fd = listen_port(1000, &port), fd_six = listen_six(&port_six);

	make_directory(top, sizeof(top));
	snprintf(ports[0], sizeof(ports[0]), "%u", port);
	snprintf(ports[1], sizeof(ports[1]), "%u", port_six);
	snprintf(rules[0], sizeof(rules[0]), "allow connect 127.0.0.1:%u", port);
	snprintf(rules[1], sizeof(rules[1]), "allow connect [::1]:%u", port_six ? port_six : 1);
	snprintf(rules[2], sizeof(rules[2]), "allow bind 127.0.0.1:0");
	snprintf(rules[3], sizeof(rules[3]), "allow bind [::1]:0");
	run_program(&unset, command);
	command[1] = "set";
	run_program(&native, command);
	run_inside(&within, top, options, command);
	assert_int_equal(native.status, 0);
	assert_int_equal(within.status, 0);
	/* The control: what is set can be seen, of nearly all. */
	assert_true(differ(unset.out, native.out, NULL) > (port_six ? 190 : 85));
	assert_int_equal(differ(within.out, native.out, "only in the cell"), 0);
	outcome_free(&within);
	close(fd);
	close(fd_six);
	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", top);
	unlink(ledger);
	rmdir(top);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_set_before_connect_and_bind_is_there_afterwards),
	};

	if (argc > 3)
		return worker_main(argv + 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
