/* SPDX-License-Identifier: MIT */
/*
 * record.c - from a request to its line in the ledger and the tally.
 *
 * Runs in: broker.  Trusts: nothing in a path; the ledger escapes it.
 */
#include "broker/record.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/denial.h"
#include "broker/slow.h"
#include "broker/sock.h"
#include "broker/words.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define REPEATS_WRITTEN 16 /* denials of the same thing that are written one by one */
#define REPEATS_EVERY_NS \
	1000000000ull /* and after these one in so long, with the count between \
		       */

/* Of a socket that is no file. */
static const char *socket_text(const struct peer *peer)
{
	switch (peer->kind) {
	case PEER_TCP:
		return "tcp";
	case PEER_UDP:
		return "udp";
	case PEER_PATH:
	case PEER_ABSTRACT:
		return "unix";
	default:
		return NULL;
	}
}

/* Of a Unix socket, whose type neither the inode nor the name tells. */
static const char *unix_text(const struct peer *peer)
{
	if (peer->kind != PEER_PATH && peer->kind != PEER_ABSTRACT)
		return NULL;
	return words_socket(peer->type);
}

/* A path stands in `asked`; a name that is looked up has no address yet. */
static void put_peer(struct record *r, const struct peer *peer, char text[PEER_TEXT_SIZE])
{
	if (!r->type)
		r->type = socket_text(peer);
	r->socket = unix_text(peer);
	if (peer->kind != PEER_NONE && peer->kind != PEER_PATH)
		*(peer->bind ? &r->local : &r->peer) = peer_text(peer, text);
	if (peer->kind == PEER_ABSTRACT)
		return;
	r->name = peer->name;
	r->name_size = peer->name_size;
}

/* The own address of a TCP socket that leaves, which the kernel has chosen by then, in the midst of
 * a connect(2) too. */
static void put_local(struct record *r, const struct request *q, char text[PEER_TEXT_SIZE])
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	struct sock k = {.type = SOCK_STREAM, .protocol = IPPROTO_TCP};
	struct peer own;
	socklen_t size = sizeof(address);
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	if (!r->has_fd || q->peer.kind != PEER_TCP ||
		getsockname(q->fd, (struct sockaddr *)&address, &size) < 0)
		return;
	k.domain = address.ss_family;
	own.bind = true;
	if (sock_peer(&k, &address, size, &own, path, &path_size) == 0 && own.kind == PEER_TCP)
		r->local = peer_text(&own, text);
}

static enum ledger_event event_of(const struct request *q)
{
	if (q->result >= 0)
		return EVENT_GRANT;
	return q->refused ? EVENT_DENY : EVENT_FAIL;
}

static int add_request(struct session *s, const struct request *q, enum ledger_event event)
{
	const struct target *t = &q->target, *t2 = &q->target2;
	char flags[WORDS_FLAGS_SIZE], rights[64], peer[PEER_TEXT_SIZE], local[PEER_TEXT_SIZE];
	struct record r = {
		.event = event,
		.door = q->door,
		.op = request_op_name(q->op),
		.pid = q->pid,
		.asked = q->op == MSG_SYMLINK ? q->link_text : t->asked,
		.asked_size = q->op == MSG_SYMLINK ? q->link_size : t->asked_size,
		.reached = t->reached,
		.reached_size = t->reached_size,
		.asked2 = t2->asked,
		.asked2_size = t2->asked_size,
		.reached2 = t2->reached,
		.reached2_size = t2->reached_size,
		.has_inode = t->mode != 0,
		.dev = t->dev,
		.ino = t->ino,
		.type = words_type(t->mode),
		.flags = words_flags(q, flags),
		.rule = q->answer.rule,
		.error = event == EVENT_GRANT || q->unheard ? 0 : -q->result,
		.reason = event != EVENT_GRANT && q->reason[0] ? q->reason : NULL,
		.has_fd = event == EVENT_GRANT && q->fd >= 0,
		.of = event == EVENT_GRANT ? 0 : q->grant,
		.has_us = true,
		.us = (clock_ns() - q->began_ns) / 1000,
	};

	if (t->rights)
		r.rights = policy_rights_name(t->rights, rights, sizeof(rights));
	else if (t2->rights)
		r.rights = policy_rights_name(t2->rights, rights, sizeof(rights));
	put_peer(&r, &q->peer, peer);
	put_local(&r, q, local);
	return ledger_put(s->ledger, &r);
}

/* ---- denials that repeat --------------------------------------------------------------------- */

static bool same_peer(const struct peer *a, const struct peer *b)
{
	return a->kind == b->kind && a->bind == b->bind && a->port == b->port &&
	       a->has_address == b->has_address && a->name_size == b->name_size &&
	       (!a->has_address || memcmp(a->address, b->address, sizeof(a->address)) == 0) &&
	       memcmp(a->name, b->name, a->name_size) == 0;
}

static bool repeats(const struct repeat *last, const struct request *q)
{
	return last->written > 0 && last->door == q->door && last->op == q->op &&
	       last->flags == q->flags && last->error == -q->result &&
	       last->rule == q->answer.rule && last->asked_size == q->target.asked_size &&
	       last->asked2_size == q->target2.asked_size && same_peer(&last->peer, &q->peer) &&
	       memcmp(last->asked, q->target.asked, last->asked_size) == 0 &&
	       memcmp(last->asked2, q->target2.asked, last->asked2_size) == 0;
}

/* Whether it was written often enough, and not long ago. */
static bool may_be_counted(const struct repeat *last, const struct request *q)
{
	return last->written >= REPEATS_WRITTEN &&
	       q->began_ns - last->written_ns < REPEATS_EVERY_NS;
}

/* Notes a denial that is written. */
static void remember(struct repeat *last, const struct request *q)
{
	if (!repeats(last, q)) {
		last->door = q->door;
		last->op = q->op;
		last->flags = q->flags;
		last->error = -q->result;
		last->rule = q->answer.rule;
		last->asked_size = q->target.asked_size;
		last->asked2_size = q->target2.asked_size;
		memcpy(last->asked, q->target.asked, last->asked_size);
		memcpy(last->asked2, q->target2.asked, last->asked2_size);
		last->peer = q->peer;
		last->written = 0;
	}
	last->written++;
	last->written_ns = q->began_ns;
}

static int add_count(struct session *s)
{
	struct repeat *last = s->repeat;
	char peer[PEER_TEXT_SIZE];
	struct record r = {
		.event = EVENT_DENY,
		.door = last->door,
		.op = request_op_name(last->op),
		.asked = last->asked,
		.asked_size = last->asked_size,
		.asked2 = last->asked2,
		.asked2_size = last->asked2_size,
		.rule = last->rule,
		.error = last->error,
		.reason = "as before, so many times more",
		.count = last->count,
	};
	int added;

	put_peer(&r, &last->peer, peer);
	added = ledger_put(s->ledger, &r);

	if (added == 0)
		last->count = 0;
	return added;
}

int record_flush(struct session *s)
{
	return s->repeat->count > 0 ? add_count(s) : 0;
}

/* ---- one request ----------------------------------------------------------------------------- */

static void tally(struct session *s, const struct request *q, enum ledger_event event)
{
	if (event == EVENT_GRANT)
		s->tally.granted++;
	if (event == EVENT_FAIL)
		denial_note_failure(s, q);
	if (event != EVENT_DENY)
		return;
	s->tally.denied++;
	s->tally.limited += q->by_limit;
	denial_note(s, q);
}

int record(struct session *s, struct request *q)
{
	enum ledger_event event = event_of(q);
	int r;

	if (s->in_child)
		return slow_record(s, q);
	/* What a worker does in its own places is nobody's business but its own. */
	if (q->own && event != EVENT_DENY)
		return 0;
	tally(s, q, event);
	if (event == EVENT_GRANT && q->grant)
		return 0;
	if (event == EVENT_DENY && repeats(s->repeat, q) && may_be_counted(s->repeat, q)) {
		s->repeat->count++;
		return 0;
	}
	r = record_flush(s);
	if (r == 0)
		r = add_request(s, q, event);
	if (r == 0 && event == EVENT_DENY)
		remember(s->repeat, q);
	if (r == 0 && event == EVENT_GRANT)
		q->grant = s->ledger->next - 1;
	return r;
}

int record_change(struct session *s, struct request *q)
{
	int r = 0;

	if (q->own)
		return 0;
	if (s->in_child) {
		r = slow_record_change(s, q);
	} else {
		r = add_request(s, q, EVENT_GRANT);
		if (r == 0)
			r = ledger_commit(s->ledger);
	}
	if (r < 0)
		return refuse(q, EIO, "the ledger cannot be written: %s", strerrordesc_np(-r));
	if (!s->in_child)
		q->grant = s->ledger->seq;
	return 0;
}

int record_undelivered(
	struct session *s, enum door door, uint64_t grant, int error, const char *reason)
{
	const struct record r = {
		.event = EVENT_FAIL,
		.door = door,
		.of = grant,
		.error = error,
		.reason = reason,
	};

	return s->in_child ? slow_record_undelivered(s, grant, error, reason)
			   : ledger_put(s->ledger, &r);
}
