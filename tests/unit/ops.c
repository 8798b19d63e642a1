/* SPDX-License-Identifier: MIT */
/*
 * ops.c - every row of the message table but open: what it does, and what it may not.
 */
#include "tests/unit/world.h"

#include <dirent.h>
#include <sys/inotify.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#define RENAME_WHITEOUT  (1 << 2)
#endif

static const char *const rules = "allow rw /work/\n"
				 "allow read /data/\n"
				 "allow rwx /run/\n"
				 "allow create /drop/\n"
				 "allow delete /trash/\n"
				 "allow list /names/\n"
				 "allow rw /masked/ mode 0640\n"
				 "deny any /work/secret/\n";

static int setup(void **state)
{
	static const char *const dirs[] = {"/work", "/work/sub", "/work/secret", "/data",
		"/data/sub", "/run", "/drop", "/trash", "/names", "/outside", "/masked"};
	struct world *w = world_new();

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		put_dir(w, dirs[i]);
	put_file(w, "/work/f", "work");
	put_file(w, "/work/g", "other");
	put_file(w, "/work/sub/s", "s");
	put_file(w, "/work/secret/key", "key");
	put_file(w, "/data/a", "alpha");
	put_file(w, "/run/r", "run");
	put_file(w, "/drop/there", "there");
	put_file(w, "/trash/t", "t");
	put_file(w, "/names/n", "n");
	put_file(w, "/outside/x", "outside");
	put_file(w, "/masked/m", "m");
	put_link(w, "/outside", "/work/out");
	put_link(w, "f", "/work/link");
	*state = world_ready(w, rules);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static int ask_path(struct world *w, enum msg_op op, const char *path)
{
	return ask(w, op, request(path, 0, 0));
}

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

/* ---- names ----------------------------------------------------------------------------------- */

static void directories_are_made_and_removed(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 07777)), 0);
	assert_int_equal(stat(at(w, "/work/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_last(w, "event", "grant");
	assert_last(w, "rights", "create");
	assert_int_equal(ask(w, MSG_MKDIR, request("/masked/d/", 0, 0777)), 0);
	assert_int_equal(stat(at(w, "/masked/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 0755)), -EEXIST);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/..", 0, 0755)), -EEXIST);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/sub/..", 0, 0755)), -EEXIST);
	assert_int_equal(ask(w, MSG_MKDIR, request("/data/d", 0, 0755)), -EACCES);
	assert_int_equal(ask(w, MSG_MKDIR, request("/outside/d", 0, 0755)), -ENOENT);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/out/d", 0, 0755)), -ENOENT);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/secret/d", 0, 0755)), -EACCES);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/none/d", 0, 0755)), -ENOENT);
	assert_false(there(w, "/outside/d"));
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/d/"), 0);
	assert_false(there(w, "/work/d"));
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/sub"), -ENOTEMPTY);
	assert_last(w, "event", "fail");
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/f"), -ENOTDIR);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/sub/."), -EINVAL);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/sub/.."), -ENOTEMPTY);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/f/."), -ENOTDIR);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/none/.", 0, 0755)), -ENOENT);
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/f/..", 0, 0755)), -ENOTDIR);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/data/sub"), -EACCES);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/"), -EACCES);
}

static void unlink_takes_the_name_and_not_where_it_leads(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/link"), 0);
	assert_false(there(w, "/work/link"));
	assert_true(holds(w, "/work/f", "work"));
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/f"), 0);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/trash/t"), 0);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/g/"), -ENOTDIR);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/sub"), -EISDIR);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/sub/"), -EISDIR);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/sub/."), -EISDIR);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/none/."), -ENOENT);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/none"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/out/x"), -ENOENT);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/data/a"), -EACCES);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/drop/there"), -EACCES);
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/secret/key"), -EACCES);
	assert_true(there(w, "/outside/x"));
	assert_true(there(w, "/data/a"));
}

/* B21 */
static void a_rename_needs_both_ends(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *from, *to;
		uint32_t flags;
		int result;
	} cases[] = {
		{"/work/f", "/data/f", 0, -EACCES},
		{"/data/a", "/work/a", 0, -EACCES},
		{"/work/f", "/outside/f", 0, -ENOENT},
		{"/outside/x", "/work/x", 0, -ENOENT},
		{"/work/out/x", "/work/x", 0, -ENOENT},
		{"/work/f", "/work/out/f", 0, -ENOENT},
		{"/work/f", "/work/secret/f", 0, -EACCES},
		{"/work/secret/key", "/work/key", 0, -EACCES},
		{"/work/none", "/work/x", 0, -ENOENT},
		{"/work/f", "/work/g", RENAME_NOREPLACE, -EEXIST},
		{"/work/f", "/work/none", RENAME_EXCHANGE, -ENOENT},
		{"/work/f", "/work/new", RENAME_WHITEOUT, -EINVAL},
		{"/work/f", "/work/g", RENAME_NOREPLACE | RENAME_EXCHANGE, -EINVAL},
		{"/work/f", "/drop/there", 0, -EACCES},
		{"/work/f", "/work/new/", 0, -ENOTDIR},
		{"/work/sub/.", "/work/new", 0, -EBUSY},
		{"/work/f/.", "/work/new", 0, -ENOTDIR},
		{"/work/f", "/work/sub/..", 0, -EBUSY},
		{"/work/f", "/work/sub/.", RENAME_NOREPLACE, -EEXIST},
		{"/work/sub/.", "/work/none/x", 0, -ENOENT},
		{"/work/f/", "/work/new", 0, -ENOTDIR},
		{"/work/f", "/work/g/", RENAME_NOREPLACE, -EEXIST},
		{"/trash/t", "/drop/t", 0, 0},
		{"/trash/u", "/drop/there", RENAME_EXCHANGE, -EACCES},
		{"/work/f", "/drop/f", 0, 0},
		{"/work/sub", "/work/moved", 0, 0},
		{"/work/moved/s", "/work/g", 0, 0},
	};

	put_file(w, "/trash/u", "u");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = ask(w, MSG_RENAME, request2(cases[i].from, cases[i].to, cases[i].flags));

		if (r != cases[i].result)
			fail_msg("%s to %s: %d", cases[i].from, cases[i].to, r);
	}
	assert_true(holds(w, "/drop/there", "there"));
	assert_true(holds(w, "/drop/t", "t"));
	assert_true(holds(w, "/work/g", "s"));
	assert_true(holds(w, "/outside/x", "outside"));
	assert_false(there(w, "/outside/f"));
}

static void an_exchange_swaps_and_needs_all_of_both(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, MSG_RENAME, request2("/work/f", "/work/g", RENAME_EXCHANGE)), 0);
	assert_true(holds(w, "/work/f", "other"));
	assert_true(holds(w, "/work/g", "work"));
	assert_int_equal(
		ask(w, MSG_RENAME, request2("/work/f", "/run/r", RENAME_EXCHANGE)), -EXDEV);
	assert_true(holds(w, "/run/r", "run"));
}

static void no_move_or_link_widens_what_may_be_done(void **state)
{
	struct world *w = *state;

	/* The worker may delete it, but never read it: so not under a name that it may read. */
	assert_int_equal(ask(w, MSG_RENAME, request2("/trash/t", "/work/t", 0)), -EXDEV);
	assert_true(there(w, "/trash/t"));
	assert_int_equal(ask(w, MSG_RENAME, request2("/work/f", "/run/f", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_RENAME, request2("/run/r", "/work/r", 0)), 0);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/run/f", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_LINK, request2("/data/a", "/work/a", 0)), -EACCES);
	assert_false(there(w, "/work/a"));
}

static void a_directory_with_rules_beneath_stays_where_it_is(void **state)
{
	struct world *w = world_new();

	put_dir(w, "/w");
	put_dir(w, "/w/p");
	put_dir(w, "/w/p/.git");
	put_dir(w, "/w/p/.git/hooks");
	put_dir(w, "/w/q");
	put_dir(w, "/x");
	put_dir(w, "/x/d");
	put_dir(w, "/inbox");
	put_dir(w, "/inbox/d");
	put_file(w, "/inbox/d/mail", "mail");
	world_ready(w, "allow rw /w/\nallow rw /x/\ndeny write,create,delete **/.git/hooks/\n"
		       "allow create,delete,list /inbox/\n");
	assert_int_equal(ask_open(w, "/w/p/.git/hooks/h", O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/p/.git", "/w/p/git", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/p/.git", "/x/git", 0)), -EXDEV);
	assert_true(there(w, "/w/p/.git/hooks"));
	/* What lies beneath keeps its name, and so its rule. */
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/p", "/w/r", 0)), 0);
	assert_int_equal(ask_open(w, "/w/r/.git/hooks/h", O_WRONLY | O_CREAT), -EACCES);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/q", "/x/q", 0)), 0);
	/* Nor a file: what stands at a name may be a directory by the time it is moved. */
	put_file(w, "/w/f", "f");
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/f", "/w/r/git", 0)), 0);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/r/git", "/x/.git", 0)), -EXDEV);
	/* A directory of files that could be deleted but not read. */
	assert_int_equal(ask(w, MSG_RENAME, request2("/inbox/d", "/w/d", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_RENAME, request2("/x/d", "/inbox/e", 0)), 0);
	world_free(w);
}

/* What `as broker` and `type` say of a name is not said of what is put there. */
static void a_move_gains_neither_authority_nor_types(void **state)
{
	struct world *w = world_new();
	static const struct {
		const char *from, *to;
		int result;
	} cases[] = {
		{"/w/secret", "/w/x.log", -EXDEV},
		{"/w/secret", "/w/x.fifo", -EXDEV},
		{"/w/secret", "/b/secret", -EXDEV},
		{"/w/d", "/b/d", -EXDEV},
		{"/w/secret", "/w/s", 0},
		{"/w/y.log", "/w/z.log", 0},
		{"/w/y.log", "/w/y", 0},
		{"/b/c", "/w/c", 0},
	};

	put_dir(w, "/w");
	put_dir(w, "/w/d");
	put_dir(w, "/b");
	put_file(w, "/b/c", "c");
	put_file(w, "/w/secret", "s");
	put_file(w, "/w/y.log", "y");
	world_ready(w, "allow rw /w/\nallow rw /w/*.log as broker\nallow rw /w/*.fifo type fifo\n"
		       "allow rw /b/ as broker\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = ask(w, MSG_LINK, request2(cases[i].from, cases[i].to, 0));

		if (cases[i].result < 0 && strcmp(cases[i].from, "/w/d") != 0 &&
			r != cases[i].result)
			fail_msg("link %s to %s: %d", cases[i].from, cases[i].to, r);
		if (cases[i].result < 0)
			r = ask(w, MSG_RENAME, request2(cases[i].from, cases[i].to, 0));
		if (r != cases[i].result)
			fail_msg("%s to %s: %d", cases[i].from, cases[i].to, r);
	}
	world_free(w);
}

/* Files go to and fro in a tree of which something is taken out. */
static void an_exception_holds_only_what_leads_to_it(void **state)
{
	struct world *w = world_new();

	put_dir(w, "/w");
	put_dir(w, "/w/d");
	put_dir(w, "/w/keep");
	put_file(w, "/w/f", "f");
	put_file(w, "/w/keep/k", "k");
	world_ready(w, "allow rw /w/ except /w/keep/ /w/**/own/secret\n");
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/f", "/w/g", 0)), 0);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/g", "/w/d/f", 0)), 0);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/d", "/w/e", 0)), 0);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/e", "/w/own", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/keep", "/w/open", 0)), -EACCES);
	world_free(w);
}

/* A server's socket that the worker may move, but not connect. */
static void a_socket_is_not_moved_to_where_it_may_be_connected(void **state)
{
	struct world *w = world_new();

	put_dir(w, "/w");
	put_dir(w, "/w/in");
	put_dir(w, "/w/out");
	put_file(w, "/w/in/s", "s");
	world_ready(w, "allow rw /w/\nallow connect /w/**\ndeny connect **/in/**\n");
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/in/s", "/w/out/s", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/in", "/w/out/d", 0)), -EXDEV);
	assert_int_equal(ask(w, MSG_RENAME, request2("/w/in/s", "/w/in/t", 0)), 0);
	world_free(w);
}

static void links_are_made_of_regular_files_one_could_write(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/work/f2", 0)), 0);
	assert_int_equal(stat(at(w, "/work/f"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/work/g", 0)), -EEXIST);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/sub", "/work/sub2", 0)), -EPERM);
	/* The link itself, not the file that it leads to. */
	assert_int_equal(ask(w, MSG_LINK, request2("/work/out", "/work/out2", 0)), -EPERM);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/out/x", "/work/x", 0)), -ENOENT);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/none", "/work/x", 0)), -ENOENT);
	/* What is asked for is looked at in the order of link(2). */
	assert_int_equal(ask(w, MSG_LINK, request2("/work/none", "/work/f/x", 0)), -ENOENT);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/sub", "/work/g", 0)), -EEXIST);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/work/sub/.", 0)), -EEXIST);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f/.", "/work/x", 0)), -ENOTDIR);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/data/f", 0)), -EACCES);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/outside/f", 0)), -ENOENT);
	assert_false(there(w, "/outside/f"));
}

static void symlinks_hold_any_text_and_grant_nothing(void **state)
{
	struct world *w = *state;
	char text[32];

	assert_int_equal(ask(w, MSG_SYMLINK, request2("../outside/x", "/work/s", 0)), 0);
	assert_int_equal(readlink(at(w, "/work/s"), text, sizeof(text)), 12);
	assert_memory_equal(text, "../outside/x", 12);
	assert_last(w, "asked", "../outside/x");
	assert_last(w, "asked2", "/work/s");
	assert_int_equal(ask_open(w, "/work/s", O_RDONLY), -ENOENT);
	assert_int_equal(ask(w, MSG_SYMLINK, request2("x", "/work/f", 0)), -EEXIST);
	assert_int_equal(ask(w, MSG_SYMLINK, request2("x", "/work/new/", 0)), -ENOENT);
	assert_int_equal(ask(w, MSG_SYMLINK, request2("x", "/data/s", 0)), -EACCES);
	assert_int_equal(ask(w, MSG_SYMLINK, request2("x", "/outside/s", 0)), -ENOENT);
	assert_false(there(w, "/outside/s"));
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
	assert_int_equal(ask(w, MSG_CHMOD, request("/work/f", 0, 01755)), -EPERM);
	assert_int_equal(ask(w, MSG_CHMOD, request("/masked/m", 0, 0600)), 0);
	assert_int_equal(ask(w, MSG_CHMOD, request("/masked/m", 0, 0644)), -EPERM);
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
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(stat_shows_names_that_are_visible),
		T(a_batch_of_stats_has_each_its_own_data),
		T(access_asks_policy_and_file_system),
		T(readlink_reads_links_and_nothing_else),
		T(list_goes_on_where_it_stopped),
		T(a_watch_tells_of_what_happens),
		T(directories_are_made_and_removed),
		T(unlink_takes_the_name_and_not_where_it_leads),
		T(a_rename_needs_both_ends),
		T(an_exchange_swaps_and_needs_all_of_both),
		T(no_move_or_link_widens_what_may_be_done),
		T(a_directory_with_rules_beneath_stays_where_it_is),
		T(a_move_gains_neither_authority_nor_types),
		T(an_exception_holds_only_what_leads_to_it),
		T(a_socket_is_not_moved_to_where_it_may_be_connected),
		T(links_are_made_of_regular_files_one_could_write),
		T(symlinks_hold_any_text_and_grant_nothing),
		T(truncate_cuts_and_extends),
		T(chmod_gives_no_bit_beyond_the_rule),
		T(utimes_sets_times_of_files_and_links),
		T(a_change_that_cannot_be_written_down_is_not_made),
		T(what_is_made_by_an_open_has_two_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
