/* SPDX-License-Identifier: MIT */
/*
 * network.c - the cell's network: a namespace with a loopback, and where sockets lead out the
 * sockets that the dialer answers at.
 *
 * Runs in: a helper of the broker's, before its cage.  Trusts: the cell's description.
 *
 * Where sockets lead out, every address is local in the cell: a local default route on lo
 * (ip-route(8), "local"), so that the dialer can answer at the very address that was asked. Nothing
 * is reached by it: connect(2) is the broker's, and no packet leaves a namespace without an
 * interface.
 */
#include "common/fd.h"
#include "sandbox/abi.h"
#include "sandbox/layers.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SO_NETNS_COOKIE_ 71 /* Linux 5.14 */
#define PORT_DNS         53
#define LOOPBACK_INDEX   1 /* the first device of a namespace */

/* Of a namespace that routes nothing: RFC 5737 and RFC 3849, so that getaddrinfo(3) with
 * AI_ADDRCONFIG finds an address that is not loopback's. */
#define OWN_IPV4 "192.0.2.1"
#define OWN_IPV6 "2001:db8::1"

/* ---- lo, its addresses and routes ------------------------------------------------------------ */

static int loopback_up(int *ret_fd, struct failure *f)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	*ret_fd = fd;
	if (fd < 0 && errno == EAFNOSUPPORT) /* a kernel without IPv4 */
		return 0;
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return fail(f, -errno, "the cell's network: cannot bring up its loopback: %m");
	return 0;
}

/* A request of rtnetlink(7) with one attribute. */
struct request {
	struct nlmsghdr h;
	union {
		struct ifaddrmsg address;
		struct rtmsg route;
	};
	char attributes[128];
};

static void add_attribute(struct request *q, unsigned short type, const void *data, size_t size)
{
	struct rtattr *a = (void *)((char *)q + NLMSG_ALIGN(q->h.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(size);
	memcpy(RTA_DATA(a), data, size);
	q->h.nlmsg_len = NLMSG_ALIGN(q->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

/* Sends it and takes the kernel's answer. */
static int ask_kernel(int fd, struct request *q)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
		char more[256];
	} answer;
	ssize_t n;

	q->h.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	if (send(fd, q, q->h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < NLMSG_LENGTH(sizeof(answer.e)) || answer.h.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.e.error;
}

static int add_address(int fd, unsigned char family, const void *address, size_t size)
{
	struct request q = {
		.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(q.address)), .nlmsg_type = RTM_NEWADDR},
		.address =
			{
				.ifa_family = family,
				.ifa_prefixlen = (unsigned char)(size * 8),
				.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
				.ifa_index = LOOPBACK_INDEX,
			},
	};

	add_attribute(&q, IFA_LOCAL, address, size);
	return ask_kernel(fd, &q);
}

static int add_local_route(int fd, unsigned char family)
{
	const int lo = LOOPBACK_INDEX;
	struct request q = {
		.h = {.nlmsg_len = NLMSG_LENGTH(sizeof(q.route)), .nlmsg_type = RTM_NEWROUTE},
		.route =
			{
				.rtm_family = family,
				.rtm_table = RT_TABLE_LOCAL,
				.rtm_protocol = RTPROT_STATIC,
				.rtm_scope = RT_SCOPE_HOST,
				.rtm_type = RTN_LOCAL,
			},
	};

	add_attribute(&q, RTA_OIF, &lo, sizeof(lo));
	return ask_kernel(fd, &q);
}

/* What a kernel without that family says. */
static bool is_absent(int r)
{
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP || r == -EACCES || r == -ENODEV;
}

static int make_all_local(struct failure *f)
{
	struct in6_addr six;
	struct in_addr four;
	autofd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int r;

	if (fd < 0)
		return fail(f, -errno, "the cell's network: cannot make a netlink socket: %m");
	inet_pton(AF_INET, OWN_IPV4, &four);
	inet_pton(AF_INET6, OWN_IPV6, &six);
	r = add_address(fd, AF_INET, &four, sizeof(four));
	if (r == 0)
		r = add_local_route(fd, AF_INET);
	if (r < 0)
		return fail(f, r, "the cell's network: cannot make every address local: %m");
	r = add_address(fd, AF_INET6, &six, sizeof(six));
	if (r == 0)
		r = add_local_route(fd, AF_INET6);
	/* net.ipv6.conf.all.disable_ipv6, or no IPv6 at all: then the cell has none either. */
	if (r < 0 && !is_absent(r))
		return fail(f, r, "the cell's network: cannot make every IPv6 address local: %m");
	return 0;
}

/* Ports below 1024 are nobody's here: relays stand at the port that was asked, and a server in the
 * cell binds its own.  The file is of the namespace of who opens it. */
static void open_low_ports(void)
{
	autofd fd = open("/proc/sys/net/ipv4/ip_unprivileged_port_start", O_WRONLY | O_CLOEXEC);

	/* Without it relays to such ports are refused, with a sentence: nothing is weaker. */
	if (fd >= 0 && write(fd, "0", 1) < 0)
		return;
}

/* ---- sockets that stand there ---------------------------------------------------------------- */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static socklen_t local_address(int family, bool any, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};

	six.sin6_addr = any ? in6addr_any : in6addr_loopback;
	four.sin_addr.s_addr = htonl(any ? INADDR_ANY : INADDR_LOOPBACK);
	if (family == AF_INET6)
		memcpy(ret, &six, sizeof(six));
	else
		memcpy(ret, &four, sizeof(four));
	return family == AF_INET6 ? sizeof(six) : sizeof(four);
}

static int put_socket(struct cell_net *net, unsigned kind, int *fd)
{
	if (net->n_fds == CELL_NET_FDS_MAX)
		return -ENOSPC;
	net->fds[net->n_fds++] = fd_take(fd);
	net->n_of[kind]++;
	return 0;
}

/* One that is bound; a TCP one also listens. */
static int add_bound(
	struct cell_net *net, unsigned kind, int family, int type, bool any, uint16_t port)
{
	struct sockaddr_storage address;
	socklen_t size = local_address(family, any, port, &address);
	autofd fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (type == SOCK_DGRAM) {
		r = set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (r == 0 && family == AF_INET6)
			r = set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		/* Of an IPv6 socket too, for what comes to it by IPv4: ip(7). */
		if (r == 0 && (family == AF_INET || any))
			r = set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	}
	if (r == 0 && family == AF_INET6)
		r = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, !any);
	if (r == 0 && bind(fd, (struct sockaddr *)&address, size) < 0)
		r = -errno;
	if (r == 0 && type == SOCK_STREAM && listen(fd, 16) < 0)
		r = -errno;
	return r < 0 ? r : put_socket(net, kind, &fd);
}

static bool has_ipv6(void)
{
	struct sockaddr_storage address;
	socklen_t size = local_address(AF_INET6, false, 0, &address);
	autofd fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0;
}

/* In the order of enum dial_cell, common/dial.h. */
static int add_sockets(const struct cell_spec *spec, struct cell_net *net)
{
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	bool six = has_ipv6();
	int family = six ? AF_INET6 : AF_INET, r = 0;

	for (unsigned i = 0; r == 0 && i < 2 && (spec->sockets & CELL_SOCKETS_NAMES); i++) {
		r = add_bound(net, i, AF_INET, types[i], false, PORT_DNS);
		if (r == 0 && six)
			r = add_bound(net, i, AF_INET6, types[i], false, PORT_DNS);
	}
	/* A port that a rule names: 53 too, for its address is then more than loopback's; beside
	 * the name server's own, which gets what is for loopback. */
	for (size_t i = 0; r == 0 && i < spec->n_udp_ports; i++)
		r = add_bound(net, 2, family, SOCK_DGRAM, true, spec->udp_ports[i]);
	for (unsigned i = 0; r == 0 && i < CELL_SPARES; i++) {
		autofd fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		r = fd < 0 ? -errno : 0;
		if (r == 0 && six)
			r = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
		if (r == 0)
			r = put_socket(net, 3, &fd);
	}
	/* From here on nobody else is to share their ports. */
	for (size_t i = 0; r == 0 && i < net->n_fds; i++)
		r = set_int(net->fds[i], SOL_SOCKET, SO_REUSEADDR, 0);
	return r;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int lead_out(const struct cell_spec *spec, struct cell_net *net, struct failure *f)
{
	int r = make_all_local(f);

	if (r < 0)
		return r;
	open_low_ports();
	r = add_sockets(spec, net);
	return r < 0 ? fail(f, r, "the cell's network: cannot make the dialer's sockets there: %m")
		     : 0;
}

/* The namespace of a socket, without the walk through /proc; a kernel without IPv4 has none. */
static int open_namespace(int fd)
{
	return fd >= 0 ? ioctl(fd, SIOCGSKNS)
		       : open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

int cell_network(const struct cell_spec *spec, const struct cell_prep *prep, struct cell_ns *ns,
	struct cell_net *net, struct failure *f)
{
	socklen_t size = sizeof(net->cookie);
	autofd fd = -1;
	int r;

	if (prep->userns && setns(ns->fds[CELL_NS_USER], CLONE_NEWUSER) < 0)
		return fail(f, -errno, "namespaces: cannot enter the cell's user namespace: %m");
	if (unshare(CLONE_NEWNET) < 0)
		return fail(f, -errno, "the cell's network: cannot make its namespace: %m");
	r = loopback_up(&fd, f);
	if (r < 0)
		return r;
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE_, &net->cookie, &size) < 0)
		return fail(f, -errno,
			"the cell's network: cannot tell its sockets from others: %m; use Linux "
			"5.14 or newer");
	if (spec->sockets & CELL_SOCKETS_OUT)
		r = lead_out(spec, net, f);
	if (r < 0)
		return r;
	ns->fds[CELL_NS_NET] = open_namespace(fd);
	if (ns->fds[CELL_NS_NET] < 0)
		return fail(f, -errno, "the cell's network: cannot open its namespace: %m");
	return 0;
}
