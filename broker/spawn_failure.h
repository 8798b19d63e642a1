/* SPDX-License-Identifier: MIT */
/*
 * spawn_failure.h - why a worker could not start its program.
 */
#ifndef WARDER_SPAWN_FAILURE_H
#define WARDER_SPAWN_FAILURE_H

#include "sandbox/confine.h"

/* What the worker reported, as a sentence in f.  -errno; *ret_exec is 126 or 127 where the cell
 * stood and the program could not be executed. */
int spawn_failure(const struct cell_spec *spec, struct worker_report *report, int *ret_exec,
	struct failure *f);

#endif
