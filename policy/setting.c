/* SPDX-License-Identifier: MIT */
/*
 * setting.c - the settings: one a line, once each, and the same words as flags.
 *
 * Runs in: broker (at start), command line.  Trusts: the text's author.
 */
#include "policy/internal.h"

#include "common/nearest.h"

#include <errno.h>
#include <string.h>

#define MEMORY_MIN (1024 * 1024) /* below it the kernel kills each program as it is loaded */
#define FILES_MIN  8             /* its three, its channels, the filter's listener, the loader's */

const char *const policy_setting_names[] = {"root", "runtime", "user", "env", "home", "tmp",
	"memory", "tasks", "files", "cpu", "time", "limit", "accept", "ledger", "clients",
	"workers", "identity", "approver", NULL};

static const char *const layer_names[] = {
	"userns", "landlock", "scope", "seccomp", "cgroup", "uid", NULL};

unsigned policy_layer_parse(const char *word)
{
	for (unsigned i = 0; layer_names[i]; i++)
		if (strcmp(layer_names[i], word) == 0)
			return 1u << i;
	return 0;
}

const char *policy_layer_name(unsigned layer)
{
	for (unsigned i = 0; layer_names[i]; i++)
		if (layer == 1u << i)
			return layer_names[i];
	return NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Digits at s; *ret_n how many.  False: none, or too large. */
static bool digits(const char *s, uint64_t *ret, size_t *ret_n)
{
	uint64_t v = 0;
	size_t n = 0;

	for (; s[n] >= '0' && s[n] <= '9'; n++)
		if (__builtin_mul_overflow(v, 10u, &v) ||
			__builtin_add_overflow(v, (uint64_t)(s[n] - '0'), &v))
			return false;
	*ret = v;
	*ret_n = n;
	return n > 0;
}

static int count_parse(struct policy *p, const struct word *w, uint64_t *ret)
{
	uint64_t v;
	size_t n;

	if (!digits(w->s, &v, &n) || w->s[n] || v > INT64_MAX)
		return error_at(p, w->column, "\"%s\" is no number", w->s);
	if (v == 0)
		return error_at(p, w->column, "0 is no limit that anything could run under");
	*ret = v;
	return 0;
}

static int size_parse(struct policy *p, const struct word *w, uint64_t *ret)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift = 0;
	uint64_t v;
	size_t n;

	if (!digits(w->s, &v, &n))
		return error_at(p, w->column,
			"\"%s\" is no size; write a number of bytes, or with K, M, G or T: 64K, 1G",
			w->s);
	unit = w->s[n] ? strchr(units, w->s[n]) : NULL;
	if (w->s[n] && (!unit || w->s[n + 1]))
		return error_at(p, w->column,
			"\"%s\" is no size; its unit is one of K, M, G, T: 64K, 1G", w->s);
	if (unit)
		shift = 10 * (unsigned)(unit - units + 1);
	if (v > (uint64_t)INT64_MAX >> shift)
		return error_at(p, w->column, "\"%s\" is more than any machine has", w->s);
	if (v == 0)
		return error_at(p, w->column, "0 is no limit that anything could run under");
	*ret = v << shift;
	return 0;
}

/* "1h500ms": numbers with units, the greater first. */
int time_parse(struct policy *p, const struct word *w, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"d", 86400000}, {"h", 3600000}, {"ms", 1}, {"m", 60000}, {"s", 1000}};
	uint64_t total = 0, last = UINT64_MAX, v;
	const char *s = w->s;
	size_t n, i;

	if (!*s)
		return error_at(p, w->column, "an empty time; write 10s, 20m or 1h30m");
	for (; *s; s += n + strlen(units[i].unit)) {
		if (!digits(s, &v, &n))
			break;
		for (i = 0; i < sizeof(units) / sizeof(*units); i++)
			if (strncmp(s + n, units[i].unit, strlen(units[i].unit)) == 0)
				break;
		if (!s[n])
			return error_at(p, w->column, "\"%s\": a time needs a unit: %ss, %sm, %sms",
				w->s, s, s, s);
		if (i == sizeof(units) / sizeof(*units) || units[i].ms >= last)
			break;
		last = units[i].ms;
		if (__builtin_mul_overflow(v, last, &v) ||
			__builtin_add_overflow(total, v, &total) || total > INT64_MAX / 1000000)
			return error_at(
				p, w->column, "\"%s\" is longer than can be measured", w->s);
	}
	if (*s)
		return error_at(p, w->column,
			"\"%s\" is no time; write numbers with d, h, m, s or ms, the greater unit "
			"first: 10s, 20m, 1h500ms",
			w->s);
	if (total == 0)
		return error_at(p, w->column, "a time of nothing leaves no time to run");
	*ret_ms = total;
	return 0;
}

static bool list_add(struct policy *p, const char ***list, size_t *n, size_t *room, const char *s)
{
	if (!store_grow(p, list, *n, room, sizeof(**list)))
		return false;
	(*list)[(*n)++] = s;
	return true;
}

/* ---- each setting ---------------------------------------------------------------------------- */

static int one_of(
	struct policy *p, const struct word *w, const char *what, const char *const *words)
{
	const char *near;
	char all[128] = "";

	for (int i = 0; words[i]; i++)
		if (strcmp(w->s, words[i]) == 0)
			return i;
	near = nearest_word(w->s, w->n, words);
	if (near)
		return error_at(
			p, w->column, "unknown %s \"%s\"; did you mean \"%s\"?", what, w->s, near);
	for (int i = 0; words[i]; i++) {
		strncat(all, i ? ", " : "", sizeof(all) - strlen(all) - 1);
		strncat(all, words[i], sizeof(all) - strlen(all) - 1);
	}
	return error_at(p, w->column, "unknown %s \"%s\"; there are %s", what, w->s, all);
}

static int set_root(struct policy *p, const struct word *w, int n)
{
	static const char *const roots[] = {"view", "empty", "host", NULL};
	int r = one_of(p, w, "root", roots);

	if (r >= 0)
		p->settings.root = (enum policy_root)r;
	return r < 0 ? r : 0;
}

static int set_runtime(struct policy *p, const struct word *w, int n)
{
	struct policy_settings *s = &p->settings;
	int result = 0;

	for (; n > 0; n--, w++) {
		const char *path;
		bool slash;

		if (word_is(w, "none"))
			s->runtime_none = true;
		else if (target_path(p, w, false, &path, &slash) < 0)
			result = -EINVAL;
		else
			list_add(p, &s->runtime, &s->n_runtime, &p->runtime_room, path);
	}
	return result;
}

static int set_user(struct policy *p, const struct word *w, int n)
{
	if (!user_name_valid(w->s, w->n))
		return error_at(p, w->column, "\"%s\" is no user's name or number", w->s);
	p->settings.user = w->s;
	return 0;
}

static int set_env(struct policy *p, const struct word *w, int n)
{
	struct policy_settings *s = &p->settings;
	int result = 0;

	for (; n > 0; n--, w++) {
		size_t name = strcspn(w->s, "=");

		if (!name_is_valid(w->s, name))
			result = error_at(p, w->column,
				"\"%.*s\" is no name of a variable; write NAME to pass one on, or "
				"NAME=VALUE",
				(int)name, w->s);
		else
			list_add(p, &s->env, &s->n_env, &p->env_room, w->s);
	}
	return result;
}

static int set_home(struct policy *p, const struct word *w, int n)
{
	bool slash;

	return target_path(p, w, false, &p->settings.home, &slash);
}

static int set_tmp(struct policy *p, const struct word *w, int n)
{
	return size_parse(p, w, &p->settings.tmp_size);
}

static int set_memory(struct policy *p, const struct word *w, int n)
{
	int r = size_parse(p, w, &p->settings.memory);

	if (r == 0 && p->settings.memory < MEMORY_MIN)
		return error_at(p, w->column,
			"\"%s\": no program can be loaded into less than 1M; write 1M at least",
			w->s);
	return r;
}

static int set_tasks(struct policy *p, const struct word *w, int n)
{
	return count_parse(p, w, &p->settings.tasks);
}

static int set_files(struct policy *p, const struct word *w, int n)
{
	int r = count_parse(p, w, &p->settings.files);

	if (r == 0 && p->settings.files < FILES_MIN)
		return error_at(p, w->column,
			"\"%s\": no program can be started with less than %d; write %d at least",
			w->s, FILES_MIN, FILES_MIN);
	return r;
}

static int set_cpu(struct policy *p, const struct word *w, int n)
{
	return time_parse(p, w, &p->settings.cpu_ms);
}

static int set_time(struct policy *p, const struct word *w, int n)
{
	return time_parse(p, w, &p->settings.time_ms);
}

static int set_requests(struct policy *p, const struct word *w, int n)
{
	return count_parse(p, w, &p->settings.limit_requests);
}

static int set_held(struct policy *p, const struct word *w, int n)
{
	return count_parse(p, w, &p->settings.limit_held);
}

static int set_workers(struct policy *p, const struct word *w, int n)
{
	int r = count_parse(p, w, &p->settings.workers);

	if (r == 0 && p->settings.workers > POLICY_WORKERS_MAX)
		return error_at(p, w->column, "\"%s\" workers are too many; at most %d run", w->s,
			POLICY_WORKERS_MAX);
	return r;
}

/* Layers that no cell does without, each with what to do instead. */
static const char *const layer_needed[] = {
	[0] = "a cell cannot do without user namespaces; `root host` is one that has none",
	[3] = "no cell is started without its seccomp filter",
	[4] = "its limits only add to those of processes, so that none can be missing",
	[5] = NULL,
};

/* "missing LAYER...", each layer a setting of its own. */
static int set_accept(struct policy *p, const struct word *w, int n)
{
	int result = 0;

	if (!word_is(w, "missing") || n < 2)
		return error_at(p, w->column,
			"\"accept\" takes \"missing\" and a layer: accept missing landlock");
	for (w++, n--; n > 0; n--, w++) {
		int i = one_of(p, w, "layer", layer_names);

		if (i >= 0 && layer_needed[i])
			i = error_at(
				p, w->column, "\"accept missing %s\": %s", w->s, layer_needed[i]);
		if (i >= 0 && p->accept_origin[i] && p->accept_origin[i] != p->origin)
			i = error_at(p, w->column, "\"accept missing %s\" is set already, at %s",
				w->s, p->accept_origin[i]);
		if (i < 0) {
			result = i;
			continue;
		}
		p->accept_origin[i] = p->origin;
		p->settings.accept |= 1u << i;
	}
	return result;
}

static int set_ledger(struct policy *p, const struct word *w, int n)
{
	bool slash;
	uint64_t fd;
	size_t length;
	int r;

	if (strncmp(w->s, "fd:", 3) == 0) {
		if (!digits(w->s + 3, &fd, &length) || w->s[3 + length] || fd > INT32_MAX)
			return error_at(
				p, w->column, "\"%s\" names no descriptor; write fd:3", w->s);
		p->settings.ledger = w->s;
		return 0;
	}
	if (p->setting_by_flag[SET_LEDGER] && w->n > 0 && !strchr("/~", w->s[0]) &&
		strncmp(w->s, "./", 2) != 0) {
		p->settings.ledger = w->s; /* as any path on a command line */
		return 0;
	}
	r = target_path(p, w, false, &p->settings.ledger, &slash);
	if (r == 0 && slash)
		return error_at(
			p, w->column, "\"%s\": the ledger is a file, not a directory", w->s);
	return r;
}

/* "batch": once for all records of a message, which is as far as one can go: they leave together.
 */
static int set_ledger_sync(struct policy *p, const struct word *w, int n)
{
	if (!word_is(w, "batch"))
		return error_at(p, w->column,
			"unknown way to sync the ledger \"%s\"; write \"ledger sync batch\"", w->s);
	p->settings.ledger_sync = true;
	return 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define MANY 1000000

static const struct setting {
	const char *word, *second; /* "limit", "requests" */
	enum policy_setting id;
	bool main_only; /* no included file may set it */
	bool repeats;   /* as a flag */
	int max;        /* values */
	int (*set)(struct policy *p, const struct word *values, int n); /* NULL: not supported */
} settings[] = {
	{"root", NULL, SET_ROOT, true, false, 1, set_root},
	{"runtime", NULL, SET_RUNTIME, true, true, MANY, set_runtime},
	{"user", NULL, SET_USER, true, false, 1, set_user},
	{"env", NULL, SET_ENV, false, true, MANY, set_env},
	{"home", NULL, SET_HOME, false, false, 1, set_home},
	{"tmp", NULL, SET_TMP, false, false, 1, set_tmp},
	{"memory", NULL, SET_MEMORY, false, false, 1, set_memory},
	{"tasks", NULL, SET_TASKS, false, false, 1, set_tasks},
	{"files", NULL, SET_FILES, false, false, 1, set_files},
	{"cpu", NULL, SET_CPU, false, false, 1, set_cpu},
	{"time", NULL, SET_TIME, false, false, 1, set_time},
	{"limit", "requests", SET_LIMIT_REQUESTS, false, false, 1, set_requests},
	{"limit", "held", SET_LIMIT_HELD, false, false, 1, set_held},
	{"accept", NULL, SET_ACCEPT, true, true, MANY, set_accept},
	{"ledger", "key", SET_LEDGER, true, false, MANY, NULL},
	{"ledger", "sync", SET_LEDGER_SYNC, true, false, 1, set_ledger_sync},
	{"ledger", NULL, SET_LEDGER, true, false, 1, set_ledger},
	{"clients", NULL, SET_CLIENTS, false, true, MANY, clients_parse},
	{"workers", NULL, SET_WORKERS, false, false, 1, set_workers},
	{"identity", NULL, SET_IDENTITY, false, false, MANY, NULL},
	{"approver", NULL, SET_APPROVER, false, false, MANY, NULL},
};
#define SETTINGS (sizeof(settings) / sizeof(*settings))

bool setting_known(const char *word)
{
	for (size_t i = 0; policy_setting_names[i]; i++)
		if (strcmp(policy_setting_names[i], word) == 0)
			return true;
	return false;
}

static const struct setting *setting_find(const struct word *words, int n)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (strcmp(settings[i].word, words[0].s) == 0 &&
			(!settings[i].second || (n > 1 && word_is(&words[1], settings[i].second))))
			return &settings[i];
	return NULL;
}

static int apply(
	struct policy *p, const struct setting *s, const struct word *words, int n, bool by_flag)
{
	int first = s->second ? 2 : 1, r;
	bool again = p->settings.given & 1ull << s->id;

	if (!s->set)
		return error_at(p, words[0].column,
			"\"%s%s%s\" is not supported by this version; leave the line out", s->word,
			s->second ? " " : "", s->second ? s->second : "");
	if (s->main_only && p->depth > 0)
		return error_at(p, words[0].column,
			"an included file may not set \"%s\"; write the line into the policy that "
			"includes it",
			s->word);
	if (n <= first)
		return error_at(p, words[n - 1].column + (unsigned)words[n - 1].n,
			"a value is missing after \"%s\"", words[n - 1].s);
	if (n - first > s->max)
		return error_at(p, words[first + s->max].column,
			"\"%s\" takes one value; \"%s\" is "
			"one too many",
			s->word, words[first + s->max].s);
	if (again && s->id != SET_ACCEPT && !(by_flag && s->repeats))
		return error_at(p, words[0].column, "\"%s%s%s\" is set already, at %s", s->word,
			s->second ? " " : "", s->second ? s->second : "", p->setting_origin[s->id]);
	p->setting_by_flag[s->id] = by_flag;
	r = s->set(p, words + first, n - first);
	p->setting_origin[s->id] = p->origin;
	p->setting_place[s->id] =
		(struct setting_place){p->file, p->source, p->line, words[first].column};
	p->settings.given |= 1ull << s->id;
	return r < 0 ? r : store_result(p);
}

static int unknown_limit(struct policy *p, const struct word *words, int n)
{
	static const char *const limits[] = {"requests", "held", NULL};

	if (n < 2)
		return error_at(p, words[0].column + (unsigned)words[0].n,
			"\"limit\" takes \"requests\" or \"held\" and a number: limit requests "
			"1000");
	if (one_of(p, &words[1], "limit", limits) >= 0)
		return error_at(
			p, words[1].column, "\"%s\" stands there without quotes", words[1].s);
	return -EINVAL;
}

int setting_parse(struct policy *p, const struct word *words, int n)
{
	const struct setting *s = setting_find(words, n);

	return s ? apply(p, s, words, n, false) : unknown_limit(p, words, n);
}

/* ---- flags ----------------------------------------------------------------------------------- */

/* A word of a flag's value: as the shell left it, never a pattern. */
static int flag_word(struct policy *p, const char *s, size_t n, unsigned column, struct word *ret)
{
	unsigned char *magic = store_alloc(p, n + 1);
	char *copy = store_copy(p, s, n);

	*ret = (struct word){copy, magic, n, column, false};
	return copy && magic ? 0 : -ENOMEM;
}

int policy_add_flag(struct policy *p, const char *setting, const char *value)
{
	bool split = strcmp(setting, "limit") == 0 || strcmp(setting, "accept") == 0 ||
		     strncmp(value, "key ", 4) == 0 || strncmp(value, "sync ", 5) == 0;
	const struct setting *s;
	struct word words[16];
	int n = 1, r;

	if (!setting_known(setting))
		return -ENOENT;
	p->file = p->origin = store_printf(p, "--%s", setting);
	p->source = store_printf(p, "%s", value);
	p->line = 0;
	p->depth = 0;
	if (!p->file || !p->source || flag_word(p, setting, strlen(setting), 0, &words[0]) < 0)
		return -ENOMEM;
	for (const char *at = value; n < 16; at += words[n++].n) {
		size_t length;

		at += split ? strspn(at, " ") : 0;
		length = split ? strcspn(at, " ") : strlen(at);
		if (length == 0 && n > 1)
			break;
		r = flag_word(p, at, length, 0, &words[n]);
		if (r < 0)
			return r;
		if (!split) {
			n++;
			break;
		}
	}
	s = setting_find(words, n);
	return s ? apply(p, s, words, n, true) : unknown_limit(p, words, n);
}
