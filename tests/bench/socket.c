/* SPDX-License-Identifier: MIT */
/*
 * socket.c - what a connection through the ask door costs, what it carries, and whether ten
 * thousand of them leave anything behind.
 *
 * The reference of one connection is a broker that does the least there is to do, in one process:
 * receive a path, connect, answer with SCM_RIGHTS.  Beside it stands one that has a third process
 * connect, and does no more than that needs either.  The reference of what is carried is a socket
 * that this program has connected itself.  This program is its own worker, inside the cell and out.
 *
 *     usage: socket WARDER       BENCH_ROUNDS=31  BENCH_TIMES=1000  BENCH_HELD=10000
 *
 *     k  one connect to a Unix socket and close
 *     c  a plain socket(2), connect(2) and close(2) to the same: outside alone
 *     s  MiB carried over TCP, ns each
 *     h  holds so many TCP connections; answers how many
 *     z  lets them go
 */
#include "sandbox/warder.h"
#include "tests/bench/cell.h"
#include "tests/bench/minimal.h"
#include "tests/e2e/processes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

#define CARRIED  64 /* MiB a time */
#define HELD_MAX 20000

static char unix_path[64];

/* ---- servers --------------------------------------------------------------------------------- */

static int listen_unix(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", unix_path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&un, sizeof(un)) < 0 ||
		chmod(unix_path, 0777) < 0 || listen(fd, 4096) < 0)
		err(2, "%s", unix_path);
	return fd;
}

static int listen_tcp(unsigned *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&in, sizeof(in)) < 0 ||
		listen(fd, 4096) < 0 || getsockname(fd, (struct sockaddr *)&in, &size) < 0)
		err(2, "listen");
	*ret_port = ntohs(in.sin_port);
	return fd;
}

/* Takes connections in: each is read to its end, or held with all the others. */
static void serve(int fd, bool hold)
{
	static char waste[1 << 18];
	pid_t pid = fork();

	if (pid < 0)
		err(2, "fork");
	if (pid > 0) {
		close(fd);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int client = accept(fd, NULL, NULL);

		while (!hold && read(client, waste, sizeof(waste)) > 0)
			;
		if (!hold)
			close(client);
	}
}

/* ---- the reference --------------------------------------------------------------------------- */

static int connect_unix(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof(un)) < 0)
		err(2, "%s", path);
	return fd;
}

static int connect_tcp(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_port = htons((uint16_t)atoi(strrchr(text, ':') + 1));
	if (fd < 0 || connect(fd, (const struct sockaddr *)&in, sizeof(in)) < 0)
		err(2, "%s", text);
	return fd;
}

/* What comes on a minimal broker's socket, or a minimal dialer's; -1: nothing more does. */
static int take(int sock)
{
	int answer, fd = -1;
	struct iovec iov = {.iov_base = &answer, .iov_len = sizeof(answer)};
	union minimal_control control;
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) < 0)
		err(2, "minimal broker");
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static int minimal_connect(int sock, const char *path)
{
	if (send(sock, path, strlen(path) + 1, 0) < 0)
		err(2, "minimal broker");
	return take(sock);
}

/* The least that a dialer can do: an inode in, a socket that is connected to it out. */
static int start_minimal_dialer(void)
{
	char path[32];
	int pair[2], inode;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0 || (pid = fork()) < 0)
		err(2, "minimal dialer");
	if (pid > 0) {
		close(pair[1]);
		return pair[0];
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(pair[0]);
	while ((inode = take(pair[1])) >= 0) {
		int fd;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", inode);
		fd = connect_unix(path);
		close(inode);
		minimal_answer(pair[1], fd);
		close(fd);
	}
	_exit(0);
}

static int minimal_dialer;

static int connect_by_dialer(const char *path)
{
	int inode = open(path, O_PATH | O_CLOEXEC);

	minimal_answer(minimal_dialer, inode);
	close(inode);
	return take(minimal_dialer);
}

/* ---- the worker ------------------------------------------------------------------------------ */

struct bench_worker {
	struct warder *broker; /* NULL: outside */
	int minimal_fd;
	const char *path, *sink, *holder;
	size_t times, held;
	int fds[HELD_MAX];
};

static double connects(struct bench_worker *w, bool plain)
{
	uint64_t begin = bench_ns();

	for (size_t i = 0; i < w->times; i++) {
		int fd = plain       ? connect_unix(w->path)
			 : w->broker ? warder_connect(w->broker, w->path, 0, 0, NULL)
				     : minimal_connect(w->minimal_fd, w->path);

		if (fd < 0)
			err(2, "connect %s", w->path);
		close(fd);
	}
	return (double)(bench_ns() - begin) / (double)w->times;
}

static int connect_outer(struct bench_worker *w, const char *text)
{
	int fd = w->broker ? warder_connect(w->broker, text, 0, 0, NULL) : connect_tcp(text);

	if (fd < 0)
		err(2, "connect %s", text);
	return fd;
}

static double carry(struct bench_worker *w)
{
	static char block[1 << 18];
	int fd = connect_outer(w, w->sink);
	uint64_t begin = bench_ns();

	for (size_t i = 0; i < CARRIED * 4; i++) {
		for (size_t at = 0; at < sizeof(block);) {
			ssize_t n = write(fd, block + at, sizeof(block) - at);

			if (n < 0)
				err(2, "write");
			at += (size_t)n;
		}
	}
	shutdown(fd, SHUT_WR);
	/* Until the other end has read it all. */
	if (read(fd, block, 1) != 0)
		errx(2, "the sink spoke");
	close(fd);
	return (double)(bench_ns() - begin) / CARRIED;
}

static double hold(struct bench_worker *w, size_t n)
{
	if (n > HELD_MAX)
		n = HELD_MAX;
	for (; w->held < n; w->held++)
		w->fds[w->held] = connect_outer(w, w->holder);
	return (double)w->held;
}

static double let_go(struct bench_worker *w)
{
	while (w->held > 0)
		close(w->fds[--w->held]);
	return 0;
}

/* WARDER_FD, or the minimal broker's descriptor in argv. */
static int worker_main(char **argv)
{
	static struct bench_worker w;
	char command;

	w.path = argv[0];
	w.sink = argv[1];
	w.holder = argv[2];
	w.minimal_fd = argv[3] ? atoi(argv[3]) : -1;
	w.times = bench_count("BENCH_TIMES", 1000);
	if (getenv("WARDER_FD") && !(w.broker = warder_attach()))
		err(2, "warder_attach");
	while (read(STDIN_FILENO, &command, 1) == 1) {
		double v = command == 'k'   ? connects(&w, false)
			   : command == 'c' ? connects(&w, true)
			   : command == 's' ? carry(&w)
			   : command == 'h' ? hold(&w, bench_count("BENCH_HELD", 10000))
					    : let_go(&w);

		if (write(STDOUT_FILENO, &v, sizeof(v)) != (ssize_t)sizeof(v))
			err(2, "answer");
	}
	return 0;
}

/* ---- figures --------------------------------------------------------------------------------- */

static size_t rounds;

static void turns(const struct worker *a, char a_command, const struct worker *b, char b_command,
	double *ret_a, double *ret_b)
{
	static double x[ROUNDS_MAX], y[ROUNDS_MAX];

	ask(a, a_command);
	ask(b, b_command);
	for (size_t i = 0; i < rounds; i++) {
		x[i] = ask(a, a_command);
		y[i] = ask(b, b_command);
	}
	*ret_a = bench_median(x, rounds);
	*ret_b = bench_median(y, rounds);
}

/* Descriptors of a process and of its dialer; negative where its table may not be read. */
static int count_all_fds(pid_t pid)
{
	pid_t dialer;
	int n = count_fds_of(pid);

	return n > 0 && processes_of(pid, 1, is_dialer, &dialer, 1) == 1 ? n + count_fds_of(dialer)
									 : n;
}

/* The same once the last connection's are closed: its answer may be here before they are. */
static int count_at_rest(pid_t pid, int before)
{
	int n = count_all_fds(pid);

	for (int i = 0; i < 1000 && n > before; i++) {
		usleep(1000);
		n = count_all_fds(pid);
	}
	return n;
}

static void held(const struct worker *in)
{
	int before, most, after;
	double n;

	ask(in, 's');
	before = count_all_fds(in->pid);
	if (before < 0) {
		puts("held connections: not measured, /proc of the broker may be read by root "
		     "alone");
		return;
	}
	n = ask(in, 'h');
	most = count_at_rest(in->pid, before);
	ask(in, 'z');
	after = count_at_rest(in->pid, before);
	printf("%.0f TCP connections handed over and held: descriptors of broker and dialer %d "
	       "before, "
	       "%d while held, %d after\n",
		n, before, most, after);
	bench_limit("descriptors left behind by connections", most - before, "", 0);
}

/* `three`: outside, beside the broker that has a third process connect. */
static void measure(
	const struct worker *in, const struct worker *out, const struct worker *three, bool pinned)
{
	double a, b;

	turns(in, 'k', out, 'k', &a, &b);
	if (pinned)
		bench_ratio("ask door, one Unix connect", a / 1e3, "us", "minimal SEQPACKET broker",
			b / 1e3, 1.3);
	else
		bench_note("ask door, one Unix connect, not pinned", a / 1e3, "us",
			"minimal SEQPACKET broker", b / 1e3);
	turns(in, 'k', three, 'k', &a, &b);
	bench_note(pinned ? "ask door, one Unix connect" : "the same, not pinned", a / 1e3, "us",
		"minimal broker with a dialer", b / 1e3);
	b = ask(out, 'c');
	bench_note(pinned ? "ask door, one Unix connect" : "the same, not pinned", a / 1e3, "us",
		"bare socket+connect+close", b / 1e3);
	if (pinned)
		return;
	turns(in, 's', out, 's', &a, &b);
	bench_at_least("carried over a TCP socket handed over", 1e9 / a, "MB/s", "one of its own",
		1e9 / b, 0.95);
	held(in);
}

static void raise_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

static void phase(char *warder, const char *self, const char *sink, const char *holder, bool pinned)
{
	char unix_rule[96], sink_rule[64], holder_rule[64], number[16];
	const char *inside[] = {warder, "run", "-q", "--env", "BENCH_TIMES", "--env", "BENCH_HELD",
		"--runtime", self, "-e", unix_rule, "-e", sink_rule, "-e", holder_rule, "--ledger",
		ledger, "--", self, "--worker", unix_path, sink, holder, NULL};
	const char *outside[] = {self, "--worker", unix_path, sink, holder, number, NULL};
	int minimal = minimal_start(connect_unix), with_dialer;
	struct worker in, out, three;

	snprintf(unix_rule, sizeof(unix_rule), "allow connect %s", unix_path);
	snprintf(sink_rule, sizeof(sink_rule), "allow connect %s", sink);
	snprintf(holder_rule, sizeof(holder_rule), "allow connect %s", holder);
	snprintf(number, sizeof(number), "%d", minimal);
	/* Before any worker: they would hold its pipes. */
	minimal_dialer = start_minimal_dialer();
	with_dialer = minimal_start(connect_by_dialer);
	out = start(outside, minimal);
	snprintf(number, sizeof(number), "%d", with_dialer);
	three = start(outside, with_dialer);
	in = start(inside, -1);
	close(minimal);
	close(with_dialer);
	close(minimal_dialer);
	measure(&in, &out, &three, pinned);
	stop(&in);
	stop(&out);
	stop(&three);
}

int main(int argc, char **argv)
{
	char self[PATH_MAX], sink[32], holder[32];
	unsigned sink_port, holder_port;
	cpu_set_t all;
	int fds[3];

	if (argc > 4 && strcmp(argv[1], "--worker") == 0)
		return worker_main(argv + 2);
	if (argc != 2 || !realpath(argv[0], self))
		errx(2, "usage: socket WARDER");
	rounds = bench_rounds();
	signal(SIGPIPE, SIG_IGN);
	raise_files();
	sched_getaffinity(0, sizeof(all), &all);
	make_files();
	atexit(remove_files);
	snprintf(unix_path, sizeof(unix_path), "%s/server", dir);
	fds[0] = listen_unix();
	fds[1] = listen_tcp(&sink_port);
	fds[2] = listen_tcp(&holder_port);
	snprintf(sink, sizeof(sink), "127.0.0.1:%u", sink_port);
	snprintf(holder, sizeof(holder), "127.0.0.1:%u", holder_port);
	bench_one_cpu();
	serve(fds[0], false);
	sched_setaffinity(0, sizeof(all), &all);
	serve(fds[1], false);
	serve(fds[2], true);
	bench_one_cpu();
	phase(argv[1], self, sink, holder, true);
	sched_setaffinity(0, sizeof(all), &all);
	phase(argv[1], self, sink, holder, false);
	return 0;
}
