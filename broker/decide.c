/* SPDX-License-Identifier: MIT */
/*
 * decide.c - the policy's answer to a request, and what the worker is told of a no.
 *
 * Runs in: broker.  Trusts: the policy; of a target, only what the kernel said it reached.
 *
 * The verdict itself is made in policy/.  Here stands which paths it is asked about (what was asked
 * and what was reached, each end of a rename), and which errno a no becomes: a name outside every
 * tree of the policy does not exist for the worker, whether it does for others or not.
 */
#include "broker/decide.h"
#include "broker/kernel_fs.h"
#include "broker/mounts.h"
#include "broker/open_flags.h"
#include "broker/own.h"
#include "broker/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* Rights that make a name. */
#define RIGHTS_MAKE (RIGHT_CREATE | RIGHT_BIND)
/* Rights on what the cell only reads: its runtime, /proc and /dev. */
#define RIGHTS_SHARED (RIGHT_READ | RIGHT_LIST | RIGHT_EXEC)

static bool reached_elsewhere(const struct target *t)
{
	return t->reached_size > 0 && (t->reached_size != t->asked_size ||
					      memcmp(t->reached, t->asked, t->asked_size) != 0);
}

/* What the answers for several paths have in common: the least of each. */
static void merge(struct policy_answer *all, const struct policy_answer *a)
{
	if (!all->rule) {
		*all = *a;
		return;
	}
	if (a->as < all->as)
		all->as = a->as;
	all->types &= a->types;
	all->mode_max &= a->mode_max;
}

/*
 * Whether a path needs no rule: the worker may do that by itself, its domain and its view allow it.
 * What a trapped call asked for may also be a name there that leads elsewhere: then what it reaches
 * decides.
 */
static bool is_own(const struct session *s, const struct target *t, bool reached, unsigned rights)
{
	enum owner owner = owner_of(
		s, reached ? t->reached : t->asked, reached ? t->reached_size : t->asked_size);

	if (owner == OWNER_NONE || owner == OWNER_POLICY)
		return false;
	if (!reached && !t->trapped)
		return false;
	if (!reached && (t->reached_size == 0 || reached_elsewhere(t)))
		return true;
	return owner == OWNER_WORKER || (rights & ~(unsigned)RIGHTS_SHARED) == 0;
}

/* What the cell's own are to the policy: no rule gives the worker more there. */
static const struct policy_answer own_answer = {
	.verdict = VERDICT_ALLOW,
	.types = TYPE_FIFO,
	.mode_max = 0777,
};

/* The policy's word.  What it said of `asked` is kept in the target: it is asked again once more is
 * known of what was reached, and mostly that is the same. */
static struct policy_answer ask_policy(struct session *s, struct target *t, bool reached)
{
	struct policy_answer a;

	if (reached) {
		policy_check(s->policy, t->reached, t->reached_size, t->rights, &a);
		return a;
	}
	if (t->decided_for != t->rights)
		policy_check(s->policy, t->asked, t->asked_size, t->rights, &t->decided);
	t->decided_for = t->rights;
	return t->decided;
}

static enum verdict check(struct session *s, struct request *q, struct target *t, bool reached,
	struct policy_answer *all)
{
	const struct policy_answer a = ask_policy(s, t, reached);

	if (a.verdict == VERDICT_ALLOW) {
		merge(all, &a);
		return VERDICT_ALLOW;
	}
	if (is_own(s, t, reached, t->rights))
		return VERDICT_ALLOW;
	q->answer = a;
	q->blamed = t;
	q->blamed_reached = reached;
	q->blamed_rights = a.missing ? a.missing : t->rights;
	return VERDICT_DENY;
}

enum verdict decide(struct session *s, struct request *q)
{
	struct target *targets[] = {&q->target, &q->target2};
	struct policy_answer all = {.rule = NULL};
	bool any = false;

	q->own = false;
	for (size_t i = 0; i < 2; i++) {
		struct target *t = targets[i];

		if (t->rights == 0)
			continue;
		any = true;
		if (check(s, q, t, false, &all) != VERDICT_ALLOW)
			return VERDICT_DENY;
		if (reached_elsewhere(t) && check(s, q, t, true, &all) != VERDICT_ALLOW)
			return VERDICT_DENY;
	}
	if (!any) /* no path needs any right: there is nothing that could allow it */
		return VERDICT_DENY;
	if (!all.rule) {
		q->own = true;
		all = own_answer;
	}
	q->answer = all;
	return VERDICT_ALLOW;
}

/* Whether some right set is allowed on both names of a target, and how. */
static bool would_allow(
	struct session *s, const struct target *t, unsigned rights, struct policy_answer *ret)
{
	struct policy_answer all = {.rule = NULL}, a;

	if (policy_check(s->policy, t->asked, t->asked_size, rights, &a) == VERDICT_ALLOW)
		merge(&all, &a);
	else if (!is_own(s, t, false, rights))
		return false;
	if (reached_elsewhere(t)) {
		if (policy_check(s->policy, t->reached, t->reached_size, rights, &a) ==
			VERDICT_ALLOW)
			merge(&all, &a);
		else if (!is_own(s, t, true, rights))
			return false;
	}
	*ret = all.rule ? all : own_answer;
	return true;
}

bool decide_would_allow(struct session *s, const struct target *t, unsigned rights)
{
	struct policy_answer a;

	return would_allow(s, t, rights, &a);
}

bool decide_by_rule(struct session *s, const struct target *t, unsigned rights)
{
	struct policy_answer a;

	return policy_check(s->policy, t->asked, t->asked_size, rights, &a) == VERDICT_ALLOW;
}

unsigned decide_rights(struct session *s, const struct target *t, unsigned among)
{
	unsigned have = 0;

	for (unsigned right = 1; right <= RIGHT_BIND; right <<= 1) {
		if ((among & right) && decide_would_allow(s, t, right))
			have |= right;
	}
	return have;
}

unsigned decide_gained(
	struct session *s, const struct target *from, const struct target *to, unsigned among)
{
	struct policy_answer was, is;
	unsigned gained = 0;

	for (unsigned right = 1; right <= RIGHT_BIND; right <<= 1) {
		if ((among & right) && would_allow(s, to, right, &is) &&
			(!would_allow(s, from, right, &was) || policy_gives_more(&was, &is)))
			gained |= right;
	}
	return gained;
}

bool decide_may_move(
	struct session *s, const struct target *from, const struct target *to, unsigned rights)
{
	if (is_own(s, from, true, rights) && is_own(s, to, true, rights))
		return true;
	return policy_may_move(s->policy, from->asked, from->asked_size, to->asked, to->asked_size,
		       rights) &&
	       policy_may_move(s->policy, from->reached, from->reached_size, to->reached,
		       to->reached_size, rights);
}

static bool visible(struct session *s, const struct target *t, const char *path, size_t size)
{
	enum owner owner = owner_of(s, path, size);

	return owner == OWNER_POLICY || owner == OWNER_RUNTIME ||
	       (t->trapped && owner != OWNER_NONE) || policy_names(s->policy, path, size);
}

bool decide_visible(struct session *s, const struct target *t)
{
	const unsigned any = RIGHT_READ | RIGHT_LIST | RIGHT_WRITE | RIGHT_APPEND | RIGHT_CREATE |
			     RIGHT_DELETE | RIGHT_EXEC;

	if (s->root == ROOT_EMPTY)
		return decide_rights(s, t, any) != 0;
	return visible(s, t, t->asked, t->asked_size) &&
	       (!reached_elsewhere(t) || visible(s, t, t->reached, t->reached_size));
}

int refuse(struct request *q, int error, const char *fmt, ...)
{
	va_list ap;

	q->refused = true;
	va_start(ap, fmt);
	vsnprintf(q->reason, sizeof(q->reason), fmt, ap);
	va_end(ap);
	return -error;
}

/* Whether the blamed path is missing, as far as the worker may know. */
static bool is_missing(struct session *s, const struct request *q, struct target *t)
{
	unsigned wanted = t->rights;
	int r;

	if (t->fd >= 0)
		return t->mode == 0 && !(wanted & RIGHTS_MAKE);
	/* Whoever would make a name is told that he may not, not that it is missing. */
	if (wanted & RIGHTS_MAKE)
		return false;
	r = resolve_inode(s, q, t, s->cell->view_fd, false);
	if (r == -ENOENT || r == -ENOTDIR)
		return true;
	return r == 0 && !decide_visible(s, t);
}

struct decide_needs decide_needs(const struct request *q, const struct target *t)
{
	struct decide_needs n = {t->rights, 0, 0};

	/* What is there is opened; and what is made now is there when it is opened next. */
	if (q->op == MSG_OPEN && (q->flags & O_CREAT) && !(q->flags & O_EXCL) && t->mode == 0)
		n = (struct decide_needs){open_rights_existing(q), open_rights_new(q), 0};
	/* What stands at the new name is lost; who would not replace it tries that next. */
	if (q->op == MSG_RENAME && t == &q->target2 && !(q->flags & RENAME_EXCHANGE))
		n.if_there = RIGHT_DELETE;
	/* link(2) leads into no other mount, and a file's tree is one where no name is made. */
	if (q->op == MSG_LINK && t == &q->target)
		n.if_there = RIGHT_CREATE;
	return n;
}

unsigned decide_missing(struct session *s, const struct target *t, bool reached, unsigned rights)
{
	const char *path = reached ? t->reached : t->asked;
	size_t size = reached ? t->reached_size : t->asked_size;
	struct policy_answer a;
	unsigned missing = 0;

	for (unsigned right = 1; right <= RIGHT_BIND; right <<= 1) {
		if ((rights & right) &&
			policy_check(s->policy, path, size, right, &a) != VERDICT_ALLOW &&
			a.missing && !is_own(s, t, reached, right))
			missing |= right;
	}
	return missing;
}

/* The words for a no inside the policy's trees. */
static int refuse_rights(struct session *s, struct request *q, const char *where)
{
	const struct target *t = q->blamed == &q->target2 ? &q->target2 : &q->target;
	const struct decide_needs n = decide_needs(q, t);
	char rights[64];

	if (!q->answer.rule && (q->blamed_rights & t->rights))
		q->blamed_rights |= decide_missing(s, t, q->blamed_reached, n.always | n.if_new);
	policy_rights_name(q->blamed_rights, rights, sizeof(rights));
	if (q->answer.verdict == VERDICT_ASK)
		return refuse(q, EACCES, "%s asks first, and there is no one to ask%s",
			q->answer.rule ? q->answer.rule : "a rule", where);
	if (q->answer.rule && !q->answer.missing)
		return refuse(q, EACCES, "%s denies %s%s", q->answer.rule, rights, where);
	return refuse(q, EACCES, "no rule allows %s%s", rights, where);
}

int decide_refuse(struct session *s, struct request *q)
{
	struct target *t = q->blamed == &q->target2 ? &q->target2 : &q->target;
	const char *path = q->blamed_reached ? t->reached : t->asked;
	size_t size = q->blamed_reached ? t->reached_size : t->asked_size;
	const char *where = q->blamed_reached ? " where the path leads" : "";
	enum owner owner;

	if (s->root == ROOT_EMPTY)
		return refuse_rights(s, q, where);
	if (!policy_names(s->policy, path, size)) {
		owner = owner_of(s, path, size);
		if (owner == OWNER_NONE)
			return refuse(q, ENOENT, "outside every tree of the policy%s", where);
		if (q->door == DOOR_TRAP && !q->blamed_reached && is_missing(s, q, t))
			return -ENOENT;
		if (q->door == DOOR_TRAP)
			return refuse(q, EROFS, "%s changes%s",
				owner == OWNER_RUNTIME ? "the runtime never"
						       : "nothing in /proc and /dev",
				where);
		return refuse(q, EACCES, "%s: the worker opens it without the warder",
			owner == OWNER_RUNTIME ? "the runtime" : "the cell's own");
	}
	if (!q->blamed_reached && is_missing(s, q, t)) {
		refuse_rights(s, q, where);
		return -ENOENT;
	}
	return refuse_rights(s, q, where);
}

static unsigned type_bit(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFCHR:
		return TYPE_CHAR;
	case S_IFBLK:
		return TYPE_BLOCK;
	case S_IFIFO:
		return TYPE_FIFO;
	default:
		return 0;
	}
}

/* A socket or FIFO of the worker's own: it made it, in a file system that is for it alone. */
static bool is_own_special(const struct session *s, const struct request *q, const struct target *t)
{
	return q->own && (S_ISSOCK(t->mode) || S_ISFIFO(t->mode)) && mounts_are_own(s, t->dev);
}

int decide_inode(struct session *s, struct request *q, const struct target *t, int fd)
{
	if (!S_ISREG(t->mode) && !S_ISDIR(t->mode) && !is_own_special(s, q, t)) {
		unsigned bit = type_bit(t->mode);

		/* A socket could carry more descriptors; what has no name here is unknown. */
		if (bit == 0)
			return refuse(q, EACCES,
				S_ISSOCK(t->mode) ? "a socket is never granted by its path"
						  : "neither a regular file nor a directory");
		if (!(q->answer.types & bit))
			return refuse(q, EACCES, "a %s, and %s does not say \"type %s\"",
				bit == TYPE_FIFO ? "FIFO" : "device", q->answer.rule,
				bit == TYPE_CHAR    ? "char"
				: bit == TYPE_BLOCK ? "block"
						    : "fifo");
	}
	return kernel_fs_check(s, q, t, t->dev, fd);
}

void decide_explain(struct session *s, struct request *q, const struct target *t)
{
	const char *remedy;

	if (q->reason[0])
		return;
	q->as_broker_lifts = s->privileged && q->answer.as != AS_BROKER && !q->own;
	remedy = q->as_broker_lifts ? "; add \"as broker\"" : "";
	if (t->mode == 0)
		snprintf(q->reason, sizeof(q->reason),
			"a directory on the way is closed to %u:%u, the worker%s", (unsigned)s->uid,
			(unsigned)s->gid, remedy);
	else
		snprintf(q->reason, sizeof(q->reason),
			"mode %04o, owner %u:%u, and the worker is %u:%u%s",
			(unsigned)(t->mode & 07777), (unsigned)t->uid, (unsigned)t->gid,
			(unsigned)s->uid, (unsigned)s->gid, remedy);
}
