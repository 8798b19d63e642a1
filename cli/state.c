/* SPDX-License-Identifier: MIT */
/*
 * state.c - warder's own directory: where ledgers stand.
 *
 * Runs in: command line, before the cage.  Trusts: the user who calls; no directory that another
 * user can write.
 */
#include "cli/state.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int state_path(char *buf, size_t size, struct failure *f)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	const struct passwd *account;
	int n;

	/* The XDG base directory specification: a relative value is ignored. */
	if (state && state[0] == '/') {
		n = snprintf(buf, size, "%s/warder", state);
	} else if (geteuid() == 0) {
		n = snprintf(buf, size, "/var/log/warder");
	} else {
		account = home && home[0] == '/' ? NULL : getpwuid(geteuid());
		if (account)
			home = account->pw_dir;
		if (!home || home[0] != '/')
			return fail(f, -ENOENT,
				"there is no home for ledgers: HOME is unset" STATE_REMEDY);
		n = snprintf(buf, size, "%s/.local/state/warder", home);
	}
	if ((size_t)n >= size)
		return fail(f, -ENAMETOOLONG,
			"the path of the state directory is too long" STATE_REMEDY);
	return 0;
}

/* Makes every missing directory on the way to `path`, the last left out. */
static int make_parents(char *path)
{
	int closed = 0;

	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		int r;

		*slash = '\0';
		r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*slash = '/';
		/* A parent that cannot be written may well stand there: opening decides.  Or it is
		 * why the next one is missing. */
		if (r == -EACCES || r == -EROFS)
			closed = closed ? closed : r;
		else if (r < 0)
			return r == -ENOENT && closed ? closed : r;
	}
	return 0;
}

/* Opens, or makes, one directory of ours under dir_fd. */
static int open_own(int dir_fd, const char *name, const char *shown, int *ret_fd, struct failure *f)
{
	autofd fd = -1;
	struct stat st;

	if (mkdirat(dir_fd, name, 0700) < 0 && errno != EEXIST)
		return fail(f, -errno, "cannot make the directory %s for ledgers: %m" STATE_REMEDY,
			shown);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(f, -errno, "cannot open the directory %s for ledgers: %m" STATE_REMEDY,
			shown);
	if (st.st_uid != geteuid())
		return fail(f, -EPERM,
			"the directory %s belongs to uid %u, not to you" STATE_REMEDY, shown,
			(unsigned)st.st_uid);
	if (st.st_mode & 022)
		return fail(f, -EPERM, "the directory %s can be written by others: chmod go-w %s",
			shown, shown);
	*ret_fd = fd_take(&fd);
	return 0;
}

int state_open(const char *below, int *ret_dir_fd, struct failure *f)
{
	char path[PATH_MAX];
	autofd dir_fd = -1;
	const char *part = below;
	size_t at;
	int r;

	if (below[0] == '/')
		return open_own(AT_FDCWD, below, below, ret_dir_fd, f);
	r = state_path(path, sizeof(path), f);
	if (r < 0)
		return r;
	r = make_parents(path);
	if (r < 0)
		return fail(f, r, "cannot make the directories on the way to %s: %m" STATE_REMEDY,
			path);
	r = open_own(AT_FDCWD, path, path, &dir_fd, f);
	at = strlen(path);
	while (r == 0 && *part) {
		size_t n = strcspn(part, "/");
		char name[NAME_MAX + 1];
		int next_fd = -1;

		snprintf(name, sizeof(name), "%.*s", (int)n, part);
		at += (size_t)snprintf(path + at, sizeof(path) - at, "/%s", name);
		if (at >= sizeof(path))
			return fail(f, -ENAMETOOLONG,
				"the path of the ledger is too long" STATE_REMEDY);
		r = open_own(dir_fd, name, path, &next_fd, f);
		fd_close(&dir_fd);
		dir_fd = next_fd;
		part += n + (part[n] == '/');
	}
	if (r == 0)
		*ret_dir_fd = fd_take(&dir_fd);
	return r;
}

/* Names begin with the time, so that the last of them is the newest. */
int state_newest(const char *below, char *buf, size_t size, struct failure *f)
{
	char dir_path[PATH_MAX], newest[NAME_MAX + 1] = "";
	struct dirent *entry;
	DIR *dir;
	int r = state_path(dir_path, sizeof(dir_path), f);

	if (r < 0)
		return r;
	if (strlen(dir_path) + strlen(below) + 2 > sizeof(dir_path))
		return fail(f, -ENAMETOOLONG, "the path of the state directory is too long");
	strcat(strcat(dir_path, "/"), below);
	dir = opendir(dir_path);
	if (!dir && errno != ENOENT)
		return fail(f, -errno, "cannot look for ledgers in %s: %m", dir_path);
	while (dir && (entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);

		if (n > 6 && strcmp(entry->d_name + n - 6, ".jsonl") == 0 &&
			strcmp(entry->d_name, newest) > 0)
			strcpy(newest, entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (!*newest)
		return fail(f, -ENOENT, "there is no ledger in %s yet", dir_path);
	if ((size_t)snprintf(buf, size, "%s/%s", dir_path, newest) >= size)
		return fail(f, -ENAMETOOLONG, "the path of the ledger is too long");
	return 0;
}
