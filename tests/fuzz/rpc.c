/* SPDX-License-Identifier: MIT */
/*
 * rpc.c - what a client's JSON may do to the built-in worker.
 *
 * Whatever comes in, the answer is nothing, or JSON-RPC that can be written down.  The methods are
 * the worker's own as far as they look at their parameters; without a broker each ends there.
 */
#include "sandbox/files.h"
#include "sandbox/warder.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void method_echo(struct rpc_call *c)
{
	c->result = c->params ? json_incref(c->params) : json_null();
}

static void method_refuse(struct rpc_call *c)
{
	rpc_fail(c, 13, json_string_value(json_object_get(c->params, "path")), NULL);
}

static const struct rpc_method methods[] = {
	{"echo", method_echo},
	{"refuse", method_refuse},
	{NULL, NULL},
};

static void check_one(const json_t *answer)
{
	const char *version = json_string_value(json_object_get(answer, "jsonrpc"));
	bool result = json_object_get(answer, "result"), error = json_object_get(answer, "error");

	assert(version && strcmp(version, "2.0") == 0);
	assert(result != error && json_object_get(answer, "id"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = -1;
	bool bad;
	json_t *answer = rpc_answer(methods, NULL, data, size, &fd, &bad);
	char *text;

	assert(fd == -1);
	if (!answer)
		return 0;
	text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY);
	assert(text);
	free(text);
	if (json_is_array(answer))
		for (size_t i = 0; i < json_array_size(answer); i++)
			check_one(json_array_get(answer, i));
	else
		check_one(answer);
	json_decref(answer);
	return 0;
}
