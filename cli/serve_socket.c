/* SPDX-License-Identifier: MIT */
/*
 * serve_socket.c - the socket that clients dial.
 *
 * Runs in: supervisor.  Trusts: directories that only root and the caller can write.
 */
#include "cli/serve_socket.h"
#include "common/chan.h"
#include "common/fd.h"
#include "common/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 256

/* ---- the directory --------------------------------------------------------------------------- */

/* Whoever can write a directory on the way can put another socket in our place. */
static int check_parent(int fd, const char *path, struct failure *f)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(f, -errno, "cannot look at %s: %m", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return fail(f, -EPERM,
			"%s belongs to uid %u, who could put another socket there; set "
			"XDG_RUNTIME_DIR "
			"to a directory of your own",
			path, (unsigned)st.st_uid);
	/* In a sticky directory only the owner can replace what is his (inode(7)). */
	if ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))
		return fail(f, -EPERM,
			"%s can be written by others, who could put another socket there; chmod "
			"go-w %s, "
			"or set XDG_RUNTIME_DIR to a directory of your own",
			path, path);
	return 0;
}

/* Opens `path` component by component, none of them a symlink, each checked. */
static int open_parents(char *path, int *ret_fd, struct failure *f)
{
	autofd fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char *at = path;
	int r = fd < 0 ? fail(f, -errno, "cannot open /: %m") : check_parent(fd, "/", f);

	while (r == 0 && *at) {
		int next_fd;
		char *end, kept;

		at += strspn(at, "/");
		end = at + strcspn(at, "/");
		if (at == end)
			break;
		kept = *end;
		*end = '\0';
		next_fd = openat(fd, at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next_fd < 0)
			r = fail(f, -errno,
				errno == ENOTDIR ? "%s is no directory, or a symlink; set "
						   "XDG_RUNTIME_DIR to the directory itself"
						 : "cannot open %s for the socket: %m; set "
						   "XDG_RUNTIME_DIR to a directory of your own",
				path);
		fd_close(&fd);
		fd = next_fd;
		if (r == 0)
			r = check_parent(fd, path, f);
		*end = kept;
		at = end;
	}
	if (r == 0)
		*ret_fd = fd_take(&fd);
	return r;
}

static int open_directory(const char *path, int *ret_fd, struct failure *f)
{
	char parent[PATH_MAX];
	autofd parent_fd = -1, fd = -1;
	struct stat st;
	char *slash;
	int r;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	*slash = '\0';
	r = open_parents(parent, &parent_fd, f);
	if (r < 0)
		return r;
	if (mkdirat(parent_fd, slash + 1, 0700) < 0 && errno != EEXIST)
		return fail(f, -errno, "cannot make %s for the socket: %m", path);
	fd = openat(parent_fd, slash + 1, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(f, -errno, "cannot open %s for the socket: %m; is it a symlink?", path);
	if (st.st_uid != geteuid())
		return fail(
			f, -EPERM, "%s belongs to uid %u, not to you", path, (unsigned)st.st_uid);
	/* It may be passed, to a socket with a mode of its own, where another service lets others
	 * in: see serve_socket_listen(). */
	if (st.st_mode & 066)
		return fail(f, -EPERM, "%s is open to others; chmod 700 %s", path, path);
	*ret_fd = fd_take(&fd);
	return 0;
}

/* ---- one instance ---------------------------------------------------------------------------- */

/* Who holds the lock, as it says itself. */
static int read_pid(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

/* Locks NAME.pid.  An instance that ends removes the file before it gives up the lock, so what was
 * locked must still be what stands there. */
static int take_lock(struct serve_socket *s, const char *name, struct failure *f)
{
	char text[16];
	int n, r;

	for (int attempt = 0; attempt < 16; attempt++) {
		struct stat there, here;

		fd_close(&s->lock_fd);
		s->lock_fd = openat(s->dir_fd, s->lock_name,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
		if (s->lock_fd < 0 || fstat(s->lock_fd, &here) < 0)
			return fail(
				f, -errno, "cannot open %s beside %s: %m", s->lock_name, s->path);
		r = flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
		if (r < 0)
			return fail(f, r,
				r == -EWOULDBLOCK
					? "\"%s\" is served already, by process %d; choose another "
					  "name, "
					  "or stop that one"
					: "cannot lock the file of \"%s\" (process %d): %m",
				name, read_pid(s->lock_fd));
		if (fstatat(s->dir_fd, s->lock_name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
			there.st_ino != here.st_ino || there.st_dev != here.st_dev)
			continue;
		n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
		errno = EIO; /* where less than all was written */
		if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, text, (size_t)n, 0) != n)
			return fail(f, -errno,
				"cannot write %s beside %s: %m; set XDG_RUNTIME_DIR to a directory "
				"of your own with room",
				s->lock_name, s->path);
		return 0;
	}
	return fail(f, -EAGAIN, "the lock %s does not hold still", s->lock_name);
}

int serve_socket_claim(const char *name, struct serve_socket *ret, struct failure *f)
{
	struct serve_socket s = SERVE_SOCKET_INIT;
	char dir[PATH_MAX];
	int r;

	r = place_runtime(dir, sizeof(dir));
	if (r < 0)
		return fail(
			f, r, "XDG_RUNTIME_DIR is no absolute path; set it to one, or unset it");
	r = place_socket(name, s.path, sizeof(s.path));
	if (r < 0)
		return fail(f, r,
			"the socket's path %s/%s.sock is longer than the %zu bytes of unix(7); set "
			"XDG_RUNTIME_DIR to a shorter one",
			dir, name, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	snprintf(s.name, sizeof(s.name), "%s.sock", name);
	snprintf(s.lock_name, sizeof(s.lock_name), "%s.pid", name);
	r = open_directory(dir, &s.dir_fd, f);
	if (r == 0)
		r = take_lock(&s, name, f);
	if (r < 0) {
		fd_close(&s.lock_fd);
		fd_close(&s.dir_fd);
		return r;
	}
	*ret = s;
	return 0;
}

/* ---- listening ------------------------------------------------------------------------------- */

/* Only under the lock: what stands there then belongs to nobody who lives. */
static int remove_stale(const struct serve_socket *s, struct failure *f)
{
	struct stat st;

	if (fstatat(s->dir_fd, s->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(f, -errno, "cannot look at %s: %m", s->path);
	if (!S_ISSOCK(st.st_mode))
		return fail(f, -EEXIST, "%s is there and is no socket; remove it", s->path);
	if (unlinkat(s->dir_fd, s->name, 0) < 0)
		return fail(f, -errno, "cannot remove the old socket %s: %m", s->path);
	return 0;
}

int serve_socket_listen(struct serve_socket *s, bool others, struct failure *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	autofd fd = -1;
	mode_t before;
	int r = remove_stale(s, f);

	if (r < 0)
		return r;
	memcpy(address.sun_path, s->path, strlen(s->path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(f, -errno, "cannot make a socket: %m");
	/* unix(7): the file's mode is 0777 less the umask, from its first moment on. */
	before = umask(others ? 0111 : 0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	umask(before);
	if (r < 0)
		return fail(f, r, "cannot put a socket at %s: %m", s->path);
	/* What else stands there is 0600: locks, and the sockets of services for one user. */
	if (others && fchmod(s->dir_fd, 0711) < 0)
		return fail(
			f, -errno, "cannot let clients through the directory of %s: %m", s->path);
	/* What clients send is bytes alone; connections inherit this. */
	chan_refuse_fds(fd);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (listen(fd, BACKLOG) < 0 || s->reserve_fd < 0)
		return fail(f, -errno, "cannot listen at %s: %m", s->path);
	s->listen_fd = fd_take(&fd);
	return 0;
}

void serve_socket_shut(struct serve_socket *s)
{
	if (s->listen_fd >= 0)
		unlinkat(s->dir_fd, s->name, 0);
	fd_close(&s->listen_fd);
	fd_close(&s->reserve_fd);
}

void serve_socket_close(struct serve_socket *s)
{
	serve_socket_shut(s);
	if (s->lock_fd >= 0)
		unlinkat(s->dir_fd, s->lock_name, 0);
	fd_close(&s->lock_fd);
	fd_close(&s->dir_fd);
}

/* ---- clients --------------------------------------------------------------------------------- */

/* Out of descriptors: one is kept for this, so that a client is sent away and does not wait, and
 * the listener does not stay readable for ever. */
static int send_away(struct serve_socket *s)
{
	int fd, r;

	fd_close(&s->reserve_fd);
	/* accept(2) looks for a descriptor before it looks for a client: there may be none. */
	fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	r = fd < 0 && errno == EAGAIN ? -EAGAIN : -EMFILE;
	chan_hang_up(&fd);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return r;
}

int serve_socket_accept(struct serve_socket *s, int *ret_fd, struct msg_client *ret_who)
{
	autofd fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct ucred who;
	socklen_t size = sizeof(who);

	if (fd < 0) {
		if (errno == EINTR || errno == ECONNABORTED)
			return -EAGAIN;
		return errno == EMFILE || errno == ENFILE ? send_away(s) : -errno;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
		return -errno;
	*ret_who = (struct msg_client){.uid = who.uid, .gid = who.gid, .pid = (uint32_t)who.pid};
	chan_refuse_fds(fd);
	*ret_fd = fd_take(&fd);
	return 0;
}
