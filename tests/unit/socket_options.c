/* SPDX-License-Identifier: MIT */
/*
 * socket_options.c - every option that a worker may set is carried over to the socket that takes
 * the place of its own, or is said not to be; and only what it has set.
 */
#include "broker/socket_options.h"
#include "broker/sock.h"
#include "sandbox/tables/table.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Whether it is a row of the worker's filter that lets an option be set, and which. */
static bool lets_set(const struct table_row *row, unsigned *ret_level, unsigned *ret_option)
{
	if (strcmp(row->name, "setsockopt") != 0 || row->error != 0)
		return false;
	assert_int_equal(row->n_args, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(row->args[i].arg, i + 1);
		assert_int_equal(row->args[i].op, SCMP_CMP_MASKED_EQ);
		assert_true(row->args[i].datum_a == LOW32);
	}
	*ret_level = (unsigned)row->args[0].datum_b;
	*ret_option = (unsigned)row->args[1].datum_b;
	return true;
}

static unsigned rows_of(unsigned level, unsigned option)
{
	size_t n;
	const struct socket_option *o = socket_options(&n);
	unsigned found = 0;

	for (size_t i = 0; i < n; i++)
		found += o[i].level == level && o[i].option == option;
	return found;
}

static void every_option_of_the_filter_has_one_row(void **state)
{
	size_t n, n_filter = 0;
	const struct socket_option *o = socket_options(&n);

	for (size_t i = 0; i < table_worker.n; i++) {
		unsigned level, option;

		if (!lets_set(&table_worker.rows[i], &level, &option))
			continue;
		n_filter++;
		if (rows_of(level, option) != 1)
			fail_msg("option %u of level %u has %u rows in broker/socket_options.c",
				option, level, rows_of(level, option));
	}
	assert_int_equal(n_filter, n);
	for (size_t i = 0; i < n; i++) {
		assert_true((o[i].size == 0) == (o[i].why_not != NULL));
		assert_true(o[i].size <= DIAL_VALUE_MAX);
	}
}

static const struct dial_option *find(const struct dial_message *m, int level, int option)
{
	for (size_t i = 0; i < m->n_options; i++) {
		if (m->options[i].level == level && m->options[i].option == option)
			return &m->options[i];
	}
	return NULL;
}

static int value_of(const struct dial_option *o)
{
	int value;

	assert_non_null(o);
	assert_int_equal(o->size, sizeof(value));
	memcpy(&value, o->value, sizeof(value));
	return value;
}

static void set(int fd, int level, int option, int value)
{
	assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

static struct sock new_sock(void)
{
	struct sock k = {.domain = AF_INET, .type = SOCK_STREAM, .protocol = IPPROTO_TCP};

	k.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(k.fd >= 0);
	return k;
}

static void what_is_not_set_is_left_out(void **state)
{
	static struct socket_defaults defaults;
	struct dial_message m = {.op = DIAL_TCP};
	struct sock k = new_sock();

	socket_options_learn(&defaults, k.fd);
	socket_options_read(&k, &defaults, &m);
	assert_int_equal(m.n_options, 0);
	set(k.fd, IPPROTO_IP, IP_TTL, 33);
	set(k.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	set(k.fd, SOL_SOCKET, SO_SNDBUF, 50000);
	socket_options_read(&k, &defaults, &m);
	assert_int_equal(m.n_options, 3);
	assert_int_equal(value_of(find(&m, IPPROTO_IP, IP_TTL)), 33);
	assert_int_equal(value_of(find(&m, IPPROTO_IP, IP_MTU_DISCOVER)), IP_PMTUDISC_DONT);
	assert_int_equal(value_of(find(&m, SOL_SOCKET, SO_SNDBUF)), 50000);
	close(k.fd);
}

/* There a segment of 536 bytes is what nobody has asked for. */
static void where_no_default_is_known_what_a_socket_has_is_carried_over(void **state)
{
	static const struct socket_defaults unknown;
	struct dial_message m = {.op = DIAL_TCP};
	struct sock k = new_sock();

	set(k.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	socket_options_read(&k, &unknown, &m);
	assert_int_equal(value_of(find(&m, IPPROTO_IP, IP_MTU_DISCOVER)), IP_PMTUDISC_DONT);
	assert_true(value_of(find(&m, IPPROTO_IP, IP_TTL)) > 0);
	assert_null(find(&m, IPPROTO_TCP, TCP_MAXSEG));
	assert_null(find(&m, SOL_SOCKET, SO_SNDBUF));
	close(k.fd);
}

/* IP_TOS sets the priority as well. */
static void a_priority_that_was_taken_back_is_carried_over_behind_a_tos(void **state)
{
	static struct socket_defaults defaults;
	struct dial_message m = {.op = DIAL_TCP};
	struct sock k = new_sock();

	socket_options_learn(&defaults, k.fd);
	set(k.fd, IPPROTO_IP, IP_TOS, 16);
	set(k.fd, SOL_SOCKET, SO_PRIORITY, 0);
	socket_options_read(&k, &defaults, &m);
	assert_int_equal(m.n_options, 2);
	assert_int_equal(m.options[0].option, IP_TOS);
	assert_int_equal(m.options[1].option, SO_PRIORITY);
	assert_int_equal(value_of(&m.options[1]), 0);
	close(k.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_of_the_filter_has_one_row),
		cmocka_unit_test(what_is_not_set_is_left_out),
		cmocka_unit_test(where_no_default_is_known_what_a_socket_has_is_carried_over),
		cmocka_unit_test(a_priority_that_was_taken_back_is_carried_over_behind_a_tos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
