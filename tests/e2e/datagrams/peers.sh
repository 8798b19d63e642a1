# SPDX-License-Identifier: MIT
# peers.sh - Unix datagram sockets of the host that write down what they get, and a worker that sends
# to them.  Sourced after tests/e2e/lib.sh; the script adds data/worker.py.

python=/usr/bin/python3
[ -x "$python" ] || { skip "datagrams" "$python is missing; install python3"; finish; }

mkdir data run/log
chmod 755 run run/log data
cat >server.py <<'END'
# Each datagram is a line of NAME.got: the sender's uid, descriptors that came along, its text.
import os, socket, struct, sys
name = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(name)
os.chmod(name, 0o777)
out = open(sys.argv[2], "w", 1)
while True:
    data, extra, _, _ = s.recvmsg(300000, 1000)
    uid, fds = -1, 0
    for level, kind, c in extra:
        if kind == 2: uid = struct.unpack("3i", c[:12])[1]
        if kind == 1: fds += len(c) // 4
    out.write("uid=%d fds=%d %s\n" % (uid, fds, data.decode() if len(data) < 200 else len(data)))
END
serve() { # path, what it gets; its process is $server
	"$python" server.py "$1" "$2" &
	server=$!
	pids="$pids $server"
	wait_until test -S "$1" || echo "# no server at $1"
}
log=$dir/run/log/dev-log other=$dir/data/other
serve "$log" "$dir/log.got"
serve "$other" "$dir/other.got"

cat >data/common.py <<'END'
import errno, socket
D = socket.SOCK_DGRAM
def sock(): return socket.socket(socket.AF_UNIX, D)
def error(f, *a):
    try: f(*a)
    except OSError as e: return errno.errorcode[e.errno]
    return "0"
END
run_worker() { # name, status, policy lines on standard input, word [path]
	cat >policy
	echo "allow read $dir/data/" >>policy
	ledger=$dir/ledger.$n_tests.$3
	expect_status "$1" "$2" "$warder" run -q -p policy --ledger "$ledger" --time 60s -- \
		"$python" "$dir/data/worker.py" "$3" "${4:-$log}" "$other"
}
got() { # name, file, line, how often
	wait_until test "$(grep -cx "$3" "$dir/$2")" -ge "$4"
	n=$(grep -cx "$3" "$dir/$2")
	if [ "$n" -eq "$4" ]; then ok "$1"; else not_ok "$1" "$n times $3 in:" "$(tail -5 "$dir/$2")"; fi
}
recorded() { # name, how often, patterns...
	name=$1 wanted=$2
	shift 2
	cp "$ledger" lines
	for p in "$@"; do grep "$p" lines >lines.new; mv lines.new lines; done
	n=$(grep -c . lines)
	if [ "$n" -eq "$wanted" ]; then ok "$name"; else not_ok "$name" "$n lines, not $wanted:" "$(cat "$ledger")"; fi
}
uid=$([ "$(id -u)" = 0 ] && echo 65534 || id -u)
