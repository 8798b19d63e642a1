/* SPDX-License-Identifier: MIT */
/*
 * worker.c - what is measured: one program, run inside the cell and outside it.
 *
 * Reads commands from stdin, one byte each, and answers each with the ns of one operation as a
 * double on stdout.  Inside (WARDER_FD is set) the opens go through libwarder; outside, with a
 * descriptor as argument, through the minimal broker at its other end.
 *
 *     o  one open and close through the broker
 *     m  the same, 32 a message
 *     t  the same, one a message, by four threads that share the channel: ns an open over all
 *     b  a bare openat and close: in a cell, through the trap door
 *     c  the same of a file of the runtime, which a cell lets go on to the kernel
 *     s  a bare stat
 *     r  a bare pread of 4 KiB
 *     w  a bare pwrite of 4 KiB
 *     x  one run of the program
 *     y  the same, not timed: what makes things as they were
 *
 *     usage: worker FILE SCRATCH [FD [PROGRAM ARG ...] [-- PROGRAM ARG ...]]
 */
#include "sandbox/warder.h"
#include "tests/bench/bench.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BATCH        32
#define THREADS      4
#define RUNTIME_FILE "/usr/bin/env"

static const char *file;
static int file_fd, scratch_fd;
static int minimal_fd = -1;
static struct warder *broker;
static char page[4096];
static char **program, **undo;

static void no_fd(const char *what)
{
	err(2, "%s %s", what, file);
}

/* The other half of minimal_serve() in open.c. */
static int minimal_open(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	int answer, fd = -1;
	struct iovec iov = {.iov_base = &answer, .iov_len = sizeof(answer)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;

	if (send(sock, file, strlen(file) + 1, 0) < 0 || recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) < 0)
		err(2, "minimal broker");
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void open_one(void)
{
	int fd = broker ? warder_open(broker, file, O_RDONLY, 0) : minimal_open(minimal_fd);

	if (fd < 0)
		no_fd("open through the broker:");
	close(fd);
}

static void open_many(void)
{
	struct warder_open_req reqs[BATCH];

	for (size_t i = 0; i < BATCH; i++)
		reqs[i] = (struct warder_open_req){.path = file, .flags = O_RDONLY};
	if (warder_open_many(broker, reqs, BATCH) < 0)
		no_fd("open of many:");
	for (size_t i = 0; i < BATCH; i++) {
		if (reqs[i].fd < 0)
			no_fd("open of many:");
		close(reqs[i].fd);
	}
}

static void bare_open(void)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		no_fd("bare open:");
	close(fd);
}

static void runtime_open(void)
{
	int fd = open(RUNTIME_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		err(2, RUNTIME_FILE);
	close(fd);
}

static void run(char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		errx(2, "%s did not run as it should", argv[0]);
}

static void run_program(void)
{
	run(program);
}

static void bare_stat(void)
{
	struct stat st;

	if (stat(file, &st) < 0)
		no_fd("stat");
}

static void bare_read(void)
{
	if (pread(file_fd, page, sizeof(page), 0) < 0)
		no_fd("read");
}

static void bare_write(void)
{
	if (pwrite(scratch_fd, page, sizeof(page), 0) != (ssize_t)sizeof(page))
		no_fd("write beside");
}

static double timed(void (*operation)(void), size_t times, size_t each)
{
	uint64_t begin = bench_ns();

	for (size_t i = 0; i < times; i++)
		operation();
	return (double)(bench_ns() - begin) / (double)(times * each);
}

/* A channel belongs to one thread at a time: libwarder has no lock of its own. */
static void *thread_opens(void *times)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	for (size_t i = 0; i < *(size_t *)times; i++) {
		pthread_mutex_lock(&lock);
		open_one();
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static double timed_threads(size_t times)
{
	pthread_t threads[THREADS];
	uint64_t begin = bench_ns();

	for (size_t i = 0; i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, thread_opens, &times))
			errx(2, "pthread_create");
	}
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return (double)(bench_ns() - begin) / (double)(times * THREADS);
}

static double measure(char command, size_t times)
{
	switch (command) {
	case 'o':
		return timed(open_one, times, 1);
	case 'm':
		return timed(open_many, times / BATCH + 1, BATCH);
	case 'b':
		return timed(bare_open, times, 1);
	case 'c':
		return timed(runtime_open, times, 1);
	case 'x':
		return timed(run_program, 1, 1);
	case 'y':
		run(undo);
		return 0;
	case 's':
		return timed(bare_stat, times, 1);
	case 'r':
		return timed(bare_read, times, 1);
	case 'w':
		return timed(bare_write, times, 1);
	case 't':
		return timed_threads(times / THREADS + 1);
	}
	errx(2, "unknown command '%c'", command);
}

static void find_programs(char **argv)
{
	program = argv;
	while (*argv && strcmp(*argv, "--") != 0)
		argv++;
	if (*argv) {
		*argv = NULL;
		undo = argv + 1;
	}
}

int main(int argc, char **argv)
{
	size_t times = bench_count("BENCH_TIMES", 2000);
	char command;

	if (argc < 3)
		errx(2, "usage: worker FILE SCRATCH [FD [PROGRAM ARG ...] [-- PROGRAM ARG ...]]");
	file = argv[1];
	if (argc > 3)
		minimal_fd = atoi(argv[3]);
	find_programs(argv + (argc > 3 ? 4 : 3));
	if (getenv("WARDER_FD") && !(broker = warder_attach()))
		err(2, "warder_attach");
	file_fd =
		broker ? warder_open(broker, file, O_RDONLY, 0) : open(file, O_RDONLY | O_CLOEXEC);
	scratch_fd = broker ? warder_open(broker, argv[2], O_RDWR, 0)
			    : open(argv[2], O_RDWR | O_CLOEXEC);
	if (file_fd < 0 || scratch_fd < 0)
		err(2, "%s or %s", file, argv[2]);
	while (read(STDIN_FILENO, &command, 1) == 1) {
		double ns = measure(command, times);

		if (write(STDOUT_FILENO, &ns, sizeof(ns)) != (ssize_t)sizeof(ns))
			err(2, "answer");
	}
	return 0;
}
