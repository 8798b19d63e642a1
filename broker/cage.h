/* SPDX-License-Identifier: MIT */
/*
 * cage.h - the broker's own cage.
 */
#ifndef WARDER_CAGE_H
#define WARDER_CAGE_H

#include "broker/spawn.h"

/* Before the first fork: takes on the worker's supplementary groups, which all inherit: in the cell
 * nobody may set them.  0 or -errno with the sentence. */
int cage_groups(const struct cell_spec *spec, struct failure *f);

/* Step 5: drops every capability that `cage` does not name, fixes uid, gid and fsuid (files are
 * opened as the worker's user), dumpable 0, loads the broker's own filter.  0 or -errno with the
 * sentence. */
int cage_broker(const struct cell_spec *spec, const struct cage_spec *cage, struct failure *f);

#endif
