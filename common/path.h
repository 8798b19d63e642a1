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

/* Whether `path`, of `size` bytes, is `dir` or lies beneath it; "/" holds every path.  Both are in
 * their normal form. */
bool path_holds(const char *dir, const char *path, size_t size);

/* An absolute path as seen from its root: without the slashes before it; "." for the root. */
const char *path_relative(const char *path);

#endif
