#!/bin/sh
# SPDX-License-Identifier: MIT
# clients.sh - `clients`: who may come in to a service, as its users see it.
. "$(dirname "$0")/lib.sh"

mkdir -m 755 data pass
echo 'some text' >data/file
printf 'allow read %s/data/\n' "$dir" >files.policy
printf 'allow read %s/data/\nclients 12345 %%4321\n' "$dir" >both.policy
what="{\"path\":\"$dir/data/file\"}"

serve() { # name arguments...: in the background; $server is its pid
	name=$1
	shift
	"$warder" serve -n "$name" --status-fd 3 "$@" >"$name.out" 2>"$name.err" 3>"$name.status" &
	server=$!
	pids="$pids $server"
	wait_until grep -q '"start"' "$name.status"
}

stop() {
	kill -s TERM "$server"
	wait "$server"
}

# ---- what is wrong with it ----------------------------------------------------------------------

printf 'allow read %s/data/\nclients 0 no.such.user %%no.such.group\n' "$dir" >none.policy
XDG_RUNTIME_DIR=$dir/pass expect_status "a user that the host does not have is an error" 1 \
	"$warder" serve -n t -p none.policy
expect_text "at its word" 'none.policy:2:11: error: there is no user "no.such.user" on this host'
expect_text "and so is a group" 'none.policy:2:24: error: there is no group "no.such.group"'
expect_status "to look at it is none: it may be for another host" 0 "$warder" policy check none.policy
expect_text "but a warning" 'none.policy:2:24: warning: there is no group "no.such.group"'
XDG_RUNTIME_DIR=$dir/pass expect_status "as a flag the same" 1 \
	"$warder" serve -n t -p files.policy --clients no.such.user
expect_text "with the flag's name" '--clients: error: there is no user "no.such.user"'
expect_status "run has no use for it" 125 "$warder" run -p both.policy -- true
expect_text "and says so, at its line" 'both.policy:2:9: error: "clients" is for `warder serve` alone'
expect_status "nor for workers" 125 "$warder" run -e 'workers 2' -- true
expect_text "which it says too" '-e 1:1:9: error: "workers" is for `warder serve` alone'
expect_status "and has no such flag" 125 "$warder" run --clients root -- true
expect_text "so that it is unknown" 'unknown option --clients'

# ---- the way to the socket ----------------------------------------------------------------------

expect_status "where nobody can come through, nothing starts" 1 "$warder" serve -n t -p both.policy
expect_text "and the directory is named" "$dir/run has mode 0700"
expect_text "with the remedy" "set XDG_RUNTIME_DIR to a directory that they can pass"
XDG_RUNTIME_DIR=$dir/pass
chmod 710 pass
serve some -p both.policy
check "where a group alone can come through, it starts" grep -q '"status":"ok"' some.status
expect_text "and says who can" "only members of group $(stat -c %g pass)" some.err
stop
chmod 755 pass

serve both -p both.policy
check "the directory can be passed" test "$(stat -c %a pass/warder)" = 711
check "and not read, and anybody can connect" test "$(stat -c %a pass/warder/both.sock)" = 666
check "the lock is its owner's alone" test "$(stat -c %a pass/warder/both.pid)" = 600
expect_status "its own user is served as ever" 0 "$warder" call -n both stat "$what"
both=$server
serve own -p files.policy
check "another service of the same place is closed" test "$(stat -c %a pass/warder/own.sock)" = 600
expect_status "and serves its user" 0 "$warder" call -n own stat "$what"
stop
server=$both
stop
door=$XDG_STATE_HOME/warder/serve/both/*-door-*.jsonl
check "who came stands in the door's ledger" \
	grep -q "\"event\":\"client\".*\"client\":{\"uid\":$(id -u),.*\"fd\":true" $door
check "a whole one" "$warder" ledger show $door
check "and in the worker's" grep -q "\"event\":\"client\".*\"uid\":$(id -u)" \
	"$XDG_STATE_HOME"/warder/serve/both/*slot1*.jsonl
serve flags -p both.policy --clients 12346 --clients %4322
check "flags add to a line" grep -q '^clients 12345 %4321 12346 %4322' "$XDG_STATE_HOME"/warder/serve/flags/*.policy
stop
check "a service for its user alone keeps no door" \
	sh -c '! ls "$1"/*-door-*' sh "$XDG_STATE_HOME/warder/serve/own"

# ---- others -------------------------------------------------------------------------------------

# Root alone can be somebody else; and has /run/warder, here one of its own.
if [ "$(id -u)" != 0 ]; then
	finish
fi
cat >others.sh <<'END'
mount -t tmpfs -o mode=755 none /run || exit 9
unset XDG_RUNTIME_DIR
as() { # uid gid groups command...
	uid=$1 gid=$2 groups=$3
	shift 3
	case $groups in
	"") set -- --clear-groups "$@" ;;
	*) set -- --groups "$groups" "$@" ;;
	esac
	setpriv --reuid "$uid" --regid "$gid" "$@"
}
ask() { # name uid gid groups: "served", or why not
	if as "$2" "$3" "$4" "$warder" call -n "$1" stat "$what" >ask.out 2>&1; then
		echo "$1 $2 $3 $4: served"
	else
		echo "$1 $2 $3 $4: $(grep -oE 'Permission denied|closed the connection|No such file' ask.out)"
	fi
}
start() { # name arguments...
	rm -f "$1.status"
	"$warder" serve -n "$@" --status-fd 3 2>"$1.err" 3>"$1.status" &
	for _ in $(seq 100); do
		grep -q '"start"' "$1.status" && return
		sleep 0.1
	done
}
start own -p files.policy
own=$!
ask own 0 0 ""
ask own 12345 12345 ""
ask none 12345 12345 ""
start door -p both.policy
door=$!
stat -c '%n %a' /run/warder /run/warder/door.sock /run/warder/door.pid /run/warder/own.sock
ask own 12345 12345 ""
ask door 0 0 ""
ask door 12345 12345 ""
ask door 20000 4321 ""
ask door 20000 20000 4000,4321
ask door 20000 20000 4000
cp ask.out refused.out
ask door 65534 65534 ""
as 12345 12345 "" sh -c 'cat /run/warder/door.pid; ls /run/warder; flock -n /run/warder/door.pid true; echo "$?"' 2>&1
kill $door $own
wait $door $own
start door -p files.policy --clients 20000 --clients "$(id -un 65534)"
ask door 20000 20000 4000
ask door 65534 65534 ""
ask door 12345 12345 ""
kill $!
wait $!
start door -p files.policy
stat -c '%n %a' /run/warder /run/warder/door.sock
ask door 20000 20000 4000
kill $!
wait $!
END
export warder what
unshare --mount --propagation private sh ./others.sh >others.out 2>&1
said() { # name line
	check "$1" grep -qxF "$2" others.out
}
said "root's service is found without the variable" "own 0 0 : served"
said "control: others cannot come through" "own 12345 12345 : Permission denied"
said "a service that is not there is said to be that" "none 12345 12345 : Permission denied"
said "with clients root's directory can be passed" "/run/warder 711"
said "to its socket" "/run/warder/door.sock 666"
said "and to nothing else: no lock" "/run/warder/door.pid 600"
said "no other service" "/run/warder/own.sock 600"
check "which stays closed" test "$(grep -cxF 'own 12345 12345 : Permission denied' others.out)" = 2
said "root is served" "door 0 0 : served"
said "a user that is named is" "door 12345 12345 : served"
said "a group's member by its first group" "door 20000 4321 : served"
said "by another group of its" "door 20000 20000 4000,4321: served"
said "others are not, the one without that group" "door 20000 20000 4000: closed the connection"
check "which call tells them to look at" grep -q 'do its `clients` name this user' refused.out
said "nor 65534" "door 65534 65534 : closed the connection"
check "the lock cannot be read, nor the directory" \
	test "$(grep -cE '(door.pid|/run/warder).*Permission denied' others.out)" = 3
check "control: the refused are served where they are named" \
	test "$(grep -cxE 'door (20000 20000 4000|65534 65534 ): served' others.out)" = 2
check "and the others not any more" grep -qxF "door 12345 12345 : closed the connection" others.out
said "without clients the socket is closed again" "/run/warder/door.sock 600"
said "to who was let in before" "door 20000 20000 4000: Permission denied"
[ "$n_failed" -eq 0 ] || sed 's/^/# /' others.out

set -- "$XDG_STATE_HOME"/warder/serve/door/*-door-*.jsonl
refused=$(grep -h '"error":"EACCES"' "$1")
check "each refusal is in the ledger with who it was" \
	sh -c "[ \"\$(echo '$refused' | grep -cE '\"client\":\\{\"uid\":(20000,\"gid\":20000|65534,\"gid\":65534),\"pid\":[0-9]+\\}')\" = 2 ]"
check "and each that was let in with the line that says so" \
	test "$(grep -c '"event":"client".*"rule":"both.policy:2".*"fd":true' "$1")" = 3
check "show tells of the refused" sh -c \
	"[ \"\$('$warder' ledger show --denied '$1' | grep -c 'neither its user nor a group')\" = 2 ]"
finish
