/* SPDX-License-Identifier: MIT */
/*
 * owed.h - what any broker of this design owes for one open, and nothing else: the walk that
 * follows no symlink, the look at the type, O_NONBLOCK given back, a record before the descriptor
 * leaves; a Landlock domain and a filter around the broker; a session and a filter of the
 * worker's.  No policy, no request that is checked, no text that is made.
 *
 * Beside a minimal broker it tells the price of the design, beside warder that of warder's code.
 */
#ifndef WARDER_BENCH_OWED_H
#define WARDER_BENCH_OWED_H

#include "tests/bench/cell.h"

#include <linux/landlock.h>
#include <linux/openat2.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define OWED_RECORD 366 /* bytes: as warder's of an open in the bench */

static int owed_ledger = -1, owed_root = -1;

/* 80 rules on numbers that no call has, and one more for each call that is made, which looks at an
 * argument: the kernel answers by itself where the number alone decides. */
static inline void owed_filter(void)
{
	static const int made[] = {SCMP_SYS(poll), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
		SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(openat2), SCMP_SYS(fcntl),
		SCMP_SYS(ioctl), SCMP_SYS(process_vm_readv), SCMP_SYS(write)};
	scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);

	if (!c || seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		errx(2, "no filter");
	for (int i = 0; i < 80; i++)
		seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), 1000 + i, 0);
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), made[i], 1,
			SCMP_A5(SCMP_CMP_EQ, 0x123456789abcULL));
	if (seccomp_load(c) < 0)
		errx(2, "the filter is not taken");
	seccomp_release(c);
}

static inline void owed_allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = access};

	rule.parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		err(2, "landlock_add_rule");
	close(rule.parent_fd);
}

/* Files below `tree` are read; elsewhere programs are run, as the worker's is. */
static inline void owed_domain(const char *tree)
{
	const struct landlock_ruleset_attr all = {.handled_access_fs = (1ULL << 13) - 1};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);

	owed_allow(ruleset, tree, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
	owed_allow(ruleset, "/",
		LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE |
			LANDLOCK_ACCESS_FS_WRITE_FILE);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		err(2, "landlock_restrict_self");
	close(ruleset);
}

/* What is open before the cage; `path` of the record's file, which is made. */
static inline void owed_begin(const char *path)
{
	owed_ledger = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	owed_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (owed_ledger < 0 || owed_root < 0)
		err(2, "%s", path);
}

/* A descriptor, or -1 and errno. */
static inline int owed_open(const char *path, int flags)
{
	static const char record[OWED_RECORD] = "{";
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	struct stat st;
	int fd = (int)syscall(SYS_openat2, owed_root, path, &how, sizeof(how));

	/* The worker's libraries, before anything is measured. */
	if (fd < 0 && errno == ELOOP) {
		how.resolve = RESOLVE_IN_ROOT;
		fd = (int)syscall(SYS_openat2, owed_root, path, &how, sizeof(how));
	}
	if (fd >= 0 && (fstat(fd, &st) < 0 || fcntl(fd, F_SETFL, flags) < 0 ||
			       write(owed_ledger, record, sizeof(record)) != OWED_RECORD))
		err(2, "%s", path);
	return fd;
}

#endif
