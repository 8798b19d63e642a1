/* SPDX-License-Identifier: MIT */
/*
 * place.h - where the socket of `warder serve -n NAME` stands.  The server and its clients agree on
 * it here.
 */
#ifndef WARDER_PLACE_H
#define WARDER_PLACE_H

#include <stdbool.h>
#include <stddef.h>

#define PLACE_NAME_MAX 64

/* A service's name: letters, digits, "_", and "-" and "." but not first; at most
 * PLACE_NAME_MAX. */
bool place_name_valid(const char *name);

/*
 * The directory: $XDG_RUNTIME_DIR/warder; without that variable /run/warder for root and
 * /run/user/UID/warder for others.  0; -EINVAL: the variable is no absolute path;
 * -ENAMETOOLONG.
 */
int place_runtime(char *buf, size_t size);

/* DIR/NAME.sock.  -EINVAL also for a name that is none; -ENAMETOOLONG also where it does not fit
 * the 107 bytes of a socket's address (unix(7)). */
int place_socket(const char *name, char *buf, size_t size);

/* The same of a service that root runs for the whole host: /run/warder/NAME.sock. */
int place_system_socket(const char *name, char *buf, size_t size);

#endif
