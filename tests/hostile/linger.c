/* SPDX-License-Identifier: MIT */
/*
 * linger.c - a worker that makes the broker wait in the kernel: by SO_LINGER of a socket that the
 * broker is the last to hold, or to throw away, and by taking O_NONBLOCK off a socket that the
 * broker connects.
 *
 * The same attacks run against a broker whose alarm nobody hears, where they work.  Who is to see
 * whether the broker hangs is a guard: a process that holds what it would wait for, and lets go
 * when it was not told in time that all calls were answered.
 */
#include "tests/unit/socket_world.h"

#include "common/hurry.h"

#include <sys/wait.h>

#define ENOUGH_MS 30000 /* for a broker that is not stalled, on any machine */
#define STALL_MS  1000  /* of one that is, in the control */

static int patience_ms;

struct guard {
	pid_t pid;
	int say_fd; /* closed: all was answered */
};

/* Keeps what is open now. */
static int guard_begin(struct guard *g)
{
	int pair[2];

	MUST(pipe2(pair, O_CLOEXEC) == 0);
	g->pid = fork();
	if (g->pid == 0) {
		struct pollfd p = {pair[0], 0, 0};

		close(pair[1]);
		_exit(poll(&p, 1, patience_ms) == 1 ? 0 : 1);
	}
	close(pair[0]);
	g->say_fd = pair[1];
	MUST(g->pid > 0);
	return 0;
}

static int guard_end(struct guard *g)
{
	int status;

	close(g->say_fd);
	MUST(waitpid(g->pid, &status, 0) == g->pid);
	MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}

/* A trapped call, which the broker answers by itself. */
static int ask_something(void)
{
	struct sockaddr_in in = loopback_at(0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(bind(fd, (void *)&in, sizeof(in)) == 0);
	close(fd);
	return 0;
}

/* A connection within the cell whose close waits for hours: it has more to send than its other end,
 * which the guard alone keeps, ever reads. */
static int make_lingerer(int *ret_fd, struct guard *g)
{
	const struct linger hours = {1, 30000};
	struct sockaddr_in in = loopback_at(0);
	socklen_t size = sizeof(in);
	static char waste[65536];
	int server = socket(AF_INET, SOCK_STREAM, 0), other;
	int fd, r;

	MUST(bind(server, (void *)&in, sizeof(in)) == 0 && listen(server, 1) == 0);
	getsockname(server, (void *)&in, &size);
	/* The guard is to have the other end alone. */
	other = socket(AF_INET, SOCK_STREAM, 0);
	MUST(connect(other, (void *)&in, sizeof(in)) == 0);
	r = guard_begin(g);
	close(other);
	if (r != 0)
		return r;
	fd = accept(server, NULL, NULL);
	close(server);
	MUST(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_LINGER, &hours, sizeof(hours)) == 0);
	while (send(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
		;
	*ret_fd = fd;
	return 0;
}

/* ---- the last to hold it --------------------------------------------------------------------- */

/* Its copy is the last: the caller is gone, and everybody else has closed theirs. */
static int leave_it_to_the_broker(const struct sockets *f)
{
	struct guard g;
	int fd, r = make_lingerer(&fd, &g);
	pid_t pid;

	MUST(r == 0);
	pid = fork();
	if (pid == 0) {
		close(g.say_fd);
		dial_to(fd, f->port); /* which the dialer never answers */
		_exit(1);
	}
	close(fd);
	/* Once another call is answered, that one may be waiting. */
	for (int i = 0; i < 200; i++) {
		MUST(ask_something() == 0);
		usleep(1000);
	}
	kill(pid, SIGKILL);
	MUST(waitpid(pid, &r, 0) == pid && WIFSIGNALED(r));
	for (int i = 0; i < 10; i++)
		MUST(ask_something() == 0);
	return guard_end(&g);
}

static volatile int shared_fd = -1;

static void *close_it(void *unused)
{
	unsigned seed = 1;

	for (;;) {
		int fd = shared_fd;

		if (fd < 0)
			continue;
		for (volatile int i = rand_r(&seed) % 60000; i > 0; i--)
			;
		close(fd);
		shared_fd = -1;
	}
	return NULL;
}

/* The guard ends the worker, who has the other ends, if it hears nothing for so long. */
static int guard_worker(struct guard *g)
{
	int pair[2];

	MUST(pipe2(pair, O_CLOEXEC) == 0);
	g->pid = fork();
	if (g->pid == 0) {
		struct pollfd p = {pair[0], POLLIN, 0};
		char buf[64];

		close(pair[1]);
		while (poll(&p, 1, patience_ms) == 1) {
			if (read(pair[0], buf, sizeof(buf)) <= 0)
				_exit(0);
		}
		kill(getppid(), SIGKILL);
		_exit(1);
	}
	close(pair[0]);
	g->say_fd = pair[1];
	MUST(g->pid > 0);
	return 0;
}

/* Another thread closes it at any moment of the call: while the broker looks at the table, too. */
static int close_it_meanwhile(const struct sockets *f)
{
	const struct linger hours = {1, 30000};
	struct sockaddr_in in = loopback_at(0);
	socklen_t size = sizeof(in);
	static char waste[65536];
	int server = socket(AF_INET, SOCK_STREAM, 0), other, fd;
	pthread_t thread;
	struct guard g;

	MUST(bind(server, (void *)&in, sizeof(in)) == 0 && listen(server, 1) == 0);
	getsockname(server, (void *)&in, &size);
	MUST(guard_worker(&g) == 0 && pthread_create(&thread, NULL, close_it, NULL) == 0);
	/* The control goes on until it works, which takes some thousands. */
	for (int i = patience_ms == STALL_MS ? 200000 : 3000; i > 0; i--) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		MUST(fd >= 0 && connect(fd, (void *)&in, sizeof(in)) == 0);
		other = accept(server, NULL, NULL);
		MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hours, sizeof(hours)) == 0);
		while (send(fd, waste, sizeof(waste), MSG_DONTWAIT) > 0)
			;
		MUST(write(g.say_fd, "", 1) == 1);
		shared_fd = fd;
		connect(fd, (void *)&in, sizeof(in));
		close(other); /* the thread may wait for it, as it asked to */
		while (shared_fd >= 0)
			;
	}
	return guard_end(&g);
}

/* ---- the one who throws it away -------------------------------------------------------------- */

static int send_away(int sock, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.buf = {0}};
	char byte = 0;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	MUST(sendmsg(sock, &msg, 0) == 1);
	close(fd);
	return 0;
}

/* A datagram socket that is connected anew loses what lies in it; here, a socket on its way. */
static int have_it_thrown_away(const struct sockets *f)
{
	const struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct guard g;
	int pair[2], fd, r = make_lingerer(&fd, &g);

	MUST(r == 0 && socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
	MUST(send_away(pair[1], fd) == 0);
	MUST(connect(pair[0], &none, sizeof(none)) == 0);
	MUST(ask_something() == 0);
	return guard_end(&g);
}

/* ---- O_NONBLOCK that goes -------------------------------------------------------------------- */

static int blocked_fd;

static void *take_it_off(void *unused)
{
	for (;;)
		fcntl(blocked_fd, F_SETFL, 0);
	return NULL;
}

/* Its listener is full, and the guard holds that too. */
static int take_nonblock_off(const struct sockets *f)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0full"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), status;
	struct guard g;
	pthread_t thread;
	pid_t pid;

	MUST(bind(server, (void *)&un, 7) == 0 && listen(server, 0) == 0);
	MUST(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&un, 7) == 0);
	MUST(guard_begin(&g) == 0);
	close(server);
	for (int i = 0; i < 300; i++) {
		pid = fork();
		if (pid == 0) {
			close(g.say_fd);
			blocked_fd = socket(AF_UNIX, SOCK_STREAM, 0);
			MUST(pthread_create(&thread, NULL, take_it_off, NULL) == 0);
			connect(blocked_fd, (void *)&un, 7);
			_exit(0);
		}
		for (int j = 0; j < 4; j++) {
			MUST(ask_something() == 0);
			usleep(500);
		}
		kill(pid, SIGKILL);
		MUST(waitpid(pid, &status, 0) == pid);
	}
	return guard_end(&g);
}

/* ---- each of them ---------------------------------------------------------------------------- */

static void attack(in_worker *run)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	f.manner = BLACK_HOLE;
	hurry_init();
	patience_ms = ENOUGH_MS;
	assert_int_equal(run_worker(&f, run), 0);
	assert_int_equal(dial_waiting(f.w->s.dial), 0);
	/* Nobody outside was reached: what is asked about is never answered here. */
	assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
	signal(SIGALRM, SIG_IGN);
	patience_ms = STALL_MS;
	assert_int_not_equal(run_worker(&f, run), 0);
	signal(SIGALRM, SIG_DFL);
	sockets_end(&f);
}

static void the_broker_waits_for_no_socket_that_it_is_the_last_to_hold(void **state)
{
	attack(leave_it_to_the_broker);
}

static void the_broker_waits_for_no_socket_that_is_closed_while_it_looks(void **state)
{
	attack(close_it_meanwhile);
}

static void the_broker_waits_for_no_socket_that_it_throws_away(void **state)
{
	attack(have_it_thrown_away);
}

static void the_broker_waits_for_no_connection_that_was_made_to_block(void **state)
{
	attack(take_nonblock_off);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_broker_waits_for_no_socket_that_it_is_the_last_to_hold),
		cmocka_unit_test(the_broker_waits_for_no_socket_that_is_closed_while_it_looks),
		cmocka_unit_test(the_broker_waits_for_no_socket_that_it_throws_away),
		cmocka_unit_test(the_broker_waits_for_no_connection_that_was_made_to_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
