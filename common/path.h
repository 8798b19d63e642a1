/* SPDX-License-Identifier: MIT */
/*
 * path.h - paths as bytes: normal form and components.  No I/O.
 */
#ifndef WARDER_PATH_H
#define WARDER_PATH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Writes the normal form of an absolute path: one slash between components, no ".", ".." taken
 * away with the component before it ("/.." is "/"), no slash at the end but for "/".
 * Lexical: right only where no symlink is on the way, which the resolver proves.
 *
 * `path` is `size` bytes and need not end in NUL; `buf` takes at most `buf_size` bytes with a NUL.
 * Returns the length without NUL; -EINVAL: not absolute, empty, or a NUL inside;
 * -ENAMETOOLONG: it does not fit, or a component is longer than NAME_MAX.
 */
int path_normalise(const char *path, size_t size, char *buf, size_t buf_size);

/* Whether that would change nothing: "/", or components between single slashes of which none is "."
 * or "..".  Says nothing of a NUL, nor of how long a component is. */
bool path_is_normal(const char *path, size_t size);

#endif
