/* SPDX-License-Identifier: MIT */
/*
 * signals_run.h - the worker of signals.c: calls of other processes and threads that wait, and the
 * list of all scenarios.
 */
#ifndef TESTS_E2E_SIGNALS_RUN_H
#define TESTS_E2E_SIGNALS_RUN_H

#include "tests/e2e/signals_wait.h"

/* ---- other processes, other signals ---------------------------------------------------------- */

/* Waits until a process sleeps, which it does in the call that it was forked for. */
static void wait_asleep(pid_t pid)
{
	char path[48], text[256], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	while (state != 'S' && state != 'D') {
		FILE *f = fopen(path, "re");
		const char *end;

		if (!f || !fgets(text, sizeof(text), f))
			errx(2, "%s cannot be read", path);
		fclose(f);
		end = strrchr(text, ')');
		state = end ? end[2] : 0;
		usleep(1000);
	}
}

static pid_t in_child(void (*run)(void))
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		run();
		fflush(stdout);
		_exit(0);
	}
	return pid;
}

static void say_end(const char *what, pid_t pid)
{
	int status = -1;

	waitpid(pid, &status, 0);
	printf("%s: %s %d\n", what, WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void open_fifo(void)
{
	say("open", open("fifo", O_RDONLY));
}

static void connect_hole(void)
{
	say("connect", connect_to(tcp(), hole_port));
}

/* In the queue of a socket that another process holds as well, which is relayed. */
static void connect_shared(void)
{
	int s = tcp();
	pid_t self = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == self)
			pause();
		_exit(0);
	}
	say("connect", connect_to(s, hole_port));
}

static void open_with_ticks(void)
{
	begin_ticks(open_fifo); /* not the third tick's: it is overwritten */
	third_tick = NULL;
	open_fifo();
}

static void signals_that_end_it(void)
{
	static const struct {
		const char *name;
		void (*run)(void);
		int sig;
	} rows[] = {
		{"open, SIGTERM", open_fifo, SIGTERM},
		{"open, SIGINT", open_fifo, SIGINT},
		{"open, SIGQUIT", open_fifo, SIGQUIT},
		{"open with ticks, SIGTERM", open_with_ticks, SIGTERM},
		{"open with ticks, SIGQUIT", open_with_ticks, SIGQUIT},
		{"connect, SIGTERM", connect_hole, SIGTERM},
		{"connect, SIGQUIT", connect_hole, SIGQUIT},
		{"connect, SIGUSR2", connect_hole, SIGUSR2},
	};
	const struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		pid_t pid = in_child(rows[i].run);

		wait_asleep(pid);
		kill(pid, rows[i].sig);
		say_end(rows[i].name, pid);
	}
}

static void a_shared_socket_ends_with_its_process(void)
{
	const struct rlimit none = {0, 0};
	pid_t pid;

	setrlimit(RLIMIT_CORE, &none);
	pid = in_child(connect_shared);
	wait_asleep(pid);
	kill(pid, SIGQUIT);
	say_end("connect, SIGQUIT", pid);
}

static void stopped_and_continued(void)
{
	pid_t pid = in_child(open_fifo);
	int status = 0;

	wait_asleep(pid);
	kill(pid, SIGSTOP);
	say("stopped", waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) ? 0 : -1);
	kill(pid, SIGCONT);
	open_end();
	say_end("continued", pid);
}

/* One that waits as well, and is interrupted: whoever waited before has been looked at. */
static void let_be_interrupted(void)
{
	begin_ticks(NULL);
	if (open("fifo2", O_RDONLY) >= 0 || errno != EINTR)
		say("fifo2", -1);
	tick(false);
}

static pid_t waits;
static void look_then_open(void)
{
	wait_asleep(waits);
	kill(waits, SIGALRM);
	kill(waits, SIGUSR1);
	kill(waits, SIGWINCH);
	kill(waits, SIGCHLD);
	let_be_interrupted();
	let_be_interrupted();
	open_end();
	while (true)
		pause();
}

static void blocked_and_ignored(void)
{
	sigset_t set;
	pid_t pid;
	int fd;

	handle(NULL);
	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	waits = getpid();
	pid = fork();
	if (pid == 0) {
		look_then_open();
		_exit(0);
	}
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = open("fifo", O_RDONLY);
	say_number("handled", ticks);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	say_number("handled then", ticks);
	say("open", fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

static volatile bool over;

static void *signal_process(void *tid)
{
	while (!over) {
		if (tid)
			syscall(SYS_tgkill, getpid(), *(pid_t *)tid, SIGALRM);
		else
			kill(getpid(), SIGALRM);
		usleep(TICK_US);
	}
	return NULL;
}

static void of_several_threads(void)
{
	pthread_t t;
	int r;

	handle(NULL);
	pthread_create(&t, NULL, signal_process, NULL);
	r = open("fifo", O_RDONLY);
	say("the first thread's open", r);
	r = connect_to(tcp(), hole_port);
	say("its connect", r);
	over = true;
	pthread_join(t, NULL);
	say_ticks(2);
}

static pid_t thread_id;
static void *open_in_thread(void *_)
{
	int r;

	thread_id = gettid();
	r = open("fifo", O_RDONLY);
	say("the thread's open", r);
	over = true;
	return NULL;
}

/* The process's first thread takes no such signal. */
static void of_another_thread(void)
{
	pthread_t t;
	sigset_t set;

	begin_ticks(NULL);
	pthread_create(&t, NULL, open_in_thread, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_join(t, NULL);
	say_ticks(1);
}

static void of_one_thread_alone(void)
{
	pthread_t t, sends;

	handle(open_end);
	pthread_create(&t, NULL, open_in_thread, NULL);
	while (!thread_id)
		usleep(1000);
	pthread_create(&sends, NULL, signal_process, &thread_id);
	pthread_join(t, NULL);
	pthread_join(sends, NULL);
	say_ticks(3);
}

/* ---- many at once ---------------------------------------------------------------------------- */

static void *open_in_storm(void *strange)
{
	while (!over) {
		int fd = open("fifo", O_RDONLY);

		if (fd < 0 && errno != EINTR)
			*(int *)strange = errno;
		close(fd);
	}
	return NULL;
}

/* Signals of the process and of each thread, handled with SA_RESTART and without. */
static void storm_in_child(void)
{
	pthread_t t[3], sends;
	int strange[3] = {0};

	handle(open_fifo);
	third_tick = NULL;
	pthread_create(&sends, NULL, signal_process, NULL);
	for (int i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, open_in_storm, &strange[i]);
	for (int i = 0; i < 60; i++) {
		if (i % 15 == 0)
			handle(i % 2 ? NULL : open_fifo);
		third_tick = NULL;
		pthread_kill(t[i % 3], SIGALRM);
		usleep(TICK_US);
	}
	over = true;
	open_end();
	for (int i = 0; i < 3; i++) {
		pthread_join(t[i], NULL);
		say_number("strange", strange[i]);
	}
	pthread_join(sends, NULL);
}

static void a_storm(void)
{
	pid_t pids[4];

	for (int i = 0; i < 4; i++)
		pids[i] = in_child(storm_in_child);
	for (int i = 0; i < 4; i++)
		say_end("a process", pids[i]);
}

#define SCENARIOS \
	X(fifo_eintr, 0) \
	X(fifo_restarted, 0) \
	X(connect_eintr, 2) \
	X(connect_again_after_eintr, 2) \
	X(connect_restarted, 2) \
	X(connect_restarted_when_it_is, 2) \
	X(connect_inside, 0) \
	X(path_eintr, 3) \
	X(path_restarted, -1) \
	X(signals_that_end_it, -1) \
	X(a_shared_socket_ends_with_its_process, 0) \
	X(stopped_and_continued, 0) \
	X(blocked_and_ignored, 0) \
	X(of_several_threads, 1) \
	X(of_another_thread, 0) \
	X(of_one_thread_alone, 0) \
	X(a_storm, 0) \
	X(patience, 4) \
	X(patience_within, 0) \
	X(patience_and_signals, 1) \
	X(mapped, 1)

static const struct {
	const char *name;
	void (*run)(void);
} scenarios[] = {
#define X(name, connects) {#name, name},
	SCENARIOS
#undef X
};

static int worker_main(char **argv)
{
	if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
				      setresuid(NOBODY, NOBODY, NOBODY) < 0))
		err(2, "uid %d", NOBODY);
	if (chdir(argv[3]) < 0)
		err(2, "%s", argv[3]);
	hole_port = (uint16_t)atoi(argv[4]);
	gate_port = (uint16_t)atoi(argv[5]);
	snprintf(hole_path, sizeof(hole_path), "%s", argv[6]);
	for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) {
		if (strcmp(scenarios[i].name, argv[2]) == 0) {
			scenarios[i].run();
			return 0;
		}
	}
	errx(2, "no scenario %s", argv[2]);
}

#endif
