/* SPDX-License-Identifier: MIT */
/*
 * lib_world.h - libwarder on a channel whose other end is a script.
 *
 * The broker is a forked child on a real socketpair; it answers each message by the script that the
 * test gives it.
 */
#ifndef WARDER_TEST_LIB_WORLD_H
#define WARDER_TEST_LIB_WORLD_H

#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "sandbox/warder.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What the broker's child does with one message: fills the answer and its descriptors. */
struct heard {
	struct msg_header h;
	struct msg_request q[MSG_COUNT_MAX];
};
struct said {
	struct enc e;
	int fds[CHAN_FDS_MAX];
	size_t n_fds;
	bool silent; /* close without a word */
};
typedef void broker_fn(const struct heard *in, struct said *out);

static inline int open_null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* An honest answer to open: a descriptor of /dev/null, ENOENT for names that begin with "/no". */
static inline void honest(const struct heard *in, struct said *out)
{
	msg_begin(&out->e, in->h.op, in->h.id, in->h.count);
	for (unsigned i = 0; i < in->h.count; i++) {
		if (in->q[i].path_size >= 3 && memcmp(in->q[i].path, "/no", 3) == 0) {
			msg_put_answer(&out->e, -ENOENT, NULL, 0);
			continue;
		}
		out->fds[out->n_fds++] = open_null();
		msg_put_answer(&out->e, ANSWER_FD, NULL, 0);
	}
}

static inline void serve_one(int sock, broker_fn *answer, bool *ret_end)
{
	static uint8_t in_buf[MSG_SIZE_MAX], out_buf[MSG_SIZE_MAX];
	static struct heard in;
	static struct said out;
	struct dec d;
	size_t n = 0, size;
	long got = chan_recv(sock, in_buf, sizeof(in_buf), NULL, 0, &n, true);

	*ret_end = true;
	if (got <= 0)
		return;
	d = dec_init(in_buf, (size_t)got);
	if (msg_header(&d, &in.h) < 0)
		return;
	for (unsigned i = 0; i < in.h.count; i++)
		if (msg_get_request(&d, in.h.op, &in.q[i]) < 0)
			_exit(9);
	if (dec_end(&d) < 0)
		_exit(9);
	memset(&out, 0, sizeof(out));
	out.e = enc_init(out_buf, sizeof(out_buf));
	if (in.h.op == MSG_HELLO) {
		msg_begin(&out.e, in.h.op, in.h.id, 1);
		msg_put_answer(&out.e, 0, NULL, 0);
	} else {
		answer(&in, &out);
	}
	if (out.silent || out.e.error)
		return;
	msg_end(&out.e, &size);
	*ret_end = chan_send(sock, out_buf, size, out.fds, out.n_fds, true) < 0;
}

struct fixture {
	struct warder *w;
	int sock; /* its channel's number */
	pid_t broker;
	int fds;
};

static inline void start(struct fixture *f, broker_fn *answer)
{
	int mine, theirs;

	f->fds = count_fds();
	assert_int_equal(chan_pair(&mine, &theirs), 0);
	f->broker = fork();
	if (f->broker == 0) {
		bool end = false;

		close(mine);
		while (!end)
			serve_one(theirs, answer, &end);
		_exit(0);
	}
	close(theirs);
	f->sock = mine;
	f->w = warder_attach_fd(&mine);
	assert_non_null(f->w);
	assert_int_equal(mine, -1);
}

static inline void stop(struct fixture *f)
{
	int status;

	warder_detach(f->w);
	assert_int_equal(waitpid(f->broker, &status, 0), f->broker);
	assert_int_equal(status, 0);
	assert_int_equal(count_fds(), f->fds);
}

/* A warder_list callback: each name, and "?" behind one that is no file. */
static inline int collect(void *ctx, const struct warder_entry *entry)
{
	strcat(ctx, entry->name);
	strcat(ctx, entry->type == DT_REG ? " " : "? ");
	return 0;
}

#endif
