/* SPDX-License-Identifier: MIT */
/*
 * fault_walk.c - the broker fails, is killed or is interrupted at each system call that it serves
 * with.
 *
 * A worker takes a dozen steps by both doors.  Once the broker's own calls are listed; then the
 * whole is run again for every one of them, which fails, or at which the broker is killed. Whatever
 * comes of it: what the worker had is in the book, what is denied it never had, and when the broker
 * has ended nothing of its cell is left.  Only the broker is traced: a fault in the worker would
 * hide what it had.
 *
 * Each write is met, and of the other calls each FAULT_STEP-th, of the start fewer; `make
 * check-races` meets all.
 */
#include "tests/hostile/trap_inside.h"
#include "sandbox/warder.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* ---- the worker's steps ---------------------------------------------------------------------- */

static int read_file(const char *name)
{
	char c;
	int fd = open(in_top(name), O_RDONLY), r;

	if (fd < 0)
		return errno;
	r = read(fd, &c, 1) == 1 ? 0 : EIO;
	close(fd);
	return r;
}

static int step_read(void)
{
	return read_file("a/f");
}

static int step_read_appended(void)
{
	return read_file("b/f");
}

static int step_read_hidden(void)
{
	return read_file("hidden");
}

static int step_overwrite(void)
{
	int fd = open(in_top("a/f"), O_WRONLY);

	return fd < 0 ? errno : TRY(pwrite(fd, "R", 1, 0));
}

static int step_create(void)
{
	int fd = open(in_top("w/new"), O_WRONLY | O_CREAT | O_EXCL, 0600);

	return fd < 0 ? errno : TRY(write(fd, "x", 1));
}

static int step_mkdir(void)
{
	return TRY(mkdir(in_top("w/d"), 0755));
}

static int step_rename(void)
{
	return TRY(rename(in_top("w/d"), in_top("w/e")));
}

static int step_rmdir(void)
{
	return TRY(rmdir(in_top("w/e")));
}

static int step_unlink(void)
{
	return TRY(unlink(in_top("w/new")));
}

static int step_truncate(void)
{
	return TRY(truncate(in_top("w/f"), 1));
}

static int step_chmod_denied(void)
{
	return TRY(chmod(in_top("a/f"), 0600));
}

/* Inside nobody listens there; outside the tester does. */
static int step_connect(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)amount("TCP_PORT", 0)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	return s < 0 ? errno : TRY(connect(s, (struct sockaddr *)&a, sizeof(a)));
}

static int ask_for(const char *name)
{
	static struct warder *broker; /* one a worker */
	int fd;

	if (!broker)
		broker = warder_attach();
	fd = broker ? warder_open(broker, in_top(name), O_RDONLY, 0) : -1;

	return fd < 0 ? errno ? errno : EIO : 0;
}

static int step_ask(void)
{
	return ask_for("a/f");
}

static int step_ask_appended(void)
{
	return ask_for("b/f");
}

static int step_exec(void)
{
	char name[] = "true", *argv[] = {name, NULL};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execv(in_top("a/true"), argv);
		_exit(errno);
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 ? errno : shell_status(status);
}

/* What has a record where it was done, or is never done. */
static const struct step {
	const char *name;
	int (*run)(void);
	const char *op, *path; /* NULL: must never be done in a cell */
} steps[] = {
	{"read", step_read, "\"door\":\"trap\",\"op\":\"open\"", "a/f"},
	{"read_appended", step_read_appended, NULL, NULL},
	{"read_hidden", step_read_hidden, NULL, NULL},
	{"overwrite", step_overwrite, NULL, NULL},
	{"create", step_create, "\"door\":\"trap\",\"op\":\"open\"", "w/new"},
	{"mkdir", step_mkdir, "\"op\":\"mkdir\"", "w/d"},
	{"rename", step_rename, "\"op\":\"rename\"", "w/d"},
	{"rmdir", step_rmdir, "\"op\":\"rmdir\"", "w/e"},
	{"unlink", step_unlink, "\"op\":\"unlink\"", "w/new"},
	{"truncate", step_truncate, "\"op\":\"truncate\"", "w/f"},
	{"chmod_denied", step_chmod_denied, NULL, NULL},
	{"connect", step_connect, NULL, NULL},
	{"exec", step_exec, "\"op\":\"exec\"", "a/true"},
	{"ask", step_ask, "\"door\":\"ask\",\"op\":\"open\"", "a/f"},
	{"ask_appended", step_ask_appended, NULL, NULL},
};
#define N_STEPS (sizeof(steps) / sizeof(*steps))

static int take_steps(void)
{
	for (size_t i = 0; i < N_STEPS; i++) {
		errno = 0;
		printf("%s %d\n", steps[i].name, steps[i].run());
		fflush(stdout);
	}
	return 0;
}

/* ---- the tester: one run --------------------------------------------------------------------- */

static struct outcome o = OUTCOME_INIT;

/* What the steps before have changed. */
static void files_again(void)
{
	unlink(in_top("w/new"));
	rmdir(in_top("w/d"));
	rmdir(in_top("w/e"));
	assert_int_equal(chmod(in_top("a/f"), 0666), 0);
	unlink(in_top("ledger.jsonl"));
}

/* Under strace with up to two of its options; `exec` gives the worker's own domain the data, too,
 * so that nothing but the broker keeps it from being read. */
static void run_traced(const char *one, const char *two)
{
	char a[PATH_MAX + 32], b[PATH_MAX + 32], w[PATH_MAX + 32];
	const char *argv[] = {"timeout", "-k", "5", "60", "strace", "-qq", "-o", in_top("trace"),
		"-e", one, "-e", two ? two : one, warder_path(), "run", "-q", "--runtime",
		own_directory(), "--ledger", in_top("ledger.jsonl"), "-e", a, "-e", b, "-e", w,
		"-e", "env TCP_PORT", "--", own_path(), "--steps", top, NULL};

	snprintf(a, sizeof(a), "allow read,exec %s/a/", top);
	snprintf(b, sizeof(b), "allow append %s/b/", top);
	snprintf(w, sizeof(w), "allow rw %s/w/", top);
	files_again();
	run_program(&o, argv);
}

static bool named_by(const char *pid)
{
	char path[300], text[4096];
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%s/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 && memmem(text, (size_t)n, top, strlen(top));
}

/* Processes whose arguments name this test's own directory: broker, init, worker. */
static int left_over(void)
{
	DIR *d = opendir("/proc");
	int n = 0;

	for (const struct dirent *e; d && (e = readdir(d));)
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9' && named_by(e->d_name);
	closedir(d);
	return n;
}

static bool all_ended(void)
{
	for (int i = 0; i < 400; i++) {
		if (left_over() == 0)
			return true;
		usleep(50000);
	}
	return false;
}

/* Records of a step that were not followed by one that says that nothing came of it. */
static long done_in_book(const struct step *s)
{
	char line[16384], path[PATH_MAX + 80], of[32];
	unsigned long seqs[16], seq;
	size_t n = 0;
	FILE *f = fopen(in_top("ledger.jsonl"), "re");

	snprintf(path, sizeof(path), "\"asked\":\"%s\"", in_top(s->path));
	while (f && fgets(line, sizeof(line), f)) {
		const char *undone = strstr(line, "\"of\":");

		if (strstr(line, "\"event\":\"grant\"") && strstr(line, s->op) &&
			strstr(line, path) && n < 16 && sscanf(line, "{\"seq\":%lu", &seq) == 1)
			seqs[n++] = seq;
		for (size_t i = 0; undone && i < n; i++) {
			snprintf(of, sizeof(of), "\"of\":%lu,", seqs[i]);
			if (strstr(line, of))
				seqs[i] = seqs[--n];
		}
	}
	if (f)
		fclose(f);
	return (long)n;
}

static int complain(bool good, const char *what, const char *why)
{
	if (!good)
		print_error("%s: %s\n%s", what, why, o.out);
	return !good;
}

/* How many things are wrong after a run. */
static int wrongs(const char *what)
{
	int bad = 0;

	bad += complain(all_ended(), what, "the end: processes are left");
	bad += complain(o.status != 124, what, "the end: it did not come");
	for (size_t i = 0; i < N_STEPS; i++) {
		const struct step *s = &steps[i];

		if (result_of(&o, s->name) != 0)
			continue;
		bad += complain(s->op, what, s->name);
		bad += complain(!s->op || done_in_book(s) > 0, what, s->name);
	}
	return bad;
}

/* How many steps came otherwise than they do undisturbed: what is granted is done, in the book, and
 * nothing else is. */
static int differences(const char *what)
{
	int bad = 0;

	for (size_t i = 0; i < N_STEPS; i++) {
		const struct step *s = &steps[i];

		bad += complain(
			(result_of(&o, s->name) == 0) == !!s->op && (!s->op || done_in_book(s) > 0),
			what, s->name);
	}
	return bad;
}

/* ---- the tester: the walk -------------------------------------------------------------------- */

#define CALLS_MAX 128

/* How often the broker makes a call before it serves, and until it has served. */
static struct call {
	char name[32];
	long before, until;
} calls[CALLS_MAX];
static size_t n_calls;

static struct call *find_call(const char *name, size_t size)
{
	for (size_t i = 0; i < n_calls; i++) {
		if (strlen(calls[i].name) == size && !strncmp(calls[i].name, name, size))
			return &calls[i];
	}
	assert_true(n_calls < CALLS_MAX && size < sizeof(calls->name));
	memcpy(calls[n_calls].name, name, size);
	return &calls[n_calls++];
}

/* strace puts another call in the place of the one that fails, -1 if nothing is said: for that the
 * broker's filter would kill it, and no failure would be tried. */
#define FAILS "error=EIO:syscall=getpid"

/* From the trace of a run without a fault. */
static void count_calls(void)
{
	FILE *f = fopen(in_top("trace"), "re");
	char line[16384];
	bool serves = false;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		size_t size = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789");
		struct call *c;

		if (size == 0 || line[size] != '(')
			continue;
		c = find_call(line, size);
		serves |= strstr(line, "NOTIF_RECV") != NULL;
		c->before += !serves;
		c->until++;
	}
	fclose(f);
}

/* strace cannot make these fail, or they do not return. */
static bool returns(const char *name)
{
	return strncmp(name, "exit", 4) != 0 && strcmp(name, "rt_sigreturn") != 0 &&
	       strcmp(name, "execve") != 0;
}

static long runs, injected;

/* Whether the nth use of a call is met in this run of the test; root meets others than who is not.
 */
static bool is_met(const struct call *c, long n)
{
	static unsigned long at;
	unsigned long step = (unsigned long)amount("FAULT_STEP", 4);

	if (n <= c->before)
		step *= step > 1 ? 6 : 1;
	at++;
	return !strcmp(c->name, "write") || (at + (geteuid() == 0)) % step == 0;
}

static int run_with(const char *name, const char *fault, const char *when)
{
	char trace[64], inject[96], line[16384];
	FILE *f;

	snprintf(trace, sizeof(trace), "trace=%s", name);
	snprintf(inject, sizeof(inject), "inject=%s:%s:when=%s", name, fault, when);
	run_traced(trace, inject);
	runs++;
	f = fopen(in_top("trace"), "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (strstr(line, "INJECTED") || strstr(line, "killed by SIGKILL")) {
			injected++;
			break;
		}
	}
	if (f)
		fclose(f);
	return wrongs(inject);
}

static int run_with_nth(const char *name, const char *fault, long n)
{
	char when[24];

	snprintf(when, sizeof(when), "%ld", n);
	return run_with(name, fault, when);
}

/* The control: without a fault all that is granted is done, in the book; and a worker that
 * is in no cell does the rest, too. */
static void what_the_steps_are_without_a_fault(int listener)
{
	run_outside(&o, "--steps");
	for (size_t i = 0; i < N_STEPS; i++) {
		if (strncmp(steps[i].name, "ask", 3) != 0 && result_of(&o, steps[i].name) != 0)
			fail_msg("outside: %s\n%s", steps[i].name, o.out);
	}
	/* The policy's text is written beside the ledger the first time alone. */
	run_traced("trace=none", NULL);
	run_traced("trace=all", NULL);
	assert_int_equal(wrongs("control") + differences("control"), 0);
	assert_true(records_with("\"event\":\"deny\"", in_top("b/f")) == 2);
	assert_true(records_with("\"event\":\"deny\"", "\"op\":\"chmod\"") == 1);
	assert_true(records_with("\"event\":\"deny\"", "\"op\":\"connect\"") == 1);
}

static int listen_outside(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char port[16];

	assert_int_equal(bind(s, (struct sockaddr *)&a, size), 0);
	assert_int_equal(listen(s, 16), 0);
	assert_int_equal(getsockname(s, (struct sockaddr *)&a, &size), 0);
	snprintf(port, sizeof(port), "%d", ntohs(a.sin_port));
	setenv("TCP_PORT", port, 1);
	return s;
}

static int begin(void **state)
{
	fds_before(state);
	tree_make();
	copy_true();
	n_calls = 0;
	runs = injected = 0;
	memset(calls, 0, sizeof(calls));
	return 0;
}

static bool may_trace(void)
{
	const char *argv[] = {"strace", "-o", "/dev/null", "-e", "trace=none", "true", NULL};

	run_program(&o, argv);
	return o.status == 0;
}

static int prepare(void)
{
	int s;

	if (!may_trace()) {
		print_message("strace is missing, or may not trace here\n");
		skip();
	}
	s = listen_outside();
	what_the_steps_are_without_a_fault(s);
	count_calls();
	return s;
}

/* What waits, or writes what must not be torn. */
static bool is_made_again(const char *name)
{
	static const char *const names[] = {"poll", "ppoll", "recvmsg", "sendmsg", "read", "write",
		"wait4", "waitid", "openat2", "fdatasync"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(name, names[i]))
			return true;
	}
	return false;
}

/* Every third use of a call is interrupted, from the first that the session is served with on, in
 * three turns that meet all; where it waits, all comes as it does without. */
static int run_interrupted(const struct call *c)
{
	char when[32];
	int bad = 0;

	for (long n = 1; n <= 3 && c->before + n <= c->until; n++) {
		snprintf(when, sizeof(when), "%ld+3", c->before + n);
		bad += run_with(c->name, "error=EINTR:syscall=getpid", when);
		bad += complain(o.status != 128 + SIGKILL, c->name, "the end: it had to be forced");
		bad += is_made_again(c->name) ? differences(c->name) : 0;
	}
	return bad;
}

static void an_interrupted_call_is_made_again_or_gives_nothing(void **state)
{
	int s = prepare(), bad = 0;
	bool waits = false;

	for (size_t i = 0; i < n_calls; i++) {
		const char *name = calls[i].name;

		waits |= is_made_again(name);
		/* close(2): whatever it says, the descriptor is gone, and here it would not be. */
		if (returns(name) && strcmp(name, "close") != 0)
			bad += run_interrupted(&calls[i]);
	}
	print_message("%ld runs, %ld with interrupted calls\n", runs, injected);
	assert_int_equal(bad, 0);
	assert_true(waits);
	assert_true(injected > runs * 3 / 4);
	close(s);
	tree_remove();
}

static void each_failing_call_gives_nothing_that_is_not_in_the_book(void **state)
{
	int s = prepare(), bad = 0;

	for (size_t i = 0; i < n_calls; i++) {
		const struct call *c = &calls[i];

		for (long n = c->before + 1; n <= c->until && returns(c->name); n++)
			bad += is_met(c, n) ? run_with_nth(c->name, FAILS, n) : 0;
	}
	print_message("%ld runs, %ld faults\n", runs, injected);
	assert_int_equal(bad, 0);
	assert_true(injected > runs * 3 / 4);
	close(s);
	tree_remove();
}

static void wherever_the_broker_is_killed_its_cell_ends(void **state)
{
	int s = prepare(), bad = 0;

	for (size_t i = 0; i < n_calls; i++) {
		const struct call *c = &calls[i];

		for (long n = 1; n <= c->until && returns(c->name); n++)
			bad += is_met(c, n) ? run_with_nth(c->name, "signal=SIGKILL", n) : 0;
	}
	print_message("%ld runs, %ld deaths\n", runs, injected);
	assert_int_equal(bad, 0);
	assert_true(injected > runs * 3 / 4);
	close(s);
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			each_failing_call_gives_nothing_that_is_not_in_the_book, begin, fds_after),
		cmocka_unit_test_setup_teardown(
			wherever_the_broker_is_killed_its_cell_ends, begin, fds_after),
		cmocka_unit_test_setup_teardown(
			an_interrupted_call_is_made_again_or_gives_nothing, begin, fds_after),
	};

	if (argc > 2 && !strcmp(argv[1], "--steps")) {
		snprintf(top, sizeof(top), "%s", argv[2]);
		return take_steps();
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
