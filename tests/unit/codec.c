/* SPDX-License-Identifier: MIT */
/*
 * codec.c - messages to bytes and back; what is cut, stretched or bent is refused.
 */
#include "common/codec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct msg_request full_request(enum msg_op op)
{
	unsigned f = msg_rows[op].fields;
	struct msg_request q = {.path = "", .path2 = ""};

	if (f & F_FLAGS)
		q.flags = 0x01020304;
	if (f & F_MODE)
		q.mode = 0644;
	if (f & F_OFFSET)
		q.offset = 0x1122334455667788;
	if (f & F_TIMES) {
		q.atime = -5;
		q.mtime = 1l << 40;
		q.atime_ns = 7;
		q.mtime_ns = 8;
	}
	if (f & F_PATH) {
		q.path = "/a/b";
		q.path_size = 4;
	}
	if (f & F_PATH2) {
		q.path2 = "/c";
		q.path2_size = 2;
	}
	return q;
}

static void every_row_comes_back_as_it_was(void **state)
{
	uint8_t buf[256];

	for (int op = 0; op < MSG__COUNT; op++) {
		struct msg_request q = full_request((enum msg_op)op), got;
		struct enc e = enc_init(buf, sizeof(buf));
		struct msg_header h;
		struct dec d;
		size_t n;

		msg_begin(&e, (uint16_t)op, 7, 1);
		msg_put_request(&e, &q);
		assert_int_equal(msg_end(&e, &n), 0);
		assert_int_equal(
			n, MSG_HEADER_SIZE + MSG_REQUEST_SIZE + q.path_size + q.path2_size);
		d = dec_init(buf, n);
		assert_int_equal(msg_header(&d, &h), 0);
		assert_int_equal(h.op, op);
		assert_int_equal(h.id, 7);
		assert_int_equal(msg_get_request(&d, (enum msg_op)op, &got), 0);
		assert_int_equal(dec_end(&d), 0);
		assert_int_equal(got.flags, q.flags);
		assert_int_equal(got.mode, q.mode);
		assert_int_equal(got.offset, q.offset);
		assert_int_equal(got.atime, q.atime);
		assert_int_equal(got.mtime, q.mtime);
		assert_int_equal(got.mtime_ns, q.mtime_ns);
		assert_int_equal(got.path_size, q.path_size);
		assert_memory_equal(got.path, q.path, q.path_size);
		assert_memory_equal(got.path2, q.path2, q.path2_size);
	}
}

static void every_prefix_of_a_message_is_refused(void **state)
{
	uint8_t buf[256];
	struct msg_request q = full_request(MSG_RENAME), got;
	struct enc e = enc_init(buf, sizeof(buf));
	size_t n;

	msg_begin(&e, MSG_RENAME, 7, 1);
	msg_put_request(&e, &q);
	assert_int_equal(msg_end(&e, &n), 0);
	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *exact = malloc(cut + 1);
		struct dec d = dec_init(exact, cut);
		struct msg_header h;

		memcpy(exact, buf, cut);
		assert_int_equal(msg_header(&d, &h), -EBADMSG);
		d = dec_init(exact, cut);
		if (cut >= MSG_HEADER_SIZE) {
			dec_bytes(&d, MSG_HEADER_SIZE);
			assert_int_equal(msg_get_request(&d, MSG_RENAME, &got), -EBADMSG);
		}
		free(exact);
	}
}

/* A field that a row does not name must be zero; each field of each row. */
static void a_field_that_is_not_the_rows_is_a_lie(void **state)
{
	static const struct {
		unsigned field;
		size_t at;
	} fields[] = {{F_FLAGS, 0}, {F_MODE, 4}, {F_OFFSET, 8}, {F_TIMES, 16}, {F_TIMES, 24},
		{F_TIMES, 32}, {F_TIMES, 36}};
	uint8_t buf[256];

	for (int op = 0; op < MSG__COUNT; op++) {
		for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
			struct msg_request q = full_request((enum msg_op)op), got;
			struct enc e = enc_init(buf, sizeof(buf));
			struct dec d;
			bool named = msg_rows[op].fields & fields[i].field;

			msg_put_request(&e, &q);
			buf[fields[i].at] ^= 1;
			d = dec_init(buf, enc_size(&e));
			assert_int_equal(
				msg_get_request(&d, (enum msg_op)op, &got), named ? 0 : -EBADMSG);
		}
	}
}

static void an_overrun_sticks(void **state)
{
	uint8_t buf[8];
	struct enc e = enc_init(buf, sizeof(buf));
	struct dec d = dec_init(buf, sizeof(buf));
	size_t n;

	enc_u64(&e, 1);
	enc_u8(&e, 1);
	assert_int_equal(e.error, -EMSGSIZE);
	enc_bytes(&e, "", 0);
	assert_int_equal(msg_end(&e, &n), -EMSGSIZE);
	assert_int_equal(enc_size(&e), 8);
	assert_int_equal(dec_u64(&d), 1);
	assert_int_equal(dec_end(&d), 0);
	assert_int_equal(dec_u8(&d), 0);
	assert_int_equal(dec_end(&d), -EBADMSG);
	assert_null(dec_bytes(&d, SIZE_MAX));
}

static void answers_and_their_data_come_back(void **state)
{
	uint8_t buf[256], data[MSG_STAT_SIZE];
	const struct msg_stat s = {
		.dev = 1, .ino = 2, .size = 3, .mode = 0100644, .mtime = -1, .ctime_ns = 999999999};
	struct enc e = enc_init(data, sizeof(data));
	struct msg_answer a;
	struct msg_stat got;
	struct dec d;

	msg_put_stat(&e, &s);
	assert_int_equal(e.error, 0);
	assert_int_equal(enc_size(&e), MSG_STAT_SIZE);
	e = enc_init(buf, sizeof(buf));
	msg_put_answer(&e, -ENOENT, NULL, 0);
	msg_put_answer(&e, 0, data, sizeof(data));
	d = dec_init(buf, enc_size(&e));
	assert_int_equal(msg_get_answer(&d, &a), 0);
	assert_int_equal(a.result, -ENOENT);
	assert_int_equal(msg_get_answer(&d, &a), 0);
	assert_int_equal(a.data_size, MSG_STAT_SIZE);
	assert_int_equal(dec_end(&d), 0);
	d = dec_init(a.data, a.data_size);
	assert_int_equal(msg_get_stat(&d, &got), 0);
	assert_memory_equal(&got, &s, sizeof(s));
	d = dec_init(buf, enc_size(&e) - 1);
	msg_get_answer(&d, &a);
	assert_int_equal(msg_get_answer(&d, &a), -EBADMSG);
}

static void a_peer_comes_back_and_a_cut_one_is_refused(void **state)
{
	const struct msg_peer p = {
		.text = "[::1]:80", .text_size = 8, .rule = "a.policy:3", .rule_size = 10};
	const struct msg_peer none = {.text = "", .rule = ""};
	uint8_t buf[64];
	struct enc e = enc_init(buf, sizeof(buf));
	struct msg_peer got;
	struct dec d;

	msg_put_peer(&e, &p);
	assert_int_equal(enc_size(&e), 22);
	d = dec_init(buf, 22);
	assert_int_equal(msg_get_peer(&d, &got), 0);
	assert_int_equal(dec_end(&d), 0);
	assert_int_equal(got.text_size, 8);
	assert_memory_equal(got.text, p.text, 8);
	assert_int_equal(got.rule_size, 10);
	assert_memory_equal(got.rule, p.rule, 10);
	for (size_t cut = 0; cut < 22; cut++) {
		uint8_t *exact = malloc(cut + 1);

		memcpy(exact, buf, cut);
		d = dec_init(exact, cut);
		assert_int_equal(msg_get_peer(&d, &got), -EBADMSG);
		free(exact);
	}
	e = enc_init(buf, sizeof(buf));
	msg_put_peer(&e, &none);
	d = dec_init(buf, enc_size(&e));
	assert_int_equal(msg_get_peer(&d, &got), 0);
	assert_int_equal(dec_end(&d), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_comes_back_as_it_was),
		cmocka_unit_test(every_prefix_of_a_message_is_refused),
		cmocka_unit_test(a_field_that_is_not_the_rows_is_a_lie),
		cmocka_unit_test(an_overrun_sticks),
		cmocka_unit_test(answers_and_their_data_come_back),
		cmocka_unit_test(a_peer_comes_back_and_a_cut_one_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
