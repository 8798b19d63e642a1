/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - warder doctor: what this host can enforce, and the flag to use.
 *
 * Runs in: command line.  Trusts: the user who calls.
 *
 * The first line is found by starting a cell, each root in a child, not by reading the table below
 * it.  Exit status: 0 `root view` works with every layer, 1 it does not, 2 could not tell.
 */
#include "broker/spawn.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/say.h"
#include "common/fd.h"
#include "common/jsonl.h"
#include "sandbox/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { YES = 0, NO = 1, CANNOT_TELL = 2 };

#define UNPRIVILEGED_ID 65534

static const struct option_row rows[] = {
	{"json", 0, NULL, "JSON Lines on standard output"},
	{"help", 'h', NULL, "this text"},
};

static const struct {
	unsigned layer;
	const char *word;
} acceptable[] = {
	{CELL_LAYER_LANDLOCK, "landlock"},
	{CELL_LAYER_LANDLOCK_SCOPE, "scope"},
	{CELL_LAYER_UID, "uid"},
};
#define N_ACCEPTABLE (sizeof(acceptable) / sizeof(*acceptable))

/* ---- a real start, in a child ---------------------------------------------------------------- */

/* Lets every call of true's go on, which is no stranger's program, until it has ended. */
static int wait_for_true(struct cell *cell)
{
	struct pollfd polls[] = {
		{.fd = cell->worker_pidfd, .events = POLLIN},
		{.fd = notify_fd(cell->notify), .events = POLLIN},
	};
	struct notice notice;

	while (!(polls[0].revents & POLLIN)) {
		if (poll(polls, 2, -1) < 0) {
			if (errno != EINTR)
				return -errno;
			continue; /* it has not said what there is */
		}
		if ((polls[1].revents & POLLIN) && notify_receive(cell->notify, &notice) == 0)
			notify_continue(cell->notify, notice.id);
		if (polls[1].revents & POLLHUP)
			polls[1].fd = -1;
	}
	return cell_wait(cell);
}

static void start_true(enum cell_root root, unsigned accept, int out_fd)
{
	static const char *const argv[] = {"true", NULL};
	static const char *const envp[] = {"PATH=/usr/bin:/bin", NULL};
	int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	const struct cell_fd fds[] = {{null_fd, 0}, {null_fd, 1}, {null_fd, 2}};
	const struct cell_spec spec = {
		.root = root,
		.accept = accept,
		.uid = geteuid() == 0 ? UNPRIVILEGED_ID : geteuid(),
		.gid = geteuid() == 0 ? UNPRIVILEGED_ID : getegid(),
		.user_name = "worker",
		.program = argv[0],
		.argv = (char *const *)argv,
		.envp = (char *const *)envp,
		.cwd = "/",
		.fds = fds,
		.n_fds = 3,
		.tty_fd = -1,
	};
	const struct cage_spec cage = {.ledger_fd = -1};
	struct failure f = FAILURE_INIT;
	struct cell cell;
	int exec = 0;

	if (spawn_cell(&spec, &cage, &cell, &exec, &f) == 0) {
		int status = wait_for_true(&cell);

		if (status != 0)
			fail(&f, -EPROTO, "true ended with status %d in the cell", status);
	}
	cell_end(&cell);
	fd_write_all(out_fd, &f, sizeof(f));
	_exit(0);
}

/* 0: /bin/true ran in such a cell.  -ECHILD: could not tell.  Else what the start said. */
static int try_root(enum cell_root root, unsigned accept, struct failure *f)
{
	int pipe_fds[2];
	pid_t pid;
	long n;

	*f = (struct failure)FAILURE_INIT;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -ECHILD;
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		start_true(root, accept, pipe_fds[1]);
	close(pipe_fds[1]);
	n = pid < 0 ? -1 : fd_read_all(pipe_fds[0], f, sizeof(*f));
	close(pipe_fds[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return n == (long)sizeof(*f) ? f->error : -ECHILD;
}

/* ---- the answer ------------------------------------------------------------------------------ */

struct answer {
	int status;
	char flag[160];
	struct failure view; /* why `root view` does not work as it is */
};

static unsigned missing_layers(const struct probe *probes, size_t n)
{
	unsigned accept = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; probes[i].accept && j < N_ACCEPTABLE; j++) {
			if (probes[i].result != PROBE_OK &&
				strcmp(probes[i].accept, acceptable[j].word) == 0)
				accept |= acceptable[j].layer;
		}
	}
	return accept;
}

static void write_flag(struct answer *a, const char *root, unsigned accept)
{
	size_t n = (size_t)snprintf(a->flag, sizeof(a->flag), "--root %s", root);

	for (size_t i = 0; i < N_ACCEPTABLE; i++) {
		if ((accept & acceptable[i].layer) && n < sizeof(a->flag))
			n += (size_t)snprintf(a->flag + n, sizeof(a->flag) - n,
				" --accept \"missing %s\"", acceptable[i].word);
	}
}

/* The strictest root that starts, with as little accepted as it takes. */
static void find_flag(struct answer *a, const struct probe *probes, size_t n)
{
	unsigned missing = missing_layers(probes, n);
	unsigned uid = geteuid() == 0 ? 0 : CELL_LAYER_UID;
	struct failure f;
	int r = try_root(CELL_VIEW, 0, &a->view);

	a->status = r == 0 ? YES : r == -ECHILD ? CANNOT_TELL : NO;
	if (r == 0) {
		write_flag(a, "view", 0);
	} else if (missing && try_root(CELL_VIEW, missing, &f) == 0) {
		write_flag(a, "view", missing);
	} else if (try_root(CELL_HOST, missing | uid, &f) == 0) {
		write_flag(a, "host", missing | uid);
	}
}

static const char *result_name(enum probe_result r)
{
	return r == PROBE_OK ? "ok" : r == PROBE_MISSING ? "missing" : "unknown";
}

static int print_json(const struct answer *a, const struct probe *probes, size_t n)
{
	char buf[2048];
	struct jsonl j = jsonl_begin(buf, sizeof(buf));
	long size;

	jsonl_string(&j, "flag", *a->flag ? a->flag : NULL);
	jsonl_bool(&j, "ok", a->status == YES);
	if (a->status != YES)
		jsonl_string(&j, "text", a->view.text);
	size = jsonl_end(&j);
	if (size > 0)
		fwrite(buf, 1, (size_t)size, stdout);
	for (size_t i = 0; i < n; i++) {
		j = jsonl_begin(buf, sizeof(buf));
		jsonl_string(&j, "layer", probes[i].layer);
		jsonl_string(&j, "result", result_name(probes[i].result));
		jsonl_string(&j, "text", probes[i].text);
		jsonl_string(&j, "remedy", *probes[i].remedy ? probes[i].remedy : NULL);
		size = jsonl_end(&j);
		if (size > 0)
			fwrite(buf, 1, (size_t)size, stdout);
	}
	return say_written(a->status, CANNOT_TELL);
}

static int print_table(const struct answer *a, const struct probe *probes, size_t n)
{
	bool colour = say_colour(1);

	if (*a->flag)
		printf("%s\n", a->flag);
	else
		printf("no cell can be started here: %s\n",
			*a->view.text ? a->view.text : "the start ended without an answer");
	putchar('\n');
	for (size_t i = 0; i < n; i++) {
		const char *on = !colour                        ? ""
				 : probes[i].result == PROBE_OK ? "\033[32m"
								: "\033[31m";

		printf("%-12s  %s%-7s%s  %s\n", probes[i].layer, on, result_name(probes[i].result),
			colour ? "\033[0m" : "", probes[i].text);
		if (probes[i].result != PROBE_OK && *probes[i].remedy)
			printf("%-12s           %s\n", "", probes[i].remedy);
	}
	if (*a->flag && a->status != YES && *a->view.text)
		printf("\nWithout that flag a start says: %s\n", a->view.text);
	return say_written(a->status, CANNOT_TELL);
}

int cmd_doctor(int argc, char **argv)
{
	struct probe probes[PROBES_MAX];
	struct answer a = {.status = CANNOT_TELL};
	struct options o;
	const char *value;
	bool json = false;
	size_t n;
	int i;

	options_init(&o, "warder doctor [--json]", rows, sizeof(rows) / sizeof(*rows), argc, argv);
	while ((i = options_next(&o, &value)) != OPTIONS_END) {
		if (i == OPTIONS_BAD)
			return CANNOT_TELL;
		if (i == 1) {
			options_help(&o,
				"Starts a cell, probes each of its layers, and says which flag to "
				"use on this host.",
				NULL);
			return YES;
		}
		json = true;
	}
	if (o.at < argc) {
		options_wrong(&o, "doctor takes no argument");
		return CANNOT_TELL;
	}
	n = doctor_probe(probes);
	find_flag(&a, probes, n);
	return json ? print_json(&a, probes, n) : print_table(&a, probes, n);
}
