/* SPDX-License-Identifier: MIT */
/*
 * policy.c - any bytes as a policy: no crash, no leak, and what is printed parses to itself.
 *
 * The text also stands for every file that it includes and every preset that it uses, so cycles
 * and depth are met.  Its lines serve as paths to be judged.
 */
#include "policy/policy.h"

#include "common/path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const char *data;
	size_t size;
	unsigned loads; /* as many as 20, to spend the time on other things */
};

static int load(void *ctx, bool preset, const char *name, char **ret_text, size_t *ret_size,
	char **ret_path)
{
	struct input *in = ctx;

	if (strlen(name) % 3 == 0 || ++in->loads > 20)
		return -ENOENT;
	*ret_text = malloc(in->size + 1);
	*ret_path = strdup(name);
	if (!*ret_text || !*ret_path)
		abort();
	memcpy(*ret_text, in->data, in->size);
	*ret_size = in->size;
	return 0;
}

static struct policy *parse(struct input *in, const char *text, size_t size, int *ret_r)
{
	static const char *const presets[] = {"agent", "build", NULL};
	struct policy_env env = {.home = "/home/u",
		.start = "/start",
		.load = in ? load : NULL,
		.presets = presets,
		.ctx = in};
	struct policy *p = policy_new(&env);

	if (!p || policy_set(p, "GIVEN", "/a*/[b]") < 0)
		abort();
	policy_add_text(p, "fuzz.policy", "/etc", text, size);
	*ret_r = policy_finish(p);
	return p;
}

/* The text less the comments that say where each line came from. */
static char *without_origins(const char *text)
{
	char *out = strdup(text), *to = out;

	if (!out)
		abort();
	for (const char *c = text; *c; c++) {
		if (*c == '\t')
			while (*c != '\n')
				c++;
		*to++ = *c;
	}
	*to = '\0';
	return out;
}

static void check_fixpoint(const struct policy *p)
{
	size_t size, size_again;
	const char *text = policy_text(p, &size);
	int r;
	struct policy *again = parse(NULL, text, size, &r);
	char *first, *second;

	if (r < 0)
		abort();
	first = without_origins(text);
	second = without_origins(policy_text(again, &size_again));
	if (strcmp(first, second) != 0)
		abort();
	free(first);
	free(second);
	policy_free(again);
}

/* The same bytes as a host's name, an abstract name and an address. */
static void judge_socket(const struct policy *p, bool good, const char *line, size_t n)
{
	uint8_t address[16] = {0};
	struct policy_answer a;

	memcpy(address, line, n < sizeof(address) ? n : sizeof(address));
	for (unsigned i = 0; i < 12; i++) {
		const struct policy_socket s = {.bind = i & 1,
			.protocol = (enum policy_protocol)(i >> 1 & 1 ? i >> 2 : PROTOCOL_TCP),
			.address = i & 2 ? address : NULL,
			.port = (uint16_t)(n * 7919),
			.name = line,
			.name_size = n};

		if (policy_check_socket(p, &s, &a) != a.verdict ||
			(a.verdict != VERDICT_DENY && (!good || !a.rule)))
			abort();
	}
	if (policy_check_name(p, line, n, &a) != a.verdict || (a.verdict != VERDICT_DENY && !good))
		abort();
}

/* Each line as a path: a verdict comes, and it is a denial where the policy has errors. */
static void judge(const struct policy *p, bool good, const char *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		const char *newline = memchr(data + at, '\n', size - at);
		size_t n = newline ? (size_t)(newline - data) - at : size - at;
		char path[PATH_MAX];
		struct policy_answer a;
		int length = path_normalise(data + at, n, path, sizeof(path));

		if (policy_check(p, data + at, n, RIGHT_READ, &a) != a.verdict)
			abort();
		judge_socket(p, good, data + at, n);
		if (length > 0) {
			enum verdict v = policy_check(p, path, (size_t)length, RIGHT_WRITE, &a);

			if (v != VERDICT_DENY && (!good || !policy_names(p, "/", 1)) && !a.rule)
				abort();
			policy_names(p, path, (size_t)length);
		}
		at += n + 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {(const char *)data, size, 0};
	int r;
	struct policy *p = parse(&in, in.data, size, &r);

	if (r == 0)
		check_fixpoint(p);
	if (size % 2 == 0 && policy_tree_count(p) > 0)
		policy_tree_resolved(p, size % policy_tree_count(p), "/elsewhere/x");
	r = policy_compile(p);
	if (r == 0)
		policy_expect(p);
	judge(p, r == 0, in.data, size);
	policy_free(p);
	return 0;
}
