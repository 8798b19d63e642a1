/* SPDX-License-Identifier: MIT */
/*
 * landlock.c - the Landlock layer: two domains, one inside the other.
 *
 * Runs in: init (the rules), broker and worker (the restriction).  Trusts: the cell's description.
 *
 * The broker's domain is the union of what the policy can grant and of what the worker needs to
 * run; the worker's, stacked upon it, holds the latter alone.  It must be stacked: Landlock lets a
 * process read the memory of, or signal, only processes whose domain is nested in its own
 * (landlock(7), "Ptrace restrictions").
 *
 * A rule belongs to an inode, so one rule serves the view and its writable twin.  It reaches
 * everything beneath, across mounts: a rule never stands on a directory with a data tree below, but
 * for the broker's to list.
 *
 * Every right that the running ABI knows is handled, so that what no rule grants is denied. Network
 * rights have no rule at all in the worker's domain; in the broker's they are not handled, since it
 * connects and binds the worker's own sockets inside the cell, and can make none.  Landlock does
 * not guard metadata, which the read-only view and the filter do.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <sys/prctl.h>
#include <sys/stat.h>

#define ABI_NEEDED_VIEW 3 /* TRUNCATE; mounts and namespaces cover what came later */
#define ABI_NEEDED_HOST 5 /* TCP and device ioctls too */
#define ABI_SCOPE       6 /* signals, abstract sockets */

#define FS_READ  (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_RUN   (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)
#define FS_WRITE (LANDLOCK_ACCESS_FS_WRITE_FILE | ABI_FS_TRUNCATE)
/* A FIFO or a socket is renamed, never made: the broker's filter has no call that would. */
#define FS_MAKE \
	(LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM | \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
		LANDLOCK_ACCESS_FS_WRITE_FILE | ABI_FS_REFER)
#define FS_REMOVE (LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | ABI_FS_REFER)
#define FS_OWN    (FS_READ | FS_RUN | FS_WRITE | FS_MAKE | FS_REMOVE)
#define FS_CHAR   (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | ABI_FS_IOCTL_DEV)
/* What a rule on something that is no directory may name. */
#define FS_OF_FILE (FS_RUN | FS_WRITE | ABI_FS_IOCTL_DEV)

static int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? -errno : (int)abi;
}

int landlock_check(const struct cell_spec *spec, int *ret_abi, struct failure *f)
{
	int needed = spec->root == CELL_HOST ? ABI_NEEDED_HOST : ABI_NEEDED_VIEW;
	int abi = landlock_abi();

	if (abi < needed && !(spec->accept & CELL_LAYER_LANDLOCK)) {
		if (abi < 0)
			return fail(f, abi,
				"Landlock is not there (%m): the worker could open files by "
				"itself; "
				"boot with lsm=landlock,... on Linux 6.12 or newer, or say `accept "
				"missing landlock`");
		return fail(f, -EOPNOTSUPP,
			"Landlock is too old here (ABI %d, this cell needs %d); use Linux 6.12 or "
			"newer, or say `accept missing landlock`",
			abi, needed);
	}
	if (abi < ABI_SCOPE && !(spec->accept & (CELL_LAYER_LANDLOCK_SCOPE | CELL_LAYER_LANDLOCK)))
		return fail(f, -EOPNOTSUPP,
			"Landlock cannot scope signals and abstract sockets here (ABI %d, needs "
			"6); "
			"use Linux 6.12 or newer, or say `accept missing scope`",
			abi);
	*ret_abi = abi < 0 ? 0 : abi;
	return 0;
}

static uint64_t handled_fs(int abi)
{
	uint64_t fs = ABI_FS_FIRST;

	if (abi >= 2)
		fs |= ABI_FS_REFER;
	if (abi >= 3)
		fs |= ABI_FS_TRUNCATE;
	if (abi >= 5)
		fs |= ABI_FS_IOCTL_DEV;
	return fs;
}

static int rules_new(int abi, bool network)
{
	/* landlock_create_ruleset(2): fields that an older kernel does not know may be there as
	 * long as they are zero. */
	struct abi_landlock_ruleset attr = {
		.fs = handled_fs(abi),
		.net = network && abi >= 4 ? ABI_NET_BIND_TCP | ABI_NET_CONNECT_TCP : 0,
		.scoped = abi >= ABI_SCOPE ? ABI_SCOPE_ABSTRACT_UNIX | ABI_SCOPE_SIGNAL : 0,
	};

	return (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
}

int rules_init(struct rules *rules, int abi, struct failure *f)
{
	*rules = (struct rules)RULES_INIT;
	rules->abi = abi;
	if (abi == 0)
		return 0;
	rules->broker_fd = rules_new(abi, false);
	rules->worker_fd = rules_new(abi, true);
	if (rules->broker_fd < 0 || rules->worker_fd < 0)
		return fail(f, -errno, "Landlock: cannot make a ruleset: %m");
	return 0;
}

static int add(const struct rules *rules, int rules_fd, int path_fd, bool is_dir, uint64_t rights)
{
	struct landlock_path_beneath_attr attr = {.parent_fd = path_fd};

	attr.allowed_access = rights & handled_fs(rules->abi) & (is_dir ? ~0ULL : FS_OF_FILE);
	if (rules_fd < 0 || attr.allowed_access == 0)
		return 0;
	return syscall(SYS_landlock_add_rule, rules_fd, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0
		       ? -errno
		       : 0;
}

int rules_worker(const struct rules *rules, int path_fd, bool is_dir, unsigned use)
{
	uint64_t rights = 0;
	int r;

	if (use & RULES_READ)
		rights |= FS_READ;
	if (use & RULES_RUN)
		rights |= FS_RUN;
	if (use & RULES_WRITE)
		rights |= FS_OWN;
	if (use & RULES_CHAR)
		rights |= FS_CHAR;
	r = add(rules, rules->worker_fd, path_fd, is_dir, rights);
	return r < 0 ? r : add(rules, rules->broker_fd, path_fd, is_dir, rights);
}

/* The broker lists the directories that only lead to trees: they hold no more than names. */
int rules_names(const struct rules *rules, int root_fd)
{
	return add(rules, rules->broker_fd, root_fd, true, LANDLOCK_ACCESS_FS_READ_DIR);
}

/* What the policy's rights on a tree come to. */
static uint64_t tree_rights(unsigned access)
{
	uint64_t rights = 0;

	if (access & CELL_READ)
		rights |= FS_READ;
	if (access & CELL_WRITE)
		rights |= FS_WRITE;
	/* Without TRUNCATE at the open, ftruncate(2) on the descriptor is refused for good
	 * (landlock(7), ABI 3), whoever holds it. */
	if (access & CELL_APPEND)
		rights |= LANDLOCK_ACCESS_FS_WRITE_FILE;
	if (access & CELL_CREATE)
		rights |= FS_MAKE;
	if (access & CELL_DELETE)
		rights |= FS_REMOVE;
	if (access & CELL_EXEC)
		rights |= FS_READ | FS_RUN;
	if (access & CELL_DEVICE)
		rights |= ABI_FS_IOCTL_DEV;
	return rights;
}

/*
 * At every open of a file Landlock asks about TRUNCATE too, for an ftruncate(2) that may follow,
 * and walks up to the root where it finds no rule that has it.  On a read-only mount the right
 * changes nothing (EROFS), and ends the walk at the tree.
 */
int rules_tree(const struct rules *rules, int path_fd, const struct cell_tree *tree, bool constant)
{
	uint64_t rights = tree_rights(tree->access) | (constant ? ABI_FS_TRUNCATE : 0);
	struct stat st;
	int r;

	/* A rule on what came to be a directory meanwhile would hold for all beneath. */
	if (fstat(path_fd, &st) < 0)
		return -errno;
	if (tree->is_file && S_ISDIR(st.st_mode))
		return -EISDIR;
	r = add(rules, rules->broker_fd, path_fd, !tree->is_file, rights);
	if (r == 0 && (tree->access & CELL_EXEC))
		r = add(rules, rules->worker_fd, path_fd, !tree->is_file, FS_RUN);
	return r;
}

int cell_restrict(int rules_fd, struct failure *f)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(f, -errno, "no_new_privs: cannot set it: %m");
	if (rules_fd < 0)
		return 0;
	if (syscall(SYS_landlock_restrict_self, rules_fd, 0) < 0)
		return fail(f, -errno,
			"Landlock: cannot enter the domain: %m (E2BIG: 16 domains are stacked "
			"already; start warder outside them)");
	return 0;
}

int rules_scope_signals(int abi, struct failure *f)
{
	struct abi_landlock_ruleset attr = {.scoped = ABI_SCOPE_SIGNAL};
	autofd fd = -1;

	if (abi < ABI_SCOPE)
		return 0;
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return fail(f, -errno, "Landlock: cannot make init's ruleset: %m");
	return cell_restrict(fd, f) < 0 ? f->error : 1;
}
