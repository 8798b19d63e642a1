/* SPDX-License-Identifier: MIT */
/*
 * relate_crossing.c - paths that the worker could lead elsewhere.
 *
 * Runs in: broker (at start), command line.  Trusts: what the loader told of the file system.
 *
 * A path that the policy names is looked up once, at the start.  Where the worker may put a symlink
 * in its way, the next start would follow that: at the path as it is written, at the one that it
 * leads to, and at every link and directory on the way between.
 */
#include "policy/internal.h"

#include "common/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* The same of a path, of what it leads to, and of what stands on the way. */
static const char *crossed_on_the_way(const struct policy *p, const char *path,
	const char *resolved, const struct crossing *way, char *ret_at)
{
	const char *rule = crossed(p, path, ret_at);

	if (!rule && strcmp(path, resolved) != 0)
		rule = crossed(p, resolved, ret_at);
	for (; way && !rule; way = way->next)
		rule = crossed(p, way->link, ret_at);
	return rule;
}

static const char *crossing_of(const struct policy *p, const struct tree *t, char *ret_at)
{
	return crossed_on_the_way(p, t->pub.prefix, t->pub.resolved, t->crossings, ret_at);
}

static bool is_giver(const struct policy *p, size_t tree, const char *rule, const char *path)
{
	const struct policy_tree *t = &p->trees[tree].pub;
	size_t size = strlen(path);

	return p->rules[t->rule].name == rule &&
	       relate_gives(p, tree, RIGHT_CREATE | RIGHT_DELETE) &&
	       (path_holds(t->prefix, path, size) || path_holds(t->resolved, path, size));
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

/* A runtime tree is granted whole, and mounted where its path leads. */
static void check_runtimes(struct policy *p)
{
	char at[PATH_MAX];

	for (size_t i = 0; i < p->settings.n_runtime; i++) {
		const struct runtime_way *w = &p->runtime_ways[i];
		const char *path = p->settings.runtime[i];
		const char *rule = crossed_on_the_way(p, path, w->resolved, w->crossings, at);

		if (rule)
			policy_diag_setting(p, SET_RUNTIME, false,
				"%s crosses a directory the worker may write (%s): it could "
				"replace %s by a symlink, which the next start would follow; leave "
				"it out, or give that directory less",
				path, rule, at);
	}
}

/*
 * An `except` that leads elsewhere by a link of the worker's making would open that: it keeps its
 * own spelling alone.  On a rule that grants it would keep less from the worker, which is an error.
 * Returns whether one was narrowed.
 */
static bool check_excepts(struct policy *p)
{
	bool narrowed = false;
	char at[PATH_MAX];

	for (size_t i = 0; i < p->n_excepts; i++) {
		struct except *e = &p->excepts[i];
		const char *rule;

		if (strcmp(e->resolved, e->pattern.prefix) == 0)
			continue;
		/* Where it leads may be anywhere; what counts is who can lead it. */
		rule = crossed_on_the_way(
			p, e->pattern.prefix, e->pattern.prefix, e->crossings, at);
		if (!rule)
			continue;
		if (p->rules[e->rule].verdict == VERDICT_DENY) {
			e->resolved = e->pattern.prefix;
			narrowed = true;
			continue;
		}
		diag_of_rule(p, e->rule, e->column, false,
			"%s crosses a directory the worker may write (%s): it could lead %s "
			"elsewhere, and the next start would except that instead; name what it "
			"leads to, %s",
			e->pattern.prefix, rule, at, e->resolved);
	}
	return narrowed;
}

int relate_crossings(struct policy *p)
{
	bool any = false, narrowed;
	size_t last = SIZE_MAX, *grants;
	char at[PATH_MAX];

	for (size_t i = 0; i < p->n_trees && !any; i++)
		any = relate_gives(p, i, RIGHT_CREATE | RIGHT_DELETE);
	if (!any)
		return 0;
	grants = relate_no_grants(p);
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
	if (relate_tell_all(p, grants, tell_crossing) < 0)
		p->out_of_memory = true;
	free(grants);
	check_runtimes(p);
	narrowed = check_excepts(p);
	return p->out_of_memory ? -ENOMEM : narrowed;
}
