#!/bin/sh
# SPDX-License-Identifier: MIT
# placement.sh - who converses with the broker is kept beside it; nobody is left there.
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || { skip "placement" "needs python3"; finish; }
[ "$(nproc)" -gt 1 ] || { skip "placement" "needs two CPUs"; finish; }
mkdir data && echo hello >data/file
cpus=$(nproc)

# Asks often enough to be held, and starts a program in the middle of it.
cat >asks.py <<'END'
import os, sys, time
least = 1 << 30
for i in range(2000):
    open("file").close()
    least = min(least, len(os.sched_getaffinity(0)))
print("held", least)
sys.stdout.flush()
for i in range(200):
    open("file").close()
os.spawnvp(os.P_WAIT, "nproc", ["nproc"])
time.sleep(0.1)
print("after", len(os.sched_getaffinity(0)))
END
asks() { # command before python
	"$warder" run -q -C "$dir/data" -e 'allow read ./' "$@" python3 -c "$(cat asks.py)" >out 2>err
}

asks --
check "a worker that asks often is held to one CPU" grep -qx "held 1" out
check "what it starts meanwhile has all of them" grep -qx "$cpus" out
check "and so has it when it has fallen silent" grep -qx "after $cpus" out
asks -- env --
check "so is a program that the worker runs" grep -qx "held 1" out
asks -- sh -c '"$@"; true' sh
check "and a child of the worker's" grep -qx "held 1" out
check "whose own children have all CPUs" grep -qx "$cpus" out
asks -- taskset -c 0
check "a program that was bound stays so" grep -qx "after 1" out

finish
