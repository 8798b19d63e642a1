/* SPDX-License-Identifier: MIT */
/*
 * policy_host.c - what a policy names that this host does not have.
 *
 * Runs in: command line.  Trusts: the user who calls.
 *
 * Warnings of `policy check` alone: the policy may be right and meant for another host, so they
 * leave its exit status as it is; `run` and `serve` find the same for themselves, and start
 * nothing.
 */
#include "cli/policy_inquiry.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void warn_user(struct policy *p, const char *user)
{
	bool number = user[strspn(user, "0123456789")] == '\0';
	unsigned long uid = number ? strtoul(user, NULL, 10) : 0;

	/* Root can start a worker of a number that has no name. */
	if (!getpwnam(user) && !(number && getpwuid((uid_t)uid)))
		policy_diag_setting(p, SET_USER, true,
			number ? "no user has the number %s on this host: only root could start it"
			       : "there is no user %s on this host",
			user);
}

static void warn_runtime(struct policy *p, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		policy_diag_setting(p, SET_RUNTIME, true, "cannot look up %s on this host: %s",
			path, strerror(errno));
}

static void warn_ledger(struct policy *p, const char *ledger)
{
	const char *slash = strrchr(ledger, '/');
	char dir[PATH_MAX] = ".";
	struct stat st;

	if (strncmp(ledger, "fd:", 3) == 0) {
		if (fcntl(atoi(ledger + 3), F_GETFD) < 0)
			policy_diag_setting(p, SET_LEDGER, true,
				"descriptor %s is not open here; who starts warder has to open it",
				ledger + 3);
		return;
	}
	if (slash)
		snprintf(dir, sizeof(dir), "%.*s", slash == ledger ? 1 : (int)(slash - ledger),
			ledger);
	if (stat(dir, &st) < 0 || (!S_ISDIR(st.st_mode) && (errno = ENOTDIR)))
		policy_diag_setting(p, SET_LEDGER, true,
			"cannot look up %s, where the ledger would stand, on this host: %s", dir,
			strerror(errno));
}

void policy_warn_host(struct policy *p)
{
	const struct policy_settings *set = policy_settings(p);

	if (set->user)
		warn_user(p, set->user);
	for (size_t i = 0; i < set->n_runtime; i++)
		warn_runtime(p, set->runtime[i]);
	if (set->ledger)
		warn_ledger(p, set->ledger);
	policy_find_clients(p, true);
}
