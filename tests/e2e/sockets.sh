#!/bin/sh
# SPDX-License-Identifier: MIT
# sockets.sh - programs that know nothing of warder, and what they reach by their sockets.
# RUN_ALONE: a free port must stay free.
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { echo "1..0 # SKIP $python is missing; install python3"; exit 0; }

mkdir data data/out
cat >server.py <<'END'
import os, socket, struct, sys, threading
def tcp(s):
    while True:
        c, _ = s.accept()
        threading.Thread(target=lambda c=c: (c.sendall(b"from outside"), c.close())).start()
def peer(s):
    while True:
        c, _ = s.accept()
        c.sendall(b"uid %d" % struct.unpack("3i", c.getsockopt(1, 17, 12))[1])
        c.close()
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen(100)
a = socket.socket(); a.bind(("0.0.0.0", 0)); a.listen(100)
u = socket.socket(socket.AF_UNIX); u.bind("data/u.sock"); os.chmod("data/u.sock", 0o777); u.listen(5)
d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); d.bind(("127.0.0.1", 0))
f = socket.socket(); f.bind(("127.0.0.1", 0)); free = f.getsockname()[1]; f.close()
for g, s in ((tcp, t), (tcp, a), (peer, u)):
    threading.Thread(target=g, args=(s,), daemon=True).start()
with open("ports.new", "w") as out:
    out.write("tcp=%d udp=%d free=%d all=%d\n" % (t.getsockname()[1], d.getsockname()[1], free, a.getsockname()[1]))
os.rename("ports.new", "ports")
while True:
    data, who = d.recvfrom(100)
    d.sendto(b"answer to " + data, who)
END
cat >data/worker.py <<'END'
import asyncio, errno, os, select, socket, subprocess, sys, threading
what, tcp, udp, free, all_at = sys.argv[1], *map(int, sys.argv[2:6])
def read(s):
    s.settimeout(20)
    return s.recv(100).decode()
if what == "blocking":
    s = socket.socket(); s.connect(("127.0.0.1", tcp)); print(read(s), s.getpeername()[1] == tcp)
elif what == "unspecified": # which is this host: ip(7)
    s = socket.socket(); s.connect(("0.0.0.0", tcp)); print(read(s), s.getpeername()[0])
elif what == "timeout": # O_NONBLOCK and poll(2)
    s = socket.create_connection(("127.0.0.1", tcp), timeout=20); print(read(s))
elif what == "asyncio":
    async def talk():
        r, w = await asyncio.open_connection("127.0.0.1", tcp)
        return await r.read(100)
    print(asyncio.run(talk()).decode())
elif what == "epoll":
    s = socket.socket(); s.setblocking(False)
    e = select.epoll(); e.register(s, select.EPOLLIN)
    s.connect_ex(("127.0.0.1", tcp))
    n = 0
    while n < 20 and not any(ev & select.EPOLLIN and not ev & select.EPOLLHUP for _, ev in e.poll(1)): n += 1
    print(s.recv(100).decode())
elif what == "dup":
    s = socket.socket(); o = s.dup(); s.connect(("127.0.0.1", tcp)); s.close(); print(read(o))
elif what == "fork":
    s = socket.socket(); r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(w); os.read(r, 1); print("child", read(s), flush=True); os._exit(0)
    s.connect(("127.0.0.1", tcp)); os.close(w); os.waitpid(pid, 0)
elif what == "forks": # each at another address
    ok = 0
    for n in range(2, 42):
        s = socket.socket(); r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(w); os.read(r, 1); os._exit(0)
        os.close(r); s.connect(("127.0.0.%d" % n, all_at)); os.close(w); os.waitpid(pid, 0)
        ok += read(s) == "from outside" and s.getpeername()[0] == "127.0.0.%d" % n
        s.close()
    print("all", ok)
elif what == "thread":
    t = threading.Thread(target=lambda: print(read(socket.create_connection(("127.0.0.1", tcp))))); t.start(); t.join()
elif what == "unix":
    s = socket.socket(socket.AF_UNIX); s.connect("u.sock"); print(read(s))
elif what == "udp":
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(("127.0.0.1", udp)); s.send(b"ask"); print(read(s))
elif what == "bind":
    s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("127.0.0.1", free)); s.listen(5)
    s.settimeout(20); c, _ = s.accept(); c.sendall(b"served from inside"); print("served")
elif what == "bindpath":
    os.umask(0o007)
    s = socket.socket(socket.AF_UNIX); s.bind("out/w.sock"); s.listen(5); print(oct(os.stat("out/w.sock").st_mode & 0o777))
    s.settimeout(20); c, _ = s.accept(); c.sendall(b"served from inside")
elif what == "unheard":
    for a in "::", "0.0.0.0":
        s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET)
        s.setsockopt(1, 2, 1); s.bind((a, free)); s.listen(5)
        c = socket.create_connection(("::1" if ":" in a else "127.0.0.2", free)); s.accept(); c.close(); s.close()
    print("heard")
elif what == "names":
    def bound(name):
        s = socket.socket(socket.AF_UNIX); s.bind(name); s.listen(5); return s
    def leads(name, s):
        c = socket.socket(socket.AF_UNIX); c.connect(name); s.settimeout(20)
        a, _ = s.accept(); a.sendall(b"x"); return c.recv(1) == b"x"
    os.chdir("out"); s = bound("w.sock"); print(s.getsockname())
    os.chdir(os.environ.get("TMPDIR", "/tmp")); os.mkdir("d"); os.symlink("elsewhere", "link")
    s = bound("own"); print(s.getsockname(), leads("own", s), os.path.exists("own"))
    for name in "own", "link":
        try: bound(name)
        except OSError as e: print(name, e.errno == errno.EADDRINUSE, os.path.exists("elsewhere"))
    s = [bound(os.getcwd() + "/one"), bound("d/two"), bound("./three"), bound("d/one")]
    print(len({x.getsockname() for x in s}), *(leads(x.getsockname(), x) for x in s[1:]))
    d = os.open("d", os.O_RDONLY) # its own descriptors come first
    while d < 60: d = os.dup(d)
    try: leads(s[2].getsockname(), s[2])
    except OSError as e: print(e.errno == errno.ENOENT, leads("/proc/self/fd/%d/two" % d, s[1]))
elif what == "manager":
    import multiprocessing
    with multiprocessing.Manager() as m:
        shared = m.dict(); shared["key"] = "managed"; print(shared["key"])
elif what == "nobodys":
    for a in ("0.0.0.0", "127.0.0.2", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1",
            "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fd00::1", "ff02::1",
            "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:db8::5"):
        s = socket.socket(socket.AF_INET6 if ":" in a else socket.AF_INET); s.settimeout(5)
        try: s.connect((a, tcp)); print("reached", a)
        except OSError: print("not reached")
elif what == "missing":
    for p in ("../absent/socket", "../apart.sock"):
        try: socket.socket(socket.AF_UNIX).connect(os.path.abspath(p)); print("reached")
        except FileNotFoundError: print("missing")
elif what == "inside":
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(1)
    c = socket.create_connection(s.getsockname()); a, _ = s.accept(); a.sendall(b"within"); print(read(c))
elif what == "denied":
    for a in (("93.184.215.14", 443), ("169.254.169.254", 80)):
        try: socket.create_connection(a, timeout=5)
        except PermissionError: print("denied")
END
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data/out
"$python" server.py & pids="$pids $!"
i=0
while [ ! -f ports ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i + 1)); done
. ./ports
cat >policy <<END
allow read $dir/data/
allow connect 127.0.0.1:$tcp $dir/data/u.sock
allow connect 127.0.0.0/8:$all
allow connect udp 127.0.0.1:$udp
allow bind 127.0.0.1:$free $dir/data/out/w.sock
END

client() { # python expression that makes a socket connected to the worker's
	"$python" - "$1" <<'END' >client.out 2>&1 &
import socket, struct, sys, time
for i in range(200):
    try:
        if sys.argv[1].startswith("/"):
            s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
            print("met uid", struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])
        else:
            s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        print(s.recv(100).decode()); break
    except OSError:
        time.sleep(0.1)
END
	client=$!
}

in_cell() { # what it shows, word for the worker, what is seen
	ledger=$dir/ledger.$2
	expect_status "$1" 0 "$warder" run -q -p policy --ledger "$ledger" --time 60s -C "$dir/data" -- \
		"$python" worker.py "$2" "$tcp" "$udp" "$free" "$all"
	check "$1: what came of it" grep -qx "$3" out
}

recorded() { # name, pattern: one grant
	check "$1" test "$(grep '"event":"grant"' "$ledger" | grep -c "$2")" -eq 1
}

in_cell "a connect that waits leads out" blocking "from outside True"
recorded "and stands in the book" "\"op\":\"connect\",\"type\":\"tcp\",\"peer\":\"127.0.0.1:$tcp\""
in_cell "one to no address, by the rule for this host" unspecified "from outside 127.0.0.1"
in_cell "one that does not wait too" timeout "from outside"
in_cell "an event loop's" asyncio "from outside"
in_cell "one that is watched before it is connected" epoll "from outside"
in_cell "one with two numbers" dup "from outside"
in_cell "one that two processes hold" fork "child from outside"
in_cell "more of these, at more addresses than the dialer listens at" forks "all 40"
in_cell "one of a thread" thread "from outside"
in_cell "a Unix socket by its path" unix "uid $([ "$(id -u)" = 0 ] && echo 65534 || id -u)"
recorded "with what it reached" '"op":"connect".*"reached":".*u.sock".*"type":"socket","socket":"stream"'
in_cell "a datagram" udp "answer to ask"
client "$free"
in_cell "a server on a port of the host" bind "served"
wait "$client"
check "and its client" grep -qx "served from inside" client.out
recorded "bound" '"op":"bind","type":"tcp"'
recorded "listening" '"op":"listen","type":"tcp"'
client "$dir/data/out/w.sock"
in_cell "a server at a path of the host" bindpath "0o770"
wait "$client"
[ "$(id -u)" = 0 ] && check "and its client" grep -qx "served from inside" client.out
check "a server at a path is met as the worker, never as root" \
	grep -qx "met uid $([ "$(id -u)" = 0 ] && echo 65534 || id -u)" client.out
recorded "made" '"op":"bind","asked":".*w.sock"'
in_cell "a server at another address than its rule's" unheard heard
check "is told so in the book, without an error" test "$(grep '"event":"deny"' "$ledger" |
	grep -c '"op":"bind","type":"tcp","local":"\(\[::\]\|0.0.0.0\):'"$free"'","reason":"heard inside')" -eq 2
"$warder" run -v -p policy --ledger "$dir/ledger.unheard" -C "$dir/data" -- \
	"$python" worker.py unheard "$tcp" "$udp" "$free" "$all" >out 2>err
expect_text "and in the summary" "to allow it: allow bind [::]:$free"
rm -f data/out/w.sock
in_cell "a name that is bound is told as it was given" names "w.sock"
check "in the cell's own places too" grep -qx "own True True" out
check "it is never followed" test "$(grep -cx '\(own\|link\) True False' out)" -eq 2
check "what is told of a path leads to the socket" grep -qx "[34] True True True" out
check "unless it is the program's own descriptor" grep -qx "True True" out
in_cell "a program that hands on what it is told" manager "managed"
in_cell "its own loopback" inside "within"
check "which nobody writes down" test "$(grep -c '"op":"\(connect\|bind\|listen\)"' "$ledger")" -eq 0
"$python" -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("apart.sock")'
in_cell "sockets outside of all trees" missing "missing"
check "neither_is_reached" test "$(sort -u out)" = "missing"
check "one_that_the_host_lacks_too_is_no_denial" test "$(grep -c 'absent/socket' "$ledger")" -eq 0
check "one_that_it_has_is" grep -q '"event":"deny".*"op":"connect","asked":".*/apart.sock"' "$ledger"
in_cell "what no rule allows" denied "denied"
check "is denied, with its address" grep -q '"event":"deny".*"peer":"169.254.169.254:80"' "$ledger"
"$python" -c 'import socket, sys
for a in sys.argv[2:]: print("reached", socket.create_connection((a, int(sys.argv[1])), 5).recv(100))' \
	"$tcp" 127.0.0.1 ::ffff:127.0.0.1 0.0.0.0 >native
check "outside there is somebody at three of them" test "$(grep -c "reached .*outside" native)" -eq 3
echo "allow connect internet:*" >policy
echo "allow read $dir/data/" >>policy
in_cell "nothing that is nobody's on the internet is reached" nobodys "not reached"
check "nothing_that_is_nobodys_on_the_internet_is_reached" test "$(sort -u out)" = "not reached"
check "each_of_them_is_a_denial" test "$(grep '"event":"deny"' "$ledger" | grep -c '"op":"connect"')" -eq \
	"$(wc -l <out)"

# What was denied is told with the line that would allow it.
echo "allow connect other.test.example:1" >policy
"$python" -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("s o\nck")'
"$warder" run -v -p policy --ledger "$dir/ledger.summary" -- "$python" -c '
import socket, sys
for a in (("127.0.0.1", 1), ("192.0.2.77", 80), ("www.test.example", 80)):
    try: socket.create_connection(a)
    except OSError: pass
try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError: pass' "$dir/s o
ck" >out 2>err </dev/null
for line in "allow connect 127.0.0.1:1" "allow connect 192.0.2.77:80" "allow connect \"$dir/s o\\nck\""; do
	expect_text "the summary says: $line" "to allow it: $line"
done
expect_text "and which name was not looked up" "denied www.test.example"

# In the host's own view a broker of uid 0 has the worker's real uid: there too a Unix socket listens
# as the worker.
cat >policy <<END
root host
accept missing uid
allow read $dir/data/
allow bind $dir/data/out/h.sock
allow connect $dir/data/out/h.sock
END
expect_status "in the host's own view" 0 "$warder" run -q -p policy --ledger "$dir/ledger.host" --time 60s -- \
	"$python" -c '
import os, socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); a, _ = s.accept(); a.sendall(b"served")
uids = [struct.unpack("3i", e.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1] for e in (a, c)]
print(c.recv(10).decode(), uids == [os.getuid()] * 2)' "$dir/data/out/h.sock"
check "a bound socket listens and is connected, both as the worker" grep -qx "served True" out
finish
