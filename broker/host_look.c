/* SPDX-License-Identifier: MIT */
/*
 * host_look.c - whether the host has something at a path that no rule is about.
 *
 * Runs in: broker.  Trusts: the kernel; the path is the worker's.
 *
 * The broker never waits, and a name that no rule gives is not to reach another process or machine:
 * a FUSE server, an automounter that would mount what is named.  So the path is walked by hand, one
 * name after the other, without following a link: as far as the kernel knows a name by heart, that
 * asks nobody; else it is looked up where no slow file system lies, slow_fs.h.
 */
#include "broker/host_look.h"
#include "broker/open_path.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WALKS_MAX 40 /* as many links as the kernel follows: path_resolution(7) */
#define AGAIN     1  /* a link, or "..": the path is another now */

struct look {
	int fd;            /* O_PATH, where it is */
	char at[PATH_MAX]; /* the same as text, without a link; "/" is "" */
	size_t size;
	bool link;               /* its last name was a link */
	char path[2 * PATH_MAX]; /* what is left of it is the walk's */
};

/* The path is `size` bytes of where it is, then `text`, then the rest. */
static int go_again(struct look *l, size_t size, const char *text, const char *rest)
{
	char path[sizeof(l->path)];
	int n = snprintf(path, sizeof(path), "%.*s/%s/%s", (int)size, l->at, text, rest);

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	memcpy(l->path, path, (size_t)n + 1);
	return AGAIN;
}

/* How long the text is without its last name. */
static size_t parent_size(const struct look *l)
{
	const char *slash = memrchr(l->at, '/', l->size);

	return slash ? (size_t)(slash - l->at) : 0;
}

static int follow(struct look *l, const char *name, const char *rest)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(l->fd, name, text, sizeof(text) - 1);

	if (n < 0)
		return errno == EINVAL ? -EAGAIN : -errno; /* it is a link no more */
	text[n] = '\0';
	l->link = l->link || rest[strspn(rest, "/")] == '\0';
	return go_again(l, text[0] == '/' ? 0 : parent_size(l), text, rest);
}

/* One name further. */
static int step(struct session *s, struct look *l, const char *name, const char *rest)
{
	int fd = -1;
	int r = open_name_on_host(l->fd, name, true, &fd);

	if (r == -EAGAIN || r == -EXDEV || r == -ELOOP) {
		if (slow_host_holds(s->cell->slow_host, l->at, l->size))
			return -EAGAIN;
		if (r != -ELOOP)
			r = open_name_on_host(l->fd, name, false, &fd);
	}
	if (r == -ELOOP)
		return follow(l, name, rest);
	if (r < 0)
		return r;
	fd_close(&l->fd);
	l->fd = fd;
	return 0;
}

static int walk(struct session *s, struct look *l)
{
	char *save = l->path;
	const char *name;
	int r;

	fd_close(&l->fd);
	l->size = 0;
	r = open_name_on_host(AT_FDCWD, "/", true, &l->fd);
	while (r == 0 && (name = strtok_r(NULL, "/", &save))) {
		size_t n = strlen(name);

		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
			return go_again(l, parent_size(l), ".", save);
		if (l->size + 1 + n >= sizeof(l->at))
			return -ENAMETOOLONG;
		l->at[l->size++] = '/';
		memcpy(l->at + l->size, name, n + 1);
		l->size += n;
		r = step(s, l, name, save);
	}
	return r;
}

int host_look(struct session *s, const char *path, mode_t *ret_mode, bool *ret_link)
{
	struct look l = {.fd = -1};
	struct stat st;
	int r = AGAIN;

	/* What is held open of the host's mounts is the broker's alone. */
	if (s->in_child)
		return -EAGAIN;
	snprintf(l.path, sizeof(l.path), "%s", path);
	for (int i = 0; r == AGAIN && i < WALKS_MAX; i++)
		r = walk(s, &l);
	/* What is mounted there may be slow itself, and be asked for what it is. */
	if (r == 0 && slow_host_holds(s->cell->slow_host, l.at, l.size))
		r = -EAGAIN;
	if (r == 0)
		r = fd_stat(l.fd, &st);
	if (r == 0)
		*ret_mode = st.st_mode;
	fd_close(&l.fd);
	*ret_link = l.link;
	return r == AGAIN ? -ELOOP : r;
}

bool host_has_path(struct session *s, const char *path)
{
	mode_t mode;
	bool link;
	int r = host_look(s, path, &mode, &link);

	return r != -ENOENT && r != -ENOTDIR;
}
