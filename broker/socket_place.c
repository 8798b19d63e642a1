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
#include "common/hurry.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NUMBERS_MAX 64   /* of one socket in one table */
#define PROBED_MAX  4096 /* the highest number looked at is below */
#define PLACES_MAX  32   /* registrations of one socket */
#define STATUS_SIZE 4096
/* Read through at most, with all epoll instances of a process, whoever's they are: the kernel takes
 * more than a tenth of a second for so many. */
#define REGISTRATIONS_MAX 65536
#define CLOEXEC_MASK      02000000 /* O_CLOEXEC in the "flags" of fdinfo; proc_pid_fdinfo(5) */
#define SOCKET_TEXT       "socket:[%" PRIu64 "]"
#define EPOLL_TEXT        "anon_inode:[eventpoll]"
#define LINK_SIZE         48
#define DIR_NAME_SIZE     24

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
	int epolls[PLACES_MAX]; /* owned */
	size_t n_epolls;
	struct place of[PLACES_MAX];
	size_t n;
};

/* Of the registrations of one socket, through all epoll instances of its caller. */
struct search {
	const struct session *session;
	pid_t tid;
	struct places *places;
	const struct numbers *numbers; /* of the socket */
	ino_t ino;
	size_t left; /* lines that may still be read */
	int result;
};

/* ---- who holds it ---------------------------------------------------------------------------- */

static bool link_says(int dir_fd, const char *path, const char *text)
{
	char link[LINK_SIZE];
	ssize_t n = readlinkat(dir_fd, path, link, sizeof(link));

	return n >= 0 && (size_t)n == strlen(text) && memcmp(link, text, (size_t)n) == 0;
}

/* Calls each() with the number of every descriptor of the caller's whose link says `text`.  The
 * host's /proc is not to be listed, so that the numbers are tried. */
static void each_number(const struct session *s, pid_t tid, const char *text,
	void (*each)(void *ctx, int number), void *ctx)
{
	int proc_fd = s->cell->procs_fd;
	char path[LINK_SIZE];
	struct stat st;
	long left = PROBED_MAX;

	snprintf(path, sizeof(path), "%d/fd", (int)tid);
	/* How many there are: Linux 6.2; before, 0. */
	if (fstatat(proc_fd, path, &st, 0) == 0 && st.st_size > 0)
		left = (long)st.st_size;
	for (int number = 0; left > 0 && number < PROBED_MAX; number++) {
		snprintf(path, sizeof(path), "%d/fd/%d", (int)tid, number);
		errno = 0;
		if (link_says(proc_fd, path, text))
			each(ctx, number);
		left -= errno != ENOENT;
	}
}

static void note_number(void *ctx, int number)
{
	struct numbers *numbers = ctx;

	if (numbers->n < NUMBERS_MAX)
		numbers->of[numbers->n++] = number;
}

/* And the one that it was called with, however high. */
static void note_called(
	const struct session *s, pid_t tid, const char *text, int number, struct numbers *numbers)
{
	char path[LINK_SIZE];

	snprintf(path, sizeof(path), "%d/fd/%d", (int)tid, number);
	if (number >= PROBED_MAX && link_says(s->cell->procs_fd, path, text))
		note_number(numbers, number);
}

static int socket_text(const struct sock *k, char text[LINK_SIZE])
{
	struct stat st;

	if (fstat(k->fd, &st) < 0)
		return -errno;
	snprintf(text, LINK_SIZE, SOCKET_TEXT, (uint64_t)st.st_ino);
	return 0;
}

static long status_number(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? atol(at + strlen(key)) : -1;
}

/* The process that the thread belongs to, by its number in the cell. */
static int process_in_cell(const struct session *s, pid_t tid)
{
	char text[256];

	if (tracee_file(s, tid, "status", text, sizeof(text)) < 0)
		return -ESRCH;
	return (int)status_number(text, "\nTgid:\t");
}

struct dirent_head {
	uint64_t ino;
	int64_t off;
	uint16_t size;
	uint8_t type;
	char name[];
};

/* The number that an entry of a directory of /proc is, or -1. */
static int entry_number(const struct dirent_head *d)
{
	return d->name[0] >= '0' && d->name[0] <= '9' && strlen(d->name) < DIR_NAME_SIZE
		       ? atoi(d->name)
		       : -1;
}

/* Whether one of the descriptors of a process says `text`.  1; 0: none of them; -ENOENT: it has
 * none; -EACCES: it is not to be looked into; or -errno. */
static int one_says(const struct session *s, int number, const char *text)
{
	_Alignas(8) char buf[2048];
	autofd fd = -1;
	int r = tracee_descriptors(s, number, &fd);
	bool any = false;
	long n;

	if (r < 0)
		return r;
	while ((n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long i = 0; i < n;) {
			const struct dirent_head *d = (const void *)(buf + i);

			i += d->size;
			if (entry_number(d) < 0)
				continue;
			any = true;
			errno = 0;
			if (link_says(fd, d->name, text))
				return 1;
			if (errno == EACCES || errno == EPERM)
				return -EACCES;
		}
	}
	if (n < 0)
		return -errno;
	return any ? 0 : -ENOENT;
}

/*
 * Whether a process that could not be looked into, for the error r, may hold it: one that is not
 * dumpable may.  One that has ended and is waited for has nothing, and is not to be looked into
 * either, but for its first thread having ended alone, whose directory shows no descriptors.  The
 * cell's init holds nothing of a worker's.  Without a namespace of the cell's own the processes of
 * others are listed too.
 */
static bool may_hold(const struct session *s, int number, int r)
{
	char text[STATUS_SIZE];
	const char *state;

	if (number == 1 || s->cell->pid_ns_fd < 0 ||
		tracee_process_file(s, number, "status", text, sizeof(text)) < 0)
		return false;
	state = strstr(text, "\nState:\t");
	if (state && (state[8] == 'Z' || state[8] == 'X'))
		return status_number(text, "\nThreads:\t") > 1;
	return r != -ENOENT;
}

/* Whether one of the processes in a piece of /proc's listing holds it, but for the caller's, and
 * for this one, which a test sees there. */
static bool one_holds(
	const struct session *s, const char *buf, long size, int but, const char *text)
{
	int self = getpid();

	for (long i = 0; i < size;) {
		const struct dirent_head *d = (const void *)(buf + i);
		int number = entry_number(d), r;

		i += d->size;
		if (number <= 0 || number == but || number == self)
			continue;
		r = one_says(s, number, text);
		if (r > 0 || (r < 0 && may_hold(s, number, r)))
			return true;
	}
	return false;
}

static bool is_shared(const struct session *s, pid_t tid, const struct sock *k)
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
		if (one_holds(s, buf, n, but, text))
			return true;
	}
	return false;
}

bool socket_is_shared(const struct session *s, pid_t tid, const struct sock *k)
{
	bool r;

	hurry_begin();
	r = is_shared(s, tid, k);
	hurry_end();
	return r;
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

/* Notes one registration, from a line of proc_pid_fdinfo(5):
 * "tfd:        5 events:       19 data:                5  pos:0 ino:1f sdev:8".  0 or -E2BIG. */
static int note_line(struct search *f, const char *line, int epoll_fd)
{
	struct places *places = f->places;
	struct place *p = &places->of[places->n];
	uint64_t data, of;
	unsigned events;
	int number;

	if (strncmp(line, "tfd:", 4) != 0)
		return 0;
	if (f->left-- == 0)
		return -E2BIG;
	/* Most are others'. */
	if (!is_among(f->numbers, (int)strtol(line + 4, NULL, 10)) ||
		sscanf(line, "tfd: %d events: %x data: %" SCNx64 " pos:%*d ino:%" SCNx64, &number,
			&events, &data, &of) != 4 ||
		of != f->ino)
		return 0;
	if (places->n == PLACES_MAX)
		return -E2BIG;
	p->epoll_fd = epoll_fd;
	p->number = number;
	p->event = (struct epoll_event){.events = events, .data.u64 = data};
	places->n++;
	return 0;
}

/* A whole file, in pieces; a line may begin in one and end in the next.  The kernel makes all of it
 * at the first, as of one moment. */
static int note_lines(struct search *f, int fd, int epoll_fd)
{
	char buf[4096];
	size_t have = 0;
	ssize_t n;

	while ((n = read(fd, buf + have, sizeof(buf) - have)) > 0) {
		char *line = buf, *end;

		have += (size_t)n;
		while ((end = memchr(line, '\n', have - (size_t)(line - buf)))) {
			int r;

			*end = '\0';
			r = note_line(f, line, epoll_fd);
			if (r < 0)
				return r;
			line = end + 1;
		}
		have -= (size_t)(line - buf);
		if (have == sizeof(buf))
			return -E2BIG;
		memmove(buf, line, have);
	}
	return n < 0 ? -errno : 0;
}

static void note_instance(void *ctx, int number)
{
	struct search *f = ctx;
	struct places *places = f->places;
	size_t before = places->n;
	char name[DIR_NAME_SIZE];
	autofd_hurried epoll_fd = -1;
	autofd fd = -1;
	int r;

	if (f->result < 0)
		return;
	snprintf(name, sizeof(name), "fdinfo/%d", number);
	r = tracee_open_file(f->session, f->tid, name, &fd);
	if (r == 0)
		r = tracee_take_fd(f->tid, number, &epoll_fd);
	/* It is closed meanwhile; or the cell has no /proc, and nothing can be known. */
	if (r == -ENOENT || r == -ESRCH || r == -EBADF)
		return;
	f->result = r < 0 ? r : note_lines(f, fd, epoll_fd);
	if (places->n > before)
		places->epolls[places->n_epolls++] = fd_take(&epoll_fd);
}

/* 0; -E2BIG: not all of them were found; or -errno. */
static int note_places(const struct session *s, pid_t tid, struct places *places,
	const struct numbers *numbers, ino_t ino)
{
	struct search f = {
		.session = s,
		.tid = tid,
		.places = places,
		.numbers = numbers,
		.ino = ino,
		.left = REGISTRATIONS_MAX,
	};

	each_number(s, tid, EPOLL_TEXT, note_instance, &f);
	return f.result;
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
	n = tracee_read_link(s->cell->procs_fd, path, link, sizeof(link));
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
	char text[LINK_SIZE];
	struct stat st;
	int r = socket_text(k, text);

	if (r == 0)
		r = copy_flags(k, fd);
	if (r < 0 || fstat(k->fd, &st) < 0)
		return r < 0 ? r : -errno;
	/* What is looked at may be closed meanwhile: tracee.h. */
	hurry_begin();
	each_number(s, notice->tid, text, note_number, &numbers);
	note_called(s, notice->tid, text, number, &numbers);
	r = note_places(s, notice->tid, &places, &numbers, st.st_ino);
	hurry_end();
	/* What was read may have been another's. */
	if (!notify_valid(s->cell->notify, notice->id))
		r = -ENOENT;
	if (r == 0)
		r = place_all(s, notice, number, fd, &numbers, text);
	if (r >= 0)
		register_again(&places, k, fd);
	/* What was taken by its number may be anything. */
	for (size_t i = 0; i < places.n_epolls; i++)
		fd_close_hurried(&places.epolls[i]);
	return r < 0 ? r : 0;
}
