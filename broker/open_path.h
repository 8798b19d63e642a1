/* SPDX-License-Identifier: MIT */
/*
 * open_path.h - the one place where a requested path is opened.
 */
#ifndef WARDER_OPEN_PATH_H
#define WARDER_OPEN_PATH_H

#include "broker/request.h"

enum follow {
	FOLLOW_NONE,   /* no symlink anywhere: what is reached is what was asked */
	FOLLOW_ALL,    /* within the root; magic links never */
	FOLLOW_CACHED, /* the same, or -EAGAIN where the kernel would have to ask a file system */
	FOLLOW_WITHIN, /* no symlink, and no other mount than the root's: -EXDEV */
};

/*
 * Opens path under root_fd, which it cannot leave: "/" and ".." stop there.  O_CLOEXEC and O_NOCTTY
 * always.  Tries again a bounded number of times when renames disturb it.
 * 0; -EAGAIN: still disturbed, or a lease; -ELOOP: a symlink where none may be; or -errno.
 */
int open_beneath(int root_fd, const char *path, uint64_t flags, mode_t mode, enum follow follow,
	int *ret_fd);

/* Opens the inode of an O_PATH descriptor again with other flags, never waiting: O_NONBLOCK is set
 * on what it returns. */
int open_again(struct session *s, int path_fd, uint64_t flags, mode_t mode, int *ret_fd);

/* What open_path() returns for a trapped call that has to wait: all is decided and charged, and
 * q->target.fd holds what is to be opened, by open_waiting(). */
#define OPEN_WAITS (-ERESTART)

/* Opens what open_path() found to be slow, and waits: q->fd.  ANSWER_FD or -errno. */
int open_waiting(struct session *s, struct request *q);

/* Opens a directory of the view that no rule is about and that only leads to others, which is
 * resolved; to list it, and nothing else.  q->fd: ANSWER_FD; or -errno. */
int open_between(struct session *s, struct request *q);

/* Opens the Unix socket of a `connect` rule on the host itself, O_PATH into q->target, with the
 * rule's authority: no symlink on the way, none at the end.  Fills in what the inode is.  0 or
 * -errno. */
int open_on_host(struct session *s, struct request *q, const char *path);

/* Opens one name within a directory on the host, O_PATH, and never a symlink: -ELOOP.  `cached`:
 * and asks no file system: -EAGAIN where it would have to, -EXDEV where a mount begins.  0 or
 * -errno. */
int open_name_on_host(int dir_fd, const char *name, bool cached, int *ret_fd);

/* The whole way of an open, with what lies between: q->fd on success.  0 or -errno. */
int open_path(struct session *s, struct request *q);

#endif
