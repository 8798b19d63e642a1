/* SPDX-License-Identifier: MIT */
/*
 * suggest.c - the line of policy that would lift a denial.
 *
 * Runs in: command line; broker after its end, still in its cage.  Trusts: nothing; a path is the
 * worker's word.
 *
 * A line that the next start refuses helps nobody, so the path is looked at: with stat(2), which
 * opens nothing and needs no right that the cage withholds (Landlock does not guard it).
 */
#include "cli/suggest.h"
#include "policy/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What the rule has to say of the path; NULL: nothing. */
static const char *option_of(unsigned rights, const char *path, bool *ret_is_dir)
{
	struct stat st;

	*ret_is_dir = false;
	if (stat(path, &st) < 0)
		/* What may be created may be missing. */
		return (errno == ENOENT || errno == ENOTDIR) && !(rights & RIGHT_CREATE)
			       ? " optional"
			       : NULL;
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		*ret_is_dir = true;
		return NULL;
	case S_IFCHR:
		return " type char";
	case S_IFBLK:
		return " type block";
	case S_IFIFO:
		return " type fifo";
	}
	return NULL;
}

int suggest(unsigned rights, const char *path, char *buf, size_t size)
{
	char target[PATH_MAX + 1];
	const char *option;
	size_t n = strlen(path);
	bool is_dir;
	int r;

	if (size > 0)
		buf[0] = '\0';
	if (n == 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;
	/* A socket is said as it stands: who listens there may come later. */
	if (rights & (RIGHT_CONNECT | RIGHT_BIND))
		return policy_suggest(rights, path, buf, size);
	option = option_of(rights, path, &is_dir);
	snprintf(target, sizeof(target), "%s%s", path, is_dir && path[n - 1] != '/' ? "/" : "");
	r = policy_suggest(rights, target, buf, size);
	if (r < 0)
		return r;
	n = strlen(buf);
	if (option && n + strlen(option) >= size) {
		buf[0] = '\0';
		return -ENAMETOOLONG;
	}
	strcpy(buf + n, option ? option : "");
	return 0;
}

int suggest_except(const char *path, char *buf, size_t size)
{
	char target[PATH_MAX + 1];
	size_t n = strlen(path);
	bool is_dir;
	int r;

	if (n == 0 || n >= PATH_MAX)
		return -ENAMETOOLONG;
	option_of(0, path, &is_dir);
	snprintf(target, sizeof(target), "%s%s", path, is_dir && path[n - 1] != '/' ? "/" : "");
	r = policy_quote(target, buf, size);
	return r < 0 ? r : 0;
}
