/* SPDX-License-Identifier: MIT */
/*
 * rpc.c - JSON-RPC 2.0 as the built-in worker speaks it.  The first table is the specification's
 * own examples.
 */
#include "common/fd.h"
#include "sandbox/files.h"
#include "tests/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned calls;
static bool bad; /* what the last answer said of its sender */

static void method_ping(struct rpc_call *c)
{
	calls++;
	c->result = json_string("pong");
}

static void method_echo(struct rpc_call *c)
{
	calls++;
	c->result = json_incref(c->params);
}

static void method_refuse(struct rpc_call *c)
{
	rpc_fail(c, EACCES, json_string_value(json_object_get(c->params, "path")), NULL);
}

static void method_give(struct rpc_call *c)
{
	if (*c->fd >= 0) {
		rpc_fail(c, RPC_PARAMS, NULL, "one");
		return;
	}
	*c->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	c->result = json_true();
}

static void method_nothing(struct rpc_call *c)
{
}

static const struct rpc_method methods[] = {
	{"ping", method_ping},
	{"echo", method_echo},
	{"refuse", method_refuse},
	{"give", method_give},
	{"nothing", method_nothing},
	{NULL, NULL},
};

static char *answer_sized(const char *frame, size_t size, int *fd)
{
	json_t *answer = rpc_answer(methods, NULL, frame, size, fd, &bad);
	char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	json_decref(answer);
	return text;
}

static char *answer(const char *frame)
{
	int fd = -1;
	char *text = answer_sized(frame, strlen(frame), &fd);

	assert_int_equal(fd, -1);
	return text;
}

static json_int_t code_of(const char *text)
{
	json_t *all = json_loads(text ? text : "", 0, NULL);
	json_int_t code =
		json_integer_value(json_object_get(json_object_get(all, "error"), "code"));

	/* Who sent nothing that can be read gets its answer under no id. */
	if (code == RPC_PARSE || code == RPC_INVALID)
		assert_true(json_is_null(json_object_get(all, "id")));
	json_decref(all);
	return code;
}

#define RPC "\"jsonrpc\":\"2.0\""

static void answers_are_those_of_the_specification(void **state)
{
	static const struct {
		const char *in, *out;
	} table[] = {
		{"{" RPC ",\"method\":\"ping\",\"id\":1}",
			"{\"id\":1," RPC ",\"result\":\"pong\"}"},
		{"{" RPC ",\"method\":\"ping\",\"id\":\"a\"}",
			"{\"id\":\"a\"," RPC ",\"result\":\"pong\"}"},
		{"{" RPC ",\"method\":\"ping\",\"id\":1.5}",
			"{\"id\":1.5," RPC ",\"result\":\"pong\"}"},
		{"{" RPC ",\"method\":\"ping\",\"id\":null}",
			"{\"id\":null," RPC ",\"result\":\"pong\"}"},
		{"{" RPC ",\"method\":\"echo\",\"params\":{\"k\":[1]},\"id\":2}",
			"{\"id\":2," RPC ",\"result\":{\"k\":[1]}}"},
		/* notifications */
		{"{" RPC ",\"method\":\"ping\"}", NULL},
		{"{" RPC ",\"method\":\"unheard-of\"}", NULL},
		{"[{" RPC ",\"method\":\"ping\"},{" RPC ",\"method\":\"ping\"}]", NULL},
		/* batches */
		{"[{" RPC ",\"method\":\"ping\",\"id\":1},{" RPC ",\"method\":\"ping\"},"
		 "{" RPC ",\"method\":\"ping\",\"id\":2}]",
			"[{\"id\":1," RPC ",\"result\":\"pong\"},{\"id\":2," RPC
			",\"result\":\"pong\"}]"},
		{"[1]", "[{\"error\":{\"code\":-32600,\"message\":\"not a request of JSON-RPC "
			"2.0\"},"
			"\"id\":null," RPC "}]"},
		{"[[{" RPC ",\"method\":\"ping\",\"id\":1}]]",
			"[{\"error\":{\"code\":-32600,\"message\":\"not a request of JSON-RPC "
			"2.0\"},"
			"\"id\":null," RPC "}]"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *text = answer(table[i].in);

		assert_int_equal(bad, table[i].out && strstr(table[i].out, "-32600"));
		if (table[i].out) {
			assert_non_null(text);
			assert_string_equal(text, table[i].out);
		} else {
			assert_null(text);
		}
		free(text);
	}
}

static void broken_input_is_an_error_and_no_call(void **state)
{
	static const struct {
		const char *in;
		json_int_t code;
	} table[] = {
		{"", RPC_PARSE},
		{"{", RPC_PARSE},
		{"{" RPC ",\"method\":\"ping\",\"id\":1", RPC_PARSE},
		{"{" RPC ",\"method\":\"ping\",\"id\":1}x", RPC_PARSE},
		{"nonsense", RPC_PARSE},
		{"\xff\xfe", RPC_PARSE},
		{"{" RPC ",\"method\":\"ping\",\"method\":\"echo\",\"id\":1}", RPC_PARSE},
		{"{" RPC ",\"method\":\"pi\\u0000ng\",\"id\":1}", RPC_PARSE},
		{"{" RPC ",\"method\":\"ping\",\"id\":99999999999999999999999}", RPC_PARSE},
		{"{" RPC ",\"method\":\"ping\",\"id\":1e999}", RPC_PARSE},
		{"1", RPC_INVALID},
		{"null", RPC_INVALID},
		{"\"ping\"", RPC_INVALID},
		{"[]", RPC_INVALID},
		{"{}", RPC_INVALID},
		{"{\"method\":\"ping\",\"id\":1}", RPC_INVALID},
		{"{\"jsonrpc\":\"1.0\",\"method\":\"ping\",\"id\":1}", RPC_INVALID},
		{"{\"jsonrpc\":2.0,\"method\":\"ping\",\"id\":1}", RPC_INVALID},
		{"{" RPC ",\"method\":1,\"id\":1}", RPC_INVALID},
		{"{" RPC ",\"method\":\"ping\",\"params\":1,\"id\":1}", RPC_INVALID},
		{"{" RPC ",\"method\":\"ping\",\"params\":\"x\",\"id\":1}", RPC_INVALID},
		{"{" RPC ",\"method\":\"ping\",\"id\":{}}", RPC_INVALID},
		{"{" RPC ",\"method\":\"ping\",\"id\":true}", RPC_INVALID},
		{"{" RPC ",\"method\":\"pong\",\"id\":1}", RPC_NO_METHOD},
		{"{" RPC ",\"method\":\"\",\"id\":1}", RPC_NO_METHOD},
		{"{" RPC ",\"method\":\"ping\",\"params\":[1],\"id\":1}", RPC_PARAMS},
		{"{" RPC ",\"method\":\"nothing\",\"id\":1}", RPC_INTERNAL},
	};

	calls = 0;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *text = answer(table[i].in);

		assert_non_null(text);
		if (code_of(text) != table[i].code)
			fail_msg("%s: %s", table[i].in, text);
		assert_int_equal(bad, table[i].code == RPC_PARSE || table[i].code == RPC_INVALID);
		free(text);
	}
	assert_int_equal(calls, 0);
}

static char *repeat(const char *a, size_t n, const char *middle, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	char *text = malloc(n * (la + lb) + strlen(middle) + 1), *at = text;

	for (size_t i = 0; i < n; i++, at += la)
		memcpy(at, a, la);
	at = stpcpy(at, middle);
	for (size_t i = 0; i < n; i++, at += lb)
		memcpy(at, b, lb);
	*at = '\0';
	return text;
}

static void deep_nesting_and_long_numbers_are_safe(void **state)
{
	char *deep = repeat("[", 500000, "", "]"), *deeper = repeat("{\"a\":", 100000, "1", "}");
	char *digits = repeat("9", 500000, "", "9"), *text;

	text = answer(deep);
	assert_int_equal(code_of(text), RPC_PARSE);
	free(text);
	text = answer(deeper);
	assert_int_equal(code_of(text), RPC_PARSE);
	free(text);
	text = answer(digits);
	assert_int_equal(code_of(text), RPC_PARSE);
	free(text);
	free(deep);
	free(deeper);
	free(digits);
}

static void a_batch_is_bounded(void **state)
{
	char *many = repeat("1,", RPC_BATCH_MAX, "1", ""), *batch = malloc(strlen(many) + 3), *text;
	char *fits;

	sprintf(batch, "[%s]", many);
	text = answer(batch);
	assert_int_equal(code_of(text), RPC_INVALID);
	free(text);
	fits = batch + 2;
	fits[0] = '[';
	text = answer(fits);
	assert_non_null(text);
	assert_int_equal(text[0], '[');
	free(text);
	free(batch);
	free(many);
}

static void a_refusal_says_what_and_why(void **state)
{
	char *text = answer("{" RPC ",\"method\":\"refuse\",\"params\":{\"path\":\"/etc/shadow\"},"
			    "\"id\":1}");

	assert_string_equal(text,
		"{\"error\":{\"code\":13,\"data\":{\"errno\":\"EACCES\",\"path\":\"/etc/shadow\"},"
		"\"message\":\"/etc/shadow: the policy does not grant this\"},\"id\":1," RPC "}");
	free(text);
}

static void a_descriptor_goes_with_one_answer_only(void **state)
{
	static const char one[] = "{" RPC ",\"method\":\"give\",\"id\":1}";
	static const char quiet[] = "{" RPC ",\"method\":\"give\"}";
	static const char two[] = "[{" RPC ",\"method\":\"give\"},{" RPC ",\"method\":\"give\","
				  "\"id\":1},{" RPC ",\"method\":\"give\",\"id\":2}]";
	int base = count_fds(), fd = -1;
	char *text = answer_sized(one, strlen(one), &fd);

	assert_true(fd >= 0);
	fd_close(&fd);
	free(text);
	/* Nobody would know what it is. */
	assert_null(answer_sized(quiet, strlen(quiet), &fd));
	assert_int_equal(fd, -1);
	text = answer_sized(two, strlen(two), &fd);
	assert_non_null(strstr(text, "\"id\":1," RPC ",\"result\":true"));
	assert_non_null(strstr(text, "{\"code\":-32602,\"message\":\"one\"},\"id\":2"));
	assert_true(fd >= 0);
	fd_close(&fd);
	free(text);
	assert_int_equal(count_fds(), base);
}

static void every_method_of_the_worker_checks_its_params(void **state)
{
	static const char *const wrong[] = {"", ",\"params\":{}", ",\"params\":{\"path\":1}",
		",\"params\":{\"path\":\"relative\"}", ",\"params\":{\"path\":\"\"}",
		",\"params\":[\"/a\"]"};

	for (const struct rpc_method *m = files_methods; m->name; m++) {
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
			struct files files = {.warder = NULL};
			char frame[256], *text;
			json_t *got;
			int fd = -1;

			snprintf(frame, sizeof(frame), "{" RPC ",\"method\":\"%s\",\"id\":1%s}",
				m->name, wrong[i]);
			got = rpc_answer(files_methods, &files, frame, strlen(frame), &fd, &bad);
			text = json_dumps(got, 0);
			assert_non_null(text);
			assert_int_equal(code_of(text), RPC_PARAMS);
			free(text);
			json_decref(got);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_those_of_the_specification),
		cmocka_unit_test(broken_input_is_an_error_and_no_call),
		cmocka_unit_test(deep_nesting_and_long_numbers_are_safe),
		cmocka_unit_test(a_batch_is_bounded),
		cmocka_unit_test(a_refusal_says_what_and_why),
		cmocka_unit_test(a_descriptor_goes_with_one_answer_only),
		cmocka_unit_test(every_method_of_the_worker_checks_its_params),
	};

	return cmocka_run_group_tests_name("rpc", tests, NULL, NULL);
}
