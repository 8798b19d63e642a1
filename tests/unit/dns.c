/* SPDX-License-Identifier: MIT */
/*
 * dns.c - queries taken apart and answers put together, byte by byte.
 */
#include "broker/dialer/dns.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

/* clang-format off */
static const uint8_t plain[] = {
	0xab, 0xcd, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0,
	3, 'W', 'w', 'w', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1,
};
static const uint8_t opt[] = {0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 4, 0, 10, 0, 0};
/* clang-format on */

static int parse_changed(size_t at, uint8_t value)
{
	uint8_t buf[sizeof(plain)];
	struct dns_query q;

	memcpy(buf, plain, sizeof(buf));
	buf[at] = value;
	return dns_parse(buf, sizeof(buf), &q);
}

static void a_query_is_understood(void **state)
{
	struct dns_query q;
	uint8_t buf[sizeof(plain) + sizeof(opt)];

	assert_int_equal(dns_parse(plain, sizeof(plain), &q), DNS_OK);
	assert_int_equal(q.id, 0xabcd);
	assert_true(q.recursion);
	assert_false(q.edns);
	assert_int_equal(q.type, DNS_TYPE_A);
	assert_true(q.is_name);
	assert_string_equal(q.name, "www.example");
	assert_int_equal(q.name_size, 11);
	assert_int_equal(q.answer_max, DNS_UDP_MAX);
	memcpy(buf, plain, sizeof(plain));
	memcpy(buf + sizeof(plain), opt, sizeof(opt));
	buf[11] = 1;
	assert_int_equal(dns_parse(buf, sizeof(buf), &q), DNS_OK);
	assert_true(q.edns);
	assert_int_equal(q.answer_max, DNS_EDNS_MAX);
}

static void what_is_odd_is_refused(void **state)
{
	struct dns_query q;
	uint8_t buf[sizeof(plain) + 2];

	for (size_t cut = 0; cut < sizeof(plain); cut++)
		assert_int_not_equal(dns_parse(plain, cut, &q), DNS_OK);
	memcpy(buf, plain, sizeof(plain));
	buf[sizeof(plain)] = 0;
	assert_int_equal(dns_parse(buf, sizeof(plain) + 1, &q), DNS_FORMAT);
	assert_int_equal(parse_changed(2, 0x81), -EBADMSG);            /* an answer */
	assert_int_equal(parse_changed(2, 0x11), DNS_NOT_IMPLEMENTED); /* a status query */
	assert_int_equal(parse_changed(5, 0), DNS_FORMAT);
	assert_int_equal(parse_changed(5, 2), DNS_FORMAT);
	assert_int_equal(parse_changed(7, 1), DNS_FORMAT);
	assert_int_equal(parse_changed(9, 1), DNS_FORMAT);
	assert_int_equal(parse_changed(11, 1), DNS_FORMAT);
	assert_int_equal(parse_changed(12, 0xc0), DNS_FORMAT); /* a pointer */
	assert_int_equal(parse_changed(12, 0x40), DNS_FORMAT);
	assert_int_equal(parse_changed(sizeof(plain) - 1, 3), DNS_FORMAT); /* class CH */
}

static void bytes_that_are_no_name_are_no_name(void **state)
{
	uint8_t buf[sizeof(plain)];
	struct dns_query q;
	const uint8_t bad[] = {'.', 0, ' ', '/', 0xff, '*'};

	for (size_t i = 0; i < sizeof(bad); i++) {
		memcpy(buf, plain, sizeof(buf));
		buf[14] = bad[i];
		assert_int_equal(dns_parse(buf, sizeof(buf), &q), DNS_OK);
		assert_false(q.is_name);
	}
}

/* Names of every size around the largest. */
static void the_longest_name_fits_and_a_longer_one_is_refused(void **state)
{
	for (size_t last = 1; last <= 63; last++) {
		uint8_t buf[512] = {0, 1, 1, 0, 0, 1}, *p = buf + 12;
		struct dns_query q;
		size_t wire;
		int r;

		for (int i = 0; i < 4; i++) {
			size_t n = i < 3 ? 63 : last;

			*p++ = (uint8_t)n;
			memset(p, 'a', n);
			p += n;
		}
		*p++ = 0;
		wire = (size_t)(p - buf) - 12;
		memcpy(p, (uint8_t[]){0, 28, 0, 1}, 4);
		r = dns_parse(buf, (size_t)(p + 4 - buf), &q);
		assert_int_equal(r, wire <= DNS_NAME_SIZE ? DNS_OK : DNS_FORMAT);
		if (r == DNS_OK)
			assert_int_equal(q.question_size, wire + 4);
	}
}

static void an_answer_repeats_the_question_and_holds_the_addresses(void **state)
{
	struct dial_address a[2] = {{.bytes = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1}},
		{.bytes = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 2}}};
	struct dns_answer answer = {DNS_OK, 300, 2, a};
	const uint8_t first[] = {0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 0, 0, 1};
	uint8_t buf[DNS_ANSWER_MAX];
	struct dns_query q;
	size_t n;

	dns_parse(plain, sizeof(plain), &q);
	n = dns_compose(&q, &answer, false, buf);
	assert_int_equal(n, sizeof(plain) + 32);
	assert_int_equal(buf[0] << 8 | buf[1], 0xabcd);
	assert_int_equal(buf[2], 0x81);
	assert_int_equal(buf[3], 0x80);
	assert_int_equal(buf[7], 2);
	assert_memory_equal(buf + 12, plain + 12, sizeof(plain) - 12);
	assert_memory_equal(buf + sizeof(plain), first, sizeof(first));
	answer = (struct dns_answer){.code = DNS_NO_NAME};
	assert_int_equal(dns_compose(&q, &answer, true, buf), sizeof(plain));
	assert_int_equal(buf[3], 0x83);
}

static void what_does_not_fit_is_cut_and_says_so(void **state)
{
	struct dial_address a[DIAL_ADDRESSES_MAX] = {0};
	struct dns_answer answer = {DNS_OK, 300, DIAL_ADDRESSES_MAX, a};
	uint8_t query[300] = {0, 1, 1, 0, 0, 1}, *p = query + 12, buf[DNS_ANSWER_MAX];
	struct dns_query q;

	for (int i = 0; i < 2; i++) {
		*p++ = 60;
		memset(p, 'b', 60);
		p += 60;
	}
	memcpy(p, (uint8_t[]){0, 0, 28, 0, 1}, 5);
	assert_int_equal(dns_parse(query, (size_t)(p + 5 - query), &q), DNS_OK);
	assert_true(dns_compose(&q, &answer, false, buf) <= DNS_UDP_MAX);
	assert_true(buf[2] & 2);
	assert_true(buf[7] < DIAL_ADDRESSES_MAX);
	assert_true(dns_compose(&q, &answer, true, buf) > DNS_UDP_MAX);
	assert_false(buf[2] & 2);
	assert_int_equal(buf[7], DIAL_ADDRESSES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_is_understood),
		cmocka_unit_test(what_is_odd_is_refused),
		cmocka_unit_test(bytes_that_are_no_name_are_no_name),
		cmocka_unit_test(the_longest_name_fits_and_a_longer_one_is_refused),
		cmocka_unit_test(an_answer_repeats_the_question_and_holds_the_addresses),
		cmocka_unit_test(what_does_not_fit_is_cut_and_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
