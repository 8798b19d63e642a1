/* SPDX-License-Identifier: MIT */
/*
 * frame.c - frames from any cut of a stream.
 */
#include "common/frame.h"
#include "common/chan.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
	char text[256];
	unsigned n, stop_at;
};

static bool each(void *ctx, const uint8_t *frame, size_t size)
{
	struct seen *s = ctx;

	strncat(s->text, (const char *)frame, size);
	strcat(s->text, "|");
	return ++s->n != s->stop_at;
}

static const uint8_t stream[] = "\0\0\0\1a\0\0\0\3bcd\0\0\0\2ef\0\0\0\7ghi";
#define STREAM (sizeof(stream) - 1)

static void any_cut_gives_the_same_frames(void **state)
{
	for (size_t piece = 1; piece <= STREAM; piece++) {
		struct frame_in in = {NULL, 0, 0};
		struct seen s = {.n = 0};

		for (size_t at = 0; at < STREAM; at += piece)
			assert_int_equal(
				frame_feed(&in, stream + at,
					STREAM - at < piece ? STREAM - at : piece, 100, each, &s),
				0);
		assert_string_equal(s.text, "a|bcd|ef|");
		assert_int_equal(in.size, 7); /* the half frame at the end */
		frame_deinit(&in);
	}
}

static void what_follows_a_stop_is_kept_and_given_later(void **state)
{
	struct frame_in in = {NULL, 0, 0};
	struct seen s = {.stop_at = 1};

	assert_int_equal(frame_feed(&in, stream, STREAM, 100, each, &s), 1);
	assert_string_equal(s.text, "a|");
	assert_int_equal(frame_feed(&in, NULL, 0, 100, each, &s), 0);
	assert_string_equal(s.text, "a|bcd|ef|");
	assert_int_equal(frame_feed(&in, (const uint8_t *)"jklm", 4, 100, each, &s), 0);
	assert_string_equal(s.text, "a|bcd|ef|ghijklm|");
	assert_int_equal(in.size, 0);
	assert_null(in.data);
	/* Nothing fed to nothing. */
	assert_int_equal(frame_feed(&in, NULL, 0, 100, each, &s), 0);
}

static void a_size_out_of_bounds_is_bad_before_anything_is_kept(void **state)
{
	static const uint32_t bad[] = {0, 101, 0x7fffffff, 0x80000000, 0xffffffff};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct frame_in in = {NULL, 0, 0};
		struct seen s = {.n = 0};
		uint8_t head[FRAME_HEAD_SIZE];

		frame_put_head(head, bad[i]);
		assert_int_equal(frame_get_head(head), bad[i]);
		assert_int_equal(frame_feed(&in, head, 4, 100, each, &s), -EBADMSG);
		assert_null(in.data);
		assert_int_equal(frame_feed(&in, head, 3, 100, each, &s), 0);
		assert_int_equal(frame_feed(&in, head + 3, 1, 100, each, &s), -EBADMSG);
		assert_true(in.capacity < 1024);
		frame_deinit(&in);
	}
}

static void a_frame_and_its_descriptor_arrive_together(void **state)
{
	static const char frame[] = "\0\0\0\4abcd";
	char *data = NULL;
	int pair[2], fd = -1, null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	size_t size = 0;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(frame_send(pair[0], "first", 5), 0);
	assert_int_equal(chan_send_stream(pair[0], frame, 8, null, true), 8);
	assert_int_equal(frame_recv(pair[1], 100, &data, &size, &fd), 0);
	assert_string_equal(data, "first");
	assert_int_equal(fd, -1);
	free(data);
	assert_int_equal(frame_recv(pair[1], 100, &data, &size, &fd), 0);
	assert_string_equal(data, "abcd");
	assert_true(fd >= 0);
	free(data);
	fd_close(&fd);
	/* Too large, of no size, and cut off. */
	assert_int_equal(frame_send(pair[0], frame, 8), 0);
	assert_int_equal(frame_recv(pair[1], 7, &data, &size, &fd), -EBADMSG);
	assert_int_equal(frame_send(pair[0], frame, 0), -EMSGSIZE);
	assert_int_equal(recv(pair[1], (char[8]){0}, 8, 0), 8);
	assert_int_equal(send(pair[0], "\0\0\0\5ab", 6, 0), 6);
	close(pair[0]);
	assert_int_equal(frame_recv(pair[1], 100, &data, &size, &fd), -ECONNRESET);
	assert_int_equal(fd, -1);
	close(pair[1]);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cut_gives_the_same_frames),
		cmocka_unit_test(what_follows_a_stop_is_kept_and_given_later),
		cmocka_unit_test(a_size_out_of_bounds_is_bad_before_anything_is_kept),
		cmocka_unit_test(a_frame_and_its_descriptor_arrive_together),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
