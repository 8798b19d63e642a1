/* SPDX-License-Identifier: MIT */
/*
 * slow_fs.c - which parts of the view, and of the host, may let a look at a name wait.
 *
 * Runs in: broker.  Trusts: the kernel's mountinfo.
 *
 * The view's mounts are its own, and read once, before the cage.  The host's come and go: its table
 * is held open, and read again when the kernel says that it has changed; poll(2),
 * proc_pid_mounts(5).
 *
 * It is told by the type of the file system, not by statfs(2): that is a question to its server.
 */
#include "broker/slow_fs.h"
#include "common/fd.h"
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Types whose server is another process or machine; "fuse" stands for its subtypes too. */
static const char *const types[] = {
	"9p",
	"afs",
	"autofs", /* a look at a name there mounts something */
	"beegfs",
	"ceph",
	"cifs",
	"coda",
	"fuse",
	"fuseblk",
	"gfs2",
	"gpfs",
	"lustre",
	"ncpfs",
	"nfs",
	"nfs4",
	"ocfs2",
	"orangefs",
	"smb3",
	"smbfs",
	"vboxsf",
	"virtiofs",
	NULL,
};

struct slow_fs {
	size_t n;
	char **paths;
};

#define HOST_PATHS_SIZE 16384
#define HOST_LINE_SIZE  32768 /* a layered file system names each of its layers */

struct slow_host {
	int fd;
	bool is_read;
	bool is_whole; /* else some did not fit, and any path may lie on one of those */
	bool any;      /* beside what lies below /proc */
	size_t size;
	char paths[HOST_PATHS_SIZE]; /* each with its NUL */
	char line[HOST_LINE_SIZE];
};

static bool may_block(const char *type)
{
	if (strncmp(type, "fuse.", 5) == 0)
		return true;
	for (size_t i = 0; types[i]; i++) {
		if (strcmp(type, types[i]) == 0)
			return true;
	}
	return false;
}

/* Blank, tab, newline and backslash stand as "\ooo". */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		if (*at == '\\' && strspn(at + 1, "01234567") >= 3) {
			*to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0');
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /mount/point options [optional fields] - type source options".  The path in it
 * of one that may block, or NULL. */
static char *slow_path(char *line)
{
	char *save, *type = strstr(line, " - "), *path = strtok_r(line, " ", &save);

	for (int i = 0; path && i < 4; i++)
		path = strtok_r(NULL, " ", &save);
	type = type ? strtok_r(type + 3, " \n", &save) : NULL;
	if (!path || !type || !may_block(type))
		return NULL;
	unescape(path);
	return path;
}

/* As systemd's automount of binfmt_misc; nothing below /proc is handed out. */
static bool is_in_proc(const char *path)
{
	return strncmp(path, "/proc/", 6) == 0;
}

static int add_line(struct slow_fs *m, char *line)
{
	char *path = slow_path(line);
	char **grown;

	if (!path || is_in_proc(path))
		return 0;
	grown = reallocarray(m->paths, m->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->paths = grown;
	m->paths[m->n] = strdup(path);
	return m->paths[m->n++] ? 0 : -ENOMEM;
}

#define TEXT_STEP 16384 /* a read(2) of it gives a page at most, and asks about each mount once */

/* The whole table, a text that the caller frees. */
static int read_text(int fd, char **ret_text)
{
	autofree char *text = NULL;
	size_t size = 0, room = 0;
	ssize_t n = 1;

	while (n > 0) {
		if (room - size < TEXT_STEP / 2) {
			char *grown = realloc(text, room += TEXT_STEP);

			if (!grown)
				return -ENOMEM;
			text = grown;
		}
		n = read(fd, text + size, room - size - 1);
		size += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		return -errno;
	text[size] = '\0';
	*ret_text = text;
	text = NULL;
	return 0;
}

int slow_fs_read(int *mountinfo_fd, struct slow_fs **ret)
{
	struct slow_fs *m = calloc(1, sizeof(*m));
	autofree char *text = NULL;
	int r = m ? read_text(*mountinfo_fd, &text) : -ENOMEM;
	char *next = text;

	while (r == 0 && next && *next) {
		char *line = strsep(&next, "\n");

		r = add_line(m, line);
	}
	fd_close(mountinfo_fd);
	if (r < 0)
		slow_fs_free(m);
	else
		*ret = m;
	return r;
}

struct slow_fs *slow_fs_free(struct slow_fs *m)
{
	for (size_t i = 0; m && i < m->n; i++)
		free(m->paths[i]);
	if (m)
		free(m->paths);
	free(m);
	return NULL;
}

bool slow_fs_any(const struct slow_fs *m)
{
	return m && m->n > 0;
}

bool slow_fs_hold(const struct slow_fs *m, const char *path, size_t size)
{
	for (size_t i = 0; m && i < m->n; i++) {
		if (path_holds(m->paths[i], path, size))
			return true;
	}
	return false;
}

/* ---- the host's ------------------------------------------------------------------------------ */

int slow_host_new(int *mountinfo_fd, struct slow_host **ret)
{
	struct slow_host *h =
		malloc(sizeof(*h)); /* its buffers are not touched before they are read */

	if (!h)
		return -ENOMEM;
	h->fd = fd_take(mountinfo_fd);
	h->is_read = h->is_whole = h->any = false;
	h->size = 0;
	*ret = h;
	return 0;
}

struct slow_host *slow_host_free(struct slow_host *h)
{
	if (h)
		fd_close(&h->fd);
	free(h);
	return NULL;
}

int slow_fs_open(pid_t init, int *ret_view_fd, struct slow_host **ret, struct failure *f)
{
	char path[40];
	autofd view_fd = -1, fd = -1;
	int r;

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)(init ? init : getpid()));
	view_fd = open(path, O_RDONLY | O_CLOEXEC);
	fd = view_fd < 0 ? -1 : open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : slow_host_new(&fd, ret);
	if (r < 0)
		return fail(f, r, "cannot open %s: %m; warder needs /proc", path);
	*ret_view_fd = fd_take(&view_fd);
	return 0;
}

static void note_line(struct slow_host *h, char *line)
{
	const char *path = slow_path(line);
	size_t n = path ? strlen(path) + 1 : 0;

	if (n > sizeof(h->paths) - h->size) {
		h->is_whole = false;
		return;
	}
	if (n > 0)
		memcpy(h->paths + h->size, path, n);
	h->size += n;
	h->any |= n > 0 && !is_in_proc(path);
}

/* Of what is in the buffer the whole lines; what is left of it stays, at its beginning. */
static size_t note_lines(struct slow_host *h, size_t size)
{
	char *at = h->line, *end;

	while ((end = memchr(at, '\n', size - (size_t)(at - h->line)))) {
		*end = '\0';
		note_line(h, at);
		at = end + 1;
	}
	size -= (size_t)(at - h->line);
	memmove(h->line, at, size);
	return size;
}

static void read_again(struct slow_host *h)
{
	size_t size = 0;
	ssize_t n = 0;

	h->size = 0;
	h->any = false;
	h->is_whole = lseek(h->fd, 0, SEEK_SET) == 0;
	do {
		size = note_lines(h, size + (size_t)n);
		n = read(h->fd, h->line + size, sizeof(h->line) - size);
	} while (n > 0);
	if (n < 0 || size > 0)
		h->is_whole = false;
	h->is_read = h->is_whole;
}

static void look_again(struct slow_host *h)
{
	struct pollfd changed = {.fd = h->fd, .events = POLLPRI};

	/* Asked before it is read, so that a change meanwhile is told the next time. */
	if (poll(&changed, 1, 0) != 0 || !h->is_read)
		read_again(h);
}

bool slow_host_any(struct slow_host *h)
{
	if (!h)
		return false;
	look_again(h);
	return h->any || !h->is_whole;
}

bool slow_host_holds(struct slow_host *h, const char *path, size_t size)
{
	if (!h)
		return false;
	look_again(h);
	for (size_t i = 0; i < h->size; i += strlen(h->paths + i) + 1) {
		if (path_holds(h->paths + i, path, size))
			return true;
	}
	return !h->is_whole;
}
