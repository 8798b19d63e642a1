/* SPDX-License-Identifier: MIT */
/*
 * lib_spawn.c - starting a cell from any program.
 *
 * Runs in: any program that starts a cell.  Trusts: its caller, and the warder that is installed.
 *
 * Nothing privileged enters the caller: it runs `warder run` as a child with the descriptors that
 * were named and no other, and learns from a pipe how the start went.
 */
#include "common/fd.h"
#include "sandbox/lib.h"
#include "sandbox/lib_status.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3 /* Linux 5.4 */
#endif

#define FD_MAX         255 /* highest number that a descriptor may get in the cell */
#define FDS_MAX        (FD_MAX + 1)
#define OWN_ARGS       20 /* arguments of warder itself, without --fd, options and COMMAND */
#define START_MS       30000
#define INSTALLED_PATH WARDER_BINDIR "/warder"

extern char **environ;

/* A start under way. */
struct start {
	const struct warder_spawn *s;
	struct warder_result *result;
	int status_fd, policy_fd; /* for warder */
	int high[FDS_MAX + 2];    /* copies above every number that is to be given out */
	int to[FDS_MAX + 2];
	size_t n;
	int to_max, high_min;
	char numbers[FDS_MAX][4];
	char status_number[12], policy_path[24], time[16];
	char **argv;
};

static int failed(struct start *t, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int failed(struct start *t, int r, const char *fmt, ...)
{
	va_list ap;

	errno = -r; /* for %m */
	va_start(ap, fmt);
	vsnprintf(t->result->error, sizeof(t->result->error), fmt, ap);
	va_end(ap);
	return r;
}

const char *warder_strerror(const struct warder_spawn *s)
{
	return s->result ? s->result->error : "";
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static int check(struct start *t)
{
	const struct warder_spawn *s = t->s;
	bool seen[FD_MAX + 1] = {false};

	if (!s->argv || !s->argv[0])
		return failed(t, -EINVAL, "cannot start a cell: no command was given");
	if (s->policy_file && s->policy_text)
		return failed(t, -EINVAL,
			"cannot start a cell: both a policy file and a policy text "
			"were given; give one");
	if (s->n_fds > FDS_MAX)
		return failed(t, -EINVAL, "cannot start a cell: %zu descriptors; at most %d",
			s->n_fds, FDS_MAX);
	t->to_max = 2;
	for (size_t i = 0; i < s->n_fds; i++) {
		int to = s->fds[i].to;

		if (to < 0 || to > FD_MAX || seen[to])
			return failed(t, -EINVAL, "cannot start a cell: descriptor %d is %s", to,
				to < 0 || to > FD_MAX ? "out of range (0 to 255)" : "named twice");
		seen[to] = true;
		if (to > t->to_max)
			t->to_max = to;
	}
	return 0;
}

/* Copies `from` to above all targets, so that no dup2() in the child overwrites a source. */
static int add_fd(struct start *t, int from, int to)
{
	int fd = fcntl(from, F_DUPFD_CLOEXEC, t->high_min);

	if (fd < 0)
		return failed(
			t, -errno, "cannot start a cell: cannot copy descriptor %d: %m", from);
	t->high[t->n] = fd;
	t->to[t->n++] = to;
	return 0;
}

/* The text in memory, sealed, under a name that warder can open and nobody else could write; what
 * is wrong with it is told under the field's name. */
static int open_text(struct start *t, const char *text, int *ret_fd)
{
	autofd fd = memfd_create("policy_text", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));

	if (r == 0 &&
		(fchmod(fd, 0400) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
			fcntl(fd, F_ADD_SEALS,
				F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0))
		r = -errno;
	if (r < 0)
		return failed(
			t, r, "cannot start a cell: cannot keep the policy's text in memory: %m");
	*ret_fd = fd_take(&fd);
	return 0;
}

static int gather_fds(struct start *t, int status_fd, int policy_fd)
{
	int r = 0;

	t->high_min = t->to_max + 3; /* the report and the policy come in between */
	for (size_t i = 0; r == 0 && i < t->s->n_fds; i++)
		r = add_fd(t, t->s->fds[i].from, t->s->fds[i].to);
	t->status_fd = ++t->to_max;
	if (r == 0)
		r = add_fd(t, status_fd, t->status_fd);
	if (r < 0 || policy_fd < 0)
		return r;
	t->policy_fd = ++t->to_max;
	return add_fd(t, policy_fd, t->policy_fd);
}

/* ---- the child ------------------------------------------------------------------------------- */

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

static int make_argv(struct start *t)
{
	const struct warder_spawn *s = t->s;
	size_t n_options = count((char *const *)s->options), n_argv = count(s->argv);
	char **a = calloc(OWN_ARGS + 2 * s->n_fds + n_options + n_argv, sizeof(*a));

	if (!a)
		return failed(t, -ENOMEM, "cannot start a cell: %m");
	t->argv = a;
	snprintf(t->status_number, sizeof(t->status_number), "%d", t->status_fd);
	snprintf(t->policy_path, sizeof(t->policy_path), "/dev/fd/%d", t->policy_fd);
	snprintf(t->time, sizeof(t->time), "%ums", s->time_ms);
	*a++ = (char *)"warder";
	*a++ = (char *)"run";
	*a++ = (char *)"-q";
	*a++ = (char *)"--status-fd";
	*a++ = t->status_number;
	if (s->policy_file || s->policy_text) {
		*a++ = (char *)"-p";
		*a++ = s->policy_file ? (char *)s->policy_file : t->policy_path;
	}
	if (s->cwd) {
		*a++ = (char *)"-C";
		*a++ = (char *)s->cwd;
	}
	if (s->time_ms) {
		*a++ = (char *)"--time";
		*a++ = t->time;
	}
	for (size_t i = 0; i < s->n_fds; i++) {
		snprintf(t->numbers[i], sizeof(t->numbers[i]), "%u", (unsigned char)s->fds[i].to);
		*a++ = (char *)"--fd";
		*a++ = t->numbers[i];
	}
	for (size_t i = 0; i < n_options; i++)
		*a++ = (char *)s->options[i];
	*a++ = (char *)"--";
	memcpy(a, s->argv, n_argv * sizeof(*a));
	return 0;
}

static bool is_target(const struct start *t, int fd)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->to[i] == fd)
			return true;
	return false;
}

static int add_actions(const struct start *t, posix_spawn_file_actions_t *actions)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->n; i++)
		r = posix_spawn_file_actions_adddup2(actions, t->high[i], t->to[i]);
	for (int fd = 3; r == 0 && fd < t->to_max; fd++)
		if (!is_target(t, fd))
			r = posix_spawn_file_actions_addclose(actions, fd);
#ifdef __GLIBC__
	/* glibc 2.34.  Elsewhere warder closes what it was not told of, as it does in any case. */
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(actions, t->to_max + 1);
#endif
	return -r;
}

/* The child starts with no signal blocked or ignored, whatever the caller does with its own. */
static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	r = posix_spawnattr_setsigmask(attr, &none);
	if (r == 0)
		r = posix_spawnattr_setsigdefault(attr, &all);
	if (r == 0)
		r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return -r;
}

static int run_warder(struct start *t)
{
	const char *program = t->s->program;
	char *const *envp = t->s->envp ? t->s->envp : environ;
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int r;

	if (!program)
		program = access(INSTALLED_PATH, X_OK) == 0 ? INSTALLED_PATH : "warder";
	if (posix_spawn_file_actions_init(&actions) != 0)
		return failed(t, -ENOMEM, "cannot start a cell: no memory");
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return failed(t, -ENOMEM, "cannot start a cell: no memory");
	}
	r = add_actions(t, &actions);
	if (r == 0)
		r = set_signals(&attr);
	if (r == 0)
		r = -posix_spawnp(&t->result->pid, program, &actions, &attr, t->argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return r == 0 ? 0
		      : failed(t, r, "cannot run %s: %m; install warder, or name the program",
				program);
}

/* ---- the report ------------------------------------------------------------------------------ */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Reads what the pipe holds.  1: something; 0: end-of-file; -EAGAIN: nothing yet; -errno. */
static int read_some(struct warder_result *result)
{
	size_t room = sizeof(result->buffer) - 1 - result->used;
	ssize_t n;

	if (room == 0)
		return -EBADMSG;
	do
		n = read(result->status_fd, result->buffer + result->used, room);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	result->used += (size_t)n;
	result->buffer[result->used] = '\0';
	return n > 0;
}

/* Takes a line off the buffer.  False: none is whole. */
static bool take_line(struct warder_result *result, char *line)
{
	char *end = memchr(result->buffer, '\n', result->used);
	size_t size;

	if (!end)
		return false;
	size = (size_t)(end - result->buffer);
	memcpy(line, result->buffer, size);
	line[size] = '\0';
	result->used -= size + 1;
	memmove(result->buffer, end + 1, result->used);
	return true;
}

static int judge_start(struct start *t, const char *line)
{
	struct warder_result *result = t->result;
	char word[16] = "";
	uint64_t code = 125;

	if (status_string(line, "status", word, sizeof(word)) && strcmp(word, "ok") == 0)
		return 0;
	status_number(line, "code", &code);
	result->status = (int)code;
	if (!status_string(line, "error", result->error, sizeof(result->error)))
		failed(t, -EPROTO, "cannot start a cell: warder reports what nobody understands");
	return code == 127 ? -ENOENT : code == 126 ? -EACCES : -ECANCELED;
}

static int wait_for_start(struct start *t)
{
	uint64_t end = now_ms() + (t->s->start_ms ? t->s->start_ms : START_MS);
	char line[sizeof(t->result->buffer)];
	int r;

	while (!take_line(t->result, line)) {
		struct pollfd p = {.fd = t->result->status_fd, .events = POLLIN};
		uint64_t now = now_ms();

		if (now >= end)
			return failed(t, -ETIMEDOUT, "the cell had not started in time");
		if (poll(&p, 1, (int)(end - now)) <= 0)
			continue;
		r = read_some(t->result);
		if (r == 0)
			return failed(t, -ECANCELED,
				"warder ended before it could start the cell; "
				"its standard error says why");
		if (r < 0 && r != -EAGAIN)
			return failed(t, r, "cannot read what warder reports: %m");
	}
	return judge_start(t, line);
}

/* ---- together -------------------------------------------------------------------------------- */

static int reap(int pidfd, int *ret_status)
{
	siginfo_t info = {0};
	int r;

	do
		r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	*ret_status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	return 0;
}

static int start(struct start *t, int *ret_pidfd)
{
	int status, r;
	/* The child is not waited for by anyone yet, so its number cannot mean another. */
	autofd pidfd = (int)syscall(SYS_pidfd_open, t->result->pid, 0);

	if (pidfd < 0) {
		r = failed(t, -errno, "cannot watch warder: pidfd_open: %m");
		kill(t->result->pid, SIGKILL);
		waitpid(t->result->pid, NULL, 0);
		return r;
	}
	r = wait_for_start(t);
	if (r < 0) {
		if (r != -ENOENT && r != -EACCES && r != -ECANCELED)
			syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
		reap(pidfd, &status);
		return r;
	}
	*ret_pidfd = fd_take(&pidfd);
	return 0;
}

static int spawn(struct start *t, int *ret_pidfd)
{
	autofd policy_fd = -1, status_fd = -1;
	int ends[2];
	int r = check(t);

	if (r == 0 && t->s->policy_text)
		r = open_text(t, t->s->policy_text, &policy_fd);
	if (r == 0 && pipe2(ends, O_CLOEXEC) < 0)
		r = failed(t, -errno, "cannot start a cell: %m");
	if (r < 0)
		return r;
	t->result->status_fd = ends[0];
	status_fd = ends[1];
	r = fd_status_flags(ends[0], O_NONBLOCK, 0);
	if (r == 0)
		r = gather_fds(t, status_fd, policy_fd);
	if (r == 0)
		r = make_argv(t);
	if (r == 0)
		r = run_warder(t);
	/* Warder's copies are the only ones from here on: its death is our end-of-file. */
	fd_close(&status_fd);
	fd_close_many(t->high, t->n);
	return r < 0 ? r : start(t, ret_pidfd);
}

int warder_spawn(const struct warder_spawn *s, int *ret_pidfd)
{
	struct warder_result unseen;
	struct start *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return lib_errno(-ENOMEM);
	t->s = s;
	t->result = s->result ? s->result : &unseen;
	*t->result = (struct warder_result){.status_fd = -1};
	r = spawn(t, ret_pidfd);
	if (r < 0 || !s->result)
		fd_close(&t->result->status_fd);
	free(t->argv);
	free(t);
	return lib_errno(r);
}

static void read_end(struct warder_result *result)
{
	char line[sizeof(result->buffer)];
	uint64_t status;

	while (read_some(result) > 0)
		;
	while (take_line(result, line)) {
		char event[16] = "";

		if (!status_string(line, "event", event, sizeof(event)) ||
			strcmp(event, "end") != 0)
			continue;
		if (status_number(line, "status", &status))
			result->status = (int)status;
		status_number(line, "granted", &result->granted);
		status_number(line, "denied", &result->denied);
		status_number(line, "limited", &result->limited);
		result->timed_out = status_true(line, "timed_out");
		status_number(line, "oom_killed", &result->oom_killed);
	}
}

int warder_wait(struct warder_result *result, int *pidfd)
{
	int status = 0, r = reap(*pidfd, &status);

	fd_close(pidfd);
	if (!result)
		return lib_errno(r);
	if (r == 0)
		result->status = status;
	read_end(result);
	fd_close(&result->status_fd);
	return lib_errno(r);
}
