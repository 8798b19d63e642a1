/* SPDX-License-Identifier: MIT */
/*
 * hurry.c - calls that may not last, whatever a worker has made of its sockets.
 *
 * Runs in: broker, dialer.  Trusts: nothing.
 *
 * Linux lingers in inet_release(), which runs in whoever drops the last reference: at the end of
 * the call that dropped it, be it close(2), a recvmsg(2) that throws descriptors away, or a
 * connect(2) of a datagram socket, which empties its queue.  There it sleeps in
 * sk_stream_wait_close(), which a signal ends; the socket is closed all the same, and what it had
 * still to send goes on in the background, as without the option.
 *
 * So a timer stands by.  It repeats itself: an alarm that comes before the call has begun, or
 * between two that wait, is followed by another.  Several sockets that one call drops cost one
 * alarm, since a signal that is pending keeps the next from waiting at all.  Otherwise SIGALRM is
 * as blocked as it was: elsewhere an interrupted call could lose a descriptor.
 */
#include "common/hurry.h"
#include "common/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

#define ALARM_US 10000

static bool ready;
static unsigned depth;
static sigset_t before;

static void on_alarm(int number)
{
}

void hurry_init(void)
{
	const struct sigaction action = {.sa_handler = on_alarm};

	ready = sigaction(SIGALRM, &action, NULL) == 0;
}

void hurry_begin(void)
{
	const struct itimerval soon = {{0, ALARM_US}, {0, ALARM_US}};
	int saved = errno;
	sigset_t alarms;

	if (depth++ > 0)
		return;
	if (!ready)
		hurry_init();
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &alarms, &before);
	setitimer(ITIMER_REAL, &soon, NULL);
	errno = saved;
}

void hurry_end(void)
{
	const struct itimerval never = {{0, 0}, {0, 0}};
	int saved = errno;

	if (--depth > 0)
		return;
	setitimer(ITIMER_REAL, &never, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = saved;
}

void fd_close_hurried(int *fd)
{
	if (*fd < 0)
		return;
	hurry_begin();
	fd_close(fd);
	hurry_end();
}
