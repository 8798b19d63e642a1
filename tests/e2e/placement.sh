#!/bin/sh
# SPDX-License-Identifier: MIT
# placement.sh - who converses with the broker is kept beside it; nobody is left there.
. "$(dirname "$0")/lib.sh"

command -v python3 >/dev/null || { skip "placement" "needs python3"; finish; }
[ "$(nproc)" -gt 1 ] || { skip "placement" "needs two CPUs"; finish; }
mkdir data && echo hello >data/file
cpus=$(nproc)

# What each is held to is read from /proc: who counts his CPUs by asking for them is let go.
cat >common.py <<'END'
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
def say(*words):
    print(*words)
    sys.stdout.flush()
def of(pid):
    return os.open("/proc/%s/status" % pid, os.O_RDONLY)
status = of("self")
END

# Asks often enough to be held, and starts a program in the middle of it.
cat >asks.py <<'END'
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
# Forks while it is held, a child with a child of its own, and neither ever asks.
cat >forks.py <<'END'
def forked(meanwhile):
    wait, over = os.pipe()
    told, tell = os.pipe()
    say("held", ask(2000))
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild:
            os.write(tell, b"%d %d" % (os.getpid(), grandchild))
        os.close(over)
        os.read(wait, 1)
        os._exit(0)
    two = [of(int(pid)) for pid in os.read(told, 100).split()]
    for i in range(2000):
        if min(map(allowed, two)) == int(sys.argv[1]):
            break
        meanwhile()
    say("forked", *map(allowed, two))
    os.close(over)
    os.waitpid(child, 0)
forked(lambda: time.sleep(0.002))
forked(lambda: ask(10))
END
# One of its children chooses a CPU, while it is held.
cat >chooses.py <<'END'
say("held", ask(2000))
wait, over = os.pipe()
told, tell = os.pipe()
chooser = os.fork()
if chooser == 0:
    os.sched_setaffinity(0, {0})
    if os.fork() == 0:
        os.write(tell, b"%d" % os.getpid())
        os.close(over)
        os.read(wait, 1)
        ask(2000)
        say("inherited", allowed(of("self")))
        os._exit(0)
    os.close(over)
    os.wait()
    os._exit(0)
inherits = of(int(os.read(told, 100)))
say("held after that", ask(2000))
time.sleep(0.1)
say("chosen", allowed(of(chooser)), allowed(inherits))
os.close(over)
os.waitpid(chooser, 0)
END
runs() { # script, words before python
	script=$1
	shift
	"$warder" run -q -C "$dir/data" -e 'allow read ./' "$@" \
		python3 -c "$(cat common.py "$script")" "$cpus" >out 2>err
}
asks() { # command before python
	runs asks.py "$@"
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
check "and what it starts" grep -qx 1 out
runs forks.py --
check "what is forked meanwhile and never asks gets its CPUs back" \
	[ "$(grep -cx "forked $cpus $cpus" out)" = 2 ]
check "of one that was held" [ "$(grep -cx "held 1" out)" = 2 ]
runs chooses.py --
check "a CPU that was chosen is kept" grep -qx "chosen 1 1" out
check "and by who inherits it" grep -qx "inherited 1" out
check "of one that was held when it was chosen" grep -qx "held 1" out
check "from then on nobody is held" grep -qx "held after that $cpus" out

finish
