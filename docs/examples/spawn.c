/* SPDX-License-Identifier: MIT */
/*
 * spawn.c - runs a command in a cell that may read one directory, and tells what came of it.
 *
 *     cc spawn.c $(pkg-config --cflags --libs warder) -o spawn
 *     ./spawn md5sum /etc/hosts
 */
#include <stdio.h>
#include <warder.h>

int main(int argc, char **argv)
{
	struct warder_result result;
	struct warder_spawn cell = {
		.policy_text = "allow read /usr/share/\ntime 10s\n",
		.argv = argv + (argc > 0),
		.result = &result,
	};
	int pidfd;

	if (warder_spawn(&cell, &pidfd) < 0) {
		fprintf(stderr, "%s\n", warder_strerror(&cell));
		return 125;
	}
	warder_wait(&result, &pidfd);
	fprintf(stderr, "status %d, %llu granted, %llu denied\n", result.status,
		(unsigned long long)result.granted, (unsigned long long)result.denied);
	return result.status;
}
