/* SPDX-License-Identifier: MIT */
/*
 * escape.c - a worker that tries to leave its cell by system calls alone.
 *
 * Every attack is run outside too, where it must work, or the cell's refusal would show nothing.
 * The filter's whole table is the cell's own test; here stands what each refusal is for.
 */
#include "tests/hostile/inside.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <arpa/inet.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* 0 or errno of a call that returns -1 on failure. */
#define TRY(call) ((call) < 0 ? errno : 0)

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

/* Capabilities over an own user namespace, where that may be had; the attack then shows whether
 * the call itself is refused. */
static void own_namespaces(void)
{
	unshare(CLONE_NEWUSER | CLONE_NEWNS);
}

/* ---- the filter's edges ------------------------------------------------------------------- */

static int ia32_call(void)
{
#ifdef __x86_64__
	long r;

	/* getpid of the 32-bit table, past a filter that looks at numbers alone. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory");
	return r > 0 ? 0 : ENOSYS;
#else
	return ENOSYS;
#endif
}

static int x32_call(void)
{
#ifdef __x86_64__
	return TRY(syscall(0x40000000 | SYS_getpid));
#else
	return ENOSYS;
#endif
}

static int future_call(void)
{
	return TRY(syscall(600));
}

static int uring(void)
{
	struct io_uring_params p = {0};

	return TRY(syscall(SYS_io_uring_setup, 1, &p));
}

static int user_namespace_by_clone3(void)
{
	uint64_t args[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0};
	long pid = syscall(SYS_clone3, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return TRY(pid);
}

static int user_namespace_by_clone(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return TRY(pid);
}

static int user_namespace_by_unshare(void)
{
	return TRY(unshare(CLONE_NEWUSER));
}

static int second_listener(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = {.len = 1, .filter = &allow};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return TRY(syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog));
}

/* ---- mounts and roots --------------------------------------------------------------------- */

static int mount_tmpfs(void)
{
	own_namespaces();
	return TRY(mount("none", "/tmp", "tmpfs", 0, NULL));
}

static int remount_writable(void)
{
	own_namespaces();
	if (mount("/usr", "/usr", NULL, MS_BIND | MS_REC, NULL) < 0)
		return errno;
	return TRY(mount(NULL, "/usr", NULL, MS_BIND | MS_REMOUNT, NULL));
}

static int tree_of_mounts(void)
{
	own_namespaces();
	return TRY(syscall(SYS_open_tree, AT_FDCWD, "/usr", 1 /* OPEN_TREE_CLONE */));
}

static int new_file_system(void)
{
	own_namespaces();
	return TRY(syscall(SYS_fsopen, "tmpfs", 0));
}

static int change_root(void)
{
	own_namespaces();
	return TRY(chroot("/tmp"));
}

static int join_namespace(void)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	own_namespaces();
	unshare(CLONE_NEWUTS);
	close(fd);
	fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? errno : TRY(setns(fd, CLONE_NEWUTS));
}

/* Of a program that runs, open(2) says ETXTBSY before it looks at the mount; access(2) looks at the
 * mount first (EROFS).  Where that allows it, only this moment forbids to write. */
static int write_to_own_program(void)
{
	int r = TRY(access("/proc/self/exe", W_OK));

	if (r == 0)
		r = TRY(open("/proc/self/exe", O_WRONLY));
	return r == ETXTBSY ? 0 : r;
}

/* ---- other processes ---------------------------------------------------------------------- */

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static int trace_child(void)
{
	pid_t pid = sleeper();
	int r = TRY(ptrace(PTRACE_SEIZE, pid, 0, 0));

	kill(pid, SIGKILL);
	return r;
}

static int read_memory_of_child(void)
{
	static char there[8] = "secret";
	char here[8];
	struct iovec l = {here, 8}, r = {there, 8};
	pid_t pid = sleeper();
	int e = TRY(process_vm_readv(pid, &l, 1, &r, 1, 0));

	kill(pid, SIGKILL);
	return e;
}

static int steal_descriptor_of_child(void)
{
	pid_t pid = sleeper();
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	int e = pidfd < 0 ? errno : TRY(syscall(SYS_pidfd_getfd, pidfd, 1, 0));

	kill(pid, SIGKILL);
	return e;
}

/* The one that runs the test: outside the cell it has a number, inside it must have none. */
static int signal_the_tester(void)
{
	return TRY(kill(atoi(env("TESTER_PID")), 0));
}

static int read_memory_of_tester(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/status", env("TESTER_PID"));
	return TRY(open(path, O_RDONLY));
}

static int priority_of_tester(void)
{
	return TRY(syscall(SYS_getpriority, 0, atoi(env("TESTER_PID"))));
}

/* ---- kernel surface ----------------------------------------------------------------------- */

static int load_bpf(void)
{
	union bpf_attr a = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8, .max_entries = 1};

	return TRY(syscall(SYS_bpf, BPF_MAP_CREATE, &a, sizeof(a)));
}

static int perf(void)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(a),
		.config = PERF_COUNT_SW_TASK_CLOCK,
		.exclude_kernel = 1};

	return TRY(syscall(SYS_perf_event_open, &a, 0, -1, -1, 0));
}

static int user_fault(void)
{
	return TRY(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

static int keyring(void)
{
	return TRY(syscall(SYS_add_key, "user", "warder-test", "x", 1, -2 /* process keyring */));
}

static int executable_data(void)
{
	return TRY(personality(READ_IMPLIES_EXEC));
}

static int handle_of_name(void)
{
	struct {
		struct file_handle h;
		char room[128];
	} handle = {.h = {.handle_bytes = 128}};
	int mount_id;

	return TRY(name_to_handle_at(AT_FDCWD, "/usr", &handle.h, &mount_id, 0));
}

static int quota(void)
{
	/* Any answer but "not permitted" and "no such call" shows that the call was made. */
	return syscall(SYS_quotactl, 0x800001 << 8, "/dev/null", 0, NULL) < 0 &&
			       (errno == EPERM || errno == ENOSYS || errno == EACCES)
		       ? errno
		       : 0;
}

/* ---- sockets ------------------------------------------------------------------------------ */

static int socket_of(int domain, int type, int protocol)
{
	return TRY(socket(domain, type, protocol));
}

/* A list of the host's sockets. NETLINK_ROUTE is there inside, of a network of its own. */
static int diag_socket(void)
{
	return socket_of(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
}

static int uevent_socket(void)
{
	return socket_of(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT);
}

/* An interface that the host has and the cell has not. */
static int see_an_interface_of_the_host(void)
{
	struct if_nameindex *all = if_nameindex();
	int found = 0;

	for (size_t i = 0; all && all[i].if_index; i++)
		found |= strcmp(all[i].if_name, env("INTERFACE")) == 0;
	if_freenameindex(all);
	return found ? 0 : ENODEV;
}

static int mptcp_socket(void)
{
	return socket_of(AF_INET, SOCK_STREAM, IPPROTO_MPTCP);
}

static int sctp_socket(void)
{
	return socket_of(AF_INET, SOCK_STREAM, IPPROTO_SCTP);
}

static int ping_socket(void)
{
	return socket_of(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}

static int raw_socket(void)
{
	return socket_of(AF_INET, SOCK_RAW, IPPROTO_RAW);
}

static int crypto_socket(void)
{
	return socket_of(AF_ALG, SOCK_SEQPACKET, 0);
}

/* unix(7): a raw one is a datagram socket, and that sends to any name. */
static int raw_unix_socket(void)
{
	return socket_of(AF_UNIX, SOCK_RAW, 0);
}

static int packet_socket(void)
{
	return socket_of(AF_PACKET, SOCK_RAW, 0);
}

static int vsock_socket(void)
{
	return socket_of(AF_VSOCK, SOCK_STREAM, 0);
}

static int reach_tcp_listener(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(env("TCP_PORT"))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	return s < 0 ? errno : TRY(connect(s, (struct sockaddr *)&a, sizeof(a)));
}

static int send_tcp_fast_open(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(env("TCP_PORT"))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	return s < 0 ? errno
		     : TRY(sendto(s, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&a, sizeof(a)));
}

/* The same to a socket that was connected before, and by the other calls that carry flags. */
static int fast_open_by_message(bool many)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(env("TCP_PORT"))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct iovec v = {(char[]){"x"}, 1};
	struct mmsghdr m = {.msg_hdr = {&a, sizeof(a), &v, 1, NULL, 0, 0}};
	int s = socket(AF_INET, SOCK_STREAM, 0);

	if (s < 0)
		return errno;
	return many ? TRY(sendmmsg(s, &m, 1, MSG_FASTOPEN))
		    : TRY(sendmsg(s, &m.msg_hdr, MSG_FASTOPEN));
}

static int message_fast_open(void)
{
	return fast_open_by_message(false);
}

static int messages_fast_open(void)
{
	return fast_open_by_message(true);
}

static int option(int level, int name, const void *value, socklen_t size)
{
	int s = socket(AF_INET, SOCK_STREAM, 0);

	return s < 0 ? errno : TRY(setsockopt(s, level, name, value, size));
}

static int fast_open_by_option(void)
{
	return option(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){1}, sizeof(int));
}

static int bind_to_any_address(void)
{
	return option(IPPROTO_IP, IP_FREEBIND, &(int){1}, sizeof(int));
}

static int choose_the_interface(void)
{
	return option(SOL_SOCKET, SO_BINDTODEVICE, "lo", 2);
}

static int mark_packets(void)
{
	return option(SOL_SOCKET, SO_MARK, &(int){7}, sizeof(int));
}

static int rewrite_a_connection(void)
{
	return option(IPPROTO_TCP, TCP_REPAIR, &(int){1}, sizeof(int));
}

/* What the tester's own UDP socket is sent: inside, the same address is the cell's, and nobody is
 * there to say so; a connected socket is told. */
static int send_udp_to_the_tester(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(env("UDP_PORT"))),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof(a)) < 0 || send(s, "x", 1, 0) < 0)
		return errno;
	return recv(s, &(char){0}, 1, MSG_DONTWAIT) < 0 && errno == ECONNREFUSED ? errno : 0;
}

static int reach_unix(int type, const char *path, bool abstract)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, type, 0);

	snprintf(a.sun_path + abstract, sizeof(a.sun_path) - abstract, "%s", path);
	return s < 0 ? errno
		     : TRY(connect(s, (struct sockaddr *)&a,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract +
					   strlen(path) + !abstract)));
}

static int reach_unix_listener(void)
{
	return reach_unix(SOCK_STREAM, env("UNIX_PATH"), false);
}

static int reach_abstract_listener(void)
{
	return reach_unix(SOCK_STREAM, env("ABSTRACT_NAME"), true);
}

/* A pair made by socketpair() still sends to any name. */
static int name_a_datagram_peer(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
		return errno;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", env("DATAGRAM_PATH"));
	return TRY(sendto(pair[0], "x", 1, MSG_DONTWAIT, (struct sockaddr *)&a, sizeof(a)));
}

static const struct attack attacks[] = {
	{"ia32_call", ia32_call, WORKS_NOWHERE},
	{"x32_call", x32_call, WORKS_NOWHERE},
	{"future_call", future_call, WORKS_NOWHERE},
	{"uring", uring, WORKS},
	{"user_namespace_by_clone3", user_namespace_by_clone3, WORKS},
	{"user_namespace_by_clone", user_namespace_by_clone, WORKS},
	{"user_namespace_by_unshare", user_namespace_by_unshare, WORKS},
	{"second_listener", second_listener, WORKS},
	{"mount_tmpfs", mount_tmpfs, WORKS},
	{"remount_writable", remount_writable, WORKS},
	{"tree_of_mounts", tree_of_mounts, WORKS},
	{"new_file_system", new_file_system, WORKS},
	{"change_root", change_root, WORKS},
	{"join_namespace", join_namespace, WORKS},
	{"write_to_own_program", write_to_own_program, WORKS_AS_ROOT},
	{"trace_child", trace_child, WORKS},
	{"read_memory_of_child", read_memory_of_child, WORKS},
	{"steal_descriptor_of_child", steal_descriptor_of_child, WORKS},
	{"signal_the_tester", signal_the_tester, WORKS},
	{"read_memory_of_tester", read_memory_of_tester, WORKS},
	{"priority_of_tester", priority_of_tester, WORKS},
	{"load_bpf", load_bpf, WORKS_AS_ROOT},
	{"perf", perf, WORKS_NOWHERE},
	{"user_fault", user_fault, WORKS},
	{"keyring", keyring, WORKS},
	{"executable_data", executable_data, WORKS},
	{"handle_of_name", handle_of_name, WORKS},
	{"quota", quota, WORKS_NOWHERE},
	{"diag_socket", diag_socket, WORKS},
	{"uevent_socket", uevent_socket, WORKS},
	{"see_an_interface_of_the_host", see_an_interface_of_the_host, WORKS_NOWHERE},
	{"mptcp_socket", mptcp_socket, WORKS_NOWHERE},
	{"sctp_socket", sctp_socket, WORKS_NOWHERE},
	{"ping_socket", ping_socket, WORKS_NOWHERE},
	{"raw_socket", raw_socket, WORKS_NOWHERE},
	{"crypto_socket", crypto_socket, WORKS_NOWHERE},
	{"raw_unix_socket", raw_unix_socket, WORKS},
	{"packet_socket", packet_socket, WORKS_NOWHERE},
	{"vsock_socket", vsock_socket, WORKS_NOWHERE},
	{"reach_tcp_listener", reach_tcp_listener, WORKS},
	{"send_tcp_fast_open", send_tcp_fast_open, WORKS},
	{"message_fast_open", message_fast_open, WORKS},
	{"messages_fast_open", messages_fast_open, WORKS},
	{"fast_open_by_option", fast_open_by_option, WORKS},
	{"bind_to_any_address", bind_to_any_address, WORKS},
	{"choose_the_interface", choose_the_interface, WORKS_NOWHERE},
	{"mark_packets", mark_packets, WORKS_AS_ROOT},
	{"rewrite_a_connection", rewrite_a_connection, WORKS_AS_ROOT},
	{"send_udp_to_the_tester", send_udp_to_the_tester, WORKS},
	{"reach_unix_listener", reach_unix_listener, WORKS},
	{"reach_abstract_listener", reach_abstract_listener, WORKS},
	{"name_a_datagram_peer", name_a_datagram_peer, WORKS},
};
#define N_ATTACKS (sizeof(attacks) / sizeof(attacks[0]))

/* ---- the tester --------------------------------------------------------------------------- */

/* What the attacks try to reach: one listener of each kind, told by the environment. */
struct listeners {
	char dir[PATH_MAX];
	int tcp, udp, stream, datagram, abstract;
};

static int listen_unix(int type, const char *path, bool abstract)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path + abstract, sizeof(a.sun_path) - abstract, "%s", path);
	assert_int_equal(bind(s, (struct sockaddr *)&a,
				 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract +
					     strlen(path) + !abstract)),
		0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(s, 16), 0);
	if (!abstract)
		assert_int_equal(chmod(path, 0777), 0);
	return s;
}

static void put(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(const char *name, const char *fmt, ...)
{
	char value[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	setenv(name, value, 1);
}

/* One but the loopback; none: the attack shows nothing here. */
static const char *an_interface(void)
{
	static char name[IF_NAMESIZE];
	struct if_nameindex *all = if_nameindex();

	for (size_t i = 0; all && all[i].if_index; i++) {
		if (strcmp(all[i].if_name, "lo") != 0)
			snprintf(name, sizeof(name), "%s", all[i].if_name);
	}
	if_freenameindex(all);
	return *name ? name : "none";
}

static void listeners_open(struct listeners *l)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(a);

	make_directory(l->dir, sizeof(l->dir));
	l->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(l->tcp, (struct sockaddr *)&a, size), 0);
	assert_int_equal(listen(l->tcp, 16), 0);
	assert_int_equal(getsockname(l->tcp, (struct sockaddr *)&a, &size), 0);
	put("TCP_PORT", "%d", ntohs(a.sin_port));
	l->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	a.sin_port = 0;
	assert_int_equal(bind(l->udp, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(l->udp, (struct sockaddr *)&a, &size), 0);
	put("UDP_PORT", "%d", ntohs(a.sin_port));
	put("INTERFACE", "%s", an_interface());
	put("UNIX_PATH", "%s/s", l->dir);
	put("DATAGRAM_PATH", "%s/d", l->dir);
	put("ABSTRACT_NAME", "warder-hostile-%d", (int)getpid());
	put("TESTER_PID", "%d", (int)getpid());
	l->stream = listen_unix(SOCK_STREAM, getenv("UNIX_PATH"), false);
	l->datagram = listen_unix(SOCK_DGRAM, getenv("DATAGRAM_PATH"), false);
	l->abstract = listen_unix(SOCK_STREAM, getenv("ABSTRACT_NAME"), true);
}

static void listeners_close(struct listeners *l)
{
	close(l->tcp);
	close(l->udp);
	close(l->stream);
	close(l->datagram);
	close(l->abstract);
	unlink(getenv("UNIX_PATH"));
	unlink(getenv("DATAGRAM_PATH"));
}

/* The directory of the listeners is in the view, so that reach and refusal are the cell's doing,
 * not a missing name's. */
static void no_attack_that_works_outside_works_inside(void **state)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	const char *self[] = {own_path(), "--attack", NULL};
	struct listeners l;
	char rule[PATH_MAX + 32];
	const char *options[] = {"-q", "-e", rule, "-e",
		"env TESTER_PID TCP_PORT UDP_PORT INTERFACE UNIX_PATH ABSTRACT_NAME DATAGRAM_PATH",
		NULL};
	const char *command[] = {own_path(), "--attack", NULL};

	listeners_open(&l);
	snprintf(rule, sizeof(rule), "allow rw %s/", l.dir);
	run_program(&outside, self);
	run_inside(&inside, l.dir, options, command);
	compare(attacks, N_ATTACKS, &outside, &inside);
	assert_int_equal(inside.status, 0);
	assert_int_equal(ledger_count(inside.ledger, "grant", NULL, NULL), 0);
	assert_int_equal(ledger_count(inside.ledger, "session", NULL, NULL), 1);
	outcome_free(&inside);
	listeners_close(&l);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_attack_that_works_outside_works_inside, fds_before, fds_after),
	};

	if (argc > 1 && !strcmp(argv[1], "--attack"))
		return attack_main(attacks, N_ATTACKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
