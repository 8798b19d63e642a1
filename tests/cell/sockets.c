/* SPDX-License-Identifier: MIT */
/*
 * sockets.c - the cell's network: what the broker may do in it, what stands there for the dialer,
 * and as whom the dialer runs.
 *
 * The worker, and the dialer, are this program itself.  A small broker of the test's answers the
 * worker's connect, bind and listen by doing them on its own copy, as broker/trap_socket.c does.
 */
#include "tests/cell/cell.h"
#include "common/chan.h"
#include "common/dial.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define SO_NETNS_COOKIE_ 71
#define UDP_PORT         4321

static char exe[PATH_MAX], exe_dir[PATH_MAX];

/* ---- the worker ------------------------------------------------------------------------------ */

static int result(long r)
{
	return r < 0 ? errno : 0;
}

/* Binds and listens at one address, connects to another and carries a byte.  0 or errno. */
static int carry(int family, const void *at, socklen_t at_size, const void *to, socklen_t to_size)
{
	int server = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char byte = 0;
	int other;

	if (bind(server, at, at_size) < 0 || listen(server, 1) < 0 ||
		connect(client, to, to_size) < 0)
		return errno;
	other = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	if (other < 0 || send(client, "x", 1, 0) != 1 || recv(other, &byte, 1, 0) != 1)
		return errno;
	close(server);
	close(client);
	close(other);
	return byte == 'x' ? 0 : EIO;
}

static int carry_inet(int family, const char *at, const char *to, uint16_t port)
{
	struct sockaddr_in6 six[2] = {{.sin6_family = AF_INET6, .sin6_port = htons(port)}};
	struct sockaddr_in four[2] = {{.sin_family = AF_INET, .sin_port = htons(port)}};

	six[1] = six[0];
	four[1] = four[0];
	if (family == AF_INET) {
		inet_pton(AF_INET, at, &four[0].sin_addr);
		inet_pton(AF_INET, to, &four[1].sin_addr);
		return carry(AF_INET, &four[0], sizeof(four[0]), &four[1], sizeof(four[1]));
	}
	inet_pton(AF_INET6, at, &six[0].sin6_addr);
	inet_pton(AF_INET6, to, &six[1].sin6_addr);
	return carry(AF_INET6, &six[0], sizeof(six[0]), &six[1], sizeof(six[1]));
}

static int carry_abstract(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "\0cell"};

	return carry(AF_UNIX, &a, sizeof(sa_family_t) + 5, &a, sizeof(sa_family_t) + 5);
}

/* What no process is to do by itself, on a socket of the cell's own. */
static int tell(const char *what, int r)
{
	printf("%s %d\n", what, r);
	return fflush(stdout);
}

static int worker_main(void)
{
	tell("tcp4", carry_inet(AF_INET, "127.0.0.1", "127.0.0.1", 4000));
	tell("tcp6", carry_inet(AF_INET6, "::1", "::1", 4000));
	tell("low", carry_inet(AF_INET, "127.0.0.1", "127.0.0.1", 80));
	tell("any4", carry_inet(AF_INET, "0.0.0.0", "203.0.113.7", 4001));
	tell("any6", carry_inet(AF_INET6, "::", "2001:db8:7::7", 4001));
	tell("at4", carry_inet(AF_INET, "203.0.113.8", "203.0.113.8", 4002));
	tell("abstract", carry_abstract());
	return 0;
}

/* ---- the test's broker ----------------------------------------------------------------------- */

static int act(const struct cell *cell, const struct notice *notice)
{
	struct sockaddr_storage address = {0};
	struct iovec here = {&address, (size_t)notice->args[2]};
	struct iovec there = {(void *)notice->args[1], (size_t)notice->args[2]};
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	autofd fd = (int)syscall(SYS_pidfd_getfd, cell->worker_pidfd, (int)notice->args[0], 0);

	if (fd < 0)
		return errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE_, &cookie, &size) < 0 ||
		cookie != cell->net_cookie || cookie == 0)
		return ENOTUNIQ;
	if (notice->nr == SYS_listen)
		return result(listen(fd, (int)notice->args[1]));
	if (here.iov_len > sizeof(address) ||
		process_vm_readv(notice->tid, &here, 1, &there, 1, 0) != (ssize_t)here.iov_len)
		return EFAULT;
	if (notice->nr == SYS_bind)
		return result(bind(fd, (struct sockaddr *)&address, (socklen_t)here.iov_len));
	return result(connect(fd, (struct sockaddr *)&address, (socklen_t)here.iov_len));
}

/* Serves the worker to its end; its last words are read by the test. */
static int serve_sockets(const struct cell *cell, void *ctx)
{
	struct pollfd polls[] = {
		{.fd = cell->worker_pidfd, .events = POLLIN},
		{.fd = notify_fd(cell->notify), .events = POLLIN},
	};
	struct notice notice;
	int n = 0, r;

	while (poll(polls, 2, -1) >= 0 && !polls[0].revents) {
		if (polls[1].revents & POLLHUP)
			polls[1].fd = -1;
		if (!(polls[1].revents & POLLIN) || notify_receive(cell->notify, &notice) < 0)
			continue;
		if (cell_goes_on(notice.nr)) {
			notify_continue(cell->notify, notice.id);
			continue;
		}
		r = cell_refusal(notice.nr) == EACCES ? act(cell, &notice) : EPERM;
		n++;
		if (r == 0)
			notify_return(cell->notify, notice.id, 0);
		else
			notify_refuse(cell->notify, notice.id, r);
	}
	return n;
}

static void run_worker(struct cell_run *run, unsigned sockets)
{
	static const char *argv[] = {exe, "--worker", NULL};

	cell_run_init(run, argv);
	run->spec.sockets = sockets;
	run->spec.dialer = "/bin/true";
	cell_run_tree(run, exe_dir, CELL_READ | CELL_EXEC, false);
	run->in_broker = serve_sockets;
	cell_run(run);
}

static int told(const struct cell_run *run, const char *what)
{
	char line[32];
	const char *at;

	snprintf(line, sizeof(line), "%s ", what);
	at = strstr(run->out, line);
	if (!at)
		flunk("nothing of %s: %s", what, run->out);
	return atoi(at + strlen(line));
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	autofd fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static void the_caged_broker_connects_and_binds_what_is_the_workers(void **state)
{
	struct cell_run run;

	run_worker(&run, 0);
	assert_int_equal(told(&run, "tcp4"), 0);
	assert_int_equal(told(&run, "abstract"), 0);
	if (has_ipv6())
		assert_int_equal(told(&run, "tcp6"), 0);
	/* No socket leads out: no address but loopback's is the cell's. */
	assert_int_equal(told(&run, "any4"), ENETUNREACH);
	assert_int_equal(told(&run, "at4"), EADDRNOTAVAIL);
	/* Whoever made the cell's user namespace has its capabilities there, low ports too. */
	assert_int_equal(told(&run, "low"), 0);
}

static void where_sockets_lead_out_every_address_is_the_cells_own(void **state)
{
	struct cell_run run;

	run_worker(&run, CELL_SOCKETS_OUT);
	assert_int_equal(told(&run, "tcp4"), 0);
	assert_int_equal(told(&run, "any4"), 0);
	assert_int_equal(told(&run, "at4"), 0);
	assert_int_equal(told(&run, "low"), 0);
	assert_int_equal(told(&run, "abstract"), 0);
	if (has_ipv6())
		assert_int_equal(told(&run, "any6"), 0);
}

/* ---- the dialer ------------------------------------------------------------------------------ */

/* A line of /proc/self/status. */
static const char *status_of(const char *key)
{
	static char text[8192];
	autofd fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	long n = fd_read_all(fd, text, sizeof(text) - 1);
	char *at, *end;

	text[n > 0 ? n : 0] = '\0';
	at = strstr(text, key);
	at = at ? at + strlen(key) : NULL;
	end = at ? strchr(at, '\n') : NULL;
	if (!end)
		return "?";
	*end = '\0';
	return at + strspn(at, "\t ");
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, option, &value, &size) < 0 ? -errno : value;
}

static int port_of(int fd)
{
	struct sockaddr_in6 a = {0};
	socklen_t size = sizeof(a);

	return getsockname(fd, (struct sockaddr *)&a, &size) < 0 ? -errno : ntohs(a.sin6_port);
}

/* As the dialer: says what it is and what it was given, then waits for the end. */
static int dialer_main(char **environment)
{
	static char report[4096];
	uint8_t buf[DIAL_SIZE_MAX];
	int fds[CHAN_FDS_MAX];
	struct dial_message m;
	size_t n = 0, at = 0;
	int open_before = open_fds();
	long size = chan_recv(3, buf, sizeof(buf), fds, CHAN_FDS_MAX, &n, true);

#define SAY(...) at += (size_t)snprintf(report + at, sizeof(report) - at, __VA_ARGS__)
	SAY("uid %d euid %d gid %d\n", (int)getuid(), (int)geteuid(), (int)getegid());
	SAY("permitted %s\n", status_of("CapPrm:"));
	SAY("effective %s\n", status_of("CapEff:"));
	SAY("nnp %s\n", status_of("NoNewPrivs:"));
	SAY("leader %d\n", getsid(0) == getpid());
	SAY("environment %d\n", *environment != NULL);
	SAY("descriptors %d\n", open_before);
	if (size <= 0 || dial_decode(buf, (size_t)size, &m) < 0 || m.op != DIAL_START)
		SAY("no start\n");
	else
		SAY("start %u %u %u %u of %zu\n", m.cell[0], m.cell[1], m.cell[2], m.cell[3], n);
	for (size_t i = 0; i < n; i++)
		SAY("socket type %d port %d listens %d\n", option_of(fds[i], SOL_SOCKET, SO_TYPE),
			port_of(fds[i]), option_of(fds[i], SOL_SOCKET, SO_ACCEPTCONN));
	chan_send(3, report, at, NULL, 0, true);
	n = 0;
	return chan_recv(3, buf, sizeof(buf), fds, CHAN_FDS_MAX, &n, true) == 0 ? 0 : 1;
}

static int print_report(const struct cell *cell, void *ctx)
{
	char report[4096];
	size_t n = 0;
	long size = chan_recv(cell->dialer_fd, report, sizeof(report) - 1, NULL, 0, &n, true);

	if (size <= 0)
		return (int)size;
	*(pid_t *)ctx = cell->dialer_pid;
	report[size] = '\0';
	return write(*((int *)ctx + 1), report, (size_t)size) == size ? 0 : errno;
}

static void the_dialer_is_the_workers_user_and_has_the_cells_sockets(void **state)
{
	static const uint16_t ports[] = {53, UDP_PORT};
	struct {
		pid_t pid;
		int out;
	} *ctx = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	RUN_SH(run, "cat /etc/resolv.conf /proc/sys/net/ipv4/ip_unprivileged_port_start");
	char path[PATH_MAX], report[8192], want[128];
	autofd fd = -1;
	int six = has_ipv6();
	long n;

	assert_ptr_not_equal(ctx, MAP_FAILED);
	snprintf(path, sizeof(path), "%s/report", getenv("HOME"));
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	ctx->out = fd;
	run.spec.sockets = CELL_SOCKETS_OUT | CELL_SOCKETS_NAMES;
	run.spec.udp_ports = ports;
	run.spec.n_udp_ports = 2;
	run.spec.dialer = exe;
	run.in_broker = print_report;
	run.ctx = ctx;
	cell_run(&run);
	if (run.status != 0)
		flunk("%d: %s", run.status, run.out);
	assert_non_null(strstr(run.out, "BROKER 0\n"));
	assert_non_null(strstr(run.out, "nameserver 127.0.0.1\n"));
	if (!strstr(run.out, "\n0\n"))
		flunk("%s", run.out);
	n = pread(fd, report, sizeof(report) - 1, 0);
	assert_true(n > 0);
	report[n] = '\0';
#define WANT(...) \
	snprintf(want, sizeof(want), __VA_ARGS__); \
	if (!strstr(report, want)) \
	flunk("no %s in:\n%s", want, report)
	WANT("uid %d euid %d gid %d\n", (int)worker_uid(), (int)worker_uid(), (int)run.spec.gid);
	WANT("permitted 0000000000000000\n");
	WANT("effective 0000000000000000\n");
	WANT("nnp 1\n");
	WANT("leader 1\n");
	WANT("environment 0\n");
	WANT("descriptors %d\n", 5 + 3); /* 0 to 4; ".", ".." and the listing's own */
	WANT("start %d %d 2 %d of %d\n", 1 + six, 1 + six, CELL_SPARES,
		2 * (1 + six) + 2 + CELL_SPARES);
	WANT("socket type %d port 53 listens 0\n", SOCK_DGRAM);
	WANT("socket type %d port 53 listens 1\n", SOCK_STREAM);
	WANT("socket type %d port %d listens 0\n", SOCK_DGRAM, UDP_PORT);
	WANT("socket type %d port 0 listens 0\n", SOCK_STREAM);
	/* The cell is over, and with it the dialer. */
	assert_true(ctx->pid > 0);
	assert_int_equal(kill(ctx->pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	unlink(path);
	munmap(ctx, 4096);
}

static void a_cell_without_a_dialer_says_which_is_missing(void **state)
{
	RUN_SH(run, "true");

	run.spec.sockets = CELL_SOCKETS_OUT;
	run.spec.dialer = "/no/such/warder-dialer";
	cell_run(&run);
	assert_int_equal(run.status, 125);
	if (!strstr(run.failure, "/no/such/warder-dialer"))
		flunk("%s", run.out);
}

static void without_names_the_cell_has_no_name_server(void **state)
{
	RUN_SH(run, "cat /etc/resolv.conf");

	run.spec.sockets = CELL_SOCKETS_OUT;
	run.spec.dialer = "/bin/true";
	cell_run(&run);
	assert_int_equal(run.status, 0);
	assert_null(strstr(run.out, "nameserver"));
}

static int group_setup(void **state)
{
	alarm(120);
	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) <= 0)
		return -1;
	snprintf(exe_dir, sizeof(exe_dir), "%s", exe);
	snprintf(exe_dir, sizeof(exe_dir), "%s", dirname(strdup(exe)));
	return 0;
}

int main(int argc, char **argv, char **environment)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_caged_broker_connects_and_binds_what_is_the_workers),
		cmocka_unit_test(where_sockets_lead_out_every_address_is_the_cells_own),
		cmocka_unit_test(the_dialer_is_the_workers_user_and_has_the_cells_sockets),
		cmocka_unit_test(a_cell_without_a_dialer_says_which_is_missing),
		cmocka_unit_test(without_names_the_cell_has_no_name_server),
	};

	if (argc == 2 && strcmp(argv[0], "warder-dialer") == 0)
		return dialer_main(environment);
	if (argc == 2 && strcmp(argv[1], "--worker") == 0)
		return worker_main();
	return cmocka_run_group_tests(tests, group_setup, NULL);
}
