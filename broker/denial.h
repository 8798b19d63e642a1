/* SPDX-License-Identifier: MIT */
/*
 * denial.h - what the summary is told: each denial once, with what would lift it.
 */
#ifndef WARDER_DENIAL_H
#define WARDER_DENIAL_H

#include "broker/request.h"

/* Notes a request that the warder refused. */
void denial_note(struct session *s, const struct request *q);

/* Notes one that the file system refused, where `as broker` would lift that; else does nothing. */
void denial_note_failure(struct session *s, const struct request *q);

/*
 * After the cell's end: looks at what stands at each path that was denied (absent, mode,
 * elsewhere).  While the worker runs it would tell by the time that an answer takes.  Waits for no
 * file system, since the paths are the worker's.
 */
void denial_look(struct session *s);

#endif
