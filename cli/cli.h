/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the commands.  Each takes its own argv (argv[0] is the command's name) and returns the
 * exit status.
 */
#ifndef WARDER_CLI_H
#define WARDER_CLI_H

int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_help(int argc, char **argv);

#endif
