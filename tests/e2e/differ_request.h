/* SPDX-License-Identifier: MIT */
/*
 * differ_request.h - random requests: each is a function of the seed and its index alone, so that
 * every run makes the same ones whatever became of those before.
 */
#ifndef WARDER_E2E_DIFFER_REQUEST_H
#define WARDER_E2E_DIFFER_REQUEST_H

#include "tests/e2e/differ_tree.h"

enum op {
	OP_OPEN,
	OP_MKDIR,
	OP_RMDIR,
	OP_UNLINK,
	OP_RENAME,
	OP_LINK,
	OP_SYMLINK,
	OP_TRUNCATE,
	OP_CHMOD,
	OP_UTIMES,
	OP_ACCESS,
	/* What only looks; a cell with a view answers an unmodified program without the broker. */
	OP_STAT,
	OP_LSTAT,
	OP_READLINK,
	OP_LIST,
	/* What libwarder has no function for. */
	OP_CHOWN,
	OP_SETXATTR,
	OP_REMOVEXATTR,
	OP_MKNOD,
	OP__COUNT,
};

static const char *const op_names[OP__COUNT] = {"open", "mkdir", "rmdir", "unlink", "rename",
	"link", "symlink", "truncate", "chmod", "utimes", "access", "stat", "lstat", "readlink",
	"list", "chown", "setxattr", "removexattr", "mknod"};

/* Of a hundred requests. */
static const unsigned char op_shares[OP__COUNT] = {
	44, 5, 3, 4, 6, 4, 4, 4, 5, 4, 4, 2, 2, 2, 2, 1, 1, 1, 2};

/* From where a path is walked. */
enum from {
	FROM_ROOT, /* it is absolute */
	FROM_CWD,  /* relative, after chdir(2) */
	FROM_FD,   /* relative to a descriptor */
};

enum via { VIA_OPENAT, VIA_OPEN, VIA_CREAT, VIA_OPENAT2 };

struct request {
	unsigned index;
	enum op op;
	enum from from;
	enum via via;
	const char *root;    /* borrowed */
	char base[PATH_MAX]; /* of a relative path: where from, absolute */
	char path[PATH_MAX]; /* whole */
	char tail[PATH_MAX]; /* the same from base on */
	char path2[PATH_MAX];
	char text[PATH_MAX]; /* of a symlink */
	int flags;
	mode_t mode;
	long size;
	struct timespec times[2];
	bool trap_only; /* no function of libwarder does it */
};

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static inline unsigned pick(uint64_t *r, unsigned n)
{
	return (unsigned)(random_next(r) >> 33) % n;
}

static inline bool chance(uint64_t *r, unsigned percent)
{
	return pick(r, 100) < percent;
}

static const char *const new_names[] = {"n1", "n2", "d/n1", "d/n2", "w/n1", "w/n2", "w/n3",
	"d/e/n1", "d/empty/n1", "d/missing", "missing", "missing/x", "dirlink/n1", "absdir/n2",
	"self/self/n1", "d/parent/w/n1", "closed/n1", "nosearch/n1", "nolist/n1", "fixed/n1",
	"sticky/n1", "theirs/n1", "d/a/n1", "rel/n1", "loop/n1", "w/n1/n1", "w/n2/n2",
	"w/new (deleted)", "w/new\nline", "n1/n2", "d/n2/n1", "dirlink/e/f", "absdir/f",
	"self/d/ro", "dirlink/n2", "w/" LONG_NAME "x", ""};
#define N_NEW_NAMES (sizeof(new_names) / sizeof(new_names[0]))

/* Adds what changes nothing of where a path leads, or should not. */
static inline void wind(uint64_t *r, char path[PATH_MAX])
{
	static const char *const before[] = {"./", "d/../", ".//", "dirlink/../", "w/.././",
		"../t/", "self/", "missing/../", "d/a/../", "../../u/t/", "closed/../"};
	static const char *const after[] = {
		"/", "//", "/.", "/..", "/./", "/../", " (deleted)", "/../a", "/../d"};
	char buf[PATH_MAX];

	/* The tree itself may be named, but "//" alone is another, and ".." leaves it. */
	if (path[0] == '\0')
		return;
	if (chance(r, 15)) {
		snprintf(buf, sizeof(buf), "%s%s",
			before[pick(r, sizeof(before) / sizeof(*before))], path);
		memcpy(path, buf, PATH_MAX);
	}
	if (chance(r, 14))
		strncat(path, after[pick(r, sizeof(after) / sizeof(*after))],
			PATH_MAX - strlen(path) - 1);
}

static inline void random_tail(uint64_t *r, bool fifos, char path[PATH_MAX])
{
	const struct node *n = &nodes[pick(r, N_NODES)];

	if (chance(r, 40) || (!fifos && n->path[0] == 'p'))
		snprintf(path, PATH_MAX, "%s", new_names[pick(r, N_NEW_NAMES)]);
	else
		snprintf(path, PATH_MAX, "%s", n->path);
	wind(r, path);
}

static inline void random_paths(uint64_t *r, const char *root, bool fifos, struct request *q)
{
	static const char *const bases[] = {"", "/d", "/w", "/d/e", "/dirlink", "/closed",
		"/nolist", "/nosearch", "/theirs", "/absdir", "/d/empty"};
	char tail[PATH_MAX];

	random_tail(r, fifos, q->tail);
	random_tail(r, fifos, tail);
	snprintf(q->path2, PATH_MAX, "%.2000s/%.2000s", root, tail);
	q->from = chance(r, 70) ? FROM_ROOT : chance(r, 50) ? FROM_CWD : FROM_FD;
	if (q->from == FROM_ROOT) {
		snprintf(q->path, PATH_MAX, "%.2000s/%.2000s", root, q->tail);
		return;
	}
	snprintf(q->base, PATH_MAX, "%.2000s%s", root,
		chance(r, 60) ? "" : bases[pick(r, sizeof(bases) / sizeof(*bases))]);
	/* What is named from the top is found from beneath it by way of "..". */
	if (strlen(q->base) > strlen(root) && chance(r, 50)) {
		snprintf(tail, PATH_MAX, "../%.2000s", q->tail);
		memcpy(q->tail, tail, PATH_MAX);
	}
	snprintf(q->path, PATH_MAX, "%.2000s/%.2000s", q->base, q->tail);
}

static inline int random_flags(uint64_t *r)
{
	static const struct {
		int flag;
		unsigned percent;
	} some[] = {{O_CREAT, 35}, {O_EXCL, 10}, {O_TRUNC, 12}, {O_APPEND, 12}, {O_NONBLOCK, 12},
		{O_DIRECTORY, 10}, {O_NOFOLLOW, 12}, {O_CLOEXEC, 50}, {O_NOCTTY, 5}, {O_SYNC, 3},
		{O_DSYNC, 3}, {O_DIRECT, 3}, {O_NOATIME, 4}, {O_TMPFILE, 4}, {O_PATH, 2}};
	static const int access_modes[] = {
		O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY};
	int flags = chance(r, 1) ? O_ACCMODE : access_modes[pick(r, 8)];

	for (size_t i = 0; i < sizeof(some) / sizeof(*some); i++)
		flags |= chance(r, some[i].percent) ? some[i].flag : 0;
	return flags;
}

static inline mode_t random_mode(uint64_t *r)
{
	static const mode_t common[] = {0644, 0755, 0600, 0666, 0777, 0444, 0700};

	if (chance(r, 85))
		return common[pick(r, 7)];
	return chance(r, 80) ? pick(r, 01000) : pick(r, 010000);
}

static inline void random_time(uint64_t *r, struct timespec *t)
{
	*t = (struct timespec){.tv_sec = (time_t)pick(r, TIME_SET), .tv_nsec = pick(r, 1000000000)};
	if (chance(r, 10))
		t->tv_nsec = chance(r, 50) ? UTIME_NOW : chance(r, 80) ? UTIME_OMIT : 1000000000;
}

static inline enum op random_op(uint64_t *r)
{
	unsigned n = pick(r, 100), op = 0;

	while (n >= op_shares[op])
		n -= op_shares[op++];
	return (enum op)op;
}

static inline void request_make(
	uint64_t seed, unsigned index, const char *root, bool fifos, struct request *q)
{
	uint64_t r = seed * 1000003u + index;

	memset(q, 0, sizeof(*q));
	random_next(&r);
	q->index = index;
	q->root = root;
	q->op = random_op(&r);
	q->trap_only = q->op >= OP_CHOWN;
	random_paths(&r, root, fifos, q);
	q->mode = random_mode(&r);
	q->size = chance(&r, 95) ? (long)pick(&r, 6000) : -1;
	random_time(&r, &q->times[0]);
	random_time(&r, &q->times[1]);
	snprintf(q->text, PATH_MAX, "%.2000s",
		chance(&r, 50) ? nodes[pick(&r, N_NODES)].path : q->path2);
	if (q->op == OP_OPEN) {
		q->via = (enum via)pick(&r, 4);
		q->flags = q->via == VIA_CREAT ? O_CREAT | O_WRONLY | O_TRUNC : random_flags(&r);
	} else if (q->op == OP_RENAME) {
		static const unsigned flags[] = {0, 0, 0, 0, 1, 2, 3, 4};

		/* RENAME_NOREPLACE 1, RENAME_EXCHANGE 2, RENAME_WHITEOUT 4 */
		q->flags = (int)flags[pick(&r, 8)];
	} else if (q->op == OP_ACCESS) {
		q->flags = (int)pick(&r, 8);
	} else if (q->op == OP_CHMOD && !chance(&r, 8)) {
		q->mode |= 0700; /* a tree that is closed to its owner shows nothing more */
	} else if (q->op == OP_UTIMES) {
		q->flags = chance(&r, 30) ? AT_SYMLINK_NOFOLLOW : 0;
	}
}

static inline bool has_path2(const struct request *q)
{
	return q->op == OP_RENAME || q->op == OP_LINK || q->op == OP_SYMLINK;
}

/* The request as a line begins with it. */
static inline void request_put(FILE *out, const struct request *q, size_t root_size)
{
	static const char *const from[] = {"", " cwd", " dirfd"};

	fprintf(out, "%u %s%s ", q->index, op_names[q->op], from[q->from]);
	if (q->op == OP_SYMLINK) {
		put_escaped(out, q->text);
	} else if (q->from == FROM_ROOT) {
		put_escaped(out, q->path + root_size);
	} else {
		put_escaped(out, q->base + root_size);
		fputs("|", out);
		put_escaped(out, q->tail);
	}
	if (has_path2(q)) {
		fputs(" ", out);
		put_escaped(out, q->path2 + root_size);
	}
	if (q->flags)
		fprintf(out, " flags=%#o", q->flags);
	if (q->op == OP_OPEN || q->op == OP_MKDIR || q->op == OP_CHMOD || q->op == OP_MKNOD)
		fprintf(out, " with=%#o", q->mode);
	if (q->op == OP_TRUNCATE)
		fprintf(out, " to=%ld", q->size);
	fputs(" -> ", out);
}

#endif
