/* SPDX-License-Identifier: MIT */
/*
 * lib_open.c - paths, and the opening of one or many of them.
 *
 * Runs in: worker.  Trusts: its caller.
 */
#include "sandbox/lib.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

int lib_path(const char *path, char *buf, const char **ret, uint16_t *ret_size)
{
	size_t size, cwd;

	if (!path)
		return -EFAULT;
	size = strlen(path);
	if (size == 0)
		return -ENOENT;
	if (size > MSG_PATH_MAX)
		return -ENAMETOOLONG;
	*ret = path;
	*ret_size = (uint16_t)size;
	if (path[0] == '/')
		return 0;
	/* getcwd(2) says "(unreachable)" where the directory lies outside of the root. */
	if (!getcwd(buf, MSG_PATH_MAX + 1) || buf[0] != '/')
		return -EINVAL;
	cwd = strlen(buf);
	if (cwd + 1 + size > MSG_PATH_MAX)
		return -ENAMETOOLONG;
	buf[cwd] = '/';
	memcpy(buf + cwd + 1, path, size + 1);
	*ret = buf;
	*ret_size = (uint16_t)(cwd + 1 + size);
	return 0;
}

static int put_path(struct enc *e, const struct warder_open_req *req, char *buf)
{
	struct msg_request q = {.flags = (uint32_t)req->flags};
	int r = lib_path(req->path, buf, &q.path, &q.path_size);

	if (r < 0)
		return r;
	/* open(2) ignores the mode of an open that creates nothing; so it is not worth sending. */
	if (req->flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)))
		q.mode = req->mode;
	return lib_put(e, &q);
}

/* Apart, since the compiler clears such a buffer even where it goes unused. */
static __attribute__((noinline)) int put_relative(struct enc *e, const struct warder_open_req *req)
{
	char buf[MSG_PATH_MAX + 1];

	return put_path(e, req, buf);
}

static int put_open(struct enc *e, const struct warder_open_req *req)
{
	return req->path && req->path[0] == '/' ? put_path(e, req, NULL) : put_relative(e, req);
}

#define SENT INT_MIN /* in a request's fd: its answer is still to come; no errno is so low */

/* Takes the answers of one message. */
static int take_answers(
	struct warder *w, struct lib_answers *a, struct warder_open_req *reqs, size_t n)
{
	struct msg_answer answer;
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		int fd = -1;

		if (reqs[i].fd != SENT)
			continue;
		r = lib_answer(a, true, false, &answer, &fd);
		if (r >= 0)
			reqs[i].fd = r == 0 ? fd : -r;
	}
	return lib_answers_end(w, a, r < 0 ? r : 0);
}

/* Puts as many requests as one message takes.  A request that cannot be sent has its errno now.
 * Returns how many were looked at; *ret_sent how many are in the message. */
static size_t fill(struct enc *e, struct warder_open_req *reqs, size_t n, uint16_t *ret_sent)
{
	uint16_t sent = 0;
	size_t i;

	for (i = 0; i < n && sent < MSG_COUNT_MAX; i++) {
		int r = put_open(e, &reqs[i]);

		if (r == -ENOSPC)
			break;
		reqs[i].fd = r < 0 ? r : SENT;
		sent += r == 0;
	}
	*ret_sent = sent;
	return i;
}

/* One message.  Returns how many requests it settled, or -errno with none of them open. */
static long open_some(struct warder *w, struct warder_open_req *reqs, size_t n)
{
	struct lib_answers a = LIB_ANSWERS_INIT;
	uint16_t sent;
	struct enc e;
	size_t looked;
	int r = lib_begin(w, MSG_OPEN, 0, &e);

	if (r < 0)
		return r;
	looked = fill(&e, reqs, n, &sent);
	if (sent > 0)
		r = lib_exchange(w, &e, sent, &a);
	if (sent > 0 && r == 0)
		r = take_answers(w, &a, reqs, looked);
	if (r == 0)
		return (long)looked;
	for (size_t i = 0; i < looked; i++) {
		if (reqs[i].fd < 0 && reqs[i].fd != SENT)
			continue;
		if (reqs[i].fd >= 0)
			fd_close(&reqs[i].fd);
		reqs[i].fd = r;
	}
	/* A full table is each request's own answer: the channel goes on. */
	return r == -EMFILE ? (long)looked : r;
}

static int open_many(struct warder *w, struct warder_open_req *reqs, size_t n)
{
	size_t done = 0;

	while (done < n) {
		long some = open_some(w, reqs + done, n - done);

		if (some < 0) {
			for (; done < n; done++)
				reqs[done].fd = (int)some;
			return (int)some;
		}
		done += (size_t)some;
	}
	return 0;
}

int warder_open_many(struct warder *w, struct warder_open_req *reqs, size_t n)
{
	return lib_errno(open_many(w, reqs, n));
}

int warder_open(struct warder *w, const char *path, int flags, mode_t mode)
{
	struct warder_open_req req = {.path = path, .flags = flags, .mode = mode, .fd = -1};
	int r = open_many(w, &req, 1);

	return lib_errno(r < 0 ? r : req.fd);
}
