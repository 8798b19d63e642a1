/* SPDX-License-Identifier: MIT */
/*
 * ops.h - what each row of the message table does: handle_<op>() answers warder_<op>().
 *
 * A handler takes a request whose paths are known, goes the way of request.h up to the effect, and
 * returns the result: 0, ANSWER_FD with q->fd, or -errno.  Data of the answer goes to `data`.
 */
#ifndef WARDER_OPS_H
#define WARDER_OPS_H

#include "broker/request.h"

/* Data of an answer: what the largest message leaves. */
#define OPS_DATA_MAX (MSG_SIZE_MAX - MSG_HEADER_SIZE - MSG_ANSWER_SIZE)

typedef int op_handler(struct session *s, struct request *q, uint8_t *data);

#define X(name, NAME, fields, most, phase) op_handler handle_##name;
MSG_TABLE(X)
#undef X

#endif
