/* SPDX-License-Identifier: MIT */
/*
 * socket_cell.h - a cell that runs beside the test, with the real broker and its dialer, whose
 * worker connects and says what came of it.
 *
 * The test's program is its own worker.  Of what must leave nothing behind the test counts the
 * descriptors of broker and dialer before and after, where it may look into them, as root; and
 * whoever listens sees the end of a connection that nobody has.
 */
#ifndef WARDER_E2E_SOCKET_CELL_H
#define WARDER_E2E_SOCKET_CELL_H

#include "tests/e2e/peers.h"
#include "tests/e2e/processes.h"
#include "tests/hostile/inside.h"

#include "sandbox/warder.h"

#define PATIENCE_MS 60000

/* ---- the worker ------------------------------------------------------------------------------ */

/* In one piece: others say something too. */
static inline void say(const char *text)
{
	char line[64];
	int size = snprintf(line, sizeof(line), "%s\n", text);

	if (write(1, line, (size_t)size) != size)
		_exit(9);
}

static inline void await_go(void)
{
	char c;

	if (read(0, &c, 1) != 1)
		_exit(8);
}

static inline int end_worker(void)
{
	say("over");
	await_go();
	return 0;
}

static inline const char *error_of(int r)
{
	return r < 0 ? strerrorname_np(errno) : "connected";
}

/* Says that it is ready once the dialer is, which has all its sockets by then: it has dialled. */
static inline void say_ready(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	connect_port(fd, 1);
	close(fd);
	say("ready");
	await_go();
}

/* ---- a cell that runs beside the test -------------------------------------------------------- */

static struct world {
	char dir[PATH_MAX], ledger[PATH_MAX + 16], file[PATH_MAX + 8];
	pid_t broker, dialer;
	int in, out; /* the worker's */
	int n_broker, n_dialer;
	json_t *records;
} w;

static inline int set_up(void **state)
{
	*state = (void *)(intptr_t)count_fds();
	memset(&w, 0, sizeof(w));
	w.in = w.out = -1;
	make_directory(w.dir, sizeof(w.dir));
	snprintf(w.ledger, sizeof(w.ledger), "%s/ledger.jsonl", w.dir);
	snprintf(w.file, sizeof(w.file), "%s/file", w.dir);
	make_file(w.file, "text", 0644);
	return 0;
}

static inline int tear_down(void **state)
{
	char command[PATH_MAX + 16];

	fd_close(&w.in);
	fd_close(&w.out);
	if (w.broker > 0) {
		kill(w.broker, SIGKILL);
		waitpid(w.broker, NULL, 0);
	}
	json_decref(w.records);
	snprintf(command, sizeof(command), "rm -rf '%s'", w.dir);
	assert_int_equal(system(command), 0);
	return count_fds() == (int)(intptr_t)*state ? 0 : -1;
}

static inline void start(
	const char *rule, const char *mode, const char *a, const char *b, const char *c)
{
	char file_rule[PATH_MAX + 32];
	const char *argv[] = {warder_path(), "run", "-q", "--runtime", own_directory(), "--ledger",
		w.ledger, "-e", rule, "-e", file_rule, "-e", "allow connect 127.0.0.1:1", "--time",
		"120s", "--", own_path(), mode, a, b, c, NULL};
	int in[2], out[2];

	snprintf(file_rule, sizeof(file_rule), "allow read %s", w.file);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w.broker = fork();
	if (w.broker == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	w.in = in[1];
	w.out = out[0];
}

static inline void hear(char ret[64])
{
	struct pollfd p = {w.out, POLLIN};
	size_t n = 0;

	for (;;) {
		if (poll(&p, 1, PATIENCE_MS) != 1)
			fail_msg("the worker says nothing");
		assert_int_equal(read(w.out, ret + n, 1), 1);
		if (ret[n] == '\n')
			break;
		assert_in_range(++n, 0, 62);
	}
	ret[n] = '\0';
}

static inline void expect_line(const char *line)
{
	char said[64];

	hear(said);
	assert_string_equal(said, line);
}

static inline void go(void)
{
	assert_int_equal(write(w.in, "g", 1), 1);
}

static inline void expect_ready(void)
{
	expect_line("ready");
	assert_int_equal(processes_of(w.broker, 1, is_dialer, &w.dialer, 1), 1);
	w.n_broker = count_fds_of(w.broker);
	w.n_dialer = count_fds_of(w.dialer);
	assert_true(geteuid() == 0 ? w.n_broker > 0 && w.n_dialer > 0 : w.n_broker < 0);
	go();
}

/* At first the broker may still be closing what it had for the last answer. */
static inline bool something_is_left(void)
{
	return count_fds_of(w.broker) > w.n_broker || count_fds_of(w.dialer) > w.n_dialer;
}

/* After the worker has said its last word. */
static inline void expect_nothing_left(void)
{
	expect_line("over");
	for (int i = 0; i < PATIENCE_MS / 10 && something_is_left(); i++)
		usleep(10000);
	assert_false(something_is_left());
	go();
}

static inline void expect_end(void)
{
	int status;

	assert_int_equal(waitpid(w.broker, &status, 0), w.broker);
	w.broker = 0;
	assert_int_equal(shell_status(status), 0);
	w.records = ledger_load(w.ledger);
}

/* ---- peers that stand outside ---------------------------------------------------------------- */

/* A name that is this process's own: abstract ones are the whole network's. */
static inline const char *own_name(void)
{
	static char name[64];

	snprintf(name, sizeof(name), "@warder-test/edges-%d", (int)getpid());
	return name;
}

static inline int records_of(
	const char *event, const char *door, const char *key, const char *value)
{
	json_t *r;
	size_t i;
	int n = 0;

	json_array_foreach(w.records, i, r)
	{
		const char *e = json_string_value(json_object_get(r, "event"));
		const char *d = json_string_value(json_object_get(r, "door"));
		const char *v = json_string_value(json_object_get(r, key));

		n += e && strcmp(e, event) == 0 && d && strcmp(d, door) == 0 && v &&
		     strstr(v, value);
	}
	return n;
}

#endif
