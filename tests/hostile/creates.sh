#!/bin/sh
# SPDX-License-Identifier: MIT
# creates.sh - files that are made while another process changes the way there and the name itself.
# shellcheck source=tests/hostile/lib.sh
. "$TOP/tests/hostile/lib.sh"

python=/usr/bin/python3
[ -x "$python" ] || { skip "creates" "$python is missing; install python3"; finish; }
cd "$dir" || exit 2
mkdir tree tree/d tree/e tree/denied read outside names names/d
for at in read outside names; do echo kept >$at/target; done
ln -s ../read tree/to-read
ln -s ../outside tree/to-outside
ln -s denied tree/to-denied
chmod 777 tree tree/d tree/e tree/denied read outside names names/d
chmod 666 read/target outside/target

# Somebody of the host: puts a symlink in the directory's place and the directory back, or something
# else at the name.
cat >racer.py <<'END'
import ctypes, os, sys
libc, turns = ctypes.CDLL(None, use_errno=True), 0
def try_(f, *a):
    try: f(*a)
    except OSError: pass
def exchange(a, b):
    return libc.renameat2(-100, a.encode(), -100, b.encode(), 2) == 0
x = "names/d/x"
while not os.path.exists("stop"):
    if sys.argv[1] == "ways":
        for to in "tree/to-read", "tree/to-outside", "tree/to-denied", "tree/e":
            turns += exchange("tree/d", to) + exchange("tree/d", to)
    else:
        for to in "../../read/made", "../../outside/made", "../../read/target", "../../outside/target":
            try_(os.symlink, to, x); try_(os.unlink, x)
        try_(os.mkfifo, x, 0o666); try_(os.unlink, x)
        try_(os.mkdir, x, 0o777); try_(os.rmdir, x); turns += 6
print(turns)
END
# The worker: until it has made so many and failed a seventh as often by what was changed, or somebody
# has seen enough.
cat >worker.py <<'END'
import errno, os, sys, time
top, where, enough, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
made = refused = wrong = i = 0
end = time.monotonic() + 100
while (made < enough or refused < enough // 7) and time.monotonic() < end and not (i % 64 == 0 and stop and os.path.exists(stop)):
    i += 1
    path = "%s/%s" % (top, where) + ("" if where.endswith("x") else "/n%d" % (i % 50))
    flags = os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK | (os.O_EXCL if i % 2 else 0)
    try:
        fd = os.open(path, flags, 0o666)
        made += 1
        wrong += os.readlink("/proc/self/fd/%d" % fd).startswith((top + "/read", top + "/outside", top + "/tree/denied"))
        os.write(fd, b"overwritten")
        os.close(fd)
    except OSError as e: refused += e.errno != errno.EEXIST
    if i % 2:
        try: os.unlink(path)
        except OSError: pass
print(made >= enough and refused >= enough // 7, wrong)
END
clean() {
	rm -f stop tree/*/n* read/n* read/made outside/n* outside/made names/d/x
	for at in read outside; do echo kept >$at/target; done
}
begin() {
	"$python" racer.py "$1" >raced & racer=$!
}
ends() {
	touch stop
	wait "$racer"
}
kept() {
	is "$(cat read/target outside/target; ls read outside tree/denied)" \
		"$(printf 'kept\nkept\noutside:\ntarget\n\nread:\ntarget\n\ntree/denied:')"
}
kept || exit 2

# Natively, by the same user, files come to be where nobody was to make any.
"$python" racer.py ways >raced & racer=$!
"$python" worker.py "$dir" tree/d 1000000000 "$dir/seen" >"$dir/native" & worker=$!
escaped() {
	for _ in $(seq 600); do
		for at in read/n* outside/n*; do
			[ ! -e "$at" ] || return 0
		done
		sleep 0.1
	done
	return 1
}
check "control_natively_files_are_made_outside" escaped
touch seen
wait "$worker"
ends
rm -f seen
clean

for what in ways names; do
	where=tree/d
	[ $what = ways ] || where=names/d/x
	begin $what
	rm -f "$ledger"
	timeout -k 5 150 "$warder" run -q --ledger "$ledger" -e "allow rw $dir/tree/" -e "deny any $dir/tree/denied/" \
		-e "allow rw $dir/names/" -e "allow read $dir/read/" -C "$dir/tree" -- \
		"$python" -c "$(cat worker.py)" "$dir" $where 150 "" >"$dir/out" 2>&1 </dev/null
	ends
	check "much_is_changed_while_files_are_made_$what" test "$(cat raced)" -gt 10
	check "no_descriptor_leads_elsewhere_$what" is "$(cat out)" "True 0"
	check "nothing_is_made_or_written_outside_$what" kept
	check "no_grant_says_so_$what" is "$(grep '"event":"grant"' "$ledger" |
		grep -cE '"reached":"[^"]*/(read|outside|denied)/(n|made|target)')" 0
	check "what_was_made_is_a_grant_$what" test "$(grep -c '"event":"grant".*"rights":"create"' "$ledger")" -ge 75
	clean
done
finish
