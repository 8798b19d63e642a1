/* SPDX-License-Identifier: MIT */
/*
 * clients.h - one `warder serve` with the built-in worker, and clients of it, hostile and honest.
 *
 * All tests of a program share the service.  After each attack an honest client on a connection of
 * its own is answered, and by the same worker: the ledger still has one session.
 */
#ifndef WARDER_HOSTILE_CLIENTS_H
#define WARDER_HOSTILE_CLIENTS_H

#include "tests/hostile/inside.h"
#include "common/fd.h"
#include "common/frame.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static char top[PATH_MAX], data[PATH_MAX + 32], socket_path[PATH_MAX + 64], policy[PATH_MAX + 16];
static pid_t service = -1, supervisor = -1; /* one process, unless something traces it */
static const char request_text[] =
	"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"hash\",\"params\":{\"path\":\"%s\"}}";

static inline long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline int dial(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, socket_path, strlen(socket_path));
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		fd_close(&s);
	return s;
}

static inline int ask(int s, int id)
{
	char text[PATH_MAX + 128];

	snprintf(text, sizeof(text), request_text, id, data);
	return frame_send(s, text, strlen(text));
}

/* The id of the next answer; negative: none came, or no result. */
static inline int answered(int s)
{
	autofree char *text = NULL;
	json_error_t e;
	json_t *answer;
	size_t size;
	int fd = -1, id = -1;

	if (frame_recv(s, FRAME_SIZE_MAX, &text, &size, &fd) < 0)
		return -1;
	fd_close(&fd);
	answer = json_loadb(text, size, 0, &e);
	if (json_object_get(answer, "result"))
		id = (int)json_integer_value(json_object_get(answer, "id"));
	json_decref(answer);
	return id;
}

static inline bool closed_within(int s, int ms)
{
	struct pollfd p = {.fd = s, .events = POLLIN};
	char c;

	return poll(&p, 1, ms) == 1 && recv(s, &c, 1, 0) <= 0;
}

/* The number that a command makes of the ledgers of all sessions that there were. */
static inline int number_of(const char *filter)
{
	char command[PATH_MAX + 256];
	FILE *f;
	int n = -1;

	snprintf(command, sizeof(command), "find '%s/state' -name '*.jsonl' -exec cat {} + | %s",
		top, filter);
	f = popen(command, "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

static inline int count_records(const char *event)
{
	char filter[64];

	snprintf(filter, sizeof(filter), "grep -c '\"event\":\"%s\"'", event);
	return number_of(filter);
}

/* Somebody else is served as ever, and by the worker of the beginning. */
static inline void assert_serves(void)
{
	int s = dial();

	assert_true(s >= 0);
	assert_int_equal(ask(s, 7), 0);
	assert_int_equal(answered(s), 7);
	close(s);
	assert_int_equal(count_records("session"), 1);
}

/* What the book has more than when the test began: each connection that was let in is in it, and
 * nothing was opened but for a request that is one. */
static int clients_before, grants_before;

static inline int begin(void **state)
{
	clients_before = count_records("client");
	grants_before = count_records("grant");
	return fds_before(state);
}

static inline void assert_recorded(int clients, int grants)
{
	assert_int_equal(count_records("client") - clients_before, clients);
	assert_int_equal(count_records("grant") - grants_before, grants);
}

/* ---- the service -------------------------------------------------------------------------- */

/* Its number stands beside the socket. */
static inline pid_t read_supervisor(void)
{
	char path[PATH_MAX + 64];
	int pid = -1;
	FILE *f;

	snprintf(path, sizeof(path), "%s/run/warder/hostile.pid", top);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &pid) != 1)
		pid = -1;
	if (f)
		fclose(f);
	return pid;
}

/* It has its name before anybody listens; and whoever connects to find out is a client. */
static inline bool listens(const char *path)
{
	FILE *f = fopen("/proc/net/unix", "re");
	char line[PATH_MAX + 128], name[PATH_MAX];
	unsigned flags;
	bool found = false;

	/* Num RefCount Protocol Flags Type St Inode Path; __SO_ACCEPTCON is in the flags. */
	while (f && !found && fgets(line, sizeof(line), f))
		found = sscanf(line, "%*s %*s %*s %x %*s %*s %*s %4095s", &flags, name) == 2 &&
			strcmp(name, path) == 0 && (flags & 0x10000);
	if (f)
		fclose(f);
	return found;
}

static inline int wait_for_socket(void)
{
	long end = now_ms() + 30000;

	while (now_ms() < end) {
		if (listens(socket_path)) {
			supervisor = read_supervisor();
			return supervisor > 1 ? 0 : -1;
		}
		if (waitpid(service, NULL, WNOHANG) != 0)
			break;
		usleep(20000);
	}
	return -1;
}

/* The directories and the policy that a service needs; 0 or -1. */
static inline int make_places(void)
{
	char path[PATH_MAX + 16], text[PATH_MAX + 32];

	make_directory(top, sizeof(top));
	snprintf(path, sizeof(path), "%s/run", top);
	mkdir(path, 0700);
	setenv("XDG_RUNTIME_DIR", path, 1);
	snprintf(socket_path, sizeof(socket_path), "%s/warder/hostile.sock", path);
	if (strlen(socket_path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return -1;
	snprintf(path, sizeof(path), "%s/state", top);
	mkdir(path, 0700);
	setenv("XDG_STATE_HOME", path, 1);
	snprintf(path, sizeof(path), "%s/data", top);
	mkdir(path, 0755);
	chmod(path, 0755);
	snprintf(data, sizeof(data), "%s/a", path);
	make_file(data, "data\n", 0644);
	snprintf(text, sizeof(text), "allow read %s/\n", path);
	snprintf(policy, sizeof(policy), "%s/hostile.policy", top);
	make_file(policy, text, 0644);
	return 0;
}

/* `before` is what runs it: words before warder's own, up to 8, NULL after them. */
static inline int start_under(const char *const *before)
{
	const char *argv[16];
	size_t n = 0;

	while (*before)
		argv[n++] = *before++;
	argv[n++] = warder_path();
	argv[n++] = "serve";
	argv[n++] = "-p";
	argv[n++] = policy;
	argv[n++] = "-n";
	argv[n++] = "hostile";
	argv[n] = NULL;
	signal(SIGPIPE, SIG_IGN);
	service = fork();
	if (service == 0) {
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return wait_for_socket();
}

static inline int start(void **state)
{
	const char *const by_itself[] = {NULL};

	return make_places() < 0 ? -1 : start_under(by_itself);
}

/* SIGTERM drains, and the service ends with 0. */
static inline int end(void **state)
{
	int status = -1;

	if (service > 0) {
		kill(supervisor > 1 ? supervisor : service, SIGTERM);
		waitpid(service, &status, 0);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

#endif
