/* SPDX-License-Identifier: MIT */
/*
 * abi.h - kernel interfaces that are newer than the headers or the C library we may be built with.
 *
 * Everything is guarded or has a name of its own, so that newer headers change nothing.  What the
 * running kernel knows is asked at run time, never assumed from a header.
 */
#ifndef WARDER_ABI_H
#define WARDER_ABI_H

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE /* glibc before 2.36 leaves the mount API to the kernel's header */
#include <linux/mount.h>
#endif

/* ---- Landlock: landlock(7) ----------------------------------------------------------------- */

#define ABI_FS_REFER     (1ULL << 13) /* ABI 2, Linux 5.19 */
#define ABI_FS_TRUNCATE  (1ULL << 14) /* ABI 3, Linux 6.2 */
#define ABI_FS_IOCTL_DEV (1ULL << 15) /* ABI 5, Linux 6.10 */
#define ABI_FS_FIRST     ((1ULL << 13) - 1)

#define ABI_NET_BIND_TCP    (1ULL << 0) /* ABI 4, Linux 6.7 */
#define ABI_NET_CONNECT_TCP (1ULL << 1)

#define ABI_SCOPE_ABSTRACT_UNIX (1ULL << 0) /* ABI 6, Linux 6.12 */
#define ABI_SCOPE_SIGNAL        (1ULL << 1)

struct abi_landlock_ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

/* ---- mounts: mount_setattr(2), open_tree(2), move_mount(2), fsopen(2) ------------------------ */

struct abi_mount_attr {
	uint64_t set;
	uint64_t clear;
	uint64_t propagation;
	uint64_t userns_fd;
};

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static inline int abi_open_tree(int dir_fd, const char *path, unsigned flags)
{
	return (int)syscall(SYS_open_tree, dir_fd, path, flags);
}

static inline int abi_move_mount(int from_fd, int to_dir_fd, const char *to)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*to ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

	return (int)syscall(SYS_move_mount, from_fd, "", to_dir_fd, to, flags);
}

static inline int abi_mount_setattr(
	int fd, unsigned flags, uint64_t set, uint64_t clear, uint64_t propagation)
{
	struct abi_mount_attr a = {.set = set, .clear = clear, .propagation = propagation};

	return (int)syscall(SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, &a, sizeof(a));
}

static inline int abi_fsopen(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int abi_fsconfig(int fs_fd, unsigned command, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs_fd, command, key, value, 0);
}

static inline int abi_fsmount(int fs_fd, unsigned attributes)
{
	return (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, attributes);
}

/* ---- seccomp(2), seccomp_unotify(2) ---------------------------------------------------------- */

#define ABI_SECCOMP_WAIT_KILLABLE_RECV (1U << 5) /* filter flag; Linux 5.19 */

/* ---- the rest ------------------------------------------------------------------------------ */

static inline int abi_openat2(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = {.flags = flags, .resolve = resolve};

	return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
}

static inline int abi_close_range(unsigned first, unsigned last)
{
	return first > last ? 0 : (int)syscall(SYS_close_range, first, last, 0);
}

#endif
