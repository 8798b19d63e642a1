/* SPDX-License-Identifier: MIT */
/*
 * target.c - a word into a path or a pattern, and a name against one component of it.
 *
 * Runs in: broker.  Trusts: the text's author; nothing in the name that is matched.
 *
 * A pattern is split where its first wildcard stands: what is before is a literal path that the
 * loader resolves once, what is after is matched against names as they come.  ".." is refused in a
 * rule, since it means one thing before symlinks are followed and another after.
 */
#include "policy/internal.h"

#include "common/path.h"

#include <errno.h>
#include <string.h>

#define FORMS "a target begins with \"/\", \"./\" or \"~/\""

bool target_looks_like(const struct word *w)
{
	return w->quoted || w->n == 0 || !w->magic[0] || strchr("/~.*", w->s[0]);
}

/* The part of the word that follows "./" or "~/", and what stands for those. */
static int split_base(struct policy *p, const struct word *w, const char **ret_base, size_t *ret_at)
{
	bool bare = w->n == 1 || (w->n > 1 && w->s[1] == '/');

	*ret_base = "";
	*ret_at = 0;
	if (w->n > 0 && w->s[0] == '/')
		return 0;
	if (bare && w->s[0] == '.') {
		if (!p->env.start)
			return error_at(p, w->column,
				"\"./\" is the worker's start directory, and there is none here; "
				"write the whole path");
		*ret_base = p->env.start;
	} else if (bare && w->s[0] == '~') {
		if (!p->env.home)
			return error_at(p, w->column,
				"\"~\" is the home directory of the user who starts warder, and "
				"there is none; write the whole path");
		*ret_base = p->env.home;
	} else if (w->n == 0) {
		return error_at(p, w->column, "an empty path; " FORMS);
	} else if (w->s[0] == '~') {
		return error_at(p, w->column,
			"\"%s\": only \"~/\" is known; write the whole path of another's home",
			w->s);
	} else if (strncmp(w->s, "../", 3) == 0 || strcmp(w->s, "..") == 0) {
		return error_at(p, w->column, "\"%s\": " FORMS "; write the whole path", w->s);
	} else if (w->magic[0] && strchr("*?[", w->s[0])) {
		return error_at(
			p, w->column, "\"%s\": " FORMS ", or after deny and ask with \"**\"", w->s);
	} else {
		return error_at(p, w->column, "\"%s\": " FORMS "; write \"./%s\"", w->s, w->s);
	}
	*ret_at = 1;
	return 0;
}

int target_path(
	struct policy *p, const struct word *w, bool dots, const char **ret, bool *ret_slash)
{
	char whole[2 * PATH_MAX], normal[PATH_MAX];
	const char *base, *rest;
	size_t at, n;
	int r;

	for (size_t i = 0; i < w->n; i++)
		if (w->magic[i] && strchr("*?[", w->s[i]))
			return error_at(p, w->column,
				"\"%s\": a wildcard cannot stand here; name one path", w->s);
	r = split_base(p, w, &base, &at);
	if (r < 0)
		return r;
	rest = w->s + at;
	n = strlen(base);
	if (n + w->n - at >= sizeof(whole))
		return error_at(p, w->column, "a path of more than %d bytes", PATH_MAX - 1);
	memcpy(whole, base, n);
	memcpy(whole + n, rest, w->n - at);
	n += w->n - at;
	for (size_t i = 0; !dots && i + 1 < n; i++)
		if (whole[i] == '.' && whole[i + 1] == '.' && (i == 0 || whole[i - 1] == '/') &&
			(i + 2 == n || whole[i + 2] == '/'))
			return error_at(p, w->column, "\"%s\": \"..\" cannot stand here", w->s);
	r = path_normalise(whole, n, normal, sizeof(normal));
	if (r < 0)
		return error_at(p, w->column, "\"%s\" is longer than a path can be", w->s);
	*ret_slash = n > 0 && whole[n - 1] == '/';
	*ret = store_copy(p, normal, (size_t)r);
	return store_result(p);
}

/* ---- components ------------------------------------------------------------------------------ */

/* "[a-z]" at s[i]: its length, or 0 with a reason in *ret_why. */
static size_t set_length(
	const char *s, const unsigned char *magic, size_t n, size_t i, const char **ret_why)
{
	size_t at = i + 1;

	*ret_why = "a \"[\" without its \"]\"; write \"\\[\", quoted, for the character itself";
	if (at < n && magic[at] && (s[at] == '!' || s[at] == '^')) {
		*ret_why = "a set cannot be turned round; name the characters it holds";
		return 0;
	}
	for (; at < n && (!magic[at] || s[at] != ']'); at++) {
		if (at + 2 < n && magic[at + 1] && s[at + 1] == '-' &&
			!(magic[at + 2] && s[at + 2] == ']')) {
			if ((unsigned char)s[at] > (unsigned char)s[at + 2]) {
				*ret_why = "a range that runs backwards";
				return 0;
			}
			at += 2;
		}
	}
	if (at < n && at == i + 1)
		*ret_why = "an empty set";
	return at < n && at > i + 1 ? at + 1 - i : 0;
}

/* Whether byte b is in the set of `length` at s. */
static bool set_holds(const char *s, const unsigned char *magic, size_t length, unsigned char b)
{
	for (size_t i = 1; i + 1 < length; i++) {
		unsigned char low = (unsigned char)s[i], high = low;

		if (i + 2 < length - 1 && magic[i + 1] && s[i + 1] == '-') {
			high = (unsigned char)s[i + 2];
			i += 2;
		}
		if (b >= low && b <= high)
			return true;
	}
	return false;
}

/* Whether one element of the component, at i, takes byte b; its length to *ret_size. */
static bool element_takes(const struct component *c, size_t i, unsigned char b, size_t *ret_size)
{
	const char *why;

	*ret_size = 1;
	if (c->magic[i] && c->s[i] == '?')
		return true;
	if (c->magic[i] && c->s[i] == '[') {
		*ret_size = set_length(c->s, c->magic, c->n, i, &why);
		return *ret_size > 0 && set_holds(c->s + i, c->magic + i, *ret_size, b);
	}
	return (unsigned char)c->s[i] == b;
}

/* Only the last "*" is ever tried again: an earlier one could gain nothing by taking more.  So the
 * cost is at most the product of both lengths, each at most NAME_MAX. */
bool component_match(const struct component *c, const char *name, size_t n)
{
	size_t i = 0, at = 0, star = SIZE_MAX, star_at = 0, size;

	if (!c->magic)
		return c->n == n && memcmp(c->s, name, n) == 0;
	while (at < n) {
		if (i < c->n && c->magic[i] && c->s[i] == '*') {
			star = ++i;
			star_at = at;
		} else if (i < c->n && element_takes(c, i, (unsigned char)name[at], &size)) {
			i += size;
			at++;
		} else if (star != SIZE_MAX) {
			i = star;
			at = ++star_at;
		} else {
			return false;
		}
	}
	while (i < c->n && c->magic[i] && c->s[i] == '*')
		i++;
	return i == c->n;
}

size_t component_prefix(const struct component *c)
{
	size_t n = 0;

	while (n < c->n && !(c->magic[n] && strchr("*?[", c->s[n])))
		n++;
	return n;
}

size_t component_suffix(const struct component *c)
{
	size_t end = 0;
	const char *why;

	for (size_t i = 0; i < c->n; i++) {
		if (!c->magic[i] || !strchr("*?[", c->s[i]))
			continue;
		if (c->s[i] == '[')
			i += set_length(c->s, c->magic, c->n, i, &why) - 1;
		end = i + 1;
	}
	return c->n - end;
}

/* Reads one component, w->s[from..to), into *ret. */
static int component_parse(
	struct policy *p, const struct word *w, size_t from, size_t to, struct component *ret)
{
	const char *s = w->s + from, *why;
	const unsigned char *magic = w->magic + from;
	size_t n = to - from, size;
	bool wild = false;

	*ret = (struct component){.s = s, .n = n};
	if (n == 2 && s[0] == '.' && s[1] == '.')
		return error_at(p, w->column,
			"\"%s\": \"..\" in a rule would mean one thing before symlinks are "
			"followed and another after; write the path it leads to",
			w->s);
	if (n == 2 && magic[0] && magic[1] && s[0] == '*' && s[1] == '*') {
		ret->any_depth = true;
		ret->magic = magic;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (!magic[i] || !strchr("*?[", s[i]))
			continue;
		wild = true;
		if (s[i] == '*' && i + 1 < n && magic[i + 1] && s[i + 1] == '*')
			return error_at(
				p, w->column, "\"%s\": \"**\" stands alone between slashes", w->s);
		if (s[i] != '[')
			continue;
		size = set_length(s, magic, n, i, &why);
		if (size == 0)
			return error_at(p, w->column, "\"%s\": %s", w->s, why);
		i += size - 1;
	}
	ret->magic = wild ? magic : NULL;
	if (!wild && n > NAME_MAX)
		return error_at(p, w->column, "a name of more than %d bytes", NAME_MAX);
	return 0;
}

/* ---- patterns -------------------------------------------------------------------------------- */

/* A pattern being read. */
struct reading {
	char prefix[PATH_MAX];
	size_t n_prefix;
	struct component *rest;
	size_t n_rest;
	size_t n_after; /* bytes of the rest, with its slashes */
};

static int add_component(
	struct policy *p, const struct word *w, struct reading *t, const struct component *c)
{
	if (c->n == 0 || (c->n == 1 && c->s[0] == '.'))
		return 0;
	if (t->n_rest > 0 || c->magic) {
		/* "**" twice is "**" once. */
		if (c->any_depth && t->n_rest > 0 && t->rest[t->n_rest - 1].any_depth)
			return 0;
		t->rest[t->n_rest++] = *c;
		t->n_after += 1 + c->n;
		return t->n_prefix + t->n_after + 2 <= sizeof(t->prefix)
			       ? 0
			       : error_at(p, w->column, "a pattern of more than %d bytes",
					 PATH_MAX - 1);
	}
	if (t->n_prefix + 1 + c->n + 1 > sizeof(t->prefix))
		return error_at(p, w->column, "a path of more than %d bytes", PATH_MAX - 1);
	t->prefix[t->n_prefix++] = '/';
	memcpy(t->prefix + t->n_prefix, c->s, c->n);
	t->n_prefix += c->n;
	return 0;
}

/* What only the verdict decides: how much of the file system an allow may open. */
static int check_start(
	struct policy *p, const struct word *w, enum verdict verdict, const struct pattern *t)
{
	if (verdict != VERDICT_ALLOW)
		return 0;
	if (t->anywhere || (t->n_rest > 0 && strcmp(t->prefix, "/") == 0))
		return error_at(p, w->column,
			"\"%s\": an allow begins with a literal directory, since the worker sees "
			"the names beneath it; only deny and ask may start with \"**\"",
			w->s);
	return 0;
}

int target_parse(struct policy *p, const struct word *w, enum verdict verdict, struct pattern *ret)
{
	struct reading t = {.n_prefix = 0};
	bool anywhere =
		word_magic(w, 0, '*') && word_magic(w, 1, '*') && (w->n == 2 || w->s[2] == '/');
	const char *base = "";
	size_t at = 0, slashes = 1;
	int r = anywhere ? 0 : split_base(p, w, &base, &at);

	if (r < 0)
		return r;
	for (size_t i = 0; i < w->n; i++)
		slashes += w->s[i] == '/';
	t.rest = store_alloc(p, slashes * sizeof(*t.rest));
	if (!t.rest)
		return -ENOMEM;
	if (*base) {
		r = path_normalise(base, strlen(base), t.prefix, sizeof(t.prefix));
		if (r < 0)
			return error_at(p, w->column, "\"%s\" is not below an absolute path", w->s);
		t.n_prefix = r == 1 ? 0 : (size_t)r;
	}
	for (size_t to; at < w->n; at = to + 1) {
		const char *slash = memchr(w->s + at, '/', w->n - at);
		struct component c;

		to = slash ? (size_t)(slash - w->s) : w->n;
		r = component_parse(p, w, at, to, &c);
		if (r == 0)
			r = add_component(p, w, &t, &c);
		if (r < 0)
			return r;
	}
	*ret = (struct pattern){
		.rest = t.rest,
		.n_rest = t.n_rest,
		.anywhere = anywhere,
		.subtree =
			w->s[w->n - 1] == '/' || (t.n_rest > 0 && t.rest[t.n_rest - 1].any_depth),
	};
	if (ret->n_rest > 0 && ret->rest[ret->n_rest - 1].any_depth)
		ret->n_rest--;
	ret->prefix = store_copy(p, t.n_prefix ? t.prefix : "/", t.n_prefix ? t.n_prefix : 1);
	if (!ret->prefix)
		return -ENOMEM;
	return check_start(p, w, verdict, ret);
}
