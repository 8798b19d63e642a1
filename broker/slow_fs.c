/* SPDX-License-Identifier: MIT */
/*
 * slow_fs.c - which parts of the view may let a look at a name wait.
 *
 * Runs in: broker, before its cage; what it found is asked afterwards.  Trusts: the kernel's
 * mountinfo.
 *
 * It is told by the type of the file system, not by statfs(2): that is a question to its server.
 */
#include "broker/slow_fs.h"
#include "common/fd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Types whose server is another process or machine; "fuse" stands for its subtypes too. */
static const char *const types[] = {
	"9p",
	"afs",
	"autofs", /* a look at a name there mounts something */
	"beegfs",
	"ceph",
	"cifs",
	"coda",
	"fuse",
	"fuseblk",
	"gfs2",
	"gpfs",
	"lustre",
	"ncpfs",
	"nfs",
	"nfs4",
	"ocfs2",
	"orangefs",
	"smb3",
	"smbfs",
	"vboxsf",
	"virtiofs",
	NULL,
};

struct slow_fs {
	size_t n;
	char **paths;
};

static bool may_block(const char *type)
{
	if (strncmp(type, "fuse.", 5) == 0)
		return true;
	for (size_t i = 0; types[i]; i++) {
		if (strcmp(type, types[i]) == 0)
			return true;
	}
	return false;
}

/* Blank, tab, newline and backslash stand as "\ooo". */
static void unescape(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		if (*at == '\\' && strspn(at + 1, "01234567") >= 3) {
			*to++ = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0');
			at += 3;
		} else {
			*to++ = *at;
		}
	}
	*to = '\0';
}

/* "36 35 98:0 /root /mount/point options [optional fields] - type source options" */
static int add_line(struct slow_fs *m, char *line)
{
	char *save, *type = strstr(line, " - "), *path = strtok_r(line, " ", &save);
	char **grown;

	for (int i = 0; path && i < 4; i++)
		path = strtok_r(NULL, " ", &save);
	type = type ? strtok_r(type + 3, " \n", &save) : NULL;
	if (!path || !type || !may_block(type))
		return 0;
	/* In `root host` systemd's automount of binfmt_misc; nothing below /proc is handed out. */
	if (strncmp(path, "/proc/", 6) == 0)
		return 0;
	unescape(path);
	grown = reallocarray(m->paths, m->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	m->paths = grown;
	m->paths[m->n] = strdup(path);
	return m->paths[m->n++] ? 0 : -ENOMEM;
}

int slow_fs_read(int *mountinfo_fd, struct slow_fs **ret)
{
	struct slow_fs *m = calloc(1, sizeof(*m));
	FILE *f = m ? fdopen(*mountinfo_fd, "r") : NULL;
	char *line = NULL;
	size_t size = 0;
	int r = f ? 0 : -errno;

	if (f)
		*mountinfo_fd = -1;
	while (r == 0 && getline(&line, &size, f) > 0)
		r = add_line(m, line);
	if (r == 0 && ferror(f))
		r = -EIO;
	free(line);
	if (f)
		fclose(f);
	fd_close(mountinfo_fd);
	if (r < 0)
		slow_fs_free(m);
	else
		*ret = m;
	return r;
}

struct slow_fs *slow_fs_free(struct slow_fs *m)
{
	for (size_t i = 0; m && i < m->n; i++)
		free(m->paths[i]);
	if (m)
		free(m->paths);
	free(m);
	return NULL;
}

bool slow_fs_any(const struct slow_fs *m)
{
	return m && m->n > 0;
}

bool slow_fs_hold(const struct slow_fs *m, const char *path, size_t size)
{
	for (size_t i = 0; m && i < m->n; i++) {
		size_t n = strlen(m->paths[i]);

		if (n == 1 || (size >= n && memcmp(path, m->paths[i], n) == 0 &&
				      (size == n || path[n] == '/')))
			return true;
	}
	return false;
}
