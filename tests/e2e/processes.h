/* SPDX-License-Identifier: MIT */
/*
 * processes.h - the broker's dialer, seen from outside.
 */
#ifndef WARDER_TEST_PROCESSES_H
#define WARDER_TEST_PROCESSES_H

#include "common/fd.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static inline pid_t parent_of(pid_t pid)
{
	char path[64], text[2048];
	autofd fd = -1;
	const char *at;
	long n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : fd_read_all(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	at = strstr(text, "\nPPid:");
	return at ? (pid_t)atoi(at + 6) : -1;
}

/* One that has ended and waits for its parent has no program any more. */
static inline bool is_dialer(pid_t pid)
{
	char path[64], text[64] = "";
	autofd fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && fd_read_all(fd, text, sizeof(text) - 1) > 0 &&
	       strcmp(text, "warder-dialer") == 0;
}

/* Not one that is at its end: its memory, and so its command line, goes before its descriptors do,
 * and it is a zombie once all is gone; proc(5). */
static inline bool is_running(pid_t pid)
{
	char path[64], text[512], *name_end;
	autofd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	name_end = strrchr(text, ')');
	return name_end && name_end[1] == ' ' && name_end[2] != 'Z' && name_end[2] != 'X';
}

/* The processes that `is` holds for and whose ancestor of that degree is `of`.  How many. */
static inline int processes_of(pid_t of, int degree, bool (*is)(pid_t pid), pid_t *ret, int max)
{
	DIR *proc = opendir("/proc");
	const struct dirent *e;
	int n = 0;

	while (proc && (e = readdir(proc)) && n < max) {
		pid_t pid = (pid_t)atoi(e->d_name), up = pid;

		for (int i = 0; i < degree && up > 0; i++)
			up = parent_of(up);
		if (pid > 0 && up == of && is(pid))
			ret[n++] = pid;
	}
	if (proc)
		closedir(proc);
	return n;
}

#endif
