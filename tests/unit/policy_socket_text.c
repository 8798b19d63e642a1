/* SPDX-License-Identifier: MIT */
/*
 * policy_socket_text.c - what the policy says of sockets, as text: what it prints and warns of,
 * what is wrong with a rule.
 */
#include "tests/unit/policy_lib.h"

static void what_is_printed_parses_to_itself(void **state)
{
	static const char *const texts[] = {
		"allow connect API.example.com:443 *.x.org:1-2 internet:* udp 10.0.0.1:53\n",
		"allow connect 10.1.2.3/8:80 [::1]:1 [2001:db8::1]/32:* [::ffff:1.2.3.4]:5\n",
		"allow connect @a \"@b c\" \"@\\*\" /run/x\nallow connect /run/y type dgram\n",
		"deny connect /run/** /a/*/b/** **/docker.sock **\n",
		"deny connect internet:* /run/** except x.org:443 /run/y udp z.org:1\n",
		"ask connect x.org:1 timeout 5s\n",
		"allow bind 127.0.0.1:80 [::]:0-65535 /run/x mode 0600 as broker\n",
		"allow connect /run/x as broker optional\n",
		"expect allow connect 10.0.0.1:5\nexpect deny bind /a/../b\n"
		"expect ask connect udp x.org:1\nexpect deny connect @q\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct policy *p = text_good(texts[i], NULL), *again;
		size_t size, size_again;
		const char *text = policy_text(p, &size), *second;

		again = text_good(text, NULL);
		second = policy_text(again, &size_again);
		for (const char *a = text, *b = second; *a || *b; a++, b++) {
			if (*a == '\t' && *b == '\t') {
				a = strchr(a, '\n');
				b = strchr(b, '\n');
			}
			if (*a != *b)
				fail_msg("%s\n%s\n%s", texts[i], text, second);
		}
		policy_free(again);
		policy_free(p);
	}
}

static void says_what_a_policy_uses(void **state)
{
	static const struct {
		const char *text;
		unsigned use;
	} rows[] = {
		{"allow read /srv/", 0},
		{"deny connect x.org:80", 0},
		{"ask connect x.org:80", 0},
		{"allow connect x.org:80", USE_TCP | USE_NAMES},
		{"allow connect internet:80", USE_TCP | USE_NAMES},
		{"allow connect 10.0.0.1:80", USE_TCP},
		{"allow connect udp 10.0.0.1:80", USE_UDP},
		{"allow bind 10.0.0.1:80", USE_BIND},
		{"allow bind udp 10.0.0.1:80", USE_BIND_UDP},
		{"allow bind @x", USE_BIND},
		{"allow connect /run/x", USE_PATH},
		{"allow connect /run/x type dgram", USE_PATH | USE_DATAGRAM},
		{"allow connect @x", USE_ABSTRACT},
		{"allow bind /run/x", USE_BIND_PATH},
	};
	uint16_t ports[POLICY_UDP_PORTS_MAX];
	struct policy *p;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		p = text_good(rows[i].text, NULL);
		if (policy_socket_use(p) != rows[i].use)
			fail_msg("%s: %x", rows[i].text, policy_socket_use(p));
		policy_free(p);
	}
	p = text_good("allow connect udp x.org:53 udp y.org:50-54 udp z.org:123\n"
		      "deny connect udp x.org:*\nallow connect x.org:1",
		NULL);
	assert_int_equal(policy_udp_ports(p, ports), 6);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(ports[i], 50 + i);
	assert_int_equal(ports[5], 123);
	policy_free(p);
}

static void the_line_to_add_names_the_socket(void **state)
{
	static const uint8_t v4[16] = {[10] = 0xff, [11] = 0xff, 93, 184, 215, 14};
	static const uint8_t loopback[16] = {[15] = 1};
	static const uint8_t group[16] = {[10] = 0xff, [11] = 0xff, 224, 0, 0, 251};
	static const struct {
		struct policy_socket s;
		const char *want; /* NULL: no rule could */
	} rows[] = {
		{{.address = v4, .port = 443}, "allow connect 93.184.215.14:443"},
		{{.address = v4, .port = 443, .name = "x.org", .name_size = 5},
			"allow connect x.org:443"},
		{{.address = loopback,
			 .port = 53,
			 .name = "x.org",
			 .name_size = 5,
			 .protocol = PROTOCOL_UDP},
			"allow connect udp [::1]:53"},
		{{.port = 443, .name = "x.org", .name_size = 5}, "allow connect x.org:443"},
		{{.bind = true, .address = v4, .port = 80}, "allow bind 93.184.215.14:80"},
		{{.bind = true, .address = v4, .port = 80, .protocol = PROTOCOL_UDP},
			"allow bind udp 93.184.215.14:80"},
		{{.bind = true, .address = group, .port = 80, .protocol = PROTOCOL_UDP}, NULL},
		{{.bind = true, .protocol = PROTOCOL_ABSTRACT, .name = "a b", .name_size = 3},
			"allow bind \"@a b\""},
		{{.bind = true, .protocol = PROTOCOL_ABSTRACT, .name = "", .name_size = 0}, NULL},
		{{.protocol = PROTOCOL_ABSTRACT, .name = "a b", .name_size = 3},
			"allow connect \"@a b\""},
		{{.protocol = PROTOCOL_ABSTRACT, .name = "a\0b", .name_size = 3}, NULL},
		{{.port = 443}, NULL},
	};
	char buf[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int n = policy_suggest_socket(&rows[i].s, buf, sizeof(buf));

		if (!rows[i].want) {
			assert_int_equal(n, -EINVAL);
			continue;
		}
		assert_string_equal(buf, rows[i].want);
		assert_int_equal(n, strlen(buf));
		policy_free(text_good(buf, NULL));
	}
	assert_int_equal(policy_suggest_socket(&rows[0].s, buf, 5), -ENAMETOOLONG);
}

static const struct mistake mistakes[] = {
	{"allow bind udp 224.0.0.251:5353", "t.policy:1:16: \"224.0.0.251:5353\": multicast and"},
	{"allow bind udp 255.255.255.255:68", "t.policy:1:16: \"255.255.255.255:68\": multicast"},
	{"allow bind udp [ff02::fb]:5353", "t.policy:1:16: \"[ff02::fb]:5353\": multicast and"},
	{"allow bind udp x.org:53", "t.policy:1:16: \"x.org:53\": bind takes an address of this"},
	{"allow bind udp 127.0.0.1:53 type dgram", "t.policy:1:7: \"type dgram\" has a meaning"},
	{"allow bind @x type dgram", "t.policy:1:7: \"type dgram\" has a meaning"},
	{"allow bind @x mode 0600", "t.policy:1:7: \"mode\" has a meaning"},
	{"allow bind @x*", "t.policy:1:12: \"@x*\": an abstract name has no wildcards"},
	{"allow bind udp @x", "t.policy:1:16: \"@x\": a Unix socket is neither tcp nor udp"},
	{"allow bind x.org:80", "t.policy:1:12: \"x.org:80\": bind takes an address of this host"},
	{"allow bind internet:80", "t.policy:1:12: \"internet:80\": bind takes an address"},
	{"allow connect udp x.org:*", "t.policy:1:19: \"x.org:*\": a cell has at most 32 UDP"},
	{"allow connect udp x.org:1-33", "t.policy:1:19: \"x.org:1-33\": a cell has at most 32"},
	{"allow connect udp x.org:1-20 udp x.org:21-40",
		"t.policy:1:34: with this there are more than 32 UDP ports"},
	{"allow connect x.org:1 as client", "t.policy:1:26: \"as client\" is not supported"},
	{"allow connect x.org:1 as broker", "t.policy:1:7: \"as broker\" says whose files"},
	{"allow connect /run/x mode 0600", "t.policy:1:7: \"mode\" has a meaning"},
	{"allow connect x.org:1 type dgram", "t.policy:1:7: \"type dgram\" has a meaning"},
	{"allow connect @x type dgram", "t.policy:1:7: \"type dgram\" has a meaning"},
	{"allow connect @x /run/x type dgram", "t.policy:1:7: \"type dgram\" is of sockets"},
	{"allow bind /run/x type dgram", "t.policy:1:7: \"type dgram\" has a meaning"},
	{"allow connect /run/x type dgram as broker", "t.policy:1:7: \"as broker\" does not go"},
	{"allow connect /run/x type fifo", "t.policy:1:27: \"type fifo\" is of files"},
	{"allow read /run/x type dgram", "t.policy:1:24: \"type dgram\" is of sockets"},
	{"allow bind 10.0.0.1:1 timeout 5s", "t.policy:1:7: \"timeout\" has a meaning"},
	{"deny connect x.org:1 timeout 5s", "t.policy:1:22: \"timeout\" has no meaning on a deny"},
	{"allow connect x.org:1 optinal",
		"t.policy:1:23: unknown option \"optinal\"; did you mean \"optional\"?"},
	{"allow connect x.org:1 optional y.org:2",
		"t.policy:1:32: \"y.org:2\": sockets stand before the options"},
	{"allow connect **/x.sock", "t.policy:1:15: \"**/x.sock\": an allow begins with"},
	{"allow connect /**", "t.policy:1:15: every socket of the host would be given"},
	{"allow connect @x*", "t.policy:1:15: \"@x*\": an abstract name has no wildcards"},
	{"allow connect 0x7f.1:80", "t.policy:1:15: \"0x7f.1\" is neither a host's name nor"},
	{"allow connect 127.0.0.01:80", "t.policy:1:15: \"127.0.0.01\" is neither"},
	{"allow connect a.0x7F:80", "t.policy:1:15: \"a.0x7F\" is neither"},
	{"expect allow connect internet:443", "t.policy:1:22: \"expect\" takes one socket: a name"},
	{"expect allow connect x.org:1-2", "t.policy:1:22: \"expect\" takes one socket: a name"},
	{"allow rw /srv/\nallow connect /srv/x.sock",
		"t.policy:2:15: /srv/x.sock crosses a directory the worker may write"},
};

static void says_what_is_wrong_with_a_rule_on_sockets(void **state)
{
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++)
		check_mistake(&mistakes[i], NULL);
}

static void warns_of_sockets_that_give_more_than_they_seem_to(void **state)
{
	static const struct {
		const char *text, *warning; /* "": none */
	} rows[] = {
		{"allow connect /var/run/docker.sock", "t.policy:1:15: /var/run/docker.sock: who"},
		{"allow connect /run/**", "t.policy:1:15: /run/docker.sock: who can reach"},
		{"allow connect /run/**\ndeny connect /run/docker.sock /run/containerd/** "
		 "/run/crio/** /run/podman/** /run/libvirt/** /run/snapd.socket "
		 "/run/systemd/** /run/dbus/** /run/user/**",
			""},
		{"allow connect /run/user/1000/bus", "t.policy:1:15: /run/user/*/bus: who can"},
		{"allow connect /run/systemd/private", "t.policy:1:15: /run/systemd/private"},
		{"allow connect /tmp/.X11-unix/X0", "t.policy:1:15: /tmp/.X11-unix/X*"},
		{"allow connect /run/postgresql/.s.PGSQL.5432", ""},
		{"deny connect /run/docker.sock", ""},
		{"allow connect 0.0.0.0/0:443", "t.policy:1:15: this takes in the host's loopback"},
		{"allow connect [::]/0:443", "t.policy:1:15: this takes in the host's loopback"},
		{"allow connect 169.254.0.0/16:80", "t.policy:1:15: this takes in a cloud's"},
		{"allow connect 127.0.0.0/8:80 169.254.169.254:80", ""},
		{"allow connect localhost:80", "t.policy:1:15: a rule by name gives no loopback"},
		{"allow bind udp 127.0.0.1:53 udp 0.0.0.0:54\nallow connect udp 10.0.0.1:54",
			"t.policy:1:33: a rule connects to udp port 54"},
		{"allow bind udp 127.0.0.1:*\ndeny connect udp 10.0.0.1:54", ""},
		{"allow connect x.localhost:80", "t.policy:1:15: a rule by name gives no loopback"},
	};
	char buf[512];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct policy *p = text_good(rows[i].text, NULL);
		size_t n = strlen(rows[i].warning);

		text_error(p, true, buf, sizeof(buf));
		if (n == 0 ? buf[0] != '\0' : strncmp(buf, rows[i].warning, n) != 0)
			fail_msg("%s\n%s", rows[i].text, buf);
		policy_free(p);
	}
}

static void expectations_of_sockets_are_checked(void **state)
{
	static const char *const lines[] = {"expect deny connect x.org:443",
		"expect allow connect y.org:443", "expect allow connect 127.0.0.1:443",
		"expect allow connect @y", "expect allow bind 127.0.0.1:1",
		"expect deny connect /run/a/../x", "expect ask connect x.org:443"};
	struct policy *p =
		text_good("allow connect x.org:443 @x /run/x\n"
			  "ask connect z.org:1\n"
			  "expect allow connect x.org:443\nexpect deny connect y.org:443\n"
			  "expect deny connect 127.0.0.1:443\nexpect allow connect @x\n"
			  "expect allow connect /run/a/../x\n"
			  "expect ask connect z.org:1\nexpect deny bind /run/x\n",
			NULL);

	assert_int_equal(policy_expect(p), 0);
	policy_free(p);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		char text[256];

		snprintf(text, sizeof(text), "allow connect x.org:443 @x /run/x\n%s", lines[i]);
		p = text_good(text, NULL);
		if (policy_expect(p) != 1)
			fail_msg("%s", lines[i]);
		policy_free(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_parses_to_itself),
		cmocka_unit_test(says_what_a_policy_uses),
		cmocka_unit_test(the_line_to_add_names_the_socket),
		cmocka_unit_test(says_what_is_wrong_with_a_rule_on_sockets),
		cmocka_unit_test(warns_of_sockets_that_give_more_than_they_seem_to),
		cmocka_unit_test(expectations_of_sockets_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
