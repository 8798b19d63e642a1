/* SPDX-License-Identifier: MIT */
/*
 * socket_outer.h - a trapped call that leads out of the cell: asked of the dialer, looked at again,
 * recorded, put in place.
 *
 * Each takes a request that is decided, with the trap's copy of the socket.  SOCKET_LATER: it will
 * be answered later; else as a stage of request.h.
 */
#ifndef WARDER_SOCKET_OUTER_H
#define WARDER_SOCKET_OUTER_H

#include "broker/dial.h"
#include "broker/trap.h"

#define SOCKET_LATER (-EINPROGRESS - 4096) /* no errno: nothing is answered now */

int outer_tcp(struct session *s, struct trap *t);
int outer_abstract(struct session *s, struct trap *t);
int outer_bind(struct session *s, struct trap *t);
int outer_named(struct session *s, struct trap *t);
/* UDP: the socket stays what it is, bound inside to the same address. */
int outer_udp(struct session *s, struct trap *t);
/* The inode is q->target.fd. */
int outer_path(struct session *s, struct trap *t);
/* socket(2): a stand-in for a datagram socket, for finish(). */
int outer_standin(struct session *s, struct trap *t, dial_finish *finish);
/* Leads one to the inode q->target.fd. */
int outer_lead(struct session *s, struct trap *t, uint32_t of, uint32_t timeout_ms);

/* tcp_states of net/tcp_states.h, as TCP_INFO has them. */
enum { STATE_ESTABLISHED = 1, STATE_SYN_SENT = 2, STATE_CLOSE = 7, STATE_LISTEN = 10 };
/* A TCP socket's, or -errno. */
int socket_tcp_state(int fd);

#endif
