/* SPDX-License-Identifier: MIT */
/*
 * lib_attach.c - the channel to the broker, seen from the worker.
 *
 * Runs in: worker.  Trusts: that the broker decides; not that its messages are well formed.
 *
 * One question, one answer: the worker sends a message and waits.  An answer that is none (another
 * id, another count, a descriptor too many or too few) means that the two sides no longer agree on
 * what belongs to what; so the channel is closed, and no descriptor of it reaches the caller under
 * a wrong name.
 */
#include "sandbox/lib.h"
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ERRNO_MAX 4095 /* the kernel's MAX_ERRNO */

int lib_errno(int r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

int lib_check_seqpacket(int fd)
{
	int domain = 0, type = 0;
	socklen_t size = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
		return -EINVAL;
	size = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET)
		return -EINVAL;
	return 0;
}

int lib_env_socket(const char *name)
{
	const char *text = getenv(name);
	int fd = 0;

	if (!text)
		return -ENXIO;
	if (*text == '\0' || strlen(text) > 7)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		fd = fd * 10 + (*text - '0');
	}
	/* Whatever else stands at that number now is not ours to touch. */
	return lib_check_seqpacket(fd) < 0 ? -EINVAL : fd;
}

int lib_break(struct warder *w, int error)
{
	fd_close(&w->fd);
	w->broken = error;
	return -error;
}

int lib_begin(struct warder *w, enum msg_op op, uint16_t count, struct enc *ret)
{
	if (w->broken)
		return -w->broken;
	if (w->busy)
		return -EBUSY;
	*ret = enc_init(w->tx, sizeof(w->tx));
	msg_begin(ret, (uint16_t)op, ++w->last_id, count);
	return 0;
}

int lib_put(struct enc *e, const struct msg_request *q)
{
	size_t room = (size_t)(e->end - e->at);

	if (room < (size_t)MSG_REQUEST_SIZE + q->path_size + q->path2_size)
		return -ENOSPC;
	msg_put_request(e, q);
	return 0;
}

/* The header has room for the count at its end; it is known only when all requests are in. */
static void put_count(struct enc *e, uint16_t count)
{
	struct enc at = enc_init(e->begin + MSG_HEADER_SIZE - sizeof(count), sizeof(count));

	enc_u16(&at, count);
}

int lib_exchange(struct warder *w, struct enc *e, uint16_t count, struct lib_answers *ret)
{
	struct dec sent = dec_init(w->tx, MSG_HEADER_SIZE);
	struct msg_header question, answer;
	size_t size;
	long got;
	int r;

	put_count(e, count);
	r = msg_end(e, &size);
	if (r < 0)
		return r;
	r = chan_send(w->fd, w->tx, size, NULL, 0, true);
	if (r == -EPIPE || r == -ECONNRESET)
		return lib_break(w, ECONNRESET);
	if (r < 0)
		return r;
	got = chan_recv(w->fd, w->rx, sizeof(w->rx), ret->fds, MSG_COUNT_MAX, &ret->n_fds, true);
	if (got == -EMFILE)
		return -EMFILE; /* the answer was read and closed whole: question and answer still
				   match */
	if (got < 0 || got == 0) {
		ret->n_fds = 0;
		return lib_break(w, got == 0 || got == -ECONNRESET ? ECONNRESET : EPROTO);
	}
	sent.end = w->tx + size;
	ret->dec = dec_init(w->rx, (size_t)got);
	if (msg_header(&sent, &question) < 0 || msg_header(&ret->dec, &answer) < 0 ||
		answer.id != question.id || answer.op != question.op || answer.count != count)
		return lib_answers_end(w, ret, -EPROTO);
	return 0;
}

int lib_answer(struct lib_answers *a, bool fd, bool data, struct msg_answer *ret, int *ret_fd)
{
	struct msg_answer answer;

	if (msg_get_answer(&a->dec, &answer) < 0)
		return -EPROTO;
	if (answer.result < 0) {
		if (answer.result < -ERRNO_MAX || answer.data_size > 0)
			return -EPROTO;
		return -answer.result;
	}
	if (answer.result != (fd ? ANSWER_FD : 0))
		return -EPROTO;
	if (fd && ((answer.data_size > 0 && !data) || a->next_fd == a->n_fds))
		return -EPROTO;
	if (fd)
		*ret_fd = fd_take(&a->fds[a->next_fd++]);
	*ret = answer;
	return 0;
}

int lib_answers_end(struct warder *w, struct lib_answers *a, int r)
{
	if (r >= 0 && (dec_end(&a->dec) < 0 || a->next_fd != a->n_fds))
		r = -EPROTO;
	fd_close_many(a->fds, a->n_fds);
	a->n_fds = a->next_fd = 0;
	return r == -EPROTO ? lib_break(w, EPROTO) : r;
}

int lib_ask_once(struct warder *w, enum msg_op op, const struct msg_request *q, int *ret_fd,
	long exact, struct msg_answer *ret)
{
	struct lib_answers a = LIB_ANSWERS_INIT;
	autofd fd = -1;
	struct enc e;
	int r = lib_begin(w, op, 1, &e);

	if (r == 0)
		r = lib_put(&e, q);
	if (r == 0)
		r = lib_exchange(w, &e, 1, &a);
	if (r < 0)
		return r;
	r = lib_answer(&a, ret_fd != NULL, exact != 0, ret, &fd);
	if (r == 0 && exact >= 0 && ret->data_size != (unsigned long)exact)
		r = -EPROTO;
	r = lib_answers_end(w, &a, r);
	if (r == 0 && ret_fd)
		*ret_fd = fd_take(&fd);
	return r > 0 ? -r : r;
}

static int hello(struct warder *w)
{
	const struct msg_request q = {.flags = MSG_VERSION};
	struct lib_answers a = LIB_ANSWERS_INIT;
	struct msg_answer answer;
	struct enc e;
	int r = lib_begin(w, MSG_HELLO, 1, &e);

	if (r == 0)
		r = lib_put(&e, &q);
	if (r == 0)
		r = lib_exchange(w, &e, 1, &a);
	if (r < 0)
		return r;
	/* Data in the answer is for later versions; this one needs none of it. */
	r = lib_answer(&a, false, true, &answer, NULL);
	r = lib_answers_end(w, &a, r);
	return r > 0 ? -r : r;
}

struct warder *warder_attach_fd(int *fd)
{
	autofd sock = fd_take(fd);
	struct warder *w;
	int r = lib_check_seqpacket(sock);

	if (r < 0) {
		errno = -r;
		return NULL;
	}
	w = malloc(sizeof(*w));
	if (!w)
		return NULL;
	w->last_id = 0;
	w->broken = 0;
	w->busy = false;
	w->fd = fd_take(&sock);
	/* A program that this one starts must not speak in its name; ids could not match either. */
	r = fd_cloexec(w->fd, true);
	if (r == 0)
		r = hello(w);
	if (r == 0)
		return w;
	warder_detach(w);
	errno = -r;
	return NULL;
}

struct warder *warder_attach(void)
{
	int fd = lib_env_socket("WARDER_FD");

	/* It comes through an exec, so that what is closed there was attached to: a second greeting
	 * would be a lie, which ends the session. */
	if (fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC))
		fd = -EALREADY;
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	return warder_attach_fd(&fd);
}

void warder_detach(struct warder *w)
{
	if (!w)
		return;
	fd_close(&w->fd);
	free(w);
}
