/* SPDX-License-Identifier: MIT */
/*
 * dns.c - queries of the cell taken apart, and answers put together.
 *
 * Runs in: dialer.  Trusts: nothing in a query.
 *
 * A query is what a stub resolver sends and no more: one question of class IN, its name spelled
 * out, perhaps one OPT record (RFC 6891) and nothing after it.  The longest answer has 12 bytes of
 * head, 259 of question, 16 addresses of 28 and 11 of OPT: 730.
 */
#include "broker/dialer/dns.h"
#include "common/codec.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define FLAG_RESPONSE  0x8000
#define FLAG_TRUNCATED 0x0200
#define FLAG_RECURSION 0x0100 /* desired */
#define FLAG_AVAILABLE 0x0080
#define OPCODE(flags)  (((flags) >> 11) & 15)

#define CLASS_IN  1
#define TYPE_OPT  41
#define LABEL_MAX 63
#define OPT_SIZE  11
#define POINTER   0xc00c /* to the question's name */

/* The network's order, where codec.h has the channel's. */
static uint16_t get16(struct dec *d)
{
	return htobe16(htole16(dec_u16(d)));
}

static void put16(struct enc *e, uint16_t v)
{
	enc_u8(e, (uint8_t)(v >> 8));
	enc_u8(e, (uint8_t)v);
}

static void put32(struct enc *e, uint32_t v)
{
	put16(e, (uint16_t)(v >> 16));
	put16(e, (uint16_t)v);
}

static char lower(uint8_t c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* The name, which ends in an empty label.  A pointer is none.  False: not a name. */
static bool get_name(struct dec *d, struct dns_query *q)
{
	size_t n = 0, wire = 0;
	bool text = true;

	for (;;) {
		uint8_t label = dec_u8(d);
		const uint8_t *p;

		if (d->error || label > LABEL_MAX)
			return false;
		wire += 1u + label;
		if (wire > DNS_NAME_SIZE)
			return false;
		if (label == 0)
			break;
		p = dec_bytes(d, label);
		if (!p)
			return false;
		if (n > 0)
			q->name[n++] = '.';
		/* 255 on the wire are 253 in text; `wire` has held it already. */
		for (size_t i = 0; i < label && n < DIAL_NAME_MAX; i++) {
			text = text && p[i] != '.';
			q->name[n++] = lower(p[i]);
		}
	}
	q->name[n] = '\0';
	q->name_size = (uint8_t)n;
	q->is_name = text && dial_name_is_sound(q->name, n);
	return true;
}

/* The one additional record that may be there. */
static bool get_opt(struct dec *d, struct dns_query *q)
{
	uint16_t size, options;

	if (dec_u8(d) != 0 || get16(d) != TYPE_OPT)
		return false;
	size = get16(d);
	dec_u8(d);          /* the code's upper bits */
	if (dec_u8(d) != 0) /* the version */
		return false;
	get16(d); /* DO: there is nothing signed here */
	options = get16(d);
	dec_bytes(d, options);
	if (d->error)
		return false;
	q->edns = true;
	if (size > DNS_UDP_MAX)
		q->answer_max = size < DNS_EDNS_MAX ? size : DNS_EDNS_MAX;
	return true;
}

int dns_parse(const uint8_t *p, size_t size, struct dns_query *ret)
{
	struct dec d = dec_init(p, size);
	uint16_t flags, questions, answers, authorities, additional, class;
	const uint8_t *begin;

	memset(ret, 0, sizeof(*ret));
	ret->answer_max = DNS_UDP_MAX;
	ret->id = get16(&d);
	flags = get16(&d);
	questions = get16(&d);
	answers = get16(&d);
	authorities = get16(&d);
	additional = get16(&d);
	if (d.error || (flags & FLAG_RESPONSE))
		return -EBADMSG;
	ret->opcode = OPCODE(flags);
	ret->recursion = flags & FLAG_RECURSION;
	if (ret->opcode != 0)
		return DNS_NOT_IMPLEMENTED;
	if (questions != 1 || answers || authorities || additional > 1)
		return DNS_FORMAT;
	begin = d.at;
	if (!get_name(&d, ret)) {
		ret->name[0] = '\0';
		return DNS_FORMAT;
	}
	ret->type = get16(&d);
	class = get16(&d);
	if (d.error || class != CLASS_IN || ret->type == 0)
		return DNS_FORMAT;
	if (additional && !get_opt(&d, ret)) {
		ret->edns = false;
		return DNS_FORMAT;
	}
	if (dec_end(&d) < 0)
		return DNS_FORMAT;
	/* get_name() holds it: at most DNS_NAME_SIZE, and 4. */
	ret->question_size = (uint16_t)(ret->name_size ? ret->name_size + 2 + 4 : 1 + 4);
	memcpy(ret->question, begin, ret->question_size);
	return DNS_OK;
}

static void put_address(
	struct enc *e, const struct dns_query *q, const struct dial_address *a, uint32_t ttl)
{
	const size_t size = q->type == DNS_TYPE_A ? 4 : 16;

	put16(e, POINTER);
	put16(e, q->type);
	put16(e, CLASS_IN);
	put32(e, ttl);
	put16(e, (uint16_t)size);
	enc_bytes(e, a->bytes + sizeof(a->bytes) - size, size);
}

size_t dns_compose(const struct dns_query *q, const struct dns_answer *a, bool tcp,
	uint8_t buf[DNS_ANSWER_MAX])
{
	const size_t most = tcp ? DNS_ANSWER_MAX : q->answer_max;
	const size_t each = 12 + (q->type == DNS_TYPE_A ? 4 : 16);
	size_t room = most - DNS_HEAD_SIZE - q->question_size - (q->edns ? OPT_SIZE : 0);
	size_t n = q->question_size ? a->n : 0;
	bool cut = n * each > room;
	struct enc e = enc_init(buf, most);

	if (cut)
		n = room / each;
	put16(&e, q->id);
	put16(&e, (uint16_t)(FLAG_RESPONSE | q->opcode << 11 | (cut ? FLAG_TRUNCATED : 0) |
			     (q->recursion ? FLAG_RECURSION : 0) | FLAG_AVAILABLE | a->code));
	put16(&e, q->question_size ? 1 : 0);
	put16(&e, (uint16_t)n);
	put16(&e, 0);
	put16(&e, q->edns ? 1 : 0);
	enc_bytes(&e, q->question, q->question_size);
	for (size_t i = 0; i < n; i++)
		put_address(&e, q, &a->addresses[i], a->ttl);
	if (q->edns) {
		enc_u8(&e, 0);
		put16(&e, TYPE_OPT);
		put16(&e, DNS_EDNS_MAX);
		put32(&e, 0);
		put16(&e, 0);
	}
	return enc_size(&e);
}
