/* SPDX-License-Identifier: MIT */
/*
 * dial.c - messages between a broker and its dialer: what one side writes the other reads, and
 * nothing else is read.
 */
#include "common/codec.h"
#include "common/dial.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

static const struct row {
	enum dial_op op;
	unsigned fields;
	uint8_t least, most;
} rows[] = {
#define X(op, OP, fds, fields, least, most) {DIAL_##OP, (fields), (least), (most)},
	DIAL_TABLE(X)
#undef X
};

/* A message of the row with something in every field that it has. */
static struct dial_message full(const struct row *row, unsigned n)
{
	struct dial_message m = {.id = 0x01020304, .op = row->op, .n_addresses = (uint8_t)n};

	if (row->fields & DIAL_F_CELL)
		memcpy(m.cell, (uint8_t[]){2, 2, 32, 16}, sizeof(m.cell));
	m.timeout_ms = row->fields & DIAL_F_TIMEOUT ? 0xfffffffe : 0;
	m.wait = row->fields & DIAL_F_WAIT;
	m.result = row->fields & DIAL_F_RESULT ? -ECONNREFUSED : 0;
	m.ttl = row->fields & DIAL_F_TTL ? 3600 : 0;
	m.of = row->fields & DIAL_F_OF ? 77 : 0;
	m.type = row->fields & DIAL_F_TYPE ? 0x1234 : 0;
	m.families = row->fields & DIAL_F_FAMILIES ? 3 : 0;
	m.which = row->fields & DIAL_F_WHICH ? DIAL_ADDRESSES_MAX - 1 : 0;
	if (row->fields & (DIAL_F_NAME | DIAL_F_BYTES)) {
		strcpy(m.name, row->fields & DIAL_F_NAME ? "_a-1.example" : "\x01 any\xff.");
		m.name_size = (uint8_t)strlen(m.name);
	}
	for (unsigned i = 0; i < n; i++) {
		memset(m.addresses[i].bytes, (int)i + 1, 16);
		m.addresses[i].port = (uint16_t)(0xff00 + i);
	}
	m.n_options = row->fields & DIAL_F_OPTIONS ? DIAL_OPTIONS_MAX : 0;
	for (unsigned i = 0; i < m.n_options; i++) {
		m.options[i].level = (uint16_t)(i * 3);
		m.options[i].option = (uint16_t)(i * 5);
		m.options[i].size = (uint8_t)(i % DIAL_VALUE_MAX + 1);
		memset(m.options[i].value, (int)i + 1, m.options[i].size);
	}
	return m;
}

static void every_row_comes_back_as_it_went(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (unsigned n = rows[i].least; n <= rows[i].most; n++) {
			struct dial_message m = full(&rows[i], n), back;
			uint8_t buf[DIAL_SIZE_MAX];
			long size = dial_encode(&m, buf, sizeof(buf));

			assert_true(size > 0);
			memset(&back, 0xff, sizeof(back));
			assert_int_equal(dial_decode(buf, (size_t)size, &back), 0);
			assert_memory_equal(&back, &m, sizeof(m));
		}
	}
}

static void no_cut_and_no_addition_is_a_message(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct dial_message m = full(&rows[i], rows[i].most), back;
		uint8_t buf[DIAL_SIZE_MAX + 1] = {0};
		size_t size = (size_t)dial_encode(&m, buf, sizeof(buf));

		for (size_t cut = 0; cut <= size + 1; cut++) {
			struct dial_message before;

			/* As the datagram has it, and as it says itself. */
			memset(&before, 0x5a, sizeof(before));
			if (cut != size)
				assert_int_equal(dial_decode(buf, cut, &before), -EBADMSG);
			if (cut < 4 || cut == size)
				continue;
			buf[0] = (uint8_t)cut;
			buf[1] = (uint8_t)(cut >> 8);
			assert_int_equal(dial_decode(buf, cut, &back), -EBADMSG);
			buf[0] = (uint8_t)size;
			buf[1] = (uint8_t)(size >> 8);
		}
	}
}

/* What is decoded encodes to the same bytes: there is one spelling of each message. */
static void changed_bytes_are_refused_or_mean_what_they_say(void **state)
{
	uint32_t seed = 1;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct dial_message m = full(&rows[i], rows[i].most), back;
		uint8_t good[DIAL_SIZE_MAX], buf[DIAL_SIZE_MAX], again[DIAL_SIZE_MAX];
		size_t size = (size_t)dial_encode(&m, good, sizeof(good));

		for (int k = 0; k < 20000; k++) {
			memcpy(buf, good, size);
			for (int j = 0; j <= k % 4; j++) {
				seed = seed * 1664525u + 1013904223u;
				buf[(seed >> 8) % size] = (uint8_t)(seed >> 24);
			}
			if (dial_decode(buf, size, &back) < 0)
				continue;
			assert_int_equal(dial_encode(&back, again, sizeof(again)), (long)size);
			assert_memory_equal(again, buf, size);
		}
	}
}

static void refuses(const struct dial_message *m)
{
	uint8_t buf[DIAL_SIZE_MAX];

	assert_int_equal(dial_encode(m, buf, sizeof(buf)), -EMSGSIZE);
}

static void what_is_out_of_range_is_not_sent(void **state)
{
	struct dial_message m = {.op = DIAL_DONE, .result = 1};

	refuses(&m);
	m.result = -4096;
	refuses(&m);
	m = (struct dial_message){.op = DIAL_DONE, .which = DIAL_ADDRESSES_MAX};
	refuses(&m);
	m = (struct dial_message){.op = DIAL_TCP};
	refuses(&m);
	m.n_addresses = 2;
	refuses(&m);
	m.n_addresses = 1;
	assert_true(dial_encode(&m, (uint8_t[DIAL_SIZE_MAX]){0}, DIAL_SIZE_MAX) > 0);
	m.n_options = 1;
	refuses(&m);
	m.options[0].size = DIAL_VALUE_MAX + 1;
	refuses(&m);
	m = (struct dial_message){.op = DIAL_RELAY, .n_addresses = 1};
	refuses(&m);
	m = (struct dial_message){.op = DIAL_RESOLVE, .families = 4, .name = "a", .name_size = 1};
	refuses(&m);
	m.families = 0;
	refuses(&m);
	m = (struct dial_message){.op = DIAL_START, .cell = {60, 5}};
	refuses(&m);
	m = (struct dial_message){.op = DIAL__COUNT};
	refuses(&m);
	assert_int_equal(dial_fds(DIAL__COUNT), 0);
	assert_int_equal(dial_fds(DIAL_PATH), 2);
}

static void names_are_lower_case_labels(void **state)
{
	static const char *const good[] = {"a", "a.b", "xn--bcher-kva.example", "_srv.a", "1.2"};
	static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "A", "a b", "a/b", "a\xc3"};
	char label[80], name[300];

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(dial_name_is_sound(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(dial_name_is_sound(bad[i], strlen(bad[i])));
	assert_false(dial_name_is_sound("a\0b", 3));
	memset(label, 'a', sizeof(label));
	assert_true(dial_name_is_sound(label, 63));
	assert_false(dial_name_is_sound(label, 64));
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	assert_true(dial_name_is_sound(name, 253));
	assert_false(dial_name_is_sound(name, 255));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_comes_back_as_it_went),
		cmocka_unit_test(no_cut_and_no_addition_is_a_message),
		cmocka_unit_test(changed_bytes_are_refused_or_mean_what_they_say),
		cmocka_unit_test(what_is_out_of_range_is_not_sent),
		cmocka_unit_test(names_are_lower_case_labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
