/* SPDX-License-Identifier: MIT */
/*
 * spawn.h - the order of start: init, namespaces, domains, worker; and the end.
 *
 * fork and exec stand in spawn.c alone.
 */
#ifndef WARDER_SPAWN_H
#define WARDER_SPAWN_H

#include "broker/slow_fs.h"
#include "broker/notify.h"
#include "broker/socket_options.h"
#include "sandbox/confine.h"

#include <sys/types.h>

/* A running cell, as its broker sees it. */
struct cell {
	int view_fd;   /* O_PATH root of the view: read-only */
	int twin_fd;   /* O_PATH root of its writable clone; `root host`: the same directory */
	int proc_fd;   /* the broker's own /proc/self/fd: reopening an inode */
	int init_fd;   /* socket to init: the cell lives until this is closed */
	int procs_fd;  /* O_PATH of the broker's own /proc: working directories of the cell's */
	int pid_ns_fd; /* the cell's pid namespace; -1: it has none of its own */
	struct notify *notify;       /* the trap door's listener */
	struct slow_fs *slow;        /* file systems that may let it wait; NULL: none */
	struct slow_host *slow_host; /* the same, outside of the view */
	int worker_pidfd;
	int worker_files_fd; /* /proc/PID/fd of the worker, for `limit held` */
	int dialer_fd;       /* channel to the dialer (common/dial.h); -1: no socket leads out */
	int dialer_life_fd;  /* a pipe's end: when it is closed the kernel kills the dialer */
	uint64_t net_cookie; /* of the sockets of the cell's network; 0: it has none of its own */
	struct socket_defaults defaults; /* of a new socket there */
	pid_t init_pid;
	pid_t worker_pid;
	pid_t dialer_pid; /* 0: none */
	int oom_fd;       /* memory.events of the cell's control group; -1: it has none */
	bool is_host;     /* the worker is init's child, not ours */
	uint64_t cpu_ms;  /* after cell_wait(): of the worker, and of those that it has reaped */
};

#define CELL_INIT \
	{ \
		.view_fd = -1, .twin_fd = -1, .proc_fd = -1, .init_fd = -1, .procs_fd = -1, \
		.pid_ns_fd = -1, .worker_pidfd = -1, .worker_files_fd = -1, .dialer_fd = -1, \
		.dialer_life_fd = -1, .oom_fd = -1, \
	}

/* What the broker itself still needs after its cage. */
struct cage_spec {
	int ledger_fd;  /* appended to; opened before; -1: none */
	bool as_broker; /* a rule says so: keep CAP_DAC_*, CHOWN, FOWNER */
	/* Called once, with ctx, in the cage and before the worker's exec is answered.  0 or -errno
	 * with the sentence; NULL: nothing is to be done. */
	int (*caged)(void *ctx, struct failure *f);
	void *ctx;
};

/*
 * Starts the cell and puts the calling process into its cage: steps 1 to 5 of
 * docs/architecture.md, "The order of start".  The caller becomes this cell's broker and can have
 * no other: afterwards it is in its Landlock domain and under its filter, without capabilities but
 * those that `cage` names, with the worker's uid and gid as fsuid and fsgid, dumpable 0.
 * On failure nothing is left behind: no process, no mount, no descriptor; the cage may be on.
 * Returns 0; -ENOENT or -EACCES with *ret_exec 127 or 126 where the cell stood but the program
 * could not be executed; else -errno, with the sentence in f, naming layer and remedy.
 */
int spawn_cell(const struct cell_spec *spec, const struct cage_spec *cage, struct cell *ret,
	int *ret_exec, struct failure *f);

/*
 * After worker_pidfd has become readable: reaps the worker (`root host`: reads what init says of
 * it) and returns how it ended for the shell: its exit status, or 128 + signal.  Negative errno
 * where that cannot be told; the cell is over all the same.
 */
int cell_wait(struct cell *cell);

/* A fork with a copy of this process's table of descriptors, which ends with this process: 0 in the
 * child, which must end by _exit(2); its pid; or -errno.  For a caged broker. */
pid_t spawn_copying_files(void);
/* In the child: takes its own entry of /proc for the cell's proc_fd, whose number it does not
 * close; the broker's is closed to it.  0 or -errno. */
int spawn_child_proc(struct cell *cell);
/* Waits for such a child, which waits for nobody.  What it ended with, or -errno. */
int spawn_reap(pid_t pid);
/* Reaps one if it has ended: it may hang in the kernel. */
bool spawn_reap_ended(pid_t pid);

/* Begins that: all in the cell is killed, while the caller does something else. */
void cell_end_begin(struct cell *cell);
/* Ends the cell: closes init's socket, reaps worker and init.  Safe to call twice.  Waits at most
 * until the kernel has killed the cell. */
void cell_end(struct cell *cell);

#endif
