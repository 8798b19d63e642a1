/* SPDX-License-Identifier: MIT */
/*
 * open_flags.h - what an open asks for: its flags, and the rights that they need.
 */
#ifndef WARDER_OPEN_FLAGS_H
#define WARDER_OPEN_FLAGS_H

#include "broker/request.h"

/* O_LARGEFILE, which glibc calls 0 on 64 bits; some callers still set it. */
#ifdef __aarch64__
#define O_LARGEFILE_KERNEL 0400000
#else
#define O_LARGEFILE_KERNEL 0100000
#endif

/* Checks the flags bit by bit.  0 or -EINVAL (refused). */
int open_flags(struct request *q);

/* A file without a name; what the access mode says. */
bool open_is_tmpfile(const struct request *q);
bool open_reads(const struct request *q);
bool open_writes(const struct request *q);

/* The rights to open what exists, to make it, and those of the two that these flags need if what
 * they name is a file. */
unsigned open_rights_existing(const struct request *q);
unsigned open_rights_new(const struct request *q);
unsigned open_rights(const struct request *q);

#endif
