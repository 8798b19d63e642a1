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
#include <stddef.h>
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
	q->blamed_reached = q->refused = q->charged = q->truncate = q->by_limit = q->own =
		q->as_broker_lifts = false;
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
	q->blamed_reached = q->refused = q->truncate = q->by_limit = q->own = q->as_broker_lifts =
		false;
	q->reason[0] = '\0';
	fd_close(&q->fd);
}

/* A text and the NUL behind it. */
static void copy_text(char *to, const char *from, size_t size)
{
	if (size > 0)
		memcpy(to, from, size + 1);
}

static void target_move(struct target *to, struct target *from)
{
	memcpy(to, from, offsetof(struct target, asked));
	copy_text(to->asked, from->asked, from->asked_size);
	copy_text(to->raw, from->raw, from->raw_size);
	copy_text(to->reached, from->reached, from->reached_size);
	if (from->name)
		to->name = to->asked + (from->name - from->asked);
	from->fd = from->given_fd = -1;
}

void request_move(struct request *to, struct request *from)
{
	memcpy(to, from, offsetof(struct request, target));
	target_move(&to->target, &from->target);
	target_move(&to->target2, &from->target2);
	copy_text(to->link_text, from->link_text, from->link_size);
	if (from->blamed)
		to->blamed = from->blamed == &from->target2 ? &to->target2 : &to->target;
	from->fd = -1;
}

void request_deinit(struct request *q)
{
	fd_close(&q->fd);
	target_deinit(&q->target);
	target_deinit(&q->target2);
}
