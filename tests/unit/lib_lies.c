/* SPDX-License-Identifier: MIT */
/*
 * lib_lies.c - what a worker sees through libwarder when its broker lies.
 */
#include "tests/unit/lib_world.h"

#include <sys/socket.h>

static unsigned lie; /* which one the broker tells */

static void liar(const struct heard *in, struct said *out)
{
	uint32_t id = in->h.id + (lie == 0);
	uint16_t op = in->h.op + (lie == 1), count = in->h.count + (lie == 2);
	int32_t result = lie == 3 ? 0 : lie == 4 ? -5000 : lie == 5 ? 2 : ANSWER_FD;

	msg_begin(&out->e, op, id, count);
	if (lie == 6) { /* says fd, sends none */
		msg_put_answer(&out->e, ANSWER_FD, NULL, 0);
		return;
	}
	out->fds[out->n_fds++] = open_null();
	if (lie == 7) /* sends one too many */
		out->fds[out->n_fds++] = open_null();
	if (lie == 8) /* refuses, and sends one */
		result = -EACCES;
	msg_put_answer(&out->e, result, "x", lie == 9);
	if (lie == 10)
		enc_u8(&out->e, 0);
	if (lie == 11)
		out->e.at = out->e.begin + 5;
	if (lie == 12)
		msg_put_answer(&out->e, ANSWER_FD, NULL, 0);
	if (lie == 13)
		out->e.at -= 1;
}
#define LIES 14

static void a_lying_broker_gets_eproto_and_leaves_no_descriptor(void **state)
{
	for (lie = 0; lie < LIES; lie++) {
		struct warder_open_req many[3] = {{.path = "/a"}, {.path = "/b"}, {.path = "/c"}};
		struct fixture f;

		start(&f, liar);
		assert_int_equal(warder_open(f.w, "/a", O_RDONLY, 0), -1);
		assert_int_equal(errno, EPROTO);
		/* The channel is gone, not out of step. */
		assert_int_equal(warder_open_many(f.w, many, 3), -1);
		assert_int_equal(errno, EPROTO);
		for (int i = 0; i < 3; i++)
			assert_int_equal(many[i].fd, -EPROTO);
		stop(&f);
	}
}

/* Two of three descriptors, and the third said to be there. */
static void short_by_one(const struct heard *in, struct said *out)
{
	honest(in, out);
	close(out->fds[--out->n_fds]);
}

static void a_short_batch_leaves_none_open(void **state)
{
	struct warder_open_req many[3] = {{.path = "/a"}, {.path = "/b"}, {.path = "/c"}};
	struct fixture f;

	start(&f, short_by_one);
	assert_int_equal(warder_open_many(f.w, many, 3), -1);
	assert_int_equal(errno, EPROTO);
	for (int i = 0; i < 3; i++)
		assert_int_equal(many[i].fd, -EPROTO);
	stop(&f);
}

static void lying_data(const struct heard *in, struct said *out)
{
	static const char nul_in_name[] = "\0\0\0\0\0\0\0\0"
					  "\1\0\0\0\0\0\0\0"
					  "\10\3"
					  "a\0b";
	static const char slash_in_name[] = "\0\0\0\0\0\0\0\0"
					    "\1\0\0\0\0\0\0\0"
					    "\10\3"
					    "a/b";
	static const char cut_name[] = "\0\0\0\0\0\0\0\0"
				       "\1\0\0\0\0\0\0\0"
				       "\10\7"
				       "abc";

	msg_begin(&out->e, in->h.op, in->h.id, 1);
	if (in->h.op == MSG_LIST && lie == 0)
		msg_put_answer(&out->e, 0, nul_in_name, sizeof(nul_in_name) - 1);
	else if (in->h.op == MSG_LIST && lie == 1)
		msg_put_answer(&out->e, 0, slash_in_name, sizeof(slash_in_name) - 1);
	else if (in->h.op == MSG_LIST && lie == 2)
		msg_put_answer(&out->e, 0, cut_name, sizeof(cut_name) - 1);
	else /* a list without its cookie, a stat cut short, an unlink that answers with data */
		msg_put_answer(&out->e, 0, "abcd", 4);
}

static void lying_data_is_eproto(void **state)
{
	char names[64];
	struct fixture f;
	struct stat st;

	for (lie = 0; lie < 4; lie++) {
		start(&f, lying_data);
		assert_int_equal(warder_list(f.w, "/p", collect, names), -1);
		assert_int_equal(errno, EPROTO);
		stop(&f);
	}
	start(&f, lying_data);
	assert_int_equal(warder_stat(f.w, "/p", 0, &st), -1);
	assert_int_equal(errno, EPROTO);
	stop(&f);
	start(&f, lying_data);
	assert_int_equal(warder_unlink(f.w, "/p"), -1);
	assert_int_equal(errno, EPROTO);
	stop(&f);
}

static void lying_socket(const struct heard *in, struct said *out)
{
	static const struct {
		const char *bytes;
		size_t size;
	} lies[] = {{"", 0}, {"\1\0a", 3}, {"\1\0a\2\0b", 6}, {"\1\0\0\0\0", 5}, {"\0\0\1\0\0", 5},
		{"\0\0\0\0x", 5}, {"\377\377\0\0", 4}};
	bool resolve = in->h.op == MSG_RESOLVE;

	msg_begin(&out->e, in->h.op, in->h.id, 1);
	if (!resolve)
		out->fds[out->n_fds++] = open_null();
	msg_put_answer(&out->e, resolve ? 0 : ANSWER_FD, lies[lie].bytes, (uint32_t)lies[lie].size);
}
#define SOCKET_LIES 7

static void lying_words_of_a_socket_are_eproto_and_leave_none_open(void **state)
{
	struct warder_address a[4];
	struct fixture f;

	for (lie = 0; lie < SOCKET_LIES; lie++) {
		start(&f, lying_socket);
		assert_int_equal(warder_connect(f.w, "h:1", 0, 0, NULL), -1);
		assert_int_equal(errno, EPROTO);
		stop(&f);
		start(&f, lying_socket);
		assert_int_equal(warder_listen(f.w, "h:1", 0, 0, NULL), -1);
		assert_int_equal(errno, EPROTO);
		stop(&f);
		start(&f, lying_socket);
		assert_int_equal(warder_resolve(f.w, "h", AF_UNSPEC, a, 4), -1);
		assert_int_equal(errno, EPROTO);
		stop(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lying_broker_gets_eproto_and_leaves_no_descriptor),
		cmocka_unit_test(a_short_batch_leaves_none_open),
		cmocka_unit_test(lying_data_is_eproto),
		cmocka_unit_test(lying_words_of_a_socket_are_eproto_and_leave_none_open),
	};

	return cmocka_run_group_tests_name("lib_lies", tests, NULL, NULL);
}
