/* SPDX-License-Identifier: MIT */
/*
 * lib_ops.c - a stub for each row of the message table but open: warder_<op>() asks what
 * handle_<op>() answers.
 *
 * Runs in: worker.  Trusts: its caller.
 */
#include "sandbox/lib.h"
#include "common/fd.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

/* A request with the buffers its paths may need. */
struct ask {
	struct msg_request q;
	char path[MSG_PATH_MAX + 1], path2[MSG_PATH_MAX + 1];
};

static int ask_path(struct ask *a, const char *path)
{
	return lib_path(path, a->path, &a->q.path, &a->q.path_size);
}

static int ask_path2(struct ask *a, const char *path)
{
	return lib_path(path, a->path2, &a->q.path2, &a->q.path2_size);
}

/* The common case: an answer that is yes or no. */
static int ask_plain(struct warder *w, enum msg_op op, struct ask *a, int r)
{
	struct msg_answer answer;

	if (r == 0)
		r = lib_ask_once(w, op, &a->q, NULL, 0, &answer);
	return lib_errno(r);
}

static void fill_stat(const struct msg_stat *s, struct stat *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->st_dev = s->dev;
	ret->st_ino = s->ino;
	ret->st_nlink = s->nlink;
	ret->st_size = (off_t)s->size;
	ret->st_blocks = (blkcnt_t)s->blocks;
	ret->st_blksize = (blksize_t)s->blksize;
	ret->st_rdev = s->rdev;
	ret->st_mode = s->mode;
	ret->st_uid = s->uid;
	ret->st_gid = s->gid;
	ret->st_atim = (struct timespec){.tv_sec = s->atime, .tv_nsec = s->atime_ns};
	ret->st_mtim = (struct timespec){.tv_sec = s->mtime, .tv_nsec = s->mtime_ns};
	ret->st_ctim = (struct timespec){.tv_sec = s->ctime, .tv_nsec = s->ctime_ns};
}

int warder_stat(struct warder *w, const char *path, int flags, struct stat *ret)
{
	struct ask a = {.q.flags = (uint32_t)flags};
	struct msg_answer answer;
	struct msg_stat s = {0};
	struct dec d;
	int r = ask_path(&a, path);

	if (r == 0)
		r = lib_ask_once(w, MSG_STAT, &a.q, NULL, MSG_STAT_SIZE, &answer);
	if (r == 0) {
		d = dec_init(answer.data, answer.data_size);
		msg_get_stat(&d, &s);
		fill_stat(&s, ret);
	}
	return lib_errno(r);
}

int warder_access(struct warder *w, const char *path, int mode)
{
	struct ask a = {.q.flags = (uint32_t)mode};

	return ask_plain(w, MSG_ACCESS, &a, ask_path(&a, path));
}

ssize_t warder_readlink(struct warder *w, const char *path, char *buf, size_t size)
{
	struct ask a = {.q.flags = 0};
	struct msg_answer answer;
	int r = size > 0 ? ask_path(&a, path) : -EINVAL;

	if (r == 0)
		r = lib_ask_once(w, MSG_READLINK, &a.q, NULL, -1, &answer);
	if (r == 0 && (answer.data_size == 0 || answer.data_size > MSG_PATH_MAX))
		r = lib_break(w, EPROTO);
	if (r < 0)
		return lib_errno(r);
	if (size > answer.data_size)
		size = answer.data_size;
	memcpy(buf, answer.data, size);
	return (ssize_t)size;
}

/* One entry off the answer.  0 or -EPROTO: no file can have such a name. */
static int get_entry(struct dec *d, char name[NAME_MAX + 1], struct warder_entry *ret)
{
	size_t size;
	const char *p;

	ret->ino = dec_u64(d);
	ret->type = dec_u8(d);
	size = dec_u8(d);
	p = dec_bytes(d, size);
	if (d->error || size == 0 || memchr(p, '\0', size) || memchr(p, '/', size))
		return -EPROTO;
	memcpy(name, p, size);
	name[size] = '\0';
	ret->name = name;
	return 0;
}

/* The entries of one answer.  Sets *ret to what each() returned if it stopped the list. */
static int list_some(struct warder *w, const struct msg_answer *answer, uint64_t *ret_cookie,
	int (*each)(void *ctx, const struct warder_entry *entry), void *ctx, int *ret)
{
	struct dec d = dec_init(answer->data, answer->data_size);
	char name[NAME_MAX + 1];
	struct warder_entry entry;
	int r = 0;

	*ret_cookie = dec_u64(&d);
	if (d.error)
		return lib_break(w, EPROTO);
	w->busy = true;
	while (r == 0 && *ret == 0 && d.at < d.end) {
		r = get_entry(&d, name, &entry);
		if (r == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			*ret = each(ctx, &entry);
	}
	w->busy = false;
	return r < 0 ? lib_break(w, EPROTO) : 0;
}

int warder_list(struct warder *w, const char *path,
	int (*each)(void *ctx, const struct warder_entry *entry), void *ctx)
{
	struct ask a = {.q.flags = 0};
	struct msg_answer answer;
	int stop = 0, r = ask_path(&a, path);

	while (r == 0) {
		r = lib_ask_once(w, MSG_LIST, &a.q, NULL, -1, &answer);
		if (r == 0)
			r = list_some(w, &answer, &a.q.offset, each, ctx, &stop);
		if (r == 0 && (stop != 0 || a.q.offset == 0))
			return stop;
	}
	return lib_errno(r);
}

int warder_mkdir(struct warder *w, const char *path, mode_t mode)
{
	struct ask a = {.q.mode = mode};

	return ask_plain(w, MSG_MKDIR, &a, ask_path(&a, path));
}

int warder_rmdir(struct warder *w, const char *path)
{
	struct ask a = {.q.flags = 0};

	return ask_plain(w, MSG_RMDIR, &a, ask_path(&a, path));
}

int warder_unlink(struct warder *w, const char *path)
{
	struct ask a = {.q.flags = 0};

	return ask_plain(w, MSG_UNLINK, &a, ask_path(&a, path));
}

static int ask_both(struct ask *a, const char *path, const char *new_path)
{
	int r = ask_path(a, path);

	return r < 0 ? r : ask_path2(a, new_path);
}

int warder_rename(struct warder *w, const char *path, const char *new_path, unsigned flags)
{
	struct ask a = {.q.flags = flags};

	return ask_plain(w, MSG_RENAME, &a, ask_both(&a, path, new_path));
}

int warder_link(struct warder *w, const char *path, const char *new_path)
{
	struct ask a = {.q.flags = 0};

	return ask_plain(w, MSG_LINK, &a, ask_both(&a, path, new_path));
}

int warder_symlink(struct warder *w, const char *text, const char *new_path)
{
	struct ask a = {.q.path = text};
	size_t size = text ? strlen(text) : 0;
	int r = ask_path2(&a, new_path);

	/* What a link holds stays as it is: relative is relative to the link. */
	if (r == 0 && size == 0)
		r = text ? -ENOENT : -EFAULT;
	if (r == 0 && size > MSG_PATH_MAX)
		r = -ENAMETOOLONG;
	a.q.path_size = (uint16_t)size;
	return ask_plain(w, MSG_SYMLINK, &a, r);
}

int warder_truncate(struct warder *w, const char *path, off_t size)
{
	struct ask a = {.q.offset = (uint64_t)size};

	return ask_plain(w, MSG_TRUNCATE, &a, size < 0 ? -EINVAL : ask_path(&a, path));
}

int warder_chmod(struct warder *w, const char *path, mode_t mode)
{
	struct ask a = {.q.mode = mode};

	return ask_plain(w, MSG_CHMOD, &a, ask_path(&a, path));
}

int warder_utimes(struct warder *w, const char *path, const struct timespec times[2], int flags)
{
	const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
	const struct timespec *t = times ? times : now;
	struct ask a = {
		.q.flags = (uint32_t)flags,
		.q.atime = t[0].tv_sec,
		.q.atime_ns = (uint32_t)t[0].tv_nsec,
		.q.mtime = t[1].tv_sec,
		.q.mtime_ns = (uint32_t)t[1].tv_nsec,
	};

	return ask_plain(w, MSG_UTIMES, &a, ask_path(&a, path));
}

int warder_watch(struct warder *w, const char *path, uint32_t mask)
{
	struct ask a = {.q.flags = mask};
	struct msg_answer answer;
	int fd = -1, r = ask_path(&a, path);

	if (r == 0)
		r = lib_ask_once(w, MSG_WATCH, &a.q, &fd, 0, &answer);
	return lib_errno(r < 0 ? r : fd);
}
