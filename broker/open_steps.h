/* SPDX-License-Identifier: MIT */
/*
 * open_steps.h - what opening a file and making one have in common; for open_path.c and
 * open_make.c.
 */
#ifndef WARDER_OPEN_STEPS_H
#define WARDER_OPEN_STEPS_H

#include "broker/open_path.h"

#include <fcntl.h>

/* Flags of the open file that the worker gets: what the kernel is asked for. */
#define OPEN_FLAGS_KEPT \
	(O_ACCMODE | O_APPEND | O_DIRECTORY | O_SYNC | O_DSYNC | O_DIRECT | O_NOATIME)

/* The twin for what writes, else the view; borrowed. */
int open_root_of(const struct session *s, const struct request *q);

/* Opens with the authority of the rule: a path beneath dir_fd, or with NULL the inode that dir_fd
 * is O_PATH of.  Never waits: O_NONBLOCK is set on what it returns.  0; refused; or -errno. */
int open_as(struct session *s, struct request *q, int dir_fd, const char *path, enum follow follow,
	uint64_t flags, mode_t mode, int *ret_fd);

/* Notes what inode it is.  0 or -errno. */
int open_note(struct target *t, int fd);

/* Gives the worker the status flags it asked for.  0 or -errno. */
int open_settle_flags(struct request *q, int fd);

/* From a resolved inode to its descriptor, q->fd.  0; refused; OPEN_WAITS; or -errno. */
int open_reached(struct session *s, struct request *q);

#endif
