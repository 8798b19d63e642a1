/* SPDX-License-Identifier: MIT */
/*
 * events_start.c - the ledger's records of what the worker has from its start, without a grant.
 *
 * Runs in: broker, before the cage and the worker.  Trusts: the cell's description.
 *
 * They stand in the ledger before the worker is made, by one write together with the session's.
 */
#include "broker/events.h"
#include "broker/held.h"
#include "common/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- descriptors ----------------------------------------------------------------------------- */

/* What sandbox/worker.c puts in the place of a way out: the same node, of which the cell's /dev has
 * the host's. */
static int describe_null(const char *why, struct record *r)
{
	static const char null[] = "/dev/null";
	struct stat st;

	if (stat(null, &st) < 0)
		return -errno;
	r->has_inode = true;
	r->dev = st.st_dev;
	r->ino = st.st_ino;
	r->type = words_type(st.st_mode);
	r->flags = "O_RDWR";
	r->name = null;
	r->name_size = strlen(null);
	r->reason = why;
	return 0;
}

/* Why the worker gets another in its place; NULL: it gets this one. */
static const char *way_out(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags >= 0 && (flags & O_PATH))
		return "in place of an O_PATH descriptor, which would lead out of the cell";
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return "in place of a directory, which would lead out of the cell";
	return NULL;
}

static int put_descriptor(struct ledger *l, const struct cell_fd *fd, const char *what)
{
	struct record r = {
		.event = EVENT_START,
		.class = "start",
		.number = fd->to,
		.text = what,
	};
	const char *why = fd->to <= 2 ? way_out(fd->from) : NULL;
	struct held held;
	int e;

	if (why) {
		e = describe_null(why, &r);
	} else {
		e = held_describe(fd->from, &held, &r);
		if (e == 0)
			e = held_name(fd->from, &held, &r);
	}
	return e < 0 ? e : ledger_put(l, &r);
}

/* ---- the runtime ----------------------------------------------------------------------------- */

/* As they were given, the built-in ones too: which of them a host lacks, its cell lacks. */
static int put_runtime(struct ledger *l, const struct cell_spec *spec)
{
	const char *const *const built_in[] = {runtime_trees, runtime_etc};
	struct record r = {.event = EVENT_START, .class = "runtime"};
	const char **trees = NULL;
	size_t n = 0, room = spec->n_runtime + 1;
	int e;

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; built_in[k][i]; i++)
			room++;
	trees = calloc(room, sizeof(*trees));
	if (!trees)
		return -ENOMEM;
	for (size_t k = 0; k < 2 && !spec->runtime_none; k++)
		for (size_t i = 0; built_in[k][i]; i++)
			trees[n++] = built_in[k][i];
	for (size_t i = 0; i < spec->n_runtime; i++)
		trees[n++] = spec->runtime[i];
	r.runtime = trees;
	e = ledger_put(l, &r);
	free(trees);
	return e;
}

/* ---- all of it ------------------------------------------------------------------------------- */

int record_start(struct ledger *l, const struct cell_spec *spec, int channel_fd, int clients_fd,
	struct failure *f)
{
	int e;

	for (size_t i = 0; i < spec->n_fds; i++) {
		const struct cell_fd *fd = &spec->fds[i];

		e = put_descriptor(l, fd,
			fd->from == channel_fd   ? "WARDER_FD"
			: fd->from == clients_fd ? "WARDER_CLIENTS_FD"
						 : NULL);
		if (e < 0)
			return fail(f, e,
				"cannot sign for descriptor %d, which the worker would start with, "
				"in the ledger: %m; the start stops here",
				fd->to);
	}
	e = put_runtime(l, spec);
	if (e == 0)
		e = ledger_commit(l);
	return e < 0 ? fail(f, e,
			       "cannot write the ledger's first records: %m; nothing is handed "
			       "over unsigned, so the start stops here")
		     : 0;
}
