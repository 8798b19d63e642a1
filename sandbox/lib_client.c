/* SPDX-License-Identifier: MIT */
/*
 * lib_client.c - one client connection: frames in, replies out.
 *
 * Runs in: worker.  Trusts: nothing that clients send.
 *
 * Replies gather in the loop's buffer and leave with one send(); only what the socket does not take
 * is copied to the client's own.  A descriptor rides on the first byte of its reply: a send ends
 * before that byte, and the next begins with it.  For the receiver descriptors are a barrier that
 * no recvmsg(2) reads past (unix(7)), so they come in the order of the replies that carry one.
 */
#include "sandbox/lib_client.h"
#include "common/chan.h"
#include "common/fd.h"
#include "sandbox/lib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEEP_CAPACITY (4 * READ_SIZE) /* a larger buffer is given back when it is empty */
#define RETRY_MS      50

/* A reply while its handler runs: its head and bytes are already at their place in `out`. */
struct warder_reply {
	struct serve *s;
	struct buffer *out;
	size_t begin; /* of its head */
	int fd;
};

/* ---- buffers --------------------------------------------------------------------------------- */

void buffer_free(struct buffer *b)
{
	free(b->data);
	*b = (struct buffer){NULL, 0, 0, 0};
}

static void buffer_clear(struct buffer *b)
{
	b->size = b->sent = 0;
	if (b->capacity > KEEP_CAPACITY)
		buffer_free(b);
}

static int buffer_add(struct buffer *b, const void *p, size_t size)
{
	if (b->capacity - b->size < size) {
		size_t capacity = (b->size + size) * 2;
		uint8_t *data;

		if (capacity < 4096)
			capacity = 4096;
		data = realloc(b->data, capacity);
		if (!data)
			return -ENOMEM;
		b->data = data;
		b->capacity = capacity;
	}
	if (size > 0)
		memcpy(b->data + b->size, p, size);
	b->size += size;
	return 0;
}

/* ---- clients --------------------------------------------------------------------------------- */

struct client *client_new(const struct msg_client *m, int *fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		chan_hang_up(fd);
		return NULL;
	}
	c->who = (struct warder_client){m->number, m->uid, m->gid, (pid_t)m->pid};
	c->fd = fd_take(fd);
	return c;
}

void client_free(struct client *c)
{
	for (unsigned i = 0; i < c->n_fds; i++)
		fd_close(&c->fds[i].fd);
	chan_hang_up(&c->fd);
	frame_deinit(&c->in);
	buffer_free(&c->out);
	free(c);
}

size_t client_pending(const struct client *c)
{
	return c->out.size - c->out.sent;
}

bool client_is_full(const struct serve *s, const struct client *c)
{
	return client_pending(c) >= s->pending_max || c->n_fds == REPLIES_FDS;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Sends from `b` until the next byte that a descriptor rides on.  Bytes sent or -errno. */
static long send_piece(struct client *c, struct buffer *b)
{
	size_t end = b->size;
	long n;

	if (c->n_fds > 0 && c->fds[0].at > b->sent)
		end = c->fds[0].at;
	else if (c->n_fds > 1)
		end = c->fds[1].at;
	if (c->n_fds == 0 || c->fds[0].at > b->sent) {
		n = send(c->fd, b->data + b->sent, end - b->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		return n < 0 ? -errno : n;
	}
	n = chan_send_stream(c->fd, b->data + b->sent, end - b->sent, c->fds[0].fd, false);
	if (n <= 0)
		return n;
	fd_close(&c->fds[0].fd);
	c->n_fds--;
	memmove(&c->fds[0], &c->fds[1], c->n_fds * sizeof(c->fds[0]));
	return n;
}

/* Sends what the socket takes of `b`.  Sets c->why where it is broken. */
static void send_buffer(struct serve *s, struct client *c, struct buffer *b)
{
	while (b->sent < b->size) {
		long n = send_piece(c, b);

		if (n == -EINTR)
			continue;
		if (n == -EAGAIN)
			return;
		if (n == -ETOOMANYREFS) {
			/* unix(7): descriptors in flight are counted for all of a user's sockets;
			 * others have to be read first, and no event tells when. */
			c->retry_ms = s->now_ms + RETRY_MS;
			return;
		}
		if (n <= 0) {
			c->why = "closed by the client";
			return;
		}
		b->sent += (size_t)n;
		c->sent_ms = c->active_ms = s->now_ms;
	}
	buffer_clear(b);
}

/* Descriptors ride on offsets of the buffer whose front has moved by `by`. */
static void shift_fds(struct client *c, size_t by)
{
	for (unsigned i = 0; i < c->n_fds; i++)
		c->fds[i].at -= by;
}

/* Sends the gathered replies; what is left becomes the client's own. */
static void send_gathered(struct serve *s, struct client *c)
{
	struct buffer *b = &s->out;

	if (b->size == 0)
		return;
	if (!c->why)
		send_buffer(s, c, b);
	if (b->sent < b->size && !c->why) {
		shift_fds(c, b->sent);
		if (buffer_add(&c->out, b->data + b->sent, b->size - b->sent) < 0)
			c->why = "no memory for its replies";
		c->sent_ms = s->now_ms;
	}
	buffer_clear(b);
}

/* The sent front of a buffer that never runs empty is taken off when it is the larger part. */
static void compact(struct client *c)
{
	struct buffer *b = &c->out;

	if (b->sent < READ_SIZE || b->sent < b->size / 2)
		return;
	memmove(b->data, b->data + b->sent, b->size - b->sent);
	shift_fds(c, b->sent);
	b->size -= b->sent;
	b->sent = 0;
}

/* ---- replies --------------------------------------------------------------------------------- */

int warder_reply(struct warder_reply *reply, const void *data, size_t size)
{
	struct buffer *b = reply->out;
	size_t body = b->size - reply->begin - FRAME_HEAD_SIZE;

	if (size > reply->s->frame_max - body)
		return lib_errno(-EMSGSIZE);
	return lib_errno(buffer_add(b, data, size));
}

void warder_reply_clear(struct warder_reply *reply)
{
	reply->out->size = reply->begin + FRAME_HEAD_SIZE;
	fd_close(&reply->fd);
}

int warder_reply_fd(struct warder_reply *reply, int *fd)
{
	if (reply->fd >= 0) {
		fd_close(fd);
		return lib_errno(-EBUSY);
	}
	reply->fd = fd_take(fd);
	return 0;
}

/* The reply is whole: its head is filled in, its descriptor queued.  An empty one is none. */
static void reply_end(struct client *c, struct warder_reply *reply)
{
	struct buffer *b = reply->out;
	size_t body = b->size - reply->begin - FRAME_HEAD_SIZE;

	if (body == 0) {
		b->size = reply->begin;
		fd_close(&reply->fd);
		return;
	}
	frame_put_head(b->data + reply->begin, (uint32_t)body);
	if (reply->fd >= 0)
		c->fds[c->n_fds++] = (struct riding_fd){reply->begin, fd_take(&reply->fd)};
}

/* ---- in -------------------------------------------------------------------------------------- */

struct at_hand {
	struct serve *s;
	struct client *c;
	bool any; /* a frame was handled */
};

/* One frame.  False: no more of this client for now. */
static bool handle_frame(void *ctx, const uint8_t *frame, size_t size)
{
	struct at_hand *h = ctx;
	struct serve *s = h->s;
	struct client *c = h->c;
	struct warder_reply reply = {.s = s, .fd = -1};
	static const uint8_t head[FRAME_HEAD_SIZE];

	/* What is pending goes first. */
	reply.out = client_pending(c) > 0 ? &c->out : &s->out;
	reply.begin = reply.out->size;
	if (buffer_add(reply.out, head, sizeof(head)) < 0) {
		c->why = "no memory for its replies";
		return false;
	}
	h->any = true;
	c->active_ms = s->now_ms;
	if (s->api->handle(s->api->ctx, &c->who, frame, size, &reply) != 0)
		c->why = "closed by the worker";
	reply_end(c, &reply);
	if (c->why)
		return false;
	if (s->out.size >= READ_SIZE || c->n_fds == REPLIES_FDS)
		send_gathered(s, c);
	return !c->why && !client_is_full(s, c);
}

/* Gives bytes to the handler and sends what came of them. */
static void feed(struct serve *s, struct client *c, const uint8_t *p, size_t size)
{
	struct at_hand h = {s, c, false};
	int r = frame_feed(&c->in, p, size, s->frame_max, handle_frame, &h);
	const char *why = c->why;

	/* What was answered before the fault or the handler's "enough" is still sent. */
	c->why = NULL;
	send_gathered(s, c);
	if (c->why)
		return;
	c->why = why;
	if (r == -EBADMSG)
		c->why = "a frame of no size, or too large";
	else if (r == -ENOMEM)
		c->why = "no memory for its frame";
	/* Whole frames that wait for the client to read are our delay and not its own. */
	if (c->in.size == 0 || r == 1)
		c->frame_ms = 0;
	else if (c->frame_ms == 0 || h.any)
		c->frame_ms = s->now_ms;
}

/* The end of one that is full is told whether it is watched or not: what it has sent stays unread,
 * since there is no room for what would come of it. */
bool client_read(struct serve *s, struct client *c)
{
	ssize_t n;

	if (client_is_full(s, c))
		return false;
	n = recv(c->fd, s->in, sizeof(s->in), MSG_DONTWAIT);

	if (n > 0)
		feed(s, c, s->in, (size_t)n);
	else if (n == 0)
		c->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		c->why = "closed by the client";
	return n > 0 && !c->why && !client_is_full(s, c);
}

void client_flush(struct serve *s, struct client *c)
{
	bool was_full = client_is_full(s, c);

	send_buffer(s, c, &c->out);
	compact(c);
	if (was_full && !c->why && c->in.size > 0 && !client_is_full(s, c))
		feed(s, c, NULL, 0);
}
