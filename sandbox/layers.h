/* SPDX-License-Identifier: MIT */
/*
 * layers.h - the cell's layers, as init and the worker put them on.
 *
 * One layer, one file.  Every function returns 0 or -errno with a sentence in f that names the
 * layer and what to do; none goes on after a failure.
 */
#ifndef WARDER_LAYERS_H
#define WARDER_LAYERS_H

#include "sandbox/confine.h"

/* ---- landlock.c ---------------------------------------------------------------------------- */

/* What a path may be used for, as Landlock rights of ABI 1 to 5. */
#define RULES_READ  0x1u /* open files to read, list directories */
#define RULES_RUN   0x2u /* open files to read, execute; no listing */
#define RULES_WRITE 0x4u /* everything but devices: the worker's own /tmp and home */
#define RULES_CHAR  0x8u /* open to read and write, ioctl: a device of the minimal /dev */

/* The two domains while they are put together; -1 where Landlock is missing and accepted. */
struct rules {
	int abi;
	int broker_fd;
	int worker_fd;
};

#define RULES_INIT \
	{ \
		.abi = 0, .broker_fd = -1, .worker_fd = -1, \
	}

/* Whether the running kernel has what this cell needs; *ret_abi 0: missing, and accepted. */
int landlock_check(const struct cell_spec *spec, int *ret_abi, struct failure *f);
/* A domain of its own without rules, so that kill(-1, ...) reaches what descends from the caller
 * and nothing else.  1: it has one; 0: the kernel cannot (ABI 6). */
int rules_scope_signals(int abi, struct failure *f);
int rules_init(struct rules *rules, int abi, struct failure *f);
/* A path of the worker's own (runtime, /tmp, /dev, /proc): both domains.  `path_fd` is borrowed. */
int rules_worker(const struct rules *rules, int path_fd, bool is_dir, unsigned use);
/* A data tree: the broker's domain; the worker's only where the tree is exec.  `constant`: it is
 * mounted read-only for the broker too, and no tree of the cell is writable but may not be cut. */
int rules_names(const struct rules *rules, int root_fd);
int rules_tree(const struct rules *rules, int path_fd, const struct cell_tree *tree, bool constant);

/* ---- view_runtime.c: also what `root host` grants -------------------------------------------- */

/* Opens every entry of the runtime, /dev and /proc on the host and makes the rules for them. */
int host_rules(const struct cell_spec *spec, const struct rules *rules, struct failure *f);

/* ---- view.c, view_runtime.c, view_tree.c ----------------------------------------------------- */

#define VIEW_TEXT_SIZE (8 * 1024)

struct view {
	const struct cell_spec *spec;
	const struct cell_prep *prep;
	struct rules rules;
	int host_fd;         /* the old root, while the runtime is put together */
	int root_fd;         /* the worker's root */
	int trees_fd;        /* where the trees stand; `root empty`: a root of their own */
	int tmp_fd, home_fd; /* the worker's own mounts, which stay writable */
	int shm_fd;
	const char *home; /* where the private home stands; NULL: none */
	const char *tmp;
	char text[VIEW_TEXT_SIZE]; /* a path, or a small file: one buffer, cleared once */
};

/* Builds the view, puts the process into it and fills in `parts`.  The old root is gone after. */
int view_build(const struct cell_spec *spec, const struct cell_prep *prep, struct cell_parts *parts,
	struct failure *f);

/* The parts of view_build(). */
int view_runtime(struct view *v, struct failure *f);
int view_etc_made(struct view *v, struct failure *f);
int view_dev(struct view *v, struct failure *f);
int view_trees(struct view *v, struct failure *f);

/* Makes `path` (absolute) below root_fd a directory, or a file where is_dir is false, to mount
 * upon, and returns it (O_PATH) in *ret_fd.  Makes nothing inside a tree that is mounted there
 * already: what is missing in it is -ENOENT. */
int view_place(int root_fd, const char *path, bool is_dir, int *ret_fd);
/* A new file system of `type`, not yet attached. */
int view_new_mount(const char *type, const char *const *options, unsigned attributes, int *ret_fd);
/* Whether one of the trees is `path`, or lies beneath it, or holds it. */
bool view_meets_tree(const struct cell_spec *spec, const char *path);
/* Whether `dir` is `path` or lies above it. */
bool view_covers(const char *dir, const char *path);
/* Where the private home and /tmp stand: not where a tree is, since a Landlock rule on a directory
 * reaches all that is mounted beneath it. */
const char *view_home(const struct cell_spec *spec);
const char *view_tmp(const struct cell_spec *spec);

/* ---- userns.c ------------------------------------------------------------------------------ */

/* Takes on the worker's uid and gid, mapped or not, and keeps the capabilities of the namespace. */
int user_take(const struct cell_spec *spec, struct failure *f);

/* ---- caps.c, limits.c ---------------------------------------------------------------------- */

/* No capability in any set, none to be had by exec, and no way back. */
int caps_none(struct failure *f);
/* All of it but the sets in force, which setresuid(2) may need: then user_take(), then caps_none().
 */
int caps_lock(struct failure *f);
/* Only the sets in force: for a process that will never execute, which the others are about. */
int caps_empty(struct failure *f);
int limits_apply(const struct cell_spec *spec, struct failure *f);

/* ---- worker.c ------------------------------------------------------------------------------- */

void worker_main(const struct cell_spec *spec, const struct cell_prep *prep, int rules_fd,
	const struct filter *filter, int status_fd) __attribute__((noreturn));

#endif
