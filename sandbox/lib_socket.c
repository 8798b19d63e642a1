/* SPDX-License-Identifier: MIT */
/*
 * lib_socket.c - sockets and names: warder_connect(), warder_listen(), warder_resolve().
 *
 * Runs in: worker.  Trusts: its caller.
 *
 * The broker answers when the network has; a handle is one thread's, which waits, so that the next
 * answer on the channel is the one to its question.
 */
#include "sandbox/lib.h"
#include "common/fd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* A socket's words.  A path that begins with a dot is made absolute; all else goes as it is. */
static int ask_socket(const char *socket, char *buf, struct msg_request *q)
{
	size_t size;

	if (!socket)
		return -EFAULT;
	if (strncmp(socket, "./", 2) == 0 || strncmp(socket, "../", 3) == 0)
		return lib_path(socket, buf, &q->path, &q->path_size);
	size = strlen(socket);
	if (size == 0)
		return -EINVAL;
	if (size > MSG_PATH_MAX)
		return -ENAMETOOLONG;
	q->path = socket;
	q->path_size = (uint16_t)size;
	return 0;
}

static void copy_text(char *to, size_t size, const char *from, size_t n)
{
	if (n > size - 1)
		n = size - 1;
	memcpy(to, from, n);
	to[n] = '\0';
}

static int take_peer(const struct msg_answer *answer, struct warder_peer *ret)
{
	struct dec d = dec_init(answer->data, answer->data_size);
	struct msg_peer p;

	if (msg_get_peer(&d, &p) < 0 || dec_end(&d) < 0 || memchr(p.text, '\0', p.text_size) ||
		memchr(p.rule, '\0', p.rule_size))
		return -EPROTO;
	if (!ret)
		return 0;
	copy_text(ret->text, sizeof(ret->text), p.text, p.text_size);
	copy_text(ret->rule, sizeof(ret->rule), p.rule, p.rule_size);
	return 0;
}

/* One request of a row that answers with a socket and its peer. */
static int ask_for_socket(struct warder *w, enum msg_op op, struct msg_request *q,
	const char *socket, struct warder_peer *ret)
{
	char buf[MSG_PATH_MAX + 1];
	struct msg_answer answer;
	autofd fd = -1;
	int r = ask_socket(socket, buf, q);

	if (r == 0)
		r = lib_ask_once(w, op, q, &fd, -1, &answer);
	if (r == 0 && take_peer(&answer, ret) < 0)
		r = lib_break(w, EPROTO);
	return lib_errno(r < 0 ? r : fd_take(&fd));
}

int warder_connect(struct warder *w, const char *socket, int flags, unsigned timeout_ms,
	struct warder_peer *ret)
{
	struct msg_request q = {.flags = (uint32_t)flags, .offset = timeout_ms};

	return ask_for_socket(w, MSG_CONNECT, &q, socket, ret);
}

int warder_listen(
	struct warder *w, const char *socket, int backlog, mode_t mode, struct warder_peer *ret)
{
	/* listen(2) takes a negative backlog for the least. */
	struct msg_request q = {.flags = backlog > 0 ? (uint32_t)backlog : 0, .mode = mode};

	return ask_for_socket(w, MSG_LISTEN, &q, socket, ret);
}

static void take_address(const uint8_t *bytes, struct warder_address *ret)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* RFC 4291, 2.5.5.2 */

	memset(ret, 0, sizeof(*ret));
	if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
		ret->family = AF_INET;
		memcpy(ret->bytes, bytes + sizeof(mapped), 4);
	} else {
		ret->family = AF_INET6;
		memcpy(ret->bytes, bytes, MSG_ADDRESS_SIZE);
	}
}

/* How many, or -EPROTO. */
static int take_addresses(const struct msg_answer *answer, struct warder_address *ret, size_t max)
{
	struct dec d = dec_init(answer->data, answer->data_size);
	size_t n, taken = 0;

	dec_u32(&d); /* how long they stay true */
	n = dec_u16(&d);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *bytes = dec_bytes(&d, MSG_ADDRESS_SIZE);

		if (bytes && taken < max)
			take_address(bytes, &ret[taken++]);
	}
	return dec_end(&d) < 0 ? -EPROTO : (int)taken;
}

int warder_resolve(
	struct warder *w, const char *name, int family, struct warder_address *ret, size_t max)
{
	struct msg_request q = {.path = name};
	struct msg_answer answer;
	size_t size = name ? strlen(name) : 0;
	int r = 0;

	if (family != AF_UNSPEC && family != AF_INET && family != AF_INET6)
		r = -EAFNOSUPPORT;
	q.flags = (family != AF_INET6 ? MSG_IPV4 : 0) | (family != AF_INET ? MSG_IPV6 : 0);
	if (size == 0)
		r = name ? -EINVAL : -EFAULT;
	if (size > MSG_PATH_MAX)
		r = -ENAMETOOLONG;
	q.path_size = (uint16_t)size;
	if (r == 0)
		r = lib_ask_once(w, MSG_RESOLVE, &q, NULL, -1, &answer);
	if (r == 0) {
		r = take_addresses(&answer, ret, max);
		if (r < 0)
			r = lib_break(w, EPROTO);
	}
	return lib_errno(r);
}
