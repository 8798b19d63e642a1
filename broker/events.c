/* SPDX-License-Identifier: MIT */
/*
 * events.c - the ledger's records that no request makes: session, spawn, client, exit, end; what
 * stands between the first two is events_start.c's.
 *
 * Runs in: broker.  Trusts: its own state, and the supervisor for who a client is.
 */
#include "broker/events.h"
#include "broker/held.h"

#include <stdio.h>
#include <string.h>

#define COMMAND_MAX 4096 /* bytes of a command line in a record; the rest is cut, and said so */

/* The command as one line; the ledger escapes what is hostile in it. */
static void join_command(char *const *argv, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (; *argv; argv++) {
		int w = snprintf(buf + n, size - n, "%s%s", n ? " " : "", *argv);

		if (w < 0 || (size_t)w >= size - n) {
			memcpy(buf + size - 4, "...", 4);
			return;
		}
		n += (size_t)w;
	}
}

int record_session(struct ledger *l, const struct broker_args *a)
{
	char command[COMMAND_MAX];
	const struct record r = {
		.event = EVENT_SESSION,
		.policy_hash = a->policy_hash,
		.policy_text = a->policy_text,
		.policy_size = a->policy_size,
		.generation = LEDGER_FIRST_GENERATION,
		.text = command,
	};

	join_command(a->argv, command, sizeof(command));
	return ledger_put(l, &r);
}

int record_spawn(struct ledger *l, const struct broker_args *a, pid_t worker)
{
	char command[COMMAND_MAX];
	const struct record r = {.event = EVENT_SPAWN, .pid = worker, .text = command};

	join_command(a->argv, command, sizeof(command));
	return ledger_write(l, &r);
}

int record_client(struct ledger *l, const struct msg_client *client, int fd, int error)
{
	struct held held;
	struct record r = {
		.event = EVENT_CLIENT,
		.has_client = true,
		.client_number = client->number,
		.client_uid = client->uid,
		.client_gid = client->gid,
		.client_pid = (pid_t)client->pid,
		.has_fd = error == 0,
		.error = error,
		.class = error == 0 ? "accepted" : NULL,
	};
	int e = error == 0 ? held_describe(fd, &held, &r) : 0;

	return e < 0 ? e : ledger_write(l, &r);
}

int record_exit(struct ledger *l, pid_t worker, int status)
{
	struct record r = {
		.event = EVENT_EXIT,
		.pid = worker,
		.has_status = true,
		.status = status,
	};

	return ledger_write(l, &r);
}

int record_end(struct ledger *l, const char *why)
{
	struct record r = {.event = EVENT_END, .text = why};

	return ledger_write(l, &r);
}
