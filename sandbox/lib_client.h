/* SPDX-License-Identifier: MIT */
/*
 * lib_client.h - one client connection of warder_serve(), and the loop's state.
 */
#ifndef WARDER_LIB_CLIENT_H
#define WARDER_LIB_CLIENT_H

#include "common/frame.h"
#include "common/msg.h"
#include "sandbox/warder.h"

#include <stdbool.h>

#define READ_SIZE   65536 /* bytes read at once; also when gathered replies are sent */
#define REPLIES_FDS 16    /* descriptors that wait for a client; then it is not read any more */

/* Bytes on their way out: those before `sent` are gone. */
struct buffer {
	uint8_t *data;
	size_t size, sent, capacity;
};

/* A descriptor and the byte of its buffer that it rides on. */
struct riding_fd {
	size_t at;
	int fd;
};

struct client {
	struct warder_client who;
	int fd;
	unsigned index;  /* in serve.clients */
	uint32_t events; /* what epoll waits for */
	bool eof;        /* it sends no more */
	const char *why; /* it is to be closed, for this reason */
	struct frame_in in;
	struct buffer out; /* what its socket did not take */
	struct riding_fd fds[REPLIES_FDS];
	unsigned n_fds;
	uint64_t active_ms; /* last whole frame or sent byte */
	uint64_t frame_ms;  /* when the frame that is not whole yet began; 0: none */
	uint64_t sent_ms;   /* last time its socket took something of `out` */
	uint64_t retry_ms;  /* too many descriptors in flight: try again then; 0: no */
};

struct serve {
	const struct warder_serve *api;
	int clients_fd, epoll_fd, timer_fd;
	bool channel_watched, draining;
	size_t frame_max, pending_max;
	uint64_t idle_ms, frame_ms;
	uint64_t now_ms, wake_ms, armed_ms, drain_ms;
	struct client **clients;
	unsigned n_clients, clients_max;
	struct buffer out; /* replies of the client at hand, while it has no `out` of its own */
	uint8_t in[READ_SIZE];
};

/* Takes *fd, on failure too.  NULL: no memory. */
struct client *client_new(const struct msg_client *m, int *fd);
/* Closes all that belongs to it. */
void client_free(struct client *c);

/* Bytes that its socket did not take yet. */
size_t client_pending(const struct client *c);
/* It is not to be read before it has read. */
bool client_is_full(const struct serve *s, const struct client *c);

/* Reads once, handles whole frames, sends the replies.  Sets c->eof, c->why.  True: there may be
 * more. */
bool client_read(struct serve *s, struct client *c);
/* Sends what is pending, then goes on with frames that waited for that.  Sets c->why. */
void client_flush(struct serve *s, struct client *c);

void buffer_free(struct buffer *b);

#endif
