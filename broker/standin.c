/* SPDX-License-Identifier: MIT */
/*
 * standin.c - answers for what is built beside: all no.
 *
 * Runs in: broker.  Trusts: nothing.  Each gives way to the real one, and this file then goes.
 */
#include "common/dial.h"
#include "policy/policy.h"

#include <errno.h>
#include <string.h>

#define weak __attribute__((weak))

weak long dial_encode(const struct dial_message *m, uint8_t *buf, size_t size)
{
	if (size < sizeof(*m))
		return -EMSGSIZE;
	memcpy(buf, m, sizeof(*m));
	return sizeof(*m);
}

weak int dial_decode(const uint8_t *buf, size_t size, struct dial_message *ret)
{
	if (size != sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, buf, size);
	return 0;
}

weak size_t dial_fds(enum dial_op op)
{
	return op == DIAL_START ? 64 : op == DIAL_PATH ? 2 : op == DIAL_DONE ? 1 : 0;
}

weak enum verdict policy_check_socket(
	const struct policy *p, const struct policy_socket *s, struct policy_answer *ret)
{
	*ret = (struct policy_answer){.missing = s->bind ? RIGHT_BIND : RIGHT_CONNECT};
	return VERDICT_DENY;
}

weak enum verdict policy_check_name(
	const struct policy *p, const char *name, size_t size, struct policy_answer *ret)
{
	*ret = (struct policy_answer){.missing = RIGHT_CONNECT};
	return VERDICT_DENY;
}
