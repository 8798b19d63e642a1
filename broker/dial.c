/* SPDX-License-Identifier: MIT */
/*
 * dial.c - the broker's side of the dialer: what it was asked, and whom its answers are for.
 *
 * Runs in: broker.  Trusts: nothing the dialer says.  What it brings is looked at again by who
 * waits for it; what it asks is answered by the policy; what it cannot have meant ends it.
 *
 * A dialer that is gone takes nothing with it but what needs it: each of those is refused, with a
 * reason, and the session goes on.
 */
#include "broker/dial.h"
#include "broker/ask.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/interrupt.h"
#include "broker/names.h"
#include "broker/record.h"
#include "broker/standin.h"
#include "common/chan.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MS_NS        1000000ull
#define PATIENCE_MS  150000  /* more than the kernel has for one address: tcp(7), tcp_syn_retries */
#define LATE_MS      5000    /* past its own deadline the dialer is given up */
#define ERROR_LOWEST (-4095) /* MAX_ERRNO */

struct waiting {
	uint32_t id; /* 0: the slot is free */
	enum dial_op op;
	bool brings;          /* its answer brings a descriptor */
	uint64_t deadline_ns; /* 0: none */
	bool ends;            /* its finish() runs */
	dial_finish *finish;
	struct dialled d;
};

struct dial {
	uint32_t last_id;   /* of ours */
	uint32_t last_peer; /* of the dialer's own */
	size_t n;
	uint64_t looked_ns; /* when it was looked for signals last */
	const char *gone;   /* why there is no dialer any more */
	struct waiting of[DIAL_WAITING_MAX];
	/* Called off, and an answer may have been on its way. */
	uint32_t cancelled[DIAL_WAITING_MAX];
	size_t next_cancelled;
	struct request asked; /* what the dialer asks */
	struct dial_message in, out;
	uint8_t buf[DIAL_SIZE_MAX];
};

int dial_new(struct dial **ret)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->last_id = DIAL_START_ID;
	*ret = d;
	return 0;
}

static void release(struct dial *d, struct waiting *one)
{
	/* An outer socket that was put in place: the worker may have closed its own already. */
	fd_close_hurried(&one->d.q.fd);
	request_deinit(&one->d.q);
	sock_close(&one->d.waiter.sock);
	one->id = 0;
	d->n--;
}

struct dial *dial_free(struct dial *d)
{
	/* Memory that nothing has touched yet is not looked through. */
	for (size_t i = 0; d && d->n > 0 && i < DIAL_WAITING_MAX; i++) {
		if (d->of[i].id)
			release(d, &d->of[i]);
	}
	free(d);
	return NULL;
}

size_t dial_waiting(const struct dial *d)
{
	return d ? d->n : 0;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int send_message(
	struct session *s, const struct dial_message *m, const int *fds, size_t n_fds)
{
	struct dial *d = s->dial;
	long size = dial_encode(m, d->buf, sizeof(d->buf));

	if (n_fds > dial_fds(m->op))
		return -EINVAL;
	if (size < 0)
		return (int)size;
	return chan_lend(s->cell->dialer_fd, d->buf, (size_t)size, fds, n_fds);
}

static uint64_t deadline(const struct dial_message *m, uint64_t now_ns)
{
	uint64_t ms = m->timeout_ms;
	/* Of a name the dialer is told no time: what was asked for here is all there is. */
	uint64_t late_ms = m->op == DIAL_RESOLVE && ms > 0 ? 0 : LATE_MS;

	/* Natively nothing ends the wait for a full backlog: unix(7). */
	if (ms == 0 && (m->op == DIAL_PATH || m->op == DIAL_ABSTRACT))
		return 0;
	if (ms == 0)
		ms = (m->n_addresses ? m->n_addresses : 1u) * (uint64_t)PATIENCE_MS;
	return now_ns + (ms + late_ms) * MS_NS;
}

int dial_begin(struct session *s, struct request *q, struct dial_waiter *waiter,
	struct dial_message *m, const int *fds, size_t n_fds, dial_finish *finish)
{
	struct dial *d = s->dial;
	struct waiting *one;
	int r;

	if (!d || d->gone || s->cell->dialer_fd < 0)
		return -ENETDOWN;
	if (d->n == DIAL_WAITING_MAX)
		return -EAGAIN;
	one = d->of;
	while (one->id)
		one++;
	m->id = d->last_id + 1;
	r = send_message(s, m, fds, n_fds);
	if (r == -EPIPE || r == -ECONNRESET)
		return -ENETDOWN;
	if (r < 0)
		return r;
	d->last_id = one->id = m->id;
	one->op = m->op;
	one->ends = one->d.released = false;
	/* A path without the worker's socket: the dialer makes it. */
	one->brings = m->op == DIAL_TCP || m->op == DIAL_ABSTRACT || m->op == DIAL_BIND ||
		      m->op == DIAL_NAMED || m->op == DIAL_UDP || m->op == DIAL_SOCKET ||
		      m->op == DIAL_STANDIN || (m->op == DIAL_PATH && n_fds == 1);
	one->finish = finish;
	one->deadline_ns = deadline(m, clock_ns());
	request_move(&one->d.q, q);
	one->d.waiter = *waiter;
	waiter->sock.fd = -1;
	d->n++;
	return 0;
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* Answers one who waits.  Its slot stays taken during finish(), which may ask again. */
static int end_one(struct session *s, struct waiting *one, int result,
	const struct dial_message *answer, const char **ret_why)
{
	int r;

	one->ends = true;
	one->d.result = result;
	one->d.answer = answer;
	r = one->finish(s, &one->d, ret_why);
	release(s->dial, one);
	return r == -ENOENT ? 0 : r;
}

/* The dialer is gone, or is ended here: closing its channel tells it, and closing its pipe has the
 * kernel kill it; where the broker's domain scopes no signals, kill(2) would do too.  Who waited
 * for it is refused. */
int dial_end(struct session *s, const char *reason, const char **ret_why)
{
	struct dial *d = s->dial;
	int r = 0;

	if (d->gone)
		return 0;
	d->gone = reason;
	fd_close(&s->cell->dialer_fd);
	fd_close(&s->cell->dialer_life_fd);
	if (s->cell->dialer_pid > 0)
		kill(s->cell->dialer_pid, SIGKILL);
	for (size_t i = 0; i < DIAL_WAITING_MAX; i++) {
		struct waiting *one = &d->of[i];
		int ended;

		if (!one->id || one->ends)
			continue;
		ended = end_one(
			s, one, refuse(&one->d.q, ECONNABORTED, "%s", reason), NULL, ret_why);
		r = r < 0 ? r : ended;
	}
	return r;
}

/* Says something about what was asked before. */
static int send_about(struct session *s, enum dial_op op, uint32_t of)
{
	struct dial_message *m = &s->dial->out;

	memset(m, 0, sizeof(*m));
	m->op = op;
	m->id = ++s->dial->last_id;
	m->of = of;
	return s->cell->dialer_fd >= 0 ? send_message(s, m, NULL, 0) : -ENETDOWN;
}

static void cancel(struct session *s, struct waiting *one)
{
	struct dial *d = s->dial;

	d->cancelled[d->next_cancelled++ % DIAL_WAITING_MAX] = one->id;
	/* Those are done at once.  One that reads nothing brings a socket that nobody takes. */
	if (one->op != DIAL_BIND && one->op != DIAL_NAMED && one->op != DIAL_SOCKET &&
		one->op != DIAL_STANDIN && one->op != DIAL_LEAD)
		send_about(s, DIAL_CANCEL, one->id);
}

int dial_follow(struct session *s, const struct dialled *d, enum dial_op op)
{
	return d->answer ? send_about(s, op, d->answer->id) : -ENETDOWN;
}

static bool is_gone(const struct session *s, const struct waiting *one)
{
	if (one->d.q.door == DOOR_ASK)
		return ask_is_gone(s);
	return one->d.q.door == DOOR_TRAP &&
	       !notify_valid(s->cell->notify, one->d.waiter.notice.id);
}

/* The dialer brings what there is.  Of a relay nothing could go on: only who ends is let go. */
static int look_for_signal(struct session *s, struct waiting *one, const char **ret_why)
{
	enum interrupt how;

	if (one->d.q.door != DOOR_TRAP || one->d.released ||
		(one->op != DIAL_TCP && one->op != DIAL_PATH && one->op != DIAL_ABSTRACT &&
			one->op != DIAL_RELAY))
		return 0;
	how = interrupt_of(s, one->d.waiter.notice.tid);
	if (how != INTERRUPT_NONE && one->op != DIAL_RELAY)
		one->d.released = send_about(s, DIAL_RELEASE, one->id) == 0;
	if (how != INTERRUPT_END || one->op != DIAL_RELAY)
		return 0;
	cancel(s, one);
	return end_one(s, one, -EINTR, NULL, ret_why);
}

int dial_check(struct session *s, const char **ret_why)
{
	struct dial *d = s->dial;
	uint64_t now_ns = clock_ns();
	bool looks = interrupt_due(&d->looked_ns, now_ns);
	int r = 0;

	for (size_t i = 0; r == 0 && i < DIAL_WAITING_MAX; i++) {
		struct waiting *one = &d->of[i];

		if (!one->id)
			continue;
		if (is_gone(s, one)) {
			cancel(s, one);
			release(d, one);
		} else if (one->deadline_ns && now_ns > one->deadline_ns) {
			cancel(s, one);
			r = end_one(s, one, -ETIMEDOUT, NULL, ret_why);
		} else if (looks) {
			r = look_for_signal(s, one, ret_why);
		}
	}
	return r;
}

/* ---- what the dialer asks -------------------------------------------------------------------- */

static void send_verdict(struct session *s, uint32_t id, int result)
{
	struct dial_message *m = &s->dial->out;

	memset(m, 0, sizeof(*m));
	m->op = DIAL_VERDICT;
	m->id = id;
	m->result = result;
	/* What is not answered is not allowed. */
	send_message(s, m, NULL, 0);
}

enum verdict dial_decide_name(struct session *s, struct request *q)
{
	if (policy_check_name(s->policy, q->peer.name, q->peer.name_size, &q->answer) ==
		VERDICT_ALLOW)
		return VERDICT_ALLOW;
	q->blamed_rights = RIGHT_CONNECT;
	return VERDICT_DENY;
}

int dial_settle(struct session *s, struct request *q, int result)
{
	int r;

	q->result = result;
	if (result < 0)
		charge_refused(s, q);
	r = record(s, q);
	if (r == 0)
		r = ledger_commit(s->ledger);
	if (r < 0 && result >= 0) {
		s->tally.granted--;
		s->tally.denied++;
		return -EIO;
	}
	return result;
}

static void begin_asked(struct session *s, const struct dial_message *m, unsigned op)
{
	struct request *q = &s->dial->asked;

	request_init(q, DOOR_NONE, op, 0);
	q->peer.kind = PEER_NONE;
	q->peer.has_address = false;
	memcpy(q->peer.name, m->name, m->name_size);
	q->peer.name[m->name_size] = '\0';
	q->peer.name_size = m->name_size;
}

static int on_lookup(struct session *s, const struct dial_message *m)
{
	struct request *q = &s->dial->asked;
	int r;

	begin_asked(s, m, OP_RESOLVE);
	if (dial_decide_name(s, q) == VERDICT_ALLOW)
		r = charge(s, q, false);
	else
		r = dial_refuse(s, q);
	send_verdict(s, m->id, dial_settle(s, q, r));
	return 0;
}

/* Asked a second time: the name may be another one than was allowed, by an alias or a lie. */
static int on_found(struct session *s, const struct dial_message *m)
{
	struct request *q = &s->dial->asked;
	uint64_t now_ns = clock_ns();
	int r = 0;

	begin_asked(s, m, OP_RESOLVE);
	if (dial_decide_name(s, q) != VERDICT_ALLOW) {
		r = dial_refuse(s, q);
		r = dial_settle(s, q, r);
	}
	for (size_t i = 0; r == 0 && i < m->n_addresses; i++)
		names_pin(s->names, m->name, m->name_size, m->addresses[i].bytes, m->ttl, now_ns);
	send_verdict(s, m->id, r);
	return 0;
}

static int on_flow(struct session *s, const struct dial_message *m)
{
	struct request *q = &s->dial->asked;
	int r = 0;

	begin_asked(s, m, OP_SEND);
	q->peer.kind = PEER_UDP;
	q->peer.bind = false;
	q->peer.type = SOCK_DGRAM;
	q->peer.has_address = true;
	memcpy(q->peer.address, m->addresses[1].bytes, sizeof(q->peer.address));
	q->peer.port = m->addresses[1].port;
	if (dial_decide(s, q) == VERDICT_ALLOW)
		r = charge(s, q, false);
	else
		r = dial_refuse(s, q);
	send_verdict(s, m->id, dial_settle(s, q, r));
	return 0;
}

/* ---- what it answers ------------------------------------------------------------------------- */

static struct waiting *find(struct dial *d, uint32_t id)
{
	for (size_t i = 0; id && i < DIAL_WAITING_MAX; i++) {
		if (d->of[i].id == id)
			return &d->of[i];
	}
	return NULL;
}

static bool was_cancelled(const struct dial *d, uint32_t id)
{
	for (size_t i = 0; id && i < DIAL_WAITING_MAX; i++) {
		if (d->cancelled[i] == id)
			return true;
	}
	return false;
}

/* Whether the answer is one to this question, with what belongs to it. */
static bool fits(const struct waiting *one, const struct dial_message *m, size_t n_fds)
{
	if (m->result > 0 || m->result < ERROR_LOWEST)
		return false;
	if ((one->op == DIAL_RESOLVE) != (m->op == DIAL_NAMES))
		return false;
	return n_fds == (one->brings && m->result == 0 ? 1 : 0);
}

/* NULL: done; else what is wrong with it. */
static const char *on_answer(struct session *s, const struct dial_message *m, int *fd, size_t n_fds,
	int *ret_r, const char **ret_why)
{
	struct dial *d = s->dial;
	struct waiting *one = find(d, m->id);

	if (!one)
		return was_cancelled(d, m->id) ? NULL : "the dialer answered what nobody asked";
	if (!fits(one, m, n_fds))
		return "the dialer's answer does not fit the question";
	if (is_gone(s, one)) {
		if (one->op == DIAL_UDP)
			send_about(s, DIAL_CANCEL, one->id);
		release(d, one);
		return NULL;
	}
	one->d.q.fd = fd_take(fd);
	*ret_r = end_one(s, one, m->result, m, ret_why);
	return NULL;
}

static const char *on_question(struct session *s, const struct dial_message *m, size_t n_fds)
{
	struct dial *d = s->dial;

	if (n_fds > 0 || m->id <= d->last_peer)
		return "the dialer asked out of turn";
	d->last_peer = m->id;
	switch (m->op) {
	case DIAL_LOOKUP:
		on_lookup(s, m);
		return NULL;
	case DIAL_FOUND:
		on_found(s, m);
		return NULL;
	case DIAL_FLOW:
		if (m->n_addresses != 2)
			return "the dialer asked for half a flow";
		on_flow(s, m);
		return NULL;
	case DIAL_FIRST:
		send_verdict(s, m->id, standin_first(s, m->of));
		return NULL;
	case DIAL_GONE:
		standin_gone(s, m->of);
		return NULL;
	default:
		return "the dialer sent what only the broker may";
	}
}

static int serve_one(struct session *s, size_t size, int *fd, size_t n_fds, const char **ret_why)
{
	struct dial *d = s->dial;
	struct dial_message *m = &d->in;
	const char *wrong;
	int r = 0;

	if (dial_decode(d->buf, size, m) < 0)
		wrong = "the dialer sent what is no message";
	else if (m->op == DIAL_DONE || m->op == DIAL_NAMES)
		wrong = on_answer(s, m, fd, n_fds, &r, ret_why);
	else
		wrong = on_question(s, m, n_fds);
	return wrong ? dial_end(s, wrong, ret_why) : r;
}

/* One message a call: looking for a second in vain costs as much as a third of the loop's wait, and
 * most come alone. */
int dial_serve(struct session *s, const char **ret_why)
{
	struct dial *d = s->dial;
	autofd fd = -1;
	size_t n = 0;
	long size;

	if (s->cell->dialer_fd < 0)
		return 0;
	size = chan_recv(s->cell->dialer_fd, d->buf, sizeof(d->buf), &fd, 1, &n, false);
	if (size == -EAGAIN)
		return 0;
	if (size == 0 || size == -ECONNRESET)
		return dial_end(s, "the dialer has ended", ret_why);
	if (size == -EMFILE)
		return dial_end(s, "the broker has no room for another descriptor", ret_why);
	if (size < 0)
		return dial_end(s, "the dialer's channel failed", ret_why);
	return serve_one(s, (size_t)size, &fd, n, ret_why);
}

/* ---- the policy's answer --------------------------------------------------------------------- */

struct asking {
	struct session *s;
	struct request *q;
	struct policy_socket socket;
	bool any;
};

/* How much an answer weighs: deny beats ask beats allow, and no rule says nothing. */
static int weight(const struct policy_answer *a)
{
	if (a->verdict == VERDICT_ALLOW)
		return 1;
	if (a->verdict == VERDICT_ASK)
		return 2;
	return a->rule && !a->missing ? 3 : 0;
}

static bool ask_policy(void *ctx, const char *name, size_t size)
{
	struct asking *a = ctx;
	struct policy_answer answer = {.rule = NULL};
	struct peer *peer = &a->q->peer;

	a->socket.name = size > 0 ? name : NULL;
	a->socket.name_size = size;
	answer.verdict = policy_check_socket(a->s->policy, &a->socket, &answer);
	/* Of equals the one by name says more, to a reader too. */
	if (a->any && weight(&answer) < weight(&a->q->answer))
		return false;
	a->q->answer = answer;
	if (size > 0 && size < sizeof(peer->name) && name != peer->name) {
		memcpy(peer->name, name, size);
		peer->name[size] = '\0';
		peer->name_size = size;
	}
	a->any = true;
	return false;
}

enum verdict dial_decide(struct session *s, struct request *q)
{
	static const enum policy_protocol protocols[] = {
		[PEER_TCP] = PROTOCOL_TCP,
		[PEER_UDP] = PROTOCOL_UDP,
		[PEER_ABSTRACT] = PROTOCOL_ABSTRACT,
	};
	const struct peer *peer = &q->peer;
	struct asking a = {.s = s, .q = q};
	bool by_name = peer->kind == PEER_ABSTRACT || !peer->has_address;

	q->own = false;
	if (peer->kind != PEER_TCP && peer->kind != PEER_UDP && peer->kind != PEER_ABSTRACT)
		return VERDICT_DENY;
	a.socket = (struct policy_socket){
		.bind = peer->bind,
		.protocol = protocols[peer->kind],
		.address = peer->has_address ? peer->address : NULL,
		.port = peer->port,
	};
	/* What is said of an address alone is said under each of its names too. */
	if (!by_name && !peer->bind && s->names)
		names_of(s->names, peer->address, clock_ns(), ask_policy, &a);
	if (!a.any)
		ask_policy(&a, by_name ? peer->name : NULL, by_name ? peer->name_size : 0);
	if (q->answer.verdict == VERDICT_ALLOW)
		return VERDICT_ALLOW;
	q->blamed_rights = peer->bind ? RIGHT_BIND : RIGHT_CONNECT;
	return VERDICT_DENY;
}

int dial_refuse(struct session *s, struct request *q)
{
	bool lookup = q->op == OP_RESOLVE || q->op == MSG_RESOLVE;
	const char *what = lookup ? "looking up" : q->peer.bind ? "bind" : "connect";
	const struct policy_answer *a = &q->answer;

	if (a->verdict == VERDICT_ASK)
		return refuse(q, EACCES, "%s asks first, and there is no one to ask",
			a->rule ? a->rule : "a rule");
	if (a->rule && !a->missing)
		return refuse(q, EACCES, "%s denies it", a->rule);
	return refuse(q, EACCES, "no rule allows %s%s%.*s", what, q->peer.name_size ? " " : "",
		q->peer.kind == PEER_ABSTRACT ? 0 : (int)q->peer.name_size, q->peer.name);
}
