/* SPDX-License-Identifier: MIT */
/*
 * policy.c - what a verdict costs with 10 rules and with 100,000.
 *
 * Both policies hold the ten rules that are asked for; one holds 99,990 others beside them, in the
 * same directories.  The two are measured in turn, and the median of the rounds is printed.
 */
#include "policy/policy.h"
#include "tests/bench/bench.h"

#define RULES  100000
#define ASKED  10
#define CHECKS 200000
#define ROUNDS 21

static char paths[ASKED][64];
static size_t sizes[ASKED];

/* Rule i of sockets: a name, what lies beneath one, a network, or one port of everywhere. */
static int put_socket_rule(char *to, size_t size, int i)
{
	const char *verdict = i % 5 == 4 ? "deny" : "allow";
	char socket[64];

	if (i % 4 == 2)
		snprintf(socket, sizeof(socket), "10.%d.%d.0/24:1000-2000", i / 256 % 256, i % 256);
	else if (i % 4 == 3)
		snprintf(socket, sizeof(socket), "internet:%d", 1 + i % 65535);
	else
		snprintf(socket, sizeof(socket), "%s%d.example.com:443", i % 4 ? "*.zone" : "host",
			i);
	return snprintf(to, size, "%s connect %s\n", verdict, socket);
}

static struct policy *make_policy(int n, bool sockets)
{
	struct policy *p = policy_new(NULL);
	size_t room = (size_t)n * 80, size = 0;
	char *text = malloc(room);

	if (!p || !text)
		exit(2);
	for (int i = 0; sockets && i < n; i++)
		size += (size_t)put_socket_rule(text + size, room - size, i);
	for (int i = 0; !sockets && i < n; i++)
		size += (size_t)snprintf(text + size, room - size,
			"%s read /srv/data%d/part%d/%s%d%s\n", i % 5 == 4 ? "deny" : "allow",
			i % 10, i % 7, i % 3 ? "file" : "tree", i, i % 3 ? "" : "/");
	if (policy_add_text(p, "bench.policy", NULL, text, size) < 0 || policy_finish(p) < 0 ||
		policy_compile(p) < 0)
		exit(2);
	free(text);
	return p;
}

/* Nanoseconds of one verdict. */
static double measure(const struct policy *p)
{
	struct policy_answer a;
	unsigned long allowed = 0;
	uint64_t began = bench_ns();

	for (int i = 0; i < CHECKS; i++)
		allowed += policy_check(p, paths[i % ASKED], sizes[i % ASKED], RIGHT_READ, &a) ==
			   VERDICT_ALLOW;
	if (allowed != CHECKS / ASKED * 8)
		exit(2);
	return (double)(bench_ns() - began) / CHECKS;
}

/* The same of a socket whose name and address are known. */
static double measure_sockets(const struct policy *p)
{
	static const uint8_t address[16] = {[10] = 0xff, [11] = 0xff, 93, 184, 215, 14};
	static const char *const names[] = {"host0.example.com", "a.b.zone1.example.com"};
	struct policy_answer a;
	unsigned long allowed = 0;
	uint64_t began = bench_ns();

	for (int i = 0; i < CHECKS; i++) {
		const struct policy_socket s = {.address = address,
			.port = 443,
			.name = names[i % 2],
			.name_size = strlen(names[i % 2])};

		allowed += policy_check_socket(p, &s, &a) == VERDICT_ALLOW;
	}
	if (allowed != CHECKS)
		exit(2);
	return (double)(bench_ns() - began) / CHECKS;
}

static void bench_sockets(void)
{
	struct policy *few = make_policy(ASKED, true), *many = make_policy(RULES, true);
	double a[ROUNDS], b[ROUNDS];

	measure_sockets(few);
	measure_sockets(many);
	for (int i = 0; i < ROUNDS; i++) {
		a[i] = measure_sockets(few);
		b[i] = measure_sockets(many);
	}
	bench_ratio("policy verdict on a socket, 100,000 rules", bench_median(b, ROUNDS), "ns",
		"one with 10 rules", bench_median(a, ROUNDS), 2);
	policy_free(few);
	policy_free(many);
}

int main(void)
{
	struct policy *few = make_policy(ASKED, false), *many = make_policy(RULES, false);
	double a[ROUNDS], b[ROUNDS];

	for (int i = 0; i < ASKED; i++)
		sizes[i] = (size_t)snprintf(paths[i], sizeof(paths[i]), "/srv/data%d/part%d/%s%d",
			i % 10, i % 7, i % 3 ? "file" : "tree", i);
	measure(few);
	measure(many);
	for (int i = 0; i < ROUNDS; i++) {
		a[i] = measure(few);
		b[i] = measure(many);
	}
	bench_ratio("policy verdict, 100,000 rules", bench_median(b, ROUNDS), "ns",
		"one with 10 rules", bench_median(a, ROUNDS), 2);
	policy_free(few);
	policy_free(many);
	bench_sockets();
	return 0;
}
