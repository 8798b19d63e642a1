/* SPDX-License-Identifier: MIT */
/*
 * decide.h - the policy's answer to a request, and what the worker is told of a no.
 */
#ifndef WARDER_DECIDE_H
#define WARDER_DECIDE_H

#include "broker/request.h"

/*
 * Whether the policy allows what each target of q needs (target.rights) on what was asked and, once
 * it is resolved, on what was reached.  Fills in q->answer.  VERDICT_ALLOW or VERDICT_DENY; the
 * answer to the worker is then made with decide_refuse().
 */
enum verdict decide(struct session *s, struct request *q);

/* Whether some right set is allowed on a path that q has resolved or not, without noting blame. */
bool decide_would_allow(struct session *s, const struct target *t, unsigned rights);

/* Whether a rule of the policy allows it on what was asked: not that it is the cell's own. */
bool decide_by_rule(struct session *s, const struct target *t, unsigned rights);

/* The rights that a target has of `among`, on both of its names. */
unsigned decide_rights(struct session *s, const struct target *t, unsigned among);

/* Those of `among` that `to` gives and `from` does not, or with less authority, or for fewer types:
 * what an inode would gain by going from one name to the other. */
unsigned decide_gained(
	struct session *s, const struct target *from, const struct target *to, unsigned among);

/* Whether a directory may be renamed without anything beneath it gaining one of `rights`.  Both are
 * resolved. */
bool decide_may_move(
	struct session *s, const struct target *from, const struct target *to, unsigned rights);

/* Whether names and metadata of a path are visible to the worker: there is no right to stat. */
bool decide_visible(struct session *s, const struct target *t);

/*
 * Says no for the policy: sets q->refused and a reason.  -EACCES, or -ENOENT where the name is
 * outside every tree of the policy or, inside one, missing (`root empty`: -EACCES always).
 */
int decide_refuse(struct session *s, struct request *q);

/* What a request needs of a target in all, beyond the rights that it was decided on last. */
struct decide_needs {
	unsigned always;
	unsigned if_new;   /* where nothing stands at the name, or nobody looked */
	unsigned if_there; /* where something does, or nobody looked */
};
struct decide_needs decide_needs(const struct request *q, const struct target *t);

/* Those of `rights` that no rule gives on what was asked, or on what was reached, and none denies:
 * what a line would have to add. */
unsigned decide_missing(struct session *s, const struct target *t, bool reached, unsigned rights);

/* Says no for another cause.  Returns -error. */
int refuse(struct request *q, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Whether the inode may be granted: its type (regular files and directories, else only what the
 * rule names, and in the cell's own places also what the worker made there), and its file system
 * (none of the kernel's own unless a rule's path begins there).
 * 0 or -errno, refused.
 */
int decide_inode(struct session *s, struct request *q, const struct target *t, int fd);

/* After the file system's own -EACCES or -EPERM: puts owner and mode into the reason, and that
 * `as broker` would lift it, where it would (q->as_broker_lifts). */
void decide_explain(struct session *s, struct request *q, const struct target *t);

#endif
