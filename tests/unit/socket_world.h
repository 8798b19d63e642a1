/* SPDX-License-Identifier: MIT */
/*
 * socket_world.h - a session whose worker is a child in a network of its own, with connect, bind
 * and listen trapped by a real filter, and whose dialer is the test.
 *
 * The child runs one function and ends with what it returns: 0 where all was as it should be, else
 * the number of the line that was not.  Meanwhile the parent serves, as the broker's loop does.
 */
#ifndef WARDER_TEST_SOCKET_WORLD_H
#define WARDER_TEST_SOCKET_WORLD_H

#include "tests/unit/world.h"

#include "broker/dial.h"
#include "broker/names.h"
#include "broker/notify.h"
#include "broker/slow.h"
#include "broker/socket_inside.h"
#include "broker/standin.h"
#include "broker/trap.h"

#include <arpa/inet.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define MUST(what) \
	do { \
		if (!(what)) \
			return __LINE__; \
	} while (0)

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct sockets;
typedef int in_worker(const struct sockets *f);

/* How the test's dialer behaves. */
enum manner {
	HONEST,
	BLACK_HOLE, /* never answers a connect */
	WRONG_PEER, /* brings a connection to somebody else */
	LISTENS,    /* brings a socket that listens */
	INNER,      /* brings what is not TCP at all */
	REFUSES,    /* brings a failure */
	DIES,
};

struct sockets {
	struct world *w;
	int dialer_fd;
	int outside; /* a listener of the host's; its port: */
	uint16_t port;
	int elsewhere; /* another, which no rule names */
	uint16_t other_port;
	enum manner manner;
	bool goes_on; /* a supervisor without the defence: it looks, and lets the kernel go on */
	pid_t child;
	unsigned asked[DIAL__COUNT]; /* messages that the dialer heard */
	struct dial_message last;
	/* A dialer's stand-ins: their ends and numbers. */
	int standins[DIAL_STANDINS_MAX + 2];
	uint32_t standin_ids[DIAL_STANDINS_MAX + 2];
	unsigned n_standins;
	uint32_t asks;   /* of the dialer's own questions */
	int32_t verdict; /* on the last of them; 1: none yet */
};

/* ---- the worker ------------------------------------------------------------------------------ */

static inline int lo_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = ioctl(fd, SIOCSIFFLAGS, &ifr);

	close(fd);
	return r;
}

static inline int trap_sockets(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_connect, 8, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_listen, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 6),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_DGRAM, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(*code), .filter = code};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
}

/* What the child says of itself before it begins. */
struct hello {
	int listener;
	uint64_t cookie;
};

static inline void child_life(struct sockets *f, in_worker *run, int say_fd, int go_fd)
{
	socklen_t size = sizeof(uint64_t);
	struct hello hello = {.listener = -1};
	char byte;
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 || lo_up() < 0)
		_exit(255);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &hello.cookie, &size);
	close(fd);
	hello.listener = trap_sockets();
	if (write(say_fd, &hello, sizeof(hello)) != sizeof(hello) || read(go_fd, &byte, 1) != 1)
		_exit(255);
	/* The broker's and the dialer's: this is a fork, which has them all. */
	close(hello.listener);
	close(f->dialer_fd);
	close(f->w->cell.dialer_fd);
	close(say_fd);
	close(go_fd);
	fd = run(f);
	if (fd)
		fprintf(stderr, "# in the worker: line %d, errno %s\n", fd, strerrorname_np(errno));
	_exit(fd ? 1 : 0);
}

static inline void start_child(struct sockets *f, in_worker *run)
{
	struct cell *cell = &f->w->cell;
	struct hello hello;
	int say[2], go[2], listener;
	int pidfd;

	assert_int_equal(pipe2(say, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	f->child = fork();
	if (f->child == 0)
		child_life(f, run, say[1], go[0]);
	close(say[1]);
	close(go[0]);
	assert_int_equal(read(say[0], &hello, sizeof(hello)), sizeof(hello));
	assert_true(hello.listener >= 0);
	cell->net_cookie = hello.cookie;
	pidfd = (int)syscall(SYS_pidfd_open, f->child, 0);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, hello.listener, 0);
	assert_true(listener >= 0);
	close(pidfd);
	assert_int_equal(notify_new(&cell->notify), 0);
	assert_int_equal(notify_attach(cell->notify, &listener), 0);
	assert_int_equal(write(go[1], "", 1), 1);
	close(go[1]);
	close(say[0]);
}

/* ---- the dialer ------------------------------------------------------------------------------ */

static inline int listen_on(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (void *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 1000), 0);
	getsockname(fd, (void *)&in, &size);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

static inline void set_options(int fd, const struct dial_message *m)
{
	for (size_t i = 0; i < m->n_options; i++) {
		const struct dial_option *o = &m->options[i];

		assert_int_equal(setsockopt(fd, o->level, o->option, o->value, o->size), 0);
	}
}

static inline void answer_dial(struct sockets *f, uint32_t id, int result, int fd)
{
	struct dial_message m = {.op = DIAL_DONE, .id = id, .result = result};
	uint8_t buf[DIAL_SIZE_MAX];
	long size = dial_encode(&m, buf, sizeof(buf));

	chan_send(f->dialer_fd, buf, (size_t)size, &fd, fd >= 0 ? 1 : 0, false);
}

static inline void dial_tcp(struct sockets *f, const struct dial_message *m)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int type = f->manner == INNER ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	uint16_t port;
	int r;

	if (f->manner == LISTENS) {
		close(fd);
		fd = listen_on(&port);
		answer_dial(f, m->id, 0, fd);
		return;
	}
	if (f->manner != INNER)
		set_options(fd, m);
	if (!m->wait)
		fd_status_flags(fd, O_NONBLOCK, 0);
	memcpy(&in.sin_addr, m->addresses[0].bytes + 12, 4);
	in.sin_port = htons(f->manner == WRONG_PEER ? f->other_port : m->addresses[0].port);
	r = connect(fd, (void *)&in, sizeof(in)) < 0 ? -errno : 0;
	if (r < 0 && !(r == -EINPROGRESS && !m->wait)) {
		close(fd);
		answer_dial(f, m->id, r, -1);
	} else {
		answer_dial(f, m->id, 0, fd);
	}
}

static inline void dial_bind_tcp(struct sockets *f, const struct dial_message *m)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(&in.sin_addr, m->addresses[0].bytes + 12, 4);
	in.sin_port = htons(m->addresses[0].port);
	set_options(fd, m);
	if (bind(fd, (void *)&in, sizeof(in)) < 0) {
		answer_dial(f, m->id, -errno, -1);
		close(fd);
	} else {
		answer_dial(f, m->id, 0, fd);
	}
}

/* The same of UDP and of an abstract name. */
static inline void dial_bind_other(struct sockets *f, const struct dial_message *m)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	bool udp = m->op == DIAL_UDP, lies = f->manner == WRONG_PEER;
	int type = f->manner == INNER ? (udp ? SOCK_STREAM : SOCK_SEQPACKET)
				      : (udp ? SOCK_DGRAM : m->type);
	int fd = socket(udp ? AF_INET : AF_UNIX, type | SOCK_CLOEXEC, 0), r;

	memcpy(&in.sin_addr, m->addresses[0].bytes + 12, 4);
	in.sin_port = htons(f->manner == INNER ? 0 : lies ? f->other_port : m->addresses[0].port);
	memcpy(un.sun_path + 1, m->name, m->name_size);
	un.sun_path[1] ^= lies;
	r = udp ? bind(fd, (void *)&in, sizeof(in))
		: bind(fd, (void *)&un,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + m->name_size));
	assert_int_equal(r, 0);
	if (f->manner == LISTENS && !udp)
		assert_int_equal(listen(fd, 1), 0);
	answer_dial(f, m->id, 0, fd);
	if (udp)
		close(fd);
}

static inline void dial_unix(struct sockets *f, const struct dial_message *m, int fds[2])
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	socklen_t size = sizeof(un);
	int fd = fds[0], r;

	if (m->op == DIAL_ABSTRACT) {
		fd = socket(AF_UNIX, m->type | SOCK_CLOEXEC, 0);
		memcpy(un.sun_path + 1, m->name, m->name_size);
		size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + m->name_size);
	} else {
		snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d", fds[1]);
	}
	r = connect(fd, (void *)&un, size) < 0 ? -errno : 0;
	answer_dial(f, m->id, r, m->op == DIAL_ABSTRACT && r == 0 ? fd : -1);
}

/* A stand-in: as it should be, or a connection to a server, or none at all. */
static inline void dial_standin(struct sockets *f, const struct dial_message *m)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, f->manner == INNER ? SOCK_STREAM : SOCK_SEQPACKET, 0, pair), 0);
	if (f->manner == WRONG_PEER) {
		struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0standin-test"};
		int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		close(pair[0]);
		pair[0] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd, (void *)&un, sizeof(un)), 0);
		assert_int_equal(listen(fd, 1), 0);
		assert_int_equal(connect(pair[0], (void *)&un, sizeof(un)), 0);
		close(fd);
	}
	f->standins[f->n_standins] = pair[1];
	f->standin_ids[f->n_standins++] = m->id;
	answer_dial(f, m->id, 0, pair[0]);
}

/* What the dialer says of its own: first, gone. */
static inline void say_dial(struct sockets *f, enum dial_op op, uint32_t of)
{
	struct dial_message m = {.op = op, .id = ++f->asks, .of = of};
	uint8_t buf[DIAL_SIZE_MAX];
	long size = dial_encode(&m, buf, sizeof(buf));

	chan_send(f->dialer_fd, buf, (size_t)size, NULL, 0, false);
}

static inline void be_the_dialer(struct sockets *f)
{
	uint8_t buf[DIAL_SIZE_MAX];
	int fds[2] = {-1, -1};
	size_t n = 0;
	long size = chan_recv(f->dialer_fd, buf, sizeof(buf), fds, 2, &n, false);
	struct dial_message m;

	if (size <= 0)
		return;
	assert_int_equal(dial_decode(buf, (size_t)size, &m), 0);
	f->asked[m.op]++;
	f->last = m;
	if (f->manner == DIES) {
		fd_close(&f->dialer_fd);
	} else if (f->manner == REFUSES) {
		answer_dial(f, m.id, -EHOSTUNREACH, -1);
	} else if (f->manner != BLACK_HOLE) {
		if (m.op == DIAL_TCP)
			dial_tcp(f, &m);
		else if (m.op == DIAL_BIND)
			dial_bind_tcp(f, &m);
		else if (m.op == DIAL_UDP || m.op == DIAL_NAMED)
			dial_bind_other(f, &m);
		else if (m.op == DIAL_PATH || m.op == DIAL_ABSTRACT)
			dial_unix(f, &m, fds);
		else if (m.op == DIAL_RELAY || m.op == DIAL_LEAD)
			answer_dial(f, m.id, 0, -1);
		else if (m.op == DIAL_STANDIN)
			dial_standin(f, &m);
		else if (m.op == DIAL_VERDICT)
			f->verdict = m.result;
	}
	fd_close_many(fds, 2);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static inline void serve_all(struct sockets *f)
{
	struct session *s = &f->w->s;
	const char *why = NULL;
	bool hung = false;

	while (!hung) {
		struct pollfd p[] = {
			{notify_fd(s->cell->notify), POLLIN, 0},
			{s->cell->dialer_fd, POLLIN, 0},
			{f->dialer_fd, POLLIN, 0},
			{inside_fd(s->socket_waits), POLLIN, 0},
		};

		poll(p, 4, 10);
		if (p[0].revents & POLLIN) {
			struct notice notice;

			if (!f->goes_on)
				assert_int_equal(trap_serve(s, &why), 0);
			else if (notify_receive(s->cell->notify, &notice) == 0)
				notify_continue(s->cell->notify, notice.id);
		} else if (p[0].revents & POLLHUP) {
			hung = true;
		}
		if (p[2].revents)
			be_the_dialer(f);
		if (p[1].revents)
			assert_int_equal(dial_serve(s, &why), 0);
		if (p[3].revents & POLLIN)
			assert_int_equal(inside_serve(s), 0);
		if (dial_waiting(s->dial) > 0)
			assert_int_equal(dial_check(s, &why), 0);
		if (inside_waiting(s->socket_waits) > 0)
			assert_int_equal(inside_check(s), 0);
	}
}

static inline void sockets_begin(struct sockets *f, const char *rules)
{
	char text[1024], *to = text;

	*f = (struct sockets){.w = world_new(), .dialer_fd = -1};
	f->outside = listen_on(&f->port);
	f->elsewhere = listen_on(&f->other_port);
	for (const char *from = rules; *from;) {
		if (strncmp(from, "PORT", 4) != 0) {
			*to++ = *from++;
			continue;
		}
		to += sprintf(to, "%u", (unsigned)f->port);
		from += 4;
	}
	*to = '\0';
	f->w->root[0] = '\0';
	world_start(f->w, text);
	f->w->cell.procs_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	f->w->s.own[0] = f->w->dir;
	f->w->s.n_own = 1;
	assert_int_equal(trap_init(&f->w->s), 0);
	assert_int_equal(slow_new(&f->w->s.slow), 0);
	assert_int_equal(dial_new(&f->w->s.dial), 0);
	assert_int_equal(inside_new(&f->w->s.socket_waits), 0);
	assert_int_equal(standins_new(&f->w->s.standins), 0);
	f->w->s.names = names_new();
	assert_int_equal(chan_pair(&f->w->cell.dialer_fd, &f->dialer_fd), 0);
}

/* Runs one function in the worker.  Its line, 0 where all went well. */
static inline int run_worker(struct sockets *f, in_worker *run)
{
	int status;

	start_child(f, run);
	serve_all(f);
	assert_int_equal(waitpid(f->child, &status, 0), f->child);
	f->w->cell.notify = notify_free(f->w->cell.notify);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* How many came to a listener; the connections are closed. */
static inline unsigned arrivals(int listener)
{
	unsigned n = 0;
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		close(fd);
		n++;
	}
	return n;
}

static inline void sockets_end(struct sockets *f)
{
	struct session *s = &f->w->s;

	s->dial = dial_free(s->dial);
	s->standins = standins_free(s->standins);
	fd_close_many(f->standins, f->n_standins);
	s->names = names_free(s->names);
	slow_free(s);
	s->socket_waits = inside_free(s->socket_waits);
	trap_deinit(s);
	fd_close(&f->w->cell.procs_fd);
	fd_close(&f->w->cell.dialer_fd);
	fd_close(&f->dialer_fd);
	fd_close(&f->outside);
	fd_close(&f->elsewhere);
	world_free(f->w);
}

/* ---- the ledger ------------------------------------------------------------------------------ */

/* How many lines hold all of the words given, up to a NULL. */
static inline unsigned lines_with(struct sockets *f, const char *first, ...)
{
	char path[128], line[8192];
	unsigned n = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/ledger", f->w->dir);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		const char *word = first;
		bool all = true;
		va_list ap;

		va_start(ap, first);
		for (; word; word = va_arg(ap, const char *))
			all &= strstr(line, word) != NULL;
		va_end(ap);
		n += all;
	}
	fclose(file);
	return n;
}

/* ---- in the worker --------------------------------------------------------------------------- */

static inline struct sockaddr_in loopback_at(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

/* 0 or the errno. */
static inline int dial_to(int fd, uint16_t port)
{
	struct sockaddr_in in = loopback_at(port);

	return connect(fd, (void *)&in, sizeof(in)) < 0 ? errno : 0;
}

static inline int peer_port(int fd)
{
	struct sockaddr_in in;
	socklen_t size = sizeof(in);

	return getpeername(fd, (void *)&in, &size) < 0 ? -1 : ntohs(in.sin_port);
}

#endif
