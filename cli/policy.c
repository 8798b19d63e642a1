/* SPDX-License-Identifier: MIT */
/*
 * policy.c - warder policy check, warder policy explain.
 *
 * Runs in: command line.  Trusts: the user who calls.
 *
 * Nothing is decided here: the policy is loaded as `run` loads it, and policy_check() is asked what
 * it would say.  Exit status: 0 yes, 1 no, 2 could not tell.
 */
#include "cli/cli.h"

#include "broker/policy_find.h"
#include "broker/policy_load.h"
#include "cli/policy_options.h"
#include "cli/say.h"
#include "cli/suggest.h"
#include "common/fd.h"
#include "common/jsonl.h"
#include "common/nearest.h"
#include "common/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { YES = 0, NO = 1, CANNOT_TELL = 2 };

static const struct option_row rows[] = {
	{NULL, 'e', "LINE", "one more line of policy; may be repeated"},
	{"allow", 0, "RULE", "the same as -e \"allow RULE\""},
	{"deny", 0, "RULE", "the same as -e \"deny RULE\""},
	{"set", 0, "N=V", "give $N of the policy the value V; wins over its `set` lines"},
	{"chdir", 'C', "DIR", "the worker's start directory, which is what ./ means"},
	{"json", 0, NULL, "JSON Lines on standard output"},
	{"help", 'h', NULL, "this text"},
	SETTING_OPTION_ROWS,
};

/* What the command line said. */
struct inquiry {
	struct policy_options policy;
	char start[PATH_MAX];
	bool json;
	const char *operands[5]; /* FILE connect udp HOST:PORT ADDRESS */
	int n_operands;
};

/* ---- usage ----------------------------------------------------------------------------------- */

static int set_start(struct inquiry *q, const struct options *o, const char *dir)
{
	char real[PATH_MAX];

	if (!realpath(dir, real)) {
		options_wrong(o, "cannot start in %s: %s", dir, strerror(errno));
		return -EINVAL;
	}
	memcpy(q->start, real, sizeof(real));
	return 0;
}

static bool is_socket_right(const char *right)
{
	return strcmp(right, "connect") == 0 || strcmp(right, "bind") == 0;
}

/* Options may stand after operands too: nothing that follows belongs to another program.
 * 0; 1: help was shown; -EINVAL: said. */
static int parse(struct inquiry *q, struct options *o, int want, const char *what, const char *more)
{
	const char *value;

	for (;;) {
		int i = options_next(o, &value), r = 0;

		if (i == OPTIONS_BAD)
			return -EINVAL;
		if (i == OPTIONS_END) {
			value = options_operand(o);
			if (!value)
				break;
			if (q->n_operands ==
				want + (want == 3 && q->n_operands > 1 &&
							       is_socket_right(q->operands[1])
						       ? 2
						       : 0)) {
				options_wrong(o, "\"%s\" is one operand too many", value);
				return -EINVAL;
			}
			q->operands[q->n_operands++] = value;
		} else if (rows[i].letter == 'h') {
			options_help(o, what, more);
			return 1;
		} else if (rows[i].letter == 'C') {
			r = set_start(q, o, value);
		} else if (rows[i].name && strcmp(rows[i].name, "json") == 0) {
			q->json = true;
		} else {
			r = policy_options_take(&q->policy, o, &rows[i], value);
		}
		if (r < 0)
			return r;
	}
	if (q->n_operands < want) {
		options_wrong(o, "%s",
			want == 1 ? "a FILE is missing" : "FILE, RIGHT and TARGET are needed");
		return -EINVAL;
	}
	return 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void put_json(struct jsonl *j, const char *buf)
{
	long n = jsonl_end(j);

	if (n > 0)
		fwrite(buf, 1, (size_t)n, stdout);
}

static void json_diags(const struct policy *p)
{
	char buf[32768];

	for (size_t i = 0; i < policy_diag_count(p); i++) {
		const struct policy_diag *d = policy_diag(p, i);
		struct jsonl j = jsonl_begin(buf, sizeof(buf));

		jsonl_string(&j, "event", d->warning ? "warning" : "error");
		jsonl_string(&j, "file", d->file);
		if (d->line)
			jsonl_u64(&j, "line", d->line);
		if (d->column)
			jsonl_u64(&j, "column", d->column);
		jsonl_string(&j, "text", d->text);
		put_json(&j, buf);
	}
}

static void show_diags(const struct inquiry *q, const struct policy *p, bool warnings)
{
	if (q->json)
		json_diags(p);
	else
		policy_print_diags(p, 0, warnings, stderr);
}

/* Loads the policy; on failure says so and gives the exit status. */
static int load(struct inquiry *q, struct policy **ret, bool check)
{
	int r;

	q->policy.args.file = q->operands[0];
	q->policy.args.start = q->start;
	r = policy_load_quiet(&q->policy.args, ret);
	if (!*ret) {
		say("cannot load the policy: %s", strerror(-r));
		return CANNOT_TELL;
	}
	if (r == 0 && check)
		r = policy_expect(*ret) ? -EINVAL : 0;
	if (check || r < 0)
		show_diags(q, *ret, check);
	if (r == 0)
		return YES;
	return check && r == -EINVAL ? NO : CANNOT_TELL;
}

/* ---- check ----------------------------------------------------------------------------------- */

static void report_check(const struct inquiry *q, const struct policy *p, int status)
{
	size_t rules = policy_rule_count(p), expects = policy_expect_count(p);
	char buf[256];

	if (q->json) {
		struct jsonl j = jsonl_begin(buf, sizeof(buf));

		jsonl_string(&j, "event", "end");
		jsonl_bool(&j, "ok", status == YES);
		jsonl_u64(&j, "errors", policy_error_count(p));
		jsonl_u64(&j, "rules", rules);
		jsonl_u64(&j, "expectations", expects);
		put_json(&j, buf);
	} else if (status == YES) {
		printf("%s: ok: %zu rule%s, %zu expectation%s\n", q->operands[0], rules,
			rules == 1 ? "" : "s", expects, expects == 1 ? "" : "s");
	}
}

static int run_check(struct inquiry *q, struct options *o)
{
	struct policy *p = NULL;
	int r = parse(q, o, 1, "Reads a policy as `run` would, and says all that is wrong with it.",
		"FILE is a path, the name of a preset, or - for standard input.\n"
		"Exit status: 0 all is well, 1 it has errors or an `expect` does not hold,\n"
		"2 could not tell.");
	int status;

	if (r != 0)
		return r < 0 ? CANNOT_TELL : YES;
	status = load(q, &p, true);
	if (p)
		report_check(q, p, status);
	policy_free(p);
	return status;
}

/* ---- explain --------------------------------------------------------------------------------- */

/* One spelling of the target and what is said of it. */
struct spelling {
	char path[PATH_MAX];
	size_t size;
	struct policy_answer answer;
	const char *runtime; /* the tree that gives it without a rule */
};

struct explanation {
	unsigned rights;
	struct spelling asked, reached;
	bool is_directory;
	bool exists;
	enum verdict verdict;
	const struct spelling *decides; /* the spelling that denies, else the one asked */
};

static int parse_right(const struct options *o, const char *text, unsigned *ret)
{
	static const char *const names[] = {"read", "list", "write", "append", "create", "delete",
		"exec", "rw", "rwx", "connect", "bind", NULL};

	*ret = 0;
	if (strcmp(text, "connect") == 0 || strcmp(text, "bind") == 0) {
		*ret = text[0] == 'c' ? RIGHT_CONNECT : RIGHT_BIND;
		return 0;
	}
	for (const char *at = text;; at++) {
		size_t n = strcspn(at, ",");
		unsigned right = policy_right_parse(at, n);
		const char *near = nearest_word(at, n, names);

		if (!right) {
			options_wrong(o, "unknown right \"%.*s\"%s%s%s", (int)n, at,
				near ? "; did you mean \"" : "", near ? near : "",
				near ? "\"?" : "");
			return -EINVAL;
		}
		/* What the operation needs, not all that a grant of it would include. */
		if (n == 4 && strncmp(at, "exec", n) == 0)
			right = RIGHT_EXEC;
		if (n == 4 && strncmp(at, "read", n) == 0)
			right = RIGHT_READ;
		if (n == 5 && strncmp(at, "write", n) == 0)
			right = RIGHT_WRITE;
		*ret |= right;
		at += n;
		if (!*at)
			return 0;
	}
}

/* A path as one writes it in a shell or in a policy. */
static int parse_target(
	const struct inquiry *q, const struct options *o, const char *text, struct spelling *ret)
{
	char whole[3 * PATH_MAX];
	const char *home = policy_home();
	int r;

	if (text[0] == '~' && (!text[1] || text[1] == '/') && *home)
		snprintf(whole, sizeof(whole), "%s%s", home, text + 1);
	else if (text[0] == '/')
		snprintf(whole, sizeof(whole), "%s", text);
	else
		snprintf(whole, sizeof(whole), "%s/%s", q->start, text);
	r = path_normalise(whole, strlen(whole), ret->path, sizeof(ret->path));
	if (r < 0 || !*text) {
		options_wrong(o, "\"%s\" is no path", text);
		return -EINVAL;
	}
	ret->size = (size_t)r;
	return 0;
}

static void judge(const struct policy *p, struct spelling *s, unsigned rights)
{
	policy_check(p, s->path, s->size, rights, &s->answer);
	if (!(rights & ~(unsigned)(RIGHT_READ | RIGHT_LIST | RIGHT_EXEC)))
		s->runtime = policy_runtime(p, s->path, s->size);
}

static enum verdict spelling_verdict(const struct spelling *s)
{
	return s->runtime ? VERDICT_ALLOW : s->answer.verdict;
}

/* Both ends must be allowed: the path as asked, and the one it leads to. */
static int explain(const struct policy *p, struct explanation *e)
{
	struct found f;
	int r = find_path(e->asked.path, &f);

	if (r == -ENOMEM) {
		found_deinit(&f);
		return r;
	}
	e->exists = r == 0;
	e->is_directory = r == 0 && f.is_directory;
	strcpy(e->reached.path, f.path);
	e->reached.size = strlen(f.path);
	found_deinit(&f);
	judge(p, &e->asked, e->rights);
	judge(p, &e->reached, e->rights);
	e->decides = spelling_verdict(&e->reached) < spelling_verdict(&e->asked) ? &e->reached
										 : &e->asked;
	e->verdict = spelling_verdict(e->decides);
	return 0;
}

/* The line that would lift the denial; "" where none can. */
static void line_to_add(const struct explanation *e, char *buf, size_t size)
{
	const struct policy_answer *a = &e->decides->answer;

	buf[0] = '\0';
	if (e->verdict == VERDICT_DENY && !a->rule)
		suggest(a->missing, e->decides->path, buf, size);
}

static void print_spelling(const char *label, const struct spelling *s)
{
	char path[4 * PATH_MAX];

	printf("  %-8s %s: %s", label, say_escape(path, sizeof(path), s->path, s->size),
		policy_verdict_name(spelling_verdict(s)));
	if (s->runtime)
		printf(", in the runtime tree %s\n", s->runtime);
	else
		printf(", %s%s\n", s->answer.rule ? "by " : "",
			s->answer.rule ? s->answer.rule : "no rule gives it");
}

static void print_explanation(const struct explanation *e, const char *add)
{
	const struct policy_answer *a = &e->decides->answer;
	char rights[64];

	printf("%s: %s\n", policy_rights_name(e->rights, rights, sizeof(rights)),
		e->verdict == VERDICT_ALLOW ? "allowed" : "denied");
	print_spelling("asked", &e->asked);
	if (strcmp(e->asked.path, e->reached.path) != 0)
		print_spelling(e->exists ? "reached" : "would be", &e->reached);
	if (!e->exists)
		printf("  it does not exist\n");
	if (e->verdict == VERDICT_ALLOW && a->as == AS_BROKER && !e->decides->runtime)
		printf("  opened as the broker\n");
	if (*add)
		printf("  to allow it, add: %s\n", add);
	else if (e->verdict == VERDICT_ASK)
		printf("  an \"ask\" without an approver is a denial; to allow it, write \"allow\" "
		       "in "
		       "%s\n",
			a->rule);
	else if (e->verdict == VERDICT_DENY && a->rule && strcmp(a->rule, POLICY_SELF) == 0)
		printf("  nothing lifts it: this is a file of the policy or of warder itself\n");
	else if (e->verdict == VERDICT_DENY)
		printf("  no allow lifts a deny; to except it, end %s with: except %s%s\n", a->rule,
			e->decides->path, e->is_directory ? "/" : "");
}

static void json_spelling(struct jsonl *j, const char *name, const struct spelling *s)
{
	jsonl_open(j, name);
	jsonl_bytes(j, "path", s->path, s->size);
	jsonl_string(j, "verdict", policy_verdict_name(spelling_verdict(s)));
	jsonl_string(j, "rule", s->runtime ? NULL : s->answer.rule);
	jsonl_string(j, "runtime", s->runtime);
	jsonl_close(j);
}

static void json_explanation(const struct explanation *e, const char *add)
{
	char buf[16 * PATH_MAX], rights[64];
	struct jsonl j = jsonl_begin(buf, sizeof(buf));

	jsonl_string(&j, "event", "explain");
	jsonl_string(&j, "rights", policy_rights_name(e->rights, rights, sizeof(rights)));
	jsonl_bool(&j, "allowed", e->verdict == VERDICT_ALLOW);
	jsonl_string(&j, "verdict", policy_verdict_name(e->verdict));
	jsonl_string(&j, "rule", e->decides->runtime ? NULL : e->decides->answer.rule);
	json_spelling(&j, "asked", &e->asked);
	json_spelling(&j, "reached", &e->reached);
	jsonl_bool(&j, "exists", e->exists);
	if (*add)
		jsonl_bytes(&j, "add", add, strlen(add));
	put_json(&j, buf);
}

/* ---- explain a socket ------------------------------------------------------------------------ */

#define OPERANDS_SOCKET 2 /* the first of the socket's */

/* An address that a name was found to have, as the last operand. */
static bool take_address(const char *text, uint8_t ret[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint8_t address[16];

	memcpy(address, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, text, address + 12) != 1 && inet_pton(AF_INET6, text, address) != 1)
		return false;
	memcpy(ret, address, sizeof(address));
	return true;
}

static void print_socket(const struct policy_socket *s, const char *text, const char *verb,
	const struct policy_answer *a, const char *add)
{
	char shown[4096];

	say_escape(shown, sizeof(shown), text, strlen(text));
	printf("%s: %s\n", verb, a->verdict == VERDICT_ALLOW ? "allowed" : "denied");
	printf("  %-8s %s: %s, %s%s\n", "asked", shown, policy_verdict_name(a->verdict),
		a->rule ? "by " : "", a->rule ? a->rule : "no rule gives it");
	if (!s->address && s->protocol != PROTOCOL_ABSTRACT && a->verdict == VERDICT_ALLOW)
		printf("  its address is checked when it is found; add one to see what is said of "
		       "it\n");
	if (*add)
		printf("  to allow it, add: %s\n", add);
	else if (a->verdict == VERDICT_ASK)
		printf("  an \"ask\" without an approver is a denial; to allow it, write \"allow\" "
		       "in %s\n",
			a->rule);
	else if (a->verdict == VERDICT_DENY && a->rule)
		printf("  no allow lifts a deny; to except it, end %s with: except %s\n", a->rule,
			shown);
	else if (a->verdict == VERDICT_DENY)
		printf("  no rule could give it\n");
}

static void json_socket(
	const char *text, const char *verb, const struct policy_answer *a, const char *add)
{
	char buf[16384];
	struct jsonl j = jsonl_begin(buf, sizeof(buf));

	jsonl_string(&j, "event", "explain");
	jsonl_string(&j, "rights", verb);
	jsonl_bool(&j, "allowed", a->verdict == VERDICT_ALLOW);
	jsonl_string(&j, "verdict", policy_verdict_name(a->verdict));
	jsonl_string(&j, "rule", a->rule);
	jsonl_bytes(&j, "asked", text, strlen(text));
	if (*add)
		jsonl_bytes(&j, "add", add, strlen(add));
	put_json(&j, buf);
}

/* "SOCKET", "udp SOCKET", and perhaps an address after a name. */
static int explain_socket(const struct inquiry *q, const struct options *o, struct policy *p)
{
	const char *verb = q->operands[1], *why = "it is none";
	int last = q->n_operands;
	uint8_t address[16], found[16];
	bool has_found = last > OPERANDS_SOCKET + 1 && take_address(q->operands[last - 1], found);
	char text[1024] = "", add[1024] = "";
	struct policy_socket s;
	struct policy_answer a;

	last -= has_found;
	for (int i = OPERANDS_SOCKET; i < last; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s%s", i > OPERANDS_SOCKET ? " " : "",
			q->operands[i]);
	}
	if (policy_read_socket(p, text, strcmp(verb, "bind") == 0, address, &s, &why) < 0) {
		options_wrong(o, "%s", why);
		return CANNOT_TELL;
	}
	if (has_found && (!s.name || s.protocol == PROTOCOL_ABSTRACT)) {
		options_wrong(o, "an address stands after a host's name alone");
		return CANNOT_TELL;
	}
	if (has_found)
		s.address = found;
	policy_check_socket(p, &s, &a);
	if (a.verdict != VERDICT_DENY || a.rule || policy_suggest_socket(&s, add, sizeof(add)) < 0)
		add[0] = '\0';
	if (q->json)
		json_socket(text, verb, &a, add);
	else
		print_socket(&s, text, verb, &a, add);
	return a.verdict == VERDICT_ALLOW ? YES : NO;
}

/* A Unix socket with a path is explained as a path. */
static bool is_path_operand(const char *text)
{
	return text[0] == '/' || text[0] == '~' || text[0] == '.';
}

static int run_explain(struct inquiry *q, struct options *o)
{
	struct explanation *e;
	struct policy *p = NULL;
	char add[4 * PATH_MAX + 64];
	int r = parse(q, o, 3,
		"Says whether a policy gives a right on a path, by which rule, and what to add.",
		"FILE is a path, the name of a preset, or - for standard input.\n"
		"RIGHT is read, list, write, append, create, delete, exec, rw, rwx, or some of "
		"them\n"
		"with commas between, or connect or bind; then TARGET is a socket as a policy "
		"writes\n"
		"it, and after a host's name an address may stand that it was found to have.\n"
		"  Exit status: 0 allowed, 1 denied, 2 could not tell.");
	int status;

	if (r != 0)
		return r < 0 ? CANNOT_TELL : YES;
	e = calloc(1, sizeof(*e));
	if (!e)
		return CANNOT_TELL;
	status = load(q, &p, false);
	if (status == YES && is_socket_right(q->operands[1]) && !is_path_operand(q->operands[2])) {
		status = explain_socket(q, o, p);
	} else if (status == YES) {
		if (parse_right(o, q->operands[1], &e->rights) < 0 ||
			parse_target(q, o, q->operands[2], &e->asked) < 0 || explain(p, e) < 0) {
			status = CANNOT_TELL;
		} else {
			line_to_add(e, add, sizeof(add));
			if (q->json)
				json_explanation(e, add);
			else
				print_explanation(e, add);
			status = e->verdict == VERDICT_ALLOW ? YES : NO;
		}
	}
	policy_free(p);
	free(e);
	return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	const char *usage;
	int (*run)(struct inquiry *q, struct options *o);
} verbs[] = {
	{"check", "warder policy check [OPTION]... FILE", run_check},
	{"explain", "warder policy explain [OPTION]... FILE RIGHT TARGET", run_explain},
};

static int run_verb(const struct verb *v, int argc, char **argv)
{
	struct inquiry *q = calloc(1, sizeof(*q));
	struct options o;
	int status = CANNOT_TELL;

	if (!q || policy_options_init(&q->policy, argc) < 0 ||
		!getcwd(q->start, sizeof(q->start))) {
		say("cannot begin: %s", strerror(errno));
	} else {
		options_init(&o, v->usage, rows, sizeof(rows) / sizeof(*rows), argc, argv);
		status = v->run(q, &o);
	}
	if (q)
		policy_options_deinit(&q->policy);
	free(q);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		say("cannot write to standard output: %s", strerror(errno));
		return CANNOT_TELL;
	}
	return status;
}

int cmd_policy(int argc, char **argv)
{
	static const char *const names[] = {"check", "explain", NULL};
	const char *near;
	char shown[128];

	if (argc < 2) {
		say("usage: warder policy check FILE, or warder policy explain FILE RIGHT TARGET");
		return CANNOT_TELL;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(argv[1], verbs[i].name) == 0)
			return run_verb(&verbs[i], argc - 1, argv + 1);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		printf("usage: %s\n       %s\n\nReads policies and says what they mean; see "
		       "warder.policy(5).\n",
			verbs[0].usage, verbs[1].usage);
		return YES;
	}
	near = nearest_word(argv[1], strlen(argv[1]), names);
	say_escape(shown, sizeof(shown), argv[1], strlen(argv[1]));
	if (near)
		say("unknown word \"%s\" after \"policy\"; did you mean \"%s\"?", shown, near);
	else
		say("unknown word \"%s\" after \"policy\"; there are check and explain", shown);
	return CANNOT_TELL;
}
