/* SPDX-License-Identifier: MIT */
/*
 * ledger.c - the book: one JSON line for each descriptor, written before it is handed over.
 *
 * Runs in: broker.  Trusts: its caller, but nothing in a path or a reason.
 *
 * Lines are collected in one buffer and written with one write(2), since the call costs more than
 * six lines do.  The broker is the file's only writer; O_APPEND keeps a mistake about that from
 * overwriting anything.
 *
 * An fdatasync(2) that failed is not made again: the kernel tells of an error once, and may have
 * given up the pages that it could not write, so that a later success would say nothing of them.
 */
#include "broker/ledger.h"
#include "common/fd.h"
#include "common/jsonl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const event_names[] = {
	[EVENT_SESSION] = "session",
	[EVENT_START] = "start",
	[EVENT_SPAWN] = "spawn",
	[EVENT_GRANT] = "grant",
	[EVENT_DENY] = "deny",
	[EVENT_FAIL] = "fail",
	[EVENT_CLIENT] = "client",
	[EVENT_EXIT] = "exit",
	[EVENT_END] = "end",
};

static const char *const door_names[] = {
	[DOOR_NONE] = NULL,
	[DOOR_ASK] = "ask",
	[DOOR_TRAP] = "trap",
};

/* A random number in hex, so that sessions in one file, or of one name, are told apart. */
static int name_session(char *name, size_t size)
{
	unsigned char random[16];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	for (size_t i = 0; i < sizeof(random) && 2 * i + 2 < size; i++)
		snprintf(name + 2 * i, 3, "%02x", random[i]);
	return 0;
}

int ledger_init(struct ledger *l, int *fd)
{
	autofd file = fd_take(fd);
	int flags = fcntl(file, F_GETFL);
	int r;

	l->fd = -1;
	l->session[0] = '\0';
	l->seq = 0;
	l->next = 1;
	l->lost = 0;
	l->torn = false;
	l->sync = l->grants = false;
	l->unsynced = 0;
	l->tell_unsynced = NULL;
	l->second = -1;
	l->head.size = 0;
	l->used = 0;
	l->buffer[0] = '\n';
	if (flags < 0)
		return -errno;
	/* Two writers of one offset overwrite each other; appending is what makes it a book. */
	if (!(flags & O_APPEND) && fcntl(file, F_SETFL, flags | O_APPEND) < 0)
		return -errno;
	r = fd_cloexec(file, true);
	if (r < 0)
		return r;
	r = name_session(l->session, sizeof(l->session));
	if (r < 0)
		return r;
	l->fd = fd_take(&file);
	return 0;
}

void ledger_deinit(struct ledger *l)
{
	fd_close(&l->fd);
}

/*
 * The date of a day counted from 1970-01-01, in the Gregorian calendar.  Not gmtime_r(3): glibc's
 * reads the time zone's file first, which a caged broker cannot.
 */
static void date_of_day(int64_t day, int *ret_year, int *ret_month, int *ret_day)
{
	/* Years begin in March, so that the leap day is the last; 719468 days from 0000-03-01. */
	int64_t z = day + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t in_era = z - era * 146097;
	int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * in_year + 2) / 153;

	*ret_day = (int)(in_year - (153 * month + 2) / 5 + 1);
	*ret_month = (int)(month < 10 ? month + 3 : month - 9);
	*ret_year = (int)(year + era * 400 + (*ret_month <= 2));
}

static void put_two(char *at, int v)
{
	at[0] = (char)('0' + v / 10 % 10);
	at[1] = (char)('0' + v % 10);
}

/* The text of a second is kept: a line a microsecond needs it again. */
static void clock_text(struct ledger *l, int64_t second)
{
	int64_t day = second / 86400;
	int left = (int)(second % 86400);
	int year, month, mday;

	if (l->second == second)
		return;
	if (left < 0) {
		left += 86400;
		day--;
	}
	date_of_day(day, &year, &month, &mday);
	memcpy(l->clock, "0000-00-00T00:00:00.", sizeof(l->clock));
	put_two(l->clock, year / 100);
	put_two(l->clock + 2, year);
	put_two(l->clock + 5, month);
	put_two(l->clock + 8, mday);
	put_two(l->clock + 11, left / 3600);
	put_two(l->clock + 14, left / 60 % 60);
	put_two(l->clock + 17, left % 60);
	l->second = second;
}

/* RFC 3339 with nanoseconds, UTC. */
static void put_time(struct ledger *l, struct jsonl *j)
{
	char text[sizeof(l->clock) + 10];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_text(l, now.tv_sec);
	text[sizeof(text) - 1] = 'Z';
	/* Nine digits, zeros in front too: the one before them makes way for the clock's dot. */
	jsonl_digits(text + sizeof(text) - 1, 1000000000u + (uint64_t)now.tv_nsec);
	memcpy(text, l->clock, sizeof(l->clock));
	jsonl_own(j, "time", text, sizeof(text));
}

/* So that the lengths of the fields' names are the compiler's work. */
#define INLINE inline __attribute__((always_inline))
/* And what few lines have stays out of the way of the others. */
#define NOINLINE __attribute__((noinline, cold))

/* A word of warder's own. */
static INLINE void put_word(struct jsonl *j, const char *name, const char *word)
{
	if (word)
		jsonl_own(j, name, word, strlen(word));
}

static INLINE void put_bytes(struct jsonl *j, const char *name, const char *bytes, size_t size)
{
	if (bytes && size > 0)
		jsonl_bytes(j, name, bytes, size);
}

static INLINE void put_number(struct jsonl *j, const char *name, uint64_t v)
{
	if (v > 0)
		jsonl_u64(j, name, v);
}

/* What was reached is nearly always what was asked; and what needed no escape needs none again. */
static INLINE void put_paths(struct jsonl *j, const struct record *r)
{
	const size_t around = strlen(",\"asked\":\"\"");
	const char *from = j->at;

	put_bytes(j, "asked", r->asked, r->asked_size);
	if (r->reached_size > 0 && r->reached_size == r->asked_size &&
		(size_t)(j->at - from) == r->asked_size + around &&
		memcmp(r->reached, r->asked, r->asked_size) == 0)
		jsonl_own(j, "reached", r->reached, r->reached_size);
	else
		put_bytes(j, "reached", r->reached, r->reached_size);
}

static void put_client(struct jsonl *j, const struct record *r)
{
	if (!r->has_client)
		return;
	jsonl_open(j, "client");
	put_number(j, "number", r->client_number);
	jsonl_u64(j, "uid", r->client_uid);
	jsonl_u64(j, "gid", r->client_gid);
	jsonl_i64(j, "pid", r->client_pid);
	jsonl_close(j);
}

static void put_error(struct jsonl *j, int error)
{
	const char *name;

	if (error == 0)
		return;
	name = strerrorname_np(error);
	if (name)
		jsonl_string(j, "error", name);
	else
		jsonl_i64(j, "error", error);
}

/* What was asked, and what it was. */
static void put_request(struct jsonl *j, const struct record *r)
{
	put_paths(j, r);
	put_bytes(j, "asked2", r->asked2, r->asked2_size);
	put_bytes(j, "reached2", r->reached2, r->reached2_size);
	if (r->has_inode) {
		jsonl_u64(j, "dev", r->dev);
		jsonl_u64(j, "ino", r->ino);
	}
	put_word(j, "type", r->type);
	put_word(j, "socket", r->socket);
	jsonl_string(j, "peer", r->peer);
	put_bytes(j, "name", r->name, r->name_size);
	jsonl_string(j, "local", r->local);
	put_word(j, "flags", r->flags);
	put_word(j, "rights", r->rights);
	jsonl_string(j, "rule", r->rule);
}

/* What the worker has without having asked. */
static NOINLINE void put_unasked(struct jsonl *j, const struct record *r)
{
	put_word(j, "class", r->class);
	if (r->runtime)
		jsonl_texts(j, "runtime", r->runtime);
	else if (r->event == EVENT_START)
		jsonl_i64(j, "number", r->number);
	put_word(j, "domain", r->domain);
}

static NOINLINE void put_policy(struct jsonl *j, const struct record *r)
{
	jsonl_string(j, "policy", r->policy_hash);
	put_number(j, "generation", r->generation);
	put_bytes(j, "policy_text", r->policy_text, r->policy_size);
}

/* Who asked, and for what: the same as in the line before, mostly, so that its bytes are kept. */
static void put_head(struct ledger *l, struct jsonl *j, const struct record *r)
{
	struct ledger_head *h = &l->head;
	const char *from = j->at;
	size_t size;

	if (h->size > 0 && !r->has_client && h->event == r->event && h->door == r->door &&
		h->pid == r->pid && h->op == r->op) {
		jsonl_again(j, h->text, h->size);
		return;
	}
	put_word(j, "event", event_names[r->event]);
	put_word(j, "session", l->session);
	if (r->pid > 0)
		jsonl_i64(j, "pid", r->pid);
	put_client(j, r);
	put_word(j, "door", door_names[r->door]);
	put_word(j, "op", r->op);
	size = (size_t)(j->at - from);
	if (r->has_client || j->overrun || size > sizeof(h->text))
		return;
	h->event = r->event;
	h->door = r->door;
	h->pid = r->pid;
	h->op = r->op;
	h->size = size;
	memcpy(h->text, from, size);
}

/* Whether something leaves, begins or ends with it: what has to be on disk before. */
static bool needs_disk(const struct record *r)
{
	return r->event == EVENT_GRANT || r->event == EVENT_SESSION || r->event == EVENT_START ||
	       r->event == EVENT_SPAWN || r->event == EVENT_END || r->has_fd;
}

int ledger_add(struct ledger *l, const struct record *r)
{
	struct jsonl j = jsonl_begin(l->buffer + 1 + l->used, sizeof(l->buffer) - 1 - l->used);
	long size;

	jsonl_u64(&j, "seq", l->next);
	put_time(l, &j);
	put_head(l, &j, r);
	if (r->class)
		put_unasked(&j, r);
	put_request(&j, r);
	put_error(&j, r->error);
	jsonl_string(&j, "reason", r->reason);
	put_number(&j, "of", r->of);
	put_number(&j, "count", r->count);
	if (r->policy_hash)
		put_policy(&j, r);
	jsonl_string(&j, "text", r->text);
	if (r->has_fd)
		jsonl_bool(&j, "fd", true);
	if (r->has_status)
		jsonl_i64(&j, "status", r->status);
	if (r->has_us)
		jsonl_u64(&j, "us", r->us);
	size = jsonl_end(&j);
	if (size < 0)
		return -ENOSPC;
	l->used += (size_t)size;
	l->next++;
	/* The end is told also where it cannot be brought to disk. */
	l->grants |= needs_disk(r) && (r->event != EVENT_END || !l->unsynced);
	return 0;
}

/*
 * Takes the last `written` bytes off the file again, so that no half line stays.  False where that
 * cannot be: a pipe, or a disk that refuses this too.
 */
static bool cut_off(const struct ledger *l, size_t written)
{
	struct stat st;

	if (written == 0)
		return true;
	return fstat(l->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= (off_t)written &&
	       ftruncate(l->fd, st.st_size - (off_t)written) == 0;
}

/* All lines that wait; *ret_done bytes of `size` went to the file.  0 or an errno, positive. */
static int write_lines(const struct ledger *l, const char *from, size_t size, size_t *ret_done)
{
	size_t done = 0;
	int error = 0;

	while (done < size && error == 0) {
		ssize_t n = write(l->fd, from + done, size - done);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0 || errno != EINTR)
			error = n == 0 ? EIO : errno;
	}
	*ret_done = done;
	return error;
}

/* 0 or an errno, positive. */
static int sync_lines(struct ledger *l)
{
	if (fdatasync(l->fd) == 0)
		return 0;
	l->unsynced = errno;
	if (l->tell_unsynced)
		l->tell_unsynced(l->unsynced);
	return l->unsynced;
}

int ledger_commit(struct ledger *l)
{
	const char *from = l->torn ? l->buffer : l->buffer + 1;
	size_t size = l->torn ? l->used + 1 : l->used;
	size_t done = 0;
	int error = l->grants ? l->unsynced : 0;

	if (l->used == 0)
		return 0;
	if (error == 0)
		error = write_lines(l, from, size, &done);
	if (error == 0 && l->sync && l->grants)
		error = sync_lines(l);
	l->used = 0;
	l->grants = false;
	l->lost += error != 0;
	if (error == 0) {
		l->torn = false;
	} else if (cut_off(l, done)) {
		l->next = l->seq + 1;
		return -error;
	} else {
		l->torn = done < size;
	}
	l->seq = l->next - 1;
	return -error;
}

int ledger_put(struct ledger *l, const struct record *r)
{
	int added = ledger_add(l, r);

	if (added == -ENOSPC && l->used > 0) {
		added = ledger_commit(l);
		if (added == 0)
			added = ledger_add(l, r);
	}
	return added == -ENOSPC ? -EMSGSIZE : added; /* not the disk's: it fits into no buffer */
}

int ledger_write(struct ledger *l, const struct record *r)
{
	int added = ledger_put(l, r);

	return added < 0 ? added : ledger_commit(l);
}
