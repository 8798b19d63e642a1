# SPDX-License-Identifier: MIT
# lib.sh - what the scripts of this directory share.  Sourced; prints TAP.
#
# BUILD and TOP come from tests/run.  Each script works in a directory of its own, which is also
# where its ledgers and sockets stand.

set -u
BUILD=${BUILD:-$PWD/build}
TOP=${TOP:-$(cd "$(dirname "$0")/../.." && pwd)}
warder=$BUILD/warder
n_tests=0
n_failed=0
pids=

dir=$(mktemp -d "${TMPDIR:-/tmp}/e2e.XXXXXX") || exit 2
chmod 755 "$dir"
mkdir -m 700 "$dir/state" "$dir/run" || exit 2
XDG_STATE_HOME=$dir/state
XDG_RUNTIME_DIR=$dir/run
export XDG_STATE_HOME XDG_RUNTIME_DIR
cd "$dir" || exit 2

# Ends what the script started, by its ids alone.
cleanup() {
	for pid in $pids; do
		kill "$pid" 2>/dev/null
	done
	for pid in $pids; do
		wait "$pid" 2>/dev/null
	done
	cd / && rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

ok() { # name
	n_tests=$((n_tests + 1))
	echo "ok $n_tests - $1"
}

not_ok() { # name, what was seen
	n_tests=$((n_tests + 1))
	n_failed=$((n_failed + 1))
	echo "not ok $n_tests - $1"
	shift
	for line in "$@"; do
		echo "$line" | sed 's/^/# /'
	done
}

# The name of a test, the status it must end with, and the command; its output is in out and err.
expect_status() { # name status command...
	name=$1 wanted=$2
	shift 2
	"$@" >out 2>err
	got=$?
	if [ "$got" -eq "$wanted" ]; then
		ok "$name"
	else
		not_ok "$name" "exit status $got, not $wanted: $*" "$(cat err)"
	fi
}

# The last command's output, or a file's, holds a text.
expect_text() { # name text [file]
	if grep -qF -- "$2" "${3:-err}"; then
		ok "$1"
	else
		not_ok "$1" "no \"$2\" in:" "$(cat "${3:-err}")"
	fi
}

expect_no_text() { # name text [file]
	if grep -qF -- "$2" "${3:-err}"; then
		not_ok "$1" "\"$2\" in:" "$(cat "${3:-err}")"
	else
		ok "$1"
	fi
}

check() { # name command...
	name=$1
	shift
	if "$@" >"$dir/check.out" 2>&1; then
		ok "$name"
	else
		not_ok "$name" "failed: $*" "$(cat "$dir/check.out")"
	fi
}

skip() { # name why
	n_tests=$((n_tests + 1))
	echo "ok $n_tests - $1 # SKIP $2"
}

# Waits at most ten seconds until a command succeeds.
wait_until() {
	for _ in $(seq 100); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	return 1
}

finish() {
	echo "1..$n_tests"
	[ "$n_failed" -eq 0 ]
	exit
}
