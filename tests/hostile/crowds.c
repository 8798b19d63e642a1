/* SPDX-License-Identifier: MIT */
/*
 * crowds.c - more clients of `warder serve` than it has time, room or descriptors for.
 *
 * Whether it spins is counted and not timed: strace lists the supervisor's calls, and each turn of
 * its loop is one poll(2).  A turn has a client to let in or to send away, or follows a rest.
 * RUN_ALONE: five thousand sockets in flight are counted for a user, not for a process.
 */
#include "tests/hostile/clients.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#define REST_MS  100   /* cli/serve.c */
#define FRAME_MS 10000 /* sandbox/lib_serve.c */

static char trace[PATH_MAX + 16];
static bool traced;

static long amount(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text ? atol(text) : otherwise;
}

/* ---- what the supervisor did --------------------------------------------------------------- */

static long trace_size(void)
{
	struct stat st;

	assert_int_equal(stat(trace, &st), 0);
	return st.st_size;
}

/* Lines of the trace from `from` on that hold both texts. */
static long traced_since(long from, const char *one, const char *two)
{
	char line[8192];
	long n = 0;
	FILE *f = fopen(trace, "re");

	assert_non_null(f);
	assert_int_equal(fseek(f, from, SEEK_SET), 0);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, one) && strstr(line, two);
	fclose(f);
	return n;
}

/* One turn for each of `events`, two for each rest that the time had room for. */
static void assert_did_not_spin(long from, long events, long began)
{
	long turns = traced_since(from, "poll(", ""), ms = now_ms() - began;

	print_message("%ld turns in %ld ms\n", turns, ms);
	assert_in_range(turns, 1, events + 2 * (ms / REST_MS + 1) + 16);
}

static void need_the_trace(void)
{
	if (!traced) {
		print_message("strace is missing, or may not trace here\n");
		skip();
	}
}

/* The limit as it was, for afterwards. */
static struct rlimit need_files(rlim_t n)
{
	struct rlimit old, more;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	if (old.rlim_max < n) {
		print_message("a hard limit of %lu descriptors is missing (ulimit -Hn)\n",
			(unsigned long)n);
		skip();
	}
	more = (struct rlimit){old.rlim_cur > n ? old.rlim_cur : n, old.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &more), 0);
	return old;
}

/* Whether it ends within the time in which anything would. */
static bool is_closed(int s)
{
	return closed_within(s, 60000);
}

/* ---- G2: slow ones --------------------------------------------------------------------------- */

static int unread(int s)
{
	int n = -1;

	assert_int_equal(ioctl(s, SIOCOUTQ, &n), 0);
	return n;
}

/* One client after the other, each until its frame is whole. */
static void serve_one_by_one(int listener)
{
	char frame[5];

	for (int i = 0; i < 2; i++) {
		int s = accept(listener, NULL, NULL);

		if (recv(s, frame, sizeof(frame), MSG_WAITALL) == (ssize_t)sizeof(frame))
			send(s, "ok", 2, MSG_NOSIGNAL);
		close(s);
	}
	_exit(0);
}

/* The control: who serves so is held up by one, until that goes. */
static void one_slow_client_holds_up_who_waits_for_it(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), slow, honest;
	socklen_t size = sizeof(a);
	char answer[2];
	pid_t pid;

	/* unix(7): an abstract name of the kernel's choice. */
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &size), 0);
	pid = fork();
	if (pid == 0)
		serve_one_by_one(listener);
	slow = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	honest = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(slow, (struct sockaddr *)&a, size), 0);
	assert_int_equal(send(slow, "\0", 1, 0), 1);
	assert_int_equal(connect(honest, (struct sockaddr *)&a, size), 0);
	assert_int_equal(send(honest, "\0\0\0\1x", 5, 0), 5);
	for (int i = 0; i < 6000 && unread(slow) > 0; i++)
		usleep(10000);
	assert_int_equal(unread(slow), 0);
	assert_true(unread(honest) > 0);
	close(slow);
	assert_int_equal(recv(honest, answer, 2, MSG_WAITALL), 2);
	close(honest);
	close(listener);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* One more byte of a frame, to who may have taken longer over it than its worker waits. */
static void send_byte(int s, long began)
{
	if (send(s, "\1", 1, MSG_NOSIGNAL) != 1)
		assert_true(now_ms() - began >= FRAME_MS);
}

static void assert_all_read(int s, long began)
{
	for (int i = 0; i < 6000 && unread(s) > 0; i++)
		usleep(10000);
	assert_true(unread(s) == 0 || now_ms() - began >= FRAME_MS);
}

/* Half a head, a head, a head and the first byte: then a byte a round, which its worker reads. */
static void five_hundred_slow_clients_hold_up_nobody(void **state)
{
	enum { N = 500, ROUNDS = 5, ASKED = 20 };
	static int s[N];
	struct rlimit old = need_files(N + 64);
	long began = now_ms();
	int honest;

	one_slow_client_holds_up_who_waits_for_it();
	honest = dial();
	for (int i = 0; i < N; i++) {
		size_t size = i % 3 == 0 ? 2 : 3 + (size_t)i % 3;

		s[i] = dial();
		assert_true(s[i] >= 0);
		assert_int_equal(send(s[i], "\0\0\1\0{", size, MSG_NOSIGNAL), size);
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < ASKED; i++) {
			int id = round * ASKED + i;

			assert_int_equal(ask(honest, id), 0);
			assert_int_equal(answered(honest), id);
		}
		/* What follows two bytes of a head is the rest of it: of a frame of 257 bytes. */
		for (int i = 0; i < N; i++)
			send_byte(s[i], began);
	}
	for (int i = 0; i < N; i++)
		assert_all_read(s[i], began);
	close(honest);
	fd_close_many(s, N);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_serves();
	assert_recorded(N + 2, ROUNDS * ASKED + 1);
}

/* ---- G4: too many ---------------------------------------------------------------------------- */

/* Tries until there is room again.  How many were let in on the way, this one too. */
static int come_until_served(void)
{
	for (int tried = 1; tried < 600; tried++) {
		int s = dial(), id;

		assert_true(s >= 0);
		ask(s, tried);
		id = answered(s);
		close(s);
		if (id == tried)
			return tried;
		usleep(50000);
	}
	fail_msg("nobody is served any more");
	return -1;
}

/* More than worker, channel and supervisor have room for: who is in is served, the others meet
 * end-of-file, and nobody waits for what does not come. */
static void five_thousand_connections_leave_the_service_running(void **state)
{
	enum { N = 5000 };
	static int s[N];
	struct rlimit old = need_files(N + 64);
	int late, in = 0, more;
	long from, began = now_ms();

	need_the_trace();
	from = trace_size();
	for (int i = 0; i < N; i++) {
		s[i] = dial();
		assert_true(s[i] >= 0);
	}
	/* Who comes now is sent away, so that all who came before are in or were. */
	late = dial();
	assert_true(is_closed(late));
	close(late);
	assert_int_equal(ask(s[0], 1), 0);
	assert_int_equal(answered(s[0]), 1);
	for (int i = 0; i < N; i++)
		in += !closed_within(s[i], 0);
	print_message("%d are in, %d were sent away\n", in, N - in);
	assert_in_range(in, 500, N - 500);
	assert_did_not_spin(from, N + 1, began);
	fd_close_many(s, N);
	setrlimit(RLIMIT_NOFILE, &old);
	more = come_until_served();
	/* Each that was in is in the book, and nobody else. */
	for (int i = 0; i < 600 && count_records("client") - clients_before < in; i++)
		usleep(50000);
	assert_in_range(count_records("client") - clients_before, in + 1, in + more);
	assert_int_equal(count_records("grant") - grants_before, 2);
	assert_int_equal(count_records("session"), 1);
}

/* The number that the next descriptor of a process gets. */
static rlim_t lowest_free(pid_t pid)
{
	char path[64];
	rlim_t n = 0;

	do
		snprintf(path, sizeof(path), "/proc/%d/fd/%lu", (int)pid, (unsigned long)n++);
	while (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	return n - 1;
}

/* The control: who keeps no descriptor back for this, and does not rest, turns without end. */
static int turn_without_end(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0), turns = 0;
	struct pollfd p = {listener, POLLIN};
	socklen_t size = sizeof(a);
	const rlim_t taken = lowest_free(getpid());
	const struct rlimit full = {taken, taken};

	if (bind(listener, (struct sockaddr *)&a, sizeof(sa_family_t)) < 0 ||
		listen(listener, 8) < 0 ||
		getsockname(listener, (struct sockaddr *)&a, &size) < 0 ||
		connect(client, (struct sockaddr *)&a, size) < 0 ||
		setrlimit(RLIMIT_NOFILE, &full) < 0)
		return 2;
	while (turns < 10000 && poll(&p, 1, 60000) == 1 && accept(listener, NULL, NULL) < 0 &&
		errno == EMFILE)
		turns++;
	return turns == 10000 ? 0 : 1;
}

static void one_client_keeps_who_has_no_descriptor_turning(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(turn_without_end());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The supervisor has none left: each client is sent away, a few at a time. `make check-races`:
 * five thousand. */
static void out_of_descriptors_clients_are_sent_away_and_nothing_spins(void **state)
{
	long n = amount("CROWD", 1000), from, began;
	struct rlimit few, before;

	need_the_trace();
	one_client_keeps_who_has_no_descriptor_turning();
	assert_int_equal(prlimit(supervisor, RLIMIT_NOFILE, NULL, &before), 0);
	few = (struct rlimit){lowest_free(supervisor), before.rlim_max};
	assert_int_equal(prlimit(supervisor, RLIMIT_NOFILE, &few, NULL), 0);
	from = trace_size();
	began = now_ms();
	for (long i = 0; i < n; i += 100) {
		int s[100];

		/* The listener's queue has room for them, and is never empty for long. */
		for (int j = 0; j < 100; j++) {
			s[j] = dial();
			assert_true(s[j] >= 0);
		}
		for (int j = 0; j < 100; j++)
			assert_true(is_closed(s[j]));
		fd_close_many(s, 100);
	}
	assert_did_not_spin(from, 0, began);
	assert_true(traced_since(from, "accept", "EMFILE") >= n);
	assert_int_equal(prlimit(supervisor, RLIMIT_NOFILE, &before, NULL), 0);
	assert_serves();
	assert_recorded(1, 1);
}

/* ---- the service ----------------------------------------------------------------------------- */

static bool may_trace(void)
{
	static struct outcome o = OUTCOME_INIT;
	const char *argv[] = {"strace", "-o", "/dev/null", "-e", "trace=none", "true", NULL};

	run_program(&o, argv);
	return o.status == 0;
}

static int start_traced(void **state)
{
	const char *const strace[] = {
		"strace", "-qq", "-o", trace, "-e", "trace=/^(p?poll|accept4)$", NULL};

	if (make_places() < 0)
		return -1;
	snprintf(trace, sizeof(trace), "%s/trace", top);
	traced = may_trace();
	return start_under(traced ? strace : strace + 6);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, fds_after)
	const struct CMUnitTest tests[] = {
		T(five_hundred_slow_clients_hold_up_nobody),
		T(five_thousand_connections_leave_the_service_running),
		T(out_of_descriptors_clients_are_sent_away_and_nothing_spins),
	};

	return cmocka_run_group_tests_name("crowds", tests, start_traced, end);
}
