/* SPDX-License-Identifier: MIT */
/*
 * help.c - the table of commands, and warder help.
 *
 * Runs in: command line.  Trusts: the user who calls.
 */
#include "cli/cli.h"
#include "cli/exec.h"
#include "cli/say.h"
#include "common/nearest.h"

#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
	{"run", cmd_run, "run a program in a cell under a policy"},
	{"serve", cmd_serve, "serve local clients from sandboxed workers"},
	{"call", exec_json, "ask a running `warder serve` for one thing"},
	{"policy", cmd_policy, "check a policy, or explain what it says of a path"},
	{"ledger", exec_json, "show what was granted and denied"},
	{"doctor", cmd_doctor, "what this host can enforce, and the flag to use"},
	{"help", cmd_help, "this list, or the help of one command"},
};
#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

int command_missing(void)
{
	say("a command is missing; `warder help` lists them");
	return 2;
}

int command_unknown(const char *word)
{
	static const char *const options[] = {"--help", "--version", NULL};
	const char *words[N_COMMANDS + 1] = {NULL}, *nearest;
	char shown[128];

	say_escape(shown, sizeof(shown), word, strlen(word));
	nearest = word[0] == '-' ? nearest_word(word, strlen(word), options) : NULL;
	if (nearest) {
		say("unknown option %s; did you mean %s?", shown, nearest);
		return 2;
	}
	if (word[0] == '-') {
		say("unknown option %s; a command comes first, as in `warder run %s ...`", shown,
			shown);
		return 2;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		words[i] = commands[i].name;
	nearest = nearest_word(word, strlen(word), words);
	if (nearest)
		say("unknown command \"%s\"; did you mean \"%s\"?", shown, nearest);
	else
		say("unknown command \"%s\"; `warder help` lists the commands, and `warder run -- "
		    "%s` "
		    "runs a program",
			shown, shown);
	return 2;
}

static void list_commands(void)
{
	puts("usage: warder COMMAND [ARG]...\n\n"
	     "Runs programs that nobody trusts, and passes them the files that a policy allows.\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\n  --help     this list\n"
	     "  --version  the version\n\n"
	     "`warder help COMMAND` tells a command's options; man warder tells the rest.");
}

int cmd_help(int argc, char **argv)
{
	const struct command *c;

	if (argc > 2) {
		say("help takes one command: warder help [COMMAND]");
		return 2;
	}
	if (argc == 2 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "help") != 0) {
		char *ask[] = {argv[1], (char[]){"--help"}, NULL};

		c = command_find(argv[1]);
		if (!c)
			return command_unknown(argv[1]);
		return c->run(2, ask) == 0 ? say_written(0, 2) : 2;
	}
	list_commands();
	return say_written(0, 2);
}
