/* SPDX-License-Identifier: MIT */
/*
 * ledger_file.c - where ledgers stand, which files may be one, and how many are kept.
 */
#include "cli/ledger_file.h"
#include "tests/unit/cli_lib.h"

#include <sys/file.h>
#include <time.h>

static struct policy *some_policy(const char *line)
{
	struct policy_env env = {.home = "/root", .start = "/"};
	struct policy *p = policy_new(&env);

	assert_non_null(p);
	assert_int_equal(policy_add_text(p, "test", "/", line, strlen(line)), 0);
	assert_int_equal(policy_finish(p), 0);
	return p;
}

static void state_stands_where_the_variable_says(void **state)
{
	struct failure f = FAILURE_INIT;
	char path[PATH_MAX], wanted[300];

	assert_int_equal(state_path(path, sizeof(path), &f), 0);
	snprintf(wanted, sizeof(wanted), "%s/warder", test_dir);
	assert_string_equal(path, wanted);
	/* Relative is ignored, as the XDG specification has it. */
	setenv("XDG_STATE_HOME", "relative", 1);
	setenv("HOME", test_dir, 1);
	assert_int_equal(state_path(path, sizeof(path), &f), 0);
	snprintf(wanted, sizeof(wanted), "%s/.local/state/warder", test_dir);
	assert_string_equal(path, geteuid() == 0 ? "/var/log/warder" : wanted);
}

static void directories_that_others_can_write_are_refused(void **state)
{
	struct failure f = FAILURE_INIT;
	int fd = -1;

	assert_int_equal(state_open("run", &fd, &f), 0);
	fd_close(&fd);
	assert_int_equal(chmod("warder/run", 0720), 0);
	assert_int_equal(state_open("run", &fd, &f), -EPERM);
	assert_non_null(strstr(f.text, "chmod go-w"));
	f.error = 0;
	assert_int_equal(chmod("warder/run", 0700), 0);
	assert_int_equal(rename("warder/run", "elsewhere"), 0);
	assert_int_equal(symlink("../elsewhere", "warder/run"), 0);
	assert_true(state_open("run", &fd, &f) < 0);
	assert_int_equal(fd, -1);
}

/* H10: a pipe whose reader waits would make the broker wait; a file that is only read, or is only a
 * name, cannot be written. */
static void refuse_what_is_handed_in(void)
{
	struct ledger_file l = LEDGER_FILE_INIT;
	struct failure f = FAILURE_INIT;
	int fds[4];
	char where[16];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fds[2] = open("file", O_RDONLY | O_CLOEXEC);
	fds[3] = open("file", O_PATH | O_CLOEXEC);
	for (size_t i = 1; i < 4; i++) {
		snprintf(where, sizeof(where), "fd:%d", fds[i]);
		f = (struct failure)FAILURE_INIT;
		if (ledger_file_named(where, &l, &f) == 0)
			fail_msg("%s was taken", where);
	}
	/* The control: the same file, to be written. */
	close(fds[3]);
	fds[3] = open("file", O_WRONLY | O_CLOEXEC);
	snprintf(where, sizeof(where), "fd:%d", fds[3]);
	assert_int_equal(ledger_file_named(where, &l, &f), 0);
	ledger_file_close(&l);
	for (size_t i = 0; i < 4; i++)
		close(fds[i]);
}

static void only_regular_files_of_ones_own_are_ledgers(void **state)
{
	static const char *const refused[] = {"directory", "fifo", "link", "dangling", "shared",
		"linked", "/dev/null", "no/such/directory/x", "fd:0x", "fd:987"};
	struct ledger_file l = LEDGER_FILE_INIT;

	assert_int_equal(mkdir("directory", 0700), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	close(open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(symlink("file", "link"), 0);
	assert_int_equal(symlink("nothing", "dangling"), 0);
	close(open("shared", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(chmod("shared", 0660), 0);
	close(open("linked", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(link("linked", "again"), 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct failure f = FAILURE_INIT;

		if (ledger_file_named(refused[i], &l, &f) == 0)
			fail_msg("%s was taken", refused[i]);
		assert_true(f.text[0] != '\0');
	}
	assert_int_equal(access("nothing", F_OK), -1);
	refuse_what_is_handed_in();
}

static void a_ledger_is_appended_to_and_locked(void **state)
{
	struct ledger_file l = LEDGER_FILE_INIT, second = LEDGER_FILE_INIT;
	struct failure f = FAILURE_INIT;
	struct stat st;

	assert_int_equal(ledger_file_named("book", &l, &f), 0);
	assert_int_equal(fstat(l.fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(fcntl(l.fd, F_GETFL) & O_APPEND);
	assert_false(fcntl(l.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(l.fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(ledger_file_named("book", &second, &f), -EWOULDBLOCK);
	assert_non_null(strstr(f.text, "in use"));
	ledger_file_close(&l);
	f.error = 0;
	assert_int_equal(ledger_file_named("book", &second, &f), 0);
	ledger_file_close(&second);
}

/* How many names in a directory end so. */
static int count(const char *dir, const char *end)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int n = 0;

	assert_non_null(d);
	while ((entry = readdir(d))) {
		size_t length = strlen(entry->d_name);

		n += length > strlen(end) && strcmp(entry->d_name + length - strlen(end), end) == 0;
	}
	closedir(d);
	return n;
}

static void the_newest_are_kept_and_what_is_in_use(void **state)
{
	struct ledger_file l = LEDGER_FILE_INIT;
	struct failure f = FAILURE_INIT;
	int held_fd;

	assert_int_equal(mkdir("warder", 0700), 0);
	assert_int_equal(mkdir("warder/run", 0700), 0);
	for (int i = 0; i < 70; i++) {
		char name[80];

		snprintf(name, sizeof(name), "warder/run/20200101T0000%02d.000000Z-1.jsonl", i);
		close(open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	}
	held_fd = open("warder/run/20200101T000000.000000Z-1.jsonl", O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(held_fd, LOCK_EX), 0);
	assert_int_equal(ledger_file_new("run", "", &l, &f), 0);
	assert_int_equal(count("warder/run", ".jsonl"), LEDGERS_KEPT + 1);
	assert_int_equal(access("warder/run/20200101T000000.000000Z-1.jsonl", F_OK), 0);
	assert_int_equal(access("warder/run/20200101T000001.000000Z-1.jsonl", F_OK), -1);
	assert_int_equal(access("warder/run/20200101T000069.000000Z-1.jsonl", F_OK), 0);
	close(held_fd);
	ledger_file_close(&l);
}

static void at_most_a_gibibyte_is_kept(void **state)
{
	struct ledger_file l = LEDGER_FILE_INIT;
	struct failure f = FAILURE_INIT;

	assert_int_equal(mkdir("warder", 0700), 0);
	assert_int_equal(mkdir("warder/run", 0700), 0);
	for (int i = 0; i < 4; i++) {
		char name[80];
		int fd;

		snprintf(name, sizeof(name), "warder/run/20200101T00000%d.000000Z-1.jsonl", i);
		fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(ftruncate(fd, (off_t)400 << 20), 0); /* sparse */
		close(fd);
	}
	assert_int_equal(ledger_file_new("run", "", &l, &f), 0);
	assert_int_equal(count("warder/run", ".jsonl"), 3);
	assert_int_equal(access("warder/run/20200101T000003.000000Z-1.jsonl", F_OK), 0);
	ledger_file_close(&l);
}

static void a_policy_is_kept_once_whole_and_under_its_hash(void **state)
{
	struct ledger_file l = LEDGER_FILE_INIT;
	struct failure f = FAILURE_INIT;
	char hash[POLICY_HASH_SIZE], again[POLICY_HASH_SIZE], other[POLICY_HASH_SIZE], path[128];
	struct policy *p = some_policy("allow read /etc/\n"),
		      *q = some_policy("allow read /usr/\n");
	struct stat st;
	int fd;

	assert_int_equal(ledger_file_named("./book", &l, &f), 0);
	assert_int_equal(ledger_keep_policy(&l, p, hash, &f), 0);
	assert_int_equal(strlen(hash), 64);
	assert_int_equal(ledger_keep_policy(&l, p, again, &f), 0);
	assert_string_equal(hash, again);
	assert_int_equal(ledger_keep_policy(&l, q, other, &f), 0);
	assert_string_not_equal(hash, other);
	assert_int_equal(count(".", ".policy"), 2);
	snprintf(path, sizeof(path), "%s.policy", hash);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);

	/* One that was changed meanwhile is written anew. */
	assert_int_equal(unlink(path), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_all(fd, "allow any /\n", 12), 0);
	close(fd);
	assert_int_equal(ledger_keep_policy(&l, p, again, &f), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_not_equal(st.st_size, 12);
	ledger_file_close(&l);
	policy_free(p);
	policy_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(state_stands_where_the_variable_says),
		TEST(directories_that_others_can_write_are_refused),
		TEST(only_regular_files_of_ones_own_are_ledgers),
		TEST(a_ledger_is_appended_to_and_locked),
		TEST(the_newest_are_kept_and_what_is_in_use),
		TEST(at_most_a_gibibyte_is_kept),
		TEST(a_policy_is_kept_once_whole_and_under_its_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
