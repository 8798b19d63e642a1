/* SPDX-License-Identifier: MIT */
/*
 * socket_inside.c - what is done to the worker's own socket, by the broker's copy of it, and the
 * calls that wait for that.
 *
 * Runs in: broker.  Trusts: nothing; a socket that the worker reconnects meanwhile is its own.
 *
 * Of a Unix socket the other end may ask who connected it (SO_PEERCRED), and it is told the
 * effective ids of the one who called connect(2).  So a broker of uid 0 takes on the worker's for
 * that one call: nobody is to meet a root that the worker is not.
 */
#include "broker/socket_inside.h"
#include "broker/charge.h"
#include "broker/identity.h"
#include "broker/interrupt.h"
#include "broker/record.h"
#include "broker/slow.h"
#include "broker/spawn.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <unistd.h>

struct waiting {
	struct sock sock; /* fd -1: the slot is free */
	struct notice notice;
	struct inside to;
	int result;        /* what it has come to so far */
	bool again;        /* connect it again, later: a full backlog */
	uint64_t until_ns; /* the worker's own patience: SO_SNDTIMEO; 0: none */
};

struct socket_waits {
	int epoll_fd;
	size_t n;
	uint64_t looked_ns; /* when it was looked for signals last */
	struct waiting of[INSIDE_MAX];
};

int inside_new(struct socket_waits **ret)
{
	struct socket_waits *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	for (size_t i = 0; i < INSIDE_MAX; i++)
		w->of[i].sock.fd = w->of[i].to.path_fd = -1;
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll_fd < 0) {
		int r = -errno;

		free(w);
		return r;
	}
	*ret = w;
	return 0;
}

static void release(struct socket_waits *w, struct waiting *one)
{
	/* Other descriptors hold the same open socket: closing ours takes nothing out of epoll. */
	if (!one->again)
		epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, one->sock.fd, NULL);
	sock_close(&one->sock);
	fd_close(&one->to.path_fd);
	w->n--;
}

struct socket_waits *inside_free(struct socket_waits *w)
{
	for (size_t i = 0; w && i < INSIDE_MAX; i++) {
		if (w->of[i].sock.fd >= 0)
			release(w, &w->of[i]);
	}
	if (w)
		fd_close(&w->epoll_fd);
	free(w);
	return NULL;
}

int inside_fd(const struct socket_waits *w)
{
	return w->epoll_fd;
}

size_t inside_waiting(const struct socket_waits *w)
{
	return w ? w->n : 0;
}

/* ---- as whom --------------------------------------------------------------------------------- */

static int set_ids(uid_t uid, gid_t gid)
{
	int r = 0;

	/* The group first on the way down, where the uid still may set it; and last on the way up
	 * the real gid is 0, to which anybody who has it may go back. */
	if (setresgid((gid_t)-1, gid, (gid_t)-1) < 0 || setresuid((uid_t)-1, uid, (uid_t)-1) < 0)
		r = -errno;
	/* Each change of the uid sets it to what the host's fs.suid_dumpable says. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	return r;
}

static void set_back(struct session *s)
{
	if (set_ids(0, 0) < 0 || identity_init(s) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		abort();
}

static int take_identity(struct session *s, unsigned as)
{
	int r;

	if (!s->privileged || as != AS_WORKER)
		return identity_take(s, as);
	r = set_ids(s->uid, s->gid);
	if (r < 0)
		set_back(s);
	return r;
}

static void drop_identity(struct session *s, unsigned as)
{
	if (!s->privileged || as != AS_WORKER)
		identity_drop(s, as);
	else
		set_back(s);
}

/* connect(2), or listen(2). */
struct call {
	int fd;
	const struct sockaddr *address; /* NULL: listen(2) */
	socklen_t size;
	int backlog;
};

/* The worker can take O_NONBLOCK off again at any time; and of a datagram socket that is connected
 * anew, what lies unread in it is thrown away: hurry.h. */
static int make_call(const struct call *c)
{
	int r;

	if (!c->address)
		return listen(c->fd, c->backlog) < 0 ? -errno : 0;
	hurry_begin();
	r = connect(c->fd, c->address, c->size) < 0 ? -errno : 0;
	hurry_end();
	return r;
}

/* In ROOT_HOST the broker's real uid is the worker's, and no way leads back from its effective one
 * (cage.c): there a child goes that way. */
static int make_call_in_child(const struct session *s, const struct call *c)
{
	pid_t pid = spawn_copying_files();
	int r;

	if (pid < 0)
		return pid;
	if (pid == 0) {
		r = set_ids(s->uid, s->gid);
		_exit(r < 0 ? -r : -make_call(c));
	}
	r = spawn_reap(pid);
	return r < 0 ? r : -r;
}

static int make_call_as(struct session *s, unsigned as, const struct call *c)
{
	int r;

	if (s->privileged && s->root == ROOT_HOST && as == AS_WORKER)
		return make_call_in_child(s, c);
	r = take_identity(s, as);
	if (r < 0)
		return r;
	r = make_call(c);
	drop_identity(s, as);
	return r;
}

int inside_listen(struct session *s, int fd, bool is_unix, int backlog)
{
	const struct call c = {.fd = fd, .backlog = backlog};

	return is_unix ? make_call_as(s, AS_WORKER, &c) : make_call(&c);
}

/* ---- one connect ----------------------------------------------------------------------------- */

/* A resolved inode, whatever has its name by now. */
static socklen_t path_address(int path_fd, struct sockaddr_un *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d", path_fd);
	return sizeof(*ret);
}

static int connect_once(struct session *s, const struct sock *k, const struct inside *to)
{
	struct call c = {.fd = k->fd, .address = (const void *)&to->address, .size = to->size};
	struct sockaddr_un un;
	int r;

	if (k->domain != AF_UNIX) {
		r = make_call(&c);
		return r == -EINTR ? -EINPROGRESS : r;
	}
	if (to->path_fd >= 0) {
		c.size = path_address(to->path_fd, &un);
		c.address = (const void *)&un;
	}
	r = make_call_as(s, to->as, &c);
	return r == -EINTR ? -EAGAIN : r;
}

/* A connect(2) that blocks goes on to the end within the call, and the socket is one that is
 * connected, or that can be connected anew; one that does not block leaves that to a second call.
 * On the loopback it is over already.  0; -EINPROGRESS: not yet; or -errno, the connection's. */
static int connect_again(struct session *s, const struct sock *k, const struct inside *to)
{
	int r = connect_once(s, k, to);

	if (r == -EISCONN) /* another thread's call waited for the same */
		return 0;
	return r == -EALREADY ? -EINPROGRESS : r;
}

int inside_connect(struct session *s, const struct sock *k, const struct inside *to)
{
	int r;

	/* The flag is of the open socket, which the worker shares: only for this one call. */
	if (!k->nonblock) {
		r = fd_status_flags(k->fd, O_NONBLOCK, 0);
		if (r < 0)
			return r;
	}
	if (k->domain != AF_UNIX)
		hurry_begin(); /* one for both */
	r = connect_once(s, k, to);
	if (r == -EINPROGRESS && !k->nonblock)
		r = connect_again(s, k, to);
	if (k->domain != AF_UNIX)
		hurry_end();
	if (!k->nonblock)
		fd_status_flags(k->fd, 0, O_NONBLOCK);
	return r;
}

/* In a child: for good, since a peer that looks at the process that it is told of is to find no
 * root, not even in a real id. */
static int become_worker(const struct session *s)
{
	if (!s->privileged)
		return 0;
	if (setresgid(s->gid, s->gid, (gid_t)-1) < 0 || setresuid(s->uid, s->uid, (uid_t)-1) < 0 ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

struct slow_connect {
	const struct sock *k;
	const struct inside *to;
};

static int connect_slowly(struct session *s, struct request *q, void *ctx)
{
	const struct slow_connect *c = ctx;
	unsigned as = c->to->as;
	struct sockaddr_un un;
	socklen_t size = path_address(c->to->path_fd, &un);
	int r = as == AS_WORKER ? become_worker(s) : identity_take(s, as);

	if (r < 0)
		return r;
	r = connect(c->k->fd, (const struct sockaddr *)&un, size) < 0 ? -errno : 0;
	if (as != AS_WORKER)
		identity_drop(s, as);
	return r;
}

int inside_connect_waiting(struct session *s, struct request *q, const struct sock *k,
	const struct inside *to, uint64_t until_ns)
{
	struct slow_connect c = {k, to};

	/* Natively who has set a time is told, and no call is made again: sock_intr_errno(). */
	return slow_wait(s, q, connect_slowly, &c, until_ns, sock_patience_ns(k->fd) == 0);
}

/* The address is a family alone: enough for a connection that is under way, of which the kernel
 * looks at no address, and too short to begin one. */
int inside_come_about(int fd, int domain)
{
	const struct sockaddr family = {.sa_family = (sa_family_t)domain};
	const struct call c = {.fd = fd, .address = &family, .size = sizeof(family.sa_family)};

	return make_call(&c);
}

/* What a connection that was waited for has come to.  As above. */
static int outcome(struct session *s, const struct waiting *one)
{
	const struct sock *k = &one->sock;
	socklen_t size = sizeof(int);
	int error = 0, r;

	/* An outer one, which some other call began. */
	if (one->to.size == 0) {
		r = getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
		if (r == 0)
			inside_come_about(k->fd, k->domain);
		return r;
	}
	r = fd_status_flags(k->fd, O_NONBLOCK, 0);
	if (r < 0)
		return r;
	r = connect_again(s, k, &one->to);
	fd_status_flags(k->fd, 0, O_NONBLOCK);
	return r;
}

/* ---- those that wait ------------------------------------------------------------------------- */

static int watch(struct socket_waits *w, struct waiting *one)
{
	struct epoll_event e = {.events = EPOLLOUT, .data.ptr = one};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, one->sock.fd, &e) < 0 ? -errno : 0;
}

int inside_wait(struct session *s, const struct notice *notice, struct sock *k, struct inside *to,
	int result)
{
	struct socket_waits *w = s->socket_waits;
	uint64_t patience_ns = sock_patience_ns(k->fd);
	struct waiting *one;
	int r;

	if (!w || w->n == INSIDE_MAX)
		return -EAGAIN;
	one = w->of;
	while (one->sock.fd >= 0)
		one++;
	one->sock = *k;
	one->result = result;
	one->again = result == -EAGAIN;
	one->until_ns = patience_ns ? clock_ns() + patience_ns : 0;
	r = one->again ? 0 : watch(w, one);
	if (r < 0) {
		one->sock.fd = -1;
		return r;
	}
	one->notice = *notice;
	one->to = *to;
	k->fd = to->path_fd = -1;
	w->n++;
	return 0;
}

/* A record that stands is followed by another where nothing came of it. */
static int answer(struct session *s, struct waiting *one, int result, const char *reason)
{
	if (result == 0)
		return notify_return(s->cell->notify, one->notice.id, 0);
	if (one->to.grant) {
		record_undelivered(s, DOOR_TRAP, one->to.grant,
			result == -NOTIFY_RESTART ? EINTR : -result, reason);
		ledger_commit(s->ledger);
		s->tally.granted--;
	}
	return notify_refuse(s->cell->notify, one->notice.id, -result);
}

static int finish(struct session *s, struct waiting *one, int result, const char *reason)
{
	int r = answer(s, one, result, reason);

	release(s->socket_waits, one);
	return r == -ENOENT ? 0 : r;
}

int inside_serve(struct session *s)
{
	struct socket_waits *w = s->socket_waits;
	struct epoll_event events[16];
	int n = epoll_wait(w->epoll_fd, events, 16, 0);
	int r = 0;

	for (int i = 0; r == 0 && i < n; i++) {
		struct waiting *one = events[i].data.ptr;
		int result = outcome(s, one);

		if (result != -EINPROGRESS)
			r = finish(s, one, result, NULL);
	}
	return r;
}

/* What the caller itself puts an end to: its signals, SO_SNDTIMEO.  0: nothing yet; or what it is
 * answered.  A connection that is under way goes on, as natively.  Not one to a relay, which has a
 * record and comes about at once: whoever called again would be given another. */
static int end_of_patience(struct session *s, struct waiting *one, bool looks)
{
	bool relayed = one->to.grant && !one->again;
	enum interrupt how = looks ? interrupt_of(s, one->notice.tid) : INTERRUPT_NONE;

	if (how == INTERRUPT_NONE || (relayed && how != INTERRUPT_END))
		return !relayed && one->until_ns && clock_ns() >= one->until_ns ? one->result : 0;
	/* As sock_intr_errno() has it. */
	return how == INTERRUPT_RESTART && !one->until_ns ? -NOTIFY_RESTART : -EINTR;
}

static int check(struct session *s, struct waiting *one, bool looks)
{
	int r;

	if (!notify_valid(s->cell->notify, one->notice.id)) {
		release(s->socket_waits, one);
		return 0;
	}
	if (one->again) {
		r = inside_connect(s, &one->sock, &one->to);
		if (r != -EAGAIN)
			return finish(s, one, r, NULL);
	}
	r = end_of_patience(s, one, looks);
	if (r == 0)
		return 0;
	return finish(s, one, r, r == one->result ? NULL : "interrupted by a signal");
}

int inside_check(struct session *s)
{
	struct socket_waits *w = s->socket_waits;
	bool looks = interrupt_due(&w->looked_ns, clock_ns());
	int r = 0;

	for (size_t i = 0; r == 0 && i < INSIDE_MAX; i++) {
		if (w->of[i].sock.fd >= 0)
			r = check(s, &w->of[i], looks);
	}
	return r;
}
