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

/* Where root's services stand. */
#define SYSTEM_DIR "/run/warder"

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
		n = snprintf(buf, size, SYSTEM_DIR);
	} else {
		n = snprintf(buf, size, "/run/user/%u/warder", (unsigned)geteuid());
	}
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* Adds the socket's name to the directory in buf. */
static int add_name(const char *name, char *buf, size_t size)
{
	size_t at = strlen(buf);

	at += (size_t)snprintf(buf + at, size - at, "/%s.sock", name);
	if (at >= size || at >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

int place_socket(const char *name, char *buf, size_t size)
{
	int r = place_name_valid(name) ? place_runtime(buf, size) : -EINVAL;

	return r < 0 ? r : add_name(name, buf, size);
}

int place_system_socket(const char *name, char *buf, size_t size)
{
	if (!place_name_valid(name))
		return -EINVAL;
	if ((size_t)snprintf(buf, size, SYSTEM_DIR) >= size)
		return -ENAMETOOLONG;
	return add_name(name, buf, size);
}
