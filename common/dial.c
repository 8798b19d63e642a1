/* SPDX-License-Identifier: MIT */
/*
 * dial.c - messages between a broker and its dialer to bytes and back.
 *
 * Runs in: broker and dialer.  Trusts: nothing in a buffer that is decoded.
 *
 * Both directions walk the fields of the row in one order, so that what one side writes the other
 * can read, and nothing else.
 */
#include "common/dial.h"
#include "common/codec.h"

#include <errno.h>
#include <string.h>

#define LABEL_MAX    63    /* RFC 1035, 2.3.4 */
#define ERROR_LOWEST -4095 /* MAX_ERRNO */

static const struct row {
	uint8_t fds;
	uint16_t fields;
	uint8_t least, most; /* addresses */
} rows[DIAL__COUNT] = {
#define X(op, OP, fds_, fields_, least_, most_) \
	[DIAL_##OP] = {.fds = (fds_), .fields = (fields_), .least = (least_), .most = (most_)},
	DIAL_TABLE(X)
#undef X
};

size_t dial_fds(enum dial_op op)
{
	return (unsigned)op < DIAL__COUNT ? rows[op].fds : 0;
}

bool dial_name_is_sound(const char *name, size_t size)
{
	size_t label = 0;

	if (size == 0 || size > DIAL_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = name[i];

		if (c == '.') {
			if (label == 0)
				return false;
			label = 0;
			continue;
		}
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') ||
			++label > LABEL_MAX)
			return false;
	}
	return label > 0;
}

/* Whether a message may be what its row says: both sides look, before and after the wire. */
static bool is_sound(const struct dial_message *m, const struct row *row)
{
	size_t cell = 0;

	for (size_t i = 0; i < DIAL_CELL__COUNT; i++)
		cell += m->cell[i];
	if (cell > row->fds && (row->fields & DIAL_F_CELL))
		return false;
	if (m->n_addresses < row->least || m->n_addresses > row->most)
		return false;
	if (m->result > 0 || m->result < ERROR_LOWEST || m->which >= DIAL_ADDRESSES_MAX)
		return false;
	if ((row->fields & DIAL_F_FAMILIES) && (m->families < 1 || m->families > 3))
		return false;
	if ((row->fields & DIAL_F_NAME) && !dial_name_is_sound(m->name, m->name_size))
		return false;
	if ((row->fields & DIAL_F_BYTES) && m->name_size > DIAL_ABSTRACT_MAX)
		return false;
	if (m->op == DIAL_TCP && !m->wait && m->n_addresses != 1)
		return false;
	return m->op != DIAL_RELAY || m->wait;
}

static void put_lists(struct enc *e, const struct dial_message *m, const struct row *row)
{
	if (row->most > 0) {
		enc_u8(e, m->n_addresses);
		for (size_t i = 0; i < m->n_addresses; i++) {
			enc_bytes(e, m->addresses[i].bytes, sizeof(m->addresses[i].bytes));
			enc_u16(e, m->addresses[i].port);
		}
	}
	if (!(row->fields & DIAL_F_OPTIONS))
		return;
	enc_u8(e, m->n_options);
	for (size_t i = 0; i < m->n_options; i++) {
		enc_u16(e, m->options[i].level);
		enc_u16(e, m->options[i].option);
		enc_u8(e, m->options[i].size);
		enc_bytes(e, m->options[i].value, m->options[i].size);
	}
}

static bool options_fit(const struct dial_message *m)
{
	if (m->n_options > DIAL_OPTIONS_MAX)
		return false;
	for (size_t i = 0; i < m->n_options; i++) {
		if (m->options[i].size < 1 || m->options[i].size > DIAL_VALUE_MAX)
			return false;
	}
	return true;
}

long dial_encode(const struct dial_message *m, uint8_t *buf, size_t size)
{
	struct enc e = enc_init(buf, size < DIAL_SIZE_MAX ? size : DIAL_SIZE_MAX);
	const struct row *row = &rows[m->op];
	size_t whole = 0;

	if ((unsigned)m->op >= DIAL__COUNT || !is_sound(m, row) || !options_fit(m))
		return -EMSGSIZE;
	msg_begin(&e, (uint16_t)m->op, m->id, 0);
	if (row->fields & DIAL_F_CELL)
		enc_bytes(&e, m->cell, sizeof(m->cell));
	if (row->fields & DIAL_F_TIMEOUT)
		enc_u32(&e, m->timeout_ms);
	if (row->fields & DIAL_F_WAIT)
		enc_u8(&e, m->wait);
	if (row->fields & DIAL_F_RESULT)
		enc_u32(&e, (uint32_t)m->result);
	if (row->fields & DIAL_F_TTL)
		enc_u32(&e, m->ttl);
	if (row->fields & DIAL_F_OF)
		enc_u32(&e, m->of);
	if (row->fields & DIAL_F_TYPE)
		enc_u16(&e, m->type);
	if (row->fields & DIAL_F_FAMILIES)
		enc_u8(&e, m->families);
	if (row->fields & DIAL_F_WHICH)
		enc_u8(&e, m->which);
	if (row->fields & (DIAL_F_NAME | DIAL_F_BYTES)) {
		enc_u8(&e, m->name_size);
		enc_bytes(&e, m->name, m->name_size);
	}
	put_lists(&e, m, row);
	return msg_end(&e, &whole) < 0 ? -EMSGSIZE : (long)whole;
}

static void get_addresses(struct dec *d, struct dial_message *m)
{
	m->n_addresses = dec_u8(d);
	if (m->n_addresses > DIAL_ADDRESSES_MAX)
		d->error = -EBADMSG;
	for (size_t i = 0; !d->error && i < m->n_addresses; i++) {
		const void *bytes = dec_bytes(d, sizeof(m->addresses[i].bytes));

		if (bytes)
			memcpy(m->addresses[i].bytes, bytes, sizeof(m->addresses[i].bytes));
		m->addresses[i].port = dec_u16(d);
	}
}

static void get_options(struct dec *d, struct dial_message *m)
{
	m->n_options = dec_u8(d);
	if (m->n_options > DIAL_OPTIONS_MAX)
		d->error = -EBADMSG;
	for (size_t i = 0; !d->error && i < m->n_options; i++) {
		struct dial_option *o = &m->options[i];
		const void *value;

		o->level = dec_u16(d);
		o->option = dec_u16(d);
		o->size = dec_u8(d);
		if (o->size < 1 || o->size > sizeof(o->value))
			d->error = -EBADMSG;
		value = dec_bytes(d, o->size);
		if (value)
			memcpy(o->value, value, o->size);
	}
}

static void get_name(struct dec *d, struct dial_message *m)
{
	const void *name;

	m->name_size = dec_u8(d);
	if (m->name_size > DIAL_NAME_MAX)
		d->error = -EBADMSG;
	name = dec_bytes(d, m->name_size);
	if (name)
		memcpy(m->name, name, m->name_size);
}

static void get_numbers(struct dec *d, struct dial_message *m, unsigned fields)
{
	const void *cell = fields & DIAL_F_CELL ? dec_bytes(d, sizeof(m->cell)) : NULL;
	uint8_t wait = 0;

	if (cell)
		memcpy(m->cell, cell, sizeof(m->cell));
	if (fields & DIAL_F_TIMEOUT)
		m->timeout_ms = dec_u32(d);
	if (fields & DIAL_F_WAIT)
		wait = dec_u8(d);
	if (wait > 1)
		d->error = -EBADMSG;
	m->wait = wait;
	if (fields & DIAL_F_RESULT)
		m->result = (int32_t)dec_u32(d);
	if (fields & DIAL_F_TTL)
		m->ttl = dec_u32(d);
	if (fields & DIAL_F_OF)
		m->of = dec_u32(d);
	if (fields & DIAL_F_TYPE)
		m->type = dec_u16(d);
	if (fields & DIAL_F_FAMILIES)
		m->families = dec_u8(d);
	if (fields & DIAL_F_WHICH)
		m->which = dec_u8(d);
}

int dial_decode(const uint8_t *buf, size_t size, struct dial_message *ret)
{
	struct dec d = dec_init(buf, size);
	struct msg_header h;
	const struct row *row;

	if (size > DIAL_SIZE_MAX || msg_header(&d, &h) < 0 || h.op >= DIAL__COUNT || h.count != 0)
		return -EBADMSG;
	memset(ret, 0, sizeof(*ret));
	ret->id = h.id;
	ret->op = (enum dial_op)h.op;
	row = &rows[ret->op];
	get_numbers(&d, ret, row->fields);
	if (row->fields & (DIAL_F_NAME | DIAL_F_BYTES))
		get_name(&d, ret);
	if (row->most > 0)
		get_addresses(&d, ret);
	if (row->fields & DIAL_F_OPTIONS)
		get_options(&d, ret);
	return dec_end(&d) == 0 && is_sound(ret, row) ? 0 : -EBADMSG;
}
