/* SPDX-License-Identifier: MIT */
/*
 * ops_names.c - the rows of the message table that make, move and remove names: what each does, and
 * what it may not.
 */
#include "tests/unit/ops_world.h"

#include <pthread.h>
#include <sys/syscall.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE  (1 << 1)
#define RENAME_WHITEOUT  (1 << 2)
#endif

static void directories_are_made_and_removed(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 07777)), 0);
	assert_int_equal(stat(at(w, "/work/d"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 01777);
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

/* As if it were there, or a directory: that is what programs would go on with. */
static void a_change_over_the_limit_is_busy_and_nothing_else(void **state)
{
	struct world *w = *state;

	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 0755)), 0);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/d"), 0);
	w->s.charge.per_second = 1;
	w->s.charge.last_ns = UINT64_MAX; /* no time passes, so that there is none to come */
	assert_int_equal(ask(w, MSG_MKDIR, request("/work/d", 0, 0755)), -EBUSY);
	assert_last(w, "event", "deny");
	assert_last(w, "error", "EBUSY");
	assert_last(w, "reason", "over \"limit requests 1\"");
	assert_int_equal(ask_path(w, MSG_UNLINK, "/work/g"), -EBUSY);
	assert_int_equal(ask_path(w, MSG_RMDIR, "/work/sub"), -EBUSY);
	assert_int_equal(ask(w, MSG_SYMLINK, request2("text", "/work/l", 0)), -EBUSY);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/work/l", 0)), -EBUSY);
	assert_int_equal(
		ask(w, MSG_RENAME, request2("/work/f", "/work/l", RENAME_NOREPLACE)), -EBUSY);
	assert_int_equal(ask(w, MSG_RENAME, request2("/work/f", "/work/g", 0)), -EBUSY);
	assert_int_equal(w->s.tally.limited, 7);
	assert_true(holds(w, "/work/g", "other"));
	assert_false(there(w, "/work/d") || there(w, "/work/l"));
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

/*
 * A book that stops the broker between its look at a name and the call: a full pipe.  Somebody
 * makes a file of the new name then, and reads on.
 */
struct stopper {
	pid_t broker; /* its thread */
	int fd;
	const char *path;
	bool stopped, made;
	char book[1 << 18]; /* what was written, behind what filled the pipe */
	size_t size, filled;
};

static bool is_in_write(pid_t thread)
{
	char path[64], text[128] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	if (fd >= 0)
		close(fd);
	return text[0] != '\0' && strtol(text, NULL, 10) == SYS_write;
}

static void *make_it_between(void *arg)
{
	struct stopper *p = arg;
	ssize_t n;
	int fd;

	for (int i = 0; i < 20000 && !p->stopped; i++) {
		p->stopped = is_in_write(p->broker);
		usleep(1000);
	}
	fd = open(p->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	p->made = fd >= 0 && write(fd, "kept", 4) == 4;
	close(fd);
	do {
		n = read(p->fd, p->book + p->size, sizeof(p->book) - 1 - p->size);
		p->size += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return NULL;
}

/* The result of a rename at whose new name a file is made meanwhile.  *p is what the book said. */
static int rename_between(struct world *w, const char *from, const char *to, struct stopper *p)
{
	struct ledger *book = w->s.ledger;
	static struct ledger slow;
	pthread_t thread;
	int fds[2], r;

	memset(p, 0, sizeof(*p));
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	while (write(fds[1], "x", 1) == 1)
		p->filled++;
	assert_int_equal(fcntl(fds[0], F_SETFL, 0) | fcntl(fds[1], F_SETFL, 0), 0);
	p->broker = gettid();
	p->fd = fds[0];
	p->path = at(w, to);
	assert_int_equal(ledger_init(&slow, &fds[1]), 0);
	w->s.ledger = &slow;
	assert_int_equal(pthread_create(&thread, NULL, make_it_between, p), 0);
	r = ask(w, MSG_RENAME, request2(from, to, 0));
	w->s.ledger = book;
	ledger_deinit(&slow);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(fds[0]);
	assert_true(p->stopped && p->made);
	return r;
}

static void what_comes_to_the_new_name_meanwhile_is_lost_only_where_it_may_be(void **state)
{
	static struct stopper p;
	struct world *w = *state;

	/* Where it may be deleted it is replaced: so much can come between. */
	assert_int_equal(rename_between(w, "/work/f", "/work/n", &p), 0);
	assert_true(holds(w, "/work/n", "work"));
	assert_non_null(strstr(p.book + p.filled, "\"event\":\"grant\""));
	assert_null(strstr(p.book + p.filled, "\"event\":\"fail\""));
	assert_int_equal(rename_between(w, "/work/g", "/drop/n", &p), -EEXIST);
	assert_true(holds(w, "/drop/n", "kept"));
	assert_true(holds(w, "/work/g", "other"));
	assert_non_null(strstr(p.book + p.filled, "\"event\":\"grant\""));
	assert_non_null(strstr(p.book + p.filled, "\"error\":\"EEXIST\",\"of\":1"));
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

static void links_are_made_of_files_one_could_write_and_own_symlinks(void **state)
{
	struct world *w = *state;
	struct stat st;

	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/work/f2", 0)), 0);
	assert_int_equal(stat(at(w, "/work/f"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/f", "/work/g", 0)), -EEXIST);
	assert_int_equal(ask(w, MSG_LINK, request2("/work/sub", "/work/sub2", 0)), -EPERM);
	/* The link itself, not what it leads to; and not somebody else's. */
	assert_int_equal(ask(w, MSG_LINK, request2("/work/out", "/work/out2", 0)), 0);
	assert_int_equal(lstat(at(w, "/work/out2"), &st), 0);
	assert_true(S_ISLNK(st.st_mode) && st.st_nlink == 2);
	w->s.uid++;
	assert_int_equal(ask(w, MSG_LINK, request2("/work/out", "/work/out3", 0)), -EPERM);
	w->s.uid--;
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(directories_are_made_and_removed),
		T(a_change_over_the_limit_is_busy_and_nothing_else),
		T(unlink_takes_the_name_and_not_where_it_leads),
		T(a_rename_needs_both_ends),
		T(what_comes_to_the_new_name_meanwhile_is_lost_only_where_it_may_be),
		T(an_exchange_swaps_and_needs_all_of_both),
		T(no_move_or_link_widens_what_may_be_done),
		T(a_directory_with_rules_beneath_stays_where_it_is),
		T(a_move_gains_neither_authority_nor_types),
		T(an_exception_holds_only_what_leads_to_it),
		T(a_socket_is_not_moved_to_where_it_may_be_connected),
		T(links_are_made_of_files_one_could_write_and_own_symlinks),
		T(symlinks_hold_any_text_and_grant_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
