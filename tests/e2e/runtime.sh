#!/bin/sh
# SPDX-License-Identifier: MIT
# runtime.sh - where a path of the runtime leads is what counts, whatever it is called.
. "$(dirname "$0")/lib.sh"

mkdir data apart own own/lib
echo data >data/file
echo apart >apart/file
echo own >own/lib/file
ln -s "$dir/data/file" own/to-data
ln -s "$dir/data" own/tree
ln -s "$dir/apart/file" own/to-apart
ln -s lib/file own/to-own
ln -s lib own/alias

# alias/file comes early: from then on the broker knows that there are links, and the mount.
in_cell() { # name status script
	ledger=$dir/ledger.$n_tests
	expect_status "$1" "$2" "$warder" run -q -e "allow read $dir/data/" --runtime "$dir/own" \
		--ledger "$ledger" -C "$dir/own" -- sh -c "$3"
}
records() { # path
	grep -c "\"op\":\"open\",\"asked\":\"$dir/own/$1\".*\"fd\":true" "$ledger"
}

in_cell "a file of the runtime is the kernel's to open, by whatever name" 0 \
	'cat lib/file alias/file to-own alias/../lib/file ./alias//file lib/file'
check "each of its names gives it" test "$(grep -cx own out)" -eq 6
check "and none has a record" test "$(records '[^"]*')" -eq 0
in_cell "a link of the runtime into a data tree opens by the rule there" 0 \
	'cat lib/file alias/file to-data tree/file tree/../data/file lib/file to-data'
check "each of them" test "$(grep -cx data out)" -eq 4
check "with a record a time" test "$(records 'to-data')" -eq 2
check "through a directory too" test "$(records 'tree/file')" -eq 1
in_cell "one that leads where no rule is leads nowhere" 1 'cat alias/file alias/file to-apart'
check "and gives nothing" test "$(cat out)" = "own
own"
in_cell "what is missing there is missing" 1 'cat lib/file alias/file alias/missing'
expect_text "as the kernel says it" "alias/missing: No such file"
in_cell "a file is no directory there" 1 'cat lib/file alias/file alias/file/'
expect_text "as the kernel says it" "alias/file/: Not a directory"
in_cell "a link is not followed where the caller says so" 1 \
	'cat alias/file alias/file && dd if=to-own iflag=nofollow'
expect_text "as the kernel says it" "Too many levels"

# Who looks a name up is told nothing that he cannot have.
in_cell "settings of the C library are part of the runtime" 0 \
	'getent hosts localhost >/dev/null; cat /etc/host.conf'
check "and no denial" test "$(grep -c '"deny".*"/etc/' "$ledger")" -eq 0

if [ -r /etc/ssh/ssh_config ]; then
	in_cell "so are the settings of ssh, and nothing beside them" 0 \
		'cat /etc/ssh/ssh_config >/dev/null && test "$(echo /etc/ssh/*)" = /etc/ssh/ssh_config'
	check "and no denial" test "$(grep -c '"deny".*"/etc/' "$ledger")" -eq 0
else
	skip "the settings of ssh are part of the runtime" "no /etc/ssh/ssh_config"
fi

# What a program does not start without, or not as it does outside, where it is installed.
for part in /etc/emacs /etc/php /etc/texmf /var/lib/texmf /etc/ghostscript /var/lib/ghostscript/fonts \
	/etc/mercurial; do
	[ ! -d $part ] || in_cell "$part is part of the runtime" 0 "ls $part"
done

# Where the host shares its mounts, as under systemd, each of the cell's is parted from them.
shared="unshare --mount --propagation shared"
[ "$(id -u)" = 0 ] || shared="unshare --user --map-current-user --mount --propagation shared"
if $shared grep -q ' shared:' /proc/self/mountinfo 2>/dev/null; then
	expect_status "a cell starts where mounts are shared" 0 $shared "$warder" run -q \
		-e "allow read $dir/data/" --ledger "$dir/ledger.$n_tests" -- cat /proc/self/mountinfo
	check "and shows what is mounted in it" grep -q ' /dev/null ' out
	check "no later mount of the host's can appear there" sh -c '! grep -E "shared:|master:" out'
else
	skip "no mount of the cell is a shared one" "$shared does not work here"
fi

# Along the PATH that the caller gave, as the worker looked.
mkdir -m 755 own-bin && cp /bin/true own-bin/own-true
along() { # PATH arguments...
	path=$1
	shift
	env PATH="$path" "$warder" run -q "$@"
}
expect_status "a program of the caller's PATH that is not in the cell" 127 along "$dir/own-bin" -- own-true
expect_text "is said to be on this host" "own-true is on this host ($dir/own-bin/own-true)"
line=$(sed -n 's/.*add the line `\(.*\)` to the policy$/\1/p' err)
expect_status "and runs with the line that is told" 0 along "$dir/own-bin" -e "$line" -- own-true
expect_status "one that PATH does not lead to" 127 along "$dir/none" -- true
expect_text "is not found along it" "true: command not found along PATH"
expect_no_text "wherever it stands" "runtime"

finish
