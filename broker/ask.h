/* SPDX-License-Identifier: MIT */
/*
 * ask.h - the ask door: messages of the channel in, answers and descriptors out.
 */
#ifndef WARDER_ASK_H
#define WARDER_ASK_H

#include "broker/request.h"

/* Serves what waits on the channel, at most a few messages, so that the loop stays fair.
 * 0: go on; 1: the worker closed its end; negative: the session ends, -EBADMSG for a lie of the
 * worker's (*ret_why says which, for the record), else our own failure. */
int ask_serve(struct session *s, const char **ret_why);

#endif
