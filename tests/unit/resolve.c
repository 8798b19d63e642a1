/* SPDX-License-Identifier: MIT */
/*
 * resolve.c - what a path reaches, while others move what it goes through.
 */
#include "broker/resolve.h"
#include "tests/unit/world.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

#define OPENS 4000

static int setup(void **state)
{
	struct world *w = world_new();

	put_dir(w, "/data");
	put_dir(w, "/data/d");
	put_dir(w, "/data/d/e");
	put_dir(w, "/outside");
	put_dir(w, "/outside/e");
	put_file(w, "/data/d/e/f", "inside");
	put_file(w, "/data/a", "inside");
	put_file(w, "/outside/a", "outside");
	put_file(w, "/outside/f", "outside");
	put_file(w, "/outside/e/f", "outside");
	put_link(w, "../outside/a", "/data/swap-a");
	put_link(w, "../outside", "/data/swap-d");
	put_link(w, "../../outside/e", "/data/d/swap-e");
	put_link(w, "d/e/f", "/data/good");
	put_link(w, "../outside/f", "/data/swap-good");
	put_link(w, "d", "/data/dir");
	put_link(w, "../outside", "/data/swap-dir");
	*state = world_ready(w, "allow rw /data/\n");
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

static int resolve(struct world *w, const char *path, bool follow, struct target *t)
{
	static struct request q;

	memset(&q, 0, sizeof(q));
	target_init(t);
	assert_int_equal(target_ask(t, path, strlen(path)), 0);
	return resolve_inode(&w->s, &q, t, w->cell.view_fd, follow);
}

static void what_is_reached_is_proven(void **state)
{
	static const struct {
		const char *asked, *reached;
		bool follow;
	} cases[] = {
		{"/data/a", "/data/a", true},
		{"/data/good", "/data/d/e/f", true},
		{"/data/good", "/data/good", false},
		{"/data/dir/e/f", "/data/d/e/f", true},
		{"/data/dir/../a", "/data/a", true}, /* d/.. is data */
		{"/data/swap-d/../data/a", "/data/a", true},
		{"/", "/", true},
		{"/..", "/", true},
		{"/data/swap-a", "/outside/a", true},
	};
	struct world *w = *state;
	static struct target t;
	struct stat st;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = resolve(w, cases[i].asked, cases[i].follow, &t);

		if (r < 0 || strcmp(t.reached, cases[i].reached) != 0)
			fail_msg("%s: %d %s", cases[i].asked, r, t.reached);
		assert_int_equal(fstat(t.fd, &st), 0);
		assert_int_equal(t.ino, st.st_ino);
		assert_int_equal(t.dev, st.st_dev);
		target_deinit(&t);
	}
}

/* A name that ends as /proc writes an unlinked file's, beside one that is unlinked. */
static void a_name_that_ends_in_deleted_is_a_name(void **state)
{
	struct world *w = *state;
	static struct target t;

	put_file(w, "/data/x (deleted)", "live");
	put_link(w, "x (deleted)", "/data/to-x");
	assert_int_equal(resolve(w, "/data/to-x", true, &t), 0);
	assert_string_equal(t.reached, "/data/x (deleted)");
	target_deinit(&t);
}

static void names_are_resolved_within_their_parent(void **state)
{
	struct world *w = *state;
	static struct request q;
	static struct target t;

	target_init(&t);
	assert_int_equal(target_ask(&t, "/data/dir/new", 13), 0);
	assert_int_equal(resolve_name(&w->s, &q, &t, w->cell.twin_fd), 0);
	assert_string_equal(t.reached, "/data/d/new");
	assert_string_equal(t.name, "new");
	assert_int_equal(t.mode, 0);
	target_deinit(&t);
	target_init(&t);
	assert_int_equal(target_ask(&t, "/data/swap-a", 12), 0);
	assert_int_equal(resolve_name(&w->s, &q, &t, w->cell.twin_fd), 0);
	assert_string_equal(t.reached, "/data/swap-a");
	assert_true(S_ISLNK(t.mode));
	target_deinit(&t);
	target_init(&t);
	assert_int_equal(target_ask(&t, "/", 1), 0);
	assert_int_equal(resolve_name(&w->s, &q, &t, w->cell.twin_fd), 0);
	assert_null(t.name);
	target_deinit(&t);
	target_init(&t);
	assert_int_equal(target_ask(&t, "/data/..", 8), 0);
	assert_int_equal(resolve_name(&w->s, &q, &t, w->cell.twin_fd), 0);
	assert_null(t.name);
	assert_true(S_ISDIR(t.mode));
	target_deinit(&t);
	target_init(&t);
	assert_int_equal(target_ask(&t, "/data/none/.", 12), 0);
	assert_int_equal(resolve_name(&w->s, &q, &t, w->cell.twin_fd), -ENOENT);
}

/* ---- races ----------------------------------------------------------------------------------- */

/* Exchanges two names without end; ends with the test. */
static pid_t start_swapper(struct world *w, const char *a, const char *b)
{
	char from[PATH_MAX], to[PATH_MAX];
	pid_t pid;

	snprintf(from, sizeof(from), "%s", at(w, a));
	snprintf(to, sizeof(to), "%s", at(w, b));
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* not beyond a test that failed */
		for (;;)
			if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_EXCHANGE) <
				0)
				_exit(1);
	}
	return pid;
}

static void stop_swapper(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* it never failed */
}

/* The control: a plain open of the same path. */
static bool leads_out(struct world *w, const char *path)
{
	int fd = open(at(w, path), O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text)) < 0)
		text[0] = '\0';
	close(fd);
	return strcmp(text, "outside") == 0;
}

/* How many grants of the ledger say that they reached what the path begins with. */
static size_t grants_of(struct world *w, const char *begin)
{
	json_t *lines = ledger_lines(w), *line;
	size_t i, n = 0;

	json_array_foreach(lines, i, line)
	{
		n += strcmp(field(line, "event"), "grant") == 0 &&
		     strncmp(field(line, "reached"), begin, strlen(begin)) == 0;
	}
	json_decref(lines);
	return n;
}

/*
 * Opens while two names are exchanged: whatever comes is the inside, the ledger says so, and both
 * sides of the exchange were met.
 */
static void race(struct world *w, const char *path, const char *a, const char *b)
{
	size_t granted = 0, refused = 0, denied = 0, naive = 0;
	pid_t pid = start_swapper(w, a, b);
	char text[16];

	for (int i = 0; i < OPENS || ((!granted || !refused || !naive) && i < 100 * OPENS); i++) {
		int r = ask_open(w, path, O_RDONLY);

		if (r == 0) {
			ssize_t n = read(w->fds[0], text, sizeof(text));

			assert_int_equal(n, 6);
			assert_memory_equal(text, "inside", 6);
			granted++;
		} else {
			assert_true(r == -ENOENT || r == -EAGAIN || r == -EACCES || r == -ELOOP);
			refused++;
			denied += r == -EACCES;
		}
		naive += leads_out(w, path);
	}
	stop_swapper(pid);
	assert_true(granted > 0);
	assert_true(refused > 0);
	assert_true(naive > 0);
	assert_int_equal(count_events(w, "grant", true), granted);
	assert_int_equal(grants_of(w, "/data/"), granted);
	/* A refusal that is the policy's has its record. */
	assert_true(count_events(w, "deny", false) >= denied);
}

/* B5 */
static void a_leaf_that_becomes_a_symlink_never_leads_out(void **state)
{
	race(*state, "/data/a", "/data/a", "/data/swap-a");
}

static void a_parent_that_becomes_a_symlink_never_leads_out(void **state)
{
	race(*state, "/data/d/e/f", "/data/d/e", "/data/d/swap-e");
}

static void a_symlink_that_turns_outwards_never_leads_out(void **state)
{
	race(*state, "/data/good", "/data/good", "/data/swap-good");
}

static void a_directory_symlink_that_turns_outwards_never_leads_out(void **state)
{
	race(*state, "/data/dir/e/f", "/data/dir", "/data/swap-dir");
}

/* B5, the making side: nothing is ever made outside. */
static void nothing_is_made_or_removed_outside_while_a_parent_is_swapped(void **state)
{
	struct world *w = *state;
	pid_t pid = start_swapper(w, "/data/d", "/data/swap-d");
	size_t made = 0, refused = 0;
	char path[64];

	for (int i = 0; i < OPENS; i++) {
		snprintf(path, sizeof(path), "/data/d/new%d", i);
		if (ask(w, MSG_OPEN, request(path, O_WRONLY | O_CREAT | O_EXCL, 0600)) == ANSWER_FD)
			made++;
		else
			refused++;
		snprintf(path, sizeof(path), "/data/d/dir%d", i);
		ask(w, MSG_MKDIR, request(path, 0, 0700));
		ask(w, MSG_UNLINK, request("/data/d/f", 0, 0));
		ask(w, MSG_RENAME, request2("/data/a", "/data/d/a", 0));
		ask(w, MSG_RENAME, request2("/data/d/a", "/data/a", 0));
	}
	stop_swapper(pid);
	assert_true(made > 0);
	assert_true(refused > 0);
	assert_true(holds(w, "/outside/f", "outside"));
	assert_true(holds(w, "/outside/a", "outside"));
	{
		DIR *d = opendir(at(w, "/outside"));
		size_t n = 0;

		while (readdir(d))
			n++;
		closedir(d);
		assert_int_equal(n, 2 + 3); /* a, f, e */
	}
}

/*
 * B6: tries are bounded, or the first of these would not come back; and another worker, of whose
 * path nothing moves, is served as ever meanwhile.
 */
static void a_path_that_never_holds_still_is_given_up(void **state)
{
	struct world *w = *state, *other = world_new();
	size_t given_up = 0, served = 0;
	char path[2048] = "/data/dir", *end = path + strlen(path);
	pid_t pid;

	/* Long enough to be disturbed each time: any rename disturbs "..". */
	for (int i = 0; i < 200; i++)
		end = stpcpy(end, "/e/..");
	stpcpy(end, "/e/f");
	put_dir(other, "/data");
	put_file(other, "/data/a", "inside");
	world_ready(other, "allow read /data/\n");
	/* The control: at rest it leads to a file. */
	assert_int_equal(ask_open(w, path, O_RDONLY), 0);
	pid = start_swapper(w, "/data/dir", "/data/swap-dir");
	for (int i = 0; i < 500 || (!given_up && i < 100 * OPENS); i++) {
		given_up += ask(w, MSG_OPEN, request(path, O_RDONLY, 0)) == -EAGAIN;
		assert_int_equal(ask_open(other, "/data/a", O_RDONLY), 0);
		served++;
	}
	stop_swapper(pid);
	world_close_answer(w);
	assert_true(given_up > 0);
	assert_int_equal(grants_of(other, "/data/a"), served);
	assert_int_equal(grants_of(w, "/outside"), 0);
	assert_int_equal(count_events(w, "grant", true), w->s.tally.granted);
	world_free(other);
}

/* B7: out and in again, so that the walk is there for long enough to be moved in its middle. */
static void a_directory_moved_out_while_it_is_walked_leads_nowhere_else(void **state)
{
	struct world *w = *state;

	put_dir(w, "/data/walk");
	put_dir(w, "/data/walk/b");
	put_dir(w, "/outside/walk");
	put_file(w, "/data/x", "inside");
	put_file(w, "/outside/x", "outside");
	race(w, "/data/walk/b/../b/../b/../../x", "/data/walk", "/outside/walk");
}

/* B11 */
static void a_mount_below_a_tree_belongs_to_the_tree(void **state)
{
	struct world *w;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fail_msg("this test needs a mount namespace: %s", strerror(errno));
	w = world_new();
	put_dir(w, "/data");
	put_dir(w, "/data/d");
	assert_int_equal(mount("tmpfs", at(w, "/data/d"), "tmpfs", 0, "size=64k"), 0);
	put_file(w, "/data/d/mounted", "mounted");
	world_ready(w, "allow read /data/\n");
	assert_int_equal(ask_open(w, "/data/d/mounted", O_RDONLY), 0);
	assert_int_equal(ask_open(w, "/data/d/../d/mounted", O_RDONLY), 0);
	assert_last(w, "reached", "/data/d/mounted");
	world_close_answer(w);
	assert_int_equal(umount2(at(w, "/data/d"), MNT_DETACH), 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(what_is_reached_is_proven),
		T(a_name_that_ends_in_deleted_is_a_name),
		T(names_are_resolved_within_their_parent),
		T(a_leaf_that_becomes_a_symlink_never_leads_out),
		T(a_parent_that_becomes_a_symlink_never_leads_out),
		T(a_symlink_that_turns_outwards_never_leads_out),
		T(a_directory_symlink_that_turns_outwards_never_leads_out),
		T(nothing_is_made_or_removed_outside_while_a_parent_is_swapped),
		T(a_path_that_never_holds_still_is_given_up),
		T(a_directory_moved_out_while_it_is_walked_leads_nowhere_else),
	};
	/* Who may mount sees this one too. */
	const struct CMUnitTest as_root[] = {
		cmocka_unit_test(a_mount_below_a_tree_belongs_to_the_tree),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	if (geteuid() == 0)
		failed += cmocka_run_group_tests(as_root, NULL, NULL);
	return failed;
}
