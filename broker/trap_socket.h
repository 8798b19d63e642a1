/* SPDX-License-Identifier: MIT */
/*
 * trap_socket.h - the trapped calls of sockets: connect, bind, listen.
 */
#ifndef WARDER_TRAP_SOCKET_H
#define WARDER_TRAP_SOCKET_H

#include "broker/trap.h"

/* What take_connect(), take_bind() and take_listen() have copied, decided and done.  0, -errno, or
 * SOCKET_LATER. */
int serve_connect(struct session *s, struct trap *t);
int serve_bind(struct session *s, struct trap *t);
int serve_listen(struct session *s, struct trap *t); /* trap_listen.c */

/* Notes a path that getsockname(2) tells of a socket that was bound to what the target was asked
 * by. */
void trap_note_told(struct trap *t, const char *path, const struct target *meant);

/* Whether some rule has something to say: a deny, or that it asks first. */
static inline bool is_ruled_out(const struct policy_answer *a)
{
	return a->verdict == VERDICT_ASK || (a->rule && !a->missing);
}

#endif
