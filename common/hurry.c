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
 * alarm, since a signal that is pending keeps the next from waiting at all.  But for these calls
 * SIGALRM is blocked: elsewhere an interrupted call could lose a descriptor.
 *
 * The timer is set once.  What keeps it from waking a process that has nothing to do is the signal:
 * the kernel starts the next turn when it is taken (Linux, posixtimer_rearm_itimer()), and one that
 * is blocked is not.  To set and stop it at each of these calls cost as much as three of them.
 */
#include "common/hurry.h"
#include "common/fd.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/time.h>

#define ALARM_US 10000

static bool ready; /* SIGALRM is taken */
static bool begun; /* the timer is set, in this process */
static unsigned depth;

static void on_alarm(int number)
{
}

void hurry_init(void)
{
	const struct sigaction action = {.sa_handler = on_alarm};

	ready = sigaction(SIGALRM, &action, NULL) == 0;
	begun = false;
}

static void set_timer(long us)
{
	const struct itimerval every = {{0, us}, {0, us}};

	setitimer(ITIMER_REAL, &every, NULL);
	begun = us > 0;
}

static void let_in(int how)
{
	sigset_t alarms;

	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	sigprocmask(how, &alarms, NULL);
}

void hurry_begin(void)
{
	int saved = errno;

	if (depth++ > 0)
		return;
	if (!ready)
		hurry_init();
	if (!begun)
		set_timer(ALARM_US);
	let_in(SIG_UNBLOCK);
	errno = saved;
}

void hurry_end(void)
{
	int saved = errno;

	if (--depth > 0)
		return;
	let_in(SIG_BLOCK);
	errno = saved;
}

void hurry_stop(void)
{
	if (begun)
		set_timer(0);
}

void hurry_forked(void)
{
	begun = false;
}

void fd_close_hurried(int *fd)
{
	if (*fd < 0)
		return;
	hurry_begin();
	fd_close(fd);
	hurry_end();
}
