/* SPDX-License-Identifier: MIT */
/*
 * hurry.h - calls that may not last, whatever a worker has made of its sockets.
 *
 * The last close(2) of a TCP socket with SO_LINGER waits until the other end has all, for as long
 * as its owner has set; so does every call that drops what lies unread in a Unix socket, where such
 * a socket may be on its way (SCM_RIGHTS).  No look at a socket tells beforehand, since its owner
 * sets the option, sends, and closes its own at any moment in between.
 */
#ifndef WARDER_HURRY_H
#define WARDER_HURRY_H

/* Takes SIGALRM, and no others (without SA_RESTART), and ITIMER_REAL.  Only a process whose filter
 * has no rt_sigaction(2) has to call it, before that filter; else the first hurry_begin() does. */
void hurry_init(void);

/* Until hurry_end() a call that waits is interrupted within some milliseconds (EINTR), at once
 * perhaps, and again and again.  They nest.  Nothing belongs between the two that may not be
 * interrupted: above all no answer to a trapped call.  From the first hurry_begin() on SIGALRM is
 * blocked outside of them: whoever reads all signals by a signalfd(2) leaves this one out, or it is
 * taken there, again and again. */
void hurry_begin(void);
void hurry_end(void);

/* No alarm comes any more, until the next hurry_begin(): for a process that goes on without what it
 * hurried for, before it lets SIGALRM in. */
void hurry_stop(void);
/* In a child: it has no timer of its parent's.  setitimer(2). */
void hurry_forked(void);

/* fd_close() of what a worker may hold too.  Keeps errno. */
void fd_close_hurried(int *fd);

#define autofd_hurried __attribute__((cleanup(fd_close_hurried))) int

#endif
