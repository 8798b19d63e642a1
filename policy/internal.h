/* SPDX-License-Identifier: MIT */
/*
 * internal.h - the policy from inside: what the files of policy/ share.
 *
 * lex.c words · target.c patterns · host.c hosts and addresses · parse.c, rule.c, socket.c
 * statements · setting.c, clients.c their values · store.c memory and diagnostics · relate.c,
 * relate_exec.c, relate_crossing.c rules against rules · trie.c, match.c verdicts on paths ·
 * peers.c verdicts on sockets · text.c print.
 */
#ifndef WARDER_POLICY_INTERNAL_H
#define WARDER_POLICY_INTERNAL_H

#include "policy/policy.h"

#include <limits.h>

#define RIGHTS_COUNT 7
#define RIGHTS_ALL   ((1u << RIGHTS_COUNT) - 1) /* of files: what `any` is */
#define RIGHTS_SOCK  ((unsigned)(RIGHT_CONNECT | RIGHT_BIND))
#define MARKS_COUNT  9
#define MARKS_ALL    (RIGHTS_ALL | RIGHTS_SOCK)

#define DEPTH_MAX 16   /* include in include in include */
#define FILES_MAX 256  /* links to directories could make any number of one file */
#define DIAGS_MAX 1000 /* what nobody reads to the end */

/* A word: its bytes with quotes, escapes and variables resolved.  magic[i] is 1 where byte i was
 * written as itself, so that it may be a wildcard; a variable's value and an escape never are. */
struct word {
	const char *s; /* NUL-terminated; holds no other NUL */
	const unsigned char *magic;
	size_t n;
	unsigned column; /* from 1 */
	bool quoted;     /* begins with '"': no keyword */
};

/* One component of a pattern. */
struct component {
	const char *s;
	const unsigned char *magic; /* NULL: literal */
	size_t n;
	bool any_depth; /* "**" */
};

/* A target: a literal prefix, then components of which the first is no literal, then perhaps all
 * beneath. */
struct pattern {
	const char *prefix; /* normalised, "/" at least */
	const struct component *rest;
	size_t n_rest;
	bool subtree;
	bool anywhere; /* begins with "**" */
};

struct rule {
	const char *name; /* "scan.policy:13" */
	const char *file;
	const char *source; /* the line */
	unsigned line;
	enum verdict verdict;
	unsigned written; /* rights as written, for printing */
	unsigned rights;  /* closed */
	unsigned as;
	unsigned types;
	mode_t mode_max;
	bool has_mode;
	unsigned timeout_ms;
	bool optional;
	size_t first_tree, n_trees;
	size_t first_except, n_excepts;
	size_t first_sock, n_socks;               /* sockets that have no path */
	size_t first_sock_except, n_sock_excepts; /* and those taken out again */
	uint32_t except_root;                     /* of a trie of its own; 0: none */
	bool too_wide; /* told once for many denies that it undoes, see relate.c */
};

/* Why a prefix cannot be trusted to stay what it was at load: a symlink, or a directory that was
 * left by "..", on the way. */
struct crossing {
	const char *link;
	struct crossing *next;
};

struct tree {
	struct policy_tree pub;
	struct pattern pattern;
	unsigned column;
	struct crossing *crossings;
	bool told_protected; /* see relate_exec.c */
};

struct except {
	size_t rule;
	struct pattern pattern;
	const char *resolved;
	struct crossing *crossings;
	unsigned column;
};

/* Where a path of `runtime` leads, equal to it until told, and by what way. */
struct runtime_way {
	const char *resolved;
	struct crossing *crossings;
};

enum host_kind { HOST_NAME, HOST_SUFFIX, HOST_ADDRESS, HOST_INTERNET, HOST_ABSTRACT };

/* A socket without a path, as a rule has it. */
struct sock {
	size_t rule;
	bool bind;
	enum policy_protocol protocol;
	enum host_kind kind;
	const char *name; /* lower case, no last dot, no "*."; an abstract name's bytes */
	size_t name_size;
	uint8_t address[16]; /* IPv4 mapped; the bits behind `bits` are 0 */
	unsigned bits;       /* of those 128 */
	uint16_t low, high;  /* ports; 0 to 65535 is "*" */
	unsigned column;
};

struct expect {
	const char *name, *file, *source;
	unsigned line, column;
	enum verdict verdict;
	unsigned rights;
	const char *path; /* normalised; NULL: a socket without one */
	struct sock sock;
	const char *text; /* the statement, printed */
};

struct variable {
	const char *name, *value;
	const char *origin; /* "scan.policy:3" */
	bool by_flag;
	bool known; /* some line reads it, or sets it too */
};

/* Self-protection. */
struct protected_path {
	const char *path;
	const struct component *names; /* only what it matches in `path`; NULL: path itself */
	bool name_only;                /* not what is beneath it */
	bool hidden;                   /* to be covered in the view; relate_exec.c */
	unsigned rights;
};

/* Where the value of a setting stands. */
struct setting_place {
	const char *file; /* NULL: it was not given */
	const char *source;
	unsigned line, column;
};

/* A word of `clients`. */
struct client {
	struct policy_client pub;
	struct setting_place place;
};

struct source {
	const char *path; /* what the loader called it */
	bool open;        /* being parsed: to include it now is a cycle */
};

/* A set of rights given on a pattern of one rule, at a node of the trie. */
struct mark {
	uint32_t tree;        /* index, or one of the constants below */
	uint32_t next;        /* 0: the end */
	uint32_t seen;        /* scratch of a check */
	uint16_t prefix_size; /* of the spelling that led here */
	uint16_t rights;
};
#define MARK_PROTECT UINT32_MAX
#define MARK_EXCEPT  (UINT32_MAX - 1)

/* A node of the trie of components: see trie.c. */
struct node {
	const char *name; /* the component that leads here */
	uint32_t name_size;
	uint32_t parent;
	uint32_t self;          /* first mark for paths that end here */
	uint32_t below;         /* first mark for here and all beneath */
	uint32_t globs;         /* first child by a wildcard component; of a group its first */
	uint32_t next_glob;     /* its next sibling */
	uint32_t next_in_group; /* ... of the same group */
	uint32_t affix;         /* how those children are grouped; 0: there are none */
	uint32_t deep;          /* child by "**" */
	uint32_t seen;          /* scratch of a check */
	bool is_deep;
	bool has_literals;
	bool on_way;                  /* a tree that gives something begins here or beneath */
	bool inside;                  /* one begins here */
	const struct component *glob; /* of a wildcard child */
};

/*
 * The wildcard children of a node in groups: by the literal bytes that they begin with, else by
 * those that they end in.  A group is a literal child of the nodes below, so that a name meets only
 * the wildcards that may match it, however many there are.
 */
struct affix {
	uint32_t prefixes, suffixes; /* nodes whose literal children are the groups */
	uint32_t rest;               /* the group of those that have neither */
	uint64_t prefix_lengths[4], suffix_lengths[4]; /* bits: which lengths there are */
};

/* What a check writes to, so that it allocates nothing. */
struct scratch {
	uint32_t *active[3]; /* sets of nodes: two to walk with, one to keep */
	uint32_t *pending;   /* marks that matched and whose rule has an `except` */
	uint32_t stamp;
};

struct matcher {
	struct node *nodes; /* nodes[0] is nobody; nodes[1] the root */
	size_t n_nodes, nodes_room;
	struct mark *marks; /* marks[0] is nobody */
	size_t n_marks, marks_room;
	struct slot {
		uint32_t hash, node;
	} * table; /* literal children, keyed by parent and component */
	size_t table_size, n_literals;
	struct affix *affixes; /* affixes[0] is nobody */
	size_t n_affixes, affixes_room;
	uint32_t *excepting; /* the roots of the tries that rules with an `except` have */
	size_t n_excepting, excepting_room;
	struct scratch *scratch;
};

/* The ports of one host and one kind of rule, apart and ascending. */
struct range {
	uint16_t low, high;
	uint32_t sock;
};

/* Sockets of one host whose rules say the same; those of a host stand one after another. */
struct group {
	uint32_t first, n; /* ranges */
	uint8_t protocol;  /* what it is kept under */
	bool last;         /* of its host */
};

/* Sockets by host: see peers.c. */
struct peers {
	struct range *ranges;
	struct group *groups;
	uint32_t *table; /* first groups of hosts, + 1 */
	size_t table_size;
	uint8_t lengths[129]; /* which prefixes there are, longest first */
	size_t n_lengths;
};

struct chunk;

struct policy {
	struct policy_env env;
	struct chunk *chunks;
	bool out_of_memory; /* sticky: the calls that see it return -ENOMEM */

	struct policy_diag *diags;
	unsigned *diag_order; /* of each diag: the file's number */
	size_t n_diags, diags_room;
	const char **files; /* in order of first mention */
	size_t n_files, files_room;
	size_t n_errors;

	struct rule *rules;
	size_t n_rules, rules_room;
	struct tree *trees;
	size_t n_trees, trees_room;
	struct except *excepts;
	size_t n_excepts, excepts_room;
	struct expect *expects;
	size_t n_expects, expects_room;
	struct sock *socks;
	size_t n_socks, socks_room;
	struct sock *sock_excepts;
	size_t n_sock_excepts, sock_excepts_room;
	struct variable *variables;
	size_t n_variables, variables_room;
	struct source *sources;
	size_t n_sources, sources_room;
	struct protected_path *protected;
	size_t n_protected, protected_room;
	struct client *clients;
	size_t n_clients, clients_room;

	struct policy_settings settings;
	size_t runtime_room, env_room;
	struct runtime_way *runtime_ways; /* of settings.runtime; NULL: see store_runtime_ways() */
	const char *setting_origin[SET__COUNT]; /* where it was set: "t.policy:3" */
	struct setting_place setting_place[SET__COUNT];
	const char *accept_origin[8];
	bool setting_by_flag[SET__COUNT];

	/* Where the parser is. */
	const char *file;
	const char *dir;
	const char *source;
	const char *origin; /* "scan.policy:13" */
	unsigned line;
	unsigned depth; /* 0: the main text */

	struct matcher matcher;
	struct peers peers;
	const char *text;
	size_t text_size;
	bool compiled;
};

/* ---- store.c ---- */

/* Memory that lives as long as the policy.  NULL and p->out_of_memory on failure. */
void *store_alloc(struct policy *p, size_t size);
char *store_copy(struct policy *p, const char *s, size_t n);
char *store_printf(struct policy *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for one more in an array of items of `size`.  False and out_of_memory on failure. */
bool store_grow(struct policy *p, void *array_pointer, size_t n, size_t *room, size_t size);
/* 0, or -ENOMEM once memory was short. */
int store_result(const struct policy *p);
/* Of each path of `runtime` where it leads, once the text is whole; NULL: no memory. */
struct runtime_way *store_runtime_ways(struct policy *p);

/* Errors of the line being parsed; column 0: of the line as a whole.  Always returns -EINVAL, so
 * that a parser can return what it says. */
int error_at(struct policy *p, unsigned column, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A diagnostic anywhere. */
void diag_add(struct policy *p, const char *file, unsigned line, unsigned column,
	const char *source, bool warning, const char *text);
int diag_of_rule(struct policy *p, size_t rule, unsigned column, bool warning, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- lex.c ---- */

#define WORDS_MAX 4096 /* on a line */

/* Takes a line apart.  Returns the number of words, or -EINVAL with a diagnostic, or -ENOMEM. */
int lex_line(struct policy *p, const char *line, size_t size, struct word **ret_words);
bool word_is(const struct word *w, const char *keyword);
/* Whether byte i of the word is the wildcard or other special character c. */
bool word_magic(const struct word *w, size_t i, char c);
bool name_is_valid(const char *name, size_t n);

/* ---- target.c ---- */

/* Whether the word can only be a target. */
bool target_looks_like(const struct word *w);
int target_parse(struct policy *p, const struct word *w, enum verdict verdict, struct pattern *ret);
/* A literal path: no wildcard; ".." is taken away if `dots`.  Normalised, in the policy's memory;
 * *ret_slash: it ended in one. */
int target_path(
	struct policy *p, const struct word *w, bool dots, const char **ret, bool *ret_slash);
/* How many bytes of a wildcard component stand before its first, or after its last, wildcard. */
size_t component_prefix(const struct component *c);
size_t component_suffix(const struct component *c);
/* Whether a name matches a component that is no "**". */
bool component_match(const struct component *c, const char *name, size_t n);

/* ---- parse.c, setting.c ---- */

/* Warns of each variable of the command line that no line of the policy has in it. */
void parse_unknown_flags(struct policy *p);

/* A line that begins with the name of a setting. */
int setting_parse(struct policy *p, const struct word *words, int n);
bool setting_known(const char *word);
int time_parse(struct policy *p, const struct word *w, uint64_t *ret_ms);

/* ---- host.c ---- */

/* How near to everybody's an address is.  A name admits what is not NOBODY, `internet` PUBLIC. */
enum address_class { ADDRESS_NOBODY, ADDRESS_PRIVATE, ADDRESS_PUBLIC };
enum address_class address_class(const uint8_t address[16]);
bool address_is_v4(const uint8_t address[16]);
/* Multicast, or everybody's: 255.255.255.255. */
bool address_is_group(const uint8_t address[16]);
/* The IPv4 address that a transition address leads to (NAT64, 6to4, Teredo), mapped. */
bool address_embedded(const uint8_t address[16], uint8_t ret[16]);
bool address_within(const uint8_t address[16], const uint8_t base[16], unsigned bits);
void address_mask(uint8_t address[16], unsigned bits);

/* HOST:PORTS into *ret, its rule and protocol apart.  0, -EINVAL with a diagnostic, -ENOMEM. */
int host_parse(struct policy *p, const struct word *w, struct sock *ret);
/* As a policy writes it: its length; -ENAMETOOLONG. */
int host_print(const struct sock *s, char *buf, size_t size);

/* ---- socket.c ---- */

/* Parses one socket at words[at]: *ret_path, in *ret_pattern, or *ret.  Returns how many words it
 * took, or -EINVAL. */
int socket_parse(struct policy *p, const struct word *words, int n, int at, bool bind,
	enum verdict verdict, bool *ret_path, struct pattern *ret_pattern, struct sock *ret);
/* A line whose second word is connect or bind; an expectation whose third is. */
int socket_rule_parse(struct policy *p, const struct word *words, int n, struct rule *r);
int socket_expect_parse(struct policy *p, const struct word *words, int n, struct expect *e);

/* ---- peers.c ---- */

int peers_build(struct policy *p);
void peers_free(struct policy *p);
/* More ports of UDP than can be served: told.  0, -EINVAL. */
int peers_check_udp(struct policy *p);

/* ---- rule.c ---- */

/* One option at words[at].  Returns how many words it took; 0: it is none. */
int option_parse(struct policy *p, const struct word *words, int n, int at, struct rule *r);
extern const char *const option_names[];
int rule_add(struct policy *p, struct rule *r);
/* A rule that cannot be: what was kept of it goes. */
void rule_drop(struct policy *p, const struct rule *r);
int tree_add(struct policy *p, const struct pattern *t, unsigned column, const struct rule *r);
int except_add(struct policy *p, const struct pattern *t, unsigned column);
int expect_add(struct policy *p, const struct expect *e);

/* A line that begins with a verdict, and one that begins with "expect". */
int rule_parse(struct policy *p, const struct word *words, int n);
int expect_parse(struct policy *p, const struct word *words, int n);

/* ---- rights.c ---- */

extern const char *const right_names[]; /* of files and sockets, NULL-terminated */
/* The name of one right, by its bit's number. */
const char *right_name(unsigned bit);
/* "rw" -> its four bits, not closed; 0 if unknown. */
unsigned right_written(const char *word, size_t n);
/* Adds what a grant includes, or what a deny takes along. */
unsigned right_close(unsigned rights, enum verdict verdict);

/* ---- clients.c ---- */

/* Whether it can be a user's or a group's name. */
bool user_name_valid(const char *s, size_t n);
/* Values of `clients`. */
int clients_parse(struct policy *p, const struct word *w, int n);

/* ---- relate.c ---- */

/* Whether the pattern, spelled with this prefix, may match `path` or, if `deep`, something
 * beneath it.  Where it cannot tell it says yes. */
bool relate_reaches(const struct pattern *t, const char *prefix, const char *path, bool deep);
/* Whether an `except` of the rule takes the whole of a tree out. */
bool relate_excepted(const struct policy *p, const struct rule *r, const char *path);
/* Whether the tree stands in the cell and one of the rights is allowed or asked about there. */
bool relate_gives(const struct policy *p, size_t tree, unsigned rights);
/* For each tree SIZE_MAX, to be freed; NULL: no memory. */
size_t *relate_no_grants(const struct policy *p);
/* grants[i] is the tree whose grant undoes the deny i, or SIZE_MAX.  Each is told by `each`, many
 * for the same grant once.  0 or -ENOMEM. */
int relate_tell_all(struct policy *p, const size_t *grants,
	void (*each)(struct policy *p, size_t deny, size_t grant));

/* Denies and asks inside runtime trees. */
int relate_runtime(struct policy *p);
/* Sockets that give more than they seem to: warnings, after peers_build() and trie_build(). */
void relate_sockets(struct policy *p);

/* ---- relate_exec.c ---- */

/* What the worker would load although a rule keeps it from that.  After relate_crossings(). */
int relate_exec(struct policy *p);

/* ---- relate_crossing.c ---- */

/* Paths that cross what the worker may write; after trie_build().  1: an `except` was narrowed,
 * build again.  0 or -ENOMEM. */
int relate_crossings(struct policy *p);

/* ---- trie.c ---- */

int trie_build(struct policy *p);
void trie_free(struct policy *p);

/* ---- match.c ---- */

/* Whether some rule other than one whose prefix is as long as `path` lets the worker make or
 * remove the name `path`; its name or NULL. */
const char *match_replaceable(const struct policy *p, const char *path);

/* ---- text.c ---- */

/* A word as it has to be written, quoted where needed.  Without magic nothing in it is special. */
const char *text_word(struct policy *p, const char *s, const unsigned char *magic, size_t n);
/* The same into a buffer: its length; -ENAMETOOLONG. */
int text_quote(const char *s, const unsigned char *magic, size_t n, char *buf, size_t size);

#endif
