/* SPDX-License-Identifier: MIT */
/*
 * escape_sockets.c - a worker that tries to reach others by sockets.
 *
 * Every attack is run outside too, where it must work, or the cell's refusal would show nothing.
 * Whom a worker wants to reach is the broker's to hear, and each no is in the book; what the filter
 * refuses by its arguments has no record.
 */
#include "tests/hostile/inside.h"
#include "broker/socket_options.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

/* 0 or errno of a call that returns -1 on failure. */
#define TRY(call) ((call) < 0 ? errno : 0)

static const char *env(const char *name)
{
	const char *v = getenv(name);

	return v ? v : "";
}

/* ---- what kinds there are -------------------------------------------------------------------- */

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

/* The loopback is to be up, as it is: who may say so may say more. */
static int configure_the_loopback(void)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} ask = {.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = RTM_NEWLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.info = {.ifi_index = (int)if_nametoindex("lo"),
			.ifi_flags = IFF_UP,
			.ifi_change = IFF_UP}};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr said;
		char rest[512];
	} answer;
	int s = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (s < 0 || send(s, &ask, sizeof(ask), 0) < 0 || recv(s, &answer, sizeof(answer), 0) < 0)
		return errno;
	return answer.head.nlmsg_type == NLMSG_ERROR ? -answer.said.error : EPROTO;
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

static int be_any_address(void)
{
	return option(IPPROTO_IP, IP_TRANSPARENT, &(int){1}, sizeof(int));
}

static int join_a_group(void)
{
	const struct ip_mreqn group = {.imr_multiaddr.s_addr = htonl(0xe0000171), .imr_ifindex = 1};

	return option(IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group));
}

static int attach_a_filter(void)
{
	struct sock_filter all[] = {{BPF_RET | BPF_K, 0, 0, 0xffff}};
	const struct sock_fprog program = {1, all};

	return option(SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static bool may_be_set(int level, int name)
{
	size_t n;
	const struct socket_option *o = socket_options(&n);

	for (size_t i = 0; i < n; i++) {
		if (o[i].level == level && o[i].option == name)
			return true;
	}
	return false;
}

/* Each option that the table of those which may be set has not, of each kind of socket. */
static int set_what_is_in_no_table(void)
{
	static const int levels[] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6,
		IPPROTO_RAW, SOL_NETLINK};
	static const int kinds[][2] = {{AF_INET, SOCK_STREAM}, {AF_INET6, SOCK_STREAM},
		{AF_INET, SOCK_DGRAM}, {AF_UNIX, SOCK_STREAM}, {AF_NETLINK, SOCK_RAW}};
	int why = ENOTSUP;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		int s = socket(kinds[k][0], kinds[k][1], 0);

		for (size_t l = 0; s >= 0 && l < sizeof(levels) / sizeof(*levels); l++) {
			for (int name = 0; name < 256; name++) {
				if (may_be_set(levels[l], name))
					continue;
				if (setsockopt(s, levels[l], name, &(int){1}, sizeof(int)) == 0)
					return 0;
				why = errno;
			}
		}
		close(s);
	}
	return why;
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
	{"diag_socket", diag_socket, WORKS},
	{"uevent_socket", uevent_socket, WORKS},
	{"configure_the_loopback", configure_the_loopback, WORKS_AS_ROOT},
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
	{"be_any_address", be_any_address, WORKS_AS_ROOT},
	{"join_a_group", join_a_group, WORKS_NOWHERE},
	{"attach_a_filter", attach_a_filter, WORKS_AS_ROOT},
	{"set_what_is_in_no_table", set_what_is_in_no_table, WORKS},
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

/* UDP, which inside reaches nobody, is no denial; each of these is one in the book, with whom the
 * worker wanted to reach. */
static void assert_denied(const struct outcome *inside)
{
	char tcp[32], abstract[64];

	snprintf(tcp, sizeof(tcp), "127.0.0.1:%s", getenv("TCP_PORT"));
	snprintf(abstract, sizeof(abstract), "@%s", getenv("ABSTRACT_NAME"));
	assert_int_equal(ledger_count(inside->ledger, "deny", "peer", tcp), 1);
	assert_int_equal(ledger_count(inside->ledger, "deny", "peer", abstract), 1);
	assert_int_equal(ledger_count(inside->ledger, "deny", "asked", getenv("UNIX_PATH")), 1);
	assert_int_equal(ledger_count(inside->ledger, "deny", "op", "connect"), 3);
}

/* The directory of the listeners is in the view, so that reach and refusal are the cell's doing,
 * not a missing name's. */
static void try_in(const char *root)
{
	static struct outcome outside = OUTCOME_INIT, inside = OUTCOME_INIT;
	const char *command[] = {own_path(), "--attack", NULL};
	struct listeners l;
	char rule[PATH_MAX + 32];
	const char *options[] = {"-q", "-e", rule, "-e",
		"env TCP_PORT UDP_PORT INTERFACE UNIX_PATH ABSTRACT_NAME DATAGRAM_PATH", "--root",
		root, "--accept", "missing uid", NULL};

	listeners_open(&l);
	snprintf(rule, sizeof(rule), "allow rw %s/", l.dir);
	run_program(&outside, command);
	run_inside(&inside, l.dir, options, command);
	compare(attacks, N_ATTACKS, &outside, &inside);
	assert_int_equal(inside.status, 0);
	assert_int_equal(ledger_count(inside.ledger, "grant", NULL, NULL), 0);
	assert_int_equal(ledger_count(inside.ledger, "session", NULL, NULL), 1);
	assert_denied(&inside);
	outcome_free(&inside);
	listeners_close(&l);
}

static void nobody_is_reached_from_inside(void **state)
{
	try_in("view");
}

/* Where no namespace hides them. */
static void nobody_is_reached_from_the_hosts_root(void **state)
{
	try_in("host");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			nobody_is_reached_from_inside, fds_before, fds_after),
		cmocka_unit_test_setup_teardown(
			nobody_is_reached_from_the_hosts_root, fds_before, fds_after),
	};

	if (argc > 1 && !strcmp(argv[1], "--attack"))
		return attack_main(attacks, N_ATTACKS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
