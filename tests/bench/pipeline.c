/* SPDX-License-Identifier: MIT */
/*
 * pipeline.c - requests served in one process, to count the broker's own instructions.
 *
 * The session of the unit tests: a policy, a ledger, a channel whose other end is this program's
 * own.  What it costs in time stands elsewhere; here nothing is measured but what runs.
 *
 *     usage: valgrind --tool=callgrind --toggle-collect=ask_serve pipeline [one|many|connect] TIMES
 *
 *     one      an open a message        many   32 opens a message
 *     connect  a connect to a Unix socket with a path: --toggle-collect=dial_serve too
 *
 * Divide "Collected" by TIMES, or by 32 times that.
 */
#include "tests/unit/world.h"

#include "broker/dial.h"
#include "common/dial.h"

#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define BATCH           32
#define SOCKET_PATH_MAX 108 /* unix(7) */
#define FILE_PATH       "/srv/files/data/one"

static struct msg_request asked[BATCH];

/* In the place of libc's: valgrind, up to 3.22, knows no openat2(2).  Nothing here has a symlink.
 */
long syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2)
		return openat(
			(int)a[0], (const char *)a[1], (int)((const struct open_how *)a[2])->flags);
	if (number == SYS_fstat)
		return fstat((int)a[0], (struct stat *)a[1]);
	errno = ENOSYS;
	return -1;
}

static void opens(struct world *w, size_t each, size_t times)
{
	for (size_t i = 0; i < each; i++)
		asked[i] = request(FILE_PATH, O_RDONLY, 0);
	for (size_t i = 0; i < times; i++) {
		assert_int_equal(send_requests(w, MSG_OPEN, asked, each), 0);
		receive(w, MSG_OPEN, each);
		assert_int_equal(w->n_fds, each);
	}
}

/* What the dialer would bring. */
static void bring(int dialer_fd)
{
	struct dial_message m, done = {.op = DIAL_DONE};
	uint8_t buf[DIAL_SIZE_MAX];
	size_t n = 0;
	int fd = -1, pair[2];
	long size = chan_recv(dialer_fd, buf, sizeof(buf), &fd, 1, &n, false);

	assert_int_equal(dial_decode(buf, (size_t)size, &m), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	done.id = m.id;
	size = dial_encode(&done, buf, sizeof(buf));
	assert_int_equal(chan_send(dialer_fd, buf, (size_t)size, pair, 1, false), 0);
	close(pair[1]);
	close(fd);
}

static void connects(struct world *w, const char *path, size_t times)
{
	const char *why = NULL;
	int dialer_fd;

	assert_int_equal(dial_new(&w->s.dial), 0);
	assert_int_equal(chan_pair(&w->cell.dialer_fd, &dialer_fd), 0);
	asked[0] = request(path, 0, 0);
	for (size_t i = 0; i < times; i++) {
		assert_int_equal(send_requests(w, MSG_CONNECT, asked, 1), 0);
		bring(dialer_fd);
		assert_int_equal(dial_serve(&w->s, &why), 0);
		receive(w, MSG_CONNECT, 1);
		assert_int_equal(w->answers[0].result, ANSWER_FD);
	}
	w->s.dial = dial_free(w->s.dial);
	fd_close(&w->cell.dialer_fd);
	close(dialer_fd);
}

static struct world *begin(char path[SOCKET_PATH_MAX])
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct world *w = world_new();
	char rules[512];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	put_dir(w, "/srv");
	put_dir(w, "/srv/files");
	put_dir(w, "/srv/files/data");
	put_file(w, FILE_PATH, "x");
	snprintf(path, SOCKET_PATH_MAX, "%s/s", w->dir);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	snprintf(rules, sizeof(rules), "allow read /srv/files/data/\nallow connect %s\n", path);
	world_start(w, rules);
	hello(w);
	return w;
}

int main(int argc, char **argv)
{
	size_t times = argc == 3 ? (size_t)atol(argv[2]) : 0;
	char path[SOCKET_PATH_MAX];
	struct world *w;

	if (times == 0) {
		fputs("usage: pipeline one|many|connect TIMES\n", stderr);
		return 2;
	}
	w = begin(path);
	if (strcmp(argv[1], "connect") == 0)
		connects(w, path, times);
	else
		opens(w, strcmp(argv[1], "many") == 0 ? BATCH : 1, times);
	world_free(w);
	return 0;
}
