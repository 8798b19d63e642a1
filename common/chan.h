/* SPDX-License-Identifier: MIT */
/*
 * chan.h - datagrams with descriptors over a SOCK_SEQPACKET socketpair.
 *
 * chan.c is the one file that touches SCM_RIGHTS.  A receiver says how many descriptors it takes;
 * whatever else arrives (more of them, another control message, a truncation) closes all that came
 * and is -EBADMSG: the peer lies, and its session ends.
 */
#ifndef WARDER_CHAN_H
#define WARDER_CHAN_H

#include <stdbool.h>
#include <stddef.h>

#define CHAN_FDS_MAX 64 /* descriptors of one datagram; the kernel's SCM_MAX_FD is 253 */

/* A socketpair, both ends close-on-exec, with room for two messages each way.  0 or -errno. */
int chan_pair(int *ret_a, int *ret_b);

/* Forbids the peer to attach descriptors (SO_PASSRIGHTS, Linux 6.16: the peer's sendmsg gets
 * EPERM).  False: an older kernel, where chan_recv() closes what comes, which may last: hurry.h. */
bool chan_refuse_fds(int sock);

/*
 * Sends one datagram.  Moves the descriptors: they are closed here and each set to -1, whether it
 * worked or not.  `wait` false: -EAGAIN where the peer does not read.
 * 0, or -errno: -EPIPE and -ECONNRESET where the peer is gone, -ETOOMANYREFS where too many
 * descriptors are in flight (unix(7)), -EMSGSIZE.  Never a SIGPIPE.
 */
int chan_send(int sock, const void *buf, size_t size, int *fds, size_t n_fds, bool wait);

/*
 * The same without waiting and for who will try again: where that is -EAGAIN or -ETOOMANYREFS the
 * descriptors stay the caller's.
 */
int chan_try_send(int sock, const void *buf, size_t size, int *fds, size_t n_fds);

/*
 * The same without waiting, of descriptors that stay the caller's whatever comes of it.
 */
int chan_lend(int sock, const void *buf, size_t size, const int *fds, size_t n_fds);

/*
 * Receives one datagram of at most `size` bytes and at most `n_max` descriptors, all
 * close-on-exec.  *ret_n is how many came; the caller owns them.
 * Returns the size; 0 at end-of-file, or for an empty datagram, which no peer of ours sends;
 * -EAGAIN (`wait` false), -EBADMSG (a lie, see above), -EMFILE (the message is gone and so are its
 * descriptors: our table is full; the peer did not lie), or -errno.  On failure nothing is left
 * open.
 */
long chan_recv(int sock, void *buf, size_t size, int *fds, size_t n_max, size_t *ret_n, bool wait);

/* Sends bytes and one borrowed descriptor (-1: none) on a stream socket; the descriptor rides on
 * the first byte.  Returns the bytes sent or -errno; `wait` false: -EAGAIN. */
long chan_send_stream(int sock, const void *buf, size_t size, int fd, bool wait);
/* Receives bytes and at most one descriptor (*ret_fd, -1 if none) from a stream socket. */
long chan_recv_stream(int sock, void *buf, size_t size, int *ret_fd);

/*
 * Ends a stream connection so that the peer meets end-of-file: where bytes of its were left unread,
 * close(2) alone gives it ECONNRESET (unix(7)).  They are thrown away, at most what its send buffer
 * held.  Closes *sock; -1 is none.
 */
void chan_hang_up(int *sock);

#endif
