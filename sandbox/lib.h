/* SPDX-License-Identifier: MIT */
/*
 * lib.h - what the files of libwarder share.
 */
#ifndef WARDER_LIB_H
#define WARDER_LIB_H

#include "common/codec.h"
#include "sandbox/warder.h"

/* A channel to the broker.  The buffers hold one message each way. */
struct warder {
	int fd;
	uint32_t last_id;
	int broken; /* errno of every further call; 0: the channel is sound */
	bool busy;  /* rx is being read by the callback of warder_list() */
	uint8_t tx[MSG_SIZE_MAX];
	uint8_t rx[MSG_SIZE_MAX];
};

/* Answers of one message, on their way to the caller. */
struct lib_answers {
	struct dec dec; /* behind the header */
	int fds[MSG_COUNT_MAX];
	size_t n_fds, next_fd;
};

#define LIB_ANSWERS_INIT \
	{ \
		.n_fds = 0 \
	}

/* -errno of the number in an environment variable that names a SEQPACKET Unix socket, or it. */
int lib_env_socket(const char *name);
int lib_check_seqpacket(int fd);

/* Returns -1 with errno = -r for a negative r, else r. */
int lib_errno(int r);

/* The channel is of no more use: closes it and keeps the errno.  Returns -error. */
int lib_break(struct warder *w, int error);

/* Begins a message in w->tx; 0 or -errno. */
int lib_begin(struct warder *w, enum msg_op op, uint16_t count, struct enc *ret);
/* Adds a request.  -ENOSPC: it does not fit any more. */
int lib_put(struct enc *e, const struct msg_request *q);
/*
 * Sends one request and takes its answer: a descriptor in *ret_fd if `ret_fd` is not NULL; data in
 * *ret, borrowed from w->rx.  `exact`: the only size that data may have, or -1.  0 or -errno.
 */
int lib_ask_once(struct warder *w, enum msg_op op, const struct msg_request *q, int *ret_fd,
	long exact, struct msg_answer *ret);
/* Sends it, waits for its answer, checks its header.  0 or -errno. */
int lib_exchange(struct warder *w, struct enc *e, uint16_t count, struct lib_answers *ret);
/* Next answer, its form checked: a descriptor exactly where `fd` says so, data on success alone and
 * beside a descriptor only where `data` says so.
 * Returns 0 with *ret_fd and *ret set; the broker's own refusal, positive; -EPROTO. */
int lib_answer(struct lib_answers *a, bool fd, bool data, struct msg_answer *ret, int *ret_fd);
/* After the last answer: nothing is left.  Closes what was not taken.  0 or -EPROTO. */
int lib_answers_end(struct warder *w, struct lib_answers *a, int r);

/* A path made absolute; `buf`, of MSG_PATH_MAX + 1 bytes, holds it where it was not, and may be
 * NULL where it is.  0 or -errno. */
int lib_path(const char *path, char *buf, const char **ret, uint16_t *ret_size);

#endif
