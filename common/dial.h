/* SPDX-License-Identifier: MIT */
/*
 * dial.h - every message between a broker and its dialer, one row each.
 *
 * The dialer holds all network code: it makes sockets of the outer network, resolves names and
 * relays what cannot be handed over.  The broker says what to reach and has checked it against the
 * policy; what comes back is checked again.  The channel is a SOCK_SEQPACKET socketpair: one
 * datagram is one message; integers are little-endian.
 *
 *     message = u32 size (of the whole message)  u32 id  u16 op  u16 0  then the row's fields
 *     address = 16 bytes (IPv4 as ::ffff:a.b.c.d, RFC 4291, 2.5.5.2)  u16 port
 *     name    = u8 size  bytes, lower case, without the last dot
 *     option  = u16 level  u16 option  u8 size  bytes of the value, as setsockopt(2) takes it
 *
 * Ids of either side grow; an answer (done, names, verdict) repeats the id that it answers.  A
 * message of a wrong size, with a field out of range, of an unknown op or with other descriptors
 * than its row has is a lie: the broker ends the dialer, the dialer ends itself.
 */
#ifndef WARDER_DIAL_H
#define WARDER_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DIAL_SIZE_MAX      4096
#define DIAL_NAME_MAX      253 /* RFC 1035, 2.3.4, in text */
#define DIAL_ABSTRACT_MAX  107 /* sizeof(sun_path) without the first NUL: unix(7) */
#define DIAL_ADDRESSES_MAX 16
#define DIAL_OPTIONS_MAX   48
#define DIAL_VALUE_MAX     16  /* TCP_CA_NAME_MAX */
#define DIAL_START_ID      1   /* of `start`, the first message */
#define DIAL_WAITING_MAX   64  /* messages of the broker's that wait for an answer */
#define DIAL_STANDINS_MAX  128 /* datagram sockets of the worker's, at once */
#define DIAL_ASKING_MAX    96  /* messages of the dialer's that wait for a verdict */

/* The fields of a row, on the wire in this order. */
enum dial_field {
	DIAL_F_CELL = 1 << 0,     /* u8 for each kind of enum dial_cell */
	DIAL_F_TIMEOUT = 1 << 1,  /* u32 timeout_ms */
	DIAL_F_WAIT = 1 << 2,     /* u8 wait: 0 or 1 */
	DIAL_F_RESULT = 1 << 3,   /* i32 result: 0 or -errno */
	DIAL_F_TTL = 1 << 4,      /* u32 ttl */
	DIAL_F_OF = 1 << 5,       /* u32 of */
	DIAL_F_TYPE = 1 << 6,     /* u16 type */
	DIAL_F_FAMILIES = 1 << 7, /* u8 families: 1 to 3 */
	DIAL_F_WHICH = 1 << 8,    /* u8 which */
	DIAL_F_NAME = 1 << 9,     /* a domain name */
	DIAL_F_BYTES = 1 << 10,   /* a name of any bytes, none of them too */
	DIAL_F_OPTIONS = 1 << 11, /* u8 n, options; after the addresses */
};

/*
 * X(op, OP, descriptors that ride on it at most, fields, addresses: at least, at most)
 *
 * A row with addresses has u8 n and the addresses behind its name and before its options.
 *
 * Broker to dialer:
 *   start    the sockets of the cell's network (enum dial_cell order), u8 of each kind
 *   tcp      u32 timeout_ms  u8 wait  u8 n, addresses  u8 n, options      done: the socket
 *            wait 0: one address, and the socket is handed back while it connects; so it is with
 *            wait 1, when an SO_SNDTIMEO among the options has run out
 *   path     u32 timeout_ms  u8 wait  u16 type
 *            with the worker's socket and the inode, type 0               done: it is connected
 *            with the inode alone                                         done: a new socket
 *   abstract u32 timeout_ms  u8 wait  u16 type  name of any bytes, options  done: the socket
 *   bind     one address, options                                         done: the socket, bound
 *   named    u16 type  name of any bytes, options       done: a Unix socket, bound to that name
 *   udp      one address, options: a UDP socket bound there, which the dialer keeps, and carries
 *            between those who write to it and the same address inside the cell
 *            done: that socket, to be looked at
 *   socket   u16 type                                      done: a Unix socket, not bound
 *   standin  done: one end of a pair of SOCK_SEQPACKET sockets, which stands in for a datagram
 *            socket; the dialer keeps the other end under this message's id
 *   lead     u32 of: a standin's id, with the inode of a Unix datagram socket
 *            done: what is sent on that stand-in goes there from now on
 *   relay    as tcp with wait 1, one address: done when a listener of the dialer's own stands at
 *            that address inside the cell, and the next connection there is carried to it
 *   resolve  u8 families (1: IPv4, 2: IPv6)  name                         names
 *   hear     u32 id of a udp: a socket is bound inside, so that from now on it is carried
 *   cancel   u32 id of a tcp, path, abstract, relay or resolve: nobody waits for it any more; of a
 *            udp: nobody came to be bound inside
 *   release  u32 id of a tcp of one address, path or abstract: its caller waits no longer.  Where
 *            it has not ended yet, done: the tcp's socket, which goes on connecting; else -EINTR
 *   verdict  i32 result: 0 or -errno                     answers lookup, found, flow, first
 *
 * Dialer to broker:
 *   done     i32 result: 0 or -errno  u8 which address           for 0 the socket, where there is;
 *            it does not block
 *   names    i32 result  u32 ttl in s  u8 n, addresses           port 0
 *            -ENOENT: there is no such name; -ENODATA: it has no address of those families;
 *            -EAGAIN: the name servers do not answer, or cannot; -EIO: anything else
 *   lookup   u16 type (RFC 1035, 3.2.2)  name                    the cell asks for a name
 *   found    u32 ttl in s  name  u8 n, addresses                 what it is about to be told
 *   flow     two addresses: of the cell's socket, of the peer    a first datagram to that peer
 *   first    u32 of: a standin's id   a datagram waits, and no lead has said where it goes; the
 *            broker sends a lead before a verdict that is 0
 *   gone     u32 of: a standin's id   it has ended; no answer
 *
 * A socket is IPv6 where its address is, and also where an option of IPPROTO_IPV6 rides along: the
 * worker's own is one, and meets IPv4 by mapped addresses.
 */
#define DIAL_TABLE(X) \
	X(start, START, 64, DIAL_F_CELL, 0, 0) \
	X(tcp, TCP, 0, DIAL_F_TIMEOUT | DIAL_F_WAIT | DIAL_F_OPTIONS, 1, DIAL_ADDRESSES_MAX) \
	X(path, PATH, 2, DIAL_F_TIMEOUT | DIAL_F_WAIT | DIAL_F_TYPE, 0, 0) \
	X(abstract, ABSTRACT, 0, \
		DIAL_F_TIMEOUT | DIAL_F_WAIT | DIAL_F_TYPE | DIAL_F_BYTES | DIAL_F_OPTIONS, 0, 0) \
	X(bind, BIND, 0, DIAL_F_OPTIONS, 1, 1) \
	X(named, NAMED, 0, DIAL_F_TYPE | DIAL_F_BYTES | DIAL_F_OPTIONS, 0, 0) \
	X(udp, UDP, 0, DIAL_F_OPTIONS, 1, 1) \
	X(socket, SOCKET, 0, DIAL_F_TYPE, 0, 0) \
	X(relay, RELAY, 0, DIAL_F_TIMEOUT | DIAL_F_WAIT | DIAL_F_OPTIONS, 1, 1) \
	X(resolve, RESOLVE, 0, DIAL_F_FAMILIES | DIAL_F_NAME, 0, 0) \
	X(standin, STANDIN, 0, 0, 0, 0) \
	X(lead, LEAD, 1, DIAL_F_OF, 0, 0) \
	X(hear, HEAR, 0, DIAL_F_OF, 0, 0) \
	X(cancel, CANCEL, 0, DIAL_F_OF, 0, 0) \
	X(release, RELEASE, 0, DIAL_F_OF, 0, 0) \
	X(verdict, VERDICT, 0, DIAL_F_RESULT, 0, 0) \
	X(done, DONE, 1, DIAL_F_RESULT | DIAL_F_WHICH, 0, 0) \
	X(names, NAMES, 0, DIAL_F_RESULT | DIAL_F_TTL, 0, DIAL_ADDRESSES_MAX) \
	X(lookup, LOOKUP, 0, DIAL_F_TYPE | DIAL_F_NAME, 0, 0) \
	X(found, FOUND, 0, DIAL_F_TTL | DIAL_F_NAME, 1, DIAL_ADDRESSES_MAX) \
	X(flow, FLOW, 0, 0, 2, 2) \
	X(first, FIRST, 0, DIAL_F_OF, 0, 0) \
	X(gone, GONE, 0, DIAL_F_OF, 0, 0)

enum dial_op {
#define X(op, OP, fds, fields, least, most) DIAL_##OP,
	DIAL_TABLE(X)
#undef X
		DIAL__COUNT,
};

/* The kinds of sockets in `start`, in the order in which they ride on it. */
enum dial_cell {
	DIAL_CELL_DNS_UDP, /* 127.0.0.1:53 and, where there is IPv6, [::1]:53 */
	DIAL_CELL_DNS_TCP, /* the same, listening */
	DIAL_CELL_UDP,     /* one for each UDP port that a rule names, any address, both families */
	DIAL_CELL_SPARE,   /* two of TCP, not bound: for relays */
	DIAL_CELL__COUNT,
};

struct dial_address {
	uint8_t bytes[16];
	uint16_t port; /* host order */
};

struct dial_option {
	uint16_t level, option;
	uint8_t size;
	uint8_t value[DIAL_VALUE_MAX];
};

/* One message of any row; fields that the row does not have are zero. */
struct dial_message {
	uint32_t id;
	enum dial_op op;
	uint8_t cell[DIAL_CELL__COUNT]; /* start */
	uint32_t timeout_ms;            /* 0: the kernel's own patience */
	uint32_t ttl;
	uint32_t of; /* hear, cancel, release, lead, first, gone */
	int32_t result;
	uint16_t type;
	uint8_t families;
	uint8_t which;
	bool wait;
	uint8_t n_addresses, n_options, name_size;
	struct dial_address addresses[DIAL_ADDRESSES_MAX];
	struct dial_option options[DIAL_OPTIONS_MAX];
	char name[DIAL_NAME_MAX + 1]; /* ends in a NUL that name_size does not count */
};

/* Puts a message into `buf`: its size, or -EMSGSIZE. */
long dial_encode(const struct dial_message *m, uint8_t *buf, size_t size);
/* Takes one apart: all of it is used, all fields are in range.  0 or -EBADMSG. */
int dial_decode(const uint8_t *buf, size_t size, struct dial_message *ret);
/* How many descriptors ride on a message of this row at most. */
size_t dial_fds(enum dial_op op);
/* Whether this is a domain name as the channel carries one: labels of 1 to 63 of a-z 0-9 - _. */
bool dial_name_is_sound(const char *name, size_t size);

#endif
