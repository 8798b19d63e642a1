/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the one place where the dialer waits.
 *
 * Runs in: dialer.  Trusts: nothing.
 *
 * One event is taken at a time: what serving it closes cannot be met by an event that was fetched
 * before.  The kernel's list goes round, so that none is passed over.
 */
#include "broker/dialer/dialer.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

static int epoll_fd = -1;

static const struct part {
	uint64_t (*due)(void);
	void (*tick)(uint64_t now_ns);
} parts[] = {
	{dialer_due, dialer_tick},
	{relay_due, relay_tick},
	{udp_due, udp_tick},
	{bound_due, bound_tick},
	{resolve_due, resolve_tick},
	{names_due, names_tick},
};
#define PARTS (sizeof(parts) / sizeof(*parts))

int loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 ? -errno : 0;
}

/* One that waits for nothing is taken out: EPOLLHUP and EPOLLERR are told whether asked or not. */
int watch_set(struct watch *w, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = w};
	int op = w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (events == w->events)
		return 0;
	if (events == 0)
		op = EPOLL_CTL_DEL;
	if (epoll_ctl(epoll_fd, op, w->fd, &event) < 0) {
		if (events != 0)
			return -errno;
	}
	w->events = events;
	return 0;
}

uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds until something is due, rounded up so that it is due then; -1: nothing is. */
static int patience(void)
{
	uint64_t due_ns = NEVER, now_ns;

	for (size_t i = 0; i < PARTS; i++)
		due_ns = sooner(due_ns, parts[i].due());
	if (due_ns == NEVER)
		return -1;
	now_ns = clock_ns();
	if (due_ns <= now_ns)
		return 0;
	due_ns = (due_ns - now_ns + MS_NS - 1) / MS_NS;
	return due_ns > 3600000 ? 3600000 : (int)due_ns;
}

void loop_run(void)
{
	for (;;) {
		struct epoll_event event;
		int timeout_ms = patience();
		int n = epoll_wait(epoll_fd, &event, 1, timeout_ms);
		uint64_t now_ns;

		if (n < 0 && errno != EINTR)
			give_up("cannot wait", -errno);
		if (n == 1) {
			struct watch *w = event.data.ptr;

			w->on(w, event.events);
		}
		if (timeout_ms < 0)
			continue;
		now_ns = clock_ns();
		for (size_t i = 0; i < PARTS; i++) {
			if (parts[i].due() <= now_ns)
				parts[i].tick(now_ns);
		}
	}
}
