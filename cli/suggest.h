/* SPDX-License-Identifier: MIT */
/*
 * suggest.h - the line of policy that would lift a denial.
 */
#ifndef WARDER_CLI_SUGGEST_H
#define WARDER_CLI_SUGGEST_H

#include <stddef.h>

/*
 * Writes the line that gives `rights` on a path as it stands on this host: "dir/" for a directory,
 * "optional" for what is missing, its type for a device or a FIFO.  0; -EINVAL where no rule could
 * give it, -ENAMETOOLONG.  Leaves buf "" then.
 */
int suggest(unsigned rights, const char *path, char *buf, size_t size);

/* Writes a path as the `except` of a rule takes it: "dir/" for a directory.  0 or -ENAMETOOLONG. */
int suggest_except(const char *path, char *buf, size_t size);

#endif
