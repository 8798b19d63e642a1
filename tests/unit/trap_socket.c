/* SPDX-License-Identifier: MIT */
/*
 * trap_socket.c - connect, bind and listen of a program that knows nothing of it: what leads out is
 * put in the place of its own socket, and what stays inside is left alone.
 */
#include "tests/unit/socket_world.h"

/* ---- what leads out -------------------------------------------------------------------------- */

/* What the record of a connection says of its other end, which this side sees as its peer. */
static const char *local_of(int accepted)
{
	static char text[40];

	snprintf(text, sizeof(text), "\"local\":\"127.0.0.1:%d\"", peer_port(accepted));
	return text;
}

static int connect_by_rule(const struct sockets *f)
{
	int one = 1, value = 0, buffer = 100000;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(value);

	MUST(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer)) == 0);
	MUST(dial_to(fd, f->port) == 0);
	MUST(peer_port(fd) == f->port);
	MUST(write(fd, "hello", 5) == 5);
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0 && value == 1);
	MUST(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, &size) == 0 && value == 2 * buffer);
	MUST(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	MUST(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
	/* A second connect, as natively. */
	MUST(dial_to(fd, f->port) == EISCONN);
	return 0;
}

static void a_socket_that_a_rule_allows_takes_the_place_of_the_workers(void **state)
{
	struct sockets f;
	char buf[8] = "";
	int fd;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, connect_by_rule), 0);
	fd = accept(f.outside, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "hello");
	assert_int_equal(
		lines_with(&f, "\"grant\"", "\"op\":\"connect\"", "\"type\":\"tcp\"",
			"\"peer\":\"127.0.0.1:", local_of(fd), "\"rule\":\"test.policy:1\"", NULL),
		1);
	close(fd);
	assert_int_equal(arrivals(f.outside), 0);
	sockets_end(&f);
}

static int connect_without_waiting(const struct sockets *f)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct pollfd p = {fd, POLLOUT, 0};
	int r = dial_to(fd, f->port);
	int error = -1;
	socklen_t size = sizeof(error);

	MUST(r == 0 || r == EINPROGRESS);
	MUST(poll(&p, 1, 10000) == 1);
	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0);
	MUST(peer_port(fd) == f->port);
	MUST(fcntl(fd, F_GETFL) & O_NONBLOCK);
	MUST(fcntl(fd, F_GETFD) == 0);
	return 0;
}

static void a_socket_that_does_not_wait_is_put_in_place_while_it_connects(void **state)
{
	struct sockets f;
	int fd;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, connect_without_waiting), 0);
	fd = accept(f.outside, NULL, NULL);
	assert_true(fd >= 0);
	assert_int_equal(lines_with(&f, "\"grant\"", local_of(fd), NULL), 1);
	close(fd);
	assert_int_equal(arrivals(f.outside), 0);
	assert_int_equal(f.last.wait, 0);
	sockets_end(&f);
}

static int connect_many_numbers(const struct sockets *f)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int second = dup(fd), third = fcntl(fd, F_DUPFD_CLOEXEC, 50);

	MUST(dial_to(second, f->port) == 0);
	MUST(peer_port(fd) == f->port && peer_port(second) == f->port);
	MUST(peer_port(third) == f->port);
	MUST(fcntl(fd, F_GETFD) == 0 && fcntl(third, F_GETFD) == FD_CLOEXEC);
	return 0;
}

static void every_number_of_the_socket_in_its_process_gets_the_new_one(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, connect_many_numbers), 0);
	assert_int_equal(arrivals(f.outside), 1);
	sockets_end(&f);
}

static int connect_watched(const struct sockets *f)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLOUT, .data.u64 = 0x1122334455667788};
	struct epoll_event got = {0};
	int r;

	MUST(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0);
	r = dial_to(fd, f->port);
	MUST(r == 0 || r == EINPROGRESS);
	MUST(epoll_wait(epoll_fd, &got, 1, 10000) == 1);
	MUST(got.data.u64 == e.data.u64 && (got.events & EPOLLOUT) && !(got.events & EPOLLHUP));
	MUST(peer_port(fd) == f->port);
	/* It is known under its number. */
	MUST(epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL) == 0);
	MUST(epoll_wait(epoll_fd, &got, 1, 0) == 0);
	return 0;
}

static void a_socket_that_is_watched_already_is_watched_afterwards(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, connect_watched), 0);
	assert_int_equal(arrivals(f.outside), 1);
	sockets_end(&f);
}

/* The dialer's listener inside, which the worker is here. */
static int connect_shared(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(f->port);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int pair[2];
	char byte;
	pid_t pid;

	MUST(bind(listener, (void *)&in, sizeof(in)) == 0 && listen(listener, 5) == 0);
	MUST(pipe(pair) == 0);
	pid = fork();
	if (pid == 0) { /* a child holds it too */
		close(pair[1]);
		byte = (char)read(pair[0], &byte, 1);
		_exit(peer_port(fd) == f->port ? 0 : 1);
	}
	MUST(dial_to(fd, f->port) == 0);
	close(pair[1]);
	MUST(waitpid(pid, &(int){0}, 0) == pid);
	MUST(accept(listener, NULL, NULL) >= 0);
	MUST(peer_port(fd) == f->port);
	return 0;
}

static void a_socket_that_another_process_holds_is_relayed(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, connect_shared), 0);
	assert_int_equal(f.asked[DIAL_RELAY], 1);
	assert_int_equal(f.asked[DIAL_TCP], 0);
	assert_int_equal(lines_with(&f, "\"grant\"", "\"op\":\"connect\"", NULL), 1);
	sockets_end(&f);
}

static int connect_refused(const struct sockets *f)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(dial_to(fd, f->port) == EHOSTUNREACH);
	return 0;
}

static void what_the_network_says_is_what_the_worker_is_told(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	f.manner = REFUSES;
	assert_int_equal(run_worker(&f, connect_refused), 0);
	assert_int_equal(lines_with(&f, "\"fail\"", "EHOSTUNREACH", NULL), 1);
	assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
	sockets_end(&f);
}

static int bind_by_rule(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(f->port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int one = 1;

	MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	MUST(bind(fd, (void *)&in, sizeof(in)) == 0);
	MUST(listen(fd, 5) == 0);
	MUST(accept(fd, NULL, NULL) >= 0);
	return 0;
}

static void *knock(void *port)
{
	struct sockaddr_in in = loopback_at(*(uint16_t *)port);

	for (int i = 0; i < 1000; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int r = connect(fd, (void *)&in, sizeof(in));

		close(fd);
		if (r == 0)
			return NULL;
		usleep(10000);
	}
	return NULL;
}

static void a_port_that_a_rule_lets_be_bound_is_the_hosts(void **state)
{
	struct sockets f;
	pthread_t thread;

	sockets_begin(&f, "allow bind 127.0.0.1:PORT\n");
	fd_close(&f.outside);
	assert_int_equal(pthread_create(&thread, NULL, knock, &f.port), 0);
	assert_int_equal(run_worker(&f, bind_by_rule), 0);
	pthread_join(thread, NULL);
	assert_int_equal(
		lines_with(&f, "\"grant\"", "\"op\":\"bind\"", "\"local\":\"127.0.0.1:", NULL), 1);
	assert_int_equal(lines_with(&f, "\"grant\"", "\"op\":\"listen\"", NULL), 1);
	sockets_end(&f);
}

static int bind_udp(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(f->port), own = {0};
	socklen_t size = sizeof(own);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	int other = socket(AF_INET, SOCK_DGRAM, 0);

	MUST(bind(fd, (void *)&in, sizeof(in)) == 0);
	MUST(getsockname(fd, (void *)&own, &size) == 0 && own.sin_port == in.sin_port);
	MUST(bind(fd, (void *)&in, sizeof(in)) < 0 && errno == EINVAL);
	MUST(bind(other, (void *)&in, sizeof(in)) < 0 && errno == EADDRINUSE);
	return 0;
}

/* The second is refused inside, and called off. */
static void a_udp_server_is_recorded_then_bound_inside_then_heard(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow bind udp 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, bind_udp), 0);
	for (int i = 0; i < 2 && f.asked[DIAL_CANCEL] == 0; i++)
		be_the_dialer(&f);
	assert_int_equal(f.asked[DIAL_UDP], 2);
	assert_int_equal(f.asked[DIAL_HEAR], 1);
	assert_int_equal(f.asked[DIAL_CANCEL], 1);
	assert_int_equal(
		lines_with(&f, "\"grant\"", "\"op\":\"bind\"", "\"local\":\"udp 127.0.0.1:", NULL),
		2);
	assert_int_equal(lines_with(&f, "\"fail\"", "\"of\":", "EADDRINUSE", NULL), 1);
	sockets_end(&f);
}

static int bind_in_vain(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(f->port), own = {0};
	socklen_t size = sizeof(own);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	MUST(bind(fd, (void *)&in, sizeof(in)) < 0 && errno == EACCES);
	MUST(getsockname(fd, (void *)&own, &size) == 0 && own.sin_port == 0);
	return 0;
}

static int bind_name_in_vain(const struct sockets *f)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int n = sprintf(un.sun_path + 1, "warder-test-%u", f->port);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);

	MUST(bind(fd, (void *)&un, size) < 0 && errno == EACCES);
	MUST(listen(fd, 1) < 0 && errno == EINVAL);
	return 0;
}

static void a_dialer_that_binds_something_else_is_ended(void **state)
{
	static const enum manner lies[] = {WRONG_PEER, INNER, LISTENS};

	for (int name = 0; name < 2; name++) {
		for (int i = 0; i < 2 + name; i++) {
			struct sockets f;

			sockets_begin(&f,
				"allow bind udp 127.0.0.1:PORT\nallow bind @warder-test-PORT\n");
			f.manner = lies[i];
			assert_int_equal(
				run_worker(&f, name ? bind_name_in_vain : bind_in_vain), 0);
			assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
			assert_int_equal(
				lines_with(&f, "\"deny\"", "what the dialer brought", NULL), 1);
			assert_true(f.w->cell.dialer_fd < 0);
			sockets_end(&f);
		}
	}
}

static int connect_abstract(const struct sockets *f)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "\0warder-test-PORT"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socklen_t size;

	size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)sprintf(un.sun_path + 1, "warder-test-%u", f->port));
	MUST(connect(fd, (void *)&un, size) == 0);
	MUST(write(fd, "hello", 5) == 5);
	return 0;
}

static void an_abstract_name_of_the_host_is_reached_by_its_rule(void **state)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockets f;
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char buf[8] = "";
	int fd, n;

	sockets_begin(&f, "allow connect @warder-test-PORT\n");
	n = sprintf(un.sun_path + 1, "warder-test-%u", f.port);
	assert_int_equal(bind(server, (void *)&un,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)),
		0);
	assert_int_equal(listen(server, 5), 0);
	assert_int_equal(run_worker(&f, connect_abstract), 0);
	fd = accept(server, NULL, NULL);
	assert_int_equal(read(fd, buf, sizeof(buf)), 5);
	close(fd);
	close(server);
	f.w->base_fds--; /* opened before the world */
	assert_int_equal(
		lines_with(&f, "\"grant\"",
			"\"type\":\"unix\",\"socket\":\"stream\",\"peer\":\"@warder-test-", NULL),
		1);
	sockets_end(&f);
}

/* ---- what stays inside ----------------------------------------------------------------------- */

static int talk_inside(const struct sockets *f)
{
	struct sockaddr_in in = loopback_at(0);
	socklen_t size = sizeof(in);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	int blocking = socket(AF_INET, SOCK_STREAM, 0);
	int quick = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int refused = socket(AF_INET, SOCK_STREAM, 0);
	int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
	int r;

	MUST(bind(server, (void *)&in, sizeof(in)) == 0);
	MUST(listen(server, 5) == 0);
	MUST(getsockname(server, (void *)&in, &size) == 0);
	MUST(dial_to(blocking, ntohs(in.sin_port)) == 0);
	MUST(!(fcntl(blocking, F_GETFL) & O_NONBLOCK));
	MUST(dial_to(blocking, ntohs(in.sin_port)) == EISCONN);
	/* One that does not wait is told of its end by the next call. */
	r = dial_to(quick, ntohs(in.sin_port));
	MUST(r == 0 || (r == EINPROGRESS && dial_to(quick, ntohs(in.sin_port)) == 0));
	MUST(dial_to(quick, ntohs(in.sin_port)) == EISCONN);
	MUST(accept(server, NULL, NULL) >= 0);
	MUST(dial_to(refused, 1) == ECONNREFUSED);
	MUST(dial_to(refused, 1) == ECONNREFUSED);
	MUST(dial_to(refused, ntohs(in.sin_port)) == 0);
	MUST(accept(server, NULL, NULL) >= 0);
	MUST(dial_to(datagrams, 53) == 0);
	in.sin_family = AF_UNSPEC;
	MUST(connect(datagrams, (void *)&in, sizeof(in)) == 0);
	MUST(peer_port(datagrams) == -1);
	return 0;
}

static void loopback_is_the_workers_own_and_goes_into_no_book(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	assert_int_equal(run_worker(&f, talk_inside), 0);
	/* But for the two where nobody listened: what was meant may be outside. */
	assert_int_equal(lines_with(&f, "\"op\"", NULL), 2);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"peer\":\"127.0.0.1:1\"", NULL), 2);
	assert_int_equal(f.asked[DIAL_TCP], 0);
	sockets_end(&f);
}

static char own_path[108];

/* A name of 108 bytes, which leaves no room for a NUL. */
static int talk_by_the_longest_name(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char name[sizeof(un.sun_path) + 1] = "";
	struct stat st;

	memset(name, 'n', sizeof(un.sun_path));
	memcpy(un.sun_path, name, sizeof(un.sun_path));
	MUST(bind(server, (void *)&un, sizeof(un)) == 0 && listen(server, 5) == 0);
	MUST(stat(name, &st) == 0 && S_ISSOCK(st.st_mode));
	MUST(connect(fd, (void *)&un, sizeof(un)) == 0);
	MUST(accept(server, NULL, NULL) >= 0);
	return 0;
}

static int talk_by_path(const struct sockets *f)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), again = socket(AF_UNIX, SOCK_STREAM, 0);
	struct stat st;

	umask(0027);
	MUST(chdir(f->w->dir) == 0);
	strcpy(un.sun_path, "s");
	MUST(bind(server, (void *)&un, sizeof(un)) == 0);
	MUST(stat(own_path, &st) == 0 && (st.st_mode & 07777) == 0750);
	MUST(listen(server, 5) == 0);
	MUST(bind(again, (void *)&un, sizeof(un)) < 0 && errno == EADDRINUSE);
	strcpy(un.sun_path, own_path);
	MUST(connect(fd, (void *)&un, sizeof(un)) == 0);
	MUST(accept(server, NULL, NULL) >= 0);
	MUST(talk_by_the_longest_name() == 0);
	/* Names of the cell's own network. */
	un.sun_path[0] = '\0';
	strcpy(un.sun_path + 1, "inside");
	server = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	MUST(bind(server, (void *)&un, 10) == 0 && listen(server, 5) == 0);
	MUST(connect(fd, (void *)&un, 10) == 0);
	return 0;
}

static void sockets_in_the_workers_own_places_are_its_own(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	snprintf(own_path, sizeof(own_path), "%s/s", f.w->dir);
	assert_int_equal(run_worker(&f, talk_by_path), 0);
	assert_int_equal(lines_with(&f, "\"op\"", NULL), 0);
	sockets_end(&f);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static int ask_for_others(const struct sockets *f)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), datagrams = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, "93.184.215.14", &in.sin_addr);
	MUST(connect(fd, (void *)&in, sizeof(in)) < 0 && errno == EACCES);
	MUST(connect(datagrams, (void *)&in, sizeof(in)) < 0 && errno == EACCES);
	MUST(bind(fd, (void *)&in, sizeof(in)) < 0 && errno == EADDRNOTAVAIL);
	/* A deny wins over the inside. */
	MUST(dial_to(fd, 7) == EACCES);
	return 0;
}

static void what_no_rule_allows_is_refused_and_recorded(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\ndeny connect 127.0.0.1:7\n");
	assert_int_equal(run_worker(&f, ask_for_others), 0);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"op\":\"connect\"", "\"type\":\"tcp\"",
				 "\"peer\":\"93.184.215.14:443\"", "EACCES", NULL),
		1);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"type\":\"udp\"", NULL), 1);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"op\":\"bind\"", "EADDRNOTAVAIL", NULL), 1);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"rule\":\"test.policy:2\"", NULL), 1);
	/* For the summary: in the words of a policy. */
	assert_string_equal(f.w->result.denials[0].path, "93.184.215.14:443");
	assert_int_equal(f.w->result.denials[0].rights, RIGHT_CONNECT);
	sockets_end(&f);
}

static int ask_a_liar(const struct sockets *f)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(dial_to(fd, f->port) == EACCES);
	MUST(peer_port(fd) == -1);
	/* And it is gone. */
	MUST(dial_to(fd, f->port) == ENETDOWN);
	/* The rest of the session lives on. */
	MUST(dial_to(fd, 1) == ECONNREFUSED);
	return 0;
}

static void a_dialer_that_brings_something_else_is_ended_and_nothing_handed_over(void **state)
{
	static const enum manner lies[] = {WRONG_PEER, LISTENS, INNER};

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		struct sockets f;

		sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
		f.manner = lies[i];
		assert_int_equal(run_worker(&f, ask_a_liar), 0);
		assert_int_equal(lines_with(&f, "\"deny\"", "not what was asked", NULL), 1);
		assert_int_equal(lines_with(&f, "\"grant\"", NULL), 0);
		sockets_end(&f);
	}
}

static int ask_the_dying(const struct sockets *f)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	MUST(dial_to(fd, f->port) == ECONNABORTED);
	MUST(dial_to(fd, f->port) == ENETDOWN);
	MUST(dial_to(fd, 1) == ECONNREFUSED);
	return 0;
}

static void a_dialer_that_dies_takes_only_what_needs_it(void **state)
{
	struct sockets f;

	sockets_begin(&f, "allow connect 127.0.0.1:PORT\n");
	f.manner = DIES;
	assert_int_equal(run_worker(&f, ask_the_dying), 0);
	assert_int_equal(lines_with(&f, "\"deny\"", "the dialer has ended", NULL), 1);
	sockets_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_that_a_rule_allows_takes_the_place_of_the_workers),
		cmocka_unit_test(a_socket_that_does_not_wait_is_put_in_place_while_it_connects),
		cmocka_unit_test(every_number_of_the_socket_in_its_process_gets_the_new_one),
		cmocka_unit_test(a_socket_that_is_watched_already_is_watched_afterwards),
		cmocka_unit_test(a_socket_that_another_process_holds_is_relayed),
		cmocka_unit_test(what_the_network_says_is_what_the_worker_is_told),
		cmocka_unit_test(a_port_that_a_rule_lets_be_bound_is_the_hosts),
		cmocka_unit_test(a_udp_server_is_recorded_then_bound_inside_then_heard),
		cmocka_unit_test(a_dialer_that_binds_something_else_is_ended),
		cmocka_unit_test(an_abstract_name_of_the_host_is_reached_by_its_rule),
		cmocka_unit_test(loopback_is_the_workers_own_and_goes_into_no_book),
		cmocka_unit_test(sockets_in_the_workers_own_places_are_its_own),
		cmocka_unit_test(what_no_rule_allows_is_refused_and_recorded),
		cmocka_unit_test(
			a_dialer_that_brings_something_else_is_ended_and_nothing_handed_over),
		cmocka_unit_test(a_dialer_that_dies_takes_only_what_needs_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
