/* SPDX-License-Identifier: MIT */
/*
 * files.h - the built-in worker: what its files share.
 */
#ifndef WARDER_FILES_H
#define WARDER_FILES_H

#include <jansson.h>
#include <magic.h>
#include <stdbool.h>
#include <stddef.h>

struct warder;

/* Codes of errors: those of JSON-RPC 2.0, and positive ones, which are errno numbers. */
enum rpc_code {
	RPC_PARSE = -32700,
	RPC_INVALID = -32600,
	RPC_NO_METHOD = -32601,
	RPC_PARAMS = -32602,
	RPC_INTERNAL = -32603,
};

#define RPC_BATCH_MAX 256

/* What a method fills: a result, or an error with its words; and at most one descriptor for the
 * whole frame. */
struct rpc_call {
	void *ctx;
	json_t *params; /* an object; borrowed; may be NULL */
	json_t *result; /* owned */
	json_t *error;  /* owned */
	int *fd;        /* -1, or taken already by an earlier call of the batch */
};

struct rpc_method {
	const char *name;
	void (*call)(struct rpc_call *c);
};

/* Sets the error.  `path` (may be NULL, any bytes) is put before the words. */
void rpc_fail(struct rpc_call *c, int code, const char *path, const char *words);

/*
 * Answers one frame: a request or a batch.  Returns the answer, NULL where there is none to give
 * (notifications).  *fd: -1, or a descriptor to go with it.  *ret_bad: the frame, or a part of it,
 * was no JSON-RPC (RPC_PARSE, RPC_INVALID), so that its sender is to be left.
 */
json_t *rpc_answer(const struct rpc_method *methods, void *ctx, const void *frame, size_t size,
	int *fd, bool *ret_bad);
/* An answer that is one error. */
json_t *rpc_error(json_t *id, int code, const char *words);

/* What the methods work with. */
struct files {
	struct warder *warder;
	magic_t magic;
	unsigned char *buffer;
	size_t buffer_size;
};
#define FILES_BUFFER (1024 * 1024)

extern const struct rpc_method files_methods[]; /* ends with a NULL name */

#endif
