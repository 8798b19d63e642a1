/* SPDX-License-Identifier: MIT */
/*
 * signals.c - what ends a call that waits, other than what it waits for: a signal, SO_SNDTIMEO; in
 * a cell as without one.
 *
 * Each scenario is run twice by this same program, called with --run: by the worker's user as it
 * is, and in a cell.  It says what it sees; both must say the same.  What it waits for is a FIFO's
 * other end, or room in the queue of a listener of the tester's that is full until somebody
 * connects to the gate.  RUN_ALONE: its signals come by the clock, whether a call waits yet or not.
 */
#include "tests/e2e/signals_run.h"
#include "tests/hostile/inside.h"
#include "tests/e2e/differ_tree.h"

/* ---- the tester ------------------------------------------------------------------------------ */

static char top[PATH_MAX - 64], tree[PATH_MAX], sockets[PATH_MAX];

static uint16_t listen_tcp(int *ret, int backlog)
{
	struct sockaddr_in in = at_port(0);
	socklen_t size = sizeof(in);

	*ret = tcp();
	assert_int_equal(bind(*ret, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(listen(*ret, backlog), 0);
	assert_int_equal(getsockname(*ret, (struct sockaddr *)&in, &size), 0);
	return ntohs(in.sin_port);
}

static void listen_path(int *ret)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	snprintf(hole_path, sizeof(hole_path), "%.100s/hole", sockets);
	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", hole_path);
	unlink(un.sun_path);
	*ret = stream();
	assert_int_equal(bind(*ret, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(chmod(un.sun_path, 0777), 0);
	assert_int_equal(listen(*ret, 0), 0);
}

/* The process behind the hole: accepts at the gate, and then everywhere.  Ends with the pipe. */
static void keep_gate(int hole, int gate, int path, int life)
{
	struct pollfd p[] = {
		{gate, POLLIN, 0}, {life, POLLIN, 0}, {hole, POLLIN, 0}, {path, POLLIN, 0}};
	nfds_t n = 2;

	for (;;) {
		poll(p, n, -1);
		if (p[1].revents)
			_exit(0);
		for (nfds_t i = 0; i < n; i++) {
			if (i != 1 && p[i].revents)
				accept(p[i].fd, NULL, NULL);
		}
		if (p[0].revents)
			n = 4;
	}
}

struct hole {
	int fds[5]; /* listeners, and what fills their queues */
	int life[2];
	pid_t pid;
};

static void hole_open(struct hole *h)
{
	hole_port = listen_tcp(&h->fds[0], 0);
	gate_port = listen_tcp(&h->fds[1], 8);
	listen_path(&h->fds[2]);
	h->fds[3] = tcp();
	h->fds[4] = stream();
	assert_int_equal(connect_to(h->fds[3], hole_port), 0);
	assert_int_equal(connect_path(h->fds[4]), 0);
	assert_int_equal(pipe2(h->life, O_CLOEXEC), 0);
	h->pid = fork();
	if (h->pid == 0) {
		close(h->life[1]);
		keep_gate(h->fds[0], h->fds[1], h->fds[2], h->life[0]);
	}
	assert_true(h->pid > 0);
}

static void hole_close(struct hole *h)
{
	for (size_t i = 0; i < 5; i++)
		close(h->fds[i]);
	close(h->life[0]);
	close(h->life[1]);
	assert_int_equal(waitpid(h->pid, NULL, 0), h->pid);
}

static void fifos_make(void)
{
	uid_t uid = geteuid() == 0 ? NOBODY : geteuid();
	char path[PATH_MAX + 16];

	tree_remove(AT_FDCWD, tree);
	assert_int_equal(mkdir(tree, 0755), 0);
	assert_int_equal(lchown(tree, uid, uid), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", tree, i ? "fifo2" : "fifo");
		assert_int_equal(mkfifo(path, 0600), 0);
		assert_int_equal(lchown(path, uid, uid), 0);
	}
}

static void run_scenario(struct outcome *ret, const char *name, bool within)
{
	char hole[8], gate[8], connects[PATH_MAX + 64], files[PATH_MAX + 32];
	const char *command[] = {own_path(), "--run", name, tree, hole, gate, hole_path, NULL};
	const char *options[] = {"-q", "-e", files, "-e", connects, NULL};
	struct hole h;

	fifos_make();
	hole_open(&h);
	snprintf(hole, sizeof(hole), "%u", hole_port);
	snprintf(gate, sizeof(gate), "%u", gate_port);
	snprintf(files, sizeof(files), "allow rw %s/ type fifo", tree);
	snprintf(connects, sizeof(connects), "allow connect 127.0.0.1:%s 127.0.0.1:%s %s", hole,
		gate, hole_path);
	if (within)
		run_inside(ret, top, options, command);
	else
		run_program(ret, command);
	hole_close(&h);
}

/* How often a connect stands in the book: granted, and not followed by "nothing came of it". */
static int connects(json_t *ledger)
{
	size_t i;
	json_t *r;
	int n = 0;

	json_array_foreach(ledger, i, r)
	{
		const char *event = json_string_value(json_object_get(r, "event"));
		const char *op = json_string_value(json_object_get(r, "op"));

		n += op && strcmp(op, "connect") == 0 && strcmp(event, "grant") == 0;
	}
	return n;
}

/* `granted`: connects that the ledger grants; -1: as often as it takes. */
static void compare_scenario(const char *name, int granted)
{
	static struct outcome native, within;

	run_scenario(&native, name, false);
	run_scenario(&within, name, true);
	assert_int_equal(native.status, 0);
	if (within.status != 0 || strcmp(native.out, within.out) != 0)
		fail_msg("exit %d, natively:\n%s\nin the cell:\n%s", within.status, native.out,
			within.out);
	if (granted >= 0)
		assert_int_equal(connects(within.ledger), granted);
	outcome_free(&within);
}

#define X(name, connects) \
	static void test_##name(void **state) \
	{ \
		compare_scenario(#name, connects); \
	}
SCENARIOS
#undef X

/* An open that a signal ends has its record, which says so, and names no rule that is missing. */
static void what_was_interrupted_is_recorded(void **state)
{
	static struct outcome o;

	run_scenario(&o, "fifo_eintr", true);
	assert_int_equal(ledger_count(o.ledger, "fail", "reason", "interrupted by a signal"), 2);
	assert_int_equal(ledger_count(o.ledger, "fail", "error", "EINTR"), 2);
	assert_int_equal(ledger_count(o.ledger, "deny", NULL, NULL), 0);
	outcome_free(&o);
}

static int make_top(void **state)
{
	make_directory(top, sizeof(top));
	snprintf(tree, sizeof(tree), "%s/t", top);
	snprintf(sockets, sizeof(sockets), "%s/s", top);
	return mkdir(sockets, 0755);
}

static int remove_top(void **state)
{
	tree_remove(AT_FDCWD, top);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define X(name, connects) cmocka_unit_test_setup_teardown(test_##name, fds_before, fds_after),
		SCENARIOS
#undef X
			cmocka_unit_test_setup_teardown(
				what_was_interrupted_is_recorded, fds_before, fds_after),
	};

	if (argc > 2)
		return worker_main(argv);
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
