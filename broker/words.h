/* SPDX-License-Identifier: MIT */
/*
 * words.h - the ledger's words: flags, and what an inode or a socket is.
 *
 * What is returned is a literal or stands in the caller's `buf`; NULL: there is no word.
 */
#ifndef WARDER_WORDS_H
#define WARDER_WORDS_H

#include "broker/request.h"

#include <sys/types.h>

#define WORDS_FLAGS_SIZE 256 /* bytes of a text of flags */

/* "O_RDWR|O_APPEND", of open(2). */
const char *words_open(uint32_t flags, char buf[WORDS_FLAGS_SIZE]);
/* The same of an open file, as F_GETFL tells: O_LARGEFILE, which all have, is left out. */
const char *words_held(uint32_t flags, char buf[WORDS_FLAGS_SIZE]);
/* A request's, by the names that its op has. */
const char *words_flags(const struct request *q, char buf[WORDS_FLAGS_SIZE]);

/* "file", "directory", "symlink", "fifo", "char", "block", "socket"; NULL: an inode that has no
 * type, as that of an eventfd(2). */
const char *words_type(mode_t mode);
/* SOCK_...: "stream", "seqpacket", "dgram", "raw". */
const char *words_socket(int type);
/* AF_...: "unix", "ipv4", "ipv6", "netlink", "packet", "vsock". */
const char *words_domain(int domain);

#endif
