/* SPDX-License-Identifier: MIT */
/*
 * json_main.c - warder call, warder ledger.
 *
 * Runs in: command line.  Trusts: the user who calls.
 *
 * `warder` executes this program with the command's name as argv[0]; by its own name it takes the
 * command as its first argument.
 */
#include "cli/json.h"
#include "cli/say.h"

#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"call", json_call},
	{"ledger", json_ledger},
};

static int dispatch(int argc, char **argv)
{
	for (size_t i = 0; argc > 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argv[0], commands[i].name) == 0)
			return say_written(commands[i].run(argc, argv), EXIT_CANNOT_TELL);
	return -1;
}

int main(int argc, char **argv)
{
	int status = dispatch(argc, argv);

	if (status < 0 && argc > 1)
		status = dispatch(argc - 1, argv + 1);
	if (status >= 0)
		return status;
	say("warder-json is run by `warder call` and `warder ledger`");
	return EXIT_CANNOT_TELL;
}
