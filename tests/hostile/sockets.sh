#!/bin/sh
# SPDX-License-Identifier: MIT
# sockets.sh - a worker that listens where no rule says so, and sockets of which somebody else holds
# a part.  Each attack is made without a cell too, where it does what it is there for.
# RUN_ALONE: a free port must stay free.
. "$TOP/tests/e2e/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { echo "1..0 # SKIP $python is missing; install python3"; exit 0; }

mkdir data
cat >server.py <<'END'
import os, socket, threading
t = socket.socket(); t.bind(("127.0.0.1", 0)); t.listen(1000)
f = socket.socket(); f.bind(("127.0.0.1", 0)); free = f.getsockname()[1]; f.close()
d = socket.socket(socket.AF_UNIX); d.bind("data/dead.sock"); os.chmod("data/dead.sock", 0o777); d.close()
l = socket.socket(socket.AF_UNIX); l.bind("data/live.sock"); os.chmod("data/live.sock", 0o777); l.listen(1000)
with open("ports.new", "w") as out: out.write("tcp=%d free=%d\n" % (t.getsockname()[1], free))
os.rename("ports.new", "ports")
held = []
while True:
    c, _ = t.accept(); c.sendall(b"from outside"); held.append(c)
END
cat >data/worker.py <<'END'
import ctypes, errno, os, platform, resource, select, socket, sys, threading
what, tcp, free = sys.argv[1], *map(int, sys.argv[2:4])
libc = ctypes.CDLL(None)
def said(call, *args):
    try: call(*args); return "done"
    except OSError as e: return errno.errorcode[e.errno]
def new():
    s = socket.socket(); s.setsockopt(1, 2, 1); return s
def beside(s, hold, act):
    """What act() says here, and what a child that holds s too then sees of it."""
    go, ready = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go[1])
        hold(lambda: os.write(ready[1], b"x") and os.read(go[0], 1))
        print("child", said(s.getpeername), s.getsockname(), flush=True); os._exit(0)
    os.read(ready[0], 1); print("parent", act(), flush=True); os.close(go[1]); os.waitpid(pid, 0)
def plainly(wait): wait()
def undumpable(wait): libc.prctl(4, 0, 0, 0, 0); wait()
def by_a_thread(wait):
    def live():
        while ") Z" not in open("/proc/self/task/%d/stat" % os.getpid()).read(): os.sched_yield()
        wait(); print("child", said(s.getpeername), s.getsockname(), flush=True); os._exit(0)
    threading.Thread(target=live).start()
    libc.syscall({"x86_64": 60}.get(platform.machine(), 93), 0) # ends this thread alone
def connect(): return said(s.connect, ("127.0.0.1", tcp))
if what == "autobind":
    s = socket.socket(socket.AF_UNIX); s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    how = said(s.connect, "dead.sock"); listened = said(s.listen, 5)
    print(how, listened, s.getsockname().hex() or "none", flush=True); sys.stdin.read()
elif what == "shared": # a port that another listener would share, and one that this one would
    s = socket.socket(); s.setsockopt(1, 15, 1) # SO_REUSEPORT
    print(said(s.bind, ("127.0.0.1", free)), said(s.listen, 5), flush=True); sys.stdin.read()
elif what == "unnamed":
    print(said(socket.socket(socket.AF_UNIX).listen, 5))
elif what == "path":
    s = socket.socket(socket.AF_UNIX); print(said(s.bind, "out/own.sock"), said(s.listen, 5), said(s.listen, 9))
elif what == "bind":
    s = new(); beside(s, plainly, lambda: said(s.bind, ("127.0.0.1", free)))
    print(said(s.listen, 5))
elif what == "again":
    s = new(); s.bind(("127.0.0.1", free)); beside(s, plainly, connect)
elif what == "peer": # a descriptor of the process that listens, and what that is good for
    libc = ctypes.CDLL(None, use_errno=True)
    s = socket.socket(socket.AF_UNIX); s.connect("live.sock")
    def call(*args): return "done" if libc.syscall(*args) >= 0 else errno.errorcode[ctypes.get_errno()]
    try: fd = int.from_bytes(s.getsockopt(1, 77, 4), "little") # SO_PEERPIDFD, Linux 6.5
    except OSError as e: fd = -1
    print("peer", fd >= 0, call(424, fd, 0, None, 0), call(438, fd, 0, 0)) # pidfd_send_signal, pidfd_getfd
elif what == "abstract":
    l = socket.socket(socket.AF_UNIX); s = socket.socket(socket.AF_UNIX)
    beside(s, plainly, lambda: said(s.connect, "\0" + sys.argv[4]))
elif what in ("undumpable", "thread"):
    s = new(); beside(s, undumpable if what == "undumpable" else by_a_thread, connect)
elif what == "ended": # holds nothing any more
    s = new(); pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    print(said(s.bind, ("127.0.0.1", free)), said(s.listen, 5))
elif what == "epoll":
    n = int(sys.argv[4]); e = select.epoll(); all = {}; seen = set()
    for i in range(n):
        s = new(); s.setblocking(False); e.register(s, select.EPOLLIN | select.EPOLLET); all[s.fileno()] = s
    e.poll(0, n)
    for s in all.values(): s.connect_ex(("127.0.0.1", tcp))
    while len(seen) < n:
        got = e.poll(20)
        if not got: break
        seen |= {fd for fd, ev in got if ev & select.EPOLLIN and not ev & select.EPOLLHUP}
    print(len(seen))
elif what == "high": # a number beyond those that are tried
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 5000: print("no room"); sys.exit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (5000, hard))
    s = new(); fd = os.dup2(s.fileno(), 4500); s.close(); s = socket.socket(fileno=fd); s.setblocking(False)
    e = select.epoll(); e.register(s, select.EPOLLIN | select.EPOLLET); e.poll(0); s.connect_ex(("127.0.0.1", tcp))
    print("told" if e.poll(20) else "not told")
elif what == "many": # more registrations than are read through
    e = select.epoll(); soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = 0; m = min(hard, 1200); resource.setrlimit(resource.RLIMIT_NOFILE, (m, hard))
    # A registration lasts as long as its file, whatever has its number by then.
    s = new(); pool = [os.eventfd(0) for i in range(150)]; numbers = range(600, 1100)
    for f in pool:
        for n in numbers: os.dup2(f, n); e.register(n, select.EPOLLIN); held += 1
    print(held > 65536, connect())
END
cat >host.py <<'END'
# Reaches, from outside, for the name that a worker says it has.
import socket, subprocess, sys
p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
how, listened, name = p.stdout.readline().split()
try: socket.socket(socket.AF_UNIX).connect(bytes.fromhex(name)); met = "met"
except (OSError, ValueError): met = "not met"
p.stdin.close(); p.wait(); print(how, listened, met, "none" if name == "none" else "named")
END
cat >second.py <<'END'
# A second listener of the same user's at a port: before a worker that asks for it, or after.
import errno, os, socket, subprocess, sys
first, port = sys.argv[1] == "before", int(sys.argv[2])
if os.getuid() == 0: os.seteuid(65534) # the user that a worker is
s = socket.socket(); s.setsockopt(1, 15, 1)
if os.getuid() == 0: os.seteuid(0)
def listen():
    try: s.bind(("127.0.0.1", port)); s.listen(5); return "done"
    except OSError as e: return errno.errorcode[e.errno]
said = listen() if first else ""
p = subprocess.Popen(sys.argv[3:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
worker = p.stdout.readline().strip()
print("outside", said or listen(), "worker", worker); p.stdin.close(); p.wait()
END
"$python" server.py & pids="$pids $!"
check "a server stands outside" wait_until test -f ports
. ./ports
mkdir -m 777 data/out
abstract=warder-test-sockets-$$
"$python" -c 'import socket, sys
l = socket.socket(socket.AF_UNIX); l.bind("\0" + sys.argv[1]); l.listen(9)
while True: l.accept()' "$abstract" & pids="$pids $!"

rules() { # line...: of the cell, beside what all have
	printf '%s\n' "allow read $dir/data/" "$@" >policy
}

natively() { # worker's word, pattern
	( cd data && "$python" worker.py "$1" "$tcp" "$free" ${3:+"$3"} ) >out 2>err
	check "$1: as it is without a cell" grep -qx "$2" out
}

in_cell() { # worker's word, pattern, what it shows
	ledger=$dir/ledger.$1
	"$warder" run -q -p policy --ledger "$ledger" --time 120s -C "$dir/data" -- \
		"$python" worker.py "$1" "$tcp" "$free" ${4:+"$4"} >out 2>err
	check "$3" grep -qx "$2" out
	[ -s err ] && sed 's/^/# /' err
}

denials() { # name, number, pattern
	check "$1" test "$(grep '"event":"deny"' "$ledger" | grep -c "$3")" -eq "$2"
}

# ---- a name that no rule gave ----------------------------------------------------------------------

( cd data && "$python" ../host.py "$python" worker.py autobind 0 0 ) >out 2>err
check "a socket that the kernel has named is met, without a cell" grep -qx "ECONNREFUSED done met named" out
rules "root host" "accept missing uid" "allow connect $dir/data/dead.sock" "allow bind $dir/data/out/own.sock"
"$python" host.py "$warder" run -q -p policy --ledger "$dir/ledger.autobind" --time 60s -C "$dir/data" -- \
	"$python" worker.py autobind 0 0 >out 2>err
ledger=$dir/ledger.autobind
check "in_the_hosts_network_what_the_kernel_named_does_not_listen" grep -qx "ECONNREFUSED EACCES not met named" out
denials "which is in the book" 1 '"op":"listen".*"reason":"an abstract name of the host'
natively unnamed EINVAL
in_cell unnamed EINVAL "one without a name neither, as natively"
if [ "$(id -u)" != 0 ]; then
	in_cell path "done done done" "one that a rule let be bound does"
	denials "which nobody refuses" 0 '"op":"listen"'
fi

# ---- others that hold it ---------------------------------------------------------------------------

natively bind "child ENOTCONN ('127.0.0.1', $free)"
rules "allow connect 127.0.0.1:$tcp @$abstract" "allow bind 127.0.0.1:$free"
in_cell bind "parent EACCES" "a socket that two processes hold is not bound to one of the host's ports"
denials "which is in the book" 1 '"op":"bind".*"reason":"another process holds the socket too'
check "nor does the other have another one" grep -qx "child ENOTCONN ('0.0.0.0', 0)" out
in_cell ended "done done" "one that an ended process held is"
natively again "child done .*"
in_cell again "parent EACCES" "nor is one that is outside already connected for one of them"
denials "which is in the book" 1 '"op":"connect".*"reason":"another process holds the socket too'
natively abstract "child done .*" "$abstract"
in_cell abstract "parent EACCES" "nor one to an abstract name" "$abstract"
denials "which is in the book" 1 '"op":"connect".*"reason":"another process holds the socket too'
natively peer "peer True done done\|peer False EBADF EBADF"
rules "allow connect $dir/data/live.sock"
in_cell peer "peer [TF][a-z]* E[A-Z]* EPERM" "who listens is not reached by a descriptor of its process"
check "whose connection is one grant" test "$(grep -c '"event":"grant".*"op":"connect"' "$ledger")" -eq 1
rules "allow connect 127.0.0.1:$tcp @$abstract" "allow bind 127.0.0.1:$free"
for how in undumpable thread; do
	natively $how "child done .*"
	in_cell $how "child done .*" "$how: who cannot be looked into is connected too"
done

# ---- a port that two would share -------------------------------------------------------------------

# SO_REUSEPORT is among listeners of one user: the one outside is the worker's.
shared() { # when command...: a second listener comes before the worker, or after
	when=$1
	shift
	timeout -k 5 60 "$python" second.py "$when" "$free" "$@" worker.py shared "$tcp" "$free" >out 2>err </dev/null
}
natively_shared() {
	cp data/worker.py worker.py
	if [ "$(id -u)" = 0 ]; then
		shared "$1" setpriv --reuid 65534 --regid 65534 --clear-groups "$python"
	else
		shared "$1" "$python"
	fi
	check "two listeners share a port without a cell, the second comes $1" \
		grep -qx "outside done worker done done" out
}
shared_in_cell() {
	ledger=$dir/ledger.shared
	rm -f "$ledger"
	shared "$1" "$warder" run -q -p policy --ledger "$ledger" --time 60s -C "$dir/data" -- "$python"
}
natively_shared before
natively_shared after
shared_in_cell after
check "a_port_that_a_worker_listens_at_is_not_taken_over" grep -qx "outside EADDRINUSE worker done done" out
check "it is one grant" test "$(grep -c '"event":"grant".*"op":"bind"' "$ledger")" -eq 1
shared_in_cell before
check "nor_does_a_worker_take_one_over" grep -qx "outside done worker EADDRINUSE .*" out
check "which is none" test "$(grep -c '"event":"grant".*"op":"bind"' "$ledger")" -eq 0
check "and is in the book" grep -q '"op":"bind".*"error":"EADDRINUSE"' "$ledger"

# ---- who watches it --------------------------------------------------------------------------------

natively epoll 600 600
in_cell epoll 600 "of 600 that are watched each is heard of" 600
if [ "$(ulimit -Hn)" = unlimited ] || [ "$(ulimit -Hn)" -ge 5000 ]; then
	in_cell high told "as is one with a high number"
else
	skip "as is one with a high number" "a hard limit of 5000 descriptors (ulimit -Hn)"
fi
in_cell many "True EIO" "one among more than can be read through is not connected"
check "which is in the book" grep -q '"event":"fail".*could not be put into' "$ledger"
finish
