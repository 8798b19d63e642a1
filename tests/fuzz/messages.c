/* SPDX-License-Identifier: MIT */
/*
 * messages.c - any bytes as messages of a worker: the broker survives, nothing outside is touched,
 * no descriptor stays, and each descriptor that came has its record.
 *
 * The input is a run of datagrams, each after its length in two bytes.  The first byte says whether
 * the header's size and id are put right first, or the fuzzer would spend its time on those.  What
 * the broker asks the dialer is answered from the input's end backwards: not at all, with an error,
 * with a socket of some kind, or with bytes.
 */
#include "broker/ask.h"
#include "broker/names.h"
#include "common/chan.h"
#include "common/codec.h"
#include "common/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "not so: %s (%m)\n", #what); \
			abort(); \
		} \
	} while (0)

static char dir[] = "/tmp/warder-fuzz.XXXXXX";
static struct policy *policy;
static struct cell cell = CELL_INIT;
static struct ledger ledger;
static int outside_fd;

static void remove_dir(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", dir);
}

static int load(void *ctx, bool preset, const char *name, char **ret_text, size_t *ret_size,
	char **ret_path)
{
	return -ENOENT;
}

static void make_policy(void)
{
	static const char text[] = "allow rw /w/\nallow read /r/\nallow append /l/\n"
				   "deny any /r/no/\n"
				   "allow connect 127.0.0.1:80 h.example:443 internet:25 @x\n"
				   "allow bind 127.0.0.1:0 /r/s\n";
	static const struct policy_env env = {.load = load};

	policy = policy_new(&env);
	CHECK(policy && policy_add_text(policy, "f", "/", text, sizeof(text) - 1) == 0);
	CHECK(policy_finish(policy) == 0);
	for (size_t i = 0; i < policy_tree_count(policy); i++) {
		char *path = strdup(policy_tree(policy, i)->prefix);

		CHECK(policy_tree_resolved(policy, i, path) == 0);
		free(path);
	}
	CHECK(policy_compile(policy) == 0);
}

static void make_files(void)
{
	static const char *const dirs[] = {
		"root", "root/w", "root/r", "root/l", "root/r/no", "root/o"};
	static const char *const files[] = {
		"root/w/f", "root/r/f", "root/l/f", "root/r/no/f", "root/o/f"};
	int fd = open(dir, O_PATH | O_CLOEXEC);

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		CHECK(mkdirat(fd, dirs[i], 0755) == 0);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int f = openat(fd, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		CHECK(f >= 0 && write(f, "x", 1) == 1);
		close(f);
	}
	CHECK(symlinkat("/o/f", fd, "root/w/s") == 0 && symlinkat("../o", fd, "root/w/d") == 0);
	outside_fd = openat(fd, "root/o", O_PATH | O_CLOEXEC);
	cell.view_fd = openat(fd, "root", O_PATH | O_CLOEXEC);
	cell.twin_fd = openat(fd, "root", O_PATH | O_CLOEXEC);
	cell.proc_fd = open("/proc/self/fd", O_PATH | O_CLOEXEC);
	CHECK(outside_fd >= 0 && cell.view_fd >= 0 && cell.twin_fd >= 0 && cell.proc_fd >= 0);
	close(fd);
}

static void make_world(void)
{
	int null;

	if (policy)
		return;
	null = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC);
	CHECK(mkdtemp(dir));
	atexit(remove_dir);
	umask(0);
	make_policy();
	make_files();
	CHECK(ledger_init(&ledger, &null) == 0);
}

/* How many of the low numbers are taken: a leak shows here. */
static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 96; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void check_outside(void)
{
	struct stat st;

	CHECK(fstatat(outside_fd, "f", &st, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(st.st_size == 1 && (st.st_mode & 07777) == 0644 && st.st_nlink == 1);
	CHECK(fstat(outside_fd, &st) == 0 && st.st_nlink == 2);
}

/* Reads all answers.  Returns how many descriptors came. */
static size_t drain(int worker_fd)
{
	static uint8_t buf[MSG_SIZE_MAX];
	int fds[MSG_COUNT_MAX];
	size_t n, all = 0;

	while (chan_recv(worker_fd, buf, sizeof(buf), fds, MSG_COUNT_MAX, &n, false) > 0) {
		fd_close_many(fds, n);
		all += n;
	}
	return all;
}

/* The dialer, of the fuzzer's making. */
struct dialer {
	int fd;
	const uint8_t *begin, *at; /* what it answers by, the last byte first */
	struct dial_message in, out;
};

static uint8_t next_byte(struct dialer *d)
{
	return d->at > d->begin ? *--d->at : 0;
}

static int some_socket(uint8_t kind)
{
	int pair[2], type = kind & 1 ? SOCK_SEQPACKET : SOCK_STREAM;

	if (kind & 2)
		return socket(kind & 4 ? AF_UNIX : AF_INET, type & ~SOCK_SEQPACKET, 0);
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	close(pair[0]);
	return pair[1];
}

static void answer_one(struct dialer *d)
{
	uint8_t how = next_byte(d), buf[DIAL_SIZE_MAX];
	struct dial_message *m = &d->out;
	int fd = -1;
	long size;

	memset(m, 0, sizeof(*m));
	m->id = d->in.id;
	m->op = d->in.op == DIAL_RESOLVE ? DIAL_NAMES : DIAL_DONE;
	if (how & 1)
		m->result = -1 - next_byte(d);
	else if (m->op == DIAL_NAMES)
		m->n_addresses = next_byte(d) % DIAL_ADDRESSES_MAX;
	else
		fd = some_socket(next_byte(d));
	for (size_t i = 0; i < m->n_addresses; i++)
		memset(m->addresses[i].bytes, next_byte(d), 16);
	if (how & 2)
		m->id += next_byte(d);
	size = dial_encode(m, buf, sizeof(buf));
	if (size > 0 && (how & 12) == 12)
		buf[next_byte(d) % (size_t)size] ^= next_byte(d);
	if (size > 0 && (how & 0x30) != 0x30)
		chan_send(d->fd, buf, (size_t)size, &fd, fd >= 0 ? 1 : 0, false);
	fd_close(&fd);
}

/* Answers some of what it was asked. */
static void play_dialer(struct session *s, struct dialer *d)
{
	uint8_t buf[DIAL_SIZE_MAX];
	const char *why = NULL;
	int fds[2];
	size_t n = 0;
	long size;

	while ((size = chan_recv(d->fd, buf, sizeof(buf), fds, 2, &n, false)) > 0) {
		fd_close_many(fds, n);
		CHECK(dial_decode(buf, (size_t)size, &d->in) == 0);
		if (d->in.op != DIAL_CANCEL && d->in.op != DIAL_RELEASE)
			answer_one(d);
	}
	if (s->cell->dialer_fd >= 0)
		CHECK(dial_serve(s, &why) == 0);
}

static void put_right(uint8_t *m, size_t size, uint32_t id)
{
	struct enc e = enc_init(m, size);

	enc_u32(&e, (uint32_t)size);
	enc_u32(&e, id);
}

static void play(
	struct session *s, int worker_fd, struct dialer *d, const uint8_t *data, size_t size)
{
	static uint8_t m[MSG_SIZE_MAX];
	bool help = size > 0 && data[0] & 1;
	size_t came = 0;
	uint32_t id = 0;

	for (size_t at = 1; at + 2 <= size;) {
		size_t n = (size_t)(data[at] | data[at + 1] << 8);
		const char *why = NULL;
		int r;

		at += 2;
		if (n > size - at)
			n = size - at;
		memcpy(m, data + at, n);
		at += n;
		if (help && n >= MSG_HEADER_SIZE)
			put_right(m, n, ++id);
		if (n == 0 || chan_send(worker_fd, m, n, NULL, 0, false) < 0)
			break;
		r = ask_serve(s, &why);
		play_dialer(s, d);
		came += drain(worker_fd);
		CHECK(r != -EBADMSG || why);
		if (r != 0)
			break;
	}
	CHECK(came <= s->tally.granted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session s = {.cell = &cell, .ledger = &ledger, .phase = PHASE_RUNNING};
	static struct dialer dialer;
	int worker_fd, before;

	make_world();
	before = count_fds();
	dialer.begin = data;
	dialer.at = data + size;
	s.policy = policy;
	if (size > 0 && data[0] & 2)
		s.phase = PHASE_HELLO;
	if (size > 0 && data[0] & 4)
		s.root = ROOT_EMPTY;
	CHECK(chan_pair(&s.channel_fd, &worker_fd) == 0);
	CHECK(ask_init(&s) == 0);
	CHECK(chan_pair(&cell.dialer_fd, &dialer.fd) == 0);
	CHECK(dial_new(&s.dial) == 0 && (s.names = names_new()));
	play(&s, worker_fd, &dialer, data, size);
	s.dial = dial_free(s.dial);
	s.names = names_free(s.names);
	ask_deinit(&s);
	fd_close(&cell.dialer_fd);
	fd_close(&dialer.fd);
	close(s.channel_fd);
	close(worker_fd);
	CHECK(count_fds() == before);
	check_outside();
	return 0;
}
