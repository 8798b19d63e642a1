/* SPDX-License-Identifier: MIT */
/*
 * clients.c - the setting `clients`: who may come in, besides the service's own user and root.
 *
 * Runs in: supervisor, command line.  Trusts: the text's author; the caller, for who a client is.
 *
 * A group stands behind "%", as in sudoers(5).  A name is turned into a number once, at load, by
 * the side that does the I/O; an entry whose name was not found admits nobody.
 */
#include "policy/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool user_name_valid(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') ||
			    (s[i] >= 'A' && s[i] <= 'Z') || strchr("._-@", s[i])))
			return false;
	return n > 0 && s[0] != '-';
}

/* (uid_t)-1 is nobody's number: chown(2). */
static bool id_parse(const char *s, uint32_t *ret)
{
	unsigned long long v;

	if (s[strspn(s, "0123456789")] || strlen(s) > 10)
		return false;
	v = strtoull(s, NULL, 10);
	*ret = (uint32_t)v;
	return v < UINT32_MAX;
}

static int client_parse(struct policy *p, const struct word *w)
{
	bool group = w->s[0] == '%';
	const char *name = w->s + group;
	struct client *c;

	if (!user_name_valid(name, w->n - group))
		return error_at(p, w->column,
			"\"%s\" is neither a user nor a group; write a user's name or number, or a "
			"group's with \"%%\" before it: clients alice %%staff",
			w->s);
	if (!store_grow(p, &p->clients, p->n_clients, &p->clients_room, sizeof(*p->clients)))
		return -ENOMEM;
	c = &p->clients[p->n_clients];
	*c = (struct client){
		.pub = {.text = w->s, .name = name, .group = group, .rule = p->origin},
		.place = {p->file, p->source, p->line, w->column},
	};
	c->pub.known = id_parse(name, &c->pub.id);
	if (!c->pub.known && !name[strspn(name, "0123456789")])
		return error_at(p, w->column, "\"%s\" is no number that a %s can have", w->s,
			group ? "group" : "user");
	p->n_clients++;
	return 0;
}

int clients_parse(struct policy *p, const struct word *w, int n)
{
	int result = 0;

	for (; n > 0; n--, w++)
		if (client_parse(p, w) < 0)
			result = -EINVAL;
	return result;
}

size_t policy_client_count(const struct policy *p)
{
	return p->n_clients;
}

const struct policy_client *policy_client(const struct policy *p, size_t i)
{
	return &p->clients[i].pub;
}

void policy_client_found(struct policy *p, size_t i, uint32_t id)
{
	p->clients[i].pub.known = true;
	p->clients[i].pub.id = id;
}

const struct policy_client *policy_admits(
	const struct policy *p, uid_t uid, const gid_t *groups, size_t n_groups)
{
	for (size_t i = 0; i < p->n_clients; i++) {
		const struct policy_client *c = &p->clients[i].pub;

		if (c->known && !c->group && c->id == uid)
			return c;
		for (size_t k = 0; c->known && c->group && k < n_groups; k++)
			if (c->id == groups[k])
				return c;
	}
	return NULL;
}
