#!/bin/sh
# SPDX-License-Identifier: MIT
# cgroup.sh - limits of memory and tasks: of a process on every host, of the whole cell where a
# control group is delegated.
#
# Which of the two this host allows is asked of warder doctor; `make check-vm` runs both, with what
# makes a group for one command in SCOPE.  RUN_ALONE: control groups are the whole machine's.
. "$(dirname "$0")/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { echo "1..0 # SKIP $python is missing; install python3"; exit 0; }

scope=
[ "$(id -u)" != 0 ] || scope=${SCOPE:-}
mkdir data
cat >data/memory.py <<'END'
import mmap, os, signal
kids = []
for i in range(6):
    pid = os.fork()
    if pid == 0:
        m = mmap.mmap(-1, 90 << 20)
        for at in range(0, len(m), 4096): m[at] = 1
        signal.pause()
    kids.append(pid)
import time
for i in range(1200):
    done = [k for k in kids if os.path.exists("/proc/%d" % k) and "State:\tZ" in open("/proc/%d/status" % k).read()]
    rss = sum(int(l.split()[1]) for k in kids for l in open("/proc/%d/status" % k) if l.startswith("VmRSS"))
    if done or rss > 6 * (90 << 10): break
    time.sleep(0.1)
for k in kids: os.kill(k, signal.SIGTERM)
print(sum(os.waitpid(k, 0)[1] == signal.SIGKILL for k in kids), "killed")
END
cat >data/tasks.py <<'END'
import os, signal
kids = []
try:
    for i in range(60):
        pid = os.fork()
        if pid == 0: signal.pause()
        kids.append(pid)
except OSError as e:
    print(e.strerror)
for k in kids: os.kill(k, signal.SIGKILL)
print("made", len(kids))
END

in_cell() { # name, script, setting...
	name=$1
	script=$2
	shift 2
	# shellcheck disable=SC2086 # words
	expect_status "$name" 0 $scope "$warder" run -q --ledger "$dir/ledger.$n_tests" --status-fd 9 "$@" \
		-e "allow read $dir/data/" -- "$python" "$dir/data/$script" 9>status
}

# Nobody's processes but the worker's are counted there.
in_cell "so many tasks" tasks.py --tasks 20
check "and no more" grep -qx "made 19" out
groups() { find /sys/fs/cgroup -maxdepth 8 -name "warder-*.cell" 2>/dev/null; }
# shellcheck disable=SC2086 # words
told=$($scope "$warder" doctor | grep '^cgroup')
case $told in
*"for the whole cell"*)
	in_cell "what all of a cell take together" memory.py --memory 300M
	check "is limited" sh -c '! grep -qx "0 killed" out'
	check "which is told" sh -c '! grep -q "\"oom_killed\":0" status'
	in_cell "without a limit" memory.py
	check "all of it is there" grep -qx "0 killed" out
	check "and nobody was ended" grep -q '"oom_killed":0' status
	;;
*"limits are of each process: "*)
	in_cell "each process has the limit for itself" memory.py --memory 300M
	check "so that together they have more" grep -qx "0 killed" out
	check "and nobody was ended" grep -q '"oom_killed":0' status
	check "and no group was made" test -z "$(groups)"
	;;
*)
	not_ok "warder doctor says which it is" "$told"
	;;
esac

finish
