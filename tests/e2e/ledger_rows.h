/* SPDX-License-Identifier: MIT */
/*
 * ledger_rows.h - one of each operation, how a worker does it by either door, and what its record
 * in the ledger is to hold.
 */
#ifndef WARDER_E2E_LEDGER_ROWS_H
#define WARDER_E2E_LEDGER_ROWS_H

#include "tests/e2e/peers.h"

#include "sandbox/warder.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ASK = 1, TRAP = 2, BOTH = 3 };

/* What is to be in a record, beside what the row says in words. */
enum {
	FD = 1 << 0,        /* "fd" */
	INODE = 1 << 1,     /* "dev" and "ino" */
	PEER = 1 << 2,      /* "peer", the other end of what the worker got */
	LOCAL = 1 << 3,     /* "local", its own address */
	RULE = 1 << 4,      /* "rule" */
	REASON = 1 << 5,    /* "reason" */
	ANNOUNCED = 1 << 6, /* a record of the making goes before, without inode and descriptor */
};

/* ---- the worker ------------------------------------------------------------------------------ */

struct side {
	struct warder *w; /* NULL: the trap door */
	const char *dir;
	unsigned tcp; /* the tester's port */
};

#define DONE 0x10000 /* it is done, and there is no descriptor */

static int done(int r)
{
	return r < 0 ? -1 : DONE;
}

/* A name below the directory; four at a time. */
static const char *at(const struct side *s, const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", s->dir, name);
	return path;
}

static int open_at(const struct side *s, const char *path, int flags)
{
	return s->w ? warder_open(s->w, path, flags, 0600) : open(path, flags, 0600);
}

static int step_read(const struct side *s)
{
	return open_at(s, at(s, "link"), O_RDONLY | O_CLOEXEC);
}

static int step_list_open(const struct side *s)
{
	return open_at(s, s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int step_create(const struct side *s)
{
	return open_at(s, at(s, "new"), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
}

static int step_absent(const struct side *s)
{
	return open_at(s, at(s, "none"), O_RDONLY | O_CLOEXEC);
}

static int step_denied(const struct side *s)
{
	return open_at(s, at(s, "../other"), O_RDONLY | O_CLOEXEC);
}

static int step_protected(const struct side *s)
{
	return open_at(s, at(s, "../ledger.jsonl"), O_RDONLY | O_CLOEXEC);
}

static int step_mkdir(const struct side *s)
{
	return done(s->w ? warder_mkdir(s->w, at(s, "m"), 0700) : mkdir(at(s, "m"), 0700));
}

static int step_symlink(const struct side *s)
{
	return done(s->w ? warder_symlink(s->w, "a", at(s, "s")) : symlink("a", at(s, "s")));
}

static int step_link(const struct side *s)
{
	return done(
		s->w ? warder_link(s->w, at(s, "a"), at(s, "l")) : link(at(s, "a"), at(s, "l")));
}

static int step_rename(const struct side *s)
{
	return done(s->w ? warder_rename(s->w, at(s, "l"), at(s, "r"), RENAME_NOREPLACE)
			 : renameat2(AT_FDCWD, at(s, "l"), AT_FDCWD, at(s, "r"), RENAME_NOREPLACE));
}

static int step_truncate(const struct side *s)
{
	return done(s->w ? warder_truncate(s->w, at(s, "a"), 1) : truncate(at(s, "a"), 1));
}

static int step_chmod(const struct side *s)
{
	return done(s->w ? warder_chmod(s->w, at(s, "a"), 0600) : chmod(at(s, "a"), 0600));
}

static int step_utimes(const struct side *s)
{
	return done(s->w ? warder_utimes(s->w, at(s, "a"), NULL, 0)
			 : utimensat(AT_FDCWD, at(s, "a"), NULL, 0));
}

static int step_access(const struct side *s)
{
	return done(s->w ? warder_access(s->w, at(s, "a"), W_OK) : access(at(s, "a"), W_OK));
}

static int step_watch(const struct side *s)
{
	int fd, r;

	if (s->w)
		return warder_watch(s->w, at(s, "a"), IN_MODIFY);
	fd = inotify_init1(IN_CLOEXEC);
	r = inotify_add_watch(fd, at(s, "a"), IN_MODIFY);
	close(fd);
	return done(r);
}

static int step_unlink(const struct side *s)
{
	return done(s->w ? warder_unlink(s->w, at(s, "r")) : unlink(at(s, "r")));
}

static int step_rmdir(const struct side *s)
{
	return done(s->w ? warder_rmdir(s->w, at(s, "m")) : rmdir(at(s, "m")));
}

static int step_stat(const struct side *s)
{
	struct stat st;

	return done(warder_stat(s->w, at(s, "a"), 0, &st));
}

static int step_readlink(const struct side *s)
{
	char buf[64];

	return done((int)warder_readlink(s->w, at(s, "link"), buf, sizeof(buf)));
}

static int none_of(void *ctx, const struct warder_entry *entry)
{
	return 0;
}

static int step_list(const struct side *s)
{
	return done(warder_list(s->w, s->dir, none_of, NULL));
}

static int step_chown(const struct side *s)
{
	return done(chown(at(s, "a"), (uid_t)-1, getgid()));
}

static int step_setxattr(const struct side *s)
{
	return done(setxattr(at(s, "a"), "user.w", "1", 1, 0));
}

static int step_removexattr(const struct side *s)
{
	return done(removexattr(at(s, "a"), "user.w"));
}

static int step_mknod(const struct side *s)
{
	return done(mknod(at(s, "n"), S_IFREG | 0600, 0));
}

static int step_exec(const struct side *s)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl(at(s, "../run"), "run", NULL);
		_exit(99);
	}
	return done(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1);
}

static int step_tcp(const struct side *s)
{
	char socket_text[64];
	int fd;

	snprintf(socket_text, sizeof(socket_text), "127.0.0.1:%u", s->tcp);
	if (s->w)
		return warder_connect(s->w, socket_text, 0, 5000, NULL);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect_port(fd, s->tcp) == 0 ? fd : -1;
}

static int step_tcp_denied(const struct side *s)
{
	int fd, r;

	if (s->w)
		return warder_connect(s->w, "127.0.0.1:1", 0, 5000, NULL);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = connect_port(fd, 1);
	return r == 0 ? fd : -1;
}

static int step_unix(const struct side *s)
{
	int fd;

	if (s->w)
		return warder_connect(s->w, at(s, "../sock"), SOCK_SEQPACKET, 5000, NULL);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return connect_name(fd, at(s, "../sock")) == 0 ? fd : -1;
}

static int step_bind(const struct side *s)
{
	struct sockaddr_in in = port_address(0);
	int fd;

	if (s->w)
		return warder_listen(s->w, "127.0.0.1:0", 4, 0, NULL);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return bind(fd, (struct sockaddr *)&in, sizeof(in)) == 0 ? fd : -1;
}

static int step_resolve(const struct side *s)
{
	struct warder_address a[4];

	return done(warder_resolve(s->w, "localhost", AF_INET, a, 4));
}

/* ---- the table ------------------------------------------------------------------------------- */

/* "D/..." stands for the directory. */
struct row {
	const char *name;
	unsigned doors;
	int (*step)(const struct side *s);
	const char *event, *op;
	const char *asked, *reached, *asked2, *reached2;
	const char *type, *socket, *flags, *rights, *error;
	const char *inode; /* whose it is, looked at before the step; NULL: the descriptor's */
	unsigned has;
};

#define ALL (RULE | INODE)
#define A   "D/a", "D/a", NULL, NULL, "file", NULL

static const struct row rows[] = {
	{"read", BOTH, step_read, "grant", "open", "D/link", "D/a", NULL, NULL, "file", NULL,
		"O_RDONLY|O_CLOEXEC", "read", NULL, NULL, ALL | FD},
	{"list_open", BOTH, step_list_open, "grant", "open", "D", "D", NULL, NULL, "directory",
		NULL, "O_RDONLY|O_DIRECTORY|O_CLOEXEC", "read", NULL, NULL, ALL | FD},
	{"create", BOTH, step_create, "grant", "open", "D/new", "D/new", NULL, NULL, "file", NULL,
		"O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC", "create", NULL, NULL, ALL | FD | ANNOUNCED},
	{"absent", BOTH, step_absent, "fail", "open", "D/none", NULL, NULL, NULL, NULL, NULL,
		"O_RDONLY|O_CLOEXEC", "read", "ENOENT", NULL, RULE},
	{"denied", BOTH, step_denied, "deny", "open", "T/other", NULL, NULL, NULL, NULL, NULL,
		"O_RDONLY|O_CLOEXEC", "read", "*", NULL, REASON},
	{"protected", BOTH, step_protected, "deny", "open", "T/ledger.jsonl", NULL, NULL, NULL,
		NULL, NULL, "O_RDONLY|O_CLOEXEC", "read", "*", NULL, REASON | RULE},
	{"mkdir", BOTH, step_mkdir, "grant", "mkdir", "D/m", "D/m", NULL, NULL, NULL, NULL, NULL,
		"create", NULL, NULL, RULE},
	{"symlink", BOTH, step_symlink, "grant", "symlink", "a", NULL, "D/s", "D/s", NULL, NULL,
		NULL, "create", NULL, NULL, RULE},
	{"link", BOTH, step_link, "grant", "link", "D/a", "D/a", "D/l", "D/l", "file", NULL, NULL,
		"read,write", NULL, "a", ALL},
	{"rename", BOTH, step_rename, "grant", "rename", "D/l", "D/l", "D/r", "D/r", "file", NULL,
		"RENAME_NOREPLACE", "delete", NULL, "l", ALL},
	{"truncate", BOTH, step_truncate, "grant", "truncate", A, NULL, "write", NULL, "a", ALL},
	{"chmod", BOTH, step_chmod, "grant", "chmod", A, NULL, "write", NULL, "a", ALL},
	{"utimes", BOTH, step_utimes, "grant", "utimes", A, NULL, "write", NULL, "a", ALL},
	{"access", BOTH, step_access, "grant", "access", A, "W_OK", "write", NULL, "a", ALL},
	{"watch", ASK, step_watch, "grant", "watch", A, "IN_MODIFY", "read", NULL, "a", ALL | FD},
	{"watch", TRAP, step_watch, "grant", "watch", A, "IN_MODIFY", "read", NULL, "a", ALL},
	{"unlink", BOTH, step_unlink, "grant", "unlink", "D/r", "D/r", NULL, NULL, "file", NULL,
		NULL, "delete", NULL, "r", ALL},
	{"rmdir", BOTH, step_rmdir, "grant", "rmdir", "D/m", "D/m", NULL, NULL, "directory", NULL,
		NULL, "delete", NULL, "m", ALL},
	{"stat", ASK, step_stat, "grant", "stat", A, NULL, NULL, NULL, "a", ALL},
	{"readlink", ASK, step_readlink, "grant", "readlink", "D/link", "D/link", NULL, NULL,
		"symlink", NULL, NULL, "read", NULL, "link", ALL},
	{"list", ASK, step_list, "grant", "list", "D", "D", NULL, NULL, "directory", NULL, NULL,
		"list", NULL, ".", ALL},
	{"chown", TRAP, step_chown, "grant", "chown", A, NULL, "write", NULL, "a", ALL},
	{"setxattr", TRAP, step_setxattr, "grant", "setxattr", A, NULL, "write", NULL, "a", ALL},
	{"removexattr", TRAP, step_removexattr, "grant", "removexattr", A, NULL, "write", NULL, "a",
		ALL},
	{"mknod", TRAP, step_mknod, "grant", "mknod", "D/n", "D/n", NULL, NULL, NULL, NULL, NULL,
		"create", NULL, NULL, RULE},
	{"exec", TRAP, step_exec, "grant", "exec", "T/run", "T/run", NULL, NULL, "file", NULL, NULL,
		"exec", NULL, "../run", ALL},
	{"tcp", BOTH, step_tcp, "grant", "connect", NULL, NULL, NULL, NULL, "tcp", NULL, NULL, NULL,
		NULL, NULL, RULE | FD | PEER | LOCAL},
	{"tcp_denied", BOTH, step_tcp_denied, "deny", "connect", NULL, NULL, NULL, NULL, "tcp",
		NULL, NULL, NULL, "*", NULL, REASON},
	{"unix", ASK, step_unix, "grant", "connect", "T/sock", "T/sock", NULL, NULL, "socket",
		"seqpacket", NULL, "connect", NULL, "../sock", ALL | FD},
	/* The worker's own is connected, and none handed over. */
	{"unix", TRAP, step_unix, "grant", "connect", "T/sock", "T/sock", NULL, NULL, "socket",
		"seqpacket", NULL, "connect", NULL, "../sock", ALL},
	{"listen", ASK, step_bind, "grant", "listen", NULL, NULL, NULL, NULL, "tcp", NULL, NULL,
		NULL, NULL, NULL, RULE | FD | LOCAL},
	{"bind", TRAP, step_bind, "grant", "bind", NULL, NULL, NULL, NULL, "tcp", NULL, NULL, NULL,
		NULL, NULL, RULE | FD | LOCAL},
	{"resolve", ASK, step_resolve, "grant", "resolve", NULL, NULL, NULL, NULL, NULL, NULL, NULL,
		NULL, NULL, NULL, RULE},
};
#define ROWS (sizeof(rows) / sizeof(*rows))

#endif
