/* SPDX-License-Identifier: MIT */
/*
 * own.c - whose a path is: a data tree's, or the cell's own.
 *
 * Runs in: broker.  Trusts: the cell's description and the policy; it looks at no file.
 */
#include "broker/own.h"
#include "common/path.h"
#include "common/runtime.h"

#include <string.h>

/* What is made for the cell in its /etc; sandbox/view_runtime.c. */
static const char *const etc_made[] = {"/etc", "/etc/passwd", "/etc/group", "/etc/hosts",
	"/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/machine-id", NULL};

static bool is_private(const struct session *s, const char *path, size_t size)
{
	for (size_t i = 0; i < s->n_own; i++) {
		if (path_holds(s->own[i], path, size))
			return true;
	}
	return false;
}

static bool is_etc_made(const struct session *s, const char *path, size_t size)
{
	if (!path_holds("/etc", path, size) || s->root != ROOT_VIEW ||
		policy_settings(s->policy)->runtime_none)
		return false;
	for (size_t i = 0; etc_made[i]; i++) {
		if (strlen(etc_made[i]) == size && memcmp(etc_made[i], path, size) == 0)
			return true;
	}
	return false;
}

/* `root empty` has the runtime to be loaded from, and no right to it beyond that. */
static bool loads_from(const struct session *s, const char *path, size_t size)
{
	const struct policy_settings *set = policy_settings(s->policy);

	for (size_t i = 0; i < set->n_runtime; i++) {
		if (path_holds(set->runtime[i], path, size))
			return true;
	}
	return !set->runtime_none && runtime_find(path, size) != NULL;
}

enum owner owner_of(const struct session *s, const char *path, size_t size)
{
	if (is_private(s, path, size))
		return OWNER_WORKER;
	if (path_holds("/dev", path, size) ||
		(path_holds("/proc", path, size) && s->root != ROOT_EMPTY))
		return OWNER_SYSTEM;
	if (s->root == ROOT_EMPTY ? loads_from(s, path, size)
				  : policy_runtime(s->policy, path, size) != NULL ||
					    is_etc_made(s, path, size))
		return OWNER_RUNTIME;
	return policy_names(s->policy, path, size) ? OWNER_POLICY : OWNER_NONE;
}
