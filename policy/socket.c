/* SPDX-License-Identifier: MIT */
/*
 * socket.c - rules on sockets, and expectations of them.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 *
 * A Unix socket with a path is a tree like a file, with rights of its own; all others are kept by
 * host, see peers.c.
 */
#include "policy/internal.h"

#include "common/nearest.h"

#include <errno.h>
#include <string.h>

#define UNIX_PATH_MAX 107 /* sun_path less its NUL, unix(7) */

static bool is_path(const struct word *w)
{
	return w->s[0] == '/' || w->s[0] == '~' || strncmp(w->s, "./", 2) == 0 ||
	       (word_magic(w, 0, '*') && word_magic(w, 1, '*'));
}

static int parse_abstract(struct policy *p, const struct word *w, struct sock *ret)
{
	if (w->n < 2 || w->n - 1 > UNIX_PATH_MAX)
		return error_at(p, w->column,
			"\"%s\": an abstract name has 1 to %d bytes after \"@\"", w->s,
			UNIX_PATH_MAX);
	for (size_t i = 0; i < w->n; i++)
		if (w->magic[i] && strchr("*?[", w->s[i]))
			return error_at(p, w->column,
				"\"%s\": an abstract name has no wildcards; write \"\\%c\", "
				"quoted, "
				"for the character itself",
				w->s, w->s[i]);
	ret->protocol = PROTOCOL_ABSTRACT;
	ret->kind = HOST_ABSTRACT;
	ret->name = w->s + 1;
	ret->name_size = w->n - 1;
	ret->high = UINT16_MAX;
	return 0;
}

/* What cannot be given, said where it is asked for. */
static int check_given(struct policy *p, const struct word *w, const struct sock *s)
{
	if (s->bind && s->protocol == PROTOCOL_UDP && address_is_group(s->address))
		return error_at(p, w->column,
			"\"%s\": multicast and broadcast are received at no rule's word; name an "
			"address of this host",
			w->s);
	if (!s->bind && s->protocol == PROTOCOL_UDP && s->high - s->low >= POLICY_UDP_PORTS_MAX)
		return error_at(p, w->column,
			"\"%s\": a cell has at most %d UDP ports, since each is listened on for "
			"it; name those that are needed",
			w->s, POLICY_UDP_PORTS_MAX);
	return 0;
}

int socket_parse(struct policy *p, const struct word *words, int n, int at, bool bind,
	enum verdict verdict, bool *ret_path, struct pattern *ret_pattern, struct sock *ret)
{
	const struct word *w = &words[at];
	int protocol = word_is(w, "tcp") || word_is(w, "udp"), r;

	*ret = (struct sock){.bind = bind};
	if (protocol && at + 1 >= n)
		return error_at(
			p, w->column + (unsigned)w->n, "a socket is missing after \"%s\"", w->s);
	ret->protocol = word_is(w, "udp") ? PROTOCOL_UDP : PROTOCOL_TCP;
	w += protocol;
	ret->column = w->column;
	if (w->n == 0)
		return error_at(p, w->column, "an empty socket");
	*ret_path = is_path(w);
	if (protocol && (*ret_path || w->s[0] == '@'))
		return error_at(p, w->column, "\"%s\": a Unix socket is neither tcp nor udp", w->s);
	if (*ret_path && w->s[w->n - 1] == '/')
		return error_at(p, w->column, "\"%s\": a socket is no directory", w->s);
	if (*ret_path)
		r = target_parse(p, w, verdict, ret_pattern);
	else
		r = w->s[0] == '@' ? parse_abstract(p, w, ret) : host_parse(p, w, ret);
	if (r == 0 && !*ret_path && bind && ret->kind != HOST_ADDRESS && ret->kind != HOST_ABSTRACT)
		r = error_at(p, w->column,
			"\"%s\": bind takes an address of this host, such as 127.0.0.1:8080 or "
			"0.0.0.0:8080, not a name",
			w->s);
	if (r == 0 && !*ret_path && verdict != VERDICT_DENY)
		r = check_given(p, w, ret);
	return r < 0 ? r : 1 + protocol;
}

/* ---- rules ----------------------------------------------------------------------------------- */

static int add_sock(struct policy *p, struct sock *s, bool except)
{
	s->rule = p->n_rules;
	if (except) {
		if (!store_grow(p, &p->sock_excepts, p->n_sock_excepts, &p->sock_excepts_room,
			    sizeof(*p->sock_excepts)))
			return -ENOMEM;
		p->sock_excepts[p->n_sock_excepts++] = *s;
		return 0;
	}
	if (!store_grow(p, &p->socks, p->n_socks, &p->socks_room, sizeof(*p->socks)))
		return -ENOMEM;
	p->socks[p->n_socks++] = *s;
	return 0;
}

static int parse_one(struct policy *p, const struct word *words, int n, int at,
	const struct rule *r, bool except)
{
	struct pattern pattern;
	struct sock s;
	bool path;
	const char *near =
		at > 2 && !except ? nearest_word(words[at].s, words[at].n, option_names) : NULL;
	int took, e;

	if (near && !strpbrk(words[at].s, ":/@"))
		return error_at(p, words[at].column, "unknown option \"%s\"; did you mean \"%s\"?",
			words[at].s, near);
	took = socket_parse(p, words, n, at, r->rights & RIGHT_BIND,
		except ? VERDICT_DENY : r->verdict, &path, &pattern, &s);
	if (took < 0)
		return took;
	if (!path)
		e = add_sock(p, &s, except);
	else
		e = except ? except_add(p, &pattern, s.column) : tree_add(p, &pattern, s.column, r);
	return e < 0 ? e : took;
}

/* An option that would say nothing of any socket of its rule. */
static int check_options(struct policy *p, const struct word *words, const struct rule *r)
{
	bool bind = r->rights & RIGHT_BIND, paths = p->n_trees > r->first_tree;
	bool abstract = false;

	for (size_t i = r->first_sock; i < p->n_socks; i++)
		abstract |= p->socks[i].kind == HOST_ABSTRACT;
	if (r->as == AS_BROKER && !paths)
		return error_at(p, words[1].column,
			"\"as broker\" says whose files are opened: it has a meaning for a socket "
			"with a path alone; leave it out");
	if (r->has_mode && (!bind || !paths))
		return error_at(p, words[1].column,
			"\"mode\" has a meaning for \"bind PATH\" alone, which makes a file; leave "
			"it out");
	if (r->types && (bind || !paths))
		return error_at(p, words[1].column,
			"\"type dgram\" has a meaning for \"connect\" and a socket with a path "
			"alone; leave it out");
	if (r->types && abstract)
		return error_at(p, words[1].column,
			"\"type dgram\" is of sockets with a path: datagrams reach no abstract "
			"name; leave it out of this rule");
	if (r->types && r->as == AS_BROKER)
		return error_at(p, words[1].column,
			"\"as broker\" does not go with \"type dgram\": datagrams are sent as the "
			"worker");
	if (r->timeout_ms && bind)
		return error_at(p, words[1].column,
			"\"timeout\" has a meaning for \"connect\" alone; leave it out");
	return 0;
}

/* Sockets, then options; `except` is the last of its line. */
static int parse_body(struct policy *p, const struct word *words, int n, struct rule *r)
{
	int at = 2, sockets = 0, options = 0, took;
	bool except = false;

	while (at < n) {
		if (!except && word_is(&words[at], "except") && sockets > 0) {
			except = true;
			sockets = 0;
			at++;
			continue;
		}
		took = !except && sockets > 0 ? option_parse(p, words, n, at, r) : 0;
		options += took > 0;
		if (took == 0) {
			if (options > 0 && !except && strpbrk(words[at].s, ":/@"))
				return error_at(p, words[at].column,
					"\"%s\": sockets stand before the options, on one line or "
					"in a rule of their own",
					words[at].s);
			took = parse_one(p, words, n, at, r, except);
			sockets++;
		}
		if (took < 0)
			return took;
		at += took;
	}
	if (sockets == 0)
		return error_at(p, words[n - 1].column + (unsigned)words[n - 1].n,
			"a socket is missing after \"%s\", such as example.com:443",
			words[n - 1].s);
	return check_options(p, words, r);
}

int socket_rule_parse(struct policy *p, const struct word *words, int n, struct rule *r)
{
	int e;

	r->written = r->rights = word_is(&words[1], "bind") ? RIGHT_BIND : RIGHT_CONNECT;
	e = parse_body(p, words, n, r);
	if (e < 0) {
		rule_drop(p, r);
		return e;
	}
	return rule_add(p, r);
}

/* ---- expect ---------------------------------------------------------------------------------- */

/* An expectation is of one socket that somebody could ask for. */
static int check_single(struct policy *p, const struct sock *s)
{
	bool one = s->kind == HOST_ABSTRACT ||
		   (s->low == s->high &&
			   (s->kind == HOST_NAME || (s->kind == HOST_ADDRESS && s->bits == 128)));

	return one ? 0
		   : error_at(p, s->column,
			     "\"expect\" takes one socket: a name or an address, and one port");
}

/* A path may have ".." here, unlike that of a rule. */
static int expect_path(struct policy *p, const struct word *w, struct expect *e, const char **ret)
{
	bool slash;
	int r = target_path(p, w, true, &e->path, &slash);

	if (r == 0 && slash)
		r = error_at(p, w->column, "\"%s\": a socket is no directory", w->s);
	if (r == 0)
		*ret = text_word(p, e->path, NULL, strlen(e->path));
	return r < 0 ? r : 1;
}

static int expect_sock(struct policy *p, const struct word *words, int n, bool bind,
	struct expect *e, const char **ret)
{
	struct pattern pattern;
	char text[512];
	bool path;
	int took = socket_parse(p, words, n, 3, bind, VERDICT_DENY, &path, &pattern, &e->sock);
	int r = took < 0 || path ? took : check_single(p, &e->sock);

	if (r < 0)
		return r;
	if (e->sock.kind == HOST_ABSTRACT)
		*ret = text_word(p, words[3].s, NULL, words[3].n);
	else if (host_print(&e->sock, text, sizeof(text)) >= 0)
		*ret = store_copy(p, text, strlen(text));
	return took;
}

int socket_expect_parse(struct policy *p, const struct word *words, int n, struct expect *e)
{
	bool bind = word_is(&words[2], "bind");
	const char *text = NULL;
	int r;

	if (words[3].n > 0 && is_path(&words[3]))
		r = expect_path(p, &words[3], e, &text);
	else
		r = expect_sock(p, words, n, bind, e, &text);
	if (r < 0)
		return r;
	if (3 + r < n)
		return error_at(p, words[3 + r].column, "\"expect\" takes one socket");
	if (!text)
		return -ENOMEM;
	e->rights = bind ? RIGHT_BIND : RIGHT_CONNECT;
	e->text = store_printf(p, "expect %s %s %s", words[1].s, words[2].s, text);
	return expect_add(p, e);
}

int policy_read_socket(struct policy *p, const char *text, bool bind, uint8_t ret_address[16],
	struct policy_socket *ret, const char **ret_why)
{
	struct expect e = {.verdict = VERDICT_DENY};
	const char *ignored = NULL;
	struct word *words;
	char *line = store_printf(p, "expect deny %s %s", bind ? "bind" : "connect", text);
	size_t before = p->n_diags;
	int n, r;

	if (!line)
		return -ENOMEM;
	p->file = "the socket";
	p->source = NULL;
	p->line = 0;
	n = lex_line(p, line, strlen(line), &words);
	r = n < 0 ? n : n < 4 ? error_at(p, 0, "a socket is missing") : 0;
	if (r == 0)
		r = expect_sock(p, words, n, bind, &e, &ignored);
	if (r >= 0 && r + 3 < n)
		r = error_at(p, 0, "\"%s\" is one word too many", words[3 + r].s);
	for (size_t i = 0; r < 0 && p->n_diags > before && i < p->n_diags; i++)
		if (strcmp(p->diags[i].file, "the socket") == 0)
			*ret_why = p->diags[i].text;
	if (r < 0)
		return r;
	*ret = (struct policy_socket){
		.bind = bind,
		.protocol = e.sock.protocol,
		.port = e.sock.low,
		.name = e.sock.name,
		.name_size = e.sock.name_size,
	};
	if (e.sock.kind == HOST_ADDRESS) {
		memcpy(ret_address, e.sock.address, 16);
		ret->address = ret_address;
	}
	return store_result(p);
}
