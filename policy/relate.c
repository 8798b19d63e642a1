/* SPDX-License-Identifier: MIT */
/*
 * relate.c - rules against rules: denies that could not hold, prefixes that could be replaced.
 *
 * Runs in: broker (at start), command line.  Trusts: what the loader told of the file system.
 *
 * Runtime and exec trees are the worker's own to read (Landlock grants them), so a deny there would
 * be a promise that nobody keeps.  A prefix is looked up once; where the worker may put a symlink
 * in its way, the next start would follow that.
 */
#include "policy/internal.h"

#include "common/path.h"
#include "common/runtime.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* ---- an ordered set of trees, so that a tree and all beneath it stand together --------------- */

struct place {
	const char *path;
	size_t tree;
};

/* Bytes, but "/" before all others: "/a" "/a/b" "/a-b". */
static int path_compare(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	if (!*a || !*b)
		return (*a != 0) - (*b != 0);
	if (*a == '/' || *b == '/')
		return (*a != '/') - (*b != '/');
	return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
}

static int place_compare(const void *a, const void *b)
{
	return path_compare(((const struct place *)a)->path, ((const struct place *)b)->path);
}

/* The first place that is not before `path`. */
static size_t place_find(const struct place *places, size_t n, const char *path)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (path_compare(places[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- patterns against literal trees ---------------------------------------------------------- */

/* Whether the pattern, spelled with this prefix, may match `path` or, if `deep`, something
 * beneath it.  Where it cannot tell it says yes. */
static bool reaches(const struct pattern *t, const char *prefix, const char *path, bool deep)
{
	size_t n = strlen(path);
	const char *again = path;

	if (runtime_holds(path, prefix, strlen(prefix)))
		return deep || (strcmp(path, prefix) == 0 && t->n_rest == 0);
	if (!runtime_holds(prefix, path, n))
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

/* Whether an `except` of the rule takes the whole of a tree out. */
static bool excepted(const struct policy *p, const struct rule *r, const char *path)
{
	for (size_t i = r->first_except; i < r->first_except + r->n_excepts; i++) {
		const struct except *e = &p->excepts[i];

		if (e->pattern.n_rest == 0 && e->pattern.subtree &&
			(runtime_holds(e->pattern.prefix, path, strlen(path)) ||
				runtime_holds(e->resolved, path, strlen(path))))
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

/* grants[i] is the tree whose grant undoes the deny i, or SIZE_MAX.  Each is told by `each`, many
 * for the same grant once. */
static int tell_all(struct policy *p, const size_t *grants,
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

static size_t *no_grants(const struct policy *p)
{
	size_t *grants = calloc(p->n_trees + 1, sizeof(*grants));

	for (size_t i = 0; grants && i < p->n_trees; i++)
		grants[i] = SIZE_MAX;
	return grants;
}

/* ---- denies inside exec trees ---------------------------------------------------------------- */

static bool gives(const struct policy *p, size_t tree, unsigned rights)
{
	const struct policy_tree *t = &p->trees[tree].pub;

	return t->verdict != VERDICT_DENY && !t->missing && (t->rights & rights) &&
	       policy_tree_is_place(p, tree);
}

static int exec_places(const struct policy *p, struct place **ret, size_t *ret_n)
{
	struct place *places = calloc(p->n_trees * 2 + 1, sizeof(*places));
	size_t n = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_trees; i++) {
		const struct policy_tree *t = &p->trees[i].pub;

		if (!gives(p, i, RIGHT_EXEC))
			continue;
		places[n++] = (struct place){t->prefix, i};
		if (strcmp(t->prefix, t->resolved) != 0)
			places[n++] = (struct place){t->resolved, i};
	}
	qsort(places, n, sizeof(*places), place_compare);
	*ret = places;
	*ret_n = n;
	return 0;
}

/* The exec tree that this spelling of a deny reaches into; SIZE_MAX: none. */
static size_t exec_reached(const struct policy *p, const struct place *places, size_t n,
	const struct tree *deny, const char *prefix)
{
	const struct rule *r = &p->rules[deny->pub.rule];
	char above[PATH_MAX];
	size_t length = strlen(prefix), at;

	/* Trees that hold the prefix: those named like one of the directories above it. */
	memcpy(above, prefix, length + 1);
	for (;;) {
		at = place_find(places, n, length ? above : "/");
		for (; at < n && strcmp(places[at].path, length ? above : "/") == 0; at++) {
			const struct policy_tree *t = &p->trees[places[at].tree].pub;

			if (reaches(&deny->pattern, prefix, places[at].path,
				    t->subtree || t->has_wildcard) &&
				!excepted(p, r, places[at].path) && !excepted(p, r, prefix))
				return places[at].tree;
		}
		if (length <= 1)
			break;
		while (length > 0 && above[--length] != '/')
			;
		above[length] = '\0';
	}
	/* And those beneath it. */
	for (at = place_find(places, n, prefix); at < n; at++) {
		const struct policy_tree *t = &p->trees[places[at].tree].pub;

		if (!runtime_holds(prefix, places[at].path, strlen(places[at].path)))
			break;
		if (reaches(&deny->pattern, prefix, places[at].path,
			    t->subtree || t->has_wildcard) &&
			!excepted(p, r, places[at].path))
			return places[at].tree;
	}
	return SIZE_MAX;
}

static size_t check_exec(
	const struct policy *p, const struct place *places, size_t n, const struct tree *deny)
{
	size_t at = exec_reached(p, places, n, deny, deny->pub.prefix);

	if (at == SIZE_MAX && strcmp(deny->pub.prefix, deny->pub.resolved) != 0)
		at = exec_reached(p, places, n, deny, deny->pub.resolved);
	return at;
}

static void tell_exec(struct policy *p, size_t at, size_t grant)
{
	const struct tree *deny = &p->trees[at];
	const struct policy_tree *t = &p->trees[grant].pub;

	diag_of_rule(p, deny->pub.rule, deny->column, false,
		"a deny of reading cannot hold inside %s%s, where \"exec\" of %s lets the worker "
		"load any file itself; allow rw instead of rwx there, or add \"except %s%s\"",
		t->prefix, t->subtree && t->prefix[1] ? "/" : "", p->rules[t->rule].name, t->prefix,
		t->subtree && t->prefix[1] ? "/" : "");
}

/* ---- denies inside the runtime --------------------------------------------------------------- */

const char *policy_runtime(const struct policy *p, const char *path, size_t size)
{
	const struct policy_settings *s = &p->settings;
	const char *found;

	if (s->root == ROOT_EMPTY || size == 0 || path[0] != '/')
		return NULL;
	for (size_t i = 0; i < s->n_runtime; i++)
		if (runtime_holds(s->runtime[i], path, size))
			return s->runtime[i];
	found = s->runtime_none ? NULL : runtime_find(path, size);
	return found;
}

/* A runtime tree that the deny reaches from above; NULL: none. */
static const char *runtime_beneath(const struct policy *p, const struct tree *deny)
{
	const struct policy_settings *s = &p->settings;
	const struct rule *r = &p->rules[deny->pub.rule];
	const char *const *lists[] = {runtime_trees, runtime_etc};

	if (s->root == ROOT_EMPTY)
		return NULL;
	for (size_t i = 0; i < s->n_runtime; i++)
		if (reaches(&deny->pattern, deny->pub.prefix, s->runtime[i], true) &&
			!excepted(p, r, s->runtime[i]))
			return s->runtime[i];
	for (size_t l = 0; !s->runtime_none && l < 2; l++)
		for (size_t i = 0; lists[l][i]; i++)
			if (reaches(&deny->pattern, deny->pub.prefix, lists[l][i], true) &&
				!excepted(p, r, lists[l][i]))
				return lists[l][i];
	return NULL;
}

/* The rule is warned of once, however many targets it has. */
static void check_runtime(struct policy *p, const struct tree *deny, size_t *warned)
{
	const char *found = NULL;
	const char *prefix = deny->pub.prefix;

	if (!deny->pattern.anywhere) {
		found = policy_runtime(p, prefix, strlen(prefix));
		if (!found)
			found = policy_runtime(p, deny->pub.resolved, strlen(deny->pub.resolved));
	}
	if (found) {
		/* A runtime tree is there to be read: to connect or bind takes a rule. */
		if (!(deny->pub.rights & RIGHTS_ALL))
			return;
		diag_of_rule(p, deny->pub.rule, deny->column, false,
			"a deny cannot hold inside %s, which is runtime and granted whole; write "
			"\"runtime none\" and name the trees that are needed",
			found);
		return;
	}
	/* Nothing in the runtime can be changed, so a deny of that holds there too. */
	if (*warned == deny->pub.rule ||
		!(deny->pub.rights & (RIGHT_READ | RIGHT_LIST | RIGHT_EXEC)))
		return;
	found = runtime_beneath(p, deny);
	if (!found)
		return;
	*warned = deny->pub.rule;
	diag_of_rule(p, deny->pub.rule, deny->column, true,
		deny->pattern.anywhere
			? "a deny that starts with \"**\" does not reach into the runtime, which "
			  "is granted whole: %s, for one"
			: "this deny does not reach into the runtime, which is granted whole: %s, "
			  "for one",
		found);
}

int relate_denies(struct policy *p)
{
	struct place *places;
	size_t n, warned = SIZE_MAX, *grants = no_grants(p);

	if (!grants || exec_places(p, &places, &n) < 0) {
		free(grants);
		return -ENOMEM;
	}
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
		if (t->pub.verdict != VERDICT_DENY)
			continue;
		check_runtime(p, t, &warned);
		if (n > 0 && (t->pub.rights & RIGHT_READ))
			grants[i] = check_exec(p, places, n, t);
	}
	free(places);
	if (tell_all(p, grants, tell_exec) < 0)
		p->out_of_memory = true;
	free(grants);
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
			named = runtime_holds(t->pub.prefix, path, strlen(path)) &&
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

/* ---- prefixes that the worker could replace -------------------------------------------------- */

/* The rule that lets the worker put something else in the place of a component of `path`. */
static const char *crossed(const struct policy *p, const char *path, char *ret_at)
{
	const char *slash = path, *rule;

	while (*slash && path[1]) {
		slash = strchr(slash + 1, '/');
		if (!slash)
			slash = path + strlen(path);
		memcpy(ret_at, path, (size_t)(slash - path));
		ret_at[slash - path] = '\0';
		rule = match_replaceable(p, ret_at);
		if (rule)
			return rule;
	}
	return NULL;
}

static const char *crossing_of(const struct policy *p, const struct tree *t, char *ret_at)
{
	const char *rule = crossed(p, t->pub.prefix, ret_at);

	if (!rule && strcmp(t->pub.prefix, t->pub.resolved) != 0)
		rule = crossed(p, t->pub.resolved, ret_at);
	for (const struct crossing *c = t->crossings; c && !rule; c = c->next)
		rule = crossed(p, c->link, ret_at);
	return rule;
}

static bool is_giver(const struct policy *p, size_t tree, const char *rule, const char *path)
{
	const struct policy_tree *t = &p->trees[tree].pub;
	size_t size = strlen(path);

	return p->rules[t->rule].name == rule && gives(p, tree, RIGHT_CREATE | RIGHT_DELETE) &&
	       (runtime_holds(t->prefix, path, size) || runtime_holds(t->resolved, path, size));
}

/* The tree of the rule of that name that gives `path`, likely `last`; SIZE_MAX: none. */
static size_t giver(const struct policy *p, const char *rule, const char *path, size_t last)
{
	if (last != SIZE_MAX && is_giver(p, last, rule, path))
		return last;
	for (size_t i = 0; i < p->n_trees; i++)
		if (is_giver(p, i, rule, path))
			return i;
	return SIZE_MAX;
}

static void tell_crossing(struct policy *p, size_t tree, size_t grant)
{
	const struct tree *t = &p->trees[tree];
	char at[PATH_MAX];
	const char *rule = crossing_of(p, t, at);

	if (t->pub.verdict == VERDICT_DENY)
		diag_of_rule(p, t->pub.rule, t->column, false,
			"%s crosses a directory the worker may write (%s): it could rename or "
			"replace %s; deny \"create,delete\" there too, or start the rule with "
			"\"**\"",
			t->pub.prefix, rule, at);
	else
		diag_of_rule(p, t->pub.rule, t->column, false,
			"%s crosses a directory the worker may write (%s): it could replace %s by "
			"a symlink, which the next start would follow; leave the rule out, or "
			"give that directory less",
			t->pub.prefix, rule, at);
}

int relate_crossings(struct policy *p)
{
	bool any = false, narrowed = false;
	size_t last = SIZE_MAX, *grants;
	char at[PATH_MAX];

	for (size_t i = 0; i < p->n_trees && !any; i++)
		any = gives(p, i, RIGHT_CREATE | RIGHT_DELETE);
	if (!any)
		return 0;
	grants = no_grants(p);
	if (!grants)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_trees; i++) {
		bool deny = p->trees[i].pub.verdict == VERDICT_DENY;
		const char *rule = NULL;

		if (deny || !p->trees[i].pub.missing)
			rule = crossing_of(p, &p->trees[i], at);
		if (rule && deny)
			grants[i] = last = giver(p, rule, at, last);
		if (rule && grants[i] == SIZE_MAX)
			tell_crossing(p, i, SIZE_MAX);
	}
	if (tell_all(p, grants, tell_crossing) < 0)
		p->out_of_memory = true;
	free(grants);
	/* An `except` that leads elsewhere by a link of the worker's making would open that: it
	 * keeps its own spelling alone. */
	for (size_t i = 0; i < p->n_excepts; i++) {
		struct except *e = &p->excepts[i];

		if (strcmp(e->resolved, e->pattern.prefix) == 0 ||
			!crossed(p, e->pattern.prefix, at))
			continue;
		e->resolved = e->pattern.prefix;
		narrowed = true;
	}
	return p->out_of_memory ? -ENOMEM : narrowed;
}
