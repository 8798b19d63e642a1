/* SPDX-License-Identifier: MIT */
/*
 * userns.c - the namespaces: which, the map of the one uid, and the identity inside.
 *
 * Runs in: broker (maps, before its cage), init.  Trusts: the cell's description.
 *
 * Root's cells have a user namespace too, made by uid 0 and mapping the worker's uid to itself. Its
 * owner may do to the cell whatever the broker must (signals, setns, /proc) without a capability of
 * the host's (user_namespaces(7): a process with the owner's euid in the parent namespace has all
 * capabilities within), so the broker can drop its own.
 *
 * The map has one uid: setuid programs and files of others have no meaning inside.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	uint64_t flag;
} namespaces[CELL_NAMESPACES] = {
	{"ns/user", CLONE_NEWUSER}, /* first: entering it gives the right to enter the others */
	{"ns/mnt", CLONE_NEWNS},
	{"ns/pid", CLONE_NEWPID},
	{"ns/net", CLONE_NEWNET},
	{"ns/ipc", CLONE_NEWIPC},
	{"ns/uts", CLONE_NEWUTS},
	{"ns/cgroup", CLONE_NEWCGROUP},
};

uint64_t cell_namespaces(const struct cell_spec *spec, const struct cell_prep *prep)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < CELL_NAMESPACES; i++)
		flags |= namespaces[i].flag;
	flags &= ~(uint64_t)CLONE_NEWNET; /* cell_network() */
	return prep->userns ? flags : flags & ~(uint64_t)CLONE_NEWUSER;
}

/* ---- what forbids user namespaces ------------------------------------------------------------ */

/* The number in a sysctl, or -1. */
static long sysctl_number(const char *path)
{
	char text[24] = "";
	autofd fd = open(path, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text) - 1);

	return n <= 0 ? -1 : strtol(text, NULL, 10);
}

int cell_explain_userns(int r, struct failure *f)
{
	static const struct {
		const char *path;
		long forbids;
		const char *text;
	} switches[] = {
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1,
			"Ubuntu's AppArmor restricts unprivileged user namespaces; give warder a "
			"profile with `userns,`, or run `sysctl "
			"kernel.apparmor_restrict_unprivileged_userns=0`"},
		{"/proc/sys/kernel/unprivileged_userns_clone", 0,
			"this kernel forbids unprivileged user namespaces; run `sysctl "
			"kernel.unprivileged_userns_clone=1`"},
		{"/proc/sys/user/max_user_namespaces", 0,
			"this host allows no user namespace; run `sysctl "
			"user.max_user_namespaces=10000`"},
	};
	/* user_namespaces(7): nobody makes one in a chroot(2), nor is that to be told from here. */
	const char *why = "the container or host forbids them, maybe by its seccomp filter, or "
			  "this is a chroot";
	bool root = geteuid() == 0;
	int error = f->error ? f->error : r;
	char before[160];

	snprintf(before, sizeof(before), "%.159s", f->text);
	if (error == -EAGAIN) {
		f->error = 0;
		return fail(f, error, "%s; raise `ulimit -u`, or end other processes of this user",
			before);
	}
	if (error != -EPERM && error != -EACCES && error != -ENOSPC && error != -EUSERS)
		return r;
	for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
		if ((!root || i == 2) && sysctl_number(switches[i].path) == switches[i].forbids) {
			why = switches[i].text;
			break;
		}
	}
	f->error = 0;
	return fail(f, error, "%s%suser namespaces: %s; or %suse `root host` (--root host)", before,
		*before ? "; " : "", why, root ? "" : "start warder as root, or ");
}

/* ---- maps ------------------------------------------------------------------------------------ */

static int write_at(int dir_fd, const char *name, const char *text)
{
	autofd fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* user_namespaces(7): a map is written by one write(2). */
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int write_maps(const struct cell_spec *spec, int proc_fd, struct failure *f)
{
	char text[64];
	int r;

	/* The supplementary groups were set before; who is inside cannot shed one, which could be
	 * there to deny something (user_namespaces(7), "setgroups"). */
	r = write_at(proc_fd, "setgroups", "deny");
	snprintf(text, sizeof(text), "%u %u 1\n", (unsigned)spec->uid, (unsigned)spec->uid);
	if (r == 0)
		r = write_at(proc_fd, "uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1\n", (unsigned)spec->gid, (unsigned)spec->gid);
	if (r == 0)
		r = write_at(proc_fd, "gid_map", text);
	if (r == 0)
		return 0;
	fail(f, r, "user namespaces: cannot map uid %u and gid %u: %m", (unsigned)spec->uid,
		(unsigned)spec->gid);
	return cell_explain_userns(r, f);
}

int cell_adopt(const struct cell_spec *spec, const struct cell_prep *prep, pid_t init,
	struct cell_ns *ret_ns, struct failure *f)
{
	autofd proc_fd = -1;
	char path[32];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d", (int)init);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return fail(f, -errno, "cannot find the cell's init in /proc: %m");
	if (prep->userns)
		r = write_maps(spec, proc_fd, f);
	for (size_t i = 0; r == 0 && i < CELL_NAMESPACES; i++) {
		if (namespaces[i].flag == CLONE_NEWNET ||
			(namespaces[i].flag == CLONE_NEWUSER && !prep->userns))
			continue;
		ret_ns->fds[i] = openat(proc_fd, namespaces[i].name, O_RDONLY | O_CLOEXEC);
		if (ret_ns->fds[i] < 0)
			r = fail(f, -errno, "namespaces: cannot open the cell's %s: %m",
				namespaces[i].name);
	}
	return r;
}

/* ---- inside ---------------------------------------------------------------------------------- */

int user_take(const struct cell_spec *spec, struct failure *f)
{
	/* Files that init makes in a tmpfs of the cell belong to the fsuid, which must be mapped:
	 * else EOVERFLOW.  With uid 0 unmapped, leaving it costs no capability
	 * (capabilities(7), "Effect of user ID changes"). */
	if (setresgid(spec->gid, spec->gid, spec->gid) < 0 ||
		setresuid(spec->uid, spec->uid, spec->uid) < 0)
		return fail(f, -errno, "cannot become uid %u, gid %u in the cell: %m",
			(unsigned)spec->uid, (unsigned)spec->gid);
	return 0;
}
