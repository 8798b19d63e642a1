/* SPDX-License-Identifier: MIT */
/*
 * ask.h - the ask door: messages of the channel in, answers and descriptors out.
 */
#ifndef WARDER_ASK_H
#define WARDER_ASK_H

#include "broker/request.h"

/* Makes the buffers of the ask door: the one allocation of a session, before it serves.  Call it
 * when the other fields of s are filled in.  0 or -errno. */
int ask_init(struct session *s);
/* Writes what was only counted so far, closes what was not delivered, frees.  Safe without init. */
void ask_deinit(struct session *s);

/*
 * Serves what waits on the channel, at most a few messages, so that the loop stays fair.
 * 0: go on; 1: the worker closed its end; -EAGAIN: the worker does not read its answers: call
 * again when the channel can be written; else negative: the session ends, -EBADMSG for a lie of
 * the worker's (*ret_why says which, for the record), else our own failure.
 */
int ask_serve(struct session *s, const char **ret_why);

/* Descriptors opened for the worker that it does not hold yet, at most. */
size_t ask_undelivered(struct session *s);

#endif
