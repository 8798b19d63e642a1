/* SPDX-License-Identifier: MIT */
/*
 * plan.c - from a policy and a command to the description of a cell.
 *
 * Runs in: broker, before the cage.  Trusts: the policy, the user who starts warder.
 *
 * The last place that reads the policy's settings: what comes after takes orders from the
 * cell_spec alone.
 */
#include "broker/plan.h"
#include "broker/users.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNPRIVILEGED_ID 65534 /* nobody, nogroup: the worker of a start by root without `user` */
#define DEFAULT_PATH    "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

_Static_assert((int)LAYER_USERNS == (int)CELL_LAYER_USERNS &&
		       (int)LAYER_LANDLOCK == (int)CELL_LAYER_LANDLOCK &&
		       (int)LAYER_LANDLOCK_SCOPE == (int)CELL_LAYER_LANDLOCK_SCOPE &&
		       (int)LAYER_SECCOMP == (int)CELL_LAYER_SECCOMP &&
		       (int)LAYER_CGROUP == (int)CELL_LAYER_CGROUP &&
		       (int)LAYER_UID == (int)CELL_LAYER_UID,
	"the policy's layers are the cell's");
_Static_assert((int)ROOT_VIEW == (int)CELL_VIEW && (int)ROOT_EMPTY == (int)CELL_EMPTY &&
		       (int)ROOT_HOST == (int)CELL_HOST,
	"the policy's roots are the cell's");

/* Keeps a formatted string for the plan's life. */
static char *keep(struct plan *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static char *keep(struct plan *p, const char *fmt, ...)
{
	char **grown = reallocarray(p->strings, p->n_strings + 1, sizeof(*grown));
	char *text = NULL;
	va_list ap;
	int n;

	if (!grown)
		return NULL;
	p->strings = grown;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	p->strings[p->n_strings++] = text;
	return text;
}

/* ---- the worker's user ------------------------------------------------------------------- */

static int plan_groups(struct plan *p, const char *name, struct failure *f)
{
	int n = 64;

	p->groups = calloc((size_t)n, sizeof(*p->groups));
	if (p->groups && getgrouplist(name, p->spec.gid, p->groups, &n) < 0) {
		gid_t *grown = reallocarray(p->groups, (size_t)n, sizeof(*grown));

		if (!grown)
			return fail(f, -ENOMEM, "cannot list the groups of user %s: %m", name);
		p->groups = grown;
		if (getgrouplist(name, p->spec.gid, p->groups, &n) < 0)
			n = -1;
	}
	if (!p->groups || n < 0)
		return fail(f, -ENOMEM, "cannot list the groups of user %s: %m", name);
	p->spec.groups = p->groups;
	p->spec.n_groups = (size_t)n;
	return 0;
}

/* A number, where no such name exists. */
static bool parse_uid(const char *text, uid_t *ret)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || v >= 0xffffffffUL)
		return false;
	*ret = (uid_t)v;
	return true;
}

static int plan_named_user(struct plan *p, const char *name, struct failure *f)
{
	struct passwd *pw;
	uid_t uid;

	errno = 0;
	pw = getpwnam(name);
	if (!pw && parse_uid(name, &uid)) {
		pw = getpwuid(uid);
		if (!pw && p->privileged) {
			p->spec.uid = uid;
			p->spec.gid = (gid_t)uid;
			p->spec.user_name = name;
			return 0;
		}
	}
	if (!pw)
		return fail(f, -EINVAL,
			"no user \"%s\" on this host; name one of `getent passwd` in `user`, or "
			"leave "
			"`user` out",
			name);
	if (!p->privileged && pw->pw_uid != getuid())
		return fail(f, -EPERM,
			"cannot run the worker as user %s: only root can; start warder as root, or "
			"leave "
			"`user` out",
			pw->pw_name);
	p->spec.uid = pw->pw_uid;
	p->spec.gid = pw->pw_gid;
	p->spec.user_name = keep(p, "%s", pw->pw_name);
	if (!p->spec.user_name)
		return fail(f, -ENOMEM, "cannot plan the cell: %m");
	return p->privileged && p->spec.uid != 0 ? plan_groups(p, p->spec.user_name, f) : 0;
}

static int plan_user(struct plan *p, const struct policy_settings *set, struct failure *f)
{
	const struct passwd *pw;

	p->privileged = geteuid() == 0;
	if (set->user)
		return plan_named_user(p, set->user, f);
	p->spec.uid = p->privileged ? UNPRIVILEGED_ID : getuid();
	p->spec.gid = p->privileged ? UNPRIVILEGED_ID : getgid();
	pw = user_by_uid(p->spec.uid);
	p->spec.user_name = pw ? keep(p, "%s", pw->pw_name) : "nobody";
	return p->spec.user_name ? 0 : fail(f, -ENOMEM, "cannot plan the cell: %m");
}

/* ---- trees ------------------------------------------------------------------------------- */

static unsigned tree_access(const struct policy_tree *t, bool runs)
{
	unsigned access = 0;

	if (t->rights & (RIGHT_READ | RIGHT_LIST))
		access |= CELL_READ;
	if (t->rights & RIGHT_WRITE)
		access |= CELL_WRITE;
	else if (t->rights & RIGHT_APPEND)
		access |= CELL_APPEND;
	if (t->rights & (RIGHT_CREATE | RIGHT_BIND))
		access |= CELL_CREATE;
	if (t->rights & RIGHT_DELETE)
		access |= CELL_DELETE;
	if (runs)
		access |= CELL_EXEC;
	if (t->types & (TYPE_CHAR | TYPE_BLOCK))
		access |= CELL_DEVICE;
	return access;
}

/* The directory a path lies in, kept; "/" for a path in the root. */
static char *keep_parent(struct plan *p, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return keep(p, "/");
	return keep(p, "%.*s", (int)(slash - path), path);
}

/* The same last component: then the parents of two spellings stand for each other. */
static bool same_name(const char *a, const char *b)
{
	const char *last_a = strrchr(a, '/'), *last_b = strrchr(b, '/');

	return last_a && last_b && strcmp(last_a, last_b) == 0;
}

/*
 * A single file or socket may be made, deleted or renamed only from its directory, so there the
 * tree is the directory: its names become visible and the broker's Landlock domain reaches its
 * files, while the policy still decides on the one name.
 */
static int plan_tree(struct plan *p, const struct policy_tree *t, bool runs, struct failure *f)
{
	struct cell_tree *tree = &p->trees[p->spec.n_trees];
	bool aliased = strcmp(t->prefix, t->resolved) != 0;
	struct stat st;

	*tree = (struct cell_tree){.access = tree_access(t, runs), .path = t->resolved};
	tree->alias = aliased ? t->prefix : NULL;
	if (stat(t->resolved, &st) == 0 && S_ISDIR(st.st_mode)) {
		if (!t->subtree && !t->has_wildcard)
			return fail(f, -ESTALE,
				"%s was no directory when the policy was read, and is one now; "
				"start again",
				t->resolved);
		p->spec.n_trees++;
		return 0;
	}
	tree->is_file = true;
	if (t->rights & (RIGHT_CREATE | RIGHT_DELETE | RIGHT_BIND)) {
		/* The worker is to load the one name alone, not the directory. */
		tree->access &= ~(unsigned)CELL_EXEC;
		tree->is_file = false;
		tree->path = keep_parent(p, t->resolved);
		tree->alias = aliased && same_name(t->prefix, t->resolved)
				      ? keep_parent(p, t->prefix)
				      : NULL;
		if (!tree->path)
			return fail(f, -ENOMEM, "cannot plan the cell: %m");
	}
	p->spec.n_trees++;
	return 0;
}

static int compare_trees(const void *a, const void *b)
{
	const struct cell_tree *x = a, *y = b;

	return strcmp(x->path, y->path);
}

/* Sorted, a parent stands before its children; equal ones become one.  An alias of its own keeps a
 * tree apart. */
static void merge_trees(struct plan *p)
{
	size_t n = 0;

	qsort(p->trees, p->spec.n_trees, sizeof(*p->trees), compare_trees);
	for (size_t i = 0; i < p->spec.n_trees; i++) {
		struct cell_tree *t = &p->trees[i];
		struct cell_tree *last = n > 0 ? &p->trees[n - 1] : NULL;

		if (last && strcmp(last->path, t->path) == 0 &&
			(!t->alias || !last->alias || strcmp(t->alias, last->alias) == 0)) {
			last->access |= t->access;
			if (!last->alias)
				last->alias = t->alias;
			continue;
		}
		p->trees[n++] = *t;
	}
	p->spec.n_trees = n;
}

static int plan_trees(struct plan *p, const struct policy *policy, struct failure *f)
{
	size_t count = policy_tree_count(policy);
	int r = 0;

	p->trees = calloc(count + 1, sizeof(*p->trees));
	if (!p->trees)
		return fail(f, -ENOMEM, "cannot plan the cell: %m");
	for (size_t i = 0; i < count && r == 0; i++) {
		const struct policy_tree *t = policy_tree(policy, i);

		if (t->verdict == VERDICT_DENY || t->missing || !policy_tree_is_place(policy, i))
			continue;
		if (t->as == AS_BROKER)
			p->as_broker = true;
		/* A socket that is connected is looked up on the host, and stands in no view. */
		if (t->rights == RIGHT_CONNECT)
			continue;
		r = plan_tree(p, t, policy_tree_runs(policy, i), f);
	}
	merge_trees(p);
	p->spec.trees = p->trees;
	while (policy_hidden(policy, p->spec.n_hidden))
		p->spec.n_hidden++;
	p->hidden = calloc(p->spec.n_hidden + 1, sizeof(*p->hidden));
	if (!p->hidden)
		return fail(f, -ENOMEM, "cannot plan the cell: %m");
	for (size_t i = 0; i < p->spec.n_hidden; i++)
		p->hidden[i] = policy_hidden(policy, i);
	p->spec.hidden = p->hidden;
	return r;
}

/* ---- environment ------------------------------------------------------------------------- */

static const char *const passed_variables[] = {
	"PATH", "LANG", "TZ", "TERM", "COLORTERM", "NO_COLOR"};

static const char *env_find(char *const *envp, const char *name, size_t size)
{
	for (; envp && *envp; envp++) {
		if (strncmp(*envp, name, size) == 0 && (*envp)[size] == '=')
			return *envp + size + 1;
	}
	return NULL;
}

/* Sets NAME=VALUE in the worker's environment, in place of an earlier one. */
static int env_put(struct plan *p, char *assignment)
{
	char **grown;
	size_t name;
	size_t n = 0;

	if (!assignment)
		return -ENOMEM;
	name = strcspn(assignment, "=") + 1;
	for (; p->envp && p->envp[n]; n++) {
		if (strncmp(p->envp[n], assignment, name) == 0) {
			p->envp[n] = assignment;
			return 0;
		}
	}
	grown = reallocarray(p->envp, n + 2, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	grown[n] = assignment;
	grown[n + 1] = NULL;
	p->envp = grown;
	p->spec.envp = grown;
	return 0;
}

static int env_set(struct plan *p, const char *name, const char *value)
{
	char *assignment = keep(p, "%s=%s", name, value);

	return assignment ? env_put(p, assignment) : -ENOMEM;
}

static int env_pass(struct plan *p, char *const *envp, const char *name)
{
	const char *value = env_find(envp, name, strlen(name));

	return value ? env_set(p, name, value) : 0;
}

/* What passes by itself says how to talk to the person, not what the host holds. */
static int env_defaults(struct plan *p, const struct broker_args *a, const char *home)
{
	int r = env_set(p, "PATH", DEFAULT_PATH);

	for (size_t i = 0; r == 0 && i < sizeof(passed_variables) / sizeof(*passed_variables); i++)
		r = env_pass(p, a->envp, passed_variables[i]);
	for (char *const *e = a->envp; r == 0 && e && *e; e++) {
		if (strncmp(*e, "LC_", 3) == 0 && strchr(*e, '=')) {
			char *copy = keep(p, "%s", *e);

			r = copy ? env_put(p, copy) : -ENOMEM;
		}
	}
	if (r == 0)
		r = env_set(p, "HOME", home);
	if (r == 0)
		r = env_set(p, "USER", p->spec.user_name);
	if (r == 0)
		r = env_set(p, "LOGNAME", p->spec.user_name);
	return r;
}

static int plan_env(struct plan *p, const struct broker_args *a, const struct policy_settings *set,
	struct failure *f)
{
	/* `root host` has no private directory to give. */
	const char *home = set->home                                           ? set->home
			   : set->root == ROOT_HOST || set->root == ROOT_EMPTY ? "/nonexistent"
									       : CELL_HOME;
	int r = env_defaults(p, a, home);

	for (size_t i = 0; r == 0 && i < set->n_env; i++) {
		if (strchr(set->env[i], '=')) {
			char *copy = keep(p, "%s", set->env[i]);

			r = copy ? env_put(p, copy) : -ENOMEM;
		} else {
			r = env_pass(p, a->envp, set->env[i]);
		}
	}
	return r < 0 ? fail(f, r, "cannot plan the cell's environment: %m") : 0;
}

/* ---- descriptors ------------------------------------------------------------------------- */

static int compare_fds(const void *a, const void *b)
{
	const struct cell_fd *x = a, *y = b;

	return x->to < y->to ? -1 : x->to > y->to;
}

static int put_fd(struct plan *p, int from, int to)
{
	struct cell_fd *grown = reallocarray(p->fds, p->spec.n_fds + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->fds = grown;
	p->spec.fds = grown;
	grown[p->spec.n_fds++] = (struct cell_fd){.from = from, .to = to};
	qsort(grown, p->spec.n_fds, sizeof(*grown), compare_fds);
	return 0;
}

static int plan_fds(struct plan *p, const struct broker_args *a, struct failure *f)
{
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++)
		r = put_fd(p, a->stdio[i], i);
	for (size_t i = 0; i < a->n_fds && r == 0; i++)
		r = put_fd(p, a->fds[i], a->fds[i]);
	p->spec.tty_fd = a->tty_fd;
	/* The pty was made for this worker, which also opens it by name: /dev/stdout. */
	if (r == 0 && a->tty_fd >= 0 && p->privileged &&
		fchown(a->tty_fd, p->spec.uid, (gid_t)-1) < 0)
		r = -errno;
	return r < 0 ? fail(f, r, "cannot plan the cell's descriptors: %m") : 0;
}

int plan_add_fd(struct plan *p, int from, const char *variable)
{
	char number[16];
	int to = 3;
	int r;

	for (size_t i = 0; i < p->spec.n_fds; i++) {
		if (p->spec.fds[i].to == to)
			to++;
	}
	r = put_fd(p, from, to);
	if (r < 0)
		return r;
	snprintf(number, sizeof(number), "%d", to);
	return env_set(p, variable, number);
}

/* ---- sockets ------------------------------------------------------------------------------ */

/* Whatever leads out is the dialer's; a path is also bound by the broker itself, in a tree. */
static int plan_sockets(struct plan *p, const struct broker_args *a, struct failure *f)
{
	unsigned use = policy_socket_use(a->policy);

	if (use == 0)
		return 0;
	p->spec.sockets = CELL_SOCKETS_OUT;
	p->spec.sockets |= use & USE_NAMES ? CELL_SOCKETS_NAMES : 0;
	p->spec.sockets |= use & USE_DATAGRAM ? CELL_SOCKETS_DATAGRAM : 0;
	p->spec.sockets |= use & USE_BIND_UDP ? CELL_SOCKETS_BIND_UDP : 0;
	p->spec.n_udp_ports = policy_udp_ports(a->policy, p->udp_ports);
	p->spec.udp_ports = p->udp_ports;
	p->spec.dialer = a->dialer;
	if (!a->dialer)
		return fail(f, -ENOENT,
			"the policy names sockets, and warder-dialer, which reaches them, was not "
			"found; is warder installed completely?");
	return 0;
}

/* ---- the whole --------------------------------------------------------------------------- */

static struct cell_limits plan_limits(const struct policy_settings *set)
{
	return (struct cell_limits){
		.memory = set->memory,
		.tasks = set->tasks,
		.files = set->files,
		.cpu_ms = set->cpu_ms,
	};
}

void broker_make_room(const struct policy *policy)
{
	const struct cell_limits limits = plan_limits(policy_settings(policy));

	cell_cgroup_ready(&limits);
}

int plan_init(struct plan *p, const struct broker_args *a, struct failure *f)
{
	const struct policy_settings *set = policy_settings(a->policy);
	int r;

	*p = (struct plan){
		.spec =
			{
				.root = (enum cell_root)set->root,
				.accept = set->accept,
				.runtime_none = set->runtime_none,
				.runtime = (const char *const *)set->runtime,
				.n_runtime = set->n_runtime,
				.home = set->home,
				.tmp_size = set->tmp_size,
				.limits = plan_limits(set),
				.program = a->argv[0],
				.argv = a->argv,
				.cwd = a->cwd,
				.tty_fd = -1,
				.ledger_sync = set->ledger_sync,
			},
	};
	r = plan_user(p, set, f);
	/* getrlimit(2): RLIMIT_NPROC does not bind the host's uid 0, whatever its capabilities. */
	if (r == 0 && p->spec.uid == 0 && set->tasks)
		r = fail(f, -EINVAL,
			"`tasks` cannot be enforced for `user root`: the kernel counts no "
			"processes "
			"of uid 0; name another user, or leave `tasks` out");
	if (r == 0)
		r = plan_trees(p, a->policy, f);
	if (r == 0)
		r = plan_sockets(p, a, f);
	if (r == 0)
		r = plan_env(p, a, set, f);
	if (r == 0)
		r = plan_fds(p, a, f);
	return r;
}

void plan_deinit(struct plan *p)
{
	for (size_t i = 0; i < p->n_strings; i++)
		free(p->strings[i]);
	free(p->strings);
	free(p->trees);
	free(p->hidden);
	free(p->fds);
	free(p->envp);
	free(p->groups);
	*p = (struct plan){0};
}
