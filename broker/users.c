/* SPDX-License-Identifier: MIT */
/*
 * users.c - the host's users, by number.
 *
 * Runs in: broker (at start), command line.  Trusts: /etc/passwd, and what nsswitch.conf(5) names.
 *
 * Every start asks for one or two.  getpwuid(3) looks for a daemon's socket, twice, and reads
 * nsswitch.conf(5) first; and a user that is in the file needs no module of a name service in this
 * process.
 */
#include "broker/users.h"

#include <stdio.h>

const struct passwd *user_by_uid(uid_t uid)
{
	FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *found = NULL;

	/* passwd(5): a name with a sign in front is a line for NIS. */
	while (file && (found = fgetpwent(file))) {
		if (found->pw_uid == uid && found->pw_name[0] != '+' && found->pw_name[0] != '-')
			break;
	}
	if (file)
		fclose(file);
	return found ? found : getpwuid(uid);
}
