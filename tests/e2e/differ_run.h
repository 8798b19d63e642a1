/* SPDX-License-Identifier: MIT */
/*
 * differ_run.h - makes the requests, in one of three ways, and says what came of each in a line.
 *
 * A line names the request and its errno or all that can be told of what it gave.  Inodes are
 * called by the request that first had a descriptor of them: the numbers of two trees differ, but
 * which requests meet the same inode does not.
 */
#ifndef WARDER_E2E_DIFFER_RUN_H
#define WARDER_E2E_DIFFER_RUN_H

#include "tests/e2e/differ_request.h"
#include "sandbox/warder.h"

#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

enum way { NATIVE, ASK, TRAP };

/* Those flags of an open file that say how it reads and writes; the others bind the walk alone and
 * mean nothing afterwards (O_DIRECTORY, O_NOFOLLOW, O_LARGEFILE, O_TMPFILE). */
#define STATUS_FLAGS \
	(O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME | O_PATH)

/* Inodes seen, and by which request first; each is held by a descriptor so that its number is not
 * given out again. */
struct seen {
	dev_t dev;
	ino_t ino;
	unsigned index;
};
#define SEEN_MAX 4096

struct run {
	enum way way;   /* how the requests are made */
	enum way model; /* NATIVE: whose differences are made here too, see differences[] */
	const char *root;
	size_t root_size;
	mode_t mask;
	struct warder *broker;
	FILE *out;
	struct seen seen[SEEN_MAX];
	size_t n_seen;
	bool count_only; /* nothing is said but how many succeeded */
	uint64_t grants; /* successes that the ledger holds a grant of */
};

static inline unsigned seen_first(struct run *run, unsigned index, int fd, const struct stat *st)
{
	size_t i = 0;

	while (i < run->n_seen &&
		(run->seen[i].ino != st->st_ino || run->seen[i].dev != st->st_dev))
		i++;
	if (i == run->n_seen) {
		if (i == SEEN_MAX || fcntl(fd, F_DUPFD_CLOEXEC, 512) < 0)
			err(2, "too many inodes");
		run->seen[run->n_seen++] = (struct seen){st->st_dev, st->st_ino, index};
	}
	return run->seen[i].index;
}

static inline void put_errno(struct run *run)
{
	fprintf(run->out, "%s", strerrorname_np(errno));
}

/* ---- where the doors are meant to differ from the kernel ------------------------------------- */

/*
 * What warder refuses and the kernel does not, each with its reason.  The plain run is told of it,
 * so that the trees stay the same.  This table is what a user has to know; it is to stay small.
 */
struct difference {
	bool ask, trap;
	bool (*applies)(const struct request *q);
	int error; /* 0: that which `applies` left in errno */
	const char *reason;
};

static inline bool wants_path(const struct request *q)
{
	return q->op == OP_OPEN && (q->flags & O_PATH);
}

static inline bool wants_no_access(const struct request *q)
{
	return q->op == OP_OPEN && !(q->flags & O_PATH) && (q->flags & O_ACCMODE) == O_ACCMODE;
}

static inline bool cuts_what_it_reads(const struct request *q)
{
	return q->op == OP_OPEN && !(q->flags & O_PATH) && (q->flags & O_ACCMODE) == O_RDONLY &&
	       (q->flags & O_TRUNC);
}

static inline bool creates_through_link(const struct request *q)
{
	struct stat st;

	return q->op == OP_OPEN && (q->flags & O_CREAT) && !(q->flags & (O_EXCL | O_NOFOLLOW)) &&
	       (q->flags & O_DIRECTORY) == 0 && q->path[strlen(q->path) - 1] != '/' &&
	       stat(q->path, &st) < 0 && errno == ENOENT && lstat(q->path, &st) == 0;
}

static inline bool sets_high_bits(const struct request *q)
{
	return q->op == OP_CHMOD && (q->mode & (S_ISUID | S_ISGID));
}

/* A FIFO where a name is free: mknod(2) makes one, and a door to it is no file. */
static inline bool makes_fifo(const struct request *q)
{
	char above[PATH_MAX];
	struct stat st;
	char *slash;

	if (q->op != OP_MKNOD || q->size % 2 || strlen(q->path) >= sizeof(above) ||
		lstat(q->path, &st) == 0 || errno != ENOENT)
		return false;
	strcpy(above, q->path);
	slash = strrchr(above, '/');
	if (!slash || slash == above || slash[1] == '\0')
		return false;
	*slash = '\0';
	return stat(above, &st) == 0;
}

static inline bool whites_out(const struct request *q)
{
	return q->op == OP_RENAME && (q->flags & 4);
}

static inline bool cuts_to_less_than_nothing(const struct request *q)
{
	return q->op == OP_TRUNCATE && q->size < 0;
}

static inline bool is_too_long(const char *path)
{
	return strstr(path, LONG_NAME "x") || strstr(path, LONG_NAME " ");
}

static inline bool names_too_long(const struct request *q)
{
	if (cuts_to_less_than_nothing(q))
		return false;
	return (q->op != OP_SYMLINK && is_too_long(q->path)) ||
	       (has_path2(q) && is_too_long(q->path2));
}

static inline bool names_nothing(const struct request *q)
{
	return q->op != OP_SYMLINK && q->from == FROM_CWD && q->tail[0] == '\0' &&
	       !cuts_to_less_than_nothing(q);
}

/* Calls without a descriptor to begin at are given the whole path, see take_place(). */
static inline bool names_nothing_at(const struct request *q)
{
	return q->op != OP_SYMLINK && q->op != OP_TRUNCATE && q->op != OP_SETXATTR &&
	       q->op != OP_REMOVEXATTR && q->from == FROM_FD && q->tail[0] == '\0';
}

/* Whether one of the symlinks after each other ends in a slash. */
static inline bool leads_to_slash(const char *link)
{
	char path[PATH_MAX], text[PATH_MAX], *name;
	ssize_t n;

	snprintf(path, sizeof(path), "%s", link);
	for (int i = 0; i < 8 && (n = readlink(path, text, sizeof(text) - 1)) > 0; i++) {
		if (text[n - 1] == '/')
			return true;
		text[n] = '\0';
		name = text[0] == '/' ? path : strrchr(path, '/') + 1;
		snprintf(name, sizeof(path) - (size_t)(name - path), "%s", text);
	}
	return false;
}

/* A symlink whose text ends in a slash and does not lead to a directory. */
static inline bool creates_through_slash(const struct request *q)
{
	bool slash = false;
	struct stat st;
	int error;

	if (q->op != OP_OPEN || !(q->flags & O_CREAT) ||
		(q->flags & (O_EXCL | O_NOFOLLOW | O_DIRECTORY)) || stat(q->path, &st) == 0)
		return false;
	error = errno;
	if (lstat(q->path, &st) == 0)
		slash = error == ENOTDIR || leads_to_slash(q->path);
	errno = error;
	return slash;
}

/*
 * Any link that the kernel would make, or refuse for the directory it would stand in.  Which of
 * these it is, is tried with a directory, which nobody links.
 */
static inline bool links_no_file(const struct request *q)
{
	struct stat st;

	if (q->op != OP_LINK || lstat(q->path, &st) < 0 || S_ISREG(st.st_mode) ||
		(S_ISLNK(st.st_mode) && st.st_uid == geteuid()))
		return false;
	if (link(q->root, q->path2) == 0)
		errx(2, "a directory was linked");
	return errno == EPERM || (errno == EACCES && lstat(q->path2, &st) < 0 && errno == ENOENT);
}

static const struct difference differences[] = {
	{true, true, names_nothing, ENOENT, "told before flags and values are looked at"},
	{false, true, names_nothing_at, ENOENT, "the same, where the path is the caller's own"},
	{true, true, names_too_long, ENAMETOOLONG, "told before the walk, which may end earlier"},
	{true, false, wants_path, EINVAL, "a descriptor of O_PATH carries no right worth a record"},
	{true, true, wants_no_access, EINVAL, "access mode 3 is Linux's own and asks for no right"},
	{true, true, cuts_what_it_reads, EINVAL,
		"O_RDONLY|O_TRUNC is undefined in POSIX, and cuts"},
	{true, true, creates_through_link, ELOOP,
		"what a dangling symlink names was not asked for"},
	{true, true, links_no_file, EPERM,
		"a hard link pins what it names: a file, or one's own symlink"},
	{true, true, creates_through_slash, 0, "what stat(2) says; the kernel says EISDIR"},
	{true, true, sets_high_bits, EPERM, "no setuid or setgid bit is set from a cell"},
	{false, true, makes_fifo, EPERM, "a FIFO or a device is made in a tree by no right"},
	{true, true, whites_out, EINVAL, "RENAME_WHITEOUT makes a device node"},
};

/* Whether the ledger holds a line for a success: what is only looked at in the view, the kernel
 * answers an unmodified program itself. */
static inline bool is_recorded(enum way way, const struct request *q)
{
	if (way == ASK)
		return true;
	if (q->op == OP_OPEN)
		return !(q->flags & O_PATH);
	if (q->op == OP_ACCESS)
		return q->flags & W_OK;
	return q->op != OP_STAT && q->op != OP_LSTAT && q->op != OP_READLINK;
}

static inline bool differs(struct run *run, struct request *q)
{
	/* Setuid and setgid are taken off what is made, and sticky off a file. */
	if (q->op == OP_OPEN || q->op == OP_MKDIR || q->op == OP_MKNOD)
		q->mode &= q->op == OP_MKDIR ? 01777 : 0777;
	/* The kernel's own answer; but of an open the broker takes the path before it lets go on.
	 */
	if (run->model == TRAP && !is_recorded(TRAP, q)) {
		errno = ENAMETOOLONG;
		return q->op == OP_OPEN && names_too_long(q);
	}
	for (size_t i = 0; i < sizeof(differences) / sizeof(*differences); i++) {
		const struct difference *d = &differences[i];

		if ((run->model == ASK ? d->ask : d->trap) && d->applies(q)) {
			errno = d->error ? d->error : errno;
			return true;
		}
	}
	return false;
}

/* ---- opens ----------------------------------------------------------------------------------- */

static inline bool may_create(int flags)
{
	return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
}

static inline int plain_open(const struct request *q, int at, const char *path)
{
	struct open_how how = {
		.flags = (unsigned)q->flags, .mode = may_create(q->flags) ? q->mode & 07777 : 0};

	/* openat2(2) takes no flag that O_PATH makes meaningless. */
	if (q->via == VIA_OPENAT2 && !(q->flags & O_PATH))
		return (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
#ifdef SYS_open
	if (q->via == VIA_OPEN && at == AT_FDCWD)
		return (int)syscall(SYS_open, path, q->flags, q->mode);
	if (q->via == VIA_CREAT && at == AT_FDCWD)
		return (int)syscall(SYS_creat, path, q->mode);
#endif
	return openat(at, path, q->flags, q->mode);
}

static inline void put_file_content(struct run *run, int fd)
{
	static _Alignas(4096) char buf[4096];
	uint32_t h = HASH_INIT;
	off_t at = 0;
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		h = hash_more(h, buf, (size_t)n);
		at += n;
	}
	if (n < 0)
		fprintf(run->out, " content=%s", strerrorname_np(errno));
	else
		fprintf(run->out, " content=%08x", h);
}

/* What can be told of a descriptor, and a few bytes written where it can be written. */
static inline void put_fd(struct run *run, const struct request *q, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	char text[16];
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		err(2, "%s", q->path);
	fprintf(run->out, "inode=%u mode=%06o flags=%#o", seen_first(run, q->index, fd, &st),
		st.st_mode, flags & STATUS_FLAGS);
	if (run->way != ASK && run->model != ASK) /* always so in libwarder, libwarder(3) */
		fprintf(run->out, " cloexec=%d", fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (!S_ISREG(st.st_mode) || (flags & O_PATH))
		return;
	fprintf(run->out, " links=%u size=%lld at=%lld", (unsigned)st.st_nlink,
		(long long)st.st_size, (long long)lseek(fd, 0, SEEK_CUR));
	if ((flags & O_ACCMODE) != O_WRONLY)
		put_file_content(run, fd);
	if ((flags & O_ACCMODE) == O_RDONLY)
		return;
	snprintf(text, sizeof(text), "<%u>", q->index);
	if (write(fd, text, strlen(text)) < 0)
		fprintf(run->out, " write=%s", strerrorname_np(errno));
	if (fstat(fd, &st) == 0)
		fprintf(run->out, " then size=%lld at=%lld", (long long)st.st_size,
			(long long)lseek(fd, 0, SEEK_CUR));
}

/* An open of a FIFO would wait for its other end. */
static inline void spare_fifo(struct request *q)
{
	struct stat st;

	if (stat(q->path, &st) == 0 && S_ISFIFO(st.st_mode)) {
		q->flags |= O_NONBLOCK;
		q->via = VIA_OPENAT;
	}
}

static inline void run_open(struct run *run, struct request *q, int at, const char *path)
{
	int fd = run->way == ASK ? warder_open(run->broker, path, q->flags, q->mode & ~run->mask)
				 : plain_open(q, at, path);

	if (fd < 0) {
		put_errno(run);
		return;
	}
	run->grants += is_recorded(run->way, q);
	if (!run->count_only)
		put_fd(run, q, fd);
	close(fd);
}

/* ---- the others ------------------------------------------------------------------------------ */

static inline void put_stat(struct run *run, const struct stat *st)
{
	fprintf(run->out, " mode=%06o links=%u", st->st_mode, (unsigned)st->st_nlink);
	if (!S_ISDIR(st->st_mode))
		fprintf(run->out, " size=%lld", (long long)st->st_size);
	put_time(run->out, "modified", &st->st_mtim);
}

static inline int run_stat(struct run *run, const struct request *q, int at, const char *path)
{
	int flags = q->op == OP_LSTAT ? AT_SYMLINK_NOFOLLOW : 0;
	struct stat st;
	int r = run->way == ASK ? warder_stat(run->broker, path, flags, &st)
				: fstatat(at, path, &st, flags);

	if (r == 0)
		put_stat(run, &st);
	return r;
}

static inline int run_readlink(struct run *run, int at, const char *path)
{
	char buf[PATH_MAX] = "";
	ssize_t n = run->way == ASK ? warder_readlink(run->broker, path, buf, sizeof(buf) - 1)
				    : readlinkat(at, path, buf, sizeof(buf) - 1);

	if (n < 0)
		return -1;
	putc(' ', run->out);
	put_escaped(run->out, buf);
	return 0;
}

struct listing {
	uint32_t sum; /* of the hashes: the order means nothing */
	unsigned n;
};

static inline int list_add(void *ctx, const struct warder_entry *entry)
{
	struct listing *l = ctx;
	uint32_t h = hash_more(HASH_INIT, entry->name, strlen(entry->name));

	l->sum += hash_more(h, &entry->type, 1);
	l->n++;
	return 0;
}

static inline int list_plain(int at, const char *path, struct listing *l)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));) {
		struct warder_entry entry = {.name = e->d_name, .type = e->d_type};

		if (not_dots(e))
			list_add(l, &entry);
	}
	return closedir(d);
}

static inline int run_list(struct run *run, int at, const char *path)
{
	struct listing l = {0, 0};
	int r = run->way == ASK ? warder_list(run->broker, path, list_add, &l)
				: list_plain(at, path, &l);

	if (r == 0)
		fprintf(run->out, " entries=%u,%08x", l.n, l.sum);
	return r;
}

static inline int run_plain(struct run *run, const struct request *q, int at, const char *path)
{
	struct stat st;

	switch (q->op) {
	case OP_MKDIR:
		return mkdirat(at, path, q->mode);
	case OP_RMDIR:
		return unlinkat(at, path, AT_REMOVEDIR);
	case OP_UNLINK:
		return unlinkat(at, path, 0);
	case OP_RENAME:
		return renameat2(at, path, AT_FDCWD, q->path2, (unsigned)q->flags);
	case OP_LINK:
		return linkat(at, path, AT_FDCWD, q->path2, 0);
	case OP_SYMLINK:
		return symlink(q->text, q->path2);
	case OP_TRUNCATE:
		return truncate(path, q->size);
	case OP_CHMOD:
		return fchmodat(at, path, q->mode, 0);
	case OP_UTIMES:
		/* To change neither time the kernel does not even look for the file; warder does.
		 */
		if (q->times[0].tv_nsec == UTIME_OMIT && q->times[1].tv_nsec == UTIME_OMIT &&
			run->way == NATIVE)
			return fstatat(at, path, &st, q->flags);
		return utimensat(at, path, q->times, q->flags);
	case OP_ACCESS:
		return faccessat(at, path, q->flags, 0);
	case OP_CHOWN:
		return fchownat(at, path, q->size % 2 ? geteuid() : (uid_t)-1, getegid(),
			q->size % 3 ? AT_SYMLINK_NOFOLLOW : 0);
	case OP_SETXATTR:
		return setxattr(path, "user.differ", q->times, (size_t)q->size % 16, 0);
	case OP_REMOVEXATTR:
		return removexattr(path, "user.differ");
	case OP_MKNOD:
		return mknodat(at, path, (q->size % 2 ? S_IFREG : S_IFIFO) | q->mode, 0);
	default:
		errx(2, "unknown operation");
	}
}

static inline int run_ask(struct run *run, const struct request *q, const char *path)
{
	struct warder *w = run->broker;

	switch (q->op) {
	case OP_MKDIR:
		return warder_mkdir(w, path, q->mode & ~run->mask);
	case OP_RMDIR:
		return warder_rmdir(w, path);
	case OP_UNLINK:
		return warder_unlink(w, path);
	case OP_RENAME:
		return warder_rename(w, path, q->path2, (unsigned)q->flags);
	case OP_LINK:
		return warder_link(w, path, q->path2);
	case OP_SYMLINK:
		return warder_symlink(w, q->text, q->path2);
	case OP_TRUNCATE:
		return warder_truncate(w, path, q->size);
	case OP_CHMOD:
		return warder_chmod(w, path, q->mode);
	case OP_UTIMES:
		return warder_utimes(w, path, q->times, q->flags);
	case OP_ACCESS:
		return warder_access(w, path, q->flags);
	default:
		errx(2, "unknown operation");
	}
}

static inline void run_other(struct run *run, const struct request *q, int at, const char *path)
{
	int r;

	if (q->op == OP_STAT || q->op == OP_LSTAT)
		r = run_stat(run, q, at, path);
	else if (q->op == OP_READLINK)
		r = run_readlink(run, at, path);
	else if (q->op == OP_LIST)
		r = run_list(run, at, path);
	else
		r = run->way == ASK ? run_ask(run, q, path) : run_plain(run, q, at, path);
	run->grants += r == 0 && is_recorded(run->way, q);
	if (r < 0)
		put_errno(run);
	else
		fputs(" done", run->out);
}

/* Where the path is walked from: *ret_at and *ret_path. */
static inline bool take_place(
	struct run *run, struct request *q, int *ret_at, const char **ret_path)
{
	*ret_at = AT_FDCWD;
	*ret_path = q->path;
	if (q->from == FROM_ROOT)
		return true;
	/* Calls without a descriptor to begin at, and libwarder, which has none at all. */
	if (q->from == FROM_FD && (run->way == ASK || run->model == ASK || q->op == OP_TRUNCATE ||
					  q->op == OP_SETXATTR || q->op == OP_REMOVEXATTR))
		return true;
	*ret_path = q->tail;
	if (q->from == FROM_CWD)
		return chdir(q->base) == 0;
	*ret_at = open(q->base, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret_at >= 0;
}

static inline void run_one(struct run *run, struct request *q)
{
	const char *path;
	int at;

	request_put(run->out, q, run->root_size);
	if (q->trap_only && (run->way == ASK || run->model == ASK)) {
		fputs("no function of libwarder\n", run->out);
		return;
	}
	if (!take_place(run, q, &at, &path)) {
		fputs("no base: ", run->out);
		put_errno(run);
	} else if (run->way == NATIVE && differs(run, q)) {
		put_errno(run);
	} else if (q->op == OP_OPEN) {
		spare_fifo(q);
		run_open(run, q, at, path);
	} else {
		run_other(run, q, at, path);
	}
	putc('\n', run->out);
	if (at >= 0)
		close(at);
	if (q->from == FROM_CWD && chdir("/") < 0)
		err(2, "/");
}

#endif
