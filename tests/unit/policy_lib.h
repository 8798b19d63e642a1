/* SPDX-License-Identifier: MIT */
/*
 * policy_lib.h - policies out of strings, for table tests: ~ is /home/u, ./ is /start.
 */
#ifndef WARDER_TESTS_POLICY_LIB_H
#define WARDER_TESTS_POLICY_LIB_H

#include "policy/policy.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file that `include` or `use` finds: "/etc/x.policy", or the bare name of a preset. */
struct text_file {
	const char *name;
	const char *text;
};

static int text_load(void *ctx, bool preset, const char *name, char **ret_text, size_t *ret_size,
	char **ret_path)
{
	for (const struct text_file *f = ctx; f && f->name; f++) {
		if (strcmp(f->name, name) != 0)
			continue;
		if (preset && asprintf(ret_path, "/presets/%s.policy", name) < 0)
			return -ENOMEM;
		if (!preset)
			*ret_path = strdup(name);
		/* No NUL stands behind it, as with a file's. */
		*ret_size = strlen(f->text);
		*ret_text = malloc(*ret_size);
		memcpy(*ret_text, f->text, *ret_size);
		return 0;
	}
	return -ENOENT;
}

static inline struct policy *text_new(const struct text_file *files)
{
	static const char *const presets[] = {"agent", "build", "convert", NULL};
	struct policy_env env = {.home = "/home/u",
		.start = "/start",
		.load = text_load,
		.presets = presets,
		.ctx = (void *)files};
	struct policy *p = policy_new(&env);

	assert_non_null(p);
	return p;
}

/* A policy that nothing was looked up for yet: what is found is told it before it is compiled. */
static inline struct policy *text_unfinished(const char *text)
{
	struct policy *p = text_new(NULL);

	assert_int_equal(policy_add_text(p, "t.policy", NULL, text, strlen(text)), 0);
	assert_int_equal(policy_finish(p), 0);
	return p;
}

/* Everything up to policy_compile().  *ret_r is the result of the first step that failed. */
static inline struct policy *text_policy(
	const char *text, const struct text_file *files, int *ret_r)
{
	struct policy *p = text_new(files);
	int r = policy_add_text(p, "t.policy", "/etc", text, strlen(text)), e;

	e = policy_finish(p);
	r = r < 0 ? r : e;
	e = policy_compile(p);
	*ret_r = r < 0 ? r : e;
	return p;
}

/* The first error as "t.policy:1:7: text", or "" without one. */
static inline const char *text_error(const struct policy *p, bool warning, char *buf, size_t size)
{
	buf[0] = '\0';
	for (size_t i = 0; i < policy_diag_count(p); i++) {
		const struct policy_diag *d = policy_diag(p, i);

		if (d->warning != warning)
			continue;
		snprintf(buf, size, "%s:%u:%u: %s", d->file, d->line, d->column, d->text);
		break;
	}
	return buf;
}

/* A policy that must be right. */
static inline struct policy *text_good(const char *text, const struct text_file *files)
{
	char buf[512];
	int r;
	struct policy *p = text_policy(text, files, &r);

	if (r != 0)
		fail_msg("%s\n-> %s", text, text_error(p, false, buf, sizeof(buf)));
	return p;
}

/* A row of a table of mistakes: the text, and what its first error holds. */
struct mistake {
	const char *text;
	const char *error; /* the begin of "t.policy:1:7: ..." or, after "*", a part of it */
};

static inline void check_mistake(const struct mistake *m, const struct text_file *files)
{
	char buf[1024];
	int r;
	struct policy *p = text_policy(m->text, files, &r);
	bool hit;

	text_error(p, false, buf, sizeof(buf));
	hit = m->error[0] == '*' ? strstr(buf, m->error + 1) != NULL
				 : strncmp(buf, m->error, strlen(m->error)) == 0;
	if (r != -EINVAL || !hit)
		fail_msg("%s\nwanted %s\ngot    %s (%d)", m->text, m->error, buf, r);
	policy_free(p);
}

static inline enum verdict text_check(
	const struct policy *p, const char *right, const char *path, struct policy_answer *a)
{
	unsigned rights =
		strcmp(right, "exec") == 0 ? RIGHT_EXEC : policy_right_parse(right, strlen(right));

	return policy_check(p, path, strlen(path), rights, a);
}

#endif
