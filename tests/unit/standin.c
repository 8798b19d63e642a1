/* SPDX-License-Identifier: MIT */
/*
 * standin.c - Unix datagram sockets: what stands in for them, how it is known again, and where it
 * may lead.
 */
#include "tests/unit/socket_world.h"

static char peer[108]; /* of the host: a rule names it */

static int path_connect(int fd, const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	strcpy(un.sun_path, path);
	return connect(fd, (void *)&un, sizeof(un)) < 0 ? errno : 0;
}

/* A socket of the host, and a world with `rules`, where PEER is its path. */
static int begin(struct sockets *f, const char *rules)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char text[1024] = "", cwd[64];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const char *at = strstr(rules, "PEER");

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(peer, sizeof(peer), "%s/peer.sock", cwd);
	unlink(peer);
	strcpy(un.sun_path, peer);
	assert_int_equal(bind(fd, (void *)&un, sizeof(un)), 0);
	if (at)
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - rules), rules, peer, at + 4);
	else
		strcpy(text, rules);
	sockets_begin(f, text);
	f->verdict = 1;
	return fd;
}

static void end(struct sockets *f, int fd)
{
	sockets_end(f);
	close(fd);
	unlink(peer);
}

/* ---- the worker's side ----------------------------------------------------------------------- */

static int use_one(const struct sockets *f)
{
	struct sockaddr_un none = {.sun_family = AF_UNSPEC};
	struct sockaddr_un abstract = {.sun_family = AF_UNIX, .sun_path = "\0no"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int plain = socket(AF_UNIX, SOCK_DGRAM, PF_UNIX), other = dup(fd);
	int type = 0;
	socklen_t size = sizeof(type);

	MUST(fd >= 0 && plain >= 0 && other >= 0);
	MUST(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	MUST(fcntl(plain, F_GETFD) == 0 && !(fcntl(plain, F_GETFL) & O_NONBLOCK));
	MUST(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET);
	MUST(socket(AF_UNIX, SOCK_DGRAM, 7) < 0 && errno == EPROTONOSUPPORT);
	/* By its cookie, whatever its number. */
	MUST(path_connect(other, peer) == 0);
	MUST(path_connect(fd, "/nowhere") == EACCES);
	MUST(connect(fd, (void *)&none, sizeof(none)) < 0 && errno == EOPNOTSUPP);
	MUST(connect(fd, (void *)&abstract, sizeof(abstract)) < 0 && errno == EACCES);
	MUST(bind(fd, (void *)&abstract, sizeof(abstract)) < 0 && errno == EOPNOTSUPP);
	MUST(listen(fd, 1) < 0);
	return 0;
}

static void a_stand_in_is_known_by_its_cookie_and_led_by_connect_alone(void **state)
{
	struct sockets f;
	int fd = begin(&f, "allow connect PEER type dgram\n");

	assert_int_equal(run_worker(&f, use_one), 0);
	assert_int_equal(f.asked[DIAL_STANDIN], 2);
	assert_int_equal(f.asked[DIAL_LEAD], 1);
	assert_int_equal(f.last.of, f.standin_ids[0]);
	assert_int_equal(lines_with(&f, "\"grant\"", NULL), 1);
	assert_int_equal(lines_with(&f, "\"grant\"", "\"op\":\"connect\"", "peer.sock", NULL), 1);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"op\":\"bind\"", "has no name", NULL), 1);
	end(&f, fd);
}

static int connect_fails(const struct sockets *f)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	int r = path_connect(fd, peer);

	MUST(fd >= 0 && (r == EACCES || r == ENOENT)); /* what is denied is not there */
	return 0;
}

static void a_rule_without_its_type_leads_no_datagram(void **state)
{
	static const char *const rules[] = {
		"allow connect PEER\n",
		"allow connect /x type dgram\ndeny connect PEER\n",
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		struct sockets f;
		int fd = begin(&f, rules[i]);

		assert_int_equal(run_worker(&f, connect_fails), 0);
		assert_int_equal(f.asked[DIAL_LEAD], 0);
		assert_int_equal(lines_with(&f, "\"deny\"", "\"op\":\"connect\"", NULL), 1);
		end(&f, fd);
	}
}

static int get_one(const struct sockets *f)
{
	MUST(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
	return 0;
}

static int get_none(const struct sockets *f)
{
	MUST(socket(AF_UNIX, SOCK_DGRAM, 0) < 0 && errno == EACCES);
	return 0;
}

static void a_dialer_that_brings_no_stand_in_is_ended(void **state)
{
	static const enum manner manners[] = {INNER, WRONG_PEER};

	for (size_t i = 0; i < sizeof(manners) / sizeof(*manners); i++) {
		struct sockets f;
		int fd = begin(&f, "allow connect PEER type dgram\n");

		f.manner = manners[i];
		assert_int_equal(run_worker(&f, get_none), 0);
		assert_int_equal(
			lines_with(&f, "\"deny\"", "\"op\":\"socket\"", "not what was asked", NULL),
			1);
		assert_true(f.w->cell.dialer_fd < 0);
		end(&f, fd);
	}
}

static int get_many(const struct sockets *f)
{
	for (int i = 0; i < DIAL_STANDINS_MAX; i++)
		MUST(socket(AF_UNIX, SOCK_DGRAM, 0) >= 0);
	MUST(socket(AF_UNIX, SOCK_DGRAM, 0) < 0 && errno == EMFILE);
	return 0;
}

/* All that waits. */
static void hear(struct sockets *f)
{
	struct pollfd p = {f->w->cell.dialer_fd, POLLIN, 0};
	const char *why = NULL;

	while (poll(&p, 1, 0) > 0 && (p.revents & POLLIN))
		assert_int_equal(dial_serve(&f->w->s, &why), 0);
}

static void there_are_so_many_and_one_that_is_gone_makes_room(void **state)
{
	struct sockets f;
	int fd = begin(&f, "allow connect PEER type dgram\n");

	assert_int_equal(run_worker(&f, get_many), 0);
	assert_int_equal(f.n_standins, DIAL_STANDINS_MAX);
	assert_int_equal(
		lines_with(&f, "\"deny\"", "\"op\":\"socket\"", "\"EMFILE\"", "too many", NULL), 1);
	/* One that is not known, or not any more, is no matter. */
	say_dial(&f, DIAL_GONE, 4000000);
	say_dial(&f, DIAL_GONE, 0);
	say_dial(&f, DIAL_GONE, f.standin_ids[5]);
	say_dial(&f, DIAL_GONE, f.standin_ids[5]);
	hear(&f);
	assert_true(f.w->cell.dialer_fd >= 0);
	assert_int_equal(run_worker(&f, get_one), 0);
	assert_int_equal(f.n_standins, DIAL_STANDINS_MAX + 1);
	end(&f, fd);
}

/* ---- before any connect ---------------------------------------------------------------------- */

/* What the dialer is told of a first datagram. */
static int first(struct sockets *f, uint32_t of)
{
	f->verdict = 1;
	say_dial(f, DIAL_FIRST, of);
	hear(f);
	while (f->verdict > 0)
		be_the_dialer(f);
	hear(f);
	return f->verdict;
}

static void a_first_datagram_goes_to_the_one_socket_that_the_rules_name(void **state)
{
	struct sockets f;
	int fd = begin(&f, "allow connect PEER type dgram\nallow connect /elsewhere\n");

	assert_int_equal(run_worker(&f, get_one), 0);
	assert_int_equal(first(&f, f.standin_ids[0] + 7), -ENOENT);
	assert_int_equal(f.asked[DIAL_LEAD], 0);
	/* The lead comes before the verdict. */
	assert_int_equal(first(&f, f.standin_ids[0]), 0);
	assert_int_equal(f.asked[DIAL_LEAD], 1);
	assert_int_equal(lines_with(&f, "\"grant\"", "\"op\":\"send\"", "peer.sock", NULL), 1);
	/* Once. */
	assert_int_equal(first(&f, f.standin_ids[0]), 0);
	assert_int_equal(f.asked[DIAL_LEAD], 1);
	assert_int_equal(lines_with(&f, "\"op\":\"send\"", NULL), 1);
	end(&f, fd);
}

static void where_the_rules_could_mean_several_it_is_refused(void **state)
{
	static const char *const rules[] = {
		"allow connect PEER type dgram\nallow connect /x type dgram\n",
		"allow connect PEER* type dgram\n",
		"allow connect PEER /x/** type dgram\n",
	};

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		struct sockets f;
		int fd = begin(&f, rules[i]);

		assert_int_equal(run_worker(&f, get_one), 0);
		assert_int_equal(first(&f, f.standin_ids[0]), -EACCES);
		assert_int_equal(f.asked[DIAL_LEAD], 0);
		assert_int_equal(
			lines_with(&f, "\"deny\"", "\"op\":\"send\"", "connect it first", NULL), 1);
		end(&f, fd);
	}
}

static void one_that_a_deny_is_about_is_no_way_out(void **state)
{
	struct sockets f;
	int fd = begin(&f, "allow connect PEER type dgram\ndeny connect **/peer.sock\n");

	assert_int_equal(run_worker(&f, get_one), 0);
	assert_int_equal(first(&f, f.standin_ids[0]), -ENOENT);
	assert_int_equal(f.asked[DIAL_LEAD], 0);
	assert_int_equal(lines_with(&f, "\"deny\"", "\"op\":\"send\"", NULL), 1);
	end(&f, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stand_in_is_known_by_its_cookie_and_led_by_connect_alone),
		cmocka_unit_test(a_rule_without_its_type_leads_no_datagram),
		cmocka_unit_test(a_dialer_that_brings_no_stand_in_is_ended),
		cmocka_unit_test(there_are_so_many_and_one_that_is_gone_makes_room),
		cmocka_unit_test(a_first_datagram_goes_to_the_one_socket_that_the_rules_name),
		cmocka_unit_test(where_the_rules_could_mean_several_it_is_refused),
		cmocka_unit_test(one_that_a_deny_is_about_is_no_way_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
