/* SPDX-License-Identifier: MIT */
/*
 * policy_find.h - where policies are, how they are read, and where a rule's path leads.
 */
#ifndef WARDER_POLICY_FIND_H
#define WARDER_POLICY_FIND_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* What a file of policy may measure. */
#define POLICY_SIZE_MAX (1024 * 1024)

#define FINDER_DIRS  4
#define FINDER_NAMES 64

/* The directories of presets, in their order; "" is none. */
struct finder {
	char dirs[FINDER_DIRS][PATH_MAX];
	const char *names[FINDER_NAMES + 1]; /* of presets, for "did you mean"; NULL at the end */
	bool listed;
};

/* `home`: of the user who starts warder, borrowed for the call; NULL or not absolute: none.  No
 * variable of the environment has a say: XDG_CONFIG_HOME would replace a shipped preset. */
void finder_init(struct finder *f, const char *home);
void finder_deinit(struct finder *f);

/* The path of a preset.  0 or -ENOENT; then f->names holds the names there are. */
int finder_preset(struct finder *f, const char *name, char *buf, size_t size);
/* What messages and rules call a file: a text in memory, as warder_spawn() has it, by the name that
 * it was given, written to buf; any other as it is. */
const char *finder_shown(const char *file, char *buf, size_t size);
const char *finder_nearest(struct finder *f, const char *name);

/*
 * Reads a file of policy that is safe to trust: a regular file of root or the caller, which nobody
 * else can write, of at most POLICY_SIZE_MAX bytes.  *ret_text is malloc'd.  On failure -errno, and
 * *ret_why a sentence, malloc'd (NULL: no memory for it).
 */
int finder_read(const char *path, char **ret_text, size_t *ret_size, char **ret_why);
int finder_read_stdin(char **ret_text, size_t *ret_size, char **ret_why);

/* Where a path leads. */
struct found {
	char path[PATH_MAX]; /* symlinks followed, as far as it exists; the rest appended */
	char **links;        /* where a symlink stood on the way, or a directory left by ".." */
	size_t n_links;
	size_t n_missing;  /* components that do not exist, or cannot be looked up */
	bool last_is_link; /* the path itself is a symlink */
	bool is_directory;
};

/* Looks up an absolute, normalised path.  0; -errno of the first component that failed, with
 * ret->path, links and n_missing set all the same; -ENOMEM.  To be deinitialised in any case. */
int find_path(const char *path, struct found *ret);
void found_deinit(struct found *f);

#endif
