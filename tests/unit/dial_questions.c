/* SPDX-License-Identifier: MIT */
/*
 * dial_questions.c - what the dialer asks the broker: whether a name may be looked up, what it has
 * found, where a first datagram may go.
 */
#include "tests/unit/asking_world.h"

static const uint8_t far[16] = {0x26, 0x06, 0x28, 0x00, [15] = 1};
static uint32_t last_question;

static struct dial_message of_name(enum dial_op op, const char *name)
{
	struct dial_message m = {.id = ++last_question, .op = op};

	m.type = op == DIAL_LOOKUP ? 28 : 0; /* AAAA */
	m.name_size = (uint8_t)strlen(name);
	memcpy(m.name, name, m.name_size);
	return m;
}

/* The broker's verdict on what the dialer asks. */
static int asked(struct fixture *f, struct dial_message *m)
{
	say(f, m, NULL);
	hear(f, DIAL_VERDICT);
	assert_int_equal(f->m.id, m->id);
	return f->m.result;
}

static int lookup(struct fixture *f, const char *name)
{
	struct dial_message m = of_name(DIAL_LOOKUP, name);

	return asked(f, &m);
}

static int found(struct fixture *f, const char *name, const uint8_t address[16], uint32_t ttl)
{
	struct dial_message m = of_name(DIAL_FOUND, name);

	m.ttl = ttl;
	m.n_addresses = 1;
	memcpy(m.addresses[0].bytes, address, 16);
	return asked(f, &m);
}

static int flow(struct fixture *f, const uint8_t address[16], uint16_t port)
{
	struct dial_message m = {.id = ++last_question, .op = DIAL_FLOW, .n_addresses = 2};

	memcpy(m.addresses[0].bytes, loopback, 16);
	m.addresses[0].port = 40000;
	memcpy(m.addresses[1].bytes, address, 16);
	m.addresses[1].port = port;
	return asked(f, &m);
}

static void start(struct fixture *f, const char *rules)
{
	last_question = 0;
	begin(f, rules);
}

/* ---- lookup ---------------------------------------------------------------------------------- */

static void a_name_is_looked_up_where_a_rule_is_by_it_and_recorded(void **state)
{
	struct fixture f;

	start(&f, "allow connect h.example:443 *.b.example:*\ndeny connect no.b.example:*\n");
	assert_int_equal(lookup(&f, "h.example"), 0);
	assert_last(f.w, "event", "grant");
	assert_last(f.w, "op", "resolve");
	assert_last(f.w, "name", "h.example");
	assert_last(f.w, "rule", "test.policy:1");
	assert_int_equal(lookup(&f, "a.b.example"), 0);
	assert_int_equal(lookup(&f, "other.example"), -EACCES);
	assert_last(f.w, "event", "deny");
	assert_last(f.w, "name", "other.example");
	assert_last(f.w, "reason", "no rule allows looking up other.example");
	assert_int_equal(lookup(&f, "b.example"), -EACCES);
	assert_int_equal(lookup(&f, "no.b.example"), -EACCES);
	assert_last(f.w, "reason", "test.policy:2 denies it");
	assert_int_equal(count_events(f.w, "grant", false), 2);
	assert_int_equal(count_events(f.w, "deny", false), 3);
	assert_int_equal(f.w->s.tally.granted, 2);
	assert_int_equal(f.w->s.tally.denied, 3);
	end(&f);
}

static void a_flood_of_lookups_meets_the_limit(void **state)
{
	struct fixture f;
	int r = 0, n = 0;

	start(&f, "limit requests 5\nallow connect h.example:443\n");
	for (; r == 0 && n < 64; n++)
		r = lookup(&f, "h.example");
	assert_int_equal(r, -EBUSY);
	assert_int_equal(f.w->s.tally.granted, n - 1);
	assert_true(f.w->s.tally.limited > 0);
	end(&f);
}

/* ---- found ----------------------------------------------------------------------------------- */

static void what_was_found_is_admitted_by_the_rule_of_its_name_alone(void **state)
{
	static const uint8_t next[16] = {0x26, 0x06, 0x28, 0x00, [15] = 2};
	struct fixture f;

	start(&f, "allow connect h.example:443\nallow connect internet:80\n");
	assert_int_equal(refused(&f, MSG_CONNECT, request("[2606:2800::1]:443", 0, 0)), -EACCES);
	assert_int_equal(found(&f, "h.example", far, 300), 0);
	send_connect(&f, "[2606:2800::1]:443");
	hear(&f, DIAL_TCP);
	assert_memory_equal(f.m.addresses[0].bytes, far, 16);
	assert_int_equal(refused(&f, MSG_CONNECT, request("[2606:2800::1]:22", 0, 0)), -EACCES);
	assert_int_equal(refused(&f, MSG_CONNECT, request("[2606:2800::2]:443", 0, 0)), -EACCES);
	/* Under another name that may be looked up it is that name's. */
	assert_int_equal(found(&f, "any.example", next, 300), 0);
	assert_int_equal(refused(&f, MSG_CONNECT, request("[2606:2800::2]:443", 0, 0)), -EACCES);
	assert_last(f.w, "name", "any.example");
	end(&f);
}

static void what_was_not_to_be_asked_is_not_found(void **state)
{
	struct fixture f;

	start(&f, "allow connect h.example:443\n");
	assert_int_equal(found(&f, "other.example", far, 300), -EACCES);
	assert_last(f.w, "event", "deny");
	assert_last(f.w, "name", "other.example");
	assert_int_equal(refused(&f, MSG_CONNECT, request("[2606:2800::1]:443", 0, 0)), -EACCES);
	assert_false(hear_any(&f));
	end(&f);
}

static void an_address_that_no_name_gives_is_pinned_in_vain(void **state)
{
	struct fixture f;

	start(&f, "allow connect h.example:*\n");
	assert_int_equal(found(&f, "h.example", loopback, 300), 0);
	assert_int_equal(refused(&f, MSG_CONNECT, request(here(&f), 0, 0)), -EACCES);
	assert_last(f.w, "name", "h.example");
	assert_false(hear_any(&f));
	end(&f);
}

/* ---- flow ------------------------------------------------------------------------------------ */

static void a_first_datagram_goes_where_a_rule_says_and_is_recorded(void **state)
{
	struct fixture f;
	char peer[64];

	start(&f, "allow connect udp 127.0.0.1:PORT\nallow connect 127.0.0.1:7 udp h.example:53\n"
		  "deny connect udp 127.0.0.1:9\n");
	assert_int_equal(flow(&f, loopback, f.port), 0);
	snprintf(peer, sizeof(peer), "udp 127.0.0.1:%u", (unsigned)f.port);
	assert_last(f.w, "event", "grant");
	assert_last(f.w, "op", "send");
	assert_last(f.w, "type", "udp");
	assert_last(f.w, "peer", peer);
	assert_last(f.w, "rule", "test.policy:1");
	/* A rule for TCP is none for UDP. */
	assert_int_equal(flow(&f, loopback, 7), -EACCES);
	assert_last(f.w, "event", "deny");
	assert_last(f.w, "peer", "udp 127.0.0.1:7");
	assert_int_equal(flow(&f, loopback, 9), -EACCES);
	assert_last(f.w, "reason", "test.policy:3 denies it");
	assert_int_equal(flow(&f, far, 53), -EACCES);
	assert_int_equal(found(&f, "h.example", far, 300), 0);
	assert_int_equal(flow(&f, far, 53), 0);
	assert_last(f.w, "name", "h.example");
	assert_int_equal(flow(&f, far, 54), -EACCES);
	assert_int_equal(f.w->s.tally.granted, 2);
	end(&f);
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void what_cannot_be_written_is_not_allowed(void **state)
{
	struct fixture f;
	int full, real, looked_up, flowed;

	start(&f, "allow connect h.example:443\nallow connect udp 127.0.0.1:7\n");
	full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	real = f.w->ledger->fd;
	f.w->ledger->fd = full;
	looked_up = lookup(&f, "h.example");
	flowed = flow(&f, loopback, 7);
	f.w->ledger->fd = real;
	close(full);
	assert_int_equal(looked_up, -EIO);
	assert_int_equal(flowed, -EIO);
	assert_int_equal(f.w->s.tally.granted, 0);
	assert_int_equal(f.w->s.tally.denied, 2);
	/* The control. */
	assert_int_equal(lookup(&f, "h.example"), 0);
	end(&f);
}

static void a_dialer_that_asks_out_of_turn_is_ended(void **state)
{
	for (int how = 0; how < 5; how++) {
		struct dial_message m = of_name(DIAL_LOOKUP, "h.example");
		int before, fd = -1;
		struct fixture f;

		start(&f, "allow connect h.example:443\nallow connect 127.0.0.1:PORT\n");
		m.id = 5;
		assert_int_equal(asked(&f, &m), 0);
		before = count_fds();
		m.id = 6;
		if (how == 0) /* again */
			m.id = 5;
		else if (how == 1) /* an older one */
			m.id = 4;
		else if (how == 2) /* with a socket */
			fd = tcp_socket();
		else if (how == 3) /* what only the broker says */
			m = (struct dial_message){.id = 6, .op = DIAL_CANCEL, .of = 1};
		else
			m = (struct dial_message){.id = 6, .op = DIAL_VERDICT};
		say(&f, &m, fd >= 0 ? &fd : NULL);
		assert_int_equal(f.w->cell.dialer_fd, -1);
		/* Its channel is closed here. */
		assert_int_equal(count_fds(), before - 1);
		assert_false(hear_any(&f));
		assert_int_equal(refused(&f, MSG_CONNECT, request(here(&f), 0, 0)), -ENETDOWN);
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_looked_up_where_a_rule_is_by_it_and_recorded),
		cmocka_unit_test(a_flood_of_lookups_meets_the_limit),
		cmocka_unit_test(what_was_found_is_admitted_by_the_rule_of_its_name_alone),
		cmocka_unit_test(what_was_not_to_be_asked_is_not_found),
		cmocka_unit_test(an_address_that_no_name_gives_is_pinned_in_vain),
		cmocka_unit_test(a_first_datagram_goes_where_a_rule_says_and_is_recorded),
		cmocka_unit_test(what_cannot_be_written_is_not_allowed),
		cmocka_unit_test(a_dialer_that_asks_out_of_turn_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
