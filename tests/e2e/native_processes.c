/* SPDX-License-Identifier: MIT */
/*
 * native_processes.c - plain system calls of an unmodified program in its children, its threads and
 * what it runs, in a cell as without one.
 */
#include "tests/e2e/native.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>

extern char **environ;

/* ---- the scenarios; the working directory is the one that is granted ------------------------- */

static void after_fork(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		say_fd("child", open("a", O_RDONLY));
		put("of the child", "child");
		_exit(3);
	}
	wait_for("ended", pid);
	say_fd("parent", open("of the child", O_RDONLY));
}

static void after_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0) {
		int fd = open("of the child", O_WRONLY | O_CREAT, 0600);

		_exit(fd >= 0 && write(fd, "vfork", 5) == 5 ? 3 : 4);
	}
	wait_for("ended", pid);
	say_fd("parent", open("of the child", O_RDONLY));
}

static void *thread_opens(void *number)
{
	char name[32];
	long good = 0;

	for (int i = 0; i < 40; i++) {
		int fd;

		snprintf(name, sizeof(name), "t%ld-%d", (long)(intptr_t)number, i);
		fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
		good += fd >= 0 && close(fd) == 0 && unlink(name) == 0;
	}
	return (void *)(intptr_t)good;
}

static void in_threads(void)
{
	pthread_t threads[4];
	void *good;

	for (intptr_t i = 0; i < 4; i++) {
		if (pthread_create(&threads[i], NULL, thread_opens, (void *)i))
			errx(2, "pthread_create");
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], &good);
		say_number("made and removed", (long)(intptr_t)good);
	}
}

static void by_posix_spawn(void)
{
	char cat[] = "cat", a[] = "a", *argv[] = {cat, a, NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT, 0644);
	errno = posix_spawnp(&pid, cat, &actions, NULL, argv, environ);
	wait_for("cat", errno ? -1 : pid);
	say_fd("out", open("out", O_RDONLY));
	posix_spawn_file_actions_destroy(&actions);
}

static void in_another_program(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		dup2(OUT_FD, 1);
		execlp("sh", "sh", "-c",
			"cat <a && echo made >made && mkdir x && mv made x/ && ls -1 . x && rm -r "
			"x && "
			"cat none 2>/dev/null || echo missing",
			(char *)NULL);
		_exit(127);
	}
	wait_for("sh", pid);
}

static void *outlives(void *arg)
{
	pid_t leader = getpid();
	char path[64], line[256];
	const char *state = NULL;
	FILE *f;

	/* Until the thread that began the process is a zombie. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)leader);
	do {
		f = fopen(path, "re");
		if (f && fgets(line, sizeof(line), f))
			state = strrchr(line, ')');
		if (f)
			fclose(f);
	} while (!state || state[2] != 'Z');
	say_fd("relative", open("a", O_RDONLY));
	say_fd("made", open("made", O_RDWR | O_CREAT, 0644));
	say("mkdir", mkdir("made.d", 0755));
	_exit(5);
}

static void with_a_dead_leader(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid == 0) {
		if (pthread_create(&thread, NULL, outlives, NULL))
			_exit(6);
		syscall(SYS_exit, 0);
	}
	wait_for("ended", pid);
}

static void with_standard_descriptors_closed(void)
{
	close(0);
	close(1);
	close(2);
	say_number("first", open("a", O_RDONLY));
	say_number("second", open("new", O_WRONLY | O_CREAT, 0644));
	say_number("third", open("d", O_RDONLY | O_DIRECTORY));
	close(1);
	say_number("the gap", open("a", O_RDONLY));
}

static void with_no_descriptor_left(void)
{
	const struct rlimit limit = {64, 64};
	int last = -1, fd;

	say("limit", setrlimit(RLIMIT_NOFILE, &limit));
	while ((fd = dup(0)) >= 0)
		last = fd;
	say("open", open("a", O_RDONLY));
	say("mkdir needs none", mkdir("made", 0755));
	close(last);
	say_number("the last", open("a", O_RDONLY) - last);
	close(last); /* to create with none left: docs/limits.md */
}

/* A file that never had a name is the worker's own: to open again, and to run. */
static void files_in_memory(void)
{
	static char name[] = "true";
	char *argv[] = {name, NULL}, path[64], buf[4096];
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC), status = -1;
	int fd = (int)syscall(SYS_memfd_create, "own", 0);
	ssize_t n;
	pid_t pid;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		if (write(fd, buf, (size_t)n) != n)
			say("write", -1);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	say_number("opened again", open(path, O_RDONLY) >= 0);
	close(from);
	for (int i = 0; i < 2; i++) {
		pid = fork();
		if (pid == 0 && i == 0)
			execv(path, argv);
		if (pid == 0)
			syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
		if (pid == 0)
			_exit(errno);
		waitpid(pid, &status, 0);
		say_number("run", status);
	}
}

#define SCENARIOS \
	X(after_fork) \
	X(after_vfork) \
	X(in_threads) \
	X(by_posix_spawn) \
	X(in_another_program) \
	X(with_a_dead_leader) \
	X(with_standard_descriptors_closed) \
	X(with_no_descriptor_left) \
	X(files_in_memory)

static const struct scenario scenarios[] = {
#define X(name) {#name, name},
	SCENARIOS
#undef X
};

/* ---- the tests ------------------------------------------------------------------------------- */

#define X(name) \
	static void test_##name(void **state) \
	{ \
		compare_scenario(#name); \
	}
SCENARIOS
#undef X

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
#define X(name) cmocka_unit_test_setup_teardown(test_##name, fds_before, fds_after),
		SCENARIOS
#undef X
	};

	if (argc > 3)
		return worker_main(argv, scenarios, sizeof(scenarios) / sizeof(*scenarios));
	return cmocka_run_group_tests(tests, make_top, remove_top);
}
