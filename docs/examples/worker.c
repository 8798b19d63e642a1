/* SPDX-License-Identifier: MIT */
/*
 * worker.c - a worker that opens one file, gives up the rest, and answers clients from it.
 *
 *     cc worker.c $(pkg-config --cflags --libs warder) -o worker
 *     warder serve -p demo.policy -e "runtime $PWD/worker" -n hosts -- "$PWD/worker" /etc/hosts
 */
#include <fcntl.h>
#include <unistd.h>
#include <warder.h>

/* The answer to any frame is the beginning of the file. */
static int handle(void *ctx, const struct warder_client *client, const void *frame, size_t size,
	struct warder_reply *reply)
{
	char buf[4096];
	ssize_t n = pread(*(int *)ctx, buf, sizeof(buf), 0);

	(void)client, (void)frame, (void)size;
	return n < 0 ? -1 : warder_reply(reply, buf, (size_t)n);
}

int main(int argc, char **argv)
{
	struct warder *w = warder_attach();
	int fd = w && argc > 1 ? warder_open(w, argv[1], O_RDONLY, 0) : -1;
	const struct warder_serve serve = {.handle = handle, .ctx = &fd};

	if (fd < 0 || warder_lockdown() < 0)
		return 1;
	return warder_serve(&serve) < 0;
}
