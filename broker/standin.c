/* SPDX-License-Identifier: MIT */
/*
 * standin.c - answers for what is built beside: all no.
 *
 * Runs in: broker.  Trusts: nothing.  Each gives way to the real one, and this file then goes.
 */
#include "policy/policy.h"

#define weak __attribute__((weak))

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
