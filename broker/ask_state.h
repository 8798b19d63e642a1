/* SPDX-License-Identifier: MIT */
/*
 * ask_state.h - what the parts of the ask door have in common: ask.c takes messages in,
 * ask_answer.c sends answers out, ask_slow.c has children serve what may have to wait.
 */
#ifndef WARDER_ASK_STATE_H
#define WARDER_ASK_STATE_H

#include "broker/ask.h"
#include "broker/ops.h"

/* What came of a record of the message, until it is answered. */
struct outcome {
	int result;
	int fd;
	bool truncate;
	uint64_t grant;
};

/* What a child is to serve: the rest of a message, or a record that was deferred. */
struct slowly {
	struct later *later;
	struct msg_header h; /* of the message */
	size_t from;         /* the record it goes on with */
	int recorded;        /* of those before */
	struct request *q;   /* the record that was deferred */
	later_serve *serve;
};

struct ask {
	uint8_t in[MSG_SIZE_MAX];
	uint8_t out[MSG_SIZE_MAX];
	uint8_t data[OPS_DATA_MAX];
	struct msg_request asked[MSG_COUNT_MAX]; /* what `in` holds; paths lie there */
	struct request request;
	struct repeat repeat;
	struct outcome outcomes[MSG_COUNT_MAX];
	size_t served; /* how many of them there are, while a message is served */
	uint64_t lost; /* what the ledger had lost before it */
	/* The answer that waits to be sent, or is being made. */
	size_t out_size; /* 0: none waits */
	int fds[MSG_COUNT_MAX];
	uint64_t grants[MSG_COUNT_MAX]; /* of those descriptors */
	size_t n_fds;
	bool sockets;    /* what waits is a socket, which its worker may make linger */
	uint64_t unread; /* descriptors sent since the worker was last seen to have read all */
	unsigned lazy;   /* calls for which no second message is looked for */
	bool gone;       /* the worker has closed its end */
	/* Records that are answered later; those that have ended wait in `ended`, oldest first. */
	struct later later[LATER_MAX];
	struct later *ended[LATER_MAX];
	size_t n_ended;
	struct slowly slowly;
};

/* Serves a message's records from one on.  0, or the ledger's first error, `recorded` too; 1: a
 * child has taken the rest over. */
int ask_serve_records(struct session *s, const struct msg_header *h, size_t from, int recorded);

/* Makes the answer of the outcomes, which then waits to be sent.  0 or -errno. */
int ask_make(struct session *s, const struct msg_header *h, int recorded);
/* Sends the one that waits.  0: gone; -EAGAIN: the worker does not read (a child waits until it
 * does); or -errno. */
int ask_send(struct session *s);
/* The same of all that wait, and of what has ended. */
int ask_send_waiting(struct session *s);
/* Records what came of a deferred record; its answer is in l.  Takes q->fd. */
void ask_sign(struct session *s, struct later *l, struct request *q, int result);
/* Makes its answer, and frees its place.  0 or -errno. */
int ask_make_ended(struct session *s, struct later *l);

/* Gives the rest of the message that is served, from a->request on, to a child.  0; -EAGAIN: too
 * many wait; or -errno.  *recorded as in ask_serve_records(). */
int ask_begin_slowly(struct session *s, const struct msg_header *h, size_t from, int *recorded);

#endif
