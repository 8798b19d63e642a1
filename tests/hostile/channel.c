/* SPDX-License-Identifier: MIT */
/*
 * channel.c - a worker that lies on the channel to its broker, from inside a whole cell.
 *
 * Each lie is told in a session of its own: it must end that session, with the reason in the
 * ledger, and grant nothing.  The control is the same worker telling the truth.  What the decoder
 * makes of every length is the message tests' and the fuzzer's affair.
 */
#include "tests/hostile/inside.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"

#include <sys/socket.h>

static int sock;
static uint32_t next_id = 1;
static uint8_t buf[MSG_SIZE_MAX + 64];

/* ---- the worker's side -------------------------------------------------------------------- */

static size_t message(enum msg_op op, uint32_t id, uint32_t flags, const char *path)
{
	struct msg_request q = {
		.flags = flags, .path = path, .path_size = (uint16_t)(path ? strlen(path) : 0)};
	struct enc e = enc_init(buf, sizeof(buf));
	size_t size = 0;

	msg_begin(&e, op, id, 1);
	msg_put_request(&e, &q);
	msg_end(&e, &size);
	return size;
}

/* The result of one exchange: what the first answer says; -EPIPE where the broker hung up. */
static int exchange(size_t size, int *fds, size_t n_fds)
{
	struct msg_header h;
	struct msg_answer a;
	struct dec d;
	int fd = -1;
	size_t n = 0;
	long got;
	int r = chan_send(sock, buf, size, fds, n_fds, true);

	if (r < 0)
		return r;
	got = chan_recv(sock, buf, sizeof(buf), &fd, 1, &n, true);
	fd_close(&fd);
	if (got <= 0)
		return -EPIPE;
	d = dec_init(buf, (size_t)got);
	if (msg_header(&d, &h) < 0 || msg_get_answer(&d, &a) < 0)
		return -EPROTO;
	return a.result;
}

static int hello(void)
{
	return exchange(message(MSG_HELLO, next_id++, MSG_VERSION, NULL), NULL, 0);
}

static int ask(const char *path)
{
	return exchange(message(MSG_OPEN, next_id++, O_RDONLY, path), NULL, 0);
}

static int truth(const char *path)
{
	return ask(path);
}

static int hello_twice(const char *path)
{
	return hello();
}

static int id_again(const char *path)
{
	next_id--;
	return ask(path);
}

static int id_backwards(const char *path)
{
	next_id = 0;
	return ask(path);
}

static int unknown_op(const char *path)
{
	return exchange(message((enum msg_op)MSG__COUNT, next_id, 0, path), NULL, 0);
}

static int op_of_the_broker(const char *path)
{
	return exchange(message((enum msg_op)MSG_CLIENT, next_id, 0, path), NULL, 0);
}

static int size_too_small(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[0]--;
	return exchange(size, NULL, 0);
}

static int size_too_big(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[0]++;
	return exchange(size, NULL, 0);
}

static int one_byte(const char *path)
{
	message(MSG_OPEN, next_id, O_RDONLY, path);
	return exchange(1, NULL, 0);
}

static int over_the_maximum(const char *path)
{
	message(MSG_OPEN, next_id, O_RDONLY, path);
	return exchange(MSG_SIZE_MAX + 1, NULL, 0);
}

static int count_of_nothing(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[10] = buf[11] = 0;
	return exchange(size, NULL, 0);
}

static int count_too_high(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[10] = buf[11] = 0xff;
	return exchange(size, NULL, 0);
}

static int path_longer_than_message(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[MSG_HEADER_SIZE + MSG_REQUEST_SIZE - 4] = 0xff;
	buf[MSG_HEADER_SIZE + MSG_REQUEST_SIZE - 3] = 0xff;
	return exchange(size, NULL, 0);
}

static int nul_in_path(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[size - 1] = 0;
	return exchange(size, NULL, 0);
}

static int field_of_another_op(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[MSG_HEADER_SIZE + 8] = 1; /* offset */
	return exchange(size, NULL, 0);
}

static int empty_path(const char *path)
{
	return exchange(message(MSG_OPEN, next_id, O_RDONLY, NULL), NULL, 0);
}

/* SO_PASSRIGHTS refuses this in sendmsg (Linux 6.16); before, the message is a lie. */
static int attach(size_t size, int n)
{
	int fds[64];

	for (int i = 0; i < n; i++)
		fds[i] = dup(0);
	return exchange(size, fds, (size_t)n);
}

static int descriptor_attached(const char *path)
{
	return attach(message(MSG_OPEN, next_id, O_RDONLY, path), 1);
}

static int descriptors_attached(const char *path)
{
	return attach(message(MSG_OPEN, next_id, O_RDONLY, path), 64);
}

/* The same on a message that is wrong otherwise. */
static int descriptor_on_a_lie(const char *path)
{
	size_t size = message(MSG_OPEN, next_id, O_RDONLY, path);

	buf[0]++;
	return attach(size, 1);
}

struct lie {
	const char *name;
	int (*tell)(const char *path);
	bool before_hello;
};

static const struct lie lies[] = {
	{"open_before_hello", truth, true},
	{"hello_twice", hello_twice, false},
	{"id_again", id_again, false},
	{"id_backwards", id_backwards, false},
	{"unknown_op", unknown_op, false},
	{"op_of_the_broker", op_of_the_broker, false},
	{"size_too_small", size_too_small, false},
	{"size_too_big", size_too_big, false},
	{"one_byte", one_byte, false},
	{"over_the_maximum", over_the_maximum, false},
	{"count_of_nothing", count_of_nothing, false},
	{"count_too_high", count_too_high, false},
	{"path_longer_than_message", path_longer_than_message, false},
	{"nul_in_path", nul_in_path, false},
	{"field_of_another_op", field_of_another_op, false},
	{"empty_path", empty_path, false},
};

/* Tells the named lie (or the truth), then asks again: a broker that is still there answers. */
static int worker(const char *name, const char *path)
{
	int (*tell)(const char *) = truth;
	bool before_hello = false;
	int r;

	sock = atoi(getenv("WARDER_FD"));
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		if (!strcmp(lies[i].name, name)) {
			tell = lies[i].tell;
			before_hello = lies[i].before_hello;
		}
	}
	if (!strcmp(name, "descriptor"))
		tell = descriptor_attached;
	if (!strcmp(name, "descriptors"))
		tell = descriptors_attached;
	if (!strcmp(name, "descriptor_on_a_lie"))
		tell = descriptor_on_a_lie;
	if (!before_hello && hello() < 0)
		return 98;
	r = tell(path);
	printf("told %d\n", r);
	next_id += 10;
	printf("after %d\n", ask(path));
	fflush(stdout);
	return 0;
}

/* Closes its only channel and goes on. */
static int hung_up_worker(const char *path)
{
	sock = atoi(getenv("WARDER_FD"));
	if (hello() < 0)
		return 98;
	printf("before %d\n", ask(path));
	close(sock);
	usleep(200000);
	printf("opened %d\n", open(path, O_RDONLY) >= 0);
	printf("more %d\n", open(path, O_RDWR) >= 0);
	return 7;
}

/* Waits for the tester, who counts meanwhile. */
static void pause_for(const char *said)
{
	char byte;

	if (write(1, said, strlen(said)) < 0 || read(0, &byte, 1) < 0)
		_exit(97);
}

/* Attaches descriptors again and again, between two pauses.  How many were refused by the kernel,
 * how many ended the session. */
static int attaching_worker(const char *path, long n)
{
	long refused = 0, ended = 0, answered = 0;

	sock = atoi(getenv("WARDER_FD"));
	if (hello() < 0 || ask(path) != ANSWER_FD)
		return 98;
	pause_for("ready\n");
	for (long i = 0; i < n && !ended; i++) {
		int r = attach(message(MSG_OPEN, next_id, O_RDONLY, path), 1 + (int)(i % 64));

		refused += r == -EPERM;
		ended += r == -EPIPE;
		answered += r >= 0;
	}
	pause_for("tried\n");
	printf("refused %ld\nended %ld\nanswered %ld\nafter %d\n", refused, ended, answered,
		ask(path));
	return 0;
}

/* Never reads an answer, and asks until the channel is full for good. */
static int deaf_worker(const char *path)
{
	size_t size, sent = 0;

	sock = atoi(getenv("WARDER_FD"));
	if (hello() < 0)
		return 98;
	for (int stalls = 0; stalls < 20;) {
		size = message(MSG_OPEN, next_id, O_RDONLY, path);
		if (chan_send(sock, buf, size, NULL, 0, false) == 0) {
			next_id++;
			sent++;
			stalls = 0;
			continue;
		}
		usleep(20000);
		stalls++;
	}
	printf("sent %zu\n", sent);
	return 0;
}

/* ---- the tester --------------------------------------------------------------------------- */

static char dir[PATH_MAX], data[PATH_MAX + 8];

static int make(void **state)
{
	make_directory(dir, sizeof(dir));
	snprintf(data, sizeof(data), "%s/data", dir);
	assert_int_equal(mkdir(data, 0755), 0);
	snprintf(data, sizeof(data), "%s/data/a", dir);
	make_file(data, "data\n", 0644);
	return fds_before(state);
}

static void tell(struct outcome *ret, const char *name)
{
	char rule[PATH_MAX + 32];
	const char *options[] = {"-q", "-e", rule, NULL};
	const char *command[] = {own_path(), "--tell", name, data, NULL};

	snprintf(rule, sizeof(rule), "allow read %s/data/", dir);
	run_inside(ret, dir, options, command);
}

static void the_truth_is_served(void **state)
{
	static struct outcome o = OUTCOME_INIT;

	tell(&o, "truth");
	assert_int_equal(result_of(&o, "told"), ANSWER_FD);
	assert_int_equal(result_of(&o, "after"), ANSWER_FD);
	assert_int_equal(ledger_count(o.ledger, "grant", "asked", data), 2);
	assert_int_equal(o.status, 0);
	outcome_free(&o);
}

static void every_lie_ends_its_session_and_nothing_is_granted(void **state)
{
	int bad = 0;

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		static struct outcome o;
		int granted, after;

		o = (struct outcome)OUTCOME_INIT;
		tell(&o, lies[i].name);
		granted = ledger_count(o.ledger, "grant", NULL, NULL);
		after = result_of(&o, "after");
		if (granted || after >= 0 || result_of(&o, "told") > 0 ||
			ledger_count(o.ledger, "end", NULL, NULL) != 1 || o.status == 0) {
			print_error("%s: %d granted, exit %d: %s\n", lies[i].name, granted,
				o.status, o.out);
			bad++;
		}
		outcome_free(&o);
	}
	assert_int_equal(bad, 0);
}

/* A broker that the tester started, with its two pipes. */
struct talk {
	pid_t pid;
	int in, out;
};

static void talk_begin(struct talk *t, const char *const *argv)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	t->pid = fork();
	if (t->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	t->in = in[1];
	t->out = out[0];
}

/* What the worker says at its next pause, or at its end. */
static void talk_hear(struct talk *t, char *said, size_t size)
{
	struct pollfd p = {.fd = t->out, .events = POLLIN};
	ssize_t n;

	assert_int_equal(poll(&p, 1, 600000), 1);
	n = read(t->out, said, size - 1);
	assert_true(n >= 0);
	said[n] = '\0';
}

/* Root alone sees the descriptors of a broker, which is not dumpable; others see its end only. */
static int broker_fds(pid_t pid)
{
	return geteuid() == 0 ? count_fds_of(pid) : 0;
}

#define ATTACHMENTS 10000

/*
 * A1: whether the kernel refuses to send (then the session goes on) or the broker ends it, nothing
 * lands in the broker's table.  The control is the channel itself: what is asked without a
 * descriptor is answered before and after.
 */
static void ten_thousand_attachments_leave_nothing_in_the_broker(void **state)
{
	char rule[PATH_MAX + 32], ledger[PATH_MAX + 16], count[16], said[4096];
	const char *argv[] = {warder_path(), "run", "-q", "--runtime", own_directory(), "--ledger",
		ledger, "-e", rule, "--", own_path(), "--attach", data, count, NULL};
	struct outcome o = OUTCOME_INIT;
	struct talk t;
	int before, status;

	snprintf(rule, sizeof(rule), "allow read %s/data/", dir);
	snprintf(ledger, sizeof(ledger), "%s/ledger.jsonl", dir);
	snprintf(count, sizeof(count), "%d", ATTACHMENTS);
	talk_begin(&t, argv);
	talk_hear(&t, said, sizeof(said));
	assert_string_equal(said, "ready\n");
	before = broker_fds(t.pid);
	assert_true(geteuid() != 0 || before > 3);
	assert_int_equal(write(t.in, "", 1), 1);
	talk_hear(&t, said, sizeof(said));
	assert_string_equal(said, "tried\n");
	/* A broker that has ended the session has no table any more. */
	status = broker_fds(t.pid);
	assert_true(status == before || status <= 0);
	assert_int_equal(write(t.in, "", 1), 1);
	drain(t.out, o.out, sizeof(o.out));
	close(t.in);
	close(t.out);
	assert_int_equal(waitpid(t.pid, &status, 0), t.pid);
	o.ledger = ledger_load(ledger);
	assert_int_equal(result_of(&o, "answered"), 0);
	if (result_of(&o, "refused") == ATTACHMENTS) {
		assert_int_equal(result_of(&o, "after"), ANSWER_FD);
		assert_int_equal(ledger_count(o.ledger, "grant", NULL, NULL), 2);
	} else {
		assert_int_equal(result_of(&o, "ended"), 1);
		assert_int_equal(ledger_count(o.ledger, "grant", NULL, NULL), 1);
	}
	assert_int_equal(ledger_count(o.ledger, "end", NULL, NULL), 1);
	outcome_free(&o);
}

/* A5: on whatever message they ride, no answer comes to it. */
static void descriptors_never_reach_the_broker(void **state)
{
	static const char *const names[] = {"descriptor", "descriptors", "descriptor_on_a_lie"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		static struct outcome o;
		int granted, told;

		o = (struct outcome)OUTCOME_INIT;
		tell(&o, names[i]);
		granted = ledger_count(o.ledger, "grant", NULL, NULL);
		told = result_of(&o, "told");
		/* Refused at its sender, or a lie. */
		assert_true(told == -EPERM || told == -EPIPE);
		assert_int_equal(granted, told == -EPERM ? 1 : 0);
		assert_int_equal(result_of(&o, "after") == ANSWER_FD, granted == 1);
		assert_int_equal(ledger_count(o.ledger, "end", NULL, NULL), 1);
		outcome_free(&o);
	}
}

/* A deaf worker fills its own queue; the broker does not block, and ends with it. */
static void a_worker_that_never_reads_blocks_nobody(void **state)
{
	static struct outcome o = OUTCOME_INIT;
	char rule[PATH_MAX + 32];
	const char *options[] = {"-q", "-e", rule, "--time", "20s", NULL};
	const char *command[] = {own_path(), "--deaf", data, NULL};

	snprintf(rule, sizeof(rule), "allow read %s/data/", dir);
	run_inside(&o, dir, options, command);
	assert_int_equal(o.status, 0);
	assert_true(result_of(&o, "sent") > 0);
	assert_int_equal(ledger_count(o.ledger, "end", NULL, NULL), 1);
	outcome_free(&o);
}

static void a_worker_that_hangs_up_has_the_other_door(void **state)
{
	static struct outcome o = OUTCOME_INIT;
	char rule[PATH_MAX + 32];
	const char *options[] = {"-q", "-e", rule, NULL};
	const char *command[] = {own_path(), "--hang-up", data, NULL};

	snprintf(rule, sizeof(rule), "allow read %s/data/", dir);
	run_inside(&o, dir, options, command);
	assert_int_equal(result_of(&o, "before"), ANSWER_FD);
	assert_int_equal(result_of(&o, "opened"), 1);
	assert_int_equal(result_of(&o, "more"), 0);
	assert_int_equal(o.status, 7);
	assert_int_equal(ledger_count(o.ledger, "grant", "door", "ask"), 1);
	assert_int_equal(ledger_count(o.ledger, "grant", "door", "trap"), 1);
	outcome_free(&o);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_truth_is_served, make, fds_after),
		cmocka_unit_test_setup_teardown(
			every_lie_ends_its_session_and_nothing_is_granted, make, fds_after),
		cmocka_unit_test_setup_teardown(
			descriptors_never_reach_the_broker, make, fds_after),
		cmocka_unit_test_setup_teardown(
			ten_thousand_attachments_leave_nothing_in_the_broker, make, fds_after),
		cmocka_unit_test_setup_teardown(
			a_worker_that_never_reads_blocks_nobody, make, fds_after),
		cmocka_unit_test_setup_teardown(
			a_worker_that_hangs_up_has_the_other_door, make, fds_after),
	};

	if (argc == 4 && !strcmp(argv[1], "--tell"))
		return worker(argv[2], argv[3]);
	if (argc == 3 && !strcmp(argv[1], "--hang-up"))
		return hung_up_worker(argv[2]);
	if (argc == 4 && !strcmp(argv[1], "--attach"))
		return attaching_worker(argv[2], atol(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "--deaf"))
		return deaf_worker(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
