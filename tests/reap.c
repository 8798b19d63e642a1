/* SPDX-License-Identifier: MIT */
/*
 * reap.c - reap COMMAND [ARGUMENT...]: runs it, and takes what it leaves behind.
 *
 * Whatever loses its parent below it becomes its child, and is waited for at once.  A cell whose
 * broker was killed ends only when its zombies are gone, and process 1 of a machine may look for
 * them every few seconds, or, in a container, never.  When the command has ended, or one of SIGINT,
 * SIGTERM and SIGHUP has come, what still runs below is killed.  The command has the default
 * actions of those signals and of SIGQUIT, which a shell's background job has not.
 *
 * The exit status is the command's, 128 and the signal that ended it, or 125 where it was not run.
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Kills each child; true where there is one, dead or alive. */
static int kill_children(void)
{
	FILE *list = fopen("/proc/thread-self/children", "re");
	int child;
	int any = 0;

	if (list == NULL)
		return 0;
	while (fscanf(list, "%d", &child) == 1) {
		kill(child, SIGKILL);
		any = 1;
	}
	fclose(list);
	return any;
}

/* A child of a killed one is a child from then on: until none is left.  One that no signal ends, in
 * a file system that does not answer, is left after ten seconds. */
static void kill_rest(void)
{
	const struct timespec pause = {.tv_nsec = 5000000};

	for (int i = 0; i < 2000 && kill_children(); i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nanosleep(&pause, NULL);
	}
}

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Waits for all that end, until the command has, or a signal comes. */
static int reap(pid_t command, const sigset_t *waiting)
{
	siginfo_t info;
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid == command)
			return status_of(status);
		if (pid > 0)
			continue;
		/* They are blocked but in here, so that none is missed before it. */
		if (sigwaitinfo(waiting, &info) > 0 && info.si_signo != SIGCHLD)
			return 128 + info.si_signo;
	}
}

int main(int argc, char **argv)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t waiting;
	sigset_t before;
	pid_t command;
	int r;

	if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 125;
	sigemptyset(&waiting);
	sigaddset(&waiting, SIGCHLD);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		sigaddset(&waiting, ends[i]);
		signal(ends[i], SIG_DFL);
	}
	signal(SIGCHLD, SIG_DFL);
	signal(SIGQUIT, SIG_DFL);
	sigprocmask(SIG_BLOCK, &waiting, &before);
	command = fork();
	if (command < 0)
		return 125;
	if (command == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[1], argv + 1);
		fprintf(stderr, "reap: cannot run %s: %s\n", argv[1], strerror(errno));
		_exit(125);
	}
	r = reap(command, &waiting);
	kill_rest();
	return r;
}
