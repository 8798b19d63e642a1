/* SPDX-License-Identifier: MIT */
/*
 * lex.c - a line of policy into words.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 *
 * A word knows of each of its bytes whether it was written as itself.  Only such a byte may be a
 * wildcard: what came from a variable or an escape is never one.
 */
#include "policy/internal.h"

#include <errno.h>
#include <string.h>

/* A word being built; its buffers hold one path of the greatest size. */
struct builder {
	struct policy *p;
	const char *line, *at, *end;
	char bytes[PATH_MAX];
	unsigned char magic[PATH_MAX];
	size_t n;
};

static unsigned column_of(const struct builder *b, const char *at)
{
	return (unsigned)(at - b->line) + 1;
}

static int put(struct builder *b, char c, bool magic)
{
	if (b->n + 1 >= sizeof(b->bytes))
		return error_at(b->p, column_of(b, b->at),
			"a word of more than %zu bytes, which no path can be",
			sizeof(b->bytes) - 1);
	b->bytes[b->n] = c;
	b->magic[b->n++] = magic;
	return 0;
}

static bool name_byte(char c, bool first)
{
	return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (!first && c >= '0' && c <= '9');
}

bool name_is_valid(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!name_byte(name[i], i == 0))
			return false;
	return n > 0;
}

/* "$NAME", at the dollar. */
static int put_variable(struct builder *b)
{
	const char *name = b->at + 1, *end = name;
	unsigned column = column_of(b, b->at);

	while (end < b->end && name_byte(*end, end == name))
		end++;
	if (end == name)
		return error_at(b->p, column,
			"no name after \"$\"; write \"\\x24\", quoted, for the character itself");
	b->at = end;
	for (size_t i = 0; i < b->p->n_variables; i++) {
		struct variable *v = &b->p->variables[i];

		if (strlen(v->name) != (size_t)(end - name) ||
			memcmp(v->name, name, (size_t)(end - name)) != 0)
			continue;
		v->known = true;
		for (const char *c = v->value; *c; c++) {
			int r = put(b, *c, false);

			if (r < 0)
				return r;
		}
		return 0;
	}
	return error_at(b->p, column,
		"%.*s is not set; add a line \"set %.*s = VALUE\" above, or --set %.*s=VALUE",
		(int)(end - name), name, (int)(end - name), name, (int)(end - name), name);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* An escape, at the backslash. */
static int put_escape(struct builder *b)
{
	unsigned column = column_of(b, b->at);
	char c = b->at + 1 < b->end ? b->at[1] : '\0';
	int high, low;

	if (c == 'n')
		c = '\n';
	else if (c == 'x') {
		high = b->at + 2 < b->end ? hex_digit(b->at[2]) : -1;
		low = b->at + 3 < b->end ? hex_digit(b->at[3]) : -1;
		if (high < 0 || low < 0)
			return error_at(b->p, column, "\"\\x\" needs two hexadecimal digits");
		if (high == 0 && low == 0)
			return error_at(b->p, column, "no path holds a NUL byte");
		b->at += 4;
		return put(b, (char)(high << 4 | low), false);
	} else if (c == '\0' || !strchr("\"\\*?[", c))
		return error_at(b->p, column,
			"unknown escape; there are \\\" \\\\ \\* \\? \\[ \\n and \\xHH");
	b->at += 2;
	return put(b, c, false);
}

/* A byte that was written as itself. */
static int put_plain(struct builder *b)
{
	unsigned char c = (unsigned char)*b->at;

	if ((c < 0x20 && c != '\t') || c == 0x7f)
		return error_at(b->p, column_of(b, b->at),
			"a control character; write \"\\x%02x\", quoted", c);
	return put(b, *b->at++, true);
}

static int put_quoted(struct builder *b)
{
	unsigned column = column_of(b, b->at);
	int r = 0;

	for (b->at++; r == 0;) {
		if (b->at == b->end)
			return error_at(b->p, column, "a quote that is not closed on its line");
		if (*b->at == '"')
			break;
		if (*b->at == '\\')
			r = put_escape(b);
		else if (*b->at == '$')
			r = put_variable(b);
		else
			r = put_plain(b);
	}
	b->at++;
	return r;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* What stands in quotes, which ends its word. */
static int put_last_quoted(struct builder *b)
{
	int r = put_quoted(b);

	if (r == 0 && b->at < b->end && !is_blank(*b->at))
		r = error_at(b->p, column_of(b, b->at), "a blank is missing after the quote");
	return r;
}

static int put_word(struct builder *b)
{
	int r = 0;

	if (*b->at == '"')
		return put_last_quoted(b);
	while (r == 0 && b->at < b->end && !is_blank(*b->at)) {
		if (*b->at == '$')
			r = put_variable(b);
		else if (*b->at == '"' && b->at[-1] == '=')
			return put_last_quoted(b); /* NAME="a value" */
		else if (*b->at == '"' || *b->at == '\\')
			r = error_at(b->p, column_of(b, b->at),
				"%c within a bare word; put the whole word in quotes", *b->at);
		else
			r = put_plain(b);
	}
	return r;
}

static int finish_word(struct builder *b, unsigned column, bool quoted, struct word *ret)
{
	unsigned char *magic = store_alloc(b->p, b->n + 1);
	char *s = store_copy(b->p, b->bytes, b->n);

	if (!s || !magic)
		return -ENOMEM;
	memcpy(magic, b->magic, b->n);
	*ret = (struct word){s, magic, b->n, column, quoted};
	return 0;
}

static size_t count_blanks(const char *line, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < size; i++)
		n += is_blank(line[i]);
	return n;
}

int lex_line(struct policy *p, const char *line, size_t size, struct word **ret_words)
{
	struct builder b = {.p = p, .line = line, .at = line, .end = line + size};
	size_t room = count_blanks(line, size) + 1;
	struct word *words;
	int n = 0, r;

	if (room > WORDS_MAX)
		room = WORDS_MAX;
	words = store_alloc(p, room * sizeof(*words));
	if (!words)
		return -ENOMEM;
	for (;;) {
		const char *start;

		while (b.at < b.end && is_blank(*b.at))
			b.at++;
		if (b.at == b.end || *b.at == '#')
			break;
		if ((size_t)n == room)
			return error_at(
				p, column_of(&b, b.at), "more than %d words on a line", WORDS_MAX);
		start = b.at;
		b.n = 0;
		r = put_word(&b);
		if (r == 0)
			r = finish_word(&b, column_of(&b, start), *start == '"', &words[n++]);
		if (r < 0)
			return r;
	}
	*ret_words = words;
	return n;
}

bool word_is(const struct word *w, const char *keyword)
{
	return !w->quoted && strcmp(w->s, keyword) == 0;
}

bool word_magic(const struct word *w, size_t i, char c)
{
	return i < w->n && w->s[i] == c && w->magic[i];
}
