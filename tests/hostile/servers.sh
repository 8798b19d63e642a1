#!/bin/sh
# SPDX-License-Identifier: MIT
# servers.sh - what a worker makes of a server's place outside, and what strangers make of it.
here=$(cd "$(dirname "$0")" && pwd)
e2e=$(dirname "$here")/e2e
[ -n "${IN_A_NETWORK_OF_ITS_OWN-}" ] || { here=$e2e; . "$e2e/daemons/enter.sh"; }
. "$here/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { skip "servers" "$python is missing; install python3"; finish; }
PYTHONPATH=$e2e/servers
PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH PYTHONDONTWRITEBYTECODE warder
cd "$dir" || exit 2
cat >cases.py <<'END'
from cell import *
from socket import AF_UNIX, SOCK_STREAM, SOL_SOCKET, socket
import ctypes, errno, os, signal, sys, threading
LIBC = ctypes.CDLL(None, use_errno=True)

# ---- UDP: whom a worker can write to --------------------------------------------------------------

c = Cell("allow bind udp 127.0.0.1:7000 udp 0.0.0.0:7001", "allow connect 127.0.0.1:7100")
victim = udp(("127.0.0.9", 7200)); victim.settimeout(0.1)
peer = udp(("127.0.0.5", 40001)); peer.connect(("127.0.0.1", 7000))
c("(s := bound(('127.0.0.1', 7000)), w := bound(('0.0.0.0', 7001)), o := bound(('127.0.0.1', 7002)))")
peer.send(b"hello"); c("heard(s)")
for name, line in (
        ("the_servers_own_socket", "s.sendto(b'stray', ('127.0.0.9', 7200))"),
        ("one_at_every_address", "w.sendto(b'stray', ('127.0.0.9', 7200))"),
        ("one_with_a_name_in_sendmsg", "s.sendmsg([b'stray'], [], 0, ('127.0.0.9', 7200))"),
        ("another_socket_of_the_cells", "o.sendto(b'stray', ('127.0.0.9', 7200))")):
    c(line)
    is_("%s_reaches_nobody_who_has_not_written" % name, error(victim.recv, 9), "timeout")
for name, line in (
        ("another_port_of_the_cells", "o.sendto(b'stray', ('127.0.0.5', 40001))"),
        ("another_servers_port", "w.sendto(b'stray', ('127.0.0.5', 40001))"),
        ("a_port_of_the_kernels_choice", "new().sendto(b'stray', ('127.0.0.5', 40001))")):
    c(line)
    c("s.sendto(b'right', ('127.0.0.5', 40001))")
    is_("from_%s_nothing_goes_to_a_servers_peer_and_from_its_own_it_does" % name, peer.recv(99), b"right")
c("s.sendto(b'stray', ('127.0.0.5', 40002))")
other = udp(("127.0.0.5", 40002)); other.settimeout(0.1)
is_("nor_to_another_port_of_it", error(other.recv, 9), "timeout")
is_("nor_does_connect_lead_to_anyone", c("new().connect(('10.9.8.7', 7200))"), "EACCES")
is_("of_a_servers_socket_neither", c("s.connect(('10.9.8.7', 7200))"), "EACCES")
c("(i := bound(('127.0.0.5', 40003)))")
both = udp(("127.0.0.5", 40003)); both.connect(("127.0.0.1", 7000)); both.send(b"mine")
peer.send(b"next"); is_("a_peer_whose_port_the_cell_has_is_not_heard", c("heard(s)"), (4, ("127.0.0.5", 40001)))
c("[i.close(), s.settimeout(0.2)]")
for _ in range(100): # the broker's copy of it may be closed a little later
    both.send(b"mine too")
    seen = c("heard(s)")
    if seen != "timeout": break
is_("and_is_when_it_has_it_no_more", seen, (8, ("127.0.0.5", 40003)))
while c("heard(s)") != "timeout": pass
c("s.settimeout(20)")
victim.sendto(b"I write first", ("127.0.0.1", 7000)); c("heard(s)")
c("s.sendto(b'answer', ('127.0.0.9', 7200))")
victim.settimeout(20)
is_("who_writes_is_answered", victim.recv(99), b"answer")

d = Cell("allow bind udp 127.0.0.1:7003 udp 0.0.0.0:7004 udp 127.0.0.1:7005 udp [::]:7006")
d("(s := bound(('127.0.0.1', 7003)))")
for at in ("127.0.0.5", 7004), ("127.0.0.1", 7005), ("127.0.0.5", 7006), ("127.0.0.5", 7008):
    squatter = udp(at); squatter.sendto(b"here", ("127.0.0.1", 7003)); squatter.close()
    is_("one_who_writes_from_%s_%d_is_heard" % at, d("heard(s)"), (4, at))
is_("and_has_what_no_rule_names", d("bound(('0.0.0.0', 7008))"), "EADDRINUSE")
is_("but_keeps_no_server_from_every_address", d("(w := bound(('0.0.0.0', 7004))).getsockname()"), ("0.0.0.0", 7004))
is_("nor_from_its_own", d("(v := bound(('127.0.0.1', 7005))).getsockname()"), ("127.0.0.1", 7005))
is_("nor_from_both_families", d("(u := bound(('::', 7006), socket.AF_INET6)).getsockname()[:2]"), ("::", 7006))
guest = udp(("127.0.0.5", 41000)); guest.sendto(b"hello", ("127.0.0.1", 7004))
is_("which_hears_others", d("heard(w)"), (5, ("127.0.0.5", 41000)))
is_("the_worker_ends", d.end(), 0)
is_("each_server_has_its_record", d.records(event="grant", op="bind", type="udp"), 4)
is_("and_none_failed", d.records(event="fail", op="bind"), 0)

# ---- strangers ------------------------------------------------------------------------------------

listener = socket(); listener.bind(("127.0.0.1", 7100)); listener.listen(5); listener.settimeout(20)
c("s.settimeout(0)")
strangers = [udp(("127.0.1.%d" % (i % 250 + 1), 0)) for i in range(700)]
stop = threading.Event()
def flood():
    while not stop.is_set():
        for x in strangers: x.sendto(b"flood", ("127.0.0.1", 7000))
t = threading.Thread(target=flood); t.start()
is_("while_strangers_flood_a_server_the_dialer_connects", c("new(type=socket.SOCK_STREAM).connect(('127.0.0.1', 7100))"), None)
is_("for_others", error(listener.accept), None)
is_("and_the_worker_serves_another", c("w.getsockname()"), ("0.0.0.0", 7001))
stop.set(); t.join()
def served(p, text):
    p.settimeout(0.2)
    for _ in range(100):
        p.send(text)
        c("[[s.sendto(d, a) for d, a in [s.recvfrom(99)]] for _ in range(300)]") # as much as there is
        why = error(p.recv, 99)
        if why is None: return True
    return why
is_("who_was_answered_is_still_known", served(peer, b"and I?"), True)
new_peer = udp(("127.0.0.8", 40003)); new_peer.connect(("127.0.0.1", 7000))
is_("and_a_new_one_comes_to_its_turn", served(new_peer, b"me too"), True)
c("s.connect(('127.0.0.8', 40003))")
for i in range(300): peer.send(b"refused inside")
c("s.settimeout(0.2)")
for _ in range(100): # a burst may have filled what waits outside
    new_peer.send(b"still me")
    seen = c("s.recv(99)")
    if seen == b"still me": break
is_("a_servers_socket_that_is_connected_to_one_keeps_its_place", seen, b"still me")
is_("the_worker_ends", c.end(), 0)
is_("of_all_this_there_are_two_records_of_bind", c.records(event="grant", op="bind", type="udp"), 2)
is_("and_none_of_a_datagram", c.records(event="grant", op="send"), 0)

c = Cell("allow bind udp 127.0.0.1:7006")
c("(s := bound(('127.0.0.1', 7006)))")
peer.connect(("127.0.0.1", 7006)); peer.send(b"known"); c("heard(s)")
def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f: return [int(x) for x in f.read().split()]
def commands(pids):
    for pid in pids:
        with open("/proc/%d/cmdline" % pid) as f: yield f.read().split("\0")[:3], pid
def maker_of(broker):
    found = dict((tuple(words), pid) for words, pid in commands(children(broker)) if words[0] == "warder-dialer")
    found = [pid for d in found.values() for words, pid in commands(children(d)) if words[2] == "maker"]
    return found[0] if found else None
maker = maker_of(c.worker.pid)
is_("what_makes_sockets_is_there", maker is None, False)
os.kill(maker, signal.SIGSTOP)
for x in strangers[:200]: x.sendto(b"new", ("127.0.0.1", 7006))
peer.send(b"I am known")
def until(length):
    for _ in range(300):
        seen = c("heard(s)")
        if seen == "timeout" or seen[0] == length: return seen
is_("where_it_cannot_who_is_known_is_heard", until(10), (10, ("127.0.0.5", 40001)))
os.kill(maker, signal.SIGCONT)
c("s.settimeout(0.2)")
def heard_at_last(x):
    for _ in range(100):
        x.sendto(b"a new one", ("127.0.0.1", 7006))
        if until(9) == (9, x.getsockname()): return True
is_("and_where_it_can_again_new_ones_are", heard_at_last(udp(("127.0.0.7", 40001))), True)
is_("the_worker_ends", c.end(), 0)
is_("by_one_record", c.records(event="grant", op="bind"), 1)

# ---- where the dialer's sockets are ---------------------------------------------------------------

def cookie(s): return int.from_bytes(s.getsockopt(SOL_SOCKET, 71, 8), sys.byteorder) # SO_NETNS_COOKIE
# Of every internet socket of a process: whose network it is of.
def networks(pid):
    process, seen = os.pidfd_open(pid), []
    for fd in os.listdir("/proc/%d/fd" % pid):
        copy = LIBC.syscall(438, process, int(fd), 0) # pidfd_getfd
        if copy < 0 and ctypes.get_errno() == errno.EBADF: continue # closed meanwhile
        if copy < 0: raise PermissionError(ctypes.get_errno(), "pidfd_getfd")
        if not os.readlink("/proc/self/fd/%d" % copy).startswith("socket:"):
            os.close(copy); continue
        with socket(fileno=copy) as s:
            if s.family != AF_UNIX: seen.append(cookie(s))
    os.close(process)
    return seen
def dialer_of(broker):
    for pid in open("/proc/%d/task/%d/children" % (broker, broker)).read().split():
        with open("/proc/%s/cmdline" % pid) as f:
            if f.read().startswith("warder-dialer"): return int(pid)

own = cookie(udp())
c = Cell("allow bind udp 127.0.0.1:7000", "allow connect udp 10.9.8.7:7300 h.test.example:443 127.0.0.1:7100")
inside = c("int.from_bytes(new().getsockopt(socket.SOL_SOCKET, 71, 8), sys.byteorder)")
try:
    for _ in range(300): # until it has read its first message
        seen = networks(dialer_of(c.worker.pid))
        if len(seen) > 3: break
        threading.Event().wait(0.1)
except PermissionError as e: seen = None
if seen is None:
    is_("a_dialer_of_ones_own_user_shows_nobody_but_root_what_it_has", os.getuid() == 0, False)
else:
    is_("the_cells_network_is_not_this_one", own == inside, False)
    is_("of_it_is_all_that_the_dialer_starts_with", set(seen), {inside})
    is_("which_is_something", len(seen) > 3, True)
    c("(s := bound(('127.0.0.1', 7000)))")
    peer.connect(("127.0.0.1", 7000)); peer.send(b"hello"); c("heard(s)")
    seen = networks(dialer_of(c.worker.pid))
    is_("a_server_has_one_outside", seen.count(own), 1)
    is_("and_all_else_inside", set(seen), {own, inside})
is_("the_worker_ends", c.end(), 0)
is_("one_bind_is_in_the_book_at_most", c.records(event="grant", op="bind") <= 1, True)

# ---- the place ------------------------------------------------------------------------------------

taken = udp(("127.0.0.1", 7003)); name = socket(AF_UNIX, SOCK_STREAM); name.bind("\0warder.taken")
shares = udp(); shares.setsockopt(1, 2, 1); shares.bind(("127.0.0.1", 7004))
c = Cell("allow bind udp 127.0.0.1:7000 udp 127.0.0.1:7003 udp 127.0.0.1:7004 udp 0.0.0.0/0:7005 @warder.taken @warder.mine",
         "deny bind udp 127.0.0.2:7005")
is_("what_the_host_has_is_not_taken", c("(x := bound(('127.0.0.1', 7003)))"), "EADDRINUSE")
is_("nor_shared", c("[(x := new()).setsockopt(1, 2, 1), x.bind(('127.0.0.1', 7004))]"), "EADDRINUSE")
c("(s := new(), s.setsockopt(1, 2, 1), s.setsockopt(1, 15, 1), s.bind(('127.0.0.1', 7000)))")
thief = udp(); thief.setsockopt(1, 2, 1); thief.setsockopt(1, 15, 1)
is_("nor_is_what_the_cell_has_whatever_it_has_set", error(thief.bind, ("127.0.0.1", 7000)), "EADDRINUSE")
is_("a_second_one_of_the_cells_is_its_own_kernels_to_refuse", c("bound(('127.0.0.1', 7000))"), "EADDRINUSE")
peer.connect(("127.0.0.1", 7000)); peer.send(b"hello")
is_("which_leaves_the_first_one", c("heard(s)"), (5, ("127.0.0.5", 40001)))
is_("bound_once_is_bound", c("s.bind(('127.0.0.1', 7003))"), "EINVAL")
is_("another_port_is_no_rules", c("(x := bound(('127.0.0.1', 7009))).getsockname()"), ("127.0.0.1", 7009))
is_("and_is_not_heard", until_refused((q := udp(), q.connect(("127.0.0.1", 7009)))[0]), "ECONNREFUSED")
is_("a_group_is_not_bound", c("bound(('224.0.0.1', 7005))"), "EADDRNOTAVAIL")
is_("nor_everybodys_address", c("bound(('255.255.255.255', 7005))"), "EADDRNOTAVAIL")
is_("nor_a_networks", c("bound(('127.255.255.255', 7005))"), "EACCES")
is_("nor_what_is_not_the_hosts", c("bound(('10.9.8.7', 7005))"), "EADDRNOTAVAIL")
is_("nor_what_a_rule_denies", c("bound(('127.0.0.2', 7005))"), "EACCES")
is_("others_of_that_rule_are", c("(y := bound(('127.0.0.3', 7005))).getsockname()"), ("127.0.0.3", 7005))

stream = "socket.AF_UNIX, socket.SOCK_STREAM"
is_("a_name_that_the_host_has_is_not_taken", c("bound('\\0warder.taken', %s)" % stream), "EADDRINUSE")
is_("one_of_the_rules_is", c("(n := bound('\\0warder.mine', %s)).getsockname()" % stream), b"\0warder.mine")
is_("once", c("n.bind('\\0warder.taken')"), "EINVAL")
is_("it_connects_to_no_other", c("n.connect('\\0warder.taken')"), "EACCES")
c("n.listen(1)")
is_("nor_when_it_listens", c("n.connect('\\0warder.mine')"), "EINVAL")
before = set(names())
c("[(a := new(%s)).bind(''), a.listen(1)]" % stream)
is_("a_name_of_the_kernels_choice_is_the_cells", set(names()) - before, set())
c("[(b := new(%s)).bind('\\0warder.other'), b.listen(1)]" % stream)
is_("as_is_another_than_the_rules", set(names()) - before, set())
is_("of_which_the_hosts_is_not_among", "@warder.mine" in before, True)
is_("what_two_processes_hold_is_not_put_out", c(
    "[(h := new(%s)), (pair := os.pipe()), (p := os.fork()) or (os.close(pair[1]), os.read(pair[0], 1), os._exit(0)), h.bind('\\0warder.mine')]" % stream), "EACCES")
c("os.close(pair[1])")
c("n.close()")
is_("the_worker_ends", c.end(), 0)
is_("the_refusals_stand_in_the_book", c.records(event="fail", op="bind", local="udp 127.0.0.1:7003", error="EADDRINUSE"), 1)
is_("and_what_a_rule_denied", c.records(event="deny", op="bind", local="udp 127.0.0.2:7005"), 1)
finish()
END
"$python" cases.py >"$dir/said" 2>&1
status=$?
cat "$dir/said"
exit $status
