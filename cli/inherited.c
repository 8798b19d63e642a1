/* SPDX-License-Identifier: MIT */
/*
 * inherited.c - what the caller left open, and nobody asked to be kept.
 *
 * Runs in: command line, before the cage.  Trusts: the kernel's /proc.
 *
 * A broker that is taken over has what it holds: a descriptor that a shell, a service manager or
 * another program's bug left open is none that the policy would have granted.
 */
#include "cli/inherited.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The size of that directory is how many descriptors are open; before Linux 6.2 it is 0. */
static bool only_standard(void)
{
	struct stat st;

	return stat("/proc/self/fd", &st) == 0 && st.st_size == 3;
}

int inherited_note(struct inherited *in, struct failure *f)
{
	struct dirent *entry;
	size_t room = 0;
	DIR *dir;

	if (only_standard())
		return 0;
	dir = opendir("/proc/self/fd");
	if (!dir)
		return fail(f, -errno, "cannot open /proc/self/fd: %m; warder needs /proc");
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name), *more;

		if (fd < 3 || fd == dirfd(dir))
			continue;
		if (in->n == room) {
			room = room ? 2 * room : 16;
			more = reallocarray(in->fds, room, sizeof(*in->fds));
			if (!more) {
				closedir(dir);
				return fail(f, -ENOMEM, "no memory to note what is open");
			}
			in->fds = more;
		}
		in->fds[in->n++] = fd;
	}
	closedir(dir);
	return 0;
}

void inherited_close(struct inherited *in, const int *keep, size_t n_keep)
{
	for (size_t i = 0; i < in->n; i++) {
		size_t k = 0;

		while (k < n_keep && keep[k] != in->fds[i])
			k++;
		if (k == n_keep)
			close(in->fds[i]);
	}
	free(in->fds);
	*in = (struct inherited){NULL, 0};
}
