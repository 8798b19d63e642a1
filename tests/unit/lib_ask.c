/* SPDX-License-Identifier: MIT */
/*
 * lib_ask.c - what a worker sees through libwarder, with a broker that tells the truth.
 */
#include "tests/unit/lib_world.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* ---- truth ----------------------------------------------------------------------------------- */

static void opens_what_the_broker_hands_over(void **state)
{
	struct fixture f;
	int fd;

	start(&f, honest);
	fd = warder_open(f.w, "/a", O_RDONLY, 0);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	assert_int_equal(warder_open(f.w, "/none", O_RDONLY, 0), -1);
	assert_int_equal(errno, ENOENT);
	stop(&f);
}

static void opens_more_than_one_message_takes(void **state)
{
	enum { N = 300 };
	struct warder_open_req reqs[N];
	char long_path[MSG_PATH_MAX + 2];
	struct fixture f;

	memset(long_path, 'a', sizeof(long_path));
	long_path[0] = '/';
	long_path[MSG_PATH_MAX] = '\0';
	for (int i = 0; i < N; i++)
		reqs[i] = (struct warder_open_req){.path = i % 7 == 3 ? "/none" : "/yes", .fd = 77};
	for (int i = 100; i < 140; i++) /* 40 of 4 KiB do not fit in one message of 64 KiB */
		reqs[i].path = long_path;
	reqs[5].path = "";
	reqs[6].path = NULL;
	start(&f, honest);
	assert_int_equal(warder_open_many(f.w, reqs, N), 0);
	for (int i = 0; i < N; i++) {
		if (i == 5)
			assert_int_equal(reqs[i].fd, -ENOENT);
		else if (i == 6)
			assert_int_equal(reqs[i].fd, -EFAULT);
		else if (strcmp(reqs[i].path, "/none") == 0)
			assert_int_equal(reqs[i].fd, -ENOENT);
		else
			assert_true(reqs[i].fd >= 0);
		fd_close(&reqs[i].fd);
	}
	stop(&f);
}

static void a_path_too_long_is_refused_here(void **state)
{
	char path[MSG_PATH_MAX + 2];
	struct fixture f;

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	start(&f, honest);
	assert_int_equal(warder_open(f.w, path, O_RDONLY, 0), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	stop(&f);
}

static void absolute_only(const struct heard *in, struct said *out)
{
	char cwd[PATH_MAX];
	size_t n;

	if (!getcwd(cwd, sizeof(cwd)))
		_exit(8);
	n = strlen(cwd);
	msg_begin(&out->e, in->h.op, in->h.id, 1);
	msg_put_answer(&out->e,
		in->q[0].path_size == n + 4 && memcmp(in->q[0].path, cwd, n) == 0 &&
				memcmp(in->q[0].path + n, "/rel", 4) == 0
			? -EXDEV
			: -EIO,
		NULL, 0);
}

static void a_relative_path_starts_at_the_working_directory(void **state)
{
	struct fixture f;

	start(&f, absolute_only);
	assert_int_equal(warder_open(f.w, "rel", O_RDONLY, 0), -1);
	assert_int_equal(errno, EXDEV);
	stop(&f);
}

static void a_relative_path_from_a_removed_directory_is_einval(void **state)
{
	char dir[] = "gone.XXXXXX";
	int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct fixture f;

	assert_true(back >= 0);
	start(&f, honest);
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(fchdir(back), 0);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(unlinkat(back, dir, AT_REMOVEDIR), 0);
	assert_int_equal(warder_open(f.w, "rel", O_RDONLY, 0), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(fchdir(back), 0);
	stop(&f);
	close(back);
}

/* ---- the other rows -------------------------------------------------------------------------- */

/* Answers each row as its handler would, and refuses what differs from what the tests ask. */
static void every_row(const struct heard *in, struct said *out)
{
	const struct msg_request *q = &in->q[0];
	bool right = q->path_size == 2 && memcmp(q->path, "/p", 2) == 0;
	bool right2 = q->path2_size == 2 && memcmp(q->path2, "/n", 2) == 0;
	struct msg_stat s = {
		.ino = 42, .mode = S_IFREG | 0640, .size = 7, .mtime = -5, .mtime_ns = 6};
	uint8_t data[256];
	struct enc d = enc_init(data, sizeof(data));
	int result = right ? 0 : -EIO;

	switch (in->h.op) {
	case MSG_STAT:
		msg_put_stat(&d, &s);
		break;
	case MSG_ACCESS:
		result = q->flags == R_OK ? 0 : -EACCES;
		break;
	case MSG_READLINK:
		enc_bytes(&d, "target", 6);
		break;
	case MSG_LIST:
		enc_u64(&d, q->offset == 0 ? 99 : 0);
		for (int i = 0; i < 2; i++) {
			enc_u64(&d, q->offset + (unsigned)i);
			enc_u8(&d, DT_REG);
			enc_u8(&d, 2);
			enc_bytes(&d, i == 0 && q->offset == 0 ? ".." : q->offset ? "b2" : "a1", 2);
		}
		break;
	case MSG_RENAME:
	case MSG_LINK:
	case MSG_SYMLINK:
		result = right && right2 ? 0 : -EIO;
		break;
	case MSG_TRUNCATE:
		result = q->offset == 12345678901 ? 0 : -EIO;
		break;
	case MSG_MKDIR:
	case MSG_CHMOD:
		result = q->mode == 0750 ? 0 : -EIO;
		break;
	case MSG_UTIMES:
		result = q->atime == 1 && q->atime_ns == 2 && q->mtime_ns == UTIME_OMIT ? 0 : -EIO;
		break;
	case MSG_WATCH:
		out->fds[out->n_fds++] = open_null();
		result = ANSWER_FD;
		break;
	}
	msg_begin(&out->e, in->h.op, in->h.id, 1);
	msg_put_answer(&out->e, result, data, result == 0 ? (uint32_t)enc_size(&d) : 0);
}

static int stop_at_once(void *ctx, const struct warder_entry *entry)
{
	struct warder *w = ctx;

	assert_int_equal(warder_unlink(w, "/p"), -1);
	assert_int_equal(errno, EBUSY);
	return 17;
}

static void every_row_of_the_table_has_its_stub(void **state)
{
	const struct timespec times[2] = {{1, 2}, {0, UTIME_OMIT}};
	char names[64] = "", link[4];
	struct fixture f;
	struct stat st;
	int fd;

	start(&f, every_row);
	assert_int_equal(warder_stat(f.w, "/p", AT_SYMLINK_NOFOLLOW, &st), 0);
	assert_int_equal(st.st_ino, 42);
	assert_int_equal(st.st_mtim.tv_sec, -5);
	assert_int_equal(warder_access(f.w, "/p", R_OK), 0);
	assert_int_equal(warder_access(f.w, "/p", W_OK), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(warder_readlink(f.w, "/p", link, sizeof(link)), 4);
	assert_memory_equal(link, "targ", 4);
	assert_int_equal(warder_list(f.w, "/p", collect, names), 0);
	assert_string_equal(names, "a1 b2 b2 ");
	assert_int_equal(warder_list(f.w, "/p", stop_at_once, f.w), 17);
	assert_int_equal(warder_mkdir(f.w, "/p", 0750), 0);
	assert_int_equal(warder_rmdir(f.w, "/p"), 0);
	assert_int_equal(warder_unlink(f.w, "/p"), 0);
	assert_int_equal(warder_rename(f.w, "/p", "/n", 0), 0);
	assert_int_equal(warder_link(f.w, "/p", "/n"), 0);
	assert_int_equal(warder_symlink(f.w, "/p", "/n"), 0);
	assert_int_equal(warder_truncate(f.w, "/p", 12345678901), 0);
	assert_int_equal(warder_truncate(f.w, "/p", -1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(warder_chmod(f.w, "/p", 0750), 0);
	assert_int_equal(warder_utimes(f.w, "/p", times, 0), 0);
	fd = warder_watch(f.w, "/p", 1);
	assert_true(fd >= 0);
	close(fd);
	stop(&f);
}

/* ---- sockets --------------------------------------------------------------------------------- */

static const uint8_t four[16] = {
	[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2, [15] = 7};
static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 9};

static bool is_text(const char *text, const char *at, size_t size)
{
	return strlen(text) == size && memcmp(text, at, size) == 0;
}

/* Answers what the tests ask; everything else is EIO. */
static void with_sockets(const struct heard *in, struct said *out)
{
	const struct msg_request *q = &in->q[0];
	const struct msg_peer p = {
		.text = "192.0.2.7:443", .text_size = 13, .rule = "a:3", .rule_size = 3};
	uint8_t data[256];
	struct enc d = enc_init(data, sizeof(data));
	int result = -EIO;

	if (in->h.op == MSG_CONNECT && is_text("h.example:443", q->path, q->path_size) &&
		q->flags == 0 && q->offset == 1500)
		result = ANSWER_FD;
	if (in->h.op == MSG_CONNECT && is_text("/s", q->path, q->path_size) &&
		q->flags == SOCK_SEQPACKET && q->offset == 0)
		result = ANSWER_FD;
	if (in->h.op == MSG_CONNECT && is_text("/closed", q->path, q->path_size))
		result = -ECONNREFUSED;
	if (in->h.op == MSG_LISTEN && is_text("/l", q->path, q->path_size) && q->flags == 9 &&
		q->mode == 0600)
		result = ANSWER_FD;
	if (result == ANSWER_FD) {
		out->fds[out->n_fds++] = open_null();
		msg_put_peer(&d, &p);
	}
	if (in->h.op == MSG_RESOLVE && is_text("h.example", q->path, q->path_size)) {
		result = 0;
		enc_u32(&d, 60);
		enc_u16(&d, 2);
		enc_bytes(&d, four, 16);
		enc_bytes(&d, six, 16);
		if (q->flags != (MSG_IPV4 | MSG_IPV6))
			result = q->flags == MSG_IPV6 ? -ENOENT : -EIO;
	}
	msg_begin(&out->e, in->h.op, in->h.id, 1);
	msg_put_answer(&out->e, result, data, result >= 0 ? (uint32_t)enc_size(&d) : 0);
}

static void a_socket_comes_with_its_peer_and_its_rule(void **state)
{
	struct warder_peer peer;
	struct fixture f;
	int fd;

	start(&f, with_sockets);
	fd = warder_connect(f.w, "h.example:443", 0, 1500, &peer);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_string_equal(peer.text, "192.0.2.7:443");
	assert_string_equal(peer.rule, "a:3");
	close(fd);
	fd = warder_connect(f.w, "/s", SOCK_SEQPACKET, 0, NULL);
	assert_true(fd >= 0);
	close(fd);
	fd = warder_listen(f.w, "/l", 9, 0600, &peer);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(warder_connect(f.w, "/closed", 0, 0, &peer), -1);
	assert_int_equal(errno, ECONNREFUSED);
	stop(&f);
}

static void a_socket_without_words_is_refused_here(void **state)
{
	char path[MSG_PATH_MAX + 2];
	struct warder_address a[1];
	struct fixture f;

	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	start(&f, with_sockets);
	assert_int_equal(warder_connect(f.w, NULL, 0, 0, NULL), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(warder_listen(f.w, "", 1, 0, NULL), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(warder_connect(f.w, path, 0, 0, NULL), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(warder_resolve(f.w, NULL, AF_UNSPEC, a, 1), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(warder_resolve(f.w, "", AF_UNSPEC, a, 1), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(warder_resolve(f.w, "h.example", AF_UNIX, a, 1), -1);
	assert_int_equal(errno, EAFNOSUPPORT);
	stop(&f);
}

static void a_name_comes_with_its_addresses(void **state)
{
	struct warder_address a[4];
	struct fixture f;

	start(&f, with_sockets);
	assert_int_equal(warder_resolve(f.w, "h.example", AF_UNSPEC, a, 4), 2);
	assert_int_equal(a[0].family, AF_INET);
	assert_memory_equal(a[0].bytes, four + 12, 4);
	assert_int_equal(a[1].family, AF_INET6);
	assert_memory_equal(a[1].bytes, six, 16);
	assert_int_equal(warder_resolve(f.w, "h.example", AF_UNSPEC, a, 1), 1);
	assert_int_equal(warder_resolve(f.w, "h.example", AF_UNSPEC, NULL, 0), 0);
	assert_int_equal(warder_resolve(f.w, "h.example", AF_INET6, a, 4), -1);
	assert_int_equal(errno, ENOENT);
	stop(&f);
}

/* ---- the channel's end, and a full table ----------------------------------------------------- */

static void gone(const struct heard *in, struct said *out)
{
	out->silent = true;
}

static void a_broker_that_goes_is_econnreset_and_no_signal(void **state)
{
	struct fixture f;

	start(&f, gone);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(warder_open(f.w, "/a", O_RDONLY, 0), -1);
		assert_int_equal(errno, ECONNRESET);
	}
	stop(&f);
}

/* ADVERSARY A7 */
static void a_full_table_is_emfile_and_the_channel_goes_on(void **state)
{
	struct warder_open_req many[8];
	struct rlimit old, low;
	struct fixture f;
	int fd, before;

	start(&f, honest);
	before = count_fds();
	getrlimit(RLIMIT_NOFILE, &old);
	for (int room = 0; room < 3; room++) {
		low = old;
		fd = dup(0);
		low.rlim_cur = (rlim_t)fd + (rlim_t)room;
		close(fd);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
		for (int i = 0; i < 8; i++)
			many[i] = (struct warder_open_req){.path = "/a", .fd = 0};
		assert_int_equal(warder_open_many(f.w, many, 8), 0);
		for (int i = 0; i < 8; i++)
			assert_int_equal(many[i].fd, -EMFILE);
		if (room == 0) {
			assert_int_equal(warder_open(f.w, "/a", O_RDONLY, 0), -1);
			assert_int_equal(errno, EMFILE);
		}
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
		assert_int_equal(count_fds(), before);
	}
	/* With room again: the same channel. */
	fd = warder_open(f.w, "/a", O_RDONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	stop(&f);
}

/* ---- attach ---------------------------------------------------------------------------------- */

static void attach_takes_nothing_but_its_channel(void **state)
{
	static const char *const wrong[] = {"", "x", "-1", "0x3", "3 ", "99999999999", "1000"};
	int fds = count_fds(), stream[2], dgram[2];
	char text[16];

	unsetenv("WARDER_FD");
	assert_null(warder_attach());
	assert_int_equal(errno, ENXIO);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		setenv("WARDER_FD", wrong[i], 1);
		assert_null(warder_attach());
		assert_int_equal(errno, EINVAL);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram), 0);
	snprintf(text, sizeof(text), "%d", stream[0]);
	setenv("WARDER_FD", text, 1);
	assert_null(warder_attach());
	assert_int_equal(errno, EINVAL);
	assert_true(fcntl(stream[0], F_GETFD) >= 0); /* not its own: left alone */
	snprintf(text, sizeof(text), "%d", dgram[0]);
	setenv("WARDER_FD", text, 1);
	assert_null(warder_attach());
	assert_int_equal(errno, EINVAL);
	fd_close_many(stream, 2);
	fd_close_many(dgram, 2);
	unsetenv("WARDER_FD");
	assert_int_equal(count_fds(), fds);
}

/* A second greeting would end the session: it is not sent. */
static void attach_is_once_a_process(void **state)
{
	struct fixture f;
	char text[16];
	int fd;

	start(&f, honest);
	snprintf(text, sizeof(text), "%d", f.sock);
	setenv("WARDER_FD", text, 1);
	errno = 0;
	assert_null(warder_attach());
	assert_int_equal(errno, EALREADY);
	unsetenv("WARDER_FD");
	fd = warder_open(f.w, "/dev/null", O_RDONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_what_the_broker_hands_over),
		cmocka_unit_test(opens_more_than_one_message_takes),
		cmocka_unit_test(a_path_too_long_is_refused_here),
		cmocka_unit_test(a_relative_path_starts_at_the_working_directory),
		cmocka_unit_test(a_relative_path_from_a_removed_directory_is_einval),
		cmocka_unit_test(every_row_of_the_table_has_its_stub),
		cmocka_unit_test(a_socket_comes_with_its_peer_and_its_rule),
		cmocka_unit_test(a_socket_without_words_is_refused_here),
		cmocka_unit_test(a_name_comes_with_its_addresses),
		cmocka_unit_test(a_broker_that_goes_is_econnreset_and_no_signal),
		cmocka_unit_test(a_full_table_is_emfile_and_the_channel_goes_on),
		cmocka_unit_test(attach_takes_nothing_but_its_channel),
		cmocka_unit_test(attach_is_once_a_process),
	};

	return cmocka_run_group_tests_name("lib_ask", tests, NULL, NULL);
}
