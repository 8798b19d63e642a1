/* SPDX-License-Identifier: MIT */
/*
 * ops_socket.c - the rows that make sockets: handle_<op>() answers warder_<op>().
 *
 * Runs in: broker.  Trusts: nothing the worker sent, and nothing the dialer brings.
 *
 * A worker that asks has no socket yet, so that everything is made outside, by the dialer: it
 * resolves, connects and binds; what it brings is looked at before it is signed for and handed
 * over.  A host's name is resolved first, and the dialer is sent only to those of its addresses
 * that the policy admits.
 *
 * No datagrams: sendmsg(2) takes a name along on a connected socket too, which would lead it
 * anywhere.  A program that needs them makes its socket in the cell, where UDP is relayed.
 */
#include "broker/ops.h"
#include "broker/ask_dial.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/names.h"
#include "broker/record.h"
#include "broker/resolve.h"
#include "broker/slow.h"
#include "broker/socket_inside.h"
#include "common/codec.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define BACKLOG_MAX   65535 /* beyond any host's somaxconn */
#define FAMILIES_BOTH (MSG_IPV4 | MSG_IPV6)

/* ---- from the text to the request ------------------------------------------------------------ */

/* A host's name alone: with a port behind it, it is a socket. */
static int ask_name(struct request *q, const char *text, size_t size)
{
	char with_port[PEER_TEXT_SIZE];

	if (size + 2 > sizeof(with_port))
		return -EINVAL;
	memcpy(with_port, text, size);
	memcpy(with_port + size, ":0", 2);
	if (peer_parse(with_port, size + 2, &q->peer) < 0 || q->peer.kind != PEER_TCP ||
		q->peer.has_address || memchr(text, ' ', size))
		return -EINVAL;
	q->peer.kind = PEER_NONE;
	return 0;
}

int socket_ask(struct request *q, const char *text, size_t size)
{
	int shown = size > 100 ? 100 : (int)size;

	if (q->op == MSG_RESOLVE) {
		if (ask_name(q, text, size) == 0)
			return 0;
		q->peer.kind = PEER_NONE;
		q->peer.name_size = 0;
		return refuse(q, EINVAL, "\"%.*s\" is no host's name", shown, text);
	}
	if (peer_parse(text, size, &q->peer) < 0) {
		q->peer.kind = PEER_NONE;
		q->peer.name_size = 0;
		return refuse(q, EINVAL,
			"\"%.*s\" is no socket: HOST:PORT, an absolute path, or \"@\" and a name",
			shown, text);
	}
	q->peer.bind = q->op == MSG_LISTEN;
	if (q->peer.kind != PEER_PATH)
		return 0;
	q->target.rights = q->peer.bind ? RIGHT_BIND : RIGHT_CONNECT;
	if (target_ask(&q->target, text, size) < 0)
		return refuse(q, ENAMETOOLONG, "a path or a name in it is too long");
	return 0;
}

static int decide_peer(struct session *s, struct request *q)
{
	return dial_decide(s, q) == VERDICT_ALLOW ? 0 : dial_refuse(s, q);
}

/* ---- connect --------------------------------------------------------------------------------- */

static int came_tcp(struct session *s, struct dialled *d, struct later *l)
{
	int r = d->result;

	if (r == 0)
		r = ask_check_address(s, &d->q, l, false);
	return r < 0 ? r : ask_give_socket(l, &d->q);
}

/* Notes what a name was found to have, so that rules by name admit it. */
static void pin(struct session *s, const struct peer *peer, const struct dial_message *names)
{
	uint64_t now_ns = clock_ns();

	for (size_t i = 0; s->names && i < names->n_addresses; i++)
		names_pin(s->names, peer->name, peer->name_size, names->addresses[i].bytes,
			names->ttl, now_ns);
}

/* Puts the addresses that the policy admits into the message.  0 or -errno. */
static int admit(struct session *s, struct request *q, struct later *l,
	const struct dial_message *names, struct dial_message *m)
{
	const struct peer named = q->peer;

	l->n = 0;
	for (size_t i = 0; i < names->n_addresses; i++) {
		memcpy(q->peer.address, names->addresses[i].bytes, sizeof(q->peer.address));
		q->peer.has_address = true;
		if (dial_decide(s, q) == VERDICT_ALLOW) {
			memcpy(m->addresses[l->n].bytes, q->peer.address, sizeof(q->peer.address));
			m->addresses[l->n].port = named.port;
			l->addresses[l->n] = m->addresses[l->n];
			l->answers[l->n++] = q->answer;
		}
		q->peer = named;
	}
	m->n_addresses = (uint8_t)l->n;
	if (l->n > 0) {
		q->answer = l->answers[0];
		return ask_time_left(q, &m->timeout_ms);
	}
	if (names->n_addresses == 0)
		return -ENOENT;
	return refuse(q, EACCES, "none of the %u addresses of %s is one that a rule admits",
		names->n_addresses, named.name);
}

/* What the dialer says of a name in the words of connect(2): whether nobody has it, or nobody could
 * be asked. */
static int name_result(int r)
{
	switch (r) {
	case -ENODATA:
		return -ENOENT;
	case -EAGAIN:
	case -EIO:
		return -EHOSTUNREACH;
	default:
		return r;
	}
}

static int came_names(struct session *s, struct dialled *d, struct later *l)
{
	struct request *q = &d->q;
	struct dial_message m;
	int r = name_result(d->result);

	if (r < 0)
		return r;
	ask_dial_message(&m, DIAL_TCP);
	pin(s, &q->peer, d->answer);
	r = admit(s, q, l, d->answer, &m);
	return r < 0 ? r : ask_dial_on(s, q, l, &m, NULL, 0, came_tcp);
}

static void put_name(struct dial_message *m, const struct peer *peer)
{
	memcpy(m->name, peer->name, peer->name_size);
	m->name_size = (uint8_t)peer->name_size;
}

static int connect_tcp(struct session *s, struct request *q)
{
	bool by_name = !q->peer.has_address;
	struct dial_message m;
	int r = q->peer.type == SOCK_STREAM ? 0 : refuse(q, EINVAL, "TCP is a stream");

	if (r == 0)
		r = decide_peer(s, q);
	if (r == 0)
		r = charge(s, q, true);
	if (r < 0)
		return r;
	ask_dial_message(&m, by_name ? DIAL_RESOLVE : DIAL_TCP);
	if (by_name) {
		m.wait = false;
		m.families = FAMILIES_BOTH;
		put_name(&m, &q->peer);
	}
	r = ask_time_left(q, &m.timeout_ms);
	if (r < 0)
		return r;
	return ask_dial(s, q, &m, NULL, 0, by_name ? came_names : came_tcp, !by_name);
}

static int came_unix(struct session *s, struct dialled *d, struct later *l)
{
	int r = d->result;

	if (r == 0)
		r = ask_check_unix(s, &d->q, false);
	return r < 0 ? r : ask_give_socket(l, &d->q);
}

static int connect_abstract(struct session *s, struct request *q)
{
	struct dial_message m;
	int r = decide_peer(s, q);

	if (r == 0)
		r = charge(s, q, true);
	ask_dial_message(&m, DIAL_ABSTRACT);
	if (r == 0)
		r = ask_time_left(q, &m.timeout_ms);
	if (r < 0)
		return r;
	m.type = q->peer.type;
	put_name(&m, &q->peer);
	return ask_dial(s, q, &m, NULL, 0, came_unix, false);
}

/* Connects the dialer's loose socket here, for the rule's `as broker`. */
static int came_as_broker(struct session *s, struct dialled *d, struct later *l)
{
	struct request *q = &d->q;
	struct sock k = {.fd = q->fd, .domain = AF_UNIX, .nonblock = true}; /* borrowed */
	struct inside to = INSIDE_INIT;
	int r = d->result;

	if (r == 0)
		r = ask_check_loose(s, q);
	if (r == 0 && fcntl(q->fd, F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	if (r == 0)
		r = record_change(s, q);
	if (r < 0)
		return r;
	to.path_fd = q->target.fd; /* borrowed */
	to.as = q->answer.as;
	r = inside_connect(s, &k, &to);
	/* That would be waited for with O_NONBLOCK off. */
	if (r == -EINPROGRESS)
		r = -EAGAIN;
	return r < 0 ? r : ask_give_socket(l, q);
}

/* In a child: with a socket of the dialer's, from the beginning. */
static int connect_in_child(struct session *s, struct request *q, struct later *l)
{
	struct sock k = {.fd = fd_take(&q->fd), .domain = AF_UNIX}; /* taken back below */
	struct inside to = INSIDE_INIT;
	uint32_t left_ms = 0;
	int r;

	request_rewind(q);
	q->fd = k.fd;
	r = reach_socket(s, q);
	if (r == 0 && q->target.must_be_directory)
		r = -ENOTDIR;
	if (r == 0)
		r = charge(s, q, true);
	if (r == 0)
		r = ask_time_left(q, &left_ms);
	if (r == 0 && fcntl(k.fd, F_SETFL, 0) < 0)
		r = -errno;
	if (r == 0)
		r = record_change(s, q);
	if (r < 0)
		return r;
	to.path_fd = q->target.fd; /* borrowed */
	to.as = q->answer.as;
	r = inside_connect_waiting(s, q, &k, &to, left_ms ? clock_ns() + left_ms * 1000000ull : 0);
	return r < 0 ? r : ask_give_socket(l, q);
}

static int bind_in_child(struct session *s, struct request *q, struct later *l);

static int came_for_child(struct session *s, struct dialled *d, struct later *l)
{
	int r = d->result;

	if (r == 0)
		r = ask_check_loose(s, &d->q);
	if (r < 0)
		return r;
	return ask_go_slowly(s, &d->q, l, d->q.op == MSG_LISTEN ? bind_in_child : connect_in_child);
}

/* Where the file system's server may not answer: the dialer makes the socket, a child of the
 * broker's looks for the path. */
static int go_slowly(struct session *s, struct request *q)
{
	struct dial_message m;
	int r = charge(s, q, true);

	s->begin_slowly = false;
	if (r < 0)
		return r;
	ask_dial_message(&m, DIAL_SOCKET);
	m.wait = false;
	m.type = q->op == MSG_LISTEN ? SOCK_STREAM : q->peer.type;
	return ask_dial(s, q, &m, NULL, 0, came_for_child, false);
}

static int connect_path(struct session *s, struct request *q)
{
	struct dial_message m;
	int r = reach_socket(s, q);

	if (s->begin_slowly)
		return go_slowly(s, q);
	if (r == 0 && q->target.must_be_directory)
		r = -ENOTDIR;
	if (r == 0)
		r = charge(s, q, true);
	ask_dial_message(&m, q->answer.as == AS_BROKER ? DIAL_SOCKET : DIAL_PATH);
	if (r < 0)
		return r;
	m.type = q->peer.type;
	if (m.op == DIAL_SOCKET) {
		m.wait = false;
		return ask_dial(s, q, &m, NULL, 0, came_as_broker, false);
	}
	r = ask_time_left(q, &m.timeout_ms);
	if (r < 0)
		return r;
	return ask_dial(s, q, &m, &q->target.fd, 1, came_unix, false);
}

int handle_connect(struct session *s, struct request *q, uint8_t *data)
{
	if (q->flags != 0 && q->flags != SOCK_STREAM && q->flags != SOCK_SEQPACKET &&
		q->flags != SOCK_DGRAM)
		return refuse(q, EINVAL, "unknown flags %#x", q->flags);
	if (q->flags != 0)
		q->peer.type = (uint16_t)q->flags;
	if (q->peer.kind == PEER_UDP || q->flags == SOCK_DGRAM)
		return refuse(q, EPROTONOSUPPORT,
			"datagrams are had by the system calls alone, in the cell");
	switch (q->peer.kind) {
	case PEER_TCP:
		return connect_tcp(s, q);
	case PEER_ABSTRACT:
		return connect_abstract(s, q);
	default:
		return connect_path(s, q);
	}
}

/* ---- listen ---------------------------------------------------------------------------------- */

/* Signed for before anybody can connect. */
static int begin_listening(struct session *s, struct request *q)
{
	int backlog = q->flags > BACKLOG_MAX ? BACKLOG_MAX : (int)q->flags;
	bool local = q->peer.kind != PEER_TCP;
	int r = q->grant ? 0 : record_change(s, q);

	return r < 0 ? r : inside_listen(s, q->fd, local, backlog);
}

static int came_bind(struct session *s, struct dialled *d, struct later *l)
{
	int r = d->result;

	if (r == 0)
		r = ask_check_address(s, &d->q, l, true);
	if (r == 0)
		r = begin_listening(s, &d->q);
	return r < 0 ? r : ask_give_socket(l, &d->q);
}

static int listen_tcp(struct session *s, struct request *q)
{
	const int on = 1;
	struct dial_message m;
	int r = 0;

	if (!q->peer.has_address)
		r = refuse(q, EINVAL, "a server listens at an address, not at a name");
	else if (q->mode != 0)
		r = refuse(q, EINVAL, "an address has no mode");
	if (r == 0)
		r = decide_peer(s, q);
	if (r == 0)
		r = charge(s, q, true);
	if (r < 0)
		return r;
	ask_dial_message(&m, DIAL_BIND);
	m.wait = false;
	/* As servers do: a connection that has ended here does not keep the port. */
	m.options[0] = (struct dial_option){SOL_SOCKET, SO_REUSEADDR, sizeof(on), {0}};
	memcpy(m.options[0].value, &on, sizeof(on));
	m.n_options = 1;
	return ask_dial(s, q, &m, NULL, 0, came_bind, true);
}

static int came_bind_path(struct session *s, struct dialled *d, struct later *l)
{
	int r = d->result;

	if (r == 0)
		r = ask_check_loose(s, &d->q);
	if (r == 0)
		r = bind_new_socket(s, &d->q, d->q.fd, d->q.mode & d->q.answer.mode_max, NULL);
	if (r == 0)
		r = begin_listening(s, &d->q);
	return r < 0 ? r : ask_give_socket(l, &d->q);
}

/* In a child: with a socket of the dialer's, from the beginning. */
static int bind_in_child(struct session *s, struct request *q, struct later *l)
{
	int fd = fd_take(&q->fd);
	int r;

	request_rewind(q);
	q->fd = fd;
	r = reach_new_socket(s, q, true);
	if (r == 0)
		r = bind_new_socket(s, q, fd, q->mode & q->answer.mode_max, NULL);
	if (r == 0)
		r = begin_listening(s, q);
	return r < 0 ? r : ask_give_socket(l, q);
}

/* As far as it is told without a look at the path. */
static int may_bind(struct session *s, struct request *q)
{
	q->target.rights = RIGHT_BIND;
	return decide(s, q) == VERDICT_ALLOW ? 0 : decide_refuse(s, q);
}

static int listen_path(struct session *s, struct request *q)
{
	struct dial_message m;
	bool slowly = slow_may_be(s, q);
	int r = slowly ? may_bind(s, q) : reach_new_socket(s, q, true);

	if (s->begin_slowly || (slowly && r == 0))
		return go_slowly(s, q);
	if (r < 0)
		return r;
	ask_dial_message(&m, DIAL_SOCKET);
	m.wait = false;
	m.type = SOCK_STREAM;
	return ask_dial(s, q, &m, NULL, 0, came_bind_path, false);
}

static int came_named(struct session *s, struct dialled *d, struct later *l)
{
	int r = d->result;

	if (r == 0)
		r = ask_check_unix(s, &d->q, true);
	if (r == 0)
		r = begin_listening(s, &d->q);
	return r < 0 ? r : ask_give_socket(l, &d->q);
}

static int listen_abstract(struct session *s, struct request *q)
{
	struct dial_message m;
	int r = q->mode == 0 ? decide_peer(s, q)
			     : refuse(q, EINVAL, "an abstract name has no mode");

	if (r == 0)
		r = charge(s, q, true);
	if (r < 0)
		return r;
	ask_dial_message(&m, DIAL_NAMED);
	m.wait = false;
	m.type = SOCK_STREAM;
	put_name(&m, &q->peer);
	return ask_dial(s, q, &m, NULL, 0, came_named, false);
}

int handle_listen(struct session *s, struct request *q, uint8_t *data)
{
	if (q->mode & ~(mode_t)0777)
		return refuse(
			q, EINVAL, "a mode of a socket that cannot be: %#o", (unsigned)q->mode);
	switch (q->peer.kind) {
	case PEER_TCP:
		return listen_tcp(s, q);
	case PEER_PATH:
		return listen_path(s, q);
	case PEER_ABSTRACT:
		return listen_abstract(s, q);
	default:
		return refuse(q, EPROTONOSUPPORT,
			"datagrams are had by the system calls alone, in the cell");
	}
}

/* ---- resolve --------------------------------------------------------------------------------- */

static int came_resolve(struct session *s, struct dialled *d, struct later *l)
{
	const struct dial_message *names = d->answer;
	int r = name_result(d->result);
	struct enc e;

	if (r == 0 && names->n_addresses == 0)
		r = -ENOENT;
	if (r < 0)
		return r;
	pin(s, &d->q.peer, names);
	e = enc_init(l->data, sizeof(l->data));
	enc_u32(&e, names->ttl);
	enc_u16(&e, names->n_addresses);
	for (size_t i = 0; i < names->n_addresses; i++)
		enc_bytes(&e, names->addresses[i].bytes, MSG_ADDRESS_SIZE);
	l->data_size = enc_size(&e);
	return 0;
}

int handle_resolve(struct session *s, struct request *q, uint8_t *data)
{
	struct dial_message m;
	int r;

	if (q->flags == 0 || (q->flags & ~(uint32_t)FAMILIES_BOTH))
		return refuse(q, EINVAL, "unknown families %#x", q->flags);
	if (dial_decide_name(s, q) != VERDICT_ALLOW)
		return dial_refuse(s, q);
	r = charge(s, q, false);
	if (r < 0)
		return r;
	ask_dial_message(&m, DIAL_RESOLVE);
	m.wait = false;
	m.families = (uint8_t)q->flags;
	put_name(&m, &q->peer);
	return ask_dial(s, q, &m, NULL, 0, came_resolve, false);
}
