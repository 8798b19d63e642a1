#!/bin/sh
# SPDX-License-Identifier: MIT
# faults.sh - each system call of a start and of a session fails once.
#
# Under strace, the Nth use of each call fails with an errno.  Whatever comes of it, a worker that
# runs is contained, and a descriptor that arrived is in the ledger.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

if ! strace -f -e trace=none true 2>/dev/null; then
	skip "a_failing_call_never_loosens_the_cell" "strace is missing, or may not trace here"
	finish
fi

mkdir "$dir/hidden" "$dir/data"
echo data >"$dir/data/a"
asker=$BUILD/tests/hostile/grants
# Loose: sees what no rule names, or has no filter.  The shell alone finds out: another program
# that fails would look like an escape.
probe="while read -r k v; do case \$k in Seccomp:) s=\$v ;; esac; done </proc/self/status
[ -e $dir/hidden ] || [ \"\$s\" = 0 ] && echo LOOSE || echo CONTAINED
$asker --ask $dir/data/a"
# Both starts differ in their first half alone; the user's is tried in depth.
uses=1
[ "$(id -u)" = 0 ] || uses="1 2"

run() { # strace options
	rm -f "$ledger"
	timeout -k 5 30 strace -f -qq -o "$dir/trace" "$@" "$warder" run -q --ledger "$ledger" \
		--runtime "${asker%/*}" -e "allow read $dir/data/" -- sh -c "$probe" \
		>"$dir/out" 2>&1 </dev/null
	status=$?
}

# 0: nothing got out.
held() {
	grep -q LOOSE "$dir/out" && return 1
	given=$(grep -c '^GIVEN' "$dir/out")
	[ "$given" -le "$(events grant)" ]
}

run -e trace=all
check "control_the_asker_is_given_its_file" is \
	"$(grep -cE '^(CONTAINED|GIVEN)' "$dir/out") $(events grant)" "2 1"
calls=$(sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' "$dir/trace" | sort -u)
sh -c "$probe" >"$dir/out" 2>&1
check "control_the_probe_is_loose_outside" grep -q LOOSE "$dir/out"

# What makes the cell: missing for good, the start must fail.  All of these are what a start uses.
for call in landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp clone3 mount \
	mount_setattr open_tree move_mount pivot_root setns capset close_range unshare prctl; do
	check "a_start_uses_$call" sh -c "echo '$calls' | grep -qx $call"
	run -e trace=$call -e inject=$call:error=ENOSYS
	check "start_fails_without_$call" sh -c \
		"[ $status -ge 125 ] && ! grep -qE 'LOOSE|CONTAINED' $dir/out"
done

# Everything once.  Another call stands in the place of one that fails: for -1, which strace takes if
# nothing is said, the broker's filter would kill it.
held_all=1 runs=0
for call in $calls; do
	case $call in
	# strace cannot make these fail, or they do not return.
	exit | exit_group | rt_sigreturn | restart_syscall) continue ;;
	# As the kernel fails: brk has no errno, and takes back nothing; a wait for a child that is
	# there can be interrupted alone.  Otherwise libc's heap, and init, wait for what cannot come.
	brk) fault=retval=0 ;;
	wait4) fault=error=EINTR ;;
	*) fault=error=ENOMEM ;;
	esac
	for n in $uses; do
		run -e trace=$call -e inject=$call:$fault:syscall=getpid:when=$n
		grep -q INJECTED "$dir/trace" || break
		runs=$((runs + 1))
		held || { echo "# $call, use $n:"; sed 's/^/#   /' "$dir/out"; held_all=0; }
	done
done
echo "# $runs failing calls tried"
check "a_failing_call_never_loosens_the_cell" is $held_all 1
check "faults_were_injected" test $runs -gt 30

# Who has this test's directory among his arguments: broker, init and worker have.  The word stands in
# a file with a name of its own, so that who looks for it is none of them.
echo "$dir/" >"$dir/word"
somebody_left() {
	(cd "$dir" && cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -qFf word)
}
nobody_left() {
	i=0
	while somebody_left; do
		[ $i -lt 200 ] || return 1
		sleep 0.05
		i=$((i + 1))
	done
}
sh -c 'while :; do sleep 1; done' "$dir/" &
other=$!
i=0
while ! somebody_left && [ $i -lt 200 ]; do # it may not be the shell yet
	sleep 0.05
	i=$((i + 1))
done
check "control_who_is_left_is_found" somebody_left
kill $other
wait $other 2>/dev/null

# The broker's own death at each use of the calls that write and send.
held_all=1 ended_all=1
for call in write sendmsg recvmsg openat2 recvfrom sendto writev; do
	for n in 1 2 3; do
		run -e trace=$call -e inject=$call:signal=SIGKILL:when=$n
		held || { echo "# killed at $call, use $n"; held_all=0; }
		nobody_left || { echo "# killed at $call, use $n, somebody is left"; ended_all=0; }
	done
done
check "a_killed_process_grants_nothing_unrecorded" is $held_all 1
check "nobody_of_its_cell_is_left" is $ended_all 1
finish
