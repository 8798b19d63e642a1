/* SPDX-License-Identifier: MIT */
/*
 * trap_storm.c - a worker whose threads, signals and limits are set against the broker.
 *
 * Each scenario counts what it saw and prints it; the ledger must say the same.
 * RUN_ALONE: its storms are as many as one machine stands.
 */
#include "tests/hostile/trap_inside.h"
#include "sandbox/warder.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

/* ---- a full table of descriptors ------------------------------------------------------------- */

static int emfile(void)
{
	struct rlimit limit;
	long n = amount("OPENS", 10000), full = 0, given = 0, failed = 0;
	int held[64], m = 0, fd;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (m < 64 && (fd = open(in_top("a/f"), O_RDONLY)) >= 0)
		held[m++] = fd;
	given = m;
	for (int i = 0; i < 300; i++)
		full += open(in_top("a/f"), O_RDONLY) < 0 && errno == EMFILE;
	failed += open(in_top("w/new"), O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 && errno == EMFILE;
	while (m > 0)
		close(held[--m]);
	for (long i = 0; i < n; i++) {
		static const char *const paths[] = {"a/f", "b/f", "a/none", "a/f/x", "w/f"};

		fd = open(in_top(paths[i % 5]), i % 5 == 4 ? O_RDWR : O_RDONLY);
		given += fd >= 0;
		failed += fd < 0;
		close(fd);
	}
	printf("emfile given=%ld full=%ld failed=%ld\n", given, full, failed);
	return 0;
}

/* ---- signals --------------------------------------------------------------------------------- */

static volatile sig_atomic_t signals;

static void on_alarm(int sig)
{
	signals++;
}

static void storm(int flags)
{
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = flags};
	struct itimerval t = {{0, 100}, {0, 100}};

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
}

static void calm(void)
{
	struct itimerval t = {{0, 0}, {0, 0}};

	setitimer(ITIMER_REAL, &t, NULL);
}

/* A call that a signal took back before the broker read it has done nothing, and is made again:
 * then it finds its work undone, or it was carried out twice. */
#define AGAIN(call) \
	({ \
		int r_; \
		do \
			r_ = (call); \
		while (r_ < 0 && errno == EINTR && ++interrupted); \
		r_ < 0 ? (void)twice++ : (void)good++; \
		r_; \
	})

/* Outside there is no other door. */
static bool ask_for(struct warder *broker, const char *path)
{
	int fd = broker ? warder_open(broker, path, O_RDONLY, 0) : open(path, O_RDONLY);

	close(fd);
	return fd >= 0;
}

static void storm_round(struct warder *broker, const char *name, int flags)
{
	char a[PATH_MAX + 64], b[PATH_MAX + 64], c[PATH_MAX + 64];
	long n = amount("STORM", 400), good = 0, interrupted = 0, twice = 0, asked = 0;

	signals = 0;
	for (long i = 0; i < n; i++) {
		int fd;

		snprintf(a, sizeof(a), "%s/w/d%ld", top, i);
		snprintf(b, sizeof(b), "%s/w/e%ld", top, i);
		snprintf(c, sizeof(c), "%s/w/c%ld", top, i);
		storm(flags);
		AGAIN(mkdir(a, 0755));
		AGAIN(rename(a, b));
		fd = AGAIN(open(c, O_WRONLY | O_CREAT | O_EXCL, 0600));
		if (fd >= 0 && (fd < 3 || write(fd, "x", 1) != 1))
			twice++;
		close(fd);
		AGAIN(unlink(c));
		AGAIN(rmdir(b));
		asked += ask_for(broker, in_top("a/f"));
		calm();
	}
	printf("%s good=%ld interrupted=%ld twice=%ld signals=%ld asked=%ld\n", name, good,
		interrupted, twice, (long)signals, asked);
}

static int storms(void)
{
	struct warder *broker = in_cell() ? warder_attach() : NULL;

	storm_round(broker, "restarting", SA_RESTART);
	storm_round(broker, "interrupting", 0);
	return 0;
}

/* ---- tables and directories of threads ------------------------------------------------------- */

static char read_first(int fd)
{
	char c = '-';

	if (fd < 0 || pread(fd, &c, 1, 0) != 1)
		c = '-';
	close(fd);
	return c;
}

/* In a table and a directory of its own: number 50 and "f" are other files than elsewhere. */
static void *in_own_table(void *ret)
{
	long wrong = 0;

	unshare(CLONE_FILES | CLONE_FS);
	dup2(open(in_top("w"), O_RDONLY | O_DIRECTORY), 50);
	if (chdir(in_top("w")) < 0)
		wrong++;
	for (int i = 0; i < 1000; i++) {
		wrong += read_first(openat(50, "f", O_RDONLY)) != 'w';
		wrong += read_first(open("f", O_RDONLY)) != 'w';
	}
	*(long *)ret = wrong;
	return NULL;
}

static long elsewhere(void)
{
	long wrong = 0;

	for (int i = 0; i < 1000; i++) {
		wrong += read_first(openat(50, "f", O_RDONLY)) != 'd';
		wrong += read_first(open("f", O_RDONLY)) != 'd';
	}
	return wrong;
}

static void *after_leader(void *unused)
{
	struct timespec t = {0, 20000000};
	long wrong;

	nanosleep(&t, NULL);
	wrong = elsewhere();
	wrong += mkdir(in_top("w/leaderless"), 0755) != 0;
	wrong += rmdir(in_top("w/leaderless")) != 0;
	printf("leaderless wrong=%ld\n", wrong);
	fflush(stdout);
	_exit(0);
	return unused;
}

static void leader_dies(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, after_leader, NULL) == 0)
		syscall(SYS_exit, 0);
	_exit(1);
}

static int shared_memory_child(void *ret)
{
	/* CLONE_VM without CLONE_FILES and CLONE_FS: the same memory, other tables. */
	in_own_table(ret);
	_exit(0);
}

static long vfork_child(void)
{
	int status = -1;
	pid_t pid = vfork();

	if (pid == 0)
		_exit(read_first(open("f", O_RDONLY)) == 'd' ? 0 : 1);
	waitpid(pid, &status, 0);
	return status != 0;
}

static int tables(void)
{
	static long wrong[3];
	char *stack =
		mmap(NULL, 1 << 18, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t thread;
	pid_t pid;

	dup2(open(in_top("a"), O_RDONLY | O_DIRECTORY), 50);
	if (chdir(in_top("a")) < 0 || pthread_create(&thread, NULL, in_own_table, &wrong[0]) != 0)
		return 1;
	wrong[1] = elsewhere();
	pthread_join(thread, NULL);
	pid = clone(shared_memory_child, stack + (1 << 18), CLONE_VM | SIGCHLD, &wrong[2]);
	wrong[1] += elsewhere();
	waitpid(pid, NULL, 0);
	wrong[1] += vfork_child();
	printf("tables wrong=%ld\n", wrong[0] + wrong[1] + wrong[2]);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		leader_dies();
	waitpid(pid, NULL, 0);
	return 0;
}

/* ---- many at once ---------------------------------------------------------------------------- */

#define THREADS 200

static volatile bool over;
static const char *hammered;
static long served[THREADS];

static void *hammer(void *ret)
{
	while (!over) {
		int fd = open(hammered, O_RDONLY);

		*(volatile long *)ret += fd >= 3;
		close(fd);
	}
	return NULL;
}

/* How many threads there are. */
static int start_crowd(pthread_t threads[THREADS])
{
	pthread_attr_t attr;
	int n = 0;

	hammered = in_top("a/f");
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (n < THREADS && pthread_create(&threads[n], &attr, hammer, &served[n]) == 0)
		n++;
	return n;
}

static int crowd(void)
{
	pthread_t threads[THREADS];
	const char *made = in_top("w/crowd");
	struct warder *broker = in_cell() ? warder_attach() : NULL;
	long starved = 0, mine = 0, asked = 0;
	int n = start_crowd(threads);

	/* Until everybody was served; the test's own limit is the only one in time. */
	for (bool all = false; !all;) {
		all = true;
		for (int i = 0; i < n; i++)
			all = all && *(volatile long *)&served[i] > 0;
		mine += mkdir(made, 0755) == 0 && rmdir(made) == 0;
		asked += ask_for(broker, hammered);
	}
	over = true;
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		starved += served[i] == 0;
	}
	printf("crowd threads=%d starved=%ld mine=%ld asked=%ld\n", n, starved, mine, asked);
	return 0;
}

/* Until somebody ends it. */
static int crowd_without_end(void)
{
	pthread_t threads[THREADS];

	start_crowd(threads);
	hammer(&served[0]);
	return 0;
}

/* Processes of eight threads, each ended while they open. */
static int killed(void)
{
	long n = amount("KILLED", 50), after = 0;

	hammered = in_top("a/f");
	for (long i = 0; i < n; i++) {
		struct timespec t = {0, 1000000 + (i % 10) * 300000};
		pid_t pid = fork();

		if (pid == 0) {
			pthread_t thread;

			for (int j = 0; j < 8; j++)
				pthread_create(&thread, NULL, hammer, &served[j]);
			pause();
		}
		nanosleep(&t, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		after += read_first(open(in_top("a/f"), O_RDONLY)) == 'd';
	}
	printf("killed after=%ld\n", after);
	return 0;
}

/* ---- the tester ------------------------------------------------------------------------------ */

static const struct {
	const char *option;
	int (*run)(void);
} scenarios[] = {{"--emfile", emfile}, {"--storms", storms}, {"--tables", tables},
	{"--crowd", crowd}, {"--endless", crowd_without_end}, {"--killed", killed}};

static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;

/* Once without a cell and once in one; `limit` is of the whole cell, the broker's too. */
static void run_both(const char *limit, const char *what)
{
	tree_make();
	run_outside(&outside, what);
	run_cell(&inside, limit, "env OPENS STORM KILLED", what);
	if (outside.status != 0 || inside.status != 0)
		fail_msg("outside (%d):\n%s\ninside (%d):\n%s", outside.status, outside.out,
			inside.status, inside.out);
}

static void same_number(const char *name, const char *key)
{
	if (number_of(&inside, name, key) != number_of(&outside, name, key) ||
		number_of(&inside, name, key) < 0)
		fail_msg("%s %s: outside\n%s\ninside\n%s", name, key, outside.out, inside.out);
}

/* With 64 descriptors for the broker, a leak of one in a hundred opens would end it. */
static void a_full_table_gets_nothing_and_leaks_nothing(void **state)
{
	long delivered, undelivered;

	run_both("--nofile=64", "--emfile");
	assert_int_equal(number_of(&outside, "emfile", "full"), 300);
	assert_int_equal(number_of(&inside, "emfile", "full"), 300);
	/* Outside, b/f is read too. */
	assert_true(number_of(&outside, "emfile", "given") > number_of(&inside, "emfile", "given"));
	undelivered = records_with("\"event\":\"fail\"", "\"error\":\"EMFILE\"");
	delivered = records_with("\"event\":\"grant\"", "\"fd\":true") - undelivered;
	assert_true(undelivered >= 300);
	assert_int_equal(delivered, number_of(&inside, "emfile", "given"));
	tree_remove();
}

static void a_storm_of_signals_does_nothing_twice(void **state)
{
	static const char *const names[] = {"restarting", "interrupting"};
	long made = 0;

	run_both(NULL, "--storms");
	for (size_t i = 0; i < 2; i++) {
		assert_true(number_of(&inside, names[i], "signals") > 100);
		if (number_of(&inside, names[i], "twice") != 0)
			fail_msg("%s", inside.out);
		same_number(names[i], "good");
		same_number(names[i], "asked");
		assert_int_equal(number_of(&inside, names[i], "asked"), amount("STORM", 400));
		made += number_of(&inside, names[i], "good") / 5;
	}
	assert_int_equal(records_with("\"event\":\"grant\"", "\"op\":\"mkdir\""), made);
	tree_remove();
}

static void every_thread_has_its_own_table_and_directory(void **state)
{
	run_both(NULL, "--tables");
	same_number("tables", "wrong");
	assert_int_equal(number_of(&inside, "tables", "wrong"), 0);
	same_number("leaderless", "wrong");
	assert_int_equal(number_of(&inside, "leaderless", "wrong"), 0);
	assert_int_equal(records_with("\"event\":\"deny\"", "\"door\":\"trap\""), 0);
	tree_remove();
}

static void among_two_hundred_threads_each_is_served(void **state)
{
	run_both(NULL, "--crowd");
	assert_int_equal(number_of(&inside, "crowd", "threads"), THREADS);
	assert_int_equal(number_of(&inside, "crowd", "starved"), 0);
	assert_true(number_of(&inside, "crowd", "mine") > 0);
	assert_true(number_of(&inside, "crowd", "asked") > 0);
	assert_true(records_with("\"event\":\"grant\"", "\"door\":\"trap\"") >= THREADS);
	assert_int_equal(records_with("\"event\":\"grant\"", "\"door\":\"ask\""),
		number_of(&inside, "crowd", "asked"));
	tree_remove();
}

/* The broker is never without a call to serve, and does what else it has to all the same.  How many
 * threads there are by then is nobody's to say. */
static void threads_without_end_meet_the_time_limit(void **state)
{
	tree_make();
	run_cell(&inside, NULL, "time 3s", "--endless");
	if (inside.status != 128 + SIGKILL)
		fail_msg("status %d:\n%s", inside.status, inside.out);
	assert_true(records_with("\"event\":\"grant\"", "\"door\":\"trap\"") > 0);
	assert_int_equal(records_with("\"event\":\"end\"", "the time limit was reached"), 1);
	tree_remove();
}

static void callers_killed_while_they_open_leave_nothing(void **state)
{
	run_both("--nofile=64", "--killed");
	same_number("killed", "after");
	assert_true(number_of(&inside, "killed", "after") > 0);
	assert_true(records_with("\"event\":\"grant\"", "\"door\":\"trap\"") >=
		    number_of(&inside, "killed", "after"));
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_full_table_gets_nothing_and_leaks_nothing, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			a_storm_of_signals_does_nothing_twice, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			every_thread_has_its_own_table_and_directory, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			among_two_hundred_threads_each_is_served, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			threads_without_end_meet_the_time_limit, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			callers_killed_while_they_open_leave_nothing, fds_before, fds_after),
	};

	for (size_t i = 0; argc > 2 && i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (strcmp(argv[1], scenarios[i].option) != 0)
			continue;
		snprintf(top, sizeof(top), "%s", argv[2]);
		return scenarios[i].run();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
