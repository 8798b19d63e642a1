/* SPDX-License-Identifier: MIT */
/*
 * main.c - the dialer: the process that holds all network code of a broker.
 *
 * Runs in: dialer.  Trusts: the broker that started it; nothing that comes from a network or a
 * cell.
 *
 *     warder-dialer FD [datagrams] [udp]
 *     warder-dialer FD maker
 *
 * FD is the channel (common/dial.h); without the first word it makes no Unix datagram socket, and
 * with the second FD + 2 is the channel of a maker (maker.c), which stands in the cell's network.
 * It stands in the outer network namespace, as the worker's user, and cages itself before it reads
 * the first message: what the network sends is met by a process that can make sockets and do
 * nothing else.
 */
#include "broker/dialer/dialer.h"
#include "common/failure.h"
#include "common/fd.h"
#include "common/hurry.h"
#include "sandbox/confine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What cannot be done in the cage. */
static int prepare(void)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit files;
	sigset_t none;

	sigemptyset(&none);
	hurry_init();
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -errno;
	/* Each flow, relay and attempt is a descriptor; a hard limit that is low makes some fail.
	 */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	/* Where the inodes are that it is to connect to: sockets.c. */
	if (chdir("/proc/self/fd") < 0)
		return -errno;
	return loop_init();
}

static bool has_word(char **argv, const char *word)
{
	while (*argv && strcmp(*argv, word) != 0)
		argv++;
	return *argv;
}

/* The channel's number, or -1: it was not started as it should be. */
static int channel_of(int argc, char **argv)
{
	char *end = NULL;
	long sock = argc > 1 ? strtol(argv[1], &end, 10) : -1;

	if (!end || *end || end == argv[1] || sock < 3 || sock > 65535)
		return -1;
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "datagrams") != 0 && strcmp(argv[i], "udp") != 0 &&
			!(strcmp(argv[i], "maker") == 0 && argc == 3))
			return -1;
	}
	return fd_cloexec((int)sock, true) < 0 ? -1 : (int)sock;
}

int main(int argc, char **argv)
{
	struct failure f = FAILURE_INIT;
	int sock = channel_of(argc, argv), r;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warder-dialer " WARDER_VERSION);
		return 0;
	}
	if (sock < 0) {
		fprintf(stderr, "warder-dialer: takes the number of a channel, and is started by "
				"warder alone\n");
		return 2;
	}
	r = prepare();
	if (r < 0)
		give_up("cannot prepare", r);
	if (cell_cage_dialer(has_word(argv + 2, "datagrams"), &f) < 0)
		give_up(f.text, 0);
	if (has_word(argv + 2, "maker"))
		maker_run(sock);
	if (has_word(argv + 2, "udp"))
		bound_start(sock + 2);
	r = resolve_init();
	if (r < 0)
		give_up("cannot prepare the resolver", r);
	r = channel_init(sock);
	if (r < 0)
		give_up("cannot watch the channel", r);
	loop_run();
}
