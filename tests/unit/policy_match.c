/* SPDX-License-Identifier: MIT */
/*
 * policy_match.c - verdicts: a policy, a right, a path, and what must come of it.
 */
#include "tests/unit/policy_lib.h"

#include <time.h>

struct row {
	const char *text;
	const char *right, *path;
	enum verdict verdict;
	const char *rule; /* "t.policy:1"; NULL: no rule */
};

#define L1 "t.policy:1"
#define L2 "t.policy:2"
#define L3 "t.policy:3"

static const struct row rows[] = {
	/* no rule means no */
	{"", "read", "/srv/x", VERDICT_DENY, NULL},
	{"allow read /srv/", "read", "/etc/passwd", VERDICT_DENY, NULL},
	{"allow read /srv/", "write", "/srv/x", VERDICT_DENY, NULL},
	/* deny beats ask beats allow, in any order */
	{"allow read /srv/\ndeny read /srv/x", "read", "/srv/x", VERDICT_DENY, L2},
	{"deny read /srv/x\nallow read /srv/", "read", "/srv/x", VERDICT_DENY, L1},
	{"deny read /srv/\nallow read /srv/x", "read", "/srv/x", VERDICT_DENY, L1},
	{"allow read /srv/\nask read /srv/x", "read", "/srv/x", VERDICT_ASK, L2},
	{"ask read /srv/x\nallow read /srv/", "read", "/srv/x", VERDICT_ASK, L1},
	{"ask read /srv/\ndeny read /srv/x", "read", "/srv/x", VERDICT_DENY, L2},
	{"deny read /srv/x\nask read /srv/\nallow read /srv/", "read", "/srv/y", VERDICT_ASK, L2},
	/* components only: no prefix of a name */
	{"allow read /a/b/", "read", "/a/bc", VERDICT_DENY, NULL},
	{"allow read /a/b/", "read", "/a/b", VERDICT_ALLOW, L1},
	{"allow read /a/b/", "read", "/a/b/c/d", VERDICT_ALLOW, L1},
	{"allow read /a/b", "read", "/a/b", VERDICT_ALLOW, L1},
	{"allow read /a/b", "read", "/a/b/c", VERDICT_DENY, NULL},
	{"allow read /a/b", "read", "/a", VERDICT_DENY, NULL},
	{"allow read //a//./b/", "read", "/a/b/c", VERDICT_ALLOW, L1},
	{"allow read /\nroot host", "read", "/", VERDICT_ALLOW, L1},
	{"allow read /\nroot host", "read", "/a/b", VERDICT_ALLOW, L1},
	/* dir/ is dir and all beneath; dir/ ** the same */
	{"allow read /srv/**", "read", "/srv", VERDICT_ALLOW, L1},
	{"allow read /srv/**", "read", "/srv/a/b/c", VERDICT_ALLOW, L1},
	{"allow read /srv/**/**", "read", "/srv/a", VERDICT_ALLOW, L1},
	{"allow read /srv/**/", "read", "/srv/a/b", VERDICT_ALLOW, L1},
	/* wildcards within a component, leading dots included */
	{"allow read /srv/*", "read", "/srv/.env", VERDICT_ALLOW, L1},
	{"allow read /srv/*", "read", "/srv/a/b", VERDICT_DENY, NULL},
	{"allow read /srv/*", "read", "/srv", VERDICT_DENY, NULL},
	{"allow read /srv/*.txt", "read", "/srv/.txt", VERDICT_ALLOW, L1},
	{"allow read /srv/*.txt", "read", "/srv/a.txt.gz", VERDICT_DENY, NULL},
	{"allow read /srv/a*b*c", "read", "/srv/abbbcbc", VERDICT_ALLOW, L1},
	{"allow read /srv/a*b*c", "read", "/srv/abcb", VERDICT_DENY, NULL},
	{"allow read /srv/??", "read", "/srv/ab", VERDICT_ALLOW, L1},
	{"allow read /srv/??", "read", "/srv/a", VERDICT_DENY, NULL},
	{"allow read /srv/??", "read", "/srv/\xc3\xa4", VERDICT_ALLOW, L1}, /* bytes */
	{"allow read /srv/[a-c]x", "read", "/srv/bx", VERDICT_ALLOW, L1},
	{"allow read /srv/[a-c]x", "read", "/srv/dx", VERDICT_DENY, NULL},
	{"allow read /srv/[a-c]x", "read", "/srv/Bx", VERDICT_DENY, NULL}, /* case matters */
	{"allow read /srv/[a-]", "read", "/srv/-", VERDICT_ALLOW, L1},
	{"allow read /srv/[a-]", "read", "/srv/b", VERDICT_DENY, NULL},
	{"allow read /srv/*[0-9]", "read", "/srv/a1b2", VERDICT_ALLOW, L1},
	{"allow read /srv/*/x", "read", "/srv/a/x", VERDICT_ALLOW, L1},
	{"allow read /srv/*/x", "read", "/srv/a/y", VERDICT_DENY, NULL},
	{"allow read /srv/*/x/", "read", "/srv/a/x/y/z", VERDICT_ALLOW, L1},
	{"allow read \"/srv/\\*\"", "read", "/srv/*", VERDICT_ALLOW, L1},
	{"allow read \"/srv/\\*\"", "read", "/srv/a", VERDICT_DENY, NULL},
	{"allow read \"/srv/\\?\\[a]\"", "read", "/srv/?[a]", VERDICT_ALLOW, L1},
	{"allow read \"/srv/\\x2a\"", "read", "/srv/a", VERDICT_DENY, NULL},
	{"allow read \"/srv/a\\nb\"", "read", "/srv/a\nb", VERDICT_ALLOW, L1},
	{"allow read \"/srv/a b/*\"", "read", "/srv/a b/c", VERDICT_ALLOW, L1},
	{"allow read /srv/\xff", "read", "/srv/\xff", VERDICT_ALLOW, L1},
	/* ** any depth */
	{"allow read /srv/**/x", "read", "/srv/x", VERDICT_ALLOW, L1},
	{"allow read /srv/**/x", "read", "/srv/a/b/c/x", VERDICT_ALLOW, L1},
	{"allow read /srv/**/x", "read", "/srv/a/x/b", VERDICT_DENY, NULL},
	{"allow read /srv/**/x/", "read", "/srv/a/x/b", VERDICT_ALLOW, L1},
	{"allow read /srv/**/a/**/b", "read", "/srv/1/a/2/3/b", VERDICT_ALLOW, L1},
	{"allow read /srv/**/a/**/b", "read", "/srv/a/b", VERDICT_ALLOW, L1},
	{"allow read /srv/**/a/**/b", "read", "/srv/b/a", VERDICT_DENY, NULL},
	{"allow read /srv/**/a*/b", "read", "/srv/ax/ay/b", VERDICT_ALLOW, L1},
	{"allow rw /srv/\ndeny any **/.env", "read", "/srv/a/.env", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny any **/.env", "read", "/srv/a/.env/x", VERDICT_ALLOW, L1},
	{"allow rw /srv/\ndeny any **/.env/", "read", "/srv/a/.env/x", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny any **", "read", "/srv/a", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny any **", "read", "/", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny any **/*.pem", "read", "/srv/k.pem", VERDICT_DENY, L2},
	/* rights, and what includes what */
	{"allow read /srv/", "list", "/srv", VERDICT_ALLOW, L1},
	{"allow list /srv/", "read", "/srv/x", VERDICT_DENY, NULL},
	{"allow list /srv/", "list", "/srv", VERDICT_ALLOW, L1},
	{"allow write /srv/", "append", "/srv/x", VERDICT_ALLOW, L1},
	{"allow append /srv/", "write", "/srv/x", VERDICT_DENY, NULL},
	{"allow write /srv/", "create", "/srv/x", VERDICT_DENY, NULL},
	{"allow write /srv/", "read", "/srv/x", VERDICT_DENY, NULL},
	{"allow exec /srv/", "read", "/srv/x", VERDICT_ALLOW, L1},
	{"allow exec /srv/", "list", "/srv/x", VERDICT_ALLOW, L1},
	{"allow read /srv/", "exec", "/srv/x", VERDICT_DENY, NULL},
	{"allow rw /srv/", "delete", "/srv/x", VERDICT_ALLOW, L1},
	{"allow rw /srv/", "create", "/srv/x", VERDICT_ALLOW, L1},
	{"allow rw /srv/", "exec", "/srv/x", VERDICT_DENY, NULL},
	{"allow rwx /srv/", "exec", "/srv/x", VERDICT_ALLOW, L1},
	{"allow read /srv/\nallow write /srv/", "rw", "/srv/x", VERDICT_DENY, NULL},
	{"allow read,write /srv/\ndeny read /srv/x", "write", "/srv/x", VERDICT_ALLOW, L1},
	{"allow read,write /srv/\ndeny read /srv/x", "list", "/srv/x", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny list /srv/", "read", "/srv/x", VERDICT_DENY, L2}, /* asks list too */
	{"allow rw /srv/\ndeny write,create,delete /srv/x", "append", "/srv/x", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny append,create,delete /srv/x", "write", "/srv/x", VERDICT_DENY, L2},
	{"allow exec /srv/\ndeny exec /srv/x", "list", "/srv/x", VERDICT_ALLOW, L1},
	{"allow rwx /srv/\ndeny exec,create,delete /srv/x", "exec", "/srv/x", VERDICT_DENY, L2},
	{"allow rw /srv/\ndeny any /srv/x", "delete", "/srv/x", VERDICT_DENY, L2},
	{"allow read,write /srv/\nask write /srv/", "rw", "/srv/x", VERDICT_DENY, NULL},
	/* except, of this rule alone */
	{"deny any /s/ except /s/k\nallow read /s/k", "read", "/s/k", VERDICT_ALLOW, L2},
	{"deny any /s/ except /s/k\nallow read /s/", "read", "/s/j", VERDICT_DENY, L1},
	{"deny any /s/ except /s/k\ndeny any /s/k\nallow read /s/", "read", "/s/k", VERDICT_DENY,
		L2},
	{"deny any /s/ except /s/k/ /s/l\nallow read /s/", "read", "/s/k/1", VERDICT_ALLOW, L2},
	{"deny any **/.e except /s/**/.e\nallow read /s/ /t/", "read", "/s/1/2/.e", VERDICT_ALLOW,
		L2},
	{"deny any **/.e except /s/**/.e\nallow read /s/ /t/", "read", "/t/.e", VERDICT_DENY, L1},
	{"allow read /s/ except /s/k/", "read", "/s/k/x", VERDICT_DENY, NULL},
	{"allow read /s/ except /s/k/", "read", "/s/x", VERDICT_ALLOW, L1},
	{"allow read /s/ except /s/k/\nallow read /s/k/x", "read", "/s/k/x", VERDICT_ALLOW, L2},
	{"deny any /s/ except /s/k\nallow read /s/", "read", "/s/k/below", VERDICT_DENY, L1},
	/* paths that are not in their normal form have no verdict but no */
	{"allow read /\nroot host", "read", "relative", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "/a/../b", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "/a/..", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "/a/./b", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "/.", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "//a", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "/a/", VERDICT_DENY, NULL},
	{"allow read /\nroot host", "read", "/..a/.b/...", VERDICT_ALLOW, L1},
};

static void gives_the_verdict_of_each_row(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		struct policy *p = text_good(row->text, NULL);
		struct policy_answer a;
		enum verdict v = text_check(p, row->right, row->path, &a);

		if (v != row->verdict || a.verdict != v ||
			(row->rule ? !a.rule || strcmp(a.rule, row->rule) != 0 : a.rule != NULL))
			fail_msg("%s\n%s %s: %s by %s", row->text, row->right, row->path,
				policy_verdict_name(v), a.rule ? a.rule : "no rule");
		policy_free(p);
	}
}

/* Every order of four rules gives the same verdicts. */
static void order_never_matters(void **state)
{
	static const char *const lines[] = {"allow read,write /s/\n", "ask write /s/a/\n",
		"deny any /s/a/b/ except /s/a/b/c\n", "allow read /s/a/b/c as broker\n"};
	static const struct {
		const char *right, *path;
		enum verdict verdict;
	} want[] = {
		{"write", "/s/x", VERDICT_ALLOW},
		{"read", "/s/a/x", VERDICT_ALLOW},
		{"write", "/s/a/x", VERDICT_ASK},
		{"write", "/s/a/b/x", VERDICT_DENY},
		{"read", "/s/a/b/x", VERDICT_DENY},
		{"read", "/s/a/b/c", VERDICT_ALLOW},
	};
	char text[512];

	for (int order = 0; order < 256; order++) {
		int at[4] = {order & 3, order >> 2 & 3, order >> 4 & 3, order >> 6 & 3};
		struct policy *p;
		struct policy_answer a;

		if ((1 << at[0] | 1 << at[1] | 1 << at[2] | 1 << at[3]) != 15)
			continue;
		snprintf(text, sizeof(text), "%s%s%s%s", lines[at[0]], lines[at[1]], lines[at[2]],
			lines[at[3]]);
		p = text_good(text, NULL);
		for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
			assert_int_equal(
				text_check(p, want[i].right, want[i].path, &a), want[i].verdict);
		assert_int_equal(a.as, AS_BROKER);
		policy_free(p);
	}
}

static void a_denial_names_the_rights_that_no_rule_gives(void **state)
{
	struct policy *p = text_good("allow read /s/\nask write /s/\ndeny delete /s/", NULL);
	struct policy_answer a;

	policy_check(p, "/s/x", 4, RIGHT_READ | RIGHT_CREATE | RIGHT_EXEC, &a);
	assert_int_equal(a.verdict, VERDICT_DENY);
	assert_int_equal(a.missing, RIGHT_CREATE | RIGHT_EXEC);
	assert_null(a.rule);
	policy_check(p, "/s/x", 4, RIGHT_READ | RIGHT_WRITE, &a);
	assert_int_equal(a.verdict, VERDICT_ASK);
	assert_string_equal(a.rule, L2);
	assert_int_equal(a.missing, 0);
	policy_check(p, "/s/x", 4, RIGHT_DELETE | RIGHT_CREATE, &a);
	assert_int_equal(a.verdict, VERDICT_DENY);
	assert_string_equal(a.rule, L3);
	assert_int_equal(policy_check(p, "/s/x", 4, 0, &a), VERDICT_DENY);
	assert_int_equal(policy_check(p, "/s/x", 4, 1 << 7 | RIGHT_READ, &a), VERDICT_DENY);
	policy_free(p);
}

static void the_terms_of_an_allow_are_those_of_the_rule_that_grants_most(void **state)
{
	struct policy *p = text_good("allow read,write /s/ type fifo mode 0644\n"
				     "allow read /s/b as broker type char\n"
				     "allow create /s/a mode 0640\n"
				     "allow read /s/c type block\n"
				     "ask exec /s/x\n",
		NULL);
	struct policy_answer a;

	policy_check(p, "/s/a", 4, RIGHT_READ, &a);
	assert_int_equal(a.as, AS_WORKER);
	assert_int_equal(a.types, TYPE_FIFO);
	assert_int_equal(a.mode_max, 0644);
	policy_check(p, "/s/b", 4, RIGHT_READ, &a);
	assert_int_equal(a.as, AS_BROKER);
	assert_int_equal(a.types, TYPE_CHAR);
	assert_int_equal(a.mode_max, 0777);
	assert_string_equal(a.rule, L2);
	/* The broker reads, but nobody said that it writes. */
	policy_check(p, "/s/b", 4, RIGHT_READ | RIGHT_WRITE, &a);
	assert_int_equal(a.as, AS_WORKER);
	assert_int_equal(a.types, 0);
	policy_check(p, "/s/a", 4, RIGHT_WRITE | RIGHT_CREATE, &a);
	assert_int_equal(a.mode_max, 0640);
	/* Equal rules add up. */
	policy_check(p, "/s/c", 4, RIGHT_READ, &a);
	assert_int_equal(a.types, TYPE_FIFO | TYPE_BLOCK);
	policy_check(p, "/s/x", 4, RIGHT_EXEC, &a);
	assert_int_equal(a.verdict, VERDICT_ASK);
	policy_free(p);
}

static void names_are_known_in_a_tree_and_on_the_way_to_it(void **state)
{
	struct policy *p = text_good("allow read /srv/www/ /data/*.txt /opt/tool\nask read /ask/\n"
				     "deny any /gone/ **/x\nask read **/y",
		NULL);
	static const struct {
		const char *path;
		bool known;
	} want[] = {
		{"/", true},
		{"/srv", true},
		{"/srv/www", true},
		{"/srv/www/a/b", true},
		{"/srv/other", false},
		{"/data", true},
		{"/data/a.gz", true},
		{"/opt/tool", true},
		{"/opt/tool2", false},
		{"/ask/x", true},
		{"/gone", false},
		{"/gone/x", false},
		{"/etc/y", false},
		{"/srv/../etc", false},
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++)
		if (policy_names(p, want[i].path, strlen(want[i].path)) != want[i].known)
			fail_msg("%s", want[i].path);
	policy_free(p);
	p = text_good("deny any /x/", NULL);
	assert_false(policy_names(p, "/", 1));
	policy_free(p);
}

/* ---- expect ---------------------------------------------------------------------------------- */

static void what_is_asked_about_anywhere_gives_no_tree(void **state)
{
	static const char *const lines[] = {
		"ask any **\n", "ask read **/.env\n", "ask rw /*/x\n", "ask exec **/bin/\n"};

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		char text[128];
		struct policy_answer a;
		struct policy *p;

		snprintf(text, sizeof(text), "%sallow rw /srv/data/\n", lines[i]);
		p = text_good(text, NULL);
		assert_false(policy_tree_is_place(p, 0));
		assert_true(policy_tree_is_place(p, 1));
		assert_true(policy_names(p, "/srv/data/y", 11));
		assert_false(policy_names(p, "/opt", 4));
		assert_int_equal(text_check(p, "write", "/srv/data/y", &a),
			i == 0 ? VERDICT_ASK : VERDICT_ALLOW);
		policy_free(p);
	}
}

static void expectations_that_do_not_hold_are_told(void **state)
{
	struct policy *p =
		text_good("allow read /srv/data/\nask write /srv/data/\ndeny read /srv/data/x\n"
			  "expect allow read /srv/data/y\n"
			  "expect ask write /srv/data/y\n"
			  "expect deny read /srv/data/x\n"
			  "expect deny read /srv/data/../x\n"
			  "expect deny any /etc/\n"
			  "expect deny connect example.com:443\n",
			NULL);

	assert_int_equal(policy_expect_count(p), 6);
	assert_int_equal(policy_expect(p), 0);
	policy_free(p);

	p = text_good("allow read /srv/data/\n"
		      "expect deny read /srv/data/y\n"
		      "expect allow write /srv/data/y\n"
		      "expect allow read /srv/data/y\n"
		      "expect deny any /srv/data/y\n"
		      "expect allow connect example.com:443\n",
		NULL);
	assert_int_equal(policy_expect(p), 4);
	assert_int_equal(policy_diag(p, 0)->line, 2);
	assert_string_equal(
		policy_diag(p, 0)->text, "expected deny, but the verdict is allow, by t.policy:1");
	assert_string_equal(policy_diag(p, 1)->text,
		"expected allow, but the verdict is deny, by no rule at all");
	assert_int_equal(policy_diag(p, 2)->line, 5);
	policy_free(p);
}

/* ---- cost ------------------------------------------------------------------------------------ */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* With backtracking this pattern would try some 10^9 ways. */
static void a_hostile_path_costs_no_more_than_its_length_times_the_wildcards(void **state)
{
	struct policy *p = text_good("allow read /s/\ndeny any **/a/**/a/**/a/**/a/**/a/**/a/**/b\n"
				     "deny any **/a*a*a*a*a*a*a*a*a*b",
		NULL);
	struct policy_answer a;
	char path[4096];
	size_t n = 2;
	double began = seconds();

	memcpy(path, "/s", 2);
	while (n < 4000) {
		memcpy(path + n, "/a", 2);
		n += 2;
	}
	for (int i = 0; i < 10; i++)
		assert_int_equal(policy_check(p, path, n, RIGHT_READ, &a), VERDICT_ALLOW);
	memset(path + 3, 'a', 250);
	assert_int_equal(policy_check(p, path, 253, RIGHT_READ, &a), VERDICT_ALLOW);
	assert_true(seconds() - began < 5);
	policy_free(p);
}

static void a_hundred_thousand_rules_are_all_found(void **state)
{
	struct policy *p = text_new(NULL);
	struct policy_answer a;
	size_t room = 8u << 20, size = 0;
	char *text = malloc(room), path[64];

	assert_non_null(text);
	for (int i = 0; i < 100000; i++)
		size += (size_t)snprintf(text + size, room - size, "%s read /srv/%d/%d/file%d\n",
			i % 3 ? "allow" : "deny", i % 97, i % 1009, i);
	assert_int_equal(policy_add_text(p, "t.policy", NULL, text, size), 0);
	free(text);
	assert_int_equal(policy_finish(p), 0);
	assert_int_equal(policy_compile(p), 0);
	for (int i = 0; i < 100000; i += 7) {
		char rule[32];

		snprintf(path, sizeof(path), "/srv/%d/%d/file%d", i % 97, i % 1009, i);
		snprintf(rule, sizeof(rule), "t.policy:%d", i + 1);
		assert_int_equal(
			text_check(p, "read", path, &a), i % 3 ? VERDICT_ALLOW : VERDICT_DENY);
		assert_string_equal(a.rule, rule);
	}
	policy_free(p);
}

/* Wildcards in one directory, by all the ways they are grouped: the same verdict as one alone. */
static void a_name_meets_every_wildcard_that_matches_it(void **state)
{
	static const char *const globs[] = {"a*", "ab*", "a*c", "*c", "*bc", "?bc", "[a-b]*", "*b*",
		"*", "abc?", "\"\\**\"", "\"*\\*\"", "*[c]", "a[b]c", "[a][b]*", "abcd*"};
	static const char *const names[] = {
		"abc", "a", "c", "abcd", "b", "*", "*x", "x*", "bbc", "ab"};
	char text[2048] = "", alone[128], path[64];
	struct policy_answer a;

	for (size_t i = 0; i < sizeof(globs) / sizeof(*globs); i++) {
		bool quoted = globs[i][0] == '"';

		snprintf(text + strlen(text), sizeof(text) - strlen(text), "allow %s %s/s/%s\n",
			i % 2 ? "read" : "write", quoted ? "\"" : "", globs[i] + quoted);
	}
	struct policy *all = text_good(text, NULL);

	for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++) {
		bool read = false, write = false;

		snprintf(path, sizeof(path), "/s/%s", names[k]);
		for (size_t i = 0; i < sizeof(globs) / sizeof(*globs); i++) {
			bool quoted = globs[i][0] == '"';
			struct policy *p;

			snprintf(alone, sizeof(alone), "allow read %s/s/%s\n", quoted ? "\"" : "",
				globs[i] + quoted);
			p = text_good(alone, NULL);
			if (text_check(p, "read", path, &a) == VERDICT_ALLOW)
				*(i % 2 ? &read : &write) = true;
			policy_free(p);
		}
		assert_int_equal(text_check(all, "read", path, &a) == VERDICT_ALLOW, read);
		assert_int_equal(text_check(all, "write", path, &a) == VERDICT_ALLOW, write);
	}
	policy_free(all);
}

static void a_hundred_thousand_wildcards_in_one_directory_cost_little(void **state)
{
	struct policy *p = text_new(NULL);
	struct policy_answer a;
	size_t room = 4u << 20, size = 0;
	char *text = malloc(room);
	double began;

	assert_non_null(text);
	for (int i = 0; i < 100000; i++)
		size += (size_t)snprintf(text + size, room - size, "deny read %s%d%s\n",
			i % 2 ? "/srv/x" : "**/*.", i, i % 2 ? "*" : "y");
	size += (size_t)snprintf(text + size, room - size, "allow read /srv/\n");
	began = seconds();
	assert_int_equal(policy_add_text(p, "t.policy", NULL, text, size), 0);
	free(text);
	assert_int_equal(policy_finish(p), 0);
	assert_int_equal(policy_compile(p), 0);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(
			text_check(p, "read", "/srv/sub/name.of.a.file", &a), VERDICT_ALLOW);
	assert_true(seconds() - began < 20);
	assert_int_equal(text_check(p, "read", "/srv/sub/name.4242y", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "read", "/srv/x4243z", &a), VERDICT_DENY);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_verdict_of_each_row),
		cmocka_unit_test(order_never_matters),
		cmocka_unit_test(a_denial_names_the_rights_that_no_rule_gives),
		cmocka_unit_test(the_terms_of_an_allow_are_those_of_the_rule_that_grants_most),
		cmocka_unit_test(names_are_known_in_a_tree_and_on_the_way_to_it),
		cmocka_unit_test(what_is_asked_about_anywhere_gives_no_tree),
		cmocka_unit_test(expectations_that_do_not_hold_are_told),
		cmocka_unit_test(a_hostile_path_costs_no_more_than_its_length_times_the_wildcards),
		cmocka_unit_test(a_hundred_thousand_rules_are_all_found),
		cmocka_unit_test(a_name_meets_every_wildcard_that_matches_it),
		cmocka_unit_test(a_hundred_thousand_wildcards_in_one_directory_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
