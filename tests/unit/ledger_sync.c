/* SPDX-License-Identifier: MIT */
/*
 * ledger_sync.c - `ledger sync batch`: what is granted is on disk before it leaves.
 *
 * fdatasync(2) is this file's own, so that it can be counted, looked at from within, and failed.
 */
#include "tests/unit/world.h"

#include <poll.h>

static struct {
	unsigned calls;
	int error;            /* what it fails with; 0: it does not */
	struct world *w;      /* whose ledger and channel it looks at; NULL: nobody's */
	size_t grants;        /* that stood in the ledger at the last call */
	unsigned after_reply; /* calls that came when something had left already */
	unsigned told;
	int told_error;
} disk;

int fdatasync(int fd)
{
	disk.calls++;
	if (disk.w) {
		struct pollfd p = {disk.w->worker_fd, POLLIN};

		assert_int_equal(fd, disk.w->ledger->fd);
		disk.grants = count_events(disk.w, "grant", false);
		disk.after_reply += poll(&p, 1, 0) != 0;
	}
	errno = disk.error;
	return disk.error ? -1 : 0;
}

static void tell(int error)
{
	disk.told++;
	disk.told_error = error;
}

static struct world *begin(const char *setting)
{
	struct world *w = world_new();
	char text[256];

	memset(&disk, 0, sizeof(disk));
	put_dir(w, "/data");
	put_file(w, "/data/a", "alpha");
	put_dir(w, "/work");
	snprintf(text, sizeof(text), "allow read /data/\nallow rw /work/\n%s", setting);
	world_ready(w, text);
	w->ledger->sync = policy_settings(w->policy)->ledger_sync;
	w->ledger->tell_unsynced = tell;
	disk.w = w;
	disk.calls = 0;
	return w;
}

static void end(struct world *w)
{
	disk.w = NULL;
	world_free(w);
}

static void open_many(struct world *w, const char *path, size_t n)
{
	struct msg_request q[MSG_COUNT_MAX];

	for (size_t i = 0; i < n; i++)
		q[i] = request(path, O_RDONLY, 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, n), 0);
	receive(w, MSG_OPEN, n);
}

static void a_whole_message_is_brought_to_disk_at_once_before_its_answer(void **state)
{
	struct world *w = begin("");

	/* Without the setting nothing is waited for. */
	open_many(w, "/data/a", MSG_COUNT_MAX);
	assert_int_equal(w->n_fds, MSG_COUNT_MAX);
	assert_int_equal(disk.calls, 0);
	end(w);

	w = begin("ledger sync batch\n");
	open_many(w, "/data/a", MSG_COUNT_MAX);
	assert_int_equal(w->n_fds, MSG_COUNT_MAX);
	assert_int_equal(disk.calls, 1);
	assert_int_equal(disk.grants, MSG_COUNT_MAX);
	assert_int_equal(disk.after_reply, 0);
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	assert_int_equal(disk.calls, 2);
	end(w);
}

static void a_change_is_on_disk_before_it_is_made(void **state)
{
	struct world *w = begin("ledger sync batch\n");

	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 0755)), 0);
	assert_true(there(w, "/work/d"));
	assert_int_equal(disk.calls, 1);
	assert_int_equal(disk.grants, 1);
	disk.error = EIO;
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/e", 0, 0755)), -EIO);
	assert_false(there(w, "/work/e"));
	end(w);
}

/* What grants nothing goes along with the next that does. */
static void a_denial_waits_for_no_disk(void **state)
{
	struct world *w = begin("ledger sync batch\n");

	for (int i = 0; i < 5; i++)
		assert_true(ask_open(w, "/work/none", O_RDONLY) < 0);
	assert_true(ask_open(w, "/data/a", O_WRONLY) < 0);
	assert_int_equal(disk.calls, 0);
	assert_int_equal(count_events(w, "deny", false), 1);
	end(w);
}

static void what_is_not_on_disk_is_not_handed_over(void **state)
{
	struct world *w = begin("ledger sync batch\n");
	json_t *lines, *last;

	open_many(w, "/data/a", 8);
	assert_int_equal(w->n_fds, 8);
	disk.error = EIO;
	open_many(w, "/data/a", 8);
	assert_int_equal(w->n_fds, 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(w->answers[i].result, -EIO);
	assert_int_equal(disk.told, 1);
	assert_int_equal(disk.told_error, EIO);
	assert_int_equal(count_events(w, "grant", true), 8);

	/* The kernel tells of an error once: a success now says nothing of what came before. */
	disk.error = 0;
	disk.calls = 0;
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), -EIO);
	assert_int_equal(disk.calls, 0);
	assert_int_equal(disk.told, 1);
	assert_int_equal(count_events(w, "grant", true), 8);
	/* Denials are still written, and so is the end; no number is left out. */
	assert_int_equal(ask_open(w, "/data/a", O_WRONLY), -EACCES);
	assert_int_equal(count_events(w, "deny", false), 1);
	assert_int_equal(ledger_write(w->ledger, &(struct record){.event = EVENT_END}), 0);
	lines = ledger_lines(w);
	last = last_line(w);
	assert_int_equal(json_integer_value(json_object_get(last, "seq")), json_array_size(lines));
	json_decref(last);
	json_decref(lines);
	end(w);
}

/* A ledger that refuses to be cut keeps the lines: they claim more than was handed over, and the
 * next one still begins on a line of its own. */
static void lines_that_cannot_be_taken_back_stay_whole(void **state)
{
	struct ledger *l = malloc(sizeof(*l));
	const struct record grant = {.event = EVENT_GRANT, .has_fd = true};
	const struct record deny = {.event = EVENT_DENY};
	char text[4096] = "";
	int fds[2], write_fd;

	memset(&disk, 0, sizeof(disk));
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	write_fd = fds[1];
	assert_int_equal(ledger_init(l, &write_fd), 0);
	l->sync = true;
	disk.error = ENOSPC;
	assert_int_equal(ledger_write(l, &grant), -ENOSPC);
	assert_int_equal(l->seq, 1);
	assert_int_equal(ledger_write(l, &deny), 0);
	assert_int_equal(l->seq, 2);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_null(strstr(text, "\n\n"));
	assert_non_null(strstr(text, "{\"seq\":2,"));
	ledger_deinit(l);
	close(fds[0]);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_message_is_brought_to_disk_at_once_before_its_answer),
		cmocka_unit_test(a_change_is_on_disk_before_it_is_made),
		cmocka_unit_test(a_denial_waits_for_no_disk),
		cmocka_unit_test(what_is_not_on_disk_is_not_handed_over),
		cmocka_unit_test(lines_that_cannot_be_taken_back_stay_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
