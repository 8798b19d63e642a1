/* SPDX-License-Identifier: MIT */
/*
 * serve.c - warder serve: listens, lets clients in, and keeps workers running.
 *
 * Runs in: supervisor.  Trusts: the user who calls; of clients and workers it reads no byte but
 * what workers print, which it escapes.
 *
 * One loop over poll(2), with every signal in a descriptor.  Nothing in it waits for a client, a
 * worker or a reader of its output.
 */
#include "cli/cli.h"
#include "cli/exec.h"
#include "cli/policy_options.h"
#include "cli/say.h"
#include "cli/serve_door.h"
#include "cli/serve_slot.h"
#include "cli/serve_socket.h"
#include "cli/state.h"
#include "cli/status.h"
#include "common/chan.h"
#include "common/fd.h"
#include "common/place.h"
#include "common/runtime.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define DRAIN_MS     5000 /* what workers have to serve the clients they have */
#define END_MS       2000 /* then, until SIGKILL */
#define REST_MS      100  /* out of descriptors, or no slot has room */
#define QUEUE_MS     1000 /* a client may wait so long for a slot that is on its way */
#define ACCEPTS      32   /* clients let in before the rest has its turn */
#define POLLS_A_SLOT 4
#define POLLS_MAX    (4 + POLLS_A_SLOT * SLOTS_MAX)

static const struct option_row rows[] = {
	{"name", 'n', "NAME", "the service's name: its socket is NAME.sock"},
	POLICY_OPTION_ROWS,
	SERVE_OPTION_ROWS,
	{"status-fd", 0, "N", "tell start and end on descriptor N, in JSON Lines"},
	{"quiet", 'q', NULL, "say nothing but errors"},
	SETTING_OPTION_ROWS,
	{"help", 'h', NULL, "this text"},
};

static const char what[] =
	"Listens at $XDG_RUNTIME_DIR/warder/NAME.sock (for root without that variable at\n"
	"/run/warder/NAME.sock) and hands each client to a worker that runs in a cell.  WORKER is\n"
	"warder's own file server unless told.";
static const char more[] =
	"SIGTERM and SIGINT let the workers finish, for 5 seconds.  The exit status is 0 after "
	"that,\n"
	"1 where the service could not start, 2 for wrong usage.  See warder-serve(1).";

struct serve {
	struct policy_options policy;
	const char *name;
	const char *status;
	bool quiet, help;

	int status_fd, signals_fd;
	struct serve_socket socket;
	struct serve_door door;
	struct slot_plan plan;
	struct slot slots[SLOTS_MAX];
	size_t n_slots;
	size_t turn; /* the slot that gets the next client */
	char worker[PATH_MAX], state[PATH_MAX];
	char ledger[NAME_MAX];
	struct policy_protected protect;
	char *default_argv[2];
	struct policy *loaded;
	struct failure first; /* error of the policy, for who does not see standard error */

	bool listening; /* every slot was ready once, clients are let in */
	bool failed;    /* a first worker did not start, or the socket could not be made */
	struct failure why;
	bool out_slow, err_slow;
	int waiting_fd; /* a client that was let in while no slot had room; -1: none */
	struct msg_client waiting;
	long waiting_ms;    /* since when */
	bool stuck;         /* one waited in vain: until a slot has room, clients are sent away */
	long rest_until_ms; /* no accept before */
	long alone_ms;      /* since when no slot is up; 0: one is */
	long drain_ms;      /* since when it drains; 0: it does not */
	int pushed;         /* 1: SIGTERM was sent, 2: SIGKILL */
};

/* ---- slots ----------------------------------------------------------------------------------- */

static void start_due(struct serve *s)
{
	long now = slot_clock_ms();

	for (size_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slots[i];
		int r;

		if (slot->pid > 0 || slot->next_ms > now || s->drain_ms)
			continue;
		r = slot_start(slot, &s->plan);
		if (r < 0) {
			errno = -r;
			say("slot %u: cannot start a worker: %m; trying again", slot->number);
			slot->next_ms = now + BACK_OFF_MAX_MS / 10;
		}
	}
}

static bool any_up(const struct serve *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].ready)
			return true;
	return false;
}

static bool any_left(const struct serve *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].pid > 0)
			return true;
	return false;
}

static void begin_drain(struct serve *s)
{
	if (s->drain_ms) {
		s->drain_ms = 1; /* told twice: no more patience */
		return;
	}
	s->drain_ms = slot_clock_ms();
	serve_socket_shut(&s->socket);
	chan_hang_up(&s->waiting_fd);
	for (size_t i = 0; i < s->n_slots; i++)
		slot_drain(&s->slots[i]);
}

static void note_end(struct serve *s, struct slot *slot, int wait_status)
{
	bool was_ready = slot->ready;
	int status = slot_ended(slot, wait_status);

	if (!was_ready && !s->listening) {
		s->failed = true;
		if (!s->drain_ms) {
			fail(&s->why, -ECHILD, "slot %u: the worker did not start (status %d)",
				slot->number, status);
			say("%s", s->why.text);
		}
		begin_drain(s);
	} else if (!s->drain_ms && !s->quiet) {
		say("slot %u: the worker ended with status %d; a new one in %ld ms", slot->number,
			status, slot->next_ms - slot_clock_ms());
	}
}

/* Also reaps what brokers left behind: a subreaper's children. */
static void reap(struct serve *s)
{
	int wait_status;
	pid_t pid;

	do {
		pid = waitpid(-1, &wait_status, WNOHANG);
		for (size_t i = 0; pid > 0 && i < s->n_slots; i++)
			if (s->slots[i].pid == pid)
				note_end(s, &s->slots[i], wait_status);
	} while (pid > 0 || (pid < 0 && errno == EINTR));
}

static void push(struct serve *s, int signal)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (s->slots[i].pid > 0)
			kill(s->slots[i].pid, signal); /* not reaped, so the pid is its own */
}

static void push_on(struct serve *s)
{
	long waited = slot_clock_ms() - s->drain_ms;

	if (s->pushed == 0 && waited >= DRAIN_MS) {
		push(s, SIGTERM);
		s->pushed = 1;
		s->drain_ms = slot_clock_ms() - DRAIN_MS;
	} else if (s->pushed == 1 && waited >= DRAIN_MS + END_MS) {
		push(s, SIGKILL);
		s->pushed = 2;
	}
}

/* ---- clients --------------------------------------------------------------------------------- */

/* Gives the client to the next slot that has room.  True: it is gone from here. */
static bool hand_over(struct serve *s, int *fd, const struct msg_client *who)
{
	for (size_t tried = 0; tried < s->n_slots; tried++) {
		struct slot *slot = &s->slots[s->turn];

		s->turn = (s->turn + 1) % s->n_slots;
		if (slot->ready && slot->control_fd >= 0 && slot_hand_over(slot, fd, who) == 0) {
			s->stuck = false;
			return true;
		}
	}
	return false;
}

static void let_in(struct serve *s)
{
	for (int i = 0; i < ACCEPTS; i++) {
		struct msg_client who = {0};
		autofd fd = -1;
		int r = serve_socket_accept(&s->socket, &fd, &who);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			s->rest_until_ms = slot_clock_ms() + REST_MS;
			if (r == -EMFILE)
				continue; /* that one was sent away, and so are the next */
			errno = -r;
			say("cannot accept a client: %m");
			return;
		}
		if (!door_lets_in(&s->door, fd, &who))
			continue;
		/* While every slot's queue is full the others wait in the kernel's. */
		if (any_up(s) && !hand_over(s, &fd, &who) && !s->stuck) {
			s->waiting_fd = fd_take(&fd);
			s->waiting = who;
			s->waiting_ms = slot_clock_ms();
			return;
		}
		chan_hang_up(&fd);
	}
}

/* The client that waits gets a slot, or end-of-file: never a wait without end. */
static void try_waiting(struct serve *s)
{
	if (s->waiting_fd >= 0 && !hand_over(s, &s->waiting_fd, &s->waiting) &&
		slot_clock_ms() - s->waiting_ms >= QUEUE_MS) {
		s->stuck = true;
		chan_hang_up(&s->waiting_fd);
	}
}

/* Clients queue in the kernel while a worker is on its way, for a moment; then they are let in and
 * sent away. */
static bool may_let_in(struct serve *s)
{
	long now = slot_clock_ms();

	if (!s->listening || s->socket.listen_fd < 0 || s->waiting_fd >= 0 ||
		now < s->rest_until_ms)
		return false;
	if (any_up(s)) {
		s->alone_ms = 0;
		return true;
	}
	if (!s->alone_ms)
		s->alone_ms = now;
	return now - s->alone_ms >= QUEUE_MS;
}

/* Once every slot's first worker runs, clients may come. */
static void open_door(struct serve *s)
{
	for (size_t i = 0; i < s->n_slots; i++)
		if (!s->slots[i].ready)
			return;
	if (serve_socket_listen(&s->socket, door_has_others(&s->door), &s->why) < 0) {
		say("%s", s->why.text);
		s->failed = true;
		begin_drain(s);
		return;
	}
	s->listening = true;
	if (!s->quiet)
		say("serving at %s", s->socket.path);
	status_started(s->status_fd, getpid());
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void sooner(int *wait_ms, long due_ms, long now)
{
	int ms = due_ms <= now ? 0 : due_ms - now > 60000 ? 60000 : (int)(due_ms - now);

	if (*wait_ms < 0 || ms < *wait_ms)
		*wait_ms = ms;
}

/* ms until something is due of itself; -1: nothing is. */
static int next_due(const struct serve *s)
{
	long now = slot_clock_ms();
	int wait_ms = -1;

	for (size_t i = 0; i < s->n_slots && !s->drain_ms; i++)
		if (s->slots[i].pid == 0)
			sooner(&wait_ms, s->slots[i].next_ms, now);
	if (s->drain_ms && s->pushed < 2)
		sooner(&wait_ms, s->drain_ms + DRAIN_MS + (s->pushed ? END_MS : 0), now);
	if (s->socket.listen_fd >= 0 && s->rest_until_ms > now)
		sooner(&wait_ms, s->rest_until_ms, now);
	if (s->waiting_fd >= 0)
		sooner(&wait_ms, s->waiting_ms + QUEUE_MS, now);
	if (s->alone_ms && s->alone_ms + QUEUE_MS > now)
		sooner(&wait_ms, s->alone_ms + QUEUE_MS, now);
	return wait_ms;
}

static void take_signals(struct serve *s)
{
	struct signalfd_siginfo info;

	while (read(s->signals_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else
			begin_drain(s);
	}
}

/* Fills in what one turn waits for.  A slow reader of our output is waited for in place of the
 * workers' pipes. */
static nfds_t fill_polls(struct serve *s, struct pollfd *p)
{
	nfds_t n = 0;

	p[n++] = (struct pollfd){s->signals_fd, POLLIN};
	p[n++] = (struct pollfd){may_let_in(s) ? s->socket.listen_fd : -1, POLLIN};
	p[n++] = (struct pollfd){s->out_slow ? STDOUT_FILENO : -1, POLLOUT};
	p[n++] = (struct pollfd){s->err_slow ? STDERR_FILENO : -1, POLLOUT};
	for (size_t i = 0; i < s->n_slots; i++) {
		struct slot *slot = &s->slots[i];

		p[n++] = (struct pollfd){slot->ready_fd, POLLIN};
		p[n++] = (struct pollfd){s->waiting_fd >= 0 ? slot->control_fd : -1, POLLOUT};
		p[n++] = (struct pollfd){s->out_slow ? -1 : slot->out.from_fd, POLLIN};
		p[n++] = (struct pollfd){s->err_slow ? -1 : slot->err.from_fd, POLLIN};
	}
	return n;
}

static void serve_slots(struct serve *s, const struct pollfd *p)
{
	for (size_t i = 0; i < s->n_slots; i++, p += POLLS_A_SLOT) {
		struct slot *slot = &s->slots[i];

		if (p[0].revents && slot->ready_fd >= 0)
			slot_ready(slot);
		if (p[2].revents && !lines_pass(&slot->out))
			s->out_slow = true;
		if (p[3].revents && !lines_pass(&slot->err))
			s->err_slow = true;
	}
	if (!s->listening && !s->drain_ms)
		open_door(s);
}

static void flush_slow(struct serve *s)
{
	bool out_slow = false, err_slow = false;

	for (size_t i = 0; i < s->n_slots; i++) {
		out_slow |= s->out_slow && !lines_pass(&s->slots[i].out);
		err_slow |= s->err_slow && !lines_pass(&s->slots[i].err);
	}
	s->out_slow = out_slow;
	s->err_slow = err_slow;
}

static void loop(struct serve *s)
{
	struct pollfd polls[POLLS_MAX];

	while (!s->drain_ms || any_left(s)) {
		nfds_t n;

		start_due(s);
		n = fill_polls(s, polls);
		if (poll(polls, n, next_due(s)) < 0)
			continue;
		if (polls[2].revents || polls[3].revents)
			flush_slow(s);
		serve_slots(s, polls + 4);
		try_waiting(s);
		if (polls[1].revents && s->socket.listen_fd >= 0)
			let_in(s);
		if (polls[0].revents)
			take_signals(s);
		if (s->drain_ms)
			push_on(s);
	}
}

/* ---- the start ------------------------------------------------------------------------------- */

static int take_option(struct serve *s, const struct options *o, size_t i, const char *value)
{
	const struct option_row *row = &rows[i];

	if (row->letter == 'n')
		s->name = value;
	else if (row->letter == 'q')
		s->quiet = true;
	else if (row->letter == 'h')
		s->help = true;
	else if (row->name && strcmp(row->name, "status-fd") == 0)
		s->status = value;
	else
		return policy_options_take(&s->policy, o, row, value);
	return 0;
}

/* 0: go on; 1: the help was printed; negative: wrong usage (said). */
static int take_options(struct serve *s, struct options *o)
{
	const char *value;
	int i;

	while ((i = options_next(o, &value)) >= 0) {
		if (take_option(s, o, (size_t)i, value) < 0)
			return -EINVAL;
		if (s->help) {
			options_help(o, what, more);
			return 1;
		}
	}
	if (i == OPTIONS_BAD)
		return -EINVAL;
	if (s->name && place_name_valid(s->name))
		return 0;
	if (s->name)
		options_wrong(o,
			"\"%s\" is no name for a service: letters, digits, \"-\", \"_\" and \".\" "
			"make one, at most %d of them",
			s->name, PLACE_NAME_MAX);
	else
		options_wrong(o, "the service needs a name: -n NAME");
	return -EINVAL;
}

/* The worker's command; warder's own file server unless told. */
static int find_worker(struct serve *s, char **command, struct failure *f)
{
	int r;

	s->plan.argv = command;
	if (command[0])
		return 0;
	r = exec_find("warder-files", s->worker, sizeof(s->worker));
	if (r < 0)
		return fail(f, r,
			"cannot find the built-in worker %s: %m; is warder installed "
			"completely?",
			s->worker);
	/* Where it was built, and where PREFIX is no system's, it stands outside the runtime. */
	if (!runtime_find(s->worker, strlen(s->worker)))
		policy_options_flag(&s->policy, "runtime", s->worker);
	s->default_argv[0] = s->worker;
	s->plan.argv = s->default_argv;
	return 0;
}

static int load(struct serve *s, struct failure *f)
{
	const unsigned any = RIGHT_READ | RIGHT_LIST | RIGHT_WRITE | RIGHT_APPEND | RIGHT_CREATE |
			     RIGHT_DELETE | RIGHT_EXEC;
	struct policy_load_args *args = &s->policy.args;
	const struct policy_settings *set;
	int r = state_path(s->state, sizeof(s->state), f);

	if (r < 0)
		return r;
	s->protect = (struct policy_protected){s->state, any};
	args->protect = &s->protect;
	args->n_protect = 1;
	args->warnings = !s->quiet;
	args->use = POLICY_TO_SERVE;
	r = policy_load(args, &s->loaded, stderr, &s->first);
	if (r < 0)
		return fail(f, r, "nothing was started, because the policy has errors");
	set = policy_settings(s->loaded);
	if (set->ledger && set->ledger[0] != '/')
		return fail(f, -EINVAL,
			"ledger %s: a service needs a directory there, for one ledger "
			"a slot",
			set->ledger);
	s->n_slots = set->workers ? set->workers : 1;
	broker_make_room(s->loaded);
	s->plan.policy = s->loaded;
	s->plan.ledger = set->ledger ? set->ledger : s->ledger;
	return 0;
}

/* Every signal comes through a descriptor from here on; slots begin with the mask that was. */
static int catch_signals(struct serve *s, struct failure *f)
{
	sigset_t all, wanted;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &s->plan.signals);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGHUP);
	s->signals_fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals_fd < 0)
		return fail(f, -errno, "cannot wait for signals: %m");
	/* What a killed broker leaves behind is reaped here. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail(f, -errno, "cannot become a subreaper: %m");
	return 0;
}

static int prepare(struct serve *s, char **command, struct failure *f)
{
	int r = s->status ? status_open(s->status, &s->status_fd, f) : 0;

	if (r == 0)
		r = serve_socket_claim(s->name, &s->socket, f);
	if (r < 0)
		return r;
	snprintf(s->ledger, sizeof(s->ledger), "serve/%s", s->name);
	r = find_worker(s, command, f);
	if (r == 0)
		r = load(s, f);
	if (r == 0)
		r = catch_signals(s, f);
	/* SIGXFSZ is blocked from here on, as a ledger needs it. */
	return r < 0 ? r
		     : door_open(&s->door, s->loaded, s->socket.path, s->plan.ledger, s->quiet, f);
}

static int serve(struct serve *s, char **command)
{
	struct failure f = FAILURE_INIT;
	char shown[1024];

	if (prepare(s, command, &f) < 0) {
		say("%s", say_escape(shown, sizeof(shown), f.text, strlen(f.text)));
		status_failed(s->status_fd, 1, f.text, s->first.text);
		return 1;
	}
	for (unsigned i = 0; i < s->n_slots; i++)
		slot_init(&s->slots[i], i + 1);
	loop(s);
	if (s->failed)
		status_failed(s->status_fd, 1, s->why.text, "");
	else
		status_served(s->status_fd, 0);
	return s->failed ? 1 : 0;
}

int cmd_serve(int argc, char **argv)
{
	struct serve *s = calloc(1, sizeof(*s));
	struct options o;
	int r, status = 2;

	if (!s || policy_options_init(&s->policy, argc) < 0) {
		say("no memory to read the command line");
		free(s);
		return 1;
	}
	s->status_fd = s->signals_fd = s->waiting_fd = -1;
	s->socket = (struct serve_socket)SERVE_SOCKET_INIT;
	options_init(&o, "warder serve -n NAME [OPTION]... [--] [WORKER [ARG]...]", rows,
		sizeof(rows) / sizeof(rows[0]), argc, argv);
	r = take_options(s, &o);
	if (r > 0)
		status = say_written(0, 2);
	else if (r == 0)
		status = serve(s, argv + o.at);
	serve_socket_close(&s->socket);
	door_close(&s->door);
	fd_close(&s->signals_fd);
	fd_close(&s->waiting_fd);
	policy_free(s->loaded);
	policy_options_deinit(&s->policy);
	free(s);
	return status;
}
