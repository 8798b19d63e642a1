/* SPDX-License-Identifier: MIT */
/*
 * serve_clients.c - clients of warder serve: workers that die or take nobody in, the end.
 */
#include "tests/e2e/slots.h"
#include "tests/descriptors.h"

static struct server server = {.status_fd = -1};

static int clean(void **state)
{
	server_clean(&server);
	return 0;
}

static void killed_worker_gives_end_of_file_and_is_replaced(void **state)
{
	const char *none[] = {NULL};
	long began, served;
	int fd, again;
	pid_t worker;

	server_start(&server, none);
	fd = dial(&server);
	assert_true(ask(fd));
	worker = slot_worker(&server, 1);
	assert_true(worker > 1);
	began = now_ms();
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_true(hung_up(fd, 1000));
	close(fd);
	/* A client that came while the worker was dying gets end-of-file, never a hang. */
	do {
		again = dial(&server);
		assert_true(again >= 0);
		served = ask(again);
		close(again);
	} while (!served && now_ms() - began < WAIT_MS);
	assert_true(served);
	assert_int_not_equal(slot_worker(&server, 1), worker);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
	assert_true(log_count(&server, "ended with status 137") == 1);
}

static void other_slots_notice_nothing(void **state)
{
	const char *three[] = {"--workers", "3", NULL};
	int fds[3];

	server_start(&server, three);
	for (int i = 0; i < 3; i++) {
		fds[i] = dial(&server);
		assert_true(ask(fds[i]));
	}
	assert_int_equal(kill(slot_worker(&server, 2), SIGKILL), 0);
	assert_true(hung_up(fds[1], 1000));
	assert_true(ask(fds[0]));
	assert_true(ask(fds[2]));
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
}

static void worker_that_dies_again_and_again_comes_back_less_often(void **state)
{
	/* It is ready, and dead a moment later. */
	const char *dying[] = {"--", "sh", "-c", "exit 3", NULL};
	int deaths, fd;

	server_start(&server, dying);
	usleep(1600000);
	deaths = log_count(&server, "ended with status 3");
	/* After 100, 200, 400 and 800 ms. */
	assert_in_range(deaths, 2, 6);
	fd = dial(&server);
	assert_true(fd >= 0);
	assert_true(hung_up(fd, 5000));
	close(fd);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
}

/* Processor time of a process so far, in ms. */
static long cpu_ms(pid_t pid)
{
	unsigned long user = 0, sys = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file,
				 "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
				 "%lu %lu",
				 &user, &sys),
		2);
	fclose(file);
	return (long)(user + sys) * 1000 / sysconf(_SC_CLK_TCK);
}

static void flood_of_clients_leaks_nothing(void **state)
{
	const char *none[] = {NULL};
	int base, now, fd, served = 0;
	long began;

	server_start(&server, none);
	fd = dial(&server);
	assert_true(ask(fd));
	close(fd);
	base = count_fds_of(server.pid);
	for (int i = 0; i < 1000; i++) {
		fd = dial(&server);
		assert_true(fd >= 0);
		if (i % 10 == 0)
			served += ask(fd);
		close(fd);
	}
	assert_in_range(served, 90, 100);
	/* Those who left while they waited for a slot are still being passed on, and have one each
	 * time.  The first one's answer may have come before the supervisor closed its copy, and
	 * `base` counts it. */
	began = now_ms();
	while ((now = count_fds_of(server.pid)) > base && now_ms() - began < WAIT_MS)
		usleep(20000);
	assert_in_range(now, 0, base);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
}

/* A worker that never reads its clients: those whom it could not take meet end-of-file. */
static void worker_that_takes_nobody_in_makes_nobody_wait_for_ever(void **state)
{
	const char *deaf[] = {"--", "sleep", "100", NULL};
	static int fds[1200];
	int sent_away = 0;
	long began, busy;

	server_start(&server, deaf);
	began = now_ms();
	busy = cpu_ms(server.pid);
	for (int i = 0; i < 900; i++)
		fds[i] = dial(&server);
	while (sent_away == 0 && now_ms() - began < WAIT_MS) {
		for (int i = 0; i < 900; i++)
			sent_away += fds[i] >= 0 && hung_up(fds[i], 0);
		usleep(50000);
	}
	assert_true(sent_away > 0);
	/* Those who come now are told at once, by end-of-file though nobody read what they sent. */
	for (int i = 0; i < 20; i++) {
		struct pollfd p = {dial(&server), POLLIN};
		char byte;

		assert_true(p.fd >= 0);
		send(p.fd, "unread", 6, MSG_NOSIGNAL);
		assert_int_equal(poll(&p, 1, 2000), 1);
		assert_int_equal(recv(p.fd, &byte, 1, 0), 0);
		close(p.fd);
	}
	assert_in_range(now_ms() - began, 0, 9000);
	usleep(500000);
	assert_in_range(cpu_ms(server.pid) - busy, 0, 400);
	for (int i = 0; i < 900; i++)
		fd_close(&fds[i]);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
}

static void drain_lets_nobody_in_and_ends_in_time(void **state)
{
	const char *none[] = {NULL};
	int fd, late;
	long began;

	server_start(&server, none);
	fd = dial(&server);
	assert_true(ask(fd));
	began = now_ms();
	assert_int_equal(server_stop(&server, SIGTERM), 0);
	assert_in_range(now_ms() - began, 0, 8000);
	assert_true(hung_up(fd, 100));
	close(fd);
	late = dial(&server);
	assert_true(late < 0);
}

static void drain_ends_a_worker_that_does_not(void **state)
{
	const char *stubborn[] = {
		"--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done", NULL};
	long began;

	server_start(&server, stubborn);
	began = now_ms();
	assert_int_equal(server_stop(&server, SIGTERM), 0);
	assert_in_range(now_ms() - began, 4000, 9000);
}

static void second_signal_cuts_the_drain_short(void **state)
{
	const char *slow[] = {"--", "sleep", "100", NULL};
	long began;

	server_start(&server, slow);
	began = now_ms();
	kill(server.pid, SIGTERM);
	usleep(200000);
	assert_int_equal(server_stop(&server, SIGTERM), 0);
	assert_in_range(now_ms() - began, 0, 3500);
}

static void killed_server_takes_its_workers_along(void **state)
{
	const char *stubborn[] = {
		"--", "sh", "-c", "trap '' TERM; while :; do sleep 1; done", NULL};
	long began;
	pid_t worker;

	server_start(&server, stubborn);
	worker = slot_worker(&server, 1);
	assert_int_equal(kill(worker, 0), 0);
	assert_int_equal(server_stop(&server, SIGKILL), 137);
	began = now_ms();
	while (kill(worker, 0) == 0 && now_ms() - began < 15000)
		usleep(50000);
	assert_int_equal(kill(worker, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(killed_worker_gives_end_of_file_and_is_replaced, clean),
		cmocka_unit_test_teardown(other_slots_notice_nothing, clean),
		cmocka_unit_test_teardown(
			worker_that_dies_again_and_again_comes_back_less_often, clean),
		cmocka_unit_test_teardown(flood_of_clients_leaks_nothing, clean),
		cmocka_unit_test_teardown(
			worker_that_takes_nobody_in_makes_nobody_wait_for_ever, clean),
		cmocka_unit_test_teardown(drain_lets_nobody_in_and_ends_in_time, clean),
		cmocka_unit_test_teardown(drain_ends_a_worker_that_does_not, clean),
		cmocka_unit_test_teardown(second_signal_cuts_the_drain_short, clean),
		cmocka_unit_test_teardown(killed_server_takes_its_workers_along, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
