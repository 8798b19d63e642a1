/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - what this host can enforce, found out by doing it.
 *
 * Runs in: command line, each probe in a child.  Trusts: nothing; a version number or a sysctl
 * tells what should work, a probe what does.
 */
#include "sandbox/doctor.h"
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* ---- in the child ---------------------------------------------------------------------------- */

static int write_text(const char *path, const char *text)
{
	autofd fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* Maps the caller's own uid and gid, which any owner may. */
static int map_self(uid_t uid, gid_t gid, struct failure *f)
{
	char text[40];
	int r = write_text("/proc/self/setgroups", "deny");

	snprintf(text, sizeof(text), "%u %u 1", (unsigned)uid, (unsigned)uid);
	if (r == 0)
		r = write_text("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1", (unsigned)gid, (unsigned)gid);
	if (r == 0)
		r = write_text("/proc/self/gid_map", text);
	return r < 0 ? fail(f, r, "cannot map a uid: %m") : 0;
}

/* A namespace is there only with the right to use it, which Ubuntu's restriction takes away. */
static int probe_userns(struct failure *f)
{
	if (sethostname("probe", 5) < 0)
		return fail(f, -errno, "a user namespace gives no capability: %m");
	return 0;
}

static int probe_mounts(struct failure *f)
{
	static const char *const options[] = {"mode", "0755", NULL};
	autofd root_fd = -1;
	autofd tree_fd = -1;
	int r = view_new_mount("tmpfs", options, MOUNT_ATTR_NOSUID, &root_fd);

	if (r < 0)
		return fail(f, r, "cannot make a tmpfs: %m");
	if (abi_move_mount(root_fd, AT_FDCWD, "/") < 0)
		return fail(f, -errno, "cannot attach a mount: %m");
	tree_fd =
		abi_open_tree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (tree_fd < 0)
		return fail(f, -errno, "cannot clone a mount: %m");
	if (abi_mount_setattr(tree_fd, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0, MS_PRIVATE) < 0)
		return fail(f, -errno, "cannot make a mount read-only with all below it: %m");
	return 0;
}

static int probe_proc(struct failure *f)
{
	autofd fd = -1;
	int r = view_new_mount("proc", NULL, MOUNT_ATTR_NOSUID, &fd);

	return r < 0 ? fail(f, r, "cannot mount a /proc of its own: %m") : 0;
}

static int probe_net(struct failure *f)
{
	autofd fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 && errno != EAFNOSUPPORT ? fail(f, -errno, "no socket inside: %m") : 0;
}

static int probe_nothing(struct failure *f)
{
	return 0;
}

static int probe_no_new_privs(struct failure *f)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(f, -errno, "cannot set it: %m");
	return 0;
}

static int probe_landlock(struct failure *f)
{
	struct cell_spec spec = {.root = CELL_VIEW, .accept = CELL_LAYER_LANDLOCK_SCOPE};
	struct rules rules = RULES_INIT;
	int abi = 0;
	int r = landlock_check(&spec, &abi, f);

	if (r == 0)
		r = rules_init(&rules, abi, f);
	if (r == 0)
		r = cell_restrict(rules.worker_fd, f);
	if (r < 0)
		return r;
	if (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES)
		return fail(f, -ENOSYS, "a domain without rights still opens directories");
	return 0;
}

static int probe_scope(struct failure *f)
{
	struct cell_spec spec = {.root = CELL_VIEW, .accept = CELL_LAYER_LANDLOCK};
	int abi = 0;
	int r = landlock_check(&spec, &abi, f);

	if (r == 0)
		r = rules_scope_signals(abi, f);
	if (r == 0)
		r = fail(f, -EOPNOTSUPP, "Landlock's ABI is %d here, and scopes came with 6", abi);
	if (r < 0)
		return r;
	if (kill(getppid(), 0) == 0 || errno != EPERM)
		return fail(f, -ENOSYS, "a scoped process still signals others");
	return 0;
}

static int probe_seccomp(struct failure *f)
{
	struct cell_spec spec = {.root = CELL_VIEW, .tty_fd = -1};
	struct filter filter;
	autofd listener_fd = -1;
	int r = filter_find(FILTER_WORKER, &spec, &filter, f);

	if (r == 0)
		r = cell_load_trap(&filter, &listener_fd, f);
	if (r < 0)
		return r;
	if (syscall(SYS_keyctl, 0, 0, 0, 0, 0) >= 0 || errno != ENOSYS)
		return fail(f, -ENOSYS, "the filter is loaded and refuses nothing");
	return 0;
}

/* ---- each in a child ------------------------------------------------------------------------- */

static const struct {
	const char *layer, *accept;
	uint64_t namespaces;
	int (*run)(struct failure *f);
	const char *works, *remedy;
} table[] = {
	{"userns", "userns", CLONE_NEWUSER | CLONE_NEWUTS, probe_userns,
		"user namespaces, with their capabilities", NULL},
	{"mounts", NULL, CLONE_NEWUSER | CLONE_NEWNS, probe_mounts,
		"mount namespaces; read-only recursively",
		"use Linux 5.12 or newer, outside a container that forbids mount(2)"},
	{"pid", NULL, CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS, probe_proc,
		"pid namespaces with a /proc of their own",
		"in a container, leave its /proc uncovered (systempaths=unconfined), or use --root "
		"host"},
	{"net", NULL, CLONE_NEWUSER | CLONE_NEWNET, probe_net, "network namespaces",
		"use a kernel with CONFIG_NET_NS, or --root host"},
	{"ipc", NULL, CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP, probe_nothing,
		"ipc, uts and cgroup namespaces",
		"use a kernel with CONFIG_IPC_NS, CONFIG_UTS_NS, CONFIG_CGROUPS, or --root host"},
	{"no_new_privs", NULL, 0, probe_no_new_privs, "setuid programs gain nothing", NULL},
	{"landlock", "landlock", 0, probe_landlock, "Landlock refuses what no rule grants",
		"boot with lsm=landlock,... on Linux 6.12 or newer"},
	{"scope", "scope", 0, probe_scope, "Landlock scopes signals and abstract sockets",
		"use Linux 6.12 or newer"},
	{"seccomp", "seccomp", 0, probe_seccomp, "system calls are filtered",
		"use a kernel with CONFIG_SECCOMP_FILTER"},
};
#define N_PROBES (sizeof(table) / sizeof(*table))
_Static_assert(N_PROBES + 1 < PROBES_MAX, "two rows tell what no cell needs");

static void child(size_t i, uid_t uid, gid_t gid, int fd)
{
	struct failure f = FAILURE_INIT;
	int r = 0;

	if (table[i].namespaces & CLONE_NEWUSER)
		r = map_self(uid, gid, &f);
	if (r == 0)
		r = table[i].run(&f);
	fd_write_all(fd, &f, sizeof(f));
	_exit(0);
}

/* 0, -errno with the sentence of what is missing, or -ECHILD: could not tell. */
static int in_child(size_t i, struct failure *f)
{
	struct clone_args args = {.flags = table[i].namespaces, .exit_signal = SIGCHLD};
	struct failure told;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int pipe_fds[2];
	long pid, n;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -ECHILD;
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		child(i, uid, gid, pipe_fds[1]);
	if (pid < 0)
		fail(f, -errno, "cannot make the namespace: %m");
	close(pipe_fds[1]);
	if (pid < 0) {
		close(pipe_fds[0]);
		return f->error;
	}
	n = fd_read_all(pipe_fds[0], &told, sizeof(told));
	close(pipe_fds[0]);
	while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n != (long)sizeof(told))
		return -ECHILD;
	*f = told;
	return told.error;
}

static void explain(size_t i, int r, const struct failure *f, struct probe *p)
{
	struct failure why = FAILURE_INIT;

	p->result = r == -ECHILD ? PROBE_UNKNOWN : PROBE_MISSING;
	snprintf(p->text, sizeof(p->text), "%.199s",
		*f->text ? f->text : "the probe ended without an answer");
	snprintf(p->remedy, sizeof(p->remedy), "%s", table[i].remedy ? table[i].remedy : "");
	if (!(table[i].namespaces & CLONE_NEWUSER))
		return;
	/* A namespace that fails for want of the user namespace has that one's remedy. */
	why.error = r;
	cell_explain_userns(r, &why);
	if (i == 0)
		snprintf(p->remedy, sizeof(p->remedy), "%s", why.text);
	else if (r == -ENOSPC || r == -EUSERS)
		snprintf(p->remedy, sizeof(p->remedy), "as for userns");
}

/* Not a layer: what an ordinary user's worker keeps. */
static void note_groups(struct probe *p)
{
	int n = getgroups(0, NULL);
	bool root = geteuid() == 0;

	*p = (struct probe){.layer = "groups", .result = PROBE_OK};
	if (root)
		snprintf(p->text, sizeof(p->text),
			"started by root: the worker has its own user's groups alone");
	else if (n <= 1)
		snprintf(p->text, sizeof(p->text), "you have no supplementary group");
	else
		snprintf(p->text, sizeof(p->text),
			"the worker keeps your %d supplementary groups: only root can drop them",
			n);
}

/* No cell needs one. */
static void note_cgroup(struct probe *p)
{
	const char *missing = cell_cgroup_missing();

	*p = (struct probe){.layer = "cgroup", .result = PROBE_OK};
	if (missing)
		snprintf(p->text, sizeof(p->text), "limits are of each process: %s", missing);
	else
		snprintf(p->text, sizeof(p->text),
			"limits of memory and tasks hold for the whole cell too");
}

size_t doctor_probe(struct probe ret[PROBES_MAX])
{
	for (size_t i = 0; i < N_PROBES; i++) {
		struct failure f = FAILURE_INIT;
		int r = in_child(i, &f);

		ret[i] = (struct probe){
			.layer = table[i].layer,
			.accept = table[i].accept,
			.needs_namespaces = table[i].namespaces != 0,
		};
		if (r < 0)
			explain(i, r, &f, &ret[i]);
		else
			snprintf(ret[i].text, sizeof(ret[i].text), "%s", table[i].works);
	}
	note_groups(&ret[N_PROBES]);
	note_cgroup(&ret[N_PROBES + 1]);
	return N_PROBES + 2;
}
