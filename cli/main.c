/* SPDX-License-Identifier: MIT */
/*
 * main.c - warder COMMAND: a table look-up.
 *
 * Runs in: command line.  Trusts: the user who calls.
 */
#include "cli/cli.h"
#include "cli/say.h"
#include "common/fd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	const struct command *c;

	/* A descriptor born as 0, 1 or 2 would be taken for the user's. */
	if (fd_fill_standard() < 0)
		return 125;
	/* A file that may not grow is said as what it is, EFBIG.  A worker has its default again.
	 */
	signal(SIGXFSZ, SIG_IGN);
	if (argc < 2)
		return command_missing();
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		return cmd_help(1, argv + 1);
	if (strcmp(argv[1], "--version") == 0) {
		puts("warder " WARDER_VERSION);
		return say_written(0, 2);
	}
	c = command_find(argv[1]);
	return c ? say_written(c->run(argc - 1, argv + 1), 2) : command_unknown(argv[1]);
}
