/* SPDX-License-Identifier: MIT */
/*
 * sleepy.c - a file system whose server sleeps: a directory, shown at another place, where whatever
 * asks about a name that begins with "slow" waits until a gate, a file elsewhere, is there.
 *
 * Runs in: tests, outside of every cell.  Trusts: its caller.
 *
 *     sleepy GATE DIRECTORY MOUNTPOINT [fuse options]
 *
 * Nothing is remembered by the kernel, so that every look is a question.
 */
#define FUSE_USE_VERSION 31

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *gate;
static int top_fd;

/* The name beneath the directory, once it may be known. */
static const char *name_of(const char *path)
{
	while (strstr(path, "/slow") && access(gate, F_OK) < 0)
		usleep(10000);
	return path[1] ? path + 1 : ".";
}

static int result(long r)
{
	return r < 0 ? -errno : (int)r;
}

static void *begin(struct fuse_conn_info *conn, struct fuse_config *config)
{
	config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
	return NULL;
}

static int get_attr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	return result(fstatat(top_fd, name_of(path), st, AT_SYMLINK_NOFOLLOW));
}

static int read_link(const char *path, char *buf, size_t size)
{
	ssize_t n = readlinkat(top_fd, name_of(path), buf, size - 1);

	if (n >= 0)
		buf[n] = '\0';
	return n < 0 ? -errno : 0;
}

/* The server is root's: what is made is its caller's. */
static int given(const char *path, int r)
{
	const struct fuse_context *c = fuse_get_context();

	if (r < 0)
		return -errno;
	return result(fchownat(top_fd, path + 1, c->uid, c->gid, AT_SYMLINK_NOFOLLOW));
}

static int make_dir(const char *path, mode_t mode)
{
	return given(path, mkdirat(top_fd, name_of(path), mode));
}

static int make_node(const char *path, mode_t mode, dev_t dev)
{
	return given(path, mknodat(top_fd, name_of(path), mode, dev));
}

static int make_link(const char *text, const char *path)
{
	return given(path, symlinkat(text, top_fd, name_of(path)));
}

static int remove_name(const char *path)
{
	return result(unlinkat(top_fd, name_of(path), 0));
}

static int remove_dir(const char *path)
{
	return result(unlinkat(top_fd, name_of(path), AT_REMOVEDIR));
}

static int move(const char *from, const char *to, unsigned flags)
{
	return result(renameat2(top_fd, name_of(from), top_fd, name_of(to), flags));
}

static int change_mode(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	return result(fchmodat(top_fd, name_of(path), mode, 0));
}

static int change_times(const char *path, const struct timespec tv[2], struct fuse_file_info *fi)
{
	return result(utimensat(top_fd, name_of(path), tv, AT_SYMLINK_NOFOLLOW));
}

static int cut(const char *path, off_t size, struct fuse_file_info *fi)
{
	int fd = openat(top_fd, name_of(path), O_WRONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : result(ftruncate(fd, size));

	if (fd >= 0)
		close(fd);
	return r;
}

static int open_file(const char *path, struct fuse_file_info *fi)
{
	int fd = openat(top_fd, name_of(path), (fi->flags & ~O_NOFOLLOW) | O_CLOEXEC);

	fi->fh = (uint64_t)fd;
	return fd < 0 ? -errno : 0;
}

static int create_file(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int fd = openat(top_fd, name_of(path), fi->flags | O_CREAT | O_CLOEXEC, mode);

	fi->fh = (uint64_t)fd;
	return given(path, fd);
}

static int read_file(
	const char *path, char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	return result(pread((int)fi->fh, buf, size, offset));
}

static int write_file(
	const char *path, const char *buf, size_t size, off_t offset, struct fuse_file_info *fi)
{
	return result(pwrite((int)fi->fh, buf, size, offset));
}

/* At each close of a copy: close(2) waits for it. */
static int flush(const char *path, struct fuse_file_info *fi)
{
	name_of(path);
	return 0;
}

static int release(const char *path, struct fuse_file_info *fi)
{
	close((int)fi->fh);
	return 0;
}

static int list(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
	struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	int fd = openat(top_fd, name_of(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!dir)
		return -errno;
	while ((e = readdir(dir)))
		fill(buf, e->d_name, NULL, 0, 0);
	closedir(dir);
	return 0;
}

static const struct fuse_operations operations = {
	.init = begin,
	.getattr = get_attr,
	.readlink = read_link,
	.mkdir = make_dir,
	.mknod = make_node,
	.symlink = make_link,
	.unlink = remove_name,
	.rmdir = remove_dir,
	.rename = move,
	.chmod = change_mode,
	.utimens = change_times,
	.truncate = cut,
	.open = open_file,
	.create = create_file,
	.read = read_file,
	.write = write_file,
	.flush = flush,
	.release = release,
	.readdir = list,
};

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "sleepy GATE DIRECTORY MOUNTPOINT [fuse options]\n");
		return 2;
	}
	gate = argv[1];
	top_fd = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (top_fd < 0) {
		perror(argv[2]);
		return 2;
	}
	argv[2] = argv[0];
	umask(0);
	return fuse_main(argc - 2, argv + 2, &operations, NULL);
}
