/* SPDX-License-Identifier: MIT */
/*
 * inherited.h - what the caller left open, and nobody asked to be kept.
 */
#ifndef WARDER_INHERITED_H
#define WARDER_INHERITED_H

#include "common/failure.h"

#include <stddef.h>

/* Descriptors from 3 on. */
struct inherited {
	int *fds; /* owned */
	size_t n;
};

/* Notes those that are open.  The standard three are (fd_fill_standard()), and nothing has been
 * opened yet; 0 or -errno with the sentence. */
int inherited_note(struct inherited *in, struct failure *f);
/* Closes them all but those to keep, and frees the list. */
void inherited_close(struct inherited *in, const int *keep, size_t n_keep);

#endif
