#!/bin/sh
# SPDX-License-Identifier: MIT
# datagrams.sh - Unix datagrams of a worker that wants more than its rule gives.
. "$TOP/tests/e2e/lib.sh"
. "$TOP/tests/e2e/datagrams/peers.sh"

deaf=$dir/run/log/deaf mortal=$dir/run/log/mortal
serve "$deaf" "$dir/deaf.got"
deaf_pid=$server
serve "$mortal" "$dir/mortal.got"
mortal_pid=$server

cat >data/worker.py <<'END'
import array, ctypes, os, resource, select, sys, time
from common import *
what, path, other = sys.argv[1:4]
def until(word):
    for i in range(300):
        if os.path.exists(os.path.dirname(other) + "/" + word): return
        time.sleep(0.1)
if what == "names":
    s = sock(); s.connect(path)
    s.sendto(b"sendto", other); s.sendmsg([b"sendmsg"], [], 0, other)
    c = ctypes.CDLL(None, use_errno=True)
    class iov(ctypes.Structure): _fields_ = [("p", ctypes.c_char_p), ("n", ctypes.c_size_t)]
    class hdr(ctypes.Structure): _fields_ = [("name", ctypes.c_char_p), ("namelen", ctypes.c_uint), ("iov", ctypes.POINTER(iov)),
        ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int)]
    class mm(ctypes.Structure): _fields_ = [("hdr", hdr), ("len", ctypes.c_uint)]
    un = b"\x01\x00" + other.encode() + b"\0"
    v = iov(b"sendmmsg", 8); m = (mm * 2)()
    for i in range(2): m[i].hdr = hdr(un, len(un), ctypes.pointer(v), 1, None, 0, 0)
    print(c.sendmmsg(s.fileno(), m, 2, 0))
elif what == "descriptor":
    s = sock(); s.connect(path)
    r, w = os.pipe()
    e = error(s.sendmsg, [b"with a descriptor"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w]))])
    os.close(w); s.send(b"without")
    print(e, os.read(r, 1) == b"")
elif what == "limit":
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
    held = []
    while True:
        try: held.append(sock())
        except OSError as e: print(errno.errorcode[e.errno], len(held)); break
    for s in held: s.close()
    n = 0
    for i in range(300):
        try: s = sock(); s.connect(path); s.close(); n += 1
        except OSError as e:
            if e.errno != errno.EMFILE: raise
    print("then", n > 100)
elif what == "table":
    resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))
    held = []
    while True:
        try: held.append(sock())
        except OSError as e: print(errno.errorcode[e.errno], len(held) < 10); break
elif what == "deaf":
    s = sock(); s.connect(path); s.setblocking(False); n = 0
    while error(s.send, b"number %d" % n) == "0": n += 1
    print("full after less than", 10000 if n < 10000 else n, end=" ")
    t = sock(); t.connect(os.path.dirname(path) + "/dev-log"); t.send(b"meanwhile")
    print(len(select.select([], [s], [], 0)[1]), flush=True)
    s.setblocking(True)
    s.send(b"the last of %d" % n)
    until("all-read")
elif what == "mortal":
    s = sock(); s.connect(path); print("connected", flush=True); until("peer-dead")
    e = [error(s.send, b"to nobody") for i in range(200) if not time.sleep(0.01)]
    print(e[-1], error(sock().connect, path), flush=True); until("peer-back")
    s = sock(); s.connect(path); s.send(b"back again")
elif what == "dialer":
    s = sock(); s.connect(path); s.send(b"before"); print("connected", flush=True); until("dialer-dead")
    e = [error(s.send, b"after") for i in range(200) if not time.sleep(0.01)]
    print(e[-1], error(sock), error(s.connect, path))
END

"$python" data/worker.py names "$log" "$other" >out 2>&1
got "outside the cell names of sendto, sendmsg and sendmmsg lead elsewhere" other.got "uid=[0-9]* fds=0 send.*" 4
before=$(grep -c . other.got)
run_worker "inside such names" 0 names <<END
allow connect $log type dgram
END
expect_text "are taken without an error" 2 out
got "and lead where the socket is connected" log.got "uid=$uid fds=0 send.*" 4
check "and nowhere else" test "$(grep -c . other.got)" -eq "$before"
run_worker "a descriptor that rides along" 0 descriptor <<END
allow connect $log type dgram
END
check "is refused or dropped, and closed" grep -qE '^(EPERM|0) True$' out
got "and does not arrive" log.got "uid=$uid fds=0 without" 1
check "nowhere" test "$(grep -c 'fds=[1-9]' log.got)" -eq 0
run_worker "more sockets than the broker keeps" 0 limit <<END
allow connect $log type dgram
END
expect_text "are refused" "EMFILE 128" out
expect_text "and those that are closed make room" "then True" out
check "with a record" grep -q '"event":"deny".*"op":"socket".*"error":"EMFILE".*too many datagram' "$ledger"
run_worker "a full table of descriptors" 0 table <<END
allow connect $log type dgram
END
expect_text "is the worker's own error" "EMFILE True" out

# The worker waits inside for what the script does outside.
begin() { # word, path
	cat >policy
	echo "allow read $dir/data/" >>policy
	ledger=$dir/ledger.$1
	"$warder" run -q -p policy --ledger "$ledger" --time 60s -- \
		"$python" "$dir/data/worker.py" "$1" "$2" "$other" >"$dir/out" 2>"$dir/err" & broker=$!
	pids="$pids $broker"
}
ends() { # name
	wait "$broker"
	got=$?
	if [ "$got" -eq 0 ]; then ok "$1"; else not_ok "$1" "exit status $got" "$(cat err)"; fi
}

kill -STOP "$deaf_pid"
begin deaf "$deaf" <<END
allow connect $log $deaf type dgram
END
wait_until grep -q full out
expect_text "a peer that does not read stops its sender" "full after less than 10000 0" out
got "and nobody else" log.got "uid=$uid fds=0 meanwhile" 1
kill -CONT "$deaf_pid"
got "with all that was sent once it reads" deaf.got "uid=$uid fds=0 the last of .*" 1
touch data/all-read
ends "and lets it go on"
check "in order" test "$(grep -c number deaf.got)" -eq "$(sed -n 's/.*the last of //p' deaf.got)"

begin mortal "$mortal" <<END
allow connect $mortal type dgram
END
wait_until grep -q connected out
kill -9 "$mortal_pid"
wait "$mortal_pid" 2>/dev/null
touch data/peer-dead
wait_until grep -q EPIPE out
expect_text "a peer that is gone is an error of send, and of connect" "EPIPE ECONNREFUSED" out
rm -f "$mortal"
serve "$mortal" "$dir/mortal.got"
touch data/peer-back
ends "and its sender goes on"
got "to whoever has its name by then" mortal.got "uid=$uid fds=0 back again" 1

dialer_of() { # broker
	for p in /proc/[0-9]*; do
		grep -qs "^PPid:[[:space:]]*$1\$" "$p/status" || continue
		[ "$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)" != "warder-dialer 3 datagrams " ] || echo "${p#/proc/}"
	done
}
begin dialer "$log" <<END
allow connect $log type dgram
END
wait_until grep -q connected out
dialer=$(dialer_of "$broker")
check "there is a dialer" test -n "$dialer"
kill -9 "$dialer"
touch data/dialer-dead
ends "a dialer that is killed takes no worker with it"
expect_text "but all of its datagrams" "EPIPE ENETDOWN ENETDOWN" out
check "which the book says" grep -q '"event":"deny".*"op":"socket".*"error":"ENETDOWN"' "$ledger"
got "what was sent before has arrived" log.got "uid=$uid fds=0 before" 1
finish
