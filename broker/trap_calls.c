/* SPDX-License-Identifier: MIT */
/*
 * trap_calls.c - from a trapped call's arguments to a request: one function a system call.
 *
 * Runs in: broker.  Trusts: nothing.  An int argument is the low half of its register, as the
 * kernel takes it.
 */
#include "broker/decide.h"
#include "broker/open_flags.h"
#include "broker/tracee.h"
#include "broker/trap_take.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <utime.h>

#define RESOLVE_CACHED_ 0x20 /* Linux 5.12 */
#define RESOLVE_KNOWN   0x3f
#define TAIL_LIMIT      (4096 - sizeof(struct open_how)) /* of a page, as the kernel has it */

/* ---- opening and running ------------------------------------------------------------------- */

/* What open(2) and openat(2) pass over in silence. */
#define OPEN_KNOWN \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | \
		O_DIRECT | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | O_PATH | \
		O_TMPFILE)

static int open_at(const struct session *s, struct trap *t, int dir_fd, uint64_t address,
	uint64_t flags, uint64_t mode)
{
	struct request *q = &t->q;

	q->op = MSG_OPEN;
	q->flags = (uint32_t)flags & OPEN_KNOWN;
	/* open(2): with O_PATH all flags but these are ignored. */
	if (q->flags & O_PATH)
		q->flags &= O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW;
	t->cloexec = q->flags & O_CLOEXEC;
	q->mode = 0;
	if (q->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		q->mode = take_new_mode(s, t, mode);
	return take_path(s, t, &q->target, dir_fd, address);
}

int take_openat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return open_at(s, t, arg_int(t, 0), a[1], a[2], a[3]);
}

/* What follows the structure that is known here: zero, or the caller asks for what is newer.  As
 * the kernel has it, openat2(2), "Extensibility". */
static int check_tail(const struct trap *t, uint64_t address, uint64_t size)
{
	uint8_t tail[256];

	if (size > TAIL_LIMIT)
		return -E2BIG;
	while (size > 0) {
		size_t n = size < sizeof(tail) ? (size_t)size : sizeof(tail);
		int r = tracee_read(t->notice.tid, address, tail, n);

		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			if (tail[i])
				return -E2BIG;
		}
		address += n;
		size -= n;
	}
	return 0;
}

/* In the kernel's order: what it would not take from anybody. */
static int check_how(const struct open_how *how)
{
	bool creates = how->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY));

	if (how->flags & ~(uint64_t)(OPEN_KNOWN | O_LARGEFILE_KERNEL) ||
		how->resolve & ~(uint64_t)RESOLVE_KNOWN)
		return -EINVAL;
	return how->mode & ~(uint64_t)(creates ? 07777 : 0) ? -EINVAL : 0;
}

/*
 * A data tree is always resolved as RESOLVE_NO_MAGICLINKS has it.  The other ways of resolving are
 * refused as on a kernel without openat2(2), which every caller expects: doing half of what was
 * asked would be worse.
 */
int take_openat2(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;
	struct open_how how;
	int r;

	t->q.op = MSG_OPEN;
	if (a[3] < sizeof(how))
		return -EINVAL;
	r = check_tail(t, a[2] + sizeof(how), a[3] - sizeof(how));
	if (r == 0)
		r = tracee_read(t->notice.tid, a[2], &how, sizeof(how));
	if (r == 0)
		r = check_how(&how);
	if (r < 0)
		return r;
	t->q.target.no_symlinks = how.resolve & RESOLVE_NO_SYMLINKS;
	if (how.resolve &
		~(uint64_t)(RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_CACHED_))
		return refuse(&t->q, ENOSYS, "openat2 with resolve flags %#llx",
			(unsigned long long)how.resolve);
	return open_at(s, t, arg_int(t, 0), a[1], how.flags, how.mode);
}

int take_execve(const struct session *s, struct trap *t)
{
	t->q.op = OP_EXEC;
	return take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[0]);
}

int take_execveat(const struct session *s, struct trap *t)
{
	int flags = arg_int(t, 4);
	char link[32];
	int n;

	t->q.op = OP_EXEC;
	t->q.flags = (uint32_t)flags & AT_SYMLINK_NOFOLLOW;
	n = tracee_string(t->notice.tid, t->notice.args[1], t->path, sizeof(t->path));
	if (n < 0)
		return n;
	if (n > 0 || !(flags & AT_EMPTY_PATH))
		return take_text(s, t, &t->q.target, arg_int(t, 0), t->path, (size_t)n);
	n = snprintf(link, sizeof(link), "/proc/self/fd/%d", arg_int(t, 0));
	return take_text(s, t, &t->q.target, AT_FDCWD, link, (size_t)n);
}

/* ---- looking ------------------------------------------------------------------------------- */

static int access_at(
	const struct session *s, struct trap *t, int dir_fd, uint64_t address, int mode, int flags)
{
	t->q.op = MSG_ACCESS;
	t->q.flags = (uint32_t)mode;
	if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return take_path_or_fd(s, t, dir_fd, address, flags);
}

int take_faccessat(const struct session *s, struct trap *t)
{
	return access_at(s, t, arg_int(t, 0), t->notice.args[1], arg_int(t, 2), 0);
}

int take_faccessat2(const struct session *s, struct trap *t)
{
	return access_at(s, t, arg_int(t, 0), t->notice.args[1], arg_int(t, 2), arg_int(t, 3));
}

int take_inotify_add_watch(const struct session *s, struct trap *t)
{
	t->q.op = MSG_WATCH;
	t->watch_fd = arg_int(t, 0);
	t->q.flags = (uint32_t)t->notice.args[2];
	return take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[1]);
}

/* ---- names ----------------------------------------------------------------------------------- */

static int mkdir_at(
	const struct session *s, struct trap *t, int dir_fd, uint64_t address, uint64_t mode)
{
	t->q.op = MSG_MKDIR;
	t->q.mode = take_new_mode(s, t, mode);
	return take_path(s, t, &t->q.target, dir_fd, address);
}

int take_mkdirat(const struct session *s, struct trap *t)
{
	return mkdir_at(s, t, arg_int(t, 0), t->notice.args[1], t->notice.args[2]);
}

static int mknod_at(
	const struct session *s, struct trap *t, int dir_fd, uint64_t address, uint64_t mode)
{
	t->q.op = OP_MKNOD;
	t->q.mode = take_new_mode(s, t, mode) | ((mode_t)mode & S_IFMT);
	return take_path(s, t, &t->q.target, dir_fd, address);
}

int take_mknodat(const struct session *s, struct trap *t)
{
	return mknod_at(s, t, arg_int(t, 0), t->notice.args[1], t->notice.args[2]);
}

static int symlink_at(
	const struct session *s, struct trap *t, uint64_t text, int dir_fd, uint64_t address)
{
	struct request *q = &t->q;
	int n;

	q->op = MSG_SYMLINK;
	n = tracee_string(t->notice.tid, text, q->link_text, sizeof(q->link_text));
	if (n <= 0)
		return n < 0 ? n : -ENOENT;
	q->link_size = (size_t)n;
	return take_path(s, t, &q->target2, dir_fd, address);
}

int take_symlinkat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return symlink_at(s, t, a[0], arg_int(t, 1), a[2]);
}

static int two_at(const struct session *s, struct trap *t, enum msg_op op, int dir_fd,
	uint64_t address, int dir2_fd, uint64_t address2)
{
	int r;

	t->q.op = op;
	r = take_path(s, t, &t->q.target, dir_fd, address);
	return r < 0 ? r : take_path(s, t, &t->q.target2, dir2_fd, address2);
}

int take_linkat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	/* A file without a name gets none here. */
	if (arg_int(t, 4) & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	t->q.flags = (uint32_t)arg_int(t, 4) & AT_SYMLINK_FOLLOW;
	return two_at(s, t, MSG_LINK, arg_int(t, 0), a[1], arg_int(t, 2), a[3]);
}

int take_renameat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return two_at(s, t, MSG_RENAME, arg_int(t, 0), a[1], arg_int(t, 2), a[3]);
}

int take_renameat2(const struct session *s, struct trap *t)
{
	t->q.flags = (uint32_t)t->notice.args[4];
	return take_renameat(s, t);
}

int take_unlinkat(const struct session *s, struct trap *t)
{
	int flags = arg_int(t, 2);

	t->q.op = flags & AT_REMOVEDIR ? MSG_RMDIR : MSG_UNLINK;
	if (flags & ~AT_REMOVEDIR)
		return -EINVAL;
	return take_path(s, t, &t->q.target, arg_int(t, 0), t->notice.args[1]);
}

/* ---- what an inode holds ------------------------------------------------------------------- */

int take_truncate(const struct session *s, struct trap *t)
{
	t->q.op = MSG_TRUNCATE;
	t->q.offset = t->notice.args[1];
	if ((int64_t)t->q.offset < 0)
		return -EINVAL;
	return take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[0]);
}

static void mode_of(struct trap *t, uint64_t mode)
{
	t->q.op = MSG_CHMOD;
	t->q.mode = (mode_t)mode & 07777;
}

int take_fchmod(const struct session *s, struct trap *t)
{
	mode_of(t, t->notice.args[1]);
	return take_descriptor(s, t, arg_int(t, 0));
}

int take_fchmodat(const struct session *s, struct trap *t)
{
	mode_of(t, t->notice.args[2]);
	return take_path(s, t, &t->q.target, arg_int(t, 0), t->notice.args[1]);
}

static void owner_at(struct trap *t, uint64_t owner, uint64_t group, int flags)
{
	t->q.op = OP_CHOWN;
	t->q.owner = (uid_t)owner;
	t->q.group = (gid_t)group;
	t->q.flags = (uint32_t)flags & AT_SYMLINK_NOFOLLOW;
}

int take_fchown(const struct session *s, struct trap *t)
{
	owner_at(t, t->notice.args[1], t->notice.args[2], 0);
	return take_descriptor(s, t, arg_int(t, 0));
}

int take_fchownat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;
	int flags = arg_int(t, 4);

	owner_at(t, a[2], a[3], flags);
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	return a[1] ? take_path_or_fd(s, t, arg_int(t, 0), a[1], flags) : -EFAULT;
}

static void now(struct request *q)
{
	q->times[0] = q->times[1] = (struct timespec){.tv_nsec = UTIME_NOW};
}

int take_utimensat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;
	int flags = arg_int(t, 3);
	int r;

	t->q.op = MSG_UTIMES;
	t->q.flags = (uint32_t)flags & AT_SYMLINK_NOFOLLOW;
	if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) || (flags && !a[1]))
		return -EINVAL;
	now(&t->q);
	r = a[2] ? tracee_read(t->notice.tid, a[2], t->q.times, sizeof(t->q.times)) : 0;
	return r < 0 ? r : take_path_or_fd(s, t, arg_int(t, 0), a[1], flags);
}

/* ---- extended attributes --------------------------------------------------------------------- */

static int take_xattr_name(struct trap *t, unsigned op, uint64_t address)
{
	int n;

	t->q.op = op;
	n = tracee_string(t->notice.tid, address, t->q.xattr, sizeof(t->q.xattr));
	if (n == -ENAMETOOLONG || n == 0)
		return -ERANGE;
	return n < 0 ? n : 0;
}

static int take_xattr(struct trap *t)
{
	const uint64_t *a = t->notice.args;
	int r = take_xattr_name(t, OP_SETXATTR, a[1]);

	if (r < 0)
		return r;
	if (a[3] > sizeof(t->value_buffer))
		return -E2BIG;
	t->q.flags = (uint32_t)a[4];
	t->q.value = t->value_buffer;
	t->q.value_size = (size_t)a[3];
	return a[3] ? tracee_read(t->notice.tid, a[2], t->value_buffer, (size_t)a[3]) : 0;
}

static int take_xattr_path(const struct session *s, struct trap *t, int r)
{
	return r < 0 ? r : take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[0]);
}

static int take_xattr_fd(const struct session *s, struct trap *t, int r)
{
	return r < 0 ? r : take_descriptor(s, t, arg_int(t, 0));
}

/* A link carries no attribute of a user's, so that it is not asked whether to follow one. */
int take_setxattr(const struct session *s, struct trap *t)
{
	return take_xattr_path(s, t, take_xattr(t));
}

int take_lsetxattr(const struct session *s, struct trap *t)
{
	t->q.mode = AT_SYMLINK_NOFOLLOW;
	return take_xattr_path(s, t, take_xattr(t));
}

int take_fsetxattr(const struct session *s, struct trap *t)
{
	return take_xattr_fd(s, t, take_xattr(t));
}

int take_removexattr(const struct session *s, struct trap *t)
{
	return take_xattr_path(s, t, take_xattr_name(t, OP_REMOVEXATTR, t->notice.args[1]));
}

int take_lremovexattr(const struct session *s, struct trap *t)
{
	t->q.mode = AT_SYMLINK_NOFOLLOW;
	return take_removexattr(s, t);
}

int take_fremovexattr(const struct session *s, struct trap *t)
{
	return take_xattr_fd(s, t, take_xattr_name(t, OP_REMOVEXATTR, t->notice.args[1]));
}

int take_umask(const struct session *s, struct trap *t)
{
	t->q.op = OP_UMASK;
	return 0;
}

/* A thread's: the filter lets other children pass. */
int take_clone(const struct session *s, struct trap *t)
{
	t->q.op = OP_PLACE;
	return 0;
}

int take_sched_getaffinity(const struct session *s, struct trap *t)
{
	t->q.op = OP_PLACE;
	return 0;
}

int take_sched_setaffinity(const struct session *s, struct trap *t)
{
	t->q.op = OP_PLACE;
	return 0;
}

/* ---- what arm64 never had -------------------------------------------------------------------- */

#ifdef __x86_64__
int take_open(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return open_at(s, t, AT_FDCWD, a[0], a[1], a[2]);
}

int take_creat(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return open_at(s, t, AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, a[1]);
}

int take_access(const struct session *s, struct trap *t)
{
	return access_at(s, t, AT_FDCWD, t->notice.args[0], arg_int(t, 1), 0);
}

int take_mkdir(const struct session *s, struct trap *t)
{
	return mkdir_at(s, t, AT_FDCWD, t->notice.args[0], t->notice.args[1]);
}

int take_mknod(const struct session *s, struct trap *t)
{
	return mknod_at(s, t, AT_FDCWD, t->notice.args[0], t->notice.args[1]);
}

int take_symlink(const struct session *s, struct trap *t)
{
	return symlink_at(s, t, t->notice.args[0], AT_FDCWD, t->notice.args[1]);
}

int take_link(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return two_at(s, t, MSG_LINK, AT_FDCWD, a[0], AT_FDCWD, a[1]);
}

int take_rename(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	return two_at(s, t, MSG_RENAME, AT_FDCWD, a[0], AT_FDCWD, a[1]);
}

int take_unlink(const struct session *s, struct trap *t)
{
	t->q.op = MSG_UNLINK;
	return take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[0]);
}

int take_rmdir(const struct session *s, struct trap *t)
{
	t->q.op = MSG_RMDIR;
	return take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[0]);
}

int take_chmod(const struct session *s, struct trap *t)
{
	mode_of(t, t->notice.args[1]);
	return take_path(s, t, &t->q.target, AT_FDCWD, t->notice.args[0]);
}

int take_chown(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	owner_at(t, a[1], a[2], 0);
	return take_path(s, t, &t->q.target, AT_FDCWD, a[0]);
}

int take_lchown(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;

	owner_at(t, a[1], a[2], AT_SYMLINK_NOFOLLOW);
	return take_path(s, t, &t->q.target, AT_FDCWD, a[0]);
}

int take_utime(const struct session *s, struct trap *t)
{
	const uint64_t *a = t->notice.args;
	struct utimbuf times;
	int r = 0;

	t->q.op = MSG_UTIMES;
	now(&t->q);
	if (a[1])
		r = tracee_read(t->notice.tid, a[1], &times, sizeof(times));
	if (r == 0 && a[1]) {
		t->q.times[0] = (struct timespec){.tv_sec = times.actime};
		t->q.times[1] = (struct timespec){.tv_sec = times.modtime};
	}
	return r < 0 ? r : take_path(s, t, &t->q.target, AT_FDCWD, a[0]);
}

static int utimes_at(
	const struct session *s, struct trap *t, int dir_fd, uint64_t address, uint64_t times)
{
	struct timeval v[2];
	int r = 0;

	t->q.op = MSG_UTIMES;
	now(&t->q);
	if (times)
		r = tracee_read(t->notice.tid, times, v, sizeof(v));
	for (size_t i = 0; r == 0 && times && i < 2; i++) {
		if (v[i].tv_usec < 0 || v[i].tv_usec > 999999)
			return -EINVAL;
		t->q.times[i] =
			(struct timespec){.tv_sec = v[i].tv_sec, .tv_nsec = v[i].tv_usec * 1000};
	}
	return r < 0 ? r : take_path_or_fd(s, t, dir_fd, address, 0);
}

int take_utimes(const struct session *s, struct trap *t)
{
	return utimes_at(s, t, AT_FDCWD, t->notice.args[0], t->notice.args[1]);
}

int take_futimesat(const struct session *s, struct trap *t)
{
	return utimes_at(s, t, arg_int(t, 0), t->notice.args[1], t->notice.args[2]);
}
#endif
