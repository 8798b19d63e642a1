/* SPDX-License-Identifier: MIT */
/*
 * events.h - the ledger's records that no request makes: session, spawn, client, exit, end.
 *
 * Each writes at once.  0 or -errno; a record that cannot be written means that what it tells of
 * must not happen.
 */
#ifndef WARDER_EVENTS_H
#define WARDER_EVENTS_H

#include "broker/broker.h"
#include "broker/ledger.h"
#include "common/msg.h"

/* First of all: the command and the hash of the policy's text. */
int record_session(struct ledger *l, const struct broker_args *a);
/* The worker runs. */
int record_spawn(struct ledger *l, const struct broker_args *a, pid_t worker);
/* A connection is handed to the worker; with an error (positive errno), why it was not. */
int record_client(struct ledger *l, const struct msg_client *client, int error);
/* The worker ended. */
int record_exit(struct ledger *l, pid_t worker, int status);
/* Last of all: why the session ended. */
int record_end(struct ledger *l, const char *why);

#endif
