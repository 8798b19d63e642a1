#!/bin/sh
# SPDX-License-Identifier: MIT
# lifecycle.sh - whoever dies, nobody is left over and nothing is granted.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"
mkfifo "$dir/end"

# How many processes have this word as an argument: the word is this test's own.
alive() { # word
	grep -lzs "^$1\$" /proc/[0-9]*/cmdline | grep -c .
}

# Waits at most 30 s until a word's processes are as many as told.
until_alive() { # word, count
	i=0
	while [ "$(alive "$1")" -ne "$2" ] && [ $i -lt 600 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	is "$(alive "$1")" "$2"
}

start() { # word: a cell whose worker and grandchild sleep
	"$warder" run -q --ledger "$ledger" $options --status-fd 8 -- \
		sh -c "sleep $1 & sleep $1" 8>"$dir/status" >"$dir/out" 2>&1 </dev/null &
	broker=$!
	until_alive "$1" 2
}

for root in view empty; do
	word=98765$$.1
	options="--root $root"
	check "${root}_cell_runs" start $word
	# What it knows is not left in a file when it dies either.
	check "${root}_broker_leaves_no_core" grep -qE '^Max core file size +0 +0 ' "/proc/$broker/limits"
	kill -9 $broker
	check "${root}_cell_dies_with_its_broker" until_alive $word 0
	wait $broker 2>/dev/null
done
options=

word=98765$$.2
check "cell_runs_again" start $word
worker=$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$dir/status" | head -n 1)
check "status_names_the_worker" test -n "$worker"
kill -9 "$worker"
wait $broker
check "killed_worker_is_128_and_9" is $? 137
check "its_children_died_with_it" until_alive $word 0
check "its_end_is_in_the_ledger" is "$(events exit) $(events end)" "1 1"

word=98765$$.3
start $word
kill -TERM $broker
wait $broker
check "terminated_broker_is_not_success" test $? -ne 0
check "nothing_is_left_of_its_cell" until_alive $word 0

# The dialer, which holds all network code, is there where a socket leads out, and ends with its
# broker. Who is its child has no name of this test's: it is found while the broker lives. One that
# has ended and waits for its new parent has no program any more.
dialer_of() { # broker
	for p in /proc/[0-9]*; do
		grep -qs "^PPid:[[:space:]]*$1\$" "$p/status" || continue
		[ "$(tr '\0' ' ' <"$p/cmdline" 2>/dev/null)" != "warder-dialer 3 " ] || echo "${p#/proc/}"
	done
}
until_ended() { # pid
	i=0
	while [ -s "/proc/$1/cmdline" ] && [ $i -lt 1200 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	test ! -s "/proc/$1/cmdline"
}

word=98765$$.5
options=
start $word
check "without_a_socket_rule_there_is_no_dialer" is "$(dialer_of $broker)" ""
kill -9 $broker
wait $broker 2>/dev/null
until_alive $word 0
echo 'allow connect 127.0.0.1:9' >"$dir/sockets.policy"
chmod 644 "$dir/sockets.policy"
n=0
for root in view empty; do
	for way in KILL TERM worker; do
		n=$((n + 1))
		word=98765$$.5$n
		options="--root $root -p $dir/sockets.policy"
		start $word
		dialer=$(dialer_of $broker)
		check "${root}_has_a_dialer_$n" test -n "$dialer"
		case $way in
		worker) kill -9 "$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$dir/status" | head -n 1)" ;;
		*) kill -$way $broker ;;
		esac
		wait $broker 2>/dev/null
		check "${root}_dialer_ends_after_$way" until_ended "$dialer"
		check "${root}_worker_ends_after_$way" until_alive "$word" 0
	done
done
options=

# One that hangs is killed by the kernel.
word=98765$$.6
options="-p $dir/sockets.policy"
start $word
dialer=$(dialer_of $broker)
kill -STOP "$dialer"
kill -9 $broker
wait $broker 2>/dev/null
check "a_stopped_dialer_ends_too" until_ended "$dialer"
start $word
dialer=$(dialer_of $broker)
kill -STOP "$dialer"
kill -TERM $broker
wait $broker 2>/dev/null
check "a_stopped_dialer_holds_up_no_end" until_ended "$dialer"
options=

# Thirty cells (or CELLS) leave no process behind: neither zombies of ours nor sleepers of theirs.  The word is
# an argument of the broker, of the cell's init and of the worker too.
children() {
	wc -w <"/proc/$$/task/$$/children"
}
i=0
word=98765$$.7
before=$(children)
while [ $i -lt "${CELLS:-30}" ]; do
	inside sh -c 'sleep "$1" & exit 3' sh $word
	[ $status -eq 3 ] || break
	i=$((i + 1))
done
check "thirty_cells_end_as_they_should" is $i "${CELLS:-30}"
check "thirty_cells_leave_no_process" until_alive $word 0
check "and_none_that_nobody_has_waited_for" is "$(children)" "$before"

# No name leads to the broker, nor to another of its cell: none of their sockets has one.  Root alone is
# told which they are.
names_of() { # pid: of its sockets
	for f in /proc/$1/fd/*; do
		inode=$(readlink "$f" | sed -n 's/^socket:\[\(.*\)\]$/\1/p')
		[ -z "$inode" ] || awk -v "inode=$inode" '$7 == inode && NF > 7 { print $8 }' /proc/net/unix
	done
}
sockets_of() { # pid: how many
	for f in /proc/$1/fd/*; do readlink "$f"; done | grep -c '^socket:'
}
if [ "$(id -u)" = 0 ]; then
	word=98765$$.8
	start $word
	cell=$(cat "/proc/$broker/task/$broker/children")
	check "control_the_broker_has_sockets" test "$(sockets_of $broker)" -gt 1
	check "no_name_leads_to_the_broker" is "$(for p in $broker $cell; do names_of "$p"; done)" ""
	kill $broker
	wait $broker 2>/dev/null
	python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1)
print("bound", flush=True); sys.stdin.read()' "$dir/named" <"$dir/end" >"$dir/said" 2>&1 &
	named=$!
	exec 9>"$dir/end"
	i=0
	until grep -q bound "$dir/said" || [ $i -ge 200 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	check "control_one_that_has_a_name_is_found" is "$(names_of $named)" "$dir/named"
	exec 9>&-
	wait $named
fi

# Poor starts: whatever is too little, it either runs in its cell or says why not.
secret=$dir/secret
echo loose >"$secret"
poor() { # prlimit option
	prlimit "$@" -- "$warder" run -q --ledger "$ledger" -- \
		sh -c "[ ! -e $secret ] || echo loose; echo contained" >"$dir/out" 2>&1 </dev/null
	s=$?
	! grep -q loose "$dir/out" || return 1
	{ [ $s -eq 0 ] && grep -q contained "$dir/out"; } || [ $s -ge 125 ]
}
for n in 3 4 6 8 12 16 24 32; do
	check "starts_or_says_why_with_${n}_descriptors" poor --nofile=$n
done
# Where nothing has been passed to another process yet, which the kernel counts by user, it is this alone.
check "too_few_descriptors_do_not_start" poor --nofile=12
check "and_are_named_with_the_remedy" grep -q 'Too many open files; raise `ulimit -n`, to 64 at least$' "$dir/out"
for n in 1 20 60 200; do
	check "starts_or_says_why_with_${n}_MiB" poor --as=$((n * 1048576))
done
check "starts_or_says_why_with_a_small_stack" poor --stack=65536
check "starts_or_says_why_without_processes" poor --nproc=1
check "starts_or_says_why_without_file_size" poor --fsize=0

# A storm of signals: the broker takes them as messages, and every open is answered.
rm -f "$ledger"
"$warder" run -q --ledger "$ledger" -- sh -c 'i=0; while [ $i -lt 400 ]; do : </etc/ld.so.cache;
	/bin/true; i=$((i+1)); done; echo done' >"$dir/out" 2>&1 </dev/null &
broker=$!
i=0
while kill -WINCH $broker 2>/dev/null && kill -CHLD $broker 2>/dev/null && [ $i -lt 20000 ]; do
	i=$((i + 1))
done
wait $broker
check "storm_of_signals_harms_nobody" is "$? $(cat "$dir/out")" "0 done"
check "storm_was_one" test $i -gt 100

# Another process of the same user: the broker is not to be looked into.
if [ "$(id -u)" != 0 ]; then
	word=98765$$.4
	start $word
	sleep 66 &
	plain=$!
	check "control_an_ordinary_process_is_readable" test -r /proc/$plain/environ
	check "broker_is_not_readable_for_its_own_user" sh -c "! cat /proc/$broker/environ 2>/dev/null"
	check "broker_descriptors_are_not_either" sh -c "! ls /proc/$broker/fd/ 2>/dev/null"
	# A child may be traced wherever a stranger may not.
	seize='import ctypes, os, signal, sys
pid = int(sys.argv[1]) or os.fork()
if pid == 0: signal.pause()
print(ctypes.CDLL(None).ptrace(0x4206, pid, None, None)) # PTRACE_SEIZE
if sys.argv[1] == "0": os.kill(pid, 9)'
	check "control_an_ordinary_process_is_traced" is "$(python3 -c "$seize" 0)" 0
	check "broker_is_not_traced" is "$(python3 -c "$seize" $broker)" -1
	kill $plain $broker
	wait
fi
finish
