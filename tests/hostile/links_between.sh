#!/bin/sh
# SPDX-License-Identifier: MIT
# links_between.sh - what one session puts in the way of the next: links to a runtime tree, to the
# policy, to the ledger and to warder's state.
#
# Each is reached through a link in the middle of its way, which stands in a directory that the
# worker writes.  The first session tries to lead it elsewhere, the second is started by the same
# command.  As a control another name beside it is replaced, and, by hand, the link itself.
. "$(dirname "$0")/lib.sh"

as_worker() { # files become the worker's
	[ "$(id -u)" -ne 0 ] || chown -hR 65534:65534 "$@"
}

said() { # a part of what the last run printed
	grep -qF "$1" "$dir/out"
}

# ---- runtime ---------------------------------------------------------------------------------

mkdir "$dir/d" "$dir/d/venv" "$dir/away"
echo venv >"$dir/d/venv/f"
echo away >"$dir/away/f"
ln -s d/venv "$dir/vlink"
ln -s d/mid "$dir/vmid"
ln -s venv "$dir/d/mid"
as_worker "$dir/d"

start() { # runtime, then more lines of policy; what is at the runtime's f
	printf 'runtime %s\n' "$dir/$1" >"$dir/p.policy"
	at=$1
	shift
	for line; do printf '%s\n' "$line"; done >>"$dir/p.policy"
	timeout -k 5 60 "$warder" run -q --ledger "$dir/ledger.jsonl" -p "$dir/p.policy" -- \
		cat "$dir/$at/f" >"$dir/out" 2>&1 </dev/null
	status=$?
}

for way in vlink vmid d/venv; do
	start "$way"
	check "control_a_runtime_by_$(echo "$way" | tr / _)_is_read" said venv
	start "$way" "allow rw $dir/d/"
	check "a_runtime_by_$(echo "$way" | tr / _)_that_the_worker_could_replace_is_an_error" \
		is "$status" 125
	check "the_error_says_what_$(echo "$way" | tr / _)_crosses" \
		said "crosses a directory the worker may write"
done
mv "$dir/d/venv" "$dir/d/v2"
ln -s ../away "$dir/d/venv"
start vlink
check control_the_next_start_would_have_followed_the_link said away
start away "allow rw $dir/d/"
check a_runtime_beside_what_the_worker_writes_starts said away

# ---- the policy ------------------------------------------------------------------------------

mkdir "$dir/us" "$dir/us/d" "$dir/us/d/turn" "$dir/real" "$dir/us/d/evil"
printf 'allow rw %s/us/d/\n' "$dir" >"$dir/real/p.policy"
printf 'allow rw %s/us/d/\nallow read %s/hidden\n' "$dir" "$dir" >"$dir/us/d/evil/p.policy"
echo hidden >"$dir/hidden"
ln -s d/m.policy "$dir/us/a.policy"
ln -s turn/../../../real/p.policy "$dir/us/d/m.policy"
ln -s turn/../../../real/p.policy "$dir/us/d/other"
mkdir "$dir/us/d/turn2"
as_worker "$dir/us/d"
# A policy must be its reader's own: evil's stays so for the control.
chown "$(id -u)" "$dir/us/d/evil/p.policy"

session() { # command in the cell, by the policy at us/a.policy
	timeout -k 5 60 "$warder" run -q --ledger "$dir/ledger.jsonl" -p "$dir/us/a.policy" -- \
		sh -c "$1" >"$dir/out" 2>&1 </dev/null
	status=$?
}


for what in "rm m.policy" "mv m.policy gone" "ln -sfn evil/p.policy m.policy" \
	"ln -s evil/p.policy new && mv new m.policy" "mv turn gone" "rmdir turn" \
	"mv -T evil turn"; do
	session "cd $dir/us/d && $what"
	check "a_link_to_the_policy_outlasts_$(echo "$what" | tr -c 'a-z\n' _)" \
		is "$([ "$status" -ne 0 ] && readlink "$dir/us/d/m.policy" && ls -d "$dir/us/d/turn")" \
		"turn/../../../real/p.policy
$dir/us/d/turn"
	rm -f "$dir/us/d/new"
done
session "cat $dir/hidden"
check "the_next_session_reads_the_same_policy" [ "$status" -ne 0 ]
session "cd $dir/us/d && ln -sfn evil/p.policy other && mv turn2 gone2"
check control_names_beside_it_are_the_workers is "$(readlink "$dir/us/d/other")" evil/p.policy
ln -sfn evil/p.policy "$dir/us/d/m.policy"
session "cat $dir/hidden"
check control_a_link_that_was_replaced_would_have_been_followed said hidden
ln -sfn turn/../../../real/p.policy "$dir/us/d/m.policy"

# ---- the ledger and warder's state -----------------------------------------------------------

mkdir "$dir/books" "$dir/states" "$dir/us/d/away"
ln -s us/d/led "$dir/led"
ln -s ../../books "$dir/us/d/led"
ln -s us/d/st "$dir/st"
ln -s ../../states "$dir/us/d/st"
as_worker "$dir/us/d/away"

by_links() { # command in the cell
	XDG_STATE_HOME=$dir/st timeout -k 5 60 "$warder" run -q -p "$dir/real/p.policy" \
		--ledger "$dir/led/l.jsonl" -- sh -c "$1" >"$dir/out" 2>&1 </dev/null
	status=$?
}

for link in led st; do
	for what in "rm $link" "mv $link gone" "ln -sfn away $link" "ln -s away new && mv -T new $link"; do
		by_links "cd $dir/us/d && $what"
		check "a_link_to_what_is_warders_outlasts_$(echo "$what" | tr -c 'a-z\n' _)" \
			is "$([ "$status" -ne 0 ] && readlink "$dir/us/d/$link")" \
			"../../$([ $link = led ] && echo books || echo states)"
		rm -f "$dir/us/d/new"
	done
done
by_links "cd $dir/us/d && mv away away2"
check control_what_stands_beside_is_the_workers test -d "$dir/us/d/away2"
check the_book_is_where_it_was test -s "$dir/books/l.jsonl"

# ---- another name of the policy's file -------------------------------------------------------

ln "$dir/real/p.policy" "$dir/us/d/twin"
as_root=
[ "$(id -u)" -ne 0 ] || as_root='--user root'
# shellcheck disable=SC2086 # words
timeout -k 5 60 "$warder" run -q $as_root --ledger "$dir/ledger.jsonl" -p "$dir/real/p.policy" -- \
	sh -c "echo 'allow read /' >>$dir/us/d/twin" >"$dir/out" 2>&1 </dev/null
status=$?
check a_policy_with_another_name_that_could_be_written_is_an_error is "$status" 125
check the_error_says_that_it_has_two_names said "the file has 2 names"
rm "$dir/us/d/twin"
# shellcheck disable=SC2086
timeout -k 5 60 "$warder" run -q $as_root --ledger "$dir/ledger.jsonl" -p "$dir/real/p.policy" -- \
	true >"$dir/out" 2>&1 </dev/null
check control_with_one_name_it_starts is "$?" 0
finish
