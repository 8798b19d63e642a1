/* SPDX-License-Identifier: MIT */
/*
 * serve_door.c - who comes in to a service, and the book of who came.
 *
 * Who a client is is told to the door as the kernel tells it, so that one process plays every user;
 * its groups are the kernel's word on this process, and the gid that goes with it.
 */
#include "cli/serve_door.h"
#include "tests/unit/cli_lib.h"
#include "tests/unit/policy_lib.h"

#include <grp.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define STRANGER 12345

struct scene {
	struct serve_door *door;
	struct policy *policy;
	int fds[2];
};

static struct scene begin(const char *text)
{
	struct scene s = {.door = calloc(1, sizeof(*s.door)), .policy = text_good(text, NULL)};
	struct failure f = FAILURE_INIT;
	char path[300];

	assert_int_equal(chmod(test_dir, 0711), 0);
	snprintf(path, sizeof(path), "%s/warder/n.sock", test_dir);
	if (door_open(s.door, s.policy, path, "serve/n", false, &f) < 0)
		fail_msg("%s", f.text);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s.fds), 0);
	return s;
}

static void end(struct scene *s)
{
	door_close(s->door);
	policy_free(s->policy);
	fd_close_many(s->fds, 2);
	free(s->door);
}

static bool comes_in(struct scene *s, uid_t uid, gid_t gid)
{
	const struct msg_client who = {.uid = uid, .gid = gid, .pid = 77};

	return door_lets_in(s->door, s->fds[0], &who);
}

static FILE *open_book(void)
{
	FILE *f = popen("cat warder/serve/n/*-door-*.jsonl 2>/dev/null", "re");

	assert_non_null(f);
	return f;
}

/* Records of clients with this error, "" for none: how many, a count for so many. */
static unsigned count_clients(const char *error, bool with_count)
{
	FILE *f = open_book();
	char line[4096];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f)) {
		json_error_t e;
		json_t *o = json_loads(line, 0, &e);
		const char *event = json_string_value(json_object_get(o, "event"));
		const char *had = json_string_value(json_object_get(o, "error"));
		json_int_t count = json_integer_value(json_object_get(o, "count"));

		assert_non_null(event);
		if (strcmp(event, "client") == 0 && strcmp(had ? had : "", error) == 0)
			n += with_count && count ? (unsigned)count : 1;
		json_decref(o);
	}
	pclose(f);
	return n;
}

static void without_clients_root_and_the_caller_alone_come_in(void **state)
{
	struct scene s = begin("");

	assert_false(door_has_others(s.door));
	assert_true(comes_in(&s, 0, 0));
	assert_true(comes_in(&s, geteuid(), STRANGER));
	assert_false(comes_in(&s, STRANGER, STRANGER));
	assert_false(comes_in(&s, STRANGER, getegid()));
	/* There is no book without `clients`. */
	assert_int_equal(access("warder", F_OK), -1);
	end(&s);
}

static void users_and_groups_that_are_named_come_in(void **state)
{
	struct scene s = begin("clients 12345 %4321 12346\n");

	assert_true(door_has_others(s.door));
	assert_true(comes_in(&s, 0, 0));
	assert_true(comes_in(&s, geteuid(), getegid()));
	assert_true(comes_in(&s, 12345, 1));
	assert_true(comes_in(&s, 12346, 1));
	assert_true(comes_in(&s, 20000, 4321));
	/* A user's number is no group's, nor a group's a user's. */
	assert_false(comes_in(&s, 20000, 12345));
	assert_false(comes_in(&s, 4321, 1));
	assert_false(comes_in(&s, 12347, 1));
	assert_false(comes_in(&s, (uid_t)-1, (gid_t)-1));
	assert_int_equal(count_clients("", false), 5);
	assert_int_equal(count_clients("EACCES", false), 4);
	end(&s);
}

/* SO_PEERGROUPS; root alone can have the groups that it wants. */
static void supplementary_groups_count(void **state)
{
	gid_t before[256], want[] = {4000, 4321, 5000};
	int n = getgroups(256, before);
	struct scene s;

	if (geteuid() != 0)
		return;
	s = begin("clients %4321 %6000\n");
	assert_false(comes_in(&s, STRANGER, 1));
	end(&s);
	assert_int_equal(setgroups(3, want), 0);
	s = begin("clients %4321 %6000\n");
	assert_true(comes_in(&s, STRANGER, 1));
	end(&s);
	s = begin("clients %4322 %6000\n");
	assert_false(comes_in(&s, STRANGER, 1));
	end(&s);
	assert_int_equal(setgroups((size_t)n, before), 0);
}

/* user_namespaces(7): who is not mapped looks like 65534, whoever that is. */
static void nobody_without_a_number_here_comes_in(void **state)
{
	struct scene s = begin("clients 65534 12345 %65534\n");

	for (int mapped = 0; mapped < 2; mapped++) {
		s.door->users_mapped = s.door->groups_mapped = mapped;
		assert_int_equal(comes_in(&s, 65534, 1), mapped);
		assert_int_equal(comes_in(&s, STRANGER + 1, 65534), mapped);
		assert_true(comes_in(&s, 12345, 65534));
	}
	end(&s);
	/* Without `clients` either, though it be the caller. */
	s = begin("");
	s.door->users_mapped = false;
	assert_int_equal(comes_in(&s, geteuid(), 0), geteuid() != 65534);
	end(&s);
}

static void a_flood_of_strangers_is_counted(void **state)
{
	enum { N = 3000 };
	struct scene s = begin("clients 1\n");

	for (int i = 0; i < N; i++)
		assert_false(comes_in(&s, (uid_t)(20000 + i), 1));
	assert_true(comes_in(&s, 1, 1));
	door_close(s.door);
	assert_int_equal(count_clients("EACCES", true), N);
	assert_true(count_clients("EACCES", false) < N / 2);
	assert_int_equal(count_clients("", false), 1);
	end(&s);
}

static void who_cannot_be_written_down_is_not_let_in(void **state)
{
	struct scene s = begin("clients 1\n");
	struct rlimit before, low = {0};

	signal(SIGXFSZ, SIG_IGN);
	assert_true(comes_in(&s, 1, 1));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	low = (struct rlimit){1, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	assert_false(comes_in(&s, 1, 1));
	assert_false(comes_in(&s, 0, 0));
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(comes_in(&s, 1, 1));
	assert_int_equal(count_clients("", false), 2);
	end(&s);
}

static void a_way_that_no_client_can_come_stops_the_start(void **state)
{
	struct serve_door *d = calloc(1, sizeof(*d));
	struct policy *p = text_good("clients 1 %4321\n", NULL), *none = text_good("", NULL);
	struct failure f = FAILURE_INIT;
	char path[300];

	snprintf(path, sizeof(path), "%s/run/warder/n.sock", test_dir);
	assert_int_equal(chmod(test_dir, 0755), 0);
	assert_int_equal(mkdir("run", 0700), 0);
	assert_int_equal(door_open(d, p, path, "serve/n", true, &f), -EACCES);
	assert_non_null(strstr(f.text, "/run has mode 0700"));
	assert_non_null(strstr(f.text, "XDG_RUNTIME_DIR"));
	door_close(d);
	/* Others than root and the caller are not expected there. */
	assert_int_equal(door_open(d, none, path, "serve/n", true, &f), 0);
	door_close(d);
	assert_int_equal(chmod("run", 0711), 0);
	assert_int_equal(door_open(d, p, path, "serve/n", true, &f), 0);
	door_close(d);
	/* Some may come that way. */
	assert_int_equal(chmod("run", 0710), 0);
	assert_int_equal(door_open(d, p, path, "serve/n", true, &f), 0);
	door_close(d);
	policy_free(p);
	policy_free(none);
	free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_clients_root_and_the_caller_alone_come_in),
		TEST(users_and_groups_that_are_named_come_in),
		TEST(supplementary_groups_count),
		TEST(nobody_without_a_number_here_comes_in),
		TEST(a_flood_of_strangers_is_counted),
		TEST(who_cannot_be_written_down_is_not_let_in),
		TEST(a_way_that_no_client_can_come_stops_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
