/* SPDX-License-Identifier: MIT */
/*
 * policy_load.c - the policy's I/O half: finds and reads the files, says what is wrong with them.
 *
 * Runs in: broker (at start), command line.  Trusts: files of root or of the user who starts
 * warder, that nobody else can write.
 */
#include "broker/policy_load.h"

#include "broker/policy_find.h"
#include "broker/policy_protect.h"
#include "broker/users.h"
#include "common/fd.h"
#include "common/path.h"
#include "common/plain.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a load in progress knows. */
struct load {
	const struct policy_load_args *args;
	struct policy *p;
	struct finder finder;
	char home[PATH_MAX];
	char cwd[PATH_MAX];
	char **read; /* absolute paths of the files that were read: they are protected */
	size_t n_read;
};

/* ---- reading --------------------------------------------------------------------------------- */

static int remember(struct load *l, const char *path)
{
	char **grown = reallocarray(l->read, l->n_read + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	l->read = grown;
	l->read[l->n_read] = strdup(path);
	return l->read[l->n_read] ? (l->n_read++, 0) : -ENOMEM;
}

/* The callback of policy/: `use` and `include`. */
static int load_nested(void *ctx, bool preset, const char *name, char **ret_text, size_t *ret_size,
	char **ret_path)
{
	struct load *l = ctx;
	char path[PATH_MAX], *why = NULL, *text = NULL;
	size_t size = 0;
	int r;

	if (preset) {
		r = finder_preset(&l->finder, name, path, sizeof(path));
		if (r < 0)
			return r;
		name = path;
	}
	r = finder_read(name, &text, &size, &why);
	if (r == 0)
		r = remember(l, name);
	if (r == 0) {
		*ret_path = strdup(name);
		r = *ret_path ? 0 : -ENOMEM;
	} else {
		*ret_path = why;
	}
	if (r < 0) {
		free(text);
		return r;
	}
	*ret_text = text;
	*ret_size = size;
	return 0;
}

/* A whole file as the main text, or a part of it. */
static int add_file(struct load *l, const char *name, const char *path)
{
	autofree char *text = NULL;
	autofree char *why = NULL;
	char dir[PATH_MAX], *slash;
	size_t size = 0;
	int r = finder_read(path, &text, &size, &why);

	if (r < 0 && r != -ENOMEM)
		policy_diag_file(l->p, name, false, "%s", why ? why : strerror(-r));
	if (r == 0)
		r = remember(l, path);
	if (r < 0)
		return r;
	strcpy(dir, path);
	slash = strrchr(dir, '/');
	slash[slash == dir ? 1 : 0] = '\0';
	return policy_add_text(l->p, name, dir, text, size);
}

static int add_stdin(struct load *l)
{
	autofree char *text = NULL;
	autofree char *why = NULL;
	size_t size = 0;
	int r = finder_read_stdin(&text, &size, &why);

	if (r < 0 && r != -ENOMEM)
		policy_diag_file(l->p, "stdin", false, "%s", why ? why : strerror(-r));
	return r < 0 ? r : policy_add_text(l->p, "stdin", l->cwd, text, size);
}

/* -p: "-", a preset's name, or a file.  A word that can be either is a preset if there is one. */
static int add_main(struct load *l, const char *file)
{
	char path[PATH_MAX], whole[2 * PATH_MAX], name[256];
	int r;

	if (strcmp(file, "-") == 0)
		return add_stdin(l);
	if (!strpbrk(file, "/.")) {
		r = finder_preset(&l->finder, file, path, sizeof(path));
		if (r == 0)
			return add_file(l, path, path);
		if (r != -ENOENT)
			return r;
	}
	if (file[0] == '/')
		snprintf(whole, sizeof(whole), "%s", file);
	else
		snprintf(whole, sizeof(whole), "%s/%s", l->cwd, file);
	r = path_normalise(whole, strlen(whole), path, sizeof(path));
	if (r < 0) {
		policy_diag_file(l->p, file, false, "%s", strerror(-r));
		return r;
	}
	if (!strpbrk(file, "/.") && access(path, F_OK) < 0) {
		const char *near = finder_nearest(&l->finder, file);

		policy_diag_file(l->p, file, false, "neither a preset nor a file%s%s%s",
			near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
		return -ENOENT;
	}
	return add_file(l, finder_shown(file, name, sizeof(name)), path);
}

static int add_sets(struct load *l)
{
	int result = 0;

	for (size_t i = 0; i < l->args->n_sets; i++) {
		const char *set = l->args->sets[i], *equals = strchr(set, '=');
		autofree char *name = equals ? strndup(set, (size_t)(equals - set)) : NULL;
		int r = name ? policy_set(l->p, name, equals + 1) : -EINVAL;

		if (equals && !name)
			return -ENOMEM;
		if (r == -EINVAL)
			policy_diag_file(l->p, "--set", false,
				"\"%s\" is not NAME=VALUE, with a name of letters, digits and "
				"\"_\"",
				set);
		result = r < 0 ? r : result;
	}
	return result;
}

static int add_lines(struct load *l)
{
	int result = 0;

	for (size_t i = 0; i < l->args->n_lines; i++) {
		const char *line = l->args->lines[i];
		char name[32];
		int r;

		snprintf(name, sizeof(name), "-e %zu", i + 1);
		r = policy_add_text(l->p, name, l->cwd, line, strlen(line));
		result = r < 0 ? r : result;
	}
	for (size_t i = 0; i < l->args->n_flags; i++) {
		const struct policy_flag *f = &l->args->flags[i];
		int r = policy_add_flag(l->p, f->name, f->value);

		if (r == -ENOENT)
			policy_diag_file(l->p, f->name, false, "there is no such setting");
		result = r < 0 ? r : result;
	}
	return result;
}

/* ---- what the file system says --------------------------------------------------------------- */

/* Notes the links on the way; one at the end of a file the worker may remove is refused at once,
 * since a later start would follow what the worker put there. */
static int note_links(struct load *l, size_t i, const struct found *f)
{
	const struct policy_tree *t = policy_tree(l->p, i);
	int r = 0;

	for (size_t k = 0; r == 0 && k < f->n_links; k++)
		r = policy_tree_crossed(l->p, i, f->links[k]);
	if (r == 0 && f->last_is_link && t->verdict != VERDICT_DENY && !t->subtree &&
		!t->has_wildcard && (t->rights & (RIGHT_CREATE | RIGHT_DELETE)))
		policy_diag_rule(l->p, t->rule, false,
			"%s is a symlink that the worker may replace; name the file it leads to, "
			"%s",
			t->prefix, f->path);
	return r;
}

static int look_up_tree(struct load *l, size_t i)
{
	const struct policy_tree *t = policy_tree(l->p, i);
	bool deny = t->verdict == VERDICT_DENY;
	bool may_make =
		!t->subtree && !t->has_wildcard && (t->rights & (RIGHT_CREATE | RIGHT_BIND));
	/* Who listens there may come later, and make directories for it. */
	bool later = t->rights == RIGHT_CONNECT;
	bool stands; /* or may */
	struct found f;
	int r = find_path(t->prefix, &f), e;

	if (r == -ENOMEM) {
		found_deinit(&f);
		return r;
	}
	/* What cannot be looked up cannot be opened either: to `optional` that is as good as
	 * missing. */
	if (r == -ENOTDIR || (r < 0 && t->optional))
		r = -ENOENT;
	if (r < 0 && r != -ENOENT && !deny && !later) {
		policy_diag_rule(
			l->p, t->rule, false, "cannot look up %s: %s", t->prefix, strerror(-r));
		found_deinit(&f);
		return 0;
	}
	stands = r == 0 || deny || later ||
		 (may_make && f.n_missing == 1 && f.is_directory && !f.last_is_link);
	e = note_links(l, i, &f);
	if (e == 0)
		e = policy_tree_resolved(l->p, i, stands ? f.path : NULL);
	if ((e == 0 || e == -EINVAL) && r == 0)
		e = policy_tree_is_directory(l->p, i, f.is_directory);
	found_deinit(&f);
	return e == -EINVAL ? 0 : e; /* said as a diagnostic */
}

/* Where a path leads that is no tree's, and by what way. */
static int look_up_way(struct load *l, size_t i, const char *path,
	int (*resolved)(struct policy *p, size_t i, const char *path),
	int (*crossed)(struct policy *p, size_t i, const char *link))
{
	struct found f;
	int r = find_path(path, &f);

	if (r != -ENOMEM)
		r = resolved(l->p, i, f.path);
	for (size_t k = 0; r == 0 && k < f.n_links; k++)
		r = crossed(l->p, i, f.links[k]);
	found_deinit(&f);
	return r;
}

static int look_up(struct load *l)
{
	const struct policy_settings *set = policy_settings(l->p);
	int r = 0;

	for (size_t i = 0; r == 0 && i < policy_tree_count(l->p); i++)
		r = look_up_tree(l, i);
	for (size_t i = 0; r == 0 && i < policy_except_count(l->p); i++)
		r = look_up_way(l, i, policy_except_prefix(l->p, i), policy_except_resolved,
			policy_except_crossed);
	for (size_t i = 0; r == 0 && i < set->n_runtime; i++)
		r = look_up_way(
			l, i, set->runtime[i], policy_runtime_resolved, policy_runtime_crossed);
	return r;
}

static int protect_all(struct load *l)
{
	const struct policy_load_args *a = l->args;
	const char *ledger = policy_settings(l->p)->ledger;
	int r = l->finder.dirs[0][0] ? protect_presets(l->p, l->finder.dirs[0]) : 0;

	for (size_t i = 0; r == 0 && i < l->n_read; i++)
		r = protect_policy(l->p, l->read[i]);
	for (size_t i = 0; r == 0 && i < a->n_protect; i++)
		r = protect_path(l->p, a->protect[i].path, a->protect[i].rights);
	if (r == 0 && a->ledger)
		r = protect_ledger(l->p, a->ledger);
	/* One that the policy itself names. */
	if (r == 0 && ledger && ledger[0] == '/')
		r = protect_ledger(l->p, ledger);
	return r;
}

/* A worker whose HOME is not there fails in odd places, long after the start. */
static int check_home(struct load *l, bool compiled)
{
	static const char *const own[] = {"/tmp", "/proc", "/dev/shm"};
	const struct policy_settings *set = policy_settings(l->p);
	const char *home = set->home, *why = NULL;
	struct found f;
	int r;

	if (!home || set->root != ROOT_VIEW)
		return 0;
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (strcmp(home, own[i]) == 0)
			return 0;
	r = find_path(home, &f);
	/* What the cell has is known of a policy without errors. */
	if (compiled && !policy_names(l->p, home, strlen(home)) &&
		!policy_runtime(l->p, home, strlen(home)))
		why = "the cell has no such place; let a rule name it, as in \"allow rw DIR/\", or "
		      "leave "
		      "\"home\" out for a private one";
	else if (r < 0 && r != -ENOMEM)
		why = "it is missing, and nobody makes it; mkdir it, or leave \"home\" out for a "
		      "private one";
	else if (r == 0 && !f.is_directory)
		why = "it is no directory";
	found_deinit(&f);
	if (r == -ENOMEM)
		return r;
	if (!why)
		return 0;
	policy_diag_setting(l->p, SET_HOME, false, "home %s: %s", home, why);
	return -EINVAL;
}

/* A setting that does nothing would look as if it did. */
static int check_use(struct load *l)
{
	static const struct {
		enum policy_setting id;
		const char *word;
	} of_a_service[] = {{SET_CLIENTS, "clients"}, {SET_WORKERS, "workers"}};
	int r = 0;

	if (l->args->use == POLICY_TO_SERVE)
		return policy_find_clients(l->p, false);
	for (size_t i = 0; l->args->use == POLICY_TO_RUN && i < 2; i++) {
		if (!(policy_settings(l->p)->given & 1ull << of_a_service[i].id))
			continue;
		policy_diag_setting(l->p, of_a_service[i].id, false,
			"\"%s\" is for `warder serve` alone; leave the line out",
			of_a_service[i].word);
		r = -EINVAL;
	}
	return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* By the password database: $HOME would be an environment variable that grants. */
const char *policy_home(void)
{
	const struct passwd *pw = user_by_uid(getuid());
	const char *home = pw ? pw->pw_dir : NULL;

	return home && home[0] == '/' ? home : "";
}

static const char *find_home(struct load *l)
{
	const char *home = l->args->home ? l->args->home : policy_home();

	return path_normalise(home, strlen(home), l->home, sizeof(l->home)) < 0 ? NULL : l->home;
}

static int worse(int r, int e)
{
	return r == -ENOMEM || (r < 0 && r != -EINVAL) || e == 0 ? r : e;
}

/* All steps are taken even after an error, so that all of them are told at once. */
static int load_all(struct load *l)
{
	const struct policy_load_args *a = l->args;
	int r = add_sets(l);

	if (a->file)
		r = worse(r, add_main(l, a->file));
	r = worse(r, add_lines(l));
	r = worse(r, policy_finish(l->p));
	if (r < 0 && r != -EINVAL)
		return r;
	r = worse(check_use(l), r);
	if (r < 0 && r != -EINVAL)
		return r;
	r = worse(look_up(l), r);
	if (r < 0 && r != -EINVAL)
		return r;
	r = worse(protect_all(l), r);
	if (r < 0 && r != -EINVAL)
		return r;
	r = worse(policy_compile(l->p), r);
	return worse(check_home(l, r == 0), r);
}

int policy_load_quiet(const struct policy_load_args *a, struct policy **ret_policy)
{
	struct load *l = calloc(1, sizeof(*l));
	struct policy_env env = {.start = a->start, .load = load_nested, .ctx = l};
	int r = -ENOMEM;

	*ret_policy = NULL;
	if (!l)
		return r;
	l->args = a;
	env.home = find_home(l);
	if (!getcwd(l->cwd, sizeof(l->cwd)))
		strcpy(l->cwd, "/");
	finder_init(&l->finder, env.home);
	env.presets = l->finder.names;
	l->p = policy_new(&env);
	if (l->p)
		r = load_all(l);
	if (r == -ENOMEM)
		l->p = policy_free(l->p);
	*ret_policy = l->p;
	finder_deinit(&l->finder);
	for (size_t i = 0; i < l->n_read; i++)
		free(l->read[i]);
	free(l->read);
	free(l);
	return r;
}

/* "scan.policy:12:7" */
static void put_place(const struct policy_diag *d, char *buf, size_t size)
{
	if (d->line && d->column)
		snprintf(buf, size, "%s:%u:%u", d->file, d->line, d->column);
	else if (d->line)
		snprintf(buf, size, "%s:%u", d->file, d->line);
	else
		snprintf(buf, size, "%s", d->file);
}

static void note_first(const struct policy *p, int r, struct failure *first)
{
	char place[256];

	for (size_t i = 0; i < policy_diag_count(p); i++) {
		const struct policy_diag *d = policy_diag(p, i);

		if (d->warning)
			continue;
		put_place(d, place, sizeof(place));
		fail(first, r, "%s: error: %s", place, d->text);
		return;
	}
	fail(first, r, "%s", strerror(-r));
}

int policy_load(const struct policy_load_args *a, struct policy **ret_policy, FILE *err,
	struct failure *first)
{
	struct policy *p;
	int r = policy_load_quiet(a, &p);

	/* A policy that does not say what its author expects is none to start under. */
	if (r == 0) {
		r = policy_expect(p);
		r = r > 0 ? -EINVAL : r;
	}
	if (p)
		policy_print_diags(p, 0, a->warnings, err);
	else
		fprintf(err, "warder: cannot load the policy: %s\n", strerror(-r));
	if (r < 0 && p)
		note_first(p, r, first);
	else if (r < 0)
		fail(first, r, "%s", strerror(-r));
	if (r < 0)
		policy_free(p);
	else
		*ret_policy = p;
	return r;
}

/* ---- printing -------------------------------------------------------------------------------- */

/* One character of a text that somebody else wrote, escaped where it could do harm on a terminal:
 * its columns there are *ret_width. */
static size_t put_character(FILE *f, const char *s, size_t *ret_width)
{
	size_t n = plain_size(s, strlen(s));

	*ret_width = n > 0 ? 1 : 4;
	if (n > 0)
		fwrite(s, 1, n, f);
	else
		fprintf(f, "\\x%02x", (unsigned char)*s);
	return n > 0 ? n : 1;
}

static void put_clean(FILE *f, const char *s)
{
	size_t width;

	while (*s)
		s += put_character(f, s, &width);
}

#define SOURCE_SHOWN 160 /* bytes of a line at most, half of them before the column */

/* Where the part of the line begins that is shown: at a character. */
static const char *shown_from(const struct policy_diag *d)
{
	const char *at = d->source;

	if (strlen(at) > SOURCE_SHOWN && d->column > SOURCE_SHOWN / 2) {
		at += d->column - SOURCE_SHOWN / 2;
		while (((unsigned char)*at & 0xc0) == 0x80)
			at++;
	}
	return at;
}

/* The line, or of a long one what stands around the column, and a caret under that; a character of
 * several bytes takes one column, an escaped byte four. */
static void print_source(FILE *f, const struct policy_diag *d, const char *on, const char *off)
{
	const char *from = shown_from(d), *s = from;
	size_t at = from > d->source ? 3 : 0, width;
	char under[4 * SOURCE_SHOWN] = "   ";

	fprintf(f, "    %.*s", (int)at, "...");
	while (*s && s < from + SOURCE_SHOWN) {
		bool before = (unsigned)(s - d->source) + 1 < d->column;

		if (*s == '\t') {
			putc(*s++, f);
			width = 1;
		} else {
			s += put_character(f, s, &width);
		}
		for (; before && width > 0 && at + 1 < sizeof(under); width--)
			under[at++] = s[-1] == '\t' ? '\t' : ' ';
	}
	under[at] = '\0';
	fputs(*s ? "...\n" : "\n", f);
	if (d->column > 0)
		fprintf(f, "    %s%s^%s\n", under, on, off);
}

void policy_print_diags(const struct policy *p, size_t first, bool warnings, FILE *err)
{
	const char *no_color = getenv("NO_COLOR");
	bool colour = isatty(fileno(err)) && !(no_color && *no_color);

	for (size_t i = first; i < policy_diag_count(p); i++) {
		const struct policy_diag *d = policy_diag(p, i);
		const char *on = !colour ? "" : d->warning ? "\033[1;35m" : "\033[1;31m";
		const char *off = colour ? "\033[0m" : "";
		char place[PATH_MAX + 32];

		if (d->warning && !warnings)
			continue;
		put_place(d, place, sizeof(place));
		put_clean(err, place);
		fprintf(err, ": %s%s:%s ", on, d->warning ? "warning" : "error", off);
		put_clean(err, d->text);
		putc('\n', err);
		if (d->source && d->line)
			print_source(err, d, on, off);
	}
	if (policy_error_count(p) > policy_diag_count(p))
		fprintf(err, "warder: and %zu errors more\n",
			policy_error_count(p) - policy_diag_count(p));
}
