/* SPDX-License-Identifier: MIT */
/*
 * ledger_file.c - how a ledger is opened, and how many are kept.
 *
 * Runs in: command line, before the cage.  Trusts: the user who calls; no directory that another
 * user can write.
 */
#include "cli/ledger_file.h"
#include "cli/say.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium/crypto_generichash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LEDGER_TIME "%Y%m%dT%H%M%S"

void ledger_file_close(struct ledger_file *l)
{
	fd_close(&l->fd);
	fd_close(&l->dir_fd);
}

/* ---- keeping the newest ---------------------------------------------------------------------- */

#define SCAN_MAX 4096 /* files looked at in one go; what is beyond waits for the next start */

struct kept {
	char name[96];
	off_t size;
	time_t changed;
};

static bool ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

/* Names begin with the time, so that the order of names is the order of time. */
static int newest_first(const void *a, const void *b)
{
	return strcmp(((const struct kept *)b)->name, ((const struct kept *)a)->name);
}

static size_t scan(int dir_fd, const char *end, struct kept *files)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	struct stat st;
	size_t n = 0;

	if (!dir) {
		fd_close(&fd);
		return 0;
	}
	while (n < SCAN_MAX && (entry = readdir(dir))) {
		if (!ends_in(entry->d_name, end) || strlen(entry->d_name) >= sizeof(files->name) ||
			fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			!S_ISREG(st.st_mode))
			continue;
		snprintf(files[n].name, sizeof(files->name), "%s", entry->d_name);
		files[n].size = st.st_size;
		files[n++].changed = st.st_mtime;
	}
	closedir(dir);
	return n;
}

/* Removes a ledger unless somebody writes it.  Whether it is gone. */
static bool remove_unused(int dir_fd, const char *name)
{
	autofd fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(dir_fd, name, 0) == 0;
}

/*
 * Removes the policies that no ledger left refers to.  A session makes its ledger and then writes
 * or marks its policy, so a policy that was marked before the oldest ledger was made belongs to
 * none; a minute covers the coarse clock of file times.
 */
static void prune_policies(int dir_fd, const char *oldest_ledger, struct kept *files)
{
	struct tm tm = {0};
	time_t oldest;
	size_t n;

	if (!strptime(oldest_ledger, LEDGER_TIME, &tm))
		return;
	oldest = timegm(&tm) - 60;
	n = scan(dir_fd, ".policy", files);
	for (size_t i = 0; i < n; i++)
		if (files[i].changed < oldest)
			unlinkat(dir_fd, files[i].name, 0);
}

static void prune(int dir_fd)
{
	struct kept *files = calloc(SCAN_MAX, sizeof(*files));
	char oldest[sizeof(files->name)] = "";
	off_t bytes = 0;
	size_t n, kept = 0;

	if (!files)
		return;
	n = scan(dir_fd, ".jsonl", files);
	qsort(files, n, sizeof(*files), newest_first);
	for (size_t i = 0; i < n; i++) {
		/* The first is the one just made. */
		bool over = i > 0 &&
			    (kept >= LEDGERS_KEPT || bytes + files[i].size > LEDGER_BYTES_KEPT);

		if (over && remove_unused(dir_fd, files[i].name))
			continue;
		snprintf(oldest, sizeof(oldest), "%s", files[i].name);
		kept++;
		bytes += files[i].size;
	}
	if (kept < n)
		prune_policies(dir_fd, oldest, files);
	free(files);
}

/* ---- opening --------------------------------------------------------------------------------- */

int ledger_file_new(const char *below, const char *tag, struct ledger_file *ret, struct failure *f)
{
	struct ledger_file l = LEDGER_FILE_INIT;
	struct timespec now;
	struct tm tm;
	char name[64];
	size_t at;
	int r = state_open(below, &l.dir_fd, f);

	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	at = strftime(name, sizeof(name), LEDGER_TIME, &tm);
	snprintf(name + at, sizeof(name) - at, ".%06ldZ-%s%d.jsonl", now.tv_nsec / 1000, tag,
		(int)getpid());
	l.fd = openat(l.dir_fd, name,
		O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = l.fd < 0 ? -errno : 0;
	l.path[0] = '\0';
	if (below[0] != '/')
		state_path(l.path, sizeof(l.path), f);
	at = strlen(l.path);
	snprintf(l.path + at, sizeof(l.path) - at, "%s%s/%s", at ? "/" : "", below, name);
	if (r == 0 && flock(l.fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r < 0) {
		fail(f, r, "cannot make the ledger %s: %m" STATE_REMEDY, l.path);
		ledger_file_close(&l);
		return r;
	}
	prune(l.dir_fd);
	*ret = l;
	return 0;
}

/* Checks what was opened, wherever it came from, and locks it. */
static int claim(struct ledger_file *l, const char *shown, bool ours, struct failure *f)
{
	struct stat st;
	int flags = fcntl(l->fd, F_GETFL);

	if (flags < 0 || fstat(l->fd, &st) < 0)
		return fail(f, -errno, "cannot use %s as ledger: %m", shown);
	if (!S_ISREG(st.st_mode))
		return fail(f, -EINVAL, "cannot use %s as ledger: it is no regular file", shown);
	if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH))
		return fail(
			f, -EBADF, "cannot use %s as ledger: it is not open for writing", shown);
	if (ours && st.st_uid != geteuid())
		return fail(f, -EPERM, "cannot use %s as ledger: it belongs to uid %u", shown,
			(unsigned)st.st_uid);
	if (ours && (st.st_mode & 022))
		return fail(f, -EPERM,
			"cannot use %s as ledger: others can write it; chmod go-w %s, or name a "
			"new file",
			shown, shown);
	if (ours && st.st_nlink != 1)
		return fail(f, -EMLINK,
			"cannot use %s as ledger: the file has another name as well; name a new "
			"one",
			shown);
	if (!(flags & O_APPEND) && fcntl(l->fd, F_SETFL, flags | O_APPEND) < 0)
		return fail(f, -errno, "cannot append to the ledger %s: %m", shown);
	if (flock(l->fd, LOCK_EX | LOCK_NB) < 0)
		return fail(f, -errno,
			errno == EWOULDBLOCK
				? "the ledger %s is in use by another session; name a new one"
				: "cannot lock the ledger %s: %m",
			shown);
	return 0;
}

static int open_number(const char *where, struct ledger_file *l, struct failure *f)
{
	char *end;
	long fd = strtol(where + 3, &end, 10);

	if (where[3] < '0' || where[3] > '9' || *end || fd > INT_MAX)
		return fail(f, -EINVAL,
			"--ledger %s: what follows \"fd:\" is no descriptor's number", where);
	l->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
	if (l->fd < 0)
		return fail(f, -errno, "--ledger %s: descriptor %ld is not open: %m", where, fd);
	return 0;
}

static int open_path(const char *where, struct ledger_file *l, struct failure *f)
{
	char dir[PATH_MAX];
	struct stat st;
	char *slash;

	if (strlen(where) >= sizeof(dir))
		return fail(f, -ENAMETOOLONG, "the ledger's path is too long");
	strcpy(dir, where);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	else
		strcpy(dir, ".");
	l->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dir_fd < 0)
		return fail(f, -errno, "cannot open the ledger's directory %s: %m", dir);
	/* A device is not even opened: opening one may do something. */
	if (lstat(where, &st) == 0 && !S_ISREG(st.st_mode))
		return fail(f, -EINVAL, "cannot use %s as ledger: it is %s", where,
			S_ISLNK(st.st_mode) ? "a symlink" : "no regular file");
	/* O_NONBLOCK: a FIFO that nobody reads fails with ENXIO instead of waiting, fifo(7). */
	l->fd = open(where,
		O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
		0600);
	if (l->fd < 0 && errno == ELOOP)
		return fail(f, -ELOOP, "cannot use %s as ledger: it is a symlink", where);
	if (l->fd < 0 && errno == ENXIO)
		return fail(f, -EINVAL, "cannot use %s as ledger: it is no regular file", where);
	if (l->fd < 0)
		return fail(f, -errno, "cannot open the ledger %s: %m", where);
	return fd_status_flags(l->fd, 0, O_NONBLOCK);
}

int ledger_file_named(const char *where, struct ledger_file *ret, struct failure *f)
{
	struct ledger_file l = LEDGER_FILE_INIT;
	bool number = strncmp(where, "fd:", 3) == 0;
	int r = number ? open_number(where, &l, f) : open_path(where, &l, f);

	if (r == 0)
		r = claim(&l, where, !number, f);
	if (r < 0) {
		ledger_file_close(&l);
		return r;
	}
	snprintf(l.path, sizeof(l.path), "%s", where);
	*ret = l;
	return 0;
}

/* ---- the policy's text ----------------------------------------------------------------------- */

static void hash_text(const char *text, size_t size, char ret_hash[POLICY_HASH_SIZE])
{
	unsigned char hash[(POLICY_HASH_SIZE - 1) / 2];

	crypto_generichash(hash, sizeof(hash), (const unsigned char *)text, size, NULL, 0);
	for (size_t i = 0; i < sizeof(hash); i++)
		snprintf(ret_hash + 2 * i, 3, "%02x", hash[i]);
}

/* Writes a file under a name of its own first, so that HASH.policy is always whole. */
static int write_policy(int dir_fd, const char *name, const char *text, size_t size)
{
	char unfinished[96];
	autofd fd = -1;
	int r;

	snprintf(unfinished, sizeof(unfinished), "%d.%.32s.policy", (int)getpid(), name);
	fd = openat(dir_fd, unfinished, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, size);
	if (r == 0 && renameat(dir_fd, unfinished, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dir_fd, unfinished, 0);
	return r;
}

/* Whether the file is there and holds exactly this: where the ledger stands in a directory of the
 * worker's it may have been changed. */
static bool holds(int dir_fd, const char *name, const char *text, size_t size)
{
	autofd fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	autofree char *copy = malloc(size + 1);
	struct stat st;

	return fd >= 0 && copy && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_size == (off_t)size && fd_read_all(fd, copy, size) == (long)size &&
	       memcmp(copy, text, size) == 0;
}

static int sync_file(int dir_fd, const char *name, int flags)
{
	autofd fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* `ledger sync batch`: the text, and the names of text and ledger (fsync(2) of a file does not
 * bring its name to disk), up to the first directory of somebody else's: those above were not made
 * here. */
static int sync_names(int dir_fd, const char *text)
{
	char up[3 * 16] = ".";
	struct stat st;
	ino_t below = 0;
	int r = sync_file(dir_fd, text, 0);

	while (r == 0 && strlen(up) + 3 < sizeof(up)) {
		/* "/.." is "/" itself. */
		if (fstatat(dir_fd, up, &st, 0) < 0 || st.st_uid != geteuid() || st.st_ino == below)
			break;
		r = sync_file(dir_fd, up, O_DIRECTORY);
		below = st.st_ino;
		strcat(up, "/..");
	}
	return r;
}

void ledger_say_unsynced(int error)
{
	errno = error;
	say("the ledger cannot be brought to disk: %m; from here on nothing is granted");
}

int ledger_keep_policy(const struct ledger_file *l, const struct policy *policy,
	char ret_hash[POLICY_HASH_SIZE], struct failure *f)
{
	char name[POLICY_HASH_SIZE + 8];
	size_t size;
	const char *text = policy_text(policy, &size);
	int r = 0;

	if (!text)
		return fail(f, -ENOMEM, "no memory for the policy's text");
	hash_text(text, size, ret_hash);
	if (l->dir_fd < 0)
		return 0;
	snprintf(name, sizeof(name), "%s.policy", ret_hash);
	/* One that stands there is marked as used now, so that it is kept with this ledger. */
	if (!holds(l->dir_fd, name, text, size) ||
		utimensat(l->dir_fd, name, NULL, AT_SYMLINK_NOFOLLOW) < 0)
		r = write_policy(l->dir_fd, name, text, size);
	if (r < 0)
		return fail(
			f, r, "cannot keep the policy's text beside the ledger %s: %m", l->path);
	if (policy_settings(policy)->ledger_sync)
		r = sync_names(l->dir_fd, name);
	if (r < 0)
		return fail(f, r,
			"`ledger sync batch`: cannot bring the ledger's directory to disk, beside "
			"%s: %m",
			l->path);
	return 0;
}
