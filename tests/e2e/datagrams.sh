#!/bin/sh
# SPDX-License-Identifier: MIT
# datagrams.sh - Unix datagrams to peers of the host: what arrives, where, and what the book says.
. "$(dirname "$0")/lib.sh"
. "$TOP/tests/e2e/datagrams/peers.sh"

ln -s log/dev-log run/dev-log
notify=$dir/run/log/notify
serve "$notify" "$dir/notify.got"
"$python" -c 'import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(600)' \
	"$dir/run/log/stream" & pids="$pids $!"
wait_until test -S "$dir/run/log/stream"
chmod 777 "$dir/run/log/stream"

cat >data/worker.py <<'END'
import logging, logging.handlers, os, socket, sys
from common import *
what, path, other = sys.argv[1:4]
if what == "syslog":
    h = logging.handlers.SysLogHandler(address=path)
    log = logging.getLogger(); log.addHandler(h); log.warning("from a handler"); log.error("and another")
    h.close()
elif what == "notify":
    s = sock(); s.sendmsg([b"READY=1"], [], 0, path)
elif what == "notify_later":
    s = sock(); s.sendto(b"READY=1", path); s.sendto(b"STOPPING=1", path); s.close()
elif what == "many":
    s = sock(); s.connect(path)
    for i in range(2000): s.send(b"number %d" % i)
elif what == "large":
    s = sock(); s.connect(path); s.send(b"x" * 100000)
elif what == "again":
    s = sock(); s.connect(path); s.send(b"one"); s.connect(other); s.send(b"two")
elif what == "refused":
    s = sock()
    print(error(s.connect, other), error(s.connect, path + ".none"), error(s.connect, "\0abstract"),
        error(s.connect, "/tmp/own"), error(s.bind, "/tmp/own"), error(s.bind, "\0abstract"),
        error(socket.socketpair, socket.AF_UNIX, D), error(socket.socket, socket.AF_UNIX, D, 17))
elif what == "stream":
    print(error(sock().connect, path))
elif what == "flags":
    import fcntl
    s = socket.socket(socket.AF_UNIX, D | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    print(bool(fcntl.fcntl(s, 3) & os.O_NONBLOCK), fcntl.fcntl(s, 1), end=" ")
    s = socket.socket(socket.AF_UNIX, D)
    print(bool(fcntl.fcntl(s, 3) & os.O_NONBLOCK))
END

run_worker "a syslog handler connects and sends" 0 syslog <<END
allow connect $log type dgram
END
got "what it logs arrives, as the worker" log.got "uid=$uid fds=0 <12>from a handler.*" 1
got "all of it" log.got "uid=$uid fds=0 <11>and another.*" 1
recorded "the connect stands in the book" 1 '"event":"grant"' '"op":"connect","asked":"[^"]*dev-log"' '"type":"socket","socket":"dgram"'
recorded "and nothing else of it" 1 '"op":"\(connect\|socket\|send\)"'

run_worker "a message with a name, sent without connect" 0 notify "$notify" <<END
allow connect $notify type dgram
END
got "goes to the one socket that the rules name" notify.got "uid=$uid fds=0 READY=1" 1
recorded "and is recorded as sent" 1 '"event":"grant"' '"op":"send","asked":"[^"]*notify"' '"rule":"policy:1"'
run_worker "two of them" 0 notify_later "$notify" <<END
allow connect $notify type dgram
END
got "go the same way" notify.got "uid=$uid fds=0 STOPPING=1" 1
recorded "by one record" 1 '"op":"send"'
run_worker "with two sockets that could be meant" 0 notify "$notify" <<END
allow connect $notify type dgram
allow connect $log type dgram
END
recorded "it is denied" 1 '"event":"deny"' '"op":"send"' 'connect it first'
run_worker "with a pattern" 0 notify "$notify" <<END
allow connect $dir/run/log/* type dgram
END
recorded "too" 1 '"event":"deny"' '"op":"send"' 'connect it first'
got "and neither arrived" notify.got "uid=$uid fds=0 READY=1" 2

run_worker "more than the peer's queue holds" 0 many <<END
allow connect $log type dgram
END
got "waits for its room, and none is lost" log.got "uid=$uid fds=0 number .*" 2000
run_worker "a large one" 0 large <<END
allow connect $log type dgram
END
got "arrives whole" log.got "uid=$uid fds=0 100000" 1
run_worker "a second connect" 0 again <<END
allow connect $log $other type dgram
END
got "leads elsewhere" other.got "uid=$uid fds=0 two" 1

run_worker "what no rule allows" 0 refused <<END
allow connect $log type dgram
END
expect_text "is refused, each in its way" "EACCES EACCES EACCES EACCES ENOTSUP ENOTSUP EPERM EPROTONOSUPPORT" out
recorded "with a record that says so" 1 '"event":"deny"' '"op":"connect","asked":"[^"]*/data/other"' 'no rule'
recorded "an abstract name too" 1 '"event":"deny"' '"op":"connect"' '"peer":"@abstract"' 'a path alone'
recorded "and the cell's own places" 1 '"event":"deny"' '"asked":"/tmp/own"' 'nowhere inside'
run_worker "a socket of streams" 0 stream "$dir/run/log/stream" <<END
allow connect $dir/run/log/stream type dgram
END
expect_text "is of the wrong type, as natively" EPROTOTYPE out
recorded "and its record says that it failed" 1 '"event":"fail"' '"error":"EPROTOTYPE"'
run_worker "without type dgram in its rule" 0 stream <<END
allow connect $log
allow connect $notify type dgram
END
expect_text "a peer is denied" EACCES out
run_worker "without any type dgram" 1 stream <<END
allow connect $log
END
expect_text "there is no such socket at all" "PermissionError: [Errno 1]"
run_worker "the flags of the call" 0 flags <<END
allow connect $log type dgram
END
expect_text "are kept" "True 1 False" out

run_worker "a path that a symlink leads to" 0 syslog "$dir/run/dev-log" <<END
allow connect $dir/run/dev-log type dgram
END
got "is the socket it leads to" log.got "uid=$uid fds=0 <12>from a handler.*" 2
recorded "which the book says" 1 '"event":"grant"' '"asked":"[^"]*run/dev-log"' '"reached":"[^"]*run/log/dev-log"'
run_worker "and without connect" 0 notify "$dir/run/dev-log" <<END
allow connect $dir/run/dev-log type dgram
END
got "too" log.got "uid=$uid fds=0 READY=1" 1
if command -v logger >/dev/null; then
	cat >policy <<END
allow connect $log type dgram
END
	ledger=$dir/ledger.logger
	expect_status "logger(1)" 0 "$warder" run -q -p policy --ledger "$ledger" --time 60s -- \
		logger -u "$log" --socket-errors=on "from logger"
	wait_until grep -q "from logger" log.got
	check "logs" test "$(grep -c 'from logger' log.got)" -eq 1
	recorded "by one record" 1 '"event":"grant"' '"op":"connect"' 'dev-log'
else
	skip "logger(1)" "logger is missing; install bsdutils"
fi
# /dev/log itself, which is the host's: in a /dev of this test's own, which takes root to make.
if [ "$(id -u)" = 0 ]; then
	cat >dev.sh <<'END'
t=$(mktemp -d) && mount -t tmpfs none "$t" || exit 1
for n in null zero full random urandom tty; do
	touch "$t/$n" && mount --bind "/dev/$n" "$t/$n" || exit 1
done
mkdir "$t/pts" "$t/shm" && mount --rbind /dev/pts "$t/pts" && ln -s pts/ptmx "$t/ptmx" &&
	ln -s /proc/self/fd "$t/fd" && ln -s "$1" "$t/log" && mount --move "$t" /dev || exit 1
shift
exec "$@"
END
	echo "allow connect /dev/log type dgram" >policy
	ledger=$dir/ledger.libc
	expect_status "syslog(3), which knows /dev/log alone" 0 unshare -m sh dev.sh "$log" "$warder" \
		run -q -p policy --ledger "$ledger" --time 60s -- \
		"$python" -c 'import syslog; syslog.syslog("from libc")'
	wait_until grep -q "from libc" log.got
	check "logs" test "$(grep -c 'from libc' log.got)" -eq 1
	recorded "by one record" 1 '"event":"grant"' '"asked":"/dev/log"' '"reached":"[^"]*dev-log"'
fi
finish
