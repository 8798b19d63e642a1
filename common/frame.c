/* SPDX-License-Identifier: MIT */
/*
 * frame.c - length-prefixed frames on a stream: what clients and workers speak.
 *
 * Runs in: worker, command line.  Trusts: nothing that arrives.
 *
 * The reader is fed whatever a read returned and gives out whole frames straight from that buffer;
 * only the piece of a frame at its end is copied.  So many small frames cost one read and no
 * allocation, and a client that sends one byte at a time costs itself one copy a byte.
 */
#include "common/frame.h"
#include "common/chan.h"
#include "common/fd.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void frame_put_head(uint8_t head[FRAME_HEAD_SIZE], uint32_t size)
{
	size = htobe32(size);
	memcpy(head, &size, FRAME_HEAD_SIZE);
}

uint32_t frame_get_head(const uint8_t head[FRAME_HEAD_SIZE])
{
	uint32_t size;

	memcpy(&size, head, FRAME_HEAD_SIZE);
	return be32toh(size);
}

/* Size of the frame that begins at p with its head; 0: its head is not whole. */
static long whole_size(const uint8_t *p, size_t size, size_t size_max)
{
	uint32_t body;

	if (size < FRAME_HEAD_SIZE)
		return 0;
	body = frame_get_head(p);
	if (body == 0 || body > size_max)
		return -EBADMSG;
	return (long)body + FRAME_HEAD_SIZE;
}

static int keep(struct frame_in *in, const uint8_t *p, size_t size)
{
	size_t need = in->size + size;

	if (need > in->capacity) {
		size_t capacity = need < 64 ? 128 : need * 2;
		uint8_t *data = realloc(in->data, capacity);

		if (!data)
			return -ENOMEM;
		in->data = data;
		in->capacity = capacity;
	}
	if (size > 0)
		memcpy(in->data + in->size, p, size);
	in->size = need;
	return 0;
}

/* Gives out the frames that are whole at *p.  0, 1 or -EBADMSG, see frame_feed(). */
static int give(const uint8_t **p, size_t *size, size_t size_max, frame_each_fn *each, void *ctx)
{
	for (;;) {
		long whole = whole_size(*p, *size, size_max);
		const uint8_t *body;

		if (whole < 0)
			return (int)whole;
		if (whole == 0 || (size_t)whole > *size)
			return 0;
		body = *p + FRAME_HEAD_SIZE;
		*p += whole;
		*size -= (size_t)whole;
		if (!each(ctx, body, (size_t)whole - FRAME_HEAD_SIZE))
			return 1;
	}
}

/* Completes the frame whose beginning was kept.  0: what was kept is gone, or still not whole and
 * all of *p was taken. */
static int complete(struct frame_in *in, const uint8_t **p, size_t *size, size_t size_max)
{
	for (;;) {
		long whole = whole_size(in->data, in->size, size_max);
		size_t want = whole == 0 ? FRAME_HEAD_SIZE : (size_t)whole;
		size_t take;
		int r;

		if (whole < 0)
			return (int)whole;
		if (in->size >= want || *size == 0)
			return 0;
		take = want - in->size < *size ? want - in->size : *size;
		r = keep(in, *p, take);
		if (r < 0)
			return r;
		*p += take;
		*size -= take;
	}
}

/* Gives out what is whole in the kept bytes; what is not moves to their front. */
static int give_kept(struct frame_in *in, size_t size_max, frame_each_fn *each, void *ctx)
{
	const uint8_t *p = in->data;
	size_t size = in->size;
	int r = give(&p, &size, size_max, each, ctx);

	if (size > 0 && p != in->data)
		memmove(in->data, p, size);
	in->size = size;
	if (size == 0)
		frame_deinit(in);
	return r;
}

int frame_feed(struct frame_in *in, const uint8_t *buf, size_t size, size_t size_max,
	frame_each_fn *each, void *ctx)
{
	int r = 0, kept;

	while (r == 0 && in->size > 0) {
		r = complete(in, &buf, &size, size_max);
		if (r == 0)
			r = give_kept(in, size_max, each, ctx);
		if (size == 0)
			return r;
	}
	if (r == 0)
		r = give(&buf, &size, size_max, each, ctx);
	if (r < 0 || size == 0)
		return r;
	kept = keep(in, buf, size);
	return kept < 0 ? kept : r;
}

void frame_deinit(struct frame_in *in)
{
	free(in->data);
	*in = (struct frame_in){NULL, 0, 0};
}

int frame_send(int sock, const void *data, size_t size)
{
	uint8_t head[FRAME_HEAD_SIZE];
	const struct {
		const void *p;
		size_t size;
	} parts[] = {{head, sizeof(head)}, {data, size}};

	if (size == 0 || size > UINT32_MAX)
		return -EMSGSIZE;
	frame_put_head(head, (uint32_t)size);
	for (size_t i = 0; i < 2; i++) {
		const char *at = parts[i].p;
		size_t left = parts[i].size;

		while (left > 0) {
			long n = chan_send_stream(sock, at, left, -1, true);

			if (n < 0)
				return (int)n;
			at += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

/* Receives exactly `size` bytes and at most one descriptor in all. */
static int recv_all(int sock, void *buf, size_t size, int *fd)
{
	size_t done = 0;

	while (done < size) {
		autofd got_fd = -1;
		long n = chan_recv_stream(sock, (char *)buf + done, size - done, &got_fd);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -ECONNRESET;
		if (got_fd >= 0 && *fd >= 0)
			return -EBADMSG;
		if (got_fd >= 0)
			*fd = fd_take(&got_fd);
		done += (size_t)n;
	}
	return 0;
}

int frame_recv(int sock, size_t size_max, char **ret_data, size_t *ret_size, int *ret_fd)
{
	uint8_t head[FRAME_HEAD_SIZE];
	autofd fd = -1;
	autofree char *data = NULL;
	long whole;
	size_t size;
	int r = recv_all(sock, head, sizeof(head), &fd);

	if (r < 0)
		return r;
	whole = whole_size(head, sizeof(head), size_max);
	if (whole < 0)
		return (int)whole;
	size = (size_t)whole - FRAME_HEAD_SIZE;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	r = recv_all(sock, data, size, &fd);
	if (r < 0)
		return r;
	data[size] = '\0';
	*ret_data = data;
	data = NULL;
	*ret_size = size;
	*ret_fd = fd_take(&fd);
	return 0;
}
