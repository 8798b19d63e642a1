/* SPDX-License-Identifier: MIT */
/*
 * codec.h - messages to bytes and back, with an error that sticks.
 *
 * An encoder writes into the caller's buffer, a decoder reads from it.  After the first overrun
 * every call does nothing and error stays -EMSGSIZE, so that a whole message is checked once, at
 * its end.
 */
#ifndef WARDER_CODEC_H
#define WARDER_CODEC_H

#include "common/msg.h"

struct enc {
	uint8_t *at, *end;
	uint8_t *begin;
	int error;
};

struct dec {
	const uint8_t *at, *end;
	int error;
};

struct enc enc_init(void *buf, size_t size);
void enc_u8(struct enc *e, uint8_t v);
void enc_u16(struct enc *e, uint16_t v);
void enc_u32(struct enc *e, uint32_t v);
void enc_u64(struct enc *e, uint64_t v);
void enc_bytes(struct enc *e, const void *p, size_t n);
/* Bytes written so far. */
size_t enc_size(const struct enc *e);

struct dec dec_init(const void *buf, size_t size);
uint8_t dec_u8(struct dec *d);
uint16_t dec_u16(struct dec *d);
uint32_t dec_u32(struct dec *d);
uint64_t dec_u64(struct dec *d);
const void *dec_bytes(struct dec *d, size_t n);
/* 0 if all was read and nothing is left, else -EBADMSG. */
int dec_end(const struct dec *d);

/* A message is begun with its header and ended by putting its size in.  0 or -EMSGSIZE. */
void msg_begin(struct enc *e, uint16_t op, uint32_t id, uint16_t count);
int msg_end(struct enc *e, size_t *ret_size);

/*
 * Reads a header.  0; -EBADMSG: shorter than a header, or its size is not the datagram's.
 * `op` is not judged.
 */
int msg_header(struct dec *d, struct msg_header *ret);

void msg_put_request(struct enc *e, const struct msg_request *q);
/* Reads one request of the row `op` and checks its fields.  0; -EBADMSG: a lie. */
int msg_get_request(struct dec *d, enum msg_op op, struct msg_request *ret);

void msg_put_answer(struct enc *e, int32_t result, const void *data, uint32_t data_size);
int msg_get_answer(struct dec *d, struct msg_answer *ret);

void msg_put_stat(struct enc *e, const struct msg_stat *s);
int msg_get_stat(struct dec *d, struct msg_stat *ret);

void msg_put_peer(struct enc *e, const struct msg_peer *p);
int msg_get_peer(struct dec *d, struct msg_peer *ret);

void msg_put_client(struct enc *e, const struct msg_client *c);
int msg_get_client(struct dec *d, struct msg_client *ret);

#endif
