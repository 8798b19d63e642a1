/* SPDX-License-Identifier: MIT */
/*
 * serve_socket.c - the socket of a service: its place, its lock, its clients.
 */
#include "cli/serve_socket.h"
#include "common/place.h"
#include "tests/unit/cli_lib.h"

#include <sys/socket.h>
#include <sys/un.h>

static void names(void **state)
{
	static const char *const good[] = {"a", "files", "A-b_c.d", "0", "x1"};
	static const char *const bad[] = {"", ".", "..", ".a", "-a", "a/b", "a b", "a\nb",
		"\xc3\xa9", "0123456789012345678901234567890123456789012345678901234567890123x"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(place_name_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(place_name_valid(bad[i]));
}

static void place_follows_the_variable(void **state)
{
	char path[300], wanted[300];

	assert_int_equal(place_socket("n", path, sizeof(path)), 0);
	snprintf(wanted, sizeof(wanted), "%s/warder/n.sock", test_dir);
	assert_string_equal(path, wanted);
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	assert_int_equal(place_socket("n", path, sizeof(path)), -EINVAL);
	setenv("XDG_RUNTIME_DIR", "", 1);
	assert_int_equal(place_socket("n", path, sizeof(path)), 0);
	snprintf(wanted, sizeof(wanted), "/run/user/%u/warder/n.sock", (unsigned)geteuid());
	assert_string_equal(path, geteuid() == 0 ? "/run/warder/n.sock" : wanted);
	assert_int_equal(place_socket("../n", path, sizeof(path)), -EINVAL);
	/* Whatever the variable says. */
	assert_int_equal(place_system_socket("n", path, sizeof(path)), 0);
	assert_string_equal(path, "/run/warder/n.sock");
	assert_int_equal(place_system_socket("../n", path, sizeof(path)), -EINVAL);
	assert_int_equal(place_system_socket("n", path, 10), -ENAMETOOLONG);
}

static int dial(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fd_close(&fd);
	return fd;
}

static void one_instance_holds_a_name(void **state)
{
	struct serve_socket one = SERVE_SOCKET_INIT, two = SERVE_SOCKET_INIT;
	struct failure f = FAILURE_INIT;
	char pid[32];

	assert_int_equal(serve_socket_claim("n", &one, &f), 0);
	assert_int_equal(serve_socket_claim("n", &two, &f), -EWOULDBLOCK);
	snprintf(pid, sizeof(pid), "process %d", (int)getpid());
	assert_non_null(strstr(f.text, pid));
	f.error = 0;
	assert_int_equal(serve_socket_claim("other", &two, &f), 0);
	serve_socket_close(&two);
	serve_socket_close(&one);
	assert_int_equal(access("warder/n.pid", F_OK), -1);
	assert_int_equal(serve_socket_claim("n", &one, &f), 0);
	serve_socket_close(&one);
}

static void a_stale_socket_is_replaced_and_nothing_else(void **state)
{
	struct serve_socket s = SERVE_SOCKET_INIT;
	struct failure f = FAILURE_INIT;

	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	assert_int_equal(serve_socket_listen(&s, false, &f), 0);
	/* As a killed instance leaves it. */
	fd_close(&s.listen_fd);
	serve_socket_close(&s);
	assert_int_equal(access("warder/n.sock", F_OK), 0);
	fd_close(&s.reserve_fd);
	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	assert_int_equal(serve_socket_listen(&s, false, &f), 0);
	serve_socket_close(&s);
	assert_int_equal(access("warder/n.sock", F_OK), -1);

	close(open("warder/n.sock", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	assert_int_equal(serve_socket_listen(&s, false, &f), -EEXIST);
	serve_socket_close(&s);
	assert_int_equal(access("warder/n.sock", F_OK), 0);
}

static void clients_are_known_by_the_kernels_word(void **state)
{
	struct serve_socket s = SERVE_SOCKET_INIT;
	struct failure f = FAILURE_INIT;
	struct msg_client who;
	struct stat st;
	int client, fd = -1;

	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	assert_int_equal(serve_socket_listen(&s, false, &f), 0);
	assert_int_equal(stat("warder/n.sock", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat("warder", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(serve_socket_accept(&s, &fd, &who), -EAGAIN);
	client = dial(s.path);
	assert_true(client >= 0);
	assert_int_equal(serve_socket_accept(&s, &fd, &who), 0);
	assert_int_equal(who.uid, geteuid());
	assert_int_equal(who.pid, (uint32_t)getpid());
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	close(client);
	serve_socket_shut(&s);
	assert_true(dial(s.path) < 0);
	serve_socket_close(&s);
}

/* A service that others may enter opens its own socket and the way to it, and nothing else. */
static void others_can_connect_where_they_may_and_nowhere_else(void **state)
{
	struct serve_socket s = SERVE_SOCKET_INIT, own = SERVE_SOCKET_INIT;
	struct failure f = FAILURE_INIT;
	struct stat st;

	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	assert_int_equal(stat("warder", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(serve_socket_listen(&s, true, &f), 0);
	assert_int_equal(stat("warder", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0711);
	assert_int_equal(stat("warder/n.sock", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(stat("warder/n.pid", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(serve_socket_claim("own", &own, &f), 0);
	assert_int_equal(serve_socket_listen(&own, false, &f), 0);
	assert_int_equal(stat("warder/own.sock", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat("warder/own.pid", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	serve_socket_close(&own);
	/* As a killed one leaves it, and without others the next time. */
	fd_close(&s.listen_fd);
	serve_socket_close(&s);
	fd_close(&s.reserve_fd);
	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	assert_int_equal(serve_socket_listen(&s, false, &f), 0);
	assert_int_equal(stat("warder/n.sock", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	serve_socket_close(&s);
}

static void unsafe_directories_are_refused(void **state)
{
	struct serve_socket s = SERVE_SOCKET_INIT;
	struct failure f = FAILURE_INIT;
	char path[300];

	snprintf(path, sizeof(path), "%s/open", test_dir);
	setenv("XDG_RUNTIME_DIR", path, 1);
	assert_int_equal(serve_socket_claim("n", &s, &f), -ENOENT);
	f.error = 0;
	assert_int_equal(mkdir("open", 0700), 0);
	assert_int_equal(chmod("open", 0777), 0);
	assert_int_equal(serve_socket_claim("n", &s, &f), -EPERM);
	f.error = 0;
	assert_int_equal(chmod("open", 01777), 0); /* sticky, as /tmp is */
	assert_int_equal(serve_socket_claim("n", &s, &f), 0);
	serve_socket_close(&s);
	assert_int_equal(chmod("open/warder", 0750), 0);
	assert_int_equal(serve_socket_claim("n", &s, &f), -EPERM);
	f.error = 0;
	assert_int_equal(symlink("open", "link"), 0);
	snprintf(path, sizeof(path), "%s/link", test_dir);
	setenv("XDG_RUNTIME_DIR", path, 1);
	assert_int_equal(serve_socket_claim("n", &s, &f), -ENOTDIR);
	assert_non_null(strstr(f.text, "symlink"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(names),
		TEST(place_follows_the_variable),
		TEST(one_instance_holds_a_name),
		TEST(a_stale_socket_is_replaced_and_nothing_else),
		TEST(clients_are_known_by_the_kernels_word),
		TEST(others_can_connect_where_they_may_and_nowhere_else),
		TEST(unsafe_directories_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
