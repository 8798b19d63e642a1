/* SPDX-License-Identifier: MIT */
/*
 * dns.c - what a query of the cell's may do to the name server's reader, and to its answer.
 *
 * Whatever is answered fits, and repeats the question as it came.
 */
#include "broker/dialer/dns.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dial_address addresses[DIAL_ADDRESSES_MAX];
	uint8_t buf[DNS_ANSWER_MAX];
	struct dns_query q;
	int r = dns_parse(data, size, &q);

	if (r < 0)
		return 0;
	assert(q.answer_max >= DNS_UDP_MAX && q.answer_max <= DNS_EDNS_MAX);
	assert(q.name[q.name_size] == '\0' && q.name_size <= DIAL_NAME_MAX);
	assert(!q.is_name || dial_name_is_sound(q.name, q.name_size));
	for (int tcp = 0; tcp < 2; tcp++) {
		struct dns_answer a = {
			(enum dns_code)r, 1, r == DNS_OK ? DIAL_ADDRESSES_MAX : 0, addresses};
		size_t n = dns_compose(&q, &a, tcp, buf);

		assert(n >= DNS_HEAD_SIZE && n <= (tcp ? DNS_ANSWER_MAX : q.answer_max));
		assert(memcmp(buf, data, 2) == 0 && (buf[2] & 0x80));
		assert(r != DNS_OK || memcmp(buf + 12, data + 12, q.question_size) == 0);
	}
	return 0;
}
