#!/bin/sh
# SPDX-License-Identifier: MIT
# protocol.sh - every row of the message table has its paragraph in docs/protocol.md, its handler and
# its stub, under its number and with its count; and what the ledger holds, its paragraph too.
#
# RUN_ONCE: it reads the tree alone.
set -u
cd "$TOP" || exit 2
bad=0 op=0

check() { # what, command...
	what=$1
	shift
	if "$@"; then
		echo "ok $what"
	else
		echo "not ok $what"
		bad=1
	fi
}

rows=$(sed -nE 's/^\tX\(([a-z]+), [A-Z]+, .*, (1|MSG_COUNT_MAX), PHASE_[A-Z]+\).*/\1 \2/p' common/msg.h)
check "the table is read" [ "$(echo "$rows" | wc -l)" -ge 16 ]
while read -r name most; do
	[ "$most" = MSG_COUNT_MAX ] && most=64
	check "$name has a paragraph" grep -qE "^\*\*$op $name\*\* \($most( records?)?\)\." docs/protocol.md
	check "$name has a handler" grep -qE "^int handle_$name\(" broker/ops.c broker/ops_change.c broker/ops_inode.c broker/ops_socket.c
	[ "$name" = hello ] || check "$name has a stub" grep -qE "\bwarder_$name\(" sandbox/warder.h
	op=$((op + 1))
done <<ROWS
$rows
ROWS

# And each event and field of the ledger's, in both places that tell of them.
events=$(sed -nE 's/^\t\[EVENT_[A-Z]+\] = "([a-z]+)",/\1/p' broker/ledger.c)
fields=$(grep -oE '(put_[a-z]+|jsonl_[a-z0-9]+)\(&?j, "[a-z0-9_]+"' broker/ledger.c |
	sed 's/.*"\(.*\)"/\1/' | sort -u)
check "the events are read" [ "$(echo "$events" | wc -l)" -ge 9 ]
check "the fields are read" [ "$(echo "$fields" | wc -l)" -ge 35 ]
for name in $events; do
	check "event $name stands there" grep -q "^| \`$name\` |" docs/protocol.md
	check "event $name stands in the manual" grep -qx ".It Li $name" docs/man/warder-ledger.1
done
for name in $fields; do
	check "field $name stands there" grep -qE "^\| [^|]*\`$name\`[^|]* \| [a-z ]+ \||\| object \|.*\`$name\`" \
		docs/protocol.md
	check "field $name stands in the manual" grep -qE "^\.(It )?Va .*\b$name\b" docs/man/warder-ledger.1
done
exit $bad
