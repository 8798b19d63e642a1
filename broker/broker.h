/* SPDX-License-Identifier: MIT */
/*
 * broker.h - one broker: a policy, a cell, a ledger, a loop.
 */
#ifndef WARDER_BROKER_H
#define WARDER_BROKER_H

#include "common/failure.h"
#include "policy/policy.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* All that a broker is told.  Strings and descriptors are borrowed. */
struct broker_args {
	struct policy *policy; /* compiled */
	char *const *argv;     /* COMMAND */
	char *const *envp;     /* the caller's environment: what may pass is taken from it */
	const char *cwd;       /* -C, or the directory of the start */
	const int *fds;        /* --fd: inherited under the same number */
	size_t n_fds;
	int stdio[3];            /* what becomes 0, 1, 2 of the worker */
	int tty_fd;              /* slave of the relayed pty, or -1 */
	pid_t relay_pid;         /* the relay of that pty, or 0 */
	int ledger_fd;           /* open for append; moved: the broker closes it */
	const char *policy_hash; /* hex hash of the policy's text, for the session record */
	const char *policy_text; /* that text, if the session record is to hold it; else NULL */
	size_t policy_size;
	const char *dialer; /* where its program stands; needed where the policy names sockets */
	/* Called once, where the policy says `ledger sync batch` and the ledger cannot be brought
	 * to disk: errno.  Nothing is granted any more. */
	void (*unsynced)(int error);
	int control_fd; /* serve: SEQPACKET to the supervisor (messages MSG_CLIENT), or -1 */
	/* Called once, when the worker has been started and the broker is caged: its pid. */
	void (*started)(void *ctx, pid_t pid);
	void *ctx;
};

#define BROKER_DENIALS_MAX 64

/* What would lift a denial. */
enum remedy {
	REMEDY_NONE,
	REMEDY_ALLOW,     /* a line that allows it */
	REMEDY_AS_BROKER, /* the same with `as broker`; where a rule is named, that rule with it */
	REMEDY_EXCEPT,    /* the deny rule, with `except` */
	REMEDY_ANSWER,    /* the ask rule, with `allow` */
};

/* A denial for the summary, the first of its path and rights. */
struct broker_denial {
	char path[1024];       /* what a rule would have to name, cut */
	size_t fixed;          /* policy_fixed() of it */
	unsigned rights;       /* enum right set that was needed */
	unsigned rights_new;   /* those of them that are needed only where nothing is there */
	unsigned rights_there; /* and further ones where something is */
	int error;             /* errno that the worker got */
	char reason[160];
	char rule[512]; /* the rule that it rests on; "": none */
	enum remedy remedy;
	bool makes_dir; /* it is to be a directory, which is not there yet */
	bool failed;    /* it was the file system that refused, and no denial in the ledger */
	bool also;      /* needed by a request that stands before already: a second path */
	bool outside;   /* of a system call: ENOENT, since no rule names it */
	int absent;     /* what stands at the path, looked at after the end: 0 and its type in */
	mode_t mode;    /* `mode`, or an errno; EAGAIN where nobody could be asked */
	bool elsewhere; /* a program that is in a directory of programs too: /usr/bin, for one */
	bool link;      /* the path itself is a symlink, to that or to nothing */
	uint64_t count;
};

/* What came of it. */
struct broker_result {
	int status; /* for the shell: COMMAND's own, 128 + signal, 125, 126, 127 */
	uint64_t granted, denied, limited;
	uint64_t closed; /* refused by the file system, where `as broker` would have opened */
	bool timed_out;
	bool cpu_ended;      /* by `cpu`: COMMAND's own process; not known in `root host` */
	uint64_t oom_killed; /* processes that the kernel killed for the cell's limit of memory */
	struct broker_denial denials[BROKER_DENIALS_MAX];
	size_t n_denials;       /* more than fit are counted in `denied` alone */
	struct failure failure; /* with warder's own 125 to 127: the sentence */
};

/* Before the caller forks anything: moves into a control group of its own where the policy has
 * limits that want one and the host lets it (sandbox/cgroup.c); else it does nothing. */
void broker_make_room(const struct policy *policy);

/* Starts the cell, becomes its broker and serves until the worker ends.  Of ret->denials those from
 * ret->n_denials on are left as they were. */
void broker_run(const struct broker_args *a, struct broker_result *ret);

#endif
