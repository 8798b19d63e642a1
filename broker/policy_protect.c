/* SPDX-License-Identifier: MIT */
/*
 * policy_protect.c - self-protection: what is warder's own, by every name that leads to it.
 *
 * Runs in: broker (at start), command line.  Trusts: the user who starts warder.
 *
 * A path is protected as the user writes it, since the next start will be given the same, and where
 * it leads, since there is the file; and so is each place between at which a symlink stands or a
 * ".." turns, for whoever puts another link there leads the next start elsewhere.
 */
#include "broker/policy_protect.h"

#include "broker/policy_find.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_FILES   (RIGHT_WRITE | RIGHT_APPEND | RIGHT_CREATE | RIGHT_DELETE)
#define LEDGER_FILE (OWN_FILES | RIGHT_READ | RIGHT_LIST | RIGHT_EXEC)

/* What policies' texts are called beside a ledger: HASH.policy, and N.HASH.policy, with half the
 * hash, until it is whole. */
#define HEX_8        "[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]"
#define POLICY_TEXTS "*" HEX_8 HEX_8 HEX_8 HEX_8 ".policy"

static int protect_way(struct policy *p, const struct found *f)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->n_links; i++)
		r = policy_protect_name(p, f->links[i]);
	return r;
}

int protect_path(struct policy *p, const char *path, unsigned rights)
{
	struct found f;
	int r = find_path(path, &f);

	if (r != -ENOMEM)
		r = policy_protect(p, path, rights);
	if (r == 0)
		r = policy_protect(p, f.path, rights);
	if (r == 0)
		r = protect_way(p, &f);
	found_deinit(&f);
	return r;
}

/* ---- policies -------------------------------------------------------------------------------- */

/* A rule by which the worker could write a file of this owner's; NULL: none. */
static const char *writer_of(const struct policy *p, uid_t owner)
{
	const char *user = policy_settings(p)->user;
	bool as_root = geteuid() == 0 && user && (!strcmp(user, "root") || !strcmp(user, "0"));
	bool own = owner == geteuid() && (geteuid() != 0 || as_root);

	for (size_t i = 0; i < policy_tree_count(p); i++) {
		const struct policy_tree *t = policy_tree(p, i);

		if (t->verdict != VERDICT_DENY && !t->missing && policy_tree_is_place(p, i) &&
			(t->rights & (RIGHT_WRITE | RIGHT_APPEND)) && (own || t->as == AS_BROKER))
			return policy_rule_name(p, t->rule);
	}
	return NULL;
}

int protect_policy(struct policy *p, const char *path)
{
	const char *rule = NULL;
	struct stat st;

	if (stat(path, &st) == 0 && st.st_nlink > 1)
		rule = writer_of(p, st.st_uid);
	if (rule)
		policy_diag_file(p, path, false,
			"the file has %lu names (hard links), and the worker may write files (%s): "
			"by another name it could write this one, which the next start would read; "
			"put a copy in its place, by cp and mv",
			(unsigned long)st.st_nlink, rule);
	return protect_path(p, path, OWN_FILES);
}

int protect_presets(struct policy *p, const char *dir)
{
	return protect_path(p, dir, OWN_FILES);
}

/* ---- ledgers --------------------------------------------------------------------------------- */

int protect_ledger(struct policy *p, const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	struct found f;
	int r = protect_path(p, path, LEDGER_FILE);

	if (r < 0)
		return r;
	if (slash - path >= PATH_MAX)
		return 0; /* no file has such a name */
	snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	r = find_path(dir, &f);
	if (r != -ENOMEM)
		r = policy_protect_names(p, dir, POLICY_TEXTS, OWN_FILES);
	if (r == 0)
		r = policy_protect_names(p, f.path, POLICY_TEXTS, OWN_FILES);
	found_deinit(&f);
	return r;
}
