#!/bin/sh
# SPDX-License-Identifier: MIT
# waits.sh - opens that may block: their callers wait, and nobody else does.
. "$(dirname "$0")/lib.sh"

mkdir data
echo hello >data/file
mkfifo data/fifo
[ "$(id -u)" != 0 ] || chown -R 65534:65534 data
cat >policy <<END
allow rw $dir/data/ type fifo
END

in_cell() { # status, script
	ledger=$dir/ledger.$n_tests
	expect_status "$1" 0 "$warder" run -q -p policy --ledger "$ledger" --time 60s \
		-C "$dir/data" -- sh -c "$2"
}

in_cell "the two ends of a FIFO, opened by two processes, meet" \
	'(sleep 0.2; echo through >fifo) & cat fifo; wait'
check "and what one writes the other reads" grep -q through out
in_cell "in the other order too" '(sleep 0.2; cat fifo) & echo through >fifo; wait'
check "and what one writes the other reads so" grep -q through out
in_cell "others are served while one waits" \
	'cat fifo & sleep 0.1; cat file; echo more >new; cat new; rm new; echo through >fifo; wait'
check "each of them" grep -q more out
in_cell "fifty wait at once, and each gets its descriptor" \
	'i=0; while [ $i -lt 50 ]; do cat fifo & i=$((i + 1)); done; sleep 0.5; cat file
	 exec 3>fifo; exec 3>&-; wait; echo all'
check "and none is left waiting" grep -q all out
opened=$(grep -c '"type":"fifo","flags":"O_RDONLY".*"fd":true' "$ledger")
check "each with its record" test "$opened" -eq 50
in_cell "more than there is room for are told so" \
	'i=0; while [ $i -lt 70 ]; do cat fifo 2>>said & i=$((i + 1)); done; sleep 1; exec 3>fifo; exec 3>&-
	 wait; grep -c "temporarily unavailable" said; rm said'
check "at once, by EAGAIN" grep -qx '[1-9][0-9]*' out
in_cell "without waiting the FIFO answers as the kernel does" \
	'dd if=fifo iflag=nonblock 2>/dev/null && ! dd if=/dev/null of=fifo oflag=nonblock conv=notrunc 2>said; cat said; rm said'
check "ENXIO to a writer without a reader" grep -qi "no such device" out

# A file under another's lease: fcntl(2), "Leases".  Its holder lets go when it is told.
echo leased >data/leased
[ "$(id -u)" != 0 ] || chown 65534:65534 data/leased
python3 - data/leased data/release >held 2>held.err <<'PY' &
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, lambda *a: print("asked", flush=True))
f = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while not os.path.exists(sys.argv[2]):
    time.sleep(0.05)
fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_UNLCK)
PY
pids="$pids $!"
wait_until grep -q held held
check "a lease is held" grep -q held held
in_cell "fifty wait at once, for a lease or for a FIFO, and others are served" \
	'i=0; while [ $i -lt 25 ]; do cat leased >>got & cat fifo & i=$((i + 1)); done; sleep 0.5
	 test ! -s got && cat file && echo >release; exec 3>fifo; exec 3>&-; wait; cat got; rm got'
check "while they wait" grep -qx hello out
check "then each has its own" test "$(grep -cx leased out)" -eq 25
check "whose holder was asked" grep -q asked held
opened=$(grep -c '"reached":"[^"]*/leased","dev".*"type":"file","flags":"O_RDONLY.*"fd":true' "$ledger")
check "with its record" test "$opened" -eq 25

# A caller that is killed takes its child along; then the broker has two, init and the worker.
mkfifo hold
"$warder" run -q -p policy --ledger "$dir/ledger.killed" --time 60s -C "$dir/data" -- sh -c \
	'cat file; read line; for i in 1 2 3 4 5 6 7 8; do timeout -s KILL 0.1 cat fifo; done
	 timeout -s KILL 0.3 sh -c "echo x >fifo"; sleep 0.4; cat file; read line' \
	>out 2>err <hold &
broker=$!
pids="$pids $broker"
exec 4>hold
descriptors() {
	set -- "/proc/$broker/fd"/*
	echo $#
}
wait_until grep -q hello out
[ "$(id -u)" != 0 ] || before=$(descriptors)
echo >&4
twice() {
	test "$(grep -c hello out)" -eq 2
}
wait_until twice
check "the worker goes on after its callers were killed" twice
check "whose children of the broker's are gone" \
	test "$(wc -w <"/proc/$broker/task/$broker/children")" -eq 2
# Who is not root may not look.
check "and have left no descriptor behind" \
	sh -c '[ "$(id -u)" != 0 ] || [ "$1" -le "$2" ]' sh "$(descriptors)" "${before:-}"
exec 4>&-
wait "$broker"

# The broker's third child is the one that waits; it is killed from outside, without a word.
"$warder" run -q -p policy --ledger "$dir/ledger.silent" --time 60s -C "$dir/data" -- \
	cat fifo >out 2>err &
broker=$!
pids="$pids $broker"
third() {
	# shellcheck disable=SC2046 # the list is words
	set -- $(cat "/proc/$broker/task/$broker/children") && [ $# -eq 3 ] && child=$3
}
wait_until third
check "an open that waits is a child's" kill -KILL "$child"
wait "$broker"
expect_text "whose silent death is an error, not a wait for ever" "Input/output error"
check "with a record" grep -q '"type":"fifo".*"error":"EIO"' "$dir/ledger.silent"

finish
