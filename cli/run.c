/* SPDX-License-Identifier: MIT */
/*
 * run.c - warder run: a program in a cell under a policy.
 *
 * Runs in: command line, then broker.  Trusts: the user who calls.
 *
 * Everything that needs a name is done before broker_run(): afterwards this process sits in its
 * cage, and can only write to what it holds, wait and exit.
 */
#include "broker/broker.h"
#include "cli/cli.h"
#include "cli/inherited.h"
#include "cli/ledger_file.h"
#include "cli/policy_options.h"
#include "cli/say.h"
#include "cli/state.h"
#include "cli/status.h"
#include "cli/summary.h"
#include "cli/tty.h"
#include "cli/exec.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_OWN 125 /* every failure of warder's own */
#define FDS_MAX  64

static const struct option_row rows[] = {
	POLICY_OPTION_ROWS,
	{"chdir", 'C', "DIR", "start in DIR, which is also what ./ means"},
	{"fd", 0, "N", "let COMMAND inherit descriptor N; may be repeated"},
	{"ledger", 0, "FILE|fd:N", "write the ledger there; \"sync batch\": bring it to disk"},
	{"status-fd", 0, "N", "tell start and end on descriptor N, in JSON Lines"},
	{"quiet", 'q', NULL, "no summary at the end"},
	{"verbose", 'v', NULL, "a summary although standard error is no terminal, and warnings"},
	SETTING_OPTION_ROWS,
	{"help", 'h', NULL, "this text"},
};

static const char what[] = "Runs COMMAND in a cell where it can open nothing; what the policy "
			   "allows, warder opens for\n"
			   "it, and signs for in the ledger.  Without a policy nothing is granted.";
static const char more[] = "Options end at COMMAND.  The exit status is COMMAND's own, 128 + N "
			   "where signal N ended it,\n"
			   "125 where warder itself failed, 126 where COMMAND cannot be executed, "
			   "127 where it is not\n"
			   "found.  See warder-run(1).";

struct run {
	struct policy_options policy;
	const char *chdir;
	const char *ledger;
	const char *status;
	int fds[FDS_MAX];
	size_t n_fds;
	bool quiet, verbose, help;

	int status_fd;
	bool started;
	char cwd[PATH_MAX];
	char ledger_at[PATH_MAX];
	struct ledger_file ledger_file;
	struct inherited inherited;
	struct policy *loaded;
	struct failure first; /* error of the policy, for who does not see standard error */
	char hash[POLICY_HASH_SIZE];
	struct tty tty;
};

static int take_fd(struct run *run, const struct options *o, const char *value)
{
	unsigned long fd;

	if (option_number(value, INT_MAX, &fd) < 0) {
		options_wrong(o, "--fd %s: that is no descriptor's number", value);
		return -EINVAL;
	}
	for (size_t i = 0; i < run->n_fds; i++)
		if (run->fds[i] == (int)fd)
			return 0;
	if (fd <= 2)
		return 0; /* inherited anyway */
	if (run->n_fds == FDS_MAX) {
		options_wrong(o, "at most %d descriptors can be inherited", FDS_MAX);
		return -EINVAL;
	}
	run->fds[run->n_fds++] = (int)fd;
	return 0;
}

static int take_option(struct run *run, const struct options *o, size_t i, const char *value)
{
	const struct option_row *row = &rows[i];
	int r = 1;

	switch (row->letter) {
	case 'C':
		run->chdir = value;
		return 0;
	case 'q':
		run->quiet = true;
		return 0;
	case 'v':
		run->verbose = true;
		return 0;
	case 'h':
		run->help = true;
		return 0;
	}
	if (row->name && strcmp(row->name, "fd") == 0)
		return take_fd(run, o, value);
	/* "sync batch" is a setting of its own; what else it names is a place. */
	if (row->name && strcmp(row->name, "ledger") == 0 && strncmp(value, "sync ", 5) == 0)
		policy_options_flag(&run->policy, "ledger", value);
	else if (row->name && strcmp(row->name, "ledger") == 0 && run->ledger)
		r = (options_wrong(o, "--ledger is given twice; a session has one"), -EINVAL);
	else if (row->name && strcmp(row->name, "ledger") == 0)
		run->ledger = value;
	else if (row->name && strcmp(row->name, "status-fd") == 0)
		run->status = value;
	else
		r = policy_options_take(&run->policy, o, row, value);
	return r < 0 ? r : 0;
}

/* 0: go on with the operands; 1: the help was printed; negative: wrong usage (said). */
static int take_options(struct run *run, struct options *o)
{
	const char *value;
	int i;

	while ((i = options_next(o, &value)) >= 0) {
		if (take_option(run, o, (size_t)i, value) < 0)
			return -EINVAL;
		if (run->help) {
			options_help(o, what, more);
			return 1;
		}
	}
	if (i == OPTIONS_BAD)
		return -EINVAL;
	if (o->at < o->argc && o->argv[o->at][0] != '\0')
		return 0;
	options_wrong(o, o->at < o->argc ? "COMMAND is empty" : "COMMAND is missing");
	return -EINVAL;
}

/* ---- what has to stand before the broker starts ---------------------------------------------- */

static int find_cwd(struct run *run, struct failure *f)
{
	struct stat st;

	if (!run->chdir)
		return getcwd(run->cwd, sizeof(run->cwd)) && run->cwd[0] == '/'
			       ? 0
			       : fail(f, errno ? -errno : -ENOENT,
					 "cannot tell the directory of the start: %m; was it "
					 "removed? give -C DIR");
	if (!realpath(run->chdir, run->cwd) || stat(run->cwd, &st) < 0)
		return fail(f, -errno, "cannot start in %s: %m", run->chdir);
	if (!S_ISDIR(st.st_mode))
		return fail(f, -ENOTDIR, "cannot start in %s: it is no directory", run->chdir);
	return 0;
}

/* A descriptor to inherit must be open, and must not be a way around the cell. */
static int check_fd(const struct run *run, int fd, struct failure *f)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		return fail(f, -errno, "--fd %d: the descriptor is not open", fd);
	if (S_ISDIR(st.st_mode) || (flags & O_PATH))
		return fail(f, -EINVAL,
			"--fd %d: a directory would lead out of the cell; grant it in the policy",
			fd);
	if (fd == run->status_fd)
		return fail(f, -EINVAL, "--fd %d: that descriptor is --status-fd", fd);
	return 0;
}

/* Nor the ledger, which the policy may name too. */
static int check_ledger(const struct run *run, struct failure *f)
{
	const char *ledger = policy_settings(run->loaded)->ledger;

	for (size_t i = 0; i < run->n_fds && ledger && strncmp(ledger, "fd:", 3) == 0; i++)
		if (atoi(ledger + 3) == run->fds[i])
			return fail(
				f, -EINVAL, "--fd %d: that descriptor is the ledger", run->fds[i]);
	return 0;
}

/* The ledger's path as a rule would name it, so that no rule can grant it. */
static void protect(struct run *run)
{
	struct policy_load_args *args = &run->policy.args;

	policy_options_protect(&run->policy);
	if (run->ledger && strncmp(run->ledger, "fd:", 3) != 0) {
		char dir[PATH_MAX] = ".", real[PATH_MAX];
		const char *slash = strrchr(run->ledger, '/');
		const char *name = slash ? slash + 1 : run->ledger;

		if (slash)
			snprintf(dir, sizeof(dir), "%.*s", (int)(slash - run->ledger) + 1,
				run->ledger);
		if (realpath(dir, real) &&
			snprintf(run->ledger_at, sizeof(run->ledger_at), "%s/%s",
				real[1] ? real : "", name) < (int)sizeof(run->ledger_at))
			args->ledger = run->ledger_at;
	}
}

/* What is to be hidden in the view has to be there: warder's directory may not be, where the ledger
 * is another file. */
static int make_hidden_state(struct run *run, struct failure *f)
{
	const char *path;
	autofd fd = -1;
	int r = 0;

	for (size_t i = 0; r == 0 && (path = policy_hidden(run->loaded, i)); i++)
		if (fd < 0 && faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
			errno == ENOENT)
			r = state_open("run", &fd, f);
	return r;
}

static int open_ledger(struct run *run, struct failure *f)
{
	const struct policy_settings *set = policy_settings(run->loaded);
	const char *where = set->ledger ? set->ledger : run->ledger;
	int r = where ? ledger_file_named(where, &run->ledger_file, f)
		      : ledger_file_new("run", "", &run->ledger_file, f);

	return r < 0 ? r : ledger_keep_policy(&run->ledger_file, run->loaded, run->hash, f);
}

/* The ledger's "fd:N" has been duplicated. */
static void close_others(struct run *run)
{
	int keep[FDS_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < run->n_fds; i++)
		keep[n++] = run->fds[i];
	keep[n++] = run->status_fd;
	inherited_close(&run->inherited, keep, n);
}

/* Loads the policy and opens what its session needs. */
static int prepare(struct run *run, struct failure *f)
{
	struct policy_load_args *args = &run->policy.args;
	int r = inherited_note(&run->inherited, f);

	if (r == 0)
		r = find_cwd(run, f);
	for (size_t i = 0; i < run->n_fds && r == 0; i++)
		r = check_fd(run, run->fds[i], f);
	if (r < 0)
		return r;
	args->start = run->cwd;
	args->warnings = run->verbose;
	args->use = POLICY_TO_RUN;
	if (run->ledger)
		policy_options_flag(&run->policy, "ledger", run->ledger);
	protect(run);
	r = policy_load(args, &run->loaded, stderr, &run->first);
	if (r < 0)
		return fail(f, r, "nothing was started, because the policy has errors");
	r = check_ledger(run, f);
	if (r == 0)
		r = open_ledger(run, f);
	if (r == 0)
		r = make_hidden_state(run, f);
	if (r == 0)
		close_others(run);
	return r;
}

/* ---- the session ----------------------------------------------------------------------------- */

static void started(void *ctx, pid_t pid)
{
	struct run *run = ctx;

	run->started = true;
	status_started(run->status_fd, pid);
}

/* Starts the cell, serves until its end, and gives the terminal back. */
static int session(struct run *run, char **command, struct broker_result *result, struct failure *f)
{
	static char *no_environment[] = {NULL};
	char dialer[PATH_MAX];
	struct broker_args args = {
		.policy = run->loaded,
		.dialer = exec_dialer(run->loaded, dialer, sizeof(dialer)),
		.argv = command,
		.envp = environ,
		.cwd = run->cwd,
		.fds = run->fds,
		.n_fds = run->n_fds,
		.stdio = {0, 1, 2},
		.tty_fd = -1,
		.policy_hash = run->hash,
		.control_fd = -1,
		.started = started,
		.unsynced = ledger_say_unsynced,
		.ctx = run,
	};
	int r;

	broker_make_room(run->loaded);
	r = tty_start(&run->tty, args.stdio, f);
	if (r < 0)
		return r;
	/* No directory belongs to a descriptor, so the ledger itself says what its rules were. */
	if (run->ledger_file.dir_fd < 0)
		args.policy_text = policy_text(run->loaded, &args.policy_size);
	args.tty_fd = run->tty.slave_fd;
	args.relay_pid = run->tty.relay_pid;
	args.ledger_fd = fd_take(&run->ledger_file.fd);
	/* What is left in this process's environment (LD_*, MALLOC_*, GCONV_PATH) has no say from
	 * here on; the worker's is made from the copy. */
	environ = no_environment;
	broker_run(&args, result);
	tty_end(&run->tty);
	return 0;
}

/* Says why warder itself failed, to the person and on the status descriptor. */
static int give_up(struct run *run, int code, const struct failure *f)
{
	char shown[1024];

	say_escape(shown, sizeof(shown), f->text, strlen(f->text));
	say("%s", shown);
	if (!run->started)
		status_failed(run->status_fd, code, f->text, run->first.text);
	return code;
}

static int run_command(struct run *run, char **command)
{
	static struct broker_result result; /* no stack that is cleared page by page */
	struct failure f = FAILURE_INIT;
	const char *search = getenv("PATH"); /* session() empties the environment, not the text */
	bool colour = say_colour(STDERR_FILENO);
	bool summary = run->verbose || (!run->quiet && isatty(STDERR_FILENO));
	int r = run->status ? status_open(run->status, &run->status_fd, &f) : 0;

	if (r == 0)
		r = prepare(run, &f);
	if (r == 0)
		r = session(run, command, &result, &f);
	if (r < 0)
		return give_up(run, EXIT_OWN, &f);
	if (result.failure.error != 0) {
		give_up(run, result.status, &result.failure);
		if (!run->started)
			return result.status;
	}
	status_ended(run->status_fd, &result);
	if (summary && run->started)
		summary_print(&result, run->ledger_file.path, search, colour);
	return result.status;
}

int cmd_run(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof(*run));
	struct options o;
	int r, status = EXIT_OWN;

	if (!run || policy_options_init(&run->policy, argc) < 0) {
		say("no memory to read the command line");
		free(run);
		return EXIT_OWN;
	}
	run->status_fd = -1;
	run->ledger_file = (struct ledger_file)LEDGER_FILE_INIT;
	run->tty = (struct tty)TTY_INIT;
	options_init(&o, "warder run [OPTION]... [--] COMMAND [ARG]...", rows,
		sizeof(rows) / sizeof(rows[0]), argc, argv);
	r = take_options(run, &o);
	if (r > 0)
		status = say_written(0, EXIT_OWN);
	else if (r == 0)
		status = run_command(run, argv + o.at);
	ledger_file_close(&run->ledger_file);
	free(run->inherited.fds);
	policy_free(run->loaded);
	policy_options_deinit(&run->policy);
	free(run);
	return status;
}
