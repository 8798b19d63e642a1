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
	CELL_WRITE = 1 << 1,  /* write, append, truncate */
	CELL_CREATE = 1 << 2, /* make files, directories, links; rename into */
	CELL_DELETE = 1 << 3,
	CELL_EXEC = 1 << 4,   /* mounted exec; READ_FILE and EXECUTE in the worker's domain */
	CELL_DEVICE = 1 << 5, /* a rule names `type char` or `block`: IOCTL_DEV, and no nodev */
};

/* A data tree: what the policy names. */
struct cell_tree {
	const char *path;  /* where it stands in the view: resolved, absolute, normalised */
	const char *alias; /* the rule's own spelling where it differs: a symlink in the view */
	unsigned access;   /* enum cell_access */
	bool is_file;      /* a single file, not a directory */
};

/* A descriptor for the worker: `from` here becomes `to` there. */
struct cell_fd {
	int from;
	int to;
};

struct cell_limits {     /* 0: none */
	uint64_t memory; /* bytes of address space of each process (RLIMIT_AS) */
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
	bool runtime_none;
	const char *const *runtime; /* trees added to the runtime */
	size_t n_runtime;
	const char *home;  /* NULL: private and empty */
	uint64_t tmp_size; /* bytes of the private /tmp; 0: the kernel's default */

	struct cell_limits limits;

	const char *program; /* as the user wrote it; looked up along the cell's PATH */
	char *const *argv;
	char *const *envp;         /* the worker's whole environment */
	const char *cwd;           /* kept if it is in the view, else HOME */
	const struct cell_fd *fds; /* all the worker inherits, 0 to 2 included; ascending `to` */
	size_t n_fds;
	int tty_fd; /* the slave of a relayed pty, to become the controlling terminal; -1: none */
};

#endif
