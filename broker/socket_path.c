/* SPDX-License-Identifier: MIT */
/*
 * socket_path.c - the way to a Unix socket with a path, of either door.
 *
 * Runs in: broker.  Trusts: nothing the worker sent.
 *
 * One that is connected is looked up on the host, where its rule says, and need not be in any view;
 * one that is bound is made under the twin, like a file.
 */
#include "broker/charge.h"
#include "broker/decide.h"
#include "broker/host_look.h"
#include "broker/kernel_fs.h"
#include "broker/open_path.h"
#include "broker/ops.h"
#include "broker/resolve.h"
#include "broker/slow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Opens a path of the host's.  Where its server may not answer that is a child's, slow.h; and where
 * no child can do what comes after it, nobody's. */
static int open_there(struct session *s, struct request *q, const char *path)
{
	if (s->in_child || !slow_host_holds(s->cell->slow_host, path, strlen(path)))
		return open_on_host(s, q, path);
	if (!s->may_begin_slowly)
		return refuse(q, EACCES,
			"it lies on a file system whose server may not answer, and no child of the "
			"broker could wait for that");
	s->begin_slowly = true;
	return -EAGAIN;
}

/* A rule holds for the path as it is written and for where its fixed part led at load: there, on
 * the host, without a symlink.  The socket need not be in any view. */
static int resolve_on_host(struct session *s, struct request *q)
{
	struct target *t = &q->target;
	int r = open_there(s, q, t->asked);

	for (size_t i = 0; r == -ELOOP && i < policy_tree_count(s->policy); i++) {
		const struct policy_tree *tree = policy_tree(s->policy, i);
		size_t n = strlen(tree->prefix);
		int size;

		if (!(tree->rights & RIGHT_CONNECT) || !tree->resolved || t->asked_size < n ||
			memcmp(tree->prefix, t->asked, n) != 0 ||
			(t->asked[n] != '\0' && t->asked[n] != '/' && t->asked[n - 1] != '/'))
			continue;
		size = snprintf(
			t->reached, sizeof(t->reached), "%s%s", tree->resolved, t->asked + n);
		if (size <= 0 || (size_t)size >= sizeof(t->reached))
			continue;
		t->reached_size = (size_t)size;
		r = open_there(s, q, t->reached);
	}
	if (r < 0)
		t->reached_size = 0;
	else if (t->reached_size == 0)
		memcpy(t->reached, t->asked, (t->reached_size = t->asked_size) + 1);
	return r;
}

/*
 * A socket outside of all trees that the host does not have either is missing, not refused: every C
 * library looks for its name service's.  It is ENOENT to the worker in both cases.
 */
static int refuse_path(struct session *s, struct request *q)
{
	bool outside = !policy_names(s->policy, q->target.asked, q->target.asked_size);
	int r = decide_refuse(s, q);

	if (r != -ENOENT || !outside || q->blamed_reached || q->door != DOOR_TRAP ||
		s->root == ROOT_EMPTY || host_has_path(s, q->target.asked))
		return r;
	q->refused = false;
	q->own = true;
	q->reason[0] = '\0';
	return -ENOENT;
}

/* In the cell's own places. */
static int resolve_inside(struct session *s, struct request *q)
{
	struct target *t = &q->target;

	if (s->may_begin_slowly && slow_any(s) && slow_holds(s, t->asked, t->asked_size)) {
		s->begin_slowly = true;
		return -EAGAIN;
	}
	return resolve_inode(s, q, t, s->cell->view_fd, true);
}

int reach_socket(struct session *s, struct request *q)
{
	struct target *target = &q->target;
	int r;

	target->rights = RIGHT_CONNECT;
	if (decide(s, q) != VERDICT_ALLOW)
		return refuse_path(s, q);
	r = q->own ? resolve_inside(s, q) : resolve_on_host(s, q);
	if (r < 0)
		return r;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	return S_ISSOCK(target->mode) ? 0 : -ECONNREFUSED;
}

int reach_new_socket(struct session *s, struct request *q, bool for_fd)
{
	struct target *target = &q->target;
	struct stat st;
	int r;

	target->rights = RIGHT_BIND;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	r = resolve_name(s, q, target, s->cell->twin_fd);
	if (r < 0)
		return r;
	if (decide(s, q) != VERDICT_ALLOW)
		return decide_refuse(s, q);
	if (!target->name || target->must_be_directory || target->mode != 0)
		return -EADDRINUSE;
	r = charge(s, q, for_fd);
	if (r == 0 && fstat(target->fd, &st) < 0)
		r = -errno;
	return r < 0 ? r : kernel_fs_check(s, q, target, st.st_dev, target->fd);
}

/* A name alone, from within its directory; nothing else of the broker's rests on where it stands.
 */
static int bind_within(const struct session *s, const struct target *t, int fd, const void *un)
{
	int r = fchdir(t->fd) < 0 ? -1 : bind(fd, un, sizeof(struct sockaddr_un));
	int error = errno;

	if (fchdir(s->cell->view_fd) < 0)
		abort();
	errno = error;
	return r;
}

/*
 * Within its resolved parent, where no symlink can come before the name; so a path of several names
 * is never the kernel's to follow, and what getsockname(2) tells then is the descriptor's.  The
 * inode gets the mode of the socket, less the umask, which here is 0: unix(7), "Pathname socket
 * ownership and permissions".
 */
int bind_new_socket(struct session *s, struct request *q, int fd, mode_t mode, const char *given)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const struct target *t = &q->target;
	bool plain = given && strcmp(given, t->name) == 0;
	int n = 0, r;

	/* The name that was given fits as it did there, if need be without a NUL. */
	if (plain)
		memcpy(un.sun_path, given, strnlen(given, sizeof(un.sun_path)));
	else
		n = snprintf(
			un.sun_path, sizeof(un.sun_path), "/proc/self/fd/%d/%s", t->fd, t->name);
	if ((size_t)n >= sizeof(un.sun_path))
		return refuse(q, ENAMETOOLONG, "a socket's name has at most %zu bytes here",
			sizeof(un.sun_path) - (size_t)n + strlen(t->name) - 1);
	r = change_begin(s, q);
	if (r < 0)
		return r;
	r = fchmod(fd, mode);
	if (r == 0 && plain)
		r = bind_within(s, t, fd, &un);
	else if (r == 0)
		r = bind(fd, (const struct sockaddr *)&un, sizeof(un));
	return change_end(s, q, r, t);
}
