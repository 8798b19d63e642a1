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

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#endif

#define NAMES_MAX 256 /* bytes of a text of flags */

#define REPEATS_WRITTEN 16 /* denials of the same thing that are written one by one */
#define REPEATS_EVERY_NS \
	1000000000ull /* and after these one in so long, with the count between \
		       */

struct flag_name {
	uint32_t bit;
	const char *name;
};

static const struct flag_name open_names[] = {
	{O_APPEND, "O_APPEND"},
	{O_CREAT, "O_CREAT"},
	{O_DIRECT, "O_DIRECT"},
	{O_EXCL, "O_EXCL"},
	{O_NOATIME, "O_NOATIME"},
	{O_NOFOLLOW, "O_NOFOLLOW"},
	{O_NONBLOCK, "O_NONBLOCK"},
	{O_PATH, "O_PATH"},
	/* Flags that contain another's bit come before it. */
	{O_SYNC, "O_SYNC"},
	{O_DSYNC, "O_DSYNC"},
	{O_TMPFILE, "O_TMPFILE"},
	{O_DIRECTORY, "O_DIRECTORY"},
	{O_TRUNC, "O_TRUNC"},
	{O_CLOEXEC, "O_CLOEXEC"},
	{0, NULL},
};

static const struct flag_name rename_names[] = {
	{RENAME_NOREPLACE, "RENAME_NOREPLACE"},
	{RENAME_EXCHANGE, "RENAME_EXCHANGE"},
	{0, NULL},
};

static const struct flag_name access_names[] = {
	{R_OK, "R_OK"},
	{W_OK, "W_OK"},
	{X_OK, "X_OK"},
	{0, NULL},
};

static const struct flag_name stat_names[] = {
	{AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
	{0, NULL},
};

static const struct flag_name watch_names[] = {
	{IN_ACCESS, "IN_ACCESS"},
	{IN_MODIFY, "IN_MODIFY"},
	{IN_ATTRIB, "IN_ATTRIB"},
	{IN_CLOSE_WRITE, "IN_CLOSE_WRITE"},
	{IN_CLOSE_NOWRITE, "IN_CLOSE_NOWRITE"},
	{IN_OPEN, "IN_OPEN"},
	{IN_MOVED_FROM, "IN_MOVED_FROM"},
	{IN_MOVED_TO, "IN_MOVED_TO"},
	{IN_CREATE, "IN_CREATE"},
	{IN_DELETE, "IN_DELETE"},
	{IN_DELETE_SELF, "IN_DELETE_SELF"},
	{IN_MOVE_SELF, "IN_MOVE_SELF"},
	{IN_ONLYDIR, "IN_ONLYDIR"},
	{IN_DONT_FOLLOW, "IN_DONT_FOLLOW"},
	{IN_EXCL_UNLINK, "IN_EXCL_UNLINK"},
	{IN_ONESHOT, "IN_ONESHOT"},
	{0, NULL},
};

static const struct flag_name *const names_of[OP__COUNT] = {
	[MSG_OPEN] = open_names,
	[MSG_RENAME] = rename_names,
	[MSG_ACCESS] = access_names,
	[MSG_STAT] = stat_names,
	[MSG_UTIMES] = stat_names,
	[MSG_WATCH] = watch_names,
};

static char *append(char *at, char *end, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(end - at) <= n)
		return at;
	memcpy(at, text, n + 1);
	return at + n;
}

/* With `buf` for what is no single word. */
static const char *flags_text(const struct request *q, char buf[NAMES_MAX])
{
	static const char *const access_mode[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
	const struct flag_name *name = names_of[q->op];
	char *at = buf, *end = buf + NAMES_MAX;
	uint32_t left = q->flags;
	char rest[16];

	if (!name)
		return NULL;
	if (q->op == MSG_OPEN && !(left & ~(uint32_t)O_ACCMODE))
		return access_mode[left];
	buf[0] = '\0';
	if (q->op == MSG_OPEN) {
		at = append(at, end, access_mode[left & O_ACCMODE]);
		left &= ~(uint32_t)O_ACCMODE;
	}
	for (; name->name && left; name++) {
		if ((left & name->bit) != name->bit)
			continue;
		at = append(at, end, at > buf ? "|" : "");
		at = append(at, end, name->name);
		left &= ~name->bit;
	}
	if (left) {
		snprintf(rest, sizeof(rest), "%s%#x", at > buf ? "|" : "", left);
		append(at, end, rest);
	}
	return buf[0] ? buf : NULL;
}

static const char *type_text(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	case S_IFSOCK:
		return "socket";
	default:
		return NULL;
	}
}

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
	switch (peer->type) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_SEQPACKET:
		return "seqpacket";
	case SOCK_DGRAM:
		return "dgram";
	default:
		return NULL;
	}
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

static int add(struct session *s, const struct record *r)
{
	int added = ledger_add(s->ledger, r);

	/* The lines of a batch of long names may be more than the buffer holds. */
	if (added == -ENOSPC) {
		added = ledger_commit(s->ledger);
		if (added == 0)
			added = ledger_add(s->ledger, r);
	}
	return added;
}

static int add_request(struct session *s, const struct request *q, enum ledger_event event)
{
	const struct target *t = &q->target, *t2 = &q->target2;
	char flags[NAMES_MAX], rights[64], peer[PEER_TEXT_SIZE], local[PEER_TEXT_SIZE];
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
		.type = type_text(t->mode),
		.flags = flags_text(q, flags),
		.rule = q->answer.rule,
		.error = event == EVENT_GRANT || q->unheard ? 0 : -q->result,
		.reason = event != EVENT_GRANT && q->reason[0] ? q->reason : NULL,
		.has_fd = event == EVENT_GRANT && q->fd >= 0,
		.of = event == EVENT_GRANT ? 0 : q->grant,
		.us = (clock_ns() - q->began_ns) / 1000,
	};

	if (t->rights)
		r.rights = policy_rights_name(t->rights, rights, sizeof(rights));
	else if (t2->rights)
		r.rights = policy_rights_name(t2->rights, rights, sizeof(rights));
	put_peer(&r, &q->peer, peer);
	put_local(&r, q, local);
	return add(s, &r);
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
	added = add(s, &r);

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

	return s->in_child ? slow_record_undelivered(s, grant, error, reason) : add(s, &r);
}
