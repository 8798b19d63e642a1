/* SPDX-License-Identifier: MIT */
/*
 * standin.c - answers for what is built beside: all no.
 *
 * Runs in: broker.  Trusts: nothing.  Each gives way to the real one, and this file then goes.
 */
#include "common/dial.h"
#include "policy/policy.h"

#include <errno.h>

#define weak __attribute__((weak))

weak long dial_encode(const struct dial_message *m, uint8_t *buf, size_t size)
{
	return -EMSGSIZE;
}

weak int dial_decode(const uint8_t *buf, size_t size, struct dial_message *ret)
{
	return -EBADMSG;
}

weak size_t dial_fds(enum dial_op op)
{
	return 0;
}

