/* SPDX-License-Identifier: MIT */
/*
 * serve_slot.c - a slot of `warder serve`: one broker with its worker.
 *
 * Runs in: supervisor; below slot_main() in the slot's broker.  Trusts: its caller.
 */
#include "cli/serve_slot.h"
#include "broker/broker.h"
#include "cli/exec.h"
#include "cli/ledger_file.h"
#include "cli/say.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL = 3, READY = 4 };

long slot_clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the slot's process ---------------------------------------------------------------------- */

static void tell_ready(void *ctx, pid_t pid)
{
	fd_write_all(READY, "+", 1);
	close(READY);
}

/* Keeps what the broker needs under known numbers, and nothing else of the supervisor's: not its
 * lock, not its listener, no other slot's channel. */
static int keep_only(const int from[5])
{
	int high[5];

	for (int i = 0; i < 5; i++) {
		high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 10);
		if (high[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 5; i++)
		if (dup3(high[i], i, i > 2 ? O_CLOEXEC : 0) < 0)
			return -errno;
	return close_range(5, UINT_MAX, 0) < 0 ? -errno : 0;
}

static int open_ledger(const struct slot_plan *plan, unsigned number, struct ledger_file *ledger,
	char hash[POLICY_HASH_SIZE], struct failure *f)
{
	char tag[32];
	int r;

	snprintf(tag, sizeof(tag), "slot%u-", number);
	r = ledger_file_new(plan->ledger, tag, ledger, f);
	return r < 0 ? r : ledger_keep_policy(ledger, plan->policy, hash, f);
}

/* Becomes a broker, serves, and exits with the worker's status. */
static _Noreturn void slot_main(const struct slot_plan *plan, unsigned number)
{
	static char *no_environment[] = {NULL};
	struct ledger_file ledger = LEDGER_FILE_INIT;
	struct broker_result result = {0};
	char dialer[PATH_MAX];
	struct broker_args args = {
		.policy = plan->policy,
		.dialer = exec_dialer(plan->policy, dialer, sizeof(dialer)),
		.argv = plan->argv,
		.envp = environ,
		.cwd = "/",
		.stdio = {0, 1, 2},
		.tty_fd = -1,
		.control_fd = CONTROL,
		.started = tell_ready,
		.unsynced = ledger_say_unsynced,
	};
	char hash[POLICY_HASH_SIZE], shown[1024];
	int r = open_ledger(plan, number, &ledger, hash, &result.failure);

	result.status = 125;
	if (r == 0) {
		args.policy_hash = hash;
		args.ledger_fd = fd_take(&ledger.fd);
		fd_close(&ledger.dir_fd);
		environ = no_environment;
		broker_run(&args, &result);
	}
	if (result.failure.error != 0)
		say("%s", say_escape(shown, sizeof(shown), result.failure.text,
				  strlen(result.failure.text)));
	_exit(result.status);
}

/* ---- the supervisor's side ------------------------------------------------------------------- */

void slot_init(struct slot *s, unsigned number)
{
	*s = (struct slot){.number = number,
		.control_fd = -1,
		.ready_fd = -1,
		.out = {.from_fd = -1},
		.err = {.from_fd = -1},
		.next_ms = slot_clock_ms(),
		.wait_ms = BACK_OFF_MIN_MS};
}

int slot_start(struct slot *s, const struct slot_plan *plan)
{
	int ends[5] = {-1, -1, -1, -1, -1}; /* the broker's 0 to 4 */
	int out[2] = {-1, -1}, err[2] = {-1, -1}, ready[2] = {-1, -1}, control = -1;
	pid_t pid = -1;
	int r = 0;

	ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (ends[0] < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 ||
		pipe2(ready, O_CLOEXEC) < 0)
		r = -errno;
	ends[1] = out[1];
	ends[2] = err[1];
	ends[READY] = ready[1];
	if (r == 0)
		r = chan_pair(&control, &ends[CONTROL]);
	if (r == 0) {
		pid = exec_slot();
		r = pid < 0 ? (int)pid : 0;
	}
	if (pid == 0) {
		if (keep_only(ends) < 0)
			_exit(125);
		sigprocmask(SIG_SETMASK, &plan->signals, NULL);
		slot_main(plan, s->number);
	}
	fd_close_many(ends, 5);
	if (r == 0)
		r = fd_status_flags(out[0], O_NONBLOCK, 0);
	if (r == 0)
		r = fd_status_flags(err[0], O_NONBLOCK, 0);
	if (r < 0) {
		fd_close(&out[0]);
		fd_close(&err[0]);
		fd_close(&ready[0]);
		fd_close(&control);
		return r;
	}
	s->pid = pid;
	s->control_fd = control;
	s->ready_fd = ready[0];
	s->ready = false;
	s->out = (struct lines){.from_fd = out[0], .to_fd = STDOUT_FILENO, .slot = s->number};
	s->err = (struct lines){.from_fd = err[0], .to_fd = STDERR_FILENO, .slot = s->number};
	s->started_ms = slot_clock_ms();
	s->clients = 0;
	return 0;
}

void slot_ready(struct slot *s)
{
	char byte;

	s->ready = read(s->ready_fd, &byte, 1) == 1;
	fd_close(&s->ready_fd);
}

void slot_drain(struct slot *s)
{
	fd_close(&s->control_fd);
}

int slot_ended(struct slot *s, int wait_status)
{
	long now = slot_clock_ms();

	lines_end(&s->out);
	lines_end(&s->err);
	fd_close(&s->control_fd);
	fd_close(&s->ready_fd);
	s->pid = 0;
	s->ready = false;
	if (now - s->started_ms >= STEADY_MS)
		s->wait_ms = BACK_OFF_MIN_MS;
	s->next_ms = now + s->wait_ms;
	s->wait_ms = s->wait_ms * 2 > BACK_OFF_MAX_MS ? BACK_OFF_MAX_MS : s->wait_ms * 2;
	return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

int slot_hand_over(struct slot *s, int *fd, const struct msg_client *who)
{
	uint8_t buf[MSG_HEADER_SIZE + MSG_CLIENT_SIZE];
	struct enc e = enc_init(buf, sizeof(buf));
	struct msg_client client = *who;
	autofd copy = -1;
	size_t size;
	int r;

	client.number = s->clients + 1;
	msg_begin(&e, MSG_CLIENT, (uint32_t)client.number, 1);
	msg_put_client(&e, &client);
	r = msg_end(&e, &size);
	if (r < 0)
		return r;
	/* chan_send() closes what it is given also where there is no room. */
	copy = fcntl(*fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	r = chan_send(s->control_fd, buf, size, &copy, 1, false);
	if (r < 0)
		return r;
	fd_close(fd);
	s->clients++;
	return 0;
}
