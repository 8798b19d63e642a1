/* SPDX-License-Identifier: MIT */
/*
 * trap_take.c - from a trapped call's arguments to a request: paths.
 *
 * Runs in: broker.  Trusts: nothing; memory is copied once, and what was copied is what counts.
 *
 * A relative path becomes an absolute one by what the kernel says of the directory it starts at.
 * A path through /proc/self, or a link of /dev that leads there, means the caller's /proc, which is
 * not the broker's: it is seen through here.
 */
#include "broker/trap_take.h"
#include "broker/decide.h"
#include "broker/resolve.h"
#include "broker/tracee.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what /proc and /dev name of the caller's ------------------------------------------------ */

/* What follows `prefix` in `path`, if that is what it begins with; the rest is "" or "/...". */
static const char *after(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	if (strncmp(path, prefix, n) != 0 || (path[n] != '\0' && path[n] != '/'))
		return NULL;
	return path + n;
}

/* /dev/fd and its like are links to /proc/self/fd. */
static const char *const dev_links[][2] = {
	{"/dev/fd", "fd"},
	{"/dev/stdin", "fd/0"},
	{"/dev/stdout", "fd/1"},
	{"/dev/stderr", "fd/2"},
};

/*
 * The name of a link in the caller's directory of /proc that the path goes through, in `link`, and
 * what follows it.  NULL: it goes through none.
 */
static const char *own_link(const char *path, char *link, size_t size)
{
	static const char *const selves[] = {"/proc/self/", "/proc/thread-self/"};
	static const char *const plain[] = {"cwd", "root", "exe"};
	const char *name = NULL, *rest;
	size_t n;

	for (size_t i = 0; i < sizeof(dev_links) / sizeof(*dev_links); i++) {
		rest = after(path, dev_links[i][0]);
		if (!rest)
			continue;
		snprintf(link, size, "%s", dev_links[i][1]);
		if (i > 0)
			return rest;
		name = rest;
		break;
	}
	for (size_t i = 0; !name && i < sizeof(selves) / sizeof(*selves); i++) {
		if (strncmp(path, selves[i], strlen(selves[i])) != 0)
			continue;
		path += strlen(selves[i]);
		for (size_t j = 0; j < sizeof(plain) / sizeof(*plain); j++) {
			rest = after(path, plain[j]);
			if (rest) {
				snprintf(link, size, "%s", plain[j]);
				return rest;
			}
		}
		name = after(path, "fd");
	}
	if (!name || name[0] != '/' || name[1] < '0' || name[1] > '9')
		return NULL;
	n = strspn(name + 1, "0123456789");
	if (n > 9 || (name[1 + n] != '\0' && name[1 + n] != '/'))
		return NULL;
	snprintf(link, size, "fd/%.*s", (int)n, name + 1);
	return name + 1 + n;
}

/* Puts what such a link leads to in its place, once: what that leads to is a path of the view. */
static int see_through(const struct session *s, struct trap *t, struct target *target)
{
	char link[24], *text = t->path; /* used up: what it held is in `asked` */
	const char *rest = own_link(target->asked, link, sizeof(link));
	int n;

	if (!rest)
		return 0;
	n = tracee_link(s, t->notice.tid, link, text);
	if (n < 0)
		return n;
	/* A pipe, a socket, a memfd (memfd_create(2)): the worker's own. */
	if (strncmp(link, "fd/", 3) == 0 && !*rest && target == &t->q.target)
		t->held_fd = atoi(link + 3);
	if (text[0] != '/' || strncmp(text, "/memfd:", strlen("/memfd:")) == 0)
		return 0;
	n = snprintf(t->text, sizeof(t->text), "%s%s%s", text, rest,
		target->must_be_directory ? "/" : "");
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	return target_ask(target, t->text, (size_t)n);
}

/* ---- paths --------------------------------------------------------------------------------- */

int take_text(const struct session *s, struct trap *t, struct target *target, int dir_fd,
	const char *path, size_t size)
{
	int n = 0, r;

	if (size == 0)
		return -ENOENT;
	if (path[0] != '/') {
		n = tracee_directory(s, t->notice.tid, dir_fd, t->text);
		if (n < 0)
			return n;
		t->text[n++] = '/';
	}
	if ((size_t)n + size >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(t->text + n, path, size + 1);
	r = target_ask(target, t->text, (size_t)n + size);
	/* Such a link is one, and what leads through it ELOOP. */
	if (r == 0 && !target->no_symlinks)
		r = see_through(s, t, target);
	return r;
}

int take_path(const struct session *s, struct trap *t, struct target *target, int dir_fd,
	uint64_t address)
{
	int n = tracee_string(t->notice.tid, address, t->path, sizeof(t->path));

	return n < 0 ? n : take_text(s, t, target, dir_fd, t->path, (size_t)n);
}

int take_descriptor(const struct session *s, struct trap *t, int fd)
{
	struct target *target = &t->q.target;
	autofd path_fd = -1;
	int n = tracee_descriptor(s, t->notice.tid, fd, &path_fd, t->text);

	if (n < 0)
		return n;
	if (t->text[0] != '/')
		return refuse(&t->q, EPERM, "a descriptor of no file: %s", t->text);
	n = target_ask(target, t->text, (size_t)n);
	if (n < 0)
		return n;
	target->given_fd = fd_take(&path_fd);
	return 0;
}

int take_path_or_fd(
	const struct session *s, struct trap *t, int dir_fd, uint64_t address, int flags)
{
	int n;

	if (address == 0)
		return take_descriptor(s, t, dir_fd);
	n = tracee_string(t->notice.tid, address, t->path, sizeof(t->path));
	if (n < 0)
		return n;
	if (n == 0 && (flags & AT_EMPTY_PATH) && dir_fd != AT_FDCWD)
		return take_descriptor(s, t, dir_fd);
	if (n == 0 && (flags & AT_EMPTY_PATH))
		return take_text(s, t, &t->q.target, dir_fd, ".", 1);
	return take_text(s, t, &t->q.target, dir_fd, t->path, (size_t)n);
}

mode_t take_new_mode(const struct session *s, struct trap *t, uint64_t mode)
{
	const uint64_t fresh_ns = 20000000; /* no number is given to another that soon */

	if (t->umask_tid != t->notice.tid || t->q.began_ns - t->umask_ns > fresh_ns) {
		t->umask = tracee_umask(s, t->notice.tid);
		t->umask_tid = t->notice.tid;
		t->umask_ns = t->q.began_ns;
	}
	return (mode_t)mode & 07777 & ~t->umask;
}
