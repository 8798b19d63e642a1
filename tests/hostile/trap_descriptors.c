/* SPDX-License-Identifier: MIT */
/*
 * trap_descriptors.c - a worker that would make more of a descriptor than what was granted.
 *
 * Everything is opened by plain calls.  The same attacks run outside, where they work.
 */
#include "tests/hostile/trap_inside.h"

#include <linux/openat2.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* ---- descriptors ----------------------------------------------------------------------------- */

static int granted(const char *name, int flags)
{
	return open(in_top(name), flags, 0600);
}

static int reopen(const char *directory, int fd, int flags)
{
	char path[96];

	snprintf(path, sizeof(path), "%s/%d", directory, fd);
	return fd < 0 ? ENOENT : TRY(open(path, flags));
}

static int reopen_for_writing(void)
{
	return reopen("/proc/self/fd", granted("a/f", O_RDONLY), O_RDWR);
}

static int reopen_by_dev_fd(void)
{
	return reopen("/dev/fd", granted("a/f", O_RDONLY), O_WRONLY);
}

static int reopen_to_truncate(void)
{
	return reopen("/proc/self/fd", granted("a/f", O_RDONLY), O_WRONLY | O_TRUNC);
}

static int reopen_by_thread_self(void)
{
	return reopen("/proc/thread-self/fd", granted("a/f", O_RDONLY), O_RDWR);
}

static int reopen_by_number(void)
{
	char directory[64];

	snprintf(directory, sizeof(directory), "/proc/%d/fd", (int)getpid());
	return reopen(directory, granted("a/f", O_RDONLY), O_RDWR);
}

static int reopen_as_stdin(void)
{
	dup2(granted("a/f", O_RDONLY), 0);
	return TRY(open("/dev/stdin", O_RDWR));
}

static int reopen_by_own_link(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", granted("a/f", O_RDONLY));
	unlink(in_own("again"));
	if (symlink(path, in_own("again")) < 0)
		return 200;
	return TRY(open(in_own("again"), O_RDWR));
}

static int read_what_is_appended(void)
{
	return reopen("/proc/self/fd", granted("b/f", O_WRONLY | O_APPEND), O_RDONLY);
}

static int truncate_by_self_fd(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", granted("a/f", O_RDONLY));
	return TRY(truncate(path, 1));
}

static int upgrade_path_descriptor(void)
{
	return reopen("/proc/self/fd", granted("b/f", O_PATH), O_RDONLY);
}

static int upgrade_path_by_empty_name(void)
{
	struct open_how how = {.flags = O_RDWR};
	int fd = granted("a/f", O_PATH);

	if (syscall(SYS_openat2, fd, "", &how, sizeof(how)) >= 0)
		return 0;
	/* Which is no way anywhere: so the control is the other one. */
	return reopen("/proc/self/fd", fd, O_RDWR);
}

static int up_from_directory(void)
{
	int fd = granted("a", O_RDONLY | O_DIRECTORY);

	return fd < 0 ? ENOTDIR : TRY(openat(fd, "../b/f", O_RDONLY));
}

static int far_up_from_directory(void)
{
	char path[2 * PATH_MAX];
	int fd = granted("a", O_RDONLY | O_DIRECTORY);

	snprintf(path, sizeof(path), "../../../../../../../../../../../..%s", in_top("hidden"));
	return fd < 0 ? ENOTDIR : TRY(openat(fd, path, O_RDONLY));
}

static int out_by_fchdir(void)
{
	int fd = granted("a", O_RDONLY | O_DIRECTORY);

	if (fchdir(fd) < 0 || chdir("../b") < 0)
		return errno;
	return TRY(open("f", O_RDONLY));
}

static int link_by_empty_path(void)
{
	char path[64];
	int fd = granted("a/f", O_RDONLY);

	unlink(in_top("w/linked"));
	if (linkat(fd, "", AT_FDCWD, in_top("w/linked"), AT_EMPTY_PATH) == 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return TRY(linkat(AT_FDCWD, path, AT_FDCWD, in_top("w/linked"), AT_SYMLINK_FOLLOW));
}

static int link_data_into_own_place(void)
{
	unlink(in_own("linked"));
	return TRY(link(in_top("a/f"), in_own("linked")));
}

static int move_data_into_own_place(void)
{
	int fd = granted("w/moved", O_WRONLY | O_CREAT);

	close(fd);
	/* Then it would be the worker's own, and no rule's. */
	return TRY(rename(in_top("w/moved"), in_own("moved")));
}

static int change_mode_of_read_grant(void)
{
	return TRY(fchmod(granted("a/f", O_RDONLY), 0666));
}

static int set_setuid(void)
{
	int fd = granted("w/f", O_RDWR);
	struct stat st;

	if (fchmod(fd, 04755) < 0)
		return errno;
	return fstat(fd, &st) == 0 && st.st_mode & S_ISUID ? 0 : EPERM;
}

/* In its own place a worker sets any mode but these. */
static int set_setuid_of_its_own(void)
{
	struct stat st;
	int fd = open(in_own("setuid"), O_RDWR | O_CREAT, 0700);

	if (fd < 0)
		return 200;
	if (fchmod(fd, 04755) < 0)
		return errno;
	return fstat(fd, &st) == 0 && st.st_mode & S_ISUID ? 0 : EPERM;
}

static int attribute_of_read_grant(void)
{
	return TRY(syscall(SYS_fsetxattr, granted("a/f", O_RDONLY), "user.warder", "x", 1, 0));
}

static int times_of_read_grant(void)
{
	return TRY(futimens(granted("a/f", O_RDONLY), NULL));
}

static int watch_what_is_denied(void)
{
	return TRY(inotify_add_watch(inotify_init1(0), in_top("b/f"), IN_MODIFY));
}

/* The text that /proc has for an unlinked file may be another's name: that one is not meant. */
static int change_mode_of_a_namesake(void)
{
	struct stat st;
	int fd = granted("w/n", O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0 || unlink(in_top("w/n")) < 0 ||
		close(granted("w/n (deleted)", O_RDWR | O_CREAT)) < 0)
		return 200;
	fchmod(fd, 0644);
	return stat(in_top("w/n (deleted)"), &st) == 0 && st.st_mode & 0044 ? 0 : EACCES;
}

/* ---- code ------------------------------------------------------------------------------------ */

static int run_descriptor(int flags)
{
	char name[] = "true", *argv[] = {name, NULL};
	int fd = granted("a/true", flags), status;
	pid_t pid = fork();

	if (pid == 0) {
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		_exit(errno);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static int execute_data_descriptor(void)
{
	return run_descriptor(O_RDONLY);
}

static int execute_path_descriptor(void)
{
	return run_descriptor(O_PATH);
}

static int map_as_code(int fd, int prot, int flags)
{
	return mmap(NULL, 1, prot | PROT_EXEC, flags, fd, 0) == MAP_FAILED ? errno : 0;
}

static int map_data_as_code(void)
{
	return map_as_code(granted("a/true", O_RDONLY), PROT_READ, MAP_PRIVATE);
}

static int map_write_grant_as_code(void)
{
	return map_as_code(granted("w/f", O_RDWR), PROT_READ | PROT_WRITE, MAP_SHARED);
}

static int make_mapped_data_executable(void)
{
	void *at = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, granted("a/true", O_RDONLY), 0);

	return at == MAP_FAILED ? errno : TRY(mprotect(at, 1, PROT_READ | PROT_EXEC));
}

static const struct attack attacks[] = {
	{"reopen_for_writing", reopen_for_writing, WORKS},
	{"reopen_by_dev_fd", reopen_by_dev_fd, WORKS},
	{"reopen_to_truncate", reopen_to_truncate, WORKS},
	{"reopen_by_thread_self", reopen_by_thread_self, WORKS},
	{"reopen_by_number", reopen_by_number, WORKS},
	{"reopen_as_stdin", reopen_as_stdin, WORKS},
	{"reopen_by_own_link", reopen_by_own_link, WORKS},
	{"read_what_is_appended", read_what_is_appended, WORKS},
	{"truncate_by_self_fd", truncate_by_self_fd, WORKS},
	{"upgrade_path_descriptor", upgrade_path_descriptor, WORKS},
	{"upgrade_path_by_empty_name", upgrade_path_by_empty_name, WORKS},
	{"up_from_directory", up_from_directory, WORKS},
	{"far_up_from_directory", far_up_from_directory, WORKS},
	{"out_by_fchdir", out_by_fchdir, WORKS},
	{"link_by_empty_path", link_by_empty_path, WORKS},
	{"link_data_into_own_place", link_data_into_own_place, WORKS},
	{"move_data_into_own_place", move_data_into_own_place, WORKS},
	{"change_mode_of_read_grant", change_mode_of_read_grant, WORKS},
	{"set_setuid", set_setuid, WORKS},
	{"set_setuid_of_its_own", set_setuid_of_its_own, WORKS},
	{"attribute_of_read_grant", attribute_of_read_grant, WORKS},
	{"times_of_read_grant", times_of_read_grant, WORKS},
	{"watch_what_is_denied", watch_what_is_denied, WORKS},
	{"execute_data_descriptor", execute_data_descriptor, WORKS},
	{"execute_path_descriptor", execute_path_descriptor, WORKS},
	{"map_data_as_code", map_data_as_code, WORKS},
	{"map_write_grant_as_code", map_write_grant_as_code, WORKS},
	{"make_mapped_data_executable", make_mapped_data_executable, WORKS},
	{"change_mode_of_a_namesake", change_mode_of_a_namesake, WORKS_NOWHERE},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* ---- the tester ------------------------------------------------------------------------------ */

static void no_descriptor_becomes_more_than_what_was_granted(void **state)
{
	static struct outcome inside = OUTCOME_INIT;

	tree_make();
	copy_true();
	run_attacks(&inside, attacks, N_ATTACKS);
	assert_int_not_equal(result_of(&inside, "change_mode_of_a_namesake"), 200);
	assert_int_equal(result_of(&inside, "set_setuid_of_its_own"), EPERM);
	assert_true(records_with("\"op\":\"chmod\"", "neither setuid") == 2);
	expect_appended_alone();
	tree_remove();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_descriptor_becomes_more_than_what_was_granted, fds_before, fds_after),
	};

	return ATTACK_MAIN(argc, argv, attacks, N_ATTACKS, tests);
}
