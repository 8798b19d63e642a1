/* SPDX-License-Identifier: MIT */
/*
 * rule.c - one rule: verdict, rights, targets, options; and one expectation.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 */
#include "policy/internal.h"

#include "common/nearest.h"

#include <errno.h>
#include <string.h>

const char *const option_names[] = {"except", "as", "type", "mode", "timeout", "optional", NULL};

static enum verdict parse_verdict(const struct word *w)
{
	return word_is(w, "allow") ? VERDICT_ALLOW : word_is(w, "ask") ? VERDICT_ASK : VERDICT_DENY;
}

/* ---- rights ---------------------------------------------------------------------------------- */

static bool text_is(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && memcmp(s, word, n) == 0;
}

static int unknown_right(struct policy *p, unsigned column, const char *s, size_t n)
{
	const char *near = nearest_word(s, n, right_names);

	if (text_is(s, n, "connect") || text_is(s, n, "bind"))
		return error_at(p, column,
			"\"%.*s\" stands alone: write a line for it, and another for what stands "
			"beside it",
			(int)n, s);
	if (text_is(s, n, "listen"))
		near = "bind";
	if (near)
		return error_at(
			p, column, "unknown right \"%.*s\"; did you mean \"%s\"?", (int)n, s, near);
	return error_at(p, column,
		"unknown right \"%.*s\"; there are read, list, write, append, create, delete, "
		"exec, "
		"rw, rwx, any, connect, bind",
		(int)n, s);
}

/* The rights of one word, separated by commas. */
static int parse_rights_word(
	struct policy *p, const struct word *w, enum verdict verdict, unsigned *rights)
{
	int result = 0;

	for (size_t at = 0, to; at < w->n; at = to + 1) {
		const char *comma = memchr(w->s + at, ',', w->n - at);
		unsigned column = w->column + (unsigned)at, more;

		to = comma ? (size_t)(comma - w->s) : w->n;
		more = right_written(w->s + at, to - at);
		if (to == at && (at > 0 || w->n > 1))
			result = error_at(p, column, "a right is missing beside the comma");
		else if (more == RIGHTS_ALL && verdict == VERDICT_ALLOW)
			result = error_at(p, column,
				"\"any\" stands only after deny and ask; write \"rwx\" for all "
				"that "
				"can be allowed");
		else if (to > at && !more)
			result = unknown_right(p, column, w->s + at, to - at);
		*rights |= more;
	}
	return result;
}

/* "read,write", also "read, write".  Returns the index of the word after them. */
static int parse_rights(struct policy *p, const struct word *words, int n, enum verdict verdict,
	unsigned *ret_rights)
{
	int at = 1, result = 0;
	bool comma;

	*ret_rights = 0;
	if (n < 2)
		return error_at(p, words[0].column + (unsigned)words[0].n,
			"a right is missing after \"%s\", such as read or rw", words[0].s);
	do {
		const struct word *w = &words[at];
		struct word part = *w;

		comma = w->n > 0 && w->s[w->n - 1] == ',';
		part.n -= comma;
		if (part.n > 0 && parse_rights_word(p, &part, verdict, ret_rights) < 0)
			result = -EINVAL;
		at++;
		comma = comma || (at < n && word_is(&words[at], ","));
	} while (comma && at < n && !target_looks_like(&words[at]));
	if (comma && result == 0)
		result = error_at(p, words[at - 1].column, "a right is missing after the comma");
	return result < 0 ? result : at;
}

/* ---- options --------------------------------------------------------------------------------- */

static int parse_as(struct policy *p, const struct word *w, struct rule *r)
{
	static const char *const names[] = {"worker", "client", "broker", NULL};
	const char *near;

	if (word_is(w, "worker"))
		r->as = AS_WORKER;
	else if (word_is(w, "broker"))
		r->as = AS_BROKER;
	else if (word_is(w, "client"))
		return error_at(p, w->column,
			"\"as client\" is not supported by this version: a worker serves clients "
			"of any identity; leave it out, or write \"as broker\"");
	else {
		near = nearest_word(w->s, w->n, names);
		return error_at(p, w->column,
			"\"as\" takes worker, client or broker, not \"%s\"%s%s%s", w->s,
			near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
	return 0;
}

static int parse_type(struct policy *p, const struct word *w, struct rule *r)
{
	static const char *const names[] = {"char", "block", "fifo", "dgram", NULL};
	bool socket = r->rights & RIGHTS_SOCK;
	const char *near;

	for (unsigned i = 0; names[i]; i++)
		if (word_is(w, names[i])) {
			if (socket != (1u << i == TYPE_DATAGRAM))
				return error_at(p, w->column,
					socket ? "\"type %s\" is of files; a socket's is dgram"
					       : "\"type %s\" is of sockets; a file's is char, "
						 "block or fifo",
					w->s);
			r->types |= 1u << i;
			return 0;
		}
	near = nearest_word(w->s, w->n, names);
	return error_at(p, w->column, "\"type\" takes %s, not \"%s\"%s%s%s",
		socket ? "dgram" : "char, block or fifo", w->s, near ? "; did you mean \"" : "",
		near ? near : "", near ? "\"?" : "");
}

static int parse_mode(struct policy *p, const struct word *w, struct rule *r)
{
	unsigned mode = 0;

	for (size_t i = 0; i < w->n; i++) {
		if (w->s[i] < '0' || w->s[i] > '7' || mode > 0777)
			mode = 010000;
		else
			mode = mode * 8 + (unsigned)(w->s[i] - '0');
	}
	if (w->n == 0 || mode >= 010000)
		return error_at(p, w->column,
			"\"mode\" takes an octal number such as 0640, not \"%s\"", w->s);
	if (mode > 0777)
		return error_at(p, w->column,
			"mode %s: set-user-ID, set-group-ID and sticky bits are never given; write "
			"0777 or less",
			w->s);
	r->mode_max = (mode_t)mode;
	r->has_mode = true;
	return 0;
}

static int parse_timeout(struct policy *p, const struct word *w, struct rule *r)
{
	uint64_t ms;
	int e = time_parse(p, w, &ms);

	if (e < 0)
		return e;
	if (ms > UINT32_MAX)
		return error_at(p, w->column, "a timeout of more than 49 days");
	r->timeout_ms = (unsigned)ms;
	return 0;
}

static const struct option {
	const char *word;
	bool grants; /* says something of what is granted, so has no meaning on a deny */
	int (*parse)(struct policy *p, const struct word *value, struct rule *r);
	unsigned rights;   /* of which it says something; what it says of sockets: socket.c */
	const char *where; /* those, as it is said */
} options[] = {
	{"as", true, parse_as, MARKS_ALL, NULL},
	{"type", true, parse_type, MARKS_ALL, NULL},
	/* Of write: chmod(2). */
	{"mode", true, parse_mode, RIGHT_CREATE | RIGHT_WRITE | RIGHTS_SOCK,
		"create, write and bind"},
	{"timeout", true, parse_timeout, RIGHTS_SOCK, "connect"},
	{"optional", false, NULL, MARKS_ALL, NULL},
};

static int unknown_option(struct policy *p, const struct word *w)
{
	const char *near = nearest_word(w->s, w->n, option_names);

	if (near && strcmp(near, w->s) == 0)
		return error_at(p, w->column, "a target is missing before \"%s\"", w->s);
	if (near)
		return error_at(
			p, w->column, "unknown option \"%s\"; did you mean \"%s\"?", w->s, near);
	return error_at(p, w->column,
		"\"%s\" is neither a target (\"/\", \"./\" or \"~/\") nor an option (except, as, "
		"type, "
		"mode, timeout, optional)",
		w->s);
}

int option_parse(struct policy *p, const struct word *words, int n, int at, struct rule *r)
{
	const struct word *w = &words[at];

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		const struct option *o = &options[i];
		int e;

		if (!word_is(w, o->word))
			continue;
		if (o->grants && r->verdict == VERDICT_DENY)
			return error_at(p, w->column,
				"\"%s\" has no meaning on a deny, which holds for all alike; leave "
				"it out",
				o->word);
		if (!(o->rights & r->rights))
			return error_at(p, w->column,
				"\"%s\" has a meaning for %s alone; leave it out", o->word,
				o->where);
		if (!o->parse) {
			r->optional = true;
			return 1;
		}
		if (at + 1 >= n)
			return error_at(p, w->column + (unsigned)w->n,
				"a value is missing after \"%s\"", o->word);
		e = o->parse(p, &words[at + 1], r);
		return e < 0 ? e : 2;
	}
	return 0;
}

/* ---- rules on files -------------------------------------------------------------------------- */

int tree_add(struct policy *p, const struct pattern *pattern, unsigned column, const struct rule *r)
{
	struct tree t = {.column = column, .pattern = *pattern};

	t.pub = (struct policy_tree){
		.rule = p->n_rules,
		.verdict = r->verdict,
		.rights = r->rights,
		.prefix = t.pattern.prefix,
		.resolved = t.pattern.prefix,
		.has_wildcard = t.pattern.n_rest > 0 || t.pattern.anywhere,
		.subtree = t.pattern.subtree,
	};
	if (!store_grow(p, &p->trees, p->n_trees, &p->trees_room, sizeof(*p->trees)))
		return -ENOMEM;
	p->trees[p->n_trees++] = t;
	return 0;
}

static int add_tree(struct policy *p, const struct word *w, const struct rule *r)
{
	struct pattern t;
	int e = target_parse(p, w, r->verdict, &t);

	return e < 0 ? e : tree_add(p, &t, w->column, r);
}

int except_add(struct policy *p, const struct pattern *t, unsigned column)
{
	struct except e = {.rule = p->n_rules, .column = column, .pattern = *t};

	e.resolved = e.pattern.prefix;
	if (!store_grow(p, &p->excepts, p->n_excepts, &p->excepts_room, sizeof(*p->excepts)))
		return -ENOMEM;
	p->excepts[p->n_excepts++] = e;
	return 0;
}

static int add_except(struct policy *p, const struct word *w)
{
	struct pattern t;
	int r = target_parse(p, w, VERDICT_DENY, &t);

	return r < 0 ? r : except_add(p, &t, w->column);
}

/* "except TARGET...", to the end of the line. */
static int parse_excepts(struct policy *p, const struct word *words, int n, int at)
{
	int result = 0;

	if (at + 1 >= n)
		return error_at(p, words[at].column + (unsigned)words[at].n,
			"a target is missing after \"except\"");
	for (int i = at + 1; i < n; i++) {
		int r = 0;

		if (target_looks_like(&words[i]))
			r = add_except(p, &words[i]);
		else
			r = error_at(p, words[i].column,
				"\"%s\": after \"except\", the last of its line, stand targets "
				"alone",
				words[i].s);
		if (r == -ENOMEM)
			return r;
		if (r < 0)
			result = r;
	}
	return result;
}

/* Targets, then options; words[at] is the first.  Goes on after an error, to name them all. */
static int parse_body(struct policy *p, const struct word *words, int n, int at, struct rule *r)
{
	int result = 0, first = at, e;

	for (; at < n && target_looks_like(&words[at]); at++) {
		e = add_tree(p, &words[at], r);
		if (e == -ENOMEM)
			return e;
		result = e < 0 ? e : result;
	}
	if (at == first)
		result = at < n ? unknown_option(p, &words[at])
				: error_at(p, words[n - 1].column + (unsigned)words[n - 1].n,
					  "a target is missing, such as \"./\" or /srv/data/");
	while (at < n && (result == 0 || at > first)) {
		if (word_is(&words[at], "except")) {
			e = parse_excepts(p, words, n, at);
			return e < 0 ? e : result;
		}
		if (target_looks_like(&words[at]))
			return error_at(p, words[at].column,
				"\"%s\": targets stand before the options, on one line or in a "
				"rule "
				"of their own",
				words[at].s);
		e = option_parse(p, words, n, at, r);
		if (e == 0)
			e = unknown_option(p, &words[at]);
		if (e < 0)
			return e;
		at += e;
	}
	return result;
}

int rule_add(struct policy *p, struct rule *r)
{
	r->n_trees = p->n_trees - r->first_tree;
	r->n_excepts = p->n_excepts - r->first_except;
	r->n_socks = p->n_socks - r->first_sock;
	r->n_sock_excepts = p->n_sock_excepts - r->first_sock_except;
	for (size_t i = r->first_tree; i < p->n_trees; i++) {
		p->trees[i].pub.optional = r->optional;
		p->trees[i].pub.as = r->as;
		p->trees[i].pub.types = r->types;
	}
	if (!store_grow(p, &p->rules, p->n_rules, &p->rules_room, sizeof(*p->rules)))
		return -ENOMEM;
	p->rules[p->n_rules++] = *r;
	return 0;
}

void rule_drop(struct policy *p, const struct rule *r)
{
	p->n_trees = r->first_tree;
	p->n_excepts = r->first_except;
	p->n_socks = r->first_sock;
	p->n_sock_excepts = r->first_sock_except;
}

/* ---- both ------------------------------------------------------------------------------------ */

int rule_parse(struct policy *p, const struct word *words, int n)
{
	struct rule r = {
		.name = p->origin,
		.file = p->file,
		.source = p->source,
		.line = p->line,
		.verdict = parse_verdict(&words[0]),
		.mode_max = 0777,
		.first_tree = p->n_trees,
		.first_except = p->n_excepts,
		.first_sock = p->n_socks,
		.first_sock_except = p->n_sock_excepts,
	};
	int at, e;

	if (n > 1 && (word_is(&words[1], "connect") || word_is(&words[1], "bind")))
		return socket_rule_parse(p, words, n, &r);
	at = parse_rights(p, words, n, r.verdict, &r.written);
	if (at < 0)
		return at;
	r.rights = right_close(r.written, r.verdict);
	e = parse_body(p, words, n, at, &r);
	if (e < 0) {
		rule_drop(p, &r);
		return e;
	}
	return rule_add(p, &r);
}

/* ---- expect ---------------------------------------------------------------------------------- */

int expect_add(struct policy *p, const struct expect *e)
{
	if (!e->text ||
		!store_grow(p, &p->expects, p->n_expects, &p->expects_room, sizeof(*p->expects)))
		return -ENOMEM;
	p->expects[p->n_expects++] = *e;
	return 0;
}

static int parse_expect_path(struct policy *p, const struct word *words, struct expect *e)
{
	const struct word *right = &words[2];
	bool slash;
	int r;

	e->rights = right_written(right->s, right->n);
	if (!e->rights)
		return memchr(right->s, ',', right->n)
			       ? error_at(p, right->column,
					 "\"expect\" takes one right; write a line for each")
			       : unknown_right(p, right->column, right->s, right->n);
	r = target_path(p, &words[3], true, &e->path, &slash);
	if (r < 0)
		return r;
	e->text = store_printf(p, "expect %s %s %s%s", words[1].s, right->s,
		text_word(p, e->path, NULL, strlen(e->path)), slash && e->path[1] ? "/" : "");
	return 0;
}

int expect_parse(struct policy *p, const struct word *words, int n)
{
	static const char *const verdicts[] = {"allow", "deny", "ask", NULL};
	struct expect e = {
		.name = p->origin,
		.file = p->file,
		.source = p->source,
		.line = p->line,
		.column = words[0].column,
	};
	const char *near;
	int r;

	if (n < 4)
		return error_at(p, words[n - 1].column + (unsigned)words[n - 1].n,
			"\"expect\" needs a verdict, a right and a path: expect deny read "
			"/etc/shadow");
	if (!word_is(&words[1], "allow") && !word_is(&words[1], "deny") &&
		!word_is(&words[1], "ask")) {
		near = nearest_word(words[1].s, words[1].n, verdicts);
		return error_at(p, words[1].column,
			"\"expect\" takes allow, deny or ask, not \"%s\"%s%s%s", words[1].s,
			near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	}
	e.verdict = parse_verdict(&words[1]);
	if (word_is(&words[2], "connect") || word_is(&words[2], "bind"))
		return socket_expect_parse(p, words, n, &e);
	if (n > 4)
		return error_at(
			p, words[4].column, "\"expect\" takes one path; write a line for each");
	r = parse_expect_path(p, words, &e);
	return r < 0 ? r : expect_add(p, &e);
}
