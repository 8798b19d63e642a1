/* SPDX-License-Identifier: MIT */
/*
 * kernel_fs.c - file systems that the kernel makes up: no rule over "/" reaches into them.
 *
 * Runs in: broker.  Trusts: fstatfs(2).
 *
 * A file of sysfs or cgroupfs is a command to the kernel, and who writes `allow rw /srv/` does not
 * mean the cgroup tree that someone mounts below it.  Such a file is granted only where a rule's
 * own path stands on that very file system (`allow read /sys/class/net/`).  procfs is never: what
 * it shows depends on who opens it, and that would be the broker; the worker has a /proc of its
 * own.
 */
#include "broker/kernel_fs.h"
#include "broker/decide.h"
#include "broker/open_path.h"
#include "common/fd.h"
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

static const struct {
	unsigned long magic;
	const char *name;
} kernel_fs[] = {
	{PROC_SUPER_MAGIC, "procfs"},
	{SYSFS_MAGIC, "sysfs"},
	{CGROUP_SUPER_MAGIC, "cgroupfs"},
	{CGROUP2_SUPER_MAGIC, "cgroupfs"},
	{DEBUGFS_MAGIC, "debugfs"},
	{TRACEFS_MAGIC, "tracefs"},
	{SECURITYFS_MAGIC, "securityfs"},
	{SELINUX_MAGIC, "selinuxfs"},
	{SMACK_MAGIC, "smackfs"},
	{AAFS_MAGIC, "apparmorfs"},
	{BPF_FS_MAGIC, "bpffs"},
	{EFIVARFS_MAGIC, "efivarfs"},
	{PSTOREFS_MAGIC, "pstore"},
	{BINFMTFS_MAGIC, "binfmt_misc"},
	{NSFS_MAGIC, "nsfs"},
	{DEVPTS_SUPER_MAGIC, "devpts"},
	{XENFS_SUPER_MAGIC, "xenfs"},
	{RDTGROUP_SUPER_MAGIC, "resctrl"},
	{USBDEVICE_SUPER_MAGIC, "usbfs"},
	{0x62656570, "configfs"}, /* CONFIGFS_MAGIC, not in linux/magic.h; so below */
	{0x65735543, "fusectl"},
	{0x19800202, "mqueue"},
};

static const char *kernel_name(unsigned long magic)
{
	for (size_t i = 0; i < sizeof(kernel_fs) / sizeof(kernel_fs[0]); i++) {
		if (kernel_fs[i].magic == magic)
			return kernel_fs[i].name;
	}
	return NULL;
}

static bool begins_on(struct session *s, const char *path, dev_t dev)
{
	autofd fd = -1;
	struct stat st;

	return open_beneath(s->cell->view_fd, path_relative(path), O_PATH, 0, FOLLOW_NONE, &fd) ==
		       0 &&
	       fstat(fd, &st) == 0 && st.st_dev == dev;
}

/* Whether a rule that allows something here names a path on this very file system. */
static bool is_meant(struct session *s, const struct target *t, dev_t dev)
{
	for (size_t i = 0; i < policy_tree_count(s->policy); i++) {
		const struct policy_tree *tree = policy_tree(s->policy, i);

		if (tree->verdict == VERDICT_ALLOW && !tree->missing &&
			(tree->rights & RIGHTS_FILES) && tree->resolved &&
			path_holds(tree->resolved, t->reached, t->reached_size) &&
			begins_on(s, tree->resolved, dev))
			return true;
	}
	return false;
}

/* The kind of a device number: asked once, since a mount of the cell does not change its own. */
static int is_kernel(struct session *s, dev_t dev, int fd, bool *ret)
{
	struct statfs fs;

	for (size_t i = 0; i < s->n_fs; i++) {
		if (s->fs[i].dev == dev) {
			*ret = s->fs[i].kernel;
			return 0;
		}
	}
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	*ret = kernel_name((unsigned long)fs.f_type) != NULL;
	if (s->n_fs < KNOWN_FS_MAX)
		s->fs[s->n_fs++] = (struct known_fs){.dev = dev, .kernel = *ret};
	return 0;
}

int kernel_fs_check(struct session *s, struct request *q, const struct target *t, dev_t dev, int fd)
{
	const char *name;
	struct statfs fs;
	bool kernel = true;
	int r = is_kernel(s, dev, fd, &kernel);

	if (r < 0)
		return r;
	if (!kernel)
		return 0;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type == PROC_SUPER_MAGIC)
		return refuse(q, EACCES, "a file of procfs: the worker has a /proc of its own");
	if (is_meant(s, t, dev))
		return 0;
	name = kernel_name((unsigned long)fs.f_type);
	return refuse(q, EACCES, "a file of the kernel's %s, and no rule's path begins there",
		name ? name : "own");
}
