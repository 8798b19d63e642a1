/* SPDX-License-Identifier: MIT */
/*
 * tty.c - warder run on a real terminal: keys, size, job control, and what is left of it
 * afterwards.
 *
 * Each test plays the user: it holds the master of a pty, and a shell of its own making (a session
 * leader that stops and continues jobs) runs warder on the slave.
 */
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 60000

struct user {
	int master_fd;
	int slave_fd; /* kept open, so that the modes can be read afterwards */
	int news_fd;  /* from the shell: 'F' in the foreground, 'S' stopped, then 'E' and the exit
			 status */
	pid_t shell_pid;
	pid_t job_pid;
	struct termios before;
	char seen[1 << 18];
	size_t n;
};

static struct user user;
static bool summary;    /* let warder tell one at the end */
static bool background; /* started there, by a shell that edits lines, until SIGUSR1 */
static char *rule;      /* one more than the default's; without a summary */
static char warder[4096];

/* ---- the shell ------------------------------------------------------------------------------- */

static void report(int fd, char what, unsigned char value)
{
	char news[2] = {what, (char)value};

	fd_write_all(fd, news, 2);
}

/* Runs the job in the foreground; continues it when it stops. */
static void shell_wait(int news_fd, pid_t job)
{
	for (;;) {
		int status;

		if (waitpid(job, &status, WUNTRACED) != job)
			_exit(1);
		if (!WIFSTOPPED(status)) {
			report(news_fd, 'E',
				(unsigned char)(WIFEXITED(status) ? WEXITSTATUS(status)
								  : 128 + WTERMSIG(status)));
			_exit(0);
		}
		tcsetpgrp(0, getpgrp());
		report(news_fd, 'S', 0);
		usleep(300000); /* time for the user to look at the terminal */
		tcsetpgrp(0, job);
		kill(-job, SIGCONT);
	}
}

/* As a shell does it: the terminal as it was, then the job's. */
static void bring_to_front(pid_t job)
{
	sigset_t told;
	int sig;

	sigemptyset(&told);
	sigaddset(&told, SIGUSR1);
	if (sigwait(&told, &sig) != 0 || tcsetattr(0, TCSADRAIN, &user.before) < 0 ||
		tcsetpgrp(0, job) < 0)
		_exit(1);
}

static void edit_lines(void)
{
	struct termios raw = user.before;
	sigset_t told;

	cfmakeraw(&raw);
	sigemptyset(&told);
	sigaddset(&told, SIGUSR1);
	sigprocmask(SIG_BLOCK, &told, NULL);
	tcsetattr(0, TCSADRAIN, &raw);
}

static void shell_main(int slave_fd, int news_fd, int out_fd, char *const *argv)
{
	pid_t job;

	setsid();
	ioctl(slave_fd, TIOCSCTTY, 0);
	for (int i = 0; i < 3; i++)
		dup2(slave_fd, i);
	signal(SIGTTOU, SIG_IGN);
	if (background)
		edit_lines();
	job = fork();
	if (job == 0) {
		setpgid(0, 0);
		if (!background)
			tcsetpgrp(0, getpid());
		signal(SIGTTOU, SIG_DFL);
		if (out_fd >= 0)
			dup2(out_fd, 1);
		close_range(3, ~0U, 0);
		execv(argv[0], argv);
		_exit(99);
	}
	fd_write_all(news_fd, &job, sizeof(job));
	if (out_fd >= 0)
		close(out_fd);
	if (background) {
		bring_to_front(job);
		report(news_fd, 'F', 0);
	}
	shell_wait(news_fd, job);
}

/* Starts `warder run COMMAND...`; `out_fd` is its standard output, -1: the terminal. */
static void start(int out_fd, const char *script)
{
	struct winsize size = {.ws_row = 33, .ws_col = 77};
	char *argv[] = {warder, (char[]){"run"}, summary ? (char[]){"--"} : (char[]){"-q"},
		(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
	char *with_rule[] = {warder, (char[]){"run"}, (char[]){"-q"}, (char[]){"-e"}, rule,
		(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)script, NULL};
	int news[2];

	user.n = 0;
	user.master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(user.master_fd >= 0);
	assert_int_equal(unlockpt(user.master_fd), 0);
	user.slave_fd = ioctl(user.master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(user.slave_fd >= 0);
	assert_int_equal(ioctl(user.slave_fd, TIOCSWINSZ, &size), 0);
	assert_int_equal(tcgetattr(user.slave_fd, &user.before), 0);
	assert_int_equal(pipe2(news, O_CLOEXEC), 0);
	user.shell_pid = fork();
	if (user.shell_pid == 0)
		shell_main(user.slave_fd, news[1], out_fd, rule ? with_rule : argv);
	close(news[1]);
	user.news_fd = news[0];
	assert_int_equal(read(news[0], &user.job_pid, sizeof(user.job_pid)), sizeof(user.job_pid));
}

static int stop_all(void **state)
{
	/* The shell is the session's leader: its end hangs the terminal up. */
	if (user.shell_pid > 0) {
		kill(user.shell_pid, SIGKILL);
		waitpid(user.shell_pid, NULL, 0);
	}
	fd_close(&user.master_fd);
	fd_close(&user.slave_fd);
	fd_close(&user.news_fd);
	user.shell_pid = 0;
	return 0;
}

/* ---- the user -------------------------------------------------------------------------------- */

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void look(int wait_ms)
{
	struct pollfd p = {user.master_fd, POLLIN};
	ssize_t n;

	if (poll(&p, 1, wait_ms) <= 0)
		return;
	n = read(user.master_fd, user.seen + user.n, sizeof(user.seen) - user.n - 1);
	if (n > 0)
		user.n += (size_t)n;
	user.seen[user.n] = '\0';
}

static void wait_for(const char *text)
{
	long end = now_ms() + WAIT_MS;

	while (!memmem(user.seen, user.n, text, strlen(text))) {
		if (now_ms() > end) {
			print_error("waited for \"%s\", saw \"%s\"\n", text, user.seen);
			fail();
		}
		look(50);
	}
}

static void type(const char *keys)
{
	assert_int_equal(fd_write_all(user.master_fd, keys, strlen(keys)), 0);
}

/* The next news of the shell. */
static int hear(char what)
{
	long end = now_ms() + WAIT_MS;
	unsigned char news[2];

	for (;;) {
		struct pollfd p = {user.news_fd, POLLIN};

		look(0);
		if (poll(&p, 1, 20) > 0)
			break;
		if (now_ms() > end) {
			print_error("waited for '%c', saw \"%s\"\n", what, user.seen);
			fail();
		}
	}
	assert_int_equal(read(user.news_fd, news, 2), 2);
	assert_int_equal(news[0], what);
	return news[1];
}

static struct termios modes(void)
{
	struct termios t;

	assert_int_equal(tcgetattr(user.slave_fd, &t), 0);
	return t;
}

static void expect_restored(void)
{
	struct termios t = modes();

	assert_int_equal(t.c_lflag, user.before.c_lflag);
	assert_int_equal(t.c_iflag, user.before.c_iflag);
	assert_int_equal(t.c_oflag, user.before.c_oflag);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void worker_has_a_terminal_of_the_same_size(void **state)
{
	start(-1, "test -t 0 && test -t 1 && test -t 2 && stty size");
	wait_for("33 77");
	assert_int_equal(hear('E'), 0);
}

static void exit_status_passes_and_terminal_is_restored(void **state)
{
	start(-1, "exit 42");
	assert_int_equal(hear('E'), 42);
	expect_restored();
}

static void terminal_is_raw_meanwhile(void **state)
{
	start(-1, "echo ready; read line; echo \"got<$line>\"");
	wait_for("ready");
	assert_false(modes().c_lflag & (ICANON | ECHO | ISIG));
	type("words\r");
	wait_for("got<words>");
	assert_int_equal(hear('E'), 0);
	expect_restored();
}

static void ctrl_c_reaches_the_worker(void **state)
{
	start(-1, "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.1; done");
	wait_for("ready");
	type("\003");
	wait_for("interrupted");
	assert_int_equal(hear('E'), 7);
	expect_restored();
}

static void ctrl_c_ends_a_worker_without_a_handler(void **state)
{
	start(-1, "echo ready; exec sleep 30");
	wait_for("ready");
	type("\003");
	assert_int_equal(hear('E'), 128 + SIGINT);
	expect_restored();
}

static void ctrl_backslash_and_end_of_file_reach_the_worker(void **state)
{
	start(-1, "echo ready; cat; echo eof; exec sleep 30");
	wait_for("ready");
	type("\004");
	wait_for("eof");
	type("\034");
	assert_int_equal(hear('E'), 128 + SIGQUIT);
}

static void window_size_follows(void **state)
{
	struct winsize size = {.ws_row = 50, .ws_col = 111};

	start(-1, "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done");
	wait_for("ready");
	assert_int_equal(ioctl(user.master_fd, TIOCSWINSZ, &size), 0);
	wait_for("50 111");
	assert_int_equal(hear('E'), 0);
}

static void ctrl_z_stops_the_job_and_restores_the_terminal(void **state)
{
	start(-1, "echo ready; read line; echo \"again<$line>\"");
	wait_for("ready");
	type("\032");
	hear('S');
	expect_restored();
	usleep(600000); /* the shell has continued it */
	assert_false(modes().c_lflag & (ICANON | ECHO | ISIG));
	type("on\r");
	wait_for("again<on>");
	assert_int_equal(hear('E'), 0);
	expect_restored();
}

static void job_of_the_background_has_its_keys_in_the_foreground(void **state)
{
	background = true;
	start(-1, "echo ready; stty -a; cat; echo \"ended<$?>\"");
	background = false;
	wait_for("ready");
	wait_for(" icanon");
	kill(user.shell_pid, SIGUSR1);
	hear('F');
	/* From then on the relay reads what is typed. */
	for (long end = now_ms() + WAIT_MS;
		(modes().c_lflag & ICANON) || (modes().c_iflag & ICRNL);) {
		assert_true(now_ms() < end);
		look(20);
	}
	type("first\r");
	wait_for("first\r\nfirst\r\n");
	type("\004");
	wait_for("ended<0>");
	assert_int_equal(hear('E'), 0);
	expect_restored();
}

static void ctrl_z_is_a_key_for_a_worker_that_wants_it(void **state)
{
	start(-1, "stty raw -echo; echo ready; dd bs=1 count=1 2>/dev/null | od -An -tx1");
	wait_for("ready");
	type("\032");
	wait_for("1a");
	assert_int_equal(hear('E'), 0);
	expect_restored();
}

static void all_output_arrives_before_the_end(void **state)
{
	start(-1, "i=0; while [ $i -lt 5000 ]; do echo line-$i; i=$((i+1)); done; printf last");
	assert_int_equal(hear('E'), 0);
	wait_for("line-4999\r\nlast");
	assert_non_null(memmem(user.seen, user.n, "line-0\r\n", 8));
}

static void terminal_is_restored_when_the_broker_is_killed(void **state)
{
	long end = now_ms() + WAIT_MS;

	start(-1, "echo ready; exec sleep 30");
	wait_for("ready");
	assert_false(modes().c_lflag & ICANON);
	kill(user.job_pid, SIGKILL);
	assert_int_equal(hear('E'), 128 + SIGKILL);
	while (!(modes().c_lflag & ICANON) && now_ms() < end)
		usleep(20000);
	expect_restored();
}

/* A number of /proc/PID/status. */
static int status_of(pid_t pid, const char *name)
{
	char path[64], line[256];
	int value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			sscanf(line + strlen(name), ": %d", &value);
	fclose(file);
	return value;
}

/* The relay, the cell's init and the worker. */
static void every_child_of_the_broker_has_a_filter(void **state)
{
	char path[64];
	FILE *file;
	int pid, n = 0;

	start(-1, "echo ready; exec sleep 30");
	wait_for("ready");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)user.job_pid,
		(int)user.job_pid);
	file = fopen(path, "re");
	assert_non_null(file);
	while (fscanf(file, "%d", &pid) == 1) {
		assert_int_equal(status_of(pid, "NoNewPrivs"), 1);
		assert_int_not_equal(status_of(pid, "Seccomp"), 0);
		n++;
	}
	fclose(file);
	assert_int_equal(n, 3);
	kill(user.job_pid, SIGKILL);
	assert_int_equal(hear('E'), 128 + SIGKILL);
}

static void a_pipe_stays_a_pipe(void **state)
{
	char buf[64] = "";
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	start(out[1], "test -t 0 && test -t 2 && ! test -t 1 && read line && echo \"out<$line>\"");
	close(out[1]);
	type("x\r");
	assert_int_equal(hear('E'), 0);
	assert_int_equal(fd_read_all(out[0], buf, sizeof(buf) - 1), 7);
	assert_string_equal(buf, "out<x>\n");
	close(out[0]);
	expect_restored();
}

/* An open that waits is ended as it would be without a cell. */
static void ctrl_c_ends_a_call_that_waits(void **state)
{
	char text[] = "allow read ./ type fifo", dir[] = "tty.XXXXXX";
	uid_t uid = geteuid() == 0 ? 65534 : geteuid();

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkfifo("fifo", 0644), 0);
	assert_int_equal(chown("fifo", uid, uid), 0);
	rule = text;
	start(-1, "trap 'echo interrupted; exit 7' INT; echo ready; true <fifo");
	rule = NULL;
	wait_for("ready");
	type("\003");
	wait_for("interrupted");
	assert_int_equal(hear('E'), 7);
	expect_restored();
	assert_int_equal(unlink("fifo"), 0);
	assert_int_equal(chdir(".."), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void ctrl_c_reaches_a_worker_that_writes_to_a_pipe(void **state)
{
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	start(out[1], "trap 'exit 9' INT; echo ready >&2; while :; do sleep 0.1; done");
	close(out[1]);
	wait_for("ready");
	type("\003");
	assert_int_equal(hear('E'), 9);
	close(out[0]);
	expect_restored();
}

static void names_of_standard_output_lead_to_the_terminal(void **state)
{
	start(-1, "echo one >/dev/stdout && echo two >/dev/stderr && echo three >/dev/tty");
	assert_int_equal(hear('E'), 0);
	wait_for("one\r\ntwo\r\nthree\r\n");
}

static void summary_comes_when_the_terminal_is_restored(void **state)
{
	summary = true;
	start(-1, "echo words; exit 3");
	summary = false;
	assert_int_equal(hear('E'), 3);
	/* On a raw terminal the lines would not end in a carriage return. */
	wait_for("words\r\nwarder: 0 requests granted, 0 denied; ledger ");
	wait_for(".jsonl\r\n");
}

static void hang_up_ends_the_worker(void **state)
{
	char beat;
	int out[2];

	/* The worker holds the pipe: end-of-file means that it has gone. */
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	start(out[1], "echo ready >&2; while :; do sleep 0.1; done");
	close(out[1]);
	wait_for("ready");
	stop_all(NULL);
	assert_int_equal(read(out[0], &beat, 1), 0);
	close(out[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(worker_has_a_terminal_of_the_same_size, stop_all),
		cmocka_unit_test_teardown(exit_status_passes_and_terminal_is_restored, stop_all),
		cmocka_unit_test_teardown(terminal_is_raw_meanwhile, stop_all),
		cmocka_unit_test_teardown(ctrl_c_reaches_the_worker, stop_all),
		cmocka_unit_test_teardown(ctrl_c_ends_a_worker_without_a_handler, stop_all),
		cmocka_unit_test_teardown(
			ctrl_backslash_and_end_of_file_reach_the_worker, stop_all),
		cmocka_unit_test_teardown(window_size_follows, stop_all),
		cmocka_unit_test_teardown(ctrl_z_stops_the_job_and_restores_the_terminal, stop_all),
		cmocka_unit_test_teardown(
			job_of_the_background_has_its_keys_in_the_foreground, stop_all),
		cmocka_unit_test_teardown(ctrl_z_is_a_key_for_a_worker_that_wants_it, stop_all),
		cmocka_unit_test_teardown(all_output_arrives_before_the_end, stop_all),
		cmocka_unit_test_teardown(terminal_is_restored_when_the_broker_is_killed, stop_all),
		cmocka_unit_test_teardown(every_child_of_the_broker_has_a_filter, stop_all),
		cmocka_unit_test_teardown(a_pipe_stays_a_pipe, stop_all),
		cmocka_unit_test_teardown(ctrl_c_ends_a_call_that_waits, stop_all),
		cmocka_unit_test_teardown(ctrl_c_reaches_a_worker_that_writes_to_a_pipe, stop_all),
		cmocka_unit_test_teardown(names_of_standard_output_lead_to_the_terminal, stop_all),
		cmocka_unit_test_teardown(summary_comes_when_the_terminal_is_restored, stop_all),
		cmocka_unit_test_teardown(hang_up_ends_the_worker, stop_all),
	};

	signal(SIGPIPE, SIG_IGN);
	snprintf(warder, sizeof(warder), "%s/warder", getenv("BUILD") ? getenv("BUILD") : "build");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
