/* SPDX-License-Identifier: MIT */
/*
 * dialer_cage.c - what the dialer gives up before it reads its first message.
 *
 * Runs in: dialer.  Trusts: its own binary, and whoever started it.
 *
 * A piece of its own, so that the dialer is linked with nothing else of sandbox/ but the programs
 * of the filters and caps.c.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/filter.h"
#include "sandbox/layers.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>

/* What c-ares reads.  Where the network is a container's, any of them may be missing. */
static const char *const files[] = {
	"/etc/resolv.conf", /* the name servers */
	"/etc/hosts",       /* comes before them */
	"/dev/urandom",     /* c-ares 1.18 draws the ids of its queries from it */
};

static int allow_files(int rules_fd, struct failure *f)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		/* Links are followed: the rule is the reached inode's. */
		autofd fd = open(files[i], O_PATH | O_CLOEXEC);
		struct landlock_path_beneath_attr attr = {
			.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE, .parent_fd = fd};

		if (fd < 0)
			continue;
		if (syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) <
			0)
			return fail(f, -errno, "Landlock: no rule for %s: %m", files[i]);
	}
	return 0;
}

/*
 * Handles all rights to files, and signals.  Not TCP, whose rules know ports and no addresses, and
 * not abstract sockets: to reach them is what the dialer is for.
 *
 * Whether Landlock may be missing has been settled by the broker, which does not start without it
 * unless the policy accepts that.
 */
static int enter_landlock(struct failure *f)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct abi_landlock_ruleset attr = {.fs = ABI_FS_FIRST};
	autofd rules_fd = -1;

	if (abi < 0)
		return errno == ENOSYS || errno == EOPNOTSUPP
			       ? 0
			       : fail(f, -errno, "Landlock: cannot ask for its version: %m");
	attr.fs |= (abi >= 2 ? ABI_FS_REFER : 0) | (abi >= 3 ? ABI_FS_TRUNCATE : 0) |
		   (abi >= 5 ? ABI_FS_IOCTL_DEV : 0);
	attr.scoped = abi >= 6 ? ABI_SCOPE_SIGNAL : 0;
	rules_fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules_fd < 0)
		return fail(f, -errno, "Landlock: cannot make the dialer's ruleset: %m");
	if (allow_files(rules_fd, f) < 0)
		return f->error;
	if (syscall(SYS_landlock_restrict_self, rules_fd, 0) < 0)
		return fail(f, -errno, "Landlock: cannot enter the dialer's domain: %m");
	return 0;
}

static int load_filter(unsigned cell, struct failure *f)
{
	for (size_t i = 0; i < filter_programs_count; i++) {
		const struct filter_program *p = &filter_programs[i];
		struct sock_fprog program = {(unsigned short)p->n, (struct sock_filter *)p->code};

		if (p->table != FILTER_DIALER || p->cell != cell)
			continue;
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
			return fail(f, -errno, "seccomp: cannot load the dialer's filter: %m");
		return 0;
	}
	return fail(f, -ENOENT, "seccomp: this build has no filter for the dialer");
}

int cell_cage_dialer(bool datagrams, struct failure *f)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return fail(f, -errno, "cannot set no_new_privs or undumpable: %m");
	if (caps_none(f) < 0 || enter_landlock(f) < 0)
		return f->error;
	return load_filter(datagrams ? CELL_DATAGRAMS : 0, f);
}
