/* SPDX-License-Identifier: MIT */
/*
 * socket_options.h - what an outer socket has of the options of the worker's that it stands in for.
 *
 * Every option that the worker's filter lets it set (sandbox/tables/worker.c) has a row here: it is
 * carried over, or the row says why not.
 */
#ifndef WARDER_SOCKET_OPTIONS_H
#define WARDER_SOCKET_OPTIONS_H

#include "common/dial.h"

#define SOCKET_OPTIONS_MAX 48

struct sock;

struct socket_option {
	uint16_t level, option;
	uint8_t size;        /* bytes of its value; 0: it is not carried over */
	uint8_t when;        /* of which sockets; the .c file's own */
	const char *why_not; /* NULL: it is carried over */
};

/* The table, of *ret_n rows, which stands for ever. */
const struct socket_option *socket_options(size_t *ret_n);

/* What a new socket of the cell's network has; all zero: not known. */
struct socket_defaults {
	bool known;
	uint8_t of[SOCKET_OPTIONS_MAX][DIAL_VALUE_MAX]; /* in the table's order */
};

/* Reads them from a TCP socket on which nothing has been set; of IPv6 where there is IPv6. */
void socket_options_learn(struct socket_defaults *ret, int fd);

/* Appends to the message what the worker's socket has that a new one has not. */
void socket_options_read(
	const struct sock *k, const struct socket_defaults *defaults, struct dial_message *m);

#endif
