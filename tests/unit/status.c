/* SPDX-License-Identifier: MIT */
/*
 * status.c - the lines of --status-fd.
 */
#include "cli/status.h"
#include "tests/unit/cli_lib.h"

#include <jansson.h>

static void a_start_and_an_end_are_a_line_each(void **state)
{
	struct broker_result result = {.status = 3,
		.granted = 4,
		.denied = 5,
		.limited = 6,
		.timed_out = true,
		.oom_killed = 7};
	char text[512];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	status_started(fds[1], 4711);
	status_ended(fds[1], &result);
	close(fds[1]);
	read_pipe(fds[0], text, sizeof(text));
	close(fds[0]);
	assert_string_equal(text,
		"{\"event\":\"start\",\"status\":\"ok\",\"pid\":4711}\n"
		"{\"event\":\"end\",\"status\":3,\"granted\":4,\"denied\":5,\"limited\":6,"
		"\"closed\":0,\"timed_out\":true,\"cpu_ended\":false,\"oom_killed\":7}\n");
}

static void every_sentence_gives_a_line_that_parses(void **state)
{
	unsigned seed = 7;

	for (int round = 0; round < 3000; round++) {
		char sentence[480], line[4096];
		size_t n = (size_t)rand_r(&seed) % sizeof(sentence);
		json_error_t error;
		json_t *json;
		int fds[2];

		for (size_t i = 0; i < n; i++)
			sentence[i] = (char)(1 + rand_r(&seed) % 255);
		sentence[n ? n - 1 : 0] = '\0';
		assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
		status_failed(fds[1], 125, sentence, "");
		close(fds[1]);
		read_pipe(fds[0], line, sizeof(line));
		close(fds[0]);
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
		json = json_loads(line, 0, &error);
		assert_non_null(json);
		assert_int_equal(json_integer_value(json_object_get(json, "code")), 125);
		assert_non_null(json_string_value(json_object_get(json, "error")));
		json_decref(json);
	}
}

static void a_reader_that_has_gone_is_no_error(void **state)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	status_started(fds[1], 1); /* SIGPIPE would end this test */
	close(fds[1]);
}

static void only_an_open_writable_descriptor_is_taken(void **state)
{
	struct failure f = FAILURE_INIT;
	char number[16];
	int fd = -1, null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(status_open("x", &fd, &f) < 0);
	f.error = 0;
	assert_int_equal(status_open("987", &fd, &f), -EBADF);
	f.error = 0;
	snprintf(number, sizeof(number), "%d", null_fd);
	assert_int_equal(status_open(number, &fd, &f), -EBADF);
	assert_non_null(strstr(f.text, "not open for writing"));
	assert_int_equal(fd, -1);
	close(null_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_start_and_an_end_are_a_line_each),
		TEST(every_sentence_gives_a_line_that_parses),
		TEST(a_reader_that_has_gone_is_no_error),
		TEST(only_an_open_writable_descriptor_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
