/* SPDX-License-Identifier: MIT */
/*
 * cgroup.c - a control group for the whole cell, where the host has delegated one.
 *
 * Runs in: broker and supervisor, before any cage.  Trusts: the host's /proc and cgroup file
 * system.
 *
 * Limits of processes (limits.c) hold on every host; these hold for all of a cell together, what
 * its tmpfs keep included.  They can be had where this process's own group is for it to divide:
 * cgroups(7), "Delegation of a hierarchy".  What has processes in it cannot hand controllers on
 * ("the no internal processes rule"), so this process moves into a leaf of its own first:
 *
 *     delegated/                 memory and pids handed on
 *         warder-PID.own         the broker, or the supervisor
 *         warder-PID.cell        init, worker and all that descends from them
 *
 * No caged process can remove a directory there: what is left empty goes at the next start, or
 * with the group that was delegated.
 */
#include "sandbox/layers.h"

#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PREFIX "warder-"
#define OWN    ".own"
#define CELL   ".cell"

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

/* A file of a group, of one short line or a few.  The size, or -errno. */
static long read_file(int dir_fd, const char *name, char *buf, size_t size)
{
	autofd fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -errno : fd_read_all(fd, buf, size - 1);

	buf[n < 0 ? 0 : n] = '\0';
	return n;
}

/* In one write(2), as the kernel takes it. */
static int write_file(int dir_fd, const char *name, const char *text)
{
	autofd fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

static bool has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += n) {
		if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\n' || !at[n]))
			return true;
	}
	return false;
}

/* ---- which group ----------------------------------------------------------------------------- */

/* The line of cgroup v2, cgroups(7): "0::PATH".  Of a path that lies outside of what is mounted
 * here ("/..") nothing can be had. */
static int own_path(char *ret, size_t size)
{
	char text[8192];
	char *line = text, *end;

	if (read_file(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
		return -ENOENT;
	while (line && strncmp(line, "0::/", 4) != 0) {
		line = strchr(line, '\n');
		line = line ? line + 1 : NULL;
	}
	if (!line || strncmp(line + 3, "/..", 3) == 0)
		return -ENOENT;
	end = strchrnul(line, '\n');
	*end = '\0';
	return snprintf(ret, size, "%s", line + 3) < (int)size ? 0 : -ENAMETOOLONG;
}

/* The group to divide: this process's own, or the one above where it is in a leaf of ours. */
static int open_group(int *ret_fd, bool *ret_top)
{
	static const char *const mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
	char own[4096], path[4200];
	struct statfs fs;
	char *name;
	int r = own_path(own, sizeof(own));

	if (r < 0)
		return r;
	name = strrchr(own, '/');
	if (strncmp(name + 1, PREFIX, strlen(PREFIX)) == 0 && ends_with(name, OWN))
		name[name == own] = '\0';
	*ret_top = strcmp(own, "/") == 0;
	for (size_t i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		if (statfs(mounts[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		snprintf(path, sizeof(path), "%s%s", mounts[i], own);
		*ret_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		return *ret_fd < 0 ? -errno : 0;
	}
	return -ENOENT;
}

/*
 * Whether it is for the caller to divide.  systemd says so by an attribute of the unit's group, and
 * manages what has none, whoever may write there.  Elsewhere it is who may write; for root the
 * topmost group alone, for any other is somebody's.
 */
static bool is_delegated(int fd, bool top)
{
	char yes = '\0';

	if ((fgetxattr(fd, "user.delegate", &yes, 1) == 1 ||
		    fgetxattr(fd, "trusted.delegate", &yes, 1) == 1) &&
		yes == '1')
		return true;
	if (access("/run/systemd/system", F_OK) == 0 || (geteuid() == 0 && !top))
		return false;
	return faccessat(fd, ".", W_OK, AT_EACCESS) == 0 &&
	       faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) == 0 &&
	       faccessat(fd, "cgroup.subtree_control", W_OK, AT_EACCESS) == 0;
}

/* ---- dividing it ----------------------------------------------------------------------------- */

/* What earlier cells have left: the kernel removes none that has a process in it. */
static void sweep(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!dir)
		fd_close(&copy);
	while (dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			!(ends_with(e->d_name, OWN) || ends_with(e->d_name, CELL)))
			continue;
		/* One that was just made is empty too. */
		if (kill(atoi(e->d_name + strlen(PREFIX)), 0) < 0 && errno == ESRCH)
			unlinkat(fd, e->d_name, AT_REMOVEDIR);
	}
	if (dir)
		closedir(dir);
}

/* Into a leaf, so that the group itself is without processes.  0, or -errno: it stays. */
static int step_aside(int fd)
{
	char name[64];
	autofd leaf = -1;
	int r;

	snprintf(name, sizeof(name), PREFIX "%d" OWN, (int)getpid());
	if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	leaf = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = leaf < 0 ? -errno : write_file(leaf, "cgroup.procs", "0");
	if (r < 0)
		unlinkat(fd, name, AT_REMOVEDIR);
	return r;
}

static void step_back(int fd)
{
	char name[64];

	snprintf(name, sizeof(name), PREFIX "%d" OWN, (int)getpid());
	if (write_file(fd, "cgroup.procs", "0") == 0)
		unlinkat(fd, name, AT_REMOVEDIR);
}

static bool is_empty(int fd)
{
	char pid[2];

	return read_file(fd, "cgroup.procs", pid, sizeof(pid)) == 0;
}

/* Hands controllers on, of a group in which nobody is: pids could be handed on beside processes,
 * and then no process could enter what is below.  0, or -errno: all is as it was. */
static int hand_on(int fd, const char *controllers)
{
	bool aside = !is_empty(fd);
	int r = aside ? step_aside(fd) : 0;

	if (r < 0)
		return r;
	r = is_empty(fd) ? write_file(fd, "cgroup.subtree_control", controllers) : -EBUSY;
	if (r < 0 && aside)
		step_back(fd);
	return r;
}

/* The group that can be divided, at *ret_fd; else why none can. */
static const char *find_group(const struct cell_limits *limits, int *ret_fd)
{
	autofd fd = -1;
	bool top = false;
	char there[512];

	if (open_group(&fd, &top) < 0)
		return "cgroup v2 is not mounted here";
	if (!is_delegated(fd, top))
		return "no control group is delegated to this process; systemd-run --scope -p "
		       "Delegate=yes has one";
	if (read_file(fd, "cgroup.controllers", there, sizeof(there)) < 0 ||
		(limits->memory && !has_word(there, "memory")) ||
		(limits->tasks && !has_word(there, "pids")))
		return "cgroup v2 lacks the controllers memory and pids here";
	*ret_fd = fd_take(&fd);
	return NULL;
}

/* 1: the group at *ret_fd hands on what the limits need; 0: none is needed, or none can be had. */
static int take_group(const struct cell_limits *limits, int *ret_fd)
{
	char handed[512], more[32];
	autofd fd = -1;

	if ((!limits->memory && !limits->tasks) || find_group(limits, &fd) ||
		read_file(fd, "cgroup.subtree_control", handed, sizeof(handed)) < 0)
		return 0;
	sweep(fd);
	snprintf(more, sizeof(more), "%s%s",
		limits->memory && !has_word(handed, "memory") ? "+memory " : "",
		limits->tasks && !has_word(handed, "pids") ? "+pids" : "");
	if (*more && hand_on(fd, more) < 0)
		return 0;
	*ret_fd = fd_take(&fd);
	return 1;
}

bool cell_cgroup_ready(const struct cell_limits *limits)
{
	autofd fd = -1;

	return take_group(limits, &fd) == 1;
}

const char *cell_cgroup_missing(void)
{
	const struct cell_limits both = {.memory = 1, .tasks = 1};
	const char *missing;
	char pids[64], own[16];
	autofd fd = -1;

	missing = find_group(&both, &fd);
	if (missing)
		return missing;
	snprintf(own, sizeof(own), "%d\n", (int)getpid());
	if (read_file(fd, "cgroup.procs", pids, sizeof(pids)) != 0 && strcmp(pids, own) != 0)
		return "others are in the control group delegated here; systemd-run --scope -p "
		       "Delegate=yes makes one for a command alone";
	return NULL;
}

/* ---- the cell's own -------------------------------------------------------------------------- */

static int set_limit(int dir_fd, const char *name, uint64_t value, struct failure *f)
{
	char text[32];
	int r;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	r = value ? write_file(dir_fd, name, text) : 0;
	return r < 0 ? fail(f, r, "the cell's control group: cannot set %s to %s: %m", name, text)
		     : 0;
}

int cell_cgroup(const struct cell_limits *limits, struct cell_cgroup *ret, struct failure *f)
{
	autofd fd = -1, cell = -1;
	char name[64];
	int r = take_group(limits, &fd);

	if (r == 0)
		return 0;
	snprintf(name, sizeof(name), PREFIX "%d" CELL, (int)getpid());
	if (mkdirat(fd, name, 0755) < 0 && errno != EEXIST)
		return fail(f, -errno, "the cell's control group: cannot make %s: %m", name);
	cell = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cell < 0)
		return fail(f, -errno, "the cell's control group: cannot open %s: %m", name);
	r = set_limit(cell, "memory.max", limits->memory, f);
	if (r == 0) /* and init */
		r = set_limit(cell, "pids.max", limits->tasks ? limits->tasks + 1 : 0, f);
	if (r < 0)
		return r;
	ret->procs_fd = openat(cell, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (ret->procs_fd < 0)
		return fail(f, -errno, "the cell's control group: cannot open cgroup.procs: %m");
	if (limits->memory)
		ret->events_fd = openat(cell, "memory.events", O_RDONLY | O_CLOEXEC);
	ret->dir_fd = fd_take(&cell);
	return 0;
}

int cell_cgroup_enter(const struct cell_cgroup *c, struct failure *f)
{
	if (c->procs_fd < 0 || write(c->procs_fd, "0", 1) == 1)
		return 0;
	return fail(f, -errno, "the cell's control group: cannot enter it: %m");
}

uint64_t cell_oom_killed(int events_fd)
{
	static const char word[] = "\noom_kill ";
	char text[512];
	const char *at;
	ssize_t n = -1;

	if (events_fd >= 0 && lseek(events_fd, 0, SEEK_SET) == 0)
		n = read(events_fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	at = strstr(text, word);
	return at ? strtoull(at + sizeof(word) - 1, NULL, 10) : 0;
}
