/* SPDX-License-Identifier: MIT */
/*
 * text.c - the policy printed: the copy for the ledger, the line to add.
 *
 * Runs in: broker (at start), command line.  Trusts: nothing in the path of a suggestion.
 */
#include "policy/internal.h"

#include "common/plain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

struct out {
	char *at;
	size_t n, room;
	bool full;
};

static void out_put(struct out *o, const char *s, size_t n)
{
	if (o->n + n >= o->room) {
		o->full = true;
		return;
	}
	memcpy(o->at + o->n, s, n);
	o->n += n;
	o->at[o->n] = '\0';
}

static bool needs_quotes(const char *s, const unsigned char *magic, size_t n)
{
	size_t len;

	if (n == 0)
		return true;
	for (size_t i = 0; i < n; i += len) {
		len = plain_size(s + i, n - i);
		if (len == 0 || strchr(" \"\\#$", s[i]) ||
			(strchr("*?[]", s[i]) && !(magic && magic[i])))
			return true;
	}
	return false;
}

static void quote_hex(struct out *o, char c)
{
	char hex[5];

	snprintf(hex, sizeof(hex), "\\x%02x", (unsigned char)c);
	out_put(o, hex, 4);
}

/* Nothing in a quoted word harms who reads it: a line to add is printed as it is. */
static void quote(struct out *o, const char *s, const unsigned char *magic, size_t n)
{
	size_t len;

	if (!needs_quotes(s, magic, n)) {
		out_put(o, s, n);
		return;
	}
	out_put(o, "\"", 1);
	for (size_t i = 0; i < n; i += len) {
		bool wild = strchr("*?[]", s[i]) && s[i] && !(magic && magic[i]);

		len = plain_size(s + i, n - i);
		if (s[i] == '\n') {
			out_put(o, "\\n", 2);
			len = 1;
		} else if (len == 0 || s[i] == '$' || (s[i] == ']' && wild)) {
			quote_hex(o, s[i]);
			len = 1;
		} else {
			if (s[i] == '"' || s[i] == '\\' || wild)
				out_put(o, "\\", 1);
			out_put(o, s + i, len);
		}
	}
	out_put(o, "\"", 1);
}

int text_quote(const char *s, const unsigned char *magic, size_t n, char *buf, size_t size)
{
	struct out o = {buf, 0, size, size == 0};

	if (size > 0)
		buf[0] = '\0';
	quote(&o, s, magic, n);
	return o.full ? -ENAMETOOLONG : (int)o.n;
}

const char *text_word(struct policy *p, const char *s, const unsigned char *magic, size_t n)
{
	size_t room = 4 * n + 3;
	char *buf = store_alloc(p, room);

	return buf && text_quote(s, magic, n, buf, room) >= 0 ? buf : "\"\"";
}

/* Where a statement stood, as the comment at its end: no name of a file ends the comment's line. */
static void print_origin(FILE *f, const char *name)
{
	size_t n = strlen(name), len;

	fputs("\t# ", f);
	for (; n > 0; name += len, n -= len) {
		len = plain_size(name, n);
		if (len > 0) {
			fwrite(name, 1, len, f);
			continue;
		}
		fprintf(f, "\\x%02x", (unsigned char)*name);
		len = 1;
	}
	putc('\n', f);
}

/* ---- the whole text -------------------------------------------------------------------------- */

/* Prefix and rest as one word: the prefix is literal, the rest as it was written. */
static const char *print_pattern(struct policy *p, const struct pattern *t, bool socket)
{
	size_t n = strlen(t->prefix), size = n + 6;
	unsigned char *magic;
	char *s;

	for (size_t i = 0; i < t->n_rest; i++)
		size += t->rest[i].n + 1;
	s = store_alloc(p, size);
	magic = store_alloc(p, size);
	if (!s || !magic)
		return "\"\"";
	n = t->anywhere || n == 1 ? 0 : n;
	memcpy(s, t->prefix, n);
	for (size_t i = 0; i < t->n_rest; i++) {
		const struct component *c = &t->rest[i];

		if (n > 0 || !t->anywhere)
			s[n++] = '/';
		memcpy(s + n, c->s, c->n);
		if (c->magic)
			memcpy(magic + n, c->magic, c->n);
		n += c->n;
	}
	if (t->anywhere && t->n_rest == 0) {
		memcpy(s, "**", 2);
		memset(magic, 1, 2);
		n = 2;
	} else if (t->subtree || n == 0) {
		s[n++] = '/';
		/* "dir/" is no socket. */
		for (unsigned i = 0; socket && i < 2; i++) {
			magic[n] = 1;
			s[n++] = '*';
		}
	}
	return text_word(p, s, magic, n);
}

static void print_rights(FILE *f, unsigned rights)
{
	const char *comma = "";

	if (rights == RIGHTS_ALL) {
		fputs("any", f);
		return;
	}
	for (unsigned i = 0; i < MARKS_COUNT; i++)
		if (rights & 1u << i) {
			fprintf(f, "%s%s", comma, right_name(i));
			comma = ",";
		}
}

static void print_sock(struct policy *p, FILE *f, const struct sock *s)
{
	char text[512];

	if (s->kind == HOST_ABSTRACT)
		fprintf(f, " %s", text_word(p, s->name - 1, NULL, s->name_size + 1));
	else if (host_print(s, text, sizeof(text)) >= 0)
		fprintf(f, " %s", text);
}

static void print_rule(struct policy *p, FILE *f, const struct rule *r)
{
	static const char *const types[] = {"char", "block", "fifo", "dgram"};
	bool socket = r->rights & RIGHTS_SOCK;
	const char *except = " except";

	fprintf(f, "%s ", policy_verdict_name(r->verdict));
	print_rights(f, r->written);
	for (size_t i = r->first_tree; i < r->first_tree + r->n_trees; i++)
		fprintf(f, " %s", print_pattern(p, &p->trees[i].pattern, socket));
	for (size_t i = r->first_sock; i < r->first_sock + r->n_socks; i++)
		print_sock(p, f, &p->socks[i]);
	if (r->as == AS_BROKER)
		fputs(" as broker", f);
	for (unsigned i = 0; i < 4; i++)
		if (r->types & 1u << i)
			fprintf(f, " type %s", types[i]);
	if (r->has_mode)
		fprintf(f, " mode %04o", (unsigned)r->mode_max);
	if (r->timeout_ms)
		fprintf(f, " timeout %ums", r->timeout_ms);
	if (r->optional)
		fputs(" optional", f);
	for (size_t i = r->first_except; i < r->first_except + r->n_excepts; i++, except = "")
		fprintf(f, "%s %s", except, print_pattern(p, &p->excepts[i].pattern, socket));
	for (size_t i = 0; i < r->n_sock_excepts; i++, except = "") {
		fputs(except, f);
		print_sock(p, f, &p->sock_excepts[r->first_sock_except + i]);
	}
	print_origin(f, r->name);
}

static const char *print_word(struct policy *p, const char *s)
{
	return text_word(p, s, NULL, strlen(s));
}

static bool given(const struct policy *p, enum policy_setting id)
{
	return p->settings.given & 1ull << id;
}

static void print_number(struct policy *p, FILE *f, enum policy_setting id, const char *word,
	uint64_t value, const char *unit)
{
	if (!given(p, id))
		return;
	fprintf(f, "%s %llu%s", word, (unsigned long long)value, unit);
	print_origin(f, p->setting_origin[id]);
}

static void print_list(struct policy *p, FILE *f, enum policy_setting id, const char *word,
	const char *const *values, size_t n, bool none)
{
	if (!given(p, id))
		return;
	fprintf(f, "%s%s", word, none ? " none" : "");
	for (size_t i = 0; i < n; i++)
		fprintf(f, " %s", print_word(p, values[i]));
	print_origin(f, p->setting_origin[id]);
}

static void print_settings(struct policy *p, FILE *f)
{
	static const char *const roots[] = {"view", "empty", "host"};
	const struct policy_settings *s = &p->settings;

	print_list(p, f, SET_ROOT, "root", &roots[s->root], 1, false);
	print_list(p, f, SET_RUNTIME, "runtime", s->runtime, s->n_runtime, s->runtime_none);
	print_list(p, f, SET_USER, "user", (const char *const *)&s->user, 1, false);
	print_list(p, f, SET_ENV, "env", s->env, s->n_env, false);
	print_list(p, f, SET_HOME, "home", (const char *const *)&s->home, 1, false);
	print_number(p, f, SET_TMP, "tmp", s->tmp_size, "");
	print_number(p, f, SET_MEMORY, "memory", s->memory, "");
	print_number(p, f, SET_TASKS, "tasks", s->tasks, "");
	print_number(p, f, SET_FILES, "files", s->files, "");
	print_number(p, f, SET_CPU, "cpu", s->cpu_ms, "ms");
	print_number(p, f, SET_TIME, "time", s->time_ms, "ms");
	print_number(p, f, SET_LIMIT_REQUESTS, "limit requests", s->limit_requests, "");
	print_number(p, f, SET_LIMIT_HELD, "limit held", s->limit_held, "");
	for (unsigned i = 0; policy_layer_name(1u << i); i++)
		if (s->accept & 1u << i) {
			fprintf(f, "accept missing %s", policy_layer_name(1u << i));
			print_origin(f, p->accept_origin[i]);
		}
	/* A relative one is the command line's, which said it for this run alone. */
	if (given(p, SET_LEDGER) && (s->ledger[0] == '/' || strncmp(s->ledger, "fd:", 3) == 0))
		print_list(p, f, SET_LEDGER, "ledger", (const char *const *)&s->ledger, 1, false);
	if (given(p, SET_LEDGER_SYNC)) {
		fputs("ledger sync batch", f);
		print_origin(f, p->setting_origin[SET_LEDGER_SYNC]);
	}
	if (given(p, SET_CLIENTS)) {
		fputs("clients", f);
		for (size_t i = 0; i < p->n_clients; i++)
			fprintf(f, " %s", print_word(p, p->clients[i].pub.text));
		print_origin(f, p->setting_origin[SET_CLIENTS]);
	}
	print_number(p, f, SET_WORKERS, "workers", s->workers, "");
}

static void print_all(struct policy *p, FILE *f)
{
	print_settings(p, f);
	for (size_t i = 0; i < p->n_rules; i++)
		print_rule(p, f, &p->rules[i]);
	for (size_t i = 0; i < p->n_expects; i++) {
		fputs(p->expects[i].text, f);
		print_origin(f, p->expects[i].name);
	}
}

static int make_text(struct policy *p)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	int failed;

	if (!f)
		return -ENOMEM;
	print_all(p, f);
	failed = ferror(f);
	failed |= fclose(f);
	if (!failed) {
		p->text = store_copy(p, text, size);
		p->text_size = size;
	}
	free(text);
	return failed || !p->text ? -ENOMEM : store_result(p);
}

const char *policy_text(const struct policy *p, size_t *ret_size)
{
	*ret_size = p->text ? p->text_size : 0;
	return p->text;
}

int policy_finish(struct policy *p)
{
	if (p->out_of_memory)
		return -ENOMEM;
	if (p->n_errors > 0)
		return -EINVAL;
	if (peers_check_udp(p) < 0)
		return p->out_of_memory ? -ENOMEM : -EINVAL;
	return make_text(p);
}

/* ---- what people read ------------------------------------------------------------------------ */

int policy_quote(const char *path, char *buf, size_t size)
{
	return text_quote(path, NULL, strlen(path), buf, size);
}

/* What the grammar has of a host: a name that nobody could have is no line of policy. */
static bool is_host(const char *s)
{
	for (; *s; s++)
		if (!(*s >= '0' && *s <= '9') && !(*s >= 'a' && *s <= 'z') &&
			!(*s >= 'A' && *s <= 'Z') && !strchr(" -._:[]", *s))
			return false;
	return true;
}

/* "/dir/", two asterisks and the path's last name; of exec "/dir/", since no wildcard gives that.
 */
static int quote_beneath(unsigned rights, const char *path, size_t fixed, char *buf, size_t size)
{
	static const char between[] = "/**";
	char word[PATH_MAX + sizeof(between)];
	unsigned char magic[sizeof(word)] = {0};
	size_t n = strlen(path), name = n;

	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (rights & RIGHT_EXEC)
		return text_quote(path, NULL, fixed + 1, buf, size);
	while (name > fixed + 1 && (name == n || path[name - 1] != '/'))
		name--;
	memcpy(word, path, fixed);
	memcpy(word + fixed, between, strlen(between));
	magic[fixed + 1] = magic[fixed + 2] = 1;
	fixed += strlen(between);
	word[fixed++] = '/';
	memcpy(word + fixed, path + name, n - name);
	return text_quote(word, magic, fixed + n - name, buf, size);
}

int policy_suggest(unsigned rights, const char *path, size_t fixed, char *buf, size_t size)
{
	char names[64], word[4 * PATH_MAX + 3];
	int n;

	/* A host needs no quotes, though its brackets would in a path.  A UDP socket that no rule
	 * names is bound inside the cell, and none is missing. */
	if ((rights & RIGHTS_SOCK) && path[0] != '/' && path[0] != '@') {
		if (!is_host(path) || ((rights & RIGHT_BIND) && strncmp(path, "udp ", 4) == 0))
			return -EINVAL;
		n = snprintf(buf, size, "allow %s %s",
			policy_rights_name(rights, names, sizeof(names)), path);
		return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
	}
	if (!*policy_rights_name(rights, names, sizeof(names)) || strcmp(path, "/") == 0 ||
		strncmp(path, "/proc/", strlen("/proc/")) == 0)
		return -EINVAL;
	n = fixed > 0 && fixed < strlen(path)
		    ? quote_beneath(rights, path, fixed, word, sizeof(word))
		    : policy_quote(path, word, sizeof(word));
	if (n < 0)
		return n;
	n = snprintf(buf, size, "allow %s %s", names, word);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int policy_expect(struct policy *p)
{
	int failed = 0;

	for (size_t i = 0; i < p->n_expects; i++) {
		const struct expect *e = &p->expects[i];
		enum verdict got = VERDICT_DENY;
		const char *rule = NULL;

		/* Each right for itself: "expect deny any" means that none is given. */
		for (unsigned right = 1; e->path && right <= e->rights; right <<= 1) {
			struct policy_answer a;

			if (!(e->rights & right))
				continue;
			got = policy_check(p, e->path, strlen(e->path), right, &a);
			rule = a.rule;
			if (got != e->verdict)
				break;
		}
		if (!e->path) {
			const struct policy_socket s = {
				.bind = e->sock.bind,
				.protocol = e->sock.protocol,
				.address = e->sock.kind == HOST_ADDRESS ? e->sock.address : NULL,
				.port = e->sock.low,
				.name = e->sock.name,
				.name_size = e->sock.name_size,
			};
			struct policy_answer a;

			got = policy_check_socket(p, &s, &a);
			rule = a.rule;
		}
		if (got == e->verdict)
			continue;
		failed++;
		diag_add(p, e->file, e->line, e->column, e->source, false,
			store_printf(p, "expected %s, but the verdict is %s, by %s",
				policy_verdict_name(e->verdict), policy_verdict_name(got),
				rule ? rule : "no rule at all"));
	}
	return p->out_of_memory ? -ENOMEM : failed;
}
