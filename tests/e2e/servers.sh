#!/bin/sh
# SPDX-License-Identifier: MIT
# servers.sh - servers in a cell that are reached from outside: UDP, and abstract names.
#
# Everything runs in a network of its own, so that ports and names are nobody else's.
here=$(cd "$(dirname "$0")" && pwd)
[ -n "${IN_A_NETWORK_OF_ITS_OWN-}" ] || . "$here/daemons/enter.sh"
. "$here/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { skip "servers" "$python is missing; install python3"; finish; }
PYTHONPATH=$here/servers
PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE warder
cat >cases.py <<'END'
from cell import *
from socket import AF_INET6, AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, socket
import os, select, socket as socket_, struct
user = 65534 if os.getuid() == 0 else os.getuid()

# ---- UDP ------------------------------------------------------------------------------------------

c = Cell("allow bind udp 127.0.0.1:7000 udp 0.0.0.0:7001 udp 127.0.0.1:0")
is_("a UDP server is bound where its rule says", c("(s := bound(('127.0.0.1', 7000))).getsockname()"), ("127.0.0.1", 7000))
a = udp(("127.0.0.5", 40001)); a.connect(("127.0.0.1", 7000)); a.send(b"hello")
is_("it sees who has written", c("heard(s)"), (5, ("127.0.0.5", 40001)))
is_("and answers", c("s.sendto(b'answer', ('127.0.0.5', 40001))"), 6)
is_("from its own address", a.recv(99), b"answer")
b = udp(("127.0.0.6", 53)); b.sendto(b"from a low port", ("127.0.0.1", 7000))
is_("a peer's port may be any", c("heard(s)"), (15, ("127.0.0.6", 53)))
is_("two peers are told apart", c("[s.sendto(x.encode(), (x, p)) for x, p in (('127.0.0.6', 53), ('127.0.0.5', 40001))]"), [9, 9])
is_("each has its own answer", (a.recv(99), b.recvfrom(99)), (b"127.0.0.5", (b"127.0.0.6", ("127.0.0.1", 7000))))
a.send(b"y" * 60000)
is_("a large datagram comes whole", c("heard(s)"), (60000, ("127.0.0.5", 40001)))
is_("one leaves whole", c("s.sendto(b'z' * 60000, ('127.0.0.5', 40001))"), 60000)
is_("as large", len(a.recv(70000)), 60000)
a.send(b"")
is_("an empty one is one too", c("heard(s)"), (0, ("127.0.0.5", 40001)))

is_("a server at every address", c("(w := bound(('0.0.0.0', 7001))).getsockname()"), ("0.0.0.0", 7001))
d = udp(("127.0.0.7", 40002)); d.connect(("127.0.0.3", 7001)); d.send(b"hello")
is_("hears of any of them", c("heard(w)"), (5, ("127.0.0.7", 40002)))
c("w.sendto(b'from there', ('127.0.0.7', 40002))")
is_("and answers from the one that was written to", d.recv(99), b"from there")

port = c("(z := bound(('127.0.0.1', 0))).getsockname()[1]")
e = udp(); e.connect(("127.0.0.1", port)); e.send(b"hello")
is_("a port of the kernel's choice is the same inside and outside", c("heard(z)"), (5, e.getsockname()))

is_("who closes it", c("s.close()"), None)
is_("is heard no more: the port is free when the next one has written", until_refused(a), "ECONNREFUSED")
f = udp(("127.0.0.1", 7000)); f.close()
is_("and is bound again as before", c("(s := bound(('127.0.0.1', 7000))).getsockname()"), ("127.0.0.1", 7000))
g = udp(); g.connect(("127.0.0.1", 7000)); g.send(b"again")
is_("then it hears again", c("heard(s)"), (5, g.getsockname()))
is_("at once after it was closed too", c("[s.close(), (s := bound(('127.0.0.1', 7000))).getsockname()][1]"), ("127.0.0.1", 7000))
g.send(b"twice")
is_("where nobody has written meanwhile", c("heard(s)"), (5, g.getsockname()))
c("(k := select.epoll()).register(s, select.EPOLLIN)"); g.send(b"event")
is_("epoll tells of it", c("[e for _, e in k.poll(20)]"), [select.EPOLLIN])
h = [udp(("127.0.1.%d" % (i + 1), 40000)) for i in range(200)]
for x in h: x.sendto(b"at once", ("127.0.0.1", 7000))
is_("two hundred who come at once are all heard", c("len({heard(s) for _ in range(200)})"), 200)
is_("the worker ends", c.end(), 0)
is_("each bind stands in the book", c.records(event="grant", op="bind", type="udp", local="udp 127.0.0.1:7000"), 3)
is_("with the rule that gave it", c.records(event="grant", op="bind", local="udp 0.0.0.0:7001", rule=c.policy + ":1"), 1)
is_("and the port that it had", c.records(event="grant", op="bind", local="udp 127.0.0.1:%d" % port), 1)

# One socket of a client's, and several servers.
c = Cell("allow bind udp 127.0.0.1:7000 udp 127.0.0.1:7001 udp 0.0.0.0:7002 udp 0.0.0.0:7003")
c("(s := [bound(('127.0.0.1', 7000)), bound(('127.0.0.1', 7001)), bound(('0.0.0.0', 7002)), bound(('0.0.0.0', 7003))])")
a = udp(("127.0.0.5", 40010))
for i in range(3): a.sendto(b"to %d" % i, ("127.0.0.1", 7000 + i))
is_("one client is heard by each server that it has written to", c("[heard(x) for x in s[:3]]"), [(4, ("127.0.0.5", 40010))] * 3)
c("[x.sendto(b'answer', ('127.0.0.5', 40010)) for x in (s[3], *s[:3])]")
is_("and answered by each, and by no other", [a.recvfrom(99) for _ in range(3)], [(b"answer", ("127.0.0.1", 7000 + i)) for i in range(3)])
c("s[1].close()")
def one_is_gone():
    for _ in range(200):
        a.sendto(b"anyone?", ("127.0.0.1", 7001))
        f = udp()
        if error(f.bind, ("127.0.0.1", 7001)) is None: return True
        select.select([], [], [], 0.1)
is_("where one is closed its port is free when that has been written to", one_is_gone(), True)
c("[s[i].sendto(b'still', ('127.0.0.5', 40010)) for i in (0, 2)]")
is_("while the others answer on, without being asked", [a.recvfrom(99) for _ in range(2)], [(b"still", ("127.0.0.1", 7000)), (b"still", ("127.0.0.1", 7002))])
is_("the worker ends", c.end(), 0)
is_("each server has its record", c.records(event="grant", op="bind", type="udp"), 4)

# What a server outside would hear, or send: the control is such a one.
c = Cell("allow bind udp 0.0.0.0:7000")
c("(s := bound(('0.0.0.0', 7000)))")
group = socket_.inet_aton("239.1.2.3") + socket_.inet_aton("127.0.0.1")
control = udp(("0.0.0.0", 7001)); control.setsockopt(0, socket_.IP_ADD_MEMBERSHIP, group)
a = udp(("127.0.0.1", 40020)); a.setsockopt(0, socket_.IP_MULTICAST_IF, group[4:])
a.setsockopt(SOL_SOCKET, socket_.SO_BROADCAST, 1); a.setsockopt(SOL_SOCKET, socket_.SO_BINDTODEVICE, b"lo")
c("s.setsockopt(0, socket.IP_ADD_MEMBERSHIP, %r)" % group)
for to in "239.1.2.3", "255.255.255.255":
    a.sendto(b"to all", (to, 7001)); a.sendto(b"to all", (to, 7000)); a.sendto(b"to one", ("127.0.0.1", 7000))
    is_("control: a server outside hears what is sent to %s" % to, control.recv(99), b"to all")
    is_("one in a cell hears the next that is sent to itself", c("s.recvfrom(99)"), (b"to one", ("127.0.0.1", 40020)))
if os.getuid() == 0: # who may shorten the path
    control.setsockopt(0, 10, 2) # IP_MTU_DISCOVER, IP_PMTUDISC_DO: not cut into fragments
    os.system("ip link set lo mtu 1500")
    is_("control: where the path takes 1500 bytes a larger one is not sent", error(control.sendto, b"x" * 3000, ("127.0.0.1", 40020)), "EMSGSIZE")
    c("[s.sendto(b'x' * n, ('127.0.0.1', 40020)) for n in (3000, 5)]")
    is_("nor is an answer, which is lost", len(a.recv(9000)), 5)
    os.system("ip link set lo mtu 65536")
    c("s.sendto(b'x' * 3000, ('127.0.0.1', 40020))")
    is_("where it takes it it comes", len(a.recv(9000)), 3000)
control.close()
is_("the worker ends", c.end(), 0)

# One client after the other, each of whom asks once and is gone, as those of a name server's.
c = Cell("allow bind udp 127.0.0.1:7000")
c("(s := bound(('127.0.0.1', 7000))).settimeout(0)")
def asks():
    p = udp(); p.settimeout(0.5); p.connect(("127.0.0.1", 7000))
    for _ in range(10): # where there is no room the question is lost, as datagrams may be
        p.send(b"question")
        select.select([], [], [], 0.001)
        c("[s.sendto(b'answer', s.recvfrom(99)[1]) for _ in range(9)]")
        if error(p.recv, 99) is None: return True
is_("more clients than there is room for are answered, one after the other", [i for i in range(600) if not asks()], [])
is_("the worker ends", c.end(), 0)
is_("by one record", c.records(event="grant", op="bind"), 1)

c = Cell("allow bind udp 127.0.0.1:0")
is_("servers that come and go find room", c("[bound(('127.0.0.1', 0)).close() for _ in range(100)][0]"), None)
is_("as many as may be at once", c("len(all_ := [bound(('127.0.0.1', 0)) for _ in range(32)])"), 32)
is_("and no more", c("bound(('127.0.0.1', 0))"), "ENOBUFS")
ports = c("[x.getsockname()[1] for x in all_]")
is_("until one is closed", c("[all_.pop(7).close(), all_.append(bound(('127.0.0.1', 0)))][0]"), None)
f = udp(("127.0.0.1", ports[7])); f.close()
is_("whose port is free then", f.fileno(), -1)
g = udp(); g.sendto(b"hello", ("127.0.0.1", ports[8]))
is_("another keeps its own", c("heard(all_[7])"), (5, ("127.0.0.1", g.getsockname()[1])))
is_("the worker ends", c.end(), 0)
is_("each of them stands in the book", c.records(event="grant", op="bind", type="udp"), 100 + 32 + 1)
is_("and the one that was not had", c.records(event="fail", op="bind", error="ENOBUFS"), 1)

c = Cell("allow bind udp [::1]:7000 udp [::]:7001 udp [2001:db8::7]:7002")
if c("(s := bound(('::1', 7000), socket.AF_INET6)).getsockname()[:2]") == ("::1", 7000):
    a = udp(("::1", 40001), AF_INET6); a.connect(("::1", 7000)); a.send(b"hello")
    is_("by IPv6 it is the same", c("heard(s)"), (5, ("::1", 40001)))
    c("s.sendto(b'answer', ('::1', 40001))"); is_("both ways", a.recv(99), b"answer")
    is_("a socket of both families", c("(w := bound(('::', 7001), socket.AF_INET6)).getsockname()[:2]"), ("::", 7001))
    a = udp(("127.0.0.5", 40001)); a.connect(("127.0.0.3", 7001)); a.send(b"hello")
    is_("hears IPv4", c("heard(w)"), (5, ("::ffff:127.0.0.5", 40001)))
    c("w.sendto(b'answer', ('::ffff:127.0.0.5', 40001))"); is_("and answers by it", a.recv(99), b"answer")
    a = udp(None, AF_INET6); a.connect(("::1", 7001)); a.send(b"hello")
    is_("and IPv6", c("heard(w)"), (5, a.getsockname()[:2]))
    is_("an address of the host's that is not the loopback's is bound", c("(x := bound(('2001:db8::7', 7002), socket.AF_INET6)).getsockname()[:2]"), ("2001:db8::7", 7002))
    a = udp(("2001:db8::7", 40003), AF_INET6); a.connect(("2001:db8::7", 7002)); a.send(b"hello")
    is_("and served", c("heard(x)"), (5, ("2001:db8::7", 40003)))
    c("x.sendto(b'answer', ('2001:db8::7', 40003))"); is_("from there", a.recv(99), b"answer")
    c("x.close()"); is_("its port is free when it is closed and the next one has written", until_refused(a), "ECONNREFUSED")
    c.end()
    is_("it stands in the book", c.records(event="grant", op="bind", type="udp", local="udp [2001:db8::7]:7002"), 1)
else:
    print("ok %d - IPv6 # SKIP this kernel has none" % (n + 1)); import cell; cell.n += 1
c.end()

seen = []
for rule in "allow bind udp 127.0.0.1:7000", "allow bind 127.0.0.1:7000":
    c = Cell("tasks 5", rule); seen.append(c("forks()")); c.end()
is_("what makes sockets for the server is not among the worker's tasks", seen, [4, 4])

# ---- abstract names -------------------------------------------------------------------------------

def client(name, type=SOCK_STREAM):
    s = socket(AF_UNIX, type); s.settimeout(20); s.connect("\0" + name); return s
def creds(s):
    return struct.unpack("3i", s.getsockopt(SOL_SOCKET, 17, 12))[1]

c = Cell('allow bind @warder.one "@warder two"')
c("(s := new(socket.AF_UNIX, socket.SOCK_STREAM), k := select.epoll(), k.register(s, select.EPOLLIN))")
is_("a name that a rule gives is bound", c("s.bind('\\0warder.one')"), None)
is_("it is the socket's", c("s.getsockname()"), b"\0warder.one")
is_("and of the host", "@warder.one" in names(), True)
is_("nobody is let in before it listens", error(client, "warder.one"), "ECONNREFUSED")
is_("it listens", c("s.listen(5)"), None)
is_("again too", c("s.listen(9)"), None)
a = client("warder.one")
is_("who comes meets the worker's user", creds(a), user)
is_("and is seen by who watched it before", c("[e for _, e in k.poll(20)]"), [select.EPOLLIN])
is_("is accepted", c("(p := s.accept()[0]).send(b'served')"), 6)
is_("and served", a.recv(99), b"served")
is_("by who is seen as itself", c("struct.unpack('3i', p.getsockopt(1, 17, 12))[0] >= 0"), True)
is_("packets, at a name with a blank", c("(q := bound('\\0warder two', socket.AF_UNIX, socket.SOCK_SEQPACKET)).listen(5)"), None)
a = client("warder two", SOCK_SEQPACKET); a.send(b"one"); a.send(b"two")
is_("keep their bounds", c("[(p := q.accept()[0]).recv(99), p.recv(99)]"), [b"one", b"two"])
is_("a name without a rule is bound inside", c("(o := bound('\\0warder.three', socket.AF_UNIX, socket.SOCK_STREAM)).listen(5)"), None)
is_("where the cell meets it", c("new(socket.AF_UNIX, socket.SOCK_STREAM).connect('\\0warder.three')"), None)
is_("and nobody else", error(client, "warder.three"), "ECONNREFUSED")
is_("one that a rule gives is not met inside", c("new(socket.AF_UNIX, socket.SOCK_STREAM).connect('\\0warder.one')"), "ECONNREFUSED")
c("[x.close() for x in (s, k, q, p)]")
is_("who is closed leaves no name", "@warder.one" in names(), False)
is_("the worker ends", c.end(), 0)
is_("the name stands in the book", c.records(event="grant", op="bind", type="unix", socket="stream", local="@warder.one", rule=c.policy + ":1"), 1)
is_("and that it listens", c.records(event="grant", op="listen", type="unix", local="@warder.one"), 1)
is_("of packets too", c.records(event="grant", op="bind", socket="seqpacket", local="@warder two"), 1)
is_("what is inside does not", c.records(local="@warder.three"), 0)

c = Cell("root host", "accept missing uid", "allow rw /**", "allow bind @warder.host")
is_("in root host a name is the rule's", c("(s := bound('\\0warder.host', socket.AF_UNIX, socket.SOCK_STREAM)).listen(5)"), None)
a = client("warder.host")
is_("and is served", c("s.accept()[0].send(b'served')"), 6)
is_("there too", a.recv(99), b"served")
is_("no other name is had", c("bound('\\0warder.other', socket.AF_UNIX, socket.SOCK_STREAM)"), "EACCES")
c.end()
finish()
END
"$python" cases.py
exit
