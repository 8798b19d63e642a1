/* SPDX-License-Identifier: MIT */
/*
 * policy_settings.c - the settings as lines and as flags; the policy printed; the line to add.
 */
#include "common/plain.h"
#include "tests/unit/policy_lib.h"

static const struct mistake mistakes[] = {
	{"root veiw", "t.policy:1:6: unknown root \"veiw\"; did you mean \"view\"?"},
	{"root", "t.policy:1:5: a value is missing after \"root\""},
	{"root view host", "t.policy:1:11: \"root\" takes one value; \"host\" is one too many"},
	{"memory 1X", "t.policy:1:8: \"1X\" is no size; its unit is one of K, M, G, T"},
	{"memory x", "t.policy:1:8: \"x\" is no size"},
	{"memory 1GB", "t.policy:1:8: \"1GB\" is no size"},
	{"memory -1", "t.policy:1:8: \"-1\" is no size"},
	{"memory 0", "t.policy:1:8: 0 is no limit"},
	{"memory 9000000000G", "t.policy:1:8: \"9000000000G\" is more than any machine has"},
	{"memory 99999999999999999999", "t.policy:1:8: \"99999999999999999999\" is no size"},
	{"time 10", "t.policy:1:6: \"10\": a time needs a unit: 10s, 10m, 10ms"},
	{"time 1h10", "t.policy:1:6: \"1h10\": a time needs a unit"},
	{"time s", "t.policy:1:6: \"s\" is no time"},
	{"time 1m1h", "t.policy:1:6: \"1m1h\" is no time"},
	{"time 1m1m", "t.policy:1:6: \"1m1m\" is no time"},
	{"time 1.5s", "t.policy:1:6: \"1.5s\" is no time"},
	{"time 0s", "t.policy:1:6: a time of nothing"},
	{"time 99999999999999h", "t.policy:1:6: \"99999999999999h\" is longer than can be"},
	{"tasks many", "t.policy:1:7: \"many\" is no number"},
	{"files 0", "t.policy:1:7: 0 is no limit"},
	{"files 7", "t.policy:1:7: \"7\": no program can be started with less than 8; write 8"},
	{"workers 65", "t.policy:1:9: \"65\" workers are too many; at most 64 run"},
	{"memory 1023K", "t.policy:1:8: \"1023K\": no program can be loaded into less than 1M"},
	{"limit", "t.policy:1:6: \"limit\" takes \"requests\" or \"held\""},
	{"limit reqests 5", "t.policy:1:7: unknown limit \"reqests\"; did you mean \"requests\"?"},
	{"limit \"held\" 5", "t.policy:1:7: \"held\" stands there without quotes"},
	{"limit held", "t.policy:1:11: a value is missing after \"held\""},
	{"accept cgroup", "t.policy:1:8: \"accept\" takes \"missing\" and a layer"},
	{"accept missing landlok", "t.policy:1:16: unknown layer \"landlok\"; did you mean "
				   "\"landlock\"?"},
	{"accept missing seccomp", "t.policy:1:16: \"accept missing seccomp\": no cell is started"},
	{"accept missing userns",
		"t.policy:1:16: \"accept missing userns\": a cell cannot do without"},
	{"accept missing cgroup",
		"t.policy:1:16: \"accept missing cgroup\": its limits only add to"},
	{"accept missing uid\naccept missing uid", "t.policy:2:16: \"accept missing uid\" is set "
						   "already, at t.policy:1"},
	{"user a/b", "t.policy:1:6: \"a/b\" is no user's name or number"},
	{"user -x", "t.policy:1:6: \"-x\" is no user's name"},
	{"env 1X", "t.policy:1:5: \"1X\" is no name of a variable"},
	{"env A =b", "t.policy:1:7: \"\" is no name of a variable"},
	{"home x", "t.policy:1:6: \"x\": a target begins with"},
	{"home /a/*", "t.policy:1:6: \"/a/*\": a wildcard cannot stand here"},
	{"runtime /a/../b", "t.policy:1:9: \"/a/../b\": \"..\" cannot stand here"},
	{"clients", "t.policy:1:8: a value is missing after \"clients\""},
	{"clients a b/c", "t.policy:1:11: \"b/c\" is neither a user nor a group"},
	{"clients a \"b c\"", "t.policy:1:11: \"b c\" is neither a user nor a group"},
	{"clients %", "t.policy:1:9: \"%\" is neither a user nor a group"},
	{"clients %%x", "t.policy:1:9: \"%%x\" is neither a user nor a group"},
	{"clients \"\"", "t.policy:1:9: \"\" is neither a user nor a group"},
	{"clients -x", "t.policy:1:9: \"-x\" is neither a user nor a group"},
	{"clients 4294967295", "t.policy:1:9: \"4294967295\" is no number that a user can have"},
	{"clients %99999999999", "t.policy:1:9: \"%99999999999\" is no number that a group can"},
	{"clients a\nclients b", "t.policy:2:1: \"clients\" is set already, at t.policy:1"},
	{"ledger fd:x", "t.policy:1:8: \"fd:x\" names no descriptor"},
	{"ledger sync", "t.policy:1:12: a value is missing after \"sync\""},
	{"ledger sync each", "t.policy:1:13: unknown way to sync the ledger \"each\""},
	{"ledger sync \"batch\"", "t.policy:1:13: unknown way to sync the ledger \"batch\""},
	{"ledger sync batch now", "t.policy:1:19: \"ledger\" takes one value; \"now\""},
	{"ledger /var/log/", "t.policy:1:8: \"/var/log/\": the ledger is a file"},
	/* a setting given twice */
	{"memory 1G\nmemory 1G", "t.policy:2:1: \"memory\" is set already, at t.policy:1"},
	{"root view\n\nroot view", "t.policy:3:1: \"root\" is set already, at t.policy:1"},
	{"limit held 1\nlimit held 2",
		"t.policy:2:1: \"limit held\" is set already, at t.policy:1"},
	{"ledger sync batch\nledger sync batch",
		"t.policy:2:1: \"ledger sync\" is set already, at t.policy:1"},
	{"env A\nenv B", "t.policy:2:1: \"env\" is set already, at t.policy:1"},
	/* not in this version */
	{"identity client", "t.policy:1:1: \"identity\" is not supported by this version"},
	{"approver /usr/bin/ask", "t.policy:1:1: \"approver\" is not supported by this version"},
	{"ledger key /etc/key", "t.policy:1:1: \"ledger key\" is not supported by this version"},
};

static void says_what_is_wrong_with_a_setting(void **state)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++)
		check_mistake(&mistakes[i], NULL);
}

static void without_settings_all_is_default(void **state)
{
	struct policy *p = text_good("", NULL);
	const struct policy_settings *s = policy_settings(p);

	assert_int_equal(s->given, 0);
	assert_int_equal(s->root, ROOT_VIEW);
	assert_int_equal(s->accept, 0);
	assert_null(s->user);
	assert_null(s->ledger);
	assert_false(s->ledger_sync);
	policy_free(p);
}

static const char all[] = "root empty\n"
			  "runtime none /opt/tool/ ~/rt\n"
			  "user clamav\n"
			  "env LANG \"A=b c\" X=\"y z\"\n"
			  "home ./h\n"
			  "tmp 64K\n"
			  "memory 1G\n"
			  "tasks 10\n"
			  "files 256\n"
			  "cpu 1h500ms\n"
			  "time 20m\n"
			  "limit requests 1000\n"
			  "limit held 32\n"
			  "accept missing scope landlock\n"
			  "accept missing uid\n"
			  "ledger /var/log/warder.jsonl\n"
			  "ledger sync batch\n"
			  "clients alice %staff 1000 %0050\n"
			  "workers 4\n";

static void check_client(
	const struct policy *p, size_t i, const char *name, bool group, bool known, uint32_t id)
{
	const struct policy_client *c = policy_client(p, i);

	assert_string_equal(c->name, name);
	assert_int_equal(c->group, group);
	assert_int_equal(c->known, known);
	if (known)
		assert_int_equal(c->id, id);
	assert_non_null(c->rule);
}

static void check_all(const struct policy *p)
{
	const struct policy_settings *s = policy_settings(p);

	assert_int_equal(s->root, ROOT_EMPTY);
	assert_true(s->runtime_none);
	assert_int_equal(s->n_runtime, 2);
	assert_string_equal(s->runtime[0], "/opt/tool");
	assert_string_equal(s->runtime[1], "/home/u/rt");
	assert_string_equal(s->user, "clamav");
	assert_int_equal(s->n_env, 3);
	assert_string_equal(s->env[0], "LANG");
	assert_string_equal(s->env[1], "A=b c");
	assert_string_equal(s->env[2], "X=y z");
	assert_string_equal(s->home, "/start/h");
	assert_int_equal(s->tmp_size, 65536);
	assert_int_equal(s->memory, 1 << 30);
	assert_int_equal(s->tasks, 10);
	assert_int_equal(s->files, 256);
	assert_int_equal(s->cpu_ms, 3600500);
	assert_int_equal(s->time_ms, 1200000);
	assert_int_equal(s->limit_requests, 1000);
	assert_int_equal(s->limit_held, 32);
	assert_int_equal(s->accept, LAYER_LANDLOCK_SCOPE | LAYER_LANDLOCK | LAYER_UID);
	assert_string_equal(s->ledger, "/var/log/warder.jsonl");
	assert_true(s->ledger_sync);
	assert_int_equal(s->workers, 4);
	assert_int_equal(policy_client_count(p), 4);
	check_client(p, 0, "alice", false, false, 0);
	check_client(p, 1, "staff", true, false, 0);
	check_client(p, 2, "1000", false, true, 1000);
	check_client(p, 3, "0050", true, true, 50);
}

static void every_setting_has_its_value(void **state)
{
	struct policy *p = text_good(all, NULL);

	check_all(p);
	policy_free(p);
}

static void every_setting_is_a_flag_too(void **state)
{
	static const char *const flags[][2] = {{"root", "empty"}, {"runtime", "none"},
		{"runtime", "/opt/tool/"}, {"runtime", "~/rt"}, {"user", "clamav"}, {"env", "LANG"},
		{"env", "A=b c"}, {"env", "X=y z"}, {"home", "./h"}, {"tmp", "64K"},
		{"memory", "1G"}, {"tasks", "10"}, {"files", "256"}, {"cpu", "1h500ms"},
		{"time", "20m"}, {"limit", "requests 1000"}, {"limit", "held 32"},
		{"accept", "missing scope landlock"}, {"accept", "missing uid"},
		{"ledger", "/var/log/warder.jsonl"}, {"ledger", "sync batch"}, {"workers", "4"},
		{"clients", "alice"}, {"clients", "%staff"}, {"clients", "1000"},
		{"clients", "%0050"}};
	struct policy *p = text_new(NULL);

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		assert_int_equal(policy_add_flag(p, flags[i][0], flags[i][1]), 0);
	assert_int_equal(policy_finish(p), 0);
	check_all(p);
	assert_int_equal(policy_add_flag(p, "allow", "read /"), -ENOENT);
	assert_int_equal(policy_add_flag(p, "clients", "uid 1"), -EINVAL);
	assert_int_equal(policy_client_count(p), 4);
	assert_int_equal(policy_add_flag(p, "ledger", "key /x"), -EINVAL);
	policy_free(p);
}

static void each_size_and_time_has_its_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} sizes[] = {{"1", 1}, {"64K", 65536}, {"3M", 3 << 20}, {"1G", 1 << 30},
		{"2T", 2ull << 40}},
	  times[] = {{"1ms", 1}, {"10s", 10000}, {"20m", 1200000}, {"2h", 7200000},
		  {"1d", 86400000}, {"1h30m", 5400000}, {"1h500ms", 3600500}, {"1m1s1ms", 61001}};
	struct policy *p;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		p = text_new(NULL);
		assert_int_equal(policy_add_flag(p, "tmp", sizes[i].text), 0);
		assert_int_equal(policy_settings(p)->tmp_size, sizes[i].value);
		policy_free(p);
	}
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		p = text_new(NULL);
		assert_int_equal(policy_add_flag(p, "time", times[i].text), 0);
		assert_int_equal(policy_settings(p)->time_ms, times[i].value);
		policy_free(p);
	}
}

static void a_flag_and_a_line_that_set_the_same_are_an_error(void **state)
{
	struct policy *p = text_new(NULL);
	char buf[256];

	policy_add_text(p, "t.policy", NULL, "memory 1G\nenv A", 15);
	assert_int_equal(policy_add_flag(p, "memory", "2G"), -EINVAL);
	text_error(p, false, buf, sizeof(buf));
	assert_string_equal(buf, "--memory:0:0: \"memory\" is set already, at t.policy:1");
	/* Lists grow. */
	assert_int_equal(policy_add_flag(p, "env", "B"), 0);
	assert_int_equal(policy_settings(p)->n_env, 2);
	policy_free(p);
}

/* Whom the host does not know is admitted by no number: not by 0, nor by one that is no one's. */
static void clients_are_admitted_by_number(void **state)
{
	struct policy *p = text_good("clients alice %staff 1000 %50\n", NULL);
	const gid_t groups[] = {7, 50, 51};
	const struct policy_client *c;

	assert_null(policy_admits(p, 0, NULL, 0));
	assert_null(policy_admits(p, (uid_t)-1, groups, 1));
	assert_null(policy_admits(p, 50, groups, 1));
	c = policy_admits(p, 1000, NULL, 0);
	assert_ptr_equal(c, policy_client(p, 2));
	assert_string_equal(c->rule, "t.policy:1");
	assert_ptr_equal(policy_admits(p, 1, groups, 3), policy_client(p, 3));
	policy_client_found(p, 0, 0);
	policy_client_found(p, 1, 51);
	assert_ptr_equal(policy_admits(p, 0, NULL, 0), policy_client(p, 0));
	assert_ptr_equal(policy_admits(p, 1, groups, 3), policy_client(p, 1));
	policy_free(p);
}

static void a_flags_value_is_one_word_and_no_pattern(void **state)
{
	struct policy *p = text_new(NULL);

	assert_int_equal(policy_add_flag(p, "home", "/a b/*/$X\"\\"), 0);
	assert_string_equal(policy_settings(p)->home, "/a b/*/$X\"\\");
	assert_int_equal(policy_add_flag(p, "ledger", "audit.jsonl"), 0);
	assert_string_equal(policy_settings(p)->ledger, "audit.jsonl");
	policy_free(p);
}

static void every_setting_name_is_known(void **state)
{
	for (size_t i = 0; policy_setting_names[i]; i++) {
		struct policy *p = text_new(NULL);

		assert_int_not_equal(policy_add_flag(p, policy_setting_names[i], ""), -ENOENT);
		policy_free(p);
	}
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(policy_layer_parse(policy_layer_name(1u << i)), 1u << i);
	assert_null(policy_layer_name(1u << 6));
	assert_int_equal(policy_layer_parse("nothing"), 0);
}

/* ---- printed --------------------------------------------------------------------------------- */

static const char *const printed[] = {
	"",
	all,
	"allow read ~/ ./x /srv/*/a[b-d]?/ optional\n",
	"allow rw \"/a b/\\*\" as broker type char type fifo mode 0640\n",
	"ask connect a.b:443 timeout 90s\n",
	"deny any ** except /x/ **/y\nask exec /opt/**/bin/\n",
	"deny any **/.env /\nallow list \"/a\\nb\\x01\\x24\\\"#\" /x#y\n",
	"set X = *\nallow read /srv/$X /srv/$X/* \"/srv/[$X]\"\n",
	"deny connect *.a.b:443 udp 1.2.3.4:53 @x /run/s\ndeny bind [::1]:80\n",
	"expect deny read /srv/data/../x/\nexpect deny connect a.b:1\nexpect deny any /\n",
	"allow read \"/]\" \"/[]]/\\[\"\n",
	"deny read \"/a/]\" \"/a/*]\"\n",
};

/* Drops the comments, which name where each line came from. */
static char *without_origins(const char *text)
{
	char *out = strdup(text), *to = out;

	for (const char *c = text; *c; c++) {
		if (*c == '\t')
			while (*c != '\n')
				c++;
		*to++ = *c;
	}
	*to = '\0';
	return out;
}

static void what_is_printed_parses_to_the_same_policy(void **state)
{
	for (size_t i = 0; i < sizeof(printed) / sizeof(*printed); i++) {
		struct policy *p = text_new(NULL), *again = text_new(NULL);
		char *first, *second;
		size_t size;

		policy_add_text(p, "t.policy", "/", printed[i], strlen(printed[i]));
		if (policy_finish(p) == 0) {
			const char *text = policy_text(p, &size);

			assert_int_equal(strlen(text), size);
			assert_int_equal(policy_add_text(again, "copy", "/", text, size), 0);
			assert_int_equal(policy_finish(again), 0);
			first = without_origins(text);
			second = without_origins(policy_text(again, &size));
			assert_string_equal(first, second);
			free(first);
			free(second);
		} else if (!strstr(printed[i], "[]]")) {
			fail_msg("%s", printed[i]);
		}
		policy_free(p);
		policy_free(again);
	}
}

static void the_copy_names_where_each_line_came_from(void **state)
{
	static const struct text_file files[] = {
		{"/etc/o.policy", "# one\nallow read ~/o/\n"}, {NULL}};
	struct policy *p = text_good("set D = /data\nallow read $D/ ./x # why\ninclude o.policy\n"
				     "memory 1M\n",
		files);
	size_t size;

	assert_string_equal(policy_text(p, &size), "memory 1048576\t# t.policy:4\n"
						   "allow read /data/ /start/x\t# t.policy:2\n"
						   "allow read /home/u/o/\t# /etc/o.policy:2\n");
	policy_free(p);
}

static void the_line_to_add_parses_and_grants_what_was_missing(void **state)
{
	static const char *const paths[] = {"/srv/x", "/srv/a b", "/srv/*", "/srv/[a]?",
		"/srv/\n\x01\"\\$#", "/srv/\xff\xc3", "/srv/d/", "/srv/\xc2\x9b", "/srv/\xd8\x9c",
		"/srv/\xe2\x80\xaa\xe2\x80\xae", "/srv/\xe2\x81\xa6*\xe2\x81\xa9]", "/srv/\xe2\x80",
		"/srv/\xc3\xa9"};
	char line[20000];

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		struct policy *p;
		struct policy_answer a;
		size_t n = strlen(paths[i]);

		assert_int_equal(policy_suggest(RIGHT_READ | RIGHT_LIST | RIGHT_DELETE, paths[i], 0,
					 line, sizeof(line)),
			0);
		for (size_t at = 0; line[at]; at += plain_size(line + at, strlen(line + at)))
			assert_true(plain_size(line + at, strlen(line + at)) > 0);
		p = text_good(line, NULL);
		n -= paths[i][n - 1] == '/';
		assert_int_equal(
			policy_check(p, paths[i], n, RIGHT_READ | RIGHT_DELETE, &a), VERDICT_ALLOW);
		policy_free(p);
	}
	assert_int_equal(policy_suggest(RIGHT_READ, "/srv/x", 0, line, 5), -ENAMETOOLONG);
	assert_int_equal(policy_suggest(RIGHT_READ, "/srv/a b", 0, line, sizeof(line)), 0);
	assert_string_equal(line, "allow read \"/srv/a b\"");
	assert_int_equal(policy_suggest(0x7f, "/srv/x", 0, line, sizeof(line)), 0);
	assert_null(strstr(line, "any"));
	/* Where no rule helps there is no line. */
	assert_int_equal(policy_suggest(0, "/srv/x", 0, line, sizeof(line)), -EINVAL);
	assert_int_equal(policy_suggest(RIGHT_READ, "/proc/1/mem", 0, line, sizeof(line)), -EINVAL);
	assert_int_equal(
		policy_suggest(RIGHT_CONNECT, "\033[2J:80", 0, line, sizeof(line)), -EINVAL);
	assert_int_equal(policy_suggest(RIGHT_CONNECT, "udp [::1]:53", 0, line, sizeof(line)), 0);
	assert_int_equal(
		policy_suggest(RIGHT_BIND, "udp [::1]:53", 0, line, sizeof(line)), -EINVAL);
	assert_int_equal(policy_suggest(RIGHT_BIND, "@a b", 0, line, sizeof(line)), 0);
	assert_string_equal(line, "allow bind \"@a b\"");
}

static void a_files_name_ends_no_comment(void **state)
{
	static const char name[] = "a\nallow read /etc/";
	static const char lines[] = "memory 1G\nallow read /srv/\nledger sync batch\n"
				    "ledger /srv/l\nclients root\nworkers 2\naccept missing uid\n"
				    "env A\nexpect deny read /etc/x\n";
	struct policy *p = policy_new(NULL);
	const char *text;
	size_t size;

	assert_int_equal(policy_add_text(p, name, "/", lines, strlen(lines)), 0);
	assert_int_equal(policy_finish(p), 0);
	text = policy_text(p, &size);
	assert_non_null(strstr(text, "allow read /srv/\t# a\\x0aallow read /etc/:2\n"));
	assert_null(strstr(text, "\nallow read /etc/"));
	policy_free(p);
}

static void rights_have_names(void **state)
{
	char buf[64];

	assert_string_equal(policy_rights_name(RIGHT_READ | RIGHT_LIST, buf, sizeof(buf)), "read");
	assert_string_equal(
		policy_rights_name(RIGHT_LIST | RIGHT_APPEND, buf, sizeof(buf)), "list,append");
	assert_string_equal(policy_rights_name(0, buf, sizeof(buf)), "");
	assert_string_equal(policy_rights_name(RIGHT_WRITE | RIGHT_CREATE, buf, 4), "");
	assert_int_equal(policy_right_parse("read", 4), RIGHT_READ | RIGHT_LIST);
	assert_int_equal(policy_right_parse("rea", 3), 0);
	assert_int_equal(policy_right_parse("any", 3), 0x7f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_is_wrong_with_a_setting),
		cmocka_unit_test(without_settings_all_is_default),
		cmocka_unit_test(every_setting_has_its_value),
		cmocka_unit_test(every_setting_is_a_flag_too),
		cmocka_unit_test(each_size_and_time_has_its_unit),
		cmocka_unit_test(a_flag_and_a_line_that_set_the_same_are_an_error),
		cmocka_unit_test(clients_are_admitted_by_number),
		cmocka_unit_test(a_flags_value_is_one_word_and_no_pattern),
		cmocka_unit_test(every_setting_name_is_known),
		cmocka_unit_test(what_is_printed_parses_to_the_same_policy),
		cmocka_unit_test(the_copy_names_where_each_line_came_from),
		cmocka_unit_test(the_line_to_add_parses_and_grants_what_was_missing),
		cmocka_unit_test(a_files_name_ends_no_comment),
		cmocka_unit_test(rights_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
