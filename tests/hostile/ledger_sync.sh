#!/bin/sh
# SPDX-License-Identifier: MIT
# ledger_sync.sh - `ledger sync batch`: the disk fails, and a worker gets nothing that is not on it.
#
# In place of the fdatasync(2) that fails strace makes a getpid(2): a call by no number at all, which
# it makes unless told, would be the broker's end by its own filter.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

mkdir "$dir/data" "$dir/w"
echo data >"$dir/data/a"
mkfifo "$dir/data/fifo"
chmod 666 "$dir/data/fifo"
[ "$(id -u)" != 0 ] || chown 65534:65534 "$dir/w"
# Three opens, one by a child of the broker's, and two files made: what came of each.
cat >"$dir/probe" <<'END'
cd "$0" || exit 9
see() { { read -r x <data/$1 && [ "$x" = data ] && echo GIVEN; } 2>&1; }
see a
see a
{ : <>data/fifo && echo GIVEN; } 2>&1
for i in 0 1; do { echo x >w/$i && echo MADE; } 2>&1; done
exit 0
END

if ! strace -f -e trace=none true 2>/dev/null; then
	skip "what_is_not_on_disk_is_not_given" "strace is missing, or may not trace here"
	finish
fi

run() { # the setting or "", strace options
	setting=$1
	shift
	rm -f "$ledger" "$dir"/w/?
	timeout -k 5 30 strace -f -qq -o "$dir/trace" "$@" "$warder" run -q --ledger "$ledger" \
		${setting:+--ledger "$setting"} -e "allow rw $dir/data/ type fifo" \
		-e "allow rw $dir/w/" -- sh -c "$(cat "$dir/probe")" "$dir" >"$dir/out" 2>&1 </dev/null
	status=$?
}

calls() { # how many of them the broker made
	grep -cE '^[0-9]+ +fdatasync\(' "$dir/trace"
}

given() {
	grep -cE '^(GIVEN|MADE)$' "$dir/out"
}

run "" -e trace=fdatasync
check "control_without_the_setting_nothing_is_waited_for" is "$status $(given) $(calls)" "0 5 0"

run "sync batch" -e trace=fdatasync,write,ioctl
check "control_with_it_all_is_given" is "$status $(given)" "0 5"
grants=$(events grant)
# Session, start and end are three more; what one message or one call asks is one.
check "each_answer_waits_for_one_call" is "$(calls)" $((grants + 3))
# The broker's calls in their order: after the line of a grant comes the disk, and only then the
# answer, which is the next ioctl(2).
broker=$(sed -nE 's/^([0-9]+) +fdatasync.*/\1/p' "$dir/trace" | sort -u)
awk -v broker="$broker" '$1 != broker { next }
	/write\(.*"event\\*":\\*"(grant|session|spawn)/ { waits = 1 }
	/fdatasync\(.*= 0/ { waits = 0; n++ }
	/ioctl\(/ && waits { early++ }
	END { print early + 0, (n > 3) }' "$dir/trace" >"$dir/order"
check "no_answer_comes_before_the_disk" is "$(cat "$dir/order")" "0 1"

# From the Nth on it fails; once, and for good.  The first two are the start's.
for n in 1 2; do
	run "sync batch" -e trace=fdatasync -e inject=fdatasync:error=EIO:syscall=getpid:when=$n
	check "a_start_whose_record_$n""_is_not_on_disk_is_none" is "$status $(given)" "125 0"
done
# What is made is signed for twice: before it is made, and with its descriptor.
held=1
for step in 3:0 4:1 5:2 6:3 7:3 8:4; do
	n=${step%:*}
	for when in $n $n+; do
		run "sync batch" -e trace=fdatasync \
			-e inject=fdatasync:error=EIO:syscall=getpid:when=$when
		signed=$(grep -c '"event":"grant".*"fd":true' "$ledger")
		[ "$(given) $(grep -c 'cannot be brought to disk' "$dir/out")" = "${step#*:} 1" ] &&
			[ "$(given)" = "$signed" ] && [ "$(events end)" = 1 ] && continue
		held=0
		echo "# $when: $(given) given, $signed signed for"
		sed 's/^/#   /' "$dir/out"
	done
done
check "what_is_not_on_disk_is_not_given" is $held 1
run "sync batch" -e trace=fdatasync -e inject=fdatasync:error=EIO:syscall=getpid:when=6
check "nor_made" test ! -e "$dir/w/0"
run "sync batch" -e trace=fdatasync -e inject=fdatasync:error=EIO:syscall=getpid:when=7
check "control_what_was_on_disk_is_made" test -e "$dir/w/0"
finish
