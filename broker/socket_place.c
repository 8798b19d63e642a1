/* SPDX-License-Identifier: MIT */
/*
 * socket_place.c - an outer socket in the place of the worker's.
 *
 * Runs in: broker.  Trusts: nothing; a table that the worker changes meanwhile is its own, and all
 * that is ever put into it is the one socket that it was granted.
 *
 * Which numbers are the socket's stands in the caller's /proc, whose links need no open.  An epoll
 * instance knows a socket by its open file and its number, and takes both from the table of who
 * calls epoll_ctl(2): so a child with a table of its own, in which the new socket has the old one's
 * number, registers it again.
 */
#include "broker/socket_place.h"
#include "broker/tracee.h"
#include "common/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBERS_MAX   64   /* of one socket in one table */
#define PROBED_MAX    4096 /* the highest number looked at is below */
#define PLACES_MAX    32   /* registrations of one socket */
#define EPOLLS_MAX    16   /* epoll instances of one process */
#define FDINFO_MAX    32768
#define CLOEXEC_MASK  02000000 /* O_CLOEXEC in the "flags" of fdinfo; proc_pid_fdinfo(5) */
#define SOCKET_TEXT   "socket:[%" PRIu64 "]"
#define EPOLL_TEXT    "anon_inode:[eventpoll]"
#define LINK_SIZE     48
#define DIR_NAME_SIZE 24

struct numbers {
	int of[NUMBERS_MAX];
	size_t n;
};

/* One registration with an epoll instance of the caller's. */
struct place {
	int epoll_fd; /* our copy; borrowed */
	int number;
	struct epoll_event event;
};

struct places {
	int epolls[EPOLLS_MAX]; /* owned */
	size_t n_epolls;
	struct place of[PLACES_MAX];
	size_t n;
};

/* ---- who holds it ---------------------------------------------------------------------------- */

/* Calls each() with the number of every descriptor in a process's directory of /proc whose link
 * says `text`, until it returns true.  Returns that. */
static bool each_number(int proc_fd, const char *dir, const char *text,
	bool (*each)(void *ctx, int number), void *ctx)
{
	char path[LINK_SIZE], link[LINK_SIZE];
	struct stat st;
	long left = PROBED_MAX;

	snprintf(path, sizeof(path), "%s/fd", dir);
	/* How many there are: Linux 6.2; before, 0. */
	if (fstatat(proc_fd, path, &st, 0) < 0)
		return false;
	if (st.st_size > 0)
		left = (long)st.st_size;
	for (int number = 0; left > 0 && number < PROBED_MAX; number++) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/fd/%d", dir, number);
		n = readlinkat(proc_fd, path, link, sizeof(link));
		/* The cell's init is not to be looked into, and holds nothing of a worker's. */
		if (n < 0 && errno != ENOENT)
			return false;
		if (n < 0)
			continue;
		left--;
		if ((size_t)n == strlen(text) && memcmp(link, text, (size_t)n) == 0 &&
			each(ctx, number))
			return true;
	}
	return false;
}

static bool note_number(void *ctx, int number)
{
	struct numbers *numbers = ctx;

	numbers->of[numbers->n++] = number;
	return numbers->n == NUMBERS_MAX;
}

static bool is_any(void *ctx, int number)
{
	return true;
}

static int socket_text(const struct sock *k, char text[LINK_SIZE])
{
	struct stat st;

	if (fstat(k->fd, &st) < 0)
		return -errno;
	snprintf(text, LINK_SIZE, SOCKET_TEXT, (uint64_t)st.st_ino);
	return 0;
}

/* The process that the thread belongs to, by its number in the cell. */
static int process_in_cell(const struct session *s, pid_t tid)
{
	char text[256];
	const char *at;

	if (tracee_file(s, tid, "status", text, sizeof(text)) < 0)
		return -ESRCH;
	at = strstr(text, "\nTgid:\t");
	return at ? atoi(at + strlen("\nTgid:\t")) : -ESRCH;
}

struct dirent_head {
	uint64_t ino;
	int64_t off;
	uint16_t size;
	uint8_t type;
	char name[];
};

/* Whether one of the processes in a piece of /proc's listing holds it, but for the caller's, and
 * for this one, which a test sees there. */
static bool one_holds(int proc_fd, const char *buf, long size, int but, const char *text)
{
	int self = getpid();

	for (long i = 0; i < size;) {
		const struct dirent_head *d = (const void *)(buf + i);

		i += d->size;
		if (d->name[0] < '1' || d->name[0] > '9' || strlen(d->name) >= DIR_NAME_SIZE ||
			atoi(d->name) == but || atoi(d->name) == self)
			continue;
		if (each_number(proc_fd, d->name, text, is_any, NULL))
			return true;
	}
	return false;
}

bool socket_is_shared(const struct session *s, pid_t tid, const struct sock *k)
{
	_Alignas(8) char buf[4096];
	char text[LINK_SIZE];
	autofd proc_fd = -1;
	int but = process_in_cell(s, tid);
	long n;

	/* There its processes are some of the host's many. */
	if (s->root == ROOT_HOST)
		return false;
	if (but < 0 || socket_text(k, text) < 0 || tracee_processes(s, &proc_fd) < 0)
		return false;
	while ((n = syscall(SYS_getdents64, proc_fd, buf, sizeof(buf))) > 0) {
		if (one_holds(proc_fd, buf, n, but, text))
			return true;
	}
	return false;
}

/* ---- epoll ----------------------------------------------------------------------------------- */

static bool is_among(const struct numbers *numbers, int number)
{
	for (size_t i = 0; i < numbers->n; i++) {
		if (numbers->of[i] == number)
			return true;
	}
	return false;
}

/* Notes the registrations of one instance, from lines of proc_pid_fdinfo(5):
 * "tfd:        5 events:       19 data:                5  pos:0 ino:1f sdev:8". */
static void note_lines(
	struct places *places, char *text, int epoll_fd, const struct numbers *numbers, ino_t ino)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct place *p = &places->of[places->n];
		uint64_t data, of;
		unsigned events;
		int number;

		if (places->n == PLACES_MAX ||
			sscanf(line, "tfd: %d events: %x data: %" SCNx64 " pos:%*d ino:%" SCNx64,
				&number, &events, &data, &of) != 4)
			continue;
		if (of != ino || !is_among(numbers, number))
			continue;
		p->epoll_fd = epoll_fd;
		p->number = number;
		p->event = (struct epoll_event){.events = events, .data.u64 = data};
		places->n++;
	}
}

static void note_places(const struct session *s, pid_t tid, struct places *places,
	const struct numbers *numbers, ino_t ino)
{
	struct numbers epolls = {.n = 0};
	char dir[DIR_NAME_SIZE], text[FDINFO_MAX];

	snprintf(dir, sizeof(dir), "%d", (int)tid);
	each_number(s->cell->procs_fd, dir, EPOLL_TEXT, note_number, &epolls);
	for (size_t i = 0; i < epolls.n && places->n_epolls < EPOLLS_MAX; i++) {
		int *copy = &places->epolls[places->n_epolls];
		size_t before = places->n;
		char name[DIR_NAME_SIZE];

		*copy = -1;
		snprintf(name, sizeof(name), "fdinfo/%d", epolls.of[i]);
		if (tracee_file(s, tid, name, text, sizeof(text)) < 0 ||
			tracee_take_fd(tid, epolls.of[i], copy) < 0)
			continue;
		note_lines(places, text, *copy, numbers, ino);
		if (places->n > before)
			places->n_epolls++;
		else
			fd_close(copy);
	}
}

/* The child's whole life: all that it needs lies above the numbers that it gives away. */
static void register_all(const struct places *places, const struct sock *k, int fd)
{
	int above = 3;
	int old, new;

	for (size_t i = 0; i < places->n; i++) {
		if (places->of[i].number >= above)
			above = places->of[i].number + 1;
	}
	old = fcntl(k->fd, F_DUPFD_CLOEXEC, above);
	new = fcntl(fd, F_DUPFD_CLOEXEC, above);
	for (size_t i = 0; old >= 0 && new >= 0 && i < places->n; i++) {
		struct place p = places->of[i];
		int epoll_fd = fcntl(p.epoll_fd, F_DUPFD_CLOEXEC, above);
		int number = p.number;

		/* Both are needed again for the next one. */
		if (epoll_fd < 0)
			continue;
		if (dup3(old, number, O_CLOEXEC) >= 0)
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, number, NULL);
		if (dup3(new, number, O_CLOEXEC) >= 0)
			epoll_ctl(epoll_fd, EPOLL_CTL_ADD, number, &p.event);
	}
	_exit(0);
}

static void register_again(const struct places *places, const struct sock *k, int fd)
{
	pid_t pid;

	if (places->n == 0)
		return;
	pid = spawn_copying_files();
	if (pid == 0)
		register_all(places, k, fd);
	if (pid > 0)
		spawn_reap(pid);
}

/* ---- the place ------------------------------------------------------------------------------- */

/* A number without one that can be read is one that a program leaves to no other. */
static bool is_cloexec(const struct session *s, pid_t tid, int number)
{
	char name[DIR_NAME_SIZE], text[256];
	const char *at;

	snprintf(name, sizeof(name), "fdinfo/%d", number);
	if (tracee_file(s, tid, name, text, sizeof(text)) < 0)
		return true;
	at = strstr(text, "flags:\t");
	return !at || (strtoul(at + strlen("flags:\t"), NULL, 8) & CLOEXEC_MASK);
}

static int copy_flags(const struct sock *k, int fd)
{
	int flags = fcntl(k->fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return fd_status_flags(fd, flags & O_NONBLOCK, ~flags & O_NONBLOCK);
}

/* Whether the caller's number is the socket's no more: another thread has closed it meanwhile, and
 * what has the number now is not to be lost.  What cannot be looked at is believed. */
static bool is_given_up(const struct session *s, pid_t tid, int number, const char *text)
{
	char path[LINK_SIZE], link[LINK_SIZE];
	ssize_t n;

	snprintf(path, sizeof(path), "%d/fd/%d", (int)tid, number);
	n = readlinkat(s->cell->procs_fd, path, link, sizeof(link));
	if (n < 0)
		return errno == ENOENT;
	return (size_t)n != strlen(text) || memcmp(link, text, (size_t)n) != 0;
}

/* Above all at the number that it was called with. */
static int place_all(struct session *s, const struct notice *notice, int number, int fd,
	const struct numbers *numbers, const char *text)
{
	struct notify *n = s->cell->notify;
	int r = -EBADF;

	if (is_among(numbers, number) || !is_given_up(s, notice->tid, number, text))
		r = notify_place(n, notice->id, fd, number, is_cloexec(s, notice->tid, number));
	else if (numbers->n > 0)
		r = 0;
	for (size_t i = 0; r >= 0 && i < numbers->n; i++) {
		int other = numbers->of[i];

		if (other != number)
			notify_place(n, notice->id, fd, other, is_cloexec(s, notice->tid, other));
	}
	return r;
}

int socket_place(
	struct session *s, const struct notice *notice, const struct sock *k, int number, int fd)
{
	struct numbers numbers = {.n = 0};
	struct places places = {.n = 0};
	char text[LINK_SIZE], dir[DIR_NAME_SIZE];
	struct stat st;
	int r = socket_text(k, text);

	if (r == 0)
		r = copy_flags(k, fd);
	if (r < 0 || fstat(k->fd, &st) < 0)
		return r < 0 ? r : -errno;
	snprintf(dir, sizeof(dir), "%d", (int)notice->tid);
	each_number(s->cell->procs_fd, dir, text, note_number, &numbers);
	note_places(s, notice->tid, &places, &numbers, st.st_ino);
	/* What was read may have been another's. */
	r = notify_valid(s->cell->notify, notice->id) ? 0 : -ENOENT;
	if (r == 0)
		r = place_all(s, notice, number, fd, &numbers, text);
	if (r >= 0)
		register_again(&places, k, fd);
	fd_close_many(places.epolls, places.n_epolls);
	return r < 0 ? r : 0;
}
