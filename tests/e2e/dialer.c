/* SPDX-License-Identifier: MIT */
/*
 * dialer.c - the dialer's sockets, its cage and its channel, by the real binary.
 *
 * RUN_ALONE: how many descriptors are in flight is counted for a user, not for a process.
 */
#include "tests/e2e/dialer.h"

#include <sys/ioctl.h>
#include <sys/resource.h>

static bool blocks(int fd)
{
	return !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_return_code(getsockopt(fd, level, option, &value, &size), errno);
	return value;
}

/* ---- tcp, bind ------------------------------------------------------------------------------- */

static void tcp_is_connected_outside_and_handed_back_blocking(void **state)
{
	NEEDS_NETWORKS();
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), fd = -1, peer;
	struct dial_message m = tcp_to(OUTSIDE, port_of(listener));
	struct dial_message a;
	uint32_t id = ask(&m, NULL, 0);

	a = answer(&fd);
	assert_int_equal(a.id, id);
	assert_int_equal(a.op, DIAL_DONE);
	assert_int_equal(a.result, 0);
	assert_true(fd >= 0);
	assert_false(blocks(fd));
	peer = accept_one(listener);
	assert_int_equal(send(fd, "ping", 4, 0), 4);
	expect_bytes(peer, "ping");
	close(peer);
	close(fd);
	close(listener);
}

static void options_come_before_the_connect_and_reuseport_never(void **state)
{
	NEEDS_NETWORKS();
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4), fd = -1;
	struct dial_message m = tcp_to(OUTSIDE, port_of(listener));

	set_option(&m, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(&m, IPPROTO_TCP, TCP_NODELAY, 1);
	set_option(&m, IPPROTO_TCP, TCP_MAXSEG, 1000);
	set_option(&m, IPPROTO_SCTP, 1, 1); /* does not apply */
	set_option(&m, SOL_SOCKET, SO_REUSEPORT, 1);
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_true(option_of(fd, IPPROTO_TCP, TCP_MAXSEG) <= 1000);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_REUSEPORT), 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
	close(fd);
	set_option(&m, IPPROTO_IPV6, IPV6_TCLASS, 0);
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_DOMAIN), AF_INET6);
	close(fd);
	close(listener);
}

static void nobody_there_is_econnrefused(void **state)
{
	NEEDS_NETWORKS();
	int unused = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, -1), fd = -1;
	struct dial_message m = tcp_to(OUTSIDE, port_of(unused));

	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ECONNREFUSED);
	assert_int_equal(fd, -1);
	m = tcp_to("203.0.113.1", 80);
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ENETUNREACH);
	close(unused);
}

/* A listener whose queue is full drops what comes: an address that never answers. */
static int black_hole(int *ret_filler, int n)
{
	int hole = server(outer_ns, OUTSIDE6, 0, SOCK_STREAM, 0);
	struct sockaddr_storage at;
	socklen_t size = address(OUTSIDE6, port_of(hole), &at);

	for (int i = 0; i < n; i++) {
		ret_filler[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		connect(ret_filler[i], (struct sockaddr *)&at, size);
	}
	return hole;
}

static void who_answers_first_is_taken_and_who_never_does_ends_in_time(void **state)
{
	NEEDS_NETWORKS();
	int filler[3], hole = black_hole(filler, 3), fd = -1;
	int listener = server(outer_ns, OUTSIDE, 0, SOCK_STREAM, 4);
	struct dial_message m = tcp_to(OUTSIDE6, port_of(hole)), a;

	m.timeout_ms = 300;
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ETIMEDOUT);
	/* The families in turn: the third one is the second to be tried. */
	m.timeout_ms = 20000;
	m.addresses[1] = m.addresses[0];
	m.addresses[2] = dial_to(OUTSIDE, port_of(listener));
	m.n_addresses = 3;
	ask(&m, NULL, 0);
	a = answer(&fd);
	assert_int_equal(a.result, 0);
	assert_int_equal(a.which, 2);
	close(fd);
	/* Refused at once: the next is tried at once. */
	m.addresses[0] = dial_to(OUTSIDE6, 1);
	m.addresses[1] = m.addresses[2];
	m.n_addresses = 2;
	ask(&m, NULL, 0);
	a = answer(&fd);
	assert_int_equal(a.result, 0);
	assert_int_equal(a.which, 1);
	close(fd);
	fd_close_many(filler, 3);
	close(hole);
	close(listener);
}

static int tcp_state(int fd)
{
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
	return info.tcpi_state;
}

static void without_wait_the_socket_comes_while_it_connects(void **state)
{
	NEEDS_NETWORKS();
	int filler[3], hole = black_hole(filler, 3), fd = -1;
	struct dial_message m = tcp_to(OUTSIDE6, port_of(hole));

	m.wait = false;
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_false(blocks(fd));
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_ERROR), 0);
	close(fd);
	fd_close_many(filler, 3);
	close(hole);
}

static void what_is_cancelled_is_not_answered(void **state)
{
	NEEDS_NETWORKS();
	int filler[3], hole = black_hole(filler, 3), fd = -1;
	struct dial_message m = tcp_to(OUTSIDE6, port_of(hole));
	struct dial_message cancel = {.op = DIAL_CANCEL};
	struct dial_message bind = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};
	uint32_t id;

	cancel.of = ask(&m, NULL, 0);
	ask(&cancel, NULL, 0);
	id = ask(&bind, NULL, 0);
	assert_int_equal(answer(&fd).id, id);
	close(fd);
	fd_close_many(filler, 3);
	close(hole);
}

static void what_is_released_comes_as_it_is(void **state)
{
	NEEDS_NETWORKS();
	int filler[3], hole = black_hole(filler, 3), fd = -1;
	struct dial_message m = tcp_to(OUTSIDE6, port_of(hole)), a;
	struct dial_message release = {.op = DIAL_RELEASE};
	struct dial_message bind = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};
	uint32_t id;

	release.of = id = ask(&m, NULL, 0);
	ask(&release, NULL, 0);
	a = answer(&fd);
	assert_int_equal(a.id, id);
	assert_int_equal(a.result, 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_ERROR), 0);
	assert_int_equal(tcp_state(fd), TCP_SYN_SENT);
	close(fd);
	/* What has been answered is not answered again. */
	ask(&release, NULL, 0);
	id = ask(&bind, NULL, 0);
	assert_int_equal(answer(&fd).id, id);
	close(fd);
	fd_close_many(filler, 3);
	close(hole);
}

static void the_patience_of_the_socket_is_kept(void **state)
{
	NEEDS_NETWORKS();
	const struct timeval patience = {0, 50000};
	int filler[3], hole = black_hole(filler, 3), fd = -1;
	struct dial_message m = tcp_to(OUTSIDE6, port_of(hole));
	struct dial_option *o = &m.options[m.n_options++];

	*o = (struct dial_option){SOL_SOCKET, SO_SNDTIMEO, sizeof(patience), {0}};
	memcpy(o->value, &patience, sizeof(patience));
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_int_equal(tcp_state(fd), TCP_SYN_SENT);
	close(fd);
	/* The rule's own time is another thing. */
	m.timeout_ms = 20;
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ETIMEDOUT);
	fd_close_many(filler, 3);
	close(hole);
}

static void bind_gives_a_bound_socket_that_does_not_listen(void **state)
{
	NEEDS_NETWORKS();
	struct dial_message m = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};
	struct dial_message second;
	int fd = -1, again = -1;

	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_true(port_of(fd) != 0);
	assert_false(blocks(fd));
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_ACCEPTCONN), 0);
	second = m;
	second.addresses[0].port = (uint16_t)port_of(fd);
	ask(&second, NULL, 0);
	assert_int_equal(answer(&again).result, -EADDRINUSE);
	assert_int_equal(again, -1);
	close(fd);
}

/* ---- Unix ------------------------------------------------------------------------------------ */

static int unix_server(
	const char *path, int type, int backlog, struct sockaddr_un *ret, socklen_t *size)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (*path == '@') {
		memcpy(ret->sun_path + 1, path + 1, strlen(path) - 1);
		*size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	} else {
		strcpy(ret->sun_path, path);
		*size = sizeof(*ret);
		unlink(path);
	}
	assert_return_code(bind(fd, (struct sockaddr *)ret, *size), errno);
	assert_return_code(listen(fd, backlog), errno);
	return fd;
}

static struct dial_message path_message(int *fds, int own)
{
	fds[0] = dup(own);
	fds[1] = open("peer.sock", O_PATH | O_CLOEXEC);
	return (struct dial_message){.op = DIAL_PATH, .wait = true, .timeout_ms = 10000};
}

static void a_path_is_connected_by_its_inode(void **state)
{
	NEEDS_NETWORKS();
	struct sockaddr_un at;
	socklen_t size;
	int listener = unix_server("peer.sock", SOCK_STREAM, 4, &at, &size), fds[2], fd = -1, peer;
	int own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct dial_message m = path_message(fds, own);

	/* Another file under the name changes nothing. */
	assert_return_code(rename("peer.sock", "moved.sock"), errno);
	assert_int_equal(put("peer.sock", ""), 0);
	ask(&m, fds, 2);
	assert_int_equal(answer(&fd).result, 0);
	assert_int_equal(fd, -1);
	assert_true(blocks(own));
	peer = accept_one(listener);
	assert_int_equal(send(own, "ping", 4, 0), 4);
	expect_bytes(peer, "ping");
	unlink("peer.sock");
	/* With a type it makes the socket. */
	fds[0] = open("moved.sock", O_PATH | O_CLOEXEC);
	m.type = SOCK_STREAM;
	ask(&m, fds, 1);
	assert_int_equal(answer(&fd).result, 0);
	assert_true(fd >= 0 && !blocks(fd));
	unlink("moved.sock");
	close(fd);
	close(peer);
	close(own);
	close(listener);
}

static void a_full_queue_stalls_nobody_and_is_waited_for(void **state)
{
	NEEDS_NETWORKS();
	struct sockaddr_un at;
	socklen_t size;
	int listener = unix_server("peer.sock", SOCK_STREAM, 0, &at, &size), fds[2], fd = -1;
	int own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct dial_message m = path_message(fds, own);
	struct dial_message bind = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};
	uint32_t waiting, id;

	assert_return_code(connect(filler, (struct sockaddr *)&at, size), errno);
	waiting = ask(&m, fds, 2);
	id = ask(&bind, NULL, 0);
	assert_int_equal(answer(&fd).id, id);
	close(fd);
	close(accept_one(listener));
	assert_int_equal(answer(&fd).id, waiting);
	close(accept_one(listener));
	/* Whoever does not wait is told. */
	close(own);
	own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	close(filler);
	filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(connect(filler, (struct sockaddr *)&at, size), errno);
	m = path_message(fds, own);
	m.wait = false;
	ask(&m, fds, 2);
	assert_int_equal(answer(&fd).result, -EAGAIN);
	/* And its time ends. */
	m = path_message(fds, own);
	m.timeout_ms = 50;
	ask(&m, fds, 2);
	assert_int_equal(answer(&fd).result, -ETIMEDOUT);
	unlink("peer.sock");
	close(filler);
	close(own);
	close(listener);
}

static void an_abstract_name_is_the_outer_networks(void **state)
{
	NEEDS_NETWORKS();
	struct sockaddr_un at;
	socklen_t size;
	int listener = unix_server("@dialer-test", SOCK_SEQPACKET, 4, &at, &size), fd = -1;
	struct dial_message m = {.op = DIAL_ABSTRACT,
		.wait = true,
		.type = SOCK_SEQPACKET,
		.name_size = 11,
		.name = "dialer-test"};

	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_true(fd >= 0 && !blocks(fd));
	close(accept_one(listener));
	close(fd);
	m.name[0] = 'x';
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ECONNREFUSED);
	m.type = SOCK_DGRAM;
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ESOCKTNOSUPPORT);
	close(listener);
}

static void a_unix_socket_is_made_of_two_types_alone(void **state)
{
	NEEDS_NETWORKS();
	struct dial_message m = {.op = DIAL_SOCKET, .type = SOCK_STREAM};
	int fd = -1;

	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_DOMAIN), AF_UNIX);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	assert_false(blocks(fd));
	close(fd);
	m.type = SOCK_DGRAM;
	ask(&m, NULL, 0);
	assert_int_equal(answer(&fd).result, -ESOCKTNOSUPPORT);
	assert_int_equal(fd, -1);
}

/* unix(7), ETOOMANYREFS: a socket that cannot go is told at once, and nothing else waits. */
static void what_cannot_be_sent_is_answered_without_a_socket(void **state)
{
	NEEDS_NETWORKS();
	const struct rlimit few = {40, 40};
	const int n = DIAL_WAITING_MAX;
	struct dial_message m = {.op = DIAL_SOCKET, .type = SOCK_STREAM};
	int came = 0, told = 0, unread = 1;

	assert_return_code(prlimit(broker.pid, RLIMIT_NOFILE, &few, NULL), errno);
	for (int i = 0; i < n; i++)
		ask(&m, NULL, 0);
	/* It has taken all in before one answer is taken. */
	for (int i = 0; i < PATIENCE_MS && unread > 0; i++) {
		assert_return_code(ioctl(broker.sock, TIOCOUTQ, &unread), errno);
		poll(NULL, 0, 1);
	}
	for (int i = 0; i < n; i++) {
		int fd = -1, result = answer(&fd).result;

		came += result == 0 && fd >= 0;
		told += result == -EMFILE && fd < 0;
		fd_close(&fd);
	}
	assert_int_equal(came + told, n);
	assert_true(told > 0);
	assert_true(came > 0);
}

/* ---- the cage, the channel ------------------------------------------------------------------- */

static void it_is_caged_before_it_reads(void **state)
{
	NEEDS_NETWORKS();
	struct dial_message bind = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};
	char path[64], status[4096] = "";
	int fd = -1;

	ask(&bind, NULL, 0);
	answer(&fd);
	close(fd);
	snprintf(path, sizeof(path), "/proc/%d/status", broker.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd_read_all(fd, status, sizeof(status) - 1) > 0);
	close(fd);
	assert_non_null(strstr(status, "\nNoNewPrivs:\t1\n"));
	assert_non_null(strstr(status, "\nSeccomp:\t2\n"));
	assert_non_null(strstr(status, "\nCapPrm:\t0000000000000000\n"));
	assert_non_null(strstr(status, "\nCapEff:\t0000000000000000\n"));
}

static void a_lie_ends_it(void **state)
{
	NEEDS_NETWORKS();
	struct dial_message verdict = {.op = DIAL_VERDICT, .id = 77};
	struct dial_message lookup = {.op = DIAL_LOOKUP, .id = 99, .name = "a", .name_size = 1};
	struct dial_message bind = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};

	for (int i = 0; i < 5; i++) {
		int fds[1] = {open("/dev/null", O_RDONLY | O_CLOEXEC)};

		if (i == 0) {
			assert_int_equal(send(broker.sock, "rubbish", 7, 0), 7);
		} else if (i == 1) {
			say(&verdict, NULL, 0);
		} else if (i == 2) {
			say(&lookup, NULL, 0);
		} else if (i == 3) {
			ask(&bind, fds, 1);
		} else {
			bind.id = broker.id; /* does not grow */
			say(&bind, NULL, 0);
		}
		fd_close(fds);
		assert_true(ends_with(1));
		close(broker.sock);
		start_dialer();
		start_cell(0);
	}
}

static void nothing_is_served_before_start(void **state)
{
	NEEDS_NETWORKS();
	struct dial_message bind = {
		.op = DIAL_BIND, .n_addresses = 1, .addresses = {dial_to(OUTSIDE, 0)}};

	close(broker.sock);
	assert_true(ends_with(0));
	start_dialer();
	ask(&bind, NULL, 0);
	assert_true(ends_with(1));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tcp_is_connected_outside_and_handed_back_blocking),
		TEST(options_come_before_the_connect_and_reuseport_never),
		TEST(nobody_there_is_econnrefused),
		TEST(who_answers_first_is_taken_and_who_never_does_ends_in_time),
		TEST(without_wait_the_socket_comes_while_it_connects),
		TEST(what_is_cancelled_is_not_answered),
		TEST(what_is_released_comes_as_it_is),
		TEST(the_patience_of_the_socket_is_kept),
		TEST(bind_gives_a_bound_socket_that_does_not_listen),
		TEST(a_path_is_connected_by_its_inode),
		TEST(a_full_queue_stalls_nobody_and_is_waited_for),
		TEST(an_abstract_name_is_the_outer_networks),
		TEST(a_unix_socket_is_made_of_two_types_alone),
		TEST(what_cannot_be_sent_is_answered_without_a_socket),
		TEST(it_is_caged_before_it_reads),
		TEST(a_lie_ends_it),
		TEST(nothing_is_served_before_start),
	};

	make_networks();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
