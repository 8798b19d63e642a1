/* SPDX-License-Identifier: MIT */
/*
 * denial.c - what the summary is told: each denial once, with what would lift it.
 *
 * Runs in: broker.  Trusts: nothing in a path; who prints it escapes it.
 *
 * A person adds one line and tries again, so the line is to hold all that the request needs: the
 * verdict alone names the first right that was missed on the first path.
 */
#include "broker/denial.h"
#include "broker/decide.h"
#include "broker/host_look.h"
#include "broker/sock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void copy_cut(char *to, size_t size, const char *from, size_t n)
{
	if (n >= size)
		n = size - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

/* The entry that is like `like`, counted up, or a new one where there is room. */
static void enter(struct session *s, const struct broker_denial *like)
{
	struct broker_result *result = s->result;
	struct broker_denial *d;

	for (size_t i = 0; i < result->n_denials; i++) {
		d = &result->denials[i];
		if (d->rights == like->rights && d->error == like->error &&
			d->failed == like->failed && d->also == like->also &&
			strcmp(d->path, like->path) == 0) {
			d->count++;
			return;
		}
	}
	if (result->n_denials == BROKER_DENIALS_MAX)
		return;
	d = &result->denials[result->n_denials++];
	*d = *like;
	d->count = 1;
	d->fixed = d->path[0] == '/' ? policy_fixed(s->policy, d->path) : 0;
}

static bool by_rule(const struct request *q)
{
	return q->answer.rule && !q->answer.missing;
}

static enum remedy remedy_of(const struct request *q)
{
	/* Without a right that is missing it is not for want of a rule. */
	if (q->by_limit || (!by_rule(q) && q->blamed_rights == 0))
		return REMEDY_NONE;
	if (!by_rule(q))
		return REMEDY_ALLOW;
	if (q->answer.verdict == VERDICT_ASK)
		return REMEDY_ANSWER;
	if (q->answer.verdict != VERDICT_DENY || strcmp(q->answer.rule, POLICY_SELF) == 0)
		return REMEDY_NONE;
	return REMEDY_EXCEPT;
}

/* What a rule would have to name of a socket: the host's name if it was found by one. */
static void put_peer(struct broker_denial *d, const struct request *q)
{
	char text[PEER_TEXT_SIZE];
	struct peer peer = q->peer;
	const char *said;

	/* A name that is looked up is no peer yet: what would use it needs the rule. */
	if (peer.kind == PEER_NONE) {
		copy_cut(d->path, sizeof(d->path), peer.name, peer.name_size);
		return;
	}
	if (peer.kind != PEER_ABSTRACT && peer.name_size > 0)
		peer.has_address = false;
	said = peer_text(&peer, text);
	copy_cut(d->path, sizeof(d->path), said, strlen(said));
}

static bool is_socket(const struct request *q)
{
	return q->peer.kind == PEER_NONE ? q->peer.name_size > 0 : q->peer.kind != PEER_PATH;
}

/* The rights that the line for a path is to give. */
static void put_rights(struct session *s, struct broker_denial *d, const struct request *q,
	const struct target *t, bool reached)
{
	const struct decide_needs n = decide_needs(q, t);

	d->rights = decide_missing(s, t, reached, n.always | n.if_new);
	d->rights_new = d->rights & n.if_new & ~n.always;
	d->rights_there = decide_missing(s, t, reached, n.if_there);
}

/* The other end of a move or a link, which the verdict did not come to. */
static void note_other(struct session *s, const struct request *q, const struct target *t)
{
	struct broker_denial d = {.error = -q->result, .remedy = REMEDY_ALLOW, .also = true};

	if (t->rights == 0 || t->asked_size >= sizeof(d.path))
		return;
	copy_cut(d.path, sizeof(d.path), t->asked, t->asked_size);
	put_rights(s, &d, q, t, false);
	if (d.rights)
		enter(s, &d);
}

void denial_note(struct session *s, const struct request *q)
{
	struct broker_denial d = {
		.error = -q->result, .remedy = remedy_of(q), .makes_dir = q->op == MSG_MKDIR};
	const struct target *t = q->blamed ? q->blamed : &q->target;
	bool reached = q->blamed && q->blamed_reached;

	if (!s->result)
		return;
	d.rights = q->blamed || q->peer.kind != PEER_NONE ? q->blamed_rights : t->rights;
	copy_cut(d.reason, sizeof(d.reason), q->reason, strlen(q->reason));
	if (by_rule(q))
		copy_cut(d.rule, sizeof(d.rule), q->answer.rule, strlen(q->answer.rule));
	if (is_socket(q)) {
		put_peer(&d, q);
	} else {
		copy_cut(d.path, sizeof(d.path), reached ? t->reached : t->asked,
			reached ? t->reached_size : t->asked_size);
		if (q->blamed && d.remedy == REMEDY_ALLOW && q->peer.kind == PEER_NONE &&
			(q->blamed_rights & t->rights))
			put_rights(s, &d, q, t, reached);
		/* Who asks by a message means that very file. */
		d.outside = q->door == DOOR_TRAP && d.error == ENOENT && d.path[0] == '/' &&
			    !policy_names(s->policy, d.path, strlen(d.path));
	}
	enter(s, &d);
	if (d.remedy == REMEDY_ALLOW && q->blamed && !is_socket(q))
		note_other(s, q, t == &q->target ? &q->target2 : &q->target);
}

/*
 * Whether it is a program where the worker's user cannot look on the host either, and one of its
 * name stands where all programs do: root's PATH often begins in root's home.
 */
static bool found_elsewhere(struct session *s, const struct broker_denial *d)
{
	static const char *const dirs[] = {
		"/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"};
	const char *name = strrchr(d->path, '/');
	char path[sizeof(d->path) + 16];
	mode_t mode;
	bool link;

	if (!d->outside || d->rights != RIGHT_EXEC || d->absent != EACCES || !name)
		return false;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", dirs[i], name);
		if (host_look(s, path, &mode, &link) == 0)
			return true;
	}
	return false;
}

void denial_look(struct session *s)
{
	for (size_t i = 0; s->result && i < s->result->n_denials; i++) {
		struct broker_denial *d = &s->result->denials[i];

		d->absent = EAGAIN;
		/* One that was cut is another. */
		if (d->path[0] == '/' && strlen(d->path) + 1 < sizeof(d->path))
			d->absent = -host_look(s, d->path, &d->mode, &d->link);
		d->elsewhere = found_elsewhere(s, d);
	}
}

/* ---- `as broker` ----------------------------------------------------------------------------- */

static void note_closed(struct session *s, const struct request *q, const struct target *t,
	const char *path, size_t size, bool *also)
{
	const struct decide_needs n = decide_needs(q, t);
	struct broker_denial d = {.error = -q->result,
		.remedy = REMEDY_AS_BROKER,
		.failed = true,
		.rights = n.always | n.if_new,
		.rights_new = n.if_new & ~n.always,
		.rights_there = n.if_there,
		.also = *also};

	copy_cut(d.path, sizeof(d.path), path, size);
	copy_cut(d.reason, sizeof(d.reason), q->reason, strlen(q->reason));
	/* Within what the worker may change, the policy takes no rule of a path's own. */
	if (q->answer.rule && decide_rights(s, t, RIGHT_CREATE | RIGHT_DELETE))
		copy_cut(d.rule, sizeof(d.rule), q->answer.rule, strlen(q->answer.rule));
	enter(s, &d);
	*also = true;
}

/* The least authority of all the names that a request has is the one that it is opened with. */
void denial_note_failure(struct session *s, const struct request *q)
{
	const struct target *targets[] = {&q->target, &q->target2};
	bool also = false;

	if (!s->result || !q->as_broker_lifts)
		return;
	s->result->closed++;
	for (size_t i = 0; i < 2; i++) {
		const struct target *t = targets[i];

		if (t->rights == 0)
			continue;
		note_closed(s, q, t, t->asked, t->asked_size, &also);
		if (t->reached_size > 0 &&
			(t->reached_size != t->asked_size ||
				memcmp(t->reached, t->asked, t->asked_size) != 0))
			note_closed(s, q, t, t->reached, t->reached_size, &also);
	}
}
