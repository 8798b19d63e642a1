/* SPDX-License-Identifier: MIT */
/*
 * host_look.h - whether the host has something at a path that no rule is about.
 */
#ifndef WARDER_HOST_LOOK_H
#define WARDER_HOST_LOOK_H

#include "broker/request.h"

/*
 * What there is at the path, absolute and normalised, links followed: 0 and its mode in *ret_mode,
 * and whether the path itself is a link, or -errno: -ENOENT and -ENOTDIR, nothing; -EAGAIN, as
 * below, nobody could be asked; -EACCES, a directory on the way is closed.
 */
int host_look(struct session *s, const char *path, mode_t *ret_mode, bool *ret_link);

/*
 * Whether there is something at the path, absolute and normalised, outside of every cell; true too
 * where that could not be told without asking a file system whose server may not answer, which is
 * never asked, and nothing is mounted.  The worker is told nothing of it, but who started it is,
 * since a rule may be what it lacks.
 */
bool host_has_path(struct session *s, const char *path);

#endif
