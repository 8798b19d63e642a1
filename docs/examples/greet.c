/* SPDX-License-Identifier: MIT */
/*
 * greet.c - a server that may listen at one address, and do nothing else.
 *
 *     cc greet.c $(pkg-config --cflags --libs warder) -o greet
 *     warder run -p ./greet.policy -- ./greet 127.0.0.1:8643 1
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warder.h>

int main(int argc, char **argv)
{
	struct warder *w = warder_attach();
	struct warder_peer own;
	int sock, left;

	if (!w || argc != 3) {
		fprintf(stderr, "usage: warder run -p POLICY -- greet ADDRESS:PORT CLIENTS\n");
		return 2;
	}
	sock = warder_listen(w, argv[1], 16, 0, &own);
	if (sock < 0) {
		perror(argv[1]);
		return 1;
	}
	fprintf(stderr, "listening at %s, as %s allows\n", own.text, own.rule);
	warder_detach(w);
	if (warder_lockdown() < 0)
		return 1;
	for (left = atoi(argv[2]); left > 0; left--) {
		int client = accept(sock, NULL, NULL);

		if (client < 0)
			return 1;
		send(client, "hello\n", 6, MSG_NOSIGNAL);
		close(client);
	}
	return 0;
}
