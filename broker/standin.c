/* SPDX-License-Identifier: MIT */
/*
 * standin.c - the worker's Unix datagram sockets, which are none: what stands in for each, and
 * where it may lead.
 *
 * Runs in: broker.  Trusts: the kernel's word on a socket, not the worker's, nor the dialer's.
 *
 * A real one would send to whatever name it is given by sendto(2), which neither a filter nor
 * Landlock sees.  Of a stand-in the kernel ignores such names, so that bytes come to the dialer
 * alone, and it takes them where connect(2) led, by a rule; or, of one that was never connected, to
 * the one socket that the rules name, where they name one.
 */
#include "broker/standin.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/ops.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "broker/socket_outer.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define LEAD_MS  5000 /* for the dialer to connect, which waits for nobody */
#define DRAIN_MS 200

struct standins {
	size_t n;
	struct standin {
		uint32_t id; /* of the message that made it; 0: free */
		uint64_t cookie;
		bool led; /* some connect has been asked for */
	} of[DIAL_STANDINS_MAX];
	struct request first; /* a datagram before any connect */
};

int standins_new(struct standins **ret)
{
	*ret = malloc(sizeof(**ret));
	if (!*ret)
		return -ENOMEM;
	memset(*ret, 0, offsetof(struct standins, first)); /* not pages that are seldom used */
	return 0;
}

struct standins *standins_free(struct standins *d)
{
	free(d);
	return NULL;
}

static struct standin *find(struct standins *d, uint32_t id)
{
	for (size_t i = 0; d && i < DIAL_STANDINS_MAX; i++) {
		if (d->of[i].id == id)
			return &d->of[i];
	}
	return NULL;
}

static int cookie_of(int fd, uint64_t *ret)
{
	socklen_t size = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret, &size) < 0 ? -errno : 0;
}

uint32_t standin_of(const struct session *s, const struct sock *k)
{
	const struct standins *d = s->standins;
	uint64_t cookie;

	if (!d || d->n == 0 || k->domain != AF_UNIX || k->type != SOCK_SEQPACKET ||
		cookie_of(k->fd, &cookie) < 0)
		return 0;
	for (size_t i = 0; i < DIAL_STANDINS_MAX; i++) {
		if (d->of[i].id && d->of[i].cookie == cookie)
			return d->of[i].id;
	}
	return 0;
}

/* ---- socket ---------------------------------------------------------------------------------- */

int take_socket(const struct session *s, struct trap *t)
{
	int family = (int)(uint32_t)t->notice.args[0], type = (int)(uint32_t)t->notice.args[1];
	int protocol = (int)(uint32_t)t->notice.args[2];

	t->q.op = OP_SOCKET;
	t->q.own = true; /* it leads nowhere */
	t->q.flags = (uint32_t)(type & (SOCK_CLOEXEC | SOCK_NONBLOCK));
	/* The filter sends nothing else here. */
	if (family != AF_UNIX || (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != SOCK_DGRAM)
		return refuse(&t->q, EPERM, "not a Unix datagram socket");
	return protocol == 0 || protocol == PF_UNIX ? 0 : -EPROTONOSUPPORT;
}

/* One end of a pair that nobody has named, and nothing else that the dialer could bring. */
static bool is_pair(int fd)
{
	struct sockaddr_un un;
	socklen_t size = sizeof(un), int_size = sizeof(int);
	int domain = 0, type = 0;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &int_size) == 0 &&
	       domain == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_size) == 0 &&
	       type == SOCK_SEQPACKET && getpeername(fd, (struct sockaddr *)&un, &size) == 0 &&
	       size == sizeof(un.sun_family);
}

static int hand_over(struct session *s, struct dialled *d, const char **ret_why)
{
	struct notify *n = s->cell->notify;
	int r = notify_hand_over(n, d->waiter.notice.id, d->q.fd, d->q.flags & SOCK_CLOEXEC);

	if (r == 0 || r == -ENOENT)
		return r;
	if (r == -EINTR || r == -EINPROGRESS) { /* as in trap.c */
		*ret_why = "a descriptor was half handed over";
		return -EBADE;
	}
	return notify_refuse(n, d->waiter.notice.id, r == -EMFILE ? EMFILE : EIO);
}

static int finish_socket(struct session *s, struct dialled *d, const char **ret_why)
{
	struct standin *one = find(s->standins, 0);
	int r = d->result, ended;
	bool nonblock = d->q.flags & SOCK_NONBLOCK;
	uint64_t cookie = 0;

	if (r == 0 && (!is_pair(d->q.fd) || cookie_of(d->q.fd, &cookie) < 0)) {
		r = trap_answer(s, &d->waiter.notice, &d->q, false,
			refuse(&d->q, EACCES, "what the dialer brought is not what was asked"));
		ended = dial_end(s, "the dialer brought what was not asked", ret_why);
		return r < 0 ? r : ended;
	}
	if (r == 0 && !one)
		r = -EMFILE;
	if (r == 0)
		r = fd_status_flags(d->q.fd, nonblock ? O_NONBLOCK : 0, nonblock ? 0 : O_NONBLOCK);
	if (r == -EMFILE && !d->q.refused)
		refuse(&d->q, EMFILE, "too many datagram sockets are open already");
	if (r < 0)
		return trap_answer(s, &d->waiter.notice, &d->q, false, r);
	*one = (struct standin){.id = d->answer->id, .cookie = cookie};
	s->standins->n++;
	/* Where it does not arrive, closing ours is the end of it, and the dialer says so. */
	return hand_over(s, d, ret_why);
}

int serve_socket(struct session *s, struct trap *t)
{
	if (!s->standins || s->standins->n == DIAL_STANDINS_MAX)
		return refuse(&t->q, EMFILE, "too many datagram sockets are open already");
	return outer_standin(s, t, finish_socket);
}

void standin_gone(struct session *s, uint32_t of)
{
	struct standin *one = of ? find(s->standins, of) : NULL;

	/* One that was made for a caller that was gone by then is not known here. */
	if (!one)
		return;
	one->id = 0;
	s->standins->n--;
}

/* ---- where it leads -------------------------------------------------------------------------- */

/* A path that is allowed, and whose socket is reached: whether it is one for datagrams. */
static int check_path(struct request *q)
{
	if (!(q->answer.types & TYPE_DATAGRAM))
		return refuse(q, EACCES, "a datagram socket, and %s does not say \"type dgram\"",
			q->answer.rule ? q->answer.rule : "its rule");
	if (q->answer.as == AS_BROKER)
		return refuse(q, EACCES,
			"a datagram socket is connected as the worker, and %s "
			"says \"as broker\"",
			q->answer.rule);
	return 0;
}

static int reach(struct session *s, struct request *q)
{
	int r;

	/* It is the dialer that connects, and for a file system's server it must not wait. */
	s->may_begin_slowly = false;
	r = reach_socket(s, q);
	if (q->own && (r == 0 || !q->refused))
		return refuse(q, EACCES,
			"a datagram socket leads to what a rule names with \"type dgram\", and "
			"nowhere inside the cell");
	if (r == 0)
		r = check_path(q);
	if (r == 0)
		r = charge(s, q, false);
	return r == 0 ? record_change(s, q) : r;
}

int standin_connect(struct session *s, struct trap *t, uint32_t of)
{
	struct request *q = &t->q;
	int r;

	q->peer.type = SOCK_DGRAM; /* what it stands in for */
	switch (q->peer.kind) {
	case PEER_PATH:
		r = reach(s, q);
		if (r < 0)
			return r;
		find(s->standins, of)->led = true;
		return outer_lead(s, t, of, LEAD_MS);
	case PEER_ABSTRACT:
		return refuse(q, EACCES, "a datagram socket leads to a path alone, not to \"@\"");
	default:
		return refuse(q, EOPNOTSUPP, "a datagram socket is not disconnected; close it");
	}
}

int standin_bind(struct trap *t)
{
	t->q.peer.type = SOCK_DGRAM;
	return refuse(&t->q, EOPNOTSUPP,
		"a datagram socket has no name: nothing is sent to it, inside the cell or out");
}

/* ---- before any connect ---------------------------------------------------------------------- */

/* The only path that the rules could mean.  NULL: they name none, several, or a pattern. */
static const char *only_path(const struct policy *policy)
{
	const char *path = NULL;

	for (size_t i = 0; i < policy_tree_count(policy); i++) {
		const struct policy_tree *tree = policy_tree(policy, i);

		if (tree->verdict != VERDICT_ALLOW || tree->missing ||
			!(tree->rights & RIGHT_CONNECT) || !(tree->types & TYPE_DATAGRAM))
			continue;
		if (tree->has_wildcard || tree->subtree ||
			(path && strcmp(path, tree->prefix) != 0))
			return NULL;
		path = tree->prefix;
	}
	return path;
}

static int finish_first(struct session *s, struct dialled *d, const char **ret_why)
{
	dial_settle(s, &d->q, d->result);
	return 0;
}

static int lead_first(struct session *s, struct request *q, uint32_t of)
{
	struct dial_waiter waiter = {.sock = SOCK_INIT};
	struct dial_message m = {.op = DIAL_LEAD, .of = of, .timeout_ms = LEAD_MS};
	const char *path = only_path(s->policy);
	int fd, r;

	if (!path)
		return refuse(q, EACCES,
			"a datagram socket that is not connected sends where the "
			"rules name one socket alone: connect it first");
	r = target_ask(&q->target, path, strlen(path));
	if (r == 0)
		r = reach(s, q);
	if (r < 0)
		return r;
	fd = q->target.fd;
	r = dial_begin(s, q, &waiter, &m, &fd, 1, finish_first);
	return r < 0 ? refuse(q, -r, "the dialer cannot be asked: %s", strerrordesc_np(-r)) : 0;
}

int standin_first(struct session *s, uint32_t of)
{
	struct standin *one = of ? find(s->standins, of) : NULL;
	struct request *q;
	int r;

	if (!one)
		return -ENOENT;
	/* It is on its way, or its failure has been told. */
	if (one->led)
		return 0;
	q = &s->standins->first;
	request_init(q, DOOR_NONE, OP_SEND, 0);
	q->peer.kind = PEER_PATH;
	q->peer.type = SOCK_DGRAM;
	r = lead_first(s, q, of);
	if (r < 0)
		r = dial_settle(s, q, r);
	else
		one->led = true;
	request_deinit(q);
	return r;
}

/* ---- the end --------------------------------------------------------------------------------- */

int standins_drain(struct session *s, const char **ret_why)
{
	uint64_t end_ns = clock_ns() + DRAIN_MS * 1000000ull;
	int r = 0;

	while (r == 0 && s->standins && s->standins->n > 0 && s->cell->dialer_fd >= 0) {
		struct pollfd p = {s->cell->dialer_fd, POLLIN, 0};
		uint64_t now_ns = clock_ns();

		if (now_ns >= end_ns)
			break;
		if (poll(&p, 1, (int)((end_ns - now_ns) / 1000000) + 1) > 0)
			r = dial_serve(s, ret_why);
	}
	return r;
}
