/* SPDX-License-Identifier: MIT */
/*
 * policy.c - warder policy check, warder policy explain.
 *
 * Runs in: command line.  Trusts: the user who calls.
 */
#include "cli/cli.h"

int cmd_policy(int argc, char **argv)
{
	return 2;
}
