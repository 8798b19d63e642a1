/* SPDX-License-Identifier: MIT */
/*
 * noise.c - denials that the summary does not list.
 *
 * Runs in: broker after its end, still in its cage.  Trusts: nothing; a path is the worker's word.
 *
 * Every program looks for names that are nowhere: each directory of PATH, a settings file in each
 * directory above.  Whether the host has them the broker has looked at: denial_look().
 */
#include "cli/noise.h"
#include "common/path.h"

#include <errno.h>
#include <string.h>

#define RIGHTS_LOOKING (RIGHT_READ | RIGHT_LIST | RIGHT_EXEC | RIGHT_CONNECT)

/* What allocators, interpreters and build tools size themselves by, and who is logged in since
 * when. The number of CPUs they also have by sched_getaffinity(2). */
static const char *const adapted_to[] = {
	"/sys/devices/system/cpu",
	"/sys/devices/system/node",
	"/sys/fs/cgroup",
	"/sys/kernel/mm/hugepages",
	"/sys/kernel/mm/transparent_hugepage",
	"/run/utmp",
	"/var/run/utmp",
	"/var/log/wtmp",
	NULL,
};

static bool is_adapted_to(const char *path)
{
	for (size_t i = 0; adapted_to[i]; i++) {
		if (path_holds(adapted_to[i], path, strlen(path)))
			return true;
	}
	return false;
}

/* Whether it stands in a directory of PATH, which the worker has from who started warder. */
static bool is_in_path(const char *path, const char *search)
{
	const char *dir = search, *slash = strrchr(path, '/');

	while (dir && slash) {
		const char *end = strchrnul(dir, ':');

		if (end - dir == slash - path && strncmp(dir, path, (size_t)(end - dir)) == 0)
			return true;
		dir = *end ? end + 1 : NULL;
	}
	return false;
}

bool denial_is_noise(const struct broker_denial *d, const char *search)
{
	/* A deny of everything, as the preset convert has it, names nothing either. */
	if (!d->outside || (d->remedy != REMEDY_ALLOW && d->remedy != REMEDY_EXCEPT) ||
		(d->rights & ~(unsigned)RIGHTS_LOOKING))
		return false;
	return is_adapted_to(d->path) || d->absent == ENOENT || d->absent == ENOTDIR ||
	       (d->elsewhere && is_in_path(d->path, search));
}
