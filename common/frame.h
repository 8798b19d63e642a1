/* SPDX-License-Identifier: MIT */
/*
 * frame.h - length-prefixed frames on a stream: what clients and workers speak.
 *
 *     frame = u32 size, big-endian, of what follows (1 to size_max)  then `size` bytes
 *
 * Nothing is allocated for a size that was only announced: a reader keeps what has arrived and no
 * more than twice that.
 */
#ifndef WARDER_FRAME_H
#define WARDER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD_SIZE 4
#define FRAME_SIZE_MAX  (1024 * 1024) /* unless told */

void frame_put_head(uint8_t head[FRAME_HEAD_SIZE], uint32_t size);
uint32_t frame_get_head(const uint8_t head[FRAME_HEAD_SIZE]);

/* Bytes that arrived and were not yet given out.  Zeroed is empty. */
struct frame_in {
	uint8_t *data;
	size_t size, capacity;
};

/* Receives one frame; the bytes are borrowed until it returns.  True: give me more; false: stop,
 * and keep the rest. */
typedef bool frame_each_fn(void *ctx, const uint8_t *frame, size_t size);

/*
 * Gives out every frame that is whole in what was kept and in buf, in order, and keeps the rest.
 * Returns 0; 1: `each` said stop, and frame_feed(in, NULL, 0, ...) goes on later; -EBADMSG: a size
 * of 0 or over size_max (nothing after it makes sense); -ENOMEM.
 */
int frame_feed(struct frame_in *in, const uint8_t *buf, size_t size, size_t size_max,
	frame_each_fn *each, void *ctx);
void frame_deinit(struct frame_in *in);

/* For a client that waits.  Sends one frame.  0 or -errno. */
int frame_send(int sock, const void *data, size_t size);
/*
 * Receives one frame, and the descriptor that rides on it (-1: none).  The caller frees *ret_data,
 * which ends in a NUL that *ret_size does not count.
 * 0; -ECONNRESET: end-of-file; -EBADMSG: a lie, see above and chan.h; -ENOMEM; -errno.
 */
int frame_recv(int sock, size_t size_max, char **ret_data, size_t *ret_size, int *ret_fd);

#endif
