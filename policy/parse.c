/* SPDX-License-Identifier: MIT */
/*
 * parse.c - a text of policy into statements: one a line, all of its errors at once.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 */
#include "policy/internal.h"

#include "common/nearest.h"
#include "common/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_text(
	struct policy *p, const char *name, const char *dir, const char *text, size_t size);

/* ---- set ------------------------------------------------------------------------------------- */

static struct variable *variable_find(struct policy *p, const char *name, size_t n)
{
	for (size_t i = 0; i < p->n_variables; i++)
		if (strlen(p->variables[i].name) == n && memcmp(p->variables[i].name, name, n) == 0)
			return &p->variables[i];
	return NULL;
}

static int variable_add(struct policy *p, const char *name, size_t n, const char *value,
	const char *origin, bool by_flag)
{
	struct variable v = {
		store_copy(p, name, n), store_copy(p, value, strlen(value)), origin, by_flag};

	if (!v.name || !v.value ||
		!store_grow(p, &p->variables, p->n_variables, &p->variables_room,
			sizeof(*p->variables)))
		return -ENOMEM;
	p->variables[p->n_variables++] = v;
	return 0;
}

int policy_set(struct policy *p, const char *name, const char *value)
{
	struct variable *v = variable_find(p, name, strlen(name));

	if (!name_is_valid(name, strlen(name)))
		return -EINVAL;
	if (v)
		return (v->value = store_copy(p, value, strlen(value))) ? 0 : -ENOMEM;
	return variable_add(p, name, strlen(name), value, "--set", true);
}

void parse_unknown_flags(struct policy *p)
{
	for (size_t i = 0; i < p->n_variables; i++)
		if (p->variables[i].by_flag && !p->variables[i].known)
			policy_diag_file(p, p->variables[i].origin, true,
				"no line of the policy has $%s in it", p->variables[i].name);
}

/* "set NAME = VALUE", the blanks round "=" as one likes. */
static int parse_set(struct policy *p, const struct word *words, int n)
{
	const char *equals = n > 1 && !words[1].quoted ? strchr(words[1].s, '=') : NULL;
	const struct word *last = &words[n - 1];
	const char *name, *value;
	struct variable *old;
	size_t name_size;

	if (n < 2)
		return error_at(
			p, words[0].column, "\"set\" needs a name and a value: set NAME = VALUE");
	name = words[1].s;
	name_size = equals ? (size_t)(equals - name) : words[1].n;
	if (n == 2 && equals)
		value = equals + 1;
	else if (n == 3 && equals && !equals[1])
		value = last->s;
	else if (n == 3 && !equals && last->s[0] == '=' && !last->quoted)
		value = last->s + 1;
	else if (n == 4 && !equals && word_is(&words[2], "="))
		value = last->s;
	else
		return error_at(p, words[n > 2 ? 2 : 1].column,
			"\"set\" takes a name and one value: set NAME = VALUE; put a value with "
			"blanks in quotes");
	if (!name_is_valid(name, name_size))
		return error_at(p, words[1].column,
			"\"%.*s\" is no name; a name is made of letters, digits and \"_\" and does "
			"not begin with a digit",
			(int)name_size, name);
	old = variable_find(p, name, name_size);
	if (old && old->by_flag) {
		old->known = true;
		return 0;
	}
	if (old)
		return error_at(
			p, words[1].column, "%s is set already, at %s", old->name, old->origin);
	return variable_add(p, name, name_size, value, p->origin, false);
}

/* ---- use and include ------------------------------------------------------------------------- */

static struct source *source_find(struct policy *p, const char *path)
{
	for (size_t i = 0; i < p->n_sources; i++)
		if (strcmp(p->sources[i].path, path) == 0)
			return &p->sources[i];
	return NULL;
}

static int source_add(struct policy *p, const char *path)
{
	if (!store_grow(p, &p->sources, p->n_sources, &p->sources_room, sizeof(*p->sources)))
		return -ENOMEM;
	p->sources[p->n_sources++] = (struct source){path, true};
	return 0;
}

/* Parses an included text in place, then goes back to the including line. */
static int parse_nested(
	struct policy *p, unsigned column, const char *path, const char *text, size_t size)
{
	const char *file = p->file, *dir = p->dir, *source = p->source, *origin = p->origin;
	const char *slash = strrchr(path, '/');
	unsigned line = p->line;
	struct source *s = source_find(p, path);
	const char *name, *name_dir;
	size_t i;
	int r;

	if (s && s->open)
		return error_at(p, column, "%s includes itself", path);
	if (s) /* what it says has been heard: rules do not gain by repetition */
		return 0;
	if (p->depth >= DEPTH_MAX)
		return error_at(p, column, "%s would be included %d deep; write it into one file",
			path, DEPTH_MAX + 1);
	if (p->n_sources >= FILES_MAX)
		return error_at(p, column,
			"%s would be file number %zu of this policy; at most %d "
			"can make one",
			path, p->n_sources + 1, FILES_MAX);
	name = store_copy(p, path, strlen(path));
	name_dir = store_copy(p, path, slash > path ? (size_t)(slash - path) : 1);
	if (!name || !name_dir || source_add(p, name) < 0)
		return -ENOMEM;
	i = p->n_sources - 1;
	p->depth++;
	r = parse_text(p, name, name_dir, text, size);
	p->depth--;
	p->sources[i].open = false;
	p->file = file;
	p->dir = dir;
	p->source = source;
	p->origin = origin;
	p->line = line;
	return r;
}

static int load(struct policy *p, const struct word *w, bool preset, const char *name)
{
	char *text = NULL, *path = NULL;
	size_t size = 0;
	int r = p->env.load ? p->env.load(p->env.ctx, preset, name, &text, &size, &path) : -ENOENT;

	if (r == 0) {
		r = parse_nested(p, w->column, path, text, size);
	} else if (r == -ENOMEM) {
		p->out_of_memory = true;
	} else if (path) {
		r = error_at(p, w->column, "%s", path);
	} else if (r == -ENOENT && preset) {
		const char *near = nearest_word(name, strlen(name), p->env.presets);

		r = near ? error_at(p, w->column, "no preset \"%s\"; did you mean \"%s\"?", name,
				   near)
			 : error_at(p, w->column, "no preset \"%s\"", name);
	} else {
		r = error_at(p, w->column, "cannot include %s: %s", name, strerror(-r));
	}
	free(text);
	free(path);
	return r;
}

static bool preset_name_is_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	return n > 0 && n <= 64 && !name[n];
}

static int parse_use(struct policy *p, const struct word *words, int n)
{
	if (n != 2)
		return error_at(
			p, words[n > 2 ? 2 : 0].column, "\"use\" takes the name of one preset");
	if (!preset_name_is_valid(words[1].s))
		return error_at(p, words[1].column,
			"\"%s\" is no name of a preset; for a file write \"include %s\"",
			words[1].s, words[1].s);
	return load(p, &words[1], true, words[1].s);
}

static int parse_include(struct policy *p, const struct word *words, int n)
{
	char whole[2 * PATH_MAX], normal[PATH_MAX];
	const struct word *w = &words[1];
	int r;

	if (n != 2)
		return error_at(
			p, words[n > 2 ? 2 : 0].column, "\"include\" takes the path of one file");
	if (w->n == 0)
		return error_at(p, w->column, "an empty path");
	if (w->s[0] == '~' && (w->n == 1 || w->s[1] == '/'))
		r = p->env.home ? snprintf(whole, sizeof(whole), "%s%s", p->env.home, w->s + 1)
				: -1;
	else if (w->s[0] == '/')
		r = snprintf(whole, sizeof(whole), "%s", w->s);
	else
		r = p->dir ? snprintf(whole, sizeof(whole), "%s/%s", p->dir, w->s) : -1;
	if (r < 0)
		return error_at(p, w->column,
			"cannot include %s: there is no directory to look in; write the whole path",
			w->s);
	r = path_normalise(whole, strlen(whole), normal, sizeof(normal));
	if (r < 0)
		return error_at(p, w->column, "cannot include %s: %s", w->s, strerror(-r));
	return load(p, w, false, normal);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static const struct keyword {
	const char *word;
	int (*parse)(struct policy *p, const struct word *words, int n);
} keywords[] = {
	{"allow", rule_parse},
	{"ask", rule_parse},
	{"deny", rule_parse},
	{"expect", expect_parse},
	{"include", parse_include},
	{"set", parse_set},
	{"use", parse_use},
};
#define KEYWORDS (sizeof(keywords) / sizeof(*keywords))

/* The nearest of all the words that may begin a line. */
static const char *nearest_keyword(const struct word *w)
{
	const char *all[KEYWORDS + 32];
	size_t n = 0;

	for (size_t i = 0; i < KEYWORDS; i++)
		all[n++] = keywords[i].word;
	for (size_t i = 0; policy_setting_names[i] && n < KEYWORDS + 31; i++)
		all[n++] = policy_setting_names[i];
	all[n] = NULL;
	return nearest_word(w->s, w->n, all);
}

static int parse_line(struct policy *p, const struct word *words, int n)
{
	const char *near;

	for (size_t i = 0; i < KEYWORDS; i++)
		if (word_is(&words[0], keywords[i].word))
			return keywords[i].parse(p, words, n);
	if (!words[0].quoted && setting_known(words[0].s))
		return setting_parse(p, words, n);
	near = nearest_keyword(&words[0]);
	if (near)
		return error_at(p, words[0].column, "unknown word \"%s\"; did you mean \"%s\"?",
			words[0].s, near);
	return error_at(p, words[0].column,
		"unknown word \"%s\"; a line begins with allow, ask, deny, use, include, set, "
		"expect "
		"or the name of a setting",
		words[0].s);
}

/* Whether a line has blanks alone. */
static bool is_empty(const char *line, size_t size)
{
	while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t'))
		size--;
	return size == 0;
}

/* `text` need not end in NUL. */
static int parse_text(
	struct policy *p, const char *name, const char *dir, const char *text, size_t size)
{
	const char *end = text + size;
	int result = 0;

	p->file = name;
	p->dir = dir;
	p->line = 0;
	if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) /* a byte order mark */
		text += 3;
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text);
		struct word *words;
		int r;

		p->line++;
		if (length > 0 && text[length - 1] == '\r')
			length--;
		if (!is_empty(text, length)) {
			p->source = store_copy(p, text, length);
			p->origin = name[0] == '-' ? name : store_printf(p, "%s:%u", name, p->line);
			if (!p->source || !p->origin)
				return -ENOMEM;
			r = lex_line(p, text, length, &words);
			if (r > 0)
				r = parse_line(p, words, r);
			if (r == -ENOMEM || p->out_of_memory)
				return -ENOMEM;
			if (r < 0)
				result = -EINVAL;
		}
		text = newline ? newline + 1 : end;
	}
	return result;
}

int policy_add_text(
	struct policy *p, const char *name, const char *dir, const char *text, size_t size)
{
	const char *copy = store_copy(p, name, strlen(name));
	const char *copy_dir = dir ? store_copy(p, dir, strlen(dir)) : NULL;
	const char *slash = strrchr(name, '/');
	const char *path = dir ? store_printf(p, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir,
					 slash ? slash + 1 : name)
			       : copy;
	int r;

	if (!copy || !path || (dir && !copy_dir))
		return -ENOMEM;
	r = source_add(p, path);
	if (r == 0) {
		size_t i = p->n_sources - 1;

		r = parse_text(p, copy, copy_dir, text, size);
		p->sources[i].open = false;
	}
	return r;
}
