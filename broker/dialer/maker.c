/* SPDX-License-Identifier: MIT */
/*
 * maker.c - new UDP sockets of the cell's network, in which the dialer can make none.
 *
 * Runs in: maker, a second process of this program, in the cell's network, in the dialer's cage.
 * Trusts: nothing; nobody sends it anything.
 *
 * One for each who writes to a server of the cell's: a UDP socket that was bound to a port is never
 * let go of it, so that none can be used again, and the trick of spares.c is TCP's.
 *
 * It sends before it is asked, and waits where its channel is full: the dialer, which never waits,
 * finds some there.  End-of-file ends it.
 */
#include "broker/dialer/dialer.h"
#include "common/chan.h"

#include <errno.h>
#include <sys/time.h>
#include <unistd.h>

#define ROOM     16384 /* bytes of the channel: some 40 sockets wait in it */
#define PAUSE_MS 100

/* Until there may be room for descriptors on their way (unix(7), ETOOMANYREFS), or for one here.
 * Nothing comes but the end. */
static void wait_a_moment(int sock)
{
	const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
	char byte;

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause)) < 0 ||
		recv(sock, &byte, sizeof(byte), 0) >= 0)
		_exit(0);
}

void maker_run(int sock)
{
	const int room = ROOM;

	if (setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
		_exit(1);
	for (;;) {
		int fd = sockets_udp_new();
		int r = fd < 0 ? fd : chan_send(sock, "u", 1, &fd, 1, true);

		if (r == -EPIPE || r == -ECONNRESET)
			_exit(0);
		if (r < 0)
			wait_a_moment(sock);
	}
}
