/* SPDX-License-Identifier: MIT */
/*
 * dialer.h - a network outside, one of a cell, servers in the first, and a broker's end of the
 * channel.
 *
 * All of it stands in a user namespace of the test's own, so that an ordinary user can run it.
 */
#ifndef WARDER_TEST_DIALER_H
#define WARDER_TEST_DIALER_H

#include "broker/dialer/dns.h"
#include "common/chan.h"
#include "common/dial.h"
#include "common/fd.h"
#include "sandbox/confine.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define OUTSIDE     "10.9.8.7" /* of the network outside; in the cell a local address as any */
#define OUTSIDE6    "2001:db8::7"

/* ---- namespaces ------------------------------------------------------------------------------ */

static int outer_ns = -1, cell_ns = -1;
static const char *missing; /* why nothing can be tested here */

static int put(const char *path, const char *text)
{
	autofd fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -errno;
}

static int own_user_namespace(void)
{
	char uid[32], gid[32];

	snprintf(uid, sizeof(uid), "0 %u 1", (unsigned)getuid());
	snprintf(gid, sizeof(gid), "0 %u 1", (unsigned)getgid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0)
		return -errno;
	if (put("/proc/self/setgroups", "deny") < 0 || put("/proc/self/uid_map", uid) < 0 ||
		put("/proc/self/gid_map", gid) < 0)
		return -EPERM;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

static int over(const char *path, const char *text)
{
	char own[] = "dialer-test-XXXXXX";
	autofd fd = mkstemp(own);
	int r;

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
		fchmod(fd, 0644) < 0)
		return -errno;
	r = mount(own, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
	unlink(own);
	return r;
}

static void make_networks(void)
{
	if (system("command -v ip >/dev/null") != 0) {
		missing = "ip is not installed";
		return;
	}
	if (own_user_namespace() < 0 ||
		over("/etc/resolv.conf", "nameserver 127.0.0.1\nsearch lost.test\n") < 0 ||
		over("/etc/hosts", "127.0.0.9 fromhosts.test\n") < 0) {
		missing = "no user namespace of its own, or no mounts in it";
		return;
	}
	outer_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (system("ip link set lo up && ip addr add " OUTSIDE "/32 dev lo && "
		   "ip -6 addr add " OUTSIDE6 "/128 dev lo nodad") != 0 ||
		unshare(CLONE_NEWNET) < 0 ||
		system("ip link set lo up && ip route add local default dev lo && "
		       "ip -6 route add local default dev lo") != 0) {
		missing = "cannot configure networks";
		return;
	}
	cell_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (put("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0") < 0 ||
		setns(outer_ns, CLONE_NEWNET) < 0)
		missing = "cannot configure networks";
}

/* ---- sockets --------------------------------------------------------------------------------- */

static socklen_t address(const char *host, unsigned port, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		return sizeof(*in);
	}
	assert_int_equal(inet_pton(AF_INET6, host, &in6->sin6_addr), 1);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	return sizeof(*in6);
}

static struct dial_address dial_to(const char *host, unsigned port)
{
	struct dial_address a = {.bytes = {[10] = 0xff, [11] = 0xff}, .port = (uint16_t)port};

	if (inet_pton(AF_INET, host, a.bytes + 12) != 1)
		assert_int_equal(inet_pton(AF_INET6, host, a.bytes), 1);
	return a;
}

static void enter(int ns)
{
	assert_return_code(setns(ns, CLONE_NEWNET), errno);
}

/* A bound socket in the namespace; TCP listens with `backlog`. */
static int server(int ns, const char *host, unsigned port, int type, int backlog)
{
	struct sockaddr_storage at;
	socklen_t size = address(host, port, &at);
	const int on = 1, off = 0;
	int fd;

	enter(ns);
	fd = socket(at.ss_family, type | SOCK_CLOEXEC, 0);
	enter(outer_ns);
	assert_return_code(fd, errno);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	assert_return_code(bind(fd, (struct sockaddr *)&at, size), errno);
	if (type == SOCK_STREAM && backlog >= 0)
		assert_return_code(listen(fd, backlog), errno);
	return fd;
}

static unsigned __attribute__((unused)) port_of(int fd)
{
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);

	assert_return_code(getsockname(fd, (struct sockaddr *)&own, &size), errno);
	return ntohs(((struct sockaddr_in *)&own)->sin_port);
}

/* A socket of the cell's. */
static int inside(int family, int type)
{
	int fd;

	enter(cell_ns);
	fd = socket(family, type | SOCK_CLOEXEC, 0);
	enter(outer_ns);
	assert_return_code(fd, errno);
	return fd;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

static int __attribute__((unused)) accept_one(int fd)
{
	assert_true(readable(fd, PATIENCE_MS));
	fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_return_code(fd, errno);
	return fd;
}

static void __attribute__((unused)) expect_bytes(int fd, const char *text)
{
	char buf[64] = "";

	assert_true(readable(fd, PATIENCE_MS));
	assert_int_equal(recv(fd, buf, sizeof(buf) - 1, 0), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
}

/* ---- a name server outside ------------------------------------------------------------------- */

static unsigned *n_queries; /* shared with it */
static pid_t name_server __attribute__((unused));

static void put16be(uint8_t **p, unsigned v)
{
	*(*p)++ = (uint8_t)(v >> 8);
	*(*p)++ = (uint8_t)v;
}

static void put_name(uint8_t **p, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		*(*p)++ = (uint8_t)n;
		memcpy(*p, name, n);
		*p += n;
		name += n + (name[n] == '.');
	}
	*(*p)++ = 0;
}

static void put_record(uint8_t **p, const char *name, unsigned type, const void *data, size_t size)
{
	put_name(p, name);
	put16be(p, type);
	put16be(p, 1);
	put16be(p, 0);
	put16be(p, 30);
	put16be(p, (unsigned)size);
	memcpy(*p, data, size);
	*p += size;
}

static void reply_records(uint8_t **p, const struct dns_query *q, unsigned *n)
{
	const uint8_t good[4] = {127, 0, 0, 5}, bad[4] = {6, 6, 6, 6};
	const uint8_t six[16] = {0x20, 1, 0xd, 0xb8, [15] = 7};

	if (strcmp(q->name, "good.test") == 0 && q->type == 1)
		put_record(p, "good.test", 1, good, 4), *n = 1;
	if (strcmp(q->name, "good.test") == 0 && q->type == 28)
		put_record(p, "good.test", 28, six, 16), *n = 1;
	if (strcmp(q->name, "liar.test") == 0 && q->type == 1)
		put_record(p, "good.test", 1, bad, 4), *n = 1;
	if (strcmp(q->name, "alias.test") == 0 && q->type == 1) {
		uint8_t name[32], *end = name;

		put_name(&end, "good.test");
		put_record(p, "alias.test", 5, name, (size_t)(end - name));
		put_record(p, "good.test", 1, good, 4);
		*n = 2;
	}
	for (uint8_t i = 1; strcmp(q->name, "many.test") == 0 && q->type == 1 && i <= 20; i++) {
		const uint8_t one[4] = {10, 1, 1, i};

		put_record(p, "many.test", 1, one, 4), *n = i;
	}
}

static void reply(
	int fd, const uint8_t *query, size_t size, struct sockaddr_storage *to, socklen_t to_size)
{
	uint8_t buf[2048], *p = buf;
	struct dns_query q;
	unsigned n = 0, id;

	if (dns_parse(query, size, &q) != DNS_OK || strcmp(q.name, "silent.test") == 0)
		return;
	id = q.id;
	if (strcmp(q.name, "forged.test") == 0)
		id ^= 0x5555;
	put16be(&p, id);
	put16be(&p, 0x8180 | (strcmp(q.name, "nx.test") == 0 ? 3 : 0) |
			    (strcmp(q.name, "broken.test") == 0 ? 2 : 0));
	put16be(&p, 1);
	p += 6;
	memcpy(p, q.question, q.question_size);
	p += q.question_size;
	if (strcmp(q.name, "forged.test") == 0) {
		const uint8_t bad[4] = {6, 6, 6, 6};

		put_record(&p, "forged.test", 1, bad, 4), n = 1;
	}
	reply_records(&p, &q, &n);
	memset(buf + 6, 0, 6);
	buf[7] = (uint8_t)n;
	sendto(fd, buf, (size_t)(p - buf), 0, (struct sockaddr *)to, to_size);
}

static void __attribute__((unused)) start_name_server(void)
{
	pid_t parent = getpid();
	int fd = server(outer_ns, "127.0.0.1", 53, SOCK_DGRAM, 0);

	n_queries = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	name_server = fork();
	if (name_server > 0) {
		close(fd);
		return;
	}
	/* Before that it may be gone already. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	for (;;) {
		uint8_t buf[1500];
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &size);

		__atomic_add_fetch(n_queries, 1, __ATOMIC_SEQ_CST);
		if (n > 0)
			reply(fd, buf, (size_t)n, &from, size);
	}
}

static unsigned __attribute__((unused)) queries(void)
{
	return __atomic_load_n(n_queries, __ATOMIC_SEQ_CST);
}

/* ---- the broker's end ------------------------------------------------------------------------ */

static struct broker {
	int sock;
	pid_t pid;
	uint32_t id;
	int names, flows; /* the verdict on each: 0 or -errno */
	unsigned n_lookups, n_founds, n_flows;
	struct dial_message last_found, last_flow;
} broker;

#define UDP_PORT 5300

static void say(const struct dial_message *m, int *fds, size_t n)
{
	uint8_t buf[DIAL_SIZE_MAX];
	long size = dial_encode(m, buf, sizeof(buf));

	assert_true(size > 0);
	assert_int_equal(chan_send(broker.sock, buf, (size_t)size, fds, n, true), 0);
}

static uint32_t ask(struct dial_message *m, int *fds, size_t n)
{
	m->id = ++broker.id;
	say(m, fds, n);
	return m->id;
}

static void judge(const struct dial_message *m)
{
	struct dial_message verdict = {.op = DIAL_VERDICT, .id = m->id, .result = broker.names};

	if (m->op == DIAL_LOOKUP) {
		broker.n_lookups++;
	} else if (m->op == DIAL_FOUND) {
		broker.n_founds++;
		broker.last_found = *m;
	} else {
		broker.n_flows++;
		broker.last_flow = *m;
		verdict.result = broker.flows;
	}
	say(&verdict, NULL, 0);
}

/* Takes one message in and answers it where it asks.  True: it was an answer, in *ret. */
static bool hear(int timeout_ms, struct dial_message *ret, int *ret_fd)
{
	uint8_t buf[DIAL_SIZE_MAX];
	int fds[2];
	size_t n = 0;
	long size;

	if (!readable(broker.sock, timeout_ms))
		return false;
	size = chan_recv(broker.sock, buf, sizeof(buf), fds, 2, &n, true);
	assert_true(size > 0);
	assert_int_equal(dial_decode(buf, (size_t)size, ret), 0);
	assert_true(n <= dial_fds(ret->op));
	if (ret_fd)
		*ret_fd = n ? fds[0] : -1;
	if (ret->op == DIAL_DONE || ret->op == DIAL_NAMES)
		return true;
	judge(ret);
	return false;
}

static struct dial_message answer(int *ret_fd)
{
	struct dial_message m;

	for (int i = 0; i < 1000 && readable(broker.sock, PATIENCE_MS); i++) {
		if (hear(0, &m, ret_fd))
			return m;
	}
	fail_msg("the dialer did not answer");
	return m;
}

/* Answers the dialer's questions until the descriptor is readable. */
static inline bool serve_until(int fd, int timeout_ms)
{
	struct dial_message m;

	for (int i = 0; i < timeout_ms / 10; i++) {
		if (readable(fd, 0))
			return true;
		hear(10, &m, NULL);
	}
	return readable(fd, 0);
}

static void run_dialer(int sock)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/warder-dialer",
		getenv("BUILD") ? getenv("BUILD") : "build");
	if (dup2(sock, 3) < 0 || fcntl(3, F_SETFD, 0) < 0)
		_exit(126);
	syscall(SYS_close_range, 4, ~0U, 0);
	execl(path, "warder-dialer", "3", NULL);
	_exit(127);
}

static void start_dialer(void)
{
	int sock;

	memset(&broker, 0, sizeof(broker));
	assert_int_equal(chan_pair(&broker.sock, &sock), 0);
	broker.pid = fork();
	if (broker.pid == 0)
		run_dialer(sock);
	close(sock);
}

/* Where there is no IPv6 the cell's sockets are of IPv4. */
static bool without_ipv6;

/* Tells it the cell's sockets. */
static void start_cell(unsigned n_spares)
{
	struct dial_message m = {.op = DIAL_START, .cell = {2, 2, 1, (uint8_t)n_spares}};
	int fds[8];
	const int off = 0;

	assert_true(n_spares <= CELL_SPARES);
	fds[0] = server(cell_ns, "127.0.0.1", 53, SOCK_DGRAM, 0);
	fds[1] = server(cell_ns, "::1", 53, SOCK_DGRAM, 0);
	fds[2] = server(cell_ns, "127.0.0.1", 53, SOCK_STREAM, 16);
	fds[3] = server(cell_ns, "::1", 53, SOCK_STREAM, 16);
	fds[4] = server(cell_ns, without_ipv6 ? "0.0.0.0" : "::", UDP_PORT, SOCK_DGRAM, 0);
	for (unsigned i = 0; i < n_spares; i++) {
		fds[5 + i] = inside(without_ipv6 ? AF_INET : AF_INET6, SOCK_STREAM);
		setsockopt(fds[5 + i], IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	}
	ask(&m, fds, 5 + n_spares);
}

/* True: it ended by itself, with that status. */
static bool ends_with(int status)
{
	int got = -1;

	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		if (waitpid(broker.pid, &got, WNOHANG) == broker.pid) {
			broker.pid = 0;
			return WIFEXITED(got) && WEXITSTATUS(got) == status;
		}
		poll(NULL, 0, 10);
	}
	return false;
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int fds_before;

static int set_up(void **state)
{
	if (missing) {
		fprintf(stderr, "[  SKIPPED ] %s\n", missing);
		return 0;
	}
	fds_before = open_fds();
	start_dialer();
	start_cell(CELL_SPARES);
	return 0;
}

/* It must still be there, and end at end-of-file. */
static int tear_down(void **state)
{
	bool ended;

	if (missing)
		return 0;
	close(broker.sock);
	ended = broker.pid == 0 || ends_with(0);
	if (!ended && broker.pid > 0) {
		fprintf(stderr, "the dialer (%d) does not end, or died\n", broker.pid);
		kill(broker.pid, SIGKILL);
		waitpid(broker.pid, NULL, 0);
	}
	if (open_fds() != fds_before)
		fprintf(stderr, "%d descriptors before, %d after\n", fds_before, open_fds());
	return ended && open_fds() == fds_before ? 0 : -1;
}

#define NEEDS_NETWORKS() \
	do { \
		if (missing) \
			skip(); \
	} while (0)

static inline struct dial_message tcp_to(const char *host, unsigned port)
{
	return (struct dial_message){.op = DIAL_TCP,
		.wait = true,
		.timeout_ms = 10000,
		.n_addresses = 1,
		.addresses = {dial_to(host, port)}};
}

static inline void set_option(struct dial_message *m, int level, int option, int value)
{
	struct dial_option *o = &m->options[m->n_options++];

	*o = (struct dial_option){(uint16_t)level, (uint16_t)option, sizeof(value), {0}};
	memcpy(o->value, &value, sizeof(value));
}

#endif
