#!/bin/sh
# SPDX-License-Identifier: MIT
# run.sh - warder run: what it starts, what it says, and how it ends.
. "$(dirname "$0")/lib.sh"

run() {
	"$warder" run "$@"
}

# ---- exit status --------------------------------------------------------------------------------

expect_status "exit status is the program's own" 42 run sh -c 'exit 42'
expect_status "a signal is 128 and its number" 143 run sh -c 'kill -TERM $$'
expect_status "a program that is not there is 127" 127 run no-such-program-xyz
expect_text "and says which" "no-such-program-xyz"
mkdir programs && echo 'text' >programs/not-executable
expect_status "a file that cannot be executed is 126" 126 \
	run -e "allow rwx $dir/programs/" "$dir/programs/not-executable"
mkdir bin && cp /bin/echo bin/own-echo
expect_status "a runtime below /tmp is not hidden by the private one" 0 \
	run --runtime "$dir/bin" "$dir/bin/own-echo" x
expect_status "a missing command is 125" 125 run
expect_text "and says so" "COMMAND is missing"
expect_status "an empty command is 125" 125 run ''
expect_status "an unknown option is 125" 125 run --memry 1G true
expect_text "and names the nearest" "did you mean --memory?"
expect_status "an option without its value is 125" 125 run -e
expect_status "a policy that is not there is 125" 125 run -p ./no-such.policy true
expect_status "a directory that is not there is 125" 125 run -C ./no-such true
expect_text "and says which" "./no-such"
expect_status "a closed --fd is 125" 125 run --fd 63 true
expect_status "a directory as --fd is 125" 125 sh -c '"$1" run --fd 5 true 5</' sh "$warder"

mkdir asked && echo key >asked/.env && echo text >asked/file
expect_status "what is to be asked about anywhere stops no start" 0 \
	run -q -e "allow read $dir/asked/" -e 'ask read **/.env' cat "$dir/asked/file"
expect_status "and is not granted without anyone to ask" 1 \
	run -q -e "allow read $dir/asked/" -e 'ask read **/.env' cat "$dir/asked/.env"
expect_text "in a tree" "Permission denied"
expect_status "nor are names that no tree shows" 1 \
	run -q -e "allow read $dir/asked/" -e 'ask any **' cat /root/.bashrc

# ---- options and their end ----------------------------------------------------------------------

expect_status "options end at the command" 0 run echo -p --no-such -- x
expect_text "and what follows is the command's" "-p --no-such -- x" out
expect_status "-- ends options too" 0 run -- printf '<%s>' -- -e
expect_text "and is not passed on" "<-e>" out
expect_status "a value may follow an equals sign" 0 run --time=10s --allow='read /etc/' true

# ---- what a person reads ------------------------------------------------------------------------

expect_status "--help exits with 0" 0 run --help
expect_text "and prints to standard output" "usage: warder run" out
check "and to nowhere else" test ! -s err
expect_status "help run is the same" 0 "$warder" help run
expect_text "as run --help" "usage: warder run" out
expect_status "--version exits with 0" 0 "$warder" --version
expect_status "an unknown command exits with 2" 2 "$warder" rnu
expect_text "and names the nearest" 'did you mean "run"?'
expect_status "no command exits with 2" 2 "$warder"
expect_status "an unknown command for help exits with 2" 2 "$warder" help polcy
expect_text "and names the nearest there too" 'did you mean "policy"?'

: >empty.policy
expect_status "an empty file is a policy that grants nothing" 0 run -p ./empty.policy true
expect_status "a misspelt right is 125" 125 run -e 'allow raed /etc/' true
expect_text "and names the nearest right" 'did you mean "read"?'
printf 'allow read /etc/\nalow read /usr/\n' >typo.policy
expect_status "a misspelt word in a file is 125" 125 run -p typo.policy true
expect_text "and says where" "typo.policy:2:1"
expect_status "a policy may come from standard input" 0 \
	sh -c 'echo "allow read /etc/" | "$1" run -p - true' sh "$warder"
expect_no_text "no colours where standard error is no terminal" "$(printf '\033')"

run -v true 2>err
expect_text "-v counts although there is no terminal" "granted"
run true 2>err
check "without it nothing is said" test ! -s err

# ---- what the program gets ----------------------------------------------------------------------

expect_status "standard input passes" 0 sh -c 'echo words | "$1" run cat' sh "$warder"
expect_text "and output" "words" out
expect_status "--fd passes a descriptor under its number" 0 \
	sh -c 'echo seven >seven; "$1" run --fd 7 sh -c "cat <&7" 7<seven' sh "$warder"
expect_text "with what is in it" "seven" out
expect_status "other descriptors do not pass" 0 sh -c \
	'"$1" run sh -c "if (: <&8) 2>/dev/null; then echo open; else echo closed; fi" 8</dev/null' \
	sh "$warder"
expect_text "they are closed" "closed" out
expect_status "closed standard descriptors do no harm" 3 \
	sh -c '"$1" run sh -c "exit 3" <&- >&- 2>&-' sh "$warder"
SECRET=abc expect_status "variables do not pass" 0 run sh -c 'echo "<${SECRET-unset}>"'
expect_text "unless env says so" "<unset>" out
SECRET=abc expect_status "--env passes one" 0 run --env SECRET sh -c 'echo "<$SECRET>"'
expect_text "with its value" "<abc>" out
expect_status "--env sets one" 0 run --env SECRET=xyz sh -c 'echo "<$SECRET>"'
expect_text "to what was given" "<xyz>" out
WARDER_POLICY='allow any /' expect_status "no variable grants anything" 1 \
	run sh -c 'cat /etc/shadow >/dev/null 2>&1 || exit 1'
expect_status "the working directory is kept where the cell has it" 0 run -C /usr/share pwd
expect_text "as -C told it" "/usr/share" out
expect_status "--time ends what takes too long" 137 run --time 300ms sleep 20

# ---- the ledger ---------------------------------------------------------------------------------

rm -rf "$XDG_STATE_HOME/warder"
run true
ledgers=$XDG_STATE_HOME/warder/run
check "a session writes a ledger of its own" sh -c '[ "$(ls "$1"/*.jsonl | wc -l)" = 1 ]' sh "$ledgers"
check "of mode 0600" sh -c '[ "$(stat -c %a "$1"/*.jsonl)" = 600 ]' sh "$ledgers"
check "in directories of mode 0700" sh -c \
	'[ "$(stat -c %a "$1")$(stat -c %a "$1/..")" = 700700 ]' sh "$ledgers"
check "with the policy beside it, mode 0400" sh -c \
	'[ "$(stat -c %a "$1"/*.policy)" = 400 ]' sh "$ledgers"
check "under the hash that the first record names" sh -c \
	'grep -q "$(basename "$1"/*.policy .policy)" "$1"/*.jsonl' sh "$ledgers"
run true &
one=$!
run true &
two=$!
wait $one
status=$?
wait $two
check "two at once both end well" test "$status$?" = 00
check "and have a ledger each" sh -c '[ "$(ls "$1"/*.jsonl | wc -l)" = 3 ]' sh "$ledgers"
i=0
while [ $i -lt 53 ]; do
	: >"$ledgers/20000101T000000.0000$(printf %02d $i)Z-1.jsonl"
	i=$((i + 1))
done
exec 9>>"$ledgers/20000101T000000.000000Z-1.jsonl"
flock -x 9
run true 9>&-
check "the newest 50 ledgers are kept, and what is in use" sh -c \
	'[ "$(ls "$1"/*.jsonl | wc -l)" = 51 ] && [ -e "$1/20000101T000000.000000Z-1.jsonl" ]' \
	sh "$ledgers"
exec 9>&-

expect_status "--ledger FILE is made" 0 run --ledger ./book.jsonl true
check "and written to" test -s book.jsonl
mkfifo fifo
expect_status "a FIFO is no ledger" 125 run --ledger ./fifo true
expect_text "and the sentence says why" "it is no regular file"
expect_status "a device is no ledger" 125 run --ledger /dev/null true
ln -s book.jsonl link
expect_status "a symlink is no ledger" 125 run --ledger ./link true
expect_text "and the sentence says why" "it is a symlink"
: >open.jsonl && chmod 666 open.jsonl
expect_status "a file that others can write is no ledger" 125 run --ledger ./open.jsonl true
expect_status "a ledger may be an open descriptor" 0 \
	sh -c '"$1" run --ledger fd:6 true 6>>six.jsonl' sh "$warder"
check "which is written to" test -s six.jsonl
check "and says itself what its rules were" grep -q '"policy_text":"' six.jsonl
expect_status "then no directory for ledgers is needed" 0 sh -c \
	'env -u HOME XDG_STATE_HOME=/proc/none "$1" run --ledger fd:6 -e "allow read /etc/" true 6>seven.jsonl' \
	sh "$warder"
check "the rules stand in the first record" sh -c \
	'head -n 1 seven.jsonl | grep -q "\"policy_text\":\"[^\"]*allow read /etc/"'
expect_status "without that there is one" 125 env XDG_STATE_HOME=/proc/none "$warder" run true
expect_text "and what to do is said" "give --ledger FILE"
awk 'BEGIN { for (i = 0; i < 9000; i++) printf "deny any /srv/none-%030d\n", i }' >long.policy
expect_status "a policy that fits into no record stops the start" 125 \
	sh -c '"$1" run -p ./long.policy --ledger fd:6 true 6>eight.jsonl' sh "$warder"
expect_text "with what to do" "give --ledger FILE"
expect_status "a file has room for it" 0 run -p ./long.policy --ledger ./eight.jsonl true
check "beside it" sh -c '! grep policy_text eight.jsonl'
expect_status "a pipe is none" 125 sh -c '"$1" run --ledger fd:6 true 6>&1 | cat; exit 125' sh "$warder"
expect_status "the ledger's descriptor cannot be handed in" 125 \
	sh -c '"$1" run --ledger fd:6 --fd 6 true 6>>six.jsonl' sh "$warder"
expect_status "also where the policy says that it is" 125 \
	sh -c '"$1" run -e "ledger fd:6" --fd 6 true 6>>six.jsonl' sh "$warder"
expect_text "with its reason" "that descriptor is the ledger"
expect_status "a ledger that another session holds is refused" 125 \
	sh -c 'exec 9>>book.jsonl; flock -x 9; "$1" run --ledger ./book.jsonl true' sh "$warder"
expect_text "with its reason" "in use"
chmod 777 "$XDG_STATE_HOME/warder"
expect_status "a state directory that others can write is refused" 125 run true
expect_text "with the remedy" "chmod go-w"
chmod 700 "$XDG_STATE_HOME/warder"

# ---- --status-fd --------------------------------------------------------------------------------

"$warder" run --status-fd 3 sh -c 'exit 5' 3>status
check "the first line of --status-fd is the start" sh -c \
	'head -n 1 status | grep -qE "^\{\"event\":\"start\",\"status\":\"ok\",\"pid\":[0-9]+\}$"'
check "the last line is the end" sh -c \
	'tail -n 1 status | grep -qE "^\{\"event\":\"end\",\"status\":5,\"granted\":[0-9]+,\"denied\":[0-9]+,\"limited\":0,\"closed\":0,\"timed_out\":false,\"cpu_ended\":false,\"oom_killed\":0\}$"'
"$warder" run --status-fd 3 -C ./no-such true 3>status 2>/dev/null
check "a failed start says so, with code and sentence" sh -c \
	'grep -qE "^\{\"event\":\"start\",\"status\":\"failed\",\"error\":\"[^\"]*no-such[^\"]*\",\"code\":125\}$" status'
"$warder" run --status-fd 3 no-such-program-xyz 3>status 2>/dev/null
check "so does a program that is not there" grep -q '"code":127' status
"$warder" run --status-fd 3 --time 300ms sleep 20 3>status
check "a time limit is told" grep -q '"timed_out":true' status
expect_status "a limit of processor time is 137" 137 \
	sh -c '"$1" run -v --status-fd 3 --cpu 1s sh -c "while :; do :; done" 3>status' sh "$warder"
expect_text "and told" '"cpu_ended":true' status
expect_text "and said" "; its processor time was up; ledger"
expect_status "another's SIGKILL is 137 too" 137 \
	sh -c '"$1" run -v --status-fd 3 --cpu 1s sh -c "kill -KILL \$\$" 3>status' sh "$warder"
expect_text "and not told so" '"cpu_ended":false' status
expect_status "a closed --status-fd is 125" 125 run --status-fd 33 true
expect_status "nobody who listens is no error" 0 \
	sh -c '"$1" run --status-fd 3 true 3>&1 >/dev/null | :; exit 0' sh "$warder"

if [ -w /dev/full ]; then
	expect_status "a --status-fd that takes nothing ends nothing" 3 \
		sh -c '"$1" run --status-fd 3 sh -c "exit 3" 3>/dev/full' sh "$warder"
	expect_text "but is said" "cannot write to the descriptor of --status-fd: No space left on device"
	check "once" test "$(grep -c status-fd err)" -eq 1
fi

# No file may grow, as a limit of the caller's: through a pipe, since err could not grow either.
no_growth() { # command...
	(
		ulimit -f 0
		"$@" 2>&1
		echo "exit $?"
	) | cat >grown
}
no_growth "$warder" run true
check "a ledger that cannot grow is 125" grep -qx "exit 125" grown
check "with a sentence" grep -q "^warder: .*File too large" grown
expect_status "and the program's own signal is as it was" 153 \
	run sh -c 'ulimit -f 1; exec head -c 99999 /dev/zero >/tmp/x'

# ---- signals ------------------------------------------------------------------------------------

"$warder" run sh -c 'trap "exit 9" TERM; echo up; while :; do sleep 0.1; done' >up 2>err &
pid=$!
pids="$pids $pid"
wait_until grep -q up up
kill -TERM $pid
wait $pid
status=$?
check "SIGTERM reaches the program" test "$status" -eq 9

# ---- a file name with a newline -----------------------------------------------------------------

mkdir "new
line"
expect_status "a directory with a newline in its name works as -C" 0 run -C "$dir/new
line" true
expect_status "and for the ledger" 0 run -v --ledger "$dir/new
line/book.jsonl" true
expect_text "whose name ends no line of the summary" 'ledger '"$dir"'/new\x0aline/book.jsonl'

# What the caller left open stays in nobody's hands, the broker's neither: the pipe's reader meets
# its end while the session runs.
mkdir left
[ "$(id -u)" != 0 ] || chown 65534:65534 left
session() { # option...: one that has descriptor 9 from its caller
	rm -f left/*
	mkfifo pipe
	cat pipe >/dev/null &
	reader=$!
	"$warder" run -q -e 'allow rw ./' -C "$dir/left" "$@" -- \
		sh -c ': >begun; while [ ! -e end ]; do sleep 0.05; done' 9>pipe &
	session=$!
	pids="$pids $reader $session"
	i=0
	while [ ! -e left/begun ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
}
end_session() {
	: >left/end
	wait "$session"
	wait "$reader"
	rm pipe
}
session
i=0
while kill -0 "$reader" 2>/dev/null && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
check "a descriptor that nobody asked for is closed" sh -c '! kill -0 "$1" 2>/dev/null' sh "$reader"
end_session
session --fd 9
check "one that was asked for is not" kill -0 "$reader"
end_session

# ---- what still runs in the cell at its end is ended, and is told nothing first ------------------

# Five times, since it depends on which of the calls is on its way.
busy_end() { # last command of the worker, option...
	last=$1
	shift
	: >err
	for _ in 1 2 3 4 5; do
		"$warder" run -q "$@" -- sh -c '
			for i in 1 2 3 4 5 6; do
				(: >"$HOME/$i"; while cat /etc/hosts >/dev/null; do :; done) &
			done
			for i in 1 2 3 4 5 6; do
				while [ ! -e "$HOME/$i" ]; do :; done
			done
			'"$last" >out 2>>err || status=$?
	done
}
status=0
busy_end "exit 7"
check "the worker ends while others call: its status" test "$status" -eq 7
check "and none of them had time to complain" sh -c '! grep -v Killed err'
busy_end "kill -TERM \$\$"
check "so when it is terminated" sh -c '! grep -v Killed err'
busy_end "while :; do :; done" --time 1s
check "and when its time is up" sh -c '! grep -v Killed err'

expect_status "a session has one ledger" 125 "$warder" run --ledger a.jsonl --ledger b.jsonl -- true
expect_text "which is said" "--ledger is given twice"

finish
