/* SPDX-License-Identifier: MIT */
/*
 * ops.c - the rows of the message table that look at something or change what an inode holds: what
 * each does, and what it may not.
 */
#include "tests/unit/ops_world.h"

#include <dirent.h>
#include <sys/inotify.h>

/* ---- what changes nothing -------------------------------------------------------------------- */

static void stat_shows_names_that_are_visible(void **state)
{
	struct world *w = *state;
	struct msg_stat m;
	struct stat st;
	struct dec d;

	assert_int_equal(ask_path(w, MSG_STAT, "/data/a"), 0);
	assert_int_equal(w->answers[0].data_size, MSG_STAT_SIZE);
	d = dec_init(w->answers[0].data, MSG_STAT_SIZE);
	assert_int_equal(msg_get_stat(&d, &m), 0);
	assert_int_equal(stat(at(w, "/data/a"), &st), 0);
	assert_int_equal(m.ino, st.st_ino);
	assert_int_equal(m.dev, st.st_dev);
	assert_int_equal(m.size, 5);
	assert_int_equal(m.mode, st.st_mode);
	assert_int_equal(m.mtime_ns, st.st_mtim.tv_nsec);
	/* No right to open, but the name is in a tree. */
	assert_int_equal(ask_path(w, MSG_STAT, "/work/secret/key"), 0);
	assert_int_equal(ask_path(w, MSG_STAT, "/trash/t"), 0);
	assert_int_equal(ask_path(w, MSG_STAT, "/data/none"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_STAT, "/outside/x"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_STAT, "/work/out/x"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_STAT, "/work/out"), -ENOENT);
	assert_int_equal(ask(w, MSG_STAT, request("/work/out", AT_SYMLINK_NOFOLLOW, 0)), 0);
	assert_int_equal(ask(w, MSG_STAT, request("/work/f", AT_EMPTY_PATH, 0)), -EINVAL);
}

static void a_batch_of_stats_has_each_its_own_data(void **state)
{
	struct world *w = *state;
	const struct msg_request q[] = {
		request("/work/f", 0, 0), request("/none", 0, 0), request("/data/a", 0, 0)};
	const long sizes[] = {4, -1, 5};
	struct msg_stat m;

	assert_int_equal(send_requests(w, MSG_STAT, q, 3), 0);
	receive(w, MSG_STAT, 3);
	for (size_t i = 0; i < 3; i++) {
		struct dec d = dec_init(w->answers[i].data, w->answers[i].data_size);

		if (sizes[i] < 0) {
			assert_int_equal(w->answers[i].result, -ENOENT);
			assert_int_equal(w->answers[i].data_size, 0);
			continue;
		}
		assert_int_equal(msg_get_stat(&d, &m), 0);
		assert_int_equal(m.size, sizes[i]);
	}
}

static void access_asks_policy_and_file_system(void **state)
{
	static const struct {
		const char *path;
		int mode, result;
	} cases[] = {
		{"/data/a", F_OK, 0},
		{"/data/a", R_OK, 0},
		{"/data/a", W_OK, -EACCES},
		{"/data/a", X_OK, -EACCES},
		{"/data/none", R_OK, -ENOENT},
		{"/outside/x", F_OK, -ENOENT},
		{"/outside/x", R_OK, -ENOENT},
		{"/work/f", R_OK | W_OK, 0},
		{"/work/f", X_OK, -EACCES},
		{"/work", R_OK | W_OK | X_OK, 0},
		{"/run/r", X_OK, -EACCES}, /* the rule says yes, the mode does not */
		{"/run/x", X_OK, 0},
		{"/names", R_OK | X_OK, 0},
		{"/names/n", R_OK, -EACCES},
		{"/data/a", 8, -EINVAL},
	};
	struct world *w = *state;

	put_file(w, "/run/x", "x");
	assert_int_equal(chmod(at(w, "/run/x"), 0755), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = ask(w, MSG_ACCESS, request(cases[i].path, (uint32_t)cases[i].mode, 0));

		if (r != cases[i].result)
			fail_msg("%s %d: %d", cases[i].path, cases[i].mode, r);
	}
}

static void readlink_reads_links_and_nothing_else(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_path(w, MSG_READLINK, "/work/out"), 0);
	assert_int_equal(w->answers[0].data_size, 8);
	assert_memory_equal(w->answers[0].data, "/outside", 8);
	assert_int_equal(ask_path(w, MSG_READLINK, "/work/f"), -EINVAL);
	assert_int_equal(ask_path(w, MSG_READLINK, "/work/none"), -ENOENT);
	put_link(w, "x", "/outside/l");
	assert_int_equal(ask_path(w, MSG_READLINK, "/outside/l"), -ENOENT);
	put_link(w, "x", "/names/l");
	assert_int_equal(ask_path(w, MSG_READLINK, "/names/l"), -EACCES);
}

/* Lists a whole directory by its cookies; returns how many names, and sets how many answers. */
static size_t list_all(struct world *w, const char *path, size_t *ret_answers, bool seen[1000])
{
	struct msg_request q = request(path, 0, 0);
	size_t n = 0;

	*ret_answers = 0;
	do {
		struct dec d;

		assert_int_equal(ask(w, MSG_LIST, q), 0);
		d = dec_init(w->answers[0].data, w->answers[0].data_size);
		q.offset = dec_u64(&d);
		while (!d.error && d.at < d.end) {
			unsigned number;
			char name[256] = "";
			size_t size;

			dec_u64(&d);
			dec_u8(&d);
			size = dec_u8(&d);
			memcpy(name, dec_bytes(&d, size), size);
			if (sscanf(name, "a-name-that-is-not-short-at-all-%u", &number) == 1) {
				assert_false(seen[number]);
				seen[number] = true;
			}
			n++;
		}
		assert_int_equal(d.error, 0);
		(*ret_answers)++;
	} while (q.offset != 0);
	return n;
}

static void list_goes_on_where_it_stopped(void **state)
{
	struct world *w = *state;
	bool seen[1000] = {false};
	char name[128];
	size_t answers;

	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "/names/a-name-that-is-not-short-at-all-%d", i);
		put_file(w, name, "");
	}
	assert_int_equal(list_all(w, "/names", &answers, seen), 1001);
	for (int i = 0; i < 1000; i++)
		assert_true(seen[i]);
	assert_int_equal(list_all(w, "/data", &answers, seen), 2);
	assert_int_equal(answers, 1);
	assert_int_equal(ask_path(w, MSG_LIST, "/data/a"), -ENOTDIR);
	assert_int_equal(ask_path(w, MSG_LIST, "/outside"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_LIST, "/work/secret"), -EACCES);
	assert_int_equal(ask_path(w, MSG_LIST, "/work/out"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_LIST, "/trash"), -EACCES);
}

static void a_watch_tells_of_what_happens(void **state)
{
	struct world *w = *state;
	struct inotify_event e;

	assert_int_equal(
		ask(w, MSG_WATCH, request("/data/a", IN_MODIFY | IN_ONESHOT, 0)), ANSWER_FD);
	assert_int_equal(fcntl(w->fds[0], F_GETFD), FD_CLOEXEC);
	put_file(w, "/data/a", "changed");
	assert_int_equal(read(w->fds[0], &e, sizeof(e)), (ssize_t)sizeof(e));
	assert_true(e.mask & IN_MODIFY);
	assert_int_equal(ask(w, MSG_WATCH, request("/data/a", 0, 0)), -EINVAL);
	assert_int_equal(
		ask(w, MSG_WATCH, request("/data/a", IN_MODIFY | IN_MASK_ADD, 0)), -EINVAL);
	assert_int_equal(ask(w, MSG_WATCH, request("/outside/x", IN_MODIFY, 0)), -ENOENT);
	assert_int_equal(ask(w, MSG_WATCH, request("/work/secret", IN_CREATE, 0)), -EACCES);
	assert_int_equal(ask(w, MSG_WATCH, request("/names", IN_CREATE, 0)), -EACCES);
	assert_int_equal(ask(w, MSG_WATCH, request("/work/out", IN_CREATE, 0)), -ENOENT);
}

/* ---- what an inode holds --------------------------------------------------------------------- */

static void truncate_cuts_and_extends(void **state)
{
	struct world *w = *state;
	struct msg_request q = request("/work/link", 0, 0);
	struct stat st;

	q.offset = 2;
	assert_int_equal(ask(w, MSG_TRUNCATE, q), 0);
	assert_true(holds(w, "/work/f", "wo"));
	assert_last(w, "reached", "/work/f");
	q.offset = 100;
	assert_int_equal(ask(w, MSG_TRUNCATE, q), 0);
	assert_int_equal(stat(at(w, "/work/f"), &st), 0);
	assert_int_equal(st.st_size, 100);
	q.offset = UINT64_MAX;
	assert_int_equal(ask(w, MSG_TRUNCATE, q), -EINVAL);
	assert_int_equal(ask_path(w, MSG_TRUNCATE, "/work/sub"), -EISDIR);
	assert_int_equal(ask_path(w, MSG_TRUNCATE, "/data/a"), -EACCES);
	assert_int_equal(ask_path(w, MSG_TRUNCATE, "/work/out/x"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_TRUNCATE, "/outside/x"), -ENOENT);
	assert_true(holds(w, "/outside/x", "outside"));
	assert_true(holds(w, "/data/a", "alpha"));
}

static void chmod_gives_no_bit_beyond_the_rule(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(ask(w, MSG_CHMOD, request("/work/f", 0, 0751)), 0);
	assert_int_equal(stat(at(w, "/work/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0751);
	assert_int_equal(ask(w, MSG_CHMOD, request("/work/f", 0, 04755)), -EPERM);
	assert_int_equal(ask(w, MSG_CHMOD, request("/work/f", 0, 02755)), -EPERM);
	/* Sticky is no right, in a rule's `mode` or not. */
	assert_int_equal(ask(w, MSG_CHMOD, request("/work/sub", 0, 01755)), 0);
	assert_int_equal(stat(at(w, "/work/sub"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 01755);
	assert_int_equal(ask(w, MSG_CHMOD, request("/masked/m", 0, 01600)), 0);
	assert_int_equal(ask(w, MSG_CHMOD, request("/masked/m", 0, 0600)), 0);
	assert_int_equal(ask(w, MSG_CHMOD, request("/masked/m", 0, 0644)), -EPERM);
	assert_int_equal(ask(w, MSG_CHMOD, request("/masked/m", 0, 01644)), -EPERM);
	assert_int_equal(ask(w, MSG_CHMOD, request("/data/a", 0, 0600)), -EACCES);
	assert_int_equal(ask(w, MSG_CHMOD, request("/work/out/x", 0, 0600)), -ENOENT);
	assert_int_equal(stat(at(w, "/outside/x"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
}

static void utimes_sets_times_of_files_and_links(void **state)
{
	struct world *w = *state;
	struct msg_request q = request("/work/f", 0, 0);
	struct stat st;

	q.atime = 100;
	q.mtime = 200;
	q.mtime_ns = 5;
	assert_int_equal(ask(w, MSG_UTIMES, q), 0);
	assert_int_equal(stat(at(w, "/work/f"), &st), 0);
	assert_int_equal(st.st_atim.tv_sec, 100);
	assert_int_equal(st.st_mtim.tv_sec, 200);
	assert_int_equal(st.st_mtim.tv_nsec, 5);
	q.atime_ns = UTIME_OMIT;
	q.mtime_ns = UTIME_NOW;
	assert_int_equal(ask(w, MSG_UTIMES, q), 0);
	assert_int_equal(stat(at(w, "/work/f"), &st), 0);
	assert_true(st.st_mtim.tv_sec > 200);
	q.mtime_ns = 1000000000;
	assert_int_equal(ask(w, MSG_UTIMES, q), -EINVAL);
	q = request("/work/link", AT_SYMLINK_NOFOLLOW, 0);
	q.mtime = 300;
	assert_int_equal(ask(w, MSG_UTIMES, q), 0);
	assert_int_equal(lstat(at(w, "/work/link"), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 300);
	q = request("/data/a", 0, 0);
	q.mtime = 1;
	assert_int_equal(ask(w, MSG_UTIMES, q), -EACCES);
	q = request("/work/out/x", 0, 0);
	q.mtime = 1;
	assert_int_equal(ask(w, MSG_UTIMES, q), -ENOENT);
}

/* A change is in the book before it is made. */
static void a_change_that_cannot_be_written_down_is_not_made(void **state)
{
	struct world *w = *state;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	int real = w->ledger->fd;

	assert_true(full >= 0);
	w->ledger->fd = full;
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 0755)), -EIO);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/f"), -EIO);
	assert_int_equal(ask(w, MSG_RENAME, request2("/work/f", "/work/h", 0)), -EIO);
	assert_int_equal(ask(w, MSG_SYMLINK, request2("x", "/work/s", 0)), -EIO);
	assert_int_equal(ask_path(w, MSG_TRUNCATE, "/work/f"), -EIO);
	assert_int_equal(ask_open(w, "/work/new", O_WRONLY | O_CREAT), -EIO);
	assert_int_equal(ask_open(w, "/work/new", O_RDONLY | O_CREAT | O_EXCL), -EIO);
	w->ledger->fd = real;
	close(full);
	assert_false(there(w, "/work/d"));
	assert_false(there(w, "/work/new"));
	assert_false(there(w, "/work/s"));
	assert_true(holds(w, "/work/f", "work"));
	/* The control: with a ledger it is made. */
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 0755)), 0);
	assert_true(there(w, "/work/d"));
	assert_int_equal(ask_open(w, "/work/new", O_WRONLY | O_CREAT), 0);
	assert_true(there(w, "/work/new"));
}

/* The first line is the change, which has no inode yet; the second the descriptor, which has. */
static void what_is_made_by_an_open_has_two_lines(void **state)
{
	struct world *w = *state;
	json_t *lines, *made, *opened;
	struct stat st;
	size_t n;

	assert_int_equal(ask_open(w, "/work/new", O_WRONLY | O_CREAT), 0);
	assert_int_equal(stat(at(w, "/work/new"), &st), 0);
	lines = ledger_lines(w);
	n = json_array_size(lines);
	assert_int_equal(n, 2);
	made = json_array_get(lines, 0);
	opened = json_array_get(lines, 1);
	assert_string_equal(field(made, "event"), "grant");
	assert_string_equal(field(made, "reached"), "/work/new");
	assert_null(json_object_get(made, "fd"));
	assert_null(json_object_get(made, "ino"));
	assert_string_equal(field(opened, "event"), "grant");
	assert_true(json_is_true(json_object_get(opened, "fd")));
	assert_int_equal(json_integer_value(json_object_get(opened, "ino")), st.st_ino);
	json_decref(lines);
	assert_int_equal(w->s.tally.granted, 1);
	/* Made and refused by the file system: the failure names the change. */
	if (geteuid() == 0)
		return;
	assert_int_equal(chmod(at(w, "/work"), 0555), 0);
	assert_int_equal(ask_open(w, "/work/other", O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(chmod(at(w, "/work"), 0755), 0);
	made = last_line(w);
	assert_string_equal(field(made, "event"), "fail");
	assert_int_equal(json_integer_value(json_object_get(made, "of")), n + 1);
	json_decref(made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(stat_shows_names_that_are_visible),
		T(a_batch_of_stats_has_each_its_own_data),
		T(access_asks_policy_and_file_system),
		T(readlink_reads_links_and_nothing_else),
		T(list_goes_on_where_it_stopped),
		T(a_watch_tells_of_what_happens),
		T(truncate_cuts_and_extends),
		T(chmod_gives_no_bit_beyond_the_rule),
		T(utimes_sets_times_of_files_and_links),
		T(a_change_that_cannot_be_written_down_is_not_made),
		T(what_is_made_by_an_open_has_two_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
