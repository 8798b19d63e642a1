/* SPDX-License-Identifier: MIT */
/*
 * words.c - the ledger's words: flags, and what an inode or a socket is.
 *
 * Runs in: broker, supervisor.  Trusts: nothing; a bit without a name is written as a number.
 */
#include "broker/words.h"
#include "broker/open_flags.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#endif

struct flag_name {
	uint32_t bit;
	const char *name;
};

static const struct flag_name open_names[] = {
	{O_APPEND, "O_APPEND"},
	{O_CREAT, "O_CREAT"},
	{O_DIRECT, "O_DIRECT"},
	{O_EXCL, "O_EXCL"},
	{O_NOATIME, "O_NOATIME"},
	{O_NOFOLLOW, "O_NOFOLLOW"},
	{O_NONBLOCK, "O_NONBLOCK"},
	{O_PATH, "O_PATH"},
	/* Flags that contain another's bit come before it. */
	{O_SYNC, "O_SYNC"},
	{O_DSYNC, "O_DSYNC"},
	{O_TMPFILE, "O_TMPFILE"},
	{O_DIRECTORY, "O_DIRECTORY"},
	{O_TRUNC, "O_TRUNC"},
	{O_CLOEXEC, "O_CLOEXEC"},
	{0, NULL},
};

static const struct flag_name rename_names[] = {
	{RENAME_NOREPLACE, "RENAME_NOREPLACE"},
	{RENAME_EXCHANGE, "RENAME_EXCHANGE"},
	{0, NULL},
};

static const struct flag_name access_names[] = {
	{R_OK, "R_OK"},
	{W_OK, "W_OK"},
	{X_OK, "X_OK"},
	{0, NULL},
};

static const struct flag_name stat_names[] = {
	{AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"},
	{0, NULL},
};

static const struct flag_name watch_names[] = {
	{IN_ACCESS, "IN_ACCESS"},
	{IN_MODIFY, "IN_MODIFY"},
	{IN_ATTRIB, "IN_ATTRIB"},
	{IN_CLOSE_WRITE, "IN_CLOSE_WRITE"},
	{IN_CLOSE_NOWRITE, "IN_CLOSE_NOWRITE"},
	{IN_OPEN, "IN_OPEN"},
	{IN_MOVED_FROM, "IN_MOVED_FROM"},
	{IN_MOVED_TO, "IN_MOVED_TO"},
	{IN_CREATE, "IN_CREATE"},
	{IN_DELETE, "IN_DELETE"},
	{IN_DELETE_SELF, "IN_DELETE_SELF"},
	{IN_MOVE_SELF, "IN_MOVE_SELF"},
	{IN_ONLYDIR, "IN_ONLYDIR"},
	{IN_DONT_FOLLOW, "IN_DONT_FOLLOW"},
	{IN_EXCL_UNLINK, "IN_EXCL_UNLINK"},
	{IN_ONESHOT, "IN_ONESHOT"},
	{0, NULL},
};

static const struct flag_name *const names_of[OP__COUNT] = {
	[MSG_OPEN] = open_names,
	[MSG_RENAME] = rename_names,
	[MSG_ACCESS] = access_names,
	[MSG_STAT] = stat_names,
	[MSG_UTIMES] = stat_names,
	[MSG_WATCH] = watch_names,
};

static char *append(char *at, char *end, const char *text)
{
	size_t n = strlen(text);

	if ((size_t)(end - at) <= n)
		return at;
	memcpy(at, text, n + 1);
	return at + n;
}

/* The names of `left`, after what `buf` holds up to `at`. */
static void append_names(
	char buf[WORDS_FLAGS_SIZE], char *at, const struct flag_name *name, uint32_t left)
{
	char *end = buf + WORDS_FLAGS_SIZE;
	char rest[16];

	for (; name->name && left; name++) {
		if ((left & name->bit) != name->bit)
			continue;
		at = append(at, end, at > buf ? "|" : "");
		at = append(at, end, name->name);
		left &= ~name->bit;
	}
	if (left) {
		snprintf(rest, sizeof(rest), "%s%#x", at > buf ? "|" : "", left);
		append(at, end, rest);
	}
}

const char *words_open(uint32_t flags, char buf[WORDS_FLAGS_SIZE])
{
	static const char *const access_mode[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
	const char *mode = access_mode[flags & O_ACCMODE];

	if (!(flags & ~(uint32_t)O_ACCMODE))
		return mode;
	append_names(buf, append(buf, buf + WORDS_FLAGS_SIZE, mode), open_names,
		flags & ~(uint32_t)O_ACCMODE);
	return buf;
}

const char *words_held(uint32_t flags, char buf[WORDS_FLAGS_SIZE])
{
	return words_open(flags & ~(uint32_t)O_LARGEFILE_KERNEL, buf);
}

const char *words_flags(const struct request *q, char buf[WORDS_FLAGS_SIZE])
{
	const struct flag_name *name = names_of[q->op];

	if (!name)
		return NULL;
	if (q->op == MSG_OPEN)
		return words_open(q->flags, buf);
	buf[0] = '\0';
	append_names(buf, buf, name, q->flags);
	return buf[0] ? buf : NULL;
}

const char *words_type(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	case S_IFSOCK:
		return "socket";
	default:
		return NULL;
	}
}

const char *words_socket(int type)
{
	switch (type) {
	case SOCK_STREAM:
		return "stream";
	case SOCK_SEQPACKET:
		return "seqpacket";
	case SOCK_DGRAM:
		return "dgram";
	case SOCK_RAW:
		return "raw";
	default:
		return NULL;
	}
}

const char *words_domain(int domain)
{
	switch (domain) {
	case AF_UNIX:
		return "unix";
	case AF_INET:
		return "ipv4";
	case AF_INET6:
		return "ipv6";
	case AF_NETLINK:
		return "netlink";
	case AF_PACKET:
		return "packet";
	case AF_VSOCK:
		return "vsock";
	default:
		return NULL;
	}
}
