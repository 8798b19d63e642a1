#!/bin/sh
# SPDX-License-Identifier: MIT
# fuse.sh - a tree whose file system's server does not answer: who asks there waits, nobody else.
#
# RUN_ONCE: root mounts it, and starts warder as itself and as uid 65534.
. "$(dirname "$0")/lib.sh"

sleepy=$BUILD/tests/fuse/sleepy
why=
[ -x "$sleepy" ] || why="needs libfuse3-dev at build time"
[ "$(id -u)" = 0 ] || why="needs root, to mount"
[ -c /dev/fuse ] || why="needs /dev/fuse, which is not there"
command -v fusermount3 >/dev/null || why="needs fusermount3"
[ -x /usr/bin/python3 ] || why="needs /usr/bin/python3"

python=/usr/bin/python3
mkdir data behind mnt other late
echo hello >data/file
echo hello >behind/file
echo waited >behind/slow
mkdir behind/bin && chmod 777 behind/bin
printf '#!/bin/sh\necho ran\n' >behind/bin/run
chmod 755 behind/bin/run
ln -s ../mnt/slow data/link
ln -s ../mnt/file data/near
ln -s other/slow away
cat >data/connect.py <<'PY'
import errno, os, socket, sys
for path in sys.argv[1:]:
    r = socket.socket(socket.AF_UNIX).connect_ex(path)
    print(errno.errorcode.get(r, r), "late" if os.path.exists("gate") else "at once", flush=True)
PY
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data behind

if [ -z "$why" ] && ! "$sleepy" "$dir/data/gate" behind mnt -o allow_other,default_permissions \
	2>mount.err; then
	why="needs a FUSE mount: $(cat mount.err)"
fi
[ -z "$why" ] || { skip "a file system whose server does not answer" "$why"; finish; }
# A caller that hangs in the file system dies with it.
unmount() {
	touch "$dir/data/gate"
	for at in "$dir/mnt" "$dir/other" "$dir/late"; do
		! mountpoint -q "$at" || fusermount3 -u "$at" || fusermount3 -uz "$at"
	done
}
trap 'unmount; cleanup' EXIT
"$sleepy" "$dir/data/gate" behind other -o allow_other,default_permissions

cat >policy <<END
allow rwx $dir/mnt/
allow rw $dir/data/
deny write **/locked
END
echo key >behind/locked
chmod 666 behind/locked

as_root() {
	"$@"
}

as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

in_cell() { # name, status, script
	ledger=$dir/book/$who.$n_tests
	# Whoever was left waiting by the test before goes first.
	touch data/gate && stat mnt/slow >/dev/null && sleep 0.2 && rm -f data/gate
	expect_status "$who: $1" "$2" "as_$who" "$warder" run -q -p policy --ledger "$ledger" \
		--time 60s -C "$dir/data" -- sh -c "$3"
}

book_has() { # name, regular expression
	check "$who: $1" grep -qE "$2" "$ledger"
}

# Whoever waits at the gate where nobody is to wait is let go on in the end, and says so.
open_later() {
	(
		sleep 20 &
		trap 'kill $!; exit' TERM
		wait && touch data/gate
	) &
	opener=$!
}

mkdir -m 777 book

for who in root nobody; do
	[ "$who" = root ] || chown -R 65534:65534 state run
	in_cell "what is there is read" 0 'cat ../mnt/file'
	check "$who: whole" grep -qx hello out
	book_has "with its record" "\"event\":\"grant\".*\"reached\":\"$dir/mnt/file\".*\"type\":\"file\".*\"fd\":true"
	in_cell "what is denied there is not" 2 'echo x >>../mnt/locked'
	expect_text "$who: as elsewhere" "Permission denied"
	book_has "with its record too" '"event":"deny".*mnt/locked.*"policy:3"'
	in_cell "what is missing is missing" 1 'cat ../mnt/none'
	expect_text "$who: as elsewhere too" "No such file"
	in_cell "all kinds of changes are made there" 0 '
		cd ../mnt && mkdir d && echo one >d/a && echo two >>d/a && mv d/a d/b && ln -s b d/l &&
		chmod 600 d/b && touch -d 2001-02-03 d/b && cat d/l && ls d && : >d/b && test ! -s d/b &&
		truncate -s 5 d/b && rm d/l d/b && rmdir d'
	check "$who: one by one" test "$(tr '\n' ' ' <out)" = "one two b l "
	for op in mkdir rename symlink chmod utimes unlink rmdir; do
		book_has "with a record of $op" "\"event\":\"grant\".*\"op\":\"$op\".*$dir/mnt/d"
	done
	check "$who: whose numbers have no hole" sh -c \
		'sed -E "s/^.\"seq\":([0-9]+),.*/\1/" "$1" | awk "\$1 != NR { exit 1 }"' sh "$ledger"
	in_cell "programs run there" 0 '../mnt/bin/run'
	check "$who: by the exec rule" grep -qx ran out
	book_has "which is in the book" '"op":"exec".*mnt/bin/run'
	in_cell "others are served while one waits for the server" 0 \
		'cat ../mnt/slow & sleep 0.2; cat file; echo new >n; mv n m; cat m ../mnt/file; rm m
		 echo open >gate; wait'
	check "$who: each of them, and it after them" \
		test "$(tr '\n' ' ' <out)" = "hello new hello waited "
	in_cell "and while one waits where a symlink leads" 0 \
		'cat link & sleep 0.2; cat file near; echo open >gate; wait'
	check "$who: which is no other" test "$(tr '\n' ' ' <out)" = "hello hello waited "
	book_has "in the book" "\"asked\":\"$dir/data/link\",\"reached\":\"$dir/mnt/slow\""
	in_cell "and while many wait" 0 \
		'i=0; while [ $i -lt 30 ]; do cat ../mnt/slow & : >>../mnt/slow & i=$((i + 1)); done
		 sleep 0.2; cat file; echo open >gate; wait'
	check "$who: each of which is answered" test "$(grep -c waited out)" = 30
	in_cell "a caller that is killed as it waits holds up nobody" 0 \
		'timeout -s KILL 0.3 cat ../mnt/slow; timeout -s KILL 0.3 mkdir ../mnt/bin/slowly; cat file'
	check "$who: nor the end of the session" grep -qx hello out
	check "$who: nothing was made for it" test ! -e behind/bin/slowly
	open_later
	in_cell "a socket that no rule names is not looked for there" 0 \
		"$python connect.py $dir/other/slow.sock $dir/away $dir/other/none/x $dir/none; cat file"
	check "$who: so that nobody waits" test "$(tr '\n' ' ' <out)" = \
		"ENOENT at once ENOENT at once ENOENT at once ENOENT at once hello "
	kill "$opener"
	for at in other/slow.sock away other/none/x; do
		book_has "each is a denial" "\"event\":\"deny\".*\"op\":\"connect\",\"asked\":\"$dir/$at\""
	done
	check "$who: but for what the host lacks elsewhere" sh -c "! grep -q '\"deny\".*$dir/none' $ledger"
	touch data/gate
done

# What is mounted later is known too.
mkfifo hold
rm -f data/gate
"$warder" run -q -p policy --ledger "$dir/book/late" -C "$dir/data" -- sh -c \
	"$python connect.py $dir/late/slow.sock; read -r line; $python connect.py $dir/late/slow.sock; cat file" \
	>out 2>err <hold &
broker=$!
pids="$pids $broker"
exec 4>hold
wait_until grep -q ENOENT out
"$sleepy" "$dir/data/gate" behind late -o allow_other,default_permissions
echo >&4
open_later
wait "$broker"
kill "$opener"
check "nor is one on a file system that was mounted meanwhile" \
	test "$(tr '\n' ' ' <out)" = "ENOENT at once ENOENT at once hello "
check "of which there was nothing before" test "$(grep -c '"event":"deny".*late/slow' book/late)" = 1
exec 4>&-

# More than a second's worth, each in a child: all are reaped, and no descriptor is left.
"$warder" run -q -p policy --time 60s -C "$dir/mnt" -- sh -c \
	'i=0; cat file; while [ $i -lt 300 ]; do read -r line <file; i=$((i + 1)); done; echo done; read -r line' \
	>out 2>err <hold &
broker=$!
pids="$pids $broker"
exec 4>hold
wait_until grep -q hello out
descriptors() {
	set -- "/proc/$broker/fd"/*
	echo $#
}
before=$(descriptors)
wait_until grep -q done out
check "three hundred opens are made" grep -q done out
check "and leave no descriptor behind" test "$(descriptors)" -le "$before"
children() {
	test "$(wc -w <"/proc/$broker/task/$broker/children")" -eq 2
}
check "and no child" wait_until children
exec 4>&-
wait "$broker"
finish
