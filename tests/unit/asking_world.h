/* SPDX-License-Identifier: MIT */
/*
 * asking_world.h - a worker that asks for sockets, the broker's part of the ask door, and a dialer.
 *
 * The dialer is this test, at the other end of its channel: it hears what it is asked, and tells
 * the truth or lies.
 */
#ifndef WARDER_TEST_ASKING_WORLD_H
#define WARDER_TEST_ASKING_WORLD_H

#include "tests/unit/world.h"

#include "broker/dial.h"
#include "broker/names.h"
#include "common/dial.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71 /* Linux 5.14 */
#endif

struct fixture {
	struct world *w;
	int dialer_fd; /* the dialer's end */
	int listener;  /* a TCP server of this host */
	uint16_t port;
	/* The last message heard. */
	struct dial_message m;
	int fds[2];
	size_t n_fds;
	/* The last answer read. */
	uint32_t id;
};

static const uint8_t loopback[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};

static inline int listen_loopback(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(fd, 100), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* A path of the world's, as this host knows it: there Unix sockets are resolved. */
static inline const char *on_host(const struct fixture *f, const char *path)
{
	static char buf[8][512];
	static unsigned next;
	char *p = buf[next++ % 8];

	snprintf(p, 512, "%s%s", f->w->dir, path);
	return p;
}

static inline int listen_path(const char *path, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	if (type != SOCK_DGRAM)
		assert_int_equal(listen(fd, 100), 0);
	return fd;
}

/* "PORT" in the rules is the listener's, "DIR" the world's directory.  View and twin are the host's
 * root. */
static inline void begin(struct fixture *f, const char *rules)
{
	char text[2048], *to = text;

	*f = (struct fixture){.w = world_new(), .dialer_fd = -1, .fds = {-1, -1}};
	f->w->root[0] = '\0';
	put_dir(f->w, on_host(f, "/data"));
	put_file(f->w, on_host(f, "/data/a"), "alpha");
	put_dir(f->w, on_host(f, "/run"));
	put_dir(f->w, on_host(f, "/run/in"));
	f->listener = listen_loopback(&f->port);
	for (const char *from = rules; *from;) {
		if (strncmp(from, "PORT", 4) == 0) {
			to += sprintf(to, "%u", (unsigned)f->port);
			from += 4;
		} else if (strncmp(from, "DIR", 3) == 0) {
			to += sprintf(to, "%s", f->w->dir);
			from += 3;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
	world_start(f->w, text);
	assert_int_equal(dial_new(&f->w->s.dial), 0);
	f->w->s.names = names_new();
	assert_int_equal(chan_pair(&f->w->cell.dialer_fd, &f->dialer_fd), 0);
	hello(f->w);
}

static inline void end(struct fixture *f)
{
	f->w->s.dial = dial_free(f->w->s.dial);
	f->w->s.names = names_free(f->w->s.names);
	fd_close_many(f->fds, 2);
	fd_close(&f->w->cell.dialer_fd);
	fd_close(&f->dialer_fd);
	fd_close(&f->listener);
	world_free(f->w);
}

/* ---- the dialer ------------------------------------------------------------------------------ */

static inline bool hear_any(struct fixture *f)
{
	uint8_t buf[DIAL_SIZE_MAX];
	long got;

	fd_close_many(f->fds, 2);
	got = chan_recv(f->dialer_fd, buf, sizeof(buf), f->fds, 2, &f->n_fds, false);
	if (got == -EAGAIN || got == 0)
		return false;
	assert_true(got > 0);
	assert_int_equal(dial_decode(buf, (size_t)got, &f->m), 0);
	return true;
}

static inline void hear(struct fixture *f, enum dial_op op)
{
	assert_true(hear_any(f));
	assert_int_equal(f->m.op, op);
}

static inline int serve_dialer(struct fixture *f)
{
	const char *why = NULL;

	return dial_serve(&f->w->s, &why);
}

static inline void say(struct fixture *f, struct dial_message *m, int *fd)
{
	uint8_t buf[DIAL_SIZE_MAX];
	long size = dial_encode(m, buf, sizeof(buf));

	assert_true(size > 0);
	assert_int_equal(chan_send(f->dialer_fd, buf, (size_t)size, fd, fd ? 1 : 0, false), 0);
	assert_int_equal(serve_dialer(f), 0);
}

/* Answers the message `id`; fd (moved) may be -1. */
static inline void done(struct fixture *f, uint32_t id, int result, int fd)
{
	struct dial_message m = {.id = id, .op = DIAL_DONE, .result = result};

	say(f, &m, fd >= 0 ? &fd : NULL);
}

static inline int tcp_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* A socket connected to the test's listener, as the dialer makes it. */
static inline int dial_loopback(const struct fixture *f)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(f->port)};
	int fd = tcp_socket();

	connect(fd, (struct sockaddr *)&in, sizeof(in));
	return fd;
}

static inline int dial_inode(int inode, int type)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d", inode);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

/* ---- the worker ------------------------------------------------------------------------------ */

static inline const char *here(const struct fixture *f)
{
	static char text[32];

	snprintf(text, sizeof(text), "127.0.0.1:%u", (unsigned)f->port);
	return text;
}

/* Asks for one and does not read.  Its id. */
static inline uint32_t send_one(struct fixture *f, enum msg_op op, struct msg_request q)
{
	assert_int_equal(send_requests(f->w, op, &q, 1), 0);
	return f->w->id;
}

static inline uint32_t send_connect(struct fixture *f, const char *socket)
{
	return send_one(f, MSG_CONNECT, request(socket, 0, 0));
}

static inline bool answered(struct fixture *f)
{
	char byte;

	return recv(f->w->worker_fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

/* The next answer: its result. */
static inline int read_answer(struct fixture *f, enum msg_op op)
{
	struct dec d;

	receive(f->w, op, 1);
	d = dec_init(f->w->in, MSG_HEADER_SIZE);
	dec_u32(&d);
	f->id = dec_u32(&d);
	return f->w->answers[0].result;
}

static inline int refused(struct fixture *f, enum msg_op op, struct msg_request q)
{
	int r;

	send_one(f, op, q);
	r = read_answer(f, op);
	assert_true(r < 0);
	assert_int_equal(f->w->answers[0].data_size, 0);
	return r;
}

static inline void assert_peer(struct fixture *f, const char *text, const char *rule)
{
	struct dec d = dec_init(f->w->answers[0].data, f->w->answers[0].data_size);
	struct msg_peer p;

	assert_int_equal(msg_get_peer(&d, &p), 0);
	assert_int_equal(dec_end(&d), 0);
	assert_int_equal(p.text_size, strlen(text));
	assert_memory_equal(p.text, text, p.text_size);
	assert_int_equal(p.rule_size, strlen(rule));
	assert_memory_equal(p.rule, rule, p.rule_size);
}

static inline void assert_carries(struct fixture *f)
{
	int server = accept(f->listener, NULL, NULL);
	char buf[4];

	assert_true(server >= 0);
	assert_int_equal(write(f->w->fds[0], "abcd", 4), 4);
	assert_int_equal(read(server, buf, 4), 4);
	close(server);
}

#endif
