/* SPDX-License-Identifier: MIT */
/*
 * descriptors.h - how many a process has open.
 *
 * Tests compare two counts: while the own are counted, the directory's is one of them.
 */
#ifndef WARDER_TEST_DESCRIPTORS_H
#define WARDER_TEST_DESCRIPTORS_H

#include <dirent.h>
#include <stdio.h>
#include <sys/types.h>

/* -1: this user is not told. */
static inline int count_fds_of(pid_t pid)
{
	char path[64];
	DIR *d;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	d = opendir(pid ? path : "/proc/self/fd");
	if (!d)
		return -1;
	for (const struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static inline int count_fds(void)
{
	return count_fds_of(0);
}

#endif
