#!/bin/sh
# SPDX-License-Identifier: MIT
# remedies.sh - what the summary tells to add lifts what it is told of.
. "$(dirname "$0")/lib.sh"

mkdir d && echo 1 >d/there && echo 2 >d/other && ln -s there d/way
[ "$(id -u)" != 0 ] || chown -R 65534:65534 d

given=read

# The lines told, to the file `rules`; a run with them.
told() { sed -n 's/^ *to allow it: //p' err >>rules; }
run_with_rules() { # command...
	{ echo "allow $given $dir/d/"; cat rules; } >with.policy
	"$warder" run -v --policy "$dir/with.policy" -C d -- "$@" >out 2>err
}

# Denied first, told what to add, and done with these lines.
lifts() { # name lines script
	name=$1 lines=$2
	: >rules
	run_with_rules sh -c "$3"
	told
	wanted=$(printf '%s\n' "$lines" | sed "s|D/|$dir/d/|g")
	if [ "$(sort rules)" != "$wanted" ]; then
		not_ok "$name: the lines" "told: $(cat rules)" "not: $wanted" "$(cat err)"
		return
	fi
	if run_with_rules sh -c "$3"; then
		ok "$name"
	else
		not_ok "$name: still denied" "with: $(cat rules)" "$(cat err)"
	fi
}

lifts "> of a file that is there" "allow write D/there" 'echo x >there'
lifts "> of a new one" "allow write,create D/new" 'echo x >new'
lifts ">> of a file that is there" "allow append D/there" 'echo x >>there'
lifts ">> of a new one" "allow append,create D/new2" 'echo x >>new2'
lifts "set -C: > of a new one" "allow create D/new3" 'set -C; echo x >new3'
lifts "mkdir" "allow create D/made" 'mkdir made'
lifts "chmod" "allow write D/there" 'chmod 600 there'
lifts "ln" "allow create D/linked
allow write,create D/there" 'ln there linked'
lifts "ln -s" "allow create D/link" 'ln -s there link'
lifts "mv to a new name" "allow create D/moved
allow delete D/new" 'mv new moved'
lifts "mv onto another" "allow create,delete D/other
allow delete D/moved" 'mv -f moved other'
lifts "rm" "allow delete D/other" 'rm -f other'
# By its own name a rule would name what it leads to.
ln -s there d/gone && ln -s nowhere d/dangling
[ "$(id -u)" != 0 ] || chown -h 65534:65534 d/gone d/dangling
lifts "rm of a link" "allow delete D/**/gone" 'rm -f gone'
lifts "rm of one that leads nowhere" "allow delete D/**/dangling" 'rm -f dangling'
lifts "> where a link leads" "allow write D/way" 'echo x >way'

# Where the worker may replace what is there, a rule about the very path would be an error at the
# next start.
given=rw
cp /bin/true d/program && mkdir d/deep && cp /bin/true d/deep/inner
[ "$(id -u)" != 0 ] || chown -R 65534:65534 d
lifts "exec in a writable tree" "allow exec D/" ./program
lifts "and deep in it" "allow exec D/" deep/inner
python=/usr/bin/python3
if [ -x "$python" ]; then
	: >d/left && chown "$(stat -c %u:%g d/there)" d/left
	bind="$python -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])'"
	lifts "bind in a writable tree" "allow bind D/**/sock" \
		"$bind sock && rm sock"
	lifts "and again, when one of another run is there" "allow bind D/**/left" \
		"rm -f left; $bind left"
else
	skip "bind in a writable tree" "$python is missing; install python3"
fi
echo "allow rw $dir/d/" >rw.policy
"$warder" policy explain rw.policy exec "$dir/d/program" >out 2>err
expect_text "explain tells the same" "allow exec $dir/d/" out
given=read

# What cannot be looked up may be missing, so the line says so.
if [ "$(id -u)" = 0 ]; then
	mkdir -m 700 behind && mkdir -m 755 behind/bin
	"$warder" run -v -e "allow read $dir/d/" -- sh -c "$dir/behind/bin/as" >out 2>err
	expect_text "behind a closed directory" "allow exec $dir/behind/bin/as optional"
	line=$(sed -n 's/^ *to allow it: //p' err)
	expect_status "the line is one that loads" 0 \
		"$warder" run -q -e "allow read $dir/d/" -e "$line" -- true
fi

# A rule that denies, and how it is told.
printf 'allow rw %s/d/\ndeny write,create,delete **/*.key\n' "$dir" >deny.policy
"$warder" run -v -p "$dir/deny.policy" -C d -- mkdir a.key >out 2>err
expect_text "a deny rule is named" "denied create $dir/d/a.key: $dir/deny.policy:2 denies create"
check "once" test "$(grep "denied create" err | grep -o "deny.policy:2" | wc -l)" -eq 1
expect_text "with the way to except the path" \
	"to except it, end $dir/deny.policy:2 with: except $dir/d/a.key/"
sed -i "2s|\$|$(sed -n 's/.* with:\( except .*\)/\1/p' err)|" deny.policy
expect_status "which lifts it" 0 "$warder" run -q -p "$dir/deny.policy" -C d -- mkdir a.key

# One of a shipped preset: not that file is changed, but a copy, which `use` finds first.
mkdir -p d/.git
[ "$(id -u)" != 0 ] || chown 65534:65534 d/.git
preset=$TOP/policy/presets/agent.policy
"$warder" run -v -e 'use agent' -e "allow rw $dir/d/" -C d -- mkdir .git/hooks >out 2>err
line=$(sed -n "s|.*to except it, copy $preset to ~/.config/warder/ and end its line \([0-9]*\) with: .*|\1|p" err)
check "a preset's rule is to be changed in a copy" test -n "$line"
sed "${line:-1}s|\$| $(sed -n 's/.* with: \(except .*\)/\1/p' err)|" "$preset" >agent.policy
expect_text "with the slash of a directory" " except $dir/d/.git/hooks/" agent.policy
expect_status "which lifts it" 0 "$warder" run -q -p ./agent.policy -e "allow rw $dir/d/" -C d -- \
	sh -c 'mkdir .git/hooks && echo x >.git/hooks/y'
expect_status "and not what is beside it" 1 "$warder" run -q -p ./agent.policy \
	-e "allow rw $dir/d/" -C d -- mkdir .git/config
"$warder" policy explain -e "allow rw $dir/d/" agent write d/.git/config >out 2>err
expect_text "explain tells it too" "copy $preset to ~/.config/warder/ and end its line" out

# What the file system refuses to the worker's user.
if [ "$(id -u)" = 0 ]; then
	echo text >d/closed && chmod 640 d/closed && chown 0:1 d/closed
	"$warder" run -v --status-fd 3 -e "allow read $dir/d/" -- cat "$dir/d/closed" >out 2>err 3>status
	expect_text "no denial of the policy" ", 0 denied"
	expect_text "but shown, with its owner" \
		"failed read $dir/d/closed: mode 0640, owner 0:1, and the worker is 65534:65534"
	expect_text "and what lifts it" "to allow it: allow read $dir/d/closed as broker"
	expect_text "and counted" '"denied":0,"limited":0,"closed":1' status
	line=$(sed -n 's/^ *to allow it: //p' err)
	expect_status "which it does" 0 \
		"$warder" run -q -e "allow read $dir/d/" -e "$line" -- cat "$dir/d/closed"
	chown 0:0 d && chmod 755 d && mkdir -m 700 d/shut
	for what in fresh shut/fresh; do
		"$warder" run -v -e "allow rw $dir/d/" -- \
			sh -c "echo x >$dir/d/$what" >out 2>err
		expect_text "a name in a directory of another's: $what" \
			"to allow it, end -e 1 with: as broker"
		expect_status "is made with that" 0 "$warder" run -q -e "allow rw $dir/d/ as broker" -- \
			sh -c "echo x >$dir/d/$what"
	done
	"$warder" run -v -e "allow rw $dir/d/" -- mkdir "$dir/d/shut/sub" >out 2>err
	expect_text "and a directory" "to allow it, end -e 1 with: as broker"
else
	# A broker of an ordinary user's has no more authority than the worker: nothing is promised.
	echo text >d/closed && chmod 000 d/closed
	"$warder" run -v --status-fd 3 -e "allow read $dir/d/" -- cat "$dir/d/closed" >out 2>err 3>status
	expect_text "no denial of the policy" ", 0 denied"
	check "and no line that would not lift it" sh -c '! grep -q "to allow it" err'
	expect_text "nor is it counted as such" '"closed":0' status
fi

finish
