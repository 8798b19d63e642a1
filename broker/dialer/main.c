/* SPDX-License-Identifier: MIT */
/*
 * main.c - the dialer: the process that holds all network code of a broker.
 *
 * Runs in: dialer.  Trusts: the broker that started it; nothing that comes from a network or a
 * cell.
 *
 *     warder-dialer FD [datagrams]
 *
 * FD is the channel (common/dial.h); without the word it makes no Unix datagram socket.  It stands
 * in the outer network namespace, as the worker's user, and cages itself before it reads the first
 * message: what the network sends is met by a process that can make sockets and do nothing else.
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
	/* Where the inodes are that it is to connect to: dialer.c. */
	if (chdir("/proc/self/fd") < 0)
		return -errno;
	return loop_init();
}

int main(int argc, char **argv)
{
	struct failure f = FAILURE_INIT;
	char *end = NULL;
	bool datagrams = argc == 3 && strcmp(argv[2], "datagrams") == 0;
	long sock = argc == 2 || datagrams ? strtol(argv[1], &end, 10) : -1;
	int r;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("warder-dialer " WARDER_VERSION);
		return 0;
	}
	if (!end || *end || end == argv[1] || sock < 3 || sock > 65535 ||
		fd_cloexec((int)sock, true) < 0) {
		fprintf(stderr, "warder-dialer: takes the number of a channel, and is started by "
				"warder alone\n");
		return 2;
	}
	r = prepare();
	if (r < 0)
		give_up("cannot prepare", r);
	if (cell_cage_dialer(datagrams, &f) < 0)
		give_up(f.text, 0);
	r = resolve_init();
	if (r < 0)
		give_up("cannot prepare the resolver", r);
	r = channel_init((int)sock);
	if (r < 0)
		give_up("cannot watch the channel", r);
	loop_run();
}
