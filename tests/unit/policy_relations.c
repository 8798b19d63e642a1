/* SPDX-License-Identifier: MIT */
/*
 * policy_relations.c - rules beside others: what the file system says of their paths, which cannot
 * stand together, what is warder's own before all of them.
 */
#include "tests/unit/policy_lib.h"

/* ---- what the file system says --------------------------------------------------------------- */

static void a_rule_holds_for_both_spellings(void **state)
{
	struct policy *p = text_unfinished("allow read /srv/*.txt\n"
					   "deny any /home/u/.ssh/ except /home/u/.ssh/config\n"
					   "allow read /home/u/\n");
	struct policy_answer a;

	assert_int_equal(policy_tree_resolved(p, 0, "/data/srv"), 0);
	assert_int_equal(policy_tree_resolved(p, 1, "/disk/u/.ssh"), 0);
	assert_int_equal(policy_tree_resolved(p, 2, "/disk/u"), 0);
	assert_int_equal(policy_except_count(p), 1);
	assert_string_equal(policy_except_prefix(p, 0), "/home/u/.ssh/config");
	assert_int_equal(policy_except_resolved(p, 0, "/disk/u/.ssh/config"), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "read", "/srv/a.txt", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/data/srv/a.txt", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/data/srv/a.gz", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "read", "/disk/u/x", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/disk/u/.ssh/id", &a), VERDICT_DENY);
	assert_string_equal(a.rule, "t.policy:2");
	assert_int_equal(text_check(p, "read", "/home/u/.ssh/config", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/disk/u/.ssh/config", &a), VERDICT_ALLOW);
	assert_true(policy_names(p, "/data/srv/x", 11));
	policy_free(p);
}

static void a_missing_tree_is_an_error_unless_optional_and_then_grants_nothing(void **state)
{
	struct policy *p = text_unfinished("allow read /gone/\n");
	struct policy_answer a;

	assert_int_equal(policy_tree_resolved(p, 0, NULL), -EINVAL);
	assert_string_equal(policy_diag(p, 0)->text,
		"/gone does not exist; make it, or add \"optional\" to the rule");
	assert_int_equal(policy_diag(p, 0)->column, 12);
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);

	p = text_unfinished("allow read /gone/ optional\ndeny any /lost/\nallow read /lost/x\n");
	assert_int_equal(policy_tree_resolved(p, 0, NULL), 0);
	assert_int_equal(policy_tree_resolved(p, 1, NULL), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_true(policy_tree(p, 0)->missing);
	assert_int_equal(text_check(p, "read", "/gone/x", &a), VERDICT_DENY);
	assert_false(policy_names(p, "/gone", 5));
	/* A deny of what is missing holds for the day it appears. */
	assert_int_equal(text_check(p, "read", "/lost/x", &a), VERDICT_DENY);
	policy_free(p);
}

static void a_bare_path_that_is_a_directory_is_an_error_naming_both_spellings(void **state)
{
	struct policy *p =
		text_unfinished("allow read /srv/www\ndeny any /srv/x\nallow read /srv/f/");

	assert_int_equal(policy_tree_is_directory(p, 0, true), -EINVAL);
	assert_string_equal(policy_diag(p, 0)->text,
		"/srv/www is a directory; write \"/srv/www/\" or \"/srv/www/**\" for it and all "
		"beneath");
	assert_int_equal(policy_tree_is_directory(p, 1, true), -EINVAL);
	assert_int_equal(policy_tree_is_directory(p, 2, true), 0);
	assert_int_equal(policy_tree_is_directory(p, 2, false), -EINVAL);
	assert_int_equal(policy_error_count(p), 3);
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);
}

/* ---- rules against rules --------------------------------------------------------------------- */

static const struct mistake related[] = {
	/* runtime */
	{"deny read /usr/share/x",
		"t.policy:1:11: a deny cannot hold inside /usr, which is runtime"},
	{"deny read /usr", "t.policy:1:11: a deny cannot hold inside /usr,"},
	{"deny any /bin/sh", "t.policy:1:10: a deny cannot hold inside /bin,"},
	{"deny read /etc/ssl/certs/x", "t.policy:1:11: a deny cannot hold inside /etc/ssl/certs,"},
	{"deny read /usr/*/x", "t.policy:1:11: a deny cannot hold inside /usr,"},
	{"allow read /", "t.policy:1:12: the view cannot be the whole host"},
	{"root empty\nallow read /**", "t.policy:2:12: the view cannot be the whole host"},
	{"runtime /opt/tool\ndeny read /opt/tool/x", "t.policy:2:11: a deny cannot hold inside"},
	/* exec */
	{"allow exec /opt/x/\ndeny read /opt/x/key",
		"t.policy:2:11: a deny of reading cannot hold"},
	{"deny read /opt/x/key\nallow exec /opt/x/",
		"t.policy:1:11: a deny of reading cannot hold"},
	{"allow rwx ./\ndeny any **/.env", "t.policy:2:10: a deny of reading cannot hold inside "
					   "/start/, where \"exec\" of t.policy:1"},
	{"allow exec /opt/x/\ndeny rw /opt/", "t.policy:2:9: a deny of reading"},
	{"allow exec /opt/x/\ndeny read /opt/*/key", "t.policy:2:11: a deny of reading"},
	{"allow exec /opt/x\ndeny read /opt/x", "t.policy:2:11: a deny of reading"},
	{"allow exec /opt/x\ndeny read **/x", "t.policy:2:11: a deny of reading"},
	{"allow exec /opt/a/b/x\ndeny read **/b/", "t.policy:2:11: a deny of reading"},
	{"allow exec /opt/a/b/b/x\ndeny read **/b/x", "t.policy:2:11: a deny of reading"},
	{"allow exec /opt/x/\nask read /opt/x/key", "t.policy:2:10: an ask of reading"},
	{"allow exec /opt/x/\nask exec /opt/x/sub/", "t.policy:2:10: an ask of reading"},
	{"allow exec /opt/x/\nask any **/key", "t.policy:2:9: an ask of reading"},
	{"allow exec /opt/*.bin", "t.policy:1:12: exec cannot be given by a wildcard"},
	{"allow exec /opt/**/bin/", "t.policy:1:12: exec cannot be given by a wildcard"},
	{"allow rwx /opt/x",
		"t.policy:1:11: exec of one file cannot stand beside create or delete"},
	{"allow exec,create /opt/x optional", "t.policy:1:19: exec of one file cannot stand"},
	{"allow exec,delete /opt/x", "t.policy:1:19: exec of one file cannot stand"},
	{"allow exec /opt/ except /opt/x", "t.policy:1:25: an \"except\" cannot keep this"},
	{"allow exec /opt/ except **/.env", "t.policy:1:25: an \"except\" cannot keep this"},
	{"allow exec /opt/ except /opt/*/x", "t.policy:1:25: an \"except\" cannot keep this"},
	{"allow exec /opt/ except /opt/a/\nallow read /opt/a/b/", "t.policy:1:25: an"},
	{"allow exec /opt/ except /opt/a/\nallow list /opt/a/", "t.policy:1:25: an"},
	{"allow exec /opt/ except /opt/a/\nask read /opt/a/", "t.policy:1:25: an"},
	{"allow exec /opt/ except /opt/a/\nallow read /opt/a/*", "t.policy:1:25: an"},
	{"allow exec /opt/ except /opt/a/\nallow read /opt/ except /opt/a/b", "t.policy:1:25: an"},
	/* asks in the runtime, which nobody is asked about */
	{"ask read /usr/share/x",
		"t.policy:1:10: an ask cannot hold inside /usr, which is runtime"},
	/* prefixes in directories that the worker may write */
	{"allow rw /w/\nallow read /w/x/", "t.policy:2:12: /w/x crosses a directory the worker may "
					   "write (t.policy:1)"},
	{"allow rw /w/\nallow read /w/a/b as broker", "t.policy:2:12: /w/a/b crosses a directory"},
	{"allow create /w/\nallow read /w/x", "t.policy:2:12: /w/x crosses a directory"},
	{"allow delete /w/*\nallow read /w/x", "t.policy:2:12: /w/x crosses a directory"},
	{"allow rw /w/\ndeny write /w/x/", "t.policy:2:12: /w/x crosses a directory the worker may "
					   "write (t.policy:1): it could rename"},
	{"allow rw /w/\ndeny any /w/a/b/", "t.policy:2:10: /w/a/b crosses a directory"},
	{"ask rw /w/\nallow read /w/x", "t.policy:2:12: /w/x crosses a directory"},
};

static void says_which_rules_cannot_stand_together(void **state)
{
	for (size_t i = 0; i < sizeof(related) / sizeof(*related); i++)
		check_mistake(&related[i], NULL);
}

/* `use agent` in the home directory: one mistake is one error, with its remedy, at the grant. */
static void a_grant_that_undoes_many_denies_is_told_once(void **state)
{
	static const struct mistake wide[] = {
		{"deny any ./a/x ./b/x ./c/x ./d/x\nallow rw ./",
			"t.policy:2:10: start in a project directory, by cd or -C DIR, and not in "
			"/start itself: it holds what 4 denies guard (t.policy:1, for one)"},
		{"deny any ./a/x ./b/x ./c/x ./d/x\nallow rwx ./",
			"t.policy:2:11: start in a project"},
		{"deny any /w/a/x /w/b/x\ndeny any /w/c/x /w/d/x\nallow rw /v/ /w/",
			"t.policy:3:14: grant a directory beneath /w and not all of it"},
		{"deny any ./a/x ./b/x ./c/x\nallow rw ./", "t.policy:1:10: /start/a/x crosses"},
	};
	char buf[512];

	for (size_t i = 0; i < sizeof(wide) / sizeof(*wide); i++) {
		struct policy *p = text_unfinished(wide[i].text);

		assert_int_equal(policy_compile(p), -EINVAL);
		assert_int_equal(policy_error_count(p), i < 3 ? 1 : 3);
		text_error(p, false, buf, sizeof(buf));
		if (strncmp(buf, wide[i].error, strlen(wide[i].error)) != 0)
			fail_msg("%s\ngot %s", wide[i].text, buf);
		policy_free(p);
	}
}

static void rules_that_can_stand_together_do(void **state)
{
	static const char *const good[] = {
		"runtime none\ndeny read /usr/share/x",
		"root empty\ndeny read /usr/share/x",
		"deny read /etc/shadow",
		"deny read /usrlocal/x",
		"allow exec /opt/x/\ndeny write,create,delete /opt/x/key",
		"allow exec /opt/x/\ndeny read /opt/y /opt/x.y",
		"allow exec /opt/x/\nask write,list /opt/x/key",
		"allow exec /opt/x/\nask read /opt/y",
		"ask exec /opt/x/\ndeny read /opt/x/key",
		"ask exec /opt/*.bin\nask rwx /opt/y",
		"allow exec,write /opt/x",
		"allow rwx /opt/x/\nallow rw /opt/y",
		"allow exec /opt/a/ except /opt/b/",
		"allow exec /opt/ except /opt/a/\nallow read /opt/a/",
		"allow exec /opt/ except /opt/a/*.so /opt/b\nallow rw /opt/",
		"allow exec /opt/ except **/.env\nallow read /opt/",
		"allow exec /opt/x/\ndeny read /opt/*/key except /opt/x/",
		"allow exec /opt/x/\ndeny any **/.env except /opt/",
		"allow exec /opt/x\ndeny read /opt/*.key",
		"allow exec /opt/x\ndeny read **/*.key",
		"allow exec /opt/a/b/x\ndeny read /opt/**/b/**/y **/a/x /opt/**/a",
		"allow exec /home/u/p/\ndeny any /home/*/.ssh/",
		"allow rw /w/\ndeny any /w/x/ /w/y",
		"allow rw /w/\ndeny write,create,delete /w/x/",
		"allow rw /w/\ndeny any **/x",
		"allow rw /w/\nallow exec /w/",
		"allow rw /w/a/\nallow read /w/b/ /w/",
		"allow read,write,append /w/\nallow read /w/x as broker",
		"allow rw /w/x",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		policy_free(text_good(good[i], NULL));
}

static void warns_of_a_deny_that_does_not_reach_the_runtime(void **state)
{
	static const struct {
		const char *text, *warning;
	} want[] = {
		{"deny any **/.env **/*.pem",
			"t.policy:1:10: a deny that starts with \"**\" does not "
			"reach into the runtime"},
		{"deny read /etc/",
			"t.policy:1:11: this deny does not reach into the runtime, which "
			"is granted whole: /etc/alternatives"},
		{"deny write,create,delete **/.git/", ""},
		{"deny read /srv/", ""},
		{"root empty\ndeny any **/.env", ""},
		{"root host\nallow read /", ""},
	};
	char buf[512];

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct policy *p = text_good(want[i].text, NULL);

		text_error(p, true, buf, sizeof(buf));
		if (strncmp(buf, want[i].warning, strlen(want[i].warning)) != 0 ||
			!want[i].warning[0] != !buf[0])
			fail_msg("%s\ngot %s", want[i].text, buf);
		assert_int_equal(policy_diag_count(p), want[i].warning[0] ? 1 : 0);
		policy_free(p);
	}
}

static void where_a_prefix_leads_counts_for_these_checks_too(void **state)
{
	char buf[512];
	struct policy *p = text_unfinished("allow rw /w/\nallow read /s/x");

	policy_tree_resolved(p, 1, "/w/in/x");
	assert_int_equal(policy_compile(p), -EINVAL);
	assert_non_null(strstr(text_error(p, false, buf, sizeof(buf)), "crosses a directory"));
	policy_free(p);

	p = text_unfinished("allow rw /w/\nallow read /s/x");
	policy_tree_resolved(p, 1, "/elsewhere");
	policy_tree_crossed(p, 1, "/w/link");
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);

	p = text_unfinished("allow exec /opt/\ndeny read /s/x");
	policy_tree_resolved(p, 1, "/opt/x");
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);

	p = text_unfinished("deny read /s/x");
	policy_tree_resolved(p, 0, "/usr/x");
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);
}

/* The worker may turn /w/x/y into a link to /w/x/key: the next start must not except the key. */
static void an_except_the_worker_could_replace_keeps_its_own_spelling_alone(void **state)
{
	struct policy *p = text_unfinished("allow rw /w/\ndeny any /w/x/ except /w/x/y");
	struct policy_answer a;

	policy_except_resolved(p, 0, "/w/x/key");
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "read", "/w/x/y", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/w/x/key", &a), VERDICT_DENY);
	policy_free(p);

	/* A link of its own in the middle of the way would do. */
	p = text_unfinished("allow rw /w/\ndeny any /x/ except /l/y");
	policy_except_resolved(p, 0, "/x/key");
	policy_except_crossed(p, 0, "/w/mid");
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "read", "/x/key", &a), VERDICT_DENY);
	policy_free(p);

	/* On a grant it would keep less from the worker. */
	p = text_unfinished("allow create,delete /w/\nallow read /x/ except /w/y");
	policy_except_resolved(p, 0, "/x/key");
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);
}

static void self_protection_wins_over_everything_and_over_the_directories_above(void **state)
{
	struct policy *p = text_unfinished("allow rw /home/u/");
	struct policy_answer a;

	assert_int_equal(policy_protect(p, "relative", RIGHT_WRITE), -EINVAL);
	assert_int_equal(policy_protect(p, "/home/u/.config/warder/",
				 RIGHT_WRITE | RIGHT_APPEND | RIGHT_CREATE | RIGHT_DELETE),
		0);
	assert_int_equal(policy_protect(p, "/home/u/key", RIGHT_READ | RIGHT_WRITE), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(
		text_check(p, "write", "/home/u/.config/warder/a.policy", &a), VERDICT_DENY);
	assert_string_equal(a.rule, POLICY_SELF);
	assert_int_equal(
		text_check(p, "read", "/home/u/.config/warder/a.policy", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "create", "/home/u/.config/warder", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "delete", "/home/u/.config", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "create", "/home/u/.config", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "delete", "/home/u/.config/other", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "write", "/home/u/.config", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/home/u/key", &a), VERDICT_DENY);
	policy_free(p);
}

/* What the worker loads by itself no verdict keeps from it: in a view it is hidden, else an error.
 */
static void what_is_warders_own_to_read_is_hidden_where_exec_is_given(void **state)
{
	static const struct {
		const char *path;
		unsigned rights;
		bool hidden, good, good_in_host;
	} want[] = {
		{"/home/u/key", RIGHT_READ, true, true, false},
		{"/home/u/d/key", RIGHT_READ | RIGHT_WRITE, true, true, false},
		{"/home/u", RIGHT_READ | RIGHT_WRITE, false, false, false},
		{"/home", RIGHT_READ, false, false, false},
		{"/home/u/key", RIGHT_WRITE | RIGHT_CREATE, false, true, true},
		{"/home/user/key", RIGHT_READ, false, true, true},
	};

	for (size_t i = 0; i < 2 * sizeof(want) / sizeof(*want); i++) {
		bool host = i % 2;
		bool good = host ? want[i / 2].good_in_host : want[i / 2].good;
		struct policy *p = text_unfinished(
			host ? "allow rwx /home/u/\nroot host" : "allow rwx /home/u/");
		char buf[512];

		assert_int_equal(policy_protect(p, want[i / 2].path, want[i / 2].rights), 0);
		assert_int_equal(policy_compile(p), good ? 0 : -EINVAL);
		text_error(p, false, buf, sizeof(buf));
		assert_true(good || strncmp(buf, "t.policy:1:", 11) == 0);
		assert_int_equal(!!policy_hidden(p, 0), want[i / 2].hidden && !host);
		policy_free(p);
	}
}

/* Each is hidden once, and nothing beneath what is. */
static void what_is_hidden_is_hidden_once(void **state)
{
	struct policy *p = text_unfinished("allow rwx /home/u/");

	for (int i = 0; i < 2; i++) {
		assert_int_equal(policy_protect(p, "/home/u/s", RIGHT_READ), 0);
		assert_int_equal(policy_protect(p, "/home/u/s/run/l", RIGHT_READ), 0);
		assert_int_equal(policy_protect(p, "/home/u/sl", RIGHT_READ), 0);
	}
	assert_int_equal(policy_compile(p), 0);
	assert_string_equal(policy_hidden(p, 0), "/home/u/s");
	assert_string_equal(policy_hidden(p, 1), "/home/u/sl");
	assert_null(policy_hidden(p, 2));
	policy_free(p);
}

/* Links on the way are themselves alone: a directory that is reached through one is still as the
 * rules say. */
static void a_name_on_the_way_stays_what_it_is_and_no_more(void **state)
{
	struct policy *p = text_unfinished("allow rwx /home/u/");
	struct policy_answer a;

	assert_int_equal(policy_protect_name(p, "relative"), -EINVAL);
	assert_int_equal(policy_protect_name(p, "/home/u/d/link"), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "create", "/home/u/d/link", &a), VERDICT_DENY);
	assert_string_equal(a.rule, POLICY_SELF);
	assert_int_equal(text_check(p, "delete", "/home/u/d/link", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "delete", "/home/u/d", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "write", "/home/u/d/link", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "create", "/home/u/d/link/x", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "create", "/home/u/d/other", &a), VERDICT_ALLOW);
	policy_free(p);
}

static void exec_is_for_whole_directories_and_lasting_files(void **state)
{
	static const struct {
		const char *text;
		bool runs;
	} want[] = {
		{"allow exec /opt/x/", true},
		{"allow exec /opt/x", true},
		{"allow rwx /opt/x/", true},
		{"allow exec,write /opt/x", true},
		{"allow rwx /opt/x", false},
		{"allow exec,delete /opt/x", false},
		{"allow exec /opt/x*", false},
		{"ask exec /opt/x/", false},
		{"deny exec /opt/x/", false},
		{"allow rw /opt/x/", false},
	};

	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		struct policy *p = text_unfinished(want[i].text);

		assert_int_equal(policy_tree_runs(p, 0), want[i].runs);
		policy_free(p);
	}
}

static void a_runtime_tree_counts_where_it_leads_too(void **state)
{
	char buf[512];
	struct policy *p = text_unfinished("runtime /opt/link\nallow rw /w/");

	policy_runtime_crossed(p, 0, "/w/mid");
	assert_int_equal(policy_compile(p), -EINVAL);
	assert_non_null(strstr(text_error(p, false, buf, sizeof(buf)),
		"/opt/link crosses a directory the worker may write (t.policy:2): it "
		"could replace /w/mid"));
	policy_free(p);

	p = text_unfinished("runtime /opt/link\nallow rw /w/");
	policy_runtime_resolved(p, 0, "/w/venv");
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);

	p = text_unfinished("runtime /opt/a /w/venv\nallow rw /w/");
	assert_int_equal(policy_compile(p), -EINVAL);
	policy_free(p);

	p = text_unfinished("runtime /opt/link\nallow rw /w/");
	policy_runtime_resolved(p, 0, "/w");
	policy_runtime_crossed(p, 0, "/opt/other");
	assert_int_equal(policy_compile(p), 0);
	policy_free(p);

	/* A deny inside it by its other name. */
	p = text_unfinished("runtime /opt/link\ndeny read /srv/venv/key");
	policy_runtime_resolved(p, 0, "/srv/venv");
	assert_int_equal(policy_compile(p), -EINVAL);
	assert_non_null(strstr(text_error(p, false, buf, sizeof(buf)),
		"t.policy:2:11: a deny cannot hold inside /opt/link, which is runtime"));
	policy_free(p);
}

/* A "*" that a policy means as it stands is no wildcard, wherever paths are compared. */
static void a_star_in_a_name_is_a_star(void **state)
{
	struct policy *p = text_good("runtime \"/opt/x\\*\"", NULL);
	char buf[512];

	assert_string_equal(policy_settings(p)->runtime[0], "/opt/x*");
	assert_non_null(policy_runtime(p, "/opt/x*/lib", 11));
	assert_null(policy_runtime(p, "/opt/xyz/key", 12));
	policy_free(p);

	p = text_good("runtime /opt/xyz\ndeny read /opt/ except \"/opt/x\\*/\"\n", NULL);
	assert_non_null(strstr(text_error(p, true, buf, sizeof(buf)),
		"does not reach into the runtime, which is granted whole: /opt/xyz"));
	policy_free(p);
}

static void names_in_a_directory_are_protected_like_paths(void **state)
{
	struct policy *p = text_unfinished("allow rwx /home/u/");
	struct policy_answer a;

	assert_int_equal(policy_protect_names(p, "relative", "*.key", RIGHT_WRITE), -EINVAL);
	assert_int_equal(policy_protect_names(p, "/home/u/d", "*[0-9][0-9].key",
				 RIGHT_WRITE | RIGHT_CREATE | RIGHT_DELETE),
		0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "write", "/home/u/d/10.key", &a), VERDICT_DENY);
	assert_string_equal(a.rule, POLICY_SELF);
	assert_int_equal(text_check(p, "create", "/home/u/d/a99.key/x", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "read", "/home/u/d/10.key", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "write", "/home/u/d/1.key", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "write", "/home/u/d/10.keys", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "write", "/home/u/d/d/10.key", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "write", "/home/u/10.key", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "delete", "/home/u/d", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "create", "/home/u", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "write", "/home/u/d", &a), VERDICT_ALLOW);
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_holds_for_both_spellings),
		cmocka_unit_test(
			a_missing_tree_is_an_error_unless_optional_and_then_grants_nothing),
		cmocka_unit_test(a_bare_path_that_is_a_directory_is_an_error_naming_both_spellings),
		cmocka_unit_test(says_which_rules_cannot_stand_together),
		cmocka_unit_test(a_grant_that_undoes_many_denies_is_told_once),
		cmocka_unit_test(rules_that_can_stand_together_do),
		cmocka_unit_test(warns_of_a_deny_that_does_not_reach_the_runtime),
		cmocka_unit_test(where_a_prefix_leads_counts_for_these_checks_too),
		cmocka_unit_test(an_except_the_worker_could_replace_keeps_its_own_spelling_alone),
		cmocka_unit_test(
			self_protection_wins_over_everything_and_over_the_directories_above),
		cmocka_unit_test(what_is_warders_own_to_read_is_hidden_where_exec_is_given),
		cmocka_unit_test(what_is_hidden_is_hidden_once),
		cmocka_unit_test(a_name_on_the_way_stays_what_it_is_and_no_more),
		cmocka_unit_test(exec_is_for_whole_directories_and_lasting_files),
		cmocka_unit_test(a_runtime_tree_counts_where_it_leads_too),
		cmocka_unit_test(a_star_in_a_name_is_a_star),
		cmocka_unit_test(names_in_a_directory_are_protected_like_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
