/* SPDX-License-Identifier: MIT */
/*
 * ops.c - the rows of the message table that change nothing: handle_<op>() answers warder_<op>().
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 *
 * What is read goes through the view, as the worker's own reading would.
 */
#include "broker/ops.h"
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/identity.h"
#include "broker/open_path.h"
#include "broker/resolve.h"
#include "common/codec.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LIST_BUFFER 16384 /* of one getdents64(2) */

#define WATCH_EVENTS IN_ALL_EVENTS
#define WATCH_FLAGS  (IN_ONLYDIR | IN_EXCL_UNLINK | IN_ONESHOT)

int handle_hello(struct session *s, struct request *q, uint8_t *data)
{
	if (q->flags != MSG_VERSION)
		return -EPROTONOSUPPORT;
	s->phase = PHASE_RUNNING;
	return 0;
}

int handle_open(struct session *s, struct request *q, uint8_t *data)
{
	int r = open_path(s, q);

	return r < 0 ? r : ANSWER_FD;
}

/* ---- names and metadata: no right, but a name that is visible -------------------------------- */

static int refuse_invisible(struct session *s, struct request *q)
{
	/* The words of a denial speak of what the least right would have been. */
	q->blamed = &q->target;
	q->blamed_rights = RIGHT_LIST;
	q->answer.missing = RIGHT_LIST;
	return decide_refuse(s, q);
}

/* Resolves a visible name, and proves that what it leads to is visible too. */
static int look(struct session *s, struct request *q, int root_fd, bool follow)
{
	struct target *t = &q->target;
	int r;

	if (!decide_visible(s, t))
		return refuse_invisible(s, q);
	/* A rule `as broker` lends its authority to the walk. */
	t->rights = RIGHT_LIST;
	if (decide(s, q) != VERDICT_ALLOW)
		q->answer = (struct policy_answer){.verdict = VERDICT_DENY};
	t->rights = 0;
	r = resolve_inode(s, q, t, root_fd, follow);
	if (r < 0)
		return r;
	if (decide_visible(s, t))
		return 0;
	q->blamed_reached = true;
	return refuse_invisible(s, q);
}

static void put_stat(uint8_t *data, const struct stat *st)
{
	const struct msg_stat m = {
		.dev = st->st_dev,
		.ino = st->st_ino,
		.nlink = st->st_nlink,
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.blksize = (uint64_t)st->st_blksize,
		.rdev = st->st_rdev,
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.atime = st->st_atim.tv_sec,
		.mtime = st->st_mtim.tv_sec,
		.ctime = st->st_ctim.tv_sec,
		.atime_ns = (uint32_t)st->st_atim.tv_nsec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
		.ctime_ns = (uint32_t)st->st_ctim.tv_nsec,
	};
	struct enc e = enc_init(data, MSG_STAT_SIZE);

	msg_put_stat(&e, &m);
}

int handle_stat(struct session *s, struct request *q, uint8_t *data)
{
	struct stat st;
	int r;

	if (q->flags & ~(uint32_t)AT_SYMLINK_NOFOLLOW)
		return refuse(q, EINVAL, "unknown flags %#x", q->flags);
	r = look(s, q, s->cell->view_fd, !(q->flags & AT_SYMLINK_NOFOLLOW));
	if (r == 0)
		r = charge(s, q, false);
	if (r == 0 && fstat(q->target.fd, &st) < 0)
		r = -errno;
	if (r < 0)
		return r;
	put_stat(data, &st);
	q->data_size = MSG_STAT_SIZE;
	return 0;
}

/* The rights that access(2) asks about. */
static unsigned access_rights(const struct request *q)
{
	bool directory = S_ISDIR(q->target.mode);
	unsigned rights = 0;

	if (q->flags & R_OK)
		rights |= directory ? RIGHT_LIST : RIGHT_READ;
	if (q->flags & W_OK)
		rights |= directory ? RIGHT_CREATE : RIGHT_WRITE;
	/* To search a directory is to see names, for which there is no right. */
	if ((q->flags & X_OK) && !directory)
		rights |= RIGHT_EXEC;
	return rights;
}

int handle_access(struct session *s, struct request *q, uint8_t *data)
{
	struct target *t = &q->target;
	unsigned as;
	int r;

	if (q->flags & ~(uint32_t)(R_OK | W_OK | X_OK))
		return refuse(q, EINVAL, "unknown flags %#x", q->flags);
	/* The view is read-only: asked there, nothing could be written. */
	r = look(s, q, q->flags & W_OK ? s->cell->twin_fd : s->cell->view_fd, true);
	if (r < 0)
		return r;
	t->rights = access_rights(q);
	if (t->rights && decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = charge(s, q, false);
	if (r < 0 || q->flags == F_OK)
		return r;
	as = t->rights ? q->answer.as : AS_WORKER;
	r = identity_take(s, as);
	if (r < 0)
		return r;
	/* AT_EACCESS: the file system uid, not the broker's real one; Linux 5.8. */
	if (syscall(SYS_faccessat2, t->fd, "", q->flags, AT_EMPTY_PATH | AT_EACCESS) < 0)
		r = -errno;
	identity_drop(s, as);
	if (r == -EACCES)
		decide_explain(s, q, t);
	return r;
}

/* ---- what needs a right ---------------------------------------------------------------------- */

/* Decides, resolves under the view, decides on what was reached, charges. */
static int reach(struct session *s, struct request *q, unsigned rights, bool follow, bool for_fd)
{
	struct target *t = &q->target;
	int r;

	t->rights = rights;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve_inode(s, q, t, s->cell->view_fd, follow);
	if (r < 0)
		return r;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	return charge(s, q, for_fd);
}

int handle_readlink(struct session *s, struct request *q, uint8_t *data)
{
	ssize_t n;
	int r = reach(s, q, RIGHT_READ, false, false);

	if (r < 0)
		return r;
	if (!S_ISLNK(q->target.mode))
		return -EINVAL;
	n = readlinkat(q->target.fd, "", (char *)data, MSG_PATH_MAX);
	if (n < 0)
		return -errno;
	q->data_size = (size_t)n;
	return 0;
}

/* An entry as getdents64(2) gives it to one as the answer has it.  A name that is too long for
 * that, as a FUSE server may tell one, could not be asked for either. */
static void put_entry(struct enc *e, const struct dirent64 *entry)
{
	size_t n = strlen(entry->d_name);

	if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || n > NAME_MAX)
		return;
	enc_u64(e, entry->d_ino);
	enc_u8(e, entry->d_type);
	enc_u8(e, (uint8_t)n);
	enc_bytes(e, entry->d_name, n);
}

/*
 * Puts entries while another buffer of them would fit: an entry of the answer is never longer than
 * the kernel's.  *ret_cookie: where to go on; 0 at the end.
 */
static int list_entries(int fd, struct enc *e, uint64_t *ret_cookie)
{
	_Alignas(struct dirent64) char buf[LIST_BUFFER];
	long n;

	while ((size_t)(e->end - e->at) >= sizeof(buf)) {
		n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
		if (n <= 0) {
			*ret_cookie = 0;
			return n < 0 ? -errno : 0;
		}
		for (long at = 0; at < n;) {
			const struct dirent64 *entry = (const struct dirent64 *)(buf + at);

			put_entry(e, entry);
			*ret_cookie = (uint64_t)entry->d_off;
			at += entry->d_reclen;
		}
	}
	return e->error;
}

static int list_open(struct session *s, struct request *q, int *ret_fd)
{
	unsigned as = q->answer.as;
	int r = identity_take(s, as);

	if (r < 0)
		return r;
	r = open_again(s, q->target.fd, O_RDONLY | O_DIRECTORY, 0, ret_fd);
	identity_drop(s, as);
	if (r == -EACCES)
		decide_explain(s, q, &q->target);
	return r;
}

int handle_list(struct session *s, struct request *q, uint8_t *data)
{
	struct enc e = enc_init(data, OPS_DATA_MAX), head = enc_init(data, sizeof(uint64_t));
	uint64_t cookie = 0;
	autofd fd = -1;
	int r = reach(s, q, RIGHT_LIST, true, false);

	if (r == 0 && !S_ISDIR(q->target.mode))
		r = -ENOTDIR;
	if (r == 0)
		r = decide_inode(s, q, &q->target, q->target.fd);
	if (r == 0)
		r = list_open(s, q, &fd);
	if (r == 0 && q->offset > 0 && lseek(fd, (off_t)q->offset, SEEK_SET) < 0)
		r = -errno;
	if (r < 0)
		return r;
	enc_u64(&e, 0);
	r = list_entries(fd, &e, &cookie);
	if (r < 0)
		return r;
	enc_u64(&head, cookie);
	q->data_size = enc_size(&e);
	return 0;
}

/* inotify has no call that takes a descriptor for the place: its name in /proc is given. */
static int watch_inode(struct session *s, struct request *q, int *ret_fd)
{
	char path[32];
	autofd fd = inotify_init1(IN_CLOEXEC);
	unsigned as = q->answer.as;
	int r;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", q->target.fd);
	r = identity_take(s, as);
	if (r < 0)
		return r;
	if (inotify_add_watch(fd, path, q->flags) < 0)
		r = -errno;
	identity_drop(s, as);
	if (r == 0)
		*ret_fd = fd_take(&fd);
	return r;
}

int handle_watch(struct session *s, struct request *q, uint8_t *data)
{
	int r;

	if ((q->flags & ~(uint32_t)(WATCH_EVENTS | WATCH_FLAGS)) || !(q->flags & WATCH_EVENTS))
		return refuse(q, EINVAL, "events that cannot be watched: %#x", q->flags);
	r = reach(s, q, RIGHT_READ, true, true);
	if (r == 0)
		r = decide_inode(s, q, &q->target, q->target.fd);
	if (r == 0)
		r = watch_inode(s, q, &q->fd);
	if (r == -EACCES)
		decide_explain(s, q, &q->target);
	return r < 0 ? r : ANSWER_FD;
}
