/* SPDX-License-Identifier: MIT */
/*
 * msg.h - every message of the channel, one row each.
 *
 * The channel is a SOCK_SEQPACKET socketpair: one datagram is one message.  Integers are
 * little-endian.  docs/protocol.md describes each row for people who write another client.
 *
 *     message = u32 size (of the whole message)  u32 id  u16 op  u16 count  then `count` records
 *     request = u32 flags  u32 mode  u64 offset  i64 atime  i64 mtime  u32 atime_ns  u32 mtime_ns
 *               u16 size of path  u16 size of path2  then both, without NUL
 *     answer  = i32 result  u32 size of data  then data           (result < 0: -errno, no data)
 *
 * A request's fields that its row does not name are zero; anything else is a lie and ends the
 * session, as do a wrong size, an id that does not grow, an unknown op, a descriptor attached, a
 * count over the row's, and a message out of phase.  An answer repeats id, op and count; the
 * descriptors ride on it in the order of those records whose result is ANSWER_FD.
 */
#ifndef WARDER_MSG_H
#define WARDER_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MSG_VERSION   1
#define MSG_SIZE_MAX  65536 /* bytes of a message, either way */
#define MSG_COUNT_MAX 64    /* records of a message, and descriptors of an answer */
#define MSG_PATH_MAX  4095  /* bytes of a path, without NUL: PATH_MAX - 1 */

/* Fields a request may carry. */
enum msg_field {
	F_FLAGS = 1 << 0,
	F_MODE = 1 << 1,
	F_OFFSET = 1 << 2,
	F_TIMES = 1 << 3,
	F_PATH = 1 << 4,  /* required, not empty */
	F_PATH2 = 1 << 5, /* required, not empty */
};

enum msg_phase { PHASE_HELLO, PHASE_RUNNING };

/*
 * X(name, NAME, fields, most records, phase)
 *
 *   hello     flags: MSG_VERSION                   answer: 0
 *   open      flags: O_..., mode                   answer: a descriptor
 *   stat      flags: 0 or AT_SYMLINK_NOFOLLOW      answer: struct msg_stat
 *   access    flags: R_OK | W_OK | X_OK, or F_OK   answer: 0
 *   readlink                                       answer: the link's bytes
 *   list      offset: 0 or the cookie before       answer: u64 cookie (0: end), entries
 *   mkdir     mode                                 answer: 0, so for all below but watch
 *   rename    flags: RENAME_NOREPLACE, RENAME_EXCHANGE; path2: new name
 *   link      path2: new name
 *   symlink   path: what the link holds, path2: new name
 *   truncate  offset: size
 *   chmod     mode
 *   utimes    times as utimensat(2), UTIME_NOW and UTIME_OMIT in the ns; flags as stat
 *   watch     flags: IN_... of inotify(7)          answer: an inotify descriptor
 *
 * What has to wait for the network is answered when it has ended, after later messages perhaps:
 *
 *   connect   path: a socket as a policy writes it; flags: 0, or of a Unix socket SOCK_SEQPACKET;
 *             offset: timeout in ms, 0: none                    answer: it, connected; msg_peer
 *   listen    path: a socket; flags: backlog; mode              answer: it, listening; msg_peer
 *   resolve   path: a host's name; flags: enum msg_families     answer: u32 ttl in s, u16 n, then
 *             n addresses of 16 bytes, IPv4 as ::ffff:a.b.c.d
 */
#define MSG_TABLE(X) \
	X(hello, HELLO, F_FLAGS, 1, PHASE_HELLO) \
	X(open, OPEN, F_PATH | F_FLAGS | F_MODE, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(stat, STAT, F_PATH | F_FLAGS, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(access, ACCESS, F_PATH | F_FLAGS, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(readlink, READLINK, F_PATH, 1, PHASE_RUNNING) \
	X(list, LIST, F_PATH | F_OFFSET, 1, PHASE_RUNNING) \
	X(mkdir, MKDIR, F_PATH | F_MODE, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(rmdir, RMDIR, F_PATH, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(unlink, UNLINK, F_PATH, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(rename, RENAME, F_PATH | F_PATH2 | F_FLAGS, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(link, LINK, F_PATH | F_PATH2, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(symlink, SYMLINK, F_PATH | F_PATH2, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(truncate, TRUNCATE, F_PATH | F_OFFSET, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(chmod, CHMOD, F_PATH | F_MODE, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(utimes, UTIMES, F_PATH | F_FLAGS | F_TIMES, MSG_COUNT_MAX, PHASE_RUNNING) \
	X(watch, WATCH, F_PATH | F_FLAGS, 1, PHASE_RUNNING) \
	X(connect, CONNECT, F_PATH | F_FLAGS | F_OFFSET, 1, PHASE_RUNNING) \
	X(listen, LISTEN, F_PATH | F_FLAGS | F_MODE, 1, PHASE_RUNNING) \
	X(resolve, RESOLVE, F_PATH | F_FLAGS, 1, PHASE_RUNNING)

enum msg_op {
#define X(name, NAME, fields, most, phase) MSG_##NAME,
	MSG_TABLE(X)
#undef X
		MSG__COUNT,
};

struct msg_row {
	const char *name;
	unsigned fields;
	unsigned most;
	enum msg_phase phase;
};
extern const struct msg_row msg_rows[MSG__COUNT];

struct msg_header {
	uint32_t size, id;
	uint16_t op, count;
};
#define MSG_HEADER_SIZE 12

/* One request.  Paths are borrowed from the message's buffer and do not end in NUL there. */
struct msg_request {
	uint32_t flags, mode;
	uint64_t offset;
	int64_t atime, mtime;
	uint32_t atime_ns, mtime_ns;
	uint16_t path_size, path2_size;
	const char *path, *path2;
};
#define MSG_REQUEST_SIZE 44 /* without the paths */

/* One answer.  Data is borrowed. */
struct msg_answer {
	int32_t result; /* 0, ANSWER_FD, or -errno */
	uint32_t data_size;
	const void *data;
};
#define MSG_ANSWER_SIZE 8
#define ANSWER_FD       1 /* a descriptor rides on the message for this record */

/* Data of `stat`: 15 fields in this order, u64 each but where told. */
struct msg_stat {
	uint64_t dev, ino, nlink, size, blocks, blksize, rdev;
	uint32_t mode, uid, gid;
	int64_t atime, mtime, ctime;
	uint32_t atime_ns, mtime_ns, ctime_ns;
};
#define MSG_STAT_SIZE 104

/* An entry of `list`: u64 ino, u8 type (DT_...), u8 size of name, name. */
#define MSG_ENTRY_SIZE 10 /* without the name */

/* Data of `connect` and `listen`: u16 size and bytes of the other end, or of this one's own
 * address, as a policy writes it; then the same of the rule's name. */
struct msg_peer {
	uint16_t text_size, rule_size;
	const char *text, *rule; /* borrowed; they do not end in NUL */
};

/* Families of `resolve`, a set. */
enum msg_families { MSG_IPV4 = 1 << 0, MSG_IPV6 = 1 << 1 };
#define MSG_ADDRESS_SIZE 16

/*
 * The second channel, clients: how `serve` hands connections to its worker.  Broker to worker
 * alone, with the same header; op is MSG_CLIENT, count 1, one descriptor.
 *
 *     client = u64 number  u32 uid  u32 gid  u32 pid
 */
#define MSG_CLIENT      0x100
#define MSG_CLIENT_SIZE 20
struct msg_client {
	uint64_t number; /* grows by one with each connection of a slot */
	uint32_t uid, gid, pid;
};

#endif
