/* SPDX-License-Identifier: MIT */
/*
 * store.c - the policy's memory, its diagnostics, and the ways to ask for them.
 *
 * Runs in: broker (at start), command line.  Trusts: the callers.
 *
 * All that a policy holds is freed at once, so memory comes from chunks that only grow.  A failed
 * allocation is noted once and sticks: the parser goes on to the end of its line, and the call that
 * began it returns -ENOMEM.
 */
#include "policy/internal.h"

#include <errno.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 16384

struct chunk {
	struct chunk *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

/* ---- memory ---------------------------------------------------------------------------------- */

void *store_alloc(struct policy *p, size_t size)
{
	struct chunk *c = p->chunks;
	void *ret;

	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!c || c->size - c->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		c = calloc(1, sizeof(*c) + room);
		if (!c) {
			p->out_of_memory = true;
			return NULL;
		}
		c->size = room;
		c->next = p->chunks;
		p->chunks = c;
	}
	ret = c->data + c->used;
	c->used += size;
	return ret;
}

char *store_copy(struct policy *p, const char *s, size_t n)
{
	char *copy = store_alloc(p, n + 1);

	if (copy) {
		memcpy(copy, s, n);
		copy[n] = '\0';
	}
	return copy;
}

static char *store_vprintf(struct policy *p, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
static char *store_vprintf(struct policy *p, const char *fmt, va_list ap)
{
	va_list again;
	char *text;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	text = n < 0 ? NULL : store_alloc(p, (size_t)n + 1);
	if (text)
		vsnprintf(text, (size_t)n + 1, fmt, ap);
	return text;
}

char *store_printf(struct policy *p, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = store_vprintf(p, fmt, ap);
	va_end(ap);
	return text;
}

bool store_grow(struct policy *p, void *array_pointer, size_t n, size_t *room, size_t size)
{
	void *array, *grown;
	size_t more;

	if (n < *room)
		return true;
	more = *room ? *room * 2 : 8;
	memcpy(&array, array_pointer, sizeof(array));
	grown = reallocarray(array, more, size);
	if (!grown) {
		p->out_of_memory = true;
		return false;
	}
	memset((char *)grown + *room * size, 0, (more - *room) * size);
	memcpy(array_pointer, &grown, sizeof(grown));
	*room = more;
	return true;
}

int store_result(const struct policy *p)
{
	return p->out_of_memory ? -ENOMEM : 0;
}

struct policy *policy_new(const struct policy_env *env)
{
	struct policy *p = calloc(1, sizeof(*p));

	if (!p || !env)
		return p;
	p->env = *env;
	p->env.home = env->home ? store_copy(p, env->home, strlen(env->home)) : NULL;
	p->env.start = env->start ? store_copy(p, env->start, strlen(env->start)) : NULL;
	return p->out_of_memory ? policy_free(p) : p;
}

struct policy *policy_free(struct policy *p)
{
	if (!p)
		return NULL;
	trie_free(p);
	for (struct chunk *c = p->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(p->diags);
	free(p->diag_order);
	free(p->files);
	free(p->rules);
	free(p->trees);
	free(p->excepts);
	free(p->expects);
	free(p->socks);
	free(p->sock_excepts);
	peers_free(p);
	free(p->variables);
	free(p->sources);
	free(p->protected);
	free(p->clients);
	free(p->settings.runtime);
	free(p->settings.env);
	free(p);
	return NULL;
}

/* ---- diagnostics ----------------------------------------------------------------------------- */

/* The number of a file: they are shown in the order in which they were first met. */
static unsigned file_number(struct policy *p, const char *file)
{
	for (size_t i = p->n_files; i-- > 0;)
		if (strcmp(p->files[i], file) == 0)
			return (unsigned)i;
	if (!store_grow(p, &p->files, p->n_files, &p->files_room, sizeof(*p->files)))
		return 0;
	p->files[p->n_files] = file;
	return (unsigned)p->n_files++;
}

static bool diag_before(
	unsigned file_a, const struct policy_diag *a, unsigned file_b, const struct policy_diag *b)
{
	if (file_a != file_b)
		return file_a < file_b;
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

void diag_add(struct policy *p, const char *file, unsigned line, unsigned column,
	const char *source, bool warning, const char *text)
{
	struct policy_diag d = {file, line, column, warning, text, source};
	unsigned number = file_number(p, file);
	size_t room = p->diags_room, at = p->n_diags;

	p->n_errors += !warning;
	if (!text || p->n_diags >= DIAGS_MAX)
		return;
	if (!store_grow(p, &p->diag_order, p->n_diags, &room, sizeof(*p->diag_order)) ||
		!store_grow(p, &p->diags, p->n_diags, &p->diags_room, sizeof(*p->diags)))
		return;
	while (at > 0 && diag_before(number, &d, p->diag_order[at - 1], &p->diags[at - 1]))
		at--;
	memmove(p->diags + at + 1, p->diags + at, (p->n_diags - at) * sizeof(*p->diags));
	memmove(p->diag_order + at + 1, p->diag_order + at,
		(p->n_diags - at) * sizeof(*p->diag_order));
	p->diags[at] = d;
	p->diag_order[at] = number;
	p->n_diags++;
}

int error_at(struct policy *p, unsigned column, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = store_vprintf(p, fmt, ap);
	va_end(ap);
	diag_add(p, p->file, p->line, column, p->source, false, text);
	return -EINVAL;
}

int diag_of_rule(struct policy *p, size_t rule, unsigned column, bool warning, const char *fmt, ...)
{
	const struct rule *r = &p->rules[rule];
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = store_vprintf(p, fmt, ap);
	va_end(ap);
	diag_add(p, r->file, r->line, column, r->source, warning, text);
	return -EINVAL;
}

size_t policy_diag_count(const struct policy *p)
{
	return p->n_diags;
}

size_t policy_error_count(const struct policy *p)
{
	return p->n_errors;
}

const struct policy_diag *policy_diag(const struct policy *p, size_t i)
{
	return i < p->n_diags ? &p->diags[i] : NULL;
}

int policy_diag_rule(struct policy *p, size_t rule, bool warning, const char *fmt, ...)
{
	va_list ap;
	char *text;

	if (rule >= p->n_rules)
		return -EINVAL;
	va_start(ap, fmt);
	text = store_vprintf(p, fmt, ap);
	va_end(ap);
	diag_add(p, p->rules[rule].file, p->rules[rule].line, 0, p->rules[rule].source, warning,
		text);
	return store_result(p);
}

static int diag_at(struct policy *p, const struct setting_place *at, bool warning, const char *fmt,
	va_list ap) __attribute__((format(printf, 4, 0)));
static int diag_at(
	struct policy *p, const struct setting_place *at, bool warning, const char *fmt, va_list ap)
{
	char *text = store_vprintf(p, fmt, ap);

	diag_add(p, at->file, at->line, at->column, at->source, warning, text);
	return store_result(p);
}

int policy_diag_setting(struct policy *p, enum policy_setting s, bool warning, const char *fmt, ...)
{
	va_list ap;
	int r;

	if (!p->setting_place[s].file)
		return 0;
	va_start(ap, fmt);
	r = diag_at(p, &p->setting_place[s], warning, fmt, ap);
	va_end(ap);
	return r;
}

int policy_diag_client(struct policy *p, size_t i, bool warning, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = diag_at(p, &p->clients[i].place, warning, fmt, ap);
	va_end(ap);
	return r;
}

int policy_diag_file(struct policy *p, const char *file, bool warning, const char *fmt, ...)
{
	char *name = store_copy(p, file, strlen(file));
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = store_vprintf(p, fmt, ap);
	va_end(ap);
	if (name)
		diag_add(p, name, 0, 0, NULL, warning, text);
	return store_result(p);
}

/* ---- trees ----------------------------------------------------------------------------------- */

size_t policy_tree_count(const struct policy *p)
{
	return p->n_trees;
}

const struct policy_tree *policy_tree(const struct policy *p, size_t i)
{
	return i < p->n_trees ? &p->trees[i].pub : NULL;
}

bool policy_tree_is_place(const struct policy *p, size_t i)
{
	const struct pattern *t = &p->trees[i].pattern;

	return !t->anywhere && (t->n_rest == 0 || strcmp(t->prefix, "/") != 0);
}

int policy_tree_resolved(struct policy *p, size_t i, const char *path)
{
	struct tree *t = &p->trees[i];

	if (path) {
		t->pub.resolved = store_copy(p, path, strlen(path));
		if (!t->pub.resolved)
			t->pub.resolved = t->pub.prefix;
		return store_result(p);
	}
	t->pub.missing = true;
	if (t->pub.optional || t->pub.verdict == VERDICT_DENY)
		return 0;
	if (t->pub.rights & RIGHT_BIND)
		return diag_of_rule(p, t->pub.rule, t->column, false,
			"%s: the directory that the socket would be made in does not exist; make "
			"it, or add \"optional\" to the rule",
			t->pub.prefix);
	return diag_of_rule(p, t->pub.rule, t->column, false,
		"%s does not exist; make it, or add \"optional\" to the rule", t->pub.prefix);
}

int policy_tree_is_directory(struct policy *p, size_t i, bool directory)
{
	const struct tree *t = &p->trees[i];
	bool wants = t->pub.subtree || t->pub.has_wildcard;

	if (directory && !wants) {
		const char *slash = strcmp(t->pub.prefix, "/") == 0 ? "" : "/";

		if (t->pub.rights & RIGHTS_SOCK)
			return diag_of_rule(p, t->pub.rule, t->column, false,
				"%s is a directory; name the socket in it, or write \"%s%s**\" "
				"for all beneath",
				t->pub.prefix, t->pub.prefix, slash);
		return diag_of_rule(p, t->pub.rule, t->column, false,
			"%s is a directory; write \"%s%s\" or \"%s%s**\" for it and all beneath",
			t->pub.prefix, t->pub.prefix, slash, t->pub.prefix, slash);
	}
	if (!directory && wants && t->pub.verdict != VERDICT_DENY)
		return diag_of_rule(p, t->pub.rule, t->column, false,
			"%s is not a directory; write \"%s\" for the file", t->pub.prefix,
			t->pub.prefix);
	return 0;
}

static int add_crossing(struct policy *p, struct crossing **list, const char *link)
{
	struct crossing *c = store_alloc(p, sizeof(*c));

	if (c) {
		c->link = store_copy(p, link, strlen(link));
		c->next = *list;
		if (c->link)
			*list = c;
	}
	return store_result(p);
}

int policy_tree_crossed(struct policy *p, size_t i, const char *link)
{
	return add_crossing(p, &p->trees[i].crossings, link);
}

size_t policy_except_count(const struct policy *p)
{
	return p->n_excepts;
}

const char *policy_except_prefix(const struct policy *p, size_t i)
{
	return p->excepts[i].pattern.prefix;
}

int policy_except_resolved(struct policy *p, size_t i, const char *path)
{
	const char *copy = store_copy(p, path, strlen(path));

	if (copy)
		p->excepts[i].resolved = copy;
	return store_result(p);
}

int policy_except_crossed(struct policy *p, size_t i, const char *link)
{
	return add_crossing(p, &p->excepts[i].crossings, link);
}

struct runtime_way *store_runtime_ways(struct policy *p)
{
	size_t n = p->settings.n_runtime;

	if (p->runtime_ways)
		return p->runtime_ways;
	p->runtime_ways = store_alloc(p, (n + 1) * sizeof(*p->runtime_ways));
	for (size_t i = 0; p->runtime_ways && i < n; i++)
		p->runtime_ways[i] = (struct runtime_way){p->settings.runtime[i], NULL};
	return p->runtime_ways;
}

int policy_runtime_resolved(struct policy *p, size_t i, const char *path)
{
	struct runtime_way *ways = store_runtime_ways(p);
	const char *copy = store_copy(p, path, strlen(path));

	if (ways && copy)
		ways[i].resolved = copy;
	return store_result(p);
}

int policy_runtime_crossed(struct policy *p, size_t i, const char *link)
{
	struct runtime_way *ways = store_runtime_ways(p);

	return ways ? add_crossing(p, &ways[i].crossings, link) : -ENOMEM;
}

size_t policy_rule_count(const struct policy *p)
{
	return p->n_rules;
}

size_t policy_expect_count(const struct policy *p)
{
	return p->n_expects;
}

const char *policy_rule_name(const struct policy *p, size_t rule)
{
	return rule < p->n_rules ? p->rules[rule].name : NULL;
}

const struct policy_settings *policy_settings(const struct policy *p)
{
	return &p->settings;
}
