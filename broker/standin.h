/* SPDX-License-Identifier: MIT */
/*
 * standin.h - the worker's Unix datagram sockets, which are none: what stands in for each, and
 * where it may lead.
 *
 * socket(AF_UNIX, SOCK_DGRAM) is answered with one end of a SOCK_SEQPACKET pair whose other end the
 * dialer keeps.  It is known again by its cookie (SO_COOKIE), which the kernel gives to one socket
 * only, whatever its number or holder.
 */
#ifndef WARDER_STANDIN_H
#define WARDER_STANDIN_H

#include "broker/dial.h"
#include "broker/trap.h"

/* Before the cage.  0 or -ENOMEM. */
int standins_new(struct standins **ret);
struct standins *standins_free(struct standins *d);

/* socket(2), of take_socket(); as serve_connect(). */
int serve_socket(struct session *s, struct trap *t);

/* What the dialer knows it by; 0: it is none. */
uint32_t standin_of(const struct session *s, const struct sock *k);
int standin_connect(struct session *s, struct trap *t, uint32_t of);
int standin_bind(struct trap *t);

/* The dialer's `first`: 0, and the dialer has been told where; or -errno. */
int standin_first(struct session *s, uint32_t of);
/* The dialer's `gone`. */
void standin_gone(struct session *s, uint32_t of);

/* The worker has ended: what its stand-ins hold still goes, for a moment. */
int standins_drain(struct session *s, const char **ret_why);

#endif
