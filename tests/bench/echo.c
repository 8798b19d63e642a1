/* SPDX-License-Identifier: MIT */
/*
 * echo.c - 64-byte frames through warder_serve(), beside an epoll loop that sends back what it
 * reads.
 *
 * Both servers are children of this program; the connection of the one under test is handed in over
 * a clients channel, as `warder serve` does, and it is locked down.  The reference knows no frames,
 * no deadlines and one client: it is what the kernel allows.
 *
 *     usage: echo       BENCH_ROUNDS=15  BENCH_TIMES=20000
 */
#include "tests/bench/bench.h"

#include "common/chan.h"
#include "common/codec.h"
#include "sandbox/warder.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define FRAME      68 /* a head and 64 bytes */
#define WINDOW     128
#define ROUNDS_MAX 1001

static void minimal_echo(int sock)
{
	static char buf[65536];
	struct epoll_event ev = {.events = EPOLLIN};
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, sock, &ev);
	for (;;) {
		ssize_t n;

		epoll_wait(epoll, &ev, 1, -1);
		n = recv(sock, buf, sizeof(buf), MSG_DONTWAIT);
		if (n <= 0)
			_exit(0);
		for (ssize_t done = 0; done < n;) {
			ssize_t sent = send(sock, buf + done, (size_t)(n - done), MSG_NOSIGNAL);

			if (sent < 0)
				_exit(1);
			done += sent;
		}
	}
}

static int handle(void *ctx, const struct warder_client *client, const void *frame, size_t size,
	struct warder_reply *reply)
{
	return warder_reply(reply, frame, size);
}

static void served_echo(int channel)
{
	const struct warder_serve s = {.handle = handle};

	if (warder_lockdown() < 0)
		_exit(1);
	_exit(warder_serve_fd(&s, &channel) == 0 ? 0 : 1);
}

static pid_t child(void (*run)(int), int fd)
{
	pid_t pid = fork();

	if (pid < 0)
		err(2, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(fd);
	}
	return pid;
}

static int connect_minimal(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err(2, "socketpair");
	child(minimal_echo, pair[1]);
	close(pair[1]);
	return pair[0];
}

static int connect_served(void)
{
	const struct msg_client m = {.number = 1};
	uint8_t buf[64];
	struct enc e = enc_init(buf, sizeof(buf));
	int pair[2], mine, theirs;
	size_t size;

	if (chan_pair(&mine, &theirs) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		err(2, "socketpair");
	child(served_echo, theirs);
	close(theirs);
	msg_begin(&e, MSG_CLIENT, 1, 1);
	msg_put_client(&e, &m);
	if (msg_end(&e, &size) < 0 || chan_send(mine, buf, size, &pair[1], 1, true) < 0)
		errx(2, "cannot hand the connection in");
	return pair[0];
	/* `mine` stays open: its end would end the server. */
}

/* Sends `window` frames and takes them back, until `times` went around.  ns a frame. */
static double go_around(int sock, size_t window, size_t times)
{
	static char out[FRAME * WINDOW], in[FRAME * WINDOW];
	size_t bytes = FRAME * window;
	uint64_t began;

	for (size_t i = 0; i < window; i++) {
		memset(out + i * FRAME, 'x', FRAME);
		memcpy(out + i * FRAME, "\0\0\0\x40", 4);
	}
	began = bench_ns();
	for (size_t i = 0; i < times; i += window) {
		size_t got = 0;

		if (send(sock, out, bytes, MSG_NOSIGNAL) != (ssize_t)bytes)
			err(2, "send");
		while (got < bytes) {
			ssize_t n = recv(sock, in + got, bytes - got, 0);

			if (n <= 0)
				errx(2, "the server went away");
			got += (size_t)n;
		}
		if (memcmp(in, out, bytes) != 0)
			errx(2, "the echo is wrong");
	}
	return (double)(bench_ns() - began) / (double)times;
}

int main(void)
{
	static double minimal[2][ROUNDS_MAX], served[2][ROUNDS_MAX];
	size_t rounds = bench_count("BENCH_ROUNDS", 15), times = bench_count("BENCH_TIMES", 20000);
	int a, b;

	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	bench_one_cpu();
	a = connect_minimal();
	b = connect_served();
	go_around(a, 1, 1000);
	go_around(b, 1, 1000);
	for (size_t i = 0; i < rounds; i++) {
		minimal[0][i] = go_around(a, 1, times) / 1000;
		served[0][i] = go_around(b, 1, times) / 1000;
		minimal[1][i] = 1000 / go_around(a, WINDOW, times * 20);
		served[1][i] = 1000 / go_around(b, WINDOW, times * 20);
	}
	bench_ratio("ping-pong of 64 bytes, same CPU", bench_median(served[0], rounds), "us",
		"a minimal epoll echo", bench_median(minimal[0], rounds), 1.2);
	bench_at_least("64 bytes, window 128, same CPU", bench_median(served[1], rounds), "M/s",
		"a minimal epoll echo", bench_median(minimal[1], rounds), 0.5);
	return 0;
}
