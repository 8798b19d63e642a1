/* SPDX-License-Identifier: MIT */
/*
 * spares.c - the dialer's new sockets, made of two that it was given: as many as are asked for, and
 * each as new as one of socket(2), whoever else connects meanwhile.
 */
#include "broker/dialer/dialer.h"
#include "common/fd.h"
#include "tests/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port)};
}

static int new_tcp(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in in;
	socklen_t size = sizeof(in);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
	return ntohs(in.sin_port);
}

static void start(int listener)
{
	const int fds[] = {listener, new_tcp(), new_tcp()};
	int before = count_fds();

	/* One more than it takes. */
	spares_start(fds, 3);
	assert_int_equal(count_fds(), before - 1);
}

/* It is bound to a port of our choice, listens there, and what is sent to it comes. */
static void expect_new(int fd)
{
	const int on = 1;
	struct sockaddr_in in;
	socklen_t size = sizeof(in);
	char text[8] = "";
	int other = new_tcp(), accepted;

	assert_true(fd >= 0);
	assert_int_equal(getpeername(fd, (struct sockaddr *)&in, &size), -1);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), -1);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* A port that is free, and stays so until it is bound. */
	in = loopback(0);
	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(other, (struct sockaddr *)&in, sizeof(in)), 0);
	in = loopback(port_of(other));
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	close(other);
	assert_int_equal(listen(fd, 1), 0);
	other = new_tcp();
	assert_int_equal(connect(other, (struct sockaddr *)&in, sizeof(in)), 0);
	accepted = accept(fd, NULL, NULL);
	assert_true(accepted >= 0);
	assert_int_equal(send(other, "hello", 5, 0), 5);
	assert_int_equal(recv(accepted, text, sizeof(text), 0), 5);
	assert_string_equal(text, "hello");
	close(accepted);
	close(other);
}

static void there_are_as_many_as_are_asked_for(void **state)
{
	int before;

	assert_int_equal(spares_new(), -ENOBUFS);
	start(new_tcp());
	before = count_fds();
	for (int i = 0; i < 200; i++) {
		int fd = spares_new();

		expect_new(fd);
		close(fd);
	}
	assert_int_equal(count_fds(), before);
}

static atomic_bool over;

/* Connects, and says something, over and over. */
static void *disturb(void *port)
{
	const struct sockaddr_in in = loopback(*(const uint16_t *)port);

	while (!over) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		connect(fd, (const struct sockaddr *)&in, sizeof(in));
		send(fd, "stranger", 8, MSG_NOSIGNAL);
		close(fd);
	}
	return NULL;
}

/* Bound to a port that it keeps: one that the kernel chose it loses with each shutdown(2), and then
 * the kernel may choose it for another. */
static uint16_t keep_port(int fd)
{
	struct sockaddr_in in;
	int probe;

	do {
		probe = new_tcp();
		in = loopback(0);
		assert_int_equal(bind(probe, (struct sockaddr *)&in, sizeof(in)), 0);
		in = loopback(port_of(probe));
		close(probe);
	} while (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0);
	return ntohs(in.sin_port);
}

/* The listener's port is known to the others here, which it is not in a cell. */
static void who_else_connects_leaves_nothing_behind(void **state)
{
	int listener = new_tcp(), came = 0;
	uint16_t port = keep_port(listener);
	pthread_t thread;

	start(listener);
	assert_int_equal(pthread_create(&thread, NULL, disturb, &port), 0);
	for (int i = 0; i < 200; i++) {
		int fd = spares_new();

		if (fd >= 0)
			expect_new(fd);
		else
			assert_int_equal(fd, -EAGAIN);
		came += fd >= 0;
		fd_close(&fd);
	}
	over = true;
	pthread_join(thread, NULL);
	assert_true(came > 0);
	expect_new(spares_new());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_are_as_many_as_are_asked_for),
		cmocka_unit_test(who_else_connects_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
