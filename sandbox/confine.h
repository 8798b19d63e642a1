/* SPDX-License-Identifier: MIT */
/*
 * confine.h - what the broker may know of sandbox/: the cell's description, and the entry points
 * that its forked children call.
 *
 * A cell_spec is plain data, whole before the first fork: nothing in it is decided later, and
 * nothing in sandbox/ reads the policy.  All strings are borrowed and outlive the start.
 */
#ifndef WARDER_CONFINE_H
#define WARDER_CONFINE_H

#include "common/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CELL_HOME "/home/worker" /* the private home, where the policy names no other */

enum cell_root {
	CELL_VIEW,  /* pivot_root into the policy's trees and the runtime */
	CELL_EMPTY, /* the runtime to load from, no data tree, then warder_lockdown() */
	CELL_HOST,  /* no namespaces: Landlock and seccomp alone */
};

/* Layers that may be missing where the user accepts it; the bits of enum policy_layer. */
enum cell_layer {
	CELL_LAYER_USERNS = 1 << 0,
	CELL_LAYER_LANDLOCK = 1 << 1,
	CELL_LAYER_LANDLOCK_SCOPE = 1 << 2,
	CELL_LAYER_SECCOMP = 1 << 3,
	CELL_LAYER_CGROUP = 1 << 4,
	CELL_LAYER_UID = 1 << 5,
};

/* Landlock and mount attributes of a tree: what the union of the policy's rules could grant. */
enum cell_access {
	CELL_READ = 1 << 0,
	CELL_WRITE = 1 << 1,  /* write, truncate */
	CELL_CREATE = 1 << 2, /* make files, directories, links; rename into */
	CELL_DELETE = 1 << 3,
	CELL_EXEC = 1 << 4,   /* mounted exec; READ_FILE and EXECUTE in the worker's domain */
	CELL_DEVICE = 1 << 5, /* a rule names `type char` or `block`: IOCTL_DEV, and no nodev */
	CELL_APPEND = 1 << 6, /* a rule gives append without write: no truncation, see filter.c */
	CELL_CHANGES = CELL_WRITE | CELL_APPEND | CELL_CREATE | CELL_DELETE,
};

/* A data tree: what the policy names. */
struct cell_tree {
	const char *path;  /* where it stands in the view: resolved, absolute, normalised */
	const char *alias; /* the rule's own spelling where it differs: a symlink in the view */
	unsigned access;   /* enum cell_access */
	bool is_file;      /* a single file, not a directory */
};

/* What of sockets the policy can give: rows of the worker's filter, and what stands in the cell's
 * network. */
enum cell_sockets {
	CELL_SOCKETS_OUT = 1 << 0,      /* some socket leads out: there is a dialer */
	CELL_SOCKETS_NAMES = 1 << 1,    /* names are answered: a name server in the cell */
	CELL_SOCKETS_DATAGRAM = 1 << 2, /* Unix datagram peers */
	CELL_SOCKETS_BIND_UDP = 1 << 3, /* UDP servers: sockets are made in the cell's network */
};

#define CELL_UDP_PORTS_MAX 32
#define CELL_SPARES        2 /* broker/dialer/spares.c makes more of them */
#define CELL_NET_FDS_MAX   (4 + CELL_UDP_PORTS_MAX + CELL_SPARES)

/* The sockets in the cell's network that the dialer answers at, made with the namespace, in the
 * order of enum dial_cell (common/dial.h). */
struct cell_net {
	int fds[CELL_NET_FDS_MAX];
	size_t n_fds;
	uint8_t n_of[4]; /* of each kind */
	uint64_t
		cookie; /* SO_NETNS_COOKIE of its sockets: socket(7), Linux 5.14; 0: no namespace */
};
#define CELL_NET_INIT \
	{ \
		.n_fds = 0 \
	}

/* A descriptor for the worker: `from` here becomes `to` there. */
struct cell_fd {
	int from;
	int to;
};

struct cell_limits {     /* 0: none */
	uint64_t memory; /* bytes of address space of each process (RLIMIT_AS), and memory.max */
	uint64_t tasks;  /* processes and threads (RLIMIT_NPROC in the cell's user namespace) */
	uint64_t files;  /* RLIMIT_NOFILE */
	uint64_t cpu_ms; /* RLIMIT_CPU, rounded up to seconds */
};

struct cell_spec {
	enum cell_root root;
	unsigned accept; /* enum cell_layer set: these may be missing */

	uid_t uid; /* the worker's user */
	gid_t gid;
	const gid_t *groups; /* supplementary, of that user; set by a privileged start alone */
	size_t n_groups;
	const char *user_name; /* for the made passwd */

	const struct cell_tree *trees; /* parents before children */
	size_t n_trees;
	const char *const *hidden; /* paths in those trees to put something empty over */
	size_t n_hidden;
	bool runtime_none;
	const char *const *runtime; /* trees added to the runtime */
	size_t n_runtime;
	const char *home;  /* NULL: private and empty */
	uint64_t tmp_size; /* bytes of the private /tmp; 0: the kernel's default */

	struct cell_limits limits;

	unsigned sockets;          /* enum cell_sockets set */
	const char *dialer;        /* where CELL_SOCKETS_OUT: its program, an absolute path */
	const uint16_t *udp_ports; /* that rules name, ascending; at most CELL_UDP_PORTS_MAX */
	size_t n_udp_ports;

	const char *program; /* as the user wrote it; looked up along the cell's PATH */
	char *const *argv;
	char *const *envp;         /* the worker's whole environment */
	const char *cwd;           /* kept if it is in the view, else HOME */
	const struct cell_fd *fds; /* all the worker inherits, 0 to 2 included; ascending `to` */
	size_t n_fds;
	int tty_fd; /* the slave of a relayed pty, to become the controlling terminal; -1: none */

	bool ledger_sync; /* for the broker's filter: its ledger is brought to disk */
};

#define CELL_OWN_MAX 3
/* The private directories that a cell of this kind has, as its worker names them: how many. */
size_t cell_own_places(const struct cell_spec *spec, const char *ret[CELL_OWN_MAX]);

/* ---- entry points, in the order in which spawn.c calls them ------------------------------------
 *
 * Each returns 0 or -errno with the sentence in f, unless it says otherwise.
 */

/* A filter's program: part of the binary, nothing to free. */
struct sock_filter;
struct filter {
	const struct sock_filter *code;
	size_t n;
};

/* Which table. */
enum filter_table { FILTER_WORKER, FILTER_BROKER, FILTER_INIT, FILTER_RELAY, FILTER_DIALER };

/* The program of a table for this cell; only the worker's and the broker's depend on one. */
int filter_find(enum filter_table table, const struct cell_spec *spec, struct filter *ret,
	struct failure *f);

/* What is made ready before the first fork, with the privileges there still are. */
struct cell_prep {
	int landlock_abi; /* 0: missing, and accepted */
	bool userns;      /* the cell has a user namespace of its own */
	int *tree_fds;    /* detached mounts of spec->trees; -1: init makes it */
};

#define CELL_PREP_INIT \
	{ \
		.landlock_abi = 0, .userns = false, .tree_fds = NULL, \
	}

/* Checks what can be checked beforehand, and opens the trees where the caller is privileged: init
 * is not, and could not reach what lies in a directory closed to the worker's user. */
int cell_prepare(const struct cell_spec *spec, struct cell_prep *prep, struct failure *f);
void cell_prep_free(const struct cell_spec *spec, struct cell_prep *prep);

/* The namespaces of clone3(2) for init. */
uint64_t cell_namespaces(const struct cell_spec *spec, const struct cell_prep *prep);
/* Adds to a failed clone3() what forbids it and what to do. */
int cell_explain_userns(int r, struct failure *f);

/* The control group of one cell; -1: it has none of its own. */
struct cell_cgroup {
	int dir_fd;    /* for CLONE_INTO_CGROUP, clone(2) */
	int procs_fd;  /* its cgroup.procs */
	int events_fd; /* its memory.events; -1: no limit of memory */
};
#define CELL_CGROUP_INIT \
	{ \
		.dir_fd = -1, .procs_fd = -1, .events_fd = -1 \
	}

/* Whether one can be had for these limits: a delegated group of cgroup v2 with the controllers they
 * need, and nobody in it but the caller, who is moved into a leaf of his own for it.  Who starts
 * brokers asks before the first, since each of them is in his group. */
bool cell_cgroup_ready(const struct cell_limits *limits);
/* Why limits of memory and tasks cannot hold for a whole cell here; NULL: they can.  Changes
 * nothing. */
const char *cell_cgroup_missing(void);
/* Makes it, with the limits, where it can be had; else *ret stays as it is, and the limits of
 * processes are all there is. */
int cell_cgroup(const struct cell_limits *limits, struct cell_cgroup *ret, struct failure *f);
/* Moves the caller there; what he makes from then on is born there. */
int cell_cgroup_enter(const struct cell_cgroup *c, struct failure *f);
/* How many processes of the cell the kernel has killed for its limit of memory, by events_fd. */
uint64_t cell_oom_killed(int events_fd);

/* Init's main function.  Waits for a byte on `sock`, builds the view, sends the descriptors of
 * cell_parts with a struct failure (error 0: they follow), and lives until end-of-file. */
void cell_init(const struct cell_spec *spec, const struct cell_prep *prep, int sock)
	__attribute__((noreturn));
/* What init of `root host` says first; the worker's pidfd rides on it unless it failed.  Later it
 * sends the worker's wait status, an int. */
struct cell_host_report {
	pid_t worker;
	struct failure failure;
};

/* The same for `root host`: a subreaper within the broker's domain, which starts the worker and, at
 * end-of-file, ends all that descends from it. */
void cell_init_host(const struct cell_spec *spec, const struct cell_prep *prep, int sock,
	int rules_fd, const struct filter *filter, int status_fd) __attribute__((noreturn));

#define CELL_NAMESPACES 7
#define CELL_NS_USER    0
#define CELL_NS_PID     2
#define CELL_NS_NET     3
struct cell_ns {
	int fds[CELL_NAMESPACES]; /* user, mnt, pid, net, ipc, uts, cgroup; -1: shared */
};
#define CELL_NS_INIT \
	{ \
		{ \
			-1, -1, -1, -1, -1, -1, -1 \
		} \
	}

/* Maps the worker's one uid and gid in init's user namespace and opens init's namespaces: by file,
 * before the Landlock domain, since setns(2) by pidfd is checked like ptrace. */
int cell_adopt(const struct cell_spec *spec, const struct cell_prep *prep, pid_t init,
	struct cell_ns *ret_ns, struct failure *f);

/* Makes the cell's network namespace, its loopback up, and opens it in ns.  Where sockets lead out,
 * every address is local there (a local default route on lo), and the sockets of cell_net stand. It
 * takes as long as the whole view, so a helper of the broker's makes it meanwhile; init, which has
 * no socket call, needs none. */
int cell_network(const struct cell_spec *spec, const struct cell_prep *prep, struct cell_ns *ns,
	struct cell_net *net, struct failure *f);

struct cell_parts {
	int view_fd, twin_fd;                 /* the same where no tree may be changed */
	int broker_rules_fd, worker_rules_fd; /* Landlock rulesets; -1: missing, and accepted */
};
#define CELL_PARTS_INIT \
	{ \
		.view_fd = -1, .twin_fd = -1, .broker_rules_fd = -1, .worker_rules_fd = -1, \
	}

/* `root host`: view and twin are "/", and the rulesets are made here. */
int cell_host_parts(const struct cell_spec *spec, const struct cell_prep *prep,
	struct cell_parts *parts, struct failure *f);

/* Sets no_new_privs and takes the domain.  rules_fd -1: only no_new_privs. */
int cell_restrict(int rules_fd, struct failure *f);

/*
 * The worker's last words to the broker, on a SOCK_SEQPACKET socket that closes on exec.  First one
 * byte on which the listener of its filter rides: from then on its calls are trapped, the exec too.
 * Then nothing, and end-of-file, where the program runs; else this.  A report can also come first.
 */
struct worker_report {
	int exec; /* 126 or 127 where the program could not be executed, else 0 */
	struct failure failure;
};

/* The helper's main function: enters the namespaces and makes the worker its sibling
 * (CLONE_PARENT).  Returns the worker's pid or -errno, with the sentence in f. */
pid_t cell_enter(const struct cell_spec *spec, const struct cell_prep *prep,
	const struct cell_ns *ns, int rules_fd, const struct filter *filter, int status_fd,
	struct failure *f);

/* Capabilities of the broker: none, or what `as broker` needs. */
int caps_broker(bool as_broker, struct failure *f);
/* Sets no_new_privs and loads the filter. */
int cell_load_filter(const struct filter *filter, struct failure *f);
/* The same for the worker's: *ret_listener_fd, close-on-exec, is where trapped calls are served. */
int cell_load_trap(const struct filter *filter, int *ret_listener_fd, struct failure *f);
/* The dialer's whole cage, entered by itself: no capability, no file but those that c-ares reads,
 * and its filter, which has Unix datagram sockets where a rule names one. */
int cell_cage_dialer(bool datagrams, struct failure *f);

#endif
