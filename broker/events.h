/* SPDX-License-Identifier: MIT */
/*
 * events.h - the ledger's records that no request makes: session, start, spawn, client, exit, end.
 *
 * Each but the first writes at once.  0 or -errno; a record that cannot be written means that what
 * it tells of must not happen.
 */
#ifndef WARDER_EVENTS_H
#define WARDER_EVENTS_H

#include "broker/broker.h"
#include "broker/ledger.h"
#include "common/failure.h"
#include "common/msg.h"
#include "sandbox/confine.h"

/* First of all: the command and the hash of the policy's text.  Waits for the next write, which is
 * record_start()'s or, where the start fails before, record_end()'s.  -EMSGSIZE: the policy's text
 * is too long for a record. */
int record_session(struct ledger *l, const struct broker_args *a);
/* Before the worker is made: each descriptor that it starts with, and its runtime.  The two of
 * spec->fds that are the channels are named by what they are in this process (-1: there is none).
 * 0, or -errno with the sentence. */
int record_start(struct ledger *l, const struct cell_spec *spec, int channel_fd, int clients_fd,
	struct failure *f);
/* The worker runs. */
int record_spawn(struct ledger *l, const struct broker_args *a, pid_t worker);
/* A connection, `fd` (borrowed), is handed to the worker; with an error (positive errno), why it
 * was not. */
int record_client(struct ledger *l, const struct msg_client *client, int fd, int error);
/* The worker ended. */
int record_exit(struct ledger *l, pid_t worker, int status);
/* Last of all: why the session ended. */
int record_end(struct ledger *l, const char *why);

#endif
