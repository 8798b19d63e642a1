/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the commands.  Each takes its own argv (argv[0] is the command's name) and returns the
 * exit status.
 */
#ifndef WARDER_CLI_H
#define WARDER_CLI_H

#include <stddef.h>

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
};

/* The row of the command table, or NULL. */
const struct command *command_find(const char *name);
/* Say what is wrong with `warder`'s own usage; the exit status. */
int command_missing(void);
int command_unknown(const char *word);

int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
