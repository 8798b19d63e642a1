/* SPDX-License-Identifier: MIT */
/*
 * ask.c - the ask door itself: limits, answers that cannot be delivered or recorded.
 *
 * RUN_ALONE: how many descriptors are in flight is counted for a user, not for a process.
 */
#include "tests/unit/door_world.h"

#include "broker/ask_state.h"

#include <sys/resource.h>
#include <sys/socket.h>

static void the_worker_hanging_up_is_no_failure(void **state)
{
	struct world *w = *state;

	fd_close(&w->worker_fd);
	assert_int_equal(serve(w), 1);
}

static void an_answer_for_a_worker_that_is_gone_is_no_failure(void **state)
{
	struct world *w = *state;
	static uint8_t m[MSG_SIZE_MAX];
	size_t n = sound_message(w, m, sizeof(m), 1);

	assert_int_equal(chan_send(w->worker_fd, m, n, NULL, 0, true), 0);
	fd_close(&w->worker_fd);
	assert_int_equal(serve(w), 1);
}

/* A9, A10 */
static void a_worker_that_does_not_read_is_not_served_on(void **state)
{
	struct world *w = *state;
	static uint8_t m[MSG_SIZE_MAX];
	int small = 4096, before = 0, r = 0;
	size_t sent = 0, answers = 0;
	struct msg_header h;
	struct dec d;
	long got;

	setsockopt(w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 1000 && r == 0; i++) {
		size_t n = sound_message(w, m, sizeof(m), 8);

		w->id++;
		if (chan_send(w->worker_fd, m, n, NULL, 0, false) < 0)
			break;
		sent++;
		r = serve(w);
	}
	assert_int_equal(r, -EAGAIN);
	before = count_fds();
	/* Called again without room it neither reads nor opens. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(serve(w), -EAGAIN);
	assert_int_equal(count_fds(), before);
	/* Once it reads, everything comes, in order. */
	while (answers < sent) {
		int fds[MSG_COUNT_MAX];
		size_t n_fds;

		got = chan_recv(w->worker_fd, m, sizeof(m), fds, MSG_COUNT_MAX, &n_fds, false);
		if (got == -EAGAIN) {
			r = serve(w);
			assert_true(r == 0 || r == -EAGAIN);
			continue;
		}
		assert_true(got > 0);
		d = dec_init(m, (size_t)got);
		assert_int_equal(msg_header(&d, &h), 0);
		assert_int_equal(n_fds, 8);
		fd_close_many(fds, n_fds);
		answers++;
	}
	assert_int_equal(count_events(w, "grant", true), 8 * sent);
}

static void an_answer_that_waits_is_closed_with_the_session(void **state)
{
	struct world *w = *state;
	static uint8_t m[MSG_SIZE_MAX];
	int small = 4096, r = 0;

	setsockopt(w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (int i = 0; i < 1000 && r == 0; i++) {
		size_t n = sound_message(w, m, sizeof(m), 8);

		w->id++;
		assert_int_equal(chan_send(w->worker_fd, m, n, NULL, 0, true), 0);
		r = serve(w);
	}
	assert_int_equal(r, -EAGAIN);
	/* The teardown counts descriptors. */
}

/* A11: unix(7) ETOOMANYREFS, for a process without CAP_SYS_RESOURCE and CAP_SYS_ADMIN. */
static void too_many_descriptors_in_flight_are_a_busy_answer(void **state)
{
	struct world *w = *state;
	struct rlimit old, few;
	int pair[2], status;
	pid_t pid;

	assert_int_equal(chan_pair(&pair[0], &pair[1]), 0);
	pid = fork();
	if (pid == 0) {
		static uint8_t m[MSG_SIZE_MAX];
		size_t n = sound_message(w, m, sizeof(m), 8);
		int r = 0, big = 1 << 20;

		/* A uid of its own, so that nothing else counts. */
		if (geteuid() == 0 && (setgid(54321) < 0 || setuid(54321) < 0))
			_exit(2);
		chmod(w->dir, 0755);
		setsockopt(w->s.channel_fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
		getrlimit(RLIMIT_NOFILE, &old);
		few = (struct rlimit){40, old.rlim_max};
		setrlimit(RLIMIT_NOFILE, &few);
		for (int i = 0; i < 20; i++) {
			struct enc e = enc_init(m + 4, 4);

			enc_u32(&e, ++w->id);
			if (chan_send(w->worker_fd, m, n, NULL, 0, false) < 0)
				_exit(3);
			r = serve(w);
			if (r != 0)
				_exit(4);
		}
		/* `limit held` counts what waits to be read, and no more. */
		if (w->s.ask->unread != w->s.tally.granted)
			_exit(5);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(status, 0);
	{
		size_t granted = count_events(w, "grant", true), lost = 0, delivered = 0;
		json_t *lines = ledger_lines(w), *line;
		size_t i;

		json_array_foreach(lines, i, line) lost +=
			strcmp(field(line, "event"), "fail") == 0 &&
			json_object_get(line, "of") != NULL;
		json_decref(lines);
		for (i = 0; i < 20; i++) {
			receive(w, MSG_OPEN, 8);
			delivered += w->n_fds;
			for (size_t j = 0; j < 8; j++)
				assert_true(w->answers[j].result == ANSWER_FD ||
					    w->answers[j].result == -EBUSY);
		}
		assert_int_equal(granted, 160);
		assert_true(lost > 0);
		assert_int_equal(delivered + lost, granted);
	}
}

/* H2, H3 */
static void what_cannot_be_written_is_not_handed_over(void **state)
{
	struct world *w = *state;
	struct msg_request q[3] = {request("/data/a", O_RDONLY, 0), request("/outside/x", 0, 0),
		request("/work/w", O_WRONLY | O_TRUNC, 0)};
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int before, real = w->ledger->fd;

	assert_true(full >= 0);
	before = count_fds();
	w->ledger->fd = full;
	assert_int_equal(send_requests(w, MSG_OPEN, q, 3), 0);
	receive(w, MSG_OPEN, 3);
	w->ledger->fd = real;
	assert_int_equal(w->answers[0].result, -EIO);
	assert_int_equal(w->answers[1].result, -ENOENT);
	assert_int_equal(w->answers[2].result, -EIO);
	assert_int_equal(w->n_fds, 0);
	assert_int_equal(count_fds(), before);
	assert_true(holds(w, "/work/w", "work"));
	assert_int_equal(w->s.tally.granted, 0);
	assert_int_equal(w->s.tally.denied, 3);
	close(full);
	/* The control, and the numbers go on without a gap. */
	assert_int_equal(send_requests(w, MSG_OPEN, q, 3), 0);
	receive(w, MSG_OPEN, 3);
	assert_int_equal(w->n_fds, 2);
	assert_int_equal(count_events(w, "grant", true), 2);
}

/* What is lost is more than one record: a change is written at once, with the lines before it. */
static void a_change_that_cannot_be_written_takes_the_batch_along(void **state)
{
	struct world *w = *state;
	struct msg_request q[5];
	struct rlimit before, low;
	struct stat st;

	signal(SIGXFSZ, SIG_IGN);
	for (int i = 0; i < 4; i++)
		q[i] = request("/data/a", O_RDONLY, 0);
	q[4] = request("/work/new", O_WRONLY | O_CREAT, 0644);
	assert_int_equal(fstat(w->ledger->fd, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	/* Room for the denial that is written last, and not for the five lines. */
	low = (struct rlimit){(rlim_t)st.st_size + 800, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, 5), 0);
	receive(w, MSG_OPEN, 5);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(w->n_fds, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(w->answers[i].result, -EIO);
	assert_false(there(w, "/work/new"));
	assert_int_equal(count_events(w, "grant", false), 0);
	/* The control. */
	assert_int_equal(send_requests(w, MSG_OPEN, q, 5), 0);
	receive(w, MSG_OPEN, 5);
	assert_int_equal(w->n_fds, 5);
	assert_int_equal(count_events(w, "grant", true), 5);
	assert_true(there(w, "/work/new"));
}

static void a_batch_of_long_names_is_recorded_whole(void **state)
{
	struct world *w = *state;
	struct msg_request q[16];
	char path[MSG_PATH_MAX + 1];
	size_t n = (size_t)snprintf(path, sizeof(path), "/data");

	/* Each byte becomes six in the ledger, so that the lines are more than its buffer. */
	while (n + 201 < sizeof(path)) {
		path[n++] = '/';
		memset(path + n, 1, 200);
		n += 200;
	}
	path[n] = '\0';
	for (size_t i = 0; i < 16; i++)
		q[i] = request(path, O_WRONLY, 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, 15), 0);
	receive(w, MSG_OPEN, 15);
	assert_int_equal(count_events(w, "deny", false), 15);
}

static void requests_over_the_limit_are_busy_and_counted(void **state)
{
	struct world *w = with_policy("limit requests 50\nallow read /data/\n");
	size_t granted = 0, busy = 0;

	for (int i = 0; i < 200; i++) {
		int r = ask_open(w, "/data/a", O_RDONLY);

		granted += r == 0;
		busy += r == -EBUSY;
	}
	assert_int_equal(granted + busy, 200);
	assert_true(granted >= 50 && granted < 150);
	assert_int_equal(w->s.tally.limited, busy);
	usleep(100000);
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	assert_int_equal(w->s.tally.granted, granted + 1);
	world_free(w);
}

static void held_descriptors_are_counted_in_the_worker(void **state)
{
	struct world *w = fill(world_new());
	struct msg_request q[8];
	char text[128];
	int base = count_fds(), extra[4];

	/* This process is worker and broker: what it holds itself counts too. */
	snprintf(text, sizeof(text), "limit held %d\nallow read /data/\n", base + 16);
	world_ready(w, text);
	for (int i = 0; i < 8; i++)
		q[i] = request("/data/a", O_RDONLY, 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, 1), 0);
	receive(w, MSG_OPEN, 1);
	assert_int_equal(w->answers[0].result, ANSWER_FD);
	for (int i = 0; i < 4; i++)
		extra[i] = dup(0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, 8), 0);
	receive(w, MSG_OPEN, 8);
	assert_int_equal(w->answers[7].result, -EMFILE);
	assert_true(w->s.tally.limited > 0);
	fd_close_many(extra, 4);
	world_close_answer(w);
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	world_free(w);
}

/* Makes so many processes of a cell that have ended when they are looked at. */
static void make_processes(struct world *w, int from, int to)
{
	char path[32];

	for (int i = from; i < to; i++) {
		snprintf(path, sizeof(path), "/proc/%d", i);
		assert_int_equal(mkdir(at(w, path), 0755), 0);
	}
}

static void too_many_processes_count_as_over_the_limit(void **state)
{
	struct world *w = with_policy("limit held 1000\nallow read /data/\n");

	assert_int_equal(mkdir(at(w, "/proc"), 0755), 0);
	make_processes(w, 2, 500);
	w->s.charge.lists = true;
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	/* Until as many were given as there was room for, nobody looks. */
	make_processes(w, 500, 600);
	assert_true(w->s.charge.room > 900);
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	w->s.charge.room = 0;
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), -EMFILE);
	assert_int_equal(w->s.tally.limited, 1);
	world_free(w);
}

/* What it has opened so far is nowhere yet: neither with the worker nor on its way. */
static void one_message_is_held_to_the_limit_too(void **state)
{
	struct world *w = with_policy("limit held 10\nallow read /data/\n");
	struct msg_request q[MSG_COUNT_MAX];

	assert_int_equal(mkdir(at(w, "/proc"), 0755), 0);
	w->s.charge.lists = true;
	for (int i = 0; i < MSG_COUNT_MAX; i++)
		q[i] = request("/data/a", O_RDONLY, 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, MSG_COUNT_MAX), 0);
	receive(w, MSG_OPEN, MSG_COUNT_MAX);
	assert_int_equal(w->answers[9].result, ANSWER_FD);
	for (int i = 10; i < MSG_COUNT_MAX; i++)
		assert_int_equal(w->answers[i].result, -EMFILE);
	world_close_answer(w);
	world_free(w);
}

static void denials_for_the_summary_are_merged(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_open(w, "/data/a", O_WRONLY), -EACCES);
	assert_int_equal(ask_open(w, "/outside/x", O_RDONLY), -ENOENT);
	/* Allowed and missing is no denial. */
	assert_int_equal(ask_open(w, "/data/none", O_RDONLY), -ENOENT);
	assert_int_equal(w->result.n_denials, 2);
	assert_string_equal(w->result.denials[0].path, "/data/a");
	assert_int_equal(w->result.denials[0].rights, RIGHT_WRITE);
	assert_int_equal(w->result.denials[0].count, 3);
	assert_int_equal(w->result.denials[0].error, EACCES);
	assert_string_equal(w->result.denials[1].path, "/outside/x");
	assert_int_equal(w->s.tally.denied, 4);
}

/* H9: a flood of the same denial is counted, not written a million times. */
static void a_flood_of_one_denial_is_counted_exactly(void **state)
{
	struct world *w = *state;
	json_t *lines, *line;
	uint64_t count = 0;
	size_t i;

	for (int n = 0; n < 5000; n++)
		assert_int_equal(ask_open(w, "/outside/x", O_RDONLY), -ENOENT);
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	for (int n = 0; n < 100; n++)
		assert_int_equal(ask_open(w, "/outside/x", O_RDONLY), -ENOENT);
	ask_deinit(&w->s);
	lines = ledger_lines(w);
	json_array_foreach(lines, i, line)
	{
		json_int_t more = json_integer_value(json_object_get(line, "count"));

		if (strcmp(field(line, "event"), "deny") == 0)
			count += more ? (uint64_t)more : 1;
	}
	assert_int_equal(count, 5100);
	assert_true(json_array_size(lines) < 1000);
	json_decref(lines);
}

/* H4: as many records of grants as descriptors that came, whatever is asked. */
static void records_and_descriptors_are_as_many(void **state)
{
	static const char *const paths[] = {"/data/a", "/data/none", "/outside/x", "/work/w",
		"/work/new", "/data", "/work/../data/a", "/tmp/x"};
	struct world *w = *state;
	size_t delivered = 0;
	unsigned seed = 7;

	for (int i = 0; i < 2000; i++) {
		struct msg_request q[MSG_COUNT_MAX];
		size_t n = 1 + (size_t)rand_r(&seed) % 5;

		for (size_t j = 0; j < n; j++)
			q[j] = request(paths[(size_t)rand_r(&seed) % 8],
				(uint32_t)rand_r(&seed) &
					(O_RDWR | O_CREAT | O_TRUNC | O_DIRECTORY),
				0600);
		assert_int_equal(send_requests(w, MSG_OPEN, q, n), 0);
		receive(w, MSG_OPEN, n);
		delivered += w->n_fds;
	}
	assert_true(delivered > 500);
	assert_int_equal(count_events(w, "grant", true), delivered);
	assert_int_equal(w->s.tally.granted, delivered);
}

/* A12 */
static void descriptors_that_were_never_read_end_with_the_channel(void **state)
{
	struct world *w = *state;
	struct msg_request q[8];
	int base = count_fds();

	for (size_t i = 0; i < 8; i++)
		q[i] = request("/data/a", O_RDONLY, 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(send_requests(w, MSG_OPEN, q, 8), 0);
	assert_int_equal(count_fds(), base);
	/* Nothing keeps the file open once both ends are closed: a writer's lease would be refused
	 * while a descriptor is in flight. */
	fd_close(&w->worker_fd);
	assert_int_equal(serve(w), 1);
	{
		int fd = open(at(w, "/data/a"), O_RDWR | O_CLOEXEC);

		assert_int_equal(fcntl(fd, F_SETLEASE, F_WRLCK), 0);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_worker_hanging_up_is_no_failure),
		T(an_answer_for_a_worker_that_is_gone_is_no_failure),
		T(a_worker_that_does_not_read_is_not_served_on),
		T(an_answer_that_waits_is_closed_with_the_session),
		T(too_many_descriptors_in_flight_are_a_busy_answer),
		T(what_cannot_be_written_is_not_handed_over),
		T(a_change_that_cannot_be_written_takes_the_batch_along),
		T(a_batch_of_long_names_is_recorded_whole),
		cmocka_unit_test(requests_over_the_limit_are_busy_and_counted),
		cmocka_unit_test(held_descriptors_are_counted_in_the_worker),
		cmocka_unit_test(one_message_is_held_to_the_limit_too),
		cmocka_unit_test(too_many_processes_count_as_over_the_limit),
		T(denials_for_the_summary_are_merged),
		T(a_flood_of_one_denial_is_counted_exactly),
		T(records_and_descriptors_are_as_many),
		T(descriptors_that_were_never_read_end_with_the_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
