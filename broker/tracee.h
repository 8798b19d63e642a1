/* SPDX-License-Identifier: MIT */
/*
 * tracee.h - what a waiting call's arguments mean: memory, directories and descriptors of the
 * thread that made it.
 *
 * Everything is copied once.  A thread's number may be another's as soon as it has died: after any
 * of these, and before an effect, notify_valid() says whether what was read was the caller's.
 */
#ifndef WARDER_TRACEE_H
#define WARDER_TRACEE_H

#include "broker/request.h"

/* Reads exactly `size` bytes.  0; -EFAULT where not all of it can be read; -EPERM: a program that
 * may not be looked into; or -errno. */
int tracee_read(pid_t tid, uint64_t address, void *buf, size_t size);

/* Reads a string with its NUL.  Its length; -EFAULT; -ENAMETOOLONG where no NUL is within `size`
 * bytes; or -errno. */
int tracee_string(pid_t tid, uint64_t address, char *buf, size_t size);

/*
 * Where the thread's directory descriptor leads, or its working directory (AT_FDCWD): a path of the
 * view.  What it names may have moved since, so it is a name like any other.
 * Its length; -EBADF; -ENOENT: it was removed; -ENAMETOOLONG; or -errno.
 */
int tracee_directory(const struct session *s, pid_t tid, int dir_fd, char buf[PATH_MAX]);

/*
 * Two links of /proc that are read again and again, held open, since the walk to one costs as much
 * as to read it: the last of a caller's, and the last of this process's own descriptors.  What is
 * held is the link of a number of a process, not what it leads to, and each reading asks the kernel
 * anew.  That of a process that is gone says nothing, whoever has its number by now.
 */
struct tracee_links {
	struct tracee_link {
		char path[48]; /* "": none */
		int fd;        /* O_PATH of the link itself; -1: it was read once so far */
	} caller, own;
};
/* 0 or -ENOMEM. */
int tracee_links_new(struct tracee_links **ret);
struct tracee_links *tracee_links_free(struct tracee_links *links);

/* What a descriptor of this process is open on, as the kernel tells it.  Its length; -ENAMETOOLONG;
 * or -errno. */
int tracee_own_text(const struct session *s, int fd, char *buf, size_t size);

/* readlinkat(2) of "TID/fd/N" and the like, and fstatat(2) of it in the host's /proc: looks at what
 * may be closed meanwhile, which do not last. */
ssize_t tracee_read_link(int proc_fd, const char *path, char *buf, size_t size);
int tracee_stat(const struct session *s, const char *path, struct stat *ret);
/* What a link of the thread's own directory in /proc says ("fd/0", "exe"), which may be no path.
 * Its length, or -errno. */
int tracee_link(const struct session *s, pid_t tid, const char *name, char buf[PATH_MAX]);

/* An O_PATH copy of what the thread's descriptor is open on, and its path as above, which for
 * anything without a name is no path ("pipe:[7]").  Its length; -EBADF; or -errno. */
int tracee_descriptor(
	const struct session *s, pid_t tid, int fd, int *ret_path_fd, char buf[PATH_MAX]);

/* Whether the kernel's path of a descriptor may be untrue.  "/" stands for all that has left its
 * mount, and " (deleted)" is added to what has no name: no other text is. */
bool tracee_may_lie(const char *text, size_t size);

/* A copy of the descriptor itself: the same open file.  0; -EBADF; or -errno. */
int tracee_take_fd(pid_t tid, int fd, int *ret_fd);

/* The text of a file of the thread's directory in the cell's own /proc ("status", "fdinfo/3"), as
 * much of it as fits, with a NUL.  Its size, or -errno: the cell has no /proc (`root empty`), or
 * the kernel is older than 6.11 and cannot tell the thread's number there. */
int tracee_file(const struct session *s, pid_t tid, const char *name, char *buf, size_t size);
/* The same of a process or a thread by its number there. */
int tracee_process_file(
	const struct session *s, int number, const char *name, char *buf, size_t size);
/* Such a file of the thread's itself, to be read in pieces.  0 or -errno. */
int tracee_open_file(const struct session *s, pid_t tid, const char *name, int *ret_fd);
/* The cell's /proc itself, to be read: one directory a process.  0 or -errno. */
int tracee_processes(const struct session *s, int *ret_fd);
/* The same of a process: one directory a thread. */
int tracee_threads(const struct session *s, int number, int *ret_fd);
/* A process's directory of descriptors there, by its number there, to be read: one link each.
 * 0; -EACCES: it is not dumpable, or has ended; or -errno. */
int tracee_descriptors(const struct session *s, int number, int *ret_fd);
/* The number here of what has this one there; it may be another's at any time.  -errno: none has,
 * or the kernel is older than 6.11. */
pid_t tracee_number(const struct session *s, int number);

/* The thread's file mode creation mask.  077 where it cannot be told: in `root empty`, whose cell
 * has no /proc, and before Linux 6.11. */
mode_t tracee_umask(const struct session *s, pid_t tid);

#endif
