/* SPDX-License-Identifier: MIT */
/*
 * files_rpc.c - JSON-RPC 2.0: from the bytes of a frame to an answer.
 *
 * Runs in: worker.  Trusts: nothing that clients send.
 *
 * Broken input is an answer, the last on its connection, and no reason to die: jansson bounds the
 * nesting (2048) and refuses integers that do not fit; a batch is bounded here, since each of its
 * elements costs more as an answer than it did as a request.
 */
#include "common/fd.h"
#include "sandbox/files.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static const struct {
	int number;
	const char *name, *words;
} errors[] = {
	{EACCES, "EACCES", "the policy does not grant this"},
	{ENOENT, "ENOENT", "no such file, or none that the policy names"},
	{EPERM, "EPERM", "not permitted"},
	{EISDIR, "EISDIR", "is a directory"},
	{ENOTDIR, "ENOTDIR", "is not a directory"},
	{ELOOP, "ELOOP", "too many symbolic links, or one that must not be followed"},
	{ENAMETOOLONG, "ENAMETOOLONG", "the name is too long"},
	{EINVAL, "EINVAL", "cannot be done with this kind of file"},
	{EAGAIN, "EAGAIN", "over a limit of the policy; try again later"},
	{EMFILE, "EMFILE", "too many open files in the worker; try again later"},
	{EBUSY, "EBUSY", "busy; try again later"},
	{EIO, "EIO", "input or output error"},
	{ENXIO, "ENXIO", "no such device"},
	{EROFS, "EROFS", "may only be read"},
	{ETXTBSY, "ETXTBSY", "is being run"},
	{EPROTO, "EPROTO", "the warder's answer was none; the worker cannot go on"},
	{ECONNRESET, "ECONNRESET", "the warder is gone"},
	{ENOSPC, "ENOSPC", "no space left"},
};

/* Any bytes as a JSON string: what is no UTF-8 becomes U+FFFD, a byte each. */
static json_t *text_of(const char *bytes)
{
	json_t *text = json_string(bytes);
	char plain[256 * 3 + 1];
	size_t n = 0;

	if (text)
		return text;
	for (; *bytes && n + 4 < sizeof(plain); bytes++) {
		if ((unsigned char)*bytes < 0x80) {
			plain[n++] = *bytes;
		} else {
			memcpy(plain + n, "\xef\xbf\xbd", 3);
			n += 3;
		}
	}
	return json_stringn(plain, n);
}

json_t *rpc_error(json_t *id, int code, const char *words)
{
	json_t *text = text_of(words);
	json_t *answer = json_pack("{s:s, s:{s:i, s:O}, s:O}", "jsonrpc", "2.0", "error", "code",
		code, "message", text, "id", id ? id : json_null());

	json_decref(text);
	return answer;
}

void rpc_fail(struct rpc_call *c, int code, const char *path, const char *words)
{
	const char *name = NULL;
	json_t *shown;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i].number != code)
			continue;
		name = errors[i].name;
		words = words ? words : errors[i].words;
	}
	if (!words)
		words = code > 0 ? strerror(code) : "failed";
	json_decref(c->error);
	if (!path) {
		c->error = json_pack("{s:i, s:s}", "code", code, "message", words);
		return;
	}
	shown = text_of(path);
	c->error = json_pack("{s:i, s:o, s:{s:s*, s:O}}", "code", code, "message",
		json_sprintf("%s: %s", json_string_value(shown), words), "data", "errno", name,
		"path", shown);
	json_decref(shown);
}

static const struct rpc_method *find_method(const struct rpc_method *methods, const char *name)
{
	for (; methods->name; methods++)
		if (strcmp(methods->name, name) == 0)
			return methods;
	return NULL;
}

static bool is_request(const json_t *request)
{
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	const json_t *params = json_object_get(request, "params");
	const json_t *id = json_object_get(request, "id");

	return version && strcmp(version, "2.0") == 0 &&
	       json_is_string(json_object_get(request, "method")) &&
	       (!params || json_is_object(params) || json_is_array(params)) &&
	       (!id || json_is_string(id) || json_is_number(id) || json_is_null(id));
}

static void call_method(const struct rpc_method *methods, json_t *request, struct rpc_call *c)
{
	const char *name = json_string_value(json_object_get(request, "method"));
	const struct rpc_method *method = find_method(methods, name);

	c->params = json_object_get(request, "params");
	if (!method)
		rpc_fail(c, RPC_NO_METHOD, NULL,
			"no such method; there are stat, list, read, hash, identify and open");
	else if (json_is_array(c->params))
		rpc_fail(c, RPC_PARAMS, NULL, "params must be an object with \"path\"");
	else
		method->call(c);
	if (!c->result && !c->error)
		rpc_fail(c, RPC_INTERNAL, NULL, "out of memory");
}

static json_t *answer_bad(int code, const char *words, bool *bad)
{
	*bad = true;
	return rpc_error(NULL, code, words);
}

/* One request.  NULL: a notification, which is never answered (JSON-RPC 2.0, 4.1). */
static json_t *answer_one(
	const struct rpc_method *methods, void *ctx, json_t *request, int *fd, bool *bad)
{
	struct rpc_call c = {.ctx = ctx, .fd = fd};
	json_t *id = json_object_get(request, "id"), *answer = NULL;
	int before = *fd;

	if (!is_request(request))
		return answer_bad(RPC_INVALID, "not a request of JSON-RPC 2.0", bad);
	call_method(methods, request, &c);
	if (id && c.error)
		answer = json_pack("{s:s, s:O, s:O}", "jsonrpc", "2.0", "error", c.error, "id", id);
	else if (id)
		answer = json_pack(
			"{s:s, s:O, s:O}", "jsonrpc", "2.0", "result", c.result, "id", id);
	/* Nobody was told of it. */
	if (!answer && *fd != before)
		fd_close(fd);
	json_decref(c.error);
	json_decref(c.result);
	return answer;
}

static json_t *answer_batch(
	const struct rpc_method *methods, void *ctx, json_t *batch, int *fd, bool *bad)
{
	size_t n = json_array_size(batch);
	json_t *answers;

	if (n == 0)
		return answer_bad(RPC_INVALID, "an empty batch", bad);
	if (n > RPC_BATCH_MAX)
		return answer_bad(RPC_INVALID, "more than 256 requests in a batch", bad);
	answers = json_array();
	for (size_t i = 0; i < n; i++) {
		json_t *answer = answer_one(methods, ctx, json_array_get(batch, i), fd, bad);

		if (answer)
			json_array_append_new(answers, answer);
	}
	if (json_array_size(answers) > 0)
		return answers;
	json_decref(answers);
	return NULL;
}

json_t *rpc_answer(const struct rpc_method *methods, void *ctx, const void *frame, size_t size,
	int *fd, bool *ret_bad)
{
	json_error_t where;
	json_t *request, *answer;

	*ret_bad = false;
	/* With a name given twice two readers could see two requests. */
	request = json_loadb(frame, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);
	if (!request)
		return answer_bad(RPC_PARSE, where.text, ret_bad);
	answer = json_is_array(request) ? answer_batch(methods, ctx, request, fd, ret_bad)
					: answer_one(methods, ctx, request, fd, ret_bad);
	json_decref(request);
	return answer;
}
