/* SPDX-License-Identifier: MIT */
/*
 * policy_clients.c - the numbers of those whom `clients` names.
 *
 * Runs in: command line, supervisor (at start).  Trusts: what nsswitch.conf(5) names.
 */
#include "broker/policy_load.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

/* Whether there is one of that name; else errno tells, 0: nobody has it (getpwnam(3)). */
static bool find(const struct policy_client *c, uint32_t *ret_id)
{
	const struct passwd *user;
	const struct group *group;

	errno = 0;
	if (c->group) {
		group = getgrnam(c->name);
		if (group)
			*ret_id = group->gr_gid;
		return group != NULL;
	}
	user = getpwnam(c->name);
	if (user)
		*ret_id = user->pw_uid;
	return user != NULL;
}

int policy_find_clients(struct policy *p, bool warning)
{
	bool missing = false;

	for (size_t i = 0; i < policy_client_count(p); i++) {
		const struct policy_client *c = policy_client(p, i);
		const char *what = c->group ? "group" : "user";
		uint32_t id;
		int r = 0;

		if (c->known)
			continue;
		if (find(c, &id)) {
			policy_client_found(p, i, id);
			continue;
		}
		missing = true;
		/* The values by which getpwnam(3) says that there is nobody differ. */
		if (errno == 0 || errno == ENOENT || errno == ESRCH)
			r = policy_diag_client(p, i, warning,
				"there is no %s \"%s\" on this host; see `getent %s`", what,
				c->name, c->group ? "group" : "passwd");
		else
			r = policy_diag_client(p, i, warning, "cannot look up the %s \"%s\": %s",
				what, c->name, strerror(errno));
		if (r < 0)
			return r;
	}
	return missing && !warning ? -EINVAL : 0;
}
