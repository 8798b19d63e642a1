/* SPDX-License-Identifier: MIT */
/*
 * open_path.c - opens through the ask door: what is granted, what it is, what the ledger says.
 */
#include "tests/unit/open_world.h"

#include <sys/fsuid.h>

static void an_allowed_file_is_opened_and_signed_for(void **state)
{
	struct world *w = *state;
	struct stat st;
	json_t *line;

	assert_int_equal(ask_open(w, "/data/a", O_RDONLY | O_CLOEXEC), 0);
	assert_true(reads(w, "alpha"));
	assert_int_equal(fcntl(w->fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(w->fds[0], F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDONLY);
	line = last_line(w);
	assert_string_equal(field(line, "event"), "grant");
	assert_string_equal(field(line, "op"), "open");
	assert_string_equal(field(line, "door"), "ask");
	assert_string_equal(field(line, "asked"), "/data/a");
	assert_string_equal(field(line, "reached"), "/data/a");
	assert_string_equal(field(line, "type"), "file");
	assert_string_equal(field(line, "rights"), "read");
	assert_string_equal(field(line, "rule"), "test.policy:1");
	assert_string_equal(field(line, "flags"), "O_RDONLY|O_CLOEXEC");
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(json_integer_value(json_object_get(line, "dev")), st.st_dev);
	assert_int_equal(json_integer_value(json_object_get(line, "ino")), st.st_ino);
	json_decref(line);
}

/* B1, B2 */
static void dots_and_near_names_are_decided_on_components(void **state)
{
	static const struct open_case cases[] = {
		{"/data/a", O_RDONLY, 0},
		{"/data/../data/a", O_RDONLY, 0},
		{"/../data/a", O_RDONLY, 0},
		{"//data//a", O_RDONLY, 0},
		{"/data/./a", O_RDONLY, 0},
		{"/data/sub/../a", O_RDONLY, 0},
		{"/data/missing/../a", O_RDONLY, -ENOENT},
		{"/data/a/../a", O_RDONLY, -ENOTDIR},
		{"/data/../outside/x", O_RDONLY, -ENOENT},
		{"/data/sub/../../outside/x", O_RDONLY, -ENOENT},
		{"/data/..", O_RDONLY, 0}, /* "/" may be listed */
		{"/data/..", O_RDWR, -EACCES},
		{"/datax/a", O_RDONLY, -ENOENT},
		{"/dat", O_RDONLY, -ENOENT},
		{"/data/..a", O_RDONLY, -ENOENT},
		{"/data/...", O_RDONLY, -ENOENT},
		{"/data/secret/key", O_RDONLY, -EACCES},
		{"/data/secret/../a", O_RDONLY, 0},
		{"/data/sub/../secret/key", O_RDONLY, -EACCES},
	};

	RUN((struct world *)*state, cases);
}

/* B3 */
static void a_slash_at_the_end_demands_a_directory(void **state)
{
	struct world *w = *state;
	static const struct open_case cases[] = {
		{"/data/a/", O_RDONLY, -ENOTDIR},
		{"/data/a/.", O_RDONLY, -ENOTDIR},
		{"/data/sub/", O_RDONLY, 0},
		{"/data/sub/.", O_RDONLY, 0},
		{"/data/link/", O_RDONLY | O_NOFOLLOW, 0},
		{"/data/link", O_RDONLY | O_NOFOLLOW, -ELOOP},
		{"/data/link", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, -ENOTDIR},
		{"/work/new/", O_WRONLY | O_CREAT, -EISDIR},
		{"/work/new/.", O_WRONLY | O_CREAT, -ENOENT},
		{"/work/.", O_WRONLY | O_CREAT, -EISDIR},
		{"/work/.", O_WRONLY | O_CREAT | O_EXCL, -EEXIST},
		{"/work/none/new/", O_WRONLY | O_CREAT, -ENOENT},
		{"/work/", O_WRONLY, -EISDIR},
	};

	put_link(w, "sub", "/data/link");
	RUN(w, cases);
	assert_false(there(w, "/work/new"));
}

/* B4 */
static void symlinks_are_followed_only_to_what_is_allowed(void **state)
{
	struct world *w = *state;
	static const struct open_case cases[] = {
		{"/data/inside", O_RDONLY, 0},
		{"/data/absolute", O_RDONLY, 0},
		{"/data/through/b", O_RDONLY, 0},
		{"/data/out", O_RDONLY, -ENOENT},
		{"/data/out-relative", O_RDONLY, -ENOENT},
		{"/data/out-dir/x", O_RDONLY, -ENOENT},
		{"/data/to-secret", O_RDONLY, -EACCES},
		{"/data/host", O_RDONLY, -ENOENT},
		{"/data/loop", O_RDONLY, -ELOOP},
		{"/data/chain50", O_RDONLY, -ELOOP},
		{"/data/chain15", O_RDONLY, 0}, /* 40 are counted over the kernel's second try */
		{"/data/dangling", O_RDONLY, -ENOENT},
		{"/outside/in", O_RDONLY, -ENOENT},
		{"/data/inside", O_RDONLY | O_NOFOLLOW, -ELOOP},
	};
	char from[32], to[32];

	put_link(w, "sub/b", "/data/inside");
	put_link(w, "/data/sub/b", "/data/absolute");
	put_link(w, "sub", "/data/through");
	put_link(w, "/outside/x", "/data/out");
	put_link(w, "../outside/x", "/data/out-relative");
	put_link(w, "/outside", "/data/out-dir");
	put_link(w, "secret/key", "/data/to-secret");
	put_link(w, "/etc/passwd", "/data/host");
	put_link(w, "loop", "/data/loop");
	put_link(w, "nothing", "/data/dangling");
	put_link(w, "/data/a", "/outside/in");
	put_link(w, "a", "/data/chain0");
	for (int i = 1; i <= 50; i++) {
		snprintf(from, sizeof(from), "/data/chain%d", i);
		snprintf(to, sizeof(to), "chain%d", i - 1);
		put_link(w, to, from);
	}
	RUN(w, cases);
	assert_int_equal(ask_open(w, "/data/through/b", O_RDONLY), 0);
	assert_last(w, "asked", "/data/through/b");
	assert_last(w, "reached", "/data/sub/b");
	assert_true(reads(w, "beta"));
}

/* B4, the other half: making files. */
static void nothing_is_made_through_a_dangling_symlink(void **state)
{
	struct world *w = *state;
	static const struct open_case cases[] = {
		{"/work/dangling", O_WRONLY | O_CREAT, -ELOOP},
		{"/work/dangling", O_WRONLY | O_CREAT | O_EXCL, -EEXIST},
		{"/work/dangling-inside", O_WRONLY | O_CREAT, -ELOOP},
		{"/work/to-outside/new", O_WRONLY | O_CREAT, -ENOENT},
		{"/work/to-existing", O_WRONLY | O_CREAT, -ENOENT},
		{"/work/real", O_WRONLY | O_CREAT, 0},
	};

	put_link(w, "/outside/made", "/work/dangling");
	put_link(w, "/work/made", "/work/dangling-inside");
	put_link(w, "/outside", "/work/to-outside");
	put_link(w, "/outside/x", "/work/to-existing");
	RUN(w, cases);
	assert_false(there(w, "/outside/made"));
	assert_false(there(w, "/outside/new"));
	assert_false(there(w, "/work/made"));
	assert_true(holds(w, "/outside/x", "outside"));
}

/* C8, A13 */
static void only_files_and_directories_unless_the_rule_says(void **state)
{
	struct world *w = *state;
	struct stat st;
	int sock;

	assert_int_equal(mkfifo(at(w, "/data/fifo"), 0666), 0);
	assert_int_equal(mkfifo(at(w, "/data2/fifo"), 0666), 0);
	assert_int_equal(mknod(at(w, "/data/sock"), S_IFSOCK | 0666, 0), 0);
	assert_int_equal(mknod(at(w, "/data2/sock"), S_IFSOCK | 0666, 0), 0);
	assert_int_equal(ask_open(w, "/data/fifo", O_RDONLY), -EACCES);
	assert_last(w, "type", "fifo");
	assert_int_equal(ask_open(w, "/data/sock", O_RDONLY), -EACCES);
	assert_last(w, "reason", "a socket is never granted by its path");
	assert_int_equal(ask_open(w, "/data2/sock", O_RDONLY), -EACCES);
	/* The control: the same FIFO where the rule names the type, without waiting for a writer.
	 */
	assert_int_equal(ask_open(w, "/data2/fifo", O_RDONLY), 0);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	assert_int_equal(fcntl(w->fds[0], F_GETFL) & O_NONBLOCK, 0);
	sock = open(at(w, "/data/sock"), O_RDONLY);
	assert_int_equal(sock, -1);
}

static void a_device_is_refused(void **state)
{
	struct world *w = world_new();

	w->root[0] = '\0';
	world_ready(w, "allow read /dev/null\nallow rw /dev/zero type char\n");
	assert_int_equal(ask_open(w, "/dev/null", O_RDONLY), -EACCES);
	assert_last(w, "event", "deny");
	assert_last(w, "type", "char");
	assert_int_equal(ask_open(w, "/dev/zero", O_RDWR), 0);
	assert_last(w, "type", "char");
	world_free(w);
}

/* B8, B9 */
static void files_of_the_kernel_need_a_rule_that_begins_there(void **state)
{
	static const char *const never[] = {"/proc/self/mem", "/proc/self/environ",
		"/proc/self/maps", "/proc/self/auxv", "/proc/self/root/etc/passwd",
		"/proc/self/cwd/x", "/proc/self/exe", "/proc/self/fd/0", "/proc/self/ns/mnt",
		"/proc/1/mem", "/proc/1/root", "/proc/sys/kernel/hostname", "/proc/version",
		"/proc/thread-self/mem", "/dev/fd/0", "/dev/stdin",
		"/sys/kernel/mm/transparent_hugepage/enabled"};
	struct world *w = world_new();

	w->root[0] = '\0';
	world_ready(w, "root host\naccept missing uid\nallow read /\n");
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		int r = ask_open(w, never[i], O_RDONLY);

		if (r == 0)
			fail_msg("%s was granted", never[i]);
	}
	assert_int_equal(ask_open(w, "/proc/version", O_RDONLY), -EACCES);
	assert_last(w, "reason", "a file of procfs: the worker has a /proc of its own");
	assert_int_equal(ask_open(w, "/etc/passwd", O_RDONLY), 0);
	world_free(w);
	if (access("/sys/kernel/notes", F_OK) < 0)
		return;
	w = world_new();
	w->root[0] = '\0';
	world_ready(w, "allow read /sys/kernel/\nallow read /proc/\n");
	assert_int_equal(ask_open(w, "/sys/kernel/notes", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/proc/version", O_RDONLY), -EACCES);
	world_free(w);
}

/* B13, B14 */
static void names_are_bytes_of_any_length(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {"/data/new\nline", "/data/\x1b[31m",
		"/data/\x01\xff\xfe", "/data/quote\"\\", "/data/a (deleted)", "/data/\xe2\x80\xae",
		"/data/ "};
	char deep[4096], name[300];
	size_t n;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		put_file(w, names[i], "x");
		assert_int_equal(ask_open(w, names[i], O_RDONLY), 0);
	}
	assert_int_equal(ask_open(w, "/data/a (deleted)", O_RDONLY), 0);
	assert_last(w, "reached", "/data/a (deleted)");
	assert_int_equal(ask_open(w, "/", O_RDONLY), 0);
	assert_last(w, "rights", "list");
	assert_int_equal(ask_open(w, ".", O_RDONLY), -EINVAL);
	assert_int_equal(ask_open(w, "data/a", O_RDONLY), -EINVAL);
	memset(name, 'n', sizeof(name));
	memcpy(name, "/data/", 6);
	name[6 + NAME_MAX] = '\0';
	assert_int_equal(ask_open(w, name, O_RDONLY), -ENOENT);
	name[6 + NAME_MAX] = 'n';
	name[6 + NAME_MAX + 1] = '\0';
	assert_int_equal(ask_open(w, name, O_RDONLY), -ENAMETOOLONG);
	n = (size_t)snprintf(deep, sizeof(deep), "/data");
	while (n + 2 < sizeof(deep))
		n += (size_t)snprintf(deep + n, sizeof(deep) - n, "/d");
	assert_int_equal(ask_open(w, deep, O_RDONLY), -ENOENT);
	for (n = 5; n + 3 < sizeof(deep); n += 2)
		memcpy(deep + n, "/.", 2);
	memcpy(deep + n, "/a", 3);
	assert_int_equal(ask_open(w, deep, O_RDONLY), 0);
}

/* B22 */
static void a_refusal_tells_nothing_of_what_is_outside(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_open(w, "/outside/x", O_RDONLY), -ENOENT);
	assert_int_equal(ask_open(w, "/outside/y", O_RDONLY), -ENOENT);
	assert_int_equal(ask_open(w, "/outside/x", O_WRONLY | O_CREAT), -ENOENT);
	assert_int_equal(ask_open(w, "/outside/y", O_WRONLY | O_CREAT | O_EXCL), -ENOENT);
	assert_int_equal(ask_open(w, "/outside/x", O_WRONLY | O_CREAT | O_EXCL), -ENOENT);
	/* Inside a tree names are visible, and so is whether they exist. */
	assert_int_equal(ask_open(w, "/data/a", O_WRONLY), -EACCES);
	assert_int_equal(ask_open(w, "/data/none", O_WRONLY), -ENOENT);
	assert_int_equal(ask_open(w, "/data/secret/key", O_RDONLY), -EACCES);
}

static void in_an_empty_root_every_refusal_is_the_same(void **state)
{
	struct world *w = world_new();

	put_dir(w, "/data");
	put_dir(w, "/outside");
	put_file(w, "/data/a", "alpha");
	put_file(w, "/outside/x", "outside");
	world_ready(w, "root empty\nallow read /data/\n");
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/data/none", O_RDONLY), -ENOENT);
	assert_int_equal(ask_open(w, "/data/a", O_WRONLY), -EACCES);
	assert_int_equal(ask_open(w, "/data/none", O_WRONLY), -EACCES);
	assert_int_equal(ask_open(w, "/outside/x", O_RDONLY), -EACCES);
	assert_int_equal(ask_open(w, "/outside/none", O_RDONLY), -EACCES);
	assert_int_equal(ask_open(w, "/data/../x", O_RDONLY), -EACCES);
	world_free(w);
}

static void the_cells_own_places_are_the_workers_to_open(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_open(w, "/tmp/x", O_RDONLY), -EACCES);
	assert_last(w, "reason", "the cell's own: the worker opens it without the warder");
	assert_int_equal(ask_open(w, "/proc/self/mem", O_RDONLY), -EACCES);
	assert_int_equal(ask_open(w, "/dev/null", O_RDONLY), -EACCES);
	assert_int_equal(ask_open(w, "/usr/bin/true", O_RDONLY), -EACCES);
	assert_last(w, "reason", "the runtime: the worker opens it without the warder");
	assert_int_equal(ask_open(w, "/tmpx", O_RDONLY), -ENOENT);
}

/* B12: a hard link in an allowed tree is that tree's file, whoever else has a name for it. */
static void a_hard_link_inside_is_inside(void **state)
{
	struct world *w = *state;

	assert_int_equal(link(at(w, "/outside/x"), at(w, "/data/hard")), 0);
	assert_int_equal(ask_open(w, "/data/hard", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/data/hard", O_WRONLY), -EACCES);
}

/* B18 */
static void a_file_the_user_may_not_read_names_its_owner(void **state)
{
	struct world *w = *state;
	json_t *line;

	assert_int_equal(chmod(at(w, "/data/a"), 0), 0);
	if (geteuid() == 0) /* whom no mode stops: the next test's */
		return;
	assert_int_equal(ask_open(w, "/data/a", O_RDONLY), -EACCES);
	line = last_line(w);
	assert_string_equal(field(line, "event"), "fail");
	assert_non_null(strstr(field(line, "reason"), "mode 0000, owner"));
	json_decref(line);
}

/* B18 with a broker of root and a worker's user: RUN as root alone, see main(). */
static void root_opens_as_the_workers_user_unless_the_rule_says(void **state)
{
	struct world *w = world_new();
	struct stat st;

	put_dir(w, "/data");
	put_dir(w, "/spool");
	put_dir(w, "/new");
	put_dir(w, "/closed");
	assert_int_equal(chmod(at(w, "/closed"), 0700), 0);
	put_file(w, "/data/private", "private");
	put_file(w, "/data/public", "public");
	put_file(w, "/data/group", "group");
	put_file(w, "/data/others", "others");
	put_file(w, "/spool/private", "spool");
	put_link(w, "private", "/spool/link");
	assert_int_equal(chown(at(w, "/data/group"), 0, 65534), 0);
	assert_int_equal(chown(at(w, "/data/others"), 0, 1234), 0);
	assert_int_equal(chmod(at(w, "/data/group"), 0640), 0);
	assert_int_equal(chmod(at(w, "/data/others"), 0640), 0);
	assert_int_equal(chmod(at(w, "/data/private"), 0600), 0);
	assert_int_equal(chmod(at(w, "/spool/private"), 0600), 0);
	assert_int_equal(chmod(at(w, "/spool"), 0700), 0);
	assert_int_equal(chmod(at(w, "/new"), 0777), 0);
	w->s.privileged = true;
	w->s.uid = w->s.gid = 65534;
	world_start(w, "allow read /data/ /closed/\nallow rw /spool/ as broker\nallow rw /new/\n");
	hello(w);
	assert_int_equal(ask_open(w, "/data/private", O_RDONLY), -EACCES);
	assert_last(w, "reason",
		"mode 0600, owner 0:0, and the worker is 65534:65534; add \"as broker\"");
	assert_int_equal(ask_open(w, "/data/group", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/data/others", O_RDONLY), -EACCES);
	assert_last(w, "reason",
		"mode 0640, owner 0:1234, and the worker is 65534:65534; add \"as broker\"");
	assert_int_equal(ask_open(w, "/closed/f", O_RDONLY), -EACCES);
	assert_last(w, "reason",
		"a directory on the way is closed to 65534:65534, the worker; add \"as broker\"");
	assert_int_equal(ask_open(w, "/spool/private", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/spool/link", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/spool/made", O_WRONLY | O_CREAT), 0);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(ask(w, MSG_STAT, request("/spool/private", 0, 0)), 0);
	assert_int_equal(ask_open(w, "/new/made", O_WRONLY | O_CREAT), 0);
	assert_int_equal(fstat(w->fds[0], &st), 0);
	assert_int_equal(st.st_uid, 65534);
	assert_int_equal(st.st_gid, 65534);
	assert_int_equal(ask_open(w, "/data/private", O_RDONLY), -EACCES);
	setfsuid(0);
	setfsgid(0);
	world_free(w);
}

static void batches_are_answered_in_one_message_in_order(void **state)
{
	struct world *w = *state;
	static const char *const paths[] = {
		"/data/a", "/outside/x", "/data/sub/b", "/data/none", "/work/w"};
	static const int results[] = {ANSWER_FD, -ENOENT, ANSWER_FD, -ENOENT, ANSWER_FD};
	struct msg_request q[MSG_COUNT_MAX];
	char buf[16];

	for (size_t i = 0; i < 5; i++)
		q[i] = request(paths[i], O_RDONLY, 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, 5), 0);
	receive(w, MSG_OPEN, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(w->answers[i].result, results[i]);
	assert_int_equal(read(w->fds[0], buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "alpha", 5);
	assert_int_equal(read(w->fds[1], buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "beta", 4);
	assert_int_equal(read(w->fds[2], buf, sizeof(buf)), 4);
	assert_memory_equal(buf, "work", 4);
	for (size_t i = 0; i < MSG_COUNT_MAX; i++)
		q[i] = request("/data/a", O_RDONLY, 0);
	assert_int_equal(send_requests(w, MSG_OPEN, q, MSG_COUNT_MAX), 0);
	receive(w, MSG_OPEN, MSG_COUNT_MAX);
	assert_int_equal(w->n_fds, MSG_COUNT_MAX);
	assert_int_equal(count_events(w, "grant", true), MSG_COUNT_MAX + 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_allowed_file_is_opened_and_signed_for),
		T(dots_and_near_names_are_decided_on_components),
		T(a_slash_at_the_end_demands_a_directory),
		T(symlinks_are_followed_only_to_what_is_allowed),
		T(nothing_is_made_through_a_dangling_symlink),
		T(only_files_and_directories_unless_the_rule_says),
		T(a_device_is_refused),
		T(files_of_the_kernel_need_a_rule_that_begins_there),
		T(names_are_bytes_of_any_length),
		T(a_refusal_tells_nothing_of_what_is_outside),
		T(in_an_empty_root_every_refusal_is_the_same),
		T(the_cells_own_places_are_the_workers_to_open),
		T(a_hard_link_inside_is_inside),
		T(a_file_the_user_may_not_read_names_its_owner),
		T(batches_are_answered_in_one_message_in_order),
	};

	const struct CMUnitTest as_root[] = {
		cmocka_unit_test(root_opens_as_the_workers_user_unless_the_rule_says),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	if (geteuid() == 0)
		failed += cmocka_run_group_tests(as_root, NULL, NULL);
	return failed;
}
