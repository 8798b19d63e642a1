/* SPDX-License-Identifier: MIT */
/*
 * request.c - one request's beginning and end, whatever its door.
 *
 * Runs in: broker.  Trusts: nothing.
 */
#include "broker/request.h"
#include "broker/charge.h"
#include "broker/resolve.h"
#include "common/fd.h"

#include <errno.h>
#include <string.h>

const char *request_op_name(unsigned op)
{
	static const char *const names[] = {
		[OP_CHOWN - MSG__COUNT] = "chown",
		[OP_SETXATTR - MSG__COUNT] = "setxattr",
		[OP_REMOVEXATTR - MSG__COUNT] = "removexattr",
		[OP_MKNOD - MSG__COUNT] = "mknod",
		[OP_EXEC - MSG__COUNT] = "exec",
		[OP_UMASK - MSG__COUNT] = "umask",
		[OP_PLACE - MSG__COUNT] = "place",
		[OP_LISTEN - MSG__COUNT] = "listen",
		[OP_CONNECT - MSG__COUNT] = "connect",
		[OP_BIND - MSG__COUNT] = "bind",
		[OP_RESOLVE - MSG__COUNT] = "resolve",
		[OP_SEND - MSG__COUNT] = "send",
		[OP_SOCKET - MSG__COUNT] = "socket",
	};

	return op < MSG__COUNT ? msg_rows[op].name : names[op - MSG__COUNT];
}

void request_init(struct request *q, enum door door, unsigned op, pid_t tid)
{
	q->door = door;
	q->op = op;
	q->pid = tid;
	q->flags = 0;
	q->mode = 0; /* of the request before, 0400 would be AT_SYMLINK_NOFOLLOW */
	target_init(&q->target);
	target_init(&q->target2);
	q->target.trapped = q->target2.trapped = door == DOOR_TRAP;
	memset(&q->peer, 0, sizeof(q->peer));
	q->link_size = 0;
	memset(&q->answer, 0, sizeof(q->answer));
	q->blamed = NULL;
	q->blamed_rights = 0;
	q->blamed_reached = q->refused = q->charged = q->truncate = q->by_limit = q->own = false;
	q->grant = 0;
	q->reason[0] = '\0';
	q->result = -EACCES;
	q->fd = -1;
	q->data_size = 0;
	q->began_ns = clock_ns();
}

static void target_rewind(struct target *t)
{
	fd_close(&t->fd);
	t->reached_size = 0;
	t->rights = 0;
	t->name = NULL;
	t->dev = 0;
	t->ino = 0;
	t->mode = 0;
}

void request_rewind(struct request *q)
{
	target_rewind(&q->target);
	target_rewind(&q->target2);
	memset(&q->answer, 0, sizeof(q->answer));
	q->blamed = NULL;
	q->blamed_rights = 0;
	q->blamed_reached = q->refused = q->truncate = q->by_limit = q->own = false;
	q->reason[0] = '\0';
	fd_close(&q->fd);
}

void request_deinit(struct request *q)
{
	fd_close(&q->fd);
	target_deinit(&q->target);
	target_deinit(&q->target2);
}
