/* SPDX-License-Identifier: MIT */
/*
 * signals_wait.h - calls that wait, of a worker with one process and one thread; for signals.c.
 */
#ifndef TESTS_E2E_SIGNALS_WAIT_H
#define TESTS_E2E_SIGNALS_WAIT_H

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY  65534 /* the worker's user, where root starts it */
#define TICK_US 30000
#define WAIT_MS 60000

/* ---- the worker ------------------------------------------------------------------------------ */

static uint16_t hole_port, gate_port;
static char hole_path[PATH_MAX];

/* A result: 0 and above is good, else the name of errno. */
static void say(const char *what, long r)
{
	printf("%s: %s\n", what, r >= 0 ? "good" : strerrorname_np(errno) ?: "no errno at all");
}

static void say_number(const char *what, long n)
{
	printf("%s: %ld\n", what, n);
}

static struct sockaddr_in at_port(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_to(int s, uint16_t port)
{
	struct sockaddr_in in = at_port(port);

	return connect(s, (struct sockaddr *)&in, sizeof(in));
}

static int connect_path(int s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", hole_path);
	return connect(s, (struct sockaddr *)&un, sizeof(un));
}

static int tcp(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int stream(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* From now on the full queues are emptied. */
static void open_gate(void)
{
	int s = tcp();

	if (connect_to(s, gate_port) < 0)
		say("gate", -1);
	close(s);
}

/* The other end of the FIFO, which need not wait; kept. */
static void open_end(void)
{
	int fd;

	/* A signal that comes before the broker has taken the call in ends that in a cell too. */
	do
		fd = open("fifo", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		say("end", -1);
}

static volatile sig_atomic_t ticks;
static void (*third_tick)(void);

static void on_tick(int sig)
{
	int saved = errno;

	if (++ticks == 3 && third_tick)
		third_tick();
	errno = saved;
}

/* Calls of the handler from now on, again and again: one comes while a call waits.  SA_RESTART
 * where `third` says what the third one does, which is what the call waits for. */
static void handle(void (*third)(void))
{
	struct sigaction a = {.sa_handler = on_tick, .sa_flags = third ? SA_RESTART : 0};

	ticks = 0;
	third_tick = third;
	sigaction(SIGALRM, &a, NULL);
}

static void tick(bool on)
{
	const struct itimerval t = {{0, on ? TICK_US : 0}, {0, on ? TICK_US : 0}};

	setitimer(ITIMER_REAL, &t, NULL);
}

static void begin_ticks(void (*third)(void))
{
	handle(third);
	tick(true);
}

static void say_ticks(int at_least)
{
	tick(false);
	printf("handled: %s\n", ticks >= at_least ? "yes" : "no");
}

static int socket_error(int s)
{
	socklen_t size = sizeof(int);
	int error = -1;

	getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size);
	return error;
}

/* A descriptor of the FIFO carries what the other end is told. */
static void say_fifo(int fd)
{
	char byte = 0;
	int end = open("fifo", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	say("written", write(end, "x", 1));
	say("read", read(fd, &byte, 1));
	say_number("carried", byte);
}

static void fifo_eintr(void)
{
	begin_ticks(NULL);
	say("open", open("fifo", O_RDONLY));
	say_ticks(1);
	/* It left nobody behind who reads. */
	say("write end", open("fifo", O_WRONLY | O_NONBLOCK));
	begin_ticks(NULL);
	say("open to write", open("fifo", O_WRONLY));
	say_ticks(1);
}

static void fifo_restarted(void)
{
	int fd;

	begin_ticks(open_end);
	fd = open("fifo", O_RDONLY);
	say_ticks(3);
	say("open", fd);
	say_fifo(fd);
}

/* Goes on by itself, as a connection of a socket that does not block. */
static void connect_eintr(void)
{
	int s = tcp(), r;
	struct pollfd p = {s, POLLOUT, 0};
	struct sockaddr_in peer;
	socklen_t size = sizeof(peer);

	begin_ticks(NULL);
	say("connect", connect_to(s, hole_port));
	say_ticks(1);
	say_number("error", socket_error(s));
	say_number("not yet", poll(&p, 1, 0));
	fcntl(s, F_SETFL, O_NONBLOCK);
	say("connect while it goes on", connect_to(s, hole_port));
	open_gate();
	say_number("connected", poll(&p, 1, WAIT_MS));
	say_number("error", socket_error(s));
	say("peer", getpeername(s, (struct sockaddr *)&peer, &size));
	say_number("that one", peer.sin_port == htons(hole_port));
	r = connect_to(s, hole_port);
	say("it is connected", r);
	say("and was before", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
}

static void connect_again_after_eintr(void)
{
	int s = tcp();

	begin_ticks(NULL);
	say("connect", connect_to(s, hole_port));
	say("connect again", connect_to(s, hole_port));
	say_ticks(2);
	open_gate();
	say("and again", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
}

static void connect_restarted(void)
{
	int s = tcp();

	begin_ticks(open_gate);
	say("connect", connect_to(s, hole_port));
	say_ticks(3);
	say("connect when it is", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
}

static int restarted_fd;

/* The call is made again when the connection has come about, which nobody was told yet. */
static void open_gate_and_wait(void)
{
	struct pollfd p = {restarted_fd, POLLOUT, 0};

	open_gate();
	say_number("come about", poll(&p, 1, WAIT_MS));
}

static void connect_restarted_when_it_is(void)
{
	restarted_fd = tcp();
	begin_ticks(open_gate_and_wait);
	say("connect", connect_to(restarted_fd, hole_port));
	say_ticks(3);
	say("once more", connect_to(restarted_fd, hole_port));
	say("written", write(restarted_fd, "x", 1));
}

/* What answered EINTR may yet fail. */
static void connect_inside(void)
{
	struct sockaddr_in in = at_port(0);
	socklen_t size = sizeof(in);
	int l = tcp(), filler = tcp(), s = tcp();
	struct pollfd p = {s, POLLOUT, 0};

	say("bind", bind(l, (struct sockaddr *)&in, sizeof(in)));
	getsockname(l, (struct sockaddr *)&in, &size);
	say("listen", listen(l, 0));
	say("the queue", connect_to(filler, ntohs(in.sin_port)));
	begin_ticks(NULL);
	say("connect", connect_to(s, ntohs(in.sin_port)));
	say("connect again", connect_to(s, ntohs(in.sin_port)));
	say_ticks(2);
	close(accept(l, NULL, NULL));
	say_number("connected", poll(&p, 1, WAIT_MS));
	say_number("error", socket_error(s));
}

static void path_eintr(void)
{
	int s = stream();

	begin_ticks(NULL);
	say("connect", connect_path(s));
	say_ticks(1);
	open_gate();
	say("connect again", connect_path(s));
	say("written", write(s, "x", 1));
}

static void path_restarted(void)
{
	int s = stream();

	begin_ticks(open_gate);
	say("connect", connect_path(s));
	say_ticks(3);
	say("connect when it is", connect_path(s));
}

/* ---- SO_SNDTIMEO ----------------------------------------------------------------------------- */

static void set_patience(int s, long us)
{
	const struct timeval t = {0, us};

	say("patience", setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
}

static void patience(void)
{
	int s = tcp(), u = stream();

	set_patience(s, 50000);
	say("connect", connect_to(s, hole_port));
	say_number("error", socket_error(s));
	say("connect again", connect_to(s, hole_port));
	set_patience(u, 50000);
	say("connect to a path", connect_path(u));
	open_gate();
	set_patience(s, 0);
	say("connect without", connect_to(s, hole_port));
	say("written", write(s, "x", 1));
	say("connect to the path", connect_path(u));
}

static void patience_within(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0patience"};
	int l = stream(), filler = stream(), u = stream();

	say("bind", bind(l, (struct sockaddr *)&un, sizeof(un)));
	say("listen", listen(l, 0));
	say("the queue", connect(filler, (struct sockaddr *)&un, sizeof(un)));
	set_patience(u, 50000);
	say("connect", connect(u, (struct sockaddr *)&un, sizeof(un)));
}

/* No call is made again of who has set a time: connect(2), signal(7). */
static void patience_and_signals(void)
{
	const struct timeval t = {60, 0};
	int s = tcp();

	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	begin_ticks(open_gate);
	say("connect", connect_to(s, hole_port));
	tick(false);
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* A socket stays of its family. */
static void mapped(void)
{
	struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(gate_port)}, is;
	int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), domain = 0, on = 1;
	socklen_t size = sizeof(is), int_size = sizeof(domain);

	inet_pton(AF_INET6, "::ffff:127.0.0.1", &in.sin6_addr);
	say("connect", connect(s, (struct sockaddr *)&in, sizeof(in)));
	getsockopt(s, SOL_SOCKET, SO_DOMAIN, &domain, &int_size);
	say_number("domain", domain);
	say("name", getsockname(s, (struct sockaddr *)&is, &size));
	say_number("family", is.sin6_family);
	say_number("address", memcmp(&is.sin6_addr, &in.sin6_addr, sizeof(in.sin6_addr)));
	say("peer", getpeername(s, (struct sockaddr *)&is, &size));
	say_number("as asked", memcmp(&is, &in, sizeof(in)));
	s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	say("IPv6 alone", connect(s, (struct sockaddr *)&in, sizeof(in)));
}

#endif
