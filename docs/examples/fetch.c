/* SPDX-License-Identifier: MIT */
/*
 * fetch.c - a worker that fetches one page from the one server that its policy names.
 *
 *     cc fetch.c $(pkg-config --cflags --libs warder) -o fetch
 *     warder run -p ./fetch.policy -- ./fetch 127.0.0.1:8642 /
 *
 * It has no socket but the one that the warder hands it, and after warder_lockdown() it can make
 * none: what it parses comes from a stranger.
 */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <warder.h>

int main(int argc, char **argv)
{
	struct warder *w = warder_attach();
	struct warder_peer peer;
	char buf[4096];
	int sock, size;
	ssize_t n;

	if (!w || argc != 3) {
		fprintf(stderr, "usage: warder run -p POLICY -- fetch HOST:PORT PATH\n");
		return 2;
	}
	sock = warder_connect(w, argv[1], 0, 10000, &peer);
	if (sock < 0) {
		perror(argv[1]);
		return 1;
	}
	fprintf(stderr, "connected to %s, as %s allows\n", peer.text, peer.rule);
	warder_detach(w);
	if (warder_lockdown() < 0)
		return 1;
	size = snprintf(buf, sizeof(buf), "GET %s HTTP/1.0\r\n\r\n", argv[2]);
	if (size < 0 || (size_t)size >= sizeof(buf) ||
		send(sock, buf, (size_t)size, MSG_NOSIGNAL) != size)
		return 1;
	while ((n = read(sock, buf, sizeof(buf))) > 0) {
		if (write(STDOUT_FILENO, buf, (size_t)n) != n)
			return 1;
	}
	return n < 0;
}
