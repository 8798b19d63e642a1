/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - the default runtime: what an unmodified program needs to be loaded and to run.
 *
 * The cell mounts it, the policy refuses to deny inside it, and both read this list.  Names that a
 * host lacks are passed over.  A name that ends in '*' stands for each entry of its directory that
 * begins so.
 */
#ifndef WARDER_RUNTIME_H
#define WARDER_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>

/* Whole trees; those of the root directory are often symlinks and stay such. */
extern const char *const runtime_trees[];
/* The world-readable part of /etc: a file, or a directory with all beneath. */
extern const char *const runtime_etc[];

/* The entry of the two lists that `path` (absolute, normalised) is or lies beneath; NULL: none. */
const char *runtime_find(const char *path, size_t size);
/* Whether `entry`, a name of the two lists, holds `path`. */
bool runtime_holds(const char *entry, const char *path, size_t size);

#endif
