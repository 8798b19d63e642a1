/* SPDX-License-Identifier: MIT */
/*
 * tracee.c - what a waiting call's arguments mean: memory, directories and descriptors of the
 * thread that made it.
 *
 * Runs in: broker.  Trusts: the kernel's word on the thread; nothing in its memory.
 *
 * The broker may look because the worker's domain is nested in its own (landlock(7), "Ptrace
 * restrictions") and its user namespace is the broker's.  Of /proc only O_PATH descriptors and
 * links are had: those Landlock does not ask about, and no file of the host's /proc is opened.  The
 * one that must be opened, for the umask, is the cell's own.
 *
 * The kernel holds an open file for as long as it looks at one of a descriptor table, and who
 * closes that descriptor meanwhile leaves the last close to the one who looks: hurry.h.
 */
#include "broker/tracee.h"
#include "common/fd.h"
#include "common/hurry.h"
#include "common/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define NS_GET_PID_FROM_PIDNS_ _IOR(0xb7, 0x6, int) /* ioctl_nsfs(2), Linux 6.11; the next too */
#define NS_GET_PID_IN_PIDNS_   _IOR(0xb7, 0x8, int)
#define STATUS_BYTES           512 /* "Umask:" is the second line */
#define UMASK_UNKNOWN          077 /* what is made is its user's alone */

int tracee_read(pid_t tid, uint64_t address, void *buf, size_t size)
{
	struct iovec to = {.iov_base = buf, .iov_len = size};
	struct iovec from = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
	ssize_t n = process_vm_readv(tid, &to, 1, &from, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EFAULT;
}

int tracee_string(pid_t tid, uint64_t address, char *buf, size_t size)
{
	const size_t page = 4096; /* never more than the smallest page: the next may be missing */
	const size_t piece = 512; /* most paths whole, in one call, and no page copied for them */
	size_t have = 0;

	while (have < size) {
		size_t chunk = page - (size_t)((address + have) % page);
		char *end;
		int r;

		if (chunk > size - have)
			chunk = size - have;
		if (chunk > piece)
			chunk = piece;
		r = tracee_read(tid, address + have, buf + have, chunk);
		if (r < 0)
			return r;
		end = memchr(buf + have, '\0', chunk);
		if (end)
			return (int)(end - buf);
		have += chunk;
	}
	return -ENAMETOOLONG;
}

/* ---- links of /proc -------------------------------------------------------------------------- */

int tracee_links_new(struct tracee_links **ret)
{
	struct tracee_links *links = calloc(1, sizeof(*links));

	if (!links)
		return -ENOMEM;
	links->caller.fd = links->own.fd = -1;
	*ret = links;
	return 0;
}

struct tracee_links *tracee_links_free(struct tracee_links *links)
{
	if (!links)
		return NULL;
	fd_close(&links->caller.fd);
	fd_close(&links->own.fd);
	free(links);
	return NULL;
}

/* Held from the second reading in a row on. */
static ssize_t read_held(
	struct tracee_link *link, int proc_fd, const char *path, char *buf, size_t size)
{
	bool again = strcmp(link->path, path) == 0;
	ssize_t n = again && link->fd >= 0 ? readlinkat(link->fd, "", buf, size) : -1;

	if (n >= 0)
		return n;
	fd_close(&link->fd);
	if (again)
		link->fd = openat(proc_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	else
		snprintf(link->path, sizeof(link->path), "%s", path);
	return readlinkat(proc_fd, path, buf, size);
}

static ssize_t read_link(
	struct tracee_link *link, int proc_fd, const char *path, char *buf, size_t size)
{
	bool of_fd = strstr(path, "/fd/");
	ssize_t n;

	if (of_fd)
		hurry_begin();
	n = link ? read_held(link, proc_fd, path, buf, size) : readlinkat(proc_fd, path, buf, size);
	if (of_fd)
		hurry_end();
	return n;
}

ssize_t tracee_read_link(int proc_fd, const char *path, char *buf, size_t size)
{
	return read_link(NULL, proc_fd, path, buf, size);
}

int tracee_own_text(const struct session *s, int fd, char *buf, size_t size)
{
	struct tracee_link *link = s->links ? &s->links->own : NULL;
	char name[16];
	ssize_t n;

	snprintf(name, sizeof(name), "%d", fd);
	n = read_link(link, s->cell->proc_fd, name, buf, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return (int)n;
}

int tracee_stat(const struct session *s, const char *path, struct stat *ret)
{
	int r;

	hurry_begin();
	r = fstatat(s->cell->procs_fd, path, ret, 0) < 0 ? -errno : 0;
	hurry_end();
	return r;
}

int tracee_link(const struct session *s, pid_t tid, const char *name, char buf[PATH_MAX])
{
	char path[48];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/%s", (int)tid, name);
	n = read_link(s->links ? &s->links->caller : NULL, s->cell->procs_fd, path, buf, PATH_MAX);
	if (n < 0)
		return -errno;
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return (int)n;
}

bool tracee_may_lie(const char *text, size_t size)
{
	static const char tail[] = " (deleted)";
	const size_t n = sizeof(tail) - 1;

	return size == 1 || (size > n && memcmp(text + size - n, tail, n) == 0);
}

static int prove(const struct session *s, pid_t tid, const char *name, const char *text)
{
	struct stat there, said;
	char path[48];
	int r;

	snprintf(path, sizeof(path), "%d/%s", (int)tid, name);
	r = tracee_stat(s, path, &there);
	if (r < 0)
		return r;
	if (fstatat(s->cell->view_fd, path_relative(text), &said, AT_SYMLINK_NOFOLLOW) < 0)
		return -ENOENT;
	return there.st_ino == said.st_ino && there.st_dev == said.st_dev ? 0 : -ENOENT;
}

int tracee_directory(const struct session *s, pid_t tid, int dir_fd, char buf[PATH_MAX])
{
	char name[24] = "cwd";
	int n, r;

	if (dir_fd != AT_FDCWD) {
		if (dir_fd < 0)
			return -EBADF;
		snprintf(name, sizeof(name), "fd/%d", dir_fd);
	}
	n = tracee_link(s, tid, name, buf);
	if (n == -ENOENT && dir_fd != AT_FDCWD)
		return -EBADF;
	if (n < 0)
		return n;
	if (buf[0] != '/') /* a pipe, a socket */
		return -ENOTDIR;
	r = tracee_may_lie(buf, (size_t)n) ? prove(s, tid, name, buf) : 0;
	return r < 0 ? r : n;
}

int tracee_descriptor(
	const struct session *s, pid_t tid, int fd, int *ret_path_fd, char buf[PATH_MAX])
{
	autofd path_fd = -1;
	char name[48];
	int n;

	if (fd < 0)
		return -EBADF;
	snprintf(name, sizeof(name), "%d/fd/%d", (int)tid, fd);
	hurry_begin();
	path_fd = openat(s->cell->procs_fd, name, O_PATH | O_CLOEXEC);
	hurry_end();
	if (path_fd < 0)
		return errno == ENOENT ? -EBADF : -errno;
	/* Of our copy, which nobody can exchange: text and descriptor are of one file. */
	n = tracee_own_text(s, path_fd, buf, PATH_MAX);
	if (n >= 0)
		*ret_path_fd = fd_take(&path_fd);
	return n;
}

/* The process that the thread belongs to, for pidfd_open(2), which takes no other. */
static int open_process(pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, 0);

	/* O_EXCL is PIDFD_THREAD; Linux 6.9. */
	if (fd < 0)
		fd = (int)syscall(SYS_pidfd_open, tid, O_EXCL);
	return fd < 0 ? -errno : fd;
}

int tracee_take_fd(pid_t tid, int fd, int *ret_fd)
{
	autofd pidfd = open_process(tid);
	int copy;

	if (pidfd < 0)
		return pidfd;
	hurry_begin();
	copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	hurry_end();
	if (copy < 0)
		return -errno;
	*ret_fd = copy;
	return 0;
}

/* The thread's number in the cell's own /proc. */
static int number_in_cell(const struct session *s, pid_t tid)
{
	if (s->cell->pid_ns_fd < 0)
		return tid;
	return ioctl(s->cell->pid_ns_fd, NS_GET_PID_IN_PIDNS_, tid);
}

static int open_file(const struct session *s, int number, const char *name)
{
	char path[48];
	int fd;

	snprintf(path, sizeof(path), "proc/%d/%s", number, name);
	hurry_begin();
	fd = openat(s->cell->view_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	hurry_end();
	return fd < 0 ? -errno : fd;
}

int tracee_process_file(
	const struct session *s, int number, const char *name, char *buf, size_t size)
{
	autofd fd = open_file(s, number, name);
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	hurry_begin();
	/* The kernel gives some of these in pieces. */
	while (have < size - 1 && (n = read(fd, buf + have, size - 1 - have)) > 0)
		have += (size_t)n;
	hurry_end();
	buf[have] = '\0';
	return have > 0 ? (int)have : -EIO;
}

int tracee_file(const struct session *s, pid_t tid, const char *name, char *buf, size_t size)
{
	int number = number_in_cell(s, tid);

	return number > 0 ? tracee_process_file(s, number, name, buf, size) : -ESRCH;
}

int tracee_open_file(const struct session *s, pid_t tid, const char *name, int *ret_fd)
{
	int number = number_in_cell(s, tid);
	int fd = number > 0 ? open_file(s, number, name) : -ESRCH;

	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

static int list(const struct session *s, const char *path, int *ret_fd)
{
	int fd = openat(s->cell->view_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int tracee_processes(const struct session *s, int *ret_fd)
{
	return list(s, "proc", ret_fd);
}

int tracee_threads(const struct session *s, int number, int *ret_fd)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%d/task", number);
	return list(s, path, ret_fd);
}

int tracee_descriptors(const struct session *s, int number, int *ret_fd)
{
	char path[32];

	snprintf(path, sizeof(path), "proc/%d/fd", number);
	return list(s, path, ret_fd);
}

pid_t tracee_number(const struct session *s, int number)
{
	pid_t pid = number;

	if (s->cell->pid_ns_fd >= 0)
		pid = ioctl(s->cell->pid_ns_fd, NS_GET_PID_FROM_PIDNS_, number);
	return pid < 0 ? -errno : pid;
}

mode_t tracee_umask(const struct session *s, pid_t tid)
{
	char text[STATUS_BYTES];
	const char *at;

	if (tracee_file(s, tid, "status", text, sizeof(text)) < 0)
		return UMASK_UNKNOWN;
	at = strstr(text, "\nUmask:\t");
	return at ? (mode_t)strtoul(at + strlen("\nUmask:\t"), NULL, 8) & 0777 : UMASK_UNKNOWN;
}
