/* SPDX-License-Identifier: MIT */
/*
 * relate.c - rules against rules: denies that could not hold in the runtime, and what the checks of
 * relate_exec.c and relate_crossing.c share.
 *
 * Runs in: broker (at start), command line.  Trusts: what the loader told of the file system.
 *
 * Runtime trees are the worker's own to read (Landlock grants them), so a deny there would be a
 * promise that nobody keeps.
 */
#include "policy/internal.h"

#include "common/path.h"
#include "common/runtime.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* ---- patterns against literal trees ---------------------------------------------------------- */

bool relate_reaches(const struct pattern *t, const char *prefix, const char *path, bool deep)
{
	size_t n = strlen(path);
	const char *again = path;

	if (path_holds(path, prefix, strlen(prefix)))
		return deep || (strcmp(path, prefix) == 0 && t->n_rest == 0);
	if (!path_holds(prefix, path, n))
		return false;
	path += strcmp(prefix, "/") == 0 ? 0 : strlen(prefix);
	for (size_t i = 0, depth = SIZE_MAX;;) {
		path += strspn(path, "/");
		if (i == t->n_rest && (t->subtree || !*path))
			return true;
		if (i < t->n_rest && t->rest[i].any_depth) {
			/* To go back to the last "**" is enough, as with "*" in a word. */
			depth = i++;
			again = path;
			continue;
		}
		if (!*path || (deep && depth != SIZE_MAX))
			return deep;
		if (i < t->n_rest && component_match(&t->rest[i], path, strcspn(path, "/"))) {
			i++;
			path += strcspn(path, "/");
			continue;
		}
		if (depth == SIZE_MAX)
			return false;
		again += strspn(again, "/");
		again += strcspn(again, "/");
		i = depth + 1;
		path = again;
	}
}

bool relate_excepted(const struct policy *p, const struct rule *r, const char *path)
{
	for (size_t i = r->first_except; i < r->first_except + r->n_excepts; i++) {
		const struct except *e = &p->excepts[i];

		if (e->pattern.n_rest == 0 && e->pattern.subtree &&
			(path_holds(e->pattern.prefix, path, strlen(path)) ||
				path_holds(e->resolved, path, strlen(path))))
			return true;
	}
	return false;
}

/* ---- denies that a grant undoes -------------------------------------------------------------- */

#define TOLD_SINGLY 3

/* A grant of the whole home beside `use agent` undoes some forty denies: that is one mistake. */
static void tell_grant(struct policy *p, size_t grant, size_t n, size_t first)
{
	const struct tree *t = &p->trees[grant];
	struct rule *r = &p->rules[t->pub.rule];
	const char *start = p->env.start;

	r->too_wide = true;
	diag_of_rule(p, t->pub.rule, t->column, false,
		"%s%s%s: it holds what %zu denies guard (%s, for one), and this grant would let "
		"the "
		"worker get round them",
		start && strcmp(start, t->pub.prefix) == 0
			? "start in a project directory, by cd or -C DIR, and not in "
			: "grant a directory beneath ",
		t->pub.prefix,
		start && strcmp(start, t->pub.prefix) == 0 ? " itself" : " and not all of it", n,
		p->rules[p->trees[first].pub.rule].name);
}

int relate_tell_all(struct policy *p, const size_t *grants,
	void (*each)(struct policy *p, size_t deny, size_t grant))
{
	size_t *n = calloc(p->n_trees + 1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_trees; i++)
		if (grants[i] != SIZE_MAX)
			n[grants[i]]++;
	for (size_t i = 0; i < p->n_trees; i++) {
		size_t grant = grants[i];

		if (grant == SIZE_MAX || p->rules[p->trees[grant].pub.rule].too_wide)
			continue;
		if (n[grant] <= TOLD_SINGLY)
			each(p, i, grant);
		else
			tell_grant(p, grant, n[grant], i);
	}
	free(n);
	return 0;
}

size_t *relate_no_grants(const struct policy *p)
{
	size_t *grants = calloc(p->n_trees + 1, sizeof(*grants));

	for (size_t i = 0; grants && i < p->n_trees; i++)
		grants[i] = SIZE_MAX;
	return grants;
}

bool relate_gives(const struct policy *p, size_t tree, unsigned rights)
{
	const struct policy_tree *t = &p->trees[tree].pub;

	return t->verdict != VERDICT_DENY && !t->missing && (t->rights & rights) &&
	       policy_tree_is_place(p, tree);
}

/* ---- denies inside the runtime --------------------------------------------------------------- */

const char *policy_runtime(const struct policy *p, const char *path, size_t size)
{
	const struct policy_settings *s = &p->settings;
	const char *found;

	if (s->root == ROOT_EMPTY || size == 0 || path[0] != '/')
		return NULL;
	for (size_t i = 0; i < s->n_runtime; i++)
		if (path_holds(s->runtime[i], path, size))
			return s->runtime[i];
	found = s->runtime_none ? NULL : runtime_find(path, size);
	return found;
}

/* The runtime tree that holds a path, also where a tree that the policy added leads to: it is
 * mounted from there. */
static const char *runtime_holding(const struct policy *p, const char *path)
{
	const struct policy_settings *s = &p->settings;
	size_t size = strlen(path);
	const char *found = policy_runtime(p, path, size);

	for (size_t i = 0; !found && s->root != ROOT_EMPTY && i < s->n_runtime; i++)
		if (path_holds(p->runtime_ways[i].resolved, path, size))
			found = s->runtime[i];
	return found;
}

static bool rule_reaches(const struct policy *p, const struct tree *t, const char *place)
{
	return relate_reaches(&t->pattern, t->pub.prefix, place, true) &&
	       !relate_excepted(p, &p->rules[t->pub.rule], place);
}

/* A runtime tree that the rule reaches from above; NULL: none. */
static const char *runtime_beneath(const struct policy *p, const struct tree *t)
{
	const struct policy_settings *s = &p->settings;
	const char *const *lists[] = {runtime_trees, runtime_etc};

	if (s->root == ROOT_EMPTY)
		return NULL;
	for (size_t i = 0; i < s->n_runtime; i++)
		if (rule_reaches(p, t, s->runtime[i]) ||
			rule_reaches(p, t, p->runtime_ways[i].resolved))
			return s->runtime[i];
	for (size_t l = 0; !s->runtime_none && l < 2; l++)
		for (size_t i = 0; lists[l][i]; i++)
			if (rule_reaches(p, t, lists[l][i]))
				return lists[l][i];
	return NULL;
}

/* The rule is warned of once, however many targets it has. */
static void check_runtime(struct policy *p, const struct tree *t, size_t *warned)
{
	const char *word = t->pub.verdict == VERDICT_ASK ? "ask" : "deny";
	const char *found = NULL;

	if (!t->pattern.anywhere) {
		found = runtime_holding(p, t->pub.prefix);
		if (!found)
			found = runtime_holding(p, t->pub.resolved);
	}
	if (found) {
		/* A runtime tree is there to be read: to connect or bind takes a rule. */
		if (!(t->pub.rights & RIGHTS_ALL))
			return;
		diag_of_rule(p, t->pub.rule, t->column, false,
			"%s %s cannot hold inside %s, which is runtime and granted whole; write "
			"\"runtime none\" and name the trees that are needed",
			*word == 'a' ? "an" : "a", word, found);
		return;
	}
	/* Nothing in the runtime can be changed, so a deny of that holds there too. */
	if (*warned == t->pub.rule || !(t->pub.rights & (RIGHT_READ | RIGHT_LIST | RIGHT_EXEC)))
		return;
	found = runtime_beneath(p, t);
	if (!found)
		return;
	*warned = t->pub.rule;
	diag_of_rule(p, t->pub.rule, t->column, true,
		t->pattern.anywhere
			? "%s %s that starts with \"**\" does not reach into the runtime, which "
			  "is granted whole: %s, for one"
			: "%s %s does not reach into the runtime, which is granted whole: %s, for "
			  "one",
		!t->pattern.anywhere ? "this"
		: *word == 'a'       ? "an"
				     : "a",
		word, found);
}

int relate_runtime(struct policy *p)
{
	size_t warned = SIZE_MAX;

	if (!store_runtime_ways(p))
		return -ENOMEM;
	for (size_t i = 0; i < p->n_trees; i++) {
		const struct tree *t = &p->trees[i];

		if (t->pub.verdict == VERDICT_ALLOW && strcmp(t->pub.prefix, "/") == 0 &&
			(p->settings.root != ROOT_HOST || (t->pub.rights & RIGHTS_SOCK)))
			diag_of_rule(p, t->pub.rule, t->column, false,
				t->pub.rights & RIGHTS_SOCK
					? "every socket of the host would be given; name those "
					  "that are needed"
					: "the view cannot be the whole host; name the directories "
					  "that are needed, or say \"root host\"");
		if (t->pub.verdict != VERDICT_ALLOW)
			check_runtime(p, t, &warned);
	}
	return store_result(p);
}

/* ---- sockets that give more than they seem to ------------------------------------------------ */

/* Who can reach one of these can do more than talk.  Patterns are fnmatch(3)'s. */
static const struct powerful {
	const char *path, *means;
} powerful[] = {
	{"/run/docker.sock", "who can reach this socket is root on the host"},
	{"/var/run/docker.sock", "who can reach this socket is root on the host"},
	{"/run/containerd/containerd.sock", "who can reach this socket is root on the host"},
	{"/run/crio/crio.sock", "who can reach this socket is root on the host"},
	{"/run/podman/podman.sock", "who can reach this socket is root on the host"},
	{"/var/lib/incus/unix.socket", "who can reach this socket is root on the host"},
	{"/var/snap/lxd/common/lxd/unix.socket", "who can reach this socket is root on the host"},
	{"/run/libvirt/libvirt-sock", "who can reach this socket is root on the host"},
	{"/run/snapd.socket", "who can reach this socket can install programs"},
	{"/run/systemd/private", "who can reach this socket is root on the host"},
	{"/run/dbus/system_bus_socket", "services of the host act on its messages"},
	{"/run/user/*/systemd/private", "who can reach this socket runs programs outside the cell"},
	{"/run/user/*/bus", "who can reach this socket runs programs outside the cell"},
	{"/run/user/*/docker.sock", "who can reach this socket runs programs outside the cell"},
	{"/run/user/*/podman/podman.sock",
		"who can reach this socket runs programs outside the cell"},
	{"/tmp/.X11-unix/X*", "a client of an X server reads and types in every other's windows"},
};

static void check_powerful(struct policy *p, size_t tree)
{
	const struct tree *t = &p->trees[tree];

	for (size_t i = 0; i < sizeof(powerful) / sizeof(*powerful); i++) {
		const char *path = powerful[i].path;
		struct policy_answer a;
		bool named = fnmatch(path, t->pub.prefix, FNM_PATHNAME) == 0 ||
			     fnmatch(path, t->pub.resolved, FNM_PATHNAME) == 0;

		if (t->pub.subtree || t->pub.has_wildcard)
			named = path_holds(t->pub.prefix, path, strlen(path)) &&
				policy_check(p, path, strlen(path), RIGHT_CONNECT, &a) ==
					VERDICT_ALLOW &&
				a.rule == p->rules[t->pub.rule].name;
		if (!named)
			continue;
		diag_of_rule(p, t->pub.rule, t->column, true, "%s: %s", path, powerful[i].means);
		return;
	}
}

/* Prefixes of addresses that take in what nobody means by "everywhere". */
static void check_wide(struct policy *p, const struct sock *s)
{
	static const struct {
		uint8_t address[16];
		unsigned bits;
		const char *what;
	} inside[] = {
		{{[10] = 0xff, [11] = 0xff, [12] = 127}, 104, "the host's loopback"},
		{{[15] = 1}, 128, "the host's loopback"},
		{{[10] = 0xff, [11] = 0xff, [12] = 169, [13] = 254, [14] = 169, [15] = 254}, 128,
			"a cloud's metadata service"},
	};

	for (size_t i = 0; s->kind == HOST_ADDRESS && i < sizeof(inside) / sizeof(*inside); i++) {
		if (s->bits + 8 > inside[i].bits ||
			!address_within(inside[i].address, s->address, s->bits))
			continue;
		diag_of_rule(p, s->rule, s->column, true,
			"this takes in %s; write \"internet\" for every public address",
			inside[i].what);
		return;
	}
	if (s->kind == HOST_NAME &&
		(strcmp(s->name, "localhost") == 0 ||
			(s->name_size > 10 &&
				strcmp(s->name + s->name_size - 10, ".localhost") == 0)))
		diag_of_rule(p, s->rule, s->column, true,
			"a rule by name gives no loopback address, and the cell has a loopback of "
			"its own; write 127.0.0.1 or [::1] for the host's");
}

/* The dialer stands at the port of each `connect udp`, at every address inside. */
static void check_bound(struct policy *p, const struct sock *s)
{
	uint16_t ports[POLICY_UDP_PORTS_MAX];
	size_t n = policy_udp_ports(p, ports);

	for (size_t i = 0; i < n; i++) {
		if (ports[i] < s->low || ports[i] > s->high)
			continue;
		diag_of_rule(p, s->rule, s->column, true,
			"a rule connects to udp port %u, for which the dialer answers inside the "
			"cell: bind(2) of the same port is EADDRINUSE there",
			(unsigned)ports[i]);
		return;
	}
}

void relate_sockets(struct policy *p)
{
	for (size_t i = 0; i < p->n_trees; i++)
		if (p->trees[i].pub.verdict == VERDICT_ALLOW &&
			(p->trees[i].pub.rights & RIGHT_CONNECT))
			check_powerful(p, i);
	for (size_t i = 0; i < p->n_socks; i++)
		if (!p->socks[i].bind && p->rules[p->socks[i].rule].verdict == VERDICT_ALLOW)
			check_wide(p, &p->socks[i]);
	for (size_t i = 0; i < p->n_socks; i++)
		if (p->socks[i].bind && p->socks[i].protocol == PROTOCOL_UDP &&
			p->rules[p->socks[i].rule].verdict == VERDICT_ALLOW)
			check_bound(p, &p->socks[i]);
}
