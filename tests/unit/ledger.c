/* SPDX-License-Identifier: MIT */
/*
 * ledger.c - the book: every line parses, in order, and none of a failed write stays.
 */
#include "broker/ledger.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

struct book {
	char path[64];
	struct ledger *l;
};

static int setup(void **state)
{
	struct book *b = calloc(1, sizeof(*b));
	int fd;

	snprintf(b->path, sizeof(b->path), "/tmp/warder-ledger.XXXXXX");
	fd = mkstemp(b->path);
	assert_true(fd >= 0);
	b->l = malloc(sizeof(*b->l));
	assert_int_equal(ledger_init(b->l, &fd), 0);
	assert_int_equal(fd, -1);
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct book *b = *state;

	ledger_deinit(b->l);
	assert_int_equal(b->l->fd, -1);
	unlink(b->path);
	free(b->l);
	free(b);
	return 0;
}

static json_t *lines(const struct book *b)
{
	json_t *all = json_array();
	char *line = NULL;
	size_t room = 0;
	FILE *f = fopen(b->path, "re");

	assert_non_null(f);
	while (getline(&line, &room, f) > 0) {
		json_error_t error;
		json_t *o = json_loads(line, 0, &error);

		if (!o)
			fail_msg("%s: %s", error.text, line);
		json_array_append_new(all, o);
	}
	free(line);
	fclose(f);
	return all;
}

static size_t count_lines(const struct book *b)
{
	json_t *all = lines(b);
	size_t n = json_array_size(all);

	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			json_integer_value(json_object_get(json_array_get(all, i), "seq")), i + 1);
	json_decref(all);
	return n;
}

static const struct record grant = {
	.event = EVENT_GRANT,
	.door = DOOR_ASK,
	.op = "open",
	.asked = "/data/a",
	.asked_size = 7,
	.reached = "/data/b",
	.reached_size = 7,
	.has_inode = true,
	.dev = 2049,
	.ino = 77,
	.type = "file",
	.flags = "O_RDONLY",
	.rule = "scan.policy:13",
	.rights = "read",
	.has_fd = true,
	.has_us = true,
	.us = 12,
};

static void a_record_has_the_fields_that_it_was_given(void **state)
{
	struct book *b = *state;
	json_t *all, *o;
	const char *time;

	assert_int_equal(ledger_write(b->l, &grant), 0);
	all = lines(b);
	o = json_array_get(all, 0);
	assert_int_equal(json_integer_value(json_object_get(o, "seq")), 1);
	assert_string_equal(json_string_value(json_object_get(o, "event")), "grant");
	assert_string_equal(json_string_value(json_object_get(o, "session")), b->l->session);
	assert_string_equal(json_string_value(json_object_get(o, "door")), "ask");
	assert_string_equal(json_string_value(json_object_get(o, "asked")), "/data/a");
	assert_string_equal(json_string_value(json_object_get(o, "reached")), "/data/b");
	assert_int_equal(json_integer_value(json_object_get(o, "dev")), 2049);
	assert_int_equal(json_integer_value(json_object_get(o, "ino")), 77);
	assert_string_equal(json_string_value(json_object_get(o, "rule")), "scan.policy:13");
	assert_true(json_is_true(json_object_get(o, "fd")));
	assert_int_equal(json_integer_value(json_object_get(o, "us")), 12);
	assert_null(json_object_get(o, "error"));
	assert_null(json_object_get(o, "client"));
	time = json_string_value(json_object_get(o, "time"));
	assert_int_equal(strlen(time), strlen("2026-01-31T23:59:59.123456789Z"));
	json_decref(all);
}

/* The date is our own arithmetic: compared with the C library's. */
static void assert_text(json_t *line, const char *name, const char *want)
{
	const char *is = json_string_value(json_object_get(line, name));

	if (!want)
		assert_null(json_object_get(line, name));
	else
		assert_string_equal(is ? is : "", want);
}

/* What is kept of the line before is taken only where it is the same. */
static void each_line_says_who_asked_and_for_what(void **state)
{
	static const struct {
		enum ledger_event event;
		enum door door;
		pid_t pid;
		const char *op;
		bool has_client;
	} asked[] = {
		{EVENT_GRANT, DOOR_ASK, 7, "open", false},
		{EVENT_GRANT, DOOR_ASK, 7, "open", false},
		{EVENT_DENY, DOOR_ASK, 7, "open", false},
		{EVENT_DENY, DOOR_TRAP, 7, "open", false},
		{EVENT_DENY, DOOR_TRAP, 8, "open", false},
		{EVENT_DENY, DOOR_TRAP, 8, "mkdir", false},
		{EVENT_DENY, DOOR_TRAP, 8, NULL, false},
		{EVENT_DENY, DOOR_TRAP, 0, NULL, false},
		{EVENT_DENY, DOOR_NONE, 0, NULL, false},
		{EVENT_DENY, DOOR_NONE, 0, NULL, true},
		{EVENT_DENY, DOOR_NONE, 0, NULL, false},
		{EVENT_GRANT, DOOR_ASK, 7, "open", false},
	};
	static const char *const events[] = {[EVENT_GRANT] = "grant", [EVENT_DENY] = "deny"};
	static const char *const doors[] = {NULL, "ask", "trap"};
	struct book *b = *state;
	const size_t n = sizeof(asked) / sizeof(asked[0]);
	json_t *all;

	for (size_t i = 0; i < n; i++) {
		struct record r = grant;

		r.event = asked[i].event;
		r.door = asked[i].door;
		r.pid = asked[i].pid;
		r.op = asked[i].op;
		r.has_client = asked[i].has_client;
		assert_int_equal(ledger_write(b->l, &r), 0);
	}
	all = lines(b);
	assert_int_equal(json_array_size(all), n);
	for (size_t i = 0; i < n; i++) {
		json_t *line = json_array_get(all, i);

		assert_text(line, "event", events[asked[i].event]);
		assert_text(line, "session", b->l->session);
		assert_text(line, "door", doors[asked[i].door]);
		assert_text(line, "op", asked[i].op);
		assert_int_equal(json_integer_value(json_object_get(line, "pid")), asked[i].pid);
		assert_int_equal(json_object_get(line, "client") != NULL, asked[i].has_client);
		assert_text(line, "reached", "/data/b");
	}
	json_decref(all);
}

/* Both paths are escaped, whether they are the same or not. */
static void a_path_that_was_reached_reads_as_it_is(void **state)
{
	static const char *const paths[] = {
		"/data/a", "/data/a\n", "/data/\xff", "/d\"", "/data/b"};
	struct book *b = *state;
	const size_t n = sizeof(paths) / sizeof(paths[0]);
	json_t *all;

	for (size_t i = 0; i < n * n; i++) {
		struct record r = grant;

		r.asked = paths[i / n];
		r.asked_size = strlen(r.asked);
		r.reached = paths[i % n];
		r.reached_size = strlen(r.reached);
		assert_int_equal(ledger_write(b->l, &r), 0);
	}
	all = lines(b);
	assert_int_equal(json_array_size(all), n * n);
	for (size_t i = 0; i < n * n; i++) {
		json_t *line = json_array_get(all, i);
		bool asked = strchr(paths[i / n], 0xff), reached = strchr(paths[i % n], 0xff);

		assert_text(line, "asked", asked ? "/data/\u00ff" : paths[i / n]);
		assert_text(line, "reached", reached ? "/data/\u00ff" : paths[i % n]);
		assert_int_equal(json_is_true(json_object_get(line, "asked_bytes")), asked);
		assert_int_equal(json_is_true(json_object_get(line, "reached_bytes")), reached);
	}
	json_decref(all);
}

static void the_time_is_the_clocks(void **state)
{
	struct book *b = *state;
	json_t *all;
	time_t before = time(NULL), after;
	char from[32], to[32], got[32];
	struct tm tm;

	assert_int_equal(ledger_write(b->l, &grant), 0);
	after = time(NULL);
	all = lines(b);
	snprintf(got, sizeof(got), "%s",
		json_string_value(json_object_get(json_array_get(all, 0), "time")));
	strftime(from, sizeof(from), "%Y-%m-%dT%H:%M:%S", gmtime_r(&before, &tm));
	strftime(to, sizeof(to), "%Y-%m-%dT%H:%M:%S", gmtime_r(&after, &tm));
	assert_int_equal(strlen(got), strlen("2026-01-31T23:59:59.123456789Z"));
	assert_int_equal(got[19], '.');
	assert_int_equal(strspn(got + 20, "0123456789"), 9);
	assert_int_equal(got[29], 'Z');
	got[19] = '\0';
	assert_true(strcmp(got, from) >= 0 && strcmp(got, to) <= 0);
	json_decref(all);
}

static void errors_are_named_and_clients_are_objects(void **state)
{
	struct book *b = *state;
	const struct record deny = {.event = EVENT_DENY, .error = EACCES, .reason = "no rule"};
	const struct record client = {.event = EVENT_CLIENT,
		.has_client = true,
		.client_number = 3,
		.client_uid = 1000,
		.client_gid = 0,
		.client_pid = 42};
	json_t *all, *c;

	assert_int_equal(ledger_add(b->l, &deny), 0);
	assert_int_equal(ledger_add(b->l, &client), 0);
	assert_int_equal(count_lines(b), 0);
	assert_int_equal(ledger_commit(b->l), 0);
	all = lines(b);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(all, 0), "error")), "EACCES");
	c = json_object_get(json_array_get(all, 1), "client");
	assert_int_equal(json_integer_value(json_object_get(c, "uid")), 1000);
	assert_int_equal(json_integer_value(json_object_get(c, "gid")), 0);
	assert_int_equal(json_integer_value(json_object_get(c, "pid")), 42);
	json_decref(all);
}

static void what_no_grant_explains_has_a_class(void **state)
{
	static const char *const trees[] = {"/usr", "/etc/java-*", NULL};
	struct book *b = *state;
	const struct record start = {.event = EVENT_START,
		.class = "start",
		.type = "unix",
		.socket = "stream",
		.domain = "unix",
		.name = "socket:[\n]",
		.name_size = 10};
	const struct record runtime = {.event = EVENT_START, .class = "runtime", .runtime = trees};
	const struct record session = {
		.event = EVENT_SESSION, .policy_hash = "aa", .generation = LEDGER_FIRST_GENERATION};
	json_t *all, *o;

	assert_int_equal(ledger_put(b->l, &session), 0);
	assert_int_equal(ledger_put(b->l, &start), 0);
	assert_int_equal(ledger_put(b->l, &runtime), 0);
	assert_int_equal(ledger_write(b->l, &grant), 0);
	all = lines(b);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(all, 0), "generation")), 1);
	o = json_array_get(all, 1);
	assert_text(o, "event", "start");
	assert_text(o, "class", "start");
	assert_true(json_is_integer(json_object_get(o, "number")));
	assert_text(o, "domain", "unix");
	assert_text(o, "name", "socket:[\n]");
	assert_null(json_object_get(o, "generation"));
	o = json_array_get(all, 2);
	assert_text(o, "class", "runtime");
	assert_null(json_object_get(o, "number"));
	assert_int_equal(json_array_size(json_object_get(o, "runtime")), 2);
	assert_text(json_array_get(all, 3), "class", NULL);
	json_decref(all);
}

/* Of an operation with one path. */
static struct record longest(void)
{
	static char path[4095];
	struct record r = grant;

	memset(path, 1, sizeof(path));
	r.asked = r.reached = path;
	r.asked_size = r.reached_size = sizeof(path);
	return r;
}

static void what_does_not_fit_any_more_goes_into_the_next_write(void **state)
{
	struct book *b = *state;
	struct record r = longest();
	size_t n = 0;

	for (; count_lines(b) == 0; n++)
		assert_int_equal(ledger_put(b->l, &r), 0);
	assert_int_equal(count_lines(b), n - 1);
	assert_int_equal(ledger_commit(b->l), 0);
	assert_int_equal(count_lines(b), n);
	r.policy_hash = "aa";
	r.policy_size = LEDGER_BUFFER;
	r.policy_text = calloc(1, LEDGER_BUFFER);
	assert_int_equal(ledger_put(b->l, &r), -EMSGSIZE);
	free((void *)(uintptr_t)r.policy_text);
	assert_int_equal(ledger_commit(b->l), 0);
	assert_int_equal(count_lines(b), n);
}

/* H1 */
static void hostile_names_stay_on_one_line(void **state)
{
	struct book *b = *state;
	struct record r = grant;
	char path[4095];
	unsigned seed = 3;

	for (int i = 0; i < 300; i++) {
		for (size_t k = 0; k < sizeof(path); k++)
			path[k] = (char)(1 + rand_r(&seed) % 255);
		r.asked = path;
		r.asked_size = sizeof(path);
		assert_int_equal(ledger_write(b->l, &r), 0);
	}
	assert_int_equal(count_lines(b), 300);
}

static void a_full_buffer_never_takes_half_a_record(void **state)
{
	struct book *b = *state;
	struct record r = longest();
	size_t n = 0;

	while (ledger_add(b->l, &r) == 0)
		n++;
	assert_true(n >= 4);
	assert_int_equal(ledger_add(b->l, &r), -ENOSPC);
	assert_int_equal(ledger_commit(b->l), 0);
	assert_int_equal(count_lines(b), n);
	assert_int_equal(ledger_write(b->l, &r), 0);
	assert_int_equal(count_lines(b), n + 1);
	/* The longest record there can be fits alone. */
	r.asked2 = r.reached2 = r.asked;
	r.asked2_size = r.reached2_size = r.asked_size;
	assert_int_equal(ledger_write(b->l, &r), 0);
}

/* H2 */
static void a_disk_that_is_full_is_an_error_and_leaves_no_number_out(void **state)
{
	struct book *b = *state;
	int real = b->l->fd;

	assert_int_equal(ledger_write(b->l, &grant), 0);
	b->l->fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ledger_write(b->l, &grant), -ENOSPC);
	assert_int_equal(ledger_write(b->l, &grant), -ENOSPC);
	close(b->l->fd);
	b->l->fd = real;
	assert_int_equal(ledger_write(b->l, &grant), 0);
	assert_int_equal(count_lines(b), 2);
}

/* H2, H3: RLIMIT_FSIZE cuts a write short, then refuses it. */
static void a_short_write_is_taken_back(void **state)
{
	struct book *b = *state;
	struct rlimit old, limit;
	struct stat st;
	sigset_t set, before;

	assert_int_equal(ledger_write(b->l, &grant), 0);
	assert_int_equal(fstat(b->l->fd, &st), 0);
	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigprocmask(SIG_BLOCK, &set, &before);
	getrlimit(RLIMIT_FSIZE, &old);
	limit = (struct rlimit){(rlim_t)st.st_size + 100, old.rlim_max};
	setrlimit(RLIMIT_FSIZE, &limit);
	assert_int_equal(ledger_write(b->l, &grant), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(count_lines(b), 1);
	assert_false(b->l->torn);
	assert_int_equal(ledger_write(b->l, &grant), 0);
	assert_int_equal(count_lines(b), 2);
	/* The signal is pending, blocked: take it. */
	sigtimedwait(&set, NULL, &(struct timespec){0, 0});
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void a_torn_line_that_stays_is_ended_before_the_next(void **state)
{
	struct book *b = *state;
	int real = b->l->fd, pair[2], n;
	char buf[65536];
	char *second;

	/* A pipe cannot be cut: filled up to where half a line fits. */
	assert_int_equal(pipe2(pair, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(fcntl(pair[1], F_SETPIPE_SZ, 4096), 4096);
	b->l->fd = pair[1];
	while (ledger_write(b->l, &grant) == 0)
		;
	if (!b->l->torn) {
		/* Writes of up to PIPE_BUF are whole or not at all: pipe(7). */
		struct record r = grant;
		char path[4095];

		memset(path, 'x', sizeof(path));
		r.asked = r.reached = path;
		r.asked_size = r.reached_size = sizeof(path);
		n = (int)read(pair[0], buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(ledger_write(b->l, &r), -EAGAIN);
	}
	assert_true(b->l->torn);
	n = (int)read(pair[0], buf, sizeof(buf));
	assert_true(n > 0);
	assert_int_equal(ledger_write(b->l, &grant), 0);
	assert_false(b->l->torn);
	n = (int)read(pair[0], buf, sizeof(buf) - 1);
	assert_true(n > 0);
	buf[n] = '\0';
	assert_int_equal(buf[0], '\n');
	second = buf + 1;
	assert_int_equal(second[0], '{');
	b->l->fd = real;
	close(pair[0]);
	close(pair[1]);
}

static void lines_are_appended_whatever_the_descriptor_said(void **state)
{
	struct book *b = *state;
	int fd = open(b->path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(ledger_write(b->l, &grant), 0);
	ledger_deinit(b->l);
	assert_int_equal(ledger_init(b->l, &fd), 0);
	assert_true(fcntl(b->l->fd, F_GETFL) & O_APPEND);
	assert_true(fcntl(b->l->fd, F_GETFD) & FD_CLOEXEC);
	b->l->next = 2;
	assert_int_equal(ledger_write(b->l, &grant), 0);
	assert_int_equal(count_lines(b), 2);
}

/* The end of a session that could not begin is written too, or tried. */
static void a_ledger_that_could_not_be_opened_takes_no_line(void **state)
{
	struct book *b = *state;
	int fd = open(b->path, O_PATH | O_CLOEXEC);

	ledger_deinit(b->l);
	memset(b->l, 0xff, sizeof(*b->l));
	assert_int_equal(ledger_init(b->l, &fd), -EBADF);
	assert_int_equal(fd, -1);
	assert_int_equal(ledger_write(b->l, &grant), -EBADF);
	assert_int_equal(count_lines(b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(a_record_has_the_fields_that_it_was_given),
		T(each_line_says_who_asked_and_for_what),
		T(a_path_that_was_reached_reads_as_it_is),
		T(the_time_is_the_clocks),
		T(errors_are_named_and_clients_are_objects),
		T(what_no_grant_explains_has_a_class),
		T(what_does_not_fit_any_more_goes_into_the_next_write),
		T(hostile_names_stay_on_one_line),
		T(a_full_buffer_never_takes_half_a_record),
		T(a_disk_that_is_full_is_an_error_and_leaves_no_number_out),
		T(a_short_write_is_taken_back),
		T(a_torn_line_that_stays_is_ended_before_the_next),
		T(lines_are_appended_whatever_the_descriptor_said),
		T(a_ledger_that_could_not_be_opened_takes_no_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
