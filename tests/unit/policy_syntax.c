/* SPDX-License-Identifier: MIT */
/*
 * policy_syntax.c - every production of the grammar, and what is said where a text breaks it.
 */
#include "tests/unit/policy_lib.h"

#define FILE1 "t.policy:1:"

static const struct mistake mistakes[] = {
	/* words */
	{"allow raed /srv/", FILE1 "7: unknown right \"raed\"; did you mean \"read\"?"},
	{"alow read /srv/", FILE1 "1: unknown word \"alow\"; did you mean \"allow\"?"},
	{"zzzzzz read /srv/", FILE1 "1: unknown word \"zzzzzz\"; a line begins with allow"},
	{"memroy 1G", FILE1 "1: unknown word \"memroy\"; did you mean \"memory\"?"},
	{"\"allow\" read /x", FILE1 "1: unknown word \"allow\""},
	{"\n\n  allow read /x/ \"/a", "t.policy:3:18: a quote that is not closed"},
	{"allow read \"/a\"b", FILE1 "16: a blank is missing after the quote"},
	{"set A=\"x\"y", FILE1 "10: a blank is missing after the quote"},
	{"env A=\"x\"B=\"y\"", FILE1 "10: a blank is missing after the quote"},
	{"allow read /a\"b\"", FILE1 "14: \" within a bare word"},
	{"allow read /a\\b", FILE1 "14: \\ within a bare word"},
	{"allow read \"/a\\q\"", FILE1 "15: unknown escape"},
	{"allow read \"/a\\x4\"", FILE1 "15: \"\\x\" needs two hexadecimal digits"},
	{"allow read \"/a\\x00\"", FILE1 "15: no path holds a NUL byte"},
	{"allow read /a\x01", FILE1 "14: a control character; write \"\\x01\", quoted"},
	{"allow read $/x", FILE1 "12: no name after \"$\""},
	{"allow read $NOPE/x", FILE1 "12: NOPE is not set; add a line \"set NOPE = VALUE\""},
	/* rights */
	{"allow", FILE1 "6: a right is missing after \"allow\""},
	{"allow read", FILE1 "11: a target is missing"},
	{"allow any /srv/", FILE1 "7: \"any\" stands only after deny and ask"},
	{"allow read,any /srv/", FILE1 "12: \"any\" stands only after deny and ask"},
	{"allow read,,write /srv/", FILE1 "12: a right is missing beside the comma"},
	{"allow read, /srv/", FILE1 "7: a right is missing after the comma"},
	{"allow read,wriet /srv/", FILE1 "12: unknown right \"wriet\"; did you mean \"write\"?"},
	{"deny READ /srv/", FILE1 "6: unknown right \"READ\""},
	/* targets */
	{"allow read srv/x", FILE1 "12: \"srv/x\" is neither a target"},
	{"allow read \"srv/x\"", FILE1 "12: \"srv/x\": a target begins with"},
	{"allow read ../x", FILE1 "12: \"../x\": a target begins with"},
	{"allow read /srv/../x", FILE1 "12: \"/srv/../x\": \"..\" in a rule"},
	{"allow read /srv/*/../x", FILE1 "12: \"/srv/*/../x\": \"..\" in a rule"},
	{"allow read ~other/x", FILE1 "12: \"~other/x\": only \"~/\" is known"},
	{"allow read \"\"", FILE1 "12: an empty path"},
	{"allow read **/*.txt", FILE1 "12: \"**/*.txt\": an allow begins with a literal directory"},
	{"allow read **", FILE1 "12: \"**\": an allow begins with a literal directory"},
	{"allow read /*/x", FILE1 "12: \"/*/x\": an allow begins with a literal directory"},
	{"allow read /**/x", FILE1 "12: \"/**/x\": an allow begins with a literal directory"},
	{"deny read *.txt", FILE1 "11: \"*.txt\": a target begins with"},
	{"deny read /srv/a**", FILE1 "11: \"/srv/a**\": \"**\" stands alone between slashes"},
	{"deny read /srv/[abc", FILE1 "11: \"/srv/[abc\": a \"[\" without its \"]\""},
	{"deny read /srv/[a/b]", FILE1 "11: \"/srv/[a/b]\": a \"[\" without its \"]\""},
	{"deny read /srv/[]", FILE1 "11: \"/srv/[]\": an empty set"},
	{"deny read /srv/[!a]", FILE1 "11: \"/srv/[!a]\": a set cannot be turned round"},
	{"deny read /srv/[z-a]", FILE1 "11: \"/srv/[z-a]\": a range that runs backwards"},
	/* options */
	{"allow read /srv/ optionl",
		FILE1 "18: unknown option \"optionl\"; did you mean \"optional\"?"},
	{"allow read /srv/ as", FILE1 "20: a value is missing after \"as\""},
	{"allow read /srv/ as brokre", FILE1 "21: \"as\" takes worker, client or broker, not "
					     "\"brokre\"; did you mean \"broker\"?"},
	{"allow read /srv/ as client", FILE1 "21: \"as client\" is not supported by this version"},
	{"allow read /srv/ type chr", FILE1 "23: \"type\" takes char, block or fifo, not \"chr\"; "
					    "did you mean \"char\"?"},
	{"allow create /srv/ mode 0888", FILE1 "25: \"mode\" takes an octal number"},
	{"allow create /srv/ mode 4755", FILE1 "25: mode 4755: set-user-ID"},
	{"allow read,exec /srv/ mode 0640",
		FILE1 "23: \"mode\" has a meaning for create, write and bind alone; leave it out"},
	{"ask append,delete /srv/ mode 0640",
		FILE1 "25: \"mode\" has a meaning for create, write and bind alone"},
	{"allow rwx /srv/ timeout 5s",
		FILE1 "17: \"timeout\" has a meaning for connect alone; leave it out"},
	{"ask read /srv/ timeout 5s", FILE1 "16: \"timeout\" has a meaning for connect alone"},
	{"ask connect a.b:1 timeout 5", FILE1 "27: \"5\": a time needs a unit: 5s, 5m, 5ms"},
	{"deny read /srv/ as broker", FILE1 "17: \"as\" has no meaning on a deny"},
	{"deny read /srv/ mode 0600", FILE1 "17: \"mode\" has no meaning on a deny"},
	{"allow read /srv/ optional /x/", FILE1 "27: \"/x/\": targets stand before the options"},
	{"allow read except /x", FILE1 "12: a target is missing before \"except\""},
	{"deny read /srv/ except", FILE1 "23: a target is missing after \"except\""},
	{"deny read /srv/ except /x optional", FILE1 "27: \"optional\": after \"except\""},
	/* set */
	{"set", FILE1 "1: \"set\" needs a name and a value"},
	{"set X", FILE1 "5: \"set\" takes a name and one value"},
	{"set 1X = y", FILE1 "5: \"1X\" is no name"},
	{"set X = a b", FILE1 "7: \"set\" takes a name and one value"},
	{"set X = a\nset X = b", "t.policy:2:5: X is set already, at t.policy:1"},
	/* use, include */
	{"use", FILE1 "1: \"use\" takes the name of one preset"},
	{"use agnet", FILE1 "5: no preset \"agnet\"; did you mean \"agent\"?"},
	{"use ../x", FILE1 "5: \"../x\" is no name of a preset; for a file write \"include ../x\""},
	{"include", FILE1 "1: \"include\" takes the path of one file"},
	{"include gone.policy", FILE1 "9: cannot include /etc/gone.policy: No such file"},
	/* expect */
	{"expect deny read", FILE1 "17: \"expect\" needs a verdict, a right and a path"},
	{"expect dney read /x", FILE1 "8: \"expect\" takes allow, deny or ask, not \"dney\"; did "
				      "you mean \"deny\"?"},
	{"expect deny raed /x", FILE1 "13: unknown right \"raed\""},
	{"expect deny read,write /x", FILE1 "13: \"expect\" takes one right"},
	{"expect deny read /x /y", FILE1 "21: \"expect\" takes one path"},
	{"expect deny read /x/*", FILE1 "18: \"/x/*\": a wildcard cannot stand here"},
};

static void says_what_is_wrong_and_where(void **state)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++)
		check_mistake(&mistakes[i], NULL);
}

/* Texts that are right, one production each. */
static const char *const good[] = {
	"",
	"\n\n",
	"# only a remark",
	"   \t# an indented one\r\n",
	"\xef\xbb\xbf"
	"allow read /srv/",
	"allow read /srv/ # with a remark",
	"allow read /srv/a#b",
	"allow read,list /srv/",
	"allow read, write , exec /srv/",
	"allow rw /srv/\nallow rwx /opt/x/",
	"ask any /srv/",
	"deny any **/.env **/*.pem",
	"ask read **/*.txt",
	"allow read ~ ~/ ~/x ./ . ./y",
	"root host\nallow read /",
	"allow read /srv/**",
	"allow read /srv/*/x?[a-z].txt",
	"allow read \"/srv/a b\" \"/srv/\\\"\\\\\\*\\?\\[\\n\\x41\"",
	"allow read /srv/\xc3\xa4\xff",
	"allow create /srv/x mode 0640 as broker type char type fifo optional",
	"allow write /srv/x mode 0640",
	"allow read /srv/ as worker except /srv/x /srv/y/ **/z",
	"set X = /a\nset Y=/b\nset Z= /c\nset W =/d\nset V = \"a b\"\nset U=\"a b\"\nallow read "
	"$X/x",
	"set X = /a\nset Y = $X/b\nallow read $Y",
	"expect deny read /srv/data/../x\nexpect deny connect example.com:443",
	"deny connect internet:*\ndeny bind 127.0.0.1:80-90",
};

static void takes_every_production_of_the_grammar(void **state)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		policy_free(text_good(good[i], NULL));
}

static void tells_all_errors_of_a_file_at_once_in_order(void **state)
{
	static const struct text_file files[] = {
		{"/etc/other.policy", "bad1\nallow read /ok/\nbad2\n"}, {NULL}};
	const char *text = "alow read /a\n"
			   "allow read /ok/\n"
			   "allow raed,wriet b /c **/x zz\n"
			   "include other.policy\n"
			   "memory 1X\n";
	static const struct {
		const char *file;
		unsigned line, column;
	} want[] = {{"t.policy", 1, 1}, {"t.policy", 3, 7}, {"t.policy", 3, 12}, {"t.policy", 5, 8},
		{"/etc/other.policy", 1, 1}, {"/etc/other.policy", 3, 1}};
	int r;
	struct policy *p = text_policy(text, files, &r);

	assert_int_equal(r, -EINVAL);
	assert_int_equal(policy_diag_count(p), sizeof(want) / sizeof(*want));
	assert_int_equal(policy_error_count(p), sizeof(want) / sizeof(*want));
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_string_equal(policy_diag(p, i)->file, want[i].file);
		assert_int_equal(policy_diag(p, i)->line, want[i].line);
		assert_int_equal(policy_diag(p, i)->column, want[i].column);
		assert_non_null(policy_diag(p, i)->source);
	}
	assert_string_equal(policy_diag(p, 0)->source, "alow read /a");
	policy_free(p);
}

static void a_policy_with_errors_grants_nothing(void **state)
{
	struct policy_answer a;
	int r;
	struct policy *p = text_policy("allow read /srv/\nalow", NULL, &r);

	assert_int_equal(r, -EINVAL);
	assert_int_equal(text_check(p, "read", "/srv/x", &a), VERDICT_DENY);
	assert_false(policy_names(p, "/srv/x", 6));
	policy_free(p);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static const char *const sockets[] = {
	"example.com:443",
	"*.debian.org:443",
	"tcp example.com:443",
	"udp 192.0.2.1:53",
	"127.0.0.1:8080",
	"192.0.2.0/24:80-90",
	"[2001:db8::1]:443",
	"[2001:db8::]/32:*",
	"internet:443",
	"localhost:*",
	"/run/postgresql/.s.PGSQL.5432",
	"./sock",
	"~/.agent",
	"@abstract",
	"a.b:1 c.d:2 /x @y udp e.f:3",
	"a.b:1 timeout 5s",
};

static void sockets_are_read_after_each_verdict(void **state)
{
	static const char *const verdicts[] = {"allow", "ask", "deny"};
	size_t n = sizeof(sockets) / sizeof(*sockets);
	char text[256];

	for (size_t i = 0; i < n; i++)
		for (size_t v = 0; v < 3; v++) {
			/* "timeout" has no meaning on a deny. */
			if (v == 2 && i == n - 1)
				continue;
			snprintf(text, sizeof(text), "%s connect %s", verdicts[v], sockets[i]);
			policy_free(text_good(text, NULL));
		}
	policy_free(text_good("allow bind 127.0.0.1:8080", NULL));
	policy_free(text_good("deny connect internet:* except example.com:443", NULL));
}

static const struct mistake bad_sockets[] = {
	{"deny connect", FILE1 "13: a socket is missing after \"connect\""},
	{"deny connect tcp", FILE1 "17: a socket is missing after \"tcp\""},
	{"deny connect example.com", FILE1 "14: \"example.com\" is no socket"},
	{"deny connect example.com:", FILE1 "14: \"example.com:\": after the last \":\""},
	{"deny connect example.com:65536", FILE1 "14: \"example.com:65536\": after the last \":\""},
	{"deny connect example.com:9-8", FILE1 "14: \"example.com:9-8\": the range of ports"},
	{"deny connect example.com:http", FILE1 "14: \"example.com:http\": after the last \":\""},
	{"deny connect ::1:80", FILE1 "14: \"::1:80\": write an IPv6 address in brackets"},
	{"deny connect [::1]", FILE1 "14: \"[::1]\": a port is missing, as in [::1]:80"},
	{"deny connect http://example.com:80",
		FILE1 "14: \"http://example.com:80\": a rule is about sockets, not URLs"},
	{"deny connect https://example.com",
		FILE1 "14: \"https://example.com\": a rule is about sockets, not URLs"},
	{"deny connect,bind 127.0.0.1:80", FILE1 "6: \"connect\" stands alone"},
	{"deny read,connect 127.0.0.1:80", FILE1 "11: \"connect\" stands alone"},
	{"deny listen 127.0.0.1:80", FILE1 "6: unknown right \"listen\"; did you mean \"bind\"?"},
	{"deny connect [::g]:80", FILE1 "14: \"[::g]:80\" holds no IPv6 address"},
	{"deny connect 1.2.3.4/33:80",
		FILE1 "14: \"1.2.3.4/33:80\": after \"/\" stands a number of"},
	{"deny connect 1.2.3:80", FILE1 "14: \"1.2.3\" is neither a host's name nor an address"},
	{"deny connect a..b:80", FILE1 "14: \"a..b\" is neither a host's name nor an address"},
	{"deny connect a*.b:80", FILE1 "14: \"a*.b\" is neither a host's name nor an address"},
	{"deny connect @", FILE1 "14: \"@\": an abstract name has 1 to 107 bytes"},
	{"deny connect tcp /run/x", FILE1 "18: \"/run/x\": a Unix socket is neither tcp nor udp"},
	{"deny connect /run/x/", FILE1 "14: \"/run/x/\": a socket is no directory"},
	{"deny bind *.a.b:80", FILE1 "11: \"*.a.b:80\": bind takes an address of this host"},
	{"set H = *.a\ndeny connect $H:80", "t.policy:2:14: \"*.a\" is neither a host's name"},
	{"expect deny connect a.b:1 c.d:2", FILE1 "27: \"expect\" takes one socket"},
};

static void says_what_is_wrong_with_a_socket(void **state)
{
	for (size_t i = 0; i < sizeof(bad_sockets) / sizeof(*bad_sockets); i++)
		check_mistake(&bad_sockets[i], NULL);
}

/* ---- include, use, set ----------------------------------------------------------------------- */

static const struct text_file files[] = {
	{"/etc/a.policy", "allow read /a/\ninclude sub/b.policy\n"},
	{"/etc/sub/b.policy", "allow read /b/\ninclude ../c.policy\n"},
	{"/etc/c.policy", "allow read /c/\ndeny read /c/x\nexpect deny read /c/x\n \t"},
	{"/etc/loop.policy", "include loop2.policy\n"},
	{"/etc/loop2.policy", "include loop.policy\n"},
	{"/etc/t.policy", "allow read /t/\n"},
	{"/etc/root.policy", "root host\n"},
	{"/etc/user.policy", "user root\n"},
	{"/etc/accept.policy", "accept missing scope\n"},
	{"/etc/runtime.policy", "runtime /opt\n"},
	{"/etc/ledger.policy", "ledger /var/log/l\n"},
	{"/etc/memory.policy", "memory 1G\n"},
	{"/etc/deny.policy", "deny read /srv/\n"},
	{"agent", "deny any ~/.ssh/\n"},
	{NULL},
};

static void included_files_are_found_beside_the_one_that_includes(void **state)
{
	struct policy *p = text_good("include a.policy", files);
	struct policy_answer a;

	assert_int_equal(text_check(p, "read", "/a/1", &a), VERDICT_ALLOW);
	assert_string_equal(a.rule, "/etc/a.policy:1");
	assert_int_equal(text_check(p, "read", "/b/1", &a), VERDICT_ALLOW);
	assert_string_equal(a.rule, "/etc/sub/b.policy:1");
	assert_int_equal(text_check(p, "read", "/c/1", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/c/x", &a), VERDICT_DENY);
	assert_string_equal(a.rule, "/etc/c.policy:2");
	assert_int_equal(policy_expect(p), 0);
	policy_free(p);
}

static void a_cycle_of_includes_is_an_error_that_names_it(void **state)
{
	check_mistake(&(struct mistake){"include loop.policy",
			      "/etc/loop2.policy:1:9: /etc/loop.policy includes itself"},
		files);
	check_mistake(&(struct mistake){"include t.policy",
			      "t.policy:1:9: /etc/t.policy includes itself"},
		files);
}

static void a_file_included_twice_is_read_once(void **state)
{
	struct policy *p =
		text_good("include c.policy\ninclude c.policy\ninclude ./c.policy", files);

	assert_int_equal(policy_rule_count(p), 2);
	policy_free(p);
}

static void includes_are_at_most_16_deep(void **state)
{
	struct text_file chain[19] = {{NULL}};
	char names[18][32], texts[18][32];

	for (int i = 0; i < 18; i++) {
		snprintf(names[i], sizeof(names[i]), "/etc/%d.policy", i);
		snprintf(texts[i], sizeof(texts[i]), "include %d.policy", i + 1);
		chain[i] = (struct text_file){names[i], i == 15 ? "" : texts[i]};
	}
	policy_free(text_good("include 0.policy", chain));
	chain[15].text = texts[15];
	chain[16].text = "";
	check_mistake(&(struct mistake){"include 0.policy",
			      "/etc/15.policy:1:9: /etc/16.policy would be included 17 deep"},
		chain);
}

/* Names that differ, as links to directories make them, all of one file. */
static int load_any(void *ctx, bool preset, const char *name, char **ret_text, size_t *ret_size,
	char **ret_path)
{
	*ret_text = strdup("include a/x\ninclude b/x\n");
	*ret_path = strdup(name);
	*ret_size = strlen(*ret_text);
	return 0;
}

static void at_most_256_files_make_a_policy(void **state)
{
	struct policy_env env = {.load = load_any};
	struct policy *p = policy_new(&env);
	char buf[1] = {'n'};

	assert_int_equal(policy_add_text(p, "t.policy", "/", "include x", 9), -EINVAL);
	for (size_t i = 0; i < policy_diag_count(p); i++)
		if (strstr(policy_diag(p, i)->text, "would be file number 257"))
			buf[0] = 'y';
	assert_int_equal(buf[0], 'y');
	policy_free(p);
}

static void an_included_file_may_not_set_root_user_accept_runtime_ledger(void **state)
{
	static const struct mistake refused[] = {
		{"include root.policy",
			"/etc/root.policy:1:1: an included file may not set \"root\""},
		{"include user.policy",
			"/etc/user.policy:1:1: an included file may not set \"user\""},
		{"include accept.policy", "/etc/accept.policy:1:1: an included file may not set"},
		{"include runtime.policy", "/etc/runtime.policy:1:1: an included file may not set"},
		{"include ledger.policy", "/etc/ledger.policy:1:1: an included file may not set"},
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		check_mistake(&refused[i], files);
	policy_free(text_good("include memory.policy", files));
}

static void an_included_deny_is_not_weakened_by_the_including_file(void **state)
{
	struct policy *p =
		text_good("allow read /srv/\ninclude deny.policy\nallow read /srv/", files);
	struct policy_answer a;

	assert_int_equal(text_check(p, "read", "/srv/x", &a), VERDICT_DENY);
	assert_string_equal(a.rule, "/etc/deny.policy:1");
	policy_free(p);
}

static void use_takes_a_preset_by_name(void **state)
{
	struct policy *p = text_good("use agent\nallow read /home/u/.ssh/x", files);
	struct policy_answer a;

	assert_int_equal(text_check(p, "read", "/home/u/.ssh/x", &a), VERDICT_DENY);
	assert_string_equal(a.rule, "/presets/agent.policy:1");
	policy_free(p);
}

static void set_on_the_command_line_wins_over_the_text(void **state)
{
	struct policy *p = text_new(NULL);
	struct policy_answer a;
	const char *text = "set DIR = /mine\nallow read $DIR/";

	assert_int_equal(policy_set(p, "DIR", "/given"), 0);
	assert_int_equal(policy_set(p, "1", "/given"), -EINVAL);
	assert_int_equal(policy_add_text(p, "t.policy", NULL, text, strlen(text)), 0);
	assert_int_equal(policy_finish(p), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "read", "/given/x", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/mine/x", &a), VERDICT_DENY);
	policy_free(p);
}

static void a_set_that_no_line_knows_is_warned_of(void **state)
{
	struct policy *p = text_new(NULL);
	const char *text = "set DEFAULT = /mine\nallow read $DIR/";

	assert_int_equal(policy_set(p, "DIR", "/given"), 0);
	assert_int_equal(policy_set(p, "DEFAULT", "/given"), 0);
	assert_int_equal(policy_set(p, "DRI", "/given"), 0);
	assert_int_equal(policy_add_text(p, "t.policy", NULL, text, strlen(text)), 0);
	assert_int_equal(policy_finish(p), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(policy_diag_count(p), 1);
	assert_true(policy_diag(p, 0)->warning);
	assert_string_equal(policy_diag(p, 0)->file, "--set");
	assert_string_equal(policy_diag(p, 0)->text, "no line of the policy has $DRI in it");
	policy_free(p);
}

static void a_variables_value_is_never_a_pattern(void **state)
{
	struct policy *p = text_good("set N = *\nset M = \"[a]?\"\nset D = **\n"
				     "allow read /srv/$N /srv/$M /srv/$D/x /srv/dir/$N/",
		NULL);
	struct policy_answer a;

	assert_int_equal(text_check(p, "read", "/srv/*", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/srv/y", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "read", "/srv/[a]?", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/srv/ab", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "read", "/srv/**/x", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/srv/q/x", &a), VERDICT_DENY);
	assert_int_equal(text_check(p, "read", "/srv/dir/*/z", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/srv/dir/q/z", &a), VERDICT_DENY);
	policy_free(p);
	check_mistake(&(struct mistake){"set D = **\ndeny read $D/x", "t.policy:2:11: \"**/x\": a "
								      "target begins with"},
		NULL);
}

static void home_and_start_stand_for_their_directories(void **state)
{
	struct policy *p = text_good("allow read ~/a/ ./b/ ~/c", NULL);
	struct policy_answer a;

	assert_int_equal(text_check(p, "read", "/home/u/a/x", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/start/b/x", &a), VERDICT_ALLOW);
	assert_int_equal(text_check(p, "read", "/home/u/c", &a), VERDICT_ALLOW);
	policy_free(p);
}

static void a_service_has_no_start_directory(void **state)
{
	struct policy_env env = {.home = NULL};
	struct policy *p = policy_new(&env);
	char buf[256];

	assert_int_equal(policy_add_text(p, "t.policy", NULL, "allow read ./x", 14), -EINVAL);
	assert_non_null(strstr(text_error(p, false, buf, sizeof(buf)), "there is none here"));
	policy_free(p);
	p = policy_new(&env);
	assert_int_equal(policy_add_text(p, "t.policy", NULL, "allow read ~/x", 14), -EINVAL);
	policy_free(p);
}

static void a_line_of_the_command_line_carries_its_own_name(void **state)
{
	struct policy *p = text_new(NULL);
	struct policy_answer a;

	assert_int_equal(policy_add_text(p, "-e 1", "/", "allow read /srv/", 16), 0);
	assert_int_equal(policy_finish(p), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(text_check(p, "read", "/srv/x", &a), VERDICT_ALLOW);
	assert_string_equal(a.rule, "-e 1");
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_is_wrong_and_where),
		cmocka_unit_test(takes_every_production_of_the_grammar),
		cmocka_unit_test(tells_all_errors_of_a_file_at_once_in_order),
		cmocka_unit_test(a_policy_with_errors_grants_nothing),
		cmocka_unit_test(sockets_are_read_after_each_verdict),
		cmocka_unit_test(says_what_is_wrong_with_a_socket),
		cmocka_unit_test(included_files_are_found_beside_the_one_that_includes),
		cmocka_unit_test(a_cycle_of_includes_is_an_error_that_names_it),
		cmocka_unit_test(a_file_included_twice_is_read_once),
		cmocka_unit_test(includes_are_at_most_16_deep),
		cmocka_unit_test(at_most_256_files_make_a_policy),
		cmocka_unit_test(an_included_file_may_not_set_root_user_accept_runtime_ledger),
		cmocka_unit_test(an_included_deny_is_not_weakened_by_the_including_file),
		cmocka_unit_test(use_takes_a_preset_by_name),
		cmocka_unit_test(set_on_the_command_line_wins_over_the_text),
		cmocka_unit_test(a_set_that_no_line_knows_is_warned_of),
		cmocka_unit_test(a_variables_value_is_never_a_pattern),
		cmocka_unit_test(home_and_start_stand_for_their_directories),
		cmocka_unit_test(a_service_has_no_start_directory),
		cmocka_unit_test(a_line_of_the_command_line_carries_its_own_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
