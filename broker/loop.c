/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the broker's event loop.
 *
 * Runs in: broker, caged.  Trusts: the supervisor's messages; nothing the worker sent.
 *
 * It waits in poll(2) and nowhere else, for the two doors, the dialer and an epoll that holds what
 * seldom comes.  The listener of the worker's filter wakes who polls it on the CPU of the call that
 * waits; through an epoll that is lost, and the broker wakes on another.  And what comes through an
 * epoll is one call more.
 *
 * Every signal is blocked and read from a signalfd, since an interrupted call could lose a
 * descriptor.
 */
#include "broker/loop.h"
#include "broker/ask.h"
#include "broker/charge.h"
#include "broker/dial.h"
#include "broker/events.h"
#include "broker/slow.h"
#include "broker/socket_inside.h"
#include "broker/standin.h"
#include "broker/trap.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"
#include "common/hurry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MS 10000 /* longer than a supervisor waits, which then says so with a signal */

enum source {
	SOURCE_SLOW,
	SOURCE_SOCKETS,
	SOURCE_SIGNAL,
	SOURCE_WORKER,
	SOURCE_INIT,
	SOURCE_CONTROL,
	SOURCE_CLIENTS,
	SOURCE_TIMER,
	SOURCE_QUIET,
};

static int watch(struct loop *l, int fd, enum source source, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.u32 = source};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0)
		return 0;
	return -errno;
}

static int timer_start(int fd, uint64_t ms)
{
	struct itimerspec t = {
		.it_value = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000},
	};

	return timerfd_settime(fd, 0, &t, NULL) < 0 ? -errno : 0;
}

/* Lets the timer end after `ms` unless it does so before; *ret_shortened says which. */
static int timer_shorten(int fd, uint64_t ms, bool *ret_shortened)
{
	struct itimerspec left;

	if (timerfd_gettime(fd, &left) < 0)
		return -errno;
	*ret_shortened = (left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0) ||
			 left.it_value.tv_sec >= (time_t)(ms / 1000);
	return *ret_shortened ? timer_start(fd, ms) : 0;
}

int loop_init(struct loop *l, const struct broker_args *a, uint64_t time_ms)
{
	sigset_t all;
	int r = 0;

	l->args = a;
	l->control_fd = a->control_fd;
	sigfillset(&all);
	sigdelset(&all, SIGALRM); /* hurry.h */
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0)
		return -errno;
	l->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signal_fd < 0)
		return -errno;
	r = affinity_prepare(&l->affinity);
	if (r == 0 && (time_ms > 0 || l->control_fd >= 0)) {
		l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (l->timer_fd < 0)
			return -errno;
		r = timer_start(l->timer_fd, time_ms); /* 0: not yet */
	}
	return r;
}

void loop_stop(struct loop *l)
{
	affinity_deinit(&l->affinity);
	fd_close(&l->epoll_fd);
	fd_close(&l->signal_fd);
	fd_close(&l->timer_fd);
}

void loop_deinit(struct loop *l)
{
	loop_stop(l);
	fd_close_hurried(&l->clients_fd);
}

/* ---- one function a source --------------------------------------------------------------- */

static const char *end_session(struct loop *l, int status, const char *why)
{
	l->over = true;
	l->status = status;
	return why;
}

static void channel_watch(struct loop *l, bool to_write)
{
	l->waits_to_write = to_write;
	l->waits[WAIT_CHANNEL].events = to_write ? POLLOUT : POLLIN;
}

static const char *on_channel(struct loop *l, struct session *s)
{
	const char *why = NULL;
	int r;

	affinity_request(&l->affinity, s->cell->worker_pid, clock_ns());
	r = ask_serve(s, &why);
	if (r == 0 || r == -EAGAIN) {
		/* -EAGAIN: the worker asks and does not read the answers. */
		channel_watch(l, r == -EAGAIN);
		return NULL;
	} else if (r == 1) {
		/* It needs no more; it may go on with what it holds. */
		l->waits[WAIT_CHANNEL].fd = -1;
		return NULL;
	}
	fail(&l->failure, r, "the worker's session was ended: %s",
		why ? why : "the channel failed");
	return end_session(l, 125, why ? why : "the channel failed");
}

static const char *trap_failed(struct loop *l, int r, const char *why)
{
	fail(&l->failure, r, "the trap door failed, and the worker's session was ended: %s",
		why ? why : strerrordesc_np(-r));
	return end_session(l, 125, why ? why : "the trap door failed");
}

static const char *on_trap(struct loop *l, struct session *s)
{
	const char *why = NULL;
	int r;

	if (!(l->waits[WAIT_TRAP].revents & POLLIN)) {
		/* Nobody is left to make a call; the worker's end comes next. */
		l->waits[WAIT_TRAP].fd = -1;
		return NULL;
	}
	r = trap_serve(s, &why);
	return r == 0 ? NULL : trap_failed(l, r, why);
}

/* Answers that have come about wait for the worker to read. */
static void watch_answers(struct loop *l, struct session *s)
{
	if (!l->waits_to_write && ask_waits(s) && !ask_is_gone(s))
		channel_watch(l, true);
}

static const char *on_slow(struct loop *l, struct session *s)
{
	const char *why = NULL;
	int r = slow_serve(s, &why);

	watch_answers(l, s);
	return r == 0 ? NULL : trap_failed(l, r, why);
}

static const char *on_dialer(struct loop *l, struct session *s)
{
	const char *why = NULL;
	int r = dial_serve(s, &why);

	watch_answers(l, s);
	return r == 0 ? NULL : trap_failed(l, r, why);
}

static const char *on_sockets(struct loop *l, struct session *s)
{
	int r = inside_serve(s);

	return r == 0 ? NULL : trap_failed(l, r, NULL);
}

/* How long the loop may wait: while calls wait, their callers are looked at. */
static int wait_ms(const struct session *s)
{
	if (inside_waiting(s->socket_waits) > 0)
		return INSIDE_RETRY_MS;
	if (slow_waiting(s->slow) > 0 || dial_waiting(s->dial) > 0)
		return SLOW_CHECK_MS < DIAL_CHECK_MS ? SLOW_CHECK_MS : DIAL_CHECK_MS;
	return -1;
}

/* Those that wait: callers that are gone, deadlines, what is to be tried again.  `timed_out`: the
 * loop has waited for nothing else; where much comes, they are looked at as often. */
static const char *check_waiting(struct loop *l, struct session *s, bool timed_out)
{
	int every_ms = wait_ms(s);
	const char *why = NULL;
	uint64_t now_ns;
	int r = 0;

	if (every_ms < 0)
		return NULL;
	now_ns = clock_ns();
	if (!timed_out && now_ns < l->check_ns)
		return NULL;
	l->check_ns = now_ns + (uint64_t)every_ms * 1000000;
	if (slow_waiting(s->slow) > 0)
		slow_check(s);
	if (dial_waiting(s->dial) > 0)
		r = dial_check(s, &why);
	if (r == 0 && inside_waiting(s->socket_waits) > 0)
		r = inside_check(s);
	watch_answers(l, s);
	return r == 0 ? NULL : trap_failed(l, r, why);
}

/* As whom a signal ends the cell: the worker may tidy up after the first, none waits for it after
 * the second.  SIGTERM is for the program that was started; the others are what a terminal sends,
 * to the foreground group: a shell that waits for its child does not end by SIGINT alone. */
static const char *on_end_signal(struct loop *l, struct session *s, int sig)
{
	l->asked_to_end++;
	if (l->asked_to_end > 1)
		return end_session(l, 128 + sig, "ended by a second signal");
	if (sig == SIGTERM || kill(-s->cell->worker_pid, sig) < 0)
		syscall(SYS_pidfd_send_signal, s->cell->worker_pidfd, sig, NULL, 0);
	return NULL;
}

/* Ctrl-Z at the relayed terminal: the worker's own group is orphaned, so that the kernel would
 * discard its SIGTSTP; it is stopped from here, and this process with it. */
static void on_stop(struct session *s)
{
	kill(-s->cell->worker_pid, SIGSTOP);
	raise(SIGSTOP);
	kill(-s->cell->worker_pid, SIGCONT);
}

static const char *on_signal(struct loop *l, struct session *s)
{
	struct signalfd_siginfo info;
	const char *why = NULL;
	int r;

	while (!why && read(l->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
		case SIGHUP:
		case SIGQUIT:
			why = on_end_signal(l, s, (int)info.ssi_signo);
			break;
		case SIGTSTP:
			on_stop(s);
			break;
		case SIGCHLD:
			r = slow_reap(s, &why);
			watch_answers(l, s);
			why = r == 0 ? NULL : trap_failed(l, r, why);
			break;
		default: /* SIGPIPE, SIGXFSZ: the call told */
			break;
		}
	}
	return why;
}

static const char *on_worker(struct loop *l, struct session *s)
{
	pid_t worker = s->cell->worker_pid;
	const char *why = NULL;
	int status;

	standins_drain(s, &why);
	status = cell_wait(s->cell);

	if (status < 0) {
		fail(&l->failure, status, "cannot tell how the worker ended: %m");
		return end_session(l, 125, "the worker ended, unknown how");
	}
	record_exit(s->ledger, worker, status);
	return end_session(l, status, "the worker ended");
}

/* Init says nothing but its end, after which the kernel kills the cell. */
static const char *on_init(struct loop *l, struct session *s)
{
	fail(&l->failure, -ECHILD,
		"the cell's init ended before the worker; the kernel ended the cell");
	return end_session(l, 125, "the cell's init ended");
}

/* A connection from the supervisor: recorded, then passed on; a worker that takes none in loses it,
 * since the supervisor must not wait for a worker. */
static void pass_client(struct loop *l, struct session *s, const uint8_t *buf, size_t size, int *fd)
{
	struct dec d = dec_init(buf, size);
	struct msg_client client;
	struct msg_header h;
	int r = -EBADMSG;

	if (msg_header(&d, &h) < 0 || h.op != MSG_CLIENT || msg_get_client(&d, &client) < 0 ||
		dec_end(&d) < 0)
		return;
	if (l->clients_fd < 0) {
		record_client(s->ledger, &client, *fd, ESHUTDOWN);
		return;
	}
	if (record_client(s->ledger, &client, *fd, 0) < 0)
		return;
	hurry_begin();
	r = chan_send(l->clients_fd, buf, size, fd, 1, false);
	hurry_end();
	if (r < 0)
		record_client(s->ledger, &client, -1, -r);
}

/* Whether the worker has left so many clients unread that no more fit. */
static bool worker_is_full(const struct loop *l)
{
	struct pollfd p = {l->clients_fd, POLLOUT};

	return l->clients_fd >= 0 && poll(&p, 1, 0) == 0;
}

/* Leaves further clients with the supervisor until the worker reads.  Of the control socket its
 * end is still told, as always by epoll(7). */
static const char *wait_for_worker(struct loop *l, bool wait)
{
	struct epoll_event e = {.events = wait ? 0 : EPOLLIN, .data.u32 = SOURCE_CONTROL};

	l->waits_for_worker = wait;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->control_fd, &e) < 0 ||
		(wait && watch(l, l->clients_fd, SOURCE_CLIENTS, EPOLLOUT) < 0) ||
		(!wait && epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->clients_fd, NULL) < 0))
		return end_session(l, 125, "the clients' channel cannot be watched");
	return NULL;
}

static const char *on_clients(struct loop *l, struct session *s)
{
	return l->waits_for_worker ? wait_for_worker(l, false) : NULL;
}

/* The supervisor drains, or is gone: the worker meets end-of-file once it has taken in what waits,
 * finishes, and ends; one that does not is ended, since nobody else may be there to do it. */
static const char *drain(struct loop *l)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->control_fd, NULL);
	l->control_fd = -1;
	l->waits_for_worker = false;
	fd_close_hurried(&l->clients_fd);
	if (timer_shorten(l->timer_fd, DRAIN_MS, &l->drains) < 0)
		return end_session(l, 125, "the worker's time to finish cannot be measured");
	return NULL;
}

static const char *on_control(struct loop *l, struct session *s)
{
	uint8_t buf[MSG_HEADER_SIZE + MSG_CLIENT_SIZE];
	autofd fd = -1;
	size_t n = 0;
	long size;

	if (l->waits_for_worker) /* its end, then: clients that wait in it meet end-of-file */
		return drain(l);
	if (worker_is_full(l))
		return wait_for_worker(l, true);
	size = chan_recv(l->control_fd, buf, sizeof(buf), &fd, 1, &n, false);
	if (size == -EAGAIN)
		return NULL;
	if (size <= 0)
		return drain(l);
	if (n == 1)
		pass_client(l, s, buf, (size_t)size, &fd);
	return NULL;
}

static const char *on_timer(struct loop *l, struct session *s)
{
	if (l->drains)
		return end_session(l, 128 + SIGKILL, "the worker did not finish in time");
	l->timed_out = true;
	return end_session(l, 128 + SIGKILL, "the time limit was reached");
}

static const char *on_quiet(struct loop *l, struct session *s)
{
	affinity_tick(&l->affinity, clock_ns());
	return NULL;
}

static const char *(*const handlers[])(struct loop *, struct session *) = {
	[SOURCE_SLOW] = on_slow,
	[SOURCE_SOCKETS] = on_sockets,
	[SOURCE_SIGNAL] = on_signal,
	[SOURCE_WORKER] = on_worker,
	[SOURCE_INIT] = on_init,
	[SOURCE_CONTROL] = on_control,
	[SOURCE_CLIENTS] = on_clients,
	[SOURCE_TIMER] = on_timer,
	[SOURCE_QUIET] = on_quiet,
};

static int watch_all(struct loop *l, struct session *s)
{
	int r = watch(l, slow_fd(s->slow), SOURCE_SLOW, EPOLLIN);

	l->waits[WAIT_TRAP] = (struct pollfd){notify_fd(s->cell->notify), POLLIN, 0};
	l->waits[WAIT_CHANNEL] = (struct pollfd){s->channel_fd, POLLIN, 0};
	l->waits[WAIT_DIALER] = (struct pollfd){-1, POLLIN, 0};
	l->waits[WAIT_REST] = (struct pollfd){l->epoll_fd, POLLIN, 0};
	if (r == 0)
		r = watch(l, inside_fd(s->socket_waits), SOURCE_SOCKETS, EPOLLIN);
	if (r == 0)
		r = watch(l, l->signal_fd, SOURCE_SIGNAL, EPOLLIN);
	if (r == 0)
		r = watch(l, s->cell->worker_pidfd, SOURCE_WORKER, EPOLLIN);
	if (r == 0)
		r = watch(l, s->cell->init_fd, SOURCE_INIT, EPOLLIN | EPOLLRDHUP);
	if (r == 0 && l->control_fd >= 0)
		r = watch(l, l->control_fd, SOURCE_CONTROL, EPOLLIN);
	if (r == 0 && l->timer_fd >= 0)
		r = watch(l, l->timer_fd, SOURCE_TIMER, EPOLLIN);
	if (r == 0)
		r = watch(l, l->affinity.timer_fd, SOURCE_QUIET, EPOLLIN);
	return r;
}

/* The end of the worker is told twice, by its pidfd and by the end of init after it: the worker's
 * goes first, for its status. */
static bool worker_ended(const struct epoll_event *events, int n)
{
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == SOURCE_WORKER)
			return true;
	}
	return false;
}

static const char *loop_failed(struct loop *l)
{
	fail(&l->failure, -errno, "cannot wait for the cell: %m");
	return end_session(l, 125, "the loop failed");
}

static const char *serve_rest(struct loop *l, struct session *s)
{
	struct epoll_event events[8];
	int n = epoll_wait(l->epoll_fd, events, 8, 0);
	const char *why = NULL;

	if (n < 0 && errno != EINTR)
		return loop_failed(l);
	if (worker_ended(events, n))
		return on_worker(l, s);
	for (int i = 0; i < n && !l->over; i++)
		why = handlers[events[i].data.u32](l, s);
	return why;
}

const char *loop_run(struct loop *l, struct session *s)
{
	const char *why = NULL;
	int r;

	hurry_init(); /* a SIGALRM from outside waits for the end, and has a handler then */
	affinity_init(&l->affinity, s);
	s->affinity = &l->affinity;
	r = watch_all(l, s);
	if (r < 0) {
		fail(&l->failure, r, "cannot watch the cell: %m");
		return end_session(l, 125, "the cell cannot be watched");
	}
	while (!l->over) {
		int n;

		/* -1, where there is none or it has ended: poll(2) passes over it. */
		l->waits[WAIT_DIALER].fd = s->cell->dialer_fd;
		n = poll(l->waits, WAIT__COUNT, wait_ms(s));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return loop_failed(l);
		why = check_waiting(l, s, n == 0);
		if (!l->over && l->waits[WAIT_REST].revents)
			why = serve_rest(l, s);
		if (!l->over && l->waits[WAIT_DIALER].revents)
			why = on_dialer(l, s);
		if (!l->over && l->waits[WAIT_TRAP].revents)
			why = on_trap(l, s);
		if (!l->over && l->waits[WAIT_CHANNEL].revents)
			why = on_channel(l, s);
	}
	return why;
}
