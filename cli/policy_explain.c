/* SPDX-License-Identifier: MIT */
/*
 * policy_explain.c - warder policy explain: a path or a socket, the verdict, and what to add.
 *
 * Runs in: command line.  Trusts: the user who calls.
 */
#include "cli/policy_inquiry.h"

#include "broker/policy_find.h"
#include "broker/policy_load.h"
#include "cli/say.h"
#include "cli/suggest.h"
#include "common/jsonl.h"
#include "common/nearest.h"
#include "common/path.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- explain a path -------------------------------------------------------------------------- */

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

/* What no rule gives, and why: an explanation in its own words.  NULL: a rule could. */
static const char *beyond_rules(const struct explanation *e)
{
	const unsigned replaces = RIGHT_CREATE | RIGHT_DELETE;

	if (e->verdict != VERDICT_DENY || e->decides->answer.rule || !(e->rights & replaces))
		return NULL;
	if (!e->exists && strcmp(e->asked.path, e->reached.path) != 0)
		return "it is a symlink that leads nowhere, by which nothing is made or removed; "
		       "ask about its directory, or about what it leads to";
	if ((e->rights & RIGHT_EXEC) && !S_ISDIR(suggest_look(e->decides->path).mode))
		return "no rule gives exec of one file beside create or delete of it, since "
		       "another "
		       "could take its place; give exec a directory of its own";
	return NULL;
}

/* The line that would lift the denial; "" where none can. */
static void line_to_add(const struct policy *p, const struct explanation *e, char *buf, size_t size)
{
	const struct policy_answer *a = &e->decides->answer;

	struct suggest_place place;

	buf[0] = '\0';
	if (e->verdict != VERDICT_DENY || a->rule || beyond_rules(e))
		return;
	place = suggest_look(e->decides->path);
	suggest(a->missing, e->decides->path, policy_fixed(p, e->decides->path), &place, buf, size);
}

static void print_spelling(const char *label, const struct spelling *s)
{
	const char *by = s->runtime ? s->runtime : s->answer.rule;
	char path[4 * PATH_MAX], shown[4 * PATH_MAX];

	printf("  %-8s %s: %s", label, say_escape(path, sizeof(path), s->path, s->size),
		policy_verdict_name(spelling_verdict(s)));
	if (by)
		printf(", %s %s\n", s->runtime ? "in the runtime tree" : "by",
			say_escape(shown, sizeof(shown), by, strlen(by)));
	else
		printf(", no rule gives it\n");
}

/* What a rule that stands in the way has to become.  A path is shown as the rule takes it. */
static void print_remedy(const struct explanation *e)
{
	const char *rule = e->decides->answer.rule;
	char shown[4 * PATH_MAX], except[8 * PATH_MAX];
	struct suggest_place place;

	if (e->verdict == VERDICT_ALLOW || !rule)
		return;
	place = suggest_look(e->decides->path);
	say_escape(shown, sizeof(shown), rule, strlen(rule));
	if (e->verdict == VERDICT_ASK)
		printf("  an \"ask\" without an approver is a denial; to allow it, write \"allow\" "
		       "in %s\n",
			shown);
	else if (strcmp(rule, POLICY_SELF) == 0)
		printf("  nothing lifts it: this is a file of the policy or of warder itself\n");
	else if (suggest_except(rule, e->decides->path, false, &place, except, sizeof(except)) == 0)
		printf("  no allow lifts a deny; to except it, %s\n", except);
}

static void print_explanation(const struct explanation *e, const char *add)
{
	const struct policy_answer *a = &e->decides->answer;
	/* What is missing and "optional" is given nothing until it is there. */
	bool later = !e->exists && !(e->rights & RIGHT_CREATE);
	const char *beyond = beyond_rules(e);
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
		printf("  to allow it%s, add: %s\n", later ? " once it is there" : "", add);
	else if (beyond)
		printf("  %s\n", beyond);
	else
		print_remedy(e);
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
	inquiry_put_json(&j, buf);
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
	char shown[4096], rule[4 * PATH_MAX];

	say_escape(shown, sizeof(shown), text, strlen(text));
	if (a->rule)
		say_escape(rule, sizeof(rule), a->rule, strlen(a->rule));
	printf("%s: %s\n", verb, a->verdict == VERDICT_ALLOW ? "allowed" : "denied");
	printf("  %-8s %s: %s, %s%s\n", "asked", shown, policy_verdict_name(a->verdict),
		a->rule ? "by " : "", a->rule ? rule : "no rule gives it");
	if (!s->address && s->protocol != PROTOCOL_ABSTRACT && a->verdict == VERDICT_ALLOW)
		printf("  its address is checked when it is found; add one to see what is said of "
		       "it\n");
	if (*add)
		printf("  to allow it, add: %s\n", add);
	else if (a->verdict == VERDICT_ASK)
		printf("  an \"ask\" without an approver is a denial; to allow it, write \"allow\" "
		       "in %s\n",
			rule);
	else if (a->verdict == VERDICT_DENY && a->rule)
		printf("  no allow lifts a deny; to except it, end %s with: except %s\n", rule,
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
	inquiry_put_json(&j, buf);
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

int policy_explain(struct inquiry *q, struct options *o)
{
	struct explanation *e;
	struct policy *p = NULL;
	char add[4 * PATH_MAX + 64];
	int r = inquiry_parse(q, o, 3,
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
	status = inquiry_load(q, &p, false);
	if (status == YES && inquiry_is_socket(q->operands[1]) &&
		!is_path_operand(q->operands[2])) {
		status = explain_socket(q, o, p);
	} else if (status == YES) {
		if (parse_right(o, q->operands[1], &e->rights) < 0 ||
			parse_target(q, o, q->operands[2], &e->asked) < 0 || explain(p, e) < 0) {
			status = CANNOT_TELL;
		} else {
			line_to_add(p, e, add, sizeof(add));
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
