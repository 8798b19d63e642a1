# SPDX-License-Identifier: MIT
# rows.sh - a client of a daemon outside of a cell, in one with its rule, and in one without.

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
worker=$(id -un)
as_worker=
if [ "$(id -u)" = 0 ]; then
	worker=$(getent passwd 65534 | cut -d: -f1)
	as_worker='setpriv --reuid 65534 --regid 65534 --clear-groups'
fi
socks=$dir/sock # what stands for /run

# A directory of the worker's.
worker_dir() { # name...
	mkdir -p "$@"
	[ -z "$as_worker" ] || chown 65534:65534 "$@"
}

needs() { # daemon, program...
	daemon=$1
	shift
	for program in "$@"; do
		command -v "$program" >/dev/null 2>&1 || { skip "$daemon" "needs $program"; return 1; }
	done
}

daemon() { # name command...
	log=$dir/$1.log
	shift
	"$@" >"$log" 2>&1 </dev/null &
	pids="$pids $!"
}

# What a daemon says it is by, and what it wrote where it is not.
up() { # name command...
	name=$1
	shift
	wait_until "$@" && return 0
	not_ok "$name starts" "never succeeded: $*" "$(tail -n 20 "$dir/$name.log" "$dir/check.out" 2>&1)"
	return 1
}

# ---- a row --------------------------------------------------------------------------------------

begin_table() {
	mkdir -m 755 "$socks"
	{
		echo "| daemon | client | rule | reached | refused without it |"
		echo "|---|---|---|---|---|"
	} >table
}

outside() { # what, text, command...
	what=$1 text=$2
	shift 2
	# shellcheck disable=SC2086 # words
	$as_worker timeout 20 "$@" >native.out 2>native.err </dev/null
	status=$?
	if [ $status -eq 0 ] && grep -qF -- "$text" native.out; then
		ok "$what, outside"
	else
		not_ok "$what, outside" "exit status $status, and no \"$text\" in:" \
			"$(cat native.out native.err)"
	fi
}

# Runs the client in a cell under a policy; its output is in cell.out, its ledger in cell.jsonl.
in_cell() { # policy command...
	policy=$1
	shift
	rm -f cell.jsonl
	timeout 30 "$warder" run -q -p "$policy" --ledger cell.jsonl -- "$@" >cell.out 2>cell.err </dev/null
}

# A record of an event and of a peer.
recorded() { # event peer
	grep -F "\"event\":\"$1\"" cell.jsonl | grep -qF -- "$2"
}

with_rule() { # what, rule, peer, command...
	what=$1 peer=$3
	{ echo "allow $2"; echo "${also-}"; } >with.policy
	shift 3
	reached=no
	if in_cell ./with.policy "$@" && cmp -s native.out cell.out && recorded grant "$peer"; then
		reached=yes
		ok "$what, in a cell"
	else
		not_ok "$what, in a cell" "not the same, or no grant of $peer:" \
			"$(cat cell.err; diff native.out cell.out; cat cell.jsonl)"
	fi
}

without_rule() { # what, peer, command...
	what=$1 peer=$2
	echo "${also-}" >without.policy
	shift 2
	refused=no
	if ! in_cell ./without.policy "$@" && recorded deny "$peer"; then
		refused=yes
		ok "$what, refused without the rule"
	else
		not_ok "$what, refused without the rule" "it succeeded, or no denial of $peer:" \
			"$(cat cell.out cell.err cell.jsonl)"
	fi
}

# One client of one daemon.  What it prints outside has a text in it, and in the cell is the same.  In
# also stand lines of policy that it needs beside the rule.
row() { # daemon, client, rule, peer, text, command...
	daemon=$1 client=$2 rule=$3 peer=$4 text=$5
	shift 5
	outside "$daemon: $client" "$text" "$@"
	[ "$cells" = yes ] || return 0
	with_rule "$daemon: $client" "$rule" "$peer" "$@"
	without_rule "$daemon: $client" "$peer" "$@"
	tell
}

# Adds the row that was found to the table, with the places that they have on a machine.
tell() {
	echo "| $daemon | $client | \`allow $rule\` | $reached | $refused |" |
		sed -E "s|$socks|/run|; s|$dir/var|/var|; s|(X11-unix/X)[0-9]+|\10|" >>table
}

# ---- a row of a daemon in a cell ------------------------------------------------------------------

says() { # text, command...
	text=$1
	shift
	"$@" 2>&1 | grep -qF -- "$text"
}

# Runs a daemon until its client, a function of this test, has got a text from it, and ends it.
serve_once() { # text, client, command...
	text=$1 client_of=$2
	shift 2
	daemon served "$@"
	pid=${pids##* }
	wait_until says "$text" "$client_of"
	status=$?
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	pids=${pids% *}
	return $status
}

# The daemon runs, and its client gets nothing from it.
unreached() { # text, client, command...
	text=$1 client_of=$2
	shift 2
	daemon served "$@"
	pid=${pids##* }
	sleep 1
	kill -0 "$pid" && ! says "$text" "$client_of"
	status=$?
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	pids=${pids% *}
	return $status
}

served() { # name, command...
	what=$1
	shift
	if "$@"; then
		ok "$what"
	else
		not_ok "$what" "failed: $*" "$(cat "$dir/served.log" cell.jsonl 2>/dev/null)"
		return 1
	fi
}

# A daemon that waits in a cell for one client outside, by a rule to bind.
row_of_server() { # daemon, client, rule, peer, text, client's function, command...
	daemon=$1 client=$2 rule=$3 peer=$4 text=$5 function=$6
	shift 6
	# shellcheck disable=SC2086 # words
	served "$daemon, $client, with no cell" serve_once "$text" "$function" $as_worker "$@"
	[ "$cells" = yes ] || return 0
	{ echo "allow $rule"; echo "${also-}"; } >with.policy
	rm -f cell.jsonl
	reached=no
	served "$daemon, $client, from a cell" serve_once "$text" "$function" \
		"$warder" run -q -p ./with.policy --ledger cell.jsonl -- "$@" &&
		served "and has a record of it" recorded grant "$peer" && reached=yes
	echo "${also-}" >without.policy
	refused=no
	served "$daemon, $client, alone in its cell without the rule" unreached "$text" "$function" \
		"$warder" run -q -p ./without.policy --ledger cell.jsonl -- "$@" && refused=yes
	tell
}

# ---- the table ----------------------------------------------------------------------------------

# Between two marks of the README stands what was found here.  Where TABLE names a file, it goes there
# and is not compared.
end_table() {
	[ "$cells" = yes ] || return 0
	[ -z "${TABLE-}" ] || { cp table "$TABLE"; return 0; }
	sed 's/^/# /' table
	sed -n '/^<!-- daemons -->$/,/^<!-- daemons end -->$/p' "$TOP/README.md" | grep '^|' >table.readme
	check "README's table is this one (make daemons-table writes it)" diff table.readme table
}
