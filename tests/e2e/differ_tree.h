/* SPDX-License-Identifier: MIT */
/*
 * differ_tree.h - the tree that the requests of differ.c are about: made, written down, removed.
 *
 * It is made anew at the same place for every run, so that paths and texts are the same in all.
 */
#ifndef WARDER_E2E_DIFFER_TREE_H
#define WARDER_E2E_DIFFER_TREE_H

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEN       "0123456789"
#define FIFTY     TEN TEN TEN TEN TEN
#define LONG_NAME FIFTY FIFTY FIFTY FIFTY FIFTY "01234" /* as long as a name may be */
/* What utimes sets is before this second; what the clock sets, after it. */
#define TIME_SET 1000000000

struct node {
	const char *path;
	mode_t mode;      /* with its type */
	const char *text; /* of a symlink; of a hard link the other name; "@/..." is in the tree */
	bool theirs;      /* root's, where root makes the tree for another */
};

/* Directories before what is in them.  A closed one gets its mode last. */
static const struct node nodes[] = {
	{"d", S_IFDIR | 0755, NULL, false},
	{"d/a", S_IFREG | 0644, NULL, false},
	{"d/ro", S_IFREG | 0444, NULL, false},
	{"d/wo", S_IFREG | 0200, NULL, false},
	{"d/none", S_IFREG | 0, NULL, false},
	{"d/run", S_IFREG | 0755, NULL, false},
	{"d/setuid", S_IFREG | 04755, NULL, false},
	{"d/e", S_IFDIR | 0755, NULL, false},
	{"d/e/f", S_IFREG | 0600, NULL, false},
	{"d/e/hard", 0, "@/d/a", false},
	{"d/empty", S_IFDIR | 0755, NULL, false},
	{"d/e/back", S_IFLNK, "../a", false},
	{"d/parent", S_IFLNK, "..", false},
	{"d/e/up", S_IFLNK, "..", false},
	{"w", S_IFDIR | 0777, NULL, false},
	{"w/x", S_IFREG | 0666, NULL, false},
	{"w/x (deleted)", S_IFREG | 0666, NULL, false},
	{"w/ a name ", S_IFREG | 0644, NULL, false},
	{"w/two\nlines", S_IFREG | 0644, NULL, false},
	{"w/\xff\xfe\"\\", S_IFREG | 0644, NULL, false},
	{"w/...", S_IFREG | 0644, NULL, false},
	{"w/" LONG_NAME, S_IFREG | 0644, NULL, false},
	{"closed", S_IFDIR | 0, NULL, false},
	{"closed/x", S_IFREG | 0644, NULL, false},
	{"nosearch", S_IFDIR | 0644, NULL, false},
	{"nosearch/x", S_IFREG | 0644, NULL, false},
	{"nolist", S_IFDIR | 0311, NULL, false},
	{"nolist/x", S_IFREG | 0644, NULL, false},
	{"fixed", S_IFDIR | 0555, NULL, false},
	{"fixed/x", S_IFREG | 0644, NULL, false},
	{"fixed/y", S_IFDIR | 0755, NULL, false},
	{"sticky", S_IFDIR | 01777, NULL, true},
	{"sticky/x", S_IFREG | 0666, NULL, true},
	{"theirs", S_IFDIR | 0755, NULL, true},
	{"theirs/x", S_IFREG | 0666, NULL, true},
	{"theirs/ro", S_IFREG | 0644, NULL, true},
	{"rel", S_IFLNK, "d/a", false},
	{"abs", S_IFLNK, "@/d/a", false},
	{"dirlink", S_IFLNK, "d", false},
	{"absdir", S_IFLNK, "@/d/e", false},
	{"dangling", S_IFLNK, "d/missing", false},
	{"nowhere", S_IFLNK, "@/missing/x", false},
	{"loop", S_IFLNK, "loop", false},
	{"loop1", S_IFLNK, "loop2", false},
	{"loop2", S_IFLNK, "loop1", false},
	{"chain1", S_IFLNK, "chain2", false},
	{"chain2", S_IFLNK, "@/chain3", false},
	{"chain3", S_IFLNK, "d/e/f", false},
	{"winding", S_IFLNK, "d/e/../..//w/./x", false},
	{"slash", S_IFLNK, "d/", false},
	{"fileslash", S_IFLNK, "d/a/", false},
	{"self", S_IFLNK, ".", false},
	{"behind", S_IFLNK, "closed/x", false},
	{"outside", S_IFLNK, "../beside/secret", false},
	{"p", S_IFDIR | 0755, NULL, false},
	{"p/fifo", S_IFIFO | 0644, NULL, false},
	{"p/link", S_IFLNK, "fifo", false},
};
#define N_NODES (sizeof(nodes) / sizeof(nodes[0]))

static inline void node_path(char buf[PATH_MAX], const char *root, const char *path)
{
	if (snprintf(buf, PATH_MAX, "%s/%s", root, path) >= PATH_MAX)
		errx(2, "%s: too deep", root);
}

static inline void node_text(char buf[PATH_MAX], const char *root, const char *text)
{
	if (text[0] == '@')
		node_path(buf, root, text + 2);
	else
		snprintf(buf, PATH_MAX, "%s", text);
}

static inline void node_make(const struct node *n, const char *root)
{
	char path[PATH_MAX], text[PATH_MAX];
	int fd, r = 0;

	node_path(path, root, n->path);
	if (n->text)
		node_text(text, root, n->text);
	if (n->mode == 0) {
		r = link(text, path);
	} else if (S_ISLNK(n->mode)) {
		r = symlink(text, path);
	} else if (S_ISDIR(n->mode)) {
		r = mkdir(path, 0700);
	} else if (S_ISFIFO(n->mode)) {
		r = mkfifo(path, 0600);
	} else {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || dprintf(fd, "this is %s\n", n->path) < 0)
			r = -1;
		close(fd);
	}
	if (r < 0)
		err(2, "%s", path);
}

/* Above the tree are as many directories, which the policy grants with it: no ".." leaves them. */
#define ABOVE "/u/u/u"

/* Makes the tree at root for uid.  The FIFO is there only where some rule may name it. */
static inline void tree_make(const char *root, uid_t uid, bool fifos)
{
	char path[PATH_MAX];

	if (mkdir(root, 0755) < 0 || lchown(root, uid, uid) < 0)
		err(2, "%s", root);
	for (size_t i = 0; i < N_NODES; i++) {
		if (fifos || nodes[i].path[0] != 'p')
			node_make(&nodes[i], root);
	}
	for (size_t i = N_NODES; i-- > 0;) {
		const struct node *n = &nodes[i];

		if (n->mode == 0 || (!fifos && n->path[0] == 'p'))
			continue;
		node_path(path, root, n->path);
		if (lchown(path, n->theirs ? geteuid() : uid, n->theirs ? getegid() : uid) < 0)
			err(2, "%s", path);
		if (!S_ISLNK(n->mode) && chmod(path, n->mode & 07777) < 0)
			err(2, "%s", path);
	}
}

/* ---- what is left of it ---------------------------------------------------------------------- */

/* FNV-1a: short, and nobody means harm here. */
static inline uint32_t hash_more(uint32_t h, const void *data, size_t size)
{
	for (const unsigned char *p = data; size > 0; p++, size--)
		h = (h ^ *p) * 16777619u;
	return h;
}

#define HASH_INIT 2166136261u

static inline void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c <= ' ' || c >= 0x7f || c == '\\')
			fprintf(out, "\\x%02x", c);
		else
			putc(c, out);
	}
}

static inline void put_time(FILE *out, const char *name, const struct timespec *t)
{
	if (t->tv_sec >= TIME_SET)
		fprintf(out, " %s=now", name);
	else
		fprintf(out, " %s=%lld.%09ld", name, (long long)t->tv_sec, t->tv_nsec);
}

static inline void put_content(FILE *out, int dir_fd, const char *name, const struct stat *st)
{
	uint32_t h = HASH_INIT;
	char buf[4096];
	ssize_t n = -1;
	int fd;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(dir_fd, name, buf, sizeof(buf) - 1);
		buf[n < 0 ? 0 : n] = '\0';
		fprintf(out, " text=");
		put_escaped(out, buf);
	}
	if (!S_ISREG(st->st_mode))
		return;
	if (geteuid() != 0 && fchmodat(dir_fd, name, 0600, 0) < 0)
		err(2, "%s", name);
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		h = hash_more(h, buf, (size_t)n);
	if (n < 0)
		err(2, "%s", name);
	close(fd);
	fprintf(out, " content=%08x", h);
}

static inline int not_dots(const struct dirent *e)
{
	return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static inline int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static inline void tree_dump(FILE *out, int dir_fd, const char *where)
{
	struct dirent **entries;
	int n = scandirat(dir_fd, ".", &entries, not_dots, by_bytes);

	if (n < 0)
		err(2, "%s", where);
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		char path[PATH_MAX];
		struct stat st;
		int fd;

		if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			err(2, "%s/%s", where, name);
		snprintf(path, sizeof(path), "%s%s%s", where, *where ? "/" : "", name);
		fprintf(out, "left ");
		put_escaped(out, path);
		fprintf(out, " mode=%06o owner=%u:%u links=%u", st.st_mode, st.st_uid, st.st_gid,
			(unsigned)st.st_nlink);
		if (!S_ISDIR(st.st_mode))
			fprintf(out, " size=%lld", (long long)st.st_size);
		put_time(out, "modified", &st.st_mtim);
		put_content(out, dir_fd, name, &st);
		putc('\n', out);
		if (S_ISDIR(st.st_mode)) {
			if (geteuid() != 0 && fchmodat(dir_fd, name, 0700, 0) < 0)
				err(2, "%s", path);
			fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0)
				err(2, "%s", path);
			tree_dump(out, fd, path);
			close(fd);
		}
		free(entries[i]);
	}
	free(entries);
}

static inline void tree_remove(int dir_fd, const char *name)
{
	struct dirent **entries;
	int fd, n;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return;
	if (fchmodat(dir_fd, name, 0700, 0) < 0)
		err(2, "%s", name);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	n = fd < 0 ? -1 : scandirat(fd, ".", &entries, not_dots, NULL);
	if (n < 0)
		err(2, "%s", name);
	for (int i = 0; i < n; i++) {
		tree_remove(fd, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	close(fd);
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
		err(2, "%s", name);
}

#endif
