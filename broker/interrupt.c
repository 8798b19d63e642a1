/* SPDX-License-Identifier: MIT */
/*
 * interrupt.c - whether a signal ends a trapped call that waits, as it would natively.
 *
 * Runs in: broker.  Trusts: the kernel's word on the thread.
 *
 * Natively the call ends with an error that no program sees: on the way back the kernel delivers
 * the signal and makes EINTR of it, or makes the call again.  It does so with an answer of ours as
 * well, but only where the thread is marked as having a signal to take (TIF_SIGPENDING); else the
 * raw number would be the program's.  A thread that waits is marked when a signal that it does not
 * block comes to it, or to a process that has no other thread, and stays so until it runs.  A
 * signal for a process with several threads marks one of them, which cannot be seen from here: so
 * then the answer is EINTR.  The kernel prefers the first thread; of the others it takes one only
 * where that one blocks the signal.
 */
#include "broker/interrupt.h"
#include "broker/tracee.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_BYTES 8192 /* proc_pid_status(5): the signals stand behind the groups */

#define BIT(sig) (1ull << ((sig)-1))
/* signal(7), "Standard signals": what a signal does that the program has said nothing about. */
#define IGNORED (BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT))
#define STOPS   (BIT(SIGSTOP) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU))

/* "SigPnd:\t0000000000000000": no name of a program can look like a line, the kernel escapes it. */
static bool field(const char *status, const char *name, int base, uint64_t *ret)
{
	const char *at = strstr(status, name);

	if (!at)
		return false;
	*ret = strtoull(at + strlen(name), NULL, base);
	return true;
}

/* Whether the process's first thread takes the process's signals `pending` rather than others. */
static uint64_t taken_by_leader(const char *leader, uint64_t pending)
{
	uint64_t blocked;

	/* One that has ended takes none. */
	if (!leader || strstr(leader, "\nState:\tZ") || strstr(leader, "\nState:\tX") ||
		!field(leader, "\nSigBlk:\t", 16, &blocked))
		return 0;
	return pending & ~blocked;
}

enum interrupt interrupt_in(const char *status, const char *leader)
{
	uint64_t threads, own, shared, blocked, ignored, caught, sure, set;

	if (!field(status, "\nThreads:\t", 10, &threads) ||
		!field(status, "\nSigPnd:\t", 16, &own) ||
		!field(status, "\nShdPnd:\t", 16, &shared) ||
		!field(status, "\nSigBlk:\t", 16, &blocked) ||
		!field(status, "\nSigIgn:\t", 16, &ignored) ||
		!field(status, "\nSigCgt:\t", 16, &caught))
		return INTERRUPT_NONE;
	own &= ~(blocked | ignored | (IGNORED & ~caught));
	shared &= ~(blocked | ignored | (IGNORED & ~caught));
	sure = threads == 1 ? own | shared : own;
	set = sure | (shared & ~taken_by_leader(leader, shared));
	if (set & ~caught & ~STOPS)
		return INTERRUPT_END;
	if (sure)
		return INTERRUPT_RESTART;
	/* Who is stopped and goes on has not been interrupted. */
	return set & caught ? INTERRUPT_EINTR : INTERRUPT_NONE;
}

enum interrupt interrupt_of(const struct session *s, pid_t tid)
{
	char status[STATUS_BYTES], leader[STATUS_BYTES];
	uint64_t process, thread;

	if (tracee_file(s, tid, "status", status, sizeof(status)) < 0)
		return INTERRUPT_NONE;
	/* As the cell's /proc numbers them. */
	if (!field(status, "\nTgid:\t", 10, &process) || !field(status, "\nPid:\t", 10, &thread) ||
		process == thread)
		return interrupt_in(status, NULL);
	if (tracee_process_file(s, (int)process, "status", leader, sizeof(leader)) < 0)
		return INTERRUPT_NONE;
	return interrupt_in(status, leader);
}

bool interrupt_due(uint64_t *looked_ns, uint64_t now_ns)
{
	if (now_ns - *looked_ns < INTERRUPT_CHECK_MS * 1000000ull)
		return false;
	*looked_ns = now_ns;
	return true;
}

int interrupt_end(struct request *q, enum interrupt how)
{
	snprintf(q->reason, sizeof(q->reason), "interrupted by a signal");
	return how == INTERRUPT_RESTART ? -NOTIFY_RESTART : -EINTR;
}
