/* SPDX-License-Identifier: MIT */
/*
 * request.h - one request from its door to its answer, and the session it belongs to.
 *
 *     request -> resolve -> decide -> charge -> open -> record -> hand over
 *
 * Each arrow is one function of one file.  The doors differ before and after, never between: a
 * request through the ask door and one through the trap door are the same struct.
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

/* A path on its way: what was asked, and what it reached. */
struct target {
	char asked[PATH_MAX]; /* normalised, absolute */
	size_t asked_size;
	char reached[PATH_MAX]; /* normalised; valid once resolved */
	size_t reached_size;
	dev_t dev; /* of the inode reached; 0 where there is none yet (mkdir, O_CREAT) */
	ino_t ino;
	mode_t type;            /* S_IFMT bits of it */
	bool must_be_directory; /* the path ended in a slash */
};

struct request {
	enum door door;
	enum msg_op op;
	pid_t pid; /* who asks, in the broker's pid namespace */
	uint32_t flags;
	mode_t mode;
	uint64_t offset;
	struct timespec times[2];
	struct target target;
	struct target target2;    /* rename, link, symlink: the new name */
	char link_text[PATH_MAX]; /* symlink: what it is to hold */
	size_t link_size;

	/* What came of it. */
	struct policy_answer answer; /* the rule it rests on */
	int result;                  /* 0, ANSWER_FD or -errno */
	int fd;                      /* to hand over; -1: none */
	uint64_t began_ns;           /* CLOCK_MONOTONIC, for the record's `us` */
};

/* `limit requests` and `limit held`. */
struct charge {
	uint64_t per_second; /* 0: no limit, so below */
	uint64_t held_max;
	uint64_t credit_ns; /* token bucket, ns of credit */
	uint64_t last_ns;
	int worker_files_fd; /* borrowed from the cell */
};

/* Counts for the summary at the end. */
struct tally {
	uint64_t granted, denied, limited;
};

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
	uint32_t last_id;
	enum msg_phase phase;
};

#endif
