#!/bin/sh
# SPDX-License-Identifier: MIT
# callers.sh - callers that are stopped, frozen or gone while the broker has their call.
#
# RUN_ONCE: root chooses the numbers of processes, and freezes a control group.
# RUN_ALONE: for the numbers.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

pids=
ended() {
	# shellcheck disable=SC2086 # a list
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
	[ -z "${group:-}" ] || { echo 0 >"$group/cgroup.freeze"; sleep 0.1; rmdir "$group"; } 2>/dev/null
	rm -rf "$dir"
}
trap ended EXIT

mkdir "$dir/data"
for name in aaaa bbbb; do
	echo $name >"$dir/data/$name"
done
[ "$(id -u)" != 0 ] || chown -R 65534:65534 "$dir/data"

until_true() { # command...: at most 20 s
	for _ in $(seq 400); do
		"$@" && return
		sleep 0.05
	done
	return 1
}

# The worker, a child of the broker's beside init.
find_worker() {
	# shellcheck disable=SC2046 # a list
	set -- $(cat "/proc/$broker/task/$broker/children" 2>/dev/null)
	[ $# -ge 2 ] && worker=$2
}

start() { # python program [output]: the broker and the worker, whose input is $dir/in
	rm -f "$ledger" "$dir/in"
	mkfifo "$dir/in"
	"$warder" run -q --ledger "$ledger" --time 60s -e "allow rw $dir/data/" -C "$dir/data" -- \
		python3 -c "$1" <"$dir/in" >"${2:-$dir/out}" 2>&1 &
	broker=$!
	pids="$pids $broker"
	exec 3>"$dir/in"
	[ -n "${2:-}" ] || until_true grep -qs ready "$dir/out"
	until_true find_worker
}

# ---- gone, and its number another's ----------------------------------------------------------------

# A child calls, is killed while the broker has its call, and is reaped; the next child has its
# number, and at the same address another path.
program="
import ctypes, os, signal, sys, time
libc = ctypes.CDLL(None)
path = ctypes.create_string_buffer(b'aaaa')
sys.stdout.write('ready\n'); sys.stdout.flush()
def child(text, calls):
    pid = os.fork()
    if pid == 0:
        path.value = text
        if calls:
            os.read(0, 1)
            libc.open(path, 0)
        os.write(1, b'there\n')
        time.sleep(100)
    return pid
os.read(0, 3)
first = child(b'aaaa', True)
os.waitpid(first, 0)
os.write(1, b'reaped\n')
os.read(0, 3)
second = child(b'bbbb', False)
os.read(0, 3)
os.kill(second, signal.SIGKILL)
os.write(1, b'over\n')
"

first=
first_child() {
	# It is a line without an end.
	read -r first _ <"/proc/$worker/task/$worker/children" || [ -n "$first" ]
}

# What the worker says next.  Nothing is forked for it: that would take the number.
hear() {
	read -r heard <&5 && [ "$heard" = "$1" ] || echo "heard \"$heard\", not \"$1\""
}

reuse() {
	mkfifo "$dir/says"
	exec 5<>"$dir/says"
	start "$program" "$dir/says"
	hear ready
	find_worker
	echo aa >&3
	until_true first_child
	strace -qq -o "$dir/trace" -e trace=process_vm_readv,ioctl \
		-e inject=process_vm_readv:delay_enter=3000000:when=1 -p "$broker" 2>"$dir/strace.err" &
	pids="$pids $!"
	until_true grep -q "TracerPid:.$!\$" "/proc/$broker/status"
	printf c >&3
	# The broker has taken the call in, and is about to read the path.
	until_true grep -q NOTIF_RECV "$dir/trace"
	kill -KILL "$first"
	hear reaped
	echo $((first - 1)) >/proc/sys/kernel/ns_last_pid
	echo bb >&3
	hear there
	read -r second _ <"/proc/$worker/task/$worker/children"
	[ "$second" = "$first" ] && echo reused
	until_true grep -q NOTIF_ID_VALID "$dir/trace"
	grep -q 'process_vm_readv(.*) = [1-9]' "$dir/trace" && echo read
	grep -q 'NOTIF_ID_VALID.* = -1 ENOENT' "$dir/trace" && echo refused
	echo cc >&3
	hear over
	exec 3>&-
	wait "$broker"
	echo "status $?"
	echo "records $(grep -c '"asked":"[^"]*data/[ab]*"' "$ledger")"
}

if [ -n "${IN_NAMESPACE:-}" ]; then
	reuse
	exit
fi

# ---- stopped and frozen ----------------------------------------------------------------------------

calls=400
program="
import os
print('ready', flush=True)
input()
for i in range($calls):
    os.mkdir('d%d' % i)
    with open('aaaa') as f:
        assert f.read() == 'aaaa\n'
    os.rmdir('d%d' % i)
print('all', flush=True)
"

holds() { # how: each call was made once, and the session lived
	exec 3>&-
	wait "$broker"
	check "$1_callers_get_each_answer_once" is "$? $(tail -n 1 "$dir/out")" "0 all"
	check "$1_callers_calls_are_each_in_the_book" is \
		"$(grep -c '"event":"grant".*"op":"mkdir"' "$ledger")" $calls
}

is_in_a_call() { # it waits in a trapped call: that of mkdir
	read -r call _ <"/proc/$worker/syscall" && [ "$call" = "$mkdir_nr" ]
}
case $(uname -m) in
x86_64) mkdir_nr=83 ;;
*) mkdir_nr=34 ;;
esac

# While the broker has not taken the call in, and at any moment.
disturb() { # freeze command, thaw command
	kill -STOP "$broker"
	echo go >&3
	until_true is_in_a_call || echo "# the worker is not in mkdir: $(cat "/proc/$worker/syscall")"
	$1
	kill -CONT "$broker"
	sleep 0.1
	$2
	n=0
	while ! grep -q all "$dir/out" && [ -d "/proc/$worker" ] && [ $n -lt 1000 ]; do
		$1
		sleep 0.003
		$2
		sleep 0.003
		n=$((n + 1))
	done
}

stop() {
	kill -STOP "$worker" 2>/dev/null
}
go_on() {
	kill -CONT "$worker" 2>/dev/null
}
start "$program"
disturb stop go_on
holds stopped
check "stopped_while_it_called" test "$n" -gt 5

freeze() {
	echo 1 >"$group/cgroup.freeze"
}
thaw() {
	echo 0 >"$group/cgroup.freeze"
}
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
group=$mount/warder-test-$$
if [ -n "$mount" ] && mkdir "$group" 2>/dev/null && [ -w "$group/cgroup.freeze" ]; then
	start "$program"
	echo "$worker" >"$group/cgroup.procs"
	disturb freeze thaw
	holds frozen
	check "frozen_while_it_called" test "$n" -gt 5
else
	group=
	skip "frozen_callers_get_each_answer_once" "needs a cgroup v2 file system that may be written"
fi

# ---- and gone, in a namespace whose numbers are chosen -----------------------------------------------

if [ "$(id -u)" = 0 ] && command -v strace >/dev/null; then
	IN_NAMESPACE=yes unshare --pid --fork --mount-proc "$0" >"$dir/out" 2>&1
	check "control_the_next_process_with_the_number_is_read" is \
		"$(sed -n 1,2p "$dir/out" | tr '\n' ' ')" "reused read "
	check "whose_caller_is_gone_is_not_served" is \
		"$(sed 1,2d "$dir/out" | tr '\n' ' ')" "refused status 0 records 0 "
else
	skip "whose_caller_is_gone_is_not_served" "needs root and strace"
fi
finish
