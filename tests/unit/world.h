/* SPDX-License-Identifier: MIT */
/*
 * world.h - a session over a directory of its own, for tests of the pipeline and the ask door.
 *
 * The broker's half is the real one: a policy from text, a ledger in a file, the channel's one end.
 * View and twin are the same plain directory, so what the mounts of a cell add is not tested here.
 */
#ifndef WARDER_TEST_WORLD_H
#define WARDER_TEST_WORLD_H

#include "broker/ask.h"
#include "broker/charge.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

struct world {
	int base_fds;  /* descriptors open before */
	char dir[64];  /* of the whole */
	char root[72]; /* what the worker sees as "/": dir/root, or "" for this host's */
	struct policy *policy;
	struct cell cell;
	struct ledger *ledger;
	struct session s;
	struct broker_result result;
	int worker_fd; /* the worker's end of the channel */
	uint32_t id;
	/* The answer last received. */
	uint8_t in[MSG_SIZE_MAX];
	struct msg_answer answers[MSG_COUNT_MAX];
	int fds[MSG_COUNT_MAX];
	size_t n_fds;
};

/* ---- the directory --------------------------------------------------------------------------- */

/* A path of the world in the file system of the test. */
static inline const char *at(const struct world *w, const char *path)
{
	static char buf[4][PATH_MAX];
	static unsigned next;
	char *p = buf[next++ % 4];

	snprintf(p, PATH_MAX, "%s%s", w->root, path);
	return p;
}

static inline void put_dir(struct world *w, const char *path)
{
	assert_int_equal(mkdir(at(w, path), 0755), 0);
}

static inline void put_file(struct world *w, const char *path, const char *text)
{
	int fd = open(at(w, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static inline void put_link(struct world *w, const char *text, const char *path)
{
	assert_int_equal(symlink(text, at(w, path)), 0);
}

static inline bool there(struct world *w, const char *path)
{
	struct stat st;

	return lstat(at(w, path), &st) == 0;
}

static inline bool holds(struct world *w, const char *path, const char *text)
{
	char buf[256] = "";
	int fd = open(at(w, path), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(buf, text, strlen(text)) == 0;
}

/* ---- the session ----------------------------------------------------------------------------- */

static inline int load_nothing(void *ctx, bool preset, const char *name, char **ret_text,
	size_t *ret_size, char **ret_path)
{
	return -ENOENT;
}

/* What the loader does with a file system, done with the world's. */
static inline void resolve_trees(struct world *w)
{
	struct policy *p = w->policy;
	struct stat st;

	for (size_t i = 0; i < policy_tree_count(p); i++) {
		const struct policy_tree *t = policy_tree(p, i);
		bool missing = stat(at(w, t->prefix), &st) < 0;
		bool directory = !missing && S_ISDIR(st.st_mode);
		bool sockets = t->rights & (RIGHT_CONNECT | RIGHT_BIND);
		char *same = strdup(t->prefix);

		/* A socket's path may be missing at load. */
		policy_tree_resolved(
			p, i, missing && !sockets && t->verdict == VERDICT_ALLOW ? NULL : same);
		if (!missing && !t->has_wildcard)
			policy_tree_is_directory(p, i, directory);
		free(same);
	}
	for (size_t i = 0; i < policy_except_count(p); i++) {
		char *same = strdup(policy_except_prefix(p, i));

		policy_except_resolved(p, i, same);
		free(same);
	}
}

static inline void print_diags(const struct policy *p)
{
	for (size_t i = 0; i < policy_diag_count(p); i++)
		print_error("%u: %s\n", policy_diag(p, i)->line, policy_diag(p, i)->text);
}

static inline void set_policy(struct world *w, const char *text)
{
	static const struct policy_env env = {.home = "/home", .start = "/", .load = load_nothing};
	int r;

	w->policy = policy_new(&env);
	assert_non_null(w->policy);
	r = policy_add_text(w->policy, "test.policy", "/", text, strlen(text));
	if (r == 0)
		r = policy_finish(w->policy);
	if (r == 0) {
		resolve_trees(w);
		r = policy_compile(w->policy);
	}
	if (r < 0)
		print_diags(w->policy);
	assert_int_equal(r, 0);
}

static inline void open_ledger(struct world *w)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/ledger", w->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	w->ledger = malloc(sizeof(*w->ledger));
	assert_int_equal(ledger_init(w->ledger, &fd), 0);
	assert_int_equal(fd, -1);
}

/* A world with an empty directory; fill it, then start it with a policy. */
static inline struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	w->base_fds = count_fds();
	snprintf(w->dir, sizeof(w->dir), "/tmp/warder-world.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_int_equal(chmod(w->dir, 0755), 0);
	snprintf(w->root, sizeof(w->root), "%s/root", w->dir);
	assert_int_equal(mkdir(w->root, 0755), 0);
	w->cell = (struct cell)CELL_INIT;
	w->worker_fd = -1;
	return w;
}

/* Fields of the session that a test sets before world_start() are kept: privileged, uid, gid. */
static inline void world_start(struct world *w, const char *text)
{
	bool other = w->s.privileged;

	set_policy(w, text);
	open_ledger(w);
	w->cell.view_fd = open(at(w, "/"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->cell.twin_fd = open(at(w, "/"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->cell.proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->cell.worker_files_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->s = (struct session){
		.policy = w->policy,
		.root = policy_settings(w->policy)->root,
		.cell = &w->cell,
		.own = {"/tmp", "/home/worker"},
		.n_own = w->root[0] && policy_settings(w->policy)->root == ROOT_VIEW ? 2 : 0,
		.ledger = w->ledger,
		.result = &w->result,
		.charge = {.per_second = policy_settings(w->policy)->limit_requests,
			.held_max = policy_settings(w->policy)->limit_held,
			.worker_files_fd = w->cell.worker_files_fd},
		.privileged = w->s.privileged,
		.uid = other ? w->s.uid : geteuid(),
		.gid = other ? w->s.gid : getegid(),
		.phase = PHASE_HELLO,
	};
	assert_int_equal(chan_pair(&w->s.channel_fd, &w->worker_fd), 0);
	assert_int_equal(ask_init(&w->s), 0);
	umask(0);
}

static inline void world_close_answer(struct world *w)
{
	fd_close_many(w->fds, w->n_fds);
	w->n_fds = 0;
}

/* Undoes all and asserts that no descriptor stays. */
static inline void world_free(struct world *w)
{
	char command[192];
	int base = w->base_fds;

	world_close_answer(w);
	ask_deinit(&w->s);
	if (w->ledger)
		ledger_deinit(w->ledger);
	free(w->ledger);
	policy_free(w->policy);
	fd_close(&w->cell.view_fd);
	fd_close(&w->cell.twin_fd);
	fd_close(&w->cell.proc_fd);
	fd_close(&w->cell.worker_files_fd);
	if (w->s.ledger)
		fd_close(&w->s.channel_fd);
	fd_close(&w->worker_fd);
	snprintf(command, sizeof(command), "chmod -R u+rwx %s && rm -rf %s", w->dir, w->dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(count_fds(), base);
	free(w);
}

/* ---- the worker's half ----------------------------------------------------------------------- */

static inline int serve(struct world *w)
{
	const char *why = NULL;

	return ask_serve(&w->s, &why);
}

/* Sends n requests of one row and serves them.  What ask_serve() said. */
static inline int send_requests(
	struct world *w, enum msg_op op, const struct msg_request *q, size_t n)
{
	static uint8_t out[MSG_SIZE_MAX];
	struct enc e = enc_init(out, sizeof(out));
	size_t size;

	msg_begin(&e, (uint16_t)op, ++w->id, (uint16_t)n);
	for (size_t i = 0; i < n; i++)
		msg_put_request(&e, &q[i]);
	assert_int_equal(msg_end(&e, &size), 0);
	assert_int_equal(chan_send(w->worker_fd, out, size, NULL, 0, true), 0);
	return serve(w);
}

/* Receives an answer of n records.  The descriptors stand in w->fds. */
static inline void receive(struct world *w, enum msg_op op, size_t n)
{
	struct msg_header h;
	size_t fds = 0;
	struct dec d;
	long got;

	world_close_answer(w);
	got = chan_recv(
		w->worker_fd, w->in, sizeof(w->in), w->fds, MSG_COUNT_MAX, &w->n_fds, false);
	assert_true(got > 0);
	d = dec_init(w->in, (size_t)got);
	assert_int_equal(msg_header(&d, &h), 0);
	assert_int_equal(h.op, op);
	assert_int_equal(h.count, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(msg_get_answer(&d, &w->answers[i]), 0);
		fds += w->answers[i].result == ANSWER_FD;
	}
	assert_int_equal(dec_end(&d), 0);
	assert_int_equal(fds, w->n_fds);
}

static inline struct msg_request request(const char *path, uint32_t flags, uint32_t mode)
{
	return (struct msg_request){
		.path = path,
		.path_size = (uint16_t)strlen(path),
		.flags = flags,
		.mode = mode,
	};
}

static inline struct msg_request request2(const char *path, const char *path2, uint32_t flags)
{
	struct msg_request q = request(path, flags, 0);

	q.path2 = path2;
	q.path2_size = (uint16_t)strlen(path2);
	return q;
}

/* One request and its result. */
static inline int ask(struct world *w, enum msg_op op, struct msg_request q)
{
	assert_int_equal(send_requests(w, op, &q, 1), 0);
	receive(w, op, 1);
	return w->answers[0].result;
}

static inline void hello(struct world *w)
{
	struct msg_request q = {.flags = MSG_VERSION};

	assert_int_equal(ask(w, MSG_HELLO, q), 0);
}

/* Opens a path: 0 with the descriptor in w->fds[0], or -errno. */
static inline int ask_open(struct world *w, const char *path, int flags)
{
	int r = ask(w, MSG_OPEN, request(path, (uint32_t)flags, 0644));

	assert_true(r == ANSWER_FD || r < 0);
	return r == ANSWER_FD ? 0 : r;
}

/* A world that has said hello. */
static inline struct world *world_ready(struct world *w, const char *text)
{
	world_start(w, text);
	hello(w);
	return w;
}

/* ---- the ledger ------------------------------------------------------------------------------ */

/* The lines of the ledger, each of which must parse, with seq growing by one. */
static inline json_t *ledger_lines(struct world *w)
{
	json_t *lines = json_array();
	char path[128], *line = NULL;
	size_t room = 0;
	json_int_t seq = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/ledger", w->dir);
	f = fopen(path, "re");
	assert_non_null(f);
	while (getline(&line, &room, f) > 0) {
		json_error_t error;
		json_t *o = json_loads(line, JSON_ALLOW_NUL, &error);

		if (!o)
			fail_msg("%s: %s", error.text, line);
		assert_int_equal(json_integer_value(json_object_get(o, "seq")), ++seq);
		json_array_append_new(lines, o);
	}
	free(line);
	fclose(f);
	return lines;
}

static inline const char *field(json_t *line, const char *name)
{
	const char *s = json_string_value(json_object_get(line, name));

	return s ? s : "";
}

/* How many lines are of an event, and how many of those hand a descriptor over. */
static inline size_t count_events(struct world *w, const char *event, bool with_fd)
{
	json_t *lines = ledger_lines(w), *line;
	size_t i, n = 0;

	json_array_foreach(lines, i, line)
	{
		if (strcmp(field(line, "event"), event) == 0 &&
			(!with_fd || json_is_true(json_object_get(line, "fd"))))
			n++;
	}
	json_decref(lines);
	return n;
}

/* The last line, which the caller lets go with json_decref(). */
static inline json_t *last_line(struct world *w)
{
	json_t *lines = ledger_lines(w);
	json_t *line = json_array_get(lines, json_array_size(lines) - 1);

	json_incref(line);
	json_decref(lines);
	return line;
}

static inline void assert_last(struct world *w, const char *name, const char *value)
{
	json_t *line = last_line(w);

	assert_string_equal(field(line, name), value);
	json_decref(line);
}

#endif
