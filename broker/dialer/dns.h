/* SPDX-License-Identifier: MIT */
/*
 * dns.h - queries of the cell taken apart, and answers put together: bytes alone, no socket.
 */
#ifndef WARDER_DNS_H
#define WARDER_DNS_H

#include "common/dial.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEAD_SIZE  12
#define DNS_NAME_SIZE  255          /* on the wire: RFC 1035, 2.3.4 */
#define DNS_QUERY_MAX  1024         /* one question, and EDNS with its options */
#define DNS_UDP_MAX    512          /* without EDNS */
#define DNS_EDNS_MAX   1232         /* and with it, whatever is asked for */
#define DNS_ANSWER_MAX DNS_EDNS_MAX /* holds every answer there is: see dns.c */
#define DNS_TYPE_A     1
#define DNS_TYPE_PTR   12
#define DNS_TYPE_AAAA  28

enum dns_code { /* RFC 1035, 4.1.1 */
	DNS_OK = 0,
	DNS_FORMAT = 1,
	DNS_FAILURE = 2,
	DNS_NO_NAME = 3,
	DNS_NOT_IMPLEMENTED = 4,
};

struct dns_query {
	uint16_t id;
	bool recursion, edns;
	uint8_t opcode;
	uint16_t answer_max; /* over UDP */
	uint16_t type;
	uint16_t question_size; /* 0: there is none to repeat */
	uint8_t question[DNS_NAME_SIZE + 4];
	bool is_name; /* a name as dial.h has it, in `name`; else none that could be asked for */
	uint8_t name_size;
	char name[DIAL_NAME_MAX + 1];
};

/*
 * Takes a query apart.  DNS_OK; another code: it is answered with that; or -EBADMSG: it is no query
 * and gets no answer.
 */
int dns_parse(const uint8_t *p, size_t size, struct dns_query *ret);

struct dns_answer {
	enum dns_code code;
	uint32_t ttl;
	size_t n; /* addresses, each of the family that was asked */
	const struct dial_address *addresses;
};

/* The answer, of at most answer_max bytes (`tcp`: DNS_ANSWER_MAX); one that is cut says so.  The
 * size. */
size_t dns_compose(const struct dns_query *q, const struct dns_answer *a, bool tcp,
	uint8_t buf[DNS_ANSWER_MAX]);

#endif
