/* SPDX-License-Identifier: MIT */
/*
 * stub.c - holds the place of the policy: nothing is granted.
 *
 * Runs in: broker, command line.  Trusts: nothing.
 */
#include "policy/policy.h"

#include <errno.h>
#include <stdlib.h>

struct policy {
	struct policy_settings settings;
};

const char *const policy_setting_names[] = {NULL};

struct policy *policy_new(const struct policy_env *env)
{
	return calloc(1, sizeof(struct policy));
}

struct policy *policy_free(struct policy *p)
{
	free(p);
	return NULL;
}

int policy_set(struct policy *p, const char *name, const char *value)
{
	return 0;
}

int policy_add_text(
	struct policy *p, const char *name, const char *dir, const char *text, size_t size)
{
	return 0;
}

int policy_add_flag(struct policy *p, const char *setting, const char *value)
{
	return -ENOENT;
}

int policy_finish(struct policy *p)
{
	return 0;
}

size_t policy_diag_count(const struct policy *p)
{
	return 0;
}

size_t policy_tree_count(const struct policy *p)
{
	return 0;
}

const struct policy_tree *policy_tree(const struct policy *p, size_t i)
{
	return NULL;
}

int policy_protect(struct policy *p, const char *path, unsigned rights)
{
	return 0;
}

int policy_compile(struct policy *p)
{
	return 0;
}

enum verdict policy_check(const struct policy *p, const char *path, size_t size, unsigned rights,
	struct policy_answer *ret_answer)
{
	*ret_answer = (struct policy_answer){.verdict = VERDICT_DENY, .missing = rights};
	return VERDICT_DENY;
}

bool policy_names(const struct policy *p, const char *path, size_t size)
{
	return false;
}

const struct policy_settings *policy_settings(const struct policy *p)
{
	return &p->settings;
}

const char *policy_text(const struct policy *p, size_t *ret_size)
{
	*ret_size = 0;
	return "";
}

char *policy_rights_name(unsigned rights, char *buf, size_t size)
{
	if (size > 0)
		buf[0] = '\0';
	return buf;
}

int policy_suggest(unsigned rights, const char *path, char *buf, size_t size)
{
	return -EINVAL;
}
