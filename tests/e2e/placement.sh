#!/bin/sh
# SPDX-License-Identifier: MIT
# placement.sh - who converses with the broker is kept beside it; nobody is left there.
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || { skip "placement" "needs python3"; finish; }
[ "$(nproc)" -gt 1 ] || { skip "placement" "needs two CPUs"; finish; }
mkdir data && echo hello >data/file
cpus=$(nproc)

# Asks often enough to be held, and starts a program in the middle of it.  What it is held to is read
# from /proc: who counts his CPUs by asking for them is let go.
cat >asks.py <<'END'
import os, sys, threading, time
def allowed(fd):
    for line in os.pread(fd, 4096, 0).decode().split("\n"):
        if line.startswith("Cpus_allowed:"):
            return bin(int(line.split()[1].replace(",", ""), 16)).count("1")
def ask(times):
    least = 1 << 30
    for i in range(times):
        open("file").close()
        least = min(least, allowed(status))
    return least
status = os.open("/proc/self/status", os.O_RDONLY)
print("held", ask(2000))
print("counted", len(os.sched_getaffinity(0)))
sys.stdout.flush()
ask(1000)
os.spawnvp(os.P_WAIT, "nproc", ["nproc"])
ask(1000)
started, over = threading.Event(), threading.Event()
def thread():
    started.set()
    over.wait()
t = threading.Thread(target=thread)
t.start()
started.wait()
time.sleep(0.1)
print("thread", allowed(os.open("/proc/self/task/%d/status" % t.native_id, os.O_RDONLY)))
over.set()
t.join()
print("after", allowed(status))
END
asks() { # command before python
	"$warder" run -q -C "$dir/data" -e 'allow read ./' "$@" python3 -c "$(cat asks.py)" >out 2>err
}

asks --
check "a worker that asks often is held to one CPU" grep -qx "held 1" out
check "who counts his CPUs has all of them" grep -qx "counted $cpus" out
check "what it starts meanwhile has all of them" grep -qx "$cpus" out
check "a thread that never asks has all of them" grep -qx "thread $cpus" out
check "and so has it when it has fallen silent" grep -qx "after $cpus" out
asks -- env --
check "so is a program that the worker runs" grep -qx "held 1" out
asks -- sh -c '"$@"; true' sh
check "and a child of the worker's" grep -qx "held 1" out
check "whose own children have all CPUs" grep -qx "$cpus" out
check "and whose threads" grep -qx "thread $cpus" out
asks -- taskset -c 0
check "a program that was bound stays so" grep -qx "after 1" out

finish
