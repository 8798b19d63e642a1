/* SPDX-License-Identifier: MIT */
/*
 * trap_links.c - a worker that gets a descriptor of a symlink, or of a name, and makes more of it.
 *
 * O_PATH | O_NOFOLLOW opens the link itself, which goes on without a record: a name is visible
 * anyway.  What is behind it may be appended to and not read.  Where the kernel refuses an upgrade
 * by itself (ELOOP), the control is the same upgrade of what the link leads to.
 */
#include "tests/hostile/trap_inside.h"

/* A link in data to a file that may not be read; to its directory; and the file's own name. */
static int link_fd(void)
{
	return open(in_top("a/out"), O_PATH | O_NOFOLLOW);
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd < 0 ? EBADF : TRY(open(path, flags));
}

static int open_the_link(void)
{
	return TRY(open(in_top("a/out"), O_RDONLY | O_NOFOLLOW));
}

static int reopen_the_link(void)
{
	return reopen(link_fd(), O_RDONLY);
}

static int reopen_the_link_for_writing(void)
{
	return reopen(link_fd(), O_RDWR);
}

static int reopen_what_it_leads_to(void)
{
	return reopen(open(in_top("a/out"), O_PATH), O_RDONLY);
}

static int reopen_what_is_no_link(void)
{
	return reopen(open(in_top("b/f"), O_PATH | O_NOFOLLOW), O_RDONLY);
}

static int reopen_a_link_by_a_link(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", open(in_top("b/f"), O_PATH | O_NOFOLLOW));
	unlink(in_own("again"));
	if (symlink(path, in_own("again")) < 0)
		return 200;
	return TRY(open(in_own("again"), O_RDONLY));
}

static int read_the_link_and_go_there(void)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(link_fd(), "", text, sizeof(text) - 1);

	if (n < 0)
		return EBADF;
	text[n] = '\0';
	return TRY(open(text, O_RDONLY));
}

/* The link gets a second name, in a place of the worker's own, and is followed there. */
static int name_the_link_and_follow(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", link_fd());
	unlink(in_own("hard"));
	if (linkat(AT_FDCWD, path, AT_FDCWD, in_own("hard"), AT_SYMLINK_FOLLOW) < 0)
		return errno;
	return TRY(open(in_own("hard"), O_RDONLY));
}

static int through_a_link_to_a_directory(void)
{
	int fd = open(in_top("a/dir"), O_PATH | O_NOFOLLOW);

	return fd < 0 ? EBADF : TRY(openat(fd, "f", O_RDONLY));
}

static int through_a_directory(void)
{
	int fd = open(in_top("a/dir"), O_PATH | O_DIRECTORY);

	return fd < 0 ? EBADF : TRY(openat(fd, "f", O_RDONLY));
}

static const struct attack attacks[] = {
	{"open_the_link", open_the_link, WORKS_NOWHERE},
	{"reopen_the_link", reopen_the_link, WORKS_NOWHERE},
	{"reopen_the_link_for_writing", reopen_the_link_for_writing, WORKS_NOWHERE},
	{"reopen_what_it_leads_to", reopen_what_it_leads_to, WORKS},
	{"reopen_what_is_no_link", reopen_what_is_no_link, WORKS},
	{"reopen_a_link_by_a_link", reopen_a_link_by_a_link, WORKS},
	{"read_the_link_and_go_there", read_the_link_and_go_there, WORKS},
	{"name_the_link_and_follow", name_the_link_and_follow, WORKS},
	{"through_a_link_to_a_directory", through_a_link_to_a_directory, WORKS_NOWHERE},
	{"through_a_directory", through_a_directory, WORKS},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* ---- the tester ------------------------------------------------------------------------------ */

static void make_link(const char *to, const char *name)
{
	assert_int_equal(symlink(in_top(to), in_top(name)), 0);
	if (geteuid() == 0)
		assert_int_equal(lchown(in_top(name), NOBODY, NOBODY), 0);
}

static void a_descriptor_of_a_link_becomes_nothing_more(void **state)
{
	static struct outcome inside = OUTCOME_INIT;
	char reached[PATH_MAX + 80];

	tree_make();
	make_link("b/f", "a/out");
	make_link("b", "a/dir");
	run_attacks(&inside, attacks, N_ATTACKS);
	/* Each open that asked for the file behind is a denial of it, and none is anything else. */
	snprintf(reached, sizeof(reached), "\"reached\":\"%s\"", in_top("b/f"));
	assert_true(records_with("\"event\":\"deny\"", reached) >= 5);
	assert_int_equal(records_with("\"event\":\"grant\"", reached), 0);
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_descriptor_of_a_link_becomes_nothing_more, fds_before, fds_after),
	};

	return ATTACK_MAIN(argc, argv, attacks, N_ATTACKS, tests);
}
