/* SPDX-License-Identifier: MIT */
/*
 * ask_lies.c - messages at the ask door that come out of turn or lie: what ends the session.
 *
 * RUN_ALONE: how many descriptors are in flight is counted for a user, not for a process.
 */
#include "tests/unit/door_world.h"

#include <sys/socket.h>

/* Something that every row accepts as far as its fields go. */
static struct msg_request sound_request(enum msg_op op)
{
	unsigned fields = msg_rows[op].fields;
	struct msg_request q = {.path = ""};

	if (op == MSG_HELLO)
		q.flags = MSG_VERSION;
	if (fields & F_PATH) {
		q.path = "/data/a";
		q.path_size = 7;
	}
	if (fields & F_PATH2) {
		q.path2 = "/data/b";
		q.path2_size = 7;
	}
	return q;
}

static bool closed_without_answer(struct world *w)
{
	char byte;

	return recv(w->worker_fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* A17 */
static void every_row_is_served_in_its_phase_alone(void **state)
{
	for (int op = 0; op < MSG__COUNT; op++) {
		for (int phase = PHASE_HELLO; phase <= PHASE_RUNNING; phase++) {
			struct world *w = fill(world_new());
			struct msg_request q = sound_request((enum msg_op)op);
			bool in_turn = msg_rows[op].phase == (enum msg_phase)phase;
			int r;

			world_start(w, rules);
			w->s.phase = (enum msg_phase)phase;
			r = send_requests(w, (enum msg_op)op, &q, 1);
			assert_int_equal(r, in_turn ? 0 : -EBADMSG);
			if (in_turn)
				receive(w, (enum msg_op)op, 1);
			else
				assert_true(closed_without_answer(w));
			world_free(w);
		}
	}
}

static void hello_of_another_version_is_refused_and_may_be_said_again(void **state)
{
	struct world *w = fill(world_new());
	struct msg_request q = {.flags = MSG_VERSION + 1};

	world_start(w, rules);
	assert_int_equal(ask(w, MSG_HELLO, q), -EPROTONOSUPPORT);
	hello(w);
	q.flags = MSG_VERSION;
	assert_int_equal(send_requests(w, MSG_HELLO, &q, 1), -EBADMSG);
	world_free(w);
}

static int serve_bytes(struct world *w, const void *buf, size_t size)
{
	assert_int_equal(chan_send(w->worker_fd, buf, size, NULL, 0, true), 0);
	return serve(w);
}

static void put_u32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

static void put_u16(uint8_t *at, uint16_t v)
{
	at[0] = (uint8_t)v;
	at[1] = (uint8_t)(v >> 8);
}

enum bend {
	NOTHING,
	SIZE_SMALLER,
	SIZE_LARGER,
	SIZE_HUGE,
	ID_ZERO,
	ID_OLD,
	OP_UNKNOWN,
	OP_CLIENT,
	COUNT_ZERO,
	COUNT_OVER,
	COUNT_HUGE,
	COUNT_MORE_THAN_THERE,
	BYTES_AFTER,
	CUT_SHORT,
	HEADER_ONLY,
	ONE_BYTE,
	PATH_OVER_END,
	PATH_EMPTY,
	PATH_WITH_NUL,
	PATH_TOO_LONG,
	PATH2_UNASKED,
	FIELD_UNASKED,
	BENDS,
};

static size_t bend(struct world *w, enum bend b, uint8_t *m, size_t n)
{
	uint8_t *q = m + MSG_HEADER_SIZE;

	switch (b) {
	case SIZE_SMALLER:
		put_u32(m, (uint32_t)n - 1);
		break;
	case SIZE_LARGER:
		put_u32(m, (uint32_t)n + 1);
		break;
	case SIZE_HUGE:
		put_u32(m, UINT32_MAX);
		break;
	case ID_ZERO:
		put_u32(m + 4, 0);
		break;
	case ID_OLD:
		put_u32(m + 4, w->id);
		break;
	case OP_UNKNOWN:
		put_u16(m + 8, MSG__COUNT);
		break;
	case OP_CLIENT:
		put_u16(m + 8, MSG_CLIENT);
		break;
	case COUNT_ZERO:
		put_u16(m + 10, 0);
		break;
	case COUNT_OVER:
		return sound_message(w, m, MSG_SIZE_MAX, MSG_COUNT_MAX + 1);
	case COUNT_HUGE:
		put_u16(m + 10, UINT16_MAX);
		break;
	case COUNT_MORE_THAN_THERE:
		put_u16(m + 10, 2);
		break;
	case BYTES_AFTER:
		put_u32(m, (uint32_t)++n);
		break;
	case CUT_SHORT:
		put_u32(m, (uint32_t)--n);
		break;
	case HEADER_ONLY:
		n = MSG_HEADER_SIZE;
		put_u32(m, (uint32_t)n);
		break;
	case ONE_BYTE:
		n = 1;
		break;
	case PATH_OVER_END:
		put_u16(q + 40, 8);
		break;
	case PATH_EMPTY:
		put_u16(q + 40, 0);
		n -= 7;
		put_u32(m, (uint32_t)n);
		break;
	case PATH_WITH_NUL:
		q[MSG_REQUEST_SIZE + 3] = '\0';
		break;
	case PATH_TOO_LONG:
		memset(q + MSG_REQUEST_SIZE, 'x', MSG_PATH_MAX + 1);
		put_u16(q + 40, MSG_PATH_MAX + 1);
		n = MSG_HEADER_SIZE + MSG_REQUEST_SIZE + MSG_PATH_MAX + 1;
		put_u32(m, (uint32_t)n);
		break;
	case PATH2_UNASKED:
		put_u16(q + 40, 6);
		put_u16(q + 42, 1);
		break;
	case FIELD_UNASKED:
		q[8] = 1; /* offset */
		break;
	default:
		break;
	}
	return n;
}

/* A14, A15, A16 */
static void a_lie_ends_the_session_without_an_answer(void **state)
{
	static uint8_t m[MSG_SIZE_MAX + 64];

	for (int b = NOTHING; b < BENDS; b++) {
		struct world *w = with_policy(rules);
		size_t n = sound_message(w, m, MSG_SIZE_MAX, 1);
		int r = serve_bytes(w, m, bend(w, (enum bend)b, m, n));

		if (r != (b == NOTHING ? 0 : -EBADMSG))
			fail_msg("bend %d: %d", b, r);
		if (b == NOTHING)
			receive(w, MSG_OPEN, 1);
		else
			assert_true(closed_without_answer(w));
		world_free(w);
	}
}

static void a_lie_at_the_end_of_a_batch_undoes_its_beginning(void **state)
{
	struct world *w = *state;
	static uint8_t m[MSG_SIZE_MAX];
	struct enc e = enc_init(m, sizeof(m));
	struct msg_request q[] = {request("/work/d", 0, 0755), request("/work/e", 7, 0755)};
	size_t n;

	msg_begin(&e, MSG_MKDIR, w->id + 1, 2);
	msg_put_request(&e, &q[0]);
	msg_put_request(&e, &q[1]); /* mkdir has no flags */
	assert_int_equal(msg_end(&e, &n), 0);
	assert_int_equal(serve_bytes(w, m, n), -EBADMSG);
	assert_false(there(w, "/work/d"));
}

static void a_message_over_the_maximum_is_a_lie(void **state)
{
	struct world *w = *state;
	static uint8_t m[MSG_SIZE_MAX + 1];

	put_u32(m, sizeof(m));
	assert_int_equal(serve_bytes(w, m, sizeof(m)), -EBADMSG);
}

static void all_lengths_around_powers_of_two_are_survived(void **state)
{
	static uint8_t m[MSG_SIZE_MAX];

	for (unsigned k = 0; k <= 16; k++) {
		for (int d = -1; d <= 1; d++) {
			struct world *w = with_policy(rules);
			size_t n = (size_t)((1l << k) + d);

			if (n < 1 || n > sizeof(m))
				n = 1;
			memset(m, 0, sizeof(m));
			put_u32(m, (uint32_t)n);
			put_u32(m + 4, 9);
			put_u16(m + 8, MSG_OPEN);
			put_u16(m + 10, 1);
			assert_int_equal(serve_bytes(w, m, n), -EBADMSG);
			world_free(w);
		}
	}
}

/* A1, A2, A5 */
static void descriptors_on_a_request_end_the_session_and_are_closed(void **state)
{
	struct world *w = *state;
	static uint8_t m[MSG_SIZE_MAX];
	size_t n = sound_message(w, m, sizeof(m), 1);

	for (int tries = 0; tries < 2; tries++) {
		int before = count_fds();
		int fds[3] = {dup(0), dup(0), dup(0)};

		assert_int_equal(chan_send(w->worker_fd, m, n, fds, 3, true), 0);
		assert_int_equal(serve(w), -EBADMSG);
		assert_int_equal(count_fds(), before);
		assert_true(closed_without_answer(w));
		/* Again where the kernel could have refused them, had it been asked to. */
		n = 1;
	}
	assert_int_equal(count_events(w, "grant", false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_served_in_its_phase_alone),
		cmocka_unit_test(hello_of_another_version_is_refused_and_may_be_said_again),
		cmocka_unit_test(a_lie_ends_the_session_without_an_answer),
		T(a_lie_at_the_end_of_a_batch_undoes_its_beginning),
		T(a_message_over_the_maximum_is_a_lie),
		cmocka_unit_test(all_lengths_around_powers_of_two_are_survived),
		T(descriptors_on_a_request_end_the_session_and_are_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
