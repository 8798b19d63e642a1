/* SPDX-License-Identifier: MIT */
/*
 * trap_socket.c - the trapped calls of sockets: connect, bind; and what listen takes.
 *
 * Runs in: broker.  Trusts: nothing; the address is copied once, and the socket is the broker's own
 * copy of the worker's, whatever its number names by then.
 *
 * None of the three is ever let go on.  A rule decides first, a deny above all; what no rule is
 * about is done inside, where nobody else is: loopback, the cell's own places, its abstract names.
 */
#include "broker/trap_socket.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/dial.h"
#include "broker/host_look.h"
#include "broker/names.h"
#include "broker/ops.h"
#include "broker/record.h"
#include "broker/slow.h"
#include "broker/socket_inside.h"
#include "broker/socket_outer.h"
#include "broker/standin.h"
#include "broker/tracee.h"
#include "broker/trap_take.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* ---- copying --------------------------------------------------------------------------------- */

static int take_address(struct trap *t)
{
	int size = arg_int(t, 2);

	memset(&t->address, 0, sizeof(t->address));
	if (size < (int)sizeof(sa_family_t) || size > (int)sizeof(t->address))
		return -EINVAL;
	t->address_size = (socklen_t)size;
	return tracee_read(t->notice.tid, t->notice.args[1], &t->address, (size_t)size);
}

/* Addresses that are none: "any" of an old program, none at all, a name that the kernel is to
 * choose.  True where nothing is left to be taken apart. */
static bool is_special(struct trap *t)
{
	struct peer *peer = &t->q.peer;
	struct sockaddr_in *in = (void *)&t->address;
	sa_family_t family = t->address.ss_family;

	if (peer->bind && family == AF_UNSPEC && t->sock.domain == AF_INET &&
		t->address_size >= sizeof(*in) && in->sin_addr.s_addr == INADDR_ANY)
		in->sin_family = AF_INET; /* ip(7): as the kernel has it, for compatibility */
	else if (peer->bind && family == AF_UNIX && t->sock.domain == AF_UNIX &&
		 t->address_size == sizeof(family))
		peer->kind = PEER_ABSTRACT;
	return peer->kind != PEER_NONE || (!peer->bind && family == AF_UNSPEC) ||
	       t->sock.domain == AF_NETLINK;
}

/* Whether the thread has a directory of its own under the number that such a path begins with. */
static bool is_its_own(const struct session *s, pid_t tid, int number)
{
	char name[48];
	struct stat st;

	snprintf(name, sizeof(name), "%d/fd/%d", (int)tid, number);
	return tracee_stat(s, name, &st) == 0 && S_ISDIR(st.st_mode);
}

/* A path that getsockname(2) has told is that of the socket it was told of. */
static const struct told *find_told(const struct session *s, const struct trap *t, const char *path)
{
	int number;

	if (t->q.peer.bind || sscanf(path, "/proc/self/fd/%d/", &number) != 1 ||
		is_its_own(s, t->notice.tid, number))
		return NULL;
	for (size_t i = 1; i <= TOLD_MAX; i++) {
		const struct told *told = &t->told[(t->next_told - i) % TOLD_MAX];

		if (told->size > 0 && strcmp(told->path, path) == 0)
			return told;
	}
	return NULL;
}

void trap_note_told(struct trap *t, const char *path, const struct target *meant)
{
	struct told *told = &t->told[t->next_told % TOLD_MAX];

	snprintf(told->path, sizeof(told->path), "%.107s", path);
	memcpy(told->meant, meant->asked, meant->asked_size + 1);
	told->size = meant->asked_size;
	t->next_told++;
}

static void note_told(struct session *s, struct trap *t)
{
	char path[SOCK_PATH_SIZE] = "";
	struct sockaddr_un un = {0};
	socklen_t size = sizeof(un);

	if (getsockname(t->sock.fd, (struct sockaddr *)&un, &size) < 0 || un.sun_path[0] != '/')
		return;
	memcpy(path, un.sun_path, sizeof(un.sun_path));
	if (s->in_child)
		slow_tell(s, path);
	else
		trap_note_told(t, path, &t->q.target);
}

static int take_peer(const struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	const struct told *told;
	char path[SOCK_PATH_SIZE];
	size_t size;
	int r;

	q->peer.type = (uint16_t)t->sock.type;
	if (is_special(t))
		return 0;
	r = sock_peer(&t->sock, &t->address, t->address_size, &q->peer, path, &size);
	if (r < 0 || q->peer.kind != PEER_PATH)
		return r;
	told = find_told(s, t, path);
	return take_text(
		s, t, &q->target, AT_FDCWD, told ? told->meant : path, told ? told->size : size);
}

static int take_own(const struct session *s, struct trap *t, unsigned op)
{
	t->q.op = op;
	t->number = arg_int(t, 0);
	return sock_take(s, t->notice.tid, t->number, &t->sock);
}

/* To connect to no address is to connect to this host: ip(7). */
static void take_unspecified(struct peer *peer)
{
	static const uint8_t six[16] = {0}, four[16] = {[10] = 0xff, [11] = 0xff};

	if (!peer->has_address)
		return;
	if (memcmp(peer->address, six, 16) == 0)
		peer->address[15] = 1;
	else if (memcmp(peer->address, four, 16) == 0)
		memcpy(peer->address + 12, "\x7f\0\0\1", 4);
}

int take_connect(const struct session *s, struct trap *t)
{
	int r = take_own(s, t, OP_CONNECT);

	if (r == 0)
		r = take_address(t);
	if (r == 0)
		r = take_peer(s, t);
	if (r == 0)
		take_unspecified(&t->q.peer);
	return r;
}

int take_bind(const struct session *s, struct trap *t)
{
	int r = take_own(s, t, OP_BIND);

	t->q.peer.bind = true;
	if (r == 0)
		r = take_address(t);
	return r < 0 ? r : take_peer(s, t);
}

int take_listen(const struct session *s, struct trap *t)
{
	t->backlog = arg_int(t, 1);
	return take_own(s, t, OP_LISTEN);
}

/* ---- inside ---------------------------------------------------------------------------------- */

/* The loopback answers at once: whoever nobody listens for is told so now, not by SO_ERROR later.
 */
static int refused_already(struct session *s, const struct trap *t, const struct inside *to, int r)
{
	if (r != -EINPROGRESS || socket_tcp_state(t->sock.fd) != STATE_CLOSE)
		return r;
	/* A second call, not SO_ERROR, which would leave a socket that cannot be connected anew. */
	return inside_connect(s, &t->sock, to);
}

/* Connects the worker's own socket: to the address as it came, or to a resolved inode. */
static int connect_inside(struct session *s, struct trap *t, int *path_fd)
{
	struct request *q = &t->q;
	struct inside to = INSIDE_INIT;
	int r;

	to.address = t->address;
	to.size = t->address_size;
	to.as = q->answer.as;
	to.grant = q->grant;
	if (path_fd)
		to.path_fd = fd_take(path_fd);
	if (s->in_child) {
		uint64_t timeout_ns = q->answer.timeout_ms * 1000000ull;

		r = inside_connect_waiting(
			s, q, &t->sock, &to, timeout_ns ? q->began_ns + timeout_ns : 0);
		fd_close(&to.path_fd);
		return r;
	}
	r = refused_already(s, t, &to, inside_connect(s, &t->sock, &to));
	if (!t->sock.nonblock && (r == -EINPROGRESS || r == -EALREADY || r == -EAGAIN)) {
		r = inside_wait(s, &t->notice, &t->sock, &to, r);
		r = r == 0 ? SOCKET_LATER : refuse(q, EAGAIN, "too many connections wait already");
		s->tally.granted += r == SOCKET_LATER && q->grant != 0;
	}
	fd_close(&to.path_fd);
	return r;
}

/* Inside nobody is there: what the worker wanted may well be outside, and then it lacks a rule. */
static int refuse_absent(struct request *q, int r)
{
	if ((r != -ECONNREFUSED && r != -ENOENT && r != -ENETUNREACH) || q->peer.kind == PEER_UDP)
		return r;
	q->own = false;
	q->answer.missing = q->blamed_rights = RIGHT_CONNECT;
	return refuse(q, -r, "no rule allows it, and nobody listens there inside the cell");
}

/* What no rule is about, and nobody but the worker meets. */
static int connect_own(struct session *s, struct trap *t, int *path_fd)
{
	t->q.own = true;
	t->q.answer = (struct policy_answer){.as = AS_WORKER};
	return refuse_absent(&t->q, connect_inside(s, t, path_fd));
}

/* ---- connect: the internet ------------------------------------------------------------------- */

#define COME_ABOUT 1

/* An outer socket has been connected once, or bound, by the dialer.  0: it may have another one in
 * its place.  COME_ABOUT: the connection that was begun, which this call is told: one that a signal
 * had ended, and that is made again just when that is so. */
static int check_state(struct session *s, struct trap *t)
{
	int state = socket_tcp_state(t->sock.fd);
	socklen_t size = sizeof(int);
	struct inside none = INSIDE_INIT;
	int error = 0;

	if (state == STATE_SYN_SENT && t->sock.nonblock)
		return -EALREADY;
	if (state == STATE_SYN_SENT) {
		t->q.own = true;
		return inside_wait(s, &t->notice, &t->sock, &none, -EALREADY) == 0
			       ? SOCKET_LATER
			       : refuse(&t->q, EAGAIN, "too many connections wait already");
	}
	if (state != STATE_CLOSE)
		return inside_come_about(t->sock.fd, t->sock.domain) == 0 ? COME_ABOUT : -EISCONN;
	/* How the last one failed is told once, as connect(2) would. */
	if (getsockopt(t->sock.fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error)
		return -error;
	return 0;
}

static int connect_tcp(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int r = t->sock.inner ? 0 : check_state(s, t);

	if (r == COME_ABOUT) {
		q->own = true;
		return 0;
	}
	if (r != 0)
		return r;
	if (dial_decide(s, q) == VERDICT_ALLOW)
		return outer_tcp(s, t);
	if (!is_ruled_out(&q->answer) && t->sock.inner && peer_is_loopback(&q->peer))
		return connect_own(s, t, NULL);
	return dial_refuse(s, q);
}

static bool is_pinned(void *ctx, const char *name, size_t size)
{
	return true;
}

/* getaddrinfo(3) connects UDP sockets to sort what it has found, whatever the port: to an address
 * that some rule admits it may, inside, where nobody answers. */
static bool is_admitted(struct session *s, const struct request *q)
{
	struct policy_answer a;
	const struct policy_socket tcp = {
		.protocol = PROTOCOL_TCP, .address = q->peer.address, .port = q->peer.port};

	return (s->names && names_of(s->names, q->peer.address, clock_ns(), is_pinned, NULL)) ||
	       policy_check_socket(s->policy, &tcp, &a) == VERDICT_ALLOW;
}

static int connect_udp(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int r;

	if (!t->sock.inner)
		return refuse(
			q, EACCES, "a datagram socket outside of the cell could send to anyone");
	if (dial_decide(s, q) == VERDICT_ALLOW) {
		r = charge(s, q, false);
		if (r == 0)
			r = record_change(s, q);
		return r < 0 ? r : connect_inside(s, t, NULL);
	}
	if (!is_ruled_out(&q->answer) && (peer_is_loopback(&q->peer) || is_admitted(s, q)))
		return connect_own(s, t, NULL);
	return dial_refuse(s, q);
}

/* ---- connect: Unix sockets ------------------------------------------------------------------- */

static int connect_path(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int r = reach_socket(s, q);

	if (r < 0)
		return q->own && host_has_path(s, q->target.asked) ? refuse_absent(q, r) : r;
	if (q->own)
		return connect_own(s, t, &q->target.fd);
	/* Such a socket sends to any name that it is given: standin.h. */
	if (t->sock.type == SOCK_DGRAM)
		return refuse(q, EACCES, "a datagram socket that is not the broker's to lead");
	r = charge(s, q, false);
	if (r < 0)
		return r;
	/* The dialer would wait for the file system's server too: a child connects by itself. */
	if (q->answer.as != AS_BROKER && !s->in_child)
		return outer_path(s, t);
	r = record_change(s, q);
	return r < 0 ? r : connect_inside(s, t, &q->target.fd);
}

static int connect_abstract(struct session *s, struct trap *t)
{
	struct request *q = &t->q;

	/* Natively one that listens does not connect; another in its place would. */
	if (sock_int(t->sock.fd, SO_ACCEPTCONN) == 1)
		return -EINVAL;
	if (dial_decide(s, q) == VERDICT_ALLOW)
		return outer_abstract(s, t);
	if (!is_ruled_out(&q->answer) && t->sock.inner)
		return connect_own(s, t, NULL);
	return dial_refuse(s, q);
}

/* ---- connect --------------------------------------------------------------------------------- */

/* Dissolves a connection: what is outside stays what was recorded. */
static int disconnect(struct session *s, struct trap *t)
{
	if (!t->sock.inner)
		return refuse(
			&t->q, EACCES, "a connection that leads out of the cell stays what it is");
	return connect_own(s, t, NULL);
}

/* The cell's own kernel tables: addresses, routes.  A group would be told of changes. */
static int check_netlink(struct trap *t)
{
	const struct sockaddr_nl *nl = (const void *)&t->address;

	if (t->address_size < sizeof(*nl) || nl->nl_family != AF_NETLINK)
		return -EINVAL;
	if (!t->sock.inner || nl->nl_groups != 0)
		return refuse(&t->q, EACCES, "a netlink socket is for questions in the cell alone");
	t->q.own = true;
	return 0;
}

int serve_connect(struct session *s, struct trap *t)
{
	uint32_t standin;
	int r;

	if (t->sock.domain == AF_NETLINK) {
		r = check_netlink(t);
		return r < 0 ? r : connect_own(s, t, NULL);
	}
	standin = standin_of(s, &t->sock);
	if (standin)
		return standin_connect(s, t, standin);
	switch (t->q.peer.kind) {
	case PEER_TCP:
		return connect_tcp(s, t);
	case PEER_UDP:
		return connect_udp(s, t);
	case PEER_PATH:
		return connect_path(s, t);
	case PEER_ABSTRACT:
		return connect_abstract(s, t);
	default:
		return disconnect(s, t);
	}
}

/* ---- bind ------------------------------------------------------------------------------------ */

static int bind_inside(struct session *s, struct trap *t)
{
	t->q.own = true;
	return bind(t->sock.fd, (void *)&t->address, t->address_size) < 0 ? -errno : 0;
}

/* Whoever binds another address than a rule gives for that port is heard inside alone, and natively
 * would be heard: its caller cannot be told, so that who started it is. */
static void note_unheard(struct session *s, struct request *q)
{
	static const uint8_t others[][16] = {
		{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
		{[15] = 1},
		{[10] = 0xff, [11] = 0xff},
		{[15] = 0},
	};
	struct policy_answer a = {.rule = NULL};
	struct policy_socket at = {.bind = true,
		.protocol = q->peer.kind == PEER_UDP ? PROTOCOL_UDP : PROTOCOL_TCP,
		.port = q->peer.port};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		at.address = others[i];
		if (policy_check_socket(s->policy, &at, &a) != VERDICT_ALLOW)
			continue;
		q->unheard = true;
		trap_record(s, q,
			refuse(q, EACCES, "heard inside the cell alone: %s is for another address",
				a.rule ? a.rule : "a rule"));
		q->refused = q->unheard = false;
		q->reason[0] = '\0';
		return;
	}
}

/* The kernel's own answer for one that has a port comes before the dialer is asked for another. */
static int bind_udp(struct session *s, struct trap *t)
{
	struct peer own = {.bind = true};
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char path[SOCK_PATH_SIZE];
	size_t path_size;

	if (getsockname(t->sock.fd, (void *)&address, &size) < 0)
		return -errno;
	if (sock_peer(&t->sock, &address, size, &own, path, &path_size) == 0 && own.port != 0)
		return -EINVAL;
	return outer_udp(s, t);
}

static int bind_inet(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	bool allowed = dial_decide(s, q) == VERDICT_ALLOW;
	int r;

	if (!t->sock.inner && q->peer.kind == PEER_UDP && s->cell->net_cookie == 0)
		return refuse(
			q, EACCES, "a datagram socket outside of the cell could send to anyone");
	if (!t->sock.inner && (q->peer.kind != PEER_TCP || s->cell->net_cookie != 0))
		return -EINVAL; /* it has an address already */
	if (allowed && q->peer.kind == PEER_UDP)
		return bind_udp(s, t);
	if (allowed)
		return outer_bind(s, t);
	if (is_ruled_out(&q->answer))
		return dial_refuse(s, q);
	if (t->sock.inner && peer_is_loopback(&q->peer)) {
		r = bind_inside(s, t);
		if (r == 0 && q->peer.port != 0)
			note_unheard(s, q);
		return r;
	}
	dial_refuse(s, q);
	return -EADDRNOTAVAIL; /* as where no interface has it */
}

static int bind_path(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	int r = reach_new_socket(s, q, false);
	mode_t mode;

	if (r < 0)
		return r;
	mode = take_new_mode(s, t, 0777) & (q->own ? 0777 : q->answer.mode_max);
	r = bind_new_socket(s, q, t->sock.fd, mode, ((struct sockaddr_un *)&t->address)->sun_path);
	if (r == 0)
		note_told(s, t);
	return r;
}

static bool has_name(int fd)
{
	struct sockaddr_un un;
	socklen_t size = sizeof(un);

	return getsockname(fd, (void *)&un, &size) == 0 &&
	       size > offsetof(struct sockaddr_un, sun_path);
}

static int bind_abstract(struct session *s, struct trap *t)
{
	struct request *q = &t->q;
	bool allowed = dial_decide(s, q) == VERDICT_ALLOW;

	/* The kernel's own answer; the one of the dialer would take its place. */
	if (allowed && has_name(t->sock.fd))
		return -EINVAL;
	if (allowed)
		return outer_named(s, t);
	if (!t->sock.inner || is_ruled_out(&q->answer))
		return dial_refuse(s, q);
	return bind_inside(s, t);
}

int serve_bind(struct session *s, struct trap *t)
{
	int r;

	if (t->sock.domain == AF_NETLINK) {
		r = check_netlink(t);
		return r < 0 ? r : bind_inside(s, t);
	}
	if (standin_of(s, &t->sock))
		return standin_bind(t);
	switch (t->q.peer.kind) {
	case PEER_TCP:
	case PEER_UDP:
		return bind_inet(s, t);
	case PEER_PATH:
		return bind_path(s, t);
	case PEER_ABSTRACT:
		return bind_abstract(s, t);
	default:
		return -EAFNOSUPPORT;
	}
}
