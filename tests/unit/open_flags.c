/* SPDX-License-Identifier: MIT */
/*
 * open_flags.c - opens through the ask door: flags, modes and rights, and what comes of them.
 */
#include "tests/unit/open_world.h"
#include "broker/open_flags.h"

#include <sys/mman.h>

/* B10, B16, B17 */
static void flags_are_allowed_bit_by_bit(void **state)
{
	struct world *w = *state;
	const uint32_t allowed = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK |
				 O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_SYNC |
				 O_DSYNC | O_DIRECT | O_NOATIME | O_LARGEFILE_KERNEL | O_TMPFILE;

	for (unsigned bit = 0; bit < 32; bit++) {
		int r = ask_open(w, "/data/a", (int)(1u << bit));

		if (!(allowed & 1u << bit) && r != -EINVAL)
			fail_msg("bit %u: %d", bit, r);
	}
	assert_int_equal(ask_open(w, "/data/a", O_PATH), -EINVAL);
	assert_int_equal(ask_open(w, "/data/a", O_PATH | O_NOFOLLOW), -EINVAL);
	assert_int_equal(ask_open(w, "/work/w", O_ACCMODE), -EINVAL);
	assert_int_equal(ask_open(w, "/work/w", O_RDONLY | O_TRUNC), -EINVAL);
	assert_true(holds(w, "/work/w", "work"));
	assert_int_equal(ask_open(w, "/work/new", O_WRONLY | O_CREAT | O_DIRECTORY), -EINVAL);
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY | O_DIRECTORY), -ENOTDIR);
	assert_int_equal(ask_open(w, "/work/w", O_RDWR | O_NONBLOCK | O_APPEND), 0);
	assert_int_equal(fcntl(w->fds[0], F_GETFL) & (O_NONBLOCK | O_APPEND | O_ACCMODE),
		O_NONBLOCK | O_APPEND | O_RDWR);
}

static void each_access_needs_its_right(void **state)
{
	static const struct open_case cases[] = {
		{"/data/a", O_WRONLY, -EACCES},
		{"/data/a", O_RDWR, -EACCES},
		{"/data/a", O_WRONLY | O_APPEND, -EACCES},
		{"/data/a", O_RDONLY | O_CREAT, 0},
		{"/data/new", O_RDONLY | O_CREAT, -EACCES},
		{"/work/w", O_RDWR, 0},
		{"/logs/log", O_WRONLY | O_APPEND, 0},
		{"/logs/log", O_WRONLY, -EACCES},
		{"/logs/log", O_RDWR | O_APPEND, -EACCES},
		{"/logs/log", O_WRONLY | O_APPEND | O_TRUNC, -EACCES},
		{"/logs/new", O_WRONLY | O_APPEND | O_CREAT, -EACCES},
		{"/only/o", O_WRONLY, 0},
		{"/only/o", O_WRONLY | O_TRUNC, 0},
		{"/only/o", O_RDONLY, -EACCES},
		{"/only/o", O_RDWR, -EACCES},
		{"/only/new", O_WRONLY | O_CREAT, -EACCES},
		{"/drop/new", O_WRONLY | O_CREAT | O_EXCL, 0},
		{"/drop/new", O_WRONLY, -EACCES},
		{"/drop/new", O_WRONLY | O_CREAT, -EACCES},
		{"/drop/new", O_WRONLY | O_CREAT | O_TRUNC, -EACCES},
		{"/names", O_RDONLY | O_DIRECTORY, 0},
		{"/names", O_RDONLY, 0},
		{"/names/n", O_RDONLY, -EACCES},
	};

	RUN((struct world *)*state, cases);
}

/* A file of O_TMPFILE can be given a name, unless it was made with O_EXCL; the first is the
 * control. */
static bool stays_nameless(struct world *w)
{
	char path[32];
	int fd = open(at(w, "/work"), O_RDWR | O_TMPFILE | O_CLOEXEC, 0600), r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	assert_int_equal(
		linkat(AT_FDCWD, path, AT_FDCWD, at(w, "/work/named"), AT_SYMLINK_FOLLOW), 0);
	close(fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->fds[0]);
	r = linkat(AT_FDCWD, path, AT_FDCWD, at(w, "/work/named2"), AT_SYMLINK_FOLLOW);
	return r < 0 && errno == ENOENT;
}

/* B15 */
static void modes_are_masked_and_files_are_the_workers(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(
		ask(w, MSG_OPEN, request("/work/m", O_WRONLY | O_CREAT, 07777)), ANSWER_FD);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(
		ask(w, MSG_OPEN, request("/masked/m", O_WRONLY | O_CREAT, 07777)), ANSWER_FD);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(ask_open(w, "/work/m", O_WRONLY | O_CREAT | O_EXCL), -EEXIST);
	assert_int_equal(ask_open(w, "/work/m", O_WRONLY | O_CREAT), 0);
	assert_int_equal(ask_open(w, "/work", O_RDWR | O_TMPFILE), 0);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(st.st_nlink, 0);
	assert_true(stays_nameless(w));
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(ask_open(w, "/data", O_RDWR | O_TMPFILE), -EACCES);
	assert_int_equal(ask_open(w, "/work/m", O_RDWR | O_TMPFILE), -ENOTDIR);
	assert_int_equal(ask_open(w, "/work", O_RDONLY | O_TMPFILE), -EINVAL);
	put_link(w, ".", "/work/self");
	assert_int_equal(ask_open(w, "/work/self", O_RDWR | O_TMPFILE), 0);
	assert_int_equal(ask_open(w, "/work/self", O_RDWR | O_TMPFILE | O_NOFOLLOW), -ENOTDIR);
	/* open(2): the mode binds later opens only. */
	assert_int_equal(ask(w, MSG_OPEN, request("/work/closed", O_CREAT, 0020)), ANSWER_FD);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(st.st_mode & 07777, 0020);
}

/* Whether a name is free is told by the making, which is in the book before. */
static void a_name_that_is_taken_is_told_by_who_could_make_it(void **state)
{
	struct world *w = *state;
	static const struct open_case cases[] = {
		{"/only/o", O_WRONLY | O_CREAT | O_EXCL, -EEXIST}, /* no right to make it */
		{"/only/new", O_WRONLY | O_CREAT | O_EXCL, -EACCES},
		{"/work/w", O_WRONLY | O_CREAT | O_EXCL, -EEXIST},
	};
	json_t *lines, *grant, *fail;
	size_t n;

	RUN(w, cases);
	assert_true(holds(w, "/work/w", "work"));
	lines = ledger_lines(w);
	n = json_array_size(lines);
	grant = json_array_get(lines, n - 2);
	fail = json_array_get(lines, n - 1);
	assert_string_equal(field(grant, "event"), "grant");
	assert_string_equal(field(grant, "rights"), "create");
	assert_null(json_object_get(grant, "fd"));
	assert_string_equal(field(fail, "event"), "fail");
	assert_string_equal(field(fail, "error"), "EEXIST");
	assert_int_equal(json_integer_value(json_object_get(fail, "of")),
		json_integer_value(json_object_get(grant, "seq")));
	json_decref(lines);
	assert_int_equal(count_events(w, "grant", false), 1);
	assert_int_equal(count_events(w, "grant", true), 0);
	assert_int_equal(ask_open(w, "/drop/x", O_WRONLY | O_CREAT), 0);
	assert_int_equal(ask_open(w, "/drop/x", O_WRONLY | O_CREAT), -EACCES);
}

static void a_truncating_open_cuts_the_file(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_open(w, "/work/w", O_WRONLY | O_TRUNC), 0);
	assert_true(holds(w, "/work/w", ""));
	assert_int_equal(ask_open(w, "/work/w", O_RDWR | O_CREAT | O_TRUNC), 0);
}

static void reading_a_new_file_goes_through_the_view(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_open(w, "/work/lock", O_RDONLY | O_CREAT), 0);
	assert_int_equal(fcntl(w->fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(there(w, "/work/lock"));
}

/* A shared mapping of a file opened O_RDWR writes anywhere, O_APPEND or not. */
static bool overwrites_by_mapping(int fd)
{
	char *p = mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return false;
	p[0] = 'X';
	munmap(p, 4);
	return true;
}

static void append_is_never_a_way_to_overwrite(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_open(w, "/both/log", O_RDWR | O_APPEND), -EACCES);
	assert_int_equal(ask_open(w, "/both/log", O_WRONLY | O_APPEND), 0);
	assert_false(overwrites_by_mapping(w->fds[0]));
	assert_true(holds(w, "/both/log", "line\n"));
	/* The control: with the right to write it is one. */
	assert_int_equal(ask_open(w, "/work/w", O_RDWR | O_APPEND), 0);
	assert_true(overwrites_by_mapping(w->fds[0]));
	assert_true(holds(w, "/work/w", "Xork"));
}

/* C3: fcntl(2), F_SETFL: what is not named again when O_NONBLOCK is taken back would be gone, and
 * with it what made the grant one of appending. */
static void the_flags_that_were_asked_for_are_still_set(void **state)
{
	struct world *w = *state;
	const int mask = O_NONBLOCK | O_APPEND | O_NOATIME | O_ACCMODE;

	assert_int_equal(symlink("log", at(w, "/both/link")), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(
			ask_open(w, i ? "/both/link" : "/both/log", O_WRONLY | O_APPEND), 0);
		assert_int_equal(fcntl(w->fds[0], F_GETFL) & mask, O_WRONLY | O_APPEND);
		assert_int_equal(lseek(w->fds[0], 0, SEEK_SET), 0);
		assert_int_equal(write(w->fds[0], i ? "3\n" : "2\n", 2), 2);
	}
	assert_true(holds(w, "/both/log", "line\n2\n3\n"));
	/* The control: without the flag, as one who may write can ask, it is an overwrite. */
	assert_int_equal(ask_open(w, "/work/w", O_WRONLY), 0);
	assert_int_equal(write(w->fds[0], "X", 1), 1);
	assert_true(holds(w, "/work/w", "Xork"));
	assert_int_equal(ask_open(w, "/work/w", O_RDONLY | O_NOATIME), 0);
	assert_int_equal(fcntl(w->fds[0], F_GETFL) & mask, O_RDONLY | O_NOATIME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(flags_are_allowed_bit_by_bit),
		T(each_access_needs_its_right),
		T(modes_are_masked_and_files_are_the_workers),
		T(a_name_that_is_taken_is_told_by_who_could_make_it),
		T(a_truncating_open_cuts_the_file),
		T(reading_a_new_file_goes_through_the_view),
		T(append_is_never_a_way_to_overwrite),
		T(the_flags_that_were_asked_for_are_still_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
