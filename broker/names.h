/* SPDX-License-Identifier: MIT */
/*
 * names.h - which names an address has for this worker: what the dialer has found, for its time.
 *
 * A rule by name admits the addresses that the name was found to have, and no other.  The table is
 * of a fixed size; a full one forgets what would end first.  No entry lives longer than an hour or
 * shorter than ten seconds past its use: a program connects some time after it asked.
 */
#ifndef WARDER_NAMES_H
#define WARDER_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAMES_MAX_PINNED 1024

struct names;

/* NULL on ENOMEM. */
struct names *names_new(void);
struct names *names_free(struct names *n);

/* Notes that `name` (lower case, no last dot) has the address (16 bytes, IPv4 mapped) for `ttl`
 * seconds from now_ns (CLOCK_MONOTONIC). */
void names_pin(struct names *n, const char *name, size_t size, const uint8_t address[16],
	uint32_t ttl, uint64_t now_ns);

/* Calls each() with every name that the address has now, until it returns true.  Returns that. */
bool names_of(const struct names *n, const uint8_t address[16], uint64_t now_ns,
	bool (*each)(void *ctx, const char *name, size_t size), void *ctx);

#endif
