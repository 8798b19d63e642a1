/* SPDX-License-Identifier: MIT */
/*
 * relate_exec.c - what lies where the worker loads files by itself.
 *
 * Runs in: broker (at start), command line.  Trusts: what the loader told of the file system.
 *
 * execve(2) is answered with "go on", and the kernel then reads the path again, so where a rule
 * gives exec the worker's Landlock domain has to read and run.  Landlock knows whole directories
 * and single files: a second thread that swaps the path opens any file of such a place, and no
 * record says so.  So exec is given only for what is one of the two, and only where the policy lets
 * the worker read all that there is; policy_tree_runs() says which trees those are, and is the one
 * place that does: the cell's domain is made from it (broker/plan.c), and all here is held to it.
 */
#include "policy/internal.h"

#include "common/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A file that the worker may make or remove is changed from its directory, which then is the tree:
 * a mount of its own would stand in the way of that. */
#define BY_DIRECTORY (RIGHT_CREATE | RIGHT_DELETE | RIGHT_BIND)

static bool gives_exec(const struct policy_tree *t)
{
	/* Nobody could be asked about what the worker loads. */
	return t->verdict == VERDICT_ALLOW && (t->rights & RIGHT_EXEC);
}

bool policy_tree_runs(const struct policy *p, size_t i)
{
	const struct policy_tree *t = &p->trees[i].pub;

	return gives_exec(t) && !t->missing && policy_tree_is_place(p, i) && !t->has_wildcard &&
	       (t->subtree || !(t->rights & BY_DIRECTORY));
}

/* ---- rules that give more than their words --------------------------------------------------- */

static void check_shape(struct policy *p, size_t i)
{
	const struct tree *t = &p->trees[i];

	if (!gives_exec(&t->pub))
		return;
	if (t->pub.has_wildcard)
		diag_of_rule(p, t->pub.rule, t->column, false,
			"exec cannot be given by a wildcard: what the worker runs it loads itself, "
			"and the kernel knows whole directories and single files alone; name the "
			"files, or give them a directory of their own and name that");
	else if (!t->pub.subtree && (t->pub.rights & BY_DIRECTORY))
		diag_of_rule(p, t->pub.rule, t->column, false,
			"exec of one file cannot stand beside create or delete of it, which rwx "
			"has: another file would take its place, and the worker would load its "
			"whole directory; give exec a directory of its own, or write \"exec,write "
			"%s\"",
			t->pub.prefix);
}

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

static int exec_places(const struct policy *p, struct place **ret, size_t *ret_n)
{
	struct place *places = calloc(p->n_trees * 2 + 1, sizeof(*places));
	size_t n = 0;

	if (!places)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_trees; i++) {
		const struct policy_tree *t = &p->trees[i].pub;

		if (!policy_tree_runs(p, i))
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

/* What a deny, an ask or self-protection keeps from the worker. */
struct kept {
	const struct pattern *pattern;
	const char *prefix;      /* this spelling of it */
	const struct rule *rule; /* whose `except` it has; NULL: none */
};

static bool kept_reaches(const struct policy *p, const struct kept *k, const struct place *place)
{
	return relate_reaches(
		       k->pattern, k->prefix, place->path, p->trees[place->tree].pub.subtree) &&
	       !(k->rule && relate_excepted(p, k->rule, place->path));
}

/* The exec tree that it reaches into; SIZE_MAX: none. */
static size_t exec_reached(
	const struct policy *p, const struct place *places, size_t n, const struct kept *k)
{
	char above[PATH_MAX];
	size_t length = strlen(k->prefix), at;

	/* Trees that hold the prefix: those named like one of the directories above it. */
	memcpy(above, k->prefix, length + 1);
	while (!(k->rule && relate_excepted(p, k->rule, k->prefix))) {
		at = place_find(places, n, length ? above : "/");
		for (; at < n && strcmp(places[at].path, length ? above : "/") == 0; at++)
			if (kept_reaches(p, k, &places[at]))
				return places[at].tree;
		if (length <= 1)
			break;
		while (length > 0 && above[--length] != '/')
			;
		above[length] = '\0';
	}
	/* And those beneath it. */
	for (at = place_find(places, n, k->prefix); at < n; at++) {
		if (!path_holds(k->prefix, places[at].path, strlen(places[at].path)))
			break;
		if (kept_reaches(p, k, &places[at]))
			return places[at].tree;
	}
	return SIZE_MAX;
}

/* ---- denies and asks ------------------------------------------------------------------------- */

static size_t check_rule(
	const struct policy *p, const struct place *places, size_t n, const struct tree *t)
{
	struct kept k = {&t->pattern, t->pub.prefix, &p->rules[t->pub.rule]};
	size_t at = exec_reached(p, places, n, &k);

	if (at == SIZE_MAX && strcmp(t->pub.prefix, t->pub.resolved) != 0) {
		k.prefix = t->pub.resolved;
		at = exec_reached(p, places, n, &k);
	}
	return at;
}

static const char *slash_of(const struct policy_tree *t)
{
	return t->subtree && t->prefix[1] ? "/" : "";
}

static void tell_rule(struct policy *p, size_t at, size_t grant)
{
	const struct tree *kept = &p->trees[at];
	const struct policy_tree *t = &p->trees[grant].pub;

	diag_of_rule(p, kept->pub.rule, kept->column, false,
		"%s of reading cannot hold inside %s%s, where \"exec\" of %s lets the worker "
		"load any file itself; allow rw instead of rwx there, or add \"except %s%s\"",
		kept->pub.verdict == VERDICT_ASK ? "an ask" : "a deny", t->prefix, slash_of(t),
		p->rules[t->rule].name, t->prefix, slash_of(t));
}

/* ---- the `except` of a rule that gives exec -------------------------------------------------- */

/* Whether a rule without exceptions lets the worker read all that may be left out: all beneath
 * `path`. */
static bool is_read_anyway(const struct policy *p, const char *path)
{
	size_t size = strlen(path);

	for (size_t i = 0; i < p->n_trees; i++) {
		const struct policy_tree *t = &p->trees[i].pub;

		if (t->verdict == VERDICT_ALLOW && !t->missing && (t->rights & RIGHT_READ) &&
			policy_tree_is_place(p, i) && t->subtree && !t->has_wildcard &&
			p->rules[t->rule].n_excepts == 0 &&
			(path_holds(t->prefix, path, size) || path_holds(t->resolved, path, size)))
			return true;
	}
	return false;
}

static bool except_reaches(const struct except *e, const struct policy_tree *t)
{
	const char *of[] = {e->pattern.prefix, e->resolved}, *in[] = {t->prefix, t->resolved};

	for (size_t i = 0; i < 4; i++)
		if (relate_reaches(&e->pattern, of[i / 2], in[i % 2], t->subtree))
			return true;
	return false;
}

static void check_excepts(struct policy *p, size_t i)
{
	const struct policy_tree *t = &p->trees[i].pub;
	const struct rule *r = &p->rules[t->rule];

	if (r->n_excepts == 0 || is_read_anyway(p, t->resolved))
		return;
	for (size_t k = r->first_except; k < r->first_except + r->n_excepts; k++) {
		const struct except *e = &p->excepts[k];

		if (!except_reaches(e, t) ||
			(!e->pattern.anywhere && is_read_anyway(p, e->resolved)))
			continue;
		diag_of_rule(p, t->rule, e->column, false,
			"an \"except\" cannot keep this from the worker: \"exec\" of %s%s lets it "
			"load any file there itself; give exec to a directory that does not hold "
			"it, or rw instead of rwx",
			t->prefix, slash_of(t));
	}
}

/* ---- what is warder's own -------------------------------------------------------------------- */

/* Whether a mount over `q` in the view keeps it from the worker: it is one path, within the tree.
 */
static bool can_be_hidden(
	const struct policy *p, const struct policy_tree *t, const struct protected_path *q)
{
	size_t size = strlen(q->path);

	return p->settings.root != ROOT_HOST && !q->names && t->subtree &&
	       ((path_holds(t->prefix, q->path, size) && strlen(t->prefix) < size) ||
		       (path_holds(t->resolved, q->path, size) && strlen(t->resolved) < size));
}

/* Whether something is put over it already, or over a directory above. */
static bool is_hidden_already(const struct policy *p, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (p->protected[i].hidden && path_holds(p->protected[i].path, path, strlen(path)))
			return true;
	return false;
}

/* A rule over what is warder's own is no error where something can be put over it. */
static void check_protected(struct policy *p, const struct place *places, size_t n)
{
	for (size_t i = 0; i < p->n_protected; i++) {
		struct protected_path *q = &p->protected[i];
		const struct pattern all = {.prefix = q->path, .subtree = true};
		const struct kept k = {&all, q->path, NULL};
		const struct policy_tree *t;
		size_t at;

		q->hidden = false;
		if (!(q->rights & RIGHT_READ) || is_hidden_already(p, i, q->path))
			continue;
		at = exec_reached(p, places, n, &k);
		if (at == SIZE_MAX)
			continue;
		t = &p->trees[at].pub;
		q->hidden = can_be_hidden(p, t, q);
		if (q->hidden || p->trees[at].told_protected)
			continue;
		p->trees[at].told_protected = true;
		diag_of_rule(p, t->rule, p->trees[at].column, false,
			"%s%s is or holds %s, which is warder's own to read (the ledger, its "
			"state), and \"exec\" lets the worker load any file there itself; keep "
			"that elsewhere (--ledger, XDG_STATE_HOME), or give rw instead of rwx",
			t->prefix, slash_of(t), q->path);
	}
}

const char *policy_hidden(const struct policy *p, size_t i)
{
	for (size_t k = 0; k < p->n_protected; k++)
		if (p->protected[k].hidden && i-- == 0)
			return p->protected[k].path;
	return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int relate_exec(struct policy *p)
{
	size_t *grants = relate_no_grants(p);
	struct place *places = NULL;
	size_t n = 0;

	if (!grants || exec_places(p, &places, &n) < 0) {
		free(grants);
		return -ENOMEM;
	}
	for (size_t i = 0; i < p->n_trees; i++) {
		const struct policy_tree *t = &p->trees[i].pub;

		check_shape(p, i);
		if (policy_tree_runs(p, i))
			check_excepts(p, i);
		/* Of names alone, `list`, Landlock gives none to the worker. */
		if (n > 0 && (t->rights & RIGHT_READ) &&
			(t->verdict == VERDICT_DENY || (t->verdict == VERDICT_ASK && !t->missing)))
			grants[i] = check_rule(p, places, n, &p->trees[i]);
	}
	check_protected(p, places, n);
	free(places);
	if (relate_tell_all(p, grants, tell_rule) < 0)
		p->out_of_memory = true;
	free(grants);
	return store_result(p);
}
