/* SPDX-License-Identifier: MIT */
/*
 * policy.h - the policy: text in, verdict out.
 *
 * Runs in: broker (at start, before its cage) and the command line.  Trusts: the text's author.
 *
 * Nothing here does I/O: the text of an include or a preset comes through a callback, and what the
 * file system says about a rule's path (where its symlinks lead, whether it exists) is told with
 * policy_tree_resolved() and its neighbours.  A policy is built once (new, set, add..., finish,
 * resolved..., protect, compile) and is read-only afterwards; policy_check() allocates nothing and
 * touches no file.
 */
#ifndef WARDER_POLICY_H
#define WARDER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Rights on files, a set.  RIGHT_APPEND is less than RIGHT_WRITE (write covers it); RIGHT_LIST is
 * less than RIGHT_READ; RIGHT_EXEC includes RIGHT_READ.  The parser closes the sets, so a caller
 * asks for exactly what the operation does. */
enum right {
	RIGHT_READ = 1 << 0,   /* open to read, list, readlink, watch */
	RIGHT_LIST = 1 << 1,   /* read a directory, not what is in the files */
	RIGHT_WRITE = 1 << 2,  /* change what exists: data, size, times, mode */
	RIGHT_APPEND = 1 << 3, /* add at the end only */
	RIGHT_CREATE = 1 << 4, /* new file, directory, link; where a rename ends */
	RIGHT_DELETE = 1 << 5, /* unlink, rmdir; where a rename starts */
	RIGHT_EXEC = 1 << 6,   /* run, and map as code */
	/* Unix sockets that have a path: rules `connect PATH` and `bind PATH`. */
	RIGHT_CONNECT = 1 << 7,
	RIGHT_BIND = 1 << 8, /* make it there, and take connections on it */
};
#define RIGHTS_FILES 0x7fu /* all but those two */

enum verdict {
	VERDICT_DENY = 0, /* no rule, or a deny rule */
	VERDICT_ASK,      /* an ask rule: without an approver, a denial */
	VERDICT_ALLOW,
};

enum policy_as { AS_WORKER = 0, AS_CLIENT, AS_BROKER };

/* File types other than regular files and directories that a rule admits. */
enum policy_type {
	TYPE_CHAR = 1 << 0,
	TYPE_BLOCK = 1 << 1,
	TYPE_FIFO = 1 << 2,
	TYPE_DATAGRAM = 1 << 3, /* `type dgram`, of connect PATH: else stream and seqpacket */
};

/* What a verdict rests on.  Strings belong to the policy. */
struct policy_answer {
	enum verdict verdict;
	const char *rule;    /* "scan.policy:13" of the deciding rule; POLICY_SELF for
			      * self-protection; NULL: no rule matched */
	unsigned missing;    /* on a denial without a deny rule: the rights no rule gives */
	unsigned as;         /* enum policy_as of the rules that allow: the least over the rights */
	unsigned types;      /* enum policy_type set common to the rights */
	mode_t mode_max;     /* `mode`: creation bits allowed; 0777 when not said */
	unsigned timeout_ms; /* `timeout` of the deciding rule; 0 when not said */
};

/* Whether of two answers that allow the second gives more: a greater authority, or further types.
 */
bool policy_gives_more(const struct policy_answer *than, const struct policy_answer *a);

/* What answer.rule says of the policy's own files and warder's state. */
#define POLICY_SELF "self-protection"

enum policy_root { ROOT_VIEW = 0, ROOT_EMPTY, ROOT_HOST };

/* Layers that `accept missing LAYER` can name. */
enum policy_layer {
	LAYER_USERNS = 1 << 0,
	LAYER_LANDLOCK = 1 << 1,
	LAYER_LANDLOCK_SCOPE = 1 << 2, /* signals and abstract sockets: ABI 6 */
	LAYER_SECCOMP = 1 << 3,
	LAYER_CGROUP = 1 << 4,
	LAYER_UID = 1 << 5, /* `root host` with worker and broker of one uid */
};

/* The flat settings.  A field is meaningful only if its bit stands in `given`, else it holds the
 * default.  Strings belong to the policy. */
enum policy_setting {
	SET_ROOT,
	SET_RUNTIME,
	SET_USER,
	SET_ENV,
	SET_HOME,
	SET_TMP,
	SET_MEMORY,
	SET_TASKS,
	SET_FILES,
	SET_CPU,
	SET_TIME,
	SET_LIMIT_REQUESTS,
	SET_LIMIT_HELD,
	SET_ACCEPT,
	SET_LEDGER,
	SET_LEDGER_SYNC,
	SET_CLIENTS,
	SET_WORKERS,
	SET_IDENTITY,
	SET_APPROVER,
	SET__COUNT,
};

#define POLICY_WORKERS_MAX 64 /* of `workers`; more is an error */

struct policy_settings {
	uint64_t given; /* 1 << enum policy_setting */
	enum policy_root root;
	bool runtime_none;    /* `runtime none`: start from an empty runtime */
	const char **runtime; /* `runtime PATH...`: added trees */
	size_t n_runtime;
	const char *user; /* NULL: 65534 for root, else the user who starts warder */
	const char **env; /* "NAME" passes, "NAME=VALUE" sets */
	size_t n_env;
	const char *home;        /* NULL: a private directory */
	uint64_t tmp_size;       /* bytes of the private /tmp; 0: kernel's default */
	uint64_t memory;         /* bytes; 0: no limit, so for all below */
	uint64_t tasks;          /* processes and threads */
	uint64_t files;          /* RLIMIT_NOFILE */
	uint64_t cpu_ms;         /* CPU time of one process, ms */
	uint64_t time_ms;        /* wall clock time of the cell, ms */
	uint64_t limit_requests; /* requests a second; a batch of n counts n */
	uint64_t limit_held;     /* descriptors the worker may hold at once */
	unsigned accept;         /* enum policy_layer set */
	const char *ledger; /* absolute path or "fd:N"; as a flag also relative; NULL: default */
	bool ledger_sync;   /* `ledger sync batch` */
	uint64_t workers;   /* slots of `serve` */
};

/* What the text may refer to.  home and start are copied; the rest is used while text is added. */
struct policy_env {
	const char *home;  /* for ~/ ; NULL: an error where used */
	const char *start; /* for ./ ; NULL: an error where used (serve) */
	/*
	 * Returns the text of `use NAME` (preset true) or `include PATH` (PATH already absolute),
	 * and its path for messages.  Both are malloc'd and become the policy's; the text need
	 * not end in NUL.  0, or a negative errno, -ENOENT for a preset that does not exist; then
	 * *ret_path may be a sentence that says why.
	 */
	int (*load)(void *ctx, bool preset, const char *name, char **ret_text, size_t *ret_size,
		char **ret_path);
	/* Names of presets for "did you mean"; NULL-terminated; may be NULL. */
	const char *const *presets;
	void *ctx;
};

struct policy;

/* Returns a new, empty policy (nothing is granted), or NULL on ENOMEM. */
struct policy *policy_new(const struct policy_env *env);
struct policy *policy_free(struct policy *p);

/* `--set NAME=VALUE`: before any text; wins over `set` lines.  0; -EINVAL: not a name; -ENOMEM. */
int policy_set(struct policy *p, const char *name, const char *value);

/*
 * Parses a whole file, or one line given on the command line (name "-e 1").  All errors of the
 * text are collected as diagnostics, not only the first.  `name` is what messages and rules carry.
 * `dir` is what its includes are relative to.
 * Returns 0, -EINVAL (see the diagnostics) or -ENOMEM.
 */
int policy_add_text(
	struct policy *p, const char *name, const char *dir, const char *text, size_t size);

/*
 * A setting given as a flag: `--memory 1G` is policy_add_flag(p, "memory", "1G").  The value is one
 * word as the shell left it (no quoting, no $NAME); `accept`, `limit` and `ledger` take words apart
 * at blanks: "missing cgroup", "requests 100".  The flags env, runtime, accept and clients add to
 * what is set already; any other flag and a line that set the same thing are a setting given twice.
 * -ENOENT: no setting of that name; -EINVAL: see the diagnostics; -ENOMEM.
 */
int policy_add_flag(struct policy *p, const char *setting, const char *value);

/* The words that are settings, NULL-terminated, for option tables and "did you mean". */
extern const char *const policy_setting_names[];

/* Checks what needs the whole text (how many UDP ports it names in all) and makes policy_text(),
 * after the last add.  0, -EINVAL (also when an earlier add found errors) or -ENOMEM. */
int policy_finish(struct policy *p);

/* Diagnostics, in order of file and line. */
struct policy_diag {
	const char *file;
	unsigned line, column; /* from 1; 0: not of a line */
	bool warning;
	const char *text;
	const char *source; /* the line of text, for the caret; may be NULL */
};
size_t policy_diag_count(const struct policy *p);
size_t policy_error_count(const struct policy *p); /* those that are no warnings */
const struct policy_diag *policy_diag(const struct policy *p, size_t i);
/* Adds a diagnostic about a rule, for the side that does the I/O ("no such directory"). */
int policy_diag_rule(struct policy *p, size_t rule, bool warning, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Adds one about a setting, at the line that gave it last; nothing where none did. */
int policy_diag_setting(struct policy *p, enum policy_setting s, bool warning, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Adds one about a file as a whole ("owned by uid 1000"). */
int policy_diag_file(struct policy *p, const char *file, bool warning, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * The trees: one for each target of each file rule, `except` targets left out.  Between finish and
 * compile the caller looks each literal prefix up and says where it leads.
 */
struct policy_tree {
	size_t rule; /* for policy_diag_rule() and policy_rule_name() */
	enum verdict verdict;
	unsigned rights;      /* enum right set, closed */
	const char *prefix;   /* literal absolute path before the first wildcard, normalised */
	const char *resolved; /* where it leads; equal to prefix until told */
	bool has_wildcard;    /* something follows the prefix */
	bool subtree;   /* ends in "/" or "/ **": what the rest names and all beneath; without a
			 * wildcard that is the prefix and all beneath */
	bool optional;  /* `optional`: may be missing */
	bool missing;   /* told missing */
	unsigned as;    /* enum policy_as */
	unsigned types; /* enum policy_type set */
};
size_t policy_tree_count(const struct policy *p);
const struct policy_tree *policy_tree(const struct policy *p, size_t i);
/* Whether tree i begins at a directory or file: not "**", nor a wildcard right below "/", which
 * only deny and ask may begin with, and which give no tree. */
bool policy_tree_is_place(const struct policy *p, size_t i);

/* The prefix of tree i leads to `path` (absolute, copied).  NULL: it is missing; then the tree
 * grants nothing, which is an error unless its rule says `optional`.  A deny of what is missing
 * holds all the same: tell it where the existing part leads.  0, -EINVAL or -ENOMEM. */
int policy_tree_resolved(struct policy *p, size_t i, const char *path);
/* What the prefix of tree i is.  A bare path that is a directory, or "x/" that is none, is an error
 * which names the right spelling.  0, -EINVAL or -ENOMEM. */
int policy_tree_is_directory(struct policy *p, size_t i, bool directory);
/* On the way of tree i a symlink stood at `link` (absolute), or a directory that was left by "..":
 * compile refuses it where the worker may replace it.  0 or -ENOMEM. */
int policy_tree_crossed(struct policy *p, size_t i, const char *link);

/* The targets of `except`, which are resolved like those of trees. */
size_t policy_except_count(const struct policy *p);
const char *policy_except_prefix(const struct policy *p, size_t i); /* "" of a "**" target */
int policy_except_resolved(struct policy *p, size_t i, const char *path);
int policy_except_crossed(struct policy *p, size_t i, const char *link);

/* The paths of `runtime`, by their number in the settings, likewise: where they lead, and by what
 * way.  A deny holds there neither by the one spelling nor by the other.  0 or -ENOMEM. */
int policy_runtime_resolved(struct policy *p, size_t i, const char *path);
int policy_runtime_crossed(struct policy *p, size_t i, const char *link);

/* Whether tree i makes what it names the worker's to load and run by itself: a whole directory, or
 * one file whose name stays what it is, that a rule allows exec of.  Nothing else may be given so;
 * what lies there and is kept from the worker is an error of policy_compile(). */
bool policy_tree_runs(const struct policy *p, size_t i);

size_t policy_rule_count(const struct policy *p);
const char *policy_rule_name(const struct policy *p, size_t rule); /* "scan.policy:13" */

/* Self-protection: `path` (absolute) and all beneath are denied for these rights whatever the rules
 * say, and where they hold CREATE or DELETE the directories above cannot be renamed or replaced
 * either.  Before compile.  0, -EINVAL (not absolute) or -ENOMEM. */
int policy_protect(struct policy *p, const char *path, unsigned rights);
/* The name alone may neither go nor come to stand for another, nor may the directories above; what
 * is beneath is as the rules say.  For symlinks on the way to what is protected. */
int policy_protect_name(struct policy *p, const char *path);
/* The same as policy_protect() of everything in `dir` whose name matches `names`, a wildcard of one
 * component as a rule has it ("*.key"), copied; and of all beneath such. */
int policy_protect_names(struct policy *p, const char *dir, const char *names, unsigned rights);

/*
 * After compile, the i-th path that is protected from being read and lies in a tree which the
 * worker loads files from by itself (`exec`): there no verdict keeps it, so that something is to be
 * put over it in the view.  NULL: no more.  Never any in `root host`, where that is an error.
 */
const char *policy_hidden(const struct policy *p, size_t i);

/*
 * Sockets.  A Unix socket with a path is a path: policy_check() with RIGHT_CONNECT or RIGHT_BIND,
 * and its rule has a policy_tree, which may be missing.  All others are asked about here.
 */
enum policy_protocol { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ABSTRACT };

struct policy_socket {
	bool bind; /* else connect */
	enum policy_protocol protocol;
	const uint8_t *address; /* 16 bytes, IPv4 as ::ffff:a.b.c.d; NULL: not known yet */
	uint16_t port;          /* host order */
	const char *name; /* the host's name that the address was found by, lower case, without
			   * the last dot; or the abstract name, any bytes; NULL: none */
	size_t name_size;
};

/*
 * The verdict for a socket.  Without an address (a name alone): whether some address of that name
 * could be allowed.  A name never admits loopback, link-local, multicast, metadata and other
 * addresses that are nobody's on the internet: those need a rule by address.  answer->missing is
 * RIGHT_CONNECT or RIGHT_BIND where no rule matched.
 */
enum verdict policy_check_socket(
	const struct policy *p, const struct policy_socket *s, struct policy_answer *ret);

/* Whether a host's name may be looked up, which follows from a connect rule by that name, or by
 * `internet`. */
enum verdict policy_check_name(
	const struct policy *p, const char *name, size_t size, struct policy_answer *ret);

/* What the allow rules could give: a set.  Nothing of a kind that is not in it is ever allowed. */
enum policy_socket_use {
	USE_TCP = 1 << 0,       /* connect */
	USE_UDP = 1 << 1,       /* connect */
	USE_NAMES = 1 << 2,     /* some rule is by name, or `internet` */
	USE_BIND = 1 << 3,      /* bind tcp, bind @NAME */
	USE_PATH = 1 << 4,      /* connect PATH */
	USE_BIND_PATH = 1 << 5, /* bind PATH */
	USE_ABSTRACT = 1 << 6,  /* connect @NAME */
	USE_DATAGRAM = 1 << 7,  /* connect PATH `type dgram` */
	USE_BIND_UDP = 1 << 8,  /* bind udp */
};
unsigned policy_socket_use(const struct policy *p);

#define POLICY_UDP_PORTS_MAX 32 /* more, "*" included, is an error at load */
/* The ports of all `allow connect udp` rules, each once, ascending: how many. */
size_t policy_udp_ports(const struct policy *p, uint16_t ret[POLICY_UDP_PORTS_MAX]);

/*
 * Reads a socket as a policy writes it, one that somebody could ask for: "udp [::1]:53".  The
 * strings belong to the policy; *ret_why says what is wrong.  0, -EINVAL or -ENOMEM.
 */
int policy_read_socket(struct policy *p, const char *text, bool bind, uint8_t ret_address[16],
	struct policy_socket *ret, const char **ret_why);

/* The line to add for a socket: `allow connect api.example.com:443`.  Its size; -EINVAL
 * where no rule could give it; -ENAMETOOLONG. */
int policy_suggest_socket(const struct policy_socket *s, char *buf, size_t size);

/*
 * `clients`: who may come in to a service, besides its own user and root.  Strings belong to the
 * policy.
 */
struct policy_client {
	const char *text; /* as it was written: "alice", "%staff", "1000" */
	const char *name; /* the same without "%" */
	bool group;
	bool known;       /* it is a number, or was told; else the entry admits nobody */
	uint32_t id;      /* uid or gid, where it is known */
	const char *rule; /* where that was said: "scan.policy:13" */
};
size_t policy_client_count(const struct policy *p);
const struct policy_client *policy_client(const struct policy *p, size_t i);
/* The number of entry i.  After finish. */
void policy_client_found(struct policy *p, size_t i, uint32_t id);
/* Adds a diagnostic about entry i, at its word. */
int policy_diag_client(struct policy *p, size_t i, bool warning, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The entry that admits this user, or one of these groups of his; NULL: none does. */
const struct policy_client *policy_admits(
	const struct policy *p, uid_t uid, const gid_t *groups, size_t n_groups);

/* Builds the matcher and checks what needs the resolved prefixes: one that crosses a directory the
 * worker may write is an error, and so is what is kept from the worker where it loads by itself.
 * Afterwards the policy is read-only.  0, -EINVAL or -ENOMEM. */
int policy_compile(struct policy *p);

/*
 * The verdict for one path and a non-empty set of rights, all of which must be allowed.  `path` is
 * absolute and normalised (path_normalise() in common/path.h), `size` bytes without its NUL.
 * Costs the depth of the path, not the number of rules.
 */
enum verdict policy_check(const struct policy *p, const char *path, size_t size, unsigned rights,
	struct policy_answer *ret_answer);

/* Whether a path lies in, or on the way to, any tree that allows or asks something: there a name
 * is no secret.  Outside, every answer is ENOENT (root view, root host). */
bool policy_names(const struct policy *p, const char *path, size_t size);

/*
 * Whether a directory may go from one name to another without anything beneath it gaining one of
 * `rights`, nor by one that it has more than before (policy_gives_more()): no rule has more to say
 * beneath `to` than beneath `from`, or other things to say.
 */
bool policy_may_move(const struct policy *p, const char *from, size_t from_size, const char *to,
	size_t to_size, unsigned rights);

const struct policy_settings *policy_settings(const struct policy *p);

/* The default or added runtime tree `path` lies in; NULL: none, as always in `root empty`. */
const char *policy_runtime(const struct policy *p, const char *path, size_t size);

/* The whole text with includes, presets and variables resolved, a statement a line, each with its
 * origin as a comment after a tab, for the copy kept beside the ledger.  It parses to the same
 * policy.  It belongs to the policy; NULL on ENOMEM.  After finish. */
const char *policy_text(const struct policy *p, size_t *ret_size);

size_t policy_expect_count(const struct policy *p);
/* `expect` lines: returns how many do not hold, with a diagnostic added for each.  After
 * compile.  -ENOMEM. */
int policy_expect(struct policy *p);

/* Names: "read,list"; writes at most `size` bytes with the NUL.  Returns buf. */
char *policy_rights_name(unsigned rights, char *buf, size_t size);
/* "read" -> RIGHT_READ closed, "rw" ...; 0 if unknown. */
unsigned policy_right_parse(const char *word, size_t size);
const char *policy_verdict_name(enum verdict v);
/* A path as a policy has to write it: `/a` or `"/a b"`.  Its size or -ENAMETOOLONG. */
int policy_quote(const char *path, char *buf, size_t size);

/*
 * How many bytes of a path lead to what the worker cannot rename or replace: all of them, or up to
 * the directory that a rule's pattern may begin with (policy_suggest()); 0: that is the root.
 */
size_t policy_fixed(const struct policy *p, const char *path);

/*
 * Writes the line to add for a right on a path, or on a socket as a policy writes it, quoted as the
 * grammar needs: `allow read "/a b"`.  A rule that crosses what the worker may replace is an error.
 * So where `fixed`, of policy_fixed(), is less than the path, and not 0, it names what is called so
 * anywhere beneath that directory, and of exec, which no wildcard gives, that directory.
 * 0; -EINVAL where no rule could give it: no right at all, the root, a file of /proc, what no host
 * is called; -ENAMETOOLONG.
 */
int policy_suggest(unsigned rights, const char *path, size_t fixed, char *buf, size_t size);
/* "landlock" -> LAYER_LANDLOCK; 0 if unknown.  And back; NULL if not exactly one known layer. */
unsigned policy_layer_parse(const char *word);
const char *policy_layer_name(unsigned layer);

#endif
