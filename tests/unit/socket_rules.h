/* SPDX-License-Identifier: MIT */
/*
 * socket_rules.h - rules of sockets by their text, where the policy cannot read them yet.
 */
#ifndef WARDER_TEST_SOCKET_RULES_H
#define WARDER_TEST_SOCKET_RULES_H

#include "broker/sock.h"

#include <stdio.h>
#include <string.h>

static char rules_text[1024];

static inline void set_rules(const char *text)
{
	snprintf(rules_text, sizeof(rules_text), "%s", text);
}
#define REAL_RULES(text) "allow read /data/ optional\n"

enum verdict policy_check_socket(
	const struct policy *p, const struct policy_socket *s, struct policy_answer *ret)
{
	static const enum peer_kind kinds[] = {PEER_TCP, PEER_UDP, PEER_ABSTRACT};
	static const char *const names[] = {"test.policy:1", "test.policy:2", "test.policy:3"};
	struct peer peer = {.kind = kinds[s->protocol],
		.port = s->port,
		.has_address = s->address != NULL,
		.name_size = s->name_size};
	char text[PEER_TEXT_SIZE], want[PEER_TEXT_SIZE + 32], copy[1024], *save = NULL;
	int i = 0;

	if (s->address)
		memcpy(peer.address, s->address, 16);
	if (s->name)
		memcpy(peer.name, s->name, s->name_size);
	*ret = (struct policy_answer){.missing = s->bind ? RIGHT_BIND : RIGHT_CONNECT};
	snprintf(want, sizeof(want), "%s %s", s->bind ? "bind" : "connect", peer_text(&peer, text));
	strcpy(copy, rules_text);
	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		bool allow = strncmp(line, "allow ", 6) == 0;

		i++;
		if (strcmp(line + (allow ? 6 : 5), want) == 0)
			*ret = (struct policy_answer){.rule = names[i - 1],
				.verdict = allow ? VERDICT_ALLOW : VERDICT_DENY};
	}
	return ret->verdict;
}

#include "tests/unit/socket_world.h"

#endif
