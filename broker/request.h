/* SPDX-License-Identifier: MIT */
/*
 * request.h - one request from its door to its answer, and the session it belongs to.
 *
 *     request -> resolve -> decide -> charge -> open -> record -> hand over
 *
 * Each arrow is one function of one file.  The doors differ before and after, never between: a
 * request through the ask door and one through the trap door are the same struct.
 *
 * A stage returns 0 or -errno.  An error is what the worker is told; why stands in q->reason, and
 * q->refused says whether it was the warder's no or the file system's.
 */
#ifndef WARDER_REQUEST_H
#define WARDER_REQUEST_H

#include "broker/broker.h"
#include "broker/ledger.h"
#include "broker/spawn.h"
#include "common/msg.h"
#include "policy/policy.h"

#include <limits.h>
#include <sys/stat.h>

/* A path on its way: what was asked, and what it reached.  The buffers stand last, so that
 * request_move() can tell them from the rest. */
struct target {
	size_t asked_size;
	size_t raw_size;      /* 0: `asked` says the same */
	size_t reached_size;  /* 0: not resolved */
	unsigned rights;      /* enum right set that the operation needs here; 0: no path */
	unsigned decided_for; /* rights for which `decided` is the policy's word on `asked`; 0: none
			       */
	struct policy_answer decided;
	int fd;           /* O_PATH: the inode, or with `name` its parent; -1 */
	const char *name; /* last component of `asked`, in `fd`; NULL: fd is the inode */
	dev_t dev;        /* of the inode reached; 0 where there is none yet (mkdir, O_CREAT) */
	ino_t ino;
	mode_t mode; /* its st_mode; 0 where there is none */
	uid_t uid;   /* its owner, for the reason of a denial */
	gid_t gid;
	bool trapped; /* through the trap door: the cell's own places count as allowed */
	int given_fd; /* O_PATH: the call named this very inode by a descriptor; -1; owned */
	bool must_be_directory; /* the path ended in a slash */
	bool no_symlinks;       /* openat2(2), RESOLVE_NO_SYMLINKS: one on the way is ELOOP */
	bool ends_in_dots;      /* its last component is "." or "..": no name to make or remove */
	char asked[PATH_MAX];   /* normalised, absolute */
	char raw[PATH_MAX];     /* as it came, where it holds "..": the kernel takes those away */
	char reached[PATH_MAX]; /* normalised; valid once resolved */
};

#define PEER_NAME_SIZE 254 /* a host's name, or an abstract one, and a NUL */
#define PEER_TEXT_SIZE 320 /* "udp [2001:db8::1]:53", "api.example.com:443", "@name" */

/* The other end of a socket on its way: what was asked, and what it is.  One with a path is a
 * target (q->target, RIGHT_CONNECT or RIGHT_BIND) and has no address here. */
enum peer_kind { PEER_NONE, PEER_TCP, PEER_UDP, PEER_PATH, PEER_ABSTRACT };
struct peer {
	enum peer_kind kind;
	bool bind;                 /* it is to be this end's own address */
	bool has_address;          /* else only the name is known */
	uint8_t address[16];       /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;             /* host order */
	char name[PEER_NAME_SIZE]; /* of the host, or abstract (any bytes) */
	size_t name_size;          /* 0: none */
	uint16_t type;             /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET */
};

#define REASON_MAX 256

/* What a request does: the rows of the message table, then what the trap door alone brings. */
enum request_op {
	OP_CHOWN = MSG__COUNT,
	OP_SETXATTR,
	OP_REMOVEXATTR,
	OP_MKNOD,
	OP_EXEC,
	OP_UMASK,
	OP_PLACE,  /* makes a thread, or asks for its CPUs */
	OP_LISTEN, /* the system call: of a socket that is bound already */
	OP_CONNECT,
	OP_BIND,
	OP_RESOLVE, /* the cell's nameserver is asked for a name */
	OP_SEND,    /* a first datagram to a peer */
	OP_SOCKET,  /* socket(2): a Unix datagram socket is asked for */
	OP__COUNT,
};
const char *request_op_name(unsigned op);

/* Of chown and setxattr. */
#define XATTR_NAME_SIZE  256   /* XATTR_NAME_MAX and its NUL; xattr(7) */
#define XATTR_VALUE_SIZE 65536 /* XATTR_SIZE_MAX */

struct request {
	enum door door;
	unsigned op; /* enum msg_op or enum request_op */
	pid_t pid;   /* who asks, in the broker's pid namespace */
	uint32_t flags;
	mode_t mode;
	uint64_t offset;
	struct timespec times[2];
	struct peer peer; /* connect, bind, resolve: instead of a target, or with one */
	size_t link_size;
	uid_t owner; /* chown; -1: as it is */
	gid_t group;
	char xattr[XATTR_NAME_SIZE];
	const void *value; /* setxattr; borrowed from the door */
	size_t value_size;

	/* On the way. */
	struct policy_answer answer; /* the rule it rests on */
	const struct target *blamed; /* where the answer is no: the target it fell on */
	bool blamed_reached;         /* on what it reached, not on what was asked */
	unsigned blamed_rights;      /* and what was missing or denied there */
	bool refused;                /* the warder said no, not the file system */
	bool own;                    /* it touches the cell's own places alone: no record */
	bool charged;
	bool unheard;         /* bind: denied outside, done inside, and the caller knows nothing */
	bool truncate;        /* open: cut to size 0 once the record is written */
	uint64_t grant;       /* number of the record that stands already; 0: none */
	bool by_limit;        /* a limit refused it */
	bool as_broker_lifts; /* the file system refused it, and would not with `as broker` */
	char reason[REASON_MAX]; /* in a person's words; "" where the errno says all */

	/* What came of it. */
	int result;        /* 0, ANSWER_FD or -errno */
	int fd;            /* to hand over; -1: none */
	size_t data_size;  /* bytes of answer in the session's scratch */
	uint64_t began_ns; /* CLOCK_MONOTONIC, for the record's `us` */

	/* Last, as in a target. */
	struct target target;
	struct target target2;    /* rename, link, symlink: the new name */
	char link_text[PATH_MAX]; /* symlink: what it is to hold */
};

/* `limit requests` and `limit held`. */
struct charge {
	uint64_t per_second; /* 0: no limit, so below */
	uint64_t held_max;
	uint64_t credit_ns; /* token bucket, ns of credit */
	uint64_t last_ns;
	bool lists;    /* the cell's processes can be listed; else the first is counted alone */
	uint64_t room; /* descriptors to grant before what is held is counted again */
	int worker_files_fd; /* borrowed from the cell */
};

/* Counts for the summary at the end. */
struct tally {
	uint64_t granted, denied, limited;
};

/* File systems seen, so that their kind is asked once: of each device number, whether the kernel
 * made it up (procfs, sysfs ...). */
#define KNOWN_FS_MAX 16
struct known_fs {
	dev_t dev;
	bool kernel;
};

/* Trees of the runtime that were opened from: mounts.h. */
#define RUNTIME_TREES_MAX 16
struct runtime_trees {
	size_t n;
	struct runtime_tree {
		const char *path; /* of the policy's or the default's list */
		uint64_t mount;   /* the number of the one that begins there */
		bool has_links;   /* some path in it led elsewhere */
	} of[RUNTIME_TREES_MAX];
};

/* The denial that came last, and how often since it was last written: a worker that asks for the
 * same thing a million times fills no disk. */
struct repeat {
	enum door door;
	unsigned op;
	uint32_t flags;
	int error;
	const char *rule;
	char asked[PATH_MAX], asked2[PATH_MAX];
	size_t asked_size, asked2_size;
	struct peer peer;
	uint64_t written;    /* lines of it in a row */
	uint64_t written_ns; /* when the last was */
	uint64_t count;      /* not written yet */
};

struct ask;          /* ask.h: buffers of the ask door */
struct trap;         /* trap.h: buffers of the trap door */
struct tracee_links; /* tracee.h: links of /proc that are held open */
struct slow;         /* slow.h: its calls that wait */
struct dial;         /* dial.h: what the dialer was asked */
struct names;        /* names.h: addresses that names have */
struct standins;     /* standin.h: the worker's datagram sockets */
struct socket_waits; /* socket_wait.h: calls on the worker's own sockets that wait */
struct affinity;     /* affinity.h: where broker and worker run */

#define OWN_PLACES_MAX 4

/* One broker's whole state; no global stands beside it. */
struct session {
	const struct policy *policy;
	enum policy_root root;
	struct cell *cell;     /* borrowed */
	struct ledger *ledger; /* borrowed */
	struct charge charge;
	struct tally tally;
	struct broker_result *result; /* borrowed: record() notes denials there; may be NULL */
	uid_t uid;                    /* the worker's user: as whom files are opened and created */
	gid_t gid;
	bool privileged; /* a broker of uid 0: setfsuid() between that user and `as broker` */
	int channel_fd;
	bool hurried; /* the worker can attach descriptors to what it sends there: hurry.h */
	uint32_t last_id;
	enum msg_phase phase;
	bool devices; /* some rule names `type char` or `block`: not every mount is nodev */
	struct known_fs fs[KNOWN_FS_MAX];
	size_t n_fs;
	struct runtime_trees runtime_trees;
	struct roots *roots;               /* owned; made and freed with `ask` */
	struct repeat *repeat;             /* owned by `ask` */
	struct ask *ask;                   /* owned; ask_init() and ask_deinit() */
	struct trap *trap;                 /* owned; trap_init() and trap_deinit() */
	struct tracee_links *links;        /* owned, made and freed with `trap`; may be NULL */
	struct slow *slow;                 /* owned; made before the cage */
	struct dial *dial;                 /* owned; dial_new(), before the cage */
	struct names *names;               /* owned; names_new() */
	struct standins *standins;         /* owned; standins_new(), before the cage */
	struct socket_waits *socket_waits; /* owned; made before the cage */
	struct affinity *affinity;         /* borrowed: the loop's; may be NULL */
	bool in_child;         /* this is a child of slow.h's, and the book its parent's */
	bool may_begin_slowly; /* the call that is served may be given to a child */
	bool begin_slowly;     /* it led where it may have to wait: it is a child's; slow.h */
	const char *own[OWN_PLACES_MAX]; /* the cell's private directories */
	size_t n_own;
	mode_t umask; /* of who started warder: bounds what the ask door makes; the trap door has
		       * the caller\'s own */
};

/* Everything but what is asked; `tid` is who waits for the answer. */
void request_init(struct request *q, enum door door, unsigned op, pid_t tid);
/* Back to what was asked, for another way through the pipeline; what was paid stays paid. */
void request_rewind(struct request *q);
/* Moves a request with its descriptors: of the buffers what they hold, which is little of 28 KiB.
 */
void request_move(struct request *to, struct request *from);
/* Closes what is left open. */
void request_deinit(struct request *q);

#endif
