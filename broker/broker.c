/* SPDX-License-Identifier: MIT */
/*
 * broker.c - one broker: a policy, a cell, a ledger, a loop.
 *
 * Runs in: broker.  Trusts: nothing the worker sent; the supervisor, for who a client is.
 *
 * The loop never waits but in poll(2).  Every signal is blocked and read from a signalfd:
 * an interrupted call could lose a descriptor.
 */
#include "broker/broker.h"
#include "broker/ask.h"
#include "broker/charge.h"
#include "broker/denial.h"
#include "broker/dial.h"
#include "broker/events.h"
#include "broker/loop.h"
#include "broker/names.h"
#include "broker/plan.h"
#include "broker/slow.h"
#include "broker/slow_fs.h"
#include "broker/socket_inside.h"
#include "broker/standin.h"
#include "broker/trap.h"
#include "common/chan.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Everything of one run, so that one function can undo it. */
struct run {
	const struct broker_args *args;
	struct broker_result *result;
	struct plan plan;
	struct cell cell;
	struct ledger *ledger; /* its buffer is too large for the stack */
	struct session session;
	struct loop loop;
	int worker_channel_fd; /* the worker's ends, until it has them */
	int worker_clients_fd;
};

static int open_channels(struct run *run, struct failure *f)
{
	int r = chan_pair(&run->session.channel_fd, &run->worker_channel_fd);

	if (r == 0) {
		run->session.hurried = !chan_refuse_fds(run->session.channel_fd);
		r = plan_add_fd(&run->plan, run->worker_channel_fd, "WARDER_FD");
	}
	if (r == 0 && run->args->control_fd >= 0) {
		r = chan_pair(&run->loop.clients_fd, &run->worker_clients_fd);
		if (r == 0) {
			chan_refuse_fds(run->loop.clients_fd);
			r = plan_add_fd(&run->plan, run->worker_clients_fd, "WARDER_CLIENTS_FD");
		}
	}
	return r < 0 ? fail(f, r, "cannot make the worker's channel: %m") : 0;
}

/* What the session begins with is written by sign_start(), all at once. */
static int open_ledger(struct run *run, struct failure *f)
{
	autofd fd = run->args->ledger_fd;
	int r;

	run->ledger = malloc(sizeof(*run->ledger));
	if (!run->ledger)
		return fail(f, -ENOMEM, "cannot open the ledger: %m");
	r = ledger_init(run->ledger, &fd);
	if (r == 0) {
		run->ledger->sync = policy_settings(run->args->policy)->ledger_sync;
		run->ledger->tell_unsynced = run->args->unsynced;
		r = record_session(run->ledger, run->args);
	}
	if (r == -EMSGSIZE)
		return fail(f, r,
			"the policy's text is too long for the ledger's first record, which holds "
			"it "
			"where the ledger is a descriptor; give --ledger FILE");
	return r < 0 ? fail(f, r, "cannot begin the ledger: %m; the start stops here") : 0;
}

/* Before the worker is made, so that it has nothing that is not in the book. */
static int sign_start(struct run *run, struct failure *f)
{
	return record_start(
		run->ledger, &run->plan.spec, run->worker_channel_fd, run->worker_clients_fd, f);
}

static void init_session(struct run *run)
{
	const struct policy_settings *set = policy_settings(run->args->policy);
	struct session *s = &run->session;

	s->policy = run->args->policy;
	s->root = set->root;
	s->cell = &run->cell;
	s->ledger = run->ledger;
	s->result = run->result;
	s->charge = (struct charge){
		.per_second = set->limit_requests,
		.held_max = set->limit_held,
		.worker_files_fd = run->cell.worker_files_fd,
	};
	s->uid = run->plan.spec.uid;
	s->gid = run->plan.spec.gid;
	s->privileged = run->plan.privileged;
	s->phase = PHASE_HELLO;
	s->umask = umask(0); /* each request brings the bits that it wants */
	s->n_own = cell_own_places(&run->plan.spec, s->own);
	charge_init(s);
}

/* The tables of connections that wait. */
static int open_sockets(struct run *run, struct failure *f)
{
	struct session *s = &run->session;
	int r = inside_new(&s->socket_waits);

	if (r == 0)
		r = dial_new(&s->dial);
	if (r == 0)
		r = standins_new(&s->standins);
	if (r == 0) {
		s->names = names_new();
		r = s->names ? 0 : -ENOMEM;
	}
	return r < 0 ? fail(f, r, "cannot make room for connections that wait: %m") : 0;
}

/* While the worker goes its last steps: its first call is not to wait for this. */
static int begin_session(void *ctx, struct failure *f)
{
	struct run *run = ctx;
	int r;

	init_session(run);
	r = ask_init(&run->session);
	if (r == 0)
		r = trap_init(&run->session);
	return r < 0 ? fail(f, r, "cannot make room for the worker's requests: %m") : 0;
}

/* Steps 1 to 5 of the order of start. */
static int start(struct run *run, int *ret_status)
{
	struct failure *f = &run->result->failure;
	struct cage_spec cage;
	int r;

	*ret_status = 125;
	r = open_ledger(run, f);
	if (r == 0)
		r = plan_init(&run->plan, run->args, f);
	if (r == 0)
		r = open_channels(run, f);
	if (r == 0)
		r = sign_start(run, f);
	if (r < 0)
		return r;
	/* The loop's descriptors are made before the cage: it needs no call that makes one. */
	r = loop_init(&run->loop, run->args, policy_settings(run->args->policy)->time_ms);
	if (r < 0)
		return fail(f, r, "cannot make the broker's event loop: %m");
	r = slow_new(&run->session.slow);
	if (r < 0)
		return fail(f, r, "cannot make the socket of calls that wait: %m");
	r = open_sockets(run, f);
	if (r < 0)
		return r;
	cage = (struct cage_spec){
		.ledger_fd = run->ledger->fd,
		.as_broker = run->plan.as_broker,
		.caged = begin_session,
		.ctx = run,
	};
	r = spawn_cell(&run->plan.spec, &cage, &run->cell, ret_status, f);
	if (r < 0)
		return r;
	fd_close(&run->worker_channel_fd);
	fd_close(&run->worker_clients_fd);
	r = record_spawn(run->ledger, run->args, run->cell.worker_pid);
	if (r < 0) {
		*ret_status = 125;
		return fail(f, r,
			"cannot sign the worker's start in the ledger: %m; the start stops here");
	}
	return 0;
}

/* Blocks all signals for the loop's signalfd; the worker's start undoes it for the worker. */
static void block_signals(sigset_t *ret_before)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, ret_before);
}

/* What the host has is asked with its mounts at hand still, which tell of whom it may be asked. */
static void end_cell(struct run *run)
{
	struct slow_host *host = run->cell.slow_host;

	run->cell.slow_host = NULL;
	cell_end(&run->cell);
	run->cell.slow_host = host;
	if (run->session.policy)
		denial_look(&run->session);
	run->cell.slow_host = slow_host_free(host);
}

static void finish(struct run *run, const char *why)
{
	struct broker_result *result = run->result;

	result->granted = run->session.tally.granted;
	result->denied = run->session.tally.denied;
	result->limited = run->session.tally.limited;
	if (run->session.policy)
		umask(run->session.umask);
	slow_free(&run->session);
	cell_end_begin(&run->cell); /* it takes its time, in which the rest is put away */
	run->session.dial = dial_free(run->session.dial);
	run->session.standins = standins_free(run->session.standins);
	run->session.socket_waits = inside_free(run->session.socket_waits);
	run->session.names = names_free(run->session.names);
	trap_deinit(&run->session);
	ask_deinit(&run->session);
	loop_stop(&run->loop);
	end_cell(run);
	if (run->ledger) {
		record_end(run->ledger, why);
		ledger_deinit(run->ledger);
		free(run->ledger);
	}
	loop_deinit(&run->loop);
	fd_close_hurried(&run->session.channel_fd);
	fd_close(&run->worker_channel_fd);
	fd_close(&run->worker_clients_fd);
	plan_deinit(&run->plan);
}

/* The kernel ends by SIGKILL who has used up RLIMIT_CPU, and says nothing: it is told from what was
 * used.  The limit counts ticks, in whole seconds, and what was used is measured: the two differ by
 * a tenth and, where the processor is a virtual one that its host shares out, by a third. */
static bool ended_by_cpu(const struct broker_result *r, const struct cell *cell, uint64_t cpu_ms)
{
	const uint64_t limit_ms = (cpu_ms + 999) / 1000 * 1000;

	return cpu_ms && r->status == 128 + SIGKILL && !r->timed_out && r->oom_killed == 0 &&
	       cell->cpu_ms >= limit_ms / 2;
}

/* Field by field: the table of denials is large, and what no denial was put into is not touched. */
static void init_result(struct broker_result *r)
{
	r->status = 125;
	r->granted = r->denied = r->limited = r->closed = r->oom_killed = 0;
	r->timed_out = r->cpu_ended = false;
	r->n_denials = 0;
	r->failure = (struct failure)FAILURE_INIT;
}

void broker_run(const struct broker_args *a, struct broker_result *ret)
{
	struct run run = {
		.args = a,
		.result = ret,
		.cell = CELL_INIT,
		.session = {.channel_fd = -1},
		.loop = LOOP_INIT,
		.worker_channel_fd = -1,
		.worker_clients_fd = -1,
	};
	const char *why = "the start failed";
	sigset_t before;
	int status;

	init_result(ret);
	block_signals(&before);
	if (start(&run, &status) < 0) {
		ret->status = status;
	} else {
		if (a->started)
			a->started(a->ctx, run.cell.worker_pid);
		why = loop_run(&run.loop, &run.session);
		ret->status = run.loop.status;
		ret->timed_out = run.loop.timed_out;
		ret->oom_killed = cell_oom_killed(run.cell.oom_fd);
		ret->cpu_ended = ended_by_cpu(ret, &run.cell, policy_settings(a->policy)->cpu_ms);
		if (run.loop.failure.error)
			ret->failure = run.loop.failure;
	}
	finish(&run, why);
	hurry_stop();
	sigprocmask(SIG_SETMASK, &before, NULL);
}
