/* SPDX-License-Identifier: MIT */
/*
 * trap_take.h - from a trapped call's arguments to a request: paths.
 *
 * Each returns 0, or what the call is to fail with; memory of the caller's is copied once.
 */
#ifndef WARDER_TRAP_TAKE_H
#define WARDER_TRAP_TAKE_H

#include "broker/trap.h"

/* An argument that the kernel takes as an int. */
static inline int arg_int(const struct trap *t, unsigned i)
{
	return (int)(uint32_t)t->notice.args[i];
}

/* A path in the caller's memory, relative to its dir_fd. */
int take_path(const struct session *s, struct trap *t, struct target *target, int dir_fd,
	uint64_t address);
/* The same for a path that was copied; `path` may lie in t->path and ends in NUL. */
int take_text(const struct session *s, struct trap *t, struct target *target, int dir_fd,
	const char *path, size_t size);
/* What the caller's descriptor is open on, as the request's first target with its given_fd. */
int take_descriptor(const struct session *s, struct trap *t, int fd);
/* A path; or the descriptor itself where there is none: NULL, or "" with AT_EMPTY_PATH. */
int take_path_or_fd(
	const struct session *s, struct trap *t, int dir_fd, uint64_t address, int flags);
/* Mode bits of what is created, less the caller's umask. */
mode_t take_new_mode(const struct session *s, struct trap *t, uint64_t mode);

#endif
