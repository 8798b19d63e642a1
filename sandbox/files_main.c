/* SPDX-License-Identifier: MIT */
/*
 * files_main.c - the built-in worker of `warder serve`.
 *
 * Runs in: worker.  Trusts: nothing that clients send.
 *
 * Loads all that it needs (libraries, libmagic's database), gives up the rest, and only then looks
 * at a client.
 */
#include "common/fd.h"
#include "sandbox/files.h"
#include "sandbox/warder.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add_bytes(const char *bytes, size_t size, void *reply)
{
	return warder_reply(reply, bytes, size);
}

/* 0, or -1 with errno EMSGSIZE where the answer does not fit. */
static int put_answer(json_t *answer, struct warder_reply *reply)
{
	return json_dump_callback(answer, add_bytes, reply, JSON_COMPACT | JSON_ENCODE_ANY);
}

static int handle(void *ctx, const struct warder_client *client, const void *frame, size_t size,
	struct warder_reply *reply)
{
	autofd fd = -1;
	bool bad;
	json_t *answer = rpc_answer(files_methods, ctx, frame, size, &fd, &bad);
	int r = 0;

	if (!answer)
		return 0;
	if (put_answer(answer, reply) < 0) {
		json_t *id = json_object_get(answer, "id");
		json_t *error = rpc_error(id, RPC_INTERNAL, "the answer is too large for a frame");

		warder_reply_clear(reply);
		fd_close(&fd);
		r = error ? put_answer(error, reply) : -1;
		json_decref(error);
	}
	json_decref(answer);
	if (r == 0 && fd >= 0)
		r = warder_reply_fd(reply, &fd);
	if (bad) {
		/* Who frames rubbish may mean anything by what follows. */
		fprintf(stderr,
			"warder-files: client %llu (uid %u): sent what is no JSON-RPC 2.0, and "
			"was left\n",
			(unsigned long long)client->number, (unsigned)client->uid);
		r = -1;
	}
	return r;
}

/* Faults of clients, for the log; that they come and go is in the ledger. */
static void closed(void *ctx, const struct warder_client *client, const char *why)
{
	if (strncmp(why, "closed by", 9) == 0 || strcmp(why, "idle") == 0 ||
		strcmp(why, "the worker ends") == 0)
		return;
	fprintf(stderr, "warder-files: client %llu (uid %u): %s\n",
		(unsigned long long)client->number, (unsigned)client->uid, why);
}

static int give_up(const char *what)
{
	fprintf(stderr, "warder-files: %s: %s\n", what, strerror(errno));
	return 1;
}

static int load(struct files *f)
{
	f->buffer_size = FILES_BUFFER;
	f->buffer = malloc(f->buffer_size);
	if (!f->buffer || sodium_init() < 0)
		return give_up("cannot prepare");
	/* Drawn here: afterwards there is no /dev/urandom to seed the tables with. */
	json_object_seed(0);
	f->magic = magic_open(MAGIC_MIME | MAGIC_NO_CHECK_COMPRESS);
	if (!f->magic || magic_load(f->magic, NULL) < 0) {
		fprintf(stderr, "warder-files: cannot load libmagic's database: %s\n",
			f->magic ? magic_error(f->magic) : strerror(errno));
		return 1;
	}
	return 0;
}

static int serve(struct files *f)
{
	const struct warder_serve s = {.handle = handle, .closed = closed, .ctx = f};

	f->warder = warder_attach();
	if (!f->warder && errno == ENXIO) {
		fprintf(stderr, "warder-files: WARDER_FD is not set: this program is a worker; "
				"start it with `warder serve -p POLICY -n NAME`\n");
		return 2;
	}
	if (!f->warder)
		return give_up("cannot attach to the warder");
	if (load(f) != 0)
		return 1;
	if (warder_lockdown() < 0)
		return give_up("cannot load the strict system call table");
	if (warder_serve(&s) < 0)
		return give_up("cannot serve");
	return 0;
}

int main(int argc, char **argv)
{
	struct files f = {.buffer_size = 0};
	int status;

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("warder-files " WARDER_VERSION);
		return 0;
	}
	if (argc > 1) {
		fprintf(stderr,
			"warder-files: unexpected argument \"%s\"; it takes none and is run "
			"by `warder serve`\n",
			argv[1]);
		return 2;
	}
	status = serve(&f);
	if (f.magic)
		magic_close(f.magic);
	free(f.buffer);
	warder_detach(f.warder);
	return status;
}
