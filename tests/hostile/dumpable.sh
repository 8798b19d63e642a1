#!/bin/sh
# SPDX-License-Identifier: MIT
# dumpable.sh - a broker of root changes its ids for a call, and may be traced by nobody meanwhile.
#
# RUN_ONCE: an ordinary user's broker has no others.  What a change of them makes of "dumpable" is
# the host's fs.suid_dumpable, mostly 0: so it is told by the calls, and not by what came of them.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

why=
[ "$(id -u)" = 0 ] || why="needs root"
[ -n "$why" ] || strace -f -e trace=none true 2>/dev/null ||
	why="strace is missing, or may not trace here"
[ -n "$why" ] || [ -x /usr/bin/python3 ] || why="needs /usr/bin/python3"
[ -z "$why" ] || { skip "nobody_may_trace_a_broker_whose_ids_change" "$why"; finish; }

mkdir "$dir/theirs"
echo secret >"$dir/theirs/file"
chmod 600 "$dir/theirs/file"
cat >"$dir/probe" <<'END'
import os, socket, sys
print(open(sys.argv[1]).read().strip(), flush=True)
at = os.environ.get("TMPDIR", "/tmp") + "/inside"
s = socket.socket(socket.AF_UNIX); s.bind(at); s.listen(1)
c = socket.socket(socket.AF_UNIX); c.connect(at)
print("connected", flush=True)
END

timeout -k 5 60 strace -f -qq -o "$dir/trace" \
	-e trace=setresuid,setfsuid,prctl,openat2,connect,?poll,ppoll \
	"$warder" run -q --ledger "$ledger" -e "allow read $dir/theirs/ as broker" -- \
	/usr/bin/python3 -c "$(cat "$dir/probe")" "$dir/theirs/file" >"$dir/out" 2>&1 </dev/null
check "control_a_file_is_read_and_a_socket_connected_to" is "$(tr '\n' ' ' <"$dir/out")" \
	"secret connected "
check "which_is_a_grant" is "$(grep -c '"event":"grant".*theirs/file.*"fd":true' "$ledger")" 1
# The broker is the one that opens with other ids.  From its cage on, each change of the effective or
# the file system's uid is followed by the prctl(2), before any other of these calls.
broker=$(sed -nE 's/^([0-9]+) +setfsuid\(0\).*/\1/p' "$dir/trace" | sort -u | head -n 1)
awk -v broker="$broker" '
	$1 != broker { next }
	/prctl\(PR_SET_DUMPABLE, (SUID_DUMP_DISABLE|0)\) += 0/ { caged = 1; dirty = 0; next }
	!caged { next }
	/setfsuid\(-1\)/ { next }
	/setfsuid\(/ { match($0, /\([0-9]+/); to = substr($0, RSTART + 1, RLENGTH - 1)
		if ($NF != to) { dirty = 1; files++ }
		next }
	/setresuid\(/ { dirty = 1; ids++; next }
	/prctl\(/ { next }
	dirty { early++; if (!seen++) print "# " $0 >"/dev/stderr" }
	END { print early + 0, (files >= 2), (ids >= 2) }' "$dir/trace" >"$dir/order"
check "nobody_may_trace_a_broker_whose_ids_change" is "$(cat "$dir/order")" "0 1 1"
finish
