#!/bin/sh
# SPDX-License-Identifier: MIT
# ipv6.sh - IPv6 from a cell: rules by address, by network and by name, the spellings of IPv4 among
# them, both doors, and what a rule of the other family does not give.
#
# Everything runs in a network of its own, where 2001:db8::7 is this host's too.
here=$(cd "$(dirname "$0")" && pwd)
[ -n "${IN_A_NETWORK_OF_ITS_OWN-}" ] || . "$here/daemons/enter.sh"
. "$here/lib.sh"

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
python=/usr/bin/python3
for program in "$python" dnsmasq; do
	command -v "$program" >/dev/null || { skip "IPv6" "needs $program"; finish; }
done
[ -n "$(ip -6 address show to 2001:db8::7 2>/dev/null)" ] || {
	skip "IPv6" "this kernel has none, or it is disabled"
	finish
}

# ---- what stands outside --------------------------------------------------------------------------

cat >server.py <<'END'
import socket, threading
def tcp(address, text):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if ":" in address: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((address, 7001)); s.listen(100)
    def one(c):
        c.recv(4, socket.MSG_WAITALL); c.sendall(b"pong " + text); c.close()
    while True: threading.Thread(target=one, args=(s.accept()[0],)).start()
def udp(address, text):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 7002))
    while True:
        data, who = s.recvfrom(100)
        s.sendto(text + b" " + data, who)
for f in (tcp, udp):
    for a, t in (("::1", b"loopback6"), ("2001:db8::7", b"global6"), ("127.0.0.1", b"loopback4")):
        threading.Thread(target=f, args=(a, t)).start()
print("ready", flush=True)
END
"$python" server.py >server.out 2>&1 & pids="$pids $!"
# One name each: of IPv6 alone, of both, and of an address that is no name's to give.
# shellcheck disable=SC2046 # words
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --listen-address=127.0.0.1 \
	--bind-interfaces --port=53 --pid-file= --log-facility=- $([ "$(id -u)" != 0 ] || echo --user=root) \
	--address=/six.test.example/2001:db8::7 --address=/loop.test.example/::1 \
	--address=/both.test.example/2001:db8::7 --address=/both.test.example/192.0.2.1 >dnsmasq.log 2>&1 &
pids="$pids $!"
wait_until grep -q ready server.out || not_ok "servers start" "$(cat server.out)"
wait_until getent ahostsv6 six.test.example || not_ok "a name server starts" "$(cat dnsmasq.log)"

mkdir data
cat >data/worker.py <<'END'
import socket, sys
what, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def talk(s):
    s.settimeout(20); s.sendall(b"ping")
    return s.recv(100).decode()
def errno_of(f):
    try: return f()
    except OSError as e: return type(e).__name__ if isinstance(e, (PermissionError, ConnectionError)) else str(e)
def six(kind):
    return socket.socket(socket.AF_INET6, kind)
if what == "tcp":
    print(errno_of(lambda: talk(socket.create_connection((host, port), 20))))
elif what == "peer": # by a socket of IPv6, whatever the address
    def f():
        s = six(socket.SOCK_STREAM); s.connect((host, port))
        return talk(s) + " " + s.getpeername()[0]
    print(errno_of(f))
elif what == "udp":
    def f():
        s = six(socket.SOCK_DGRAM); s.connect((host, port))
        return talk(s)
    print(errno_of(f))
elif what == "sendto":
    s = six(socket.SOCK_DGRAM); s.settimeout(20); s.sendto(b"ping", (host, port))
    data, who = s.recvfrom(100)
    print(data.decode(), who[0])
elif what == "lost": # what no rule allows gets no answer, what comes after it does
    s = six(socket.SOCK_DGRAM); s.settimeout(20)
    s.sendto(b"first", (host, port)); s.sendto(b"ping", (sys.argv[4], port))
    print(s.recvfrom(100)[0].decode())
elif what == "families":
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
    print(*sorted(a[4][0] for a in found))
elif what in ("bind", "only"):
    s = six(socket.SOCK_STREAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if what == "only": s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((host, port)); s.listen(5); print("listening", s.getsockname()[0], flush=True)
    s.settimeout(20)
    for i in range(int(sys.argv[4])):
        c, _ = s.accept(); c.sendall(b"from inside"); c.close()
elif what == "inside":
    s = six(socket.SOCK_STREAM); s.bind((host, 0)); s.listen(1)
    c = socket.create_connection(("::1", s.getsockname()[1]), 20); a, _ = s.accept(); a.sendall(b"within")
    print(c.recv(10).decode())
END

cell() { # rules, command...
	printf '%s\n' "$1" >policy
	shift
	ledger=$dir/ledger.$n_tests
	"$warder" run -q -p policy -e "allow read $dir/data/" --ledger "$ledger" --time 60s -C "$dir/data" -- "$@"
}
says() { # name, rules, what is seen, arguments of the worker...
	name=$1 rules=$2 seen=$3
	shift 3
	expect_status "$name" 0 cell "$rules" "$python" worker.py "$@"
	check "$name: what came of it" test "$(cat out)" = "$seen"
}
booked() { # name, event, pattern: one record
	check "$1" test "$(grep "\"event\":\"$2\"" "$ledger" | grep -c "$3")" -eq 1
}

# ---- by address -----------------------------------------------------------------------------------

says "an address of this host's" 'allow connect [::1]:7001' "pong loopback6" tcp ::1 7001
booked "stands in the book" grant '"op":"connect","type":"tcp","peer":"\[::1\]:7001"'
says "an address" 'allow connect [2001:db8::7]:7001' "pong global6 2001:db8::7" peer 2001:db8::7 7001
says "however it is spelled" 'allow connect [2001:0DB8:0:0::0007]:7001' "pong global6" tcp \
	2001:db8:0000::7 7001
booked "stands there in one spelling" grant '"peer":"\[2001:db8::7\]:7001"'
says "a network" 'allow connect [2001:db8::]/64:7001' "pong global6" tcp 2001:db8::7 7001
says "and not the next" 'allow connect [2001:db8:0:1::]/64:7001' PermissionError tcp 2001:db8::7 7001
booked "which is a denial" deny '"peer":"\[2001:db8::7\]:7001"'
says "nor another port" 'allow connect [2001:db8::]/64:7003' PermissionError tcp 2001:db8::7 7001
says "a deny within" "allow connect [2001:db8::]/32:*
deny connect [2001:db8::7]:*" PermissionError tcp 2001:db8::7 7001

# ---- the other family -----------------------------------------------------------------------------

says "all of IPv4 is none of IPv6" 'allow connect 0.0.0.0/0:*' PermissionError tcp 2001:db8::7 7001
booked "which is a denial too" deny '"peer":"\[2001:db8::7\]:7001"'
says "all of IPv6 is none of IPv4" 'allow connect [::]/0:*' PermissionError tcp 192.0.2.9 7001
says "nor in IPv6's spelling" 'allow connect [::]/0:*' PermissionError peer ::ffff:192.0.2.9 7001
booked "which stands there as IPv4" deny '"peer":"192.0.2.9:7001"'
says "an IPv4 address as IPv6 has it" 'allow connect 127.0.0.1:7001' "pong loopback4 ::ffff:127.0.0.1" \
	peer ::ffff:127.0.0.1 7001
booked "is that address" grant '"peer":"127.0.0.1:7001"'
says "in the rule as well" 'allow connect [::ffff:127.0.0.1]:7001' "pong loopback4" tcp 127.0.0.1 7001
says "a deny of it holds for both" "allow connect [::]/0:* 0.0.0.0/0:*
deny connect 127.0.0.1:7001" PermissionError peer ::ffff:7f00:1 7001
says "no address is this host" 'allow connect [::1]:7001' "pong loopback6 ::1" peer :: 7001
booked "which stands there as what it is" grant '"op":"connect","type":"tcp","peer":"\[::1\]:7001"'
says "so that a deny of that holds" "allow connect [::]/0:*
deny connect [::1]:*" PermissionError peer :: 7001
booked "and stands there so too" deny '"peer":"\[::1\]:7001"'
says "the cell's loopback is its own" 'allow connect [2001:db8::7]:7001' within inside ::1 0
says "without any rule too" "" within inside :: 0
says "where nobody listens" '' ConnectionRefusedError tcp ::1 7001

# ---- names ----------------------------------------------------------------------------------------

says "a name of IPv6 alone" 'allow connect six.test.example:7001' "pong global6" tcp six.test.example 7001
booked "with its name" grant '"op":"connect".*"peer":"\[2001:db8::7\]:7001".*"name":"six.test.example"'
says "is asked for its families" 'allow connect six.test.example:7001' 2001:db8::7 \
	families six.test.example 7001
says "both, where both are there" 'allow connect both.test.example:7001' "192.0.2.1 2001:db8::7" \
	families both.test.example 7001
says "the first that answers" 'allow connect both.test.example:7001' "pong global6" tcp both.test.example 7001
says "not the address alone" 'allow connect six.test.example:7001' PermissionError tcp 2001:db8::7 7001
says "a name gives no loopback but the cell's" 'allow connect loop.test.example:7001' \
	ConnectionRefusedError tcp loop.test.example 7001
booked "which is a denial" deny '"peer":"\[::1\]:7001"'

# ---- datagrams ------------------------------------------------------------------------------------

says "a datagram" 'allow connect udp [2001:db8::7]:7002' "global6 ping" udp 2001:db8::7 7002
booked "stands in the book" grant '"op":"connect","type":"udp","peer":"udp \[2001:db8::7\]:7002"'
says "one of a socket that is not connected" 'allow connect udp [2001:db8::]/64:7002' \
	"global6 ping 2001:db8::7" sendto 2001:db8::7 7002
booked "too" grant '"op":"send","type":"udp","peer":"udp \[2001:db8::7\]:7002"'
says "one to this host" 'allow connect udp [::1]:7002' "loopback6 ping ::1" sendto ::1 7002
says "one to an IPv4 address as IPv6 has it" 'allow connect udp 127.0.0.1:7002' \
	"loopback4 ping ::ffff:127.0.0.1" sendto ::ffff:127.0.0.1 7002
says "one that no rule allows is lost" 'allow connect udp [::1]:7002' "loopback6 ping" \
	lost 2001:db8::7 7002 ::1
booked "and a denial" deny '"op":"send","type":"udp","peer":"udp \[2001:db8::7\]:7002"'
says "so is a connect" 'allow connect udp 127.0.0.1:7002' PermissionError udp 2001:db8::7 7002
booked "of a datagram socket" deny '"op":"connect","type":"udp","peer":"udp \[2001:db8::7\]:7002"'

# ---- servers --------------------------------------------------------------------------------------

client() { # addresses: connects to each in turn
	"$python" -c 'import socket, sys, time
for a in sys.argv[2:]:
    for i in range(200):
        try: print(a, socket.create_connection((a, int(sys.argv[1])), 20).recv(100).decode()); break
        except OSError as e: time.sleep(0.1)
    else: print(a, e)' "$@" >client.out 2>&1 &
	client=$!
}
client 7010 ::1
says "a server" 'allow bind [::1]:7010' "listening ::1" bind ::1 7010 1
wait "$client"
check "and its client" grep -qx "::1 from inside" client.out
booked "stands in the book" grant '"op":"listen","type":"tcp","local":"\[::1\]:7010"'
client 7011 2001:db8::7 127.0.0.1
says "one at every address" 'allow bind [::]:7011' "listening ::" bind :: 7011 2
wait "$client"
check "of both families" test "$(cat client.out)" = "2001:db8::7 from inside
127.0.0.1 from inside"
client 7012 ::1
says "one of IPv6 alone" 'allow bind [::]:7012' "listening ::" only :: 7012 1
wait "$client"
check "has a client" grep -qx "::1 from inside" client.out
says "all of IPv4 is not all of IPv6" "allow bind 0.0.0.0:7013" within inside :: 0
expect_status "an address without a rule" 1 cell 'allow bind [::1]:7014' "$python" worker.py bind \
	2001:db8::7 7014 1
expect_text "is nobody's" "Cannot assign requested address"

# ---- by messages ----------------------------------------------------------------------------------

asks() { # name, rules, line, words...
	name=$1 rules=$2 line=$3
	shift 3
	printf '%s\n' "$rules" >policy
	ledger=$dir/ledger.$n_tests
	expect_status "$name" 0 "$warder" run -q -p policy --runtime "$BUILD/tests/e2e/" --ledger "$ledger" \
		--time 60s -- "$BUILD/tests/e2e/ask_sockets" --ask "$@" lockdown
	check "$name: what came of it" grep -qxF -- "$line" out
}
asks "a message for an address" 'allow connect [2001:db8::7]:7001' \
	"connect:[2001:db8:0::7]:7001 carries, [2001:db8::7]:7001, by policy:1" "connect:[2001:db8:0::7]:7001"
booked "stands in the book" grant '"door":"ask".*"peer":"\[2001:db8::7\]:7001"'
asks "for a name of IPv6 alone" 'allow connect six.test.example:7001' \
	"connect:six.test.example:7001 carries, [2001:db8::7]:7001, by policy:1" connect:six.test.example:7001
asks "for what only IPv4 has" 'allow connect 0.0.0.0/0:*' "connect:[2001:db8::7]:7001 EACCES" \
	"connect:[2001:db8::7]:7001"
booked "is a denial" deny '"door":"ask".*"peer":"\[2001:db8::7\]:7001"'
asks "for an IPv4 address as IPv6 has it" 'allow connect 127.0.0.1:7001' \
	"connect:[::ffff:127.0.0.1]:7001 carries, 127.0.0.1:7001, by policy:1" \
	"connect:[::ffff:127.0.0.1]:7001"
asks "for no loopback by a name" 'allow connect loop.test.example:7001' \
	"connect:loop.test.example:7001 EACCES" connect:loop.test.example:7001
client 7020 ::1
asks "for a server" 'allow bind [::]:7020' "listening [::]:7020" "listen:[::]:7020"
wait "$client"
check "and its client" grep -qx "::1 pong" client.out
finish
