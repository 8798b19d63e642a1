#!/bin/sh
# SPDX-License-Identifier: MIT
# trap_moves.sh - renames that would take something past the rules for its name, and descriptors
# whose name is not what it seems.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

tree=$dir/tree
[ "$(id -u)" != 0 ] || chown 65534:65534 "$dir"

# ---- two sessions on one tree: what stands at a name is exchanged while it is moved -------------
#
# One exchanges a directory for a file, both of which it may; the other renames "the file".  Rules
# go by names: moved, the directory's hooks would be at a path that no rule denies.

cat >"$dir/exchange.py" <<'EOF'
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])
done = 0
open("ready", "w").close()
while not os.path.exists("stop"):
    if libc.renameat2(-100, b"1/.git", -100, b"2/.git", 2) == 0:
        done += 1
print("exchanged", done)
EOF

cat >"$dir/move.py" <<'EOF'
import os, sys
tries = int(sys.argv[2])
os.chdir(sys.argv[1])
while not os.path.exists("ready"):
    os.sched_yield()
refused = 0
for i in range(tries):
    try:
        os.rename("2/.git", "g")
    except OSError as e:
        refused += e.errno == 18
        continue
    if os.path.isdir("g"):
        try:
            with open("g/hooks/pre-commit", "w") as f:
                f.write("PWNED")
            print("wrote")
        except OSError as e:
            print("not written", e.errno)
        break
    os.rename("g", "2/.git")
print("refused", refused)
open("stop", "w").close()
EOF
chmod 644 "$dir"/*.py

race() { # tries, rules...: $wrote is "PWNED" where the attack succeeded
	tries=$1
	shift
	rm -rf "$tree"
	mkdir -p "$tree/1/.git/hooks" "$tree/2"
	echo plain >"$tree/2/.git"
	echo hook >"$tree/1/.git/hooks/pre-commit"
	[ "$(id -u)" != 0 ] || chown -R 65534:65534 "$tree"
	printf '%s\n' "allow read $dir/*.py" "allow rw $tree/" "$@" >"$dir/move.policy"
	# shellcheck disable=SC2086 # options are words
	timeout -k 5 120 "$warder" run -q --ledger "$dir/other.jsonl" -p "$dir/move.policy" -- \
		python3 "$dir/exchange.py" "$tree" >"$dir/other" 2>&1 </dev/null &
	other=$!
	options="-p $dir/move.policy"
	inside python3 "$dir/move.py" "$tree" "$tries"
	touch "$tree/stop"
	wait "$other"
	wrote=$(grep -rl PWNED "$tree" | grep -c pre-commit)
}

race 2000
check "control_without_a_deny_the_directory_is_caught" is "$wrote" 1
check "control_and_the_book_has_the_move_of_a_directory" test "$(grep '"event":"grant"' "$ledger" |
	grep '"op":"rename"' | grep -c '"type":"dir')" -ge 1
race 2000 "deny write,create,delete **/.git/hooks/"
check "a_directory_that_takes_a_files_place_is_not_moved" is "$wrote" 0
check "and_it_was_tried" test "$(sed -n 's/^refused //p' "$dir/out")" -gt 1000
check "while_they_were_exchanged" test "$(sed -n 's/^exchanged //p' "$dir/other")" -gt 0
check "and_no_grant_of_such_a_move_is_in_the_book" is "$(grep '"event":"grant"' "$ledger" |
	grep '"op":"rename"' | grep -c '"asked2":"[^"]*/g"')" 0

# ---- a name that gives more ----------------------------------------------------------------------

if [ "$(id -u)" = 0 ]; then
	rm -rf "$tree"
	mkdir "$tree"
	echo hush >"$tree/secret"
	chmod 600 "$tree/secret"
	chown 65534:65534 "$tree"
	printf '%s\n' "allow rw $tree/" "allow read $tree/*.log as broker" >"$dir/as.policy"
	options="-p $dir/as.policy"
	inside sh -c "cat $tree/secret; mv $tree/secret $tree/x.log; cat $tree/x.log"
	check "a_move_gains_no_authority" is "$(grep -c hush "$dir/out")" 0
	check "and_its_denial_is_in_the_book" test "$(grep '"event":"deny"' "$ledger" |
		grep '"op":"rename"' | grep -c 'more authority')" -ge 1
	mv "$tree/secret" "$tree/x.log"
	inside cat "$tree/x.log"
	check "control_moved_outside_it_is_read" is "$(grep -c hush "$dir/out")" 1
fi

# ---- the host's /tmp/x, handed in -----------------------------------------------------------------
#
# Inside, /proc/self/fd/0 says "/tmp/x", which is the name of a file of the cell's own.

change='import os
def attempt(f, *a):
    try:
        f(*a); print("done")
    except OSError as e:
        print(e.errno)
attempt(os.fchmod, 0, 0o666)
attempt(os.utime, 0, (1, 1))
attempt(os.setxattr, 0, "user.x", b"p")
attempt(os.fchown, 0, -1, os.getgid())'
given=$(mktemp /tmp/given.XXXXXX) || exit 2
trap 'rm -rf "$dir" "$given"' EXIT
[ "$(id -u)" != 0 ] || chown 65534:65534 "$given"
chmod 600 "$given"
rm -f "$ledger"
"$warder" run -q --ledger "$ledger" -- python3 -c "$change" <"$given" >"$dir/out" 2>&1
check "a_handed_in_file_is_not_the_cells_own" is "$(grep -c done "$dir/out")" 0
check "and_is_as_it_was" is "$(stat -c %a "$given")" 600
check "and_the_refusals_are_in_the_book" test "$(grep '"event":"deny"' "$ledger" |
	grep -c 'handed in')" -ge 3
options=
inside sh -c "exec 0<>/tmp/own && rm /tmp/own && exec python3 -c \"\$1\"" sh "$change"
check "control_the_cells_own_is_changed" test "$(grep -c done "$dir/out")" -ge 3
finish
