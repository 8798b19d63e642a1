/* SPDX-License-Identifier: MIT */
/*
 * place.c - where the socket of `warder serve -n NAME` stands.
 *
 * Runs in: command line, supervisor, clients.  Trusts: the caller's environment, for a place alone;
 * the server checks the owner and mode of what it finds there.
 */
#include "common/place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

bool place_name_valid(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= PLACE_NAME_MAX && name[0] != '.' && name[0] != '-' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
		       n;
}

int place_runtime(char *buf, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	int n;

	if (dir && *dir) {
		if (dir[0] != '/')
			return -EINVAL;
		n = snprintf(buf, size, "%s/warder", dir);
	} else if (geteuid() == 0) {
		n = snprintf(buf, size, "/run/warder");
	} else {
		n = snprintf(buf, size, "/run/user/%u/warder", (unsigned)geteuid());
	}
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

int place_socket(const char *name, char *buf, size_t size)
{
	size_t at;
	int r;

	if (!place_name_valid(name))
		return -EINVAL;
	r = place_runtime(buf, size);
	if (r < 0)
		return r;
	at = strlen(buf);
	at += (size_t)snprintf(buf + at, size - at, "/%s.sock", name);
	if (at >= size || at >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}
