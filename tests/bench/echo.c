/* SPDX-License-Identifier: MIT */
/*
 * echo.c - 64-byte frames through warder_serve(), beside an epoll loop that sends back what it
 * reads.
 *
 * The worker under test is this program again, started by `warder serve` in a whole cell and locked
 * down; without WARDER it is a child to which the connection is handed as the broker would.  The
 * reference knows no frames, no deadlines and one client: it is what the kernel allows.
 *
 *     usage: echo [WARDER]       BENCH_ROUNDS=15  BENCH_TIMES=20000
 */
#include "tests/bench/bench.h"

#include "common/chan.h"
#include "common/codec.h"
#include "sandbox/warder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FRAME  68 /* a head and 64 bytes */
#define WINDOW 128

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

static char dir[] = "/tmp/warder-echo.XXXXXX";

static void remove_dir(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static pid_t serve(char *warder, int status_fd)
{
	char self[PATH_MAX] = "", where[PATH_MAX];
	char *argv[] = {warder, (char *)"serve", (char *)"-n", (char *)"echo",
		(char *)"--status-fd", (char *)"1", (char *)"--runtime", where, (char *)"--", self,
		(char *)"--worker", NULL};
	pid_t pid;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		err(2, "/proc/self/exe");
	memcpy(where, self, sizeof(self));
	*strrchr(where, '/') = '\0';
	pid = fork();
	if (pid == 0) {
		dup2(status_fd, 1);
		execv(warder, argv);
		_exit(127);
	}
	return pid;
}

/* Starts the service and connects to it. */
static int connect_service(char *warder, pid_t *ret_pid)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	char line[1024];
	int status[2], sock;
	ssize_t n;

	if (!mkdtemp(dir) || setenv("XDG_RUNTIME_DIR", dir, 1) < 0 ||
		setenv("XDG_STATE_HOME", dir, 1) < 0 || pipe2(status, O_CLOEXEC) < 0)
		err(2, "%s", dir);
	*ret_pid = serve(warder, status[1]);
	close(status[1]);
	n = read(status[0], line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/warder/echo.sock", dir);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!strstr(line, "\"ok\"") || connect(sock, (struct sockaddr *)&at, sizeof(at)) < 0) {
		remove_dir();
		errx(2, "%s serve did not start: %s", warder, line);
	}
	return sock;
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

static int work(void)
{
	const struct warder_serve s = {.handle = handle};
	struct warder *w = warder_attach();

	if (!w || warder_lockdown() < 0)
		return 1;
	return warder_serve(&s) < 0;
}

int main(int argc, char **argv)
{
	static double minimal[2][ROUNDS_MAX], served[2][ROUNDS_MAX];
	size_t rounds = bench_count("BENCH_ROUNDS", 15), times = bench_count("BENCH_TIMES", 20000);
	pid_t service = 0;
	int a, b;

	if (argc > 1 && strcmp(argv[1], "--worker") == 0)
		return work();
	if (rounds > ROUNDS_MAX)
		rounds = ROUNDS_MAX;
	bench_one_cpu();
	a = connect_minimal();
	b = argc > 1 ? connect_service(argv[1], &service) : connect_served();
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
	if (service > 0) {
		kill(service, SIGTERM);
		waitpid(service, NULL, 0);
		remove_dir();
	}
	return 0;
}
