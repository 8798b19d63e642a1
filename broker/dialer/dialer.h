/* SPDX-License-Identifier: MIT */
/*
 * dialer.h - the parts of the dialer, and what they tell each other.
 *
 * One process is one dialer, so each part keeps its tables in itself, of a fixed size.  What waits
 * for a descriptor is a watch in some table's entry; what waits for a time is found by asking each
 * part when it is next due.
 */
#ifndef WARDER_DIALER_H
#define WARDER_DIALER_H

#include "common/dial.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NEVER UINT64_MAX
#define MS_NS 1000000ull

/* ---- loop.c ---------------------------------------------------------------------------------- */

struct watch;
typedef void watch_fn(struct watch *w, uint32_t events);
struct watch {
	int fd; /* borrowed */
	watch_fn *on;
	void *of; /* whose it is */
	uint32_t events;
};

int loop_init(void);
/* Waits for these events of w->fd; none: no more.  0 or -errno. */
int watch_set(struct watch *w, uint32_t events);
uint64_t clock_ns(void); /* CLOCK_MONOTONIC */
uint64_t sooner(uint64_t a, uint64_t b);
/* Serves until the process ends. */
void loop_run(void) __attribute__((noreturn));

/* ---- channel.c: the broker ------------------------------------------------------------------- */

int channel_init(int sock);
/* Sends an answer; the descriptor is moved (-1: none). */
void channel_done(uint32_t id, int result, unsigned which, int *fd);
/* The same of a descriptor that stays the dialer's. */
void channel_show(uint32_t id, int fd);
void channel_names(
	uint32_t id, int result, uint32_t ttl, const struct dial_address *addresses, size_t n);
/* Asks; answered() is called with 0 or -errno, later and once, unless forget() comes first.
 * Returns a number that is not 0, or 0: too many wait, which is a refusal. */
typedef void channel_answered(void *ctx, int result);
uint32_t channel_ask(const struct dial_message *m, channel_answered *answered, void *ctx);
void channel_forget(uint32_t question);
/* Says that a stand-in has ended; nothing answers. */
void channel_gone(uint32_t standin);
/* Ends the process with a sentence. */
void give_up(const char *why, int r) __attribute__((noreturn));

/* ---- dialer.c: what the broker has asked for ------------------------------------------------- */

void dialer_begin(const struct dial_message *m, int *fds, size_t n_fds);
void dialer_cancel(uint32_t id);
void dialer_release(uint32_t id);
uint64_t dialer_due(void);
void dialer_tick(uint64_t now_ns);

/* ---- sockets.c: the one that makes sockets --------------------------------------------------- */

/* A TCP socket with the message's options.  A descriptor or -errno. */
int sockets_tcp(const struct dial_message *m, int family);
/* A Unix socket of SOCK_STREAM or SOCK_SEQPACKET.  A descriptor or -errno. */
int sockets_unix(unsigned type);
/* The message's options.  What does not apply to this kind of socket is passed over. */
void sockets_set(int fd, const struct dial_message *m);
/* Of which family a socket for that address is, with the message's options. */
int sockets_family(const struct dial_message *m, const struct dial_address *a);
/* Of an inode that was resolved, whatever has its name by now.  The dialer's directory is
 * /proc/self/fd: from there it is one step. */
struct sockaddr_un sockets_inode(int inode);
/* A UDP socket connected to the peer, which does not fragment.  A descriptor or -errno. */
int sockets_udp(const struct dial_address *peer);
/* What a message of op `udp` asks for: a socket bound there, which tells where a datagram was sent,
 * hears no group and does not fragment.  A descriptor or -errno. */
int sockets_udp_bound(const struct dial_message *m);
/* A UDP socket that is neither bound nor connected, of both families where there is IPv6.  A
 * descriptor or -errno. */
int sockets_udp_new(void);
/* A pair of SOCK_SEQPACKET sockets, the first for the worker.  0 or -errno. */
int sockets_pair(int ret[2]);
/* A Unix datagram socket connected to an inode.  A descriptor or -errno. */
int sockets_datagram(int inode);

/* ---- address.c ------------------------------------------------------------------------------- */

bool address_is_v4(const struct dial_address *a);
void address_from_v4(struct dial_address *a, const void *four, uint16_t port);
/* For a socket of that family; AF_INET for what is_v4 alone.  The size. */
socklen_t address_put(const struct dial_address *a, int family, struct sockaddr_storage *ret);
/* Of AF_INET or AF_INET6, else false. */
bool address_get(const struct sockaddr_storage *from, struct dial_address *ret);
bool address_same(const struct dial_address *a, const struct dial_address *b);
/* In which order n of them are tried: the families in turn, beginning with the first's; within each
 * as they stand. */
void address_order(const struct dial_address *addresses, unsigned n, uint8_t *ret);
/* Room for what tells a datagram's address, of either family. */
union address_control {
	uint8_t buf[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct cmsghdr align;
};
/* The address, without its port, that a datagram was sent to (IP_PKTINFO).  False: the kernel did
 * not say. */
bool address_told(struct msghdr *msg, struct dial_address *ret);
/* Has a datagram of a socket of that family sent in the name of an address. */
void address_tell(struct msghdr *msg, union address_control *control, int family,
	const struct dial_address *from);
/* Multicast, or everybody's. */
bool address_is_group(const struct dial_address *a);
/* 0.0.0.0, or [::]. */
bool address_is_any(const struct dial_address *a);

/* ---- relay.c --------------------------------------------------------------------------------- */

/* The outer socket stands: listens inside at that address.  0: done has been said. */
int relay_begin(uint32_t id, const struct dial_address *at, int *outer_fd);
void relay_cancel(uint32_t id);
uint64_t relay_due(void);
void relay_tick(uint64_t now_ns);

/* ---- spares.c -------------------------------------------------------------------------------- */

/* Two sockets of the cell's network, which it owns from here on; more are closed. */
void spares_start(const int *fds, size_t n);
/* A TCP socket of that network that is neither bound nor connected, and does not block; its caller
 * owns it.  A descriptor or -errno. */
int spares_new(void);

/* ---- udp.c ----------------------------------------------------------------------------------- */

int udp_start(const int *socks, size_t n);
uint64_t udp_due(void);
void udp_tick(uint64_t now_ns);

/* ---- bound.c: UDP servers of the cell's ------------------------------------------------------ */

/* Where new UDP sockets of the cell's network come from: maker.c's channel, borrowed. */
void bound_start(int maker_fd);
/* udp, hear, cancel. */
void bound_begin(const struct dial_message *m);
void bound_hear(uint32_t id);
void bound_cancel(uint32_t id);
uint64_t bound_due(void);
void bound_tick(uint64_t now_ns);

/* ---- inside.c: UDP sockets of the cell's network --------------------------------------------- */

#define INSIDE_WAIT_S 1

/* Where they come from: maker.c's channel, borrowed; -1: none come. */
void inside_start(int maker_fd);
/* An address inside, for a socket of that family. */
socklen_t inside_put(const struct dial_address *a, int family, struct sockaddr_storage *ret);
/* One is in hand.  0; -EAGAIN: the maker is behind, `wait`: for INSIDE_WAIT_S; or -errno. */
int inside_have(bool wait);
/* The one in hand, bound to an address, which need not be a device's, and its family: a descriptor
 * that tells of errors.  Or -errno, and it is in hand as before. */
int inside_bind(const struct dial_address *a, int *ret_family);

/* ---- maker.c: another process, in the cell's network ----------------------------------------- */

/* Makes UDP sockets there, one after another, for who reads at the other end. */
void maker_run(int sock) __attribute__((noreturn));

/* ---- datagrams.c: Unix datagrams ------------------------------------------------------------- */

void datagrams_standin(const struct dial_message *m);
/* The inode is borrowed. */
void datagrams_lead(const struct dial_message *m, int inode);
/* The broker is gone: carries what waits and can go now. */
void datagrams_last(void);

/* ---- resolve.c: c-ares ----------------------------------------------------------------------- */

struct found {
	int result; /* as `names` has it */
	uint32_t ttl;
	uint8_t n;
	struct dial_address addresses[DIAL_ADDRESSES_MAX];
};
typedef void resolve_fn(void *ctx, const struct found *found);

int resolve_init(void);
/* Calls done() once, perhaps at once, unless forget() comes first.  Returns a number that is not 0,
 * or 0: too many wait. */
uint32_t resolve_begin(
	const char *name, size_t size, unsigned families, resolve_fn *done, void *ctx);
void resolve_forget(uint32_t number);
uint64_t resolve_due(void);
void resolve_tick(uint64_t now_ns);
/* localhost and what is beneath it (RFC 6761, 6.3). */
bool resolve_is_local(const char *name, size_t size);

/* ---- names.c: the cell's name server --------------------------------------------------------- */

int names_start(const int *udp, size_t n_udp, const int *tcp, size_t n_tcp);
uint64_t names_due(void);
void names_tick(uint64_t now_ns);

#endif
