/* SPDX-License-Identifier: MIT */
/*
 * ledger.h - the book: one JSON line for each descriptor, written before it is handed over.
 *
 * Records of one message are collected and written with one write(2) by ledger_commit(); only then
 * may the answers leave.  A record that cannot be written is a denial of all that it covers.
 * With `sync` a commit that grants something also waits until its lines are on disk, once for all
 * of them; denials go along with the next, since nothing leaves by them. ledger.c is the one file
 * that writes the ledger.
 *
 * One line is one JSON object.  Strings that are not UTF-8 are written as common/jsonl.h says, with
 * a second field "NAME_bytes":true.  The caller blocks SIGXFSZ: RLIMIT_FSIZE is then EFBIG.
 */
#ifndef WARDER_LEDGER_H
#define WARDER_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum door { DOOR_NONE, DOOR_ASK, DOOR_TRAP };

enum ledger_event {
	EVENT_SESSION,
	EVENT_START, /* what the worker has from its start, without a grant */
	EVENT_SPAWN,
	EVENT_GRANT,
	EVENT_DENY,
	EVENT_FAIL, /* allowed, and yet it came to nothing: the file system's no, or not delivered
		     */
	EVENT_CLIENT,
	EVENT_EXIT,
	EVENT_END,
};

/* A record.  Zero or NULL fields are left out of the line.  Strings are bytes, escaped here. */
struct record {
	enum ledger_event event;
	enum door door;
	const char *op; /* a literal, which is told by its address */
	pid_t pid;
	bool has_client;
	uint64_t client_number;
	uid_t client_uid;
	gid_t client_gid;
	pid_t client_pid;
	const char *asked;
	size_t asked_size;
	const char *reached;
	size_t reached_size;
	const char *asked2; /* rename, link, symlink: the new name */
	size_t asked2_size;
	const char *reached2;
	size_t reached2_size;
	bool has_inode;
	dev_t dev;
	ino_t ino;
	const char *type;   /* "file", "directory", "fifo", "char", "block"; of a socket that
			     * is no file: "tcp", "udp", "unix" */
	const char *socket; /* of a Unix socket: "stream", "seqpacket", "dgram"; of one that no
			     * grant explains of any domain, "raw" too */
	const char *peer;   /* connect, resolve: "93.184.215.14:443", "@name" */
	const char *local;  /* bind, listen, a TCP connect: the same of this end */
	const char *name;   /* the name that the peer was found by; of a descriptor that no grant
			     * explains, what /proc/self/fd says of it */
	size_t name_size;
	const char *flags;       /* "O_RDONLY|O_CLOEXEC" */
	const char *rule;        /* "scan.policy:13" */
	const char *rights;      /* what was needed: "read" */
	int error;               /* errno of a denial, positive; written as its name */
	const char *reason;      /* a denial in a person's words */
	const char *policy_hash; /* session: hex hash of the policy's text */
	const char *policy_text; /* session: that text, where no file beside the ledger holds it */
	size_t policy_size;
	const char *text; /* session, spawn: the command; end: why */
	bool has_fd;      /* a descriptor leaves with this record */
	/* What no grant explains: "start", "runtime", "accepted".  A literal. */
	const char *class;
	int number;                 /* class "start": of the descriptor, in the worker */
	const char *domain;         /* of a socket that no grant explains: "unix", "ipv4" */
	const char *const *runtime; /* class "runtime": its trees, up to a NULL */
	uint64_t generation;        /* session: of the policy's text */
	uint64_t of;                /* fail: the number of the grant that came to nothing */
	uint64_t count; /* so many like the record before, and this is the last of them */
	bool has_status;
	int status; /* exit: the code, or 128 + signal */
	bool has_us;
	uint64_t us; /* latency in microseconds */
};

#define LEDGER_BUFFER 262144 /* bytes; no line is longer */

/* A session's policy is its first text.  A record that names a rule means the newest generation
 * that a session record before it tells of. */
#define LEDGER_FIRST_GENERATION 1

struct ledger {
	int fd;           /* O_APPEND | O_CLOEXEC */
	uint64_t seq;     /* of the last record written; the first is 1 */
	uint64_t next;    /* of the next record added */
	char session[40]; /* random id of this session, hex */
	uint64_t lost;    /* commits that failed; the lines of each are gone */
	bool torn;        /* a write stopped half way and could not be cut off */
	bool sync;        /* `ledger sync batch`; the owner sets it after ledger_init() */
	bool grants;      /* something leaves by a line that waits for its commit */
	int unsynced; /* errno of the fdatasync(2) that failed; then nothing is granted any more */
	/* Called once, then; NULL: nobody is told. */
	void (*tell_unsynced)(int error);
	int64_t second; /* whose text stands in `clock` */
	char clock[20]; /* "2026-01-31T23:59:59." */
	/* What the last line said of who asked, and for what, as it stands there. */
	struct ledger_head {
		enum ledger_event event;
		enum door door;
		pid_t pid;
		const char *op;
		size_t size; /* 0: nothing yet */
		char text[256];
	} head;
	size_t used;
	char buffer[LEDGER_BUFFER]; /* a newline, for after a torn line; then the lines */
};

/* Takes *fd (moved).  0; or -errno: of such a ledger every commit fails. */
int ledger_init(struct ledger *l, int *fd);
void ledger_deinit(struct ledger *l);

/* Adds a record to what the next commit writes.  0; -ENOSPC where the buffer is full (commit
 * first); never half a record. */
int ledger_add(struct ledger *l, const struct record *r);
/* The same, but what was added before is committed where the buffer is full.  0; -EMSGSIZE: the
 * record alone is too long; or what ledger_commit() says. */
int ledger_put(struct ledger *l, const struct record *r);
/* Writes all that was added, and brings it to disk where that is set and something is granted by
 * it. 0; -errno: nothing may be handed over; the lines are dropped and their numbers given again,
 * unless part of them stands in the file and could not be cut off: then the next line begins on a
 * line of its own, and the lines before claim more than was handed over, never less. */
int ledger_commit(struct ledger *l);
/* Put and commit. */
int ledger_write(struct ledger *l, const struct record *r);

#endif
