/* SPDX-License-Identifier: MIT */
/*
 * worker.c - the worker's last steps before its program.
 *
 * Runs in: worker, before exec.  Trusts: the cell's description.
 *
 * The order: identity; session and terminal; descriptors; directory; limits; Landlock;
 * capabilities; filter; exec.  What needs a right comes before what takes it away.  The filter's
 * listener goes to the broker before any instruction of the program runs: who holds it approves its
 * own calls.  Whatever fails is reported on status_fd, which exec closes.
 */
#include "common/chan.h"
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

static const char *env_value(char *const *envp, const char *name)
{
	size_t n = strlen(name);

	for (; envp && *envp; envp++) {
		if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
			return *envp + n + 1;
	}
	return NULL;
}

/* ---- signals, session, terminal ------------------------------------------------------------ */

/*
 * The broker blocks every signal and ignores some; a program expects neither.  By the system call:
 * signal(3) does not touch the two that the C library keeps for itself, which posix_spawn(3)
 * (make, say) hands down ignored.
 */
static void reset_signals(void)
{
	/* struct kernel_sigaction of sigaction(2): SIG_DFL, no flags, an empty mask. */
	static const uint64_t by_default[4];
	sigset_t none;

	for (int s = 1; s < _NSIG; s++)
		syscall(SYS_rt_sigaction, s, by_default, NULL, sizeof(uint64_t));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int own_session(const struct cell_spec *spec, struct failure *f)
{
	if (setsid() < 0)
		return fail(f, -errno, "the worker's session: cannot start it: %m");
	if (spec->tty_fd >= 0 && ioctl(spec->tty_fd, TIOCSCTTY, 0) < 0)
		return fail(f, -errno, "the worker's terminal: cannot take it: %m");
	return 0;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* A directory, or an O_PATH descriptor, is a way to names outside the view. */
static bool is_way_out(int fd)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || (flags & O_PATH) || fstat(fd, &st) < 0 || S_ISDIR(st.st_mode);
}

static int replace_with_null(int *fd, int base, struct failure *f)
{
	autofd null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	fd_close(fd);
	*fd = null_fd < 0 ? -1 : fcntl(null_fd, F_DUPFD_CLOEXEC, base);
	return *fd < 0 ? fail(f, -errno, "the worker's descriptors: cannot open /dev/null: %m") : 0;
}

/* First out of the way of every target, then each to its place, then all others closed. */
static int place_fds(const struct cell_spec *spec, const int *keep, size_t n_keep,
	int *ret_moved_keep, struct failure *f)
{
	int base = 3;
	autofree int *moved = calloc(spec->n_fds + 1, sizeof(*moved));
	int r = moved ? 0 : fail(f, -ENOMEM, "the worker's descriptors: %m");

	for (size_t i = 0; i < spec->n_fds; i++) {
		if (spec->fds[i].to >= base)
			base = spec->fds[i].to + 1;
	}
	for (size_t i = 0; i < spec->n_fds && r == 0; i++) {
		moved[i] = fcntl(spec->fds[i].from, F_DUPFD_CLOEXEC, base);
		if (moved[i] < 0)
			return fail(f, -errno, "the worker's descriptors: descriptor %d: %m",
				spec->fds[i].from);
		if (!is_way_out(moved[i]))
			continue;
		if (spec->fds[i].to > 2)
			return fail(f, -EISDIR,
				"the worker's descriptors: --fd %d is a directory or an O_PATH "
				"descriptor, which would lead out of the cell; grant it in the "
				"policy",
				spec->fds[i].to);
		r = replace_with_null(&moved[i], base, f);
	}
	for (size_t i = 0; i < n_keep && r == 0; i++) {
		ret_moved_keep[i] = keep[i] < 0 ? -1 : fcntl(keep[i], F_DUPFD_CLOEXEC, base);
		if (keep[i] >= 0 && ret_moved_keep[i] < 0)
			return fail(f, -errno, "the worker's descriptors: %m");
	}
	for (size_t i = 0; i < spec->n_fds && r == 0; i++) {
		if (moved[i] != spec->fds[i].to && dup2(moved[i], spec->fds[i].to) < 0)
			return fail(f, -errno, "the worker's descriptors: descriptor %d: %m",
				spec->fds[i].to);
	}
	return r;
}

/* Closes all but the targets and what is kept, whose numbers lie above the targets'. */
static int close_others(
	const struct cell_spec *spec, const int *keep, size_t n_keep, struct failure *f)
{
	unsigned next = 0;
	int r = 0;

	for (size_t i = 0; i < spec->n_fds && r == 0; i++) {
		if (spec->fds[i].to > (int)next)
			r = abi_close_range(next, (unsigned)spec->fds[i].to - 1);
		next = (unsigned)spec->fds[i].to + 1;
	}
	/* Each was duplicated later than the one before: ascending. */
	for (size_t i = 0; i < n_keep && r == 0; i++) {
		if (keep[i] < 0)
			continue;
		if (keep[i] > (int)next)
			r = abi_close_range(next, (unsigned)keep[i] - 1);
		next = (unsigned)keep[i] + 1;
	}
	if (r == 0)
		r = abi_close_range(next, ~0U);
	return r < 0 ? fail(f, -errno, "the worker's descriptors: cannot close the others: %m") : 0;
}

/* ---- directory, environment ------------------------------------------------------------------ */

/* The start directory where the view has it, else HOME. */
static void enter_directory(const struct cell_spec *spec)
{
	const char *home = env_value(spec->envp, "HOME");

	if (spec->cwd && chdir(spec->cwd) == 0)
		return;
	if (home && chdir(home) == 0)
		return;
	if (chdir("/") < 0) /* cannot fail: it is the root of the view */
		_exit(125);
}

/* HOME and TMPDIR follow the private directories, where a tree of the policy has taken the usual
 * place.  The copies live until exec. */
static char **environment(const struct cell_spec *spec)
{
	static char home[64], tmp[64];
	const char *home_dir = view_home(spec), *tmp_dir = view_tmp(spec);
	bool set_home = home_dir && strcmp(home_dir, CELL_HOME) != 0;
	bool set_tmp = tmp_dir && strcmp(tmp_dir, "/tmp") != 0;
	size_t n = 0, out = 0;
	char **envp;

	while (spec->envp[n])
		n++;
	envp = calloc(n + 3, sizeof(*envp));
	if (!envp)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (set_home && strncmp(spec->envp[i], "HOME=", 5) == 0)
			continue;
		if (set_tmp && strncmp(spec->envp[i], "TMPDIR=", 7) == 0)
			continue;
		envp[out++] = spec->envp[i];
	}
	if (set_home) {
		snprintf(home, sizeof(home), "HOME=%s", home_dir);
		envp[out++] = home;
	}
	if (set_tmp) {
		snprintf(tmp, sizeof(tmp), "TMPDIR=%s", tmp_dir);
		envp[out++] = tmp;
	}
	return envp;
}

/* ---- exec ------------------------------------------------------------------------------------ */

static int explain_exec(struct worker_report *report, const char *path, int error)
{
	struct failure *f = &report->failure;
	struct stat st;

	report->exec = 126;
	if (error == ENOENT && stat(path, &st) == 0)
		return fail(f, -ENOENT,
			"cannot execute %s: it is there, but the interpreter or loader it names "
			"(its #! line, or ld.so) is not in the cell",
			path);
	if (error == ENOENT || error == ENOTDIR) {
		report->exec = 127;
		return fail(f, -ENOENT, "%s is not in the cell", path);
	}
	if (error == EACCES && stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111))
		return fail(f, -EACCES,
			"cannot execute %s: no rule makes it runnable; grant `exec` on its tree, "
			"or add its directory to `runtime`",
			path);
	return fail(f, -error, "cannot execute %s: %m", path);
}

/* Along the cell's PATH, as execvp(3) does. */
static int execute(const struct cell_spec *spec, char **envp, struct worker_report *report)
{
	const char *at = env_value(spec->envp, "PATH");
	char path[PATH_MAX], denied[PATH_MAX] = "";
	int error = ENOENT;

	if (strchr(spec->program, '/')) {
		execve(spec->program, spec->argv, envp);
		return explain_exec(report, spec->program, errno);
	}
	for (at = at ? at : DEFAULT_PATH; at; at = *at ? at + 1 : NULL) {
		const char *end = strchrnul(at, ':');
		int n = snprintf(path, sizeof(path), "%.*s%s%s", (int)(end - at), at,
			end > at ? "/" : "./", spec->program);

		at = end;
		if (n < 0 || (size_t)n >= sizeof(path))
			continue;
		execve(path, spec->argv, envp);
		if (errno != ENOENT && errno != ENOTDIR) {
			error = errno;
			snprintf(denied, sizeof(denied), "%s", path);
		}
	}
	return explain_exec(report, *denied ? denied : spec->program, error);
}

static int confine(
	const struct cell_spec *spec, const struct cell_prep *prep, int rules_fd, struct failure *f)
{
	int r = limits_apply(spec, f);

	if (r == 0)
		r = cell_restrict(rules_fd, f);
	/* Without a user namespace the capabilities are the host's: what they may do comes first.
	 */
	if (r == 0 && !prep->userns)
		r = caps_lock(f);
	if (r == 0 && !prep->userns)
		r = user_take(spec, f);
	if (r == 0)
		r = caps_none(f);
	/* A second line: it fails silently across uids, and init's socket is the first. */
	if (r == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		r = fail(f, -errno, "the worker: cannot tie its life to the broker's: %m");
	return r;
}

/* From here on the broker answers what this process opens or runs. */
static int hand_over_listener(const struct filter *filter, int status_fd, struct failure *f)
{
	int fd = -1;
	int r = cell_load_trap(filter, &fd, f);

	if (r < 0)
		return r;
	r = chan_send(status_fd, "l", 1, &fd, 1, true);
	return r < 0 ? fail(f, r, "seccomp: cannot hand the filter's listener over: %m") : 0;
}

static int start(const struct cell_spec *spec, const struct cell_prep *prep, int rules_fd,
	const struct filter *filter, int *status_fd, struct worker_report *report)
{
	const int keep[] = {*status_fd, rules_fd};
	struct failure *f = &report->failure;
	int kept[] = {-1, -1};
	char **envp;
	int r = 0;

	reset_signals();
	if (prep->userns)
		r = user_take(spec, f);
	if (r == 0)
		r = own_session(spec, f);
	if (r == 0)
		r = place_fds(spec, keep, 2, kept, f);
	if (r < 0)
		return r;
	*status_fd = kept[0];
	r = close_others(spec, kept, 2, f);
	enter_directory(spec);
	envp = environment(spec);
	if (!envp)
		r = fail(f, -ENOMEM, "the worker's environment: %m");
	if (r == 0)
		r = confine(spec, prep, kept[1], f);
	if (r == 0)
		r = hand_over_listener(filter, *status_fd, f);
	return r < 0 ? r : execute(spec, envp, report);
}

void worker_main(const struct cell_spec *spec, const struct cell_prep *prep, int rules_fd,
	const struct filter *filter, int status_fd)
{
	struct worker_report report = {0, FAILURE_INIT};

	start(spec, prep, rules_fd, filter, &status_fd, &report);
	/* The broker reads the whole report or calls the start failed. */
	chan_send(status_fd, &report, sizeof(report), NULL, 0, true);
	_exit(125);
}
