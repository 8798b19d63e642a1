/* SPDX-License-Identifier: MIT */
/*
 * frames.c - what a client's bytes may do to the reader of frames.
 *
 * The first byte says into which pieces the rest is cut, the second when the handler stops. However
 * they are cut, the same frames must come out, none larger than allowed, and nothing is kept but
 * what arrived.
 */
#include "common/frame.h"

#include <assert.h>
#include <string.h>

#define SIZE_MAX_FRAME 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	uint64_t hash;
	size_t frames, bytes;
	unsigned stop_every; /* 0: never */
};

static bool each(void *ctx, const uint8_t *frame, size_t size)
{
	struct seen *s = ctx;

	assert(size > 0 && size <= SIZE_MAX_FRAME);
	for (size_t i = 0; i < size; i++)
		s->hash = s->hash * 1099511628211u + frame[i] + 1;
	s->hash = s->hash * 31 + size;
	s->frames++;
	s->bytes += size;
	return s->stop_every == 0 || s->frames % s->stop_every != 0;
}

static int feed(struct frame_in *in, const uint8_t *p, size_t size, struct seen *s)
{
	int r = frame_feed(in, p, size, SIZE_MAX_FRAME, each, s);

	while (r == 1)
		r = frame_feed(in, NULL, 0, SIZE_MAX_FRAME, each, s);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_in whole = {NULL, 0, 0}, cut = {NULL, 0, 0};
	struct seen a = {.hash = 1}, b = {.hash = 1};
	size_t piece, at;
	int ra, rb = 0;

	if (size < 2)
		return 0;
	piece = data[0] ? data[0] : 1;
	b.stop_every = data[1];
	data += 2;
	size -= 2;
	ra = feed(&whole, data, size, &a);
	for (at = 0; at < size && rb == 0; at += piece)
		rb = feed(&cut, data + at, size - at < piece ? size - at : piece, &b);
	assert(ra == rb);
	assert(a.hash == b.hash && a.frames == b.frames && a.bytes == b.bytes);
	assert(a.bytes + a.frames * FRAME_HEAD_SIZE <= size);
	if (ra == 0) {
		assert(whole.size == cut.size);
		assert(whole.size == 0 || memcmp(whole.data, cut.data, whole.size) == 0);
		assert(whole.capacity <= 2 * size + 128 && cut.capacity <= 2 * size + 128);
	}
	frame_deinit(&whole);
	frame_deinit(&cut);
	return 0;
}
