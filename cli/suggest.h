/* SPDX-License-Identifier: MIT */
/*
 * suggest.h - the line of policy that would lift a denial.
 */
#ifndef WARDER_CLI_SUGGEST_H
#define WARDER_CLI_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What stands at a path on this host: 0 and its type, or an errno; EAGAIN: nobody could be asked.
 * And whether the path itself is a symlink. */
struct suggest_place {
	int absent;
	mode_t mode;
	bool link;
};

/* Looks, by stat(2): at what the user has named, which may have to wait; never at what a worker
 * has. */
struct suggest_place suggest_look(const char *path);

/*
 * Writes the line that gives `rights` on a path as it stands on this host: "dir/" for a directory,
 * "optional" for what is missing, its type for a device or a FIFO, a symlink that is to be made or
 * removed by its name beneath its directory, since the next start would not follow it.  0; -EINVAL
 * where no rule could give it, -ENAMETOOLONG.  Leaves buf "" then.  `fixed`: policy_fixed() of the
 * path.
 */
int suggest(unsigned rights, const char *path, size_t fixed, const struct suggest_place *place,
	char *buf, size_t size);

/*
 * Writes what an `except` has to be added to, and the `except`: "end scan.policy:3 with: except
 * DIR/". A path is named as it stands on this host, a directory as "dir/"; `makes_dir`: what is
 * missing is to be one.  What the host ships is changed in a copy, which `use` then finds first.  0
 * or -ENAMETOOLONG; buf is "" then.
 */
int suggest_except(const char *rule, const char *path, bool makes_dir,
	const struct suggest_place *place, char *buf, size_t size);

#endif
