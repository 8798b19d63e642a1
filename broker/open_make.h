/* SPDX-License-Identifier: MIT */
/*
 * open_make.h - opens that make files.
 */
#ifndef WARDER_OPEN_MAKE_H
#define WARDER_OPEN_MAKE_H

#include "broker/request.h"

/* With O_CREAT: opens what is there, or makes it.  q->fd on success.  0 or -errno. */
int open_make(struct session *s, struct request *q);
/* With O_TMPFILE: a file without a name, in a directory.  As above. */
int open_make_nameless(struct session *s, struct request *q);

#endif
