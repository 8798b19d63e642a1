# SPDX-License-Identifier: MIT
# lib.sh - what the hostile scripts share: TAP, a scratch directory, a way into a cell.
#
# $dir is the test's own directory, removed at the end.  inside COMMAND... runs it in a cell with
# the options in $options; output goes to $dir/out, the exit status to $status.
set -u

warder=${BUILD:?}/warder
dir=$(mktemp -d "${TMPDIR:-/tmp}/hostile.XXXXXX") || exit 2
chmod 755 "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
ledger=$dir/ledger.jsonl
options=
bad=0

check() { # name, command...: "ok" where the command succeeds
	name=$1
	shift
	if "$@"; then
		echo "ok $name"
	else
		echo "not ok $name"
		[ ! -s "$dir/out" ] || sed 's/^/# /' "$dir/out" | head -n 30
		bad=$((bad + 1))
	fi
}

skip() { # name, what is missing
	echo "ok $1 # SKIP $2"
}

is() {
	[ "$1" = "$2" ] || { echo "# \"$1\" is not \"$2\""; return 1; }
}

inside() {
	rm -f "$ledger"
	# shellcheck disable=SC2086 # options are words
	timeout -k 5 60 "$warder" run -q --ledger "$ledger" $options -- "$@" \
		>"$dir/out" 2>&1 </dev/null
	status=$?
}

events() { # event: how many the ledger has
	cat "$ledger" 2>/dev/null | grep -c "\"event\": *\"$1\""
}

finish() {
	[ "$bad" -eq 0 ]
	exit
}
