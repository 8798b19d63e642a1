/* SPDX-License-Identifier: MIT */
/*
 * codec.c - messages to bytes and back, with an error that sticks.
 *
 * Runs in: broker and worker.  Trusts: nothing in a buffer that is decoded.
 *
 * Explicit bytes, never a struct copied whole: padding would leak memory, and what the compiler
 * lays out is no wire format.
 */
#include "common/codec.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

const struct msg_row msg_rows[MSG__COUNT] = {
#define X(name_, NAME, fields_, most_, phase_) \
	[MSG_##NAME] = {.name = #name_, .fields = (fields_), .most = (most_), .phase = (phase_)},
	MSG_TABLE(X)
#undef X
};

struct enc enc_init(void *buf, size_t size)
{
	return (struct enc){.at = buf, .begin = buf, .end = (uint8_t *)buf + size};
}

void enc_bytes(struct enc *e, const void *p, size_t n)
{
	if (e->error)
		return;
	if ((size_t)(e->end - e->at) < n) {
		e->error = -EMSGSIZE;
		return;
	}
	if (n > 0)
		memcpy(e->at, p, n);
	e->at += n;
}

void enc_u8(struct enc *e, uint8_t v)
{
	enc_bytes(e, &v, sizeof(v));
}

void enc_u16(struct enc *e, uint16_t v)
{
	v = htole16(v);
	enc_bytes(e, &v, sizeof(v));
}

void enc_u32(struct enc *e, uint32_t v)
{
	v = htole32(v);
	enc_bytes(e, &v, sizeof(v));
}

void enc_u64(struct enc *e, uint64_t v)
{
	v = htole64(v);
	enc_bytes(e, &v, sizeof(v));
}

size_t enc_size(const struct enc *e)
{
	return (size_t)(e->at - e->begin);
}

struct dec dec_init(const void *buf, size_t size)
{
	return (struct dec){.at = buf, .end = (const uint8_t *)buf + size};
}

const void *dec_bytes(struct dec *d, size_t n)
{
	const uint8_t *p = d->at;

	if (d->error)
		return NULL;
	if ((size_t)(d->end - d->at) < n) {
		d->error = -EBADMSG;
		return NULL;
	}
	d->at += n;
	return p;
}

uint8_t dec_u8(struct dec *d)
{
	const uint8_t *p = dec_bytes(d, 1);

	return p ? *p : 0;
}

static uint16_t get_u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

uint16_t dec_u16(struct dec *d)
{
	const void *p = dec_bytes(d, 2);

	return p ? get_u16(p) : 0;
}

uint32_t dec_u32(struct dec *d)
{
	const void *p = dec_bytes(d, 4);

	return p ? get_u32(p) : 0;
}

uint64_t dec_u64(struct dec *d)
{
	const void *p = dec_bytes(d, 8);

	return p ? get_u64(p) : 0;
}

int dec_end(const struct dec *d)
{
	if (d->error)
		return d->error;
	return d->at == d->end ? 0 : -EBADMSG;
}

void msg_begin(struct enc *e, uint16_t op, uint32_t id, uint16_t count)
{
	enc_u32(e, 0);
	enc_u32(e, id);
	enc_u16(e, op);
	enc_u16(e, count);
}

int msg_end(struct enc *e, size_t *ret_size)
{
	uint32_t size = htole32((uint32_t)enc_size(e));

	if (e->error)
		return e->error;
	memcpy(e->begin, &size, sizeof(size));
	*ret_size = enc_size(e);
	return 0;
}

int msg_header(struct dec *d, struct msg_header *ret)
{
	size_t whole = (size_t)(d->end - d->at);
	struct msg_header h;

	h.size = dec_u32(d);
	h.id = dec_u32(d);
	h.op = dec_u16(d);
	h.count = dec_u16(d);
	if (d->error || h.size != whole)
		return -EBADMSG;
	*ret = h;
	return 0;
}

void msg_put_request(struct enc *e, const struct msg_request *q)
{
	enc_u32(e, q->flags);
	enc_u32(e, q->mode);
	enc_u64(e, q->offset);
	enc_u64(e, (uint64_t)q->atime);
	enc_u64(e, (uint64_t)q->mtime);
	enc_u32(e, q->atime_ns);
	enc_u32(e, q->mtime_ns);
	enc_u16(e, q->path_size);
	enc_u16(e, q->path2_size);
	enc_bytes(e, q->path, q->path_size);
	enc_bytes(e, q->path2, q->path2_size);
}

/* A path is there exactly if the row names it, fits, and holds no NUL. */
static bool path_is_sound(const char *path, size_t size, bool named)
{
	if (!named)
		return size == 0;
	return size > 0 && size <= MSG_PATH_MAX && !memchr(path, '\0', size);
}

int msg_get_request(struct dec *d, enum msg_op op, struct msg_request *ret)
{
	unsigned fields = msg_rows[op].fields;
	const uint8_t *p = dec_bytes(d, MSG_REQUEST_SIZE);
	struct msg_request q;
	bool times;

	if (!p)
		return -EBADMSG;
	q.flags = get_u32(p);
	q.mode = get_u32(p + 4);
	q.offset = get_u64(p + 8);
	q.atime = (int64_t)get_u64(p + 16);
	q.mtime = (int64_t)get_u64(p + 24);
	q.atime_ns = get_u32(p + 32);
	q.mtime_ns = get_u32(p + 36);
	q.path_size = get_u16(p + 40);
	q.path2_size = get_u16(p + 42);
	q.path = dec_bytes(d, q.path_size);
	q.path2 = dec_bytes(d, q.path2_size);
	if (d->error)
		return -EBADMSG;
	times = q.atime || q.mtime || q.atime_ns || q.mtime_ns;
	if ((q.flags && !(fields & F_FLAGS)) || (q.mode && !(fields & F_MODE)) ||
		(q.offset && !(fields & F_OFFSET)) || (times && !(fields & F_TIMES)) ||
		!path_is_sound(q.path, q.path_size, fields & F_PATH) ||
		!path_is_sound(q.path2, q.path2_size, fields & F_PATH2)) {
		d->error = -EBADMSG;
		return -EBADMSG;
	}
	*ret = q;
	return 0;
}

void msg_put_answer(struct enc *e, int32_t result, const void *data, uint32_t data_size)
{
	enc_u32(e, (uint32_t)result);
	enc_u32(e, data_size);
	enc_bytes(e, data, data_size);
}

int msg_get_answer(struct dec *d, struct msg_answer *ret)
{
	struct msg_answer a;

	a.result = (int32_t)dec_u32(d);
	a.data_size = dec_u32(d);
	a.data = dec_bytes(d, a.data_size);
	if (d->error)
		return -EBADMSG;
	*ret = a;
	return 0;
}

void msg_put_stat(struct enc *e, const struct msg_stat *s)
{
	enc_u64(e, s->dev);
	enc_u64(e, s->ino);
	enc_u64(e, s->nlink);
	enc_u64(e, s->size);
	enc_u64(e, s->blocks);
	enc_u64(e, s->blksize);
	enc_u64(e, s->rdev);
	enc_u32(e, s->mode);
	enc_u32(e, s->uid);
	enc_u32(e, s->gid);
	enc_u64(e, (uint64_t)s->atime);
	enc_u64(e, (uint64_t)s->mtime);
	enc_u64(e, (uint64_t)s->ctime);
	enc_u32(e, s->atime_ns);
	enc_u32(e, s->mtime_ns);
	enc_u32(e, s->ctime_ns);
}

int msg_get_stat(struct dec *d, struct msg_stat *ret)
{
	struct msg_stat s;

	s.dev = dec_u64(d);
	s.ino = dec_u64(d);
	s.nlink = dec_u64(d);
	s.size = dec_u64(d);
	s.blocks = dec_u64(d);
	s.blksize = dec_u64(d);
	s.rdev = dec_u64(d);
	s.mode = dec_u32(d);
	s.uid = dec_u32(d);
	s.gid = dec_u32(d);
	s.atime = (int64_t)dec_u64(d);
	s.mtime = (int64_t)dec_u64(d);
	s.ctime = (int64_t)dec_u64(d);
	s.atime_ns = dec_u32(d);
	s.mtime_ns = dec_u32(d);
	s.ctime_ns = dec_u32(d);
	if (d->error)
		return -EBADMSG;
	*ret = s;
	return 0;
}

void msg_put_peer(struct enc *e, const struct msg_peer *p)
{
	enc_u16(e, p->text_size);
	enc_bytes(e, p->text, p->text_size);
	enc_u16(e, p->rule_size);
	enc_bytes(e, p->rule, p->rule_size);
}

int msg_get_peer(struct dec *d, struct msg_peer *ret)
{
	struct msg_peer p;

	p.text_size = dec_u16(d);
	p.text = dec_bytes(d, p.text_size);
	p.rule_size = dec_u16(d);
	p.rule = dec_bytes(d, p.rule_size);
	if (d->error)
		return -EBADMSG;
	*ret = p;
	return 0;
}

void msg_put_client(struct enc *e, const struct msg_client *c)
{
	enc_u64(e, c->number);
	enc_u32(e, c->uid);
	enc_u32(e, c->gid);
	enc_u32(e, c->pid);
}

int msg_get_client(struct dec *d, struct msg_client *ret)
{
	struct msg_client c;

	c.number = dec_u64(d);
	c.uid = dec_u32(d);
	c.gid = dec_u32(d);
	c.pid = dec_u32(d);
	if (d->error)
		return -EBADMSG;
	*ret = c;
	return 0;
}
