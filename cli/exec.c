/* SPDX-License-Identifier: MIT */
/*
 * exec.c - warder's other programs, and the processes that the command line starts.
 *
 * Runs in: command line, supervisor.  Trusts: the installation; while warder runs from where it was
 * built, the directory it was built in.  Never the environment.
 */
#include "cli/exec.h"
#include "cli/say.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int exec_find(const char *name, char *buf, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return -errno;
	self[n] = '\0';
	if (strcmp(self, WARDER_BINDIR "/warder") == 0) {
		n = snprintf(buf, size, WARDER_LIBEXECDIR "/warder/%s", name);
	} else {
		slash = strrchr(self, '/');
		*slash = '\0';
		n = snprintf(buf, size, "%s/%s", self, name);
	}
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	return access(buf, X_OK) < 0 ? -errno : 0;
}

const char *exec_dialer(const struct policy *p, char *buf, size_t size)
{
	if (policy_socket_use(p) == 0 || exec_find("warder-dialer", buf, size) < 0)
		return NULL;
	return buf;
}

int exec_json(int argc, char **argv)
{
	char path[PATH_MAX];
	int r = exec_find("warder-json", path, sizeof(path));

	if (r == 0) {
		execv(path, argv);
		r = -errno;
	}
	errno = -r;
	say("cannot run %s for \"%s\": %m; is warder installed completely?",
		r == -ENAMETOOLONG ? "warder-json" : path, argv[0]);
	return 2;
}

pid_t exec_slot(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (pid > 0) {
		setpgid(pid, pid); /* both sides, so that neither has to wait for the other */
		return pid;
	}
	setpgid(0, 0);
	/* A second line only: the slot's life hangs on its control socket.  The parent may have
	 * died before the call. */
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(125);
	return 0;
}
