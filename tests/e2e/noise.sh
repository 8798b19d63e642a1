#!/bin/sh
# SPDX-License-Identifier: MIT
# noise.sh - what programs look for and do without does not hide what they are really denied.
. "$(dirname "$0")/lib.sh"

mkdir data data/deep apart && echo text >data/file && echo secret >apart/file
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data
run() { # script
	"$warder" run -v --ledger "$dir/ledger.$n_tests" -e "allow rw $dir/data/" -C "$dir/data" -- \
		sh -c "$1" >out 2>err
	ledger=$dir/ledger.$((n_tests))
}

# Forty names that are nowhere, more than the list has room for, and one that is there.
run 'i=0
while [ $i -lt 40 ]; do cat ../nowhere.$i; i=$((i + 1)); done 2>/dev/null
"'"$dir"'/nowhere/bin/as" 2>/dev/null
cat ../apart/file 2>/dev/null'
check "what is there and not given is listed, whatever else was looked for" \
	grep -q "denied read $dir/apart/file: outside every tree" err
expect_no_text "what the host does not have either is not" "nowhere"
expect_text "it is counted" "41 denials of what is missing on the host too"
check "and stands in the ledger" test "$(grep -c 'nowhere' "$ledger")" -ge 41

# Nor is what was looked for along PATH where the worker's user cannot look, and found behind.
mkdir closed && chmod 000 closed
path=$PATH
PATH=$dir/closed:/usr/bin:/bin
run "env ls >/dev/null; exec 2>/dev/null; env not-installed"
expect_no_text "a program that is in another directory of PATH is not listed" "closed/ls"
expect_text "but counted" "1 denial of what is missing on the host too, or done without"
check "and stands in the ledger" grep -q "\"deny\".*closed/ls" "$ledger"
expect_text "one that is nowhere is listed" "denied exec $dir/closed/not-installed"
PATH=$path
run "exec 2>/dev/null; $dir/closed/ls"
expect_text "so is one that no search along PATH led to" "denied exec $dir/closed/ls"

# What programs size themselves by.
seen=/sys/devices/system/cpu/online
if [ -r $seen ]; then
	run "cat $seen 2>/dev/null"
	expect_no_text "the CPUs of /sys are not listed" "denied"" read $seen"
	expect_text "but counted" "1 denial of what is missing on the host too, or done without"
	check "and stand in the ledger" grep -q "\"deny\".*$seen" "$ledger"
	"$warder" run -v -p convert --ledger "$dir/all" -- cat $seen /etc/shadow >out 2>err
	expect_no_text "nor are they where everything is denied" "denied"" read $seen"
	expect_text "which hides no other denial" "denied read /etc/shadow"
else
	skip "the CPUs of /sys" "$seen is missing"
fi
run ": 2>/dev/null >$seen"
expect_text "to write there is another thing" "denied write"

# cp -p and install set a list of access control, and go on without.
for program in "cp -p file copy" "cp -a file copy2" "install -m 600 file copy3" \
	"sed -i s/text/test/ file"; do
	run "$program"
	expect_text "$program: no denial" ", 0 denied"
done
cat >acl.py <<'PY'
import errno, os, struct
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, perm, 0xffffffff)
                                      for tag, perm in ((1, 6), (4, 4), (32, 0)))
open("made", "w").close()
try:
    os.setxattr("made", "system.posix_acl_access", acl)
    print("set", oct(os.stat("made").st_mode & 0o777))
except OSError as e:
    print(errno.errorcode[e.errno])
PY
if [ -x /usr/bin/python3 ]; then
	cp acl.py data/
	run "exec /usr/bin/python3 acl.py"
	check "a data tree has none" grep -qxE "EOPNOTSUPP|ENOTSUP" out
	expect_text "which is no denial" ", 0 denied"
	check "and in the ledger" grep -q "access control lists are not changed" "$ledger"
	run 'cp acl.py "$HOME" && cd "$HOME" && exec /usr/bin/python3 acl.py'
	check "a place of the worker's own has what the kernel has there" \
		grep -qxE "set 0o640|EOPNOTSUPP|ENOTSUP" out
	expect_text "nor is that one" ", 0 denied"
else
	skip "a list of access control" "python3 is missing; install it"
fi

# From the cell's own /tmp into a tree: the kernel says EXDEV there, whatever the rules are, and mv copies.
run 'echo x >"${TMPDIR:-/tmp}/moved" && mv "${TMPDIR:-/tmp}/moved" moved && cat moved'
check "a file goes from the private /tmp to a tree" grep -qx x out
expect_text "without a denial" ", 0 denied"
check "and in the book stands the move that was none" grep -q '"fail".*"op":"rename".*"EXDEV"' "$ledger"

# The fonts are part of the runtime, and so is what fontconfig knows of them.
if [ -d /var/cache/fontconfig ]; then
	run "ls /var/cache/fontconfig"
	expect_text "the cache of the fonts is there" ", 0 denied"
fi

finish
