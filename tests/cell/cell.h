/* SPDX-License-Identifier: MIT */
/*
 * cell.h - running a program in a real cell, for the tests.
 *
 * A broker can have one cell and never leaves its cage, so each run is a child: it starts the cell,
 * cages itself, waits for the worker and exits with its status.  What the worker prints on 1 and 2
 * comes back.
 */
#ifndef WARDER_TESTS_CELL_H
#define WARDER_TESTS_CELL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/spawn.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#undef fail /* cmocka's macro, not common/failure.h's function */
#define flunk(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

struct cell_run {
	struct cell_spec spec;
	struct cell_tree trees[8];
	struct cell_fd fds[8];
	bool as_broker;
	/* Called in the broker once the cell runs and the cage is on; its value is printed. */
	int (*in_broker)(const struct cell *cell, void *ctx);
	void *ctx;

	int status; /* the worker's, or 125 to 127 */
	char out[65536];
	char failure[512];
};

static inline uid_t worker_uid(void)
{
	return geteuid() == 0 ? 65534 : geteuid();
}

static const char *const cell_env[] = {"PATH=/usr/bin:/bin", "HOME=/home/worker", "LANG=C", NULL};

static inline void cell_run_init(struct cell_run *run, const char *const *argv)
{
	*run = (struct cell_run){.status = -1};
	run->spec = (struct cell_spec){
		.root = CELL_VIEW,
		.uid = worker_uid(),
		.gid = geteuid() == 0 ? 65534 : getegid(),
		.user_name = "tester",
		.program = argv[0],
		.argv = (char *const *)argv,
		.envp = (char *const *)cell_env,
		.cwd = "/",
		.tty_fd = -1,
		.trees = run->trees,
		.fds = run->fds,
	};
}

static inline void cell_run_tree(
	struct cell_run *run, const char *path, unsigned access, bool is_file)
{
	run->trees[run->spec.n_trees++] =
		(struct cell_tree){.path = path, .access = access, .is_file = is_file};
}

/*
 * Answers the trap door as a broker that has given up: whatever is asked by name may go on, so that
 * what is left is Landlock, the mounts and the filter.  What Landlock does not guard is refused, as
 * no broker ever lets it go on.
 */
static inline bool cell_goes_on(int nr)
{
	static const int guarded[] = {
		SYS_openat,
		SYS_openat2,
		SYS_execve,
		SYS_execveat,
		SYS_mkdirat,
		SYS_mknodat,
		SYS_symlinkat,
		SYS_linkat,
		SYS_unlinkat,
		SYS_renameat,
		SYS_renameat2,
		SYS_truncate,
		SYS_faccessat,
		SYS_faccessat2,
		SYS_umask,
		SYS_clone,
		SYS_sched_getaffinity,
		SYS_sched_setaffinity,
#ifdef __x86_64__
		SYS_open,
		SYS_creat,
		SYS_mkdir,
		SYS_mknod,
		SYS_symlink,
		SYS_link,
		SYS_unlink,
		SYS_rmdir,
		SYS_rename,
		SYS_access,
#endif
	};

	for (size_t i = 0; i < sizeof(guarded) / sizeof(*guarded); i++) {
		if (guarded[i] == nr)
			return true;
	}
	return false;
}

static inline int cell_refusal(int nr)
{
	return nr == SYS_inotify_add_watch || nr == SYS_connect || nr == SYS_bind ||
			       nr == SYS_listen
		       ? EACCES
		       : EPERM;
}

static inline void cell_run_serve(const struct cell *cell)
{
	struct pollfd polls[] = {
		{.fd = cell->worker_pidfd, .events = POLLIN},
		{.fd = notify_fd(cell->notify), .events = POLLIN},
	};
	struct notice notice;

	while (poll(polls, 2, -1) >= 0 && !polls[0].revents) {
		if (polls[1].revents & POLLHUP)
			polls[1].fd = -1;
		if (!(polls[1].revents & POLLIN) || notify_receive(cell->notify, &notice) < 0)
			continue;
		if (cell_goes_on(notice.nr))
			notify_continue(cell->notify, notice.id);
		else
			notify_refuse(cell->notify, notice.id, cell_refusal(notice.nr));
	}
}

/* The child's part: never returns. */
static inline void cell_run_broker(struct cell_run *run, int out_fd)
{
	struct cage_spec cage = {.ledger_fd = -1, .as_broker = run->as_broker};
	struct cell cell = CELL_INIT;
	struct failure f = FAILURE_INIT;
	int exec = 0, status = 125;
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	int r;

	if (run->spec.n_fds == 0) {
		run->fds[0] = (struct cell_fd){null_fd, 0};
		run->fds[1] = (struct cell_fd){out_fd, 1};
		run->fds[2] = (struct cell_fd){out_fd, 2};
		run->spec.n_fds = 3;
	}
	r = spawn_cell(&run->spec, &cage, &cell, &exec, &f);
	if (r < 0) {
		dprintf(out_fd, "FAILURE %s\n", f.text);
		status = exec ? exec : 125;
	} else {
		if (run->in_broker)
			dprintf(out_fd, "BROKER %d\n", run->in_broker(&cell, run->ctx));
		cell_run_serve(&cell);
		status = cell_wait(&cell);
	}
	cell_end(&cell);
	_exit(status < 0 ? 125 : status);
}

static inline void cell_run(struct cell_run *run)
{
	int out[2], status;
	char *failure;
	pid_t pid;
	long n;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(out[0]);
		cell_run_broker(run, out[1]);
	}
	close(out[1]);
	n = fd_read_all(out[0], run->out, sizeof(run->out) - 1);
	close(out[0]);
	assert_true(n >= 0);
	run->out[n] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	run->status = WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
	failure = strstr(run->out, "FAILURE ");
	snprintf(run->failure, sizeof(run->failure), "%s", failure ? failure + 8 : "");
}

/* Runs a shell's line in the cell. */
#define RUN_SH(run, line) \
	static const char *const run##_argv[] = {"/bin/sh", "-c", line, NULL}; \
	struct cell_run run; \
	cell_run_init(&run, run##_argv)

static inline int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

#endif
