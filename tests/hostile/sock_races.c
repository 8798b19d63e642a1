/* SPDX-License-Identifier: MIT */
/*
 * sock_races.c - a worker that tries to reach by its sockets what no rule allows: by changing what
 * was looked at, by what is left of a socket, and by what no address is.
 *
 * The same attacks run against a supervisor that looks and lets the kernel go on, where they work.
 * RUN_ALONE: the racers need both processors.
 */
#include "tests/unit/socket_world.h"

#include <stdlib.h>
#include <sys/mman.h>

/* RACE_CONNECTS=1000000, which `make check-races` tries, takes some minutes. */
static int tries(void)
{
	const char *text = getenv("RACE_CONNECTS");

	return text ? atoi(text) : 20000;
}

/* ---- what was looked at changes -------------------------------------------------------------- */

static struct sockaddr_in shared;
static volatile bool over;
static uint16_t good_port, bad_port;

static void *flip_ports(void *unused)
{
	volatile in_port_t *port = &shared.sin_port;

	while (!over) {
		*port = htons(good_port);
		for (volatile int i = 0; i < 50; i++)
			;
		*port = htons(bad_port);
		for (volatile int i = 0; i < 50; i++)
			;
	}
	return NULL;
}

/* Inside, both ports have a listener; the rules deny one of them. */
static int swap_the_address(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(0);
	socklen_t size = sizeof(in);
	pthread_t thread;
	int good = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int bad = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	unsigned hits = 0, allowed = 0;

	MUST(bind(good, (void *)&in, sizeof(in)) == 0 && listen(good, 4000) == 0);
	getsockname(good, (void *)&in, &size);
	good_port = ntohs(in.sin_port);
	in = loopback_at(7);
	/* A port below 1024 is this user's own here: it has the namespace. */
	MUST(bind(bad, (void *)&in, sizeof(in)) == 0 && listen(bad, 4000) == 0);
	bad_port = 7;
	shared = loopback_at(good_port);
	over = false;
	MUST(pthread_create(&thread, NULL, flip_ports, NULL) == 0);
	for (int i = tries(); i > 0; i--) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		int other;

		connect(fd, (void *)&shared, sizeof(shared));
		while ((other = accept(good, NULL, NULL)) >= 0) {
			allowed++;
			close(other);
		}
		while ((other = accept(bad, NULL, NULL)) >= 0) {
			hits++;
			close(other);
		}
		close(fd);
	}
	over = true;
	pthread_join(thread, NULL);
	MUST(allowed > 0);
	return hits == 0 ? 0 : 255;
}

static void an_address_that_changes_while_it_is_looked_at_leads_nowhere_else(void **state)
{
	struct sockets f;

	sockets_begin(&f, "deny connect 127.0.0.1:7\n");
	assert_int_equal(run_worker(&f, swap_the_address), 0);
	/* It was seen both ways. */
	assert_true(lines_with(&f, "\"deny\"", "127.0.0.1:7", NULL) > 0);
	f.goes_on = true;
	assert_int_not_equal(run_worker(&f, swap_the_address), 0);
	sockets_end(&f);
}

static int flipped = -1, inner_fd, outer_fd;

static void *flip_descriptors(void *unused)
{
	while (!over) {
		dup2(inner_fd, flipped);
		dup2(outer_fd, flipped);
	}
	return NULL;
}

/*
 * `outer_fd` is a socket of the host's network that is not connected any more, as is left of one
 * whose connect failed.  What is looked at is the inner one, which may go to its loopback.
 */
static int swap_the_descriptor(const struct sockets *f)
{
	pthread_t thread;

	inner_fd = socket(AF_INET, SOCK_STREAM, 0);
	flipped = dup(inner_fd);
	over = false;
	MUST(pthread_create(&thread, NULL, flip_descriptors, NULL) == 0);
	for (int i = tries(); i > 0; i--)
		dial_to(flipped, f->other_port);
	over = true;
	pthread_join(thread, NULL);
	return 0;
}

static void a_descriptor_that_changes_while_it_is_looked_at_leads_nowhere_else(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	outer_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(run_worker(&f, swap_the_descriptor), 0);
	assert_int_equal(arrivals(f.elsewhere), 0);
	/* None of what was signed for leads out of the cell, and the outer socket was met. */
	assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
	assert_true(lines_with(&f, "\"deny\"", NULL) > 0);
	f.goes_on = true;
	assert_int_equal(run_worker(&f, swap_the_descriptor), 0);
	assert_true(arrivals(f.elsewhere) > 0);
	fd_close(&outer_fd);
	sockets_end(&f);
}

/* ---- what is left of an outer socket --------------------------------------------------------- */

static int use_what_is_left(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(f->other_port);
	struct sockaddr any = {.sa_family = AF_UNSPEC};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(dial_to(fd, f->port) == 0);
	/* Dissolved, it could go anywhere. */
	MUST(connect(fd, &any, sizeof(any)) < 0 && errno == EACCES);
	MUST(connect(fd, (void *)&in, sizeof(in)) < 0 && errno == EISCONN);
	MUST(listen(fd, 5) < 0 && errno == EINVAL);
	in.sin_port = 0;
	MUST(bind(fd, (void *)&in, sizeof(in)) < 0 && errno == EINVAL);
	/* One that never was connected, or failed. */
	MUST(listen(outer_fd, 5) < 0 && errno == EACCES);
	MUST(bind(outer_fd, (void *)&in, sizeof(in)) < 0 && errno == EINVAL);
	MUST(dial_to(outer_fd, f->other_port) == EACCES);
	return 0;
}

static int use_without_defence(const struct sockets *f)
{
	MUST(listen(outer_fd, 5) == 0);
	return 0;
}

static void an_outer_socket_is_what_it_was_recorded_as_and_nothing_else(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	outer_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(run_worker(&f, use_what_is_left), 0);
	assert_int_equal(arrivals(f.outside), 1);
	assert_int_equal(arrivals(f.elsewhere), 0);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"op\":\"listen\"", NULL), 1);
	f.goes_on = true;
	assert_int_equal(run_worker(&f, use_without_defence), 0);
	fd_close(&outer_fd);
	sockets_end(&f);
}

/* ---- what is no address ---------------------------------------------------------------------- */

static int say_nonsense(const struct sockets *f)
{
	struct sockaddr_storage a = {.ss_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_storage longer = {0};
	int fd = socket(AF_INET, SOCK_STREAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0);
	long page = sysconf(_SC_PAGESIZE);
	char *end = mmap(
		NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(munmap(end + page, (size_t)page) == 0);
	for (int size = 0; size < 16; size++)
		MUST(connect(fd, (void *)&a, (socklen_t)size) < 0 && errno == EINVAL);
	MUST(connect(fd, (void *)&a, 129) < 0 && errno == EINVAL);
	MUST(connect(fd, (void *)&a, (socklen_t)-1) < 0 && errno == EINVAL);
	MUST(connect(fd, (void *)(end + page - 8), 16) < 0 && errno == EFAULT);
	MUST(connect(fd, NULL, 16) < 0 && errno == EFAULT);
	MUST(connect(-1, (void *)&a, 16) < 0 && errno == EBADF);
	MUST(connect(1000, (void *)&a, 16) < 0 && errno == EBADF);
	MUST(connect(open("/", O_RDONLY), (void *)&a, 16) < 0 && errno == ENOTSOCK);
	MUST(listen(-1, 1) < 0 && errno == EBADF);
	a.ss_family = 77;
	MUST(connect(fd, (void *)&a, 16) < 0 && errno == EAFNOSUPPORT);
	MUST(bind(fd, (void *)&a, 16) < 0 && errno == EAFNOSUPPORT);
	/* A path that fills it has no NUL, and one byte more is no path. */
	memset(un.sun_path, 'x', sizeof(un.sun_path));
	MUST(connect(local, (void *)&un, sizeof(un)) < 0 && errno == ENOENT);
	memcpy(&longer, &un, sizeof(un));
	longer.ss_family = AF_UNIX;
	MUST(connect(local, (void *)&longer, sizeof(un) + 1) < 0 && errno == EINVAL);
	MUST(connect(local, (void *)&un, 2) < 0 && errno == EINVAL);
	MUST(bind(local, (void *)&un, 111) < 0 && errno == EINVAL);
	/* Autobind: a name of the kernel's choice, inside. */
	MUST(bind(local, (void *)&un, 2) == 0);
	return 0;
}

static void what_is_no_address_is_refused_as_the_kernel_would(void **state)
{
	struct sockets f;
	int status;
	pid_t pid;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	/* The control: without a cell the kernel says the same. */
	pid = fork();
	if (pid == 0)
		_exit(say_nonsense(&f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(run_worker(&f, say_nonsense), 0);
	assert_int_equal(f.asked[DIAL_TCP], 0);
	assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
	sockets_end(&f);
}

/* ---- nobody is stalled ----------------------------------------------------------------------- */

static void *connect_into_nothing(void *arg)
{
	const struct sockets *f = arg;

	dial_to(socket(AF_INET, SOCK_STREAM, 0), f->port);
	return NULL;
}

static int go_on_beside(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(0);
	socklen_t size = sizeof(in);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, connect_into_nothing, (void *)f) == 0);
	usleep(100000); /* long enough to be asked first, mostly */
	MUST(bind(server, (void *)&in, sizeof(in)) == 0 && listen(server, 5) == 0);
	getsockname(server, (void *)&in, &size);
	for (int i = 0; i < 100; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		MUST(dial_to(fd, ntohs(in.sin_port)) == 0);
		close(fd);
		close(accept(server, NULL, NULL));
	}
	/* Ends with the first still waiting: nobody waits for it, and the dialer is told. */
	return 0;
}

static void a_connection_that_never_comes_about_delays_no_other(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	f.manner = BLACK_HOLE;
	assert_int_equal(run_worker(&f, go_on_beside), 0);
	assert_int_equal(f.asked[DIAL_TCP], 1);
	assert_int_equal(dial_waiting(f.w->s.dial), 0);
	assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
	assert_int_equal(lines_with(&f, "\"deny\"", NULL), 0);
	sockets_end(&f);
}

static void *accept_later(void *arg)
{
	usleep(200000);
	for (int i = 0; i < 3; i++)
		close(accept(*(int *)arg, NULL, NULL));
	return NULL;
}

static int fill_the_backlog(const struct sockets *f)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0full"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), waits;
	pthread_t thread;

	MUST(bind(server, (void *)&un, 7) == 0 && listen(server, 0) == 0);
	MUST(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&un, 7) == 0);
	/* Full: one that would wait is told so, one that waits is served in the end. */
	MUST(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (void *)&un, 7) < 0 &&
		errno == EAGAIN);
	MUST(pthread_create(&thread, NULL, accept_later, &server) == 0);
	waits = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(connect(waits, (void *)&un, 7) == 0);
	MUST(!(fcntl(waits, F_GETFL) & O_NONBLOCK));
	return 0;
}

static void a_full_backlog_makes_its_caller_wait_and_nobody_else(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, fill_the_backlog), 0);
	assert_int_equal(inside_waiting(f.w->s.socket_waits), 0);
	assert_int_equal(lines_with(&f, "\"deny\"", NULL), 0);
	sockets_end(&f);
}

static void *wait_for_ever(void *arg)
{
	const struct sockaddr_un *un = arg;

	connect(socket(AF_UNIX, SOCK_STREAM, 0), (const void *)un, 7);
	return NULL;
}

static int wait_too_often(const struct sockets *f)
{
	static struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0full"};
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	int refused = 0;
	pthread_t thread;

	MUST(bind(server, (void *)&un, 7) == 0 && listen(server, 0) == 0);
	MUST(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&un, 7) == 0);
	for (int i = 0; i < INSIDE_MAX; i++)
		MUST(pthread_create(&thread, NULL, wait_for_ever, &un) == 0);
	for (int i = 0; i < 1000 && !refused; i++) {
		/* Each is answered at once: the table is full, or one that waits was not there yet.
		 */
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

		MUST(connect(fd, (void *)&un, 7) < 0 && errno == EAGAIN);
		close(fd);
		usleep(1000);
		refused = i > 300;
	}
	MUST(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&un, 7) < 0 && errno == EAGAIN);
	return 0;
}

static void one_more_than_may_wait_is_refused(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, wait_too_often), 0);
	assert_int_equal(lines_with(&f, "\"deny\"", "too many connections wait already", NULL), 1);
	sockets_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_that_changes_while_it_is_looked_at_leads_nowhere_else),
		cmocka_unit_test(
			a_descriptor_that_changes_while_it_is_looked_at_leads_nowhere_else),
		cmocka_unit_test(an_outer_socket_is_what_it_was_recorded_as_and_nothing_else),
		cmocka_unit_test(what_is_no_address_is_refused_as_the_kernel_would),
		cmocka_unit_test(a_connection_that_never_comes_about_delays_no_other),
		cmocka_unit_test(a_full_backlog_makes_its_caller_wait_and_nobody_else),
		cmocka_unit_test(one_more_than_may_wait_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
