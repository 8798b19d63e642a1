/* SPDX-License-Identifier: MIT */
/*
 * files_methods.c - what the built-in worker does: stat, list, read, hash, identify, open.
 *
 * Runs in: worker.  Trusts: nothing; the broker decides what it gets.
 *
 * Each method asks the broker for what its client named and works on the descriptor.  Only regular
 * files are read, and no further than they were long at the start, so that no request waits.
 */
#include "common/fd.h"
#include "sandbox/files.h"
#include "sandbox/warder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define READ_DEFAULT 65536
/* As base64, or as text of which every byte is escaped, this still fits in a frame of 1 MiB. */
#define READ_MAX      (384 * 1024)
#define LIST_SIZE_MAX (900 * 1024) /* bytes of the answer that its entries may take */

/* glibc's fstat() goes by newfstatat(2), which takes a path and is refused after
 * warder_lockdown().  struct stat is the kernel's own on both architectures. */
static int stat_fd(int fd, struct stat *ret)
{
	return (int)syscall(SYS_fstat, fd, ret);
}

static struct files *files_of(const struct rpc_call *c)
{
	return c->ctx;
}

/* The client's "path", or NULL with the error set. */
static const char *get_path(struct rpc_call *c)
{
	const char *path = json_string_value(json_object_get(c->params, "path"));

	if (!path)
		rpc_fail(c, RPC_PARAMS, NULL, "params must be an object with \"path\", a string");
	else if (path[0] != '/')
		rpc_fail(c, RPC_PARAMS, path, "the path must begin with a slash");
	else
		return path;
	return NULL;
}

/* An integer of the params, or the default; negative and other values set the error. */
static bool get_number(struct rpc_call *c, const char *name, json_int_t *ret)
{
	const json_t *value = json_object_get(c->params, name);

	if (!value)
		return true;
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*ret = json_integer_value(value);
		return true;
	}
	rpc_fail(c, RPC_PARAMS, NULL, "\"offset\" and \"length\" must be integers from 0 up");
	return false;
}

/* Opens a regular file for reading.  Sets the error on failure. */
static int open_file(struct rpc_call *c, const char *path, struct stat *ret_st)
{
	autofd fd = warder_open(files_of(c)->warder, path, O_RDONLY, 0);

	if (fd < 0 || stat_fd(fd, ret_st) < 0)
		rpc_fail(c, errno, path, NULL);
	else if (S_ISDIR(ret_st->st_mode))
		rpc_fail(c, EISDIR, path, NULL);
	else if (!S_ISREG(ret_st->st_mode))
		rpc_fail(c, EINVAL, path, "is not a regular file");
	else
		return fd_take(&fd);
	return -1;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "link";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFCHR:
		return "char";
	case S_IFBLK:
		return "block";
	}
	return "unknown";
}

static void method_stat(struct rpc_call *c)
{
	const char *path = get_path(c);
	const json_t *follow = json_object_get(c->params, "follow");
	int flags = json_is_false(follow) ? AT_SYMLINK_NOFOLLOW : 0;
	char mode[8];
	struct stat st;

	if (!path)
		return;
	if (warder_stat(files_of(c)->warder, path, flags, &st) < 0) {
		rpc_fail(c, errno, path, NULL);
		return;
	}
	snprintf(mode, sizeof(mode), "%04o", (unsigned)(st.st_mode & 07777));
	c->result = json_pack("{s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "type",
		type_name(st.st_mode), "size", (json_int_t)st.st_size, "mode", mode, "uid",
		(json_int_t)st.st_uid, "gid", (json_int_t)st.st_gid, "mtime",
		(json_int_t)st.st_mtim.tv_sec, "nlink", (json_int_t)st.st_nlink, "dev",
		(json_int_t)st.st_dev, "ino", (json_int_t)st.st_ino);
}

struct listing {
	json_t *entries;
	size_t size;
};

/* A name that is no UTF-8 comes as base64, so that the client can still name what it sees. */
static json_t *entry_of(const struct warder_entry *e)
{
	json_t *name = json_string(e->name);
	char encoded[sodium_base64_ENCODED_LEN(NAME_MAX, sodium_base64_VARIANT_ORIGINAL)];

	if (name)
		return json_pack("{s:o, s:s}", "name", name, "type", type_name(DTTOIF(e->type)));
	sodium_bin2base64(encoded, sizeof(encoded), (const unsigned char *)e->name, strlen(e->name),
		sodium_base64_VARIANT_ORIGINAL);
	return json_pack("{s:s, s:s}", "name_base64", encoded, "type", type_name(DTTOIF(e->type)));
}

static int add_entry(void *ctx, const struct warder_entry *e)
{
	struct listing *l = ctx;

	/* A control character takes six bytes in JSON. */
	l->size += strlen(e->name) * 6 + 48;
	if (l->size > LIST_SIZE_MAX)
		return 1;
	return json_array_append_new(l->entries, entry_of(e)) < 0 ? 1 : 0;
}

static void method_list(struct rpc_call *c)
{
	struct listing l = {.entries = json_array()};
	const char *path = get_path(c);
	int r;

	if (path) {
		r = warder_list(files_of(c)->warder, path, add_entry, &l);
		if (r < 0)
			rpc_fail(c, errno, path, NULL);
		else
			c->result =
				json_pack("{s:O, s:b}", "entries", l.entries, "truncated", r == 1);
	}
	json_decref(l.entries);
}

/* Text is what a person can read: UTF-8 without control characters but those of lines. */
static bool is_text(const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((p[i] < 0x20 && p[i] != '\n' && p[i] != '\t' && p[i] != '\r') || p[i] == 0x7f)
			return false;
	return true;
}

/* How many bytes at the end begin a character whose rest was not read. */
static size_t cut_tail(const unsigned char *p, size_t size)
{
	for (size_t back = 1; back <= 3 && back <= size; back++) {
		unsigned char b = p[size - back];

		if (b < 0x80)
			return 0;
		if (b >= 0xc0)
			return (b >= 0xf0 ? 4U : b >= 0xe0 ? 3U : 2U) > back ? back : 0;
	}
	return 0;
}

static json_t *encode(const unsigned char *p, size_t *size, bool whole, const char **ret_name)
{
	static char text[sodium_base64_ENCODED_LEN(READ_MAX, sodium_base64_VARIANT_ORIGINAL)];
	size_t cut = whole ? 0 : cut_tail(p, *size);

	if (is_text(p, *size)) {
		json_t *data = json_stringn((const char *)p, *size - cut);

		if (data && *size > cut) {
			*ret_name = "utf-8";
			*size -= cut;
			return data;
		}
		json_decref(data);
	}
	*ret_name = *size > 0 ? "base64" : "utf-8";
	sodium_bin2base64(text, sizeof(text), p, *size, sodium_base64_VARIANT_ORIGINAL);
	return json_string(text);
}

static void method_read(struct rpc_call *c)
{
	struct files *f = files_of(c);
	json_int_t offset = 0, length = READ_DEFAULT;
	const char *path = get_path(c), *encoding;
	autofd fd = -1;
	struct stat st;
	size_t size;
	ssize_t n;
	json_t *data;

	if (!path || !get_number(c, "offset", &offset) || !get_number(c, "length", &length))
		return;
	fd = open_file(c, path, &st);
	if (fd < 0)
		return;
	n = pread(fd, f->buffer, (size_t)(length < READ_MAX ? length : READ_MAX), offset);
	if (n < 0) {
		rpc_fail(c, errno, path, NULL);
		return;
	}
	size = (size_t)n;
	data = encode(f->buffer, &size, offset + n >= st.st_size, &encoding);
	c->result = json_pack("{s:o, s:s, s:I, s:I, s:I, s:b}", "data", data, "encoding", encoding,
		"offset", offset, "length", (json_int_t)size, "size", (json_int_t)st.st_size, "eof",
		offset + (json_int_t)size >= st.st_size);
}

/* Hashes what the file held at the start.  0 or -errno; *ret_size: bytes hashed. */
static int hash_fd(struct files *f, int fd, off_t limit, unsigned char *hash, off_t *ret_size)
{
	crypto_hash_sha256_state state;
	off_t done = 0;

	crypto_hash_sha256_init(&state);
	while (done < limit) {
		size_t want = f->buffer_size;
		ssize_t n;

		if ((off_t)want > limit - done)
			want = (size_t)(limit - done);
		n = pread(fd, f->buffer, want, done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		crypto_hash_sha256_update(&state, f->buffer, (unsigned long long)n);
		done += n;
	}
	crypto_hash_sha256_final(&state, hash);
	*ret_size = done;
	return 0;
}

static void method_hash(struct rpc_call *c)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[2 * sizeof(hash) + 1];
	const char *path = get_path(c);
	autofd fd = -1;
	struct stat st;
	off_t size = 0;
	int r;

	if (!path)
		return;
	fd = open_file(c, path, &st);
	if (fd < 0)
		return;
	r = hash_fd(files_of(c), fd, st.st_size, hash, &size);
	if (r < 0) {
		rpc_fail(c, -r, path, NULL);
		return;
	}
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	c->result = json_pack(
		"{s:s, s:s, s:I}", "algorithm", "sha256", "hash", hex, "size", (json_int_t)size);
}

/* As much as libmagic itself would read, given to it as bytes: a parser that errs has neither a
 * descriptor nor a path in its hands. */
static void method_identify(struct rpc_call *c)
{
	struct files *f = files_of(c);
	const char *path = get_path(c), *mime;
	autofd fd = -1;
	struct stat st;
	ssize_t n;

	if (!path)
		return;
	fd = open_file(c, path, &st);
	if (fd < 0)
		return;
	n = pread(fd, f->buffer, f->buffer_size, 0);
	if (n < 0) {
		rpc_fail(c, errno, path, NULL);
		return;
	}
	mime = n == 0 ? "inode/x-empty; charset=binary"
		      : magic_buffer(f->magic, f->buffer, (size_t)n);
	if (mime)
		c->result = json_pack("{s:s, s:I}", "mime", mime, "size", (json_int_t)st.st_size);
	else
		rpc_fail(c, RPC_INTERNAL, path, magic_error(f->magic));
}

static int open_flags(const char *access)
{
	if (!access || strcmp(access, "read") == 0)
		return O_RDONLY;
	if (strcmp(access, "write") == 0)
		return O_WRONLY;
	if (strcmp(access, "append") == 0)
		return O_WRONLY | O_APPEND;
	if (strcmp(access, "rw") == 0)
		return O_RDWR;
	return -1;
}

/* The descriptor goes on to the client.  Any type: the policy has said what may be passed. */
static void method_open(struct rpc_call *c)
{
	const char *path = get_path(c);
	const json_t *access = json_object_get(c->params, "access");
	int flags = open_flags(json_string_value(access));
	autofd fd = -1;
	struct stat st;

	if (!path)
		return;
	if (flags < 0 || (access && !json_is_string(access))) {
		rpc_fail(c, RPC_PARAMS, NULL,
			"\"access\" must be \"read\", \"write\", \"append\" or \"rw\"");
		return;
	}
	if (*c->fd >= 0) {
		rpc_fail(c, RPC_PARAMS, path, "one descriptor fits in an answer; ask in another");
		return;
	}
	fd = warder_open(files_of(c)->warder, path, flags, 0);
	if (fd < 0 || stat_fd(fd, &st) < 0) {
		rpc_fail(c, errno, path, NULL);
		return;
	}
	c->result = json_pack("{s:b, s:s, s:I}", "fd", 1, "type", type_name(st.st_mode), "size",
		(json_int_t)st.st_size);
	if (c->result)
		*c->fd = fd_take(&fd);
}

const struct rpc_method files_methods[] = {
	{"stat", method_stat},
	{"list", method_list},
	{"read", method_read},
	{"hash", method_hash},
	{"identify", method_identify},
	{"open", method_open},
	{NULL, NULL},
};
