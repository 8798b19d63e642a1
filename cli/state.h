/* SPDX-License-Identifier: MIT */
/*
 * state.h - warder's own directory: where ledgers stand.
 */
#ifndef WARDER_STATE_H
#define WARDER_STATE_H

#include "common/failure.h"

#include <stddef.h>

#define STATE_REMEDY "; give --ledger FILE, or set XDG_STATE_HOME to a directory of your own"

/*
 * Warder's own directory: $XDG_STATE_HOME/warder; without that variable /var/log/warder for root
 * (never root's $HOME, which sudo may leave pointing at somebody else's) and
 * ~/.local/state/warder for others.  0 or -errno with the sentence.
 */
int state_path(char *buf, size_t size, struct failure *f);

/* Opens a directory below state_path(), "run" or "serve/NAME", and makes what is missing of it,
 * 0700; or one given by its absolute path, of which the last part is made.  Each part must be the
 * caller's own and writable by nobody else.  0 or -errno with the sentence.
 */
int state_open(const char *below, int *ret_dir_fd, struct failure *f);

/* The newest ledger of that directory, by its name.  0, or -ENOENT or another -errno with the
 * sentence. */
int state_newest(const char *below, char *buf, size_t size, struct failure *f);

#endif
