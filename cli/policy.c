/* SPDX-License-Identifier: MIT */
/*
 * policy.c - warder policy: its options, and check; explain is policy_explain.c.
 *
 * Runs in: command line.  Trusts: the user who calls.
 *
 * Nothing is decided here: the policy is loaded as `run` loads it, and policy_check() is asked what
 * it would say.  Exit status: 0 yes, 1 no, 2 could not tell.
 */
#include "cli/cli.h"

#include "broker/policy_load.h"
#include "cli/policy_inquiry.h"
#include "cli/say.h"
#include "common/nearest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

bool inquiry_is_socket(const char *right)
{
	return strcmp(right, "connect") == 0 || strcmp(right, "bind") == 0;
}

/* Options may stand after operands too: nothing that follows belongs to another program. */
int inquiry_parse(
	struct inquiry *q, struct options *o, int want, const char *what, const char *more)
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
							       inquiry_is_socket(q->operands[1])
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
	if (q->start[0] != '/') {
		say("cannot tell the directory of the start; was it removed? give -C DIR");
		return -EINVAL;
	}
	return 0;
}

/* ---- output ---------------------------------------------------------------------------------- */

void inquiry_put_json(struct jsonl *j, const char *buf)
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
		inquiry_put_json(&j, buf);
	}
}

static void show_diags(const struct inquiry *q, const struct policy *p, bool warnings)
{
	if (q->json)
		json_diags(p);
	else
		policy_print_diags(p, 0, warnings, stderr);
}

int inquiry_load(struct inquiry *q, struct policy **ret, bool check)
{
	int r;

	q->policy.args.file = q->operands[0];
	q->policy.args.start = q->start;
	policy_options_protect(&q->policy);
	r = policy_load_quiet(&q->policy.args, ret);
	if (!*ret) {
		say("cannot load the policy: %s", strerror(-r));
		return CANNOT_TELL;
	}
	if (r == 0 && check)
		r = policy_expect(*ret) ? -EINVAL : 0;
	if (check)
		policy_warn_host(*ret);
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
	char buf[256], name[PATH_MAX];

	if (q->json) {
		struct jsonl j = jsonl_begin(buf, sizeof(buf));

		jsonl_string(&j, "event", "end");
		jsonl_bool(&j, "ok", status == YES);
		jsonl_u64(&j, "errors", policy_error_count(p));
		jsonl_u64(&j, "rules", rules);
		jsonl_u64(&j, "expectations", expects);
		inquiry_put_json(&j, buf);
	} else if (status == YES) {
		say_escape(name, sizeof(name), q->operands[0], strlen(q->operands[0]));
		printf("%s: ok: %zu rule%s, %zu expectation%s\n", name, rules,
			rules == 1 ? "" : "s", expects, expects == 1 ? "" : "s");
	}
}

static int run_check(struct inquiry *q, struct options *o)
{
	struct policy *p = NULL;
	int r = inquiry_parse(q, o, 1,
		"Reads a policy as `run` would, and says all that is wrong with it.",
		"FILE is a path, the name of a preset, or - for standard input.\n"
		"Exit status: 0 all is well, 1 it has errors or an `expect` does not hold,\n"
		"2 could not tell.");
	int status;

	if (r != 0)
		return r < 0 ? CANNOT_TELL : YES;
	status = inquiry_load(q, &p, true);
	if (p)
		report_check(q, p, status);
	policy_free(p);
	return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static const struct verb {
	const char *name;
	const char *usage;
	int (*run)(struct inquiry *q, struct options *o);
} verbs[] = {
	{"check", "warder policy check [OPTION]... FILE", run_check},
	{"explain", "warder policy explain [OPTION]... FILE RIGHT TARGET", policy_explain},
};

static int run_verb(const struct verb *v, int argc, char **argv)
{
	struct inquiry *q = calloc(1, sizeof(*q));
	struct options o;
	int status = CANNOT_TELL;

	if (!q || policy_options_init(&q->policy, argc) < 0) {
		say("cannot begin: %s", strerror(errno));
	} else {
		if (!getcwd(q->start, sizeof(q->start)))
			q->start[0] = '\0';
		options_init(&o, v->usage, rows, sizeof(rows) / sizeof(*rows), argc, argv);
		status = v->run(q, &o);
	}
	if (q)
		policy_options_deinit(&q->policy);
	free(q);
	return say_written(status, CANNOT_TELL);
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
