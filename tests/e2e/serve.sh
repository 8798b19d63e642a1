#!/bin/sh
# SPDX-License-Identifier: MIT
# serve.sh - warder serve as its users see it: names, sockets, workers that die, and the end.
. "$(dirname "$0")/lib.sh"

mkdir -m 755 data
echo 'some text' >data/file
printf 'allow read %s/data/\n' "$dir" >files.policy

serve() { # name arguments...: in the background; $server is its pid
	name=$1
	shift
	"$warder" serve -n "$name" --status-fd 3 "$@" >"$name.out" 2>"$name.err" 3>"$name.status" &
	server=$!
	pids="$pids $server"
	wait_until grep -q '"start"' "$name.status"
}

stop() { # signal: the status of the server's end
	kill -s "$1" "$server"
	wait "$server"
}

ask() { # name method params
	"$warder" call -n "$1" "$2" "$3" >out 2>err
}

# ---- usage --------------------------------------------------------------------------------------

expect_status "--help exits with 0" 0 "$warder" serve --help
expect_text "and prints to standard output" "usage: warder serve" out
expect_status "a missing name is wrong usage" 2 "$warder" serve -p files.policy
for name in ../up a/b .hidden '' 'a b' "$(printf 'x%.0s' $(seq 65))"; do
	expect_status "\"$name\" is no name" 2 "$warder" serve -n "$name"
done
expect_status "a policy of ./ is an error" 1 "$warder" serve -n t -e 'allow read ./data/'
expect_text "that says so" "./"
# Of no file a byte, so that what it says goes through a pipe.
sh -c 'trap "" XFSZ; ulimit -f 0; exec "$@"' sh "$warder" serve -n room -p files.policy 2>&1 | cat >err
expect_text "no room for its lock stops the start: where, why and what to do is said" \
	"cannot write room.pid beside $dir/run/warder/room.sock: File too large; set XDG_RUNTIME_DIR"
expect_status "an XDG_RUNTIME_DIR that is no path too" 1 env XDG_RUNTIME_DIR=run "$warder" serve -n rel -p files.policy
expect_text "and says what to do" "set it to one, or unset it"
expect_status "a worker that is not there stops the start" 1 "$warder" serve -n t /no/such/worker
expect_text "with a sentence" "did not start"

# ---- the socket ---------------------------------------------------------------------------------

serve files -p files.policy
check "the start is told" grep -qE '^\{"event":"start","status":"ok","pid":[0-9]+\}$' files.status
check "the directory has mode 0700" test "$(stat -c %a "$dir/run/warder")" = 700
check "the socket has mode 0600" test "$(stat -c %a "$dir/run/warder/files.sock")" = 600
expect_status "a client is served" 0 ask files stat "{\"path\":\"$dir/data/file\"}"
expect_status "and another" 0 ask files read "{\"path\":\"$dir/data/file\"}"
expect_status "what no rule allows is refused" 1 ask files read '{"path":"/etc/hostname"}'

expect_status "a second instance exits" 1 "$warder" serve -n files -p files.policy
expect_text "with a sentence that names the first" "process $server"
expect_status "and does no harm" 0 ask files stat "{\"path\":\"$dir/data/file\"}"

# ---- the ledger ---------------------------------------------------------------------------------

ledgers=$XDG_STATE_HOME/warder/serve/files
check "a slot writes a ledger of its own" sh -c '[ "$(ls "$1"/*slot1*.jsonl | wc -l)" = 1 ]' sh "$ledgers"
check "with a record for each client" sh -c \
	'[ "$(grep -c "\"event\":\"client\"" "$1"/*.jsonl)" -ge 3 ]' sh "$ledgers"
check "and for each descriptor" grep -q '"event":"grant"' "$ledgers"/*.jsonl
check "and for the refusal" grep -q '/etc/hostname' "$ledgers"/*.jsonl

# ---- the end ------------------------------------------------------------------------------------

stop TERM
check "SIGTERM drains, and the exit status is 0" test $? -eq 0
check "the socket is gone" test ! -e "$dir/run/warder/files.sock"
check "and the lock" test ! -e "$dir/run/warder/files.pid"
check "the end is told" grep -qx '{"event":"end","status":0}' files.status
expect_status "nobody answers now" 2 ask files stat "{\"path\":\"$dir/data/file\"}"

serve int -p files.policy
stop INT
check "SIGINT does the same" test $? -eq 0

# ---- what a killed server leaves ----------------------------------------------------------------

serve again -p files.policy
kill -s KILL "$server"
wait "$server" 2>/dev/null
check "a killed server leaves its socket" test -S "$dir/run/warder/again.sock"
serve again -p files.policy
check "the next one starts all the same" grep -q '"status":"ok"' again.status
expect_status "and serves" 0 ask again stat "{\"path\":\"$dir/data/file\"}"
stop TERM

# ---- a directory that is not safe ---------------------------------------------------------------

mkdir -m 777 open
XDG_RUNTIME_DIR=$dir/open expect_status "a directory that others can write is refused" 1 \
	"$warder" serve -n t -p files.policy
expect_text "with the remedy" "chmod go-w"
ln -s run link
XDG_RUNTIME_DIR=$dir/link expect_status "so is a symlink" 1 "$warder" serve -n t -p files.policy
expect_text "with its reason" "symlink"
mkdir -m 700 wide && mkdir -m 755 wide/warder
XDG_RUNTIME_DIR=$dir/wide expect_status "and an own directory that is open" 1 \
	"$warder" serve -n t -p files.policy
expect_text "with its remedy" "chmod 700"
mkdir -p "$dir/run/warder" && : >"$dir/run/warder/file.sock"
expect_status "a file in the socket's place is not removed" 1 "$warder" serve -n file -p files.policy
check "it is still there" test -f "$dir/run/warder/file.sock"
XDG_RUNTIME_DIR=$dir/$(printf 'd%.0s' $(seq 100)) expect_status "a path too long for a socket" 1 \
	"$warder" serve -n t -p files.policy
expect_text "is said to be that" "longer than"

# ---- workers ------------------------------------------------------------------------------------

serve three -p files.policy --workers 3
check "three workers have three ledgers" sh -c \
	'[ "$(ls "$1"/*slot[123]*.jsonl | wc -l)" = 3 ]' sh "$XDG_STATE_HOME/warder/serve/three"
for _ in 1 2 3; do
	ask three stat "{\"path\":\"$dir/data/file\"}"
done
check "clients go to them in turn" sh -c \
	'[ "$(grep -l "\"event\":\"client\"" "$1"/*.jsonl | wc -l)" = 3 ]' sh \
	"$XDG_STATE_HOME/warder/serve/three"
stop TERM

serve talk -p files.policy sh -c 'echo one; printf "two\033[31m\n" >&2; printf half; exec sleep 60'
wait_until grep -q two talk.err
check "what a worker prints comes with its slot" grep -qx '\[1\] one' talk.out
check "escaped, on the same descriptor" grep -qx '\[1\] two\\x1b\[31m' talk.err
stop TERM

finish
