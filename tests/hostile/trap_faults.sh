#!/bin/sh
# SPDX-License-Identifier: MIT
# trap_faults.sh - the broker fails or dies while it answers plain calls.
#
# Each call that it answers with fails once, and for good.  What a worker got is in the ledger, what
# could not be answered was not given, and no cell outlives its broker.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

mkdir "$dir/data" "$dir/w"
echo data >"$dir/data/a"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$dir/w"
# Five opens and five files made, by a shell that says what it got.
probe='cd "$0" || exit 9
for i in 0 1 2 3 4; do
	{ read -r x <data/a && [ "$x" = data ] && echo GIVEN; } 2>/dev/null
	{ echo x >w/$i && echo MADE; } 2>/dev/null
done
exit 0'

# ---- a broker that is killed with calls that wait ------------------------------------------------

alive() { # word
	grep -lzs "^$1\$" /proc/[0-9]*/cmdline | grep -c .
}

until_alive() { # word, count: waits at most 20 s
	i=0
	while [ "$(alive "$1")" -ne "$2" ] && [ $i -lt 400 ]; do
		sleep 0.05
		i=$((i + 1))
	done
	is "$(alive "$1")" "$2"
}

word=trapfaults$$
"$warder" run -q --ledger "$ledger" -e "allow read $dir/data/" -- sh -c \
	"(while :; do : <$dir/data/a; done) & while :; do : <$dir/data/a; done" $word \
	>"$dir/out" 2>&1 </dev/null &
broker=$!
i=0
while [ "$(events grant)" -lt 100 ] && [ $i -lt 400 ]; do
	sleep 0.05
	i=$((i + 1))
done
check "calls_are_served" test "$(events grant)" -ge 100
kill -STOP $broker
# Until both wait for an answer: the numbers of their records stand still.
before=-1
while [ "$(events grant)" -ne "$before" ]; do
	before=$(events grant)
	sleep 0.2
done
check "control_the_cell_waits_for_its_broker" test "$(alive $word)" -ge 2
kill -KILL $broker
wait $broker 2>/dev/null
check "a_killed_broker_ends_a_cell_whose_calls_wait" until_alive $word 0
check "nothing_was_granted_after_it" is "$(events grant)" "$before"

# ---- calls that fail -----------------------------------------------------------------------------

if ! strace -f -e trace=none true 2>/dev/null; then
	skip "no_failing_call_gives_what_is_not_written_down" "strace is missing, or may not trace here"
	finish
fi

# Only the broker is traced: a fault in the shell would hide what it got.  Its domain lets it read
# data/ (`exec`), so that the broker alone keeps it from what has no record.
run() { # strace options
	rm -f "$ledger" "$dir"/w/?
	timeout -k 5 60 strace -qq -o "$dir/trace" "$@" "$warder" run -q \
		--ledger "$ledger" -e "allow read,exec $dir/data/" -e "allow rw $dir/w/" -- \
		sh -c "$probe" "$dir" >"$dir/out" 2>&1 </dev/null
	status=$?
}

# What was got is written down: as many reads, and as many files as were made.  A record that a later
# one is about ("of") came to nothing.
delivered() { # pattern of a path
	grep -oE '"of":[0-9]+' "$ledger" | sed 's/"of":\(.*\)/^{"seq":\1,/' >"$dir/undone"
	grep "\"event\":\"grant\".*\"reached\":\"$1.*\"fd\":true" "$ledger" | grep -cvf "$dir/undone"
}
held() {
	given=$(grep -c '^GIVEN' "$dir/out")
	made=$(grep -c '^MADE' "$dir/out")
	reads=$(delivered "$dir/data/a" 2>/dev/null)
	makes=$(delivered "$dir/w/" 2>/dev/null)
	[ "$given" -le "${reads:-0}" ] && [ "$made" -le "${makes:-0}" ]
}

run -e trace=none
check "control_all_is_given" is \
	"$(grep -c GIVEN "$dir/out") $(grep -c MADE "$dir/out") $(grep -c '"fd":true' "$ledger")" "5 5 10"
held_all=1 runs=0
# Another call stands in the place of one that fails: for -1, which strace takes if nothing is said,
# the broker's filter would kill it.
try() { # injection
	run -e "trace=${1%%:*}" -e "inject=${1%%:*}:syscall=getpid:${1#*:}"
	grep -q INJECTED "$dir/trace" || return 1
	runs=$((runs + 1))
	held && return
	echo "# $1: given $given of $reads recorded, made $made of $makes:"
	sed 's/^/#   /' "$dir/out"
	held_all=0
}
for call in process_vm_readv readlinkat openat2 ioctl write writev pidfd_getfd fstat fcntl; do
	try "$call:error=EINTR:when=3+7"
	try "$call:error=EIO:when=5+"
done
try "ioctl:error=EMFILE:when=20+3"
try "ioctl:error=EINPROGRESS:when=20+3"
try "write:retval=7:when=8+9"
try "process_vm_readv:retval=1:when=2+3"
# Each descriptor on its way into the caller's table: the call never goes on instead.
run -e trace=ioctl
stopped=
for n in $(grep '^ioctl(' "$dir/trace" | grep -n ADDFD | cut -d: -f1); do
	for error in EMFILE EIO EINTR; do
		try "ioctl:error=$error:when=$n"
		! grep -q 'ADDFD.*INJECTED' "$dir/trace" || stopped="$stopped $error"
	done
done
# Which use of ioctl(2) one is differs a little from run to run.
for error in EMFILE EIO EINTR; do
	check "a_descriptor_is_stopped_on_its_way_by_$error" test "${stopped%"$error"*}" != "$stopped"
done
echo "# $runs failing calls tried"
check "no_failing_call_gives_what_is_not_written_down" is $held_all 1
check "faults_were_injected" test $runs -gt 12
held_all=1
for call in process_vm_readv openat2 ioctl write; do
	run -e trace=$call -e inject=$call:signal=SIGKILL:when=12
	grep -q SIGKILL "$dir/trace" || { echo "# $call: not killed"; held_all=0; }
	held || { echo "# killed at $call"; held_all=0; }
done
check "a_broker_killed_at_a_call_gave_nothing_unwritten" is $held_all 1
finish
