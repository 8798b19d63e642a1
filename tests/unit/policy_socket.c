/* SPDX-License-Identifier: MIT */
/*
 * policy_socket.c - what the policy says of sockets: spellings of addresses, names, ports, both
 * ends of a path, precedence.
 */
#include "tests/unit/policy_lib.h"

#include <arpa/inet.h>

/* "1.2.3.4:80", "[::1]:80", "name:80", "name:80=1.2.3.4" (a name found to have that address),
 * "@x"; "udp " before. */
static enum verdict ask(
	const struct policy *p, bool bind, const char *text, struct policy_answer *ret)
{
	struct policy_socket s = {.bind = bind};
	char host[300], *at;
	uint8_t address[16] = {[10] = 0xff, [11] = 0xff};
	const char *equals;

	if (strncmp(text, "udp ", 4) == 0) {
		s.protocol = PROTOCOL_UDP;
		text += 4;
	}
	if (text[0] == '@') {
		s.protocol = PROTOCOL_ABSTRACT;
		s.name = text + 1;
		s.name_size = strlen(text + 1);
		return policy_check_socket(p, &s, ret);
	}
	equals = strchr(text, '=');
	snprintf(host, sizeof(host), "%.*s", (int)(equals ? equals - text : (long)strlen(text)),
		text);
	at = strrchr(host, ':');
	assert_non_null(at);
	*at = '\0';
	s.port = (uint16_t)atoi(at + 1);
	if (host[0] == '[' && at[-1] == ']') {
		at[-1] = '\0';
		assert_int_equal(inet_pton(AF_INET6, host + 1, address), 1);
		s.address = address;
	} else if (inet_pton(AF_INET, host, address + 12) == 1) {
		s.address = address;
	} else {
		s.name = host;
		s.name_size = strlen(host);
	}
	if (equals) {
		if (strchr(equals, ':')) {
			assert_int_equal(inet_pton(AF_INET6, equals + 1, address), 1);
		} else {
			assert_int_equal(inet_pton(AF_INET, equals + 1, address + 12), 1);
		}
		s.address = address;
	}
	return policy_check_socket(p, &s, ret);
}

/* A policy, and sockets with what is said of them: "+x" allowed, "-x" denied, "?x" asked. */
struct row {
	const char *text;
	const char *said[24];
};

static void check_rows(const struct row *rows, size_t n, bool bind)
{
	static const char signs[] = {
		[VERDICT_DENY] = '-', [VERDICT_ASK] = '?', [VERDICT_ALLOW] = '+'};

	for (size_t i = 0; i < n; i++) {
		struct policy *p = text_good(rows[i].text, NULL);

		for (size_t k = 0; rows[i].said[k]; k++) {
			struct policy_answer a;
			enum verdict v = ask(p, bind, rows[i].said[k] + 1, &a);

			if (signs[v] != rows[i].said[k][0] || a.verdict != v)
				fail_msg("%s\n%s: %s", rows[i].text, rows[i].said[k],
					policy_verdict_name(v));
			if (v == VERDICT_DENY && !a.rule)
				assert_int_equal(a.missing, bind ? RIGHT_BIND : RIGHT_CONNECT);
			if (v != VERDICT_DENY)
				assert_non_null(a.rule);
		}
		policy_free(p);
	}
}

#define CHECK(rows, bind) check_rows(rows, sizeof(rows) / sizeof(*(rows)), bind)

static void an_address_is_the_same_however_it_is_spelled(void **state)
{
	static const struct row rows[] = {
		{"allow connect 127.0.0.1:80",
			{"+127.0.0.1:80", "+[::ffff:127.0.0.1]:80", "+[::ffff:7f00:1]:80",
				"-127.0.0.2:80", "-[::1]:80", "-[::127.0.0.1]:80", "-127.0.0.1:81",
				"-udp 127.0.0.1:80", "-[64:ff9b::7f00:1]:80",
				"-[2002:7f00:1::]:80"}},
		{"allow connect [::ffff:10.0.0.1]:80", {"+10.0.0.1:80", "+[::ffff:10.0.0.1]:80"}},
		{"allow connect [::1]:80", {"+[::1]:80", "+[0:0::0:1]:80", "-127.0.0.1:80"}},
		{"allow connect 10.0.0.0/8:80",
			{"+10.255.0.1:80", "-11.0.0.1:80", "+[::ffff:10.1.1.1]:80"}},
		{"allow connect 10.1.2.3/8:80", {"+10.255.0.1:80"}},
		{"allow connect [2001:db8::]/33:80",
			{"+[2001:db8:7fff::1]:80", "-[2001:db8:8000::1]:80"}},
		/* All of IPv6 is no IPv4. */
		{"allow connect [::]/0:80", {"+[2001:db8::1]:80", "+[::1]:80", "-127.0.0.1:80"}},
		{"allow connect 0.0.0.0/0:80", {"+127.0.0.1:80", "+8.8.8.8:80", "-[::1]:80"}},
		/* A denied address is denied by each way that is translated to it. */
		{"allow connect [::]/0:80 0.0.0.0/0:80\ndeny connect 192.168.0.0/16:*",
			{"-192.168.1.1:80", "-[::ffff:192.168.1.1]:80",
				"-[64:ff9b::192.168.1.1]:80", "-[2002:c0a8:101::1]:80",
				"-[2001:0:1:2:3:4:3f57:fefe]:80", "+192.169.1.1:80"}},
	};

	CHECK(rows, false);
}

static void internet_is_every_public_unicast_address_and_no_other(void **state)
{
	static const char *const nobody[] = {"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1",
		"100.100.100.200", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1",
		"198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"239.255.255.255", "240.0.0.1", "255.255.255.255", "[::]", "[::1]", "[::7f00:1]",
		"[::ffff:127.0.0.1]", "[::ffff:10.0.0.1]", "[::ffff:0:127.0.0.1]",
		"[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]",
		"[2002:7f00:1::1]", "[2002:a00:1::]", "[2001:0:1:2:3:4:80ff:fffe]", "[2001:db8::1]",
		"[2001:2::1]", "[2001:10::1]", "[3fff::1]", "[fc00::1]", "[fd00:ec2::254]",
		"[fe80::1]", "[fec0::1]", "[ff02::1]", "[100::1]", "[4000::1]"};
	static const char *const everybody[] = {"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0",
		"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "172.15.255.255",
		"172.32.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"[2606:4700::1111]", "[2a00::1]", "[3ffe::1]", "[64:ff9b::8.8.8.8]",
		"[2002:808:808::1]", "[::ffff:8.8.8.8]"};
	struct policy *p = text_good("allow connect internet:443", NULL);
	struct policy_answer a;
	char text[100];

	for (size_t i = 0; i < sizeof(nobody) / sizeof(*nobody); i++) {
		snprintf(text, sizeof(text), "%s:443", nobody[i]);
		if (ask(p, false, text, &a) != VERDICT_DENY)
			fail_msg("%s", text);
	}
	for (size_t i = 0; i < sizeof(everybody) / sizeof(*everybody); i++) {
		snprintf(text, sizeof(text), "%s:443", everybody[i]);
		if (ask(p, false, text, &a) != VERDICT_ALLOW)
			fail_msg("%s", text);
	}
	policy_free(p);
}

static void a_name_admits_what_is_its_own_networks_and_never_what_is_nobodys(void **state)
{
	static const struct row rows[] = {
		{"allow connect db.example.com:5432",
			{"+db.example.com:5432", "+db.example.com:5432=8.8.8.8",
				"+db.example.com:5432=10.0.0.5", "+db.example.com:5432=192.168.1.1",
				"+db.example.com:5432=100.64.0.1", "+db.example.com:5432=fd12::1",
				"-db.example.com:5432=127.0.0.1", "-db.example.com:5432=::1",
				"-db.example.com:5432=169.254.169.254",
				"-db.example.com:5432=100.100.100.200",
				"-db.example.com:5432=fd00:ec2::254",
				"-db.example.com:5432=0.0.0.0", "-db.example.com:5432=::",
				"-db.example.com:5432=fe80::1", "-db.example.com:5432=224.0.0.1",
				"-db.example.com:5432=64:ff9b::7f00:1",
				"-db.example.com:5432=2002:7f00:1::",
				"-db.example.com:5432=::ffff:127.0.0.1",
				"-db.example.com:5433=8.8.8.8", "-8.8.8.8:5432"}},
		/* A rule by address admits what it says, by whatever name. */
		{"allow connect db.example.com:80 127.0.0.1:80",
			{"+db.example.com:80=127.0.0.1", "-db.example.com:80=127.0.0.2"}},
		{"allow connect internet:80",
			{"+x.org:80", "+x.org:80=8.8.8.8", "-x.org:80=10.0.0.1", "-x.org:81"}},
		{"allow connect 10.0.0.0/8:80", {"-x.org:80", "+x.org:80=10.0.0.1"}},
	};

	CHECK(rows, false);
}

static void names_are_compared_without_case_and_last_dot(void **state)
{
	static const struct row rows[] = {
		{"allow connect Api.Example.COM.:443",
			{"+api.example.com:443", "+API.example.com:443", "+api.example.com.:443",
				"-example.com:443", "-x.api.example.com:443",
				"-api.example.com.evil:443", "-api.example.co:443", "-.:443"}},
		{"allow connect *.debian.org:443",
			{"+deb.debian.org:443", "+a.b.debian.org:443", "-debian.org:443",
				"-evildebian.org:443", "-.debian.org.x:443",
				"+DEB.Debian.Org.:443"}},
		{"allow connect *.org:443\ndeny connect *.debian.org:* ftp.x.org:443",
			{"-a.debian.org:443", "+debian.org:443", "-ftp.x.org:443",
				"+www.x.org:443"}},
	};

	CHECK(rows, false);
}

static void deny_beats_ask_beats_allow_in_any_order(void **state)
{
	static const struct row rows[] = {
		{"allow connect internet:*\ndeny connect internet:25\nask connect internet:26",
			{"+8.8.8.8:24", "-8.8.8.8:25", "?8.8.8.8:26", "+8.8.8.8:27"}},
		{"deny connect internet:25\nask connect internet:24-26\nallow connect internet:*",
			{"?8.8.8.8:24", "-8.8.8.8:25", "?8.8.8.8:26", "+8.8.8.8:27"}},
		/* By name it holds for what is found under that name, by address always. */
		{"allow connect internet:443\ndeny connect evil.com:443",
			{"-evil.com:443", "-evil.com:443=8.8.8.8", "+8.8.8.8:443",
				"+good.com:443=8.8.8.8"}},
		{"allow connect good.com:443\ndeny connect 8.8.8.0/24:*",
			{"+good.com:443=9.9.9.9", "-good.com:443=8.8.8.8", "-8.8.8.8:443"}},
		{"allow connect 10.0.0.0/8:*\ndeny connect 10.1.0.0/16:22-23 10.1.2.3:*",
			{"+10.0.0.1:22", "-10.1.0.1:22", "-10.1.9.9:23", "+10.1.9.9:24",
				"-10.1.2.3:24"}},
		{"allow connect x.org:443\ndeny connect udp x.org:443", {"+x.org:443"}},
		/* What some address of a name could be given is not denied by name alone. */
		{"allow connect x.org:443\ndeny connect internet:443",
			{"+x.org:443", "-x.org:443=8.8.8.8", "+x.org:443=10.0.0.1"}},
		{"deny connect internet:* except x.org:443 9.9.9.9:53\nallow connect internet:*",
			{"+x.org:443=8.8.8.8", "-x.org:444=8.8.8.8", "-y.org:443=8.8.8.8",
				"+9.9.9.9:53", "-9.9.9.9:54", "-8.8.8.8:443"}},
		{"deny connect *.x.org:* except a.x.org:80\nallow connect *.org:*",
			{"+a.x.org:80", "-b.x.org:80", "-a.x.org:81"}},
	};

	CHECK(rows, false);
}

static void ports_are_ranges_that_may_overlap(void **state)
{
	static const struct row rows[] = {
		{"allow connect 10.0.0.1:5-10 10.0.0.1:1-7 10.0.0.1:9 10.0.0.1:20-30",
			{"-10.0.0.1:0", "+10.0.0.1:1", "+10.0.0.1:8", "+10.0.0.1:10",
				"-10.0.0.1:11", "-10.0.0.1:19", "+10.0.0.1:25", "-10.0.0.1:31"}},
		{"allow connect 10.0.0.1:*", {"+10.0.0.1:0", "+10.0.0.1:65535"}},
		{"allow connect 10.0.0.1:65535", {"+10.0.0.1:65535", "-10.0.0.1:65534"}},
		{"allow connect 10.0.0.1:0-65534", {"-10.0.0.1:65535", "+10.0.0.1:65534"}},
	};

	CHECK(rows, false);
}

static void abstract_names_are_exact(void **state)
{
	static const struct row rows[] = {
		{"allow connect @abc \"@a b\" \"@x\\*\"",
			{"+@abc", "-@abcd", "-@ab", "-@ABC", "+@a b", "+@x*", "-@xy", "-@"}},
		{"allow connect @abc\ndeny connect @abc", {"-@abc"}},
	};

	CHECK(rows, false);
}

static void bind_takes_the_address_that_is_written(void **state)
{
	static const struct row rows[] = {
		{"allow bind 127.0.0.1:8080 [::1]:1-2",
			{"+127.0.0.1:8080", "-0.0.0.0:8080", "-127.0.0.2:8080", "+[::1]:2",
				"-[::]:2", "-udp 127.0.0.1:8080", "-127.0.0.1:0"}},
		{"allow bind udp 127.0.0.1:53 udp [::1]:0-9 udp 10.0.0.0/8:*",
			{"+udp 127.0.0.1:53", "-127.0.0.1:53", "-udp 0.0.0.0:53",
				"-udp 127.0.0.1:54", "+udp [::1]:0", "-udp [::1]:10",
				"+udp 10.1.2.3:65535"}},
		{"allow bind udp 0.0.0.0:53\ndeny bind udp 0.0.0.0:*", {"-udp 0.0.0.0:53"}},
		{"allow connect udp 127.0.0.1:53", {"-udp 127.0.0.1:53"}},
		{"allow bind @abc \"@a b\"", {"+@abc", "-@abcd", "-@ABC", "+@a b", "-@"}},
		{"allow bind @abc\ndeny bind @abc", {"-@abc"}},
		{"allow connect @abc", {"-@abc"}},
		{"allow bind 0.0.0.0:80", {"+0.0.0.0:80", "-127.0.0.1:80", "-[::]:80"}},
		{"allow bind [::]:80", {"+[::]:80", "-0.0.0.0:80"}},
		{"allow connect 127.0.0.1:80", {"-127.0.0.1:80"}},
		{"allow bind 0.0.0.0/0:80\ndeny bind 0.0.0.0:80", {"-0.0.0.0:80", "+10.0.0.1:80"}},
		{"deny bind @x udp 127.0.0.1:1", {"-@x", "-udp 127.0.0.1:1"}},
	};

	CHECK(rows, true);
}

static void a_name_is_looked_up_where_a_rule_by_name_needs_it(void **state)
{
	static const struct {
		const char *text, *name;
		enum verdict want;
	} rows[] = {
		{"allow connect x.org:443", "x.org", VERDICT_ALLOW},
		{"allow connect x.org:443", "X.ORG.", VERDICT_ALLOW},
		{"allow connect x.org:443", "y.x.org", VERDICT_DENY},
		{"allow connect *.x.org:443", "y.x.org", VERDICT_ALLOW},
		{"allow connect *.x.org:443", "x.org", VERDICT_DENY},
		{"allow connect udp x.org:53", "x.org", VERDICT_ALLOW},
		{"allow connect internet:443", "any.thing", VERDICT_ALLOW},
		{"allow connect internet:443", "", VERDICT_DENY},
		{"allow connect 0.0.0.0/0:*", "x.org", VERDICT_DENY},
		{"allow bind 127.0.0.1:1", "x.org", VERDICT_DENY},
		{"allow connect internet:443\ndeny connect x.org:*", "x.org", VERDICT_DENY},
		{"allow connect internet:443\ndeny connect *.org:*", "x.org", VERDICT_DENY},
		{"allow connect internet:443\ndeny connect x.org:1-65535", "x.org", VERDICT_ALLOW},
		{"allow connect internet:443\ndeny connect internet:*", "x.org", VERDICT_ALLOW},
		{"allow connect internet:443\nask connect x.org:*", "x.org", VERDICT_ASK},
		{"allow connect internet:443\nask connect x.org:80", "x.org", VERDICT_ALLOW},
		{"allow connect *.org:443\ndeny connect *.org:* except x.org:443", "x.org",
			VERDICT_ALLOW},
		{"allow connect *.org:443\ndeny connect *.org:* except x.org:443", "y.org",
			VERDICT_DENY},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct policy *p = text_good(rows[i].text, NULL);
		struct policy_answer a;

		if (policy_check_name(p, rows[i].name, strlen(rows[i].name), &a) != rows[i].want)
			fail_msg("%s\n%s", rows[i].text, rows[i].name);
		policy_free(p);
	}
}

static void an_include_adds_sockets_and_lifts_no_deny(void **state)
{
	static const struct text_file files[] = {
		{"/etc/more", "allow connect x.org:443 y.org:443\n"}, {NULL, NULL}};
	struct policy *p = text_good("deny connect x.org:443\ninclude more", files);
	struct policy_answer a;

	assert_int_equal(ask(p, false, "x.org:443", &a), VERDICT_DENY);
	assert_string_equal(a.rule, "t.policy:1");
	assert_int_equal(ask(p, false, "y.org:443", &a), VERDICT_ALLOW);
	assert_string_equal(a.rule, "/etc/more:1");
	policy_free(p);
}

static void the_answer_carries_the_rules_options(void **state)
{
	struct policy *p =
		text_good("allow connect x.org:1 timeout 5s\n"
			  "allow connect /run/y type dgram\nallow connect /run/x as broker",
			NULL);
	struct policy_answer a;

	assert_int_equal(ask(p, false, "x.org:1", &a), VERDICT_ALLOW);
	assert_int_equal(a.timeout_ms, 5000);
	assert_int_equal(a.types, 0);
	assert_int_equal(policy_check(p, "/run/y", 6, RIGHT_CONNECT, &a), VERDICT_ALLOW);
	assert_int_equal(a.types, TYPE_DATAGRAM);
	assert_int_equal(policy_check(p, "/run/x", 6, RIGHT_CONNECT, &a), VERDICT_ALLOW);
	assert_int_equal(a.as, AS_BROKER);
	policy_free(p);
}

/* ---- paths ----------------------------------------------------------------------------------- */

static enum verdict check(const struct policy *p, const char *path, unsigned rights)
{
	struct policy_answer a;

	return policy_check(p, path, strlen(path), rights, &a);
}

static void a_path_takes_connect_and_bind_and_no_right_of_files(void **state)
{
	struct policy *p = text_good("allow connect /run/a.sock /run/d/**\n"
				     "allow bind /run/b.sock\n"
				     "allow rw /srv/\ndeny any /srv/x\n"
				     "deny connect /run/d/no.sock",
		NULL);

	assert_int_equal(check(p, "/run/a.sock", RIGHT_CONNECT), VERDICT_ALLOW);
	assert_int_equal(check(p, "/run/a.sock", RIGHT_BIND), VERDICT_DENY);
	assert_int_equal(check(p, "/run/a.sock", RIGHT_READ), VERDICT_DENY);
	assert_int_equal(check(p, "/run/b.sock", RIGHT_BIND), VERDICT_ALLOW);
	assert_int_equal(check(p, "/run/b.sock", RIGHT_CONNECT), VERDICT_DENY);
	assert_int_equal(check(p, "/run/b.sock", RIGHT_CREATE), VERDICT_DENY);
	assert_int_equal(check(p, "/run/d/x/y", RIGHT_CONNECT), VERDICT_ALLOW);
	assert_int_equal(check(p, "/run/d/no.sock", RIGHT_CONNECT), VERDICT_DENY);
	assert_int_equal(check(p, "/srv/s", RIGHT_CONNECT), VERDICT_DENY);
	assert_int_equal(check(p, "/srv/s", RIGHT_BIND), VERDICT_DENY);
	/* What is only connected to is in no view; what is bound is. */
	assert_false(policy_names(p, "/run/a.sock", strlen("/run/a.sock")));
	assert_true(policy_names(p, "/run/b.sock", strlen("/run/b.sock")));
	policy_free(p);
}

static void a_path_holds_under_both_its_spellings(void **state)
{
	const char *text = "allow connect /var/run/x.sock";
	struct policy *p = text_new(NULL);

	assert_int_equal(policy_add_text(p, "t.policy", "/etc", text, strlen(text)), 0);
	assert_int_equal(policy_finish(p), 0);
	assert_int_equal(policy_tree_count(p), 1);
	assert_int_equal(policy_tree(p, 0)->rights, RIGHT_CONNECT);
	assert_int_equal(policy_tree_resolved(p, 0, "/run/x.sock"), 0);
	assert_int_equal(policy_compile(p), 0);
	assert_int_equal(check(p, "/run/x.sock", RIGHT_CONNECT), VERDICT_ALLOW);
	assert_int_equal(check(p, "/var/run/x.sock", RIGHT_CONNECT), VERDICT_ALLOW);
	assert_int_equal(check(p, "/run/y.sock", RIGHT_CONNECT), VERDICT_DENY);
	policy_free(p);
}

static void a_directory_is_moved_only_where_no_socket_is_gained(void **state)
{
	struct policy *p =
		text_good("allow rw /srv/\nallow connect /srv/**\ndeny connect **/d/**", NULL);

	assert_false(policy_may_move(p, "/srv/d", 6, "/srv/e", 6, RIGHT_READ));
	assert_true(policy_may_move(p, "/srv/f", 6, "/srv/e", 6, RIGHT_READ));
	policy_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_the_same_however_it_is_spelled),
		cmocka_unit_test(internet_is_every_public_unicast_address_and_no_other),
		cmocka_unit_test(a_name_admits_what_is_its_own_networks_and_never_what_is_nobodys),
		cmocka_unit_test(names_are_compared_without_case_and_last_dot),
		cmocka_unit_test(deny_beats_ask_beats_allow_in_any_order),
		cmocka_unit_test(ports_are_ranges_that_may_overlap),
		cmocka_unit_test(abstract_names_are_exact),
		cmocka_unit_test(bind_takes_the_address_that_is_written),
		cmocka_unit_test(a_name_is_looked_up_where_a_rule_by_name_needs_it),
		cmocka_unit_test(a_path_takes_connect_and_bind_and_no_right_of_files),
		cmocka_unit_test(a_path_holds_under_both_its_spellings),
		cmocka_unit_test(a_directory_is_moved_only_where_no_socket_is_gained),
		cmocka_unit_test(an_include_adds_sockets_and_lifts_no_deny),
		cmocka_unit_test(the_answer_carries_the_rules_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
